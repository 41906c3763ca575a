"""The catalogue of roles: what each may hold, where it is granted, by whom, and what it excludes. Pure tables.

Source: TRIAL 1; 21 CFR 11.10(d), (g); ICH E6(R3) 4.3.8; EMA computerised systems 2023, A3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Where a role can be granted."""

    HOUSE = "house"  # for the whole installation, and nowhere else
    ANY = "house or trial"
    TRIAL = "trial"  # per trial, may be narrowed to one site
    SITE = "site"  # per trial and site


@dataclass(frozen=True)
class Role:
    """One role. `trained`: read-and-understood and delegation are required before its acts."""

    name: str
    title: str
    description: str
    scope: Scope
    granted_by: tuple[str, ...]
    trained: bool = True


_QA = ("qa_auditor",)
_LEAD = ("trial_lead", "qa_auditor")
_IMAGING = ("imaging_lead", "trial_lead", "qa_auditor")

CATALOGUE: tuple[Role, ...] = (
    Role("system_owner", "System owner", "Runs the installation and its accounts; sees no trial data.",
         Scope.HOUSE, _QA),
    Role("qa_auditor", "Quality assurance", "Approves documents, releases and gates last; reviews the record.",
         Scope.ANY, ("system_owner", "qa_auditor")),
    Role("trial_lead", "Trial lead", "Answers for one trial: charter, delegation, gates, deviations.",
         Scope.TRIAL, _QA),
    Role("imaging_lead", "Imaging lead", "Answers for acquisition, quality control, readers and reads of a trial.",
         Scope.TRIAL, _LEAD),
    Role("validation_lead", "Validation lead", "Plans and judges the validation of software and models.",
         Scope.ANY, _QA),
    Role("model_custodian", "Model custodian", "Takes models in, locks and retires them; trains none that they lock.",
         Scope.ANY, ("validation_lead", "qa_auditor")),
    Role("statistician", "Statistician", "Sets and judges the numbers of protocols and gates; blinded.",
         Scope.ANY, _LEAD),
    Role("unblinded_statistician", "Unblinded statistician", "Prepares output by arm for those who may see it.",
         Scope.TRIAL, _QA),
    Role("medical_monitor", "Medical monitor", "Judges unexpected findings and what a subject needs.",
         Scope.TRIAL, _LEAD),
    Role("regulatory", "Regulatory affairs", "Files protocol, advice and submissions; signs what goes to authorities.",
         Scope.TRIAL, _LEAD),
    Role("data_manager", "Data manager", "Keeps the trial's configuration, queries and database lock.",
         Scope.TRIAL, _LEAD),
    Role("qc_technologist", "QC technologist", "Disposes each received series: accept, query or reject.",
         Scope.TRIAL, _IMAGING),
    Role("coordinator", "Coordinator", "Works the screening list and signs who is selected.",
         Scope.TRIAL, ("investigator", "trial_lead", "qa_auditor")),
    Role("reader", "Reader", "Reads images independently and signs each value.",
         Scope.TRIAL, _IMAGING),
    Role("adjudicator", "Adjudicator", "Decides between two reads that differ.",
         Scope.TRIAL, _IMAGING),
    Role("investigator", "Investigator", "Answers for the subjects of a site: consent, eligibility, delegation.",
         Scope.SITE, _LEAD),
    Role("site_user", "Site user", "Sends images and answers queries of one site.",
         Scope.SITE, ("investigator", "trial_lead", "qa_auditor"), trained=False),
    Role("monitor", "Monitor", "Follows completeness and queries of sites; sees no read.",
         Scope.TRIAL, _LEAD),
    Role("sponsor_viewer", "Sponsor viewer", "Looks at status and issued reports of a trial.",
         Scope.TRIAL, _LEAD, trained=False),
    Role("dmc_member", "Data monitoring committee", "Sees closed reports of a trial; does no work in it.",
         Scope.TRIAL, _QA, trained=False),
    Role("inspector", "Inspector", "Reads everything, completely, logged; the blind holds.",
         Scope.ANY, _QA, trained=False),
    Role("privacy_officer", "Privacy officer", "Decides on requests of data subjects and on incidents.",
         Scope.ANY, _QA),
    Role("service", "Service", "The system's own acts; never a person.",
         Scope.HOUSE, ("system_owner",), trained=False),
)

ROLES: Mapping[str, Role] = {role.name: role for role in CATALOGUE}

GATE_SIGNERS = frozenset({"trial_lead", "qa_auditor", "validation_lead", "statistician", "imaging_lead",
                          "medical_monitor", "regulatory"})
CHARTER_EDITORS = frozenset({"trial_lead", "imaging_lead", "data_manager", "investigator"})
IMAGE_WORKERS = frozenset({"reader", "adjudicator", "qc_technologist"})
SEES_ALLOCATION = frozenset({"unblinded_statistician", "dmc_member"})
ALONE = frozenset({"system_owner", "inspector", "service"})


def is_untrained(role: str) -> bool:
    """Whether training and delegation do not apply to this role (TRIAL 1)."""
    return role in ROLES and not ROLES[role].trained


def exclusion(one: str, other: str) -> str | None:
    """Why one person may not hold both roles in the same trial; None when they may."""
    if one == other:
        return None
    for role, beside in ((one, other), (other, one)):
        if role == "system_owner":
            return f"A system owner sees no trial data and holds no other role; {beside} gives such a view."
        if role == "inspector":
            return f"An inspector looks on and takes no part; {beside} takes part."
        if role == "service":
            return f"The service role is the system's own; a person in the role {beside} cannot hold it."
        if role in SEES_ALLOCATION and beside in IMAGE_WORKERS | CHARTER_EDITORS | GATE_SIGNERS:
            return f"{ROLES[role].title} may know the allocation; {beside} must not know it."
    return None


@dataclass(frozen=True)
class Grant:
    """A role held: for the house (`trial` empty), a trial, or one site of it."""

    role: str
    trial: str = ""
    site: str = ""


def meet(one: Grant, other: Grant) -> bool:
    """Whether two grants are ever in force for the same trial; a grant for the house is in force in each."""
    return not one.trial or not other.trial or one.trial == other.trial


def scope_refusal(grant: Grant) -> str | None:
    """Why this role cannot be granted there; None when it can."""
    role = ROLES.get(grant.role)
    if role is None:
        return f"There is no role `{grant.role}`. Roles: {', '.join(ROLES)}."
    if grant.site and not grant.trial:
        return f"A site belongs to a trial; name the trial of site {grant.site}."
    if role.scope is Scope.HOUSE and grant.trial:
        return f"{role.title} is a role of the installation and is not granted for a trial."
    if role.scope is Scope.SITE and not grant.site:
        return f"{role.title} is granted for one site of a trial; name the trial and the site."
    if role.scope is Scope.TRIAL and not grant.trial:
        return f"{role.title} is granted per trial; name the trial."
    return None


def grant_refusals(
    grant: Grant, *, to: str, held: Iterable[Grant], by: str, by_grants: Iterable[Grant]
) -> tuple[str, ...]:
    """Every reason against this grant; empty when it may be made.

    Args:
        held: what the receiving person holds already.
        by_grants: what the granting person holds.
    """
    reasons: list[str] = []
    if to == by:
        reasons.append("Nobody grants a role to themself.")
    scope = scope_refusal(grant)
    if scope is not None:
        return (*reasons, scope)
    held = tuple(held)
    if grant in held:
        reasons.append(f"{to} holds this role already.")
    for other in held:
        if meet(grant, other) and (reason := exclusion(grant.role, other.role)):
            reasons.append(reason)
    role = ROLES[grant.role]
    if not may_grant(grant, by_grants):
        reasons.append(f"{role.title} is granted by: {', '.join(role.granted_by)}.")
    return tuple(dict.fromkeys(reasons))


def may_grant(grant: Grant, by_grants: Iterable[Grant]) -> bool:
    """Whether one of these grants entitles its holder to make the other: right role, same trial, same site."""
    role = ROLES[grant.role]
    return any(
        mine.role in role.granted_by
        and (not mine.trial or mine.trial == grant.trial)
        and (not mine.site or mine.site == grant.site)
        for mine in by_grants
    )


DELEGATORS: Mapping[str, frozenset[str]] = {
    "trial_lead": frozenset(role.name for role in CATALOGUE if role.trained) - {"trial_lead", "system_owner"},
    "imaging_lead": frozenset({"qc_technologist", "reader", "adjudicator"}),
    "investigator": frozenset({"coordinator"}),
}


def may_delegate(role: str, by_role: str) -> bool:
    """Whether somebody in `by_role` can delegate the tasks of `role` (delegation log, ICH E6(R3) 2.3)."""
    return role in DELEGATORS.get(by_role, frozenset())


def needs_delegation(role: str, trial: str) -> bool:
    """Whether acts in this role rest on a signed delegation: trial work does, house work and lookers-on do not.

    The charter names trial lead and investigators; their signed charter is the first delegation (TRIAL 1), and
    quality assurance is independent of the one who would delegate.
    """
    if not trial or role not in ROLES or not ROLES[role].trained:
        return False
    return role not in {"trial_lead", "investigator", "qa_auditor", "privacy_officer"}

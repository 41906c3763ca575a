"""Commands about a gate's evidence: documents from outside, seeded defects, waivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from audit.vocabulary import gates as words
from audit.vocabulary.registry import ObjectRef
from core.access.queries import basis
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.gates import queries, views
from core.gates.criteria import BY_ID
from core.gates.rules import LAST
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials.acting import allowed, draft, iso_day
from core.trials.queries import facts_for, the_trial
from core.work import Desk, Draft, Occasion, Proposal

# Who may file which document from outside the system.
EVIDENCE_KINDS: Mapping[str, frozenset[str]] = {
    "privacy_assessment": frozenset({"privacy_officer", "qa_auditor"}),
    "reader_study": frozenset({"statistician", "imaging_lead"}),
    "device_determination": frozenset({"regulatory"}),
    "consent_covers_ai": frozenset({"regulatory", "trial_lead"}),
    "noninferiority_assessment": frozenset({"statistician"}),
    "protocol_names_ai": frozenset({"regulatory", "trial_lead"}),
    "sap_names_ai": frozenset({"statistician"}),
    "regulator_advice": frozenset({"regulatory"}),
    "arm_scope_reason": frozenset({"statistician", "qa_auditor"}),
}


@dataclass(frozen=True, slots=True)
class FileEvidence:
    """A document from outside the system and what it says; put the document into `desk.objects` first."""

    trial: str
    kind: str
    title: str
    document: ObjectRef
    document_date: str
    use: int | None = None
    endpoint: str | None = None
    display: str | None = None
    cases: int | None = None
    lock: str | None = None


def file_evidence(desk: Desk, actor: Actor, command: FileEvidence) -> Proposal:
    """A role files the document it answers for, signed; of class demonstration in a demonstration trial."""
    owners = EVIDENCE_KINDS.get(command.kind)
    if owners is None:
        raise UnusableInput(f"{command.kind!r} is no kind of evidence; known: {', '.join(EVIDENCE_KINDS)}.")
    iso_day(command.document_date, "date of the document")
    if command.kind == "reader_study" and (command.cases is None or command.display is None):
        raise UnusableInput("A reader study states its cases and its display mode.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = the_trial(session, command.trial)
        facts = facts_for(session, actor, "evidence.file", command.trial)
        held = facts.roles & owners
        if not held:
            facts = replace(facts, relations=facts.relations | {"not_owner"})
        under = permit(actor, "evidence.file", replace(facts, roles=held or facts.roles))
        event = words.EvidenceFiled(
            kind=command.kind, title=command.title, document=command.document, document_date=command.document_date,
            evidence_class=row.evidence_class, use=command.use, endpoint=command.endpoint, display=command.display,
            cases=command.cases, lock=command.lock)
        return draft(
            session, actor, "evidence.file", command.trial, event, under=under, meaning="responsibility",
            view=views.act(
                "Document filed as evidence", "gates/evidence", ("Trial", command.trial), ("Kind", command.kind),
                ("Title", command.title), ("Date", command.document_date), ("SHA-256", command.document.sha256),
                ("Evidence class", row.evidence_class), ("AI use", str(command.use or "any")),
                ("Endpoint", command.endpoint or "any"), ("Display mode", command.display or "not stated"),
                ("Cases", str(command.cases) if command.cases is not None else "not stated")))

    return desk.prepare(actor, propose, asked="evidence.file")


def seed_defect(desk: Desk, actor: Actor, trial: str, study: str) -> Proposal:
    """A study was made defective on purpose; it is counted apart in the run-in.

    Refused once a technologist or the model has judged it: a defect that was missed is not called seeded afterwards.
    """

    def propose(session: Connection, occasion: Occasion) -> Draft:
        judged = ("judged",) if queries.is_judged(session, trial, study) else ()
        under = allowed(session, actor, "defect.seed", trial, *judged)
        return draft(
            session, actor, "defect.seed", trial, words.DefectSeeded(study=study), under=under, meaning="authorship",
            view=views.act("Seeded defect", "gates/act", ("Trial", trial), ("Study", study)))

    return desk.prepare(actor, propose, asked="defect.seed")


@dataclass(frozen=True, slots=True)
class RequestWaiver:
    """A criterion to be waived for one use until a day, with reason and risk."""

    trial: str
    use: int
    criterion: str
    because: str
    risk: str
    ends_on: str


def request_waiver(desk: Desk, actor: Actor, command: RequestWaiver) -> Proposal:
    """Ask for a waiver. Raises Refused for what can never be waived."""
    row = BY_ID.get(command.criterion)
    if row is None or command.use not in row.uses:
        known = ", ".join(one.id for one in BY_ID.values() if command.use in one.uses and one.waivable)
        raise NotFound(f"Use {command.use} has no criterion {command.criterion}; those that can be waived: {known}.")
    end = iso_day(command.ends_on, "end")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "waiver.request", command.trial, *(() if row.waivable else ("never_waivable",)))
        if end.isoformat() < occasion.at[:10]:
            raise UnusableInput(f"A waiver until {end} is over already.")
        number = len(queries.waivers_of(session, command.trial)) + 1
        event = words.WaiverRequested(
            waiver=f"{command.trial}-W{number:03d}", use=command.use, criterion=command.criterion,
            because=command.because, risk=command.risk, ends_on=command.ends_on, owner=row.owner)
        return draft(
            session, actor, "waiver.request", command.trial, event, under=under, meaning="authorship",
            view=views.act(
                "Request of a waiver", "gates/waiver", ("Waiver", event.waiver), ("Criterion", row.title),
                ("AI use", str(command.use)), ("Because", command.because), ("Risk", command.risk),
                ("Until", command.ends_on), ("Approved by", f"{row.owner} and {LAST}")))

    return desk.prepare(actor, propose, asked="waiver.request")


def approve_waiver(desk: Desk, actor: Actor, waiver: str, signed_as: str) -> Proposal:
    """The criterion's owner or QA approves; two people, neither of them the requester."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.waiver_named(session, waiver)
        roles = {row.owner, LAST}
        if signed_as not in roles:
            raise UnusableInput(f"Waiver {waiver} is approved as {' and as '.join(sorted(roles))}.")
        facts = facts_for(session, actor, "waiver.approve", row.trial, relations=frozenset(
            {"requester"} if row.requested_by == actor.user else ()))
        if signed_as not in facts.roles:
            raise Refused(f"You do not hold the role {signed_as} in {row.trial}.", rule="F-603")
        under = permit(actor, "waiver.approve", replace(facts, roles=frozenset({signed_as})))
        given = {row.owner: row.owner_by, LAST: row.qa_by}
        if given.get(signed_as) is not None:
            raise AlreadyDone(f"Waiver {waiver} is approved as {signed_as}.")
        if actor.user in given.values():
            raise Refused("Another person gives the second approval.", rule="F-603")
        rests_on = basis(session, actor.user, signed_as, "waiver.approve", row.trial)
        return Draft(
            words.WaiverApproved(waiver=waiver, signed_as=signed_as), under=under, meaning="approval", trial=row.trial,
            caused_by=row.entry_id, trainings=rests_on.trainings, delegation=rests_on.delegation,
            view=views.act(
                "Approval of a waiver", "gates/waiver", ("Waiver", waiver), ("Criterion", row.criterion),
                ("Because", row.because), ("Risk", row.risk), ("Until", row.ends_on), ("Asked by", row.requested_by)))

    return desk.prepare(actor, propose, asked="waiver.approve")

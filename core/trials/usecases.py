"""Commands of a trial's set-up: create, charter, test of the configuration, go live, lock of the data."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import trials as words
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.policy.state import Actor
from core.trials import queries, views
from core.trials.acting import allowed, draft
from core.trials.charter import Charter, PlannedUse, UnusedUse
from core.trials.charter_check import charter_digest, read_charter
from core.trials.defaults import SHIPPED_BY_NAME
from core.trials.rules import missing_for_go_live, version_number
from core.work import Desk, Draft, Occasion, Proposal

# The whole text stands in the entry (at most 65,535 bytes), so that a bundle shows it to whoever has only the bundle.
LONGEST_CHARTER = 48_000


@dataclass(frozen=True, slots=True)
class CreateTrial:
    """A trial to set up."""

    trial: str
    title: str
    demonstration: bool = False


def create_trial(desk: Desk, actor: Actor, command: CreateTrial) -> Proposal:
    """A trial in stage set-up. Raises AlreadyDone where the id is taken."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        if queries.trial_row(session, command.trial) is not None:
            raise AlreadyDone(f"Trial {command.trial} exists.")
        under = allowed(session, actor, "trial.create", command.trial)
        return draft(
            session, actor, "trial.create", command.trial,
            words.TrialCreated(title=command.title, demonstration=command.demonstration), under=under,
            meaning="responsibility", view=views.lines(
                "New trial", "trial/create", ("Trial", command.trial), ("Title", command.title),
                ("Evidence class", "demonstration" if command.demonstration else "clinical"),
            ),
        )

    return desk.prepare(actor, propose, asked="trial.create")


def sign_charter(desk: Desk, actor: Actor, text: str) -> Proposal:
    """The trial lead signs a charter text. Raises CharterUnusable with all problems, NotFound, Refused."""
    charter = read_charter(text)
    if len(text.encode()) > LONGEST_CHARTER:
        raise UnusableInput(f"The charter is longer than {LONGEST_CHARTER} bytes.")
    event = words.CharterSigned(
        charter_version=charter.version, digest=charter_digest(text), text=text,
        evidence_class=charter.evidence_class, limits=_numbers(charter), uses=_uses(charter), people=_people(charter),
        sites=tuple(
            words.NamedSite(site=one.id, country=one.country, time_zone=one.time_zone) for one in charter.sites
        ),
    )

    def propose(session: Connection, occasion: Occasion) -> Draft:
        trial = queries.the_trial(session, charter.trial)
        relations = set() if charter.people.trial_lead == actor.user else {"not_named"}
        before = queries.signed_charter(session, charter.trial)
        if before is not None and version_number(charter.version) <= version_number(before.version):
            relations.add("version_behind")
        under = allowed(session, actor, "charter.sign", charter.trial, *relations)
        if trial.demonstration != charter.demonstration:
            raise UnusableInput(
                f"Trial {trial.trial} is of class {trial.evidence_class}; this charter of {charter.evidence_class}.")
        if any(one.digest == event.digest for one in queries.charters_of(session, charter.trial)):
            raise AlreadyDone(f"This text of charter {charter.version} is signed.")
        return draft(
            session, actor, "charter.sign", charter.trial, event, under=under, meaning="authorship",
            view=views.charter("Signature", charter, event.digest, text),
        )

    return desk.prepare(actor, propose, asked="charter.sign")


def _numbers(charter: Charter) -> tuple[words.KeyNumber, ...]:
    numbers = []
    for name, limit in sorted(charter.limits.items()):
        shipped = SHIPPED_BY_NAME[name]
        numbers.append(words.KeyNumber(
            name=name, value=f"{limit.value:f} {shipped.unit}".strip(),
            shipped=f"{shipped.default} {shipped.unit}".strip(),
            laxer=shipped.laxer(limit.value), justification=limit.justification,
        ))
    return tuple(numbers)


def _uses(charter: Charter) -> tuple[words.DeclaredUse, ...]:
    declared = []
    for number, name, use in charter.ai.numbered():
        if isinstance(use, PlannedUse):
            declared.append(words.DeclaredUse(
                use=number, name=name, planned=True, model=use.model, scope=use.scope, endpoints=use.endpoints))
        elif isinstance(use, UnusedUse):
            declared.append(words.DeclaredUse(use=number, name=name, planned=False, not_used_because=use.reason))
    return tuple(declared)


def _people(charter: Charter) -> tuple[words.NamedPerson, ...]:
    people = charter.people
    return (
        words.NamedPerson(person=people.trial_lead, role="trial_lead"),
        *(words.NamedPerson(person=one.person, role="investigator", site=one.site) for one in people.investigators),
        *(words.NamedPerson(person=one.person, role=one.role) for one in people.deputies),
    )


def _last_charter(session: Connection, trial: str) -> queries.SignedCharter:
    queries.the_trial(session, trial)
    signed = queries.charters_of(session, trial)
    if not signed:
        raise NotFound(f"No charter of {trial} is signed.", next_step="Sign one with `countersign charter sign FILE`.")
    if signed[-1].approved_entry is not None:
        raise AlreadyDone(f"Charter {signed[-1].version} of {trial} is approved.")
    return signed[-1]


def accept_charter(desk: Desk, actor: Actor, trial: str) -> Proposal:
    """A named investigator takes responsibility under the signed charter."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        signed = _last_charter(session, trial)
        named = {one.person for one in signed.charter.people.investigators}
        under = allowed(session, actor, "charter.accept", trial, *(() if actor.user in named else ("not_named",)))
        if actor.user in signed.accepted_by:
            raise AlreadyDone(f"{actor.user} has accepted charter {signed.version}.")
        return draft(
            session, actor, "charter.accept", trial,
            words.CharterAccepted(charter_version=signed.version, digest=signed.digest, signed=signed.entry_id),
            under=under, meaning="responsibility", caused_by=signed.entry_id,
            view=views.charter("Acceptance", signed.charter, signed.digest, signed.text),
        )

    return desk.prepare(actor, propose, asked="charter.accept")


def approve_charter(desk: Desk, actor: Actor, trial: str) -> Proposal:
    """QA approves the charter, when every investigator has accepted it; it is in force."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        signed = _last_charter(session, trial)
        author = ("author",) if signed.signed_by == actor.user else ()
        under = allowed(session, actor, "charter.approve", trial, *author)
        missing = sorted({one.person for one in signed.charter.people.investigators} - set(signed.accepted_by))
        if missing:
            raise Refused(f"QA approves last; charter {signed.version} is not accepted by {', '.join(missing)}.",
                          rule="F-208")
        return draft(
            session, actor, "charter.approve", trial,
            words.CharterApproved(charter_version=signed.version, digest=signed.digest, signed=signed.entry_id),
            under=under, meaning="approval", caused_by=signed.entry_id,
            view=views.charter("Approval", signed.charter, signed.digest, signed.text),
        )

    return desk.prepare(actor, propose, asked="charter.approve")


@dataclass(frozen=True, slots=True)
class SignConfigurationTest:
    """A test of the configuration with dummy subjects: how many, and the steps that were tried."""

    trial: str
    dummy_subjects: int
    steps: tuple[str, ...]


def sign_configuration_test(desk: Desk, actor: Actor, command: SignConfigurationTest) -> Proposal:
    """A user of the trial signs that they tried its configuration (TRIAL 3)."""
    if command.dummy_subjects < 1 or not command.steps:
        raise UnusableInput("A test names at least one dummy subject and the steps that were tried.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "configuration.test", command.trial)
        charter = queries.charter_of(session, command.trial)
        event = words.ConfigurationTested(
            charter_version=charter.version, dummy_subjects=command.dummy_subjects, steps=command.steps)
        return draft(
            session, actor, "configuration.test", command.trial, event, under=under, meaning="execution",
            view=views.lines(
                "Test of the configuration", "trial/test", ("Trial", command.trial), ("Charter", charter.version),
                ("Dummy subjects", str(command.dummy_subjects)),
                *((f"Step {number}", step) for number, step in enumerate(command.steps, 1)),
            ),
        )

    return desk.prepare(actor, propose, asked="configuration.test")


def activate_trial(desk: Desk, actor: Actor, trial: str) -> Proposal:
    """The trial goes live: charter in force, configuration tested, a site activated. Raises Refused with what lacks."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.the_trial(session, trial)
        under = allowed(session, actor, "trial.activate", trial)
        signed = queries.signed_charter(session, trial)
        active = [one.site for one in queries.sites_of(session, trial)
                  if one.state == "activated" and signed is not None and one.charter_version == signed.version]
        # What was tried is the configuration of the charter in force: a later charter is tried anew.
        tested = row.tested_entry is not None and row.tested_entry > (row.charter_entry or 0)
        gaps = missing_for_go_live(signed is not None, tested, active)
        if gaps or signed is None:
            raise Refused(f"Trial {trial} cannot go live: {'; '.join(gaps)}.", rule="F-209")
        return draft(
            session, actor, "trial.activate", trial,
            words.TrialActivated(charter_version=signed.version, digest=signed.digest), under=under, meaning="approval",
            view=views.activation(trial, row.title, signed.version, signed.digest, active),
        )

    return desk.prepare(actor, propose, asked="trial.activate")

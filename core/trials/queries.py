"""What other rooms and pages ask about a trial: facts for decisions, charter, sites, subjects, time points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from sqlalchemy import Connection, Row, select

from core.access.queries import grants_of, standing
from core.errors import NotFound
from core.policy.state import Actor, Facts, Stage
from core.privacy.queries import relations_of
from core.trials import projections as tables
from core.trials.charter import Charter
from core.trials.charter_check import read_charter
from core.trials.rules import consent_gap, expectation_on, standing_in, version_on


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial as its own page shows it. Entries are sequence numbers."""

    trial: str
    title: str
    demonstration: bool
    stage: Stage
    created_by: str
    charter_entry: int | None
    tested_entry: int | None
    live_entry: int | None
    entry: int

    @property
    def evidence_class(self) -> str:
        return "demonstration" if self.demonstration else "clinical"


@dataclass(frozen=True, slots=True)
class SignedCharter:
    """A charter text on record. `approved_entry` is None until QA has approved it."""

    version: str
    digest: str
    text: str
    signed_by: str
    entry_id: str
    entry: int
    approved_entry: int | None
    accepted_by: tuple[str, ...]

    @property
    def charter(self) -> Charter:
        return _parsed(self.text)


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A site and how far it has come."""

    trial: str
    site: str
    country: str
    time_zone: str
    state: str
    charter_version: str | None
    effective_on: str | None
    entry: int

    def active_on(self, day: str) -> bool:
        """True when images acquired on this day (ISO) come from an activated site."""
        return self.state == "activated" and self.effective_on is not None and self.effective_on <= day


@dataclass(frozen=True, slots=True)
class ScannerRow:
    """A scanner that was qualified at a site, and until when."""

    site: str
    scanner: str
    modality: str
    manufacturer: str
    valid_until: str
    entry: int


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A subject of the trial."""

    trial: str
    subject: str
    site: str
    state: str
    screened_on: str
    enrolled_on: str | None
    ended_on: str | None
    entry: int


@dataclass(frozen=True, slots=True)
class TimePointRow:
    """A time point of a subject; dates in ISO form."""

    trial: str
    subject: str
    time_point: str
    label: str
    occasion: str
    target_on: str | None
    earliest_on: str | None
    latest_on: str | None
    acquired_on: str | None
    charter_version: str | None
    state: str
    reason: str | None
    entry: int

    def state_on(self, today: date, stage: str = "") -> str:
        """The state with `due` and `overdue` told apart, which only the date makes; and, where the stage of the trial
        is given, with `frozen` for what was read while its data are locked."""
        if self.state != "expected" or self.earliest_on is None or self.latest_on is None:
            return standing_in(self.state, stage)
        return expectation_on(date.fromisoformat(self.earliest_on), date.fromisoformat(self.latest_on), today)


@dataclass(frozen=True, slots=True)
class OpenUse:
    """A gate that is open now: which AI use, for which endpoint, scope and lock."""

    gate: str
    use_name: str
    endpoint: str | None
    scope: str
    lock: str
    entry: int

    @property
    def code(self) -> str:
        """`qc`, `cohort`, `secondary:E`, `primary:E`: the form of `Facts.uses_open`."""
        return f"{self.use_name}:{self.endpoint}" if self.endpoint else self.use_name


@lru_cache(maxsize=32)
def _parsed(text: str) -> Charter:
    return read_charter(text)


def facts_for(
    session: Connection, actor: Actor, action: str, trial: str | None, *, relations: frozenset[str] = frozenset(),
    endpoint: str | None = None, site: str | None = None, about: str | None = None,
) -> Facts:
    """The facts a decision rests on: house, roles, training and delegation, stage, open AI uses.

    Args:
        session: a reading or writing session.
        actor: who asks.
        action: what for; training and delegation gaps are those of this action.
        trial: the trial, or None for an act of the house. A trial that does not exist has stage None.
        relations: what the actor is to the thing, and what the thing is.
        endpoint: narrows open uses to this endpoint, so that another one's gate opens nothing.
        site: narrows open uses to those whose scope holds this site.
        about: the subject that the act is about; brings what was decided about its data, and narrows open uses to
            those whose scope holds its site.
    """
    facts = standing(session, actor, trial, action)
    if trial and about:
        relations |= relations_of(session, trial, about)
        site = site or site_of_subject(session, trial, about)
    row = trial_row(session, trial) if trial else None
    uses = open_uses(session, trial) if trial else ()
    fitting = [
        use for use in uses
        if (endpoint is None or use.endpoint in (None, endpoint)) and (site is None or _holds(use.scope, site))
    ]
    return replace(
        facts, trial=trial, stage=row.stage if row else None, relations=facts.relations | relations,
        uses_open=frozenset(use.code for use in fitting), about=about,
    )


def site_of_subject(session: Connection, trial: str, subject: str) -> str:
    """The site of a subject; of an unknown one a site that no scope holds."""
    known = subject_of(session, trial, subject)
    return known.site if known else ""


def _holds(scope: str, site: str) -> bool:
    # An arm or part of a subject is unknown here: such a scope opens nothing.
    return scope == "all" or (scope.startswith("sites:") and site in scope.removeprefix("sites:").split(","))


def uses_for(session: Connection, trial: str, subject: str) -> tuple[OpenUse, ...]:
    """The AI uses that are open for a subject: the scope of the gate is all, or holds the subject's site."""
    site = site_of_subject(session, trial, subject)
    return tuple(use for use in open_uses(session, trial) if _holds(use.scope, site))


def open_uses(session: Connection, trial: str) -> tuple[OpenUse, ...]:
    """The AI uses that are open in a trial now."""
    rows = session.execute(
        select(tables.ai_uses).where(tables.ai_uses.c.trial == trial, tables.ai_uses.c.open.is_(True))
        .order_by(tables.ai_uses.c.gate)
    )
    return tuple(OpenUse(r.gate, r.use_name, r.endpoint, r.scope, r.lock, r.entry) for r in rows)


def trial_row(session: Connection, trial: str) -> TrialRow | None:
    """The trial, or None."""
    row = session.execute(select(tables.trials).where(tables.trials.c.trial == trial)).first()
    return _trial(row) if row else None


def the_trial(session: Connection, trial: str) -> TrialRow:
    """The trial. Raises NotFound."""
    row = trial_row(session, trial)
    if row is None:
        raise NotFound(f"There is no trial {trial}.", next_step="List them with `countersign trial show`.")
    return row


def demonstrations_of(session: Connection, user: str) -> tuple[str, ...]:
    """The trials of class demonstration in which a person holds a role; a role of the house is held in all of them."""
    held = {grant.trial for grant in grants_of(session, user)}
    return tuple(one.trial for one in trials_known(session) if one.demonstration and held & {"", one.trial})


def trials_known(session: Connection) -> tuple[TrialRow, ...]:
    """Every trial of the house."""
    return tuple(_trial(row) for row in session.execute(select(tables.trials).order_by(tables.trials.c.trial)))


def _trial(row: Row[tuple[object, ...]]) -> TrialRow:
    values = dict(row._mapping)
    return TrialRow(**values | {"stage": Stage(values["stage"])})


def charters_of(session: Connection, trial: str) -> tuple[SignedCharter, ...]:
    """Every signed charter text of a trial, oldest first."""
    found = []
    for row in session.execute(
        select(tables.charters).where(tables.charters.c.trial == trial).order_by(tables.charters.c.entry)
    ):
        accepted = session.execute(
            select(tables.acceptances.c.person).where(tables.acceptances.c.signed == row.entry_id)
            .order_by(tables.acceptances.c.entry)
        ).scalars()
        found.append(SignedCharter(
            row.version, row.digest, row.text, row.signed_by, row.entry_id, row.entry, row.approved_entry,
            tuple(accepted),
        ))
    return tuple(found)


def signed_charter(session: Connection, trial: str) -> SignedCharter | None:
    """The charter in force: the last approved one, or None."""
    approved = [one for one in charters_of(session, trial) if one.approved_entry is not None]
    return approved[-1] if approved else None


@dataclass(frozen=True, slots=True)
class Amendment:
    """A charter text signed after another was in force; `impact` is None until the imaging lead has signed it."""

    before: SignedCharter
    signed: SignedCharter
    impact: str | None
    assessed_entry: int | None


def amendments_of(session: Connection, trial: str) -> tuple[Amendment, ...]:
    """The amendments of a trial that went live, oldest first; each against the last one approved before it."""
    live = trial_row(session, trial)
    table, found = tables.assessments, list[Amendment]()
    impacts = {row.signed: row for row in session.execute(select(table).where(table.c.trial == trial))}
    before: SignedCharter | None = None
    for one in charters_of(session, trial):
        if before is not None and live is not None and live.live_entry is not None and one.entry > live.live_entry:
            impact = impacts.get(one.entry_id)
            found.append(Amendment(
                before, one, impact.impact if impact else None, impact.entry if impact else None))
        before = one if one.approved_entry is not None else before
    return tuple(found)


def versions_at(session: Connection, trial: str, site: str) -> tuple[tuple[str, str], ...]:
    """(effective on, charter version) of a site, in the order of signing."""
    table = tables.site_versions
    rows = session.execute(
        select(table).where(table.c.trial == trial, table.c.site == site).order_by(table.c.entry))
    return tuple((row.effective_on, row.version) for row in rows)


def charter_at(session: Connection, trial: str, site: str, day: str) -> SignedCharter | None:
    """The charter in effect at a site on a day (ISO): before its activation its first, without one the trial's last."""
    approved = [one for one in charters_of(session, trial) if one.approved_entry is not None]
    versions = versions_at(session, trial, site)
    version = version_on(versions, day) or (versions[0][1] if versions else None)
    return next((one for one in reversed(approved) if one.version == version), approved[-1] if approved else None)


def charter_of(session: Connection, trial: str) -> Charter:
    """The charter in force. Raises NotFound where none is approved."""
    signed = signed_charter(session, trial)
    if signed is None:
        raise NotFound(
            f"Trial {trial} has no approved charter.",
            next_step="Sign one with `countersign charter sign FILE`, then let QA approve it.",
        )
    return signed.charter


def sites_of(session: Connection, trial: str) -> tuple[SiteRow, ...]:
    """The sites of a trial."""
    rows = session.execute(select(tables.sites).where(tables.sites.c.trial == trial).order_by(tables.sites.c.site))
    return tuple(SiteRow(**row._mapping) for row in rows)


def site_of(session: Connection, trial: str, site: str) -> SiteRow | None:
    """A site of the trial, or None."""
    return next((one for one in sites_of(session, trial) if one.site == site), None)


def scanners_of(session: Connection, trial: str, site: str | None = None) -> tuple[ScannerRow, ...]:
    """Qualified scanners, of one site where given."""
    query = select(tables.scanners).where(tables.scanners.c.trial == trial)
    if site is not None:
        query = query.where(tables.scanners.c.site == site)
    rows = session.execute(query.order_by(tables.scanners.c.site, tables.scanners.c.scanner))
    return tuple(
        ScannerRow(r.site, r.scanner, r.modality, r.manufacturer, r.valid_until, r.entry) for r in rows
    )


def subjects_of(session: Connection, trial: str) -> tuple[SubjectRow, ...]:
    """The subjects of a trial, in order of their codes."""
    rows = session.execute(
        select(tables.subjects).where(tables.subjects.c.trial == trial).order_by(tables.subjects.c.subject)
    )
    return tuple(SubjectRow(**row._mapping) for row in rows)


def subject_of(session: Connection, trial: str, subject: str) -> SubjectRow | None:
    """A subject of the trial, or None."""
    row = session.execute(
        select(tables.subjects).where(tables.subjects.c.trial == trial, tables.subjects.c.subject == subject)
    ).first()
    return SubjectRow(**row._mapping) if row else None


def time_points_of(session: Connection, trial: str, subject: str | None = None) -> tuple[TimePointRow, ...]:
    """Time points of a trial or of one subject, in order of subject and target date."""
    table = tables.time_points
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    rows = [TimePointRow(**row._mapping) for row in session.execute(query)]
    return tuple(sorted(rows, key=lambda one: (one.subject, one.target_on or one.acquired_on or "", one.time_point)))


def time_point_of(session: Connection, trial: str, subject: str, time_point: str) -> TimePointRow | None:
    """A time point of a subject, or None."""
    return next((one for one in time_points_of(session, trial, subject) if one.time_point == time_point), None)


def time_point_for(session: Connection, trial: str, subject: str, acquired: date) -> TimePointRow | None:
    """The expected time point whose window holds a date of acquisition, the nearer target first; else None."""
    day = acquired.isoformat()
    fitting = [
        one for one in time_points_of(session, trial, subject)
        if one.earliest_on is not None and one.latest_on is not None and one.earliest_on <= day <= one.latest_on
    ]
    return min(
        fitting,
        key=lambda one: (abs((date.fromisoformat(one.target_on or day) - acquired).days), one.target_on or ""),
        default=None,
    )


def consent_gap_of(session: Connection, trial: str, subject: str, acquired: date, scope: str) -> str | None:
    """Why an image acquired on a date is not covered by this subject's consent; None where it is."""
    table = tables.consents
    rows = session.execute(
        select(table).where(table.c.trial == trial, table.c.subject == subject).order_by(table.c.entry)
    ).all()
    given = [
        (date.fromisoformat(row.given_on), frozenset(row.scopes.split()), row.version) for row in rows if row.given_on
    ]
    ends = [date.fromisoformat(row.withdrawn_as_of) for row in rows if row.withdrawn_as_of]
    return consent_gap(given, min(ends, default=None), acquired, scope)


def lock_signatures_of(session: Connection, trial: str, cut: str) -> tuple[tuple[str, str, str], ...]:
    """(signed as, person, entry id) of the signatures on the lock of a cut so far."""
    table = tables.lock_signatures
    rows = session.execute(
        select(table).where(table.c.trial == trial, table.c.cut == cut).order_by(table.c.entry)
    )
    return tuple((row.signed_as, row.person, row.entry_id) for row in rows)

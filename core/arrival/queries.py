"""Questions about images: series in force, cases, dispositions, refusals; and a series with its pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import FileDataset
from sqlalchemy import Connection, Row, select

from audit.vocabulary.imaging import CheckedRule
from audit.vocabulary.registry import ObjectRef
from core.arrival import projections as tables
from core.arrival.manifest import Manifest, load_manifest
from core.arrival.rules import SERIES_REFUSALS
from core.dicom.reading import REASONS, read_object
from core.errors import NotFound, RecordDamaged
from core.objects import ObjectStore, owner
from core.policy.state import Actor, Facts
from core.projection import from_reference
from core.trials.queries import facts_for, signed_charter, time_point_of

READING = frozenset({"in_read", "read", "adjudicated", "frozen"})


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A stored series as it is now. `accepted` says that the last disposition accepts it and that it is not held.

    `reassigned` is the entry that took it out of its place (TRIAL 3, corrections); `corrects` the series for which this
    one was written. `closed_by` is the incident of identifiers left in it; `emptied` when they were destroyed.
    """

    trial: str
    series: str
    study: str
    subject: str
    site: str
    time_point: str
    modality: str
    acquired_on: str
    scanner: str
    charter_version: str
    instances: int
    bytes: int
    manifest: ObjectRef
    manifest_sha256: str
    content_sha256: str
    sent_by: str
    received_at: str
    edition: int
    held: str | None
    case_id: str | None
    disposition: str | None
    disposed_by: str | None
    disposed_reason: str | None
    disposed_entry: int | None
    reassigned: str | None
    copy_due: bool
    corrects: str | None
    closed_by: str | None
    emptied: bool
    entry_id: str
    entry: int

    @property
    def accepted(self) -> bool:
        return self.disposition == "accepted" and self.held is None and self.reassigned is None


@dataclass(frozen=True, slots=True)
class CaseRow:
    """The check of one series."""

    case_id: str
    trial: str
    series: str
    study: str
    subject: str
    time_point: str
    modality: str
    charter_version: str
    manifest_sha256: str
    broken: int
    rules: tuple[CheckedRule, ...]
    checked_at: str
    entry: int


@dataclass(frozen=True, slots=True)
class DispositionRow:
    """One signed disposition; the last of a case counts."""

    trial: str
    case_id: str
    series: str
    subject: str
    time_point: str
    modality: str
    disposition: str
    reason: str
    not_met: str
    person: str
    at: str
    entry_id: str
    entry: int


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """Something that was kept out or recognised: kind files, series, conflict or duplicate."""

    trial: str
    intake: str
    kind: str
    code: str
    count: int
    subject: str | None
    time_point: str | None
    modality: str | None
    series: str | None
    at: str
    entry: int
    part: int


def _series(row: Row[tuple[object, ...]]) -> SeriesRow:
    values = dict(row._mapping)
    return SeriesRow(**values | {"manifest": from_reference(values["manifest"])})


def series_known(session: Connection, trial: str, series: str) -> SeriesRow | None:
    """A stored series of a trial by the trial's own UID, or None."""
    table = tables.series_table
    row = session.execute(select(table).where(table.c.trial == trial, table.c.series == series)).first()
    return _series(row) if row else None


def the_series(session: Connection, trial: str, series: str) -> SeriesRow:
    """A stored series. Raises NotFound."""
    row = series_known(session, trial, series)
    if row is None:
        raise NotFound(f"Trial {trial} holds no series {series}.", next_step="List them with `countersign qc list`.")
    return row


def series_of_trial(
    session: Connection, trial: str, *, subject: str | None = None, time_point: str | None = None,
    reassigned: bool = False,
) -> tuple[SeriesRow, ...]:
    """Every stored series, of one subject and time point where given, in order of subject, date and modality.

    Those that a correction took out of their place are left out unless asked for.
    """
    table = tables.series_table
    query = select(table).where(table.c.trial == trial)
    if not reassigned:
        query = query.where(table.c.reassigned.is_(None))
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if time_point is not None:
        query = query.where(table.c.time_point == time_point)
    rows = session.execute(query.order_by(table.c.subject, table.c.acquired_on, table.c.modality, table.c.series))
    return tuple(_series(row) for row in rows)


def series_of(session: Connection, trial: str, subject: str, time_point: str) -> tuple[SeriesRow, ...]:
    """The series of a time point that count or may come to count: rejected ones are left out."""
    found = series_of_trial(session, trial, subject=subject, time_point=time_point)
    return tuple(row for row in found if row.disposition != "rejected")


def accepted_series(
    session: Connection, trial: str, subject: str, time_point: str, modality: str | None = None
) -> tuple[SeriesRow, ...]:
    """The accepted series of a time point, of one modality where given."""
    found = series_of_trial(session, trial, subject=subject, time_point=time_point)
    return tuple(row for row in found if row.accepted and modality in (None, row.modality))


def manifest_of(objects: ObjectStore, row: SeriesRow) -> Manifest:
    """The manifest of a stored series, digest checked."""
    return load_manifest(objects, row.trial, row.subject, row.manifest, row.manifest_sha256)


def load_series(session: Connection, objects: ObjectStore, trial: str, series: str) -> list[FileDataset]:
    """The data sets of a stored series, decrypted, every digest checked.

    Raises:
        NotFound: no such series, or its subject was erased.
        RecordDamaged: an object is not what the manifest names.
    """
    row = the_series(session, trial, series)
    found: list[FileDataset] = []
    for line in manifest_of(objects, row).instances:
        # The ledger names the manifest's digest, the manifest that of these stored bytes: they were read whole once.
        dataset = read_object(objects.get(line.object, subject=owner(trial, row.subject)), known=True)
        if str(dataset.SOPInstanceUID) != line.uid:
            raise RecordDamaged(f"An instance of series {series} is not the one that was recorded.")
        found.append(dataset)
    return found


def key_ref(session: Connection, trial: str) -> ObjectRef | None:
    """Where the trial's de-identification key lies, or None before the first intake."""
    row = session.execute(select(tables.keys.c.key_ref).where(tables.keys.c.trial == trial)).first()
    return from_reference(row.key_ref) if row else None


def _case(row: Row[tuple[object, ...]]) -> CaseRow:
    values = dict(row._mapping)
    return CaseRow(**values | {"rules": tuple(CheckedRule(**line) for line in json.loads(values["rules"]))})


def case_of(session: Connection, trial: str, case: str) -> CaseRow:
    """A case of a trial. Raises NotFound."""
    table = tables.cases
    row = session.execute(select(table).where(table.c.trial == trial, table.c.case_id == case)).first()
    if row is None:
        raise NotFound(f"Trial {trial} has no case {case}.", next_step="List them with `countersign qc list`.")
    return _case(row)


def cases_of(session: Connection, trial: str, *, undisposed: bool = False) -> tuple[tuple[CaseRow, SeriesRow], ...]:
    """Cases with their series, oldest first; only those without a disposition where asked."""
    rows = {row.series: row for row in series_of_trial(session, trial, reassigned=True)}
    table = tables.cases
    found = [_case(row) for row in session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry))]
    pairs = [(case, rows[case.series]) for case in found]
    return tuple(
        pair for pair in pairs if not undisposed or (pair[1].disposition is None and pair[1].reassigned is None))


def dispositions_of(session: Connection, trial: str) -> tuple[DispositionRow, ...]:
    """Every signed disposition of a trial, in order; for tables A3 and A12."""
    table = tables.dispositions
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry))
    return tuple(DispositionRow(**row._mapping) for row in rows)


def ai_shown_of(session: Connection, trial: str, case: str, person: str) -> dict[str, int]:
    """The AI runs that a person was shown beside a case, each with the entry that says so, in order."""
    table = tables.ai_shown
    rows = session.execute(
        select(table.c.run, table.c.entry)
        .where(table.c.trial == trial, table.c.case_id == case, table.c.person == person)
        .order_by(table.c.entry, table.c.run))
    return {row.run: row.entry for row in rows}


def refusals_of(session: Connection, trial: str, kind: str | None = None) -> tuple[RefusalRow, ...]:
    """What was kept out of a trial or recognised, in order; for tables A3 and A12."""
    table = tables.refusals
    query = select(table).where(table.c.trial == trial)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    rows = session.execute(query.order_by(table.c.entry, table.c.part))
    return tuple(RefusalRow(**row._mapping) for row in rows)


def why_in_words(code: str) -> str:
    """What a code of a refusal means, for whoever sent the images; empty where the code says it itself."""
    return SERIES_REFUSALS.get(code) or REASONS.get(code, "")


def completed_time_points(session: Connection, trial: str) -> frozenset[tuple[str, str]]:
    """(subject, time point) whose expected modalities have all been received."""
    table = tables.completed
    rows = session.execute(select(table.c.subject, table.c.time_point).where(table.c.trial == trial))
    return frozenset((row.subject, row.time_point) for row in rows)


def baseline_scanner(session: Connection, row_trial: str, subject: str, modality: str, before: str) -> str | None:
    """The scanner of this subject's first series of a modality, acquired before a day; None where there is none."""
    for row in series_of_trial(session, row_trial, subject=subject):
        if row.modality == modality and row.acquired_on < before and row.disposition != "rejected":
            return row.scanner
    return None


def lacking_modalities(rows: Sequence[SeriesRow], expected: Sequence[str], *, accepted: bool) -> tuple[str, ...]:
    """Which of the expected modalities have no series (no accepted one, where asked)."""
    present = {row.modality for row in rows if (row.accepted if accepted else row.disposition != "rejected")}
    return tuple(modality for modality in expected if modality not in present)


def quality_facts(
    session: Connection, actor: Actor, action: str, trial: str, series: SeriesRow | None = None,
    relations: frozenset[str] = frozenset(),
) -> Facts:
    """Facts of an act on a series or case."""
    if series is not None and series.sent_by == actor.user:
        relations |= {"own_upload"}
    site = series.site if series else None
    return facts_for(session, actor, action, trial, relations=relations, site=site)


def time_point_in_read(session: Connection, row: SeriesRow) -> bool:
    """True when reads of the series' time point have begun."""
    point = time_point_of(session, row.trial, row.subject, row.time_point)
    return point is not None and point.state in READING


def copies_due(session: Connection, trial: str) -> tuple[SeriesRow, ...]:
    """Series that a correction took out of their place and for which the worker has not written another one yet."""
    return tuple(row for row in series_of_trial(session, trial, reassigned=True) if row.copy_due)


def unanswered_conflicts(session: Connection, trial: str) -> tuple[RefusalRow, ...]:
    """The alarm: other content came under a stored UID, and nobody has disposed of that series since."""
    rows = {row.series: row for row in series_of_trial(session, trial)}
    return tuple(
        one for one in refusals_of(session, trial, "conflict")
        if one.series in rows and (rows[one.series].disposed_entry or 0) < one.entry
    )


@dataclass(frozen=True, slots=True)
class OpenQuery:
    """A series that waits for its site's answer: what was asked, by whom, and which rules were not met."""

    series: SeriesRow
    reason: str
    asked_at: str
    asked_by: str
    not_met: tuple[str, ...]
    entry: int


def open_queries(session: Connection, trial: str) -> tuple[OpenQuery, ...]:
    """Every query that no new version and no other disposition has answered yet, oldest first."""
    given = {row.entry: row for row in dispositions_of(session, trial)}
    found = [
        OpenQuery(row, asked.reason, asked.at, asked.person, tuple(asked.not_met.split()), asked.entry)
        for row in series_of_trial(session, trial)
        if row.disposition == "queried" and (asked := given.get(row.disposed_entry or -1)) is not None
    ]
    return tuple(sorted(found, key=lambda one: one.entry))


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A time point of which something was received and something expected was not, or was not accepted."""

    subject: str
    time_point: str
    lacking: tuple[str, ...]
    not_accepted: tuple[str, ...]


def incomplete_time_points(session: Connection, trial: str) -> tuple[Incomplete, ...]:
    """Time points with images whose modalities are not all there and accepted, for completeness and table A11."""
    charter = signed_charter(session, trial)
    if charter is None:
        return ()
    rows: dict[tuple[str, str], list[SeriesRow]] = {}
    for row in series_of_trial(session, trial):
        rows.setdefault((row.subject, row.time_point), []).append(row)
    found: list[Incomplete] = []
    for (subject, time_point), several in rows.items():
        scheduled = charter.charter.time_point(time_point)
        if scheduled is None:
            continue
        lacking = lacking_modalities(several, scheduled.modalities, accepted=False)
        unaccepted = lacking_modalities(several, scheduled.modalities, accepted=True)
        if unaccepted:
            found.append(Incomplete(subject, time_point, lacking, tuple(m for m in unaccepted if m not in lacking)))
    return tuple(found)

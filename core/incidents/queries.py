"""Questions about incidents: where each stands, what it concerns, and which copies may hold what it found."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from audit import store
from audit.entry import Entry
from audit.vocabulary.incidents import CopyAnswer
from audit.vocabulary.registry import ObjectRef
from core.arrival.queries import SeriesRow, series_of_trial, the_series
from core.corrections.queries import corrections_of, deliveries_of
from core.errors import NotFound
from core.incidents import projections as tables
from core.privacy.queries import copies_that_cover
from core.projection import from_reference


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An incident; `state` is open, nothing_kept, ordered, destroyed or certified."""

    incident: str
    trial: str
    source: str
    kind: str
    state: str
    subject: str | None
    time_point: str | None
    series: tuple[str, ...]
    places: tuple[str, ...]
    mark: str | None
    opened_by: str
    at: str
    id: str
    objects: int | None
    listing: ObjectRef | None
    digest: str | None
    ordered_by: str | None
    ordered_entry: int | None
    certified_by: str | None
    certified_entry: int | None
    entry: int


def _incident(row: Row[tuple[object, ...]]) -> IncidentRow:
    values = dict(row._mapping)
    listing = from_reference(str(values["listing"])) if values["listing"] else None
    return IncidentRow(**values | {
        "series": tuple(str(values["series"]).split()), "places": tuple(str(values["places"]).splitlines()),
        "listing": listing})


def incidents_of(session: Connection, trial: str | None = None) -> tuple[IncidentRow, ...]:
    """Incidents, oldest first."""
    table = tables.incidents
    query = select(table).order_by(table.c.entry)
    if trial is not None:
        query = query.where(table.c.trial == trial)
    return tuple(_incident(row) for row in session.execute(query))


def the_incident(session: Connection, trial: str, incident: str) -> IncidentRow:
    """An incident of a trial. Raises NotFound."""
    row = next((one for one in incidents_of(session, trial) if one.incident == incident), None)
    if row is None:
        raise NotFound(f"Trial {trial} has no incident {incident}.",
                       next_step="`countersign incident list` shows them.")
    return row


def related_series(session: Connection, trial: str, names: tuple[str, ...]) -> tuple[SeriesRow, ...]:
    """These series, what they stand for, and what stands for them: an identifier went wherever a copy was written."""
    rows = {one.series: one for one in series_of_trial(session, trial, reassigned=True)}
    found = {name: the_series(session, trial, name) for name in names}
    while True:
        more = {
            one.series: one for one in rows.values() if one.series not in found
            and (one.corrects in found or one.series in {each.corrects for each in found.values()})
        }
        if not more:
            return tuple(sorted(found.values(), key=lambda one: one.entry))
        found |= more


def quarantined_of(session: Connection, trial: str, names: frozenset[str]) -> tuple[ObjectRef, ...]:
    """What came under the UIDs of these series with other content, as it came: files with every header they had."""
    entries = store.entries
    rows = session.execute(select(entries.c.data).where(
        entries.c.action == "series.conflicted", entries.c.trial == trial).order_by(entries.c.seq))
    fields = [Entry.parse(bytes(row.data)).body["fields"] for row in rows]
    return tuple(ObjectRef(**ref) for one in fields if one["series"] in names for ref in one["quarantine"])


def copies_to_answer(session: Connection, row: IncidentRow) -> tuple[CopyAnswer, ...]:
    """Every copy on record that was taken while the series were in the house: exports, papers, deliveries, backups."""
    if not row.series or row.subject is None:
        return ()
    since = min(one.entry for one in related_series(session, row.trial, row.series))
    found = [CopyAnswer(copy_entry=str(one.entry), kind=one.kind, holder=one.holder, answer="")
             for one in copies_that_cover(session, row.trial, row.subject) if one.entry > since]
    backups = select(tables.backups).where(tables.backups.c.entry > since).order_by(tables.backups.c.entry)
    found += [CopyAnswer(copy_entry=str(one.entry), kind="backup", holder=one.holder, answer="")
              for one in session.execute(backups)]
    found += [CopyAnswer(copy_entry=str(taken.entry), kind="correction", holder=taken.person, answer="")
              for one in corrections_of(session, row.trial) for taken in deliveries_of(session, one.correction)
              if taken.entry > since]
    return tuple(found)

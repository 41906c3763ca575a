"""Questions about cuts, the lock of the data and the allocation; the data of a cut as they are now."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit.vocabulary.data_lock import OpenQuery
from audit.vocabulary.registry import ObjectRef
from core.arrival.queries import series_of_trial
from core.data_lock import projections as tables
from core.data_lock.rules import CutLine, belongs, read_listing
from core.errors import NotFound
from core.objects import ObjectStore
from core.projection import from_reference
from core.reads.queries import standing_finals
from core.trials.queries import subjects_of, time_points_of
from core.trials.rules import ALLOCATION
from core.two_persons import OneSignature, waiting


@dataclass(frozen=True, slots=True)
class CutRow:
    """A cut on record: what it holds by state, the queries open then, and how far it has come."""

    trial: str
    cut: str
    kind: str
    until: str
    as_of: int
    subjects: int
    states: tuple[tuple[str, str, int], ...]
    open_queries: tuple[OpenQuery, ...]
    listing: ObjectRef
    digest: str
    previous: str | None
    changed: int | None
    state: str
    person: str
    entry: int


@dataclass(frozen=True, slots=True)
class AllocationRow:
    """How far the allocation of a trial has come: `declared`, `imported` or `unblinded`, with what each step said."""

    state: str
    digest: str
    declared_id: str
    cut: str | None
    imported_id: str | None
    allocation: ObjectRef | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """The data of a cut as they are now; `as_of` is the newest entry that they rest on."""

    lines: tuple[CutLine, ...]
    open_queries: tuple[OpenQuery, ...]
    as_of: int


def gather(session: Connection, trial: str, until: str) -> Gathered:
    """What a cut of images until a day holds now.

    Every subject screened by then belongs to it, with the time points acquired or expected by then, each with its
    signed final. A query is open while the series it was asked about is neither accepted, rejected nor resubmitted.
    """
    finals = {(one.subject, one.time_point): one for one in standing_finals(session, trial)}
    subjects = [one for one in subjects_of(session, trial) if one.screened_on <= until]
    known = {one.subject for one in subjects}
    points = [one for one in time_points_of(session, trial)
              if one.subject in known and belongs(until, one.acquired_on, one.target_on)]
    lines = [CutLine(one.subject, "", one.state) for one in subjects]
    entries = [*(one.entry for one in subjects), *(one.entry for one in points)]
    for point in points:
        final = finals.get((point.subject, point.time_point))
        lines.append(CutLine(
            point.subject, point.time_point, point.state, point.acquired_on or "", final.id if final else ""))
        entries += [final.entry] if final else []
    queries = tuple(
        OpenQuery(case=one.case_id or one.series, entry=one.disposed_entry or one.entry)
        for one in series_of_trial(session, trial)
        if one.disposition == "queried" and one.subject in known and one.acquired_on <= until
    )
    return Gathered(tuple(sorted(lines)), queries, max([*entries, *(one.entry for one in queries)], default=0))


def cuts_of(session: Connection, trial: str) -> tuple[CutRow, ...]:
    """Every cut of a trial, oldest first."""
    table = tables.cuts
    found = []
    for row in session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry)):
        values = dict(row._mapping) | {
            "states": tuple(tuple(one) for one in json.loads(row.states)),
            "open_queries": tuple(OpenQuery(case=case, entry=entry) for case, entry in json.loads(row.open_queries)),
            "listing": from_reference(row.listing),
        }
        found.append(CutRow(**values))
    return tuple(found)


def the_cut(session: Connection, trial: str, cut: str) -> CutRow:
    """A cut of the trial. Raises NotFound."""
    row = next((one for one in cuts_of(session, trial) if one.cut == cut), None)
    if row is None:
        raise NotFound(f"Trial {trial} has no cut {cut}.",
                       next_step=f"Freeze it: countersign trial cut {trial} {cut} --until DAY --as DATA-MANAGER")
    return row


def cut_in(session: Connection, trial: str, *states: str, kind: str | None = None) -> CutRow | None:
    """The newest cut in one of these states, of this kind where given; else None."""
    found = [one for one in cuts_of(session, trial) if one.state in states and kind in (None, one.kind)]
    return found[-1] if found else None


def lines_of(objects: ObjectStore, cut: CutRow) -> tuple[CutLine, ...]:
    """What a cut lists, digest checked."""
    return read_listing(objects.get(cut.listing).decode())


def unlock_waiting(session: Connection, trial: str, reason: str, difference: str) -> OneSignature | None:
    """The first signature on this very unlock that a second may still name."""
    table = tables.unlocks
    row = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry.desc()).limit(1)).first()
    if row is None or (row.reason, row.difference) != (reason, difference):
        return None
    return waiting(OneSignature(row.id, row.entry, row.person, row.role, row.second))


def open_deviations(session: Connection, trial: str) -> tuple[str, ...]:
    """Deviations about a trial that are not closed, by id."""
    table = tables.deviations
    return tuple(session.execute(
        select(table.c.deviation).where(table.c.trial == trial).order_by(table.c.entry)).scalars())


def allocation_of(session: Connection, trial: str) -> AllocationRow | None:
    """How far the allocation has come; None before its digest is declared."""
    table = tables.allocations
    state: str | None = None
    made: AllocationRow | None = None
    for row in session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry)):
        after = ALLOCATION.get((state, row.word))
        if after is None:
            continue
        state = after
        if made is None:
            made = AllocationRow(state, row.digest, row.id, None, None, None)
        elif row.allocation is not None:
            made = AllocationRow(
                state, made.digest, made.declared_id, row.cut, row.id, from_reference(row.allocation))
        else:
            made = AllocationRow(state, made.digest, made.declared_id, made.cut, made.imported_id, made.allocation)
    return made

"""The coordinator's work-list and what became of each candidate."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from core.cohort import projections as tables
from core.errors import NotFound


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A candidate; `state` is candidate, selected, not_selected, eligible, not_eligible, or withdrawn.

    `stale` is the entry that corrected the images it rests on.
    """

    candidate: str
    trial: str
    subject: str
    study: str
    flagged: bool
    confidence: str
    lock: str
    run: str
    state: str
    decided_by: str | None
    reason: str | None
    decision_entry: int | None
    stale: int | None
    entry: int


def candidates_of(session: Connection, trial: str) -> tuple[CandidateRow, ...]:
    """Every candidate of a trial, oldest first. Not blinded: pages ask `worklist`."""
    table = tables.candidates
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry))
    return tuple(CandidateRow(**row._mapping) for row in rows)


def candidate_named(session: Connection, candidate: str) -> CandidateRow:
    """A candidate. Raises NotFound."""
    row = session.execute(select(tables.candidates).where(tables.candidates.c.candidate == candidate)).first()
    if row is None:
        raise NotFound(f"There is no candidate {candidate}.")
    return CandidateRow(**row._mapping)

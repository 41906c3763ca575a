"""What gates are asked: the facts of one opening, its criteria now, the board, who still signs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from core.errors import NotFound
from core.gates import projections as tables
from core.gates.rules import USES, Signed
from core.persons import suspect_keys


@dataclass(frozen=True, slots=True)
class GateRow:
    """A gate as the board shows it. `round` groups the signatures that are being collected."""

    gate: str
    trial: str
    use: int
    use_name: str
    endpoint: str | None
    scope: str
    lock: str
    model: str
    state: str
    says: str | None
    round: str
    requested_by: str
    opened_entry: int | None
    entry: int


@dataclass(frozen=True, slots=True)
class StopRow:
    """A suspension or halt of a gate."""

    gate: str
    kind: str
    cause: str
    says: str
    resumed: bool
    entry: int


@dataclass(frozen=True, slots=True)
class RecordedCriterion:
    """A criterion as an entry holds it; `at` is requested, opened or resumed."""

    at: str
    criterion: str
    state: str
    found: str
    wanted: str
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WaiverRow:
    """A waiver and who approved it."""

    waiver: str
    trial: str
    use: int
    criterion: str
    owner: str
    because: str
    risk: str
    ends_on: str
    requested_by: str
    owner_by: str | None
    qa_by: str | None
    entry_id: str
    entry: int

    @property
    def approved(self) -> bool:
        """By QA and by the criterion's owner, who is another person in another role."""
        return self.qa_by is not None and self.owner_by is not None


def gates_of(session: Connection, trial: str) -> tuple[GateRow, ...]:
    """Every gate of a trial, in order of their requests."""
    table = tables.gates
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.use, table.c.gate))
    return tuple(GateRow(**row._mapping) for row in rows)


def open_gates(session: Connection, *, lock: str | None = None, trial: str | None = None) -> tuple[GateRow, ...]:
    """Gates recorded as open, of one lock or trial where given."""
    query = select(tables.gates).where(tables.gates.c.state == "open")
    if lock is not None:
        query = query.where(tables.gates.c.lock == lock)
    if trial is not None:
        query = query.where(tables.gates.c.trial == trial)
    return tuple(GateRow(**row._mapping) for row in session.execute(query.order_by(tables.gates.c.gate)))


def lock_state(session: Connection, lock: str) -> str | None:
    """locked, superseded, retired or recalled; None for a lock that is not on record."""
    found: str | None = session.execute(select(tables.locks.c.state).where(tables.locks.c.lock == lock)).scalar()
    return found


def waived_when_opened(session: Connection, gate: str) -> frozenset[str]:
    """The criteria that a gate's opening rested on a waiver for."""
    table = tables.criteria
    rows = session.execute(select(table.c.criterion).where(table.c.gate == gate, table.c.state == "waived"))
    return frozenset(rows.scalars())


def is_judged(session: Connection, trial: str, study: str) -> bool:
    """Whether a series of this study was disposed, or a model ran on it in quality control."""
    disposed = select(tables.studies.c.series).where(
        tables.studies.c.trial == trial, tables.studies.c.study == study, tables.studies.c.disposed_entry.is_not(None))
    ran = select(tables.qc_runs.c.run).where(tables.qc_runs.c.trial == trial, tables.qc_runs.c.study == study)
    return any(session.execute(query).first() is not None for query in (disposed, ran))


def gate_named(session: Connection, gate: str) -> GateRow:
    """A gate. Raises NotFound."""
    row = session.execute(select(tables.gates).where(tables.gates.c.gate == gate)).first()
    if row is None:
        raise NotFound(f"There is no gate {gate}.", next_step="`countersign gate status TRIAL` lists them.")
    return GateRow(**row._mapping)


def signed_of(session: Connection, gate: GateRow) -> tuple[Signed, ...]:
    """The signatures of the round that is open. A suspect one does not count: its role can sign again."""
    return tuple(Signed(row.signed_as, row.person, row.entry) for row in _round(session, gate, suspect=False))


def signature_ids(session: Connection, gate: GateRow) -> tuple[str, ...]:
    """Entry ids of the signatures of the round that is open."""
    return tuple(row.entry_id for row in _round(session, gate, suspect=False))


def suspect_signatures(session: Connection, gate: GateRow) -> tuple[int, ...]:
    """Entries of the signatures that opened or resumed this gate and are suspect now."""
    return tuple(row.entry for row in _round(session, gate, suspect=True))


def _round(session: Connection, gate: GateRow, *, suspect: bool) -> list[Any]:
    table, marks = tables.signatures, suspect_keys(session)
    rows = session.execute(
        select(table).where(table.c.gate == gate.gate, table.c.round == gate.round).order_by(table.c.entry))
    return [row for row in rows if (row.kid in marks and row.entry >= (marks[row.kid].suspect_from or 0)) is suspect]


def signatures_of(session: Connection, gate: str) -> tuple[tuple[str, Signed], ...]:
    """(purpose, signature) of every round of a gate, in order."""
    table = tables.signatures
    rows = session.execute(select(table).where(table.c.gate == gate).order_by(table.c.entry))
    return tuple((row.purpose, Signed(row.signed_as, row.person, row.entry)) for row in rows)


def stops_of(session: Connection, gate: str) -> tuple[StopRow, ...]:
    """Suspensions and halts, oldest first."""
    table = tables.stops
    rows = session.execute(select(table).where(table.c.gate == gate).order_by(table.c.entry))
    return tuple(StopRow(**row._mapping) for row in rows)


def waivers_of(session: Connection, trial: str) -> tuple[WaiverRow, ...]:
    """Waivers of a trial."""
    table = tables.waivers
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.waiver))
    return tuple(WaiverRow(**row._mapping) for row in rows)


def waiver_named(session: Connection, waiver: str) -> WaiverRow:
    """A waiver. Raises NotFound."""
    row = session.execute(select(tables.waivers).where(tables.waivers.c.waiver == waiver)).first()
    if row is None:
        raise NotFound(f"There is no waiver {waiver}.")
    return WaiverRow(**row._mapping)


def criteria_recorded(session: Connection, gate: str) -> tuple[RecordedCriterion, ...]:
    """Criteria as they stood when the gate was requested, opened and resumed, in order."""
    table = tables.criteria
    rows = session.execute(
        select(table).where(table.c.gate == gate).order_by(table.c.entry, table.c.position))
    return tuple(
        RecordedCriterion(row.at, row.criterion, row.state, row.found, row.wanted, tuple(json.loads(row.entries)))
        for row in rows)


def use_named(name: str) -> int:
    """The number of a use by name. Raises NotFound."""
    for number, known in USES.items():
        if known == name or str(number) == name:
            return number
    raise NotFound(f"There is no AI use {name}; uses: {', '.join(USES.values())}.")

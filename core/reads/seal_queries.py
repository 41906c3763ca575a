"""Questions about seals: which are awaited, which are closed, and with what key they opened."""

from __future__ import annotations

from sqlalchemy import Connection, select

from audit import store
from core.reads import projections as tables
from core.reads import queries
from core.reads.state import AI_SLOT, Task


def all_seals_in(session: Connection, trial: str, subject: str, time_point: str) -> bool:
    """Whether every required seal of a time point is committed: each human slot's, and the AI's if it began."""
    found = queries.current_tasks(session, trial, subject, time_point)
    return bool(found) and not seals_awaited(session, trial, subject, time_point)


def seals_awaited(session: Connection, trial: str, subject: str, time_point: str) -> tuple[str, ...]:
    """Slots of a time point whose seal is required and not in."""
    found = queries.current_tasks(session, trial, subject, time_point)
    sealed = {each.slot for each in found if each.locked}
    awaited = {each.slot for each in found if each.slot == AI_SLOT} | (set(found[-1].slots) if found else set())
    return tuple(sorted(awaited - sealed))


def seal_of(
    session: Connection, trial: str, subject: str, time_point: str, slot: str, lock: str | None = None
) -> tuple[str, str] | None:
    """(id, commitment) of the seal of a slot's locked read of a time point; of the AI's by this model lock, where the
    time point was measured again by another one."""
    here = queries.current_tasks(session, trial, subject, time_point)
    if lock is not None:
        every = queries.tasks_of(session, trial, subject, time_point)
        here = [each for each in every if each.lock == lock and each.state != "withdrawn"] or here
    found = [each for each in here if each.slot == slot and each.locked]
    if not found:
        return None
    table = tables.seals
    row = session.execute(select(table.c.sealed, table.c.sealed_commit).where(table.c.sealed == found[-1].sealed)).one()
    return row.sealed, row.sealed_commit


def read_of_seal(session: Connection, sealed: str) -> Task | None:
    """The read that a seal locked; None for a seal of own marks."""
    row = session.execute(select(tables.tasks.c.assignment).where(tables.tasks.c.sealed == sealed)).first()
    return queries.task(session, row.assignment) if row is not None else None


def key_of_opened(session: Connection, sealed: str) -> str | None:
    """The key of a seal as its `read.opened` gives it, base64; None while it is closed."""
    table = tables.tasks
    seq = session.execute(select(table.c.opened_entry).where(table.c.sealed == sealed)).scalar()
    entry = store.entry_at(session, seq) if seq is not None else None
    return str(entry.body["fields"]["key"]) if entry is not None else None


def sealed_time_points(session: Connection, trial: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """(subject, time point) -> ids of the seals of locked reads that are not open, marks included."""
    locked = {each.assignment: each for each in queries.tasks_of(session, trial) if each.locked}
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in queries.seals_of(session, locked):
        if not row.open:
            task_of = locked[row.assignment]
            key = (task_of.subject, task_of.time_point)
            found[key] = (*found.get(key, ()), row.sealed)
    return found

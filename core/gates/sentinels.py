"""The daily sentinel set of a lock in use: when it is due, when a missed one suspends, what was found last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from core.gates import projections as tables

# A superseded lock serves what it began (validation/design/0113), and is watched as long as it does.
IN_USE = ("locked", "superseded")


@dataclass(frozen=True, slots=True)
class Watch:
    """A lock in use and its set. Days are days of UTC; `watched_from` is the first opening of a gate with this lock.

    `declared` is the id of the entry that states the set, None where nobody did; `same` what the last asking found,
    None before the first. `entry` is the one that shows the present state.
    """

    lock: str
    watched_from: date
    declared: str | None
    number: int
    checked_on: date | None
    same: bool | None
    entry: int

    def since(self, cases: int) -> date:
        """The last day for which a set of enough cases was answered, or the day the watch began."""
        return self.checked_on if self.checked_on is not None and self.number >= cases else self.watched_from

    def missed_days(self, today: date, cases: int) -> int:
        """Whole days, before this one, on which the set was not asked."""
        return max(0, (today - self.since(cases)).days - 1)

    def due(self, today: date) -> bool:
        """True where a declared set was not asked today, nor was its lock first used today."""
        return self.declared is not None and (self.checked_on is None or self.checked_on < today)


def watches(session: Connection) -> tuple[Watch, ...]:
    """Every lock for which a gate was ever opened and that is neither retired nor recalled."""
    table, locks = tables.sentinels, tables.locks
    rows = session.execute(
        select(table).join(locks, locks.c.lock == table.c.lock).where(
            locks.c.state.in_(IN_USE), table.c.watched_from.is_not(None)).order_by(table.c.lock))
    return tuple(_watch(row) for row in rows)


def watch_of(session: Connection, lock: str) -> Watch | None:
    """The watch over one lock; None before its first gate opened."""
    return next((one for one in watches(session) if one.lock == lock), None)


def set_of(session: Connection, lock: str) -> int | None:
    """The entry that declares the set of a lock, whether or not it is in use; None where nobody did."""
    table = tables.sentinels
    found = session.execute(select(table.c.declared_entry).where(table.c.lock == lock)).scalar()
    return int(found) if found is not None else None


def _watch(row: object) -> Watch:
    def day(text: str | None) -> date | None:
        return date.fromisoformat(text) if text else None

    began = day(row.watched_from)  # type: ignore[attr-defined]
    assert began is not None  # asked for
    return Watch(row.lock, began, row.declared, row.number, day(row.checked_on), row.same,  # type: ignore[attr-defined]
                 row.entry)  # type: ignore[attr-defined]

"""The state of the house as of any entry or time: people, trials, gates, time points and models as they stood then.

Nothing is kept for it. The entries up to that point are folded anew into tables of their own, which are asked by the
same queries as the live ones and then thrown away; so the answer rests on the record alone, and costs what it folds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from audit import proofs, store
from audit.query import QueryError, parse
from core.access.queries import everybody, grants_of
from core.clock import in_words
from core.errors import UnusableInput
from core.gates.queries import gates_of, stops_of
from core.ledger_conditions import Trials
from core.projection import folded
from core.trials.queries import charters_of, sites_of, time_points_of, trials_known
from models_registry.queries import locks_known, versions_known

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.work import Desk

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """Tables as they stood after entry `seq`. `folded` entries were read for it, in `seconds`."""

    seq: int
    recorded_at: str
    root: str
    folded: int
    seconds: float
    tables: dict[str, list[Row]]

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def state_as_of(
    desk: Desk, as_of: str, *, tables: tuple[str, ...] = (), trials: Trials = None, most: int | None = None
) -> State:
    """What the record says of a moment.

    Args:
        as_of: an entry number, or a UTC date, minute or second, which counts to its end, as `as-of:` in a question.
        tables: which of `TABLES`; none for all.
        trials: the trials that may be read (None among them for the house), None for everything.
        most: refuse to fold more entries than this.

    Raises:
        UnusableInput: no such moment or table, nothing was recorded by then, or more than `most` to fold.
    """
    wanted = tables or tuple(TABLES)
    if unknown := [name for name in wanted if name not in TABLES]:
        raise UnusableInput(f"There is no table {unknown[0]}; there are {', '.join(TABLES)}.")
    begun = time.perf_counter()
    with moment(desk, as_of, most=most) as then:
        on = date.fromisoformat(then.recorded_at[:10])
        found = {name: list(TABLES[name](then.session, trials, on)) for name in wanted}
    return State(then.seq, then.recorded_at, then.root, then.folded, round(time.perf_counter() - begun, 3), found)


@dataclass(frozen=True, slots=True)
class Moment:
    """The tables as they stood after entry `seq`, for queries of every room; gone when the block ends."""

    session: Connection
    seq: int
    recorded_at: str
    root: str
    folded: int


@contextmanager
def moment(desk: Desk, as_of: str, *, most: int | None = None) -> Iterator[Moment]:
    """Fold the record up to a moment into tables of their own. Raises UnusableInput as `state_as_of` does."""
    with desk.reading() as session:
        last, ts = _last(session, as_of)
        if most is not None and last >= most:
            raise UnusableInput(
                f"{last + 1} entries are to be folded; a page folds at most {most}.",
                next_step=f"At the console: countersign ledger state --as-of {as_of}")
        root = proofs.root_at(store.StoredNodes(session), last + 1)
        with folded(store.read_entries(session, 0, last + 1)) as (then, count):
            yield Moment(then, last, in_words(ts), root.hex(), count)


def _last(session: Connection, as_of: str) -> tuple[int, int]:
    """Number and time of the newest entry that counts."""
    try:
        query = parse(f"as-of:{as_of.strip()}")
    except QueryError as error:
        raise UnusableInput(f"{as_of!r} is no moment: {error.fact}") from error
    size, _ = store.head(session)
    entries = store.entries
    newest = select(entries.c.seq, entries.c.ts).order_by(entries.c.seq.desc()).limit(1)
    if query.as_of_seq is not None:
        if query.as_of_seq >= size:
            raise UnusableInput(f"There is no entry {query.as_of_seq}; the ledger has {size}, the first is 0.")
        newest = newest.where(entries.c.seq == query.as_of_seq)
    else:
        newest = newest.where(entries.c.ts < query.as_of_us)
    row = session.execute(newest).first()
    if row is None:
        raise UnusableInput(f"Nothing was on record by {as_of}.", next_step="Ask for a later time.")
    return row.seq, row.ts


def _readable(trials: Trials, trial: str | None) -> bool:
    return trials is None or trial in trials


def _people(then: Connection, trials: Trials, on: date) -> Iterator[Row]:
    for person in everybody(then):
        held = [grant for grant in grants_of(then, person.user) if _readable(trials, grant.trial or None)]
        if held or _readable(trials, None):
            yield {
                "user": person.user, "printed_name": person.printed_name, "account": person.account.value,
                "roles": [{"role": one.role, "trial": one.trial or None, "site": one.site or None} for one in held],
            }


def _trials(then: Connection, trials: Trials, on: date) -> Iterator[Row]:
    for row in trials_known(then):
        if _readable(trials, row.trial):
            charters = charters_of(then, row.trial)
            approved = [one for one in charters if one.approved_entry is not None]
            yield {
                "trial": row.trial, "title": row.title, "stage": str(row.stage), "demonstration": row.demonstration,
                "charter": approved[-1].charter.version if approved else None,
                "charter_entry": approved[-1].approved_entry if approved else None,
                "signed_and_not_approved": [one.charter.version for one in charters if one.approved_entry is None],
                "sites": {site.site: site.state for site in sites_of(then, row.trial)},
            }


def _gates(then: Connection, trials: Trials, on: date) -> Iterator[Row]:
    for trial in trials_known(then):
        for gate in gates_of(then, trial.trial) if _readable(trials, trial.trial) else ():
            yield {
                "gate": gate.gate, "trial": gate.trial, "use": gate.use, "use_name": gate.use_name,
                "endpoint": gate.endpoint, "scope": gate.scope, "lock": gate.lock, "state": gate.state,
                "says": gate.says, "stops": [f"{one.kind}: {one.cause}" for one in stops_of(then, gate.gate)
                                             if not one.resumed], "entry": gate.entry,
            }


def _time_points(then: Connection, trials: Trials, on: date) -> Iterator[Row]:
    for trial in trials_known(then):
        for row in time_points_of(then, trial.trial) if _readable(trials, trial.trial) else ():
            yield {
                "trial": row.trial, "subject": row.subject, "time_point": row.time_point,
                "state": row.state_on(on, trial.stage),
                "target_on": row.target_on, "acquired_on": row.acquired_on, "reason": row.reason, "entry": row.entry,
            }


def _models(then: Connection, trials: Trials, on: date) -> Iterator[Row]:
    if not _readable(trials, None):
        return
    for version in versions_known(then):
        locks = [lock for lock in locks_known(then, model=version.model)
                 if lock.fields.model_version == version.version]
        yield {
            "model": version.model, "version": version.version, "state": version.state,
            "registered_by": version.registered_by, "locks": {lock.lock: lock.state for lock in locks},
            "entry": version.entry,
        }


TABLES: dict[str, Callable[[Connection, Trials, date], Iterator[Row]]] = {
    "people": _people, "trials": _trials, "gates": _gates, "time-points": _time_points, "models": _models,
}


def in_text(state: State) -> str:
    """The state for people to read, one row a line, and what it cost."""
    lines = [f"As of entry {state.seq}, recorded {state.recorded_at}", f"root {state.root}"]
    for name, rows in state.tables.items():
        lines += ["", f"{name} ({len(rows)})"]
        for row in rows:
            there = {key: value for key, value in row.items() if value not in (None, [], {})}
            lines.append("  " + "  ".join(f"{key} {_shown(value)}" for key, value in there.items()))
    lines += ["", f"{state.folded} entries were folded in {state.seconds} s; nothing was changed."]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    if isinstance(value, dict):
        if "role" in value:
            return str(value["role"]) + (f" in {value['trial']}" if value["trial"] else "") + (
                f" at {value['site']}" if value["site"] else "")
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    return str(value)

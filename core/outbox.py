"""Which effect follows which word: rows written with the entry, carried out at least once by a worker."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, Text, insert, select, update

from audit import store
from audit.vocabulary.registry import event_from
from core.errors import CountersignError
from core.projection import Recorded

if TYPE_CHECKING:
    from core.work import Desk

metadata = MetaData()
jobs = Table(
    "job", metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("effect", String(120), primary_key=True),
    Column("state", String(12), nullable=False, index=True),  # waiting, leased, done, failed
    Column("attempts", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("problem", Text),
)
ATTEMPTS = 5
LEASE_US = 15 * 60 * 1_000_000

Effect = Callable[["Desk", Recorded, Any], None]
_EFFECTS: dict[type, dict[str, Effect]] = defaultdict(dict)


def follows(word: type, name: str) -> Callable[[Effect], Effect]:
    """Register an effect of a word. It must be idempotent: it may run twice (at least once)."""

    def register(effect: Effect) -> Effect:
        _EFFECTS[word][name] = effect
        return effect

    return register


def enqueue(session: Connection, seq: int, event: Any, now: int) -> None:
    """Write the rows of all effects of an event, in its transaction."""
    for name in _EFFECTS[type(event)]:
        session.execute(
            insert(jobs).values(
                seq=seq, effect=name, state="waiting", attempts=0, not_before=now, lease_until=0, fence=0
            )
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed job; `fence` lets a late worker be told that it lost the lease."""

    seq: int
    effect: str
    fence: int


def claim(session: Connection, now: int, of: int | None = None) -> Lease | None:
    """Take the oldest job that is due or whose lease ran out (of one entry). The caller holds the write lock."""
    wanted = select(jobs).where(
        ((jobs.c.state == "waiting") & (jobs.c.not_before <= now))
        | ((jobs.c.state == "leased") & (jobs.c.lease_until < now))
    )
    if of is not None:
        wanted = wanted.where(jobs.c.seq == of)
    row = session.execute(wanted.order_by(jobs.c.seq, jobs.c.effect).limit(1)).mappings().first()
    if row is None:
        return None
    session.execute(
        update(jobs).where(jobs.c.seq == row["seq"], jobs.c.effect == row["effect"]).values(
            state="leased", attempts=row["attempts"] + 1, lease_until=now + LEASE_US, fence=row["fence"] + 1
        )
    )
    return Lease(row["seq"], row["effect"], row["fence"] + 1)


def settle(session: Connection, lease: Lease, now: int, problem: str | None = None) -> bool:
    """Mark a job done, or to be tried again later; False where the lease was lost to another worker."""
    row = session.execute(
        select(jobs).where(jobs.c.seq == lease.seq, jobs.c.effect == lease.effect, jobs.c.fence == lease.fence)
    ).mappings().first()
    if row is None:
        return False
    if problem is None:
        state, later = "done", now
    else:
        state = "failed" if row["attempts"] >= ATTEMPTS else "waiting"
        later = now + 2 ** row["attempts"] * 1_000_000
    session.execute(
        update(jobs).where(jobs.c.seq == lease.seq, jobs.c.effect == lease.effect).values(
            state=state, not_before=later, problem=problem
        )
    )
    return True


def work_once(desk: Desk, of: int | None = None) -> bool:
    """Claim one job (of one entry, where it is named), carry its effect out, settle it. False when nothing is due."""
    with desk.working_tables() as session:
        lease = claim(session, desk.clock.now(), of)
    if lease is None:
        return False
    with desk.reading() as session:
        entry = store.entry_at(session, lease.seq)
    if entry is None:
        return True
    event = event_from(entry.body["action"], entry.body["version"], entry.body["fields"])
    problem = None
    try:
        _EFFECTS[type(event)][lease.effect](desk, Recorded.of(entry), event)
    except CountersignError as error:
        problem = error.in_words()
    except Exception as error:  # noqa: BLE001  one effect must not stop the worker; the row keeps it
        problem = where(error)
    with desk.working_tables() as session:
        settle(session, lease, desk.clock.now(), problem)
    return True


def where(error: BaseException) -> str:
    """Kind and place of an error. Never its words: they may quote a header, a name or a text (RECORD 6)."""
    steps = [f"{Path(step.filename).name}:{step.lineno}" for step in traceback.extract_tb(error.__traceback__)[-3:]]
    return f"{type(error).__name__} at {', '.join(steps)}"


def drain(desk: Desk, most: int = 10_000, *, of: int | None = None) -> int:
    """Work until nothing is due. Returns how many jobs ran; none while appending is stopped, so that none fails.

    of: the number of the one entry whose effects are wanted now; the worker has the others.
    """
    done = 0
    if desk.stopped() is not None:
        return done
    while done < most and work_once(desk, of):
        done += 1
    return done

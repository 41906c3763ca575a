"""Tables of the end of a trial's data: cuts, first and second signatures of an unlock, the allocation's life."""

from __future__ import annotations

import json

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text, delete

from audit.vocabulary import data_lock as words
from audit.vocabulary.registry import word_of
from audit.vocabulary.trials import DatabaseLocked, DatabaseUnlocked
from audit.vocabulary.validation import DeviationClosed, DeviationOpened
from core.projection import Recorded, keep, metadata, projects, reference
from core.trials.rules import CUT

cuts = Table(
    "data_cut", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("cut", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("until", String(10), nullable=False),
    Column("as_of", Integer, nullable=False),
    Column("subjects", Integer, nullable=False),
    Column("states", Text, nullable=False),
    Column("open_queries", Text, nullable=False),
    Column("listing", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("previous", String(64)),
    Column("changed", Integer),
    Column("state", String(12), nullable=False),
    Column("person", String(120), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
unlocks = Table(
    "data_unlock", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("person", String(120), nullable=False),
    Column("role", String(32), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("difference", Text, nullable=False),
    Column("second", Boolean, nullable=False),
    Column("id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
allocations = Table(
    "trial_allocation", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("word", String(32), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("cut", String(64)),
    Column("allocation", Text),
    Column("person", String(120), nullable=False),
    Column("id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)

# Of a trial; what a trial is closed on must know of its deviations, whoever's table keeps the rest of them.
deviations = Table(
    "trial_open_deviation", metadata,
    Column("deviation", String(240), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("entry", Integer, nullable=False),
)


@projects(DeviationOpened)
def remember_deviation(session: Connection, entry: Recorded, event: DeviationOpened) -> None:
    if entry.trial is not None:
        keep(session, deviations, deviation=event.deviation, trial=entry.trial, entry=entry.seq)


@projects(DeviationClosed)
def forget_deviation(session: Connection, entry: Recorded, event: DeviationClosed) -> None:
    session.execute(delete(deviations).where(deviations.c.deviation == event.deviation))


@projects(words.CutFrozen)
def remember_cut(session: Connection, entry: Recorded, event: words.CutFrozen) -> None:
    keep(
        session, cuts, trial=entry.trial, cut=event.cut, kind=event.kind, until=event.until, as_of=event.as_of,
        subjects=event.subjects, states=json.dumps([[one.what, one.state, one.count] for one in event.states]),
        open_queries=json.dumps([[one.case, one.entry] for one in event.open_queries]),
        listing=reference(event.listing), digest=event.digest, previous=event.previous, changed=event.changed,
        state=CUT[None, "cut.frozen"], person=entry.actor, entry=entry.seq,
    )


@projects(words.DatabaseSoftLocked, words.DatabaseSoftLockReleased, DatabaseLocked)
def move_cut(
    session: Connection, entry: Recorded,
    event: words.DatabaseSoftLocked | words.DatabaseSoftLockReleased | DatabaseLocked,
) -> None:
    state = {
        words.DatabaseSoftLocked: "soft_locked", words.DatabaseSoftLockReleased: "withdrawn", DatabaseLocked: "locked",
    }[type(event)]
    session.execute(
        cuts.update().where(cuts.c.trial == entry.trial, cuts.c.cut == event.cut).values(state=state))


@projects(words.DatabaseUnlockRequested)
def remember_request(session: Connection, entry: Recorded, event: words.DatabaseUnlockRequested) -> None:
    _signed(session, entry, event.difference, second=False)


@projects(DatabaseUnlocked)
def unlock(session: Connection, entry: Recorded, event: DatabaseUnlocked) -> None:
    _signed(session, entry, event.difference, second=True)
    session.execute(
        cuts.update().where(cuts.c.trial == entry.trial, cuts.c.state == "locked").values(state="unlocked"))


def _signed(session: Connection, entry: Recorded, difference: str, *, second: bool) -> None:
    keep(
        session, unlocks, trial=entry.trial, person=entry.actor, role=entry.role, reason=entry.reason or "",
        difference=difference, second=second, id=entry.id, entry=entry.seq,
    )


@projects(words.RandomisationDeclared, words.AllocationImported, words.UnblindingDone)
def remember_allocation(
    session: Connection, entry: Recorded,
    event: words.RandomisationDeclared | words.AllocationImported | words.UnblindingDone,
) -> None:
    keep(
        session, allocations, trial=entry.trial, word=word_of(event).name, digest=event.digest,
        cut=getattr(event, "cut", None),
        allocation=reference(event.allocation) if isinstance(event, words.AllocationImported) else None,
        person=entry.actor, id=entry.id, entry=entry.seq,
    )

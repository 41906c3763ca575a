"""What follows from two signatures about seals, and from the lock of the data."""

from __future__ import annotations

from audit.entry import from_base64
from audit.vocabulary import seals as words
from audit.vocabulary.trials import DatabaseLocked
from core.outbox import follows
from core.projection import Recorded
from core.reads import seal_queries
from core.reads.early_opening import open_now
from core.reads.ports import keeper_of
from core.work import Desk


@follows(words.SealKeyEnrolled, "wrap-seals")
def wrap_seals(desk: Desk, entry: Recorded, event: words.SealKeyEnrolled) -> None:
    """The second signature puts the recovery key in force."""
    if event.first is not None:
        keeper_of(desk.signer).put_in_force(from_base64(event.public_key), entry.id)


@follows(words.OpeningOrdered, "open-reads")
def open_as_ordered(desk: Desk, entry: Recorded, event: words.OpeningOrdered) -> None:
    """The second signature opens exactly the seals that both name."""
    if event.first is not None and entry.trial is not None:
        open_now(desk, entry.trial, event.subject, event.time_point, event.seals)


@follows(DatabaseLocked, "open-reads")
def open_at_lock(desk: Desk, entry: Recorded, event: DatabaseLocked) -> None:
    """Once the data are locked nothing stays unread under seal (RECORD 5)."""
    if entry.trial is None:
        return
    with desk.reading() as session:
        waiting = seal_queries.sealed_time_points(session, entry.trial)
    for (subject, time_point), seals in sorted(waiting.items()):
        open_now(desk, entry.trial, subject, time_point, seals)

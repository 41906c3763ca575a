"""What follows from a seal: when the last required one is in, all of a time point open at once and are compared."""

from __future__ import annotations

from audit.vocabulary import reads as words
from core.outbox import follows
from core.projection import Recorded
from core.reads import queries
from core.reads.opening import open_reads
from core.work import Desk


@follows(words.ReadSealed, "open-reads")
def open_when_all_are_in(desk: Desk, entry: Recorded, event: words.ReadSealed) -> None:
    """A second commit after the seal's own: the signer releases what it finds committed (RECORD 5)."""
    with desk.reading() as session:
        task = queries.task(session, event.assignment)
    open_reads(desk, task.trial, task.subject, task.time_point)


@follows(words.ReadWithdrawn, "open-reads")
def open_without_ai(desk: Desk, entry: Recorded, event: words.ReadWithdrawn) -> None:
    """A withdrawn AI read may have been the last that was awaited."""
    with desk.reading() as session:
        task = queries.task(session, event.assignment)
    open_reads(desk, task.trial, task.subject, task.time_point)


@follows(words.ImpactDecided, "open-reads")
def open_what_stands(desk: Desk, entry: Recorded, event: words.ImpactDecided) -> None:
    """Sealed reads that stand after a correction open as if it had not been."""
    if entry.trial is not None:
        open_reads(desk, entry.trial, event.subject, event.time_point)

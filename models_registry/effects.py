"""What follows from a request: the worker runs everything that waits under its lock."""

from __future__ import annotations

from audit.vocabulary.models import RunRequested
from audit.vocabulary.reads import ReadOpened
from core.outbox import follows
from core.projection import Recorded
from core.work import Desk


@follows(RunRequested, "run-inference")
def run_what_waits(desk: Desk, entry: Recorded, event: RunRequested) -> None:
    """One worker process serves all waiting runs of the lock; the other requests' effects then find nothing to do."""
    from models_registry.images import ArrivalImages
    from models_registry.running import run_waiting

    run_waiting(desk, ArrivalImages(), event.lock)


@follows(ReadOpened, "open-results")
def open_what_was_enclosed(desk: Desk, entry: Recorded, event: ReadOpened) -> None:
    """Masks and reports of the AI's blinded read come out of its seal."""
    from core.reads.seal_queries import read_of_seal
    from core.reads.state import AI_SLOTS
    from models_registry.blinded import open_results

    with desk.reading() as session:
        task = read_of_seal(session, event.sealed)
    if task is not None and task.slot in AI_SLOTS:
        open_results(desk, task.trial, task.subject, task.time_point)

"""What follows from a request: the worker runs everything that waits under its lock."""

from __future__ import annotations

from audit.vocabulary.models import RunRequested
from core.outbox import follows
from core.projection import Recorded
from core.work import Desk


@follows(RunRequested, "run-inference")
def run_what_waits(desk: Desk, entry: Recorded, event: RunRequested) -> None:
    """One worker process serves all waiting runs of the lock; the other requests' effects then find nothing to do."""
    from models_registry.images import ArrivalImages
    from models_registry.running import run_waiting

    run_waiting(desk, ArrivalImages(), event.lock)

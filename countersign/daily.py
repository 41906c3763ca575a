"""What the worker looks after without being asked by an entry: lost preconditions, drift."""

from __future__ import annotations

from core.drift.usecases import evaluate_due
from core.gates.usecases import enforce
from core.work import Desk
from models_registry.sentinel import check_due


def look_after(desk: Desk, *, sets: bool = True) -> list[str]:
    """Do what is due today; says what was done. A second call finds nothing to do.

    Sentinel sets (`sets`: they take long, and one whose worker fails stays due) and drift first: what they find
    suspends by itself. Then every open gate is held against its lasting criteria.
    """
    said: list[str] = []
    if desk.stopped() is not None:
        return said
    if sets:
        said += [f"sentinel set of {one.lock}: {one.says}" for one in check_due(desk)]
    evaluated = evaluate_due(desk)
    if evaluated:
        said.append(f"drift evaluated {evaluated} times")
    suspended = enforce(desk)
    if suspended:
        said.append(f"{suspended} gates suspended")
    return said

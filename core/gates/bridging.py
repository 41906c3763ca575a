"""A model that changes mid-trial: plans of bridging, and which lock may serve a subject's series (TRIAL 2).

One lock per endpoint per analysis; a subject never has two locks in one series: the new lock serves only subjects
without earlier time points, or all of a subject's are recomputed, the earliest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from core.errors import NotFound
from core.gates import projections as tables

STRATEGIES: Mapping[str, str] = {
    "new_subjects": "the new lock serves only subjects without earlier time points",
    "recompute": "all earlier time points of a subject are measured again, the earliest first",
}
USES: Mapping[str, int] = {"secondary": 3, "primary": 4}
SIGNERS = ("validation_lead", "qa_auditor")


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of bridging with its signatures and, once the same cases were compared, its verdict."""

    plan: str
    trial: str
    use: str
    endpoint: str
    from_lock: str
    to_lock: str
    strategy: str
    planned_by: str
    validation_lead_by: str | None
    qa_auditor_by: str | None
    verdict: str | None
    judged_entry: int | None
    entry_id: str
    entry: int

    @property
    def in_force(self) -> bool:
        """Signed by statistician, validation lead and QA."""
        return self.validation_lead_by is not None and self.qa_auditor_by is not None

    @property
    def passed(self) -> bool:
        return self.in_force and self.verdict == "passed"


def plans_of(session: Connection, trial: str) -> tuple[Plan, ...]:
    """Plans of a trial, oldest first."""
    table = tables.bridgings
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry))
    return tuple(Plan(**row._mapping) for row in rows)


def plan_named(session: Connection, plan: str) -> Plan:
    """A plan. Raises NotFound."""
    row = session.execute(select(tables.bridgings).where(tables.bridgings.c.plan == plan)).first()
    if row is None:
        raise NotFound(f"There is no bridging plan {plan}.", next_step="`countersign bridge list TRIAL` shows them.")
    return Plan(**row._mapping)


def predecessor(session: Connection, trial: str, use: int, endpoint: str | None, lock: str) -> str | None:
    """The lock whose gate for this use and endpoint opened last before this lock's first; None for the first lock."""
    table = tables.gates
    rows = session.execute(
        select(table.c.lock, table.c.opened_entry).where(
            table.c.trial == trial, table.c.use == use, table.c.endpoint == endpoint,
            table.c.opened_entry.is_not(None)).order_by(table.c.opened_entry)).all()
    own = min((row.opened_entry for row in rows if row.lock == lock), default=None)
    before = [row.lock for row in rows if row.lock != lock and (own is None or row.opened_entry < own)]
    return before[-1] if before else None


def series_refusal(
    lock: str, time_point: str, measured: Sequence[tuple[str, str]], recomputes: frozenset[str]
) -> str | None:
    """Why a lock may not measure a time point of a subject's series; None where it may.

    Args:
        lock: that is asked.
        time_point: to be measured.
        measured: (time point, lock) of the series' gated runs, in the order of the images' acquisition.
        recomputes: locks that this one follows under a passed plan that recomputes.
    """
    others = {one for _, one in measured if one != lock}
    if not others:
        return None
    foreign = sorted(others - recomputes)
    if foreign:
        return (f"This subject's series holds values of {', '.join(foreign)}; a subject never has two locks in one "
                "series.")
    own = {point for point, one in measured if one == lock}
    for point, _ in measured:
        if point == time_point:
            return None
        if point not in own:
            return f"Under the plan every earlier time point is measured again first; {point} is not."
    return None

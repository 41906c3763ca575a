"""How protocols, runs and deviations live, whose signature is next, and how a bound becomes a verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import sqrt

from core.quantities import Quantity

PROTOCOL: Mapping[tuple[str | None, str], str] = {
    (None, "protocol.drafted"): "draft",
    ("draft", "protocol.reviewed"): "draft",
    ("draft", "protocol.approved"): "draft",
    ("draft", "last signature"): "approved",
    ("approved", "newer version approved"): "superseded",
}
RUN: Mapping[tuple[str | None, str], str] = {
    (None, "validation.started"): "running",
    ("running", "validation.concluded"): "concluded",
    ("running", "validation.suspect"): "suspect",
    ("concluded", "validation.suspect"): "suspect",
    ("suspect", "validation.suspect"): "suspect",
}
DEVIATION: Mapping[tuple[str | None, str], str] = {
    (None, "deviation.opened"): "open",
    ("open", "deviation.closed"): "closed",
}
_PLACES = Decimal("0.0001")


def next_signature(asked: Sequence[str], given: Sequence[str]) -> str | None:
    """The signature ("role:meaning") that is next in a protocol; None when all are given.

    Raises:
        ValueError: what is given is no beginning of what is asked.
    """
    if list(asked[: len(given)]) != list(given):
        raise ValueError(f"signatures {list(given)} are no beginning of {list(asked)}")
    return asked[len(given)] if len(given) < len(asked) else None


# -- Numbers as the record holds them ------------------------------------------------------------------------------


def as_text(value: float, unit: str, *, towards: str = "near") -> str:
    """Decimal text with unit at four decimals; a bound is rounded to its worse side ("low" down, "high" up)."""
    rounding = {"low": ROUND_FLOOR, "high": ROUND_CEILING}.get(towards)
    exact = Decimal(repr(value))
    number = exact.quantize(_PLACES, rounding=rounding) if rounding else exact.quantize(_PLACES)
    return f"{number:f} {unit}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on one criterion, and the sentence that says why."""

    verdict: str
    says: str
    lost: bool = False


def judge(
    low: str, high: str, limits: tuple[Decimal, Decimal], judged_on: str, *, subjects: int, planned: int
) -> Judged:
    """Verdict on the 95 % interval [low, high] against limits; the point estimate plays no part.

    A bound that reaches the limit counts only at the planned number of subjects. An interval that lies wholly on the
    wrong side of a limit is `not_met` at any number; anything between is `insufficient_evidence` below the planned
    number and `not_met` at it.

    Args:
        low, high: interval as decimal text with unit.
        limits: lower and upper limit, infinite where there is none.
        judged_on: "lower", "upper" or "within".
    """
    lower, upper = Quantity.read(low).value, Quantity.read(high).value
    least, most = limits
    reached = {"lower": lower >= least, "upper": upper <= most, "within": lower >= least and upper <= most}[judged_on]
    lost = {"lower": upper < least, "upper": lower > most, "within": upper < least or lower > most}[judged_on]
    interval = f"[{low}, {high}] on {subjects} subjects"
    if reached and subjects >= planned:
        return Judged("met", f"{interval} reaches the limit.")
    if lost:
        return Judged("not_met", f"{interval} lies wholly outside the limit.", lost=True)
    if subjects < planned:
        return Judged(
            "insufficient_evidence",
            f"{interval}; {planned} subjects were planned, so this says too little "
            + ("although the bound reaches the limit." if reached else "and its bound does not reach the limit."),
        )
    return Judged("not_met", f"{interval} does not reach the limit.")


def overall(verdicts: Sequence[str]) -> str:
    """The verdict over parts: passed only if all passed; the gravest other one else. Sub-groups for information weigh
    nothing."""
    renamed = {"met": "passed", "not_met": "failed"}
    parts = [renamed.get(verdict, verdict) for verdict in verdicts if verdict != "for_information"]
    for grave in ("failed", "too_coarse", "insufficient_evidence", "not_executed"):
        if grave in parts:
            return grave
    return "passed" if parts else "not_executed"


def smallest_change_mm(resolution_mm: Decimal) -> Decimal:
    """The smallest change of a diameter that cells of this size can tell from none, in millimetres.

    Each end of a diameter lies anywhere within a cell (uniform, variance cell^2 / 12); a change is the difference of
    two diameters, and 1.96 sqrt(2) standard deviations are its 95 % repeatability (QIBA).
    """
    end_to_end = resolution_mm * Decimal(repr(sqrt(2 / 12)))
    return (end_to_end * Decimal("2.77")).quantize(Decimal("0.01"), rounding=ROUND_CEILING)


def resolves(resolution_mm: Decimal, limit: str) -> bool:
    """Whether cells of this size can judge an absolute limit such as "5 mm"."""
    return smallest_change_mm(resolution_mm) <= Quantity.read(limit).value

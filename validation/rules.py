"""How protocols, runs and deviations live, whose signature is next, and how a bound becomes a verdict. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
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
# The class of a run from a protocol that nobody approved: evidence of nothing, whatever is signed later.
EXPLORATORY = "exploratory"
RUN: Mapping[tuple[str | None, str], str] = {
    (None, "validation.started"): "running",
    (None, "validation.started exploratory"): "exploring",
    ("exploring", "validation.concluded"): EXPLORATORY,
    ("exploring", "validation.suspect"): "exploring",
    (EXPLORATORY, "validation.suspect"): EXPLORATORY,
    ("running", "validation.concluded"): "concluded",
    ("running", "validation.suspect"): "suspect",
    ("concluded", "validation.suspect"): "suspect",
    ("suspect", "validation.suspect"): "suspect",
}
# States in which a run waits for its verdict, and those of runs that never count.
GOING_ON = frozenset({"running", "exploring"})
NEVER_COUNTS = frozenset({"exploring", EXPLORATORY})
DEVIATION: Mapping[tuple[str | None, str], str] = {
    (None, "deviation.opened"): "open",
    ("open", "deviation.closed"): "closed",
}
CAPA: Mapping[tuple[str | None, str], str] = {
    (None, "capa.opened"): "open",
    ("open", "capa.closed"): "closed",
}
_PLACES = Decimal("0.0001")
# 1.96 sqrt(2): standard deviations of one measurement that two of them differ by in 95 of 100 (QIBA).
REPEATABILITY = Decimal("2.77")


def next_signature(asked: Sequence[str], given: Sequence[str]) -> str | None:
    """The signature ("role:meaning") that is next in a protocol; None when all are given.

    Raises:
        ValueError: what is given is no beginning of what is asked.
    """
    if list(asked[: len(given)]) != list(given):
        raise ValueError(f"signatures {list(given)} are no beginning of {list(asked)}")
    return asked[len(given)] if len(given) < len(asked) else None


# -- Changes -------------------------------------------------------------------------------------------------------

# What each class of change makes suspect, and what is to be done again (research: change classes C0 to C3).
CHANGES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "C0": ((), "nothing: text alone"),
    "C1": (("IQ",), "IQ; bit-equal output on the sentinel set is proved"),
    "C2": (("IQ", "OQ"), "IQ, OQ and equivalence of the results before and after (TOST)"),
    "C3": (("IQ", "OQ", "PQ"), "a new lock with IQ, OQ and full PQ; its gates begin at phase 1"),
}


# -- Review by exception ------------------------------------------------------------------------------------------

SAMPLED = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Exceptions:
    """The steps that a reviewer is shown one by one, in the run's order; `sampled` are there by the draw alone."""

    steps: tuple[str, ...]
    sampled: tuple[str, ...]


def to_review(
    done: Sequence[tuple[str, str, bool, bool]], seed: str, deviating: Set[str] = frozenset()
) -> Exceptions:
    """Every step that did not pass, deviates, is manual or concerns a high risk, and a tenth of the other passes.

    The tenth, rounded up, is drawn by SHA-256 of seed and name: the same for whoever draws again.

    Args:
        done: name, verdict, whether manual, whether one of its requirements is of high risk.
        seed: what nobody chose: the digest of the report.
        deviating: names of steps with a deviation.
    """
    must = {name for name, verdict, manual, high in done if verdict != "passed" or manual or high or name in deviating}
    rest = sorted((name for name, *_ in done if name not in must),
                  key=lambda name: hashlib.sha256(f"{seed}\x00{name}".encode()).digest())
    drawn = set(rest[: int((len(rest) * SAMPLED).to_integral_value(ROUND_CEILING))])
    order = [name for name, *_ in done]
    return Exceptions(tuple(n for n in order if n in must | drawn), tuple(n for n in order if n in drawn))


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


#: Sub-groups without a stated limit: shown, and too small to show anything.
WEIGHTLESS = frozenset({"for_information", "too_small"})


def overall(verdicts: Sequence[str]) -> str:
    """The verdict over parts: passed only if all passed; the gravest other one else. Sub-groups that are planned for no
    bound of their own weigh nothing."""
    renamed = {"met": "passed", "not_met": "failed"}
    parts = [renamed.get(verdict, verdict) for verdict in verdicts if verdict not in WEIGHTLESS]
    for grave in ("failed", "too_coarse", "insufficient_evidence", "not_executed"):
        if grave in parts:
            return grave
    return "passed" if parts else "not_executed"


def smallest_change_mm(resolution_mm: Decimal) -> Decimal:
    """The smallest change of a diameter that cells of this size can tell from none, in millimetres.

    Each end of a diameter lies anywhere within a cell (uniform, variance cell^2 / 12); a change is the difference of
    two diameters, and REPEATABILITY standard deviations are its 95 % limit.
    """
    end_to_end = resolution_mm * Decimal(repr(sqrt(2 / 12)))
    return (end_to_end * REPEATABILITY).quantize(Decimal("0.01"), rounding=ROUND_CEILING)


def resolves(resolution_mm: Decimal, limit: str) -> bool:
    """Whether cells of this size can judge an absolute limit such as "5 mm"."""
    return smallest_change_mm(resolution_mm) <= Quantity.read(limit).value

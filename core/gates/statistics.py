"""The three numbers a gate judges: an exact bound of a proportion, agreement of pairs, and its limits.

Written for the base installation (no scipy). Decisions against a limit are made on exact integers where the bound is
exact; the other estimates are computed in floats and rounded once, against AI, to three decimals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from statistics import NormalDist, fmean, stdev

_PLACES = Decimal("0.001")


def upper_tail_at_most(found: int, of: int, proportion: Decimal, tail: Decimal) -> bool:
    """True when P(X >= found) <= tail for X binomial(of, proportion), in exact integers.

    The exact (Clopper-Pearson) lower bound of found/of at two-sided confidence 1 - 2 tail is at least `proportion`
    if and only if this holds.
    """
    if found <= 0:
        return proportion <= 0
    numerator, denominator = proportion.as_integer_ratio()
    rest = denominator - numerator
    total = sum(math.comb(of, hits) * numerator**hits * rest ** (of - hits) for hits in range(found, of + 1))
    tail_numerator, tail_denominator = tail.as_integer_ratio()
    return bool(total * tail_denominator <= tail_numerator * denominator**of)


def exact_lower_bound(found: int, of: int, confidence_percent: Decimal) -> Decimal:
    """The exact lower confidence bound of a proportion, rounded down to three decimals.

    Raises:
        ValueError: no cases, or more found than there are.
    """
    if not 0 <= found <= of or of == 0:
        raise ValueError(f"{found} of {of} is no proportion.")
    tail = _tail(confidence_percent)
    low, high = 0, 1000
    while low < high:
        middle = (low + high + 1) // 2
        if upper_tail_at_most(found, of, Decimal(middle) * _PLACES, tail):
            low = middle
        else:
            high = middle - 1
    return Decimal(low) * _PLACES


def _tail(confidence_percent: Decimal) -> Decimal:
    return (100 - confidence_percent) / 200


@dataclass(frozen=True)
class Pair:
    """An AI value and a human value of the same thing, and the subject (cluster) it belongs to."""

    subject: str
    human: Decimal
    ai: Decimal


def concordance(pairs: Sequence[Pair]) -> float | None:
    """Lin's concordance correlation coefficient; None where all values are one number or there are too few."""
    if len(pairs) < 2:
        return None
    human, ai = [float(one.human) for one in pairs], [float(one.ai) for one in pairs]
    mean_human, mean_ai, size = fmean(human), fmean(ai), len(pairs)
    spread = sum((x - mean_human) ** 2 for x in human) / size + sum((y - mean_ai) ** 2 for y in ai) / size
    together = sum((x - mean_human) * (y - mean_ai) for x, y in zip(human, ai, strict=True)) / size
    bottom = spread + (mean_human - mean_ai) ** 2
    return None if bottom == 0 else 2 * together / bottom


def concordance_lower(pairs: Sequence[Pair], confidence_percent: Decimal) -> Decimal | None:
    """Lower bound of the concordance coefficient, clustered by subject; None with fewer than three subjects.

    Leave-one-subject-out jackknife of Fisher's z with Student's t on (subjects - 1) degrees of freedom: values of
    one subject are alike, so pairs are no independent evidence (research/validation.md 2).
    """
    subjects = {one.subject for one in pairs}
    whole = concordance(pairs)
    if len(subjects) < 3 or whole is None:
        return None
    without = [concordance([one for one in pairs if one.subject != subject]) for subject in sorted(subjects)]
    if any(one is None for one in without):
        return None
    count, z_whole = len(subjects), _fisher(whole)
    pseudo = [count * z_whole - (count - 1) * _fisher(one) for one in without if one is not None]
    error = stdev(pseudo) / math.sqrt(count)
    lower = math.tanh(fmean(pseudo) - student_quantile(1 - float(_tail(confidence_percent)), count - 1) * error)
    return Decimal(repr(lower)).quantize(_PLACES, rounding=ROUND_FLOOR)


def _fisher(coefficient: float) -> float:
    # Perfect agreement has no finite z; the clamp keeps the bound below 1.
    return math.atanh(max(-0.999999, min(0.999999, coefficient)))


def largest_difference_percent(pairs: Sequence[Pair], confidence_percent: Decimal) -> Decimal | None:
    """The larger of the two limits of agreement, in percent of the pair's mean, rounded up to three decimals.

    None with fewer than three pairs, or where a pair's mean is zero while its values differ.
    """
    if len(pairs) < 3:
        return None
    differences = []
    for one in pairs:
        mean = (one.human + one.ai) / 2
        if mean == 0:
            if one.human != one.ai:
                return None
            differences.append(0.0)
        else:
            differences.append(float((one.ai - one.human) * 100 / mean))
    factor = NormalDist().inv_cdf(1 - float(_tail(confidence_percent)))
    bias, spread = fmean(differences), stdev(differences)
    worst = max(abs(bias - factor * spread), abs(bias + factor * spread))
    return Decimal(repr(worst)).quantize(_PLACES, rounding=ROUND_CEILING)


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t above one half, by bisection of its closed form (Abramowitz-Stegun 26.7.3-4).

    Raises:
        ValueError: probability outside [0.5, 1) or no degrees of freedom.
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError("A probability in [0.5, 1) and at least one degree of freedom are needed.")
    low, high = 0.0, 1.0
    while _student_within(high, degrees) < 2 * probability - 1:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if _student_within(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return high


def _student_within(t: float, degrees: int) -> float:
    """P(|T| <= t)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine_squared = math.cos(angle) ** 2
    odd = degrees % 2 == 1
    term, series = (math.cos(angle) if odd else 1.0), 0.0
    first = 3 if odd else 2
    for step in range(first, degrees + 1, 2):
        series += term
        term *= cosine_squared * (step - 1) / step
    inside = math.sin(angle) * series
    return 2 / math.pi * (angle + inside) if odd else inside

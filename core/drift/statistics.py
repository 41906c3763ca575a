"""The statistics of drift: PSI, Kolmogorov-Smirnov, tabular CUSUM, Fisher's exact test. Pure, without a library.

The signer computes them inside the seal and the worker outside it, from the same lines. Values are Decimal as they were
recorded, so that ties and bin edges are exact; decisions are made on numbers rounded once, against the model. Checked
against scipy and a published example in tests/unit/drift/test_statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

MOST_BINS, FEWEST_EXPECTED = 10, 5
_THOUSANDTH, _MILLIONTH = Decimal("0.001"), Decimal("0.000001")


def large(number: float) -> Decimal:
    """A statistic whose large values speak against the model, rounded up to three decimals."""
    return Decimal(repr(number)).quantize(_THOUSANDTH, rounding=ROUND_CEILING)


def probability(number: float) -> Decimal:
    """A p-value, rounded down to six decimals."""
    return Decimal(repr(min(max(number, 0.0), 1.0))).quantize(_MILLIONTH, rounding=ROUND_FLOOR)


@dataclass(frozen=True, slots=True)
class Compared:
    """A statistic and the probability of one at least as large without drift."""

    statistic: float
    p: float


# -- Population stability index --------------------------------------------------------------------------------------


def bin_edges(baseline: Sequence[Decimal], bins: int) -> tuple[Decimal, ...]:
    """Upper edges of equally filled bins of a baseline, the last bin left open; equal edges are one.

    Every edge is a value of the baseline and belongs to the bin below it, so no rounding moves a value.
    """
    ordered, size = sorted(baseline), len(baseline)
    edges = {ordered[-(-place * size // bins) - 1] for place in range(1, bins)}
    return tuple(sorted(edge for edge in edges if edge < ordered[-1]))


def stability(baseline: Sequence[Decimal], window: Sequence[Decimal]) -> Compared | None:
    """Population stability index of a window over bins of its baseline: sum of (w - b) ln(w / b) over the bins.

    As many bins, up to ten, as leave five expected values in each, in baseline and window; an empty bin counts as half
    a value. Without drift PSI x nm / (n + m) follows chi-square with bins - 1 degrees of freedom (Yurdakul, Naranjo
    2020): in small windows a large index alone says nothing, so its probability is told as well.

    None where fewer than two bins can be made: too few values, or a baseline of one value.
    """
    bins = min(MOST_BINS, len(baseline) // FEWEST_EXPECTED, len(window) // FEWEST_EXPECTED)
    edges = bin_edges(baseline, bins) if bins >= 2 else ()
    if not edges:
        return None
    index = 0.0
    for before, now in zip(_counts(baseline, edges), _counts(window, edges), strict=True):
        b, w = max(before, 0.5) / len(baseline), max(now, 0.5) / len(window)
        index += (w - b) * math.log(w / b)
    scale = len(baseline) * len(window) / (len(baseline) + len(window))
    return Compared(index, chi_square_tail(index * scale, len(edges)))


def _counts(values: Sequence[Decimal], edges: Sequence[Decimal]) -> list[int]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[next((place for place, edge in enumerate(edges) if value <= edge), len(edges))] += 1
    return counts


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(chi-square >= statistic) for whole degrees of freedom, by its closed forms (Abramowitz-Stegun 26.4.4-5)."""
    if statistic <= 0:
        return 1.0
    half = statistic / 2
    if degrees % 2 == 0:
        term = total = math.exp(-half)
        for step in range(1, degrees // 2):
            term *= half / step
            total += term
        return min(total, 1.0)
    total = math.erfc(math.sqrt(half))
    term = math.sqrt(2 * statistic / math.pi) * math.exp(-half)
    for step in range(1, degrees, 2):
        total += term
        term *= statistic / (step + 2)
    return min(total, 1.0)


# -- Two samples, Kolmogorov-Smirnov ---------------------------------------------------------------------------------


def kolmogorov_smirnov(baseline: Sequence[Decimal], window: Sequence[Decimal]) -> Compared | None:
    """Largest distance of two empirical distributions and its exact two-sided probability; None where one is empty.

    The probability counts the lattice paths that stay within the distance found (Hodges 1958). Ties make it larger
    than it is, never smaller.
    """
    n, m = len(baseline), len(window)
    if n == 0 or m == 0:
        return None
    ordered = sorted({*baseline, *window})
    below = above = place = other = 0
    first, second = sorted(baseline), sorted(window)
    furthest = 0
    for value in ordered:
        while place < n and first[place] <= value:
            place += 1
        while other < m and second[other] <= value:
            other += 1
        below, above = max(below, place * m - other * n), max(above, other * n - place * m)
        furthest = max(below, above)
    return Compared(furthest / (n * m), _beyond(n, m, furthest))


def _beyond(n: int, m: int, distance: int) -> float:
    """P(largest |i m - j n| >= distance) over all orders of n and m values, in exact integers."""
    if distance == 0:
        return 1.0
    inside = [1 if j * n < distance else 0 for j in range(m + 1)]
    for j in range(1, m + 1):
        inside[j] = inside[j] and inside[j - 1]
    for i in range(1, n + 1):
        inside[0] = inside[0] if i * m < distance else 0
        for j in range(1, m + 1):
            inside[j] = inside[j] + inside[j - 1] if abs(i * m - j * n) < distance else 0
    every = math.comb(n + m, n)
    return (every - inside[m]) / every


# -- Tabular CUSUM ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sums:
    """The two cumulative sums after a value: of increases and of decreases."""

    high: float
    low: float


def cusum(values: Sequence[float], target: float, allowance: float) -> tuple[Sums, ...]:
    """Tabular CUSUM from zero: high = max(0, x - target - k + high), low = max(0, target - k - x + low).

    `allowance` (k) is half of the shift that is looked for, in the values' unit (Montgomery; Page 1954).
    """
    high = low = 0.0
    sums = []
    for value in values:
        high = max(0.0, value - target - allowance + high)
        low = max(0.0, target - allowance - value + low)
        sums.append(Sums(high, low))
    return tuple(sums)


# -- Rates -----------------------------------------------------------------------------------------------------------


def more_often(before: int, of_before: int, now: int, of_now: int) -> float | None:
    """Fisher's exact one-sided probability that a rate rose by chance at least as much; None without cases."""
    if of_before == 0 or of_now == 0:
        return None
    events, size = before + now, of_before + of_now
    ways = sum(
        math.comb(of_now, hits) * math.comb(of_before, events - hits)
        for hits in range(now, min(of_now, events) + 1) if events - hits <= of_before
    )
    return ways / math.comb(size, events)

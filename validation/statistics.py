"""Estimates and their bounds: what protocols judge on and reports print. Pure; two-sided 95 % unless said otherwise.

Library defaults hide failures (a missed lesion disappears from a mean, an interval leaves [0, 1]); each function here
says what it does with the case that would be hidden. The cluster is the subject: values of one subject are not
independent. Checked against other libraries and published examples in tests/unit/validation/test_statistics.py.
Sources by measure: research notes named in validation/design; formulae named at each function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import atanh, exp, inf, log, sqrt, tanh
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
LEVEL = 0.95


class NotEstimable(ValueError):
    """The data do not determine this estimate; said instead of returning a number that looks like one."""


@dataclass(frozen=True)
class Estimate:
    """A value, its interval, on how many subjects, and how the interval was made."""

    value: float
    low: float
    high: float
    n: int
    method: str


def _z(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


def _finite(values: Sequence[float] | Floats, at_least: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape[0] < at_least:
        raise NotEstimable(f"{array.shape[0]} values; at least {at_least} are needed.")
    if not np.isfinite(array).all():
        raise NotEstimable("A value is missing or not finite; nothing is dropped silently.")
    return array


# -- Overlap and distance of masks ---------------------------------------------------------------------------------


def _masks(mask: Mask, reference: Mask) -> None:
    if mask.dtype != np.bool_ or reference.dtype != np.bool_:
        raise NotEstimable("Masks are boolean; probabilities are thresholded by the model, not here.")
    if mask.shape != reference.shape:
        raise NotEstimable(f"Mask {mask.shape} and reference {reference.shape} lie on different grids.")


def dice(mask: Mask, reference: Mask) -> float:
    """2TP / (2TP + FP + FN); both empty is agreement on absence (1), one empty is complete failure (0)."""
    _masks(mask, reference)
    size = int(mask.sum()) + int(reference.sum())
    return 1.0 if size == 0 else 2 * int((mask & reference).sum()) / size


def hd95_mm(mask: Mask, reference: Mask, spacing_mm: Sequence[float]) -> tuple[float, bool]:
    """95th percentile Hausdorff distance, and whether one of the masks is empty while the other is not.

    Args:
        mask, reference: same shape, True inside.
        spacing_mm: distance of voxel centres for each axis of the masks.

    Returns:
        The larger of the two directed 95th percentiles between surfaces, in mm. A missed (or invented) lesion counts
        with the diagonal of the image, so that it can never improve a mean.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    _masks(mask, reference)
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if spacing.shape != (mask.ndim,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise NotEstimable(f"Spacing {tuple(spacing_mm)} does not fit a mask of {mask.ndim} axes.")
    if not mask.any() and not reference.any():
        return 0.0, False
    if not mask.any() or not reference.any():
        return float(np.sqrt((((np.asarray(mask.shape) - 1) * spacing) ** 2).sum())), True
    # Surfaces lie within the box of both masks; one cell of margin keeps the outermost cells an edge.
    places = np.argwhere(mask | reference)
    box = tuple(slice(low, high + 1) for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True))
    pair = [np.pad(m[box], 1) for m in (mask, reference)]
    edges = [m & ~binary_erosion(m) for m in pair]
    directed = [
        np.percentile(distance_transform_edt(~there, sampling=spacing)[here], 95)
        for here, there in (edges, edges[::-1])
    ]
    return float(max(directed)), False


def volume_error_pct(measured: Sequence[float] | Floats, true: Sequence[float] | Floats) -> Floats:
    """Per case 100 (measured - true) / true; a true volume of zero or less is refused."""
    m, t = _finite(measured, 1), _finite(true, 1)
    if m.shape != t.shape or (t <= 0).any():
        raise NotEstimable("Every measured volume needs a true one above zero.")
    return 100.0 * (m - t) / t


# -- Agreement of measurements -------------------------------------------------------------------------------------


def mean_t(values: Sequence[float] | Floats, level: float = LEVEL) -> Estimate:
    """Mean of one value per subject with Student's interval."""
    from scipy.special import stdtrit

    x = _finite(values, 2)
    half = float(stdtrit(len(x) - 1, 0.5 + level / 2)) * float(x.std(ddof=1)) / sqrt(len(x))
    return Estimate(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x), "Student t")


@dataclass(frozen=True)
class Repeatability:
    """Within-subject SD, repeatability coefficient, and its upper 95 % bound; same unit as the measure."""

    within_sd: float
    coefficient: float
    upper: float
    n: int


def repeatability(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> Repeatability:
    """Test-retest: wSD = sqrt(sum d^2 / 2n), RC = 1.96 sqrt(2) wSD, bound RC sqrt(n / chi2(0.05, n)) (QIBA)."""
    from scipy.special import chdtri

    d = _finite(first, 2) - _finite(second, 2)
    n = len(d)
    within = sqrt(float((d**2).sum()) / (2 * n))
    coefficient = _z(LEVEL) * sqrt(2) * within
    return Repeatability(within, coefficient, coefficient * sqrt(n / float(chdtri(n, 0.95))), n)


@dataclass(frozen=True)
class BlandAltman:
    """Mean difference and the two 95 % limits of agreement, each with its interval."""

    bias: Estimate
    lower: Estimate
    upper: Estimate


def bland_altman(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> BlandAltman:
    """Differences a - b, a pair per subject; SE of a limit s sqrt(1/n + 1.96^2 / (2 (n - 1))) (Bland, Altman 1999)."""
    from scipy.special import stdtrit

    d = _finite(a, 3) - _finite(b, 3)
    n, z = len(d), _z(LEVEL)
    mean, s = float(d.mean()), float(d.std(ddof=1))
    t = float(stdtrit(n - 1, 0.975))

    def around(value: float, se: float) -> Estimate:
        return Estimate(value, value - t * se, value + t * se, n, "Bland-Altman, t")

    se = s * sqrt(1 / n + z**2 / (2 * (n - 1)))
    return BlandAltman(around(mean, s / sqrt(n)), around(mean - z * s, se), around(mean + z * s, se))


def icc(ratings: Floats, form: Literal["A,1", "C,1"], level: float = LEVEL) -> Estimate:
    """Intraclass correlation of single ratings, shape (subjects, raters); McGraw and Wong 1996, two-way model.

    A,1 (Shrout-Fleiss 2,1) asks for absolute agreement, C,1 (3,1) for consistency alone.
    """
    from scipy.special import fdtri

    x = _finite(ratings, 2)
    if x.ndim != 2 or x.shape[1] < 2:
        raise NotEstimable("Ratings have the shape (subjects, raters) with two raters or more.")
    n, k = x.shape
    grand = x.mean()
    rows = k * ((x.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((x.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    rest = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0, keepdims=True) + grand
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    if rows == 0 and error == 0:
        raise NotEstimable("All ratings are equal: correlation has no meaning.")
    tail = 0.5 + level / 2
    if form == "C,1":
        value = (rows - error) / (rows + (k - 1) * error)
        if error == 0:
            return Estimate(1.0, 1.0, 1.0, n, "ICC(C,1)")
        f = rows / error
        low, high = f / fdtri(n - 1, (n - 1) * (k - 1), tail), f * fdtri((n - 1) * (k - 1), n - 1, tail)
        return Estimate(
            float(value), float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)), n, "ICC(C,1)"
        )
    value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    if error == 0 and columns == 0:
        return Estimate(1.0, 1.0, 1.0, n, "ICC(A,1)")
    a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * columns + b * error) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    up, down = fdtri(n - 1, freedom, tail), fdtri(freedom, n - 1, tail)
    spread = k * columns + (k * n - k - n) * error
    low = n * (rows - up * error) / (up * spread + n * rows)
    high = n * (down * rows - error) / (spread + n * down * rows)
    return Estimate(float(value), float(low), float(high), n, "ICC(A,1)")


def lin_ccc(a: Sequence[float] | Floats, b: Sequence[float] | Floats, level: float = LEVEL) -> Estimate:
    """Lin's concordance: 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2), interval by Fisher's z (Lin 1989, 2000)."""
    x, y = _finite(a, 4), _finite(b, 4)
    n = len(x)
    sx, sy, sxy = float(x.var()), float(y.var()), float(((x - x.mean()) * (y - y.mean())).mean())
    if sx == 0 or sy == 0:
        raise NotEstimable("One of the series does not vary: concordance has no meaning.")
    shift = float(x.mean() - y.mean()) ** 2
    ccc = 2 * sxy / (sx + sy + shift)
    r2 = sxy**2 / (sx * sy)
    if abs(ccc) >= 1 - 1e-12 or r2 < 1e-12:
        return Estimate(ccc, ccc if abs(ccc) > 0.5 else -1.0, ccc if abs(ccc) > 0.5 else 1.0, n, "Lin, degenerate")
    u2, r, c2 = shift / sqrt(sx * sy), sqrt(r2), ccc**2
    variance = (
        (1 - r2) * c2 / ((1 - c2) * r2) + 2 * ccc**3 * (1 - ccc) * u2 / (r * (1 - c2) ** 2)
        - ccc**4 * u2**2 / (2 * r2 * (1 - c2) ** 2)
    ) / (n - 2)  # fmt: skip
    half = _z(level) * sqrt(max(variance, 0.0))
    return Estimate(ccc, tanh(atanh(ccc) - half), tanh(atanh(ccc) + half), n, "Lin, Fisher z")


# -- Proportions and categories ------------------------------------------------------------------------------------


def _counts(k: int, n: int) -> None:
    if n <= 0 or not 0 <= k <= n:
        raise NotEstimable(f"{k} of {n} is no proportion.")


def wilson(k: int, n: int, level: float = LEVEL) -> Estimate:
    """k of n with Wilson's score interval: the one that is reported."""
    _counts(k, n)
    z, p = _z(level), k / n
    centre, half = (p + z**2 / (2 * n)), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return Estimate(p, 0.0 if k == 0 else low, 1.0 if k == n else high, n, "Wilson")


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> Estimate:
    """k of n with the exact interval: the one that is judged."""
    from scipy.special import betaincinv

    _counts(k, n)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return Estimate(k / n, low, high, n, "Clopper-Pearson")


def power_of_lower_bound(n: int, true: float, limit: float, level: float = LEVEL) -> float:
    """Chance that the exact lower bound of n cases reaches `limit` when the true proportion is `true`."""
    from scipy.special import bdtrc

    passing = next((k for k in range(n + 1) if clopper_pearson(k, n, level).low >= limit), None)
    return 0.0 if passing is None else 1.0 if passing == 0 else float(bdtrc(passing - 1, n, true))


def _table(a: Sequence[str], b: Sequence[str], categories: Sequence[str]) -> Floats:
    if len(a) != len(b) or not a:
        raise NotEstimable("Two raters judge the same cases, at least one.")
    place = {category: i for i, category in enumerate(categories)}
    table: Floats = np.zeros((len(categories),) * 2)
    for x, y in zip(a, b, strict=True):
        if x not in place or y not in place:
            raise NotEstimable(f"{x!r} or {y!r} is not among the categories.")
        table[place[x], place[y]] += 1
    table /= table.sum()
    return table


def weighted_kappa(
    a: Sequence[str], b: Sequence[str], categories: Sequence[str], weights: Literal["none", "linear", "quadratic"]
) -> float:
    """Cohen's kappa over ordered categories; when both raters use one category only it is not estimable."""
    p = _table(a, b, categories)
    distance = np.abs(np.subtract.outer(np.arange(len(categories)), np.arange(len(categories)))).astype(float)
    if weights == "none":
        distance = (distance > 0).astype(float)
    elif weights == "quadratic":
        distance **= 2
    expected = (np.outer(p.sum(axis=1), p.sum(axis=0)) * distance).sum()
    if expected == 0:
        raise NotEstimable("Both raters use one category only: kappa is undefined; see Gwet's AC1.")
    return float(1 - (p * distance).sum() / expected)


def gwet_ac1(a: Sequence[str], b: Sequence[str], categories: Sequence[str]) -> float:
    """Gwet's AC1: agreement beyond chance that stays sensible when one category prevails (Gwet 2008)."""
    p = _table(a, b, categories)
    if len(categories) < 2:
        raise NotEstimable("AC1 needs two categories or more.")
    share = (p.sum(axis=0) + p.sum(axis=1)) / 2
    chance = float((share * (1 - share)).sum()) / (len(categories) - 1)
    return (float(np.trace(p)) - chance) / (1 - chance)


# -- Intervals by resampling subjects ------------------------------------------------------------------------------


def bootstrap_by_subject(
    subjects: Sequence[Sequence[float] | Floats],
    statistic: Callable[[Floats], float],
    *,
    seed: int,
    resamples: int = 5000,
    level: float = LEVEL,
) -> Estimate:
    """BCa interval of a statistic of pooled values, resampling whole subjects (Efron 1987).

    Args:
        subjects: the values of each subject; one with several lesions stays together.
        statistic: of the pooled values, e.g. `numpy.mean`.
        seed: stands in the signed protocol; same seed, same bounds.
    """
    groups = [_finite(values, 1) for values in subjects]
    n = len(groups)
    if n < 3:
        raise NotEstimable(f"{n} subjects; a bootstrap needs at least 3.")
    value = float(statistic(np.concatenate(groups)))
    draws = np.random.default_rng(seed).integers(0, n, size=(resamples, n))
    spread = np.array([statistic(np.concatenate([groups[i] for i in row])) for row in draws], dtype=np.float64)
    without = np.array([statistic(np.concatenate(groups[:i] + groups[i + 1 :])) for i in range(n)], dtype=np.float64)
    if np.ptp(spread) == 0:
        return Estimate(value, value, value, n, "bootstrap by subject, constant")
    normal = NormalDist()
    below = float((spread < value).mean() + (spread == value).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    pull = without.mean() - without
    scale = float((pull**2).sum()) ** 1.5
    acceleration = 0.0 if scale == 0 else float((pull**3).sum()) / (6 * scale)

    def edge(tail: float) -> float:
        z = bias + normal.inv_cdf(tail)
        return float(np.quantile(spread, normal.cdf(bias + z / (1 - acceleration * z))))

    tail = (1 - level) / 2
    return Estimate(value, edge(tail), edge(1 - tail), n, f"BCa bootstrap by subject, B={resamples}, seed {seed}")


@dataclass(frozen=True)
class Compared:
    """A verdict on a difference, with the interval that it was read from."""

    holds: bool
    estimate: Estimate


def non_inferior(
    differences: Sequence[Sequence[float] | Floats], margin: float, *, seed: int, resamples: int = 5000
) -> Compared:
    """New minus reference, higher is better, by subject: the lower 95 % bound must lie above -margin (alpha 0.025)."""
    if margin <= 0:
        raise NotEstimable("The margin is above zero and set before the data.")
    found = bootstrap_by_subject(differences, lambda x: float(x.mean()), seed=seed, resamples=resamples)
    return Compared(found.low > -margin, found)


def equivalent(differences: Sequence[float] | Floats, margin: float) -> Compared:
    """TOST at 0.05: the 90 % interval of the mean difference lies inside (-margin, margin)."""
    if margin <= 0:
        raise NotEstimable("The margin is above zero and set before the data.")
    found = mean_t(differences, level=0.90)
    return Compared(-margin < found.low and found.high < margin, found)


# -- Drift ---------------------------------------------------------------------------------------------------------


def psi(expected: Sequence[float] | Floats, actual: Sequence[float] | Floats, bins: int = 10) -> float:
    """Population stability index over quantile bins of the expected sample; empty cells count as half a case."""
    e, a = _finite(expected, bins), _finite(actual, 1)
    inner = np.unique(np.quantile(e, np.linspace(0, 1, bins + 1)[1:-1]))
    edges = np.concatenate([[-inf], inner, [inf]])
    p = np.maximum(np.histogram(e, edges)[0], 0.5) / len(e)
    q = np.maximum(np.histogram(a, edges)[0], 0.5) / len(a)
    return float(((q - p) * np.log(q / p)).sum())


def ks(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov distance and its asymptotic p; with large samples look at the distance."""
    from scipy.special import kolmogorov

    x, y = np.sort(_finite(a, 2)), np.sort(_finite(b, 2))
    both = np.concatenate([x, y])
    distance = float(
        np.abs(np.searchsorted(x, both, "right") / len(x) - np.searchsorted(y, both, "right") / len(y)).max()
    )
    return distance, float(kolmogorov(distance * sqrt(len(x) * len(y) / (len(x) + len(y)))))


def cusum(
    values: Sequence[float] | Floats, target: float, sd: float, *, slack: float = 0.5, alarm: float = 5.0
) -> int | None:
    """Index of the first value at which a two-sided tabular CUSUM (in SDs) passes `alarm`; None when it never does."""
    if sd <= 0:
        raise NotEstimable("The standard deviation of the baseline is above zero.")
    up = down = 0.0
    for index, value in enumerate(_finite(values, 1)):
        z = (float(value) - target) / sd
        up, down = max(0.0, up + z - slack), max(0.0, down - z - slack)
        if up > alarm or down > alarm:
            return index
    return None


def geometric_mean_ratio(measured: Sequence[float] | Floats, true: Sequence[float] | Floats) -> Estimate:
    """Mean of log(measured / true) turned back into a ratio, with Student's interval: for skewed volumes."""
    m, t = _finite(measured, 2), _finite(true, 2)
    if (m <= 0).any() or (t <= 0).any():
        raise NotEstimable("A volume of zero has no logarithm; a missed lesion is counted, not averaged.")
    found = mean_t([log(x) for x in m / t])
    return Estimate(exp(found.value), exp(found.low), exp(found.high), found.n, "Student t of log ratio")

"""Estimates and their bounds: what protocols judge on and reports print. Pure; two-sided 95 % unless said otherwise.

Library defaults hide failures (a missed lesion disappears from a mean, an interval leaves [0, 1]); each function here
says what it does with the case that would be hidden. The cluster is the subject: values of one subject are not
independent. Checked against other libraries and published examples in tests/unit/validation/test_statistics.py.
Sources by measure: research notes named in validation/design; formulae named at each function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh
from statistics import NormalDist

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


# -- Agreement of measurements -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BlandAltman:
    """Mean difference and the two 95 % limits of agreement, each with its interval."""

    bias: Estimate
    lower: Estimate
    upper: Estimate


def bland_altman(differences: Sequence[float] | Floats) -> BlandAltman:
    """Of one difference a subject; SE of a limit s sqrt(1/n + 1.96^2 / (2 (n - 1))) (Bland, Altman 1999)."""
    from scipy.special import stdtrit

    d = _finite(differences, 3)
    n, z = len(d), _z(LEVEL)
    mean, s = float(d.mean()), float(d.std(ddof=1))
    t = float(stdtrit(n - 1, 0.975))

    def around(value: float, se: float) -> Estimate:
        return Estimate(value, value - t * se, value + t * se, n, "Bland-Altman, t")

    se = s * sqrt(1 / n + z**2 / (2 * (n - 1)))
    return BlandAltman(around(mean, s / sqrt(n)), around(mean - z * s, se), around(mean + z * s, se))


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


# -- Proportions ---------------------------------------------------------------------------------------------------


def _counts(k: int, n: int) -> None:
    if n <= 0 or not 0 <= k <= n:
        raise NotEstimable(f"{k} of {n} is no proportion.")


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

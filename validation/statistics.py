"""Estimates and their bounds: what protocols judge on and reports print. Pure; two-sided 95 % unless said otherwise.

Library defaults hide failures (a missed lesion disappears from a mean, an interval leaves [0, 1]); each function here
says what it does with the case that would be hidden. The cluster is the subject: values of one subject are not
independent. Agreement, repeatability and categories are in validation/agreement.py, proportions in
validation/proportions.py. Each is checked against other libraries or published examples in tests/unit/validation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
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


def quantile_of(level: float) -> float:
    """Standard normal quantile of a two-sided level: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def finite(values: Sequence[float] | Floats, at_least: int) -> Floats:
    """The values as an array. Raises NotEstimable for fewer than `at_least`, or one that is not finite."""
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


# -- Size ----------------------------------------------------------------------------------------------------------


def log_ratio(measured_mm3: float, reference_mm3: float, least_mm3: float) -> float:
    """ln(measured / reference): symmetric where a percentage is skewed (half and double are as far from equal).

    Args:
        least_mm3: what a missed lesion counts as, one voxel; a ratio of zero has no logarithm and would be left out.
    """
    if not reference_mm3 > 0 or not least_mm3 > 0 or not measured_mm3 >= 0:
        raise NotEstimable(f"Volumes {measured_mm3}, {reference_mm3}, {least_mm3} mm3 have no ratio.")
    return log(max(measured_mm3, least_mm3) / reference_mm3)


def equivalence(differences: Sequence[float] | Floats) -> Estimate:
    """Mean of one difference a subject, with the interval of two one-sided t tests at 5 % each (TOST).

    Both tests reject if and only if this 90 % interval lies within the margins (Schuirmann 1987). Differences that are
    all one number are a mean without an error: unchanged bits give zero, and equivalence.
    """
    from scipy.special import stdtrit

    d = finite(differences, 3)
    mean, half = float(d.mean()), float(stdtrit(len(d) - 1, 0.95)) * float(d.std(ddof=1)) / sqrt(len(d))
    return Estimate(mean, mean - half, mean + half, len(d), "TOST, t, each side 95 %")


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
    groups = [finite(values, 1) for values in subjects]
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

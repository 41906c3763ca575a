"""Texture: features of the grey level co-occurrence matrix of a region, in three dimensions.

Definitions: Image Biomarker Standardisation Initiative, reference manual 3.6, distance 1, the 13 directions of three
dimensions merged into one matrix (IAZD); its digital phantom is the truth of the tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.measures.geometry import Mask, exact_mask
from core.measures.intensity import FEWEST_VOXELS, jackknife, values_inside
from core.measures.result import GeometryUnusable, Measure, Measured, NotMeasured
from core.quantities import significant

Matrix = NDArray[np.float64]
# Half of the 26 neighbours; the matrix is made symmetric, which adds the other half.
DIRECTIONS = tuple(step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0))
MOST_LEVELS = 1024


def texture(image: NDArray[np.floating], mask: Mask, *, bin_width: Decimal) -> Mapping[str, Measure]:
    """Co-occurrence features by name, all of unit 1.

    Args:
        image: shape (slices, rows, columns); resampled to equal spacing by the caller where directions shall weigh
            alike.
        mask: True inside the region, same shape; pairs of voxels count where both lie inside.
        bin_width: width of the grey levels in the unit of the image; level 1 begins at the smallest value inside.

    Returns:
        Each value with six significant digits and the jackknife over slices as uncertainty (Efron and Stein 1981),
        absent below three slices. Correlation of equal values is not measured.

    Raises:
        GeometryUnusable: shapes differ, the width is not above zero, or it gives more than 1024 levels.
    """
    if not bin_width.is_finite() or bin_width <= 0:
        raise GeometryUnusable(f"Grey levels are {bin_width} wide; a width above zero is needed.")
    values = values_inside(image, mask)
    if isinstance(values, NotMeasured):
        return dict.fromkeys(_FEATURES, values)
    if len(values) < FEWEST_VOXELS:
        return dict.fromkeys(_FEATURES, NotMeasured("too-few-voxels"))
    lowest = float(values.min())
    if (float(values.max()) - lowest) / float(bin_width) >= MOST_LEVELS:
        raise GeometryUnusable(f"Grey levels {bin_width} wide are more than {MOST_LEVELS} over this region.",
                               next_step="Choose wider levels; the protocol names the width.")
    levels = np.zeros(image.shape, np.int64)
    levels[mask] = np.floor((values - lowest) / float(bin_width)).astype(np.int64) + 1
    count = int(levels.max())
    by_slice = _pairs_by_slice(levels, count)
    whole = by_slice.sum(axis=0)
    if whole.sum() == 0:
        return dict.fromkeys(_FEATURES, NotMeasured("too-few-voxels"))
    inside = np.flatnonzero(exact_mask(mask).any(axis=(1, 2)))
    return {name: _measured(feature, whole, by_slice, inside) for name, feature in _FEATURES.items()}


def _pairs_by_slice(levels: NDArray[np.int64], count: int) -> Matrix:
    """Symmetric co-occurrences, shape (2 x slices, levels, levels): within slice k at 2k, between k and k+1 at 2k+1."""
    found = np.zeros((2 * levels.shape[0], count * count))
    for step in DIRECTIONS:
        near, far = _shifted(levels, step)
        place = np.broadcast_to(np.arange(near.shape[0])[:, None, None] * 2 + step[0], near.shape)
        both = (near > 0) & (far > 0)
        index = place[both] * count * count + (near[both] - 1) * count + far[both] - 1
        found += np.bincount(index, minlength=found.size).reshape(found.shape)
    square = found.reshape(-1, count, count)
    return square + square.transpose(0, 2, 1)


def _shifted(levels: NDArray[np.int64], step: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The array and its neighbour one step away, both cut to where both exist."""
    near = tuple(slice(max(-by, 0), size - max(by, 0)) for by, size in zip(step, levels.shape, strict=True))
    far = tuple(slice(max(by, 0), size + min(by, 0)) for by, size in zip(step, levels.shape, strict=True))
    return levels[near], levels[far]


def _measured(feature: Callable[[Matrix], float], whole: Matrix, by_slice: Matrix, inside: NDArray[np.intp]) -> Measure:
    value = feature(whole / whole.sum())
    if not np.isfinite(value):
        return NotMeasured("constant-values")
    if len(inside) < 3:
        return Measured(significant(value), "1")
    without = []
    for index in inside.tolist():
        # A slice leaves with its own pairs and with those to the slices above and below.
        rest = whole - by_slice[2 * index] - by_slice[2 * index + 1] - (by_slice[2 * index - 1] if index else 0)
        without.append(feature(rest / rest.sum()) if rest.sum() > 0 else np.nan)
    estimates = np.asarray(without)
    if not bool(np.isfinite(estimates).all()):
        return Measured(significant(value), "1")
    return Measured(significant(value), "1", significant(jackknife(estimates), 2))


def _axes(matrix: Matrix) -> tuple[Matrix, Matrix]:
    level = np.arange(1, len(matrix) + 1, dtype=np.float64)
    return level[:, None], level[None, :]


def _mean(matrix: Matrix) -> float:
    return float((_axes(matrix)[0] * matrix).sum())


def _variance(matrix: Matrix) -> float:
    return float(((_axes(matrix)[0] - _mean(matrix)) ** 2 * matrix).sum())


def _entropy(matrix: Matrix) -> float:
    share = matrix[matrix > 0]
    return float(-(share * np.log2(share)).sum()) + 0.0


def _of_difference(weight: Callable[[Matrix], Matrix]) -> Callable[[Matrix], float]:
    def feature(matrix: Matrix) -> float:
        row, column = _axes(matrix)
        return float((weight(np.abs(row - column)) * matrix).sum())

    return feature


def _correlation(matrix: Matrix) -> float:
    row, column = _axes(matrix)
    spread = _variance(matrix)
    return float(((row * column * matrix).sum() - _mean(matrix) ** 2) / spread) if spread > 0 else float("nan")


_FEATURES: Mapping[str, Callable[[Matrix], float]] = {
    "joint_maximum": lambda matrix: float(matrix.max()),
    "joint_average": _mean,
    "joint_variance": _variance,
    "joint_entropy": _entropy,
    "angular_second_moment": lambda matrix: float((matrix**2).sum()),
    "contrast": _of_difference(lambda apart: apart**2),
    "dissimilarity": _of_difference(lambda apart: apart),
    "inverse_difference": _of_difference(lambda apart: 1 / (1 + apart)),
    "inverse_difference_moment": _of_difference(lambda apart: 1 / (1 + apart**2)),
    "correlation": _correlation,
}

"""Measurement operators: mask and spacing in, value with unit and uncertainty, or a reason, out.

Pure functions. Each has a phantom truth in tests/unit/core/test_measures.py. Values are rounded once,
here, half-even: lengths to 0.1 mm, volumes to 0.1 mm3; nothing downstream rounds again.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from core.measures.geometry import (
    Mask,
    Spacing,
    contour_points,
    exact_mask,
    exact_spacing,
    hull,
    longest_chord_across,
    regions,
    touches_edge,
)
from core.measures.result import Measure, Measured, NotMeasured
from core.quantities import rounded

# Two chords closer than this, in millimetres, count as equally long: the digits are those of a double.
_TIE_MM = 1e-9


@dataclass(frozen=True, slots=True)
class Axes:
    """The two axes of a lesion in the slice where it is longest; `slice` counts from 0."""

    slice: int
    long_mm: Decimal
    short_mm: Decimal


def volume_mm3(mask: Mask, spacing_mm: Spacing) -> Measure:
    """Volume of a lesion mask: the sum of its voxels.

    Args:
        mask: shape (slices, rows, columns), True inside the lesion.
        spacing_mm: distance between voxel centres in the same axis order, in millimetres; between
            slices it is the distance of slice positions, not Slice Thickness.

    Returns:
        Cubic millimetres, rounded half-even to 0.1 mm3. The uncertainty takes each boundary voxel as
        filled to an unknown, independent share: voxel volume x sqrt(boundary voxels / 12).

    Raises:
        GeometryUnusable: a spacing is zero, negative or not finite, or the mask is not boolean 3D.

    Source: DICOM PS3.3 C.7.6.2; CID 7474 (126030, Sum of segmented voxel volumes).
    """
    mask, spacing = exact_mask(mask), exact_spacing(spacing_mm)
    refusal = _unusable(mask, in_plane_only=False)
    if refusal is not None:
        return refusal
    value, uncertainty = sampled_volume(mask, spacing)
    return Measured(rounded(value), "mm3", rounded(uncertainty))


def sampled_volume(mask: Mask, spacing: tuple[Decimal, Decimal, Decimal]) -> tuple[Decimal, Decimal]:
    """Sum of voxels in cubic millimetres and its standard uncertainty, neither rounded; the rule is `volume_mm3`'s."""
    voxel_mm3 = spacing[0] * spacing[1] * spacing[2]
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis in range(3):
        for step in (1, -1):
            inner &= np.roll(padded, step, axis)
    boundary = int(mask.sum()) - int(inner.sum())
    return voxel_mm3 * int(mask.sum()), voxel_mm3 * (Decimal(boundary) / 12).sqrt()


def long_axis_mm(mask: Mask, spacing_mm: Spacing) -> Measure:
    """Largest diameter of a lesion within one slice of the series.

    Rule: the diameter runs between midpoints of voxel edges (the contour half-way between inside and
    outside), within one connected region of a slice (voxels joined by an edge or a corner), so a row
    of n voxels measures n x spacing. The slices must be the axial acquisition planes; resampled
    oblique planes are the caller's business.

    Args and errors as `volume_mm3`. Returns millimetres rounded half-even to 0.1 mm; the uncertainty
    takes each end as uniform within one voxel: sqrt(2/12) x the larger in-plane spacing.

    Source: RECIST 1.1, 2009, section 3.1.1 (longest diameter in the plane of measurement).
    """
    found = lesion_axes(mask, spacing_mm)
    return found if isinstance(found, NotMeasured) else Measured(found.long_mm, "mm", _end_uncertainty(spacing_mm))


def short_axis_mm(mask: Mask, spacing_mm: Spacing) -> Measure:
    """Longest perpendicular to the long axis, in the slice and region of the long axis.

    The perpendicular runs within the convex hull of the region. Where several long axes are equally
    long, the one with the longest perpendicular counts, so mirroring a mask changes nothing.
    Args, rounding, uncertainty and errors as `long_axis_mm`.

    Source: RECIST 1.1, 2009, section 3.1.1 and appendix I (nodes are measured by their short axis).
    """
    found = lesion_axes(mask, spacing_mm)
    return found if isinstance(found, NotMeasured) else Measured(found.short_mm, "mm", _end_uncertainty(spacing_mm))


def lesion_axes(mask: Mask, spacing_mm: Spacing) -> Axes | NotMeasured:
    """Long axis, its perpendicular and the slice they lie in; rules as `long_axis_mm`, `short_axis_mm`."""
    mask, spacing = exact_mask(mask), exact_spacing(spacing_mm)
    refusal = _unusable(mask, in_plane_only=True)
    if refusal is not None:
        return refusal
    best: tuple[float, float, int, Decimal] | None = None
    for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for region in regions(mask[index : index + 1], 26):
            long, short, exact = _axes_of(hull(contour_points(region)), spacing)
            if best is None or long > best[0] + _TIE_MM or (abs(long - best[0]) <= _TIE_MM and short > best[1]):
                best = (long, short, index, exact)
    assert best is not None  # the mask is not empty
    return Axes(best[2], rounded(best[3]), rounded(best[1]))


def _axes_of(corners: list[tuple[int, int]], spacing: tuple[Decimal, Decimal, Decimal]) -> tuple[float, float, Decimal]:
    """Long axis and perpendicular of one hull in millimetres, and the long axis in exact decimals."""
    half_row, half_column = float(spacing[1]) / 2, float(spacing[2]) / 2
    points = np.asarray(corners, dtype=np.float64) * (half_row, half_column)
    lengths = np.hypot(
        points[:, None, 0] - points[None, :, 0],
        points[:, None, 1] - points[None, :, 1],
    )
    long = float(lengths.max())
    placed = [(float(row), float(column)) for row, column in points]
    short, ends = -1.0, (0, 0)
    for first, second in np.argwhere(lengths >= long - _TIE_MM).tolist():
        if first < second:
            direction = (placed[second][0] - placed[first][0], placed[second][1] - placed[first][1])
            across = longest_chord_across(placed, direction)
            if across > short:
                short, ends = across, (first, second)
    rows = Decimal(corners[ends[0]][0] - corners[ends[1]][0]) * spacing[1]
    columns = Decimal(corners[ends[0]][1] - corners[ends[1]][1]) * spacing[2]
    return long, short, (rows * rows + columns * columns).sqrt() / 2


def _end_uncertainty(spacing_mm: Spacing) -> Decimal:
    spacing = exact_spacing(spacing_mm)
    return rounded(max(spacing[1], spacing[2]) * Decimal(2).sqrt() / Decimal(12).sqrt(), 2)


def _unusable(mask: Mask, *, in_plane_only: bool) -> NotMeasured | None:
    if not mask.any():
        return NotMeasured("empty-mask")
    if touches_edge(mask, in_plane_only=in_plane_only):
        return NotMeasured("cut-by-image-edge")
    return None

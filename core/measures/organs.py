"""Volumes of organs, what the left ventricle ejects, and the narrowest place of a joint."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.measures.geometry import Mask, Spacing, exact_mask, exact_spacing, touches_edge
from core.measures.lesions import ML
from core.measures.operators import sampled_volume, volume_mm3
from core.measures.result import GeometryUnusable, Measure, Measured, NotMeasured
from core.quantities import rounded

# Pairs of contour voxels compared at once; bounds the memory of the joint space operator.
_PAIRS_AT_ONCE = 4_000_000


def organ_volume_ml(mask: Mask, spacing_mm: Spacing) -> Measure:
    """Volume of an organ or of the brain in millilitres, rounded half-even to 0.1 mL.

    Args, uncertainty and errors as `volume_mm3`: the sum of voxels; a mask that reaches the edge of the image is not
    measured, since part of the organ may lie outside.
    """
    whole = volume_mm3(mask, spacing_mm)
    if isinstance(whole, NotMeasured) or whole.uncertainty is None:
        return whole
    return Measured(rounded(whole.value / ML), "mL", rounded(whole.uncertainty / ML, 2))


def ejection_fraction_percent(end_diastole: Mask, end_systole: Mask, spacing_mm: Spacing) -> Measure:
    """Ejection fraction from the cavity at end-diastole and end-systole: 100 x (EDV - ESV) / EDV.

    Volumes are sums of discs (slices times their distance), so the masks may end at the first and last slice of a
    short-axis stack, but not at the border of a slice.

    Args:
        end_diastole, end_systole: masks of equal shape (slices, rows, columns).
        spacing_mm: distance of voxel centres; between slices the distance of slice positions.

    Returns:
        Percent, rounded half-even to 0.1; the uncertainty follows from those of both volumes.
        NotMeasured where a mask is empty or cut, or the end-systolic volume is the larger one.

    Raises:
        GeometryUnusable: the masks differ in shape, or `volume_mm3` would raise.

    Source: Lang and others 2015, chamber quantification, section 2 (disc summation).
    """
    if end_diastole.shape != end_systole.shape:
        raise GeometryUnusable(f"The masks have shapes {end_diastole.shape} and {end_systole.shape}; one is needed.")
    volumes = []
    for mask in (end_diastole, end_systole):
        mask, spacing = exact_mask(mask), exact_spacing(spacing_mm)
        if not mask.any():
            return NotMeasured("empty-mask")
        if touches_edge(mask, in_plane_only=True):
            return NotMeasured("cut-by-image-edge")
        volumes.append(sampled_volume(mask, spacing))
    (filled, filled_off), (emptied, emptied_off) = volumes
    if emptied > filled:
        return NotMeasured("end-systole-larger")
    share = emptied / filled
    relative = ((filled_off / filled) ** 2 + (emptied_off / emptied) ** 2).sqrt()
    return Measured(rounded(100 * (1 - share)), "%", rounded(100 * share * relative, 2))


def minimal_joint_space_mm(first: Mask, second: Mask, spacing_mm: Spacing) -> Measure:
    """Shortest distance between two bones: the minimal joint space width.

    The distance runs between the faces, edges or corners of the nearest voxels, so n empty voxels between two flat
    bones measure n x spacing, and bones that touch measure 0.0 mm. The caller cuts both masks to the compartment.

    Args:
        first, second: masks of equal shape (slices, rows, columns), one bone each; a radiograph has one slice.
        spacing_mm: distance of voxel centres in millimetres.

    Returns:
        Millimetres, rounded half-even to 0.01 mm; the uncertainty takes each margin as uniform within one voxel:
        sqrt(2/12) x the larger in-plane spacing. NotMeasured where a mask is empty or both share a voxel.

    Raises:
        GeometryUnusable: the masks differ in shape, or a spacing is no length.

    Source: Hochberg and others 2011 review of joint space width as an outcome (minimum width between bone margins).
    """
    first, second, spacing = exact_mask(first), exact_mask(second), exact_spacing(spacing_mm)
    if first.shape != second.shape:
        raise GeometryUnusable(f"The masks have shapes {first.shape} and {second.shape}; one is needed.")
    if not first.any() or not second.any():
        return NotMeasured("empty-mask")
    if bool((first & second).any()):
        return NotMeasured("masks-overlap")
    gap = _nearest_gap(_contour(first), _contour(second), spacing)
    off = max(spacing[1], spacing[2]) * Decimal(2).sqrt() / Decimal(12).sqrt()
    return Measured(rounded(gap, 2), "mm", rounded(off, 2))


def _contour(mask: Mask) -> NDArray[np.int64]:
    """Indices (voxel, axis) of the voxels that have a neighbour outside."""
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis in range(3):
        for step in (1, -1):
            inner &= np.roll(padded, step, axis)
    return np.argwhere(mask & ~inner[1:-1, 1:-1, 1:-1])


def _nearest_gap(
    first: NDArray[np.int64], second: NDArray[np.int64], spacing: tuple[Decimal, Decimal, Decimal]
) -> Decimal:
    """Smallest distance between two sets of voxels, from side to side, in exact decimals."""
    scale = np.asarray([float(each) for each in spacing])
    best, steps = np.inf, (0, 0, 0)
    rows = max(1, _PAIRS_AT_ONCE // len(second))
    for start in range(0, len(first), rows):
        apart = np.abs(first[start : start + rows, None, :] - second[None, :, :])
        between = np.maximum(apart - 1, 0)
        squares = ((between * scale) ** 2).sum(axis=2)
        place = np.unravel_index(int(squares.argmin()), squares.shape)
        if squares[place] < best:
            best = float(squares[place])
            steps = (int(between[place][0]), int(between[place][1]), int(between[place][2]))
    return sum(((step * each) ** 2 for step, each in zip(steps, spacing, strict=True)), Decimal(0)).sqrt()

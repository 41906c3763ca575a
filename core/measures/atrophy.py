"""Atrophy rate: how much of the brain is lost a year, from two scans by the boundary shift integral."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.measures.geometry import Mask, exact_spacing, touches_edge
from core.measures.operators import sampled_volume
from core.measures.registration import HalfWay, Scan, half_way
from core.measures.result import Measure, Measured, NotMeasured
from core.quantities import rounded

DAYS_A_YEAR = Decimal("365.25")
# The part of the way from outside to tissue in which the boundary is followed (Freeborough and Fox 1997, figure 3).
_WINDOW = (0.25, 0.75)
# Below this Dice overlap of the registered masks the two scans are not the same head in the same place.
_LEAST_OVERLAP = 0.85
_LEAST_CONTRAST = 0.1


def atrophy_rate_percent_per_year(baseline: Scan, follow_up: Scan, days: int) -> Measure:
    """Brain volume lost in a year, as a share of the baseline volume.

    Both scans are registered rigidly and resampled half-way; intensities are scaled to equal means deep inside the
    brain; the boundary shift integral sums their clipped difference along the boundary. All of it is done once from
    each side, and the mean counts.

    Args:
        baseline, follow_up: T1-weighted images with brain masks, same scanner and sequence.
        days: from the first scan to the second.

    Returns:
        Percent a year (unit %/a), positive where volume was lost, rounded half-even to 0.01. The uncertainty is half
        the difference between both directions, brought to a year, at least 0.01. NotMeasured: an empty mask or one
        that is cut by the edge, no interval, equal brightness inside and outside, or masks that do not cover each
        other after registration.

    Raises:
        GeometryUnusable: shapes of image and mask differ, or a spacing is no length.

    Source: Freeborough and Fox 1997, IEEE TMI 16(5) 623 (boundary shift integral); Leung and others 2012,
    NeuroImage 59(4) 3995 (symmetric form).
    """
    for scan in (baseline.checked(), follow_up.checked()):
        if not scan.mask.any():
            return NotMeasured("empty-mask")
        if touches_edge(scan.mask, in_plane_only=False):
            return NotMeasured("cut-by-image-edge")
        if not bool(np.isfinite(scan.image).all()):
            return NotMeasured("values-not-finite")
    if days <= 0:
        return NotMeasured("no-interval")
    forth, back = _lost_mm3(half_way(baseline, follow_up)), _lost_mm3(half_way(follow_up, baseline))
    if isinstance(forth, NotMeasured):
        return forth
    if isinstance(back, NotMeasured):
        return back
    volume, _ = sampled_volume(baseline.mask, exact_spacing(baseline.spacing_mm))
    a_year = 100 * DAYS_A_YEAR / days / volume
    # From the other side a loss appears as a gain.
    lost = Decimal(repr((forth - back) / 2)) * a_year
    apart = abs(Decimal(repr((forth + back) / 2))) * a_year
    return Measured(rounded(lost, 2), "%/a", max(rounded(apart, 2), Decimal("0.01")))


def _lost_mm3(scans: HalfWay) -> float | NotMeasured:
    """Volume between the boundaries of the first and the second scan in cubic millimetres, positive for a loss."""
    first, second = scans.first_mask >= 0.5, scans.second_mask >= 0.5
    overlap = 2 * int((first & second).sum()) / max(int(first.sum()) + int(second.sum()), 1)
    if overlap < _LEAST_OVERLAP:
        return NotMeasured("registration-failed")
    both, either = first & second, first | second
    deep, near = _eroded(both, 3), _grown(either, 2)
    if not deep.any():
        return NotMeasured("too-few-voxels")
    shell = _grown(either, 4) & ~near
    clipped = []
    for image in (scans.first, scans.second):
        inside, outside = float(image[deep].mean()), float(np.median(image[shell]))
        if abs(inside - outside) <= _LEAST_CONTRAST * abs(inside):
            return NotMeasured("no-tissue-contrast")
        scaled = (image - outside) / (inside - outside)
        clipped.append(np.clip(scaled, *_WINDOW) / (_WINDOW[1] - _WINDOW[0]))
    boundary = near & ~_eroded(both, 2)
    return float((clipped[0] - clipped[1])[boundary].sum()) * scans.voxel_mm3


def _grown(mask: Mask, steps: int) -> Mask:
    """The mask and all voxels within `steps` faces of it."""
    grown = mask.copy()
    for _ in range(steps):
        wide = grown.copy()
        for axis in range(3):
            wide |= _moved(grown, axis, 1) | _moved(grown, axis, -1)
        grown = wide
    return grown


def _eroded(mask: Mask, steps: int) -> Mask:
    return ~_grown(~mask, steps)


def _moved(mask: Mask, axis: int, step: int) -> NDArray[np.bool_]:
    """The mask moved by one voxel; what enters at the border is False."""
    moved = np.roll(mask, step, axis)
    edge: list[slice | int] = [slice(None)] * 3
    edge[axis] = 0 if step > 0 else -1
    moved[tuple(edge)] = False
    return moved

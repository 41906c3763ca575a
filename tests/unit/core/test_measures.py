"""Measurement operators against shapes whose volume and diameters are known by formula."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.measures import (
    GeometryUnusable,
    Measured,
    NotMeasured,
    lesion_axes,
    long_axis_mm,
    short_axis_mm,
    volume_mm3,
)
from core.measures.geometry import Mask
from tests.req import req

Triple = tuple[float, float, float]
SPACINGS: list[Triple] = [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (5.0, 0.977, 0.977), (3.0, 0.5, 0.8)]


def ellipsoid(
    semi_mm: Triple, spacing_mm: Triple, *, centre_shift_mm: Triple = (0.13, 0.21, 0.37), angle: float = 0.0
) -> Mask:
    """Mask of an ellipsoid (semi-axes slices, rows, columns), turned by `angle` in the plane, with a margin."""
    reach = max(semi_mm)
    counts = [2 * math.ceil(reach / step) + 5 for step in spacing_mm]
    axes = [
        (np.arange(n) - (n - 1) / 2) * step - shift
        for n, step, shift in zip(counts, spacing_mm, centre_shift_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    turned_y = y * math.cos(angle) + x * math.sin(angle)
    turned_x = x * math.cos(angle) - y * math.sin(angle)
    inside: Mask = (z / semi_mm[0]) ** 2 + (turned_y / semi_mm[1]) ** 2 + (turned_x / semi_mm[2]) ** 2 <= 1
    return inside


@req("VAL-10", "REC-14")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("semi", [(12.0, 10.0, 16.0), (20.0, 25.0, 15.0), (9.0, 7.0, 7.5)])
def test_volume_of_an_ellipsoid_is_four_thirds_pi_abc(semi: Triple, spacing: Triple) -> None:
    measured = volume_mm3(ellipsoid(semi, spacing), spacing)

    truth = 4 / 3 * math.pi * math.prod(semi)
    assert isinstance(measured, Measured)
    assert measured.unit == "mm3"
    assert measured.uncertainty is not None
    assert abs(float(measured.value) - truth) < 4 * float(measured.uncertainty) + 0.03 * truth


@req("VAL-10", "REC-14")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4, 1.2])
@pytest.mark.parametrize("semi", [(12.0, 10.0, 16.0), (20.0, 25.0, 15.0), (9.0, 7.0, 7.5)])
def test_axes_of_an_ellipsoid_are_its_in_plane_diameters(semi: Triple, angle: float, spacing: Triple) -> None:
    """Within one in-plane voxel, whatever the slice thickness; the shift keeps the centre near a slice."""
    mask = ellipsoid(semi, spacing, angle=angle)

    long, short = long_axis_mm(mask, spacing), short_axis_mm(mask, spacing)

    assert isinstance(long, Measured)
    assert isinstance(short, Measured)
    assert abs(float(long.value) - 2 * max(semi[1:])) < max(spacing[1:])
    # A near-circle has its longest chord anywhere, its perpendicular between the two diameters.
    assert abs(float(short.value) - 2 * min(semi[1:])) < 1.3 * max(spacing[1:]) + 0.1


@req("VAL-10")
def test_a_row_of_voxels_measures_voxels_times_spacing() -> None:
    mask = np.zeros((3, 5, 12), dtype=np.bool_)
    mask[1, 2, 3:9] = True

    assert str(long_axis_mm(mask, (5, 0.8, 0.7))) == "4.2 mm"
    assert str(short_axis_mm(mask, (5, 0.8, 0.7))) == "0.8 mm"
    assert str(volume_mm3(mask, (5, 0.8, 0.7))) == "16.8 mm3"


@req("VAL-10")
def test_in_plane_spacings_that_differ_are_not_mixed_up() -> None:
    mask = np.zeros((3, 14, 14), dtype=np.bool_)
    mask[1, 2:12, 7] = True

    assert str(long_axis_mm(mask, (5, 2.0, 0.5))) == "20.0 mm"
    assert str(long_axis_mm(mask, (5, 0.5, 2.0))) == "5.0 mm"


@req("VAL-10")
def test_the_diameter_lies_within_one_region_of_one_slice() -> None:
    """Two parts of a lesion are not joined across what is not lesion, nor across slices."""
    mask = np.zeros((4, 6, 20), dtype=np.bool_)
    mask[1, 2, 2:6] = True
    mask[1, 2, 10:17] = True
    mask[2, 2, 2:8] = True

    axes = lesion_axes(mask, (1, 1, 1))

    assert not isinstance(axes, NotMeasured)
    assert (axes.slice, axes.long_mm) == (1, Decimal("7.0"))


@req("VAL-11")
def test_an_empty_or_cut_mask_gives_a_reason_and_no_number() -> None:
    empty = np.zeros((3, 4, 4), dtype=np.bool_)
    cut = empty.copy()
    cut[1, 0, 2] = True
    last_slice = empty.copy()
    last_slice[2, 2, 2] = True

    assert volume_mm3(empty, (1, 1, 1)) == NotMeasured("empty-mask")
    assert long_axis_mm(cut, (1, 1, 1)) == NotMeasured("cut-by-image-edge")
    assert volume_mm3(last_slice, (1, 1, 1)) == NotMeasured("cut-by-image-edge")
    assert str(long_axis_mm(last_slice, (1, 1, 1))) == "1.0 mm"


@req("VAL-11")
@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, math.nan), (1, 1, math.inf), (1, 1)])
def test_unusable_spacing_is_an_error(spacing: Any) -> None:
    with pytest.raises(GeometryUnusable):
        volume_mm3(np.ones((3, 3, 3), dtype=np.bool_), spacing)


@req("VAL-11")
@pytest.mark.parametrize("mask", [np.ones((3, 3, 3), dtype=np.uint8), np.ones((3, 3), dtype=np.bool_)])
def test_a_mask_of_another_kind_is_an_error(mask: Any) -> None:
    with pytest.raises(GeometryUnusable):
        long_axis_mm(mask, (1, 1, 1))


@st.composite
def blobs(draw: st.DrawFn) -> Mask:
    side = draw(st.integers(1, 7))
    bits = draw(st.lists(st.booleans(), min_size=side * side, max_size=side * side))
    return np.pad(np.array(bits, dtype=np.bool_).reshape(1, side, side), 1)


@req("VAL-10")
@given(blobs())
def test_axes_do_not_change_when_the_image_is_mirrored_or_turned(mask: Mask) -> None:
    spacing = (2.0, 0.75, 0.75)
    expected = lesion_axes(mask, spacing)
    for other in (mask[:, ::-1], mask[:, :, ::-1], mask.transpose(0, 2, 1)):
        found = lesion_axes(np.ascontiguousarray(other), spacing)
        assert found == expected


@req("VAL-10")
@given(blobs())
def test_the_long_axis_equals_an_exhaustive_search(mask: Mask) -> None:
    """Every pair of edge midpoints of every region, without a hull."""
    ndimage = pytest.importorskip("scipy.ndimage")
    found = lesion_axes(mask, (1, 1.5, 0.5))
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    longest = 0.0
    for number in range(1, count + 1):
        points = [
            ((row + dy) * 1.5, (column + dx) * 0.5)
            for _, row, column in np.argwhere(labels == number)
            for dy, dx in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
        ]
        longest = max(longest, max(math.dist(a, b) for a in points for b in points))
    if isinstance(found, NotMeasured):
        assert not mask.any()
    else:
        assert abs(float(found.long_mm) - longest) <= 0.0500001
        assert found.short_mm <= found.long_mm

"""Operators beside volume and axes, against shapes and published phantoms whose truth is known."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.dicom.result import Instance, as_bytes
from core.dicom.segmentation import Segment, make_segmentation
from core.measures import GeometryUnusable, Measured, NotMeasured
from core.measures.atrophy import atrophy_rate_percent_per_year
from core.measures.catalogue import OPERATORS, Given, Options, measured
from core.measures.intensity import first_order, map_statistics
from core.measures.lesions import lesion_count, lesion_load
from core.measures.organs import ejection_fraction_percent, minimal_joint_space_mm, organ_volume_ml
from core.measures.registration import Scan
from core.measures.texture import texture
from countersign.cli import app
from tests.req import req
from tests.unit.dicom.samples import ct_series

SPACING = (3.0, 1.0, 1.0)


def sure(found) -> float:
    """The uncertainty of a measure, which must be there."""
    assert found.uncertainty is not None
    return float(found.uncertainty)


def boxes(*places, shape=(8, 16, 16)):
    mask = np.zeros(shape, np.bool_)
    for place in places:
        mask[place] = True
    return mask


ONE = (slice(1, 3), slice(2, 4), slice(2, 6))  # 16 voxels
TWO = (slice(5, 6), slice(10, 12), slice(10, 12))  # 4 voxels


@req("VAL-10")
def test_lesions_are_counted_and_added_up() -> None:
    mask = boxes(ONE, TWO)

    assert str(lesion_count(mask, SPACING)) == "2 1"
    assert str(lesion_load(mask, SPACING)) == "0.060 mL"  # 20 voxels of 3 mm3


@req("VAL-10")
def test_a_lesion_of_exactly_the_smallest_size_counts_and_a_smaller_one_neither_counts_nor_adds() -> None:
    mask = boxes(ONE, TWO)

    assert str(lesion_count(mask, SPACING, smallest_mm3=Decimal("12"))) == "2 1"
    assert str(lesion_count(mask, SPACING, smallest_mm3=Decimal("12.0001"))) == "1 1"
    assert str(lesion_load(mask, SPACING, smallest_mm3=Decimal("12.0001"))) == "0.048 mL"


@req("VAL-10")
@pytest.mark.parametrize(("connectivity", "count"), [(6, 2), (18, 2), (26, 1)])
def test_what_touches_at_a_corner_is_one_lesion_only_where_the_charter_says_so(connectivity, count) -> None:
    mask = boxes((slice(2, 3),) * 3, (slice(3, 4),) * 3)

    assert str(lesion_count(mask, SPACING, connectivity=connectivity)) == f"{count} 1"


@req("VAL-11")
def test_no_lesion_is_the_value_zero_and_a_lesion_cut_by_the_edge_is_no_value() -> None:
    cut = boxes((slice(0, 2), slice(2, 4), slice(2, 4)))

    assert str(lesion_count(boxes(), SPACING)) == "0 1"
    assert str(lesion_load(boxes(), SPACING)) == "0.000 mL"
    assert lesion_count(cut, SPACING) == NotMeasured("cut-by-image-edge")
    assert lesion_load(cut, SPACING) == NotMeasured("cut-by-image-edge")


@req("VAL-10")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
def test_load_of_boxes_apart_is_the_sum_of_their_volumes(depth, height, width) -> None:
    far = (slice(6, 7), slice(14, 15), slice(14, 15))
    mask = boxes((slice(1, 1 + depth), slice(1, 1 + height), slice(1, 1 + width)), far)

    assert lesion_load(mask, SPACING).value == Decimal(3 * (depth * height * width + 1)).scaleb(-3)
    assert lesion_count(mask, SPACING).value == 2


@req("VAL-10")
def test_an_ellipsoid_organ_has_its_volume_in_millilitres() -> None:
    z, y, x = np.meshgrid(*[(np.arange(50) - 24.5) * step for step in (2.0, 1.5, 1.5)], indexing="ij")
    mask = (z / 40) ** 2 + (y / 30) ** 2 + (x / 25) ** 2 <= 1

    found = organ_volume_ml(mask, (2.0, 1.5, 1.5))

    truth = 4 / 3 * math.pi * 40 * 30 * 25 / 1000
    assert (found.unit, abs(float(found.value) - truth) < 3 * sure(found)) == ("mL", True)


def ventricle(radius: float, slices: slice = slice(None)) -> np.ndarray:
    """A cylinder along the slices that goes through the whole stack."""
    y, x = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5, indexing="ij")
    mask = np.zeros((8, 64, 64), np.bool_)
    mask[slices] = x**2 + y**2 <= radius**2
    return mask


@req("VAL-10")
def test_ejection_fraction_is_the_share_of_the_area_that_a_cylinder_gives_up() -> None:
    full, rest = ventricle(24), ventricle(24 / math.sqrt(2))

    found = ejection_fraction_percent(full, rest, (8.0, 1.4, 1.4))

    assert (found.unit, abs(float(found.value) - 50) < 2 * sure(found)) == ("%", True)
    assert str(ejection_fraction_percent(full, full, (8.0, 1.4, 1.4))) == "0.0 %"


@req("VAL-11")
def test_exchanged_phases_or_an_empty_cavity_give_no_ejection_fraction() -> None:
    full, rest, spacing = ventricle(24), ventricle(15), (8.0, 1.4, 1.4)

    assert ejection_fraction_percent(rest, full, spacing) == NotMeasured("end-systole-larger")
    assert ejection_fraction_percent(full, ventricle(0, slice(0, 0)), spacing) == NotMeasured("empty-mask")
    assert ejection_fraction_percent(np.pad(full, 1)[1:-1, 9:-1, 1:-1][:, :55], full[:, :55], spacing) == NotMeasured(
        "cut-by-image-edge")
    with pytest.raises(GeometryUnusable):
        ejection_fraction_percent(full, rest[1:], spacing)


@req("VAL-10")
@pytest.mark.parametrize("gap", [0, 1, 5, 17])
def test_joint_space_between_flat_bones_is_the_empty_voxels_times_their_spacing(gap) -> None:
    upper, lower = boxes((0, slice(0, 10), slice(0, 40)), shape=(1, 60, 40)), np.zeros((1, 60, 40), np.bool_)
    lower[0, 10 + gap :] = True

    found = minimal_joint_space_mm(upper, lower, (1.0, 0.15, 0.2))

    assert found.value == (Decimal("0.15") * gap).quantize(Decimal("0.01"))
    assert minimal_joint_space_mm(lower, upper, (1.0, 0.15, 0.2)) == found


@req("VAL-10")
def test_joint_space_between_round_bones_is_the_distance_of_their_nearest_points() -> None:
    y, x = np.meshgrid(np.arange(100) * 0.4, np.arange(100) * 0.4, indexing="ij")
    upper = ((y - 10) ** 2 + (x - 20) ** 2 <= 64)[None]
    lower = ((y - 30) ** 2 + (x - 21) ** 2 <= 64)[None]

    found = minimal_joint_space_mm(upper, lower, (1.0, 0.4, 0.4))

    assert abs(float(found.value) - (math.hypot(20, 1) - 16)) < 3 * sure(found)


@req("VAL-11")
def test_bones_that_overlap_or_are_missing_have_no_joint_space() -> None:
    bone = boxes(ONE)

    assert minimal_joint_space_mm(bone, bone, SPACING) == NotMeasured("masks-overlap")
    assert minimal_joint_space_mm(bone, boxes(), SPACING) == NotMeasured("empty-mask")


# The digital phantom of the Image Biomarker Standardisation Initiative; 0 lies outside the region.
IBSI = np.asarray([
    [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
], float)
# Published values with the digits they are published in (reference manual, "dig. phantom"; texture: 3D, merged).
FIRST_ORDER = {"mean": "2.15", "variance": "3.05", "skewness": "1.08", "kurtosis": "-0.355", "median": "1",
               "minimum": "1", "percentile_10": "1", "percentile_90": "4", "maximum": "6", "root_mean_square": "2.77",
               "mean_absolute_deviation": "1.55", "entropy": "1.27"}
TEXTURE = {"joint_maximum": "0.509", "joint_average": "2.15", "joint_variance": "3.13", "joint_entropy": "2.57",
           "angular_second_moment": "0.291", "contrast": "5.12", "dissimilarity": "1.38",
           "inverse_difference": "0.688", "inverse_difference_moment": "0.631", "correlation": "0.183"}


@req("VAL-10")
@pytest.mark.parametrize("published", [FIRST_ORDER, TEXTURE], ids=["first order", "texture"])
def test_features_of_the_ibsi_phantom_are_the_published_ones(published) -> None:
    found = {**first_order(IBSI, IBSI > 0, "1", bin_width=Decimal(1)), **texture(IBSI, IBSI > 0, bin_width=Decimal(1))}

    digits = {name: found[name].value.quantize(Decimal(value)) for name, value in published.items()}

    assert digits == {name: Decimal(value) for name, value in published.items()}
    assert all(found[name].uncertainty is not None for name in published if name not in ("minimum", "maximum"))


@req("VAL-11")
def test_features_of_equal_few_or_broken_values_are_not_measured() -> None:
    mask = boxes(ONE)
    flat, broken = np.full(mask.shape, 7.0), np.zeros(mask.shape)
    broken[1, 2, 2] = np.nan

    found = {**first_order(flat, mask, "HU", bin_width=Decimal(25)), **texture(flat, mask, bin_width=Decimal(25))}
    few = first_order(flat, boxes((slice(1, 2), slice(1, 3), slice(1, 4))), "HU", bin_width=Decimal(25))

    assert {name for name, one in found.items() if one == NotMeasured("constant-values")} == {
        "skewness", "kurtosis", "correlation"}
    assert str(found["mean"]) == "7.00000 HU"
    assert set(few.values()) == {NotMeasured("too-few-voxels")}
    assert set(texture(broken, mask, bin_width=Decimal(1)).values()) == {NotMeasured("values-not-finite")}


@req("VAL-10")
@given(st.floats(-500, 500), st.floats(0.5, 4))
def test_moving_and_stretching_values_moves_and_stretches_their_features(shift, scale) -> None:
    """Skewness, texture and entropy stay when the width of grey levels is stretched along."""
    image, mask = np.random.default_rng(3).normal(0, 40, (5, 8, 8)), boxes(ONE, shape=(5, 8, 8))

    before = first_order(image, mask, "HU", bin_width=Decimal(25))
    after = first_order(image * scale + shift, mask, "HU", bin_width=Decimal(25) * Decimal(repr(scale)))

    assert float(after["mean"].value) == pytest.approx(float(before["mean"].value) * scale + shift, abs=1e-2)
    assert float(after["standard_deviation"].value) == pytest.approx(
        float(before["standard_deviation"].value) * scale, rel=1e-4)
    assert float(after["skewness"].value) == pytest.approx(float(before["skewness"].value), abs=1e-4)


@req("VAL-10", "VAL-11")
def test_a_map_is_described_where_it_was_estimable_and_says_how_much_that_was() -> None:
    """ADC of 0.0012 mm2/s with failed fits: within the limit they are left out, beyond it nothing is measured."""
    mask = boxes((slice(1, 21), slice(2, 7), slice(2, 7)), shape=(24, 16, 16))
    adc = np.where(mask, 1.2e-3 + 1e-4 * np.random.default_rng(5).standard_normal(mask.shape), 9.0)
    adc[2, 2:6, 2:7] = 0.0  # 20 of 500 voxels: the fit failed
    limits = {"lowest": Decimal("0.0001"), "highest": Decimal("0.004")}

    found = map_statistics(adc, mask, "mm2/s", **limits)
    strict = map_statistics(adc, mask, "mm2/s", **limits, least_share=Decimal("0.97"))

    assert str(found["estimable_share"]) == "0.960000 1"
    assert found["mean"].unit == "mm2/s"
    by_theory = 1e-4 / math.sqrt(480)
    assert abs(float(found["mean"].value) - 1.2e-3) < 3 * by_theory
    assert 0.6 < sure(found["mean"]) / by_theory < 1.6
    assert abs(float(found["median"].value) - 1.2e-3) < 4 * by_theory
    assert 0.6 < sure(found["median"]) / (by_theory * math.sqrt(math.pi / 2)) < 1.8
    assert strict["mean"] == NotMeasured("too-few-voxels")
    assert str(strict["estimable_share"]) == "0.960000 1"


def head(lost: float, *, turn: float = 0.0, shift=(0.0, 0.0, 0.0), gain: float = 1.0, noise: float = 0.0) -> Scan:
    """A brain of 150 mm in fluid and skull, with structure inside; `lost` is the share of its volume that is gone."""
    spacing, counts = (3.0, 3.0, 3.0), (48, 54, 48)
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(counts, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    z, y, x = z - shift[0], y - shift[1], x - shift[2]
    y, x = math.cos(turn) * y - math.sin(turn) * x, math.sin(turn) * y + math.cos(turn) * x

    def body(*half):
        radius = np.sqrt((z / half[0]) ** 2 + (y / half[1]) ** 2 + (x / half[2]) ** 2)
        return np.clip(0.5 - (radius - 1) * min(half) / 3, 0, 1)

    left = (1 - lost) ** (1 / 3)
    brain, fluid, skull = body(46 * left, 62 * left, 50 * left), body(54, 70, 58), body(60, 75, 64)
    image = 100 * brain + 20 * (fluid - brain) + 60 * (skull - fluid) + 12 * np.sin(x / 9) * np.cos(y / 11) * brain
    image += noise * np.random.default_rng(1).standard_normal(image.shape)
    return Scan((gain * image).astype(np.float32), brain >= 0.5, spacing)


@req("VAL-10")
def test_atrophy_is_found_through_movement_gain_and_noise() -> None:
    """2 % of volume lost in 730 days is 1 % a year; the follow-up lies elsewhere, turned, brighter and noisier."""
    moved = head(0.02, turn=0.05, shift=(2.3, -1.7, 3.1), gain=1.3, noise=1.0)

    found = atrophy_rate_percent_per_year(head(0), moved, 730)

    assert isinstance(found, Measured)
    assert (found.unit, abs(float(found.value) - 1.0) < 0.1) == ("%/a", True)
    assert found.uncertainty is not None
    assert atrophy_rate_percent_per_year(head(0), moved, 730) == found


@req("VAL-11")
def test_no_rate_without_interval_contrast_or_a_whole_brain() -> None:
    first = head(0)
    cut = Scan(first.image, np.roll(first.mask, 10, axis=0), first.spacing_mm)
    grey = Scan(np.full_like(first.image, 50) + first.image * 0.001, first.mask, first.spacing_mm)

    assert atrophy_rate_percent_per_year(first, first, 0) == NotMeasured("no-interval")
    assert atrophy_rate_percent_per_year(first, cut, 365) == NotMeasured("cut-by-image-edge")
    assert atrophy_rate_percent_per_year(grey, grey, 365) == NotMeasured("no-tissue-contrast")


@req("VAL-10")
def test_every_operator_of_the_catalogue_answers_with_values_units_and_uncertainties() -> None:
    """A smoke of the whole table on one region; the ones with two regions get the same one, shrunk."""
    image = np.random.default_rng(2).normal(100, 10, (8, 16, 16))
    mask = boxes((slice(2, 6), slice(3, 12), slice(3, 12)))
    small = boxes((slice(3, 5), slice(5, 9), slice(5, 9)))
    beside = boxes((slice(2, 6), slice(13, 15), slice(3, 12)))

    for name, row in OPERATORS.items():
        if row.needs == "two scans":
            continue
        second = Scan(image, beside if name == "joint-space" else small, SPACING) if row.needs == "two masks" else None
        found = measured(name, Given(Scan(image, mask, SPACING), second, Options(bin_width=Decimal(5))))
        assert all(isinstance(one, Measured) and one.unit for one in found.values()), (name, found)


@req("VAL-10", "REC-08")
def test_a_person_measures_a_segmentation_at_the_console(tmp_path) -> None:
    """The series and its SEG as files: volume by the operator is the voxels of the mask, with the digest of the SEG."""
    images = ct_series()
    mask = np.zeros((8, 16, 12), np.bool_)
    mask[2:5, 4:9, 3:7] = True
    made = make_segmentation([Segment("Lesion", "TL01", "2.25.111", mask, "MANUAL")], images, None,
                             Instance("2.25.1", "2.25.2", 100, 1, datetime(2026, 3, 10, 10, tzinfo=UTC), "0.1.0"))
    (tmp_path / "series").mkdir()
    for number, image in enumerate(images):
        (tmp_path / "series" / f"{number}.dcm").write_bytes(as_bytes(image))
    (tmp_path / "seg.dcm").write_bytes(as_bytes(made))
    where = ["--series", str(tmp_path / "series"), "--segmentation", str(tmp_path / "seg.dcm")]

    volume = CliRunner().invoke(app, ["measure", "run", "volume", *where, "--json"])
    first = CliRunner().invoke(app, ["measure", "run", "first-order", *where])
    wrong = CliRunner().invoke(app, ["measure", "run", "weight", *where])

    assert json.loads(volume.stdout)["measures"]["volume"] == {
        "value": "96.0", "unit": "mm3", "uncertainty": json.loads(volume.stdout)["measures"]["volume"]["uncertainty"]}
    assert " HU ± " in first.stdout
    assert (wrong.exit_code, "There is no operator 'weight'" in wrong.output) == (1, True)

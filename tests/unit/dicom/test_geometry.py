"""Slices that make no volume are found out from their headers, with the place and the measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dicom.findings import Outcome
from core.dicom.geometry import GeometryUnusable, check, slices_of, split_stacks, volume_geometry
from core.dicom.reading import read_object
from core.dicom.volume import ScaleUnknown, load_volume
from tests.req import req
from tests.unit.dicom.samples import ct_series, ct_slice


def broken(datasets):
    return {finding.rule: finding for finding in check(slices_of(datasets)) if finding.bars}


@req("RDG-11")
def test_a_regular_series_meets_every_rule():
    series = ct_series(8)

    assert broken(series) == {}
    assert volume_geometry(slices_of(series)).spacing_mm == (2.5, 0.8, 0.8)


@req("RDG-11")
@given(st.permutations(range(8)))
def test_the_order_of_files_does_not_matter(order):
    series = [ct_slice(number + 1) for number in order]
    geometry = volume_geometry(slices_of(series))

    assert [series[index].InstanceNumber for index in geometry.order] == list(range(1, 9))


@req("RDG-11")
@given(st.sets(st.integers(2, 11), min_size=1, max_size=3))
def test_every_missing_inner_slice_is_counted(missing):
    """Slice positions are the witness, not instance numbers or a declared count."""
    series = [ct_slice(number) for number in range(1, 13) if number not in missing]
    found = broken(series)

    assert found["geometry.gaps"].measured == f"{len(missing)} missing of 12"
    with pytest.raises(GeometryUnusable, match=r"geometry\.gaps"):
        volume_geometry(slices_of(series))


@req("RDG-11")
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ImagePositionPatient": [-10, -20, 7.5]}, "geometry.duplicates"),
        ({"ImagePositionPatient": [-10, -20, 10.6]}, "geometry.regular"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.966, 0.259]}, "geometry.orientation"),
        ({"PixelSpacing": ["0.9", "0.9"]}, "geometry.pixel_spacing"),
        ({"PixelSpacing": None}, "geometry.pixel_spacing"),
        ({"ImagePositionPatient": None}, "geometry.planes"),
        ({"EchoTime": "90"}, "geometry.stack"),
        ({"GantryDetectorTilt": "18.5"}, "geometry.tilt"),
        ({"Rows": 12, "Columns": 16}, "geometry.matrix"),
    ],
)
def test_one_odd_slice_is_named(change, rule):
    """Slice 4 of 8 differs in one thing; the finding of that rule bars the series."""
    series = [ct_slice(number, **(change if number == 4 else {})) for number in range(1, 9)]

    assert rule in broken(series)


@req("RDG-11")
def test_two_frames_of_reference_are_a_warning_without_the_uid():
    series = [ct_slice(number, FrameOfReferenceUID=f"2.25.{number}") for number in range(1, 6)]
    finding = next(one for one in check(slices_of(series)) if one.rule == "geometry.frame_of_reference")

    assert finding.outcome is Outcome.WARNING
    assert "2.25" not in finding.measured
    assert volume_geometry(slices_of(series)).frame_of_reference == ""


@req("RDG-11")
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("folder", "rule", "measured"),
    [
        ("geometry-and-syntax-d2n/failing/gantrytilting", "geometry.tilt", "positions 14.0 deg"),
        ("geometry-and-syntax-d2n/failing/notavolume", "geometry.duplicates", "3 at"),
        ("geometry-and-syntax-d2n/failing/slicecount", "geometry.slices", "2 slices"),
        ("geometry-and-syntax-d2n/failing/sliceincrement", "geometry.orientation", ""),
        ("geometry-and-syntax-d2n/failing/sliceorientation", "geometry.orientation", ""),
        ("ct-head-ge-tilt", "geometry.tilt", "declared 18.5 deg"),
        ("ct-head-ge-tilt", "geometry.regular", "1.08 mm to 7.00 mm"),
        ("mr-brain-adi/t1-memprage", "geometry.gaps", "1 missing of 176"),
        ("mr-pd-t2-interleaved", "geometry.stack", "echo time 11"),
    ],
)
def test_real_series_with_a_known_fault_are_found_out(data, folder, rule, measured):
    paths = [path for path in sorted((data / folder).rglob("*")) if path.is_file()]
    found = broken([read_object(path) for path in paths])

    assert measured in found[rule].measured


@req("RDG-11")
@pytest.mark.realdata
def test_an_interleaved_series_splits_into_two_whole_stacks(data):
    headers = slices_of([read_object(path) for path in sorted((data / "mr-pd-t2-interleaved").glob("*.dcm"))])
    stacks = split_stacks(headers)

    assert [len(stack) for stack in stacks.values()] == [35, 35]
    assert all(volume_geometry(stack).shape[0] == 35 for stack in stacks.values())


@req("RDG-11")
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("folder", "shape", "unit"),
    [
        ("pet-seg-qin-hn-0024/pet", (299, 128, 128), "{SUVbw}g/ml"),
        ("mr-enhanced-siemens-xa10/6_1.dcm", (6, 64, 64), "1"),
        ("geometry-and-syntax-d2n/philips_enhanced/anatomical", (8, 256, 256), "1"),
    ],
)
def test_real_series_load_as_volumes(data, folder, shape, unit):
    where = data / folder
    paths = [where] if where.is_file() else [path for path in where.rglob("*") if path.is_file()]
    volume = load_volume([read_object(path) for path in paths])

    assert (volume.values.shape, volume.unit) == (shape, unit)
    assert np.isfinite(volume.values).all()


def pet_series(**changes):
    from pydicom.dataset import Dataset

    source = Dataset()
    source.RadionuclideTotalDose = "350000000"
    source.RadionuclideHalfLife = "6586.2"
    source.RadiopharmaceuticalStartTime = "091500"
    stated = {
        "Modality": "PT", "Units": "BQML", "CorrectedImage": ["ATTN", "DECY", "SCAT"], "DecayCorrection": "START",
        "PatientWeight": "70", "RadiopharmaceuticalInformationSequence": [source], "RescaleIntercept": "0",
    } | changes
    return [ct_slice(number, **stated) for number in range(1, 5)]


@req("RDG-11")
def test_suv_follows_dose_weight_and_decay():
    """QIBA's rule: 70 kg, 350 MBq one hour before: SUV = c * 70000 / (3.5e8 * 2^(-3600/6586.2))."""
    series = pet_series()
    volume = load_volume(series)
    stored = np.frombuffer(series[0].PixelData, "<i2").reshape(16, 12)
    factor = 70000 / (3.5e8 * 2 ** (-3600 / 6586.2))

    assert np.allclose(volume.values[0], stored * factor, rtol=1e-5)


@req("RDG-11")
@pytest.mark.parametrize(
    "change",
    [{"Units": "CNTS"}, {"PatientWeight": None}, {"DecayCorrection": "NONE"}, {"CorrectedImage": ["ATTN"]},
     {"SeriesTime": "120000"}, {"RadiopharmaceuticalInformationSequence": []}, {"Units": "GML", "SUVType": "LBM"}],
)  # fmt: skip
def test_suv_is_refused_where_the_header_does_not_carry_it(change):
    with pytest.raises(ScaleUnknown):
        load_volume(pet_series(**change))


@req("MLK-03", "RDG-11")
@pytest.mark.parametrize("change", ["no slope", "another type"])
def test_a_ct_that_states_no_scale_to_hounsfield_units_is_no_volume(change):
    """Type 1 in a CT image (PS3.3 C.8.2.1); stored values that look like HU are none."""
    series = ct_series(4)
    if change == "no slope":
        del series[2].RescaleSlope
    else:
        series[2].RescaleType = "US"

    with pytest.raises(ScaleUnknown, match="no Rescale Slope and Intercept to HU"):
        load_volume(series)

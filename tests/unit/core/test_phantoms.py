"""The generated reference objects are what they claim: truth by formula, on the grid, and in the files."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dicom.geometry import GeometryUnusable
from core.dicom.volume import load_volume
from core.errors import UnusableInput
from core.measures import Measured, long_axis_mm, short_axis_mm, volume_mm3
from core.phantoms import (
    DEFECTS,
    SCANNERS,
    Lesion,
    PhantomVolume,
    StudyHeader,
    lesion_at,
    make_volume,
    random_lesion,
    reference_object,
    write_study,
)
from tests.req import req

HEADER = StudyHeader(protocol="TEST-1", site="S01", subject="S01-001", time_point="BASELINE",
                     acquired_on=date(2026, 1, 5), time_point_description="Baseline")

lengths = st.floats(12, 60)


@pytest.fixture(scope="module")
def torso() -> PhantomVolume:
    lesions = [lesion_at("liver", "TL01", (44, 36, 40), lobes=3, bump=0.15, angle_deg=30),
               lesion_at("lung right", "TL02", (24, 18, 20)), lesion_at("lung left", "TL03", (20, 18, 16)).gone()]
    return make_volume(SCANNERS["C"], lesions, 7, field_z_mm=200)


@pytest.fixture(scope="module")
def sound(torso: PhantomVolume, tmp_path_factory: pytest.TempPathFactory) -> set[bytes]:
    return {path.read_bytes() for path in write_study(tmp_path_factory.mktemp("sound"), torso, HEADER)}


@req("VAL-08")
@given(lengths, lengths, lengths, st.sampled_from([0, 2, 3, 4, 5]), st.floats(0, 180))
def test_the_volume_by_formula_is_the_volume_of_a_fine_grid(
    dx: float, dy: float, dz: float, lobes: int, angle: float
) -> None:
    """Counting voxel centres on a fine grid comes within one percent of the closed formula, lobes included."""
    lesion = Lesion("L", (0.3, -0.2, 0.1), (dx, dy, dz), lobes=lobes, bump=0.9 / (lobes + 1) if lobes else 0.0,
                    angle_deg=angle)
    step = max(dx, dy, dz) / 48
    axis = (np.arange(-50, 51) * step).astype(np.float32)

    counted = (lesion.distance_mm(axis[None, None, :], axis[None, :, None], axis[:, None, None]) <= 0).sum() * step**3

    assert counted == pytest.approx(lesion.volume_mm3(), rel=0.01)


@req("VAL-08")
@pytest.mark.parametrize("seed", range(700, 712))
def test_the_truth_of_an_object_is_what_the_operators_measure_on_its_mask(seed: int) -> None:
    """Volume within 6 %, axes within one and a half pixels of formula, on four scanners."""
    volume = reference_object(seed)
    truth, mask, spacing = volume.truth_of("TL01"), volume.masks["TL01"], volume.spacing_mm
    found = [operator(mask, spacing) for operator in (volume_mm3, long_axis_mm, short_axis_mm)]

    assert all(isinstance(one, Measured) for one in found)
    values = [float(one.value) for one in found if isinstance(one, Measured)]
    assert values[0] == pytest.approx(truth.volume_mm3, rel=0.06)
    assert values[0] == pytest.approx(truth.mask_volume_mm3, abs=0.1)
    assert values[1] == pytest.approx(truth.long_axis_mm, abs=1.5 * spacing[1])
    assert values[2] == pytest.approx(truth.short_axis_mm, abs=1.5 * spacing[1])


@req("VAL-08")
def test_a_lesion_that_is_gone_has_truth_zero_and_no_voxel(torso: PhantomVolume) -> None:
    truth = torso.truth_of("TL03")

    assert not truth.present
    assert (truth.volume_mm3, truth.long_axis_mm, truth.mask_volume_mm3) == (0, 0, 0)
    assert not torso.masks["TL03"].any()


def test_a_lesion_grows_as_its_factor_says() -> None:
    """Diameters times f, volume times f cubed."""
    lesion = lesion_at("liver", "TL01", (30, 24, 26), lobes=4, bump=0.1)

    assert lesion.scaled(1.5).volume_mm3() == pytest.approx(lesion.volume_mm3() * 1.5**3)
    assert lesion.scaled(1.5).axes_mm() == pytest.approx([axis * 1.5 for axis in lesion.axes_mm()])


def test_equal_seeds_give_equal_objects_and_others_differ() -> None:
    first, again, other = (reference_object(seed) for seed in (801, 801, 805))

    assert first.ct_hu.tobytes() == again.ct_hu.tobytes()
    assert first.pet_suv.tobytes() == again.pet_suv.tobytes()
    assert first.truth == again.truth
    assert other.truth != first.truth


def test_anatomy_stays_while_noise_changes_between_time_points() -> None:
    """One subject at two time points: equal organs, other noise."""
    scanner = SCANNERS["C"]
    before, after = (make_volume(scanner, [], seed, body_seed=5) for seed in (11, 12))

    apart = before.ct_hu - after.ct_hu
    assert 10 < float(apart[:, 60:150, 60:150].std()) < 40
    assert abs(float(apart.mean())) < 0.5


@pytest.mark.parametrize("wrong", [
    {"diameters_mm": (10, 0, 10)}, {"diameters_mm": (-1, 4, 4)}, {"centre_mm": (float("nan"), 0, 0)},
    {"lobes": 3, "bump": 0.4},
])
def test_an_impossible_lesion_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UnusableInput):
        dataclasses.replace(lesion_at("liver", "TL01", (20, 20, 20)), **wrong)  # type: ignore[arg-type]


def test_a_lesion_outside_the_field_is_refused() -> None:
    with pytest.raises(UnusableInput, match="outside the field"):
        make_volume(SCANNERS["A"], [Lesion("TL01", (0, 0, 400), (20, 20, 20))], 1)


def test_random_lesions_lie_inside_the_field() -> None:
    for seed in range(300):
        lesion = random_lesion(seed)
        reach = lesion.diameters_mm[2] / 2
        assert abs(lesion.centre_mm[2]) + reach < 118


def read(paths: list[Path], modality: str) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in paths if path.parent.name == modality]


@req("VAL-08")
@pytest.mark.parametrize("key", ["A", "D"])
def test_what_is_written_is_read_back_as_hu_and_suv(key: str, tmp_path: Path) -> None:
    """BQML (A) and GML (D) both come back as the SUV that was painted; CT to the whole HU."""
    volume = make_volume(SCANNERS[key], [lesion_at("liver", "TL01", (40, 32, 36))], 9)
    paths = write_study(tmp_path / "study", volume, HEADER)

    ct, pet = load_volume(read(paths, "CT")), load_volume(read(paths, "PT"))

    assert (ct.unit, pet.unit) == ("HU", "{SUVbw}g/ml")
    np.testing.assert_array_equal(ct.values, np.rint(volume.ct_hu))
    np.testing.assert_allclose(pet.values, volume.pet_suv, atol=2e-3 + 1e-4 * float(volume.pet_suv.max()))


def test_the_same_header_gives_the_same_files(torso: PhantomVolume, tmp_path: Path) -> None:
    first, again = (write_study(tmp_path / name, torso, HEADER) for name in ("a", "b"))

    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


@req("RDG-11")
@pytest.mark.parametrize("defect", ["missing_slice", "irregular_spacing", "duplicate_slice", "gantry_tilt"])
def test_a_planted_geometry_defect_makes_no_volume(defect: str, torso: PhantomVolume, tmp_path: Path) -> None:
    paths = write_study(tmp_path / "study", torso, HEADER, defects=[defect])

    with pytest.raises(GeometryUnusable):
        load_volume(read(paths, "CT"))


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_every_defect_changes_the_files(
    defect: str, torso: PhantomVolume, sound: set[bytes], tmp_path: Path
) -> None:
    """No row of the table is a word only."""
    planted = write_study(tmp_path / "planted", torso, HEADER, defects=[defect])

    assert {path.read_bytes() for path in planted} != sound


def test_a_defect_in_one_slice_stays_in_it(torso: PhantomVolume, tmp_path: Path) -> None:
    paths = write_study(tmp_path / "study", torso, HEADER, defects=["name_private"])

    assert sum(b"PLANTED^NAME" in path.read_bytes() for path in paths) == 1


def test_an_unknown_defect_and_a_used_folder_are_refused(torso: PhantomVolume, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="Unknown defects"):
        write_study(tmp_path / "study", torso, HEADER, defects=["no_such_thing"])
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("x")
    with pytest.raises(UnusableInput, match="not empty"):
        write_study(tmp_path / "used", torso, HEADER)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not on this machine")
@pytest.mark.parametrize("key", sorted(SCANNERS))
def test_dciodvfy_finds_no_error(key: str, tmp_path: Path) -> None:
    """Both series of every scanner, first, middle and last slice."""
    volume = make_volume(SCANNERS[key], [lesion_at("liver", "TL01", (40, 32, 36))], 9, field_z_mm=150)
    paths = write_study(tmp_path / "study", volume, HEADER)
    for modality in ("CT", "PT"):
        files = [path for path in paths if path.parent.name == modality]
        for path in (files[0], files[len(files) // 2], files[-1]):
            said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
            assert "Error" not in said.stdout + said.stderr, said.stderr

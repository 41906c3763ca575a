"""Models of others, converted, locked and run: ours answers as theirs, and what they fail on is on record."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from core.dicom.reading import read_object
from core.dicom.segmentation import read_segmentation
from core.dicom.volume import load_volume
from core.measures import NotMeasured, volume_mm3
from core.policy.state import Actor
from countersign.cli.model import app
from models_registry import queries
from models_registry.asking import RequestRun, request_run
from models_registry.comparing import compare_locks
from models_registry.digest import read_tree
from models_registry.ports import GivenSeries
from models_registry.running import run_waiting
from models_registry.segmentation.state import Scan
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import models
from tests.builders.models import TRIAL, MadeImages
from tests.builders.segmentation import AXIAL, add_scan, mr_series
from tests.conftest import ROOT, beside, need
from tests.house import HouseUnderTest, a_house
from tests.req import req

pytestmark = pytest.mark.journey
SUBJECTS = ("S-001", "S-002", "S-003", "S-004", "S-005", "S-006")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    need("torch")
    with a_house(tmp_path_factory.mktemp("third")) as house:
        models.cast(house)
        models.live_trial(house, *SUBJECTS)
        yield house


def theirs(script: str, *arguments: str) -> None:
    """A program of the environment beside ours."""
    need("thirdparty")
    done = subprocess.run([str(beside("thirdparty") / "python"), str(ROOT / "tests" / "thirdparty" / script),
                           *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def wheel_of_deepbet(folder: Path) -> Path:
    """The two archives of the installed deepbet, laid out as in its wheel."""
    need("thirdparty")
    place = next((beside("thirdparty").parent / "lib").glob("python3*/site-packages/data/models"))
    shutil.copytree(place, folder / "data" / "models")
    return folder


def converted(source: Path, kind: str, out: Path, *more: str) -> Path:
    """`countersign model convert` as it is typed."""
    done = CliRunner().invoke(app, ["convert", str(source), "--as", kind, "--out", str(out), *more])
    assert done.exit_code == 0, done.output
    return out


def locked(house: HouseUnderTest, folder: Path) -> str:
    house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(folder, "trainer")))
    proposal = lock_model(house.desk, Actor("custodian"), LockModel(folder.name))
    house.commit(proposal)
    return str(proposal.drafts[0].event.lock)


def run(house: HouseUnderTest, images: MadeImages, lock: str, *subjects: str) -> dict[str, queries.RunRow]:
    """One worker process for all of them."""
    entries = {request_run(house.desk, Actor("imaging"), RequestRun(
        trial=TRIAL, subject=subject, time_point="BL", lesion=None, tracking_uid=None, seed_mm=None, seed_by="nobody",
        lock=lock), images).seq: subject for subject in subjects}
    run_waiting(house.desk, images)
    with house.desk.reading() as session:
        return {entries[row.entry]: row for row in queries.runs_of(session) if row.entry in entries}


def labels_of(house: HouseUnderTest, images: MadeImages, row: queries.RunRow) -> dict[str, Any]:
    """The masks of a run from its SEG."""
    assert row.segmentation is not None
    with house.desk.reading() as session:
        files = images.load(session, house.desk.objects, TRIAL, str(row.inputs[0]["series"]))
    seg = house.desk.objects.get(row.segmentation, subject=f"{TRIAL}/{row.subject}")
    return {one.label: one.mask for one in read_segmentation(read_object(seg), files)}


# -- nnU-Net -----------------------------------------------------------------------------------------------------------


def ball(shape: tuple[int, ...], spacing: tuple[float, ...], rng: np.random.Generator,
         centre: tuple[float, ...] = (2.0, -1.0, 3.0)) -> tuple[Any, Any]:
    """A bright ball in noise, HU; and its labels."""
    axes = [(np.arange(side) - (side - 1) / 2) * step for side, step in zip(shape, spacing, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    distance = np.linalg.norm(places - np.array(centre)[:, None, None, None], axis=0)
    values = np.where(distance < 12, 300, -50) + rng.normal(0, 15, shape)
    return values.round().astype(np.int16), (distance < 12).astype(np.uint8)


ASKED = {"same": ((20, 24, 22), (3.0, 2.0, 2.0)), "other": ((18, 30, 26), (2.5, 1.6, 1.8)),
         "thick": ((11, 24, 28), (5.5, 1.5, 1.5))}


@req("MLK-02", "MLK-07")
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_locked_nnunet_gives_the_mask_of_its_own_predictor(
    house: HouseUnderTest, tmp_path: Path, kind: str
) -> None:
    """Trained by nnU-Net's trainer here; its own spacing, another, and thick slices; with its mirroring."""
    need("thirdparty")
    rng = np.random.default_rng(7)
    made = [ball((20, 24, 22), (3.0, 2.0, 2.0), rng, tuple(rng.uniform(-4, 4, 3))) for _ in range(5)]
    np.savez(tmp_path / "cases.npz", images=np.array([one for one, _ in made]),
             labels=np.array([one for _, one in made]), spacing=np.array([3.0, 2.0, 2.0]))
    asked = {name: ball(shape, spacing, rng)[0] for name, (shape, spacing) in ASKED.items()}
    stored: dict[str, Any] = asked | {f"{name}_spacing": np.array(ASKED[name][1]) for name in asked}
    np.savez(tmp_path / "asked.npz", **stored)
    theirs("train_nnunet.py", str(tmp_path), kind)
    model = next((tmp_path / "res").rglob("plans.json")).parent

    folder = converted(model, "nnunet", tmp_path / f"ball-{kind}", "--licence", "Apache-2.0")
    lock = locked(house, folder)
    images = MadeImages()
    subjects = dict(zip(asked, SUBJECTS[:3] if kind == "plain" else SUBJECTS[3:], strict=True))
    for name, (_, spacing) in ASKED.items():
        add_ct(images, Scan(asked[name].astype(np.float32), spacing, (0.0, 0.0, 0.0), AXIAL, "CT", "HU"),
               f"{subjects[name]}")
    rows = run(house, images, lock, *subjects.values())

    predicted = np.load(tmp_path / "predicted.npz")
    compared = 0
    for name, subject in subjects.items():
        own, row = predicted[f"{name}_1"] == 1, rows[subject]
        measure = volume_mm3(own, ASKED[name][1])
        if isinstance(measure, NotMeasured):
            # Few steps may leave nothing, or a mask that reaches the edge: then the run is undecided for that cause.
            assert (row.state, row.cause) == ("undecided", measure.reason)
            continue
        assert row.values == {"ball_volume": f"{measure.value} mm3"}
        assert np.array_equal(labels_of(house, images, row)["ball"], own)
        compared += 1
    assert compared


def add_ct(images: MadeImages, scan: Scan, subject: str) -> None:
    """A CT of nobody, stored as whole HU with an offset."""
    given = add_scan(images, replace(scan, values=scan.values + 1024), TRIAL, subject)
    files = []
    for one in images.files[given.series]:
        d = pydicom.dcmread(io.BytesIO(one))
        d.Modality, d.RescaleIntercept, d.RescaleSlope = "CT", "-1024", "1"
        target = io.BytesIO()
        d.save_as(target, enforce_file_format=True)
        files.append(target.getvalue())
    images.files[given.series] = files
    images.series[TRIAL, subject, "BL"] = [replace(given, modality="CT")]


# -- deepbet and MeshNet on real heads ---------------------------------------------------------------------------------


def series_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


def put(images: MadeImages, files: list[bytes], subject: str) -> GivenSeries:
    """Real files as the one series of a baseline."""
    first = pydicom.dcmread(io.BytesIO(files[0]), stop_before_pixels=True)
    given = GivenSeries("MR", str(first.SeriesInstanceUID), str(first.StudyInstanceUID), f"{len(files):064x}",
                        len(files), True)
    images.series[TRIAL, subject, "BL"] = [given]
    images.files[given.series] = files
    return given


def with_the_gap_filled(files: list[bytes]) -> Scan:
    """The T1 of mr-brain-adi lacks one slice; here its neighbours' mean stands in, which only a test may do."""
    sets = [pydicom.dcmread(io.BytesIO(one)) for one in files]
    row, column = (np.array([float(v) for v in sets[0].ImageOrientationPatient[part]])
                   for part in (slice(0, 3), slice(3, 6)))
    normal = np.cross(row, column)
    sets.sort(key=lambda d: float(normal @ np.array([float(v) for v in d.ImagePositionPatient])))
    heights = np.array([float(normal @ np.array([float(v) for v in d.ImagePositionPatient])) for d in sets])
    gap = int(np.argmax(np.diff(heights)))
    planes = [d.pixel_array.astype(np.float64) for d in sets]
    planes.insert(gap + 1, np.rint((planes[gap] + planes[gap + 1]) / 2))
    step = float(np.median(np.diff(heights)))
    rows, columns = (float(v) for v in sets[0].PixelSpacing)
    origin = tuple(float(v) for v in sets[0].ImagePositionPatient)
    return Scan(np.stack(planes).astype(np.float32), (step, rows, columns), (origin[0], origin[1], origin[2]),
                (tuple(normal), tuple(column), tuple(row)), "MR", "1")


@req("MLK-02", "MLK-07", "VAL-11")
@pytest.mark.realdata
def test_deepbet_and_meshnet_are_two_locks_for_the_same_use(
    house: HouseUnderTest, tmp_path: Path, data: Path, weights_of_others: Path
) -> None:
    need("thirdparty")
    images = MadeImages()
    as_it_came = series_in(data / "mr-brain-adi" / "t1-memprage")
    filled = with_the_gap_filled(as_it_came)
    put(images, as_it_came, "S-001")
    put(images, mr_series(filled, "S-002"), "S-002")
    put(images, series_of_one(data / "mr-ms-longitudinal" / "dicom" / "study1" / "t1w"), "S-003")
    put(images, series_of_one(data / "mr-ms-longitudinal" / "dicom" / "study2" / "flair"), "S-004")

    deepbet = locked(house, converted(wheel_of_deepbet(tmp_path / "deepbet-source"), "deepbet", tmp_path / "deepbet"))
    meshnet = locked(house, converted(weights_of_others / "brainchop" / "model11_gw_ae", "meshnet-tfjs",
                                      tmp_path / "meshnet"))
    found = run(house, images, deepbet, *SUBJECTS[:4])
    run(house, images, meshnet, *SUBJECTS[:3])

    # A missing slice, and stacks of 39 and 46 thick slices: failed runs, with what was found and what is needed.
    assert [(found[subject].state, found[subject].cause) for subject in ("S-001", "S-003", "S-004")] == [
        ("failed", "input"), ("failed", "shape"), ("failed", "shape")]
    assert "1 missing of 176" in (found["S-001"].found or "")
    assert not any(found[subject].values for subject in ("S-001", "S-003", "S-004"))

    # The same mask as deepbet's own steps give on the same voxels.
    assert found["S-002"].state == "finished", found["S-002"]
    loaded = load_volume([pydicom.dcmread(io.BytesIO(one)) for one in mr_series(filled, "S-002")])
    geometry = loaded.geometry
    affine = np.eye(4)
    for place, (axis, step) in enumerate(zip((geometry.row, geometry.column, geometry.normal),
                                             geometry.spacing_mm[::-1], strict=True)):
        affine[:3, place] = np.array(axis) * step
    affine[:3, 3] = geometry.origin
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    np.savez(tmp_path / "head.npz", values=loaded.values.transpose(2, 1, 0), affine=affine)
    theirs("run_deepbet.py", str(tmp_path / "head.npz"), str(tmp_path / "mask.npz"))
    own = np.load(tmp_path / "mask.npz")["mask"].transpose(2, 1, 0) > 0
    assert np.array_equal(labels_of(house, images, found["S-002"])["brain"], own)

    house.person("validator", "validation_lead")
    compared = {one.subject: one
                for one in compare_locks(house.desk, Actor("validator"), images, deepbet, meshnet, TRIAL)}
    assert compared["S-002"].structure == "brain"
    assert compared["S-002"].dice is not None
    assert float(compared["S-002"].dice) > 0.85
    assert "smaller" in compared["S-002"].in_words()
    assert "not compared" in compared["S-001"].in_words()
    with house.desk.reading() as session:
        assert queries.lock_of(session, meshnet).fields.task == "segmentation"
    assert "left_behind" in read_tree(tmp_path / "deepbet")["docs/conversion.json"].decode()


def series_of_one(folder: Path) -> list[bytes]:
    """The files of a folder that is one series; its generated headers give each slice a series of its own."""
    made = []
    first = None
    for one in series_in(folder):
        d = pydicom.dcmread(io.BytesIO(one))
        first = first or d
        d.StudyInstanceUID, d.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
        target = io.BytesIO()
        d.save_as(target, enforce_file_format=True)
        made.append(target.getvalue())
    return made

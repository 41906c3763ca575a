"""A model from its bundle to signed lock to runs: what runs is what was locked, and everything else is an entry."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from core.dicom.segmentation import read_segmentation
from core.errors import AlreadyDone, Refused
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor
from models_registry import queries
from models_registry.asking import RequestRun, request_run
from models_registry.bundle import packed
from models_registry.digest import ModelFileUnusable, read_tree
from models_registry.library import SHIPPED
from models_registry.loading import ModelDiffers, answers
from models_registry.running import run_waiting
from models_registry.usecases import LockModel, RegisterModel, RetireModel, lock_model, register_model, retire_model
from tests.builders import models
from tests.builders.models import TRIAL, MadeImages
from tests.conftest import need
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

LESION = lesion_at("liver", "TL01", (44, 36, 40))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> MadeImages:
    made, folder = MadeImages(), tmp_path_factory.mktemp("studies")
    made.add(folder, make_volume(SCANNERS["A"], [LESION], 91), "S-001", "BL")
    made.add(folder, make_volume(SCANNERS["C"], [LESION], 92), "S-002", "BL", accepted=False)
    made.add(folder, make_volume(SCANNERS["B"], [LESION], 93), "S-003", "BL", defects=["no_pet"])
    return made


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HouseUnderTest, str]]:
    """One house for this module: founded, with the shipped model locked. Each test adds to its record."""
    need("torch")
    with a_house(tmp_path_factory.mktemp("models")) as house:
        models.cast(house)
        models.live_trial(house, "S-001", "S-002", "S-003")
        yield house, models.locked(house)


def asked(lock: str, subject: str = "S-001", seed: tuple[str, str, str] | None = ("-76.0", "-14.0", "-60.0"),
          **more: str) -> RequestRun:
    return RequestRun(trial=TRIAL, subject=subject, time_point="BL", lesion="TL01", tracking_uid="2.25.71",
                      seed_mm=seed, seed_by="reader", lock=lock, **more)


def run(house: HouseUnderTest, images: MadeImages, *commands: RequestRun) -> list[queries.RunRow]:
    """The rows of runs that are asked for together and carried out by one worker process."""
    entries = [request_run(house.desk, Actor("imaging"), command, images).seq for command in commands]
    run_waiting(house.desk, images)
    with house.desk.reading() as session:
        rows = {one.entry: one for one in queries.runs_of(session)}
    return [rows[entry] for entry in entries]


@pytest.fixture(scope="module")
def outcomes(told: tuple[HouseUnderTest, str], images: MadeImages) -> dict[str, queries.RunRow]:
    """One batch: a usual run, three outside the contract, one in shadow."""
    house, lock = told
    wanted = {
        "usual": asked(lock), "no-seed": asked(lock, seed=None),
        "seed-outside-ct": asked(lock, seed=("900.0", "0.0", "0.0")),
        "nothing-at-seed": asked(lock, seed=("0.0", "40.0", "100.0")),
        "shadow": asked(lock, use="secondary", endpoint="volume", standing="shadow"),
    }
    return dict(zip(wanted, run(house, images, *wanted.values()), strict=True))


@req("MLK-01", "MLK-03", "MLK-04", "MLK-05")
def test_a_lock_binds_bytes_environment_sentinel_use_and_risk(told: tuple[HouseUnderTest, str]) -> None:
    house, lock = told
    with house.desk.reading() as session:
        row = queries.lock_of(session, lock)
        version = queries.version_of(session, "lesion-at-seed")

    fields = row.fields
    assert row.state == "valid"
    assert row.locked_by == "custodian"
    assert fields.trained_by == "trainer"
    assert fields.tree_sha256 == version.tree_sha256
    assert len(version.tree) == len(read_tree(SHIPPED))
    assert row.environment["torch"]
    assert row.environment["torch_deterministic"] == "true"
    assert len(fields.sentinel_output_sha256) == 64
    assert fields.resolution == "5.333 mm"
    assert (fields.influence, fields.consequence) == ("medium", "medium")
    assert fields.intended_use.startswith("To outline and measure one lesion")
    assert fields.context_of_use.startswith("In a clinical trial with FDG PET/CT")
    assert [one.name for one in fields.undecided] == [
        "largest_domain_distance", "least_confidence", "seed_reach_mm", "smallest_mm3"]
    assert row.environment["torch_device"] == "cpu"
    assert version.training is not None
    assert fields.training_sha256 == version.training.statement_sha256
    listed = json.loads(house.desk.objects.get(fields.tensors_listed))["tensors"]
    assert len(listed) == fields.tensors
    parts = json.loads(house.desk.objects.get(fields.sbom))["components"]
    assert {"torch", "monai"} <= {one["name"] for one in parts}
    assert len(fields.code_sha256) == 64


@req("MLK-02", "REC-14", "REC-15")
def test_an_exploratory_run_is_measured_written_and_recorded(
    told: tuple[HouseUnderTest, str], outcomes: dict[str, queries.RunRow], tmp_path: Path
) -> None:
    """No gate is open: the run is exploratory; SEG and SR are there, and dciodvfy finds no error in them."""
    house, lock = told

    row = outcomes["usual"]

    assert (row.state, row.standing, row.sealed, row.asked_by) == ("finished", "exploratory", False, "imaging")
    volume_mm3 = float(row.values["volume"].removesuffix(" mm3"))
    assert volume_mm3 == pytest.approx(LESION.volume_mm3(), rel=0.5)
    assert row.segmentation is not None
    assert row.report is not None
    owner = f"{TRIAL}/S-001"
    seg, report = (house.desk.objects.get(ref, subject=owner) for ref in (row.segmentation, row.report))
    (tmp_path / "seg.dcm").write_bytes(seg)
    (tmp_path / "sr.dcm").write_bytes(report)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    assert dataset.SegmentSequence[0].TrackingUID == "2.25.71"
    assert f"lock={lock}".encode() in report
    if shutil.which("dciodvfy"):
        for name in ("seg.dcm", "sr.dcm"):
            said = subprocess.run(["dciodvfy", str(tmp_path / name)], capture_output=True, text=True)
            assert "Error" not in said.stdout + said.stderr, said.stderr


@req("MLK-02")
def test_the_same_input_gives_the_same_bits_in_a_new_process(
    told: tuple[HouseUnderTest, str], images: MadeImages, outcomes: dict[str, queries.RunRow]
) -> None:
    house, lock = told

    first, (again,) = outcomes["usual"], run(house, images, asked(lock))
    finished = house.entries()[-1].body["fields"]
    assert (finished["device"], finished["threads"], finished["network_wall"]) == ("cpu", "2", "namespace")

    assert first.run != again.run
    assert first.input_sha256 == again.input_sha256
    assert first.output_sha256 == again.output_sha256
    assert first.values == again.values


@req("VAL-11")
@pytest.mark.parametrize("cause", ["no-seed", "seed-outside-ct", "nothing-at-seed"])
def test_outside_its_contract_the_model_is_undecided(cause: str, outcomes: dict[str, queries.RunRow]) -> None:
    """No seed, a seed outside the field, a seed with no lesion: an entry, never a value."""
    row = outcomes[cause]

    assert (row.state, row.cause) == ("undecided", cause)
    assert not row.values
    assert row.segmentation is None


@req("GAT-03")
def test_a_gated_run_without_an_open_gate_is_refused(
    told: tuple[HouseUnderTest, str], images: MadeImages
) -> None:
    house, lock = told

    with pytest.raises(Refused) as refusal:
        request_run(house.desk, Actor("imaging"), asked(lock, use="secondary", endpoint="volume", standing="gated"),
                    images)

    assert refusal.value.rule == "F-612"
    assert house.words()[-1] == "action.refused"


def test_a_shadow_run_leaves_no_value_in_the_record(
    told: tuple[HouseUnderTest, str], outcomes: dict[str, queries.RunRow]
) -> None:
    house, _ = told

    row = outcomes["shadow"]

    assert (row.state, row.sealed, dict(row.values), row.confidence) == ("finished", True, {}, None)
    assert row.segmentation is None
    assert row.result is not None
    fields = next(one for one in house.entries() if one.seq == row.ended_entry).body["fields"]
    assert "values" not in fields or fields["values"] == []
    assert "mm3" not in str(fields)


@req("RDG-11")
def test_a_series_that_quality_control_has_not_accepted_is_not_run(
    told: tuple[HouseUnderTest, str], images: MadeImages
) -> None:
    house, lock = told

    with pytest.raises(Refused) as refusal:
        request_run(house.desk, Actor("imaging"), asked(lock, "S-002"), images)

    assert refusal.value.rule == "F-405"


def test_a_time_point_without_pet_names_what_is_missing(told: tuple[HouseUnderTest, str], images: MadeImages) -> None:
    house, lock = told

    with pytest.raises(Exception, match="S-003, BL has no study with one CT and one PET"):
        request_run(house.desk, Actor("imaging"), asked(lock, "S-003"), images)


@req("ACC-03", "MLK-03")
def test_the_trainer_does_not_lock_the_model(told: tuple[HouseUnderTest, str]) -> None:
    house, _ = told

    with pytest.raises(Refused) as refusal:
        lock_model(house.desk, Actor("trainer"), LockModel("lesion-at-seed"))

    assert refusal.value.rule == "F-401"
    assert house.words()[-1] == "action.refused"


@req("MLK-01")
def test_one_changed_byte_in_the_stored_weights_is_refused_and_recorded(told: tuple[HouseUnderTest, str]) -> None:
    """The object store is tampered with below the house; nothing runs, the refusal names check and cause."""
    house, lock = told
    with house.desk.reading() as session:
        row, version = queries.lock_of(session, lock), queries.version_of(session, "lesion-at-seed")
    digest = version.artefact.sha256
    (path,) = [one for one in house.home.rglob("*") if one.is_file() and one.name in (digest, digest[2:])]
    sound = path.read_bytes()
    path.chmod(0o600)
    broken = bytearray(sound)
    broken[len(broken) // 2] ^= 1
    path.write_bytes(bytes(broken))
    try:
        with pytest.raises(ModelDiffers):
            answers(house.desk, row, version, [])
    finally:
        path.write_bytes(sound)

    with house.desk.reading() as session:
        refused = queries.refusals_known(session, lock=lock)[-1]
    assert (refused.checked, refused.cause) == ("files", "digest_mismatch")
    assert house.words()[-1] == "model.refused"


@req("MLK-01")
def test_one_changed_byte_in_the_library_is_refused_and_recorded(
    told: tuple[HouseUnderTest, str], tmp_path: Path
) -> None:
    """A folder that claims to be the locked version, with one bit of one weight turned, is no AlreadyDone."""
    house, lock = told
    copy = tmp_path / "bundle"
    shutil.copytree(SHIPPED, copy)
    weights = copy / "models" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 0x10
    weights.write_bytes(bytes(data))

    with pytest.raises(ModelDiffers, match=r"models/weights\.safetensors .* was changed") as difference:
        register_model(house.desk, Actor("custodian"), RegisterModel(copy, "trainer"))

    assert difference.value.check == "files"
    with house.desk.reading() as session:
        refused = queries.refusals_known(session, lock=lock)[-1]
    assert refused.path == "models/weights.safetensors"


def test_the_same_bundle_is_not_registered_twice(told: tuple[HouseUnderTest, str]) -> None:
    house, _ = told

    with pytest.raises(AlreadyDone, match="with these bytes"):
        register_model(house.desk, Actor("custodian"), RegisterModel(SHIPPED, "trainer"))


@req("MLK-01")
def test_another_environment_is_refused_and_recorded(told: tuple[HouseUnderTest, str]) -> None:
    """The lock says another torch than the worker finds: refused before anything runs."""
    import dataclasses

    house, lock = told
    with house.desk.reading() as session:
        row, version = queries.lock_of(session, lock), queries.version_of(session, "lesion-at-seed")
    other = tuple(dataclasses.replace(one, value="2.0.0") if one.name == "torch" else one
                  for one in row.fields.environment)
    elsewhere = dataclasses.replace(row, fields=dataclasses.replace(row.fields, environment=other))

    with pytest.raises(ModelDiffers, match="environment differs") as difference:
        answers(house.desk, elsewhere, version, [])

    assert (difference.value.expected, difference.value.check) == ("torch 2.0.0", "environment")
    with house.desk.reading() as session:
        assert queries.refusals_known(session)[-1].cause == "environment_mismatch"


@req("MLK-07")
@pytest.mark.parametrize("name", ["models/net.pt", "loader.py", "models/net.pkl"])
def test_a_bundle_that_could_execute_is_refused(name: str, tmp_path: Path, told: tuple[HouseUnderTest, str]) -> None:
    house, _ = told
    copy = tmp_path / "bundle"
    shutil.copytree(SHIPPED, copy)
    (copy / name).write_bytes(b"x")

    with pytest.raises(ModelFileUnusable, match="could execute"):
        register_model(house.desk, Actor("custodian"), RegisterModel(copy, "trainer"))


def test_missing_weights_are_named(tmp_path: Path, told: tuple[HouseUnderTest, str]) -> None:
    house, _ = told
    copy = tmp_path / "bundle"
    shutil.copytree(SHIPPED, copy)
    (copy / "models" / "weights.safetensors").unlink()

    with pytest.raises(ModelFileUnusable, match=r"lacks models/weights\.safetensors"):
        register_model(house.desk, Actor("custodian"), RegisterModel(copy, "trainer"))


def test_a_run_that_waits_twice_ends_once(
    told: tuple[HouseUnderTest, str], images: MadeImages, outcomes: dict[str, queries.RunRow]
) -> None:
    """At least once becomes exactly once: a second worker finds the outcome and adds nothing."""
    house, _ = told
    before = len(house.entries())

    assert run_waiting(house.desk, images) == 0
    assert len(house.entries()) == before


@req("MLK-08")
def test_a_retired_lock_runs_no_more(
    told: tuple[HouseUnderTest, str], images: MadeImages, tmp_path: Path
) -> None:
    first, lock = told
    with checked(first.copied(tmp_path)) as house:
        before = {entry.seq for entry in house.entries()}
        request_run(house.desk, Actor("imaging"), asked(lock), images)
        house.commit(retire_model(house.desk, Actor("custodian"), RetireModel(lock, "retired", "superseded")))

        with pytest.raises(Refused) as refusal:
            request_run(house.desk, Actor("imaging"), asked(lock), images)
        run_waiting(house.desk, images)

        assert refusal.value.rule == "F-403"
        with house.desk.reading() as session:
            (row,) = [one for one in queries.runs_of(session) if one.entry not in before]
            version = queries.version_of(session, "lesion-at-seed")
        assert row.state == "refused"
        # Reproducible: the bytes are all still there.
        assert house.desk.objects.get(version.artefact) == packed(read_tree(SHIPPED))


def test_the_segmentation_is_the_mask_that_was_measured(
    told: tuple[HouseUnderTest, str], images: MadeImages, outcomes: dict[str, queries.RunRow]
) -> None:
    """Volume counted in the SEG equals the volume in the record."""
    house, _ = told
    row = outcomes["usual"]
    assert row.segmentation is not None
    with house.desk.reading() as session:
        sources = images.load(session, house.desk.objects, TRIAL, images.series[TRIAL, "S-001", "BL"][0].series)
    seg = house.desk.objects.get(row.segmentation, subject=f"{TRIAL}/S-001")

    (segment,) = read_segmentation(pydicom.dcmread(pydicom.filebase.DicomBytesIO(seg)), sources)

    scanner = SCANNERS["A"]
    counted = np.count_nonzero(segment.mask) * scanner.increment_mm * scanner.pixel_mm**2
    assert f"{counted:.1f} mm3" == row.values["volume"]

"""What MLflow lets anyone change of a registered version, done to a real store from which a house loads its models.

Each attack of research on MLflow 3.17 is made with MLflow's own client, SQL or the disk; then the loader is asked, as
every run and every PQ asks it. It refuses, records `model.refused`, and the gate that rests on the lock is suspended.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from core.errors import OutsideUnavailable, UnusableInput
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor
from countersign.adapters.mlflow import MlflowTracking
from countersign.house import tracking_store
from models_registry import jobs, queries
from models_registry.asking import RequestRun, request_run
from models_registry.contract import Study
from models_registry.digest import ModelFileUnusable, read_tree
from models_registry.inputs import SeriesReader
from models_registry.library import SHIPPED
from models_registry.loading import ModelDiffers, answers
from models_registry.running import run_waiting
from models_registry.tasks import TASKS
from models_registry.usecases import RegisterModel, register_model
from tests.builders.models import TRIAL, MadeImages, stand_in
from tests.builders.shelved import (
    CUSTODIAN,
    MODEL,
    Locked,
    a_bundle,
    another_version,
    loading_from_mlflow,
    lock_in,
    our_alias,
)
from tests.house import HouseUnderTest, checked
from tests.req import req

pytest.importorskip("mlflow")
BYTES, MARKS = "digest_mismatch", "marks_edited"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with loading_from_mlflow(tmp_path_factory.mktemp("attacked")) as made:
        yield made


@pytest.fixture
def locked(house: HouseUnderTest, tmp_path: Path) -> Locked:
    return lock_in(house, tmp_path / "bundle")


def weights_on_disk(at: Locked) -> None:
    data = bytearray((at.copy / jobs.WEIGHTS).read_bytes())
    data[-1] ^= 1
    (at.copy / jobs.WEIGHTS).write_bytes(bytes(data))


def weights_by_api(at: Locked, scratch: Path) -> None:
    (scratch / "weights.safetensors").write_bytes(b"junk")
    at.client.log_artifact(at.run, str(scratch / "weights.safetensors"), "bundle/models")


def contract_by_api(at: Locked, scratch: Path) -> None:
    """The signature of MLflow's own models stands in MLmodel; ours is the contract of the configuration."""
    stated = json.loads((SHIPPED / jobs.CONFIGURATION).read_text())
    stated["contract"]["largest_in_plane_mm"] = "40"
    (scratch / "inference.json").write_text(json.dumps(stated))
    at.client.log_artifact(at.run, str(scratch / "inference.json"), "bundle/configs")


def loader_code(at: Locked, scratch: Path) -> None:
    """MLflow imports what `loader_module` names, pickle or not: code in the copy would run."""
    (scratch / "planted.py").write_text(
        f"from pathlib import Path\nPath({str(at.house.home.parent / 'marker')!r}).write_text('ran')\n"
        "def _load_pyfunc(path):\n    return None\n")
    (scratch / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: planted\n    code: code\n")
    at.client.log_artifact(at.run, str(scratch / "planted.py"), "bundle/code")
    at.client.log_artifact(at.run, str(scratch / "MLmodel"), "bundle")


def repointed_to_another_version(at: Locked, scratch: Path) -> None:
    other = lock_in(at.house, scratch / "other")
    at.sql("UPDATE model_versions SET source = (SELECT source FROM model_versions WHERE version = ?) "
           "WHERE version = ?", other.number, at.number)


def repointed_to_the_disk(at: Locked) -> None:
    at.sql("UPDATE model_versions SET source = ? WHERE version = ?", "file:///etc", at.number)


def version_deleted(at: Locked) -> None:
    at.client.delete_model_version(MODEL, at.number)


def alias_moved(at: Locked) -> None:
    at.client.set_registered_model_alias(MODEL, our_alias(at), another_version(at))


def alias_removed(at: Locked) -> None:
    at.client.delete_registered_model_alias(MODEL, our_alias(at))


def alias_moved_by_sql(at: Locked) -> None:
    at.sql("UPDATE registered_model_aliases SET version = ? WHERE alias = ?", another_version(at), our_alias(at))


def stage_moved(at: Locked) -> None:
    at.client.transition_model_version_stage(MODEL, at.number, "Production")


def stage_moved_by_sql(at: Locked) -> None:
    at.sql("UPDATE model_versions SET current_stage = 'Archived' WHERE version = ?", at.number)


def tag_edited(at: Locked) -> None:
    at.client.set_model_version_tag(MODEL, at.number, "tree_sha256", "0" * 64)


def tag_deleted(at: Locked) -> None:
    at.client.delete_model_version_tag(MODEL, at.number, "version")


def tag_moved_by_sql(at: Locked) -> None:
    """The version's row says that it is what another version was."""
    at.sql("UPDATE model_version_tags SET value = '9.9.9' WHERE key = 'version' AND version = ?", at.number)


def link_instead_of_weights(at: Locked) -> None:
    (at.copy / jobs.WEIGHTS).rename(at.copy.parent / "elsewhere")
    (at.copy / jobs.WEIGHTS).symlink_to(at.copy.parent / "elsewhere")


def files_removed(at: Locked) -> None:
    shutil.rmtree(at.copy)


@req("MLK-01", "MLK-06", "MLK-07", "GAT-04")
@pytest.mark.parametrize(("attack", "cause", "says"), [
    (weights_on_disk, BYTES, "models/weights.safetensors of .* was changed"),
    (weights_by_api, BYTES, "models/weights.safetensors of .* was changed"),
    (contract_by_api, BYTES, "configs/inference.json of .* was changed"),
    (loader_code, BYTES, "MLmodel of .* was not there when it was registered"),
    (repointed_to_another_version, BYTES, "configs/metadata.json of .* was changed"),
    (repointed_to_the_disk, BYTES, "outside of the store's artefacts"),
    (version_deleted, BYTES, "is missing"),
    (link_instead_of_weights, BYTES, "is a link or device"),
    (files_removed, BYTES, "There is no bundle folder"),
    (alias_moved, MARKS, "alias countersign-.* in the tracking store is '[0-9]+'; this house put '[0-9]+'"),
    (alias_moved_by_sql, MARKS, "alias countersign-.* in the tracking store is '[0-9]+'; this house put '[0-9]+'"),
    (alias_removed, MARKS, "alias countersign-.* in the tracking store is gone; this house put '[0-9]+'"),
    (stage_moved, MARKS, "stage of .* in the tracking store is 'Production'; this house put 'None'"),
    (stage_moved_by_sql, MARKS, "stage of .* in the tracking store is 'Archived'; this house put 'None'"),
    (tag_edited, MARKS, "tag tree_sha256 of .* in the tracking store is '0{64}'; this house put '[0-9a-f]{64}'"),
    (tag_deleted, MARKS, r"tag version of .* in the tracking store is gone; this house put '1\.0\.[0-9]+'"),
    (tag_moved_by_sql, MARKS, r"tag version of .* in the tracking store is '9\.9\.9'; this house put '1\.0\.[0-9]+'"),
])
def test_what_was_changed_in_mlflow_is_refused_recorded_and_suspends(
    attack: Callable[..., None], cause: str, says: str, locked: Locked, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    attack(*((locked, tmp_path / "scratch") if attack.__code__.co_argcount == 2 else (locked,)))

    with pytest.raises(ModelDiffers, match=says):
        locked.asked()

    refused = locked.house.entries()[-1].body
    assert (refused["action"], refused["fields"]["lock"], refused["fields"]["cause"]) == (
        "model.refused", locked.lock, cause)
    # At once: before any effect was carried out, the use is closed; the word for it follows.
    assert locked.state() == ("open", False)
    locked.house.work()
    assert locked.state() == ("suspended", False)
    suspended = locked.house.entries()[-1].body
    assert (suspended["action"], suspended["fields"]["gate"], suspended["fields"]["cause"]) == (
        "gate.suspended", locked.gate, cause)
    assert suspended["caused_by"] == refused["id"]
    assert not (locked.house.home.parent / "marker").exists()


@req("MLK-06")
def test_the_same_files_logged_again_are_the_same_model(locked: Locked, tmp_path: Path) -> None:
    """Bytes decide: another version number with the locked files passes, under its own number or repointed to."""
    files = read_tree(tmp_path / "bundle")
    again = locked.store.register(MODEL, "again", files).hint
    assert locked.store.files_of(again) == files
    locked.sql("UPDATE model_versions SET source = (SELECT source FROM model_versions WHERE version = ?) "
               "WHERE version = ?", again.rsplit("/", 1)[1], locked.number)

    locked.asked()
    assert locked.state() == ("open", True)


@req("MLK-01", "MLK-06")
def test_a_name_that_was_deleted_and_made_again_gets_the_old_number_and_is_refused(tmp_path: Path) -> None:
    """MLflow issues version 1 a second time: the hint then names other bytes."""
    with loading_from_mlflow(tmp_path / "house") as house:
        first = lock_in(house, tmp_path / "bundle")
        first.client.delete_registered_model(MODEL)
        with pytest.raises(ModelDiffers, match="is missing"):
            first.asked()

        hint = first.store.register(MODEL, "other", read_tree(a_bundle(tmp_path / "other", "9.9.9"))).hint
        assert hint == f"models:/{MODEL}/{first.number}"
        with pytest.raises(ModelDiffers, match=r"metadata\.json of .* was changed"):
            first.asked()
        house.work()
        assert first.state() == ("suspended", False)


@req("MLK-01", "REC-14")
def test_a_run_that_waits_for_swapped_weights_ends_refused(locked: Locked, tmp_path: Path) -> None:
    images = asked_of(locked, tmp_path, "S-001")
    weights_on_disk(locked)

    run_waiting(locked.house.desk, images, locked.lock, runner=stand_in)

    with locked.house.desk.reading() as session:
        (run,) = queries.runs_of(session, lock=locked.lock)
        (refusal,) = queries.refusals_known(session, lock=locked.lock)
    assert (run.state, dict(run.values)) == ("refused", {})
    assert (refusal.run, refusal.path) == (run.run, "models/weights.safetensors")
    assert locked.state() == ("open", False)


def spoilt(study: Study, name: str, number: float) -> Study:
    image = getattr(study, name)
    values = image.values.copy()
    values[0, 0, 0] = number
    return replace(study, **{name: replace(image, values=values)})


@req("MLK-01", "MLK-03", "MLK-06", "MLK-07", "GAT-04")
@pytest.mark.parametrize(("name", "number"), [("ct", np.nan), ("pet", np.inf)])
def test_an_input_that_is_no_number_is_refused_recorded_and_suspends(
    locked: Locked, name: str, number: float
) -> None:
    """MLflow's schema lets NaN through. No image of a trial holds one, so one at the contract came past its checks."""
    with locked.house.desk.reading() as session:
        row = queries.lock_of(session, locked.lock)
        version = queries.version_of(session, MODEL, row.fields.model_version)
    study: Study = TASKS[MODEL].sentinel(read_tree(SHIPPED))

    with pytest.raises(ModelDiffers, match=f"{name}-not-finite"):
        answers(locked.house.desk, row, version, [study, spoilt(study, name, number)], runner=stand_in)

    refused = locked.house.entries()[-1].body
    assert (refused["action"], refused["fields"]["lock"], refused["fields"]["check"], refused["fields"]["cause"]) == (
        "model.refused", locked.lock, "contract", "input_not_finite")
    assert locked.state() == ("open", False)
    locked.house.work()
    assert locked.state() == ("suspended", False)
    suspended = locked.house.entries()[-1].body
    assert (suspended["fields"]["cause"], suspended["caused_by"]) == ("input_not_finite", refused["id"])


class FedPast:
    """A reader of series that somebody changed: what it gives the model is no longer what the checks have seen."""

    def __init__(self, inner: SeriesReader, subject: str) -> None:
        self.inner, self.subject = inner, subject

    def again(self, session: Any, row: queries.RunRow) -> Any:
        given: Any = self.inner.again(session, row)
        return replace(given, study=spoilt(given.study, "ct", np.nan)) if row.subject == self.subject else given


@req("MLK-01", "REC-14", "GAT-04")
def test_a_run_that_is_fed_past_its_checks_ends_refused_and_takes_the_others_with_it(
    locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names the run that it ended; those that were asked beside it have no value from that session."""
    monkeypatch.setattr("models_registry.running.SeriesReader", lambda *known: FedPast(SeriesReader(*known), "S-002"))
    images = asked_of(locked, tmp_path, "S-001", "S-002", use="qc")

    run_waiting(locked.house.desk, images, locked.lock, runner=stand_in)

    with locked.house.desk.reading() as session:
        runs = {run.subject: run for run in queries.runs_of(session, lock=locked.lock)}
        (refusal,) = queries.refusals_known(session, lock=locked.lock)
    assert {subject: (run.standing, run.state, run.cause, dict(run.values)) for subject, run in runs.items()} == {
        "S-001": ("gated", "failed", "model-refused", {}), "S-002": ("gated", "refused", "contract", {})}
    assert refusal.run == runs["S-002"].run
    assert locked.state() == ("open", False)


@req("VAL-11", "GAT-04")
def test_a_site_cannot_close_a_gate_by_a_file_without_numbers(locked: Locked, tmp_path: Path) -> None:
    """Quality control asks the model before a technologist has looked: such a series ends while it is read."""
    images = asked_of(locked, tmp_path, "S-001", use="qc")
    for uid, files in images.files.items():
        images.files[uid] = [no_slope(content) for content in files]

    run_waiting(locked.house.desk, images, locked.lock, runner=stand_in)

    with locked.house.desk.reading() as session:
        (run,) = queries.runs_of(session, lock=locked.lock)
        assert queries.refusals_known(session, lock=locked.lock) == ()
    assert (run.state, run.cause) == ("failed", "input")
    assert "no finite numbers" in (run.found or "")
    assert locked.state() == ("open", True)


def no_slope(content: bytes) -> bytes:
    dataset = dcmread(BytesIO(content))
    dataset.RescaleSlope = "NaN"
    held = BytesIO()
    dataset.save_as(held)
    return held.getvalue()


def asked_of(at: Locked, folder: Path, *subjects: str, use: str = "none") -> MadeImages:
    """A run of this lock asked for each subject's baseline."""
    lesion = lesion_at("liver", "TL01", (46, 38, 42), suv=11.0)
    volume = make_volume(replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), [lesion], 5)
    images = MadeImages()
    for subject in subjects:
        images.add(folder / "studies", volume, subject, "BL")
        request_run(at.house.desk, Actor("imaging"), RequestRun(
            TRIAL, subject, "BL", "TL01", "2.25.1", ("-76.0", "-14.0", "-60.0"), "reader", at.lock, use), images)
    return images


@req("MLK-01")
def test_a_version_is_taken_in_from_mlflow_by_its_number_alone(locked: Locked, tmp_path: Path) -> None:
    """The copy is read once, checked and stored; its own number is the hint. An alias or a stage names nothing."""
    hint = locked.store.register("from-outside", "1", read_tree(a_bundle(tmp_path / "other", "7.0.0"))).hint

    locked.house.commit(register_model(
        locked.house.desk, CUSTODIAN, RegisterModel(None, "trainer", hint), locked.store))

    with locked.house.desk.reading() as session:
        version = queries.version_of(session, MODEL, "7.0.0")
    assert version.store_hint == hint == "models:/from-outside/1"
    assert version.store_marks is None, "they are those of whoever put it there"
    for moving in ("models:/from-outside@champion", "models:/from-outside/Production", "runs:/abc/bundle"):
        with pytest.raises(UnusableInput, match="is no models:/NAME/N"):
            locked.store.files_of(moving)


@pytest.mark.parametrize("url", ["ftp://tracking.example", "http://user:secret@tracking.example", "tracking.example"])
def test_a_tracking_url_is_http_and_holds_no_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="without user or password"):
        MlflowTracking(tmp_path, url)


@req("MLK-01")
def test_a_house_that_was_moved_finds_its_copies_where_it_lies_now(house: HouseUnderTest, tmp_path: Path) -> None:
    at = lock_in(house, tmp_path / "bundle")
    with checked(house.copied(tmp_path / "moved")) as moved:
        there = Locked(moved, tracking_store(moved.house.settings), at.lock, at.gate, at.number)
        there.asked()
        weights_on_disk(there)
        with pytest.raises(ModelDiffers):
            there.asked()
    at.asked()


@req("MLK-01")
def test_a_server_that_does_not_answer_fails_closed_and_accuses_nobody(tmp_path: Path) -> None:
    """Nothing runs; but silence is no sign of tampering, so nothing is recorded against the lock."""
    store = MlflowTracking(tmp_path / "none", "http://127.0.0.1:9")
    with pytest.raises(OutsideUnavailable, match="did not hand out"):
        store.files_of("models:/lesion-at-seed/1")


@pytest.mark.parametrize("source", ["file:///etc", "s3://bucket/model", "mlflow-artifacts://other.example/1/bundle"])
def test_a_server_that_points_elsewhere_is_not_followed(source: str, tmp_path: Path) -> None:
    """A repointed source must not make this house read its own disk, or ask another host."""
    with pytest.raises(ModelFileUnusable, match="does not serve itself"):
        MlflowTracking(tmp_path, "http://127.0.0.1:9")._downloaded(source)

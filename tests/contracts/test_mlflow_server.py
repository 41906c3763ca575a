"""MLflow behind a URL: a real `mlflow server` that serves its artefacts, from its own environment beside ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import NotFound, OutsideUnavailable
from core.policy.state import Actor
from countersign.adapters.mlflow import MlflowTracking
from countersign.house import open_house, tracking_store
from models_registry import jobs, queries
from models_registry.digest import read_tree, tree_digest
from models_registry.library import SHIPPED
from models_registry.loading import ModelDiffers, answers
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import models
from tests.builders.models import stand_in
from tests.conftest import beside, need
from tests.house import HouseUnderTest, a_house
from tests.req import req

MODEL, CUSTODIAN = "lesion-at-seed", Actor("custodian")


class Server:
    """The server's process, its address, its folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.folder = f"http://127.0.0.1:{port}", folder
        folder.mkdir()
        with (folder / "said.txt").open("wb") as said:
            self.process = subprocess.Popen(
                [str(beside("outside") / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
                 "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts",
                 "--artifacts-destination", str(folder / "artefacts")],
                stdout=said, stderr=said, start_new_session=True,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(folder)})

    def wait(self) -> None:
        end = time.monotonic() + 180
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.folder / "said.txt").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answered:
                    if answered.status == 200:
                        return
            except OSError:
                time.sleep(0.3)
        raise AssertionError((self.folder / "said.txt").read_text()[-2000:])

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=30)

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    need("outside")
    pytest.importorskip("mlflow")
    made = Server(tmp_path / "server")
    try:
        made.wait()
        yield made
    finally:
        made.stop()


def at(house: HouseUnderTest, url: str) -> None:
    """The house's settings name the server, and say that models are loaded from it."""
    with house.house.settings.config_file.open("a") as settings:
        settings.write(f'tracking_url = "{url}"\nmodels_from = "tracking"\n')
    house.house = open_house(house.home, clock=house.clock)


@pytest.mark.journey
@req("MLK-01", "MLK-06", "GAT-04")
def test_a_model_is_registered_locked_and_run_from_a_tracking_server(server: Server, tmp_path: Path) -> None:
    """The copy is fetched at each load and held against the lock; what the server lets anyone change is refused."""
    with a_house(tmp_path / "house") as house:
        models.cast(house)
        at(house, server.url)
        store = tracking_store(house.house.settings)
        house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(SHIPPED, "trainer"), store))
        house.commit(lock_model(house.desk, CUSTODIAN, LockModel(MODEL), runner=stand_in))
        with house.desk.reading() as session:
            (row,) = queries.locks_known(session)
            version = queries.version_of(session, MODEL)
        hint = f"models:/{MODEL}/1"
        assert (version.store_hint, row.fields.store_hint) == (hint, hint)
        assert tree_digest(store.files_of(hint)) == row.fields.tree_sha256
        answers(house.desk, row, version, [], runner=stand_in)

        # The disk of the house has no part in it: the server's copy alone decides.
        run = server.client.get_model_version(MODEL, "1").run_id
        junk = tmp_path / "weights.safetensors"
        junk.write_bytes(b"junk")
        server.client.log_artifact(run, str(junk), "bundle/models")
        with pytest.raises(ModelDiffers, match=r"weights\.safetensors of .* was changed"):
            answers(house.desk, row, version, [], runner=stand_in)
        assert house.words()[-1] == "model.refused"

        server.client.log_artifact(run, str(SHIPPED / jobs.WEIGHTS), "bundle/models")
        server.client.set_registered_model_alias(MODEL, "champion", "1")
        answers(house.desk, row, version, [], runner=stand_in)

        # What the house put there is as the lock states it, and is compared through the server as well.
        put = {one.name: one.value for one in row.fields.store_marks or ()}
        alias = next(name.removeprefix("alias ") for name in put if name.startswith("alias "))
        assert store.marks_of(hint) == put | {"alias champion": "1"}
        server.client.delete_registered_model_alias(MODEL, alias)
        with pytest.raises(ModelDiffers, match=f"alias {alias} of {hint} in the tracking store is gone"):
            answers(house.desk, row, version, [], runner=stand_in)
        server.client.set_registered_model_alias(MODEL, alias, "1")
        answers(house.desk, row, version, [], runner=stand_in)

        server.client.delete_registered_model(MODEL)
        with pytest.raises(ModelDiffers, match="is missing"):
            answers(house.desk, row, version, [], runner=stand_in)
        with pytest.raises(NotFound):
            store.files_of(hint)

        refusals = house.words().count("model.refused")
        server.stop()
        with pytest.raises(OutsideUnavailable):
            answers(house.desk, row, version, [], runner=stand_in)
        assert house.words().count("model.refused") == refusals, "silence accuses nobody"


@pytest.mark.journey
@req("MLK-06")
def test_another_house_takes_a_version_in_from_the_server_by_its_number(server: Server, tmp_path: Path) -> None:
    files = read_tree(SHIPPED)
    hint = MlflowTracking(tmp_path / "none", server.url).register("shelved", "1", files).hint
    with a_house(tmp_path / "house") as house:
        models.cast(house)
        at(house, server.url)
        command = RegisterModel(None, "trainer", hint)
        house.commit(register_model(house.desk, CUSTODIAN, command, tracking_store(house.house.settings)))
        with house.desk.reading() as session:
            version = queries.version_of(session, MODEL)
    assert (version.store_hint, version.tree_sha256) == (hint, tree_digest(files))

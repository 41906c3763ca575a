"""Model servers that others wrote, run for real behind our proxy: mlflow models serve, and MLServer (V2 protocol)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from audit.entry import from_base64
from audit.vocabulary import gates as gate_words
from core.errors import CountersignError, UnusableInput
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor
from core.trials.queries import open_uses
from countersign.adapters.model_server import AttestedServer, statement_of
from countersign.attesting.upstream import listening_inodes
from models_registry import queries, server_queries
from models_registry.asking import RequestRun, request_run
from models_registry.attestation import Enrolled
from models_registry.attested import run_attested
from models_registry.digest import read_tree
from models_registry.isolation import WorkerDiffers, WorkerFailed, run_isolated
from models_registry.library import SHIPPED
from models_registry.queries import RunRow
from models_registry.running import run_waiting
from models_registry.servers import EnrolServer, enrol_server
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import reads as trial
from tests.builders.model_server import certificate
from tests.builders.models import MadeImages
from tests.builders.reads import SUBJECT, TRIAL
from tests.conftest import beside, need
from tests.house import HouseUnderTest, a_house
from tests.req import req

pytestmark = pytest.mark.journey
LESION = lesion_at("liver", "T01", (46, 38, 42), suv=11.0)
NONCE = "5" * 64
START_S = 300


@dataclass(frozen=True, slots=True)
class Started:
    """`countersign model-server attest` as it runs, with what it printed."""

    process: subprocess.Popen[str]
    dialect: str
    url: str
    key: bytes
    folder: Path
    authority: str | None

    def says(self) -> str:
        """Its statement over our nonce."""
        return statement_of(self.url, self.key, NONCE, self.authority)

    def enrolment(self, lock: str) -> EnrolServer:
        return EnrolServer(lock, self.url, self.key, self.says(), NONCE, self.authority)

    @property
    def copy(self) -> Path:
        """The private copy that the server was started from."""
        (found,) = self.folder.glob("countersign-attest-*/served")
        return found

    @property
    def behind(self) -> int:
        """Port of the server behind the proxy: a plain server, as others would run it."""
        return int(json.loads((self.copy / "settings.json").read_text())["http_port"])


@pytest.fixture(scope="module", params=["mlflow", "v2"])
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    need("outside")
    folder = tmp_path_factory.mktemp(request.param)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "countersign", "model-server", "attest", "--bundle", "shipped", "--dialect",
               request.param, "--python", str(beside("outside") / "python"), "--key", str(folder / "key.pem"),
               "--port", str(port)]
    # One of the two over TLS, with a certificate that the enrolment pins.
    tls = certificate(folder) if request.param == "v2" else None
    if tls is not None:
        command += ["--certificate", str(tls[0]), "--certificate-key", str(tls[1])]
    said = (folder / "said.txt").open("w")
    process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(folder)}, stdout=said, stderr=said, text=True)
    try:
        until = time.monotonic() + START_S
        while not listening_inodes(port):
            words = (folder / "said.txt").read_text()
            assert process.poll() is None, words
            assert time.monotonic() < until, words
            time.sleep(0.3)
        key = from_base64((folder / "said.txt").read_text().strip().splitlines()[-1].strip())
        yield Started(process, request.param, f"http{'s' if tls else ''}://127.0.0.1:{port}", key, folder,
                      tls[0].read_text() if tls else None)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        said.close()
        assert not list(folder.glob("countersign-attest-*")), "the private copy was left behind"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> MadeImages:
    made = MadeImages()
    volume = make_volume(replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), (LESION,), 91)
    made.add(tmp_path_factory.mktemp("studies"), volume, SUBJECT, "BL", trial=TRIAL)
    return made


@pytest.fixture(scope="module")
def told(images: MadeImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HouseUnderTest, RunRow]]:
    """A live trial with the shipped model locked as it runs in the house's own worker, and one run of it there."""
    need("torch")
    need("outside")
    with a_house(tmp_path_factory.mktemp("served")) as house:
        trial.a_live_trial(house)
        house.person("custodian", "model_custodian")
        house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(SHIPPED, "trainer")))
        house.commit(lock_model(house.desk, Actor("custodian"), LockModel("lesion-at-seed"), runner=run_isolated))
        yield house, run_one(house, images)


def lock_in(house: HouseUnderTest) -> queries.LockRow:
    with house.desk.reading() as session:
        return queries.locks_known(session)[-1]


def run_one(house: HouseUnderTest, images: MadeImages) -> RunRow:
    x, y, z = (f"{value:.1f}" for value in LESION.centre_mm)
    entry = request_run(house.desk, Actor("technologist"), RequestRun(
        trial=TRIAL, subject=SUBJECT, time_point="BL", lesion=LESION.label, tracking_uid="2.25.1", seed_mm=(x, y, z),
        seed_by="reader-1", lock=lock_in(house).lock), images).seq
    run_waiting(house.desk, images)
    with house.desk.reading() as session:
        return next(row for row in queries.runs_of(session) if row.entry == entry)


@req("MLK-01", "MLK-02")
def test_a_server_of_others_gives_the_locked_bits(
    told: tuple[HouseUnderTest, RunRow], images: MadeImages, started: Started
) -> None:
    """Enrolled after it has said what it serves; its network answers with the very bits of the house's own worker."""
    house, at_home = told
    assert at_home.state == "finished"
    house.commit(enrol_server(house.desk, Actor("custodian"), started.enrolment(lock_in(house).lock)))

    there = run_one(house, images)

    assert there.state == "finished"
    assert (there.output_sha256, there.values) == (at_home.output_sha256, at_home.values)
    assert there.environment_sha256 == at_home.environment_sha256
    with house.desk.reading() as session:
        served = server_queries.served_of(session, there.run)
        assert server_queries.served_of(session, at_home.run) is None
    assert served.serves.startswith({"mlflow": "mlflow 3.", "v2": "mlserver 1."}[started.dialect])
    assert (served.threads, served.device) == ("2", "cpu")


@req("MLK-01")
def test_the_same_server_without_the_proxy_is_refused(started: Started) -> None:
    """What answers behind the proxy is a plain server: it is not enrolled, and an answer of it is not used."""
    plain = f"http://127.0.0.1:{started.behind}"
    with pytest.raises(UnusableInput, match="cannot attest"):
        statement_of(plain, started.key, NONCE)
    enrolled = Enrolled("SRV-plain", plain, started.key, started.dialect)

    with pytest.raises(WorkerDiffers, match="cannot attest"):
        run_attested(read_tree(SHIPPED), [], None, enrolled, AttestedServer(enrolled))
    other = replace(enrolled, dialect={"mlflow": "v2", "v2": "mlflow"}[started.dialect])
    with pytest.raises(WorkerFailed, match="status 404"):
        run_attested(read_tree(SHIPPED), [], None, other, AttestedServer(other))


@req("MLK-01", "GAT-04")
def test_a_swap_behind_the_proxy_is_refused_at_the_next_answer(
    told: tuple[HouseUnderTest, RunRow], images: MadeImages, started: Started
) -> None:
    """mlflow: the weights on its disk are changed. v2: the server is ended and another program takes its port."""
    house, _ = told
    lock = lock_in(house).lock
    trial.recorded(house, gate_words.GateOpened(
        gate=f"G-{len(house.entries())}", use=1, use_name="qc", scope="all", lock=lock, criteria=(), signed=()),
        "gates")
    assert run_one(house, images).state == "finished"
    with socket.socket() as usurper:
        if started.dialect == "mlflow":
            weights = started.copy / "bundle" / "models" / "weights.safetensors"
            data = bytearray(weights.read_bytes())
            data[-3] ^= 0x10
            weights.chmod(0o600)
            weights.write_bytes(bytes(data))
            weights.chmod(0o400)
        else:
            (inode,) = listening_inodes(started.behind)
            os.kill(_holder(inode), signal.SIGKILL)
            until = time.monotonic() + 20
            while listening_inodes(started.behind) and time.monotonic() < until:
                time.sleep(0.1)
            usurper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            usurper.bind(("127.0.0.1", started.behind))
            usurper.listen()

        row = run_one(house, images)

    assert row.state == "refused"
    with house.desk.reading() as session:
        refused = queries.refusals_known(session, lock=lock)[-1]
        assert not any(use.lock == lock for use in open_uses(session, TRIAL))
    assert (refused.checked, refused.cause, refused.run) == ("attestation", "digest_mismatch", row.run)
    assert {"mlflow": "was changed", "v2": "ended by itself"}[started.dialect] in refused.found
    with pytest.raises(CountersignError):
        enrol_server(house.desk, Actor("custodian"), started.enrolment(lock))


def _holder(inode: str) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(one.readlink()) == f"socket:[{inode}]" for one in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError("nobody holds it")

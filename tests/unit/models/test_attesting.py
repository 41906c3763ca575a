"""The proxy signs what it can know: the copy is as hashed, the process is its own, the tensors are these."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient
from typer.testing import CliRunner

from countersign.attesting.copy import CopyChanged, PrivateCopy, private_copy
from countersign.attesting.server import Attesting, application
from countersign.attesting.upstream import UpstreamUnusable, listening_inodes
from countersign.cli import app
from models_registry.attestation import HEADER, NONCE_HEADER, read, tensor_digest
from models_registry.dialects import V2, Dialect, Floats
from models_registry.digest import ModelFileUnusable
from models_registry.library import SHIPPED
from tests.req import req

NONCE = "a" * 64
KEY = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
GIVEN = np.full((1, 4, 48, 48, 48), 0.25, dtype=np.float32)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[PrivateCopy]:
    made = private_copy(SHIPPED, (1, 2, 3), tmp_path)
    yield made
    made.remove()
    assert not list(tmp_path.iterdir())


@dataclass
class StandIn:
    """What `Attesting` asks of an upstream, with a process that never was."""

    copy: PrivateCopy
    dialect: Dialect = V2
    serves: str = "a stand-in 1.0"
    environment: dict[str, str] = field(default_factory=lambda: {"python": "3"})
    ended: bool = False
    answer: Callable[[Floats], Floats] = lambda channels: channels[:, 0]

    def check(self) -> None:
        if self.ended:
            raise UpstreamUnusable("a stand-in 1.0 ended by itself.")

    def probability(self, channels: Floats) -> Floats:
        return self.answer(channels)


@pytest.fixture
def upstream(copy: PrivateCopy) -> StandIn:
    return StandIn(copy)


@pytest.fixture
def client(upstream: StandIn) -> TestClient:
    return TestClient(application(Attesting(upstream, KEY), V2.path))  # type: ignore[arg-type]


def change_weights(copy: PrivateCopy) -> None:
    path = copy.served / "bundle" / "models" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))


def add_a_module(copy: PrivateCopy) -> None:
    folder = copy.served / "code" / "models_registry"
    folder.chmod(0o700)
    (folder / "numpy.py").write_text("import os")


def take_a_file(copy: PrivateCopy) -> None:
    folder = copy.served / "code" / "audit"
    folder.chmod(0o700)
    (folder / "entry.py").unlink()


@req("MLK-01")
@pytest.mark.parametrize("change", [change_weights, add_a_module, take_a_file])
def test_a_copy_that_was_changed_is_found(copy: PrivateCopy, change: Callable[[PrivateCopy], None]) -> None:
    """Weights, or the code that reads them: changed, added, taken away."""
    copy.check()
    change(copy)

    with pytest.raises(CopyChanged, match="was changed"):
        copy.check()


@req("MLK-07")
def test_a_bundle_that_could_execute_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "net.pkl").write_bytes(b"x")

    with pytest.raises(ModelFileUnusable):
        private_copy(tmp_path / "bundle", (1, 2, 3), tmp_path)


@req("MLK-01")
def test_an_answer_is_signed_over_nonce_bundle_and_both_tensors(client: TestClient, copy: PrivateCopy) -> None:
    answer = client.post(V2.path, content=V2.asks(GIVEN), headers={NONCE_HEADER: NONCE})

    statement = read(answer.headers[HEADER], PUBLIC)
    assert (answer.status_code, statement.nonce, statement.tree_sha256) == (200, NONCE, copy.tree_sha256)
    assert statement.input_sha256 == tensor_digest(GIVEN)
    assert statement.output_sha256 == tensor_digest(V2.answered(answer.content))
    assert statement.refused == ""
    again = client.post(V2.path, content=V2.asks(GIVEN), headers={NONCE_HEADER: NONCE})
    assert read(again.headers[HEADER], PUBLIC).count == statement.count + 1


@req("MLK-01")
@pytest.mark.parametrize("doubt", ["copy", "process", "process meanwhile"])
def test_where_it_cannot_know_it_signs_the_refusal_and_never_attests_again(
    doubt: str, client: TestClient, upstream: StandIn
) -> None:
    if doubt == "copy":
        change_weights(upstream.copy)
    elif doubt == "process":
        upstream.ended = True
    else:
        def ends(channels: Floats) -> Floats:
            upstream.ended = True
            return channels[:, 0]

        upstream.answer = ends

    answer = client.post(V2.path, content=V2.asks(GIVEN), headers={NONCE_HEADER: NONCE})
    upstream.ended = False
    later = client.post(V2.path, content=V2.asks(GIVEN), headers={NONCE_HEADER: NONCE})
    hello = client.get("/attestation", headers={NONCE_HEADER: NONCE})

    for said in (answer, later):
        statement = read(said.headers[HEADER], PUBLIC)
        assert said.status_code == 503
        assert statement.refused
        assert statement.output_sha256 == ""
    assert read(hello.headers[HEADER], PUBLIC).refused


@pytest.mark.parametrize(("headers", "body", "says"), [
    ({}, V2.asks(GIVEN), "64 hexadecimal digits"), ({NONCE_HEADER: "x" * 64}, V2.asks(GIVEN), "64 hexadecimal digits"),
    ({NONCE_HEADER: NONCE}, V2.asks(GIVEN[:, :3]), "has the shape"), ({NONCE_HEADER: NONCE}, b"{}", "no `inputs`"),
    ({NONCE_HEADER: NONCE}, b" " * 12_000_000, "longer than"),
], ids=["no nonce", "no hexadecimal", "shape", "no tensor", "too long"])
def test_what_is_no_request_gets_words_and_no_statement(
    headers: dict[str, str], body: bytes, says: str, client: TestClient
) -> None:
    answer = client.post(V2.path, content=body, headers=headers)

    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert HEADER not in answer.headers


def test_an_upstream_that_gives_no_tensor_is_said_so_unsigned(client: TestClient, upstream: StandIn) -> None:
    def none(channels: Floats) -> Floats:
        return V2.answered(b'{"outputs": [null]}')

    upstream.answer = none

    answer = client.post(V2.path, content=V2.asks(GIVEN), headers={NONCE_HEADER: NONCE})

    assert (answer.status_code, HEADER in answer.headers) == (502, False)


def test_who_listens_on_a_port_is_known() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        assert listening_inodes(port) == set()
        one.listen()

        (inode,) = listening_inodes(port)

        assert str(Path(f"/proc/self/fd/{one.fileno()}").readlink()) == f"socket:[{inode}]"


@pytest.mark.parametrize(("options", "says"), [
    (["--host", "0.0.0.0"], "plain HTTP does not go there"), (["--dialect", "grpc"], "is no dialect"),
    (["--certificate", "chain.pem"], "both or neither"), (["--python", "/nowhere/python"], "is no interpreter"),
    (["--key", "{open}"], "can be read by others"), (["--key", "{broken}"], "is no private key"),
])
def test_at_the_command_line_what_cannot_attest_is_told(options: list[str], says: str, tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("broken", 0o600)):
        (tmp_path / name).write_text("no key")
        (tmp_path / name).chmod(mode)
    given = {"--bundle": "shipped", "--dialect": "v2", "--python": "/nowhere/python", "--key": str(tmp_path / "key")}
    given |= {options[0]: options[1].format(open=tmp_path / "open", broken=tmp_path / "broken")}

    said = CliRunner().invoke(app, ["model-server", "attest", *[part for pair in given.items() for part in pair]])

    assert said.exit_code == 1
    assert says in said.output
    if (tmp_path / "key").exists():
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600

"""Go's golang.org/x/mod (sumdb note and tlog) accepts our notes, inclusion and consistency proofs."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit import proofs, store
from tests.house import HouseUnderTest
from tests.req import req

GO_SOURCES = Path("/usr/share/gocode")
pytestmark = pytest.mark.skipif(
    shutil.which("go") is None or not (GO_SOURCES / "src/golang.org/x/mod").exists(),
    reason="Debian's golang-go and golang-golang-x-mod-dev are not installed",
)


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built once against Debian's sources."""
    folder = tmp_path_factory.mktemp("go")
    program = folder / "notecheck"
    environment = os.environ | {
        "GOPATH": str(GO_SOURCES), "GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "GOFLAGS": "-p=1",
    }
    subprocess.run(
        ["go", "build", "-o", str(program), str(Path(__file__).with_name("notecheck.go"))],
        check=True, env=environment, cwd=folder,
    )
    return program


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@req("REC-03", "REC-08")
def test_go_accepts_our_proofs_and_refuses_changed_ones(house: HouseUnderTest, checker: Path) -> None:
    """Somebody who trusts none of our code can check the record with a public tool."""
    with house.desk.reading() as session:
        old = store.last_checkpoint(session)
    for number in range(30):
        house.person(f"reader-{number}", "reader", trial="T1")
    origin, key = house.house.signer.origin, house.house.signer.public_key("log")
    chance = random.Random(7)
    with house.desk.reading() as session:
        new = store.last_checkpoint(session)
        assert old is not None
        assert new is not None
        nodes = store.StoredNodes(session)
        leaves: list[dict[str, Any]] = [
            {
                "index": index, "leaf": _b64(nodes.node(0, index)),
                "path": [_b64(item) for item in proofs.inclusion_path(nodes, index, new.size)],
            }
            for index in chance.sample(range(new.size), 20)
        ]
        consistency = [_b64(item) for item in proofs.consistency_path(nodes, old.size, new.size)]
    question: dict[str, Any] = {
        "verifier": f"{origin}+{proofs.note_key_id(origin, key).hex()}+{_b64(bytes([1]) + key)}",
        "note": new.note, "old": old.note, "leaves": leaves, "consistency": consistency,
    }

    def answer(asked: dict[str, Any]) -> int:
        return subprocess.run(
            [str(checker)], input=json.dumps(asked), text=True, capture_output=True, check=False
        ).returncode

    assert answer(question) == 0
    assert answer(question | {"note": new.note.replace(f"\n{new.size}\n", f"\n{new.size + 1}\n")}) == 2
    assert answer(question | {"consistency": consistency[::-1]}) == 2
    assert answer(question | {"leaves": [leaves[0] | {"index": (leaves[0]["index"] + 1) % new.size}]}) == 2

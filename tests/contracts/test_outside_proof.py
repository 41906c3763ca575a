"""Witness and time stamp: a fork, a rollback and a foreign note are refused, and the house stops."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from audit import proofs, store
from audit.entry import from_base64
from core.errors import OutsideUnavailable, RecordDamaged
from core.policy.state import Actor, Decision
from countersign import outside_proof
from countersign.witness import NotAnExtension, Witness, serve
from tests.builders.authority import authority as authority
from tests.house import HouseUnderTest, a_house
from tests.req import req


@pytest.fixture
def witness(house: HouseUnderTest, tmp_path: Path) -> Iterator[tuple[Witness, str]]:
    """A witness of the house's log, serving on a free port of loopback."""
    made = Witness(tmp_path / "witness", house.house.signer.origin, house.house.signer.public_key("log"))
    server = serve(made, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def _ask(house: HouseUnderTest, witness: tuple[Witness, str]) -> str:
    return outside_proof.ask_witness(house.house, witness[1], witness[0].name, witness[0].public_key)


@req("REC-04", "OPS-02")
def test_a_witness_follows_the_log_and_its_cosignature_verifies(
    house: HouseUnderTest, witness: tuple[Witness, str]
) -> None:
    """Each step is asked for with a consistency proof over whatever was added."""
    for number in range(5):
        house.person(f"reader-{number}", "reader", trial="T1")
        assert f"cosigned {len(house.words())} entries" in _ask(house, witness)
    assert "already" in _ask(house, witness)


@req("REC-04", "OPS-02")
def test_a_rollback_stops_the_house(house: HouseUnderTest, witness: tuple[Witness, str], tmp_path: Path) -> None:
    """An old copy restored is found by the witness alone (research attack 11); appending stops until QA decides."""
    shutil.copytree(house.home, tmp_path / "old")
    house.person("reader-1", "reader", trial="T1")
    _ask(house, witness)
    from countersign.house import open_house

    old = open_house(tmp_path / "old", clock=house.clock)
    with pytest.raises(RecordDamaged, match="stopped"):
        outside_proof.ask_witness(old, witness[1], witness[0].name, witness[0].public_key)
    with pytest.raises(RecordDamaged, match="stopped"), old.desk.writing():
        pass
    old.close()


@req("REC-04")
def test_a_fork_by_a_holder_of_all_keys_is_refused_and_both_notes_are_kept(
    house: HouseUnderTest, witness: tuple[Witness, str], tmp_path: Path
) -> None:
    """Roll back, then regrow with all keys: only the witness tells (research attack 55)."""
    shutil.copytree(house.home, tmp_path / "fork")
    house.person("reader-1", "reader", trial="T1")
    _ask(house, witness)
    from audit.vocabulary.ledger import ClockStepped
    from countersign.house import open_house

    fork = open_house(tmp_path / "fork", clock=house.clock)
    for _ in range(30):
        with fork.desk.open(Actor.of_service("house")) as work:
            work.record(ClockStepped(microseconds=1, because="fork"), under=Decision(True, "P-03", "x", "service"))
    with fork.desk.reading() as session:
        newest = store.last_checkpoint(session)
        assert newest is not None
        known = witness[0].known()["size"]
        path = proofs.consistency_path(store.StoredNodes(session), known, newest.size)
    with pytest.raises(NotAnExtension):
        witness[0].add_checkpoint(known, path, newest.note)
    fork.close()
    assert list((tmp_path / "witness").glob("disagreement-*.json"))


@req("REC-04", "OPS-02")
def test_a_checkpoint_is_anchored_and_openssl_agrees(
    house: HouseUnderTest, authority: tuple[str, bytes], tmp_path: Path
) -> None:
    """The token is recorded, `openssl ts -verify` accepts it over the note, and anchors alone are not anchored."""
    with house.desk.reading() as session:
        newest = store.last_checkpoint(session)
        assert newest is not None
    assert f"{newest.size} entries anchored" in outside_proof.anchor(house.house, authority[0], [authority[1]])
    assert house.words()[-1] == "ledger.anchored"
    assert "Nothing new" in outside_proof.anchor(house.house, authority[0], [authority[1]])

    beside = from_base64(house.entries()[-1].body["fields"]["log_signature"])
    (tmp_path / "note").write_text(proofs.with_line(newest.note, newest.origin, beside))
    (tmp_path / "root.pem").write_bytes(authority[1])
    with house.desk.reading() as session:
        (tmp_path / "token").write_bytes(session.execute(text("SELECT token FROM anchor")).scalar_one())
    said = subprocess.run(
        ["openssl", "ts", "-verify", "-data", "note", "-in", "token", "-CAfile", "root.pem"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )
    assert said.returncode == 0, said.stderr


@req("REC-04")
def test_a_token_of_another_authority_is_not_kept(
    house: HouseUnderTest, authority: tuple[str, bytes], tmp_path: Path
) -> None:
    """An unknown root, or no authority at all: nothing recorded, and signing never waits for it."""
    with a_house(tmp_path / "other") as other:
        certificate = other.house.signer.certificate_of_authority().encode()
    before = len(house.words())
    with pytest.raises(OutsideUnavailable):
        outside_proof.anchor(house.house, authority[0], [certificate])
    with pytest.raises(OutsideUnavailable):
        outside_proof.anchor(house.house, "http://127.0.0.1:9", [authority[1]])
    assert len(house.words()) == before


@req("REC-03")
def test_consistency_proofs_hold_for_every_pair_of_sizes() -> None:
    """RFC 6962, 2.1.2, over all pairs up to 40 leaves; a changed root never passes."""
    leaves = [bytes([number]) * 32 for number in range(40)]

    class Nodes:
        def node(self, level: int, index: int) -> bytes:
            return proofs.subtree_root(leaves[index << level : (index + 1) << level])

    for new in range(1, 41):
        for old in range(1, new + 1):
            path = proofs.consistency_path(Nodes(), old, new)
            roots = proofs.root_at(Nodes(), old), proofs.root_at(Nodes(), new)
            proofs.check_consistency(old, new, *roots, path)
            with pytest.raises(ValueError, match=r"\."):
                proofs.check_consistency(old, new, b"x" * 32, roots[1], path)

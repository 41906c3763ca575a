"""Replaced log keys and the second signature, as witnesses, time stamps, bundles and a public tool see them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from audit import proofs, store, verifier
from audit.entry import from_base64
from audit.vocabulary.ledger import ClockStepped
from core.access import rotation
from core.errors import OutsideUnavailable, UnusableInput
from core.ledger_check import check_store
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader
from core.policy.state import Actor, Decision
from countersign import outside_proof
from countersign.witness import NotAnExtension, Witness
from tests.contracts.test_outside_proof import authority
from tests.house import ORIGIN, HouseUnderTest
from tests.interop.test_go_checksum_database import checker, pytestmark
from tests.req import req

__all__ = ["authority", "checker"]
ALLOWED = Decision(True, "P-01", "for a test", "service")
OWNER, QA = Actor("owner-1"), Actor("qa-1")


def rotate_log(house: HouseUnderTest) -> tuple[bytes, bytes]:
    """The log key before and after."""
    house.person("owner-1", "system_owner")
    house.person("qa-1", "qa_auditor")
    old = house.house.signer.public_key("log")
    for one in (OWNER, QA):
        house.commit(rotation.rotate_house_key(house.desk, one, "log", "yearly exchange"))
    return old, house.house.signer.public_key("log")


def newest(house: HouseUnderTest) -> proofs.Checkpoint:
    with house.desk.reading() as session:
        found = store.last_checkpoint(session)
    assert found is not None
    return found


def path_between(house: HouseUnderTest, old: int, new: int) -> list[bytes]:
    with house.desk.reading() as session:
        return proofs.consistency_path(store.StoredNodes(session), old, new)


def more(house: HouseUnderTest) -> proofs.Checkpoint:
    with house.desk.open(Actor.of_service("house")) as work:
        work.record(ClockStepped(microseconds=1, because="for a test"), under=ALLOWED)
    return newest(house)


@req("REC-04", "REC-10")
def test_a_witness_follows_the_log_over_a_rotation_and_believes_the_old_key_no_more(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """Restarted with both keys. A thief of the old key cannot show it another history afterwards."""
    first = newest(house)
    old = house.house.signer.public_key("log")
    kept = (house.home / "signer" / "house" / "log.json").read_bytes()
    assert Witness(tmp_path / "w", ORIGIN, old).add_checkpoint(0, [], first.note)
    _, new = rotate_log(house)
    second = newest(house)
    with pytest.raises(UnusableInput, match="not of the log"):
        Witness(tmp_path / "w", ORIGIN, old).add_checkpoint(
            first.size, path_between(house, first.size, second.size), second.note)

    watching = Witness(tmp_path / "w", ORIGIN, old, new)
    assert watching.add_checkpoint(first.size, path_between(house, first.size, second.size), second.note)
    third = more(house)
    twin = house.copied(tmp_path / "thief")
    (twin.home / "signer" / "house" / "log.json").write_bytes(kept)
    said = proofs.signed_text(third.note)
    forged = proofs.signed_note(said, ORIGIN, old, twin.house.signer.attest("log", said.encode()).sig)
    twin.house.close()
    way = path_between(house, second.size, third.size)
    with pytest.raises(UnusableInput, match="another has replaced"):
        watching.add_checkpoint(second.size, way, forged)
    assert watching.add_checkpoint(second.size, way, third.note)
    with pytest.raises(NotAnExtension):
        watching.add_checkpoint(third.size, [], second.note)


def ml_dsa_line(house: HouseUnderTest) -> str:
    anchored = next(one for one in reversed(house.entries()) if one.body["action"] == "ledger.anchored")
    return str(anchored.body["fields"]["log_signature"])


@req("REC-04", "REC-10")
def test_an_anchored_checkpoint_carries_a_second_signature_and_the_bundle_shows_it(
    house: HouseUnderTest, authority: tuple[str, bytes], tmp_path: Path
) -> None:
    """What is stamped is the note with the ML-DSA-44 line; both verdicts stand in the report of the bundle."""
    note = newest(house)
    outside_proof.anchor(house.house, authority[0], [authority[1]])
    blob = from_base64(ml_dsa_line(house))
    stamped = proofs.with_line(note.note, ORIGIN, blob)
    assert verifier.parse_note(stamped.encode()).size == note.size
    (tmp_path / "note").write_text(stamped)
    (tmp_path / "root.pem").write_bytes(authority[1])
    with house.desk.reading() as session:
        (tmp_path / "token").write_bytes(session.execute(text("SELECT token FROM anchor")).scalar_one())
        found = check_store(SessionReader(session), ORIGIN)
        trust = json.loads(card(SessionReader(session), ORIGIN)) | {"timestamp_root": authority[1].decode()}
    said = subprocess.run(["openssl", "ts", "-verify", "-data", "note", "-in", "token", "-CAfile", "root.pem"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert found.ok, found.in_words()

    for number, wish in enumerate((Wish(), Wish(seqs=(3,)))):
        written = export(house.desk, wish, tmp_path / f"{number}.zip", under=ALLOWED, on_behalf_of="qa-1")
        report = verifier.verify_bundle(written.path, trust)
        assert report.verdict == verifier.VERIFIED, report.in_words()
        assert any("time stamp of" in one for one in report.cosignatures), report.in_words()
        assert any(f"over {note.size} entries also carries a good ML-DSA-44" in one for one in report.remarks)


@req("REC-10")
def test_anchors_before_and_after_a_rotation_of_the_log_keys_all_verify(
    house: HouseUnderTest, authority: tuple[str, bytes], tmp_path: Path
) -> None:
    outside_proof.anchor(house.house, authority[0], [authority[1]])
    before = house.house.signer.public_key("log-ml-dsa-44")
    rotate_log(house)
    assert house.house.signer.public_key("log-ml-dsa-44") != before
    outside_proof.anchor(house.house, authority[0], [authority[1]])

    with house.desk.reading() as session:
        found = check_store(SessionReader(session), ORIGIN)
        trust = json.loads(card(SessionReader(session), ORIGIN)) | {"timestamp_root": authority[1].decode()}
    assert found.ok, found.in_words()
    written = export(house.desk, Wish(), tmp_path / "b.zip", under=ALLOWED, on_behalf_of="qa-1")
    report = verifier.verify_bundle(written.path, trust)
    assert report.verdict == verifier.VERIFIED, report.in_words()
    assert not any("without the signatures of two persons" in one for one in report.remarks)


@req("REC-04")
def test_without_an_answer_nothing_is_recorded_of_the_second_signature(house: HouseUnderTest) -> None:
    before = house.words()

    with pytest.raises(OutsideUnavailable):
        outside_proof.anchor(house.house, "http://127.0.0.1:9", [])

    assert house.words() == before


@req("REC-03", "REC-08")
@pytest.mark.skipif(pytestmark.args[0], reason="Debian's golang-go and golang-golang-x-mod-dev are not installed")
def test_go_accepts_notes_of_the_new_log_key_and_passes_over_the_second_line(
    house: HouseUnderTest, checker: Path, authority: tuple[str, bytes]
) -> None:
    """Verifier name and new hash are those of the new key; the ML-DSA-44 line is of a key that Go does not know."""
    old, new = rotate_log(house)
    first = newest(house)
    house.person("reader-1", "reader", trial="T1")
    second = newest(house)
    outside_proof.anchor(house.house, authority[0], [authority[1]])
    lined = proofs.with_line(second.note, ORIGIN, from_base64(ml_dsa_line(house)))
    with house.desk.reading() as session:
        nodes = store.StoredNodes(session)
        leaf = base64.b64encode(nodes.node(0, 3)).decode()
        way = [base64.b64encode(one).decode() for one in proofs.inclusion_path(nodes, 3, second.size)]
    consistency = [base64.b64encode(one).decode() for one in path_between(house, first.size, second.size)]

    def answer(key: bytes, note: str) -> int:
        name = f"{ORIGIN}+{proofs.note_key_id(ORIGIN, key).hex()}+{base64.b64encode(bytes([1]) + key).decode()}"
        asked: dict[str, Any] = {"verifier": name, "note": note, "old": first.note, "consistency": consistency,
                                 "leaves": [{"index": 3, "leaf": leaf, "path": way}]}
        return subprocess.run([str(checker)], input=json.dumps(asked), text=True, capture_output=True,
                              check=False).returncode

    assert answer(new, second.note) == 0
    assert answer(new, lined) == 0
    assert answer(old, second.note) == 2

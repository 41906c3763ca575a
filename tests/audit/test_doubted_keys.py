"""The live record lists what a bundle's verifier lists: entries of keys revoked as suspect, and of recovered keys."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from audit.verifier import verify_bundle
from core.access import rotation, usecases
from core.ledger_check import check_store
from core.ledger_exports import Wish, export
from core.ledger_queries import SessionReader
from core.policy.state import Actor, Decision
from countersign.cli import app
from tests.house import ORIGIN, PASSWORD, HouseUnderTest
from tests.req import req


@req("SIG-10", "REC-08")
def test_verify_lists_what_a_suspect_key_signed_and_is_no_fault(house: HouseUnderTest, tmp_path: Path) -> None:
    """In words and as data, the same that a bundle says; the record is not wrong by it."""
    ann = house.person("ann", "qa_auditor")
    house.person("owner-9", "system_owner")
    old = house.house.signer.kid_of_person("ann")
    with house.desk.reading() as session:
        assert check_store(SessionReader(session), ORIGIN).doubted == []
    house.commit(rotation.rotate_key(house.desk, ann, rotation.RotateKey(PASSWORD)).proposal)
    signed = [entry.seq for entry in house.entries() if entry.kid == old]
    house.commit(usecases.revoke_key(house.desk, Actor("owner-9"), old, "laptop stolen", suspect_from=signed[0] + 1))

    with house.desk.reading() as session:
        check = check_store(SessionReader(session), ORIGIN)
    assert check.ok
    (one,) = check.doubted
    assert (one.kid, one.holder, one.suspect_from) == (old, "ann", signed[0] + 1)
    assert one.first == [seq for seq in signed if seq > signed[0]]
    assert "To be looked at: the key" in check.in_words()

    allowed = Decision(True, "P-01", "You may read the record of what you are granted.", "service")
    export(house.desk, Wish(), tmp_path / "b.zip", under=allowed, on_behalf_of="qa-0")
    assert one.in_words() in verify_bundle(tmp_path / "b.zip").remarks

    house.house.close()
    done = CliRunner().invoke(app, ["ledger", "verify", "--home", str(house.home), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["doubted"][0]["entries"] == len(signed) - 1

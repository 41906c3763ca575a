"""The yearly second hash of a real house: written, checked by store and bundle, asked for by doctor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from audit import verifier
from audit.entry import base64_text
from audit.vocabulary.ledger import LedgerRehashed
from core.errors import AlreadyDone, RecordDamaged
from core.ledger_check import check_store
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader
from core.ledger_rehash import rehash, rehash_is_due
from core.policy.state import Actor, Decision
from countersign.cli import app
from countersign.doctor import examine
from tests.house import ORIGIN, HouseUnderTest
from tests.req import req
from tests.second_verifier import second_root

UNDER = Decision(True, "P-03", "for a test", "service")


@req("REC-10", "REC-03")
def test_the_second_hash_is_of_the_exact_bytes_and_is_checked_in_store_and_bundle(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    house.person("reader-1", "reader", trial="T1")
    before = [entry.raw for entry in house.entries()]

    receipt, size = rehash(house.desk, under=UNDER, on_behalf_of="console")

    fields = house.entries()[receipt.seq].body["fields"]
    assert size == fields["size"] == len(before)
    assert fields["root"] == base64_text(second_root(before))
    with house.desk.reading() as session:
        reader = SessionReader(session)
        assert check_store(reader, ORIGIN).ok
        trust = json.loads(card(reader, ORIGIN))
    written = export(house.desk, Wish(), tmp_path / "b.zip", under=UNDER, on_behalf_of="qa-1")
    report = verifier.verify_bundle(written.path, trust)
    assert report.verdict == verifier.VERIFIED
    assert any("recomputed under sha3-512" in one for one in report.remarks)


@req("REC-10")
def test_nothing_new_is_not_hashed_again(house: HouseUnderTest) -> None:
    rehash(house.desk, under=UNDER, on_behalf_of="console")

    with pytest.raises(AlreadyDone):
        rehash(house.desk, under=UNDER, on_behalf_of="console")


@req("REC-03", "REC-04")
def test_a_false_statement_in_the_store_is_named_by_its_entry(house: HouseUnderTest) -> None:
    """A house whose service key serves somebody else: the statement is signed and recorded, and still not true."""
    with house.desk.open(Actor.of_service("house")) as work:
        entry = work.record(LedgerRehashed(size=5, algorithm="sha3-512", root=base64_text(bytes(64))), under=UNDER)

    with house.desk.reading() as session:
        found = check_store(SessionReader(session), ORIGIN)

    assert found.first is not None
    assert (found.first.seq, "root under sha3-512" in found.first.reason) == (entry.seq, True)


@req("REC-04")
def test_nothing_is_stated_about_a_damaged_record(house: HouseUnderTest) -> None:
    with house.house.engine.begin() as session:
        session.execute(text("DROP TRIGGER entry_no_update"))
        session.execute(text("UPDATE entry SET data = replace(data, 'owner-0', 'owner-9') WHERE seq = 14"))
        changed = session.execute(text("SELECT data FROM entry WHERE seq = 14")).scalar_one()
        session.execute(text("UPDATE entry SET data = CAST(:d AS BLOB) WHERE seq = 14"), {"d": changed})

    with pytest.raises(RecordDamaged, match="do not lead"):
        rehash(house.desk, under=UNDER, on_behalf_of="console")

    with house.house.engine.begin() as session:  # put back what the house promises at the end of a test
        session.execute(text(
            "UPDATE entry SET data = CAST(replace(data, 'owner-9', 'owner-0') AS BLOB) WHERE seq = 14"))


@req("REC-10", "OPS-01")
def test_doctor_asks_for_it_once_a_year(house: HouseUnderTest) -> None:
    def due() -> bool:
        return any("second hash" in one.what for one in examine(house.house))

    house.clock.advance(days=364)
    assert not due()
    house.clock.advance(days=2)
    assert due()
    with house.desk.reading() as session:
        assert "has no second hash" in (rehash_is_due(SessionReader(session), house.clock.now()) or "")

    made = CliRunner().invoke(app, ["ledger", "rehash", "--home", str(house.home)])
    assert made.exit_code == 0, made.output
    assert not due()
    house.clock.advance(days=366)
    assert due()

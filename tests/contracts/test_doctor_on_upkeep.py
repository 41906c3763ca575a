"""`doctor` says in words what keeps a record from going on or from being found whole, and what to do."""

from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from typer.testing import CliRunner

from audit import proofs, store
from audit.vocabulary.ledger import LedgerAnchored
from audit.vocabulary.registry import ObjectRef
from core.clock import span_in_words
from core.errors import ClockUntrusted
from core.policy.state import Actor, Decision
from countersign import outside_proof
from countersign.backup import record_backup, take_copy
from countersign.cli import app
from countersign.doctor import Finding, examine
from countersign.house import open_house
from countersign.restore import restore
from countersign.witness import Witness, serve
from tests.house import ORIGIN, HouseUnderTest
from tests.req import req

SERVICE = Decision(True, "P-03", "for a test", "service")


def found(house: HouseUnderTest, *words: str) -> Finding:
    """The one finding that has all these words."""
    fitting = [one for one in examine(house.house) if all(word in f"{one.what} {one.remedy}" for word in words)]
    assert len(fitting) == 1, [one.what for one in examine(house.house)]
    return fitting[0]


def witnessed(house: HouseUnderTest, witness: Witness) -> None:
    server = serve(witness, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        outside_proof.ask_witness(house.house, url, witness.name, witness.public_key)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@req("OPS-01", "OPS-09")
def test_it_tells_how_old_the_last_backup_is(house: HouseUnderTest, tmp_path: Path) -> None:
    none = found(house, "No backup")
    assert not none.fine
    assert "countersign backup" in none.remedy

    record_backup(house.house, take_copy(house.house, tmp_path / "copy"))
    assert found(house, "The last backup").fine

    house.clock.advance(days=3)
    house.grant("qa-0", "monitor")
    late = found(house, "The last backup")
    assert not late.fine
    assert "3 days" in late.what


@req("OPS-02", "OPS-09")
def test_it_tells_that_a_witness_is_behind_or_none_is_there(house: HouseUnderTest, tmp_path: Path) -> None:
    """The witness stamps with its own clock, which a set clock of a test lies far away from; its lag is of entries."""
    assert not found(house, "No witness").fine
    witness = Witness(tmp_path / "witness", ORIGIN, house.house.signer.public_key("log"))
    witnessed(house, witness)
    assert found(house, "The witness", "0 behind").fine

    house.clock.advance(days=3000)
    house.grant("qa-0", "monitor")
    behind = found(house, "The witness", "1 behind")
    assert not behind.fine
    assert "ledger cosign" in behind.remedy


@req("OPS-02", "REC-04")
@pytest.mark.parametrize("kind", ["ahead", "fork", "unproven", "restored"])
def test_it_tells_why_appending_is_stopped_and_which_command_goes_on(house: HouseUnderTest, kind: str) -> None:
    with house.desk.reading() as session:
        last = store.last_checkpoint(session)
    assert last is not None
    signer = house.house.signer
    size = last.size + 9 if kind == "ahead" else last.size - 2
    body = proofs.note_text(ORIGIN, size, b"\x07" * 32)
    note = proofs.signed_note(body, ORIGIN, signer.public_key("log"), signer.attest("log", body.encode()).sig)
    assert found(house, "Appending is not stopped").fine
    if kind == "restored":
        (house.home / "RESTORED").write_text("This home was restored.")
    else:
        house.house.standstill.stop("The witness disagrees.", "" if kind == "unproven" else note)

    told = found(house, "Appending is stopped")

    assert not told.fine
    assert told.damaged is (kind != "restored")
    assert {"ahead": "witness is ahead", "fork": "holds a fork", "unproven": "The witness disagrees",
            "restored": "This home was restored"}[kind] in told.what
    command = "ledger resume" if kind == "restored" else "ledger continue"
    assert command in told.remedy
    house.house.standstill.lift()


@req("OPS-02", "OPS-09")
def test_it_tells_how_far_the_time_stamp_is_behind(house: HouseUnderTest) -> None:
    assert not found(house, "No time stamp").fine
    with house.desk.open(Actor.of_service("house")) as work:
        last = store.last_checkpoint(work.session)
        assert last is not None
        work.session.execute(insert(store.anchors).values(size=last.size, authority="a", token=b"t"))
        token = ObjectRef(sha256="0" * 64, bytes=1, media="x")
        work.record(LedgerAnchored(size=last.size, authority="a", token=token), under=SERVICE)
    assert found(house, "time stamp covers", "0 behind").fine
    house.clock.advance(days=9)
    house.grant("qa-0", "monitor")
    assert not found(house, "time stamp covers", "1 behind").fine


@req("OPS-03", "OPS-09")
def test_it_tells_that_the_clock_is_not_believed(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(house, "The clock agrees").fine

    def jumped() -> int:
        raise ClockUntrusted("The clock is 3600.0 s ahead of the time since boot.")

    monkeypatch.setattr(house.clock, "now", jumped)
    told = found(house, "3600.0 s ahead")
    assert not told.fine
    assert "--confirm-clock" in told.remedy
    monkeypatch.undo()
    house.clock.at_us -= 90_000_000
    assert "future of this clock" in found(house, "--confirm-clock").what
    house.clock.advance(seconds=90)


@req("OPS-09")
def test_it_tells_that_room_is_low(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1))
    low = found(house, "GiB free")
    assert not low.fine
    assert "Make room" in low.remedy


@req("OPS-09")
def test_it_tries_to_write_and_leaves_no_trace(house: HouseUnderTest) -> None:
    """A database that takes no writes is told; a good one has nothing more in it afterwards."""
    before = sorted(path.name for path in house.home.iterdir())
    assert found(house, "can be written").fine
    assert sorted(path.name for path in house.home.iterdir()) == before
    with house.desk.reading() as session:
        assert not list(session.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'doctor_trial'")))

    def read_only(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    house.house.engine.dispose()
    event.listen(house.house.engine, "connect", read_only)
    told = found(house, "cannot be", "writable")
    assert not told.fine
    event.remove(house.house.engine, "connect", read_only)
    house.house.engine.dispose()


@req("OPS-05", "OPS-09")
@pytest.mark.parametrize(("step", "says"), [("0001", "older"), ("9999", "newer")])
def test_it_tells_of_a_schema_of_another_release(house: HouseUnderTest, step: str, says: str) -> None:
    with house.desk.engine.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :step"), {"step": step})
    told = found(house, f"has a{'n' if says == 'older' else ''} {says} schema")
    assert not told.fine
    assert "release" in told.remedy


@req("OPS-01", "OPS-05")
def test_a_restore_brings_an_older_schema_to_this_release(house: HouseUnderTest, tmp_path: Path) -> None:
    """What doctor advises is true."""
    with house.desk.engine.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        session.execute(text("DROP TABLE web_session"))
    take_copy(house.house, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "there", now_us=house.clock.at_us)
    there = open_house(tmp_path / "there", clock=house.clock)
    assert any("schema of this release" in one.what and "0004" in one.what for one in examine(there))
    there.close()


@req("REC-01", "OPS-09")
def test_it_tells_of_tables_that_differ_from_the_record(house: HouseUnderTest) -> None:
    with house.desk.engine.begin() as session:
        session.execute(text("UPDATE key SET printed_name = 'Somebody Else' WHERE holder = 'qa-0'"))
    told = found(house, "differ from the record")
    assert told.damaged
    assert "ledger rebuild" in told.remedy
    done = CliRunner().invoke(app, ["doctor", "--home", str(house.home)])
    assert done.exit_code == 2
    assert "differ from the record" in done.output
    house.house.rebuild()


@req("OPS-09")
@pytest.mark.parametrize(("us", "said"), [
    (0, "less than a minute"), (60_000_000, "1 minute"), (7_200_000_000, "2 hours"),
    (90_061_000_000, "1 day 1 hour"), (-5, "less than a minute")])
def test_a_length_of_time_is_said_as_people_say_it(us: int, said: str) -> None:
    assert span_in_words(us) == said

"""Somebody with the database file changes it behind the house's back; `ledger verify` names what and where."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import store
from core.ledger_check import COLUMNS, Check, check_store
from core.ledger_queries import SqliteReader
from core.policy.state import Decision
from core.work import HOUSE, Work
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.req import req


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a house with more than 256 entries, so that one tile is full."""
    from audit.vocabulary.ledger import ClockStepped

    with a_house(tmp_path_factory.mktemp("house")) as house:
        house.person("reader-1", "reader", trial="T1")
        allowed = Decision(True, "P-03", "set up for a test", "service")
        while len(house.words()) < 260:
            with house.desk.open(HOUSE, on_behalf_of="owner") as work:
                _many(work, allowed, ClockStepped(microseconds=1, because="set up for a test"))
        return _file_of(house)


def _many(work: Work, allowed: Decision, event: object) -> None:
    for _ in range(25):
        work.desk.clock.advance(seconds=1)  # type: ignore[attr-defined]
        work.record(event, under=allowed)


def _file_of(house: HouseUnderTest) -> bytes:
    source = sqlite3.connect(house.home / "ledger.db")
    copy = house.home / "copy.db"
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    return copy.read_bytes()


@pytest.fixture
def tampered(database: bytes, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A copy without its triggers, as whoever owns the file would have it."""
    path = tmp_path / "ledger.db"
    path.write_bytes(database)
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def open_up(connection: sqlite3.Connection) -> list[str]:
    made = [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")]
    for name in [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
        connection.execute(f"DROP TRIGGER {name}")
    return made


def judged(connection: sqlite3.Connection, triggers: list[str]) -> Check:
    """The check of the store after its triggers were put back as if nothing had been."""
    for statement in triggers:
        connection.execute(statement)
    connection.commit()
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    reader = SqliteReader(path)
    try:
        return check_store(reader, ORIGIN)
    finally:
        reader.close()


@req("REC-03")
def test_an_untouched_store_agrees_with_its_record(tampered: sqlite3.Connection) -> None:
    check = judged(tampered, [])

    assert check.ok, check.in_words()
    assert check.entries > 256
    assert check.tiles == 1
    assert check.checkpoints > 5
    assert "Not visible from inside" in check.in_words()


@pytest.mark.parametrize("column", [*COLUMNS, "leaf"])
@req("REC-03", "REC-04")
def test_a_change_of_any_column_beside_the_entry_is_found(tampered: sqlite3.Connection, column: str) -> None:
    triggers = open_up(tampered)
    value: object = 999 if column in ("ts", "stream_seq") else b"x" * 32 if column == "leaf" else "changed"

    tampered.execute(f"UPDATE entry SET {column} = ? WHERE seq = 20", (value,))
    check = judged(tampered, triggers)

    columns = [(one.seq, one.place) for one in check.faults if one.place.startswith("column")]
    assert columns == [(20, f"column {column}")]


NEWEST = "size = (SELECT max(size) FROM checkpoint)"
CHANGES = {
    "an entry's bytes": ("UPDATE entry SET data = cast(replace(cast(data AS TEXT), '\"role\":\"', '\"role\":\"x') "
                         "AS BLOB) WHERE seq = 20", 20),
    "text for bytes": ("UPDATE entry SET data = cast(data AS TEXT) WHERE seq = 20", 20),
    "an entry deleted": ("DELETE FROM entry WHERE seq = 20", 20),
    "two entries exchanged": ("UPDATE entry SET data = (SELECT e.data FROM entry e WHERE e.seq = 41 - entry.seq) "
                              "WHERE seq IN (20, 21)", 20),
    "the newest entry cut off": ("DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry)", None),
    # A character amid the signature: its last one carries spare bits, and a given letter need not occur at all.
    "a note's bytes": ("UPDATE checkpoint SET note = substr(note, 1, length(note) - 21) || "
                       "CASE substr(note, length(note) - 20, 1) WHEN 'A' THEN 'B' ELSE 'A' END || "
                       f"substr(note, length(note) - 19) WHERE {NEWEST}", ...),
    "a note's root column": (f"UPDATE checkpoint SET root = zeroblob(32) WHERE {NEWEST}", ...),
    "two notes exchanged": ("UPDATE checkpoint SET note = (SELECT note FROM checkpoint c WHERE c.size <> "
                            f"checkpoint.size ORDER BY c.size LIMIT 1) WHERE {NEWEST}", ...),
    "the newest note deleted": (f"DELETE FROM checkpoint WHERE {NEWEST}", ...),
    "a note deleted that signers saw": ("DELETE FROM checkpoint WHERE size = (SELECT min(size) FROM checkpoint)", ...),
    "a tile's hashes": ("UPDATE tile SET data = zeroblob(8192)", 255),
    "a tile's root": ("UPDATE tile SET root = zeroblob(32)", 255),
    "a tile deleted": ("DELETE FROM tile", 255),
    "a tile invented": ("INSERT INTO tile VALUES (1, 0, zeroblob(8192), zeroblob(32))", None),
}


@pytest.mark.parametrize("name", CHANGES)
@req("REC-03", "REC-04")
def test_a_change_behind_the_house_is_found_and_placed(tampered: sqlite3.Connection, name: str) -> None:
    statement, seq = CHANGES[name]
    triggers = open_up(tampered)

    assert tampered.execute(statement).rowcount
    check = judged(tampered, triggers)

    assert check.first is not None
    assert seq is ... or check.first.seq == seq, check.in_words()


@req("REC-05")
def test_a_missing_or_weakened_protection_is_found(tampered: sqlite3.Connection) -> None:
    names = [re.split(r"\s+", text)[2] for text in store.protection("sqlite")]
    triggers = open_up(tampered)

    without = judged(tampered, [text for text in triggers if names[0] not in text])

    assert [one.reason for one in without.faults] == [f"trigger {names[0]} is missing"]
    tampered.execute(f"CREATE TRIGGER {names[0]} BEFORE UPDATE ON entry BEGIN SELECT 1; END")
    assert [one.reason for one in judged(tampered, []).faults] == [f"trigger {names[0]} was changed"]


@req("REC-03")
def test_signatures_may_be_checked_on_more_cores_with_the_same_outcome(database: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(database)
    reader = SqliteReader(path)

    assert check_store(reader, ORIGIN, jobs=2) == check_store(reader, ORIGIN)
    assert not check_store(reader, "countersign.example/other").ok

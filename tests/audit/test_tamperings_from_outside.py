"""Tamperings that need more than a row of the table: processes, files beside the database, auditors who talk."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.verifier import VERIFIED
from core.errors import RecordDamaged
from core.ledger_exports import Wish, export
from countersign.house import House, open_house
from countersign.outside_proof import ask_witness
from countersign.witness import NotAnExtension
from tests.bundles import b64
from tests.house import ORIGIN
from tests.req import req
from tests.tampering import (
    SIZE,
    Scene,
)
from tests.thefts import (
    Change,
    Theft,
    cut_batch,
    exported,
    foreign_line,
    fork,
    old_copy,
    plain,
    shown_to_witness,
)
from tests.writers import YES

ROOT = Path(__file__).resolve().parents[2]


@req("REC-03")
def test_a_foreign_signature_line_says_nothing_and_there_is_no_room_for_many(scene: Scene, tmp_path: Path) -> None:
    """20: the format says to ignore it; content and root are the same, and more than 16 lines are refused."""
    theft = Theft(scene, tmp_path)
    foreign_line(theft)
    assert theft.store().ok
    report = theft.bundle()
    assert report == Theft(scene, tmp_path, members=dict(scene.members)).bundle()
    assert report.verdict == VERIFIED
    theft = Theft(scene, tmp_path)
    foreign_line(theft)
    assert theft.members is not None
    line = theft.members["checkpoint.txt"].splitlines(keepends=True)[-1]
    theft.members["checkpoint.txt"] += line * 15
    crowded = theft.bundle().first_bad
    assert crowded is not None
    assert crowded.step == 2
    theft.sql(f"UPDATE checkpoint SET note = note || ? WHERE size = {SIZE}", parameters=[line.decode() * 15])
    assert {one.place for one in theft.store().faults} == {"checkpoint"}


@req("REC-04", "OPS-02")
def test_two_auditors_who_compare_their_notes_see_the_split_view(scene: Scene, tmp_path: Path) -> None:
    """A1: each bundle alone is good; the one's note beside the other's bundle is not, and one has no cosignature."""
    theft = Theft(scene, tmp_path)
    fork(theft)
    theirs = theft.bundle()
    witness = scene.witness(tmp_path / "witness-2")
    note = scene.notes[SIZE]
    cosigned = (note + witness.add_checkpoint(SIZE, [], note) + "\n").encode()
    ours = Theft(scene, tmp_path, members=dict(scene.members)).bundle(**{"checkpoint.txt": cosigned})

    assert theirs.verdict == ours.verdict == VERIFIED
    assert (theirs.size, theirs.cosignatures) == (ours.size, [])
    assert ours.witnessed_size == SIZE
    assert theirs.root != ours.root
    between = theft.bundle(**{f"anchors/{SIZE}.note": cosigned}).first_bad
    assert between is not None
    assert between.step == 13


@req("REC-04", "OPS-02")
def test_a_stale_bundle_is_good_for_its_time_and_the_witness_knows_more(scene: Scene, tmp_path: Path) -> None:
    """A2: an older export as a whole cannot be told from a new one, but for the witness."""
    theft = Theft(scene, tmp_path)
    entries = scene.entries[:400]
    theft.members = exported(scene, entries)
    stale = theft.bundle()
    assert stale.verdict == VERIFIED, stale.in_words()
    assert any("rollback" in text for text in stale.not_checked)
    with pytest.raises(NotAnExtension, match="a rollback"):
        shown_to_witness(theft, entries, scene.keys["log"])


@req("REC-04", "OPS-02")
@pytest.mark.parametrize("change", [cut_batch, old_copy])
def test_a_house_with_an_old_or_cut_database_is_stopped_by_the_witness_process(
    scene: Scene, tmp_path: Path, change: Change
) -> None:
    """6 and 11 as they happen: the file is exchanged, the house asks its witness for the next cosignature."""
    theft = Theft(scene, tmp_path)
    change(theft)
    home = tmp_path / "home"
    shutil.copytree(scene.house.home, home, ignore=shutil.ignore_patterns("ledger.db*"))
    shutil.copy(theft.path, home / "ledger.db")
    shutil.copytree(scene.witness_folder, tmp_path / "witness")
    log_key = b64(scene.keys["log"].public_key().public_bytes_raw())
    port = _free_port()
    watching = subprocess.Popen(
        [sys.executable, "-m", "countersign", "ledger", "witness", "--folder", str(tmp_path / "witness"), "--origin",
         ORIGIN, "--log-key", log_key, "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    house = open_house(home, clock=scene.house.clock)
    try:
        assert watching.stdout is not None
        for line in watching.stdout:
            if line.startswith("Listening"):
                break
        _wait_for(port)
        witness = scene.card["witnesses"][0]
        with pytest.raises(RecordDamaged, match="stopped"):
            ask_witness(house, f"http://127.0.0.1:{port}", witness["name"], base64.b64decode(witness["public_key"]))
        with pytest.raises(RecordDamaged, match="stopped"), house.desk.writing():
            pass
    finally:
        house.close()
        watching.terminate()
        watching.communicate(timeout=30)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail("the witness does not listen")


@req("REC-03", "REC-04")
def test_a_log_of_writes_removed_or_from_another_copy_is_found(scene: Scene, tmp_path: Path) -> None:
    """A6: removed, the newest commits are gone, which the witness sees; a foreign one damages the file, which the check
    sees. A log of writes that never was checkpointed into the file is the newest part of the record."""
    theft = Theft(scene, tmp_path)
    theft.path.write_bytes(scene.older)
    _regrown_in(theft.path, scene.database)
    left = tmp_path / "ledger.db-wal"
    removed = Theft(scene, _folder(tmp_path / "removed"))
    removed.path.write_bytes(theft.path.read_bytes())
    check = removed.store()
    assert left.stat().st_size > 100_000
    assert (check.ok, check.entries) == (True, 401)
    with pytest.raises(NotAnExtension, match="a rollback"):
        shown_to_witness(removed, scene.entries[:401], scene.keys["log"])

    kept = Theft(scene, _folder(tmp_path / "kept"))
    kept.path.write_bytes(theft.path.read_bytes())
    shutil.copy(left, kept.folder / "ledger.db-wal")
    assert kept.store().entries == SIZE

    foreign = Theft(scene, _folder(tmp_path / "foreign"))
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, data BLOB)")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executemany("INSERT INTO entry (data) VALUES (?)", [(raw,) for raw in scene.entries])
    connection.commit()
    shutil.copy(tmp_path / "other.db-wal", foreign.folder / "ledger.db-wal")
    connection.close()
    assert {one.place for one in foreign.store().faults} & {"file", "data", "schema"}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _regrown_in(path: Path, whole_database: bytes) -> None:
    """Put the entries after 400 into the file's log of writes as the house would have, and leave them there."""
    script = (
        "import sqlite3, sys, os\n"
        "whole, path = sys.argv[1:]\n"
        "c = sqlite3.connect(path, isolation_level=None)\n"
        "c.execute('PRAGMA journal_mode=WAL'); c.execute('PRAGMA wal_autocheckpoint=0')\n"
        "c.execute('ATTACH ? AS whole', (whole,)); c.execute('BEGIN')\n"
        "for table in ('entry', 'checkpoint', 'tile', 'anchor'):\n"
        "    key = 'seq' if table == 'entry' else 'idx' if table == 'tile' else 'size'\n"
        "    c.execute(f'INSERT INTO main.{table} SELECT * FROM whole.{table} WHERE {key} > '\n"
        "              f'(SELECT coalesce(max({key}), -1) FROM main.{table}) ORDER BY 1')\n"
        "c.execute('COMMIT'); os._exit(0)\n"  # no close: it would move the log into the file
    )
    whole = path.with_name("whole.db")
    whole.write_bytes(whole_database)
    subprocess.run([sys.executable, "-c", script, str(whole), str(path)], check=True)


@req("REC-04", "REC-05")
def test_an_attached_database_and_temporary_views_hide_and_change_nothing(scene: Scene, tmp_path: Path) -> None:
    """A7: what somebody lays over the record in a session of his own ends with it; through an attachment the triggers
    hold as well."""
    theft = Theft(scene, tmp_path)
    session = sqlite3.connect(":memory:", isolation_level=None)
    session.execute("ATTACH ? AS record", (str(theft.path),))
    session.execute("CREATE TABLE main.entry (seq INTEGER)")
    session.execute("CREATE TEMP VIEW checkpoint AS SELECT * FROM record.checkpoint WHERE size < 100")
    for statement in ("UPDATE record.entry SET actor = 'x' WHERE seq = 40", "DELETE FROM record.entry WHERE seq = 40",
                      "INSERT OR REPLACE INTO record.checkpoint SELECT size, root, 'x' FROM record.checkpoint LIMIT 1"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            session.execute(statement)
    check = theft.store()
    session.close()

    assert check.ok, check.in_words()
    assert check.checkpoints == 30
    plain(theft, "CREATE TRIGGER spy AFTER INSERT ON entry BEGIN SELECT 1; END")
    assert [one.reason for one in theft.store().faults] == ["trigger spy was added"]


@req("REC-03", "REC-08")
def test_what_stands_in_extra_of_a_proof_is_believed_by_nobody(scene: Scene, tmp_path: Path) -> None:
    """A9: the line `extra` of a tlog-proof is signed by nobody; whatever it claims, the report is the same."""
    out = tmp_path / "part.zip"
    with checked_copy(scene, tmp_path) as house:
        export(house.desk, Wish(trial="T1"), out, under=YES, on_behalf_of="qa-0")
    with zipfile.ZipFile(out) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    theft = Theft(scene, tmp_path, members=members)
    before = theft.bundle()
    assert before.verdict == VERIFIED, before.in_words()
    for name in [name for name in members if name.startswith("proofs/")]:
        members[name] = members[name].replace(b"\nindex", b"\nextra aW5kZXggOTk5\nindex", 1)
    assert theft.bundle() == before
    last = max(int(name[7:-11]) for name in members if name.startswith("proofs/"))
    members[f"proofs/{last}.tlog-proof"] = members[f"proofs/{last}.tlog-proof"].replace(
        f"index {last}".encode(), f"extra index {last}\nindex {last - 1}".encode(), 1).replace(
        b"extra aW5kZXggOTk5\n", b"", 1)
    moved = theft.bundle().first_bad
    assert moved is not None
    assert (moved.step, moved.seq) == (9, last)


@contextlib.contextmanager
def checked_copy(scene: Scene, folder: Path) -> Iterator[House]:
    """The house once more, beside the one under attack."""
    home = folder / "copy"
    shutil.copytree(scene.house.home, home, ignore=shutil.ignore_patterns("ledger.db*"))
    (home / "ledger.db").write_bytes(scene.database)
    house = open_house(home, clock=scene.house.clock)
    yield house
    house.close()

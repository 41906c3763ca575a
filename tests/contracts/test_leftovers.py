"""What killed commands leave in a home is named by `doctor`, and removed by the next such command and by `work`; what
somebody works on is never touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from countersign import leftovers
from countersign.cli import app
from countersign.doctor import examine
from tests.house import HouseUnderTest
from tests.req import req

ROOT = Path(__file__).resolve().parents[2]
# Each does the real work up to a point where it stays until it is killed.
COMMANDS = {
    "rebuild": "projection.Fresh.swap = stay; house.rebuild()",
    "backup": "backup._verified = stay; backup.take_copy(house, Path(sys.argv[2]), 'a long passphrase')",
}
CHILD = """
import sys, time
from pathlib import Path
from core import projection
from countersign import backup
from countersign.house import open_house
def stay(*_):
    print("here", flush=True)
    time.sleep(600)
house = open_house(Path(sys.argv[1]))
"""


def grown_old(path: Path) -> None:
    """As if nobody had touched it for an hour."""
    past = time.time() - 3_600
    os.utime(path, (past, past))


@pytest.mark.parametrize("command", sorted(COMMANDS))
@req("OPS-01", "OPS-05")
def test_what_a_killed_command_left_is_named_and_removed_and_never_before(
    house: HouseUnderTest, tmp_path: Path, command: str
) -> None:
    home = house.home
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD + COMMANDS[command], str(home), str(tmp_path / "copy")], cwd=ROOT,
        stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        (folder,) = home.glob(f".{command}-*")
        grown_old(folder)
        assert house.house.leftovers() == [], "it is in use"
        assert house.house.remove_leftovers() == []
        assert folder.is_dir()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()

    (left,) = house.house.leftovers()
    assert left.path == folder
    assert left.bytes > 10_000
    (finding,) = [one for one in examine(house.house) if "perhaps a plain copy" in one.what]
    assert not finding.fine
    assert str(folder) in finding.what
    house.house.rebuild()
    assert not folder.exists()
    assert any(one.what == "Nothing of ended commands lies about" for one in examine(house.house))


@req("OPS-01", "OPS-05")
def test_work_removes_files_without_a_name_and_stages_of_restores_but_nothing_young_or_foreign(
    house: HouseUnderTest,
) -> None:
    home = house.home
    stage = home.parent / f".{home.name}.restoring-x1"
    stage.mkdir()
    (stage / "ledger.db").write_bytes(b"x" * 100)
    nameless = home / "objects" / "ab" / f".{'c' * 62}.0123abcd"
    nameless.parent.mkdir(parents=True)
    young = nameless.with_name(f".{'d' * 62}.0123abcd")
    kept = [home / "objects" / "ab" / ("e" * 62), home / ".rebuild-notes.txt", young]
    for path in (nameless, *kept):
        path.write_bytes(b"12345")
    for path in (stage, nameless, *kept[:2]):
        grown_old(path)
    link = home / ".rebuild-link"
    link.symlink_to(home / "signer")

    assert {one.path for one in house.house.leftovers()} == {stage, nameless}
    house.house.close()
    done = CliRunner().invoke(app, ["work", "--home", str(home)])

    assert done.exit_code == 0, done.output
    assert "2 leftovers of ended commands were removed, 105 bytes." in done.output
    assert not stage.exists()
    assert not nameless.exists()
    assert all(path.exists() for path in (*kept, link, home / "signer" / "house"))
    for path in (link, *kept[1:]):
        path.unlink()


def test_a_file_that_is_being_written_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / ".key.json.0123abcd"
    with path.open("wb") as file:
        leftovers.hold(file.fileno())
        file.write(b"half")
        file.flush()
        grown_old(path)
        assert leftovers.remove(tmp_path) == []
    assert [one.path for one in leftovers.remove(tmp_path)] == [path]

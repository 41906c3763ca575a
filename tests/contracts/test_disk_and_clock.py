"""A disk that is full or cannot be written, and a clock that jumps: our words, nothing half-written, usable after.

The refusals are the system's own: a small tmpfs where one may be mounted, a file-size limit in a process of its own,
SQLite's own page limit, a process that is nobody. Only the clock's hands are moved by the test.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from typer.testing import CliRunner

from core.clock import SystemClock, remembering
from core.errors import ClockUntrusted, DiskFull
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from core.policy.state import Decision
from countersign import disk
from countersign.backup import take_copy
from countersign.cli import app
from countersign.house import open_house
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app
from tests.house import ORIGIN, HouseUnderTest, checked
from tests.req import req

ROOT = Path(__file__).resolve().parents[2]
LOGIN = "a login password of its own"
YES = Decision(True, "P-02", "for a test", "system_owner")


def whole(house: HouseUnderTest) -> None:
    """The record agrees with itself, and the house takes entries again without any repair."""
    with house.desk.reading() as session:
        found = check_store(SessionReader(session), ORIGIN)
    assert found.ok, found.in_words()
    house.grant("qa-0", "monitor", trial="T1")


def untidy(home: Path) -> list[str]:
    """Files that a write which did not end has left."""
    return [path.name for path in home.rglob(".*") if path.is_file()]


@req("OPS-09", "REC-01")
def test_a_full_database_refuses_an_entry_in_our_words_and_keeps_nothing_of_it(house: HouseUnderTest) -> None:
    """SQLITE_FULL, by the limit of pages: the transaction is gone, and with room again the same act goes through."""
    before = house.words()
    engine = house.house.engine
    with engine.connect() as session:
        pages = session.exec_driver_sql("PRAGMA page_count").scalar_one()
        session.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFull, match="no room") as told:
        for number in range(200):
            house.grant("qa-0", "reader", trial=f"T{number}")
    assert "Nothing was recorded" in told.value.in_words()
    engine.dispose()  # the limit lives with the connection
    kept = house.words()
    assert kept[:len(before)] == before
    whole(house)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@req("OPS-09", "REC-01")
def test_a_disk_that_is_really_full_refuses_objects_entries_and_backups(
    house: HouseUnderTest, small_disk: Path
) -> None:
    """ENOSPC at the object store and at the database; room is made, and the house goes on."""
    twin = house.copied(small_disk)
    with checked(twin):
        before = len(twin.words())
        with pytest.raises(DiskFull):
            twin.desk.objects.put(os.urandom(4 << 20), "application/octet-stream")
        assert not untidy(twin.home)

        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(DiskFull) as told:
            for number in range(50):
                twin.grant("qa-0", "reader", trial=f"T{number}")
        assert "doctor" in told.value.in_words()
        done = CliRunner().invoke(app, ["backup", str(small_disk / "copy"), "--home", str(twin.home)])
        assert done.exit_code == 1
        assert "Traceback" not in done.output
        assert "room" in done.output
        assert not (small_disk / "copy").exists()

        ballast.unlink()
        assert len(twin.words()) >= before
        whole(twin)
        assert not untidy(twin.home)


LIMITED = """
import resource, sys
from pathlib import Path
from audit.vocabulary.access import RoleGranted
from countersign.house import open_house
from core.errors import DiskFull
from tests.clocks import SetClock
house = open_house(Path(sys.argv[1]), clock=SetClock(int(sys.argv[2])))
granted = RoleGranted(user="qa-0", role="reader", because="test", at_init=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
for what in (lambda: house.desk.objects.put(bytes(200_000), "application/octet-stream"),
             lambda: house.desk.record_as_root([(granted, ())])):
    try:
        what()
        print("written")
    except DiskFull as error:
        print("told:", error.in_words())
"""


@req("OPS-09", "REC-01")
def test_a_file_size_limit_is_told_at_the_object_store_and_at_the_database(house: HouseUnderTest) -> None:
    """EFBIG by RLIMIT_FSIZE, in a process of its own: both refuse in words, and nothing is left."""
    before = house.words()
    done = subprocess.run([sys.executable, "-c", LIMITED, str(house.home), str(house.clock.at_us)], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("told:") == 2, done.stdout
    assert house.words() == before
    assert not untidy(house.home)
    whole(house)


PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def bound_by_permissions() -> None:
    """Root gives up, for the program that is started, the right to write past permissions; others never had it."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@req("OPS-09")
def test_a_home_that_cannot_be_written_says_so_and_shows_no_trace_of_the_program(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """Files and folders without the right to write: words, exit code 1, no harm; with the right all is well again."""
    twin = house.copied(tmp_path / "copy")
    twin.house.close()  # nothing waits beside the database file
    home, out = twin.home, tmp_path / "out"
    out.mkdir()
    folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
    for path in (*folders, *(path for path in home.rglob("*") if path.is_file())):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        for command in (["ledger", "export", "--out", str(out / "x.zip")], ["backup", str(out / "copy")],
                        ["ledger", "rebuild"], ["ledger", "query"]):
            done = subprocess.run(
                [sys.executable, "-m", "countersign", *command, "--home", str(home)], cwd=ROOT, capture_output=True,
                text=True, check=False, timeout=60, preexec_fn=bound_by_permissions)
            assert done.returncode == 1, (command, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr, (command, done.stderr)
            assert "readonly" in done.stderr or "cannot be" in done.stderr, (command, done.stderr)
        assert not list(out.iterdir())
    finally:
        for path in home.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        for path in folders:
            path.chmod(0o700)
    again = open_house(home, clock=house.clock)
    with again.desk.writing():
        pass
    again.close()


@req("OPS-09", "REC-08")
def test_a_record_on_a_read_only_disk_can_still_be_read_and_verified(house: HouseUnderTest, small_disk: Path) -> None:
    """As from a write-once medium; writing there is refused in words."""
    twin = house.copied(small_disk)
    twin.house.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        run = CliRunner()
        verified = run.invoke(app, ["ledger", "verify", "--home", str(twin.home)])
        assert verified.exit_code == 0, verified.output
        refused = run.invoke(app, ["ledger", "export", "--out", str(small_disk / "x.zip"), "--home", str(twin.home)])
        assert refused.exit_code == 1
        assert "cannot be" in refused.output, refused.output
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    twin.house = open_house(twin.home, clock=twin.clock)
    whole(twin)
    twin.house.close()


def logging_in(browser: TestClient) -> int:
    page = browser.get("/login").text
    token = page.split('name="token" value="')[1].split('"')[0]
    got = browser.post("/login", data={"user": "qa-0", "password": LOGIN, "token": token}, follow_redirects=False)
    if got.status_code >= 400:
        assert "Traceback" not in got.text
        assert "Nothing was recorded" in got.text, got.text
    return int(got.status_code)


@req("OPS-09")
@pytest.mark.parametrize(("pragma", "status"), [("max_page_count=1", 507), ("query_only=ON", 503)])
def test_a_page_that_meets_a_full_or_read_only_database_says_so(
    house: HouseUnderTest, pragma: str, status: int
) -> None:
    """SQLite's own refusal, as a page in our words with 507 or 503; when it is gone the same page works at once."""
    set_password(house.desk, Passwords(64, 1, 1), "qa-0", LOGIN)
    engine = house.house.engine

    def limit(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA {pragma}")

    engine.dispose()
    event.listen(engine, "connect", limit)
    with TestClient(build_app(house.house, watching=False), raise_server_exceptions=False) as browser:
        # Rows of sessions fill the page that is there before a new one is refused.
        answers = [logging_in(browser)]
        while answers[-1] == 303 and len(answers) < 200:
            answers.append(logging_in(browser))
        assert answers[-1] == status
        event.remove(engine, "connect", limit)
        engine.dispose()
        assert logging_in(browser) == 303
    whole(house)


@req("OPS-09", "OPS-03")
def test_pages_and_api_say_that_the_clock_is_not_believed(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with words, for people and machines, although no page can tell the time."""
    def refuse() -> int:
        raise ClockUntrusted("The clock went back.")

    monkeypatch.setattr(house.clock, "now", refuse)
    with TestClient(build_app(house.house, watching=False), raise_server_exceptions=False) as browser:
        browser.cookies.set("countersign", "a-token")
        for path in ("/ledger", "/api/v1/checkpoint"):
            got = browser.get(path)
            assert got.status_code == 503, (path, got.text)
            assert "The clock went back." in got.text
            assert "Traceback" not in got.text
    monkeypatch.undo()


class Hands:
    """The host's clock, whose hands the test moves; the time since boot runs on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved_s, real = 0.0, time.time_ns
        monkeypatch.setattr("core.clock.time.time_ns", lambda: real() + int(self.moved_s * 1e9))


@req("OPS-03")
@pytest.mark.parametrize(("seconds", "trusted"), [(-3, False), (-1, True), (30, True), (61, False), (3600, False)])
def test_a_clock_that_jumps_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float, trusted: bool
) -> None:
    """RECORD 2: more than two seconds back or sixty ahead; also when the jump lies between two commands."""
    hands = Hands(monkeypatch)
    running = remembering(SystemClock(), tmp_path / "clock.json")
    hands.moved_s = seconds
    later = remembering(SystemClock(), tmp_path / "clock.json")
    for clock in (running, later):
        if trusted:
            assert clock.now()
        else:
            with pytest.raises(ClockUntrusted, match="since boot") as told:
                clock.now()
            assert "--confirm-clock" in told.value.in_words()
    later.confirm()
    assert running.now() == pytest.approx(later.now(), abs=1_000_000)  # one word counts for every process


@req("OPS-03")
def test_a_boot_begins_the_comparison_anew_and_a_spoilt_memory_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hands = Hands(monkeypatch)
    path = tmp_path / "clock.json"
    remembering(SystemClock(), path)
    hands.moved_s = 500
    for text in (path.read_text().replace('"boot": "', '"boot": "another '), "{", '{"boot": 1}'):
        path.write_text(text)
        assert remembering(SystemClock(), path).now()


@req("OPS-03", "REC-01")
def test_a_jump_stops_appending_until_an_operator_confirms_and_that_is_the_first_entry(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same house under the host's clock: refused in words, nothing written; then `clock.stepped`, then it."""
    shutil.copytree(house.home, tmp_path / "twin")
    owner = house.person("qa-1", "qa_auditor")
    hands = Hands(monkeypatch)
    hands.moved_s = house.clock.at_us / 1e6 - time.time() + 3600
    host = open_house(tmp_path / "twin", clock=remembering(SystemClock(), tmp_path / "clock.json"))
    from audit.vocabulary.access import RoleGranted

    def act() -> None:
        host.desk.record_as_root([(RoleGranted(user="qa-0", role="reader", because="test", at_init=True), ())])

    act()
    with host.desk.reading() as session:
        before = next(SessionReader(session).rows("SELECT count(*) FROM entry"))[0]
    hands.moved_s += 120
    with pytest.raises(ClockUntrusted, match="ahead"):
        act()
    host.desk.confirm_clock(owner, YES, "time server was wrong")
    act()
    with host.desk.reading() as session:
        rows = [row[0] for row in SessionReader(session).rows("SELECT action FROM entry ORDER BY seq")]
    assert rows[before:] == ["clock.stepped", "role.granted"]
    host.close()


@req("OPS-09")
def test_only_what_is_of_the_disk_is_told_as_such() -> None:
    """Any other error of the system stays what it is."""
    assert disk.system_error(OSError(2, "No such file", "x")) is None
    assert disk.store_error(ValueError("x")) is None
    with pytest.raises(FileNotFoundError), disk.in_words("x"):
        Path("/nothing/there").read_bytes()


@req("OPS-01", "OPS-09")
def test_a_backup_that_finds_no_room_leaves_nothing(house: HouseUnderTest, small_disk: Path) -> None:
    house.desk.objects.put(os.urandom(4 << 20), "application/octet-stream")
    for passphrase in (None, "a passphrase of some length"):
        with pytest.raises(DiskFull):
            take_copy(house.house, small_disk / "copy", passphrase)
        assert not list(small_disk.iterdir())
    assert not untidy(house.home)

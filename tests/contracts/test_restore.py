"""A backup becomes a home again, whole or not at all: altered, cut, incomplete and foreign copies are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import AlreadyDone, AppendingStopped, CountersignError, RecordDamaged, UnusableInput
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from core.policy.state import Actor
from countersign import outside_proof
from countersign.backup import About, record_backup, take_copy, tell_of_record
from countersign.cli import app
from countersign.encrypted import CHUNK, TAG
from countersign.house import House, open_house
from countersign.restore import Restored, restore
from countersign.settings import DATABASE_VARIABLE
from countersign.standstill import resume
from countersign.witness import Witness, serve
from tests.conftest import need
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.req import req

PASSPHRASE = "four grey herons, one bridge"
LATER_US = 3 * 3600 * 1_000_000


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """A house with people and objects, one of which is larger than two chunks."""
    with a_house(tmp_path_factory.mktemp("lived")) as house:
        house.grant("qa-0", "qa_auditor")
        house.person("reader-1", "reader", trial="T1")
        noise = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(110_000))
        house.desk.objects.put(noise, "application/octet-stream")
        house.desk.objects.put(b"an image of a subject", "application/dicom", subject="T1/S-001")
        yield house


@pytest.fixture(scope="module")
def plain(lived: HouseUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("plain") / "copy"
    take_copy(lived.house, to)
    return to


@pytest.fixture(scope="module")
def sealed(lived: HouseUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("sealed") / "copy"
    take_copy(lived.house, to, PASSPHRASE)
    return to


def put_back(folder: Path, home: Path, lived: HouseUnderTest, passphrase: str | None = None) -> Restored:
    return restore(folder, home, passphrase=passphrase, now_us=lived.clock.at_us + LATER_US)


def opened(home: Path, lived: HouseUnderTest) -> House:
    return open_house(home, clock=lived.clock)


def content(home: Path) -> dict[str, bytes]:
    """Objects and keys, by name."""
    return {str(path.relative_to(home)): path.read_bytes() for top in ("objects", "signer")
            for path in (home / top).rglob("*") if path.is_file()}


@req("OPS-01", "OPS-02")
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_restored_home_is_the_house_that_was_copied(
    lived: HouseUnderTest, plain: Path, sealed: Path, tmp_path: Path, passphrase: str | None
) -> None:
    """Every entry, object and key; it says what it is and how old; and nothing else is left beside it."""
    (tmp_path / "there").mkdir()  # an empty folder may stand there
    done = put_back(sealed if passphrase else plain, tmp_path / "there", lived, passphrase)

    assert f"{len(lived.words())} entries of {ORIGIN}" in done.in_words()
    assert "3 hours ago" in done.in_words()
    assert content(tmp_path / "there") == content(lived.home)
    house = opened(tmp_path / "there", lived)
    with house.desk.reading() as session:
        found = check_store(SessionReader(session), ORIGIN)
    assert found.ok, found.in_words()
    assert found.entries == len(lived.words())
    assert house.compare().none
    house.close()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@req("OPS-02")
def test_a_restored_home_appends_nothing_until_somebody_compared_it(
    lived: HouseUnderTest, plain: Path, tmp_path: Path
) -> None:
    """The copy itself does not either: nobody continues a backup by mistake. Reading goes on."""
    put_back(plain, tmp_path / "there", lived)
    for home in (tmp_path / "there", plain):
        house = opened(home, lived)
        with pytest.raises(AppendingStopped, match="not yet compared") as told, house.desk.writing():
            pass
        assert "doctor" in told.value.in_words()
        with house.desk.reading() as session:
            assert check_store(SessionReader(session), ORIGIN).ok
        house.close()
    house = opened(tmp_path / "there", lived)
    resume(house, Actor("qa-0"), "no witness had begun", [])
    with house.desk.writing():
        pass
    house.close()


@req("OPS-02", "REC-04")
def test_the_witness_decides_whether_a_restored_home_goes_on(tmp_path: Path) -> None:
    """It knows no more: appending goes on, on record. It knows more: nothing is appended, and the way on is told."""
    with a_house(tmp_path / "a") as house:
        house.grant("qa-0", "qa_auditor")
        witness = Witness(tmp_path / "witness", ORIGIN, house.house.signer.public_key("log"))

        def ask(asking: House) -> str:
            server = serve(witness, 0)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                url = f"http://127.0.0.1:{server.server_address[1]}"
                return outside_proof.ask_witness(asking, url, witness.name, witness.public_key)
            finally:
                server.shutdown()
                thread.join()
                server.server_close()

        ask(house.house)
        take_copy(house.house, tmp_path / "copy")
        first = put_back(tmp_path / "copy", tmp_path / "first", house)
        second = put_back(tmp_path / "copy", tmp_path / "second", house)
        assert first.held_outside == second.held_outside == len(house.words())
        twin = opened(tmp_path / "first", house)
        with pytest.raises(UnusableInput, match="may know more"):
            resume(twin, Actor("qa-0"), "I think so", [])

        assert "cosigned" in ask(twin)

        with twin.desk.reading() as session:
            newest = next(SessionReader(session).rows("SELECT action FROM entry ORDER BY seq DESC"))
        assert newest[0] == "ledger.stopped"
        assert "cosigned" in ask(twin)
        late = opened(tmp_path / "second", house)
        with pytest.raises(AppendingStopped, match="rollback"):
            ask(late)
        assert late.standstill.note() is not None
        with pytest.raises(AppendingStopped), late.desk.writing():
            pass
        twin.close()
        late.close()


@req("OPS-01")
def test_a_backup_of_a_house_at_work_is_one_moment_of_it(house: HouseUnderTest, tmp_path: Path) -> None:
    """Entries come while it is copied; whatever was taken is whole, and leads to its own checkpoint."""
    ended = threading.Event()
    problems: list[BaseException] = []

    def appending() -> None:
        try:
            while not ended.is_set():
                house.grant("qa-0", "monitor", trial="T1")
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=appending)
    thread.start()
    try:
        copies = [take_copy(house.house, tmp_path / f"copy-{number}", passphrase)
                  for number, passphrase in enumerate((None, PASSPHRASE))]
    finally:
        ended.set()
        thread.join()
    assert not problems
    for number, passphrase in enumerate((None, PASSPHRASE)):
        done = put_back(tmp_path / f"copy-{number}", tmp_path / f"home-{number}", house, passphrase)
        assert done.about.size == copies[number].about.size <= len(house.words())


@req("OPS-01", "REC-02")
def test_a_backup_is_on_record_after_it_was_verified(house: HouseUnderTest, tmp_path: Path) -> None:
    """Size, root and the digest of the list; a stopped house is copied as well, and told why that is not on record."""
    copy = take_copy(house.house, tmp_path / "copy")
    seq = record_backup(house.house, copy)

    entry = house.entries()[seq]
    assert entry.body["action"] == "backup.made"
    listed = hashlib.sha256((tmp_path / "copy" / "files.jsonl").read_bytes()).hexdigest()
    assert entry.body["fields"] == {"size": copy.about.size, "root": copy.about.root, "files": copy.about.files,
                                    "encrypted": False, "manifest": listed}
    house.house.standstill.stop("A witness saw something.")
    assert "not on record" in tell_of_record(house.house, take_copy(house.house, tmp_path / "second"))


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def relisted(folder: Path) -> None:
    """What somebody does who alters a copy and knows how it is listed."""
    lines = []
    for line in (folder / "files.jsonl").read_text().splitlines():
        one = json.loads(line)
        data = (folder / one["path"]).read_bytes()
        one |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        lines.append(json.dumps(one, sort_keys=True) + "\n")
    (folder / "files.jsonl").write_text("".join(lines))
    about = json.loads((folder / "backup.json").read_text())
    about["files_sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    (folder / "backup.json").write_text(json.dumps(about))


def an_object(folder: Path) -> Path:
    return min(path for path in (folder / "objects").rglob("*") if path.is_file())


def edited(folder: Path, *statements: str) -> None:
    with sqlite3.connect(str(folder / "ledger.db")) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)
    database.close()
    relisted(folder)


def said_otherwise(folder: Path) -> None:
    about = json.loads((folder / "backup.json").read_text())
    (folder / "backup.json").write_text(json.dumps(about | {"size": about["size"] + 1}))


def changed_object(folder: Path) -> None:
    flipped(an_object(folder), 0)
    relisted(folder)


DAMAGE: dict[str, tuple[Callable[[Path], object], type[CountersignError]]] = {
    "a byte of the database": (lambda copy: flipped(copy / "ledger.db", 20_000), UnusableInput),
    "a byte of an object": (lambda copy: flipped(an_object(copy), 0), UnusableInput),
    "a byte of a key": (lambda copy: flipped(copy / "signer" / "house" / "log.json", 30), UnusableInput),
    "an object is gone": (lambda copy: an_object(copy).unlink(), UnusableInput),
    "the database is gone": (lambda copy: (copy / "ledger.db").unlink(), UnusableInput),
    "the list is gone": (lambda copy: (copy / "files.jsonl").unlink(), UnusableInput),
    "it says nothing of itself": (lambda copy: (copy / "backup.json").unlink(), UnusableInput),
    "a key was put in": (lambda copy: shutil.copy(copy / "signer" / "house" / "log.json", copy / "signer" / "x.json"),
                         UnusableInput),
    "a link was put in": (lambda copy: (copy / "objects" / "link").symlink_to("/etc/passwd"), UnusableInput),
    "another size is claimed": (said_otherwise, RecordDamaged),
    "an object is another, and listed": (changed_object, RecordDamaged),
    "an entry is another, and listed": (lambda copy: edited(
        copy, "UPDATE entry SET data = replace(data, 'reader-1', 'reader-2') WHERE action = 'role.granted'"),
        RecordDamaged),
    "a column is another, and listed": (lambda copy: edited(
        copy, "UPDATE entry SET actor = 'nobody' WHERE seq = 3"), RecordDamaged),
    "the newest entries are cut, and listed": (lambda copy: edited(
        copy, "DELETE FROM entry WHERE seq > 20", "DELETE FROM checkpoint WHERE size > 21"), RecordDamaged),
    "the protections are gone, and listed": (lambda copy: edited(copy), RecordDamaged),
}


@req("OPS-01", "REC-04")
@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    lived: HouseUnderTest, plain: Path, tmp_path: Path, what: str
) -> None:
    damage, refusal = DAMAGE[what]
    shutil.copytree(plain, tmp_path / "copy")
    damage(tmp_path / "copy")

    with pytest.raises(refusal) as told:
        put_back(tmp_path / "copy", tmp_path / "there", lived)

    assert told.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@req("OPS-01", "PRV-04")
@pytest.mark.parametrize("what", ["passphrase", "header", "salt", "first", "middle", "last", "cut", "cut chunk",
                                  "swapped", "doubled", "longer", "another file", "empty"])
def test_an_encrypted_backup_opens_only_whole_and_with_its_passphrase(
    lived: HouseUnderTest, sealed: Path, tmp_path: Path, what: str
) -> None:
    """Each byte, the order and number of the chunks, and the end are authenticated; nothing is left half-written."""
    (tmp_path / "copy").mkdir()
    data = (sealed / "backup.enc").read_bytes()
    head = data.index(b"\n", len(b"countersign-encrypted/1\n")) + 1
    size = CHUNK + TAG
    chunks = [data[at:at + size] for at in range(head, len(data), size)]
    assert len(chunks) > 3

    def turned(at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    altered = {
        "passphrase": data, "header": turned(3), "salt": turned(data.index(b'"salt": "') + 12),
        "first": turned(head + 50), "middle": turned(head + size + 50), "last": turned(len(data) - 20),
        "cut": data[:-1], "cut chunk": data[:head + 2 * size],
        "swapped": data[:head] + chunks[1] + chunks[0] + b"".join(chunks[2:]),
        "doubled": data[:head] + chunks[0] + data[head:], "longer": data + b"\x00",
        "another file": b"no backup at all", "empty": b"",
    }[what]
    (tmp_path / "copy" / "backup.enc").write_bytes(altered)

    with pytest.raises(UnusableInput) as told:
        put_back(tmp_path / "copy", tmp_path / "there", lived, "another phrase of words" if what == "passphrase" else
                 PASSPHRASE)

    assert "restored" in told.value.in_words() or "written" in told.value.in_words()
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@req("PRV-04", "OPS-01")
def test_an_encrypted_backup_shows_nothing_of_what_is_in_it(lived: HouseUnderTest, sealed: Path) -> None:
    """Only ciphertext reaches the other disk, and nothing plain stays in the home."""
    assert [path.name for path in sealed.iterdir()] == ["backup.enc"]
    data = (sealed / "backup.enc").read_bytes()
    for word in (ORIGIN.encode(), b"reader-1", b"SQLite format", b"BEGIN CERTIFICATE", b"ledger.db"):
        assert word not in data
    assert not [path for path in lived.home.iterdir() if path.name.startswith(".")]


@req("OPS-01")
def test_a_short_passphrase_or_none_is_refused(lived: HouseUnderTest, sealed: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="12 characters"):
        take_copy(lived.house, tmp_path / "copy", "short")
    with pytest.raises(UnusableInput, match="encrypted"):
        put_back(sealed, tmp_path / "there", lived)
    assert not list(tmp_path.iterdir())


@req("OPS-01")
def test_memory_does_not_grow_with_what_is_copied(lived: HouseUnderTest, tmp_path: Path) -> None:
    """An object twelve times as large as a chunk passes both ways in the memory of a few chunks."""
    house = lived.copied(tmp_path / "twin")
    house.desk.objects.put(bytes(12 * CHUNK), "application/octet-stream")
    tracemalloc.start()
    try:
        take_copy(house.house, tmp_path / "copy", PASSPHRASE)
        put_back(tmp_path / "copy", tmp_path / "there", lived, PASSPHRASE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        house.house.close()
    # Three chunks are in flight; the check of the record keeps the roots of 65,537 sizes (2 MiB) and a page of rows.
    assert peak < 11 * CHUNK


@req("OPS-01")
def test_nothing_is_restored_over_a_home(lived: HouseUnderTest, plain: Path, tmp_path: Path) -> None:
    before = content(lived.home)
    with pytest.raises(AlreadyDone, match="not empty"):
        put_back(plain, lived.home, lived)
    with pytest.raises(UnusableInput, match="no complete backup"):
        put_back(lived.home, tmp_path / "there", lived)
    assert content(lived.home) == before


@req("OPS-01", "OPS-02")
def test_the_commands_ask_for_the_passphrase_and_tell_what_was_done(house: HouseUnderTest, tmp_path: Path) -> None:
    run = CliRunner()
    made = run.invoke(app, ["backup", str(tmp_path / "copy"), "--encrypt", "--home", str(house.home)],
                      input=f"{PASSPHRASE}\n")
    assert made.exit_code == 0, made.output
    assert "encrypted and read back" in made.output
    assert house.words()[-1] == "backup.made"

    wrong = run.invoke(app, ["restore", str(tmp_path / "copy"), "--home", str(tmp_path / "there")], input="no\n")
    assert wrong.exit_code == 1
    assert "passphrase is wrong" in wrong.output
    back = run.invoke(app, ["restore", str(tmp_path / "copy"), "--home", str(tmp_path / "there")],
                      env={"COUNTERSIGN_BACKUP_PASSPHRASE": PASSPHRASE})
    assert back.exit_code == 0, back.output
    assert "ago" in back.output
    assert "ledger resume" in back.output


@req("OPS-01", "OPS-02", "REC-01")
def test_a_record_moves_between_the_stores_by_backup_and_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL to a file, to PostgreSQL, and a file to PostgreSQL: the same entries, tables, jobs and protections."""
    need("postgres")
    from tests.postgres import fresh_database

    url = fresh_database()
    with a_house(tmp_path / "a", url) as house:
        house.grant("qa-0", "qa_auditor")
        house.person("reader-1", "reader", trial="T1")
        monkeypatch.setenv(DATABASE_VARIABLE, url)
        copy = take_copy(house.house, tmp_path / "copy", PASSPHRASE)
        assert copy.about.store == "postgresql"
        plain = take_copy(house.house, tmp_path / "plain")
        assert plain.about.root == copy.about.root
        with pytest.raises(AlreadyDone, match="database"):
            restore(tmp_path / "plain", tmp_path / "over", database_url=url, now_us=house.clock.at_us)
        assert not (tmp_path / "over").exists()
        monkeypatch.delenv(DATABASE_VARIABLE)
        words = house.words()

        for source, passphrase, target in (("copy", PASSPHRASE, None), ("plain", None, fresh_database())):
            home = tmp_path / f"from-{source}"
            restore(tmp_path / source, home, passphrase=passphrase, database_url=target, now_us=house.clock.at_us)
            if target:
                monkeypatch.setenv(DATABASE_VARIABLE, target)
                assert not (home / "ledger.db").exists()
            twin = open_house(home, clock=house.clock)
            assert twin.engine.dialect.name == ("postgresql" if target else "sqlite")
            assert twin.compare().none
            with twin.desk.reading() as session:
                found = check_store(SessionReader(session), ORIGIN)
            assert found.ok, found.in_words()
            assert found.entries == len(words)
            receipt = resume(twin, Actor("qa-0"), "nobody outside", [])
            assert receipt.seq == len(words)
            twin.close()


@req("OPS-01")
def test_about_a_newer_release_the_older_one_says_so() -> None:
    text = json.loads(About("t", "o", 1, "r", "t", 1, "s", "9", "sqlite").text()) | {"countersign_backup": 2}
    with pytest.raises(UnusableInput, match="newer release"):
        About.read(json.dumps(text).encode())

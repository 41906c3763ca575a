"""A consistent copy of a home while it is in use, for both stores, and encrypted where asked (RECORD 8; R3 4.3.3).

A copy is a folder that is a home itself: the record in an SQLite file, whichever store it came from (design 0086), then
settings, keys and objects, a list of every file with its digest, and `backup.json`, which is written last. It holds a
file RESTORED, so that nobody appends to a copy by mistake. Encrypted, the same files are one stream in `backup.enc`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from audit import proofs, store
from audit.vocabulary.ledger import BackupMade
from core.access.queries import standing
from core.clock import in_words as instant
from core.errors import CountersignError, RecordDamaged, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.work import release
from countersign import disk, leftovers
from countersign.adapters import mlflow
from countersign.database import connect, copy_tables, migrate
from countersign.encrypted import Decrypting, Encrypting
from countersign.house import House, open_copy
from countersign.settings import FILE, sqlite_url
from countersign.signer.keyfiles import PasswordCost, write_durably
from countersign.standstill import RESTORED

DATABASE, LIST, ABOUT, ENCRYPTED = "ledger.db", "files.jsonl", "backup.json", "backup.enc"
FOLDERS = ("objects", "signer", "models", mlflow.FOLDER)
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class About:
    """What a copy says of itself (`backup.json`)."""

    made_at: str
    origin: str
    size: int
    root: str
    newest_at: str
    files: int
    files_sha256: str
    release: str
    store: str
    countersign_backup: int = 1

    def text(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, raw: bytes) -> About:
        """Raises UnusableInput where it is none."""
        try:
            about = cls(**json.loads(raw))
        except (ValueError, TypeError) as error:
            raise UnusableInput(f"{ABOUT} is not that of a backup.", next_step="Take another copy.") from error
        if about.countersign_backup != 1:
            raise UnusableInput("The backup was made by a newer release.", next_step="Restore it with that release.")
        return about


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was made and read back."""

    about: About
    to: Path
    encrypted: bool

    def in_words(self) -> str:
        how = ", encrypted and read back to its end" if self.encrypted else ""
        return (
            f"{self.about.size} entries copied to {self.to}{how}; the copy's tree leads to its own checkpoint "
            "and its tables equal the record."
        )


def make_backup(house: House, to: Path) -> str:
    """A plain copy, in one line. Raises what take_copy raises."""
    return take_copy(house, to).in_words()


def take_copy(house: House, to: Path, passphrase: str | None = None) -> Copy:
    """Copy the database first, then settings, keys and objects: what an entry names exists before the entry.

    Raises:
        UnusableInput: the folder is not empty, or the passphrase is too short.
        RecordDamaged: the copy does not verify.
        DiskFull, DiskReadOnly: there is no room. Whatever was begun is taken away.
    """
    if to.exists() and any(to.iterdir()):
        raise UnusableInput(f"{to} is not empty.", next_step="Give a new folder; nothing was written.")
    with disk.in_words(to):
        was_there = to.exists()
        to.mkdir(parents=True, exist_ok=True)
        try:
            return _encrypted(house, to, passphrase) if passphrase is not None else _plain(house, to)
        except BaseException:
            _clear(to, keep=was_there)
            raise


def record_backup(house: House, copy: Copy) -> int:
    """`backup.made`, after the copy was verified; the entry's number."""
    made = BackupMade(size=copy.about.size, root=copy.about.root, files=copy.about.files, encrypted=copy.encrypted,
                      manifest=copy.about.files_sha256)
    service = Actor.of_service("house")
    with house.desk.open(service, on_behalf_of="console", asked="backup.make") as work:
        work.record(made, under=permit(service, "backup.make", standing(work.session, service, None, "backup.make")))
    return work.receipts[0].seq


def _clear(to: Path, *, keep: bool) -> None:
    for path in to.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not keep:
        to.rmdir()


def _plain(house: House, to: Path) -> Copy:
    _copy_database(house, to / DATABASE)
    with Listing(to / LIST) as listing:
        for name, path in files_of(house.home):
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with _read(path) as source, target.open("xb") as made:
                listing.add(name, *pour(source, made))
                os.fsync(made.fileno())
            shutil.copymode(path, target)
        verified = _verified(to)
        with (to / DATABASE).open("rb") as source:
            listing.add(DATABASE, *pour(source, None))
    about = _about(house, verified, listing)
    write_durably(to / RESTORED, standing_words(about, "This is a copy made as a backup").encode())
    write_durably(to / ABOUT, about.text(), 0o640)
    return Copy(about, to, encrypted=False)


def _encrypted(house: House, to: Path, passphrase: str) -> Copy:
    cost = PasswordCost(house.settings.password_memory_kib, house.settings.password_passes,
                        house.settings.password_lanes)
    part = to / f".{ENCRYPTED}.part"
    # The plain copy of the database stays where the record itself lies; only ciphertext reaches the other disk.
    with leftovers.scratch(house.home, "backup") as staged:
        _copy_database(house, staged / DATABASE)
        shutil.copy2(house.home / FILE, staged / FILE)
        verified = _verified(staged)
        with part.open("xb") as raw:
            sealed: Any = Encrypting(raw, passphrase, cost)
            with tarfile.open(fileobj=sealed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                with Listing(staged / LIST) as listing:
                    for name, path in chain(files_of(house.home), [(DATABASE, staged / DATABASE)]):
                        listing.add(name, *_add(archive, name, path))
                about = _about(house, verified, listing)
                _add(archive, LIST, staged / LIST)
                archive.addfile(_info(ABOUT, len(about.text())), io.BytesIO(about.text()))
            sealed.finish()
            raw.flush()
            os.fsync(raw.fileno())
    with part.open("rb") as raw:
        Decrypting(raw, passphrase).drain()
    part.replace(to / ENCRYPTED)
    return Copy(about, to, encrypted=True)


def _copy_database(house: House, to: Path) -> None:
    """SQLite by its online backup; PostgreSQL row by row out of one snapshot, into the same tables in a file."""
    if house.engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(house.engine.url.database))) as source, closing(
                sqlite3.connect(str(to))) as target:
            try:
                source.backup(target)
            except sqlite3.Error as error:
                raise disk.store_error(error) or error from error
    else:
        engine = connect(sqlite_url(to.parent))
        try:
            migrate(engine)
            snapshot = {"isolation_level": "REPEATABLE READ", "stream_results": True}
            with house.engine.connect().execution_options(**snapshot) as seen, engine.connect().execution_options(
                    countersign_write=True) as made, seen.begin(), made.begin():
                copy_tables(seen, made)
        finally:
            engine.dispose()


def files_of(home: Path) -> Iterator[tuple[str, Path]]:
    """Everything beside the database, in one order, without what is only being written (a name that begins with a dot).

    One folder's names are in memory at a time. Links are given, too: a copy has none, and a restore refuses them.
    """
    if (home / FILE).exists():
        yield FILE, home / FILE
    for top in FOLDERS:
        yield from _under(home, top)


def _read(path: Path) -> IO[bytes]:
    """A file to be copied; MLflow's database in one state, whoever writes it meanwhile."""
    if path.name == mlflow.DATABASE:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                return io.BytesIO(database.serialize())
        except sqlite3.Error:
            pass  # broken or no database any more: copied as it lies there, and the record's copy does not fail for it
    return path.open("rb")


def _under(home: Path, name: str) -> Iterator[tuple[str, Path]]:
    if not (home / name).is_dir():
        return
    for inner in sorted(os.listdir(home / name)):  # noqa: PTH208  names alone, of one folder
        path = home / name / inner
        if inner.startswith((".", f"{mlflow.DATABASE}-")):  # a journal belongs to another state than the copied one
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _under(home, f"{name}/{inner}")
        else:
            yield f"{name}/{inner}", path


class Listing:
    """Lines of name, length and digest, written as they come; count and digest of the list are known at its end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._digest, self.count = hashlib.sha256(), 0

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def add(self, name: str, length: int, digest: str) -> None:
        line = json.dumps({"path": name, "bytes": length, "sha256": digest}, sort_keys=True).encode() + b"\n"
        self._file.write(line)
        self._digest.update(line)
        self.count += 1

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def pour(source: IO[bytes], target: IO[bytes] | None) -> tuple[int, str]:
    """Copy in pieces, or only read where there is no target; length and digest of what went by."""
    digest, length = hashlib.sha256(), 0
    while piece := source.read(PIECE):
        if target is not None:
            target.write(piece)
        digest.update(piece)
        length += len(piece)
    return length, digest.hexdigest()


class _Hashing(io.RawIOBase):
    """A file as tarfile reads it, digested on the way."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source, self.digest = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        return piece


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def _add(archive: tarfile.TarFile, name: str, path: Path) -> tuple[int, str]:
    with _read(path) as source:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        hashing = _Hashing(source)
        archive.addfile(_info(name, size), hashing)
        return size, hashing.digest.hexdigest()


def _about(house: House, verified: tuple[proofs.Checkpoint, int], listing: Listing) -> About:
    last, newest = verified
    return About(
        made_at=instant(house.desk.clock.now()), origin=last.origin, size=last.size, root=last.root.hex(),
        newest_at=instant(newest), files=listing.count, files_sha256=listing.sha256, release=release(),
        store=house.engine.dialect.name)


def standing_words(about: About, what: str) -> str:
    """Why nothing is appended to a copy: nobody has held it against what is known outside."""
    return (f"{what}: {about.size} entries as of {about.made_at}. It was not yet compared with what a witness, a time "
            "stamp or a receipt knows.")


def verified_size(home: Path) -> int:
    """Number of entries of a copy whose leaves, tree and tables agree. Raises RecordDamaged."""
    return _verified(home)[0].size


def _verified(home: Path) -> tuple[proofs.Checkpoint, int]:
    copy = open_copy(home)
    try:
        with copy.desk.reading() as session:
            last, (_, newest) = store.last_checkpoint(session), store.head(session)
            if last is None or proofs.root_at(store.StoredNodes(session), last.size) != last.root:
                raise RecordDamaged("The copy's entries do not lead to its checkpoint.")
            frontier = proofs.Frontier()
            for entry in store.read_entries(session):
                frontier.add(hashlib.sha256(b"\x00" + entry.raw).digest())
            if frontier.root() != last.root:
                raise RecordDamaged("The copy's entries differ from their recorded leaves.")
        difference = copy.compare()
        if not difference.none:
            raise RecordDamaged(f"The copy is damaged: {difference.in_words()}")
        return last, newest
    finally:
        copy.close()


def tell_of_record(house: House, copy: Copy) -> str:
    """Record the backup; where that cannot be, the copy is good all the same and the line says why."""
    if (because := house.standstill.because()) is not None:
        return f"The backup is not on record, as appending is stopped: {because}"
    try:
        return f"On record as entry {record_backup(house, copy)}."
    except CountersignError as error:
        return f"The copy is good, but it could not be recorded: {error.in_words()}"

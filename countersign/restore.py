"""A backup becomes a home again: read, compared, verified and only then put in place (RECORD 8; OPS-02).

Everything is made in a folder beside the new home and moved there last, so that a refusal or a crash leaves no half of
a home. A restored home appends nothing until it was compared with what is known outside (standstill.py).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import IO, Any

from sqlalchemy import func, select

from audit import store, turn
from core.clock import from_words, span_in_words
from core.errors import AlreadyDone, RecordDamaged, UnusableInput
from core.ledger_check import check_store
from core.ledger_queries import SessionReader, SqliteReader
from countersign import database, disk, leftovers
from countersign.adapters.subject_keys import FileSubjectKeys
from countersign.backup import (
    ABOUT,
    DATABASE,
    ENCRYPTED,
    FOLDERS,
    LIST,
    About,
    Listing,
    files_of,
    pour,
    standing_words,
)
from countersign.encrypted import Decrypting
from countersign.house import open_copy
from countersign.settings import FILE, Settings, read_settings, sqlite_url, write_settings
from countersign.signer.keyfiles import write_durably
from countersign.standstill import RESTORED

OBJECT = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{62})")
FOUND = ".found"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place."""

    home: Path
    about: About
    objects: int
    held_outside: int
    refolded: tuple[str, ...]
    now_us: int
    keys_of: int | None = None

    def in_words(self) -> str:
        about = self.about
        outside = (f"The copy remembers a witness or time stamp over {self.held_outside} entries; they may know more."
                   if self.held_outside else "No witness or time stamp had seen this record when it was copied.")
        refolded = f" Tables folded anew for this release: {', '.join(self.refolded)}." if self.refolded else ""
        keys = ("Keys of subjects are in no backup, and none were brought along: their images and texts do not open "
                "until the folder of copies is put in place (--subject-keys)." if self.keys_of is None
                else f"Keys of {self.keys_of} subjects were brought along; what was erased since stays erased.")
        return (
            f"{about.size} entries of {about.origin}, {self.objects} objects and the keys are restored to {self.home}; "
            f"every entry, signature and digest was checked.{refolded}\n"
            f"The backup was made {span_in_words(self.now_us - from_words(about.made_at))} ago ({about.made_at}); its "
            f"newest entry is of {about.newest_at}. Whatever came later is not in it.\n"
            f"{keys}\n{outside} Nothing is appended until that is settled: `countersign ledger cosign`, `ledger resume "
            "--note FILE`, or, where entries are lost, `ledger continue --origin NEW`.")


def restore(
    folder: Path, home: Path, *, passphrase: str | None = None, database_url: str | None = None,
    subject_keys: Path | None = None, now_us: int,
) -> Restored:
    """Restore a backup into a new or empty home; `database_url` names an empty PostgreSQL where it shall live there.

    `subject_keys`: the folder of copies of subject keys as it stands now, with the marks of what was erased since the
    backup; backups hold no such key, so that erasure reaches them.

    Raises:
        UnusableInput: no backup, wrong passphrase, or an altered, cut or incomplete file.
        RecordDamaged: the record in it does not verify, or an object has another content than its name.
        AlreadyDone: the home or the database is in use.
        DiskFull, DiskReadOnly: there is no room; nothing is left behind.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise AlreadyDone(f"{home} is not empty.", next_step="Give a new home; nothing was restored.")
    with disk.in_words(home), ExitStack() as until_done:
        home.parent.mkdir(parents=True, exist_ok=True)
        leftovers.remove(home)
        stage = Path(tempfile.mkdtemp(prefix=f".{home.name}.restoring-", dir=home.parent))
        until_done.enter_context(leftovers.held(stage))
        try:
            about = _bring(folder, stage, passphrase)
            restored = _judge(stage, home, about, now_us)
            if subject_keys is not None:
                restored = replace(restored, keys_of=_bring_keys(subject_keys, stage))
            settings = replace(
                read_settings(stage), database_url=sqlite_url(stage), subject_keys=None, subject_key_copies=None
            )
            write_settings(settings)
            write_durably(stage / RESTORED, standing_words(about, "This home was restored from a backup").encode())
            if database_url is not None and not database_url.startswith("sqlite"):
                _into_server(stage, database_url, settings.origin)
            if home.exists():
                home.rmdir()
            stage.rename(home)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
    return restored


def _bring_keys(folder: Path, stage: Path) -> int:
    """Copies of subject keys into the new home; how many keys there are."""
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UnusableInput(f"{folder} holds no keys of subjects.", next_step="Name the folder of copies; nothing was "
                            "restored.")
    place = Settings(stage, "", "").subject_key_folders
    shutil.copytree(folder, place[1])
    return FileSubjectKeys(*place).without_copy()[0]


def _bring(folder: Path, stage: Path, passphrase: str | None) -> About:
    """Every listed file in place, each with its digest, and none that is not listed."""
    if (folder / ENCRYPTED).is_file():
        if passphrase is None:
            raise UnusableInput("This backup is encrypted.", next_step="Give its passphrase; nothing was restored.")
        about = _unpacked(folder / ENCRYPTED, stage, passphrase)
    elif (folder / ABOUT).is_file():
        about = _copied(folder, stage)
    else:
        raise UnusableInput(f"{folder} is no complete backup: it has neither {ENCRYPTED} nor {ABOUT}.",
                            next_step="Name the folder that `countersign backup` wrote.")
    _compare(stage, about)
    return about


def _compare(stage: Path, about: About) -> None:
    """The list of what was found must be the list of what was copied, byte for byte; else the first difference."""
    digest = hashlib.sha256()
    with (stage / LIST).open("rb") as due, (stage / FOUND).open("rb") as found:
        for listed, seen in zip_longest(due, found, fillvalue=b""):
            digest.update(listed)
            if listed != seen:
                place = _name(listed) if listed and not (stage / _name(listed)).exists() else _name(seen or listed)
                how = "is missing" if not (stage / place).exists() else "was altered, or is not listed,"
                raise UnusableInput(f"{place} {how} in the backup.",
                                    next_step="Nothing was restored; take another copy.")
    if digest.hexdigest() != about.files_sha256:
        raise UnusableInput(f"{LIST} is not the list that {ABOUT} names.", next_step="Take another copy.")
    for name in (LIST, FOUND):
        (stage / name).unlink()


def _name(line: bytes) -> str:
    try:
        return str(json.loads(line)["path"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableInput(f"A line of {LIST} is damaged.", next_step="Take another copy.") from error


def _copied(folder: Path, stage: Path) -> About:
    about = About.read((folder / ABOUT).read_bytes())
    if not (folder / LIST).is_file() or not (folder / DATABASE).is_file():
        raise UnusableInput(f"{LIST} or {DATABASE} is missing in the backup.", next_step="Take another copy.")
    with Listing(stage / FOUND) as found:
        for name, path in chain(files_of(folder), [(DATABASE, folder / DATABASE)]):
            if path.is_symlink():
                raise UnusableInput(f"{name} in the backup is a link.", next_step="Nothing was restored.")
            with path.open("rb") as source:
                found.add(name, *_placed(stage, name, source))
    with (folder / LIST).open("rb") as source, (stage / LIST).open("xb") as target:
        pour(source, target)
    return about


def _unpacked(path: Path, stage: Path, passphrase: str) -> About:
    about = None
    with path.open("rb") as raw, Listing(stage / FOUND) as found:
        opened: Any = Decrypting(raw, passphrase)
        try:
            with tarfile.open(fileobj=opened, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None or (stage / member.name).exists():
                        raise UnusableInput(f"{member.name[:80]!r} in the backup is no file of its own.")
                    if member.name == ABOUT:
                        about = About.read(content.read(1 << 16))
                    elif member.name == LIST:
                        with (stage / LIST).open("xb") as target:
                            pour(content, target)
                    else:
                        found.add(member.name, *_placed(stage, member.name, content))
                    # The archive remembers every member it has passed; nobody asks for them again.
                    archive.members = []  # type: ignore[attr-defined]
        except tarfile.TarError as error:
            raise UnusableInput("The encrypted backup does not hold what a backup holds.") from error
        opened.drain()
    if about is None or not (stage / LIST).is_file():
        raise UnusableInput("The encrypted backup is not complete.", next_step="Take another copy.")
    return about


def _placed(stage: Path, name: str, source: IO[bytes]) -> tuple[int, str]:
    """Write one file where its name says, inside the stage and nowhere else."""
    parts = name.split("/")
    inside = len(parts) > 1 and parts[0] in FOLDERS and not any(part.startswith(".") or not part for part in parts)
    if (name not in (DATABASE, FILE) and not inside) or "\\" in name or not name.isprintable():
        raise UnusableInput(f"A home has no file {name[:80]!r}.", next_step="Nothing was restored.")
    target = stage / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with target.open("xb") as made:
        target.chmod(0o600)
        return pour(source, made)


def _judge(stage: Path, home: Path, about: About, now_us: int) -> Restored:
    """The whole record by the rules of the verifier, each object by its name; tables that differ are folded anew."""
    origin = read_settings(stage).origin
    reader = SqliteReader(stage / DATABASE)
    try:
        found = check_store(reader, origin)
    finally:
        reader.close()
    if found.first is not None:
        raise RecordDamaged(f"The record in this backup disagrees: {found.first.in_words()}.",
                            next_step="Nothing was restored. Take another copy, and call QA.")
    if (found.origin, found.entries, found.root) != (about.origin, about.size, about.root):
        raise RecordDamaged(f"{ABOUT} says something else than the record in the backup.",
                            next_step="Nothing was restored. Take another copy, and call QA.")
    objects = _check_objects(stage)
    opened = open_copy(stage)
    try:
        database.migrate(opened.engine)
        with opened.desk.reading() as session:
            sizes = [session.execute(select(func.max(table.c.size))).scalar() or 0
                     for table in (store.cosignatures, store.anchors)]
        difference = opened.compare()
        if not difference.none:
            opened.rebuild()
    finally:
        opened.close()
    return Restored(home, about, objects, max(sizes), difference.tables, now_us)


def _check_objects(stage: Path) -> int:
    number = 0
    for name, path in files_of(stage):
        if not name.startswith("objects/"):
            continue
        named = OBJECT.fullmatch(name)
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        if named is None or digest != named[1] + named[2]:
            raise RecordDamaged(f"The object {path.name[:14]}… has another content than its name says.",
                                next_step="Nothing was restored. Take another copy, and call QA.")
        number += 1
    return number


def _into_server(stage: Path, url: str, origin: str) -> None:
    """Move the record from the copy into an empty PostgreSQL, in one transaction, and check it there before commit."""
    server, copy = database.connect(url), database.connect(sqlite_url(stage))
    try:
        if database.holds_record(server):
            raise AlreadyDone("This database already holds a record.", next_step="Give an empty database.")
        database.bring_up(server)
        with _writing(server) as target:
            with copy.connect() as source, source.begin():
                database.copy_tables(source, target)
            found = check_store(SessionReader(target), origin)
            if found.first is not None:
                raise RecordDamaged(f"The record did not arrive as it was: {found.first.in_words()}.",
                                    next_step="Nothing was restored. Look at the database server, then repeat.")
    finally:
        server.dispose()
        copy.dispose()
    for path in stage.glob(f"{DATABASE}*"):
        path.unlink()


@contextmanager
def _writing(engine: Any) -> Iterator[Any]:
    with engine.connect().execution_options(countersign_write=True) as session, session.begin():
        turn.lock(session)
        yield session

"""A consistent copy of a home while it is in use (RECORD 8; R3 4.3.3)."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from pathlib import Path

from audit import proofs, store
from core.errors import OutsideUnavailable, RecordDamaged, UnusableInput
from countersign.house import House, open_house
from countersign.settings import FILE


def make_backup(house: House, to: Path) -> str:
    """Copy database first, then objects and keys: what an entry names exists before the entry. Returns one line.

    Raises UnusableInput where the folder is not empty, RecordDamaged where the copy does not verify.
    """
    if to.exists() and any(to.iterdir()):
        raise UnusableInput(f"{to} is not empty.", next_step="Give a new folder; nothing was written.")
    if house.engine.dialect.name != "sqlite":
        raise OutsideUnavailable(
            "This home keeps its record in PostgreSQL.",
            next_step="Take the database by `pg_dump --format=custom`, then objects/ and signer/ with any file copy.",
        )
    to.mkdir(parents=True, exist_ok=True)
    source = sqlite3.connect(str(house.home / "ledger.db"))
    target = sqlite3.connect(str(to / "ledger.db"))
    with source, target:
        source.backup(target)
    source.close()
    target.close()
    for folder in ("objects", "signer", "models"):
        if (house.home / folder).exists():
            shutil.copytree(house.home / folder, to / folder)
    shutil.copy2(house.home / FILE, to / FILE)
    size = verified_size(to)
    return (
        f"{size} entries copied to {to}; the copy's tree leads to its own checkpoint "
        "and its tables equal the record. Keys of subjects are not in it: they have copies of their own "
        f"({house.settings.subject_key_folders[1]}), which erasure reaches."
    )


def verified_size(home: Path) -> int:
    copy = open_house(home)
    try:
        with copy.desk.reading() as session:
            last = store.last_checkpoint(session)
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
        return last.size
    finally:
        copy.close()

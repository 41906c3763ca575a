"""Keys made for a rotation: on disk before their entry is, and in the place of the old one only after its commit.

A crash in between leaves the old key in use or the new one, never neither: which of them counts is read from committed
entries, at the next use of the key by any process.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from audit import store
from audit.entry import Entry, body_to_sign, from_base64, kid_of
from audit.signatures import signature_is_valid
from core.errors import NotFound
from core.persons import ED25519
from countersign.signer.keyfiles import KeyFolder, write_durably

# What a person keeps under a new key: failures and the lock that followed them, passkeys, and the second factor where
# no new one was made. They are taken at the last moment, because the signature of the rotation itself uses up a code.
KEPT_ALWAYS = ("failures", "locked_until", "passkeys", "answered")
KEPT_FACTOR = ("one_time", "one_time_kind", "next_counter")


class NextKeys:
    """Candidates beside the keys in use, one file each, named by key id: no candidate overwrites another."""

    def __init__(self, keys: KeyFolder, engine: Engine) -> None:
        self._keys = keys
        self._engine = engine

    def stage(self, kind: str, name: str, record: dict[str, Any]) -> None:
        """Keep a new key durably beside the one in use."""
        self.settle(kind, name)
        path = self._path(kind, name, kid_of(from_base64(record["public_key"])))
        write_durably(path, json.dumps(record, indent=1, sort_keys=True).encode())

    def staged(self, kind: str, name: str, kid: str) -> dict[str, Any]:
        """A candidate by its key id. Raises NotFound."""
        path = self._path(kind, name, kid)
        if not path.exists():
            raise NotFound(f"The signer holds no new {kind} key {kid[:16]}… of {name!r}.", next_step="Rotate again.")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def settle(self, kind: str, name: str) -> None:
        """Put the candidate whose `key.rotated` is committed in the place of the old key, and discard the rest."""
        folder = self.folder(kind, name)
        if not folder.is_dir():
            return
        with self._alone():
            found = {path.stem: path for path in folder.glob("*.json")}
            rotated = self._committed(set(found)) if found else None
            if rotated is None:
                return
            record = json.loads(found[kid_of(from_base64(rotated.body["fields"]["public_key"]))].read_text())
            current = self._keys.read(kind, name)
            # A crash between the two steps below must not take over the second factor a second time.
            if current["public_key"] != record["public_key"]:
                if not _given_up(rotated, current):
                    return
                if kind == "person":
                    kept = KEPT_ALWAYS if "one_time" in record else KEPT_ALWAYS + KEPT_FACTOR
                    record |= {key: current[key] for key in kept if key in current}
                self._keys.write(kind, name, record)
            self._remove(folder)

    def forget(self, kind: str, name: str) -> None:
        """Discard every candidate."""
        with self._alone():
            self._remove(self.folder(kind, name))

    def _committed(self, kids: set[str]) -> Entry | None:
        query = select(store.entries.c.data).where(store.entries.c.action == "key.rotated")
        with self._engine.connect() as session, session.begin():
            for row in session.execute(query.order_by(store.entries.c.seq.desc())):
                entry = Entry.parse(bytes(row.data))
                if kid_of(from_base64(entry.body["fields"]["public_key"])) in kids:
                    return entry
        return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time; the lock ends with its holder, also by a crash."""
        top = self._keys.folder / "next"
        top.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(top, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def folder(self, kind: str, name: str) -> Path:
        """Where the candidates of a key lie; there only while a rotation is under way."""
        return self._keys.folder / "next" / kind / self._keys.path(kind, name).stem

    def _path(self, kind: str, name: str, kid: str) -> Path:
        return self.folder(kind, name) / f"{kid}.json"

    @staticmethod
    def _remove(folder: Path) -> None:
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()


def _given_up(rotated: Entry, current: dict[str, Any]) -> bool:
    """Whether the key in use itself gave way. A writer of the database could put any row there, but not its signature.

    A key of ML-DSA-44 signs no entries; its rotation only has to name it.
    """
    public = from_base64(current["public_key"])
    if rotated.body["fields"]["kid"] != kid_of(public):
        return False
    if current.get("algorithm", ED25519) != ED25519:
        return True
    return rotated.kid == kid_of(public) and signature_is_valid(
        public, body_to_sign(rotated.body), from_base64(rotated.sig))

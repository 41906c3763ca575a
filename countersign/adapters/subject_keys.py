"""One key per subject, small files of their own under a key-encryption key that is renewed after each destruction.

    subject-keys/kek/00000007              the key-encryption key in force, 32 bytes
    subject-keys/keys/<name>.json          a subject's key, wrapped; says under which generation
    subject-keys/destroyed/<name>.json     what was destroyed, and by which entry: no key is made again for it

A key file that somebody brings back from a freed block of the disk is wrapped by a key-encryption key that is gone.
The same keys lie in a second folder under key-encryption keys of its own (best on another disk): that is their backup,
which erasure reaches. Backups of the home hold no key of a subject.

Killed between any two steps, every file names a generation whose key-encryption key is still there; the destruction is
repeated, and goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.entry import base64_text, from_base64
from audit.vocabulary.registry import SubjectText
from core.errors import NotFound, OutsideUnavailable, RecordDamaged, SubjectErased
from core.objects import ERASED
from countersign.signer.keyfiles import write_durably

LABEL = b"countersign-subject-key/1"
# A reader may meet a renewal between its two reads; each renewal is one attempt more.
ATTEMPTS = 100


def name_of(owner: str) -> str:
    """File name of an owner: no name escapes the folder, and a listing says nothing of a trial."""
    return hashlib.sha256(owner.encode()).hexdigest()


def overwrite_and_remove(path: Path) -> None:
    """Overwrite with random bytes, fsync, remove, fsync the folder. A disk may keep old blocks all the same: for
    that the key-encryption key is renewed."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, secrets.token_bytes(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Vault:
    """One folder of wrapped keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keks, self._keys, self._marks = folder / "kek", folder / "keys", folder / "destroyed"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def names(self) -> set[str]:
        """Names of the keys that are here."""
        return {path.stem for path in self._keys.glob("*.json")} if self._keys.exists() else set()

    def read(self, name: str) -> bytes | None:
        """The key, or None where there is none. Raises RecordDamaged where nothing here unwraps it."""
        path = self._keys / f"{name}.json"
        for _ in range(ATTEMPTS):
            try:
                record = json.loads(path.read_bytes())
                kek = (self._keks / f"{record['generation']:08d}").read_bytes()
            except FileNotFoundError:
                if not path.exists():
                    return None
                continue
            try:
                nonce, ct = from_base64(record["nonce"]), from_base64(record["ct"])
                return AESGCM(kek).decrypt(nonce, ct, f"{name}/{record['generation']}".encode())
            except InvalidTag as error:
                raise RecordDamaged(f"The key file {name[:16]}… of a subject was changed on disk.") from error
        raise RecordDamaged(f"The key file {name[:16]}… of a subject is wrapped by a key that is gone.")

    def hold(self, name: str, secret: bytes) -> bytes:
        """Keep a key durably unless one is here; returns the one that is. Raises SubjectErased after a destruction."""
        with self._locked():
            if (self._marks / f"{name}.json").exists():
                raise SubjectErased("This subject was erased; nothing of it is stored any more.")
            held = self.read(name)
            if held is None:
                generation = self._newest()
                self._write(name, secret, self._new_kek() if generation is None else generation)
            return held or secret

    def marks(self) -> dict[str, dict[str, Any]]:
        """What was destroyed here, by name."""
        if not self._marks.exists():
            return {}
        return {path.stem: json.loads(path.read_bytes()) for path in self._marks.glob("*.json")}

    def is_marked(self, name: str) -> bool:
        return (self._marks / f"{name}.json").exists()

    def destroy(self, name: str, mark: Mapping[str, Any]) -> None:
        """Mark, renew the key-encryption key, wrap every other key anew, then destroy key and old key-encryption keys.

        No doomed key is ever wrapped by the newest key-encryption key when this returns, and no older one is left.
        """
        with self._locked():
            write_durably(self._marks / f"{name}.json", json.dumps(dict(mark), sort_keys=True).encode())
            doomed = self.names() & self.marks().keys()
            newest = self._newest()
            if newest is not None and any(self._generation(one) == newest for one in doomed):
                newest = self._new_kek()
            for other in sorted(self.names() - doomed):
                if newest is not None and self._generation(other) != newest:
                    secret = self.read(other)
                    assert secret is not None  # the lock is held, and its file was listed
                    self._write(other, secret, newest)
            for path in [self._keys / f"{one}.json" for one in sorted(doomed)]:
                overwrite_and_remove(path)
            # What a kill left half-written, here and beside the key-encryption keys.
            for path in [*self._keys.glob(".*"), *self._keks.glob(".*")]:
                overwrite_and_remove(path)
            for path in sorted(self._keks.glob("[0-9]*")):
                if int(path.name) != newest:
                    overwrite_and_remove(path)

    def _newest(self) -> int | None:
        return max((int(path.name) for path in self._keks.glob("[0-9]*")), default=None)

    def _new_kek(self) -> int:
        generation = (self._newest() or 0) + 1
        write_durably(self._keks / f"{generation:08d}", secrets.token_bytes(32))
        return generation

    def _generation(self, name: str) -> int:
        return int(json.loads((self._keys / f"{name}.json").read_bytes())["generation"])

    def _write(self, name: str, secret: bytes, generation: int) -> None:
        kek, nonce = (self._keks / f"{generation:08d}").read_bytes(), secrets.token_bytes(12)
        sealed = AESGCM(kek).encrypt(nonce, secret, f"{name}/{generation}".encode())
        record = {"generation": generation, "nonce": base64_text(nonce), "ct": base64_text(sealed)}
        write_durably(self._keys / f"{name}.json", json.dumps(record, sort_keys=True).encode())


class FileSubjectKeys:
    """core.objects.SubjectKeys on two folders; nothing is kept in memory, so a destroyed key is gone at once."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self._main, self._copy = Vault(folder), Vault(copies)

    def key(self, owner: str, *, make: bool) -> bytes:
        """The subject's AES-256 key. Raises SubjectErased, or NotFound where there never was one."""
        name = name_of(owner)
        if self._main.is_marked(name) or self._copy.is_marked(name):
            raise SubjectErased(f"Subject {owner} was erased.")
        held = self._main.read(name)
        if held is not None:
            return held
        copied = self._copy.read(name)
        if copied is None and not make:
            raise NotFound(
                f"There is no key of subject {owner}.",
                next_step="Nothing of it was ever stored here, or the folder of subject keys is missing: restore it.",
            )
        try:
            # The copy first: a key that wraps anything has its copy.
            return self._main.hold(name, self._copy.hold(name, copied or secrets.token_bytes(32)))
        except OSError as error:
            raise _unreachable(error) from error

    def is_there(self, owner: str) -> bool:
        name = name_of(owner)
        return name in self._main.names() or name in self._copy.names()

    def destroy(self, owner: str, mark: Mapping[str, Any]) -> None:
        name = name_of(owner)
        try:
            for vault in (self._main, self._copy):
                vault.destroy(name, {**mark, "owner": owner})
        except OSError as error:
            raise _unreachable(error) from error

    def marks(self) -> Mapping[str, Mapping[str, Any]]:
        found = [*self._copy.marks().values(), *self._main.marks().values()]
        return {str(one["owner"]): one for one in found}

    def complete(self) -> int:
        done = 0
        for here, there in ((self._main, self._copy), (self._copy, self._main)):
            gone = here.marks().keys() | there.marks().keys()
            for name in sorted(here.names() - there.names() - gone):
                secret = here.read(name)
                if secret is not None:
                    there.hold(name, secret)
                    done += 1
        return done

    def without_copy(self) -> tuple[int, int]:
        """How many keys there are, and how many of them lack their copy."""
        names = self._main.names()
        return len(names), len(names - self._copy.names())

    def seal_text(self, owner: str, entry: str, text: str) -> SubjectText:
        key = self.key(owner, make=True)
        # A nonce from the text itself: the same page asked twice gives the same bytes, two texts never share one.
        message = entry.encode() + b"\x00" + text.encode()
        nonce = hmac.new(_derived(key, b"text-nonce"), message, hashlib.sha256).digest()[:12]
        sealed = AESGCM(_derived(key, b"text")).encrypt(nonce, text.encode(), entry.encode())
        return SubjectText(ct=base64_text(sealed), iv=base64_text(nonce), kid=kid_of_subject(key))

    def open_text(self, owner: str, entry: str, sealed: SubjectText) -> str:
        try:
            key = self.key(owner, make=False)
        except NotFound:
            return ERASED
        try:
            iv, ct = from_base64(sealed.iv), from_base64(sealed.ct)
            return AESGCM(_derived(key, b"text")).decrypt(iv, ct, entry.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise RecordDamaged(f"A text of entry {entry} does not open with the key of {owner}.") from error


def kid_of_subject(key: bytes) -> str:
    """The name of a subject's key: says nothing of the key, and tells whether one is it."""
    return hashlib.sha256(LABEL + b"\x00" + key).hexdigest()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, LABEL + b"/" + purpose).derive(key)


def _unreachable(error: OSError) -> OutsideUnavailable:
    return OutsideUnavailable(
        f"A folder of subject keys cannot be used: {type(error).__name__}.",
        next_step="Bring back `subject_keys` and `subject_key_copies` of countersign.toml; it is tried again.",
    )

"""Private halves at rest: AES-256-GCM under the signer's pepper, personal ones also under the signing password."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.entry import base64_text, from_base64
from core.errors import NotAuthenticated, NotFound
from countersign import disk
from countersign.leftovers import hold


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """Argon2id parameters (RFC 9106, 4); the default is its second recommended option with three passes."""

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write beside, fsync, rename, fsync the folder: after this the file is there or is not, whatever happens.

    Raises DiskFull or DiskReadOnly.
    """
    with disk.in_words(path):
        _write_durably(path, data, mode)


def _write_durably(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            hold(descriptor)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class KeyFolder:
    """The signer's folder: a pepper, and one JSON file per key."""

    def __init__(self, folder: Path, cost: PasswordCost) -> None:
        self.folder = folder
        self.cost = cost
        pepper_file = folder / "pepper"
        if not pepper_file.exists():
            write_durably(pepper_file, secrets.token_bytes(32))
        self._pepper = pepper_file.read_bytes()

    def _key(self, purpose: str, secret: bytes = b"") -> bytes:
        return HKDF(SHA256(), 32, self._pepper, f"countersign/{purpose}".encode()).derive(secret or b"\x00")

    def seal(self, purpose: str, data: bytes, secret: bytes = b"") -> dict[str, str]:
        """Encrypt under pepper, purpose and, where given, a password-derived secret."""
        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self._key(purpose, secret)).encrypt(nonce, data, purpose.encode())
        return {"nonce": base64_text(nonce), "ct": base64_text(sealed)}

    def unseal(self, purpose: str, sealed: dict[str, str], secret: bytes = b"") -> bytes:
        """Reverse of seal. Raises NotAuthenticated where the secret is wrong or the file was changed."""
        try:
            return AESGCM(self._key(purpose, secret)).decrypt(
                from_base64(sealed["nonce"]), from_base64(sealed["ct"]), purpose.encode()
            )
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            raise NotAuthenticated("The signing password is wrong.") from error

    def stretch(self, password: str, salt: bytes, cost: dict[str, int]) -> bytes:
        """Argon2id (RFC 9106) with the cost stored beside the key."""
        return hash_secret_raw(
            password.encode(), salt, cost["passes"], cost["memory_kib"], cost["lanes"], 32, Type.ID
        )

    def new_cost(self) -> dict[str, int]:
        return {"memory_kib": self.cost.memory_kib, "passes": self.cost.passes, "lanes": self.cost.lanes}

    def path(self, kind: str, name: str) -> Path:
        """File of a key; the name is hashed where it is not a plain word, so that no name escapes the folder."""
        plain = name if name.replace("-", "").replace("_", "").isalnum() else hashlib.sha256(name.encode()).hexdigest()
        return self.folder / kind / f"{plain}.json"

    def read(self, kind: str, name: str) -> dict[str, Any]:
        path = self.path(kind, name)
        if not path.exists():
            raise NotFound(f"The signer holds no {kind} key of {name!r}.", next_step="Enrol it first.")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def write(self, kind: str, name: str, record: dict[str, Any]) -> None:
        write_durably(self.path(kind, name), json.dumps(record, indent=1, sort_keys=True).encode())

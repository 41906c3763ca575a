"""Copies of seal secrets that outlive the signer, under a key of which two persons hold one share each (RECORD 5).

HPKE (RFC 9180, X25519, HKDF-SHA256, AES-256-GCM) wraps each secret; nothing on this machine opens a copy again. The
private key is split by exclusive or: one share alone says nothing about it, not even to somebody with every copy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from audit.entry import base64_text, from_base64
from core.errors import NotFound, OutsideUnavailable, UnusableInput
from countersign.signer.keyfiles import KeyFolder, write_durably

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
SHARE_BYTES, NAME_BYTES, CHECK_BYTES = 32, 4, 4
NO_KEY_STEP = "Owner and QA make one: `countersign seals renew --as OWNER`, then `--as QA`."


def name_of(public_key: bytes) -> str:
    """A recovery key's name: SHA-256 of its raw public half, hex."""
    return hashlib.sha256(public_key).hexdigest()


def share_text(number: int, public_key: bytes, share: bytes) -> str:
    """A share as it is written down: number, key, 32 bytes and a check, in groups of base32 (RFC 4648, 6)."""
    body = bytes([number]) + hashlib.sha256(public_key).digest()[:NAME_BYTES] + share
    signs = base64.b32encode(body + hashlib.sha256(body).digest()[:CHECK_BYTES]).decode().rstrip("=")
    return "-".join(signs[start:start + 6] for start in range(0, len(signs), 6))


def read_share(text: str) -> tuple[int, bytes, bytes]:
    """(number, first bytes of the key's name, share). Raises UnusableInput where it was mistyped."""
    signs = "".join(text.upper().replace("-", " ").split())
    try:
        raw = base64.b32decode(signs + "=" * (-len(signs) % 8))
    except ValueError:
        raw = b""
    body, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
    if len(body) != 1 + NAME_BYTES + SHARE_BYTES or hashlib.sha256(body).digest()[:CHECK_BYTES] != check:
        raise UnusableInput(
            "This is no share of a recovery key: a sign is wrong or missing.",
            next_step="Type it again from the paper; spaces and small letters do not matter.",
        )
    return body[0], body[1:1 + NAME_BYTES], body[1 + NAME_BYTES:]


def split(private: X25519PrivateKey) -> tuple[str, str]:
    """The two shares of a recovery key."""
    raw, public = private.private_bytes_raw(), private.public_key().public_bytes_raw()
    first = secrets.token_bytes(SHARE_BYTES)
    second = bytes(one ^ other for one, other in zip(raw, first, strict=True))
    return share_text(1, public, first), share_text(2, public, second)


def join(one: str, other: str) -> X25519PrivateKey:
    """The recovery key from its two shares, in any order. Raises UnusableInput where they are not of one key."""
    (first, name, left), (second, same, right) = read_share(one), read_share(other)
    private = X25519PrivateKey.from_private_bytes(bytes(a ^ b for a, b in zip(left, right, strict=True)))
    public = private.public_key().public_bytes_raw()
    if {first, second} != {1, 2} or name != same or hashlib.sha256(public).digest()[:NAME_BYTES] != name:
        raise UnusableInput(
            "These two are not the shares of one recovery key.", next_step="Both holders bring the share of one key."
        )
    return private


class SealBackup:
    """A folder of its own, meant for another disk than the signer's; one file per seal."""

    def __init__(self, folder: Path, keys: KeyFolder) -> None:
        self.folder = folder
        self._keys = keys

    def in_force(self) -> bytes:
        """Raw public half of the recovery key. Raises OutsideUnavailable where there is none."""
        try:
            return from_base64(self._keys.read("seal-recovery", "current")["public_key"])
        except NotFound as error:
            raise OutsideUnavailable(
                "No recovery key is in force, so a seal would be lost with this signer.", next_step=NO_KEY_STEP
            ) from error

    def put_in_force(self, public_key: bytes, seq: int) -> bool:
        """Wrap for this key from now on; False where the key of a later entry is in force already."""
        try:
            if self._keys.read("seal-recovery", "current")["seq"] > seq:
                return False
        except NotFound:
            pass
        self._keys.write("seal-recovery", "current", {"public_key": base64_text(public_key), "seq": seq})
        return True

    def keep(self, commit: str, secret: bytes) -> None:
        """Wrap the secret of a seal; durable when this returns."""
        public = self.in_force()
        wrapped = SUITE.encrypt(secret, X25519PublicKey.from_public_bytes(public), info=_about(commit))
        document = {"commit": commit, "recovery_key": name_of(public), "wrapped": base64_text(wrapped)}
        write_durably(self._path(commit), json.dumps(document, sort_keys=True).encode())

    def has(self, commit: str) -> bool:
        """Whether a copy is there for the key in force."""
        try:
            public = self.in_force()
            return bool(json.loads(self._path(commit).read_bytes())["recovery_key"] == name_of(public))
        except (OSError, ValueError, KeyError, OutsideUnavailable):
            return False

    def commits(self) -> list[str]:
        """Commitments of all copies."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def unwrap(self, commit: str, private: X25519PrivateKey) -> bytes | None:
        """The secret of a copy; None where the copy is damaged or was made for another key."""
        try:
            wrapped = from_base64(json.loads(self._path(commit).read_bytes())["wrapped"])
            return bytes(SUITE.decrypt(wrapped, private, info=_about(commit)))
        except (OSError, ValueError, KeyError, TypeError, InvalidTag):
            return None

    def _path(self, commit: str) -> Path:
        return self.folder / f"{commit}.json"


def _about(commit: str) -> bytes:
    return f"countersign-seal-backup/1\x00{commit}".encode()

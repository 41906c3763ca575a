"""The seal of a read: a commitment checked once it opens, a ciphertext that nobody can read before (RECORD 5)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.entry import base64_text, from_base64
from core.errors import RecordDamaged

PAD_TO = 4096
_DOMAIN = b"countersign-seal/1\x00"
NONCE_BYTES, KEY_BYTES, IV_BYTES = 32, 32, 12


@dataclass(frozen=True, slots=True)
class SealSecret:
    """What opens one seal. Made fresh for each answer; it leaves the signer only when every seal is in."""

    key: bytes
    nonce: bytes
    iv: bytes

    def __repr__(self) -> str:
        return "SealSecret(…)"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What `read.sealed` carries: commitment in hex, initialisation vector and ciphertext in base64."""

    commit: str
    iv: str
    ct: str


def new_secret() -> SealSecret:
    """A fresh key, nonce and initialisation vector."""
    return SealSecret(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES), secrets.token_bytes(IV_BYTES))


def padded(plaintext: bytes) -> bytes:
    """Spaces up to a multiple of 4,096 bytes, so that the length tells next to nothing."""
    return plaintext + b" " * (-len(plaintext) % PAD_TO)


def commitment(nonce: bytes, padded_plaintext: bytes) -> str:
    """SHA-256, hex, over domain, 32-byte nonce and padded plaintext."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"A seal's nonce has {NONCE_BYTES} bytes, not {len(nonce)}.")
    return hashlib.sha256(_DOMAIN + nonce + padded_plaintext).hexdigest()


def seal(plaintext: bytes, secret: SealSecret) -> Sealed:
    """Commit to and encrypt a plaintext (AES-256-GCM). One secret serves one plaintext."""
    whole = padded(plaintext)
    ct = AESGCM(secret.key).encrypt(secret.iv, whole, None)
    return Sealed(commitment(secret.nonce, whole), base64_text(secret.iv), base64_text(ct))


def open_seal(sealed: Sealed, *, key: str, nonce: str) -> bytes:
    """The plaintext without its padding.

    Args:
        key: AES-256 key, base64.
        nonce: of the commitment, base64.

    Raises:
        RecordDamaged: key and ciphertext do not fit, or the plaintext is not what was committed to.
    """
    try:
        whole = AESGCM(from_base64(key)).decrypt(from_base64(sealed.iv), from_base64(sealed.ct), None)
    except (InvalidTag, ValueError) as error:
        raise RecordDamaged("A seal does not open: its ciphertext or key was changed.") from error
    try:
        fits = len(whole) % PAD_TO == 0 and commitment(from_base64(nonce), whole) == sealed.commit
    except ValueError as error:
        raise RecordDamaged("A seal does not open: its nonce was changed.") from error
    if not fits:
        raise RecordDamaged("A seal opened to something else than what was committed to.")
    return whole.rstrip(b" ")


# Objects of a sealed read: masks, structured report, measurements


def enclose(secret: SealSecret, commit: str, name: str, data: bytes) -> bytes:
    """Encrypt an object of a sealed read under the seal's own key (AES-256-GCM, a fresh vector before the ciphertext).

    `commit` and `name` are authenticated beside it, so that no object passes for another read's or another name's.
    """
    iv = secrets.token_bytes(IV_BYTES)
    return iv + AESGCM(secret.key).encrypt(iv, data, _of_object(commit, name))


def disclose(key: str, commit: str, name: str, stored: bytes) -> bytes:
    """Reverse of enclose, with the base64 key that `read.opened` holds. Raises RecordDamaged."""
    try:
        return AESGCM(from_base64(key)).decrypt(stored[:IV_BYTES], stored[IV_BYTES:], _of_object(commit, name))
    except (InvalidTag, ValueError) as error:
        raise RecordDamaged(f"The object {name} does not open with the key of its seal.") from error


def _of_object(commit: str, name: str) -> bytes:
    return f"countersign-seal-object/1\x00{commit}\x00{name}".encode()

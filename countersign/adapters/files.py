"""Objects as files named by the digest of their stored bytes; a subject's are encrypted (RECORD 6)."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.vocabulary.registry import ObjectRef
from core.errors import NotFound, RecordDamaged
from countersign.signer.keyfiles import KeyFolder, write_durably


class SubjectKeys:
    """One AES-256 key per subject, a small file of its own under the signer's pepper; destroying it erases."""

    def __init__(self, keys: KeyFolder) -> None:
        self._keys = keys
        self._open: dict[str, bytes] = {}

    def key(self, subject: str, *, make: bool) -> bytes:
        """The subject's key ("TRIAL/SUBJECT"). Raises NotFound where it was destroyed or never made."""
        if subject not in self._open:
            path = self._keys.path("subject", subject)
            if not path.exists():
                if not make:
                    raise NotFound(f"No key of subject {subject}: it was erased, or nothing of it was ever stored.")
                fresh = secrets.token_bytes(32)
                self._keys.write("subject", subject, self._keys.seal(f"subject/{subject}", fresh))
            self._open[subject] = self._keys.unseal(f"subject/{subject}", self._keys.read("subject", subject))
        return self._open[subject]


class FileObjects:
    """core.objects.ObjectStore on a folder: objects/ab/cdef…"""

    def __init__(self, folder: Path, subject_keys: SubjectKeys) -> None:
        self._folder = folder
        self._subject_keys = subject_keys

    def put(self, data: bytes, media: str, *, subject: str | None = None) -> ObjectRef:
        if subject is not None:
            nonce = secrets.token_bytes(12)
            key = self._subject_keys.key(subject, make=True)
            data = nonce + AESGCM(key).encrypt(nonce, data, subject.encode())
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if not path.exists():
            write_durably(path, data, 0o640)
        return ObjectRef(sha256=digest, bytes=len(data), media=media)

    def stored_bytes(self, ref: ObjectRef) -> bytes:
        path = self._path(ref.sha256)
        if not path.exists():
            raise NotFound(f"Object {ref.sha256[:16]}… is not in the store.", next_step="Restore it from backup.")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != ref.sha256 or len(data) != ref.bytes:
            raise RecordDamaged(f"Object {ref.sha256[:16]}… was changed on disk.")
        return data

    def get(self, ref: ObjectRef, *, subject: str | None = None) -> bytes:
        data = self.stored_bytes(ref)
        if subject is None:
            return data
        try:
            return AESGCM(self._subject_keys.key(subject, make=False)).decrypt(
                data[:12], data[12:], subject.encode()
            )
        except InvalidTag as error:
            raise RecordDamaged(f"Object {ref.sha256[:16]}… does not open with the key of {subject}.") from error

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]

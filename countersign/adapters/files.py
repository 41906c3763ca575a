"""Objects as files named by the digest of their stored bytes; a subject's are encrypted (RECORD 6)."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.vocabulary.registry import ObjectRef
from core.errors import NotFound, RecordDamaged
from countersign.adapters.subject_keys import FileSubjectKeys, overwrite_and_remove
from countersign.signer.keyfiles import write_durably


class FileObjects:
    """core.objects.ObjectStore on a folder: objects/ab/cdef…"""

    def __init__(self, folder: Path, keys: FileSubjectKeys) -> None:
        self._folder = folder
        self.keys = keys

    def put(self, data: bytes, media: str, *, subject: str | None = None) -> ObjectRef:
        if subject is not None:
            nonce = secrets.token_bytes(12)
            key = self.keys.key(subject, make=True)
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
            return AESGCM(self.keys.key(subject, make=False)).decrypt(data[:12], data[12:], subject.encode())
        except InvalidTag as error:
            raise RecordDamaged(f"Object {ref.sha256[:16]}… does not open with the key of {subject}.") from error

    def of_subject(self, subject: str) -> Iterator[tuple[str, int, bytes]]:
        cipher = AESGCM(self.keys.key(subject, make=False))
        for path in sorted(self._folder.glob("??/*")):
            data = path.read_bytes()
            # What does not open with this key is another subject's, or nobody's.
            with contextlib.suppress(InvalidTag, ValueError):
                yield path.parent.name + path.name, len(data), cipher.decrypt(data[:12], data[12:], subject.encode())

    def destroy(self, sha256: str) -> bool:
        try:
            overwrite_and_remove(self._path(sha256))
        except FileNotFoundError:
            return False
        return True

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]

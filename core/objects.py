"""Big things beside the ledger, named by the digest of their stored bytes; a port with one verb each way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from audit.vocabulary.registry import ObjectRef, SubjectText

DICOM = "application/dicom"
JSON = "application/json"
PDF = "application/pdf"
VIEW = "application/vnd.countersign.view+json"
#: What stands where a text was whose key is gone: the tombstone.
ERASED = "[erased]"


def owner(trial: str, subject: str) -> str:
    """The name under which everything of a subject is encrypted."""
    return f"{trial}/{subject}"


class SubjectKeys(Protocol):
    """One key per subject, in files of their own; destroying it erases (RECORD 6). `owner` is "TRIAL/SUBJECT"."""

    def seal_text(self, owner: str, entry: str, text: str) -> SubjectText:
        """Encrypt a text for one entry; the same text for the same entry gives the same bytes.

        Raises SubjectErased where the key was destroyed.
        """
        ...

    def open_text(self, owner: str, entry: str, sealed: SubjectText) -> str:
        """Reverse of `seal_text`; `ERASED` where no key of the subject is there.

        Raises RecordDamaged where the key does not open it.
        """
        ...

    def is_there(self, owner: str) -> bool:
        """Whether a key of this subject lies in any of the folders."""
        ...

    def destroy(self, owner: str, mark: Mapping[str, Any]) -> None:
        """Destroy the key everywhere and renew what wrapped it; may be repeated. `mark` says why no key is made again.

        Raises OutsideUnavailable where a folder cannot be reached: then it is to be tried again.
        """
        ...

    def marks(self) -> Mapping[str, Mapping[str, Any]]:
        """Owners whose key was destroyed here, with what was said of it."""
        ...

    def complete(self) -> int:
        """Give every key the copy that it lacks. Returns how many were copied."""
        ...


class ObjectStore(Protocol):
    """Write once, read by digest. Objects of a subject are encrypted under the subject's key (RECORD 6)."""

    @property
    def keys(self) -> SubjectKeys:
        """The keys of the subjects."""
        ...

    def put(self, data: bytes, media: str, *, subject: str | None = None) -> ObjectRef:
        """Store durably (fsync before return). `subject` is "TRIAL/SUBJECT"; then the digest is the ciphertext's.

        Raises SubjectErased where the subject's key was destroyed.
        """
        ...

    def get(self, ref: ObjectRef, *, subject: str | None = None) -> bytes:
        """Read and check the digest. Raises NotFound, SubjectErased, or RecordDamaged where the bytes differ."""
        ...

    def of_subject(self, subject: str) -> Iterator[tuple[str, int, bytes]]:
        """Every object that opens with a subject's key: digest and size as stored, and the clear bytes.

        Raises SubjectErased where the subject's key was destroyed.
        """
        ...

    def destroy(self, sha256: str) -> bool:
        """Overwrite and remove an object, durably; False where it is not there. May be repeated."""
        ...

    def stored_bytes(self, ref: ObjectRef) -> bytes:
        """The stored bytes as they are (ciphertext for a subject's object), digest checked."""
        ...

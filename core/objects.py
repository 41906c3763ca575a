"""Big things beside the ledger, named by the digest of their stored bytes; a port with one verb each way."""

from __future__ import annotations

from typing import Protocol

from audit.vocabulary.registry import ObjectRef

DICOM = "application/dicom"
JSON = "application/json"
PDF = "application/pdf"
VIEW = "application/vnd.countersign.view+json"


class ObjectStore(Protocol):
    """Write once, read by digest. Objects of a subject are encrypted under the subject's key (RECORD 6)."""

    def put(self, data: bytes, media: str, *, subject: str | None = None) -> ObjectRef:
        """Store durably (fsync before return). `subject` is "TRIAL/SUBJECT"; then the digest is the ciphertext's."""
        ...

    def get(self, ref: ObjectRef, *, subject: str | None = None) -> bytes:
        """Read and check the digest. Raises NotFound, or RecordDamaged where the bytes differ."""
        ...

    def stored_bytes(self, ref: ObjectRef) -> bytes:
        """The stored bytes as they are (ciphertext for a subject's object), digest checked."""
        ...

"""Checks a DICOM object without the system that made it: every digital signature in it, and what they cover."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.dicom.reading import read_object
from core.dicom.signature import PURPOSES, covers_all, signatures_of


@dataclass(frozen=True, slots=True)
class SignatureSaid:
    """One signature as told to a person. `whole` is true when every element that can be signed is covered."""

    signer: str
    purpose: str
    signed_at: str
    sound: bool
    whole: bool
    certificate_sha256: str


@dataclass(frozen=True, slots=True)
class ObjectCheck:
    """What an object says of itself, and whether its signatures fit its bytes."""

    path: str
    sop_class: str
    sop_instance: str
    sha256: str
    signatures: tuple[SignatureSaid, ...]

    @property
    def ok(self) -> bool:
        """At least one signature, all of them sound, and one over the whole object."""
        return bool(self.signatures) and all(s.sound for s in self.signatures) and any(s.whole for s in self.signatures)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "file": self.path, "ok": self.ok, "sop_class": self.sop_class, "sop_instance": self.sop_instance,
            "sha256": self.sha256,
            "signatures": [{slot: getattr(s, slot) for slot in SignatureSaid.__slots__} for s in self.signatures],
        }

    def in_words(self) -> str:
        """For people."""
        lines = [f"{self.path}: {self.sop_class}, {self.sop_instance}", f"sha256:{self.sha256}"]
        for one in self.signatures:
            state = "fits the bytes" if one.sound else "DOES NOT FIT THE BYTES"
            cover = "the whole object" if one.whole else "a part of the object only"
            lines.append(f"  {one.purpose} by {one.signer}, {one.signed_at}: {state}; covers {cover}; "
                         f"certificate sha256:{one.certificate_sha256}")
        if not self.signatures:
            lines.append("  It carries no digital signature; only an entry that names its digest can vouch for it.")
        lines.append("SOUND. Whether the certificate is who it says is told by its enrolment entry." if self.ok
                     else "NOT SOUND.")
        return "\n".join(lines)


def check_object(path: Path) -> ObjectCheck:
    """Check every digital signature (PS3.15 C.1) of an object.

    Raises UnusableInput where the file is no sound DICOM object, or a signature is of a form this release cannot read.
    """
    dataset = read_object(path)
    said = tuple(
        SignatureSaid(
            found.certificate.subject.rfc4514_string(), PURPOSES.get(found.purpose, f"purpose {found.purpose}"),
            found.signed_at, found.sound, covers_all(dataset, found),
            hashlib.sha256(_der(found.certificate)).hexdigest(),
        )
        for found in signatures_of(dataset)
    )
    return ObjectCheck(path.name, dataset.SOPClassUID.name, str(dataset.SOPInstanceUID),
                       hashlib.sha256(path.read_bytes()).hexdigest(), said)


def _der(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    raw: bytes = certificate.public_bytes(Encoding.DER)
    return raw

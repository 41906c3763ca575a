"""Checks a DICOM object without the system that made it: its signatures, what they cover, the numbers it reports."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.dicom.codes import MEASURES
from core.dicom.reading import read_object
from core.dicom.signature import PURPOSES, covers_all, signatures_of
from core.dicom.structured_report import ReadMeasurement, read_measurements
from core.persons import key_of_certificate

if TYPE_CHECKING:
    from sqlalchemy import Connection

NAMES = {code.value: name.replace("_", " ") for name, code in MEASURES.items()}


@dataclass(frozen=True, slots=True)
class SignatureSaid:
    """One signature as told to a person. `whole` is true when every element that can be signed is covered."""

    signer: str
    purpose: str
    signed_at: str
    sound: bool
    whole: bool
    certificate_sha256: str
    certificate_user: str
    vouched: str | None = None
    trusted: bool | None = None


@dataclass(frozen=True, slots=True)
class ObjectCheck:
    """What an object says of itself, and whether its signatures fit its bytes."""

    path: str
    sop_class: str
    sop_instance: str
    sha256: str
    signatures: tuple[SignatureSaid, ...]
    measurements: tuple[ReadMeasurement, ...] = ()

    @property
    def ok(self) -> bool:
        """At least one signature, all of them sound, none by a foreign certificate, and one over the whole object."""
        sound = all(s.sound and s.trusted is not False for s in self.signatures)
        return bool(self.signatures) and sound and any(s.whole for s in self.signatures)

    def against(self, session: Connection) -> ObjectCheck:
        """The same, with what the record says of each certificate: whose key it was enrolled with, or that it is
        foreign. A certificate counts for the person it was enrolled for, whatever name it bears itself."""
        return replace(self, signatures=tuple(_vouched(session, one) for one in self.signatures))

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "file": self.path, "ok": self.ok, "sop_class": self.sop_class, "sop_instance": self.sop_instance,
            "sha256": self.sha256,
            "measurements": [
                {"lesion": m.tracking_id, "concept": m.concept, "value": None if m.value is None else f"{m.value:f}",
                 "unit": m.unit} for m in self.measurements
            ],
            "signatures": [{slot: getattr(s, slot) for slot in SignatureSaid.__slots__} for s in self.signatures],
        }

    def in_words(self) -> str:
        """For people."""
        lines = [f"{self.path}: {self.sop_class}, {self.sop_instance}", f"sha256:{self.sha256}"]
        lines += [
            f"  {one.tracking_id}, {NAMES.get(one.concept, one.concept)}: "
            + ("no value" if one.value is None else f"{one.value:f} {one.unit}") for one in self.measurements
        ]
        for one in self.signatures:
            state = "fits the bytes" if one.sound else "DOES NOT FIT THE BYTES"
            cover = "the whole object" if one.whole else "a part of the object only"
            lines.append(f"  {one.purpose} by {one.signer}, {one.signed_at}: {state}; covers {cover}; "
                         f"certificate sha256:{one.certificate_sha256}")
            if one.vouched is not None:
                lines.append(f"  {one.vouched}")
        if not self.signatures:
            lines.append("  It carries no digital signature; only an entry that names its digest can vouch for it.")
        told = "" if any(one.vouched for one in self.signatures) else (
            " Whether the certificate is who it says is told by its enrolment entry: --home asks the record.")
        lines.append(f"SOUND.{told}" if self.ok else "NOT SOUND.")
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
            hashlib.sha256(_der(found.certificate)).hexdigest(), _user(found.certificate),
        )
        for found in signatures_of(dataset)
    )
    return ObjectCheck(path.name, dataset.SOPClassUID.name, str(dataset.SOPInstanceUID),
                       hashlib.sha256(path.read_bytes()).hexdigest(), said, tuple(read_measurements(dataset)))


def _vouched(session: Connection, one: SignatureSaid) -> SignatureSaid:
    key = key_of_certificate(session, one.certificate_sha256)
    if key is None:
        return replace(one, trusted=False, vouched="FOREIGN CERTIFICATE: no key of this record was enrolled with it")
    if one.certificate_user != key.holder:
        return replace(one, trusted=False, vouched=f"THE CERTIFICATE NAMES {one.certificate_user or 'nobody'}; entry "
                                                   f"{key.entry} enrolled it for {key.holder}")
    ended = f"; the key was ended by entry {key.revoked_by}" if key.revoked_by is not None else ""
    doubt = f", and its signatures are suspect from entry {key.suspect_from} on" if key.suspect_from is not None else ""
    whose = f"certificate of {key.holder}, enrolled by entry {key.entry}{ended}{doubt}"
    return replace(one, trusted=True, vouched=whose)


def _user(certificate: Any) -> str:
    """The user id that the certificate of this installation's authority bears."""
    from cryptography.x509.oid import NameOID

    named = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    return str(named[0].value) if named else ""


def _der(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    raw: bytes = certificate.public_bytes(Encoding.DER)
    return raw

"""DICOM digital signatures: ECDSA P-256 or RSA over SHA-256, made with a key that this module never sees.

The bytes to sign are handed out and the signature is handed back; the person's key stays with the signer. Checked
against another implementation in the tests.

What is hashed (PS3.15 and PS3.3 C.12.1.1.3.1): (1) every signed element in ascending order, explicit VR little
endian, with its length; sequences and items without lengths, closed by the sequence delimiter's tag; (2) the elements
of the signature item itself, but for certificate and signature.

Known of others: dcmsign 3.6.7 loses bytes where a sequence crosses 16,384 bytes of that stream (seen in its own dump:
it hashes less than the object holds). Larger objects signed here verify here, and by the standard's text, not there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian

from core.dicom.result import ResultUnusable
from core.ids import derived_uid

# ASTM E1762 purposes as DICOM codes them (CID 7007).
PURPOSES: Final = {
    1: "Author's Signature",
    5: "Verification Signature",
    13: "Review Signature",
    17: "Administrative Signature",
    18: "Timestamp Signature",
}
VERIFICATION: Final = 5
_MAC_PARAMETERS: Final = Tag(0x4FFE, 0x0001)
_SIGNATURES: Final = Tag(0xFFFA, 0xFFFA)
_NOT_HASHED: Final = frozenset({Tag(0x0400, 0x0115), Tag(0x0400, 0x0120), Tag(0x0400, 0x0305), Tag(0x0400, 0x0310)})
_LONG_LENGTH: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})



@dataclass(frozen=True, slots=True)
class FoundSignature:
    """One signature of an object. `sound` says that it fits the bytes; whom the certificate belongs to, and whether
    it is to be trusted, is for the caller to judge."""

    purpose: int
    signed_at: str
    certificate: x509.Certificate
    sound: bool
    signed_tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BegunSignature:
    """A signature of an object whose bytes to sign are known and which is not there yet."""

    dataset: Dataset
    certificate: x509.Certificate
    message: bytes
    parameters: Dataset
    item: Dataset

    def complete(self, signature: bytes) -> None:
        """Put the signature into the object. Raises ResultUnusable where it is not by the key of the certificate."""
        if not _fits(self.certificate, signature, self.message):
            raise ResultUnusable("The signature was not made with the key of the certificate.")
        # DICOM pads to even length; both DER forms say their own length, so a zero behind them is no part of them.
        self.item.CertificateOfSigner = _even(self.certificate.public_bytes(Encoding.DER))
        self.item.Signature = _even(signature)
        _append(self.dataset, _MAC_PARAMETERS, self.parameters)
        _append(self.dataset, _SIGNATURES, self.item)


def begin_signature(
    dataset: Dataset, certificate: x509.Certificate, signed_at: datetime, purpose: int = VERIFICATION
) -> BegunSignature:
    """Prepare a signature over every element of an object; the private key signs `message`, then it is completed.

    Args:
        dataset: complete; nothing but further signatures may change afterwards.
        certificate: of the signer; its key signs with ECDSA over SHA-256 (P-256, DER), or RSA PKCS#1 v1.5.
        signed_at: the instant of the signature, with its offset from UTC.
        purpose: a number of `PURPOSES`.

    Raises:
        ResultUnusable: unknown purpose, or no offset.
    """
    if purpose not in PURPOSES:
        raise ResultUnusable(f"{purpose} is no purpose of a signature: {', '.join(map(str, PURPOSES))}.")
    if signed_at.utcoffset() is None:
        raise ResultUnusable("The time of a signature needs its offset from UTC.")
    tags = _signable(dataset)
    number = 1 + max((int(item.MACIDNumber) for item in dataset.get(_MAC_PARAMETERS, _EMPTY).value or []), default=0)
    parameters = Dataset()
    parameters.MACIDNumber = number
    parameters.MACCalculationTransferSyntaxUID = ExplicitVRLittleEndian
    parameters.MACAlgorithm = "SHA256"
    parameters.DataElementsSigned = list(tags)
    item = Dataset()
    item.MACIDNumber = number
    item.DigitalSignatureUID = derived_uid("signature", str(dataset.SOPInstanceUID), str(number))
    item.DigitalSignatureDateTime = signed_at.strftime("%Y%m%d%H%M%S.%f") + signed_at.strftime("%z")[:5]
    item.CertificateType = "X509_1993_SIG"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = str(purpose), "ASTM-sigpurpose", PURPOSES[purpose]
    item.DigitalSignaturePurposeCodeSequence = [code]
    return BegunSignature(dataset, certificate, _hashed(dataset, tags, item), parameters, item)


_EMPTY: Final = DataElement(_MAC_PARAMETERS, "SQ", [])


def signatures_of(dataset: Dataset) -> list[FoundSignature]:
    """Every signature of an object, each checked against the bytes it covers.

    Raises:
        ResultUnusable: a signature cannot be read, or uses another hash or transfer syntax than these.
    """
    parameters = {int(item.MACIDNumber): item for item in dataset.get(_MAC_PARAMETERS, _EMPTY).value or []}
    found: list[FoundSignature] = []
    for item in dataset.get(_SIGNATURES, _EMPTY).value or []:
        stated = parameters.get(int(item.MACIDNumber))
        if stated is None or stated.MACAlgorithm != "SHA256" or (
            stated.MACCalculationTransferSyntaxUID != ExplicitVRLittleEndian
        ):
            raise ResultUnusable("A signature does not use SHA-256 over explicit VR little endian.")
        try:
            certificate = x509.load_der_x509_certificate(_der(bytes(item.CertificateOfSigner)))
        except ValueError:
            raise ResultUnusable("The certificate of a signature cannot be read.") from None
        listed = stated.DataElementsSigned
        tags = tuple(Tag(tag) for tag in (listed if isinstance(listed, list) or stated["DataElementsSigned"].VM > 1
                                          else [listed]))
        codes = item.get("DigitalSignaturePurposeCodeSequence") or [Dataset()]
        message = _hashed(dataset, tags, item)
        signature = bytes(item.Signature)
        signature = _der(signature) if isinstance(certificate.public_key(), ec.EllipticCurvePublicKey) else signature
        found.append(FoundSignature(
            int(str(codes[0].get("CodeValue", "0"))), str(item.DigitalSignatureDateTime), certificate,
            _fits(certificate, signature, message), tuple(int(tag) for tag in tags),
        ))
    return found


def covers_all(dataset: Dataset, found: FoundSignature) -> bool:
    """True when every element that can be signed is: nothing was added beside a sound signature."""
    return set(found.signed_tags) == {int(tag) for tag in _signable(dataset)}


def _signable(dataset: Dataset) -> tuple[BaseTag, ...]:
    return tuple(
        tag for tag in sorted(dataset.keys())
        if tag.group >= 0x0008 and tag.element != 0 and tag not in (_MAC_PARAMETERS, _SIGNATURES)
        and tag != Tag(0xFFFC, 0xFFFC) and dataset[tag].VR != "UN"
    )


def _hashed(dataset: Dataset, tags: Sequence[BaseTag], item: Dataset) -> bytes:
    encodings = convert_encodings(dataset.get("SpecificCharacterSet", "ISO_IR 6"))
    wanted = set(tags)
    parts = [_element(dataset[tag], encodings) for tag in sorted(dataset.keys()) if tag in wanted]
    parts += [_element(item[tag], encodings) for tag in sorted(item.keys()) if tag not in _NOT_HASHED]
    return b"".join(parts)


def _element(element: DataElement, encodings: list[str]) -> bytes:
    if element.VR != "SQ":
        target = DicomBytesIO()
        target.is_little_endian, target.is_implicit_VR = True, False
        write_data_element(target, element, encodings)
        return bytes(target.getvalue())
    head = struct.pack("<HH", element.tag.group, element.tag.element) + b"SQ\x00\x00"
    body = b"".join(
        b"\xfe\xff\x00\xe0" + b"".join(_element(item[tag], encodings) for tag in sorted(item.keys()))
        for item in element.value
    )
    return head + body + b"\xfe\xff\xdd\xe0"


def _fits(certificate: x509.Certificate, signature: bytes, message: bytes) -> bool:
    key = certificate.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _even(value: bytes) -> bytes:
    return value + b"\x00" * (len(value) % 2)


def _der(value: bytes) -> bytes:
    """A DER structure without what pads it behind its stated length."""
    if len(value) < 2 or value[1] < 0x80:
        return value[: 2 + value[1]] if len(value) > 1 else value
    octets = value[1] & 0x7F
    return value[: 2 + octets + int.from_bytes(value[2 : 2 + octets], "big")]


def _append(dataset: Dataset, tag: BaseTag, item: Dataset) -> None:
    before = list(dataset[tag].value) if tag in dataset else []
    dataset.add(DataElement(tag, "SQ", [*before, item]))

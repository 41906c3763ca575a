"""PDF signatures (PAdES B-B, ETSI EN 319 142-1) and document time stamps (RFC 3161), made with keys never seen here.

The bytes to sign are handed out and the signature is handed back; the person's key stays with the signer. Each is a
revision of its own behind the paper, whose bytes stay as they were drawn. The signature certifies the file: no change
after it is allowed but a time stamp (ISO 32000-2, 12.8.2.2, P = 1); where a second person signs after the first, the
signature in the one field kept for them as well (P = 2).
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from core.errors import OutsideUnavailable, UnusableInput

FIELD: Final = "Issued"
STAMP_FIELD: Final = "TimeStamp"
# Of a file that two persons sign, one after the other.
FIRST_FIELD: Final = "Executed"
SECOND_FIELD: Final = "Reviewed"
DIGEST: Final = "sha256"
# Hexadecimal digits kept free in the file for signature and certificates; ours need about 3,000.
RESERVED: Final = 16_384
PADES: Final = "/ETSI.CAdES.detached"
# Query (DER) to reply (DER) of an RFC 3161 authority.
AskAuthority = Callable[[bytes], bytes]
# It logs each chain that leads nowhere, with a trace; here that is an answer.
logging.getLogger("pyhanko").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class BegunSignature:
    """A file with a place for its signature. `message` is what the key of the certificate signs (ECDSA, SHA-256)."""

    message: bytes
    _output: Any
    _prepared: Any
    _attributes: Any
    _certificates: tuple[x509.Certificate, ...]
    _by_two: bool = False

    def complete(self, signature: bytes) -> bytes:
        """The signed file. Raises UnusableInput where the signature is not by the key of the certificate."""
        signer = _external(self._certificates, signature)
        content = asyncio.run(signer.async_sign_prescribed_attributes(DIGEST, self._attributes))
        self._prepared.fill_with_cms(self._output, content)
        signed: bytes = self._output.getvalue()
        *_, found = signatures_of(signed, by_two=self._by_two)
        if found.problem:
            raise UnusableInput(f"The signature of the file {found.problem}.", next_step="Nothing was kept.")
        return signed


def begin_signature(
    pdf: bytes, certificate: x509.Certificate, authority: x509.Certificate, signed_at: datetime, *, reason: str,
    by_two: bool = False,
) -> BegunSignature:
    """Prepare an invisible, certifying signature over a whole file that bears none yet.

    Args:
        pdf: the file; its bytes stay, the signature is appended.
        certificate: of the signer, P-256.
        authority: who issued it; travels along.
        signed_at: the instant that the signature states, with its offset from UTC.
        reason: why the person signs, in their words on the page.
        by_two: a second person signs after this one, in a field that is made for them now.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import fields
    from pyhanko.sign.signers import PdfSignatureMetadata

    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    if by_two:
        fields.append_signature_field(writer, fields.SigFieldSpec(SECOND_FIELD))
    wanted = PdfSignatureMetadata(
        field_name=FIRST_FIELD if by_two else FIELD, md_algorithm=DIGEST, subfilter=fields.SigSeedSubFilter.PADES,
        reason=reason, certify=True,
        docmdp_permissions=fields.MDPPerm.FILL_FORMS if by_two else fields.MDPPerm.NO_CHANGES,
    )
    return _begun(writer, wanted, (certificate, authority), signed_at, by_two=by_two)


def begin_second_signature(
    pdf: bytes, certificate: x509.Certificate, authority: x509.Certificate, signed_at: datetime, *, reason: str
) -> BegunSignature:
    """The same for the second person, in the field that the first signature kept for them.

    Raises UnusableInput where the file keeps no such field, or somebody signed in it.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import fields
    from pyhanko.sign.signers import PdfSignatureMetadata

    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    free = [name for name, value, _ in fields.enumerate_sig_fields(writer.prev) if value is None]
    if free != [SECOND_FIELD]:
        raise UnusableInput("The file keeps no place for a second signature.", next_step="Nothing was signed.")
    wanted = PdfSignatureMetadata(
        field_name=SECOND_FIELD, md_algorithm=DIGEST, subfilter=fields.SigSeedSubFilter.PADES, reason=reason)
    return _begun(writer, wanted, (certificate, authority), signed_at, by_two=True)


def _begun(
    writer: Any, wanted: Any, certificates: tuple[x509.Certificate, ...], signed_at: datetime, *, by_two: bool
) -> BegunSignature:
    from pyhanko.sign.signers import PdfSigner

    signer = _external(certificates, None)
    session = PdfSigner(wanted, signer=signer).init_signing_session(writer)
    session.system_time = signed_at
    document = session.prepare_tbs_document(validation_info=None, bytes_reserved=RESERVED)
    prepared, output = document.digest_tbs_document()
    attributes = asyncio.run(signer.signed_attrs(prepared.document_digest, DIGEST, use_pades=True))
    return BegunSignature(attributes.dump(), output, prepared, attributes, certificates, by_two)


def with_time_stamp(pdf: bytes, ask: AskAuthority, roots: Sequence[x509.Certificate]) -> bytes:
    """The signed file with a document time stamp as its next revision.

    Raises OutsideUnavailable where the authority's reply is a refusal, no time stamp of this file, or under no root.
    """
    from asn1crypto import tsp
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign.signers import PdfTimeStamper
    from pyhanko.sign.timestamps import TimeStamper
    from pyhanko.sign.timestamps.common_utils import TimestampRequestError

    class Asked(TimeStamper):
        async def async_request_tsa_response(self, req: Any) -> Any:
            return tsp.TimeStampResp.load(ask(req.dump()), strict=True)

    asked: Any = Asked()  # type: ignore[no-untyped-call]
    field = f"{STAMP_FIELD}{len(signatures_of(pdf))}"
    try:
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        output = PdfTimeStamper(asked, field_name=field).timestamp_pdf(writer, DIGEST, bytes_reserved=RESERVED)
    except (ValueError, OSError, AttributeError, TimestampRequestError) as error:
        # The library stumbles over a wrong nonce (AttributeError) while it words its refusal.
        raise OutsideUnavailable(f"The authority gave no time stamp of this file: {error}",
                                 next_step="Nothing was kept; try again, or ask another authority.") from error
    stamped: bytes = output.getvalue()
    if problem := signatures_of(stamped, roots)[-1].problem:
        raise OutsideUnavailable(f"The authority's time stamp {problem}.", next_step="Nothing was kept.")
    return stamped


@dataclass(frozen=True, slots=True)
class FoundSignature:
    """A signature or time stamp of a file. `problem` is why it does not hold, as the end of a sentence; empty where it
    does. Whom the certificate belongs to, and whether an authority is to be trusted, is for the caller to judge."""

    time_stamp: bool
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]
    at: datetime | None
    problem: str
    field: str = FIELD

    @property
    def signer(self) -> str:
        """The name in the certificate."""
        return self.certificate.subject.rfc4514_string()


def signatures_of(
    pdf: bytes, stamp_roots: Sequence[x509.Certificate] = (), *, by_two: bool = False
) -> list[FoundSignature]:
    """Every signature and document time stamp of a file, in order, each checked against the bytes it covers, its
    certificate, and what was appended after it.

    Args:
        stamp_roots: roots of time-stamp authorities; where there are any, time stamps must lead to one of them.
        by_two: two persons sign this kind of file, the second in the field kept for them.

    Raises:
        UnusableInput: the file's revisions or signatures cannot be read.
    """
    from pyhanko.pdf_utils.reader import PdfFileReader

    try:
        reader = PdfFileReader(io.BytesIO(pdf))
        embedded = list(reader.embedded_signatures)
        found = [_found(one, number=n, last=n == len(embedded) - 1, stamp_roots=stamp_roots, by_two=by_two)
                 for n, one in enumerate(embedded)]
        if by_two and found and (others := _other_fields(reader)):
            found = [replace(one, problem=one.problem or f"was followed by fields that it kept for nobody: {others}")
                     for one in found]
        return found
    except Exception as error:
        # Whatever foreign bytes do to a reader is a fact about them, never a crash of ours.
        raise UnusableInput(f"The signatures of the file cannot be read: {type(error).__name__}: {error}",
                            next_step="Get a whole copy.") from error


def _other_fields(reader: Any) -> str:
    """Fields of a file signed by two that are neither of theirs nor of a time stamp."""
    names = [str(field.get_object().get("/T", "")) for field in reader.root["/AcroForm"]["/Fields"]]
    return ", ".join(sorted(name for name in names
                            if name not in (FIRST_FIELD, SECOND_FIELD) and not name.startswith(STAMP_FIELD)))


def _found(
    embedded: Any, *, number: int, last: bool, stamp_roots: Sequence[x509.Certificate], by_two: bool
) -> FoundSignature:
    from pyhanko.sign.diff_analysis import ModificationLevel
    from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature, validate_pdf_timestamp

    time_stamp = str(embedded.sig_object_type) == "/DocTimeStamp"
    others = tuple(_from_asn1(one) for one in embedded.other_embedded_certs)
    if time_stamp:
        stamp = validate_pdf_timestamp(embedded, _context(stamp_roots, None))
        status: Any = stamp
        at: datetime | None = stamp.timestamp
    else:
        at = embedded.self_reported_timestamp
        status = validate_pdf_signature(embedded, _context(others, at))
    embedded.compute_integrity_info()
    level = embedded.summarise_integrity_info().get("modification_level")
    covers = embedded.coverage
    name = str(embedded.field_name)
    first, second = number == 0, by_two and number == 1 and name == SECOND_FIELD
    allowed = ModificationLevel.FORM_FILLING if by_two and first else ModificationLevel.LTA_UPDATES
    if not status.intact:
        problem = "does not fit the bytes of the file"
    elif not status.valid:
        problem = "is not by the key of its certificate"
    elif last and covers != SignatureCoverageLevel.ENTIRE_FILE:
        problem = "does not cover the whole file: something was appended or left out"
    elif covers < SignatureCoverageLevel.ENTIRE_REVISION:
        problem = "does not cover all that was there when it was made"
    elif not last and level is not None and level > allowed:
        problem = "was followed by a change of the file"
    elif not time_stamp and (not (first or second) or str(embedded.sig_object.get("/SubFilter")) != PADES):
        problem = "is not the one that certifies the file"
    elif not time_stamp and not second and embedded.docmdp_level is None:
        problem = "does not certify the file"
    elif not time_stamp and not _is_exact(embedded, others):
        problem = "was changed beside what it signs"
    elif not status.trusted and (stamp_roots or not time_stamp):
        problem = ("does not lead to the time-stamp root that is trusted" if time_stamp
                   else "rests on a certificate that its authority did not issue, or that was not valid then")
    else:
        problem = ""
    return FoundSignature(time_stamp, _from_asn1(embedded.signer_cert), others, at, problem, name)


def _is_exact(embedded: Any, others: Sequence[x509.Certificate]) -> bool:
    """Whether the parts of the signature that nothing signs are as they were made: DER to the last byte and zeros
    behind it, SHA-256 where a digest is named, each certificate that travels along signed by one of them."""
    from asn1crypto import cms

    content = bytes(embedded.pkcs7_content)
    octets = content[1] & 0x7F if content[1] & 0x80 else 0
    end = 2 + octets + (int.from_bytes(content[2 : 2 + octets], "big") if octets else content[1])
    info = cms.ContentInfo.load(content[:end], strict=True)
    signed = info["content"]
    named = [*signed["digest_algorithms"], *(one["digest_algorithm"] for one in signed["signer_infos"])]
    return (
        info.dump(force=True) == content[:end] and not any(content[end:])
        and {one["version"].native for one in (signed, *signed["signer_infos"])} == {"v1"}
        and all((one["algorithm"].native, one["parameters"].native) == (DIGEST, None) for one in named)
        and all(any(_issued(one, other) for other in others) for one in others)
    )


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _context(roots: Sequence[x509.Certificate], moment: datetime | None) -> Any:
    from pyhanko_certvalidator import ValidationContext

    # An installation publishes no revocation lists: which key ended when is told by the record.
    return ValidationContext(trust_roots=[_to_asn1(one) for one in roots], allow_fetching=False, moment=moment,
                             revocation_mode="soft-fail")


def _external(certificates: tuple[x509.Certificate, ...], signature: bytes | None) -> Any:
    from pyhanko.sign.signers import ExternalSigner
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register_multiple([_to_asn1(one) for one in certificates[1:]])
    return ExternalSigner(_to_asn1(certificates[0]), store, signature_value=signature)


def _to_asn1(certificate: x509.Certificate) -> Any:
    from asn1crypto import x509 as asn1

    return asn1.Certificate.load(certificate.public_bytes(Encoding.DER))


def _from_asn1(certificate: Any) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate.dump())

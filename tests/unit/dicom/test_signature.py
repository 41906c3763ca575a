"""Digital signatures in DICOM objects: ours verify with dcmsign, theirs with us, and no change goes unseen."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from pydicom.dataset import Dataset

from core.dicom.reading import read_object
from core.dicom.result import ResultUnusable, as_bytes
from core.dicom.signature import begin_signature, covers_all, signatures_of
from tests.req import req
from tests.unit.dicom.samples import ct_slice

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
needs_dcmsign = pytest.mark.skipif(shutil.which("dcmsign") is None, reason="dcmtk is not installed")


def key_and_certificate(kind):
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Reader 1 (test)")])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(begins).not_valid_after(begins + timedelta(days=3650)).sign(key, SHA256())
    )  # fmt: skip
    return key, certificate


def signer(key):
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda message: key.sign(message, ec.ECDSA(SHA256()))
    return lambda message: key.sign(message, padding.PKCS1v15(), SHA256())


def sign_object(made: Dataset, sign, certificate, at) -> None:
    """Prepared here, signed elsewhere, completed here, as the house and its signer do."""
    begun = begin_signature(made, certificate, at)
    begun.complete(sign(begun.message))


def an_object() -> Dataset:
    made = ct_slice(1)
    inner = Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "126000", "DCM", "Imaging Measurement Report"
    made.ConceptNameCodeSequence = [inner]
    made.ProcedureCodeSequence = []
    return read_object(as_bytes(made))


@req("SIG-03")
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_signature_survives_writing_and_reading(kind):
    key, certificate = key_and_certificate(kind)
    made = an_object()
    sign_object(made, signer(key), certificate, AT)

    found = signatures_of(read_object(as_bytes(made)))

    assert [(one.sound, one.purpose, one.signed_at) for one in found] == [(True, 5, "20261124100000.000000+0000")]
    assert found[0].certificate == certificate
    assert covers_all(made, found[0])


@req("SIG-03", "SIG-13")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientID", "LUM-001-002"), ("KVP", "121"), ("PixelData", b"\x00" * 384), ("SeriesDescription", "x")],
)
def test_any_changed_value_breaks_the_signature(keyword, value):
    key, certificate = key_and_certificate("ec")
    made = an_object()
    sign_object(made, signer(key), certificate, AT)
    setattr(made, keyword, value)

    assert not signatures_of(read_object(as_bytes(made)))[0].sound


@req("SIG-03", "SIG-13")
def test_what_is_added_beside_a_signature_is_seen():
    key, certificate = key_and_certificate("ec")
    made = an_object()
    sign_object(made, signer(key), certificate, AT)
    made.ImageComments = "added later"
    found = signatures_of(made)[0]

    assert found.sound
    assert not covers_all(made, found)


@req("SIG-03")
def test_a_changed_time_or_purpose_breaks_the_signature():
    """They are part of what is hashed: a signature cannot be moved to another instant or meaning."""
    key, certificate = key_and_certificate("ec")
    for keyword in ("DigitalSignatureDateTime", "purpose"):
        made = an_object()
        sign_object(made, signer(key), certificate, AT)
        item = made[0xFFFA, 0xFFFA].value[0]
        if keyword == "purpose":
            item.DigitalSignaturePurposeCodeSequence[0].CodeValue = "1"
        else:
            item.DigitalSignatureDateTime = "20261124110000.000000+0000"

        assert not signatures_of(made)[0].sound


@req("SIG-03", "SIG-09")
def test_a_foreign_key_is_refused_before_anything_is_written():
    _, certificate = key_and_certificate("ec")
    other, _ = key_and_certificate("ec")
    made = an_object()

    with pytest.raises(ResultUnusable):
        sign_object(made, signer(other), certificate, AT)

    assert (0xFFFA, 0xFFFA) not in made


@req("SIG-03")
@needs_dcmsign
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_dcmsign_verifies_ours_and_refuses_a_changed_copy(kind, tmp_path):
    key, certificate = key_and_certificate(kind)
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made = an_object()
    sign_object(made, signer(key), certificate, AT)
    (tmp_path / "ours.dcm").write_bytes(as_bytes(made))
    made.PatientID = "LUM-001-002"
    (tmp_path / "changed.dcm").write_bytes(as_bytes(made))

    def verified(name):
        told = ["dcmsign", "--verify", "+cf", str(tmp_path / "ca.pem"), str(tmp_path / name)]
        return subprocess.run(told, capture_output=True, check=False).returncode

    assert verified("ours.dcm") == 0
    assert verified("changed.dcm") != 0


@req("SIG-03")
@needs_dcmsign
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_we_verify_what_dcmsign_signed(kind, tmp_path):
    key, certificate = key_and_certificate(kind)
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ))
    (tmp_path / "plain.dcm").write_bytes(as_bytes(an_object()))
    command = ["dcmsign", "--sign", str(tmp_path / "key.pem"), str(tmp_path / "ca.pem"), "+m2", "+sp", "5",
               str(tmp_path / "plain.dcm"), str(tmp_path / "theirs.dcm")]
    subprocess.run(command, check=True, capture_output=True)

    found = signatures_of(read_object(tmp_path / "theirs.dcm"))

    assert [(one.sound, one.purpose) for one in found] == [(True, 5)]

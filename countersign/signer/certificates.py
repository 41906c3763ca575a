"""The installation's certificate authority: a P-256 certificate per person for PDF and DICOM signatures (RECORD 4)."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.clock import Clock, as_datetime
from countersign.signer.keyfiles import KeyFolder

AUTHORITY_YEARS, PERSON_YEARS = 25, 10


class Authority:
    """Issues certificates; its key lies with the signer."""

    def __init__(self, keys: KeyFolder, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def found(self, origin: str) -> None:
        """Make the authority's key and self-signed certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Countersign installation"),
            x509.NameAttribute(NameOID.COMMON_NAME, origin[:64]),
        ])
        certificate = (
            self._builder(name, name, key.public_key(), AUTHORITY_YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signing=False), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._keys.write("house", "authority", {
            "certificate": _pem(certificate), "private": self._keys.seal("house/authority", _der(key)),
        })

    def certificate(self) -> str:
        """The authority's certificate, PEM."""
        return str(self._keys.read("house", "authority")["certificate"])

    def issue(self, user: str, printed_name: str) -> tuple[str, bytes]:
        """A certificate (PEM) and its private key (PKCS#8 DER) for a person."""
        record = self._keys.read("house", "authority")
        issuer = x509.load_pem_x509_certificate(record["certificate"].encode())
        issuer_key = serialization.load_der_private_key(
            self._keys.unseal("house/authority", record["private"]), None
        )
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([
            x509.NameAttribute(NameOID.COMMON_NAME, printed_name[:64]),
            x509.NameAttribute(NameOID.USER_ID, user[:64]),
        ])
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        certificate = (
            self._builder(name, issuer.subject, key.public_key(), PERSON_YEARS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signing=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        return _pem(certificate), _der(key)

    @staticmethod
    def digest(pem: str) -> str:
        """SHA-256 of the DER certificate, hex."""
        return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, years: int
    ) -> x509.CertificateBuilder:
        now = as_datetime(self._clock.now()).replace(microsecond=0)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=365 * years))
        )


def _usage(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signing, content_commitment=signing, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=not signing, crl_sign=not signing, encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

"""A passkey in software: what an authenticator and a browser do, written without any code of the product."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RP, PAGE = "localhost", "http://localhost:8080"
PRESENT, VERIFIED, ATTESTED = 1, 4, 64


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def url64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Authenticator:
    """One credential on a device of its own. `counting`: it raises its counter with each use; many leave it at 0."""

    credential: bytes
    private: EllipticCurvePrivateKey | Ed25519PrivateKey
    rp: str = RP
    counting: bool = True
    count: int = 0
    more: bytes = b""  # behind the authenticator data of an assertion: extensions, in CBOR

    @classmethod
    def of(
        cls, seed: str, algorithm: str = "es256", *, counting: bool = True, rp: str = RP, more: bytes = b""
    ) -> Authenticator:
        """Always the same one for a seed."""
        secret = hashlib.sha256(f"passkey {seed}".encode()).digest()
        private = (Ed25519PrivateKey.from_private_bytes(secret) if algorithm == "ed25519" else
                   derive_private_key(int.from_bytes(secret) >> 1, SECP256R1()))
        return cls(hashlib.sha256(secret).digest()[:20], private, rp, counting, more=more)

    @property
    def algorithm(self) -> str:
        return "ed25519" if isinstance(self.private, Ed25519PrivateKey) else "es256"

    @property
    def public(self) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.public_key().public_bytes_raw()
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def fields(self, label: str = "a test key", **more: Any) -> dict[str, Any]:
        """Those of key.passkey_enrolled."""
        return {"credential": b64(self.credential), "algorithm": self.algorithm, "public_key": b64(self.public),
                "rp": self.rp, "label": label, "sign_count": self.count, "synced": False, **more}

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(message)
        return self.private.sign(message, ECDSA(SHA256(), deterministic_signing=True))

    def data(self, *, rp: str | None = None, flags: int = PRESENT | VERIFIED, count: int | None = None) -> bytes:
        """Authenticator data without credential or extensions (WebAuthn 6.1); counts, unless told a count."""
        if count is None:
            self.count += self.counting
            count = self.count
        return hashlib.sha256((rp or self.rp).encode()).digest() + bytes([flags]) + count.to_bytes(4, "big")

    def answer(
        self, body: dict[str, Any], /, *, rp: str | None = None, flags: int = PRESENT | VERIFIED,
        count: int | None = None, **client: Any,
    ) -> dict[str, Any]:
        """An assertion for a body as an entry holds it; `client` replaces members of the client data."""
        asked = hashlib.sha256(rfc8785.dumps({name: one for name, one in body.items() if name != "assertion"})).digest()
        said = {"type": "webauthn.get", "challenge": url64(asked), "origin": PAGE, "crossOrigin": False} | client
        raw, data = json.dumps(said).encode(), self.data(rp=rp, flags=flags, count=count) + self.more
        return {"credential": b64(self.credential), "authenticator_data": b64(data), "client_data": b64(raw),
                "signature": b64(self.sign(data + hashlib.sha256(raw).digest()))}

    def register(
        self, challenge: bytes, /, *, flags: int = PRESENT | VERIFIED, **client: Any
    ) -> tuple[bytes, bytes]:
        """Client data and attestation object (`none`) as a browser gives them for a new credential."""
        said = {"type": "webauthn.create", "challenge": url64(challenge), "origin": PAGE, "crossOrigin": False} | client
        credential = bytes(16) + len(self.credential).to_bytes(2) + self.credential + self.cose()
        data = self.data(flags=flags | ATTESTED) + credential
        return json.dumps(said).encode(), b"\xa3" + _text("fmt") + _text("none") + _text("attStmt") + b"\xa0" + (
            _text("authData") + b"\x59" + len(data).to_bytes(2) + data)

    def cose(self) -> bytes:
        """The public key in COSE (RFC 9053, 7), encoded in CBOR by hand."""
        if self.algorithm == "ed25519":
            return b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20" + self.public
        return b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + self.public[1:33] + b"\x22\x58\x20" + self.public[33:]


def _text(word: str) -> bytes:
    return bytes([0x60 + len(word)]) + word.encode()

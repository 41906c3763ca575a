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
PRESENT, VERIFIED = 1, 4


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

    @classmethod
    def of(cls, seed: str, algorithm: str = "es256", *, counting: bool = True, rp: str = RP) -> Authenticator:
        """Always the same one for a seed."""
        secret = hashlib.sha256(f"passkey {seed}".encode()).digest()
        private = (Ed25519PrivateKey.from_private_bytes(secret) if algorithm == "ed25519" else
                   derive_private_key(int.from_bytes(secret) >> 1, SECP256R1()))
        return cls(hashlib.sha256(secret).digest()[:20], private, rp, counting)

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
        self, body: dict[str, Any], *, rp: str | None = None, flags: int = PRESENT | VERIFIED, count: int | None = None,
        **client: Any,
    ) -> dict[str, Any]:
        """An assertion for a body as an entry holds it; `client` replaces members of the client data."""
        asked = hashlib.sha256(rfc8785.dumps({name: one for name, one in body.items() if name != "assertion"})).digest()
        said = {"type": "webauthn.get", "challenge": url64(asked), "origin": PAGE, "crossOrigin": False} | client
        raw, data = json.dumps(said).encode(), self.data(rp=rp, flags=flags, count=count)
        return {"credential": b64(self.credential), "authenticator_data": b64(data), "client_data": b64(raw),
                "signature": b64(self.sign(data + hashlib.sha256(raw).digest()))}

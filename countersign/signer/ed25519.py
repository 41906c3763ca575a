"""Ed25519 (RFC 8032) by libsodium: the same bytes as by OpenSSL, in half the time; signatures are deterministic."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from audit.entry import kid_of


class SigningKey:
    """A private key of the house, held open for as long as the process signs with it."""

    __slots__ = ("_secret", "kid", "public")

    def __init__(self, seed: bytes) -> None:
        """`seed`: the 32 bytes of RFC 8032, 5.1.5. Raises ValueError for another length."""
        self.public, self._secret = crypto_sign_seed_keypair(seed)
        self.kid = kid_of(self.public)

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def seed(self) -> bytes:
        """The 32 bytes that are kept."""
        return self._secret[:32]

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return crypto_sign(message, self._secret)[:crypto_sign_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey({self.kid[:16]}…)"

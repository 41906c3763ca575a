"""Ed25519 (RFC 8032) by libsodium: the same bytes as by OpenSSL, in half the time; signatures are deterministic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from audit.entry import kid_of

WORTH_A_THREAD = 16  # messages: about a third of a millisecond
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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

    def sign_all(self, messages: Sequence[bytes]) -> list[bytes]:
        """The signatures of many messages, on two cores where there are: libsodium runs beside the interpreter."""
        half = len(messages) // 2
        if half < WORTH_A_THREAD or CORES < 2:
            return [self.sign(message) for message in messages]
        later: list[bytes] = []
        helper = Thread(target=lambda: later.extend(self.sign(message) for message in messages[half:]))
        helper.start()
        sooner = [self.sign(message) for message in messages[:half]]
        helper.join()
        if len(sooner) + len(later) != len(messages):
            raise RuntimeError("signing ended half-way.")
        return sooner + later

    def __repr__(self) -> str:
        return f"SigningKey({self.kid[:16]}…)"

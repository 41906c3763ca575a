"""Ed25519 (RFC 8032) by libsodium: the same bytes as by OpenSSL, in half the time; signatures are deterministic."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from audit.entry import kid_of

WORTH_A_THREAD = 32  # messages: two thirds of a millisecond
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
        """The signatures of many messages, on two cores where there are: libsodium runs beside the interpreter.

        A second thread takes messages from the end while this one takes them from the beginning. Where it comes late,
        or never, this one signs what is left.
        """
        if len(messages) < WORTH_A_THREAD or CORES < 2:
            return [self.sign(message) for message in messages]
        made: dict[int, bytes] = {}
        left = deque(range(len(messages)))

        def work(take: Callable[[], int]) -> None:
            with suppress(IndexError):
                while True:
                    number = take()
                    made[number] = self.sign(messages[number])

        beside = _second_thread().submit(work, left.pop)
        work(left.popleft)
        if not beside.cancel():
            beside.result()
        return [made[number] for number in range(len(messages))]

    def __repr__(self) -> str:
        return f"SigningKey({self.kid[:16]}…)"


@cache
def _second_thread() -> ThreadPoolExecutor:
    """Kept, since to start one each time waits until it runs. In a forked process it never does."""
    return ThreadPoolExecutor(1, "countersign-signing")

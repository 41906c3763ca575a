"""The signer as the house sees it: a port. Keys stay on its far side (RECORD 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MEANINGS = (
    "authorship", "review", "approval", "responsibility", "adjudication",
    "execution", "acknowledgement", "witness", "rejection", "withdrawal",
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a person gives at the moment of signing: signing password and one-time code."""

    password: str
    code: str

    def __repr__(self) -> str:
        return "Proof(…)"


@dataclass(frozen=True, slots=True)
class Signature:
    """A key's id and its Ed25519 signature."""

    kid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key born with its holder; it counts once `key.enrolled` is recorded."""

    holder: str
    public_key: bytes
    kid: str
    certificate_sha256: str
    one_time_secret: str
    one_time_kind: str


class Signer(Protocol):
    """Holds log key, root key, service keys and personal keys; signs, and never hands a key out."""

    @property
    def origin(self) -> str:
        """The name that the record bears now: the origin of its notes and of what is signed for it."""
        ...

    def sign_continuation(self, old_size: int, entries: Sequence[bytes]) -> str:
        """The first note under the new origin that the first two entries, a pair of ledger.continued, name."""
        ...

    def sign_checkpoint(self, old_size: int, leaves: Sequence[bytes]) -> str:
        """The note over the committed tree plus `leaves`; refuses when old_size is not the committed size."""
        ...

    def public_key(self, holder: str) -> bytes:
        """Raw public key of `root`, `log` or a service."""
        ...

    def attest(self, holder: str, message: bytes) -> Signature:
        """A signature by root, log (proofs only) or a service key."""
        ...

    def new_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str = "time") -> NewKey:
        """Make a personal key under a signing password, with certificate and one-time secret."""
        ...

    def prove_new_person(self, user: str, password: str, message: bytes) -> Signature:
        """The new key's proof of possession, before any one-time code exists."""
        ...

    def forget_unenrolled(self, user: str) -> None:
        """Remove a key that never was enrolled, so that the enrolment can be tried again."""
        ...

    def renew_password(self, user: str, proof: Proof, new_password: str) -> None:
        """Keep the key under a new password. Raises NotAuthenticated as `sign_page` does."""
        ...

    def kid_of_person(self, user: str) -> str:
        """Key id of a person. Raises NotFound."""
        ...

    def factors_of(self, user: str) -> tuple[str, ...]:
        """What the person must give when signing."""
        ...

    def sign_page(self, user: str, proof: Proof, messages: Sequence[bytes]) -> list[Signature]:
        """Sign the bodies of one page. Raises NotAuthenticated; counts failures; refuses replays."""
        ...


def signature_is_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 (RFC 8032) over a DSSE pre-authentication encoding."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True

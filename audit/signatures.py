"""The signer as the house sees it: a port. Keys stay on its far side (RECORD 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from audit.lookout import Glance

MEANINGS = (
    "authorship", "review", "approval", "responsibility", "adjudication",
    "execution", "acknowledgement", "witness", "rejection", "withdrawal",
)
# The signer's name for the log's second key, under checkpoints that are time-stamped (RECORD 3).
LOG_BESIDE = "log-ml-dsa-44"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a person gives at the moment of signing: signing password and one-time code. The code is empty where a
    passkey answered for every body of the page; its assertion is then part of each body."""

    password: str
    code: str = ""

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


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """For which pages passkeys are taken: one web origin, and its host name as the id (W3C WebAuthn 5.1.2)."""

    id: str
    origin: str


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that a browser just made; it counts once `key.passkey_enrolled` is recorded.

    `public_key`: 32 bytes for `ed25519`, the uncompressed point of 65 bytes for `es256`. `synced`: the device may copy
    it to others of its holder.
    """

    credential: bytes
    algorithm: str
    public_key: bytes
    rp: str
    sign_count: int
    synced: bool


@dataclass(frozen=True, slots=True)
class OpenedPage:
    """Signatures over the documents of a page (ECDSA P-256 over SHA-256, DER), and the ticket for its bodies."""

    ticket: str
    signatures: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "OpenedPage(…)"


class Signer(Protocol):
    """Holds log key, root key, service keys and personal keys; signs, and never hands a key out."""

    @property
    def origin(self) -> str:
        """The name that the record bears now: the origin of its notes and of what is signed for it."""
        ...

    def sign_continuation(self, old_size: int, entries: Sequence[bytes]) -> str:
        """The first note under the new origin that the first two entries, a pair of ledger.continued, name."""
        ...

    def look_ahead(self) -> Glance | None:
        """Begin to look at what is committed, for the checkpoint of the transaction that holds the lock now.

        None where the look waits for the checkpoint itself.
        """
        ...

    def sign_checkpoint(
        self, old_size: int, leaves: Sequence[bytes], rotation: bytes | None = None, glance: Glance | None = None
    ) -> str:
        """The note over the committed tree plus `leaves`; refuses when old_size is not the committed size.

        Args:
            rotation: the entry among `leaves` that rotates the log key; the note is then signed by the new key.
            glance: the look that this very transaction began.
        """
        ...

    def sign_anchored(self, size: int) -> bytes | None:
        """The log's ML-DSA-44 line (without its name) under the committed checkpoint of this size; None without a key.
        """
        ...

    def public_key(self, holder: str) -> bytes:
        """Raw public key of `root`, `log`, `log-ml-dsa-44` or a service."""
        ...

    def has_house_key(self, holder: str) -> bool:
        """Whether the signer holds such a key."""
        ...

    def attest(self, holder: str, message: bytes) -> Signature:
        """A signature by root, log (proofs and its own rotation only) or a service key."""
        ...

    def attest_all(self, holder: str, messages: Sequence[bytes]) -> list[Signature]:
        """The same over several messages, in their order."""
        ...

    def next_house_key(self, holder: str) -> bytes:
        """Make a key that is to replace one of the house; it is on disk when its raw public half is returned."""
        ...

    def attest_next(self, holder: str, kid: str, message: bytes) -> Signature:
        """The proof of a key made by `next_house_key`."""
        ...

    def discard_replaced(self, klass: str, holder: str) -> None:
        """Destroy the old private half once the rotation is committed; nothing where there is none."""
        ...

    def new_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str = "time") -> NewKey:
        """Make a personal key under a signing password, with certificate and one-time secret."""
        ...

    def next_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str | None = None) -> NewKey:
        """Make the key that is to replace a person's; it is on disk when this returns, and signs nothing before its
        entry is committed. The second factor stays where no kind is given (`one_time_secret` is then empty)."""
        ...

    def prove_next_person(self, user: str, kid: str, password: str, message: bytes) -> Signature:
        """The proof of a key made by `next_person`."""
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

    def relying_party(self) -> RelyingParty | None:
        """For which pages this signer takes passkeys; None where it takes none."""
        ...

    def read_passkey(self, challenge: bytes, client_data: bytes, attestation_object: bytes) -> NewPasskey:
        """What a browser made for one of our pages, the user verified. Raises UnusableInput; keeps nothing."""
        ...

    def certificate_of(self, user: str) -> str:
        """The person's P-256 certificate, PEM."""
        ...

    def certificate_of_authority(self) -> str:
        """The certificate (PEM) of the installation's own authority, which issues those of persons."""
        ...

    def open_page(self, user: str, proof: Proof, documents: Sequence[bytes]) -> OpenedPage:
        """Unlock once for a page with documents, and sign these with the key of the person's certificate; the bodies,
        which name the signed documents, follow by `close_page` within 30 s. Raises NotAuthenticated as `sign_page`."""
        ...

    def close_page(self, user: str, ticket: str, messages: Sequence[bytes]) -> list[Signature]:
        """Sign the bodies of an opened page, once. Raises NotAuthenticated where the ticket is used or too old."""
        ...

    def sign_page(self, user: str, proof: Proof, messages: Sequence[bytes]) -> list[Signature]:
        """Sign the bodies of one page, against the one-time code or the passkey's assertion in each of them.

        Raises NotAuthenticated; counts failures; refuses replays.
        """
        ...


def signature_is_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 (RFC 8032) over a DSSE pre-authentication encoding."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True

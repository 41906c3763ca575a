"""What reads need from outside: somebody who keeps the secrets of seals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.errors import OutsideUnavailable
from core.reads.sealing import Sealed


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """A fresh recovery key: its public half, and the one share that is told now. Both shares together open a backup."""

    public_key: bytes
    share: str

    def __repr__(self) -> str:
        return "RecoveryKey(…)"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery found: secrets written back, secrets that were sound, and copies that did not open."""

    restored: int
    sound: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class SealState:
    """Of the secrets at rest: how many there are, and how many of them have no copy under the recovery key in force.

    `recovery_key` is the SHA-256 of its public half in hex, or None where no recovery key is in force.
    """

    secrets: int
    without_copy: int
    recovery_key: str | None


@runtime_checkable
class SealKeeper(Protocol):
    """Keeps the secret of each seal on the signer's side, and releases it only when it finds every required seal
    in committed entries (RECORD 5)."""

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        """Seal under a fresh secret, stored durably, and as a copy under the recovery key, before this returns. The
        same occasion and plaintext give the same seal; the same occasion with another plaintext is refused.

        Raises OutsideUnavailable where no recovery key is in force.
        """
        ...

    def enclose(self, commit: str, name: str, data: bytes) -> bytes:
        """Encrypt an object of a sealed read under its seal's key. Raises RecordDamaged where the secret is lost."""
        ...

    def levels_inside(self, job: bytes) -> tuple[bool, int, int]:
        """Judge the drift of studies whose answers are enclosed: whether it can be told, level of inputs and outputs.

        Raises Refused where so few are enclosed that a level would tell of one, RecordDamaged where a secret is lost.
        """
        ...

    def verdict_inside(self, job: bytes) -> str:
        """Judge the agreement of two locks over enclosed answers: passed, failed or too_few. As levels_inside."""
        ...

    def release(
        self, trial: str, subject: str, time_point: str, sealed: Sequence[str]
    ) -> Sequence[tuple[str, str, str]]:
        """(id of the sealed entry, key, nonce), base64, of the named seals of a time point, marks included.

        Raises Refused while a required seal is not committed, unless the data are locked or QA and imaging lead have
        both signed that exactly these seals open.
        """
        ...

    def new_recovery_key(self) -> RecoveryKey:
        """Make a recovery key that is not in force yet, and tell the first of its two shares."""
        ...

    def second_share(self, public_key: bytes) -> str:
        """The other share of a recovery key that waits to be put in force. Raises NotFound."""
        ...

    def put_in_force(self, public_key: bytes, entry: str) -> int:
        """Wrap every secret for this key from now on; the committed entry must enrol it. Forgets both shares.

        Returns how many secrets were wrapped anew. Raises Refused where the entry does not bear it out.
        """
        ...

    def offer_share(self, share: str) -> None:
        """Keep the first of two shares for 15 minutes. Raises UnusableInput for a share that was mistyped."""
        ...

    def check_shares(self, share: str) -> None:
        """Raises UnusableInput where this share does not fit the one that was offered, or that one is too old."""
        ...

    def recover(self, share: str, entry: str) -> Recovered:
        """Join both shares and write back every secret that is lost or damaged; the entry is the second signature.

        Raises UnusableInput where the shares do not fit, Refused where two persons did not sign.
        """
        ...

    def state_of_seals(self) -> SealState:
        """What is at rest, for those who look after the installation."""
        ...


def keeper_of(signer: object) -> SealKeeper:
    """The signer as keeper of seals. Raises OutsideUnavailable where this signer keeps none."""
    if not isinstance(signer, SealKeeper):
        raise OutsideUnavailable("This installation's signer keeps no seals.", next_step="Use a signer that does.")
    return signer

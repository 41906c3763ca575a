"""What reads need from outside: somebody who keeps the secrets of seals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from core.errors import OutsideUnavailable
from core.reads.sealing import Sealed


@runtime_checkable
class SealKeeper(Protocol):
    """Keeps the secret of each seal on the signer's side, and releases it only when it finds every required seal
    in committed entries (RECORD 5)."""

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        """Seal under a fresh secret, stored durably before this returns. The same occasion and plaintext give the
        same seal; the same occasion with another plaintext is refused."""
        ...

    def release(
        self, trial: str, subject: str, time_point: str, sealed: Sequence[str]
    ) -> Sequence[tuple[str, str, str]]:
        """(id of the sealed entry, key, nonce), base64, of the named seals of a time point, marks included.

        Raises Refused while a required seal is not committed.
        """
        ...


def keeper_of(signer: object) -> SealKeeper:
    """The signer as keeper of seals. Raises OutsideUnavailable where this signer keeps none."""
    if not isinstance(signer, SealKeeper):
        raise OutsideUnavailable("This installation's signer keeps no seals.", next_step="Use a signer that does.")
    return signer

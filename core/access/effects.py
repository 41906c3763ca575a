"""What follows from a word about keys: the private half that was replaced is destroyed."""

from __future__ import annotations

from audit.vocabulary.ledger import KeyRotated
from core.outbox import follows
from core.projection import Recorded
from core.work import Desk


@follows(KeyRotated, "discard-old-key")
def discard_replaced_key(desk: Desk, entry: Recorded, event: KeyRotated) -> None:
    """Only now, since the entry is committed; doing it twice changes nothing."""
    desk.signer.discard_replaced(event.klass, event.holder)

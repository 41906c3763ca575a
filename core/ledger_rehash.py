"""The yearly second hash: the tree over the same bytes with SHA3-512, stated by an entry (RECORD 3)."""

from __future__ import annotations

from audit.entry import base64_text
from audit.ledger import Receipt
from audit.verifier import SECOND_HASH, SecondTree, Tree, leaf_hash
from audit.vocabulary.ledger import LedgerRehashed
from core.errors import AlreadyDone, RecordDamaged
from core.ledger_queries import Reader, SessionReader, exact_bytes, newest_note
from core.policy.state import Actor, Decision
from core.work import Desk

YEAR_US = 365 * 24 * 3600 * 1_000_000


def rehash(desk: Desk, *, under: Decision, on_behalf_of: str) -> tuple[Receipt, int]:
    """Read every entry once, in constant memory and without the lock, and record the root under the second hash.

    Returns the receipt and how many entries it covers.

    Raises:
        RecordDamaged: the bytes do not lead to the newest checkpoint; nothing is stated about them.
        AlreadyDone: nothing was recorded since the last one.
    """
    with desk.reading() as session:
        reader = SessionReader(session)
        note = newest_note(reader)
        newest = next(reader.rows("SELECT action FROM entry WHERE seq = :seq", seq=note.size - 1))[0]
        if newest == "ledger.rehashed":
            raise AlreadyDone("Nothing was recorded since the last second hash.")
        first, second = Tree(), SecondTree()
        for raw in exact_bytes(reader, note.size):
            first.append(leaf_hash(raw))
            second.append(raw)
    if (first.size, first.root()) != (note.size, note.root):
        raise RecordDamaged(f"The stored entries do not lead to the checkpoint of {note.size} entries.")
    with desk.open(Actor.of_service("house"), on_behalf_of=on_behalf_of, asked="ledger.rehash") as work:
        work.record(
            LedgerRehashed(size=second.size, algorithm=SECOND_HASH, root=base64_text(second.root())), under=under)
    return work.receipts[0], second.size


def rehash_is_due(reader: Reader, now_us: int) -> str | None:
    """In words, when the newest second hash is older than a year, or a year-old record has none; else None."""
    sql = "SELECT ts FROM entry WHERE action = 'ledger.rehashed' ORDER BY seq DESC LIMIT 1"
    last = next(reader.rows(sql), None)
    since = last or next(reader.rows("SELECT ts FROM entry WHERE seq = 0"), None)
    if since is None or now_us - since[0] <= YEAR_US:
        return None
    days = (now_us - since[0]) // (YEAR_US // 365)
    return (f"The newest second hash over the entries is {days} days old." if last
            else f"The record is {days} days old and has no second hash over its entries.")

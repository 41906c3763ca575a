"""append(): the one place where an entry is written. Its one caller is core/work.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit import store
from audit.entry import Entry, SignedBody, canonical, check_members, entry_bytes, stream_of


class IdTaken(ValueError):
    """The same id with another body."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the one who acted gets: where the entry stands, and the note that covers it."""

    seq: int
    id: str
    action: str
    leaf: bytes
    ts: int
    note: str


SignCheckpoint = Callable[[int, Sequence[bytes]], str]


def append(
    session: Connection, signed: Sequence[SignedBody], *, now: Callable[[], int],
    standing: store.Standing | None = None, fresh: bool = False,
) -> tuple[list[Entry], list[Entry]]:
    """Write signed bodies in order, inside the caller's transaction, which ends with `close`.

    The caller holds the sequencer's lock. Returns the entry of each body, and of these the ones that are new; a body
    already recorded with the same bytes gives its first entry again (RECORD 2).

    Args:
        now: the clock; asked for each entry, under this lock.
        standing: what the caller, under this lock, has just read of the record for the stream of the first body.
        fresh: every id was made under this lock, so none of them can be a retry.

    Raises:
        IdTaken: an id is recorded with another body.
        MalformedEntry: a body breaks the profile or grows too large.
    """
    made: list[Entry] = []
    given: list[Entry] = []
    if not signed:
        return given, made
    first = signed[0].body
    check_members(first)
    stream = stream_of(first["action"], first.get("trial"))
    now_is = standing or store.standing(session, stream)
    size, last_ts = now_is.size, now_is.last_ts
    next_in_stream: dict[str, int] = {stream: now_is.next_in_stream}
    known = {} if fresh else store.entries_by_id(session, [one.body["id"] for one in signed])
    for one in signed:
        body = one.body
        check_members(body)
        body_bytes = one.payload or canonical(body, "body")
        earlier = known.get(body["id"])
        if earlier is not None:
            if canonical(earlier.body) != body_bytes:
                raise IdTaken(f"id {body['id']} is already recorded with another body.")
            given.append(earlier)
            continue
        stream = stream_of(body["action"], body.get("trial"))
        number = next_in_stream.get(stream)
        if number is None:
            number = store.next_in_stream(session, stream)
        last_ts = max(now(), last_ts + 1)
        seq = size + len(made)
        raw = entry_bytes(one, seq=seq, stream=stream, stream_seq=number, ts=last_ts, body=body_bytes)
        entry = Entry.made(raw, body, one.kid, seq, one.sig, stream, number, last_ts)
        known[body["id"]] = entry
        next_in_stream[stream] = number + 1
        made.append(entry)
        given.append(entry)
    store.add_entries(session, made)
    return given, made


def close(session: Connection, sign_checkpoint: SignCheckpoint, made: Sequence[Entry] | None = None) -> str | None:
    """Cover everything appended since the last checkpoint by full tiles and one note; None where nothing was.

    `made`: all entries that this transaction appended, where the caller kept them; saves reading them back. The signer
    signs no note that does not begin at the committed size, so a wrong list ends the transaction.
    """
    if made is None:
        last = store.last_checkpoint(session)
        covered = last.size if last else 0
        size, _ = store.head(session)
        leaves = store.tile_row(session, 0, covered, size - covered) if size > covered else []
    else:
        covered = made[0].seq if made else 0
        size, leaves = covered + len(made), [entry.leaf for entry in made]
    if not leaves:
        return None
    store.add_full_tiles(session, covered, size)
    note = sign_checkpoint(covered, leaves)
    store.add_checkpoint(session, store.noted(note))
    return note


def receipt_of(entry: Entry, note: str) -> Receipt:
    """The receipt of an entry that this very transaction recorded, under its note."""
    return Receipt(entry.seq, entry.body["id"], entry.body["action"], entry.leaf, entry.ts, note)


def receipt_for(session: Connection, entry: Entry) -> Receipt:
    """The receipt of a recorded entry: the oldest note that covers it."""
    row = session.execute(
        select(store.checkpoints.c.note).where(store.checkpoints.c.size > entry.seq)
        .order_by(store.checkpoints.c.size).limit(1)
    ).one()
    return Receipt(entry.seq, entry.body["id"], entry.body["action"], entry.leaf, entry.ts, str(row.note))

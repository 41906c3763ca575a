"""Bundles out of a live ledger: first the export is an entry, then the bundle that ends with it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import bundle
from audit.vocabulary.ledger import ExportMade, StreamEnd
from core.errors import NotFound, UnusableInput
from core.ledger_evidence import keys_on_record
from core.ledger_queries import Reader, ReadNodes, SessionReader, former_origins, line_at, newest_note, sentences
from core.ledger_words import sentence_of
from core.policy.state import Actor, Decision

if TYPE_CHECKING:
    from core.work import Desk

PAGE = 500
CACHED_NODES = 65_536


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: everything, one trial, or chosen entries (always with all of the stream keys).

    `house` adds the house's own stream to a trial's: locks, validation and training, which a paper rests on, too.
    Without a trial it is the house's alone.
    """

    trial: str | None = None
    seqs: tuple[int, ...] = ()
    leaves: bool = True
    house: bool = False

    @property
    def kind(self) -> str:
        return bundle.CHOSEN if self.seqs else bundle.STREAMS if self.trial or self.house else bundle.WHOLE

    def in_words(self) -> str:
        if self.seqs:
            return "entries " + ", ".join(str(seq) for seq in self.seqs)
        if self.house and not self.trial:
            return "the house"
        own = " and the house" if self.house else ""
        return f"trial {self.trial}{own}" if self.trial else "the whole ledger"


def export(
    desk: Desk, wish: Wish, out: Path, *, under: Decision, on_behalf_of: str,
    hidden: Callable[[dict[str, Any]], str | None] | None = None,
) -> bundle.Written:
    """Record the export and write its bundle at `out`.

    Args:
        under: the decision that allowed it; asked by the caller, who knows the person.
        hidden: the rule by which an entry is withheld from the addressee, or None.

    Raises:
        UnusableInput: trial or entries are not on record, or `out` exists.
    """
    if out.exists():
        raise UnusableInput(f"{out} exists already.", next_step="Name a new file; nothing was exported.")
    if not out.parent.is_dir():
        raise UnusableInput(f"The folder {out.parent} is not there.", next_step="Make it first; nothing was exported.")
    with desk.open(Actor.of_service("house"), on_behalf_of=on_behalf_of, asked="ledger.export") as work:
        reader = SessionReader(work.session)
        streams = _streams(wish, reader, _stream_ends(reader))
        size = next(reader.rows("SELECT count(*) FROM entry"))[0]
        ends = tuple(StreamEnd(stream=name, next=due) for name, due in streams)
        entry = work.record(ExportMade(scope=wish.in_words(), streams=ends, size=size), under=under)
    with desk.reading() as session:
        reader = SessionReader(session)
        selection = bundle.Selection(wish.kind, streams, entry.seq, frozenset(wish.seqs), hidden,
                                     wish.leaves or wish.kind == bundle.WHOLE, _demonstrations(reader))
        note = newest_note(reader, entry.seq + 1)
        cosigned = note.note + "".join(_cosignatures(reader, note.size))
        anchors = _seen_outside(reader, note.size)
        return bundle.write_bundle(StoreSource(reader), cosigned, selection, out, sentence=sentence_by(reader),
                                   anchors=anchors)


def _demonstrations(reader: Reader) -> frozenset[str]:
    """Trials that were created as demonstrations."""
    rows = reader.rows("SELECT data FROM entry WHERE action = 'trial.created' ORDER BY seq")
    bodies = [json.loads(bytes(row[0]))["body"] for row in rows]
    return frozenset(body["trial"] for body in bodies if body["fields"].get("demonstration"))


def _cosignatures(reader: Reader, size: int) -> list[str]:
    rows = reader.rows("SELECT line FROM cosignature WHERE size = :size ORDER BY witness", size=size)
    return [str(row[0]).rstrip("\n") + "\n" for row in rows]


def _seen_outside(reader: Reader, size: int) -> list[tuple[str, bytes]]:
    """The newest notes up to this size that a witness cosigned or an authority stamped, with what they gave.

    The record cannot have been cut or exchanged before them; the export's own checkpoint is too young to have any.
    """
    found: dict[str, bytes] = {}
    for table in ("cosignature", "anchor"):
        newest = next(reader.rows(f"SELECT max(size) FROM {table} WHERE size <= :size", size=size))[0]  # noqa: S608
        if newest is None:
            continue
        earlier = newest_note(reader, newest)
        own = earlier.note + _own_second_line(reader, newest, earlier.note.partition("\n")[0])
        found[f"{newest}.note"] = (own + "".join(_cosignatures(reader, newest))).encode()
        sql = "SELECT token FROM anchor WHERE size = :size ORDER BY authority"
        for number, row in enumerate(reader.rows(sql, size=newest)):
            found[f"{newest}-{number}.tsr"] = bytes(row[0])
    return sorted(found.items())


def _own_second_line(reader: Reader, size: int, origin: str) -> str:
    """The log's ML-DSA-44 line under an anchored note, as the entry of the anchor holds it; empty where none is."""
    sql = "SELECT data FROM entry WHERE action = 'ledger.anchored' AND seq >= :size ORDER BY seq"
    for row in reader.rows(sql, size=size):
        fields = json.loads(bytes(row[0]))["body"]["fields"]
        if fields["size"] == size and "log_signature" in fields:
            return f"— {origin} {fields['log_signature']}\n"
    return ""


def _stream_ends(reader: Reader) -> dict[str, int]:
    sql = "SELECT stream, max(stream_seq) + 1 FROM entry GROUP BY stream ORDER BY stream"
    return {str(name): int(due) for name, due in reader.rows(sql)}


def _streams(wish: Wish, reader: Reader, ends: dict[str, int]) -> tuple[tuple[str, int], ...]:
    if wish.seqs:
        for seq in wish.seqs:
            try:
                line_at(reader, seq)
            except NotFound as missing:
                raise UnusableInput(missing.fact, next_step="Nothing was exported.") from missing
        return (("keys", ends["keys"]),)
    if wish.trial is None and not wish.house:
        return tuple(ends.items())
    if wish.trial is None:
        return tuple((one, ends[one]) for one in ("house", "keys") if one in ends)
    name = f"trial/{wish.trial}"
    if name not in ends:
        raise UnusableInput(f"Nothing of a trial {wish.trial!r} is on record.", next_step="Nothing was exported.")
    return tuple((one, ends[one]) for one in (*(("house",) if wish.house and "house" in ends else ()), "keys", name))


def sentence_by(reader: Reader) -> Callable[[dict[str, Any]], str]:
    """Says one plain sentence about an entry, by the vocabulary on record."""
    said = sentences(reader)
    return lambda entry: sentence_of(entry["body"], said)


class StoreSource:
    """The record as `audit.bundle` reads it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._nodes = ReadNodes(reader, newest_note(reader).size)
        self._kept: dict[tuple[int, int], bytes] = {}

    def entries(self) -> Iterator[tuple[int, bytes]]:
        return ((row[0], bytes(row[1])) for row in self._pages("data"))

    def leaves(self, size: int) -> Iterator[bytes]:
        for seq, leaf in self._pages("leaf"):
            if seq >= size:
                return
            yield bytes(leaf)

    def node(self, level: int, index: int) -> bytes:
        """Upper nodes are asked for again and again while proofs are written in order; they are kept."""
        key = (level, index)
        if key not in self._kept:
            if len(self._kept) >= CACHED_NODES:
                self._kept.clear()
            self._kept[key] = self._nodes.node(level, index)
        return self._kept[key]

    def _pages(self, column: str) -> Iterator[Any]:
        low = 0
        while True:
            sql = f"SELECT seq, {column} FROM entry WHERE seq >= :low ORDER BY seq LIMIT :many"  # noqa: S608
            rows = list(self._reader.rows(sql, low=low, many=PAGE))
            yield from rows
            if len(rows) < PAGE:
                return
            low = rows[-1][0] + 1


def card(reader: Reader, origin: str) -> bytes:
    """The trust card of this ledger: origin, earlier origins, first entry, root key, the witnesses enrolled so far."""
    first = line_at(reader, 0)
    witnesses = [(key.holder, key.public) for key in keys_on_record(reader).values()
                 if key.klass == "witness" and key.ended is None]
    root_key = base64.b64decode(first.body["fields"]["public_key"])
    return bundle.trust_card(origin, first.leaf, root_key, witnesses, former_origins(reader))

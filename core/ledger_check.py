"""A live ledger checked row by row with the steps of the stand-alone verifier, and its tables against its bytes.

The verifier judges the entries; here every column, leaf, tile, note and protection beside them is compared with what
the entries say. Nothing is taken from the database but the bytes under test.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from audit.verifier import Checker, Doubted, Wrong, check_rehashes, doubted_keys, node_hash, parse_note
from core.errors import OutsideUnavailable
from core.ledger_queries import Reader, exact_bytes

PAGE = 500
TILE = 256
# Heads may lag by this many entries; the sizes of notes are remembered that far back.
MEMORY = 65_537
COLUMNS = ("ts", "eid", "stream", "stream_seq", "actor", "on_behalf_of", "action", "trial", "subject", "study", "model",
           "reason")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something the record disagrees about: which entry (None: the store as a whole), where, and what."""

    seq: int | None
    place: str
    reason: str

    def in_words(self) -> str:
        where = f"entry {self.seq}, " if self.seq is not None else ""
        return f"{where}{self.place}: {self.reason}"


@dataclass(slots=True)
class Check:
    """The outcome."""

    origin: str
    entries: int = 0
    signatures: int = 0
    checkpoints: int = 0
    tiles: int = 0
    root: str = ""
    genesis_leaf: str = ""
    root_key: str = ""
    continued: list[str] = field(default_factory=list)
    doubted: list[Doubted] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults

    @property
    def first(self) -> Fault | None:
        """The fault with the lowest entry number."""
        return min(self.faults, key=lambda one: (one.seq is None, one.seq or 0), default=None)

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok, "first": asdict(self.first) if self.first else None}

    def in_words(self) -> str:
        head = (f"{self.entries} entries, {self.signatures} signatures and proofs, {self.checkpoints} checkpoints, "
                f"{self.tiles} tiles of {self.origin}")
        if self.first is None:
            known = "".join(f"Continued: {one}.\n" for one in self.continued)
            known += "".join(f"To be looked at: {one.in_words()}.\n" for one in self.doubted)
            return (f"The record agrees: {head}.\nroot {self.root}\n{known}"
                    "Not visible from inside: entries that were never written, loss of the newest entries together "
                    "with their checkpoints, a database rolled back as a whole. A witness, an anchor or an exported "
                    "bundle shows these.")
        more = [f"also {one.in_words()}" for one in self.faults if one is not self.first][:20]
        return "\n".join([f"THE RECORD DISAGREES. First bad: {self.first.in_words()}", *more, f"Looked at {head}."])


def check_store(reader: Reader, origin: str, *, jobs: int = 1) -> Check:
    """Read the whole ledger once, in constant memory, and say what disagrees."""
    return _Pass(reader, origin, jobs).run()


class _Pass:
    def __init__(self, reader: Reader, origin: str, jobs: int) -> None:
        self.reader = reader
        self.check = Check(origin)
        self.checker = Checker(origin, jobs)
        self.tiles = _Tiles(reader, self.fault)
        self.sizes: set[int] = {0}
        self.anchored = 0
        notes = "SELECT size, root, note FROM checkpoint WHERE size >= :low ORDER BY size LIMIT :many"
        self._notes = self._pages(notes)
        self._next_note: Any = None

    def fault(self, seq: int | None, place: str, reason: str) -> None:
        if len(self.check.faults) < 1000:
            self.check.faults.append(Fault(seq, place, reason))

    def run(self) -> Check:
        try:
            self._next_note = next(self._notes, None)
            self._entries()
            self.checker.finish()
            check_rehashes(self.checker.rehashes, exact_bytes(self.reader) if self.checker.rehashes else iter(()))
        except Wrong as wrong:
            first = self.checker.first_of(wrong)
            self.fault(first.seq, "data", first.reason)
        except OutsideUnavailable as broken:
            # A damaged page ends the reading: what comes after it is unknown, which is a fault.
            for late in self.checker.outstanding():
                self.fault(late.seq, "data", late.reason)
            self.fault(self.checker.tree.size, "file", broken.fact)
        else:
            self._end()
            self._outside()
            self.check.doubted = doubted_keys(self.checker.registry, lambda: exact_bytes(self.reader))
        try:
            self._protections()
        except OutsideUnavailable as broken:
            self.fault(None, "file", broken.fact)
        check, checker = self.check, self.checker
        check.entries, check.signatures, check.tiles = checker.count, checker.signatures.count, self.tiles.seen
        check.continued = [one.in_words() for one in checker.origins.past]
        check.root, check.genesis_leaf = checker.tree.root().hex(), checker.genesis_leaf.hex()
        if checker.genesis_key:
            check.root_key = base64.b64encode(checker.genesis_key.public).decode()
        return check

    def _pages(self, sql: str) -> Iterator[Any]:
        low = 0
        while True:
            rows = list(self.reader.rows(sql, low=low, many=PAGE))
            yield from rows
            if len(rows) < PAGE:
                return
            low = rows[-1][0] + 1

    def _entries(self) -> None:
        columns = ", ".join(COLUMNS)
        sql = f"SELECT seq, data, leaf, {columns} FROM entry WHERE seq >= :low ORDER BY seq LIMIT :many"  # noqa: S608
        for row in self._pages(sql):
            seq, data, stored_leaf = row[:3]
            if not isinstance(data, bytes | memoryview):
                raise Wrong(3, f"data is {type(data).__name__}, not bytes", seq)
            if seq != self.checker.tree.size:
                raise Wrong(4, f"row {seq} stands where entry {self.checker.tree.size} is due", self.checker.tree.size)
            entry, leaf = self.checker.take(bytes(data))
            if not isinstance(stored_leaf, bytes | memoryview) or bytes(stored_leaf) != leaf:
                self.fault(seq, "column leaf", "it is not the hash of the entry")
            for name, stored, true in zip(COLUMNS, row[3:], _columns(entry), strict=True):
                if stored != true or type(stored) is not type(true):
                    self.fault(seq, f"column {name}", f"it says {stored!r}, the entry says {true!r}")
            head = entry["body"]["head"]["size"]
            if head not in self.sizes:
                self.fault(seq, "checkpoint", f"its signer saw the note of size {head}, which is gone")
            if entry["body"]["action"] == "ledger.anchored":
                self._stamp(seq, entry["body"]["fields"])
            self.checker.tree.append(leaf)
            self.tiles.add(leaf)
            self._note_at(seq + 1)

    def _note_at(self, size: int) -> None:
        while self._next_note is not None and self._next_note[0] <= size:
            self._judge_note(*self._next_note)
            self._next_note = next(self._notes, None)
        if len(self.sizes) > 2 * MEMORY:
            self.sizes = {one for one in self.sizes if one >= size - MEMORY}

    def _judge_note(self, size: int, root: Any, text: str) -> None:
        self.check.checkpoints += 1
        tree = self.checker.tree
        last = tree.size - 1
        try:
            note = parse_note(text.encode())
        except (ValueError, AttributeError, TypeError) as problem:
            self.fault(last, "checkpoint", f"the note of size {size} {problem}")
            return
        due = self.checker.origins.of_note(size)
        if (note.origin, note.size) != (due, size) or size != tree.size:
            self.fault(last, "checkpoint", f"the note stored as size {size} is of {note.origin!r}, size {note.size}")
        elif note.root != tree.root() or not isinstance(root, bytes | memoryview) or bytes(root) != note.root:
            self.fault(last, "checkpoint", f"the note or root of size {size} is not of these entries")
        elif self.checker.registry.log_key_of(note) is None:
            self.fault(last, "checkpoint", f"the note of size {size} is not signed by a log key in force")
        self.sizes.add(size)

    def _end(self) -> None:
        size = self.checker.tree.size
        if self._next_note is not None:
            self.fault(None, "checkpoint", f"a note covers {self._next_note[0]} entries; only {size} are there")
        elif size not in self.sizes:
            self.fault(size - 1, "checkpoint", "no note covers the newest entries")
        self.tiles.end()

    def _outside(self) -> None:
        """What a witness or an authority gave must belong to a note that is still there."""
        for table in ("cosignature", "anchor"):
            sql = (f"SELECT size FROM {table} WHERE size NOT IN (SELECT size FROM checkpoint) "  # noqa: S608  constants
                   "ORDER BY size LIMIT 20")
            for (size,) in list(self.reader.rows(sql)):
                self.fault(None, table, f"it is of the note of size {size}, which is gone")
        number = next(self.reader.rows("SELECT count(*) FROM anchor"))[0]
        if number != self.anchored:
            self.fault(None, "anchor", f"{number} time stamps are stored where entries name {self.anchored}")

    def _stamp(self, seq: int, fields: dict[str, Any]) -> None:
        self.anchored += 1
        sql = "SELECT token FROM anchor WHERE size = :size AND authority = :authority"
        stored = next(self.reader.rows(sql, size=fields.get("size"), authority=fields.get("authority")), None)
        token = fields.get("token")
        digest = token.get("sha256") if isinstance(token, dict) else None
        if stored is None or not isinstance(stored[0], bytes | memoryview) or (
                hashlib.sha256(stored[0]).hexdigest() != digest):
            self.fault(seq, "anchor", "the time stamp that it names is gone or another")

    def _protections(self) -> None:
        """What the database itself must refuse, as the release made it; and that its indexes hide no row."""
        from core.ledger_schema import deviations

        for said in deviations(self.reader):
            self.fault(None, "schema", said)
        if self.reader.dialect == "sqlite":
            for (said,) in list(self.reader.rows("PRAGMA integrity_check(20)")):
                if said != "ok":
                    self.fault(None, "file", f"SQLite says: {said}")


class _Tiles:
    """Compares every stored tile with the leaves, level by level, as they fill."""

    def __init__(self, reader: Reader, fault: Any) -> None:
        self._reader, self._fault = reader, fault
        self._open: list[list[bytes]] = [[]]
        self._done: list[int] = [0]
        self.seen = 0
        self._size = 0

    def add(self, leaf: bytes) -> None:
        self._size += 1
        self._push(0, leaf)

    def _push(self, level: int, node: bytes) -> None:
        if level == len(self._open):
            self._open.append([])
            self._done.append(0)
        row = self._open[level]
        row.append(node)
        if len(row) < TILE:
            return
        tree = _subtree(row)
        sql = "SELECT data, root FROM tile WHERE level = :level AND idx = :idx"
        stored = next(self._reader.rows(sql, level=level, idx=self._done[level]), None)
        place = f"tile {level}/{self._done[level]}"
        if stored is None:
            self._fault(self._size - 1, place, "it is missing")
        else:
            self.seen += 1
            if not isinstance(stored[0], bytes | memoryview) or bytes(stored[0]) != b"".join(row):
                self._fault(self._size - 1, place, "its hashes are not those of the entries")
            if not isinstance(stored[1], bytes | memoryview) or bytes(stored[1]) != tree:
                self._fault(self._size - 1, place, "its root is not that of the entries")
        self._done[level] += 1
        self._open[level] = []
        self._push(level + 1, tree)

    def end(self) -> None:
        number = next(self._reader.rows("SELECT count(*) FROM tile"))[0]
        if number > sum(self._done):
            self._fault(None, "tile", f"{number} tiles are stored where {sum(self._done)} are full")


def _subtree(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _columns(entry: dict[str, Any]) -> tuple[Any, ...]:
    """What the columns must say, in the order of COLUMNS; written apart from audit/store.py on purpose."""
    body = entry["body"]
    fields = body["fields"]

    def text(*names: str) -> str | None:
        return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)

    return (entry["ts"], body["id"], entry["stream"], entry["stream_seq"], body["actor"], body.get("on_behalf_of"),
            body["action"], body.get("trial"), text("subject"), text("study"), text("lock", "model"),
            body.get("reason"))

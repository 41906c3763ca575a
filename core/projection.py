"""Read-models: tables folded from the words in the same transaction, rebuilt and compared at will."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, MetaData, Table, create_engine, delete, insert, select

from audit.entry import Entry
from audit.vocabulary.registry import ObjectRef, event_from
from core.errors import RecordDamaged

metadata = MetaData()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The envelope of an entry as folds and effects see it."""

    seq: int
    id: str
    ts: int
    at: str
    actor: str
    role: str
    rule: str
    kid: str
    leaf: bytes
    trial: str | None = None
    reason: str | None = None
    on_behalf_of: str | None = None
    caused_by: str | None = None
    manifest: dict[str, Any] | None = None

    @classmethod
    def of(cls, entry: Entry) -> Recorded:
        body = entry.body
        return cls(
            seq=entry.seq, id=body["id"], ts=entry.ts, at=body["at"], actor=body["actor"], role=body["role"],
            rule=body["rule"], kid=entry.kid, leaf=entry.leaf, trial=body.get("trial"), reason=body.get("reason"),
            on_behalf_of=body.get("on_behalf_of"), caused_by=body.get("caused_by"), manifest=body.get("manifest"),
        )

    @property
    def person(self) -> str:
        """Whose deed it is: the one it was attested for, else the signer."""
        return self.on_behalf_of or self.actor


Fold = Callable[[Connection, Recorded, Any], None]
_FOLDS: dict[type, list[Fold]] = defaultdict(list)


def projects(*words: type) -> Callable[[Fold], Fold]:
    """Register a fold for words. A fold sees its event and its own tables only; no clock, no chance."""

    def register(fold: Fold) -> Fold:
        for word in words:
            _FOLDS[word].append(fold)
        return fold

    return register


def apply(session: Connection, entry: Entry) -> Any:
    """Fold one entry into the tables of this connection; returns its event."""
    event = event_from(entry.body["action"], entry.body["version"], entry.body["fields"])
    recorded = Recorded.of(entry)
    for fold in _FOLDS[type(event)]:
        fold(session, recorded, event)
    return event


@dataclass(frozen=True, slots=True)
class Difference:
    """Which tables differ between the live read-models and a fresh fold of the ledger."""

    tables: tuple[str, ...]
    entries: int

    @property
    def none(self) -> bool:
        return not self.tables

    def in_words(self) -> str:
        if self.none:
            return f"{self.entries} entries folded; every table equals its rebuilt twin."
        return f"{self.entries} entries folded; these tables differ from the record: {', '.join(self.tables)}."


def table_digest(session: Connection, table: Table) -> str:
    """SHA-256 over the rows in the order of all their columns."""
    rows = sorted(orjson.dumps([_portable(value) for value in row]) for row in session.execute(select(table)))
    return hashlib.sha256(b"\n".join(rows)).hexdigest()


def _portable(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def compare(session: Connection, stream: Iterable[Entry]) -> Difference:
    """Fold the given entries into fresh tables in memory and compare digests with the live ones."""
    fresh_engine = create_engine("sqlite://")
    metadata.create_all(fresh_engine)
    count = 0
    with fresh_engine.begin() as fresh:
        for entry in stream:
            apply(fresh, entry)
            count += 1
        tables = tuple(
            table.name for table in metadata.sorted_tables if table_digest(fresh, table) != table_digest(session, table)
        )
    fresh_engine.dispose()
    return Difference(tables, count)


@contextmanager
def folded(stream: Iterable[Entry]) -> Iterator[tuple[Connection, int]]:
    """The read-models of the given entries alone, in a database of their own that goes when the block ends.

    Gives its connection and how many entries were folded. The tables lie in a temporary file: a long ledger's state
    need not fit into memory.
    """
    with tempfile.TemporaryDirectory(prefix="countersign-state-") as folder:
        engine = create_engine(f"sqlite:///{folder}/state.db")
        try:
            with engine.connect() as session:
                # Nothing here outlives the block: waiting for the disk would protect nothing.
                for pragma in ("synchronous = OFF", "journal_mode = OFF"):
                    session.exec_driver_sql(f"PRAGMA {pragma}")
                metadata.create_all(session)
                count = 0
                for entry in stream:
                    apply(session, entry)
                    count += 1
                yield session, count
        finally:
            engine.dispose()


def rebuild(session: Connection, stream: Iterable[Entry]) -> int:
    """Empty every read-model and fold it again, within the caller's transaction. Returns the number of entries."""
    for table in reversed(metadata.sorted_tables):
        session.execute(delete(table))
    count = 0
    for entry in stream:
        apply(session, entry)
        count += 1
    return count


def keep(session: Connection, table: Table, **values: Any) -> None:
    """Insert one row; a convenience for folds."""
    session.execute(insert(table).values(**values))


def reference(ref: ObjectRef) -> str:
    """How a table keeps an object: its digest, size and media type in one text."""
    return f"{ref.sha256} {ref.bytes} {ref.media}"


def from_reference(text: str) -> ObjectRef:
    """Reverse of `reference`. Raises RecordDamaged."""
    parts = text.split(" ", 2)
    if len(parts) != 3:
        raise RecordDamaged(f"A table holds the damaged object reference {text!r}.")
    return ObjectRef(sha256=parts[0], bytes=int(parts[1]), media=parts[2])

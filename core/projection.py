"""Read-models: tables folded from the words in the same transaction, rebuilt and compared at will."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, MetaData, Table, create_engine, delete, insert, inspect, select

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


def apply(session: Connection, entry: Entry, event: Any = None) -> Any:
    """Fold one entry into the tables of this connection; returns its event, which is read where it is not given."""
    if event is None:
        event = event_from(entry.body["action"], entry.body["version"], entry.body["fields"])
    folds = _FOLDS[type(event)]
    if folds:
        recorded = Recorded.of(entry)
        for fold in folds:
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


class Fresh:
    """Read-models folded beside the live ones, in memory or in a file of their own, to be compared and swapped in."""

    def __init__(self, path: Path | None = None) -> None:
        self._engine = create_engine(f"sqlite:///{path}" if path else "sqlite://")
        metadata.create_all(self._engine)
        self._session = self._engine.connect()
        self.entries = 0

    def __enter__(self) -> Fresh:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._engine.dispose()

    def fold(self, stream: Iterable[Entry]) -> None:
        """Fold further entries, in order."""
        for entry in stream:
            apply(self._session, entry)
            self.entries += 1

    def difference(self, live: Connection) -> Difference:
        """Which live tables differ from these, are missing, or have other columns."""
        other = misshapen(live)
        different = tuple(
            table.name for table in metadata.sorted_tables
            if table in other or table_digest(self._session, table) != table_digest(live, table))
        return Difference(different, self.entries)

    def swap(self, live: Connection, difference: Difference) -> None:
        """Put these in the place of the live tables that differ, within the caller's transaction."""
        tables = [table for table in metadata.sorted_tables if table.name in difference.tables]
        other = misshapen(live)
        for table in reversed(tables):
            # Only a table of another shape is made anew: the writer's role may empty tables, not drop them.
            if table in other:
                table.drop(live, checkfirst=True)
                table.create(live)
            else:
                live.execute(delete(table))
        for table in tables:
            for some in self._session.execute(select(table)).mappings().partitions(500):
                live.execute(insert(table), [dict(row) for row in some])


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


def misshapen(live: Connection) -> set[Table]:
    """Live tables that are missing or have other columns than this release declares."""
    found = inspect(live)
    there = set(found.get_table_names())
    return {
        table for table in metadata.sorted_tables
        if table.name not in there
        or {column["name"] for column in found.get_columns(table.name)} != set(table.columns.keys())
    }


def compare(session: Connection, stream: Iterable[Entry]) -> Difference:
    """Fold the given entries into fresh tables in memory and compare them with the live ones."""
    with Fresh() as fresh:
        fresh.fold(stream)
        return fresh.difference(session)


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

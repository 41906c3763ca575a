"""What auditors ask of the record, as SQL: one page by key, capped counts, one entry, one proof.

Everything goes through a `Reader`, so that the command line can ask SQLite with the standard library alone (half a
second instead of two) while pages and PostgreSQL come through SQLAlchemy. Both get the same text.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from audit import proofs
from audit.query import LARGEST_SEQ, Query
from core.errors import NotFound, OutsideUnavailable
from core.ledger_conditions import Clauses, Trials, columns_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

CAP = 10_000
SAMPLE = 2_000
MOST_WAYS = 40
LARGEST_PAGE = 500
FACETS = ("actor", "action", "trial", "subject", "reason")
_ROW = "seq, ts, leaf, data"


class Reader(Protocol):
    """Rows of a read-only question; parameters are written `:name`."""

    dialect: str

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]: ...


class SqliteReader:
    """A database file, opened for reading by the standard library."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound(f"{path} is not there.", next_step="Name the home with --home, or make one with init.")
        # A database on a read-only disk cannot have its lock file; where no log lies beside it, the file has it all.
        wal = path.with_name(path.name + "-wal")
        still = bool(os.statvfs(path).f_flag & os.ST_RDONLY) and not (wal.exists() and wal.stat().st_size)
        mode = "immutable=1" if still else "mode=ro"
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
        self._connection.execute("BEGIN")  # one consistent view for all questions of this reader

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]:
        try:
            with closing(self._connection.execute(sql, parameters)) as cursor:
                yield from cursor
        except sqlite3.Error as error:
            step = ("Copy the home to a disk that can be written, or read it as the account that owns it."
                    if "readonly" in str(error) or "unable to open" in str(error) else None)
            raise OutsideUnavailable(f"The database file does not answer: {error}.", next_step=step) from error

    def close(self) -> None:
        self._connection.close()


class SessionReader:
    """A SQLAlchemy connection, either store."""

    def __init__(self, session: Connection) -> None:
        self._session = session
        self.dialect = session.dialect.name

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]:
        from sqlalchemy import text

        yield from self._session.execute(text(sql), parameters)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as lists show it."""

    seq: int
    ts: int
    leaf: bytes
    raw: bytes
    body: Mapping[str, Any]
    kid: str
    stream: str
    stream_seq: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Line:
        seq, ts, leaf, data = row
        entry = json.loads(bytes(data))
        return cls(seq, ts, bytes(leaf), bytes(data), entry["body"], entry["kid"], entry["stream"], entry["stream_seq"])


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first. `next_before` asks for the page after this one, None at the end."""

    lines: tuple[Line, ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many entries fit, counted up to the cap."""

    number: int
    capped: bool

    def in_words(self) -> str:
        return f"> {CAP:,}".replace(",", " ") if self.capped else f"{self.number:,}".replace(",", " ")


@dataclass(frozen=True, slots=True)
class Note:
    """The newest checkpoint."""

    size: int
    root: bytes
    note: str


def page(reader: Reader, query: Query, *, before: int | None = None, limit: int = 100, trials: Trials = None) -> Page:
    """Up to `limit` entries below `before`, by key: the depth of the page costs nothing."""
    limit = max(1, min(limit, LARGEST_PAGE))
    found = [Line.of(row) for row in _newest(reader, query, _ROW, limit + 1, trials, before=before)]
    lines = tuple(found[:limit])
    return Page(lines, lines[-1].seq if len(found) > limit else None)


def every(reader: Reader, query: Query, trials: Trials = None) -> Iterator[Line]:
    """All entries that fit, newest first, a page at a time."""
    before: int | None = None
    while True:
        found = page(reader, query, before=before, limit=LARGEST_PAGE, trials=trials)
        yield from found.lines
        if found.next_before is None:
            return
        before = found.next_before


def count(reader: Reader, query: Query, trials: Trials = None) -> Count:
    """How many entries fit; above the cap only that they are more."""
    number = sum(1 for _ in _newest(reader, query, "seq", CAP + 1, trials))
    return Count(min(number, CAP), number > CAP)


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over the newest entries that fit: by value of each facet, and by day since 1970.

    `part` says that more entries fit than were looked at.
    """

    looked_at: int
    part: bool
    facets: Mapping[str, tuple[tuple[str, int], ...]]
    days: tuple[tuple[int, int], ...]


def summary(reader: Reader, query: Query, trials: Trials = None, *, most: int = 8) -> Summary:
    """One look at the newest entries that fit, at most 2,000, so that a page stays quick in a long record."""
    columns = "seq, ts, " + ", ".join(FACETS)
    counted: dict[str, Counter[str]] = {key: Counter() for key in FACETS}
    by_day: Counter[int] = Counter()
    number = 0
    for row in _newest(reader, query, columns, SAMPLE + 1, trials):
        number += 1
        if number > SAMPLE:
            break
        by_day[int(row[1]) // 86_400_000_000] += 1
        for key, value in zip(FACETS, row[2:], strict=True):
            if value is not None:
                counted[key][str(value)] += 1
    facets = {
        key: tuple(sorted(values.items(), key=lambda one: (-one[1], one[0]))[:most]) for key, values in counted.items()
    }
    return Summary(min(number, SAMPLE), number > SAMPLE, facets, tuple(sorted(by_day.items())))


def _newest(
    reader: Reader, query: Query, columns: str, many: int, trials: Trials, *, before: int | None = None
) -> Iterator[Sequence[Any]]:
    """The newest rows that fit. Where a question has several ways to an entry (actor or on behalf of; a wildcard over
    actions), each way is asked by its own index and the newest of all are merged: rare values would else cost a scan.
    """
    clauses = Clauses(reader.dialect)
    top = clauses.bind(LARGEST_SEQ + 1 if before is None else before)
    limit = clauses.bind(many)
    key, ways = _ways(reader, query, clauses)
    where = " AND ".join([*clauses.of(query, trials, without=key), f"seq < {top}"])
    if not ways:
        sql = f"SELECT {columns} FROM entry WHERE {where} ORDER BY seq DESC LIMIT {limit}"  # noqa: S608
    else:
        branches = " UNION ".join(
            f"SELECT seq FROM (SELECT seq FROM entry WHERE {way} AND {where} ORDER BY seq DESC LIMIT {limit}) "  # noqa: S608
            f"AS way{number}" for number, way in enumerate(ways))
        sql = f"SELECT {columns} FROM entry WHERE seq IN ({branches}) ORDER BY seq DESC LIMIT {limit}"  # noqa: S608
    yield from reader.rows(sql, **clauses.given)


def _ways(reader: Reader, query: Query, clauses: Clauses) -> tuple[str | None, list[str]]:
    """The key whose values are asked one by one, and a condition for each; none where one index serves all."""
    groups = dict(query.groups())
    for key in ("actor", "action"):
        terms = groups.get(key, [])
        literal = [term.literal for term in terms]
        if key == "action" and terms and None in literal:
            literal = [name for name in _actions(reader) if any(term.fits(name) for term in terms)]
        if not terms or None in literal or not 0 < len(literal) <= MOST_WAYS:
            continue
        ways = [f"{column} = {clauses.bind(value)}" for value in literal for column in columns_of(key)]
        return key, ways
    return None, []


def _actions(reader: Reader) -> list[str]:
    """Every action on record, by one index probe each."""
    sql = ("WITH RECURSIVE named(action) AS (SELECT min(action) FROM entry UNION ALL "
           "SELECT (SELECT min(action) FROM entry WHERE action > named.action) FROM named "
           "WHERE named.action IS NOT NULL) SELECT action FROM named WHERE action IS NOT NULL")
    return [str(row[0]) for row in reader.rows(sql)]


def line_at(reader: Reader, seq: int) -> Line:
    """One entry. Raises NotFound."""
    row = next(reader.rows(f"SELECT {_ROW} FROM entry WHERE seq = :seq", seq=seq), None)  # noqa: S608
    if row is None:
        raise NotFound(f"There is no entry {seq}.")
    return Line.of(row)


def line_of_leaf(reader: Reader, low: bytes, high: bytes) -> Line:
    """The first entry whose leaf hash lies in this range, as an evidence code names it. Raises NotFound."""
    sql = f"SELECT {_ROW} FROM entry WHERE leaf >= :low AND leaf <= :high ORDER BY seq LIMIT 1"  # noqa: S608
    row = next(reader.rows(sql, low=low, high=high), None)
    if row is None:
        raise NotFound("No entry has this code.", next_step="Compare it with the paper; codes have no I, L, O or U.")
    return Line.of(row)


def newest_note(reader: Reader, size: int | None = None) -> Note:
    """The newest checkpoint, or the oldest that covers `size` entries. Raises NotFound in an empty ledger."""
    sql = "SELECT size, root, note FROM checkpoint WHERE size >= :size ORDER BY size {} LIMIT 1"
    row = next(reader.rows(sql.format("DESC" if size is None else "ASC"), size=size or 0), None)
    if row is None:
        raise NotFound("No checkpoint covers this." if size else "The ledger is empty.")
    return Note(row[0], bytes(row[1]), row[2])


def former_origins(reader: Reader) -> tuple[tuple[str, int], ...]:
    """Names that the record bore before it was continued, each with the number of entries up to which it counts."""
    rows = reader.rows("SELECT data FROM entry WHERE action = 'ledger.continued' ORDER BY seq")
    said = [json.loads(bytes(row[0]))["body"]["fields"] for row in rows]
    return tuple((one["old_origin"], one["restored_size"]) for one in said if "first" in one)


class ReadNodes:
    """Complete subtrees (proofs.Nodes) out of leaf column and tiles."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def node(self, level: int, index: int) -> bytes:
        tile_level, within = divmod(level, 8)
        first, many = index << within, 1 << within
        if tile_level == 0:
            sql, key = "SELECT leaf FROM entry WHERE seq >= :first AND seq < :end ORDER BY seq", {}
        else:
            sql = "SELECT root FROM tile WHERE level = :level AND idx >= :first AND idx < :end ORDER BY idx"
            key = {"level": tile_level - 1}
        found = [bytes(row[0]) for row in self._reader.rows(sql, first=first, end=first + many, **key)]
        if len(found) != many:
            raise NotFound(f"The tree lacks hashes from {first} on level {tile_level}.",
                           next_step="Run `countersign ledger verify`.")
        return proofs.subtree_root(found)


def proof_of(reader: Reader, seq: int, note: Note) -> list[bytes]:
    """Inclusion path of an entry under a checkpoint."""
    return proofs.inclusion_path(ReadNodes(reader), seq, note.size)


def sentences(reader: Reader) -> dict[tuple[str, int], str]:
    """The sentence of each word, out of the newest vocabulary on record: it needs no release to be read."""
    sql = "SELECT data FROM entry WHERE action = 'vocabulary.adopted' ORDER BY seq DESC LIMIT 1"
    row = next(reader.rows(sql), None)
    if row is None:
        return {}
    words = json.loads(bytes(row[0]))["body"]["fields"]["words"]
    return {(word["name"], word["version"]): word["sentence"] for word in words}

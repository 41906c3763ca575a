"""What auditors ask of the record, as SQL: one page by key, capped counts, one entry, one proof.

Everything goes through a `Reader`, so that the command line can ask SQLite with the standard library alone (half a
second instead of two) while pages and PostgreSQL come through SQLAlchemy. Both get the same text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from audit import proofs
from audit.query import ANY, LARGEST_SEQ, Query, Range, Term
from core.errors import NotFound, OutsideUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

CAP = 10_000
LARGEST_PAGE = 500
FACETS = ("actor", "action", "trial", "subject", "reason")
_ROW = "seq, ts, leaf, data"
# Trials that may be read, None among them for entries of no trial; instead of a set: everything.
Trials = frozenset[str | None] | None


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
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        self._connection.execute("BEGIN")  # one consistent view for all questions of this reader

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]:
        try:
            with closing(self._connection.execute(sql, parameters)) as cursor:
                yield from cursor
        except sqlite3.Error as error:
            raise OutsideUnavailable(f"The database file does not answer: {error}.") from error

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
    where, parameters = condition(query, reader.dialect, trials)
    limit = max(1, min(limit, LARGEST_PAGE))
    sql = f"SELECT {_ROW} FROM entry WHERE {where} AND seq < :before ORDER BY seq DESC LIMIT :many"  # noqa: S608
    top = LARGEST_SEQ + 1 if before is None else before
    found = [Line.of(row) for row in reader.rows(sql, before=top, many=limit + 1, **parameters)]
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
    where, parameters = condition(query, reader.dialect, trials)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM entry WHERE {where} LIMIT :cap) AS found"  # noqa: S608
    number = next(reader.rows(sql, cap=CAP + 1, **parameters))[0]
    return Count(min(number, CAP), number > CAP)


def facet(
    reader: Reader, query: Query, key: str, *, most: int = 10, trials: Trials = None
) -> list[tuple[str, Count]]:
    """The most frequent values of one key among the newest entries that fit, up to the cap."""
    if key not in FACETS:
        raise ValueError(f"no facet {key!r}; there are {', '.join(FACETS)}.")
    where, parameters = condition(query, reader.dialect, trials)
    sql = (
        f"SELECT {key}, count(*) AS n FROM (SELECT {key} FROM entry WHERE {where} AND {key} IS NOT NULL "  # noqa: S608
        f"ORDER BY seq DESC LIMIT :cap) AS found GROUP BY {key} ORDER BY n DESC, {key} LIMIT :most"
    )
    found = list(reader.rows(sql, cap=CAP + 1, most=most, **parameters))
    if not count(reader, query, trials).capped:
        return [(str(value), Count(number, capped=False)) for value, number in found]
    # Among more entries than the cap the first look only names the values; each is counted by its own index.
    return [(str(value), count(reader, _narrowed(query, key, str(value)), trials)) for value, _ in found]


def _narrowed(query: Query, key: str, value: str) -> Query:
    """The question for one value of a key; terms of this key that were asked for are met by it already."""
    others = tuple(term for term in query.terms if term.key != key or term.negated)
    return replace(query, terms=(*others, Term(key, (value,), negated=False)))


def days(reader: Reader, query: Query, trials: Trials = None) -> list[tuple[int, int]]:
    """(day since 1970, entries) of the newest entries that fit, up to the cap, oldest day first."""
    where, parameters = condition(query, reader.dialect, trials)
    sql = (f"SELECT ts / 86400000000 AS day, count(*) FROM (SELECT ts FROM entry WHERE {where} "  # noqa: S608
           "ORDER BY seq DESC LIMIT :cap) AS found GROUP BY ts / 86400000000 ORDER BY day")
    return [(int(day), int(number)) for day, number in reader.rows(sql, cap=CAP, **parameters)]


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


# ---------------------------------------------------------------- the condition


def condition(query: Query, dialect: str, trials: Trials = None) -> tuple[str, dict[str, Any]]:
    """A WHERE clause and its parameters. Times become sequence numbers first: one probe instead of a scan.

    `trials` narrows it to what a person may read; None is everything.
    """
    clauses: list[str] = []
    given: dict[str, Any] = {}

    def bind(value: Any) -> str:
        name = f"p{len(given)}"
        given[name] = value
        return f":{name}"

    def from_time(us: int) -> str:
        probe = f"SELECT seq FROM entry WHERE ts >= {bind(us)} ORDER BY ts, seq LIMIT 1"  # noqa: S608
        return f"coalesce(({probe}), {LARGEST_SEQ + 1})"

    if trials is not None:
        named = [bind(name) for name in sorted(trial for trial in trials if trial is not None)]
        either_of = [f"trial IN ({', '.join(named)})"] if named else []
        either_of += ["trial IS NULL"] if None in trials else []
        clauses.append(f"({' OR '.join(either_of)})" if either_of else "1 = 0")
    if query.since_us is not None:
        clauses.append(f"seq >= {from_time(query.since_us)}")
    clauses += [f"seq < {from_time(us)}" for us in (query.until_us, query.as_of_us) if us is not None]
    if query.as_of_seq is not None:
        clauses.append(f"seq <= {bind(query.as_of_seq)}")

    def inside(span: Range) -> str:
        return f"seq BETWEEN {bind(span.first)} AND {bind(span.last)}"

    wanted = [inside(span) for span in query.ranges if not span.negated]
    if wanted:
        clauses.append(f"({' OR '.join(wanted)})")
    clauses += [f"NOT {inside(span)}" for span in query.ranges if span.negated]

    def fits(term: Term, column: str) -> str:
        if term.literal is not None:
            return f"{column} = {bind(term.literal)}"
        return f"{column} {_pattern(term, dialect, bind)}"

    def either(term: Term) -> str:
        # Deeds that a service attested for a person are the person's too.
        columns = ("actor", "on_behalf_of") if term.key == "actor" else (term.key,)
        return " OR ".join(fits(term, column) for column in columns)

    for _, group in query.groups():
        clauses.append(f"({' OR '.join(either(term) for term in group)})")
    for term in query.terms:
        if term.negated:
            # What is absent (NULL) is not excluded.
            clauses.append(f"coalesce(NOT ({either(term)}), true)" if term.key != "actor" else
                           f"NOT coalesce({fits(term, 'actor')}, false) "
                           f"AND NOT coalesce({fits(term, 'on_behalf_of')}, false)")
    return " AND ".join(clauses) or "true", given


def _pattern(term: Term, dialect: str, bind: Any) -> str:
    """A comparison with wildcards that tells capitals apart on both stores."""
    if dialect == "sqlite":
        special = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
        return f"GLOB {bind(''.join('*' if part is ANY else part.translate(special) for part in term.pattern))}"
    special = str.maketrans({"%": "\\%", "_": "\\_", "\\": "\\\\"})
    return f"LIKE {bind(''.join('%' if part is ANY else part.translate(special) for part in term.pattern))}"

"""What auditors ask of the record, as SQL: one page by key, capped counts, one entry, one proof.

Everything goes through a `Reader`, so that the command line can ask SQLite with the standard library alone (half a
second instead of two) while pages and PostgreSQL come through SQLAlchemy. Both get the same text.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from audit import proofs
from audit.query import LARGEST_SEQ, Query
from core.errors import NotFound, OutsideUnavailable
from core.ledger_conditions import Clauses, Trials
from core.ledger_postgresql import PLANNED_ONCE, for_psycopg, planned_once
from core.ledger_ways import MOST_WAYS, Ways, each_value, merged, named_in, ways_to

if TYPE_CHECKING:
    from sqlalchemy import Connection

CAP = 10_000
# Entries that are looked at for the counts beside a page.
SAMPLE = 1_500
KEPT_TILES, KEPT_VOCABULARIES = 64, 4
LARGEST_PAGE = 500
# Facets that have an index of their own, beginning with their column.
INDEXED = ("actor", "action", "trial")
FACETS = ("actor", "action", "trial", "subject", "reason")
_ROW = "seq, ts, leaf, data"
# What a question may be about, and what is counted beside its answer.
_SEARCHED = "seq, ts, actor, on_behalf_of, action, trial, subject, study, model, reason"


class Reader(Protocol):
    """Rows of a read-only question; parameters are written `:name`.

    `known` remembers what was asked of the record to find the ways to entries: a page asks it several times.
    """

    dialect: str
    known: dict[str, Any]

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]: ...


class SqliteReader:
    """A database file, opened for reading by the standard library."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound(f"{path} is not there.", next_step="Name the home with --home, or make one with init.")
        self.known: dict[str, Any] = {}
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
        self.known: dict[str, Any] = {}

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]:
        # Straight to the driver: to compose each text anew costs more than most questions.
        asked = sql if self.dialect == "sqlite" else for_psycopg(sql)
        options = {PLANNED_ONCE: True} if self.dialect != "sqlite" and planned_once(sql) else None
        found = self._session.exec_driver_sql(asked, parameters, execution_options=options)
        for some in found.partitions(LARGEST_PAGE):
            yield from some


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
    """How many entries fit, counted up to the cap; `capped`: there may be more."""

    number: int
    capped: bool

    def in_words(self) -> str:
        """"1 234", "> 10 000" beyond the cap, "≥ 1 234" where only the newest entries were looked at."""
        said = f"{self.number:,}".replace(",", " ")
        return said if not self.capped else f"> {said}" if self.number == CAP else f"≥ {said}"


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
    clauses = Clauses(reader.dialect)
    ways = ways_to(reader, query, clauses, trials)
    conditions = [*clauses.bounds(query), *clauses.rest(query, None if ways.scoped else trials, without=ways.keys)]
    if not ways.each and not conditions:
        number = int(next(reader.rows("SELECT coalesce(max(seq) + 1, 0) FROM entry"))[0])  # numbered without a gap
        return Count(min(number, CAP), number > CAP)
    branches = f" {ways.merge} ".join(f"SELECT seq FROM entry WHERE {' AND '.join([way, *conditions])}"  # noqa: S608
                                      for way in ways.each or ("1 = 1",))
    sql = f"SELECT count(*) FROM (SELECT seq FROM ({branches}) AS found LIMIT {CAP + 1}) AS counted"  # noqa: S608
    number = int(next(reader.rows(sql, **clauses.given))[0])
    return Count(min(number, CAP), number > CAP)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a question finds, counted: in all up to the cap, by value of each facet, and by day since 1970.

    `part` says that facets and days rest on the newest 1,500 entries that could fit, of which `looked_at` did. Then a
    facet's count is what at least fits, unless it could be counted along an index of its own.
    """

    count: Count
    looked_at: int
    part: bool
    facets: Mapping[str, tuple[tuple[str, Count], ...]]
    days: tuple[tuple[int, int], ...]


def summary(reader: Reader, query: Query, trials: Trials = None, *, most: int = 8) -> Summary:
    """One look at the newest entries that could fit, grouped by the database: a page of a long record stays quick."""
    clauses = Clauses(reader.dialect)
    ways = ways_to(reader, query, clauses, trials)
    rest = clauses.rest(query, None if ways.scoped else trials, without=ways.keys)
    near = merged(reader, ways, clauses.bounds(query), SAMPLE + 1, _SEARCHED)
    by_name = "{}" if reader.dialect == "sqlite" else '{} COLLATE "C"'
    fitting = " AND ".join(rest or ["1 = 1"])
    day = "ts / 86400000000"
    groups = [f"SELECT 'day', CAST({day} AS VARCHAR(20)), count(*) FROM looked GROUP BY {day}",  # noqa: S608
              "SELECT 'near', NULL, count(*) FROM near", "SELECT 'all', NULL, count(*) FROM looked"]
    groups += [f"SELECT * FROM (SELECT '{key}', {key}, count(*) FROM looked WHERE {key} IS NOT NULL GROUP BY {key} "  # noqa: S608
               f"ORDER BY count(*) DESC, {by_name.format(key)} LIMIT {most}) AS most_{key}" for key in FACETS]
    sql = (f"WITH near AS MATERIALIZED ({near}), looked AS MATERIALIZED (SELECT * FROM (SELECT * FROM near "  # noqa: S608
           f"ORDER BY seq DESC LIMIT {SAMPLE}) AS newest WHERE {fitting}) " + " UNION ALL ".join(groups))
    counted: dict[str, list[tuple[str, int]]] = {key: [] for key in (*FACETS, "day", "all", "near")}
    for key, value, number in reader.rows(sql, **clauses.given):
        counted[key].append((str(value), int(number)))
    part = counted.pop("near")[0][1] > SAMPLE
    number = counted.pop("all")[0][1]
    days = tuple(sorted((int(value), many) for value, many in counted.pop("day")))
    facets = {key: tuple((value, Count(many, part)) for value, many in _most(values, most))
              for key, values in counted.items()}
    if part and trials is None and query == Query(tokens=query.tokens):
        facets |= {key: tuple((value, Count(min(many, CAP), many > CAP)) for value, many in _most(found, most))
                   for key, found in _by_index(reader).items()}
    whole = Count(number, part)
    if part and (not rest or number * 4 > SAMPLE * 3):
        whole = count(reader, query, trials)  # an index answers, or nearly everything fits
    return Summary(whole, number, part, facets, days)


def _most(values: list[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """The values with the highest counts, by name where equal; beyond the cap all are equal."""
    return nsmallest(most, values, key=lambda one: (-min(one[1], CAP), one[0]))


def _by_index(reader: Reader) -> dict[str, list[tuple[str, int]]]:
    """Each value of the indexed facets in the whole record, counted along its own index to beyond the cap; no facet
    that has too many values. A question narrows what an index does not hold, so only the whole record is counted so.

    The entries of a trial are numbered in its stream: where that number is beyond the cap, so is the count.
    """
    named, counted = [], []
    for key in INDEXED:
        many = f"(SELECT count(*) FROM (SELECT 1 FROM entry WHERE {key} = few_{key}.value LIMIT {CAP + 1}) AS along)"  # noqa: S608
        if key == "trial":
            stream = f"(SELECT max(stream_seq) FROM entry WHERE stream = 'trial/' || few_{key}.value)"  # noqa: S608
            many = f"CASE WHEN {stream} >= {CAP} THEN {CAP + 1} ELSE {many} END"
        named.append(f"{each_value(key)}, few_{key} AS MATERIALIZED "  # noqa: S608
                     f"(SELECT value FROM each_{key} WHERE value IS NOT NULL LIMIT {MOST_WAYS + 1})")
        counted.append(f"SELECT '{key}', value, {many} FROM few_{key} "  # noqa: S608
                       f"WHERE (SELECT count(*) FROM few_{key}) <= {MOST_WAYS}")
    found: dict[str, list[tuple[str, int]]] = {}
    for key, value, number in reader.rows(f"WITH RECURSIVE {', '.join(named)} {' UNION ALL '.join(counted)}"):
        found.setdefault(str(key), []).append((str(value), int(number)))
    return found


def all_days(reader: Reader, note: Note, trials: Trials) -> tuple[tuple[tuple[int, int], ...], Count]:
    """The background of a filtered page: all readable entries by day (the newest of them) and how many there are."""
    number = Count(note.size, False) if trials is None else count(reader, Query(), trials)
    clauses = Clauses(reader.dialect)
    if trials is None:
        # Time never runs against number, so the index of times gives the newest without their entries.
        newest = f"SELECT ts FROM entry ORDER BY ts DESC, seq DESC LIMIT {SAMPLE}"  # noqa: S608
    else:
        ways = ways_to(reader, Query(), clauses, trials)
        rest = clauses.rest(Query(), None if ways.scoped else trials, without=ways.keys)
        newest = _newest_sql(reader, ways, rest, "ts", SAMPLE)
    sql = f"SELECT ts / 86400000000 AS day, count(*) FROM ({newest}) AS newest GROUP BY ts / 86400000000"  # noqa: S608
    return tuple(sorted((int(day), int(many)) for day, many in reader.rows(sql, **clauses.given))), number


def _newest(
    reader: Reader, query: Query, columns: str, many: int, trials: Trials, *, before: int | None = None
) -> Iterator[Sequence[Any]]:
    """The newest rows that fit. Where a question has several ways to an entry (actor or on behalf of; a wildcard over
    actions), each way is asked by its own index and the newest of all are merged: rare values would else cost a scan.
    """
    clauses = Clauses(reader.dialect)
    ways = ways_to(reader, query, clauses, trials)
    bounds = [*clauses.bounds(query), f"seq < {clauses.bind(LARGEST_SEQ + 1 if before is None else before)}"]
    rest = clauses.rest(query, None if ways.scoped else trials, without=ways.keys)
    yield from reader.rows(_newest_sql(reader, ways, [*bounds, *rest], columns, many), **clauses.given)


def _newest_sql(reader: Reader, ways: Ways, conditions: Sequence[str], columns: str, limit: int) -> str:
    """The newest rows along some ways as a statement."""
    which = " AND ".join(conditions or ["1 = 1"])
    if ways.each:
        which = f"seq IN ({merged(reader, ways, conditions, limit)})"
    return f"SELECT {columns} FROM entry WHERE {which} ORDER BY seq DESC LIMIT {limit}"  # noqa: S608


def line_at(reader: Reader, seq: int) -> Line:
    """One entry. Raises NotFound."""
    row = next(reader.rows(f"SELECT {_ROW} FROM entry WHERE seq = :seq", seq=seq), None)  # noqa: S608
    if row is None:
        raise NotFound(f"There is no entry {seq}.")
    return Line.of(row)


def exact_bytes(reader: Reader, size: int | None = None) -> Iterator[bytes]:
    """The stored bytes of the first `size` entries in order, or of all, a page at a time."""
    low = 0
    while size is None or low < size:
        many = LARGEST_PAGE if size is None else min(LARGEST_PAGE, size - low)
        rows = [bytes(row[0]) for row in reader.rows(
            "SELECT data FROM entry WHERE seq >= :low ORDER BY seq LIMIT :many", low=low, many=many)]
        yield from rows
        low += len(rows)
        if len(rows) < many:
            return


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
    """Complete subtrees (proofs.Nodes) out of leaf column and tiles; a path asks one tile for eight of its levels."""

    def __init__(self, reader: Reader, size: int) -> None:
        """`size`: of a tree that is covered; what is full in it is stored as a tile."""
        self._reader, self._size = reader, size
        self._rows: dict[tuple[int, int], list[bytes]] = {}

    def expect(self, index: int) -> None:
        """Read ahead, in two questions, what the path of an entry takes above its leaves: at each level its own tile,
        and the rows of the tile that is not full yet. What is not there is asked for, and missed, by `node`."""
        full, rows, level = list[str](), list[str](), 0
        given: dict[str, int] = {}
        while hashes := self._size >> 8 * level:
            own, last = index >> 8 * (level + 1), hashes // proofs.TILE
            if own < last:
                full.append(f"level = :full{level} AND idx = :own{level}")
                given |= {f"full{level}": level, f"own{level}": own}
            if level and hashes % proofs.TILE:
                rows.append(f"level = :below{level} AND idx >= :first{level} AND idx < :end{level}")
                given |= {f"below{level}": level - 1, f"first{level}": last * proofs.TILE, f"end{level}": hashes}
            level += 1
        if full:
            sql = f"SELECT level, idx, data FROM tile WHERE {' OR '.join(full)}"  # noqa: S608
            for at, tile, data in self._reader.rows(sql, **named_in(sql, given)):
                self._rows[at, tile] = _hashes_of(bytes(data))
        if rows:
            found: dict[int, list[bytes]] = {}
            sql = f"SELECT level, root FROM tile WHERE {' OR '.join(rows)} ORDER BY level, idx"  # noqa: S608
            for below, root in self._reader.rows(sql, **named_in(sql, given)):
                found.setdefault(below + 1, []).append(bytes(root))
            for at, roots in found.items():
                if len(roots) == (self._size >> 8 * at) % proofs.TILE:
                    self._rows[at, self._size >> 8 * (at + 1)] = roots

    def node(self, level: int, index: int) -> bytes:
        tile_level, within = divmod(level, 8)
        first, many = index << within, 1 << within
        row = self._row(tile_level, first // proofs.TILE)
        found = row[first % proofs.TILE:][:many]
        if len(found) != many:
            raise NotFound(f"The tree lacks hashes from {first} on level {tile_level}.",
                           next_step="Run `countersign ledger verify`.")
        return proofs.subtree_root(found)

    def _row(self, level: int, tile: int) -> list[bytes]:
        """The hashes of a tile: as stored once it was full, else one by one."""
        if (level, tile) not in self._rows:
            if len(self._rows) >= KEPT_TILES:
                self._rows.clear()
            self._rows[level, tile] = self._read(level, tile)
        return self._rows[level, tile]

    def _read(self, level: int, tile: int) -> list[bytes]:
        full = (tile + 1) << 8 * (level + 1) <= self._size
        stored = next(self._reader.rows("SELECT data FROM tile WHERE level = :level AND idx = :idx",
                                        level=level, idx=tile), None) if full else None
        if stored is not None:
            return _hashes_of(bytes(stored[0]))
        first = tile * proofs.TILE
        if level == 0:
            sql, key = "SELECT leaf FROM entry WHERE seq >= :first AND seq < :end ORDER BY seq", {}
        else:
            sql = "SELECT root FROM tile WHERE level = :level AND idx >= :first AND idx < :end ORDER BY idx"
            key = {"level": level - 1}
        return [bytes(row[0]) for row in self._reader.rows(sql, first=first, end=first + proofs.TILE, **key)]


def proof_of(reader: Reader, seq: int, note: Note) -> list[bytes]:
    """Inclusion path of an entry under a checkpoint."""
    nodes = ReadNodes(reader, note.size)
    nodes.expect(seq)
    return proofs.inclusion_path(nodes, seq, note.size)


def _hashes_of(tile: bytes) -> list[bytes]:
    return [tile[at:at + 32] for at in range(0, len(tile), 32)]


# By the hash of the entry that adopted them: it holds a hundred kilobytes, and another vocabulary is another entry.
_SENTENCES: dict[bytes, Mapping[tuple[str, int], str]] = {}


def sentences(reader: Reader) -> dict[tuple[str, int], str]:
    """The sentence of each word, out of the newest vocabulary on record: it needs no release to be read."""
    sql = "SELECT seq, leaf FROM entry WHERE action = 'vocabulary.adopted' ORDER BY seq DESC LIMIT 1"
    row = next(reader.rows(sql), None)
    if row is None:
        return {}
    seq, leaf = int(row[0]), bytes(row[1])
    if leaf not in _SENTENCES:
        if len(_SENTENCES) >= KEPT_VOCABULARIES:
            _SENTENCES.clear()
        words = line_at(reader, seq).body["fields"]["words"]
        _SENTENCES[leaf] = {(word["name"], word["version"]): word["sentence"] for word in words}
    return dict(_SENTENCES[leaf])

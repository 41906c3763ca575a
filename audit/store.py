"""The tables of the record and the only SQL of this floor; every column beside `data` is a projection."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    text,
    true,
)

from audit import proofs
from audit.entry import Entry
from audit.lookout import Glance, Lookout
from audit.turn import Fixed, Rows

metadata = MetaData()

entries = Table(
    "entry", metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("leaf", LargeBinary(32), nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("eid", String(36), nullable=False, unique=True),
    Column("stream", String(160), nullable=False),
    Column("stream_seq", BigInteger, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("on_behalf_of", String(120)),
    Column("action", String(80), nullable=False),
    Column("trial", String(120)),
    Column("subject", String(120)),
    Column("study", String(128)),
    Column("model", String(160)),
    Column("reason", Text),
    Index("entry_stream", "stream", "stream_seq", unique=True),
    Index("entry_actor", "actor", "seq"),
    Index("entry_action", "action", "seq"),
    Index("entry_trial", "trial", "action", "seq"),
    Index("entry_subject", "subject", "seq"),
    Index("entry_model", "model", "seq"),
    Index("entry_ts", "ts", "seq"),
    # Most entries have neither; partial indexes keep the append cheap.
    Index(
        "entry_behalf", "on_behalf_of", "seq",
        sqlite_where=text("on_behalf_of IS NOT NULL"), postgresql_where=text("on_behalf_of IS NOT NULL"),
    ),
    Index(
        "entry_reason", "reason", "seq",
        sqlite_where=text("reason IS NOT NULL"), postgresql_where=text("reason IS NOT NULL"),
    ),
)
tiles = Table(
    "tile", metadata,
    Column("level", Integer, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
)
checkpoints = Table(
    "checkpoint", metadata,
    Column("size", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
)
cosignatures = Table(
    "cosignature", metadata,
    Column("size", BigInteger, primary_key=True), Column("witness", String(120), primary_key=True),
    Column("line", Text, nullable=False),
)
anchors = Table(
    "anchor", metadata,
    Column("size", BigInteger, primary_key=True), Column("authority", String(200), primary_key=True),
    Column("token", LargeBinary, nullable=False),
)
APPEND_ONLY = ("entry", "tile", "checkpoint", "cosignature", "anchor")


def protection(dialect: str) -> list[str]:
    """The statements by which the database itself refuses change (RECORD 8)."""
    return _sqlite_protection() if dialect == "sqlite" else _postgres_protection()


def _sqlite_protection() -> list[str]:
    out = []
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            out.append(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    # FAIL and no call of a function: what may abort half-way makes SQLite copy every page beforehand, for each entry
    # (0105). A row that is refused here has changed nothing yet. Bytes sort after every number and text.
    out.append(
        "CREATE TRIGGER entry_next BEFORE INSERT ON entry BEGIN "
        "SELECT RAISE(FAIL, 'seq is not the next number') "
        "WHERE NEW.seq IS NOT (SELECT coalesce(max(seq), -1) + 1 FROM entry); "
        # REPLACE on a unique column would delete the old row past the triggers (research/ledger.md 3).
        "SELECT RAISE(FAIL, 'id is already recorded') WHERE EXISTS (SELECT 1 FROM entry WHERE eid = NEW.eid); "
        "SELECT RAISE(FAIL, 'number is already recorded') WHERE EXISTS "
        "(SELECT 1 FROM entry WHERE stream = NEW.stream AND stream_seq = NEW.stream_seq); "
        "SELECT RAISE(FAIL, 'data is not bytes') WHERE NEW.data < x''; END"
    )
    for table, key in (
        ("checkpoint", "size = NEW.size"), ("tile", "level = NEW.level AND idx = NEW.idx"),
        ("cosignature", "size = NEW.size AND witness = NEW.witness"),
        ("anchor", "size = NEW.size AND authority = NEW.authority"),
    ):
        out.append(
            f"CREATE TRIGGER {table}_once BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, '{table} is "  # noqa: S608  constants
            f"append-only') WHERE EXISTS (SELECT 1 FROM {table} WHERE {key}); END"
        )
    return out


def _postgres_protection() -> list[str]:
    out = [
        "CREATE OR REPLACE FUNCTION countersign_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
        # Asked once a statement: its rows follow one another, the first follows an entry that was there, nothing is
        # beyond the last. The key is unique, so none of them was there before. The greatest number is found along the
        # key; `EXISTS (… seq > high)` was planned as a reading of the whole table, in hope of an early hit (0144).
        "CREATE OR REPLACE FUNCTION countersign_next() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF (SELECT many > 0 AND (high - low + 1 <> many "
        "OR (low <> 0 AND NOT EXISTS (SELECT FROM entry WHERE seq = low - 1)) "
        "OR (SELECT max(seq) FROM entry) <> high) "
        "FROM (SELECT min(seq) AS low, max(seq) AS high, count(*) AS many FROM fresh) AS these) THEN "
        "RAISE EXCEPTION 'seq is not the next number'; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER entry_next AFTER INSERT ON entry REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION countersign_next()",
    ]
    for table in APPEND_ONLY:
        out.append(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION countersign_refuse()"
        )
        out.append(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION countersign_refuse()"
        )
    # ALWAYS: a session that calls itself a replica (session_replication_role) would skip ordinary triggers.
    made = [found.groups() for found in (re.match(r"CREATE TRIGGER (\w+) .*? ON (\w+) ", one) for one in out) if found]
    return out + [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}" for name, table in made]


def connected(engine: Engine, isolation: Literal["REPEATABLE READ", "AUTOCOMMIT"]) -> Connection:
    """To read one view of everything, or one question by itself without the exchanges of a transaction around it.

    On SQLite a transaction is a snapshot and costs no exchange, so there it is left as it is.
    """
    session = engine.connect()
    return session if engine.dialect.name == "sqlite" else session.execution_options(isolation_level=isolation)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an append asks of the record first: its size, the last `ts`, the newest entry's bytes and the newest note,
    and the next number in a stream."""

    size: int
    last_ts: int
    newest: bytes | None
    checkpoint: proofs.Checkpoint | None
    next_in_stream: int


_NEWEST = select(entries.c.seq, entries.c.ts, entries.c.data).order_by(entries.c.seq.desc()).limit(1).subquery("newest")
_LAST = select(checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1).subquery("last")
#: The columns of one row and where they come from, by the bound name `of_stream`.
STANDING = (
    _NEWEST.c.seq, _NEWEST.c.ts, _NEWEST.c.data, _LAST.c.note,
    select(entries.c.stream_seq).where(entries.c.stream == bindparam("of_stream"))
    .order_by(entries.c.stream_seq.desc()).limit(1).scalar_subquery().label("in_stream"),
)
STANDING_FROM = (
    select(literal_column("1").label("here")).subquery("here").outerjoin(_NEWEST, true()).outerjoin(_LAST, true()))
_STANDING = Fixed(select(*STANDING).select_from(STANDING_FROM))
_ADD_CHECKPOINT = Fixed(insert(checkpoints))
_ADD_TILE = Fixed(insert(tiles))
_ADD_ENTRIES = Rows("entry", tuple(entries.columns.keys()))


@lru_cache(maxsize=8)
def noted(note: str) -> proofs.Checkpoint:
    """What a note says. The newest is read as it is added, then by the signer and by who appends next: read once."""
    return proofs.Checkpoint.parse(note)


def standing(session: Connection, stream: str) -> Standing:
    """One question for what every append asks first."""
    return standing_of(_STANDING.ask(session, {"of_stream": stream})[0])


def standing_of(row: Sequence[Any]) -> Standing:
    """From the values of the columns STANDING."""
    seq, ts, newest, note, in_stream = row
    return Standing(
        size=0 if seq is None else seq + 1, last_ts=ts or 0, newest=newest,
        checkpoint=None if note is None else noted(note),
        next_in_stream=0 if in_stream is None else in_stream + 1,
    )


def head(session: Connection) -> tuple[int, int]:
    """Number of entries and the last `ts` (0 for none)."""
    row = session.execute(select(entries.c.seq, entries.c.ts).order_by(entries.c.seq.desc()).limit(1)).first()
    return (row.seq + 1, row.ts) if row else (0, 0)


def last_checkpoint(session: Connection) -> proofs.Checkpoint | None:
    """The newest note."""
    row = session.execute(select(checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1)).first()
    return proofs.Checkpoint.parse(row.note) if row else None


def checkpoint_of(session: Connection, size: int) -> proofs.Checkpoint | None:
    """The note over so many entries."""
    row = session.execute(select(checkpoints.c.note).where(checkpoints.c.size == size)).first()
    return proofs.Checkpoint.parse(row.note) if row else None


def next_in_stream(session: Connection, stream: str) -> int:
    """The number the next entry of a stream gets."""
    return int(session.execute(
        select(func.coalesce(func.max(entries.c.stream_seq), -1) + 1).where(entries.c.stream == stream)
    ).scalar_one())


def entry_by_id(session: Connection, eid: str) -> Entry | None:
    """The stored entry with this id."""
    row = session.execute(select(entries.c.data).where(entries.c.eid == eid)).first()
    return Entry.parse(row.data) if row else None


def entry_at(session: Connection, seq: int) -> Entry | None:
    """The stored entry with this sequence number."""
    row = session.execute(select(entries.c.data).where(entries.c.seq == seq)).first()
    return Entry.parse(row.data) if row else None


def newest_by(session: Connection, actor: str) -> Entry | None:
    """The last entry of an actor."""
    query = select(entries.c.data).where(entries.c.actor == actor).order_by(entries.c.seq.desc()).limit(1)
    row = session.execute(query).first()
    return Entry.parse(row.data) if row else None


def read_entries(session: Connection, low: int = 0, high: int | None = None, page: int = 500) -> Iterator[Entry]:
    """Entries low..high-1 in order, a page at a time."""
    while True:
        condition = entries.c.seq >= low if high is None else entries.c.seq.between(low, high - 1)
        rows = session.execute(
            select(entries.c.data).where(condition).order_by(entries.c.seq).limit(page)
        ).all()
        for row in rows:
            yield Entry.parse(row.data)
        if len(rows) < page:
            return
        low += page


def entries_by_id(session: Connection, eids: Sequence[str]) -> dict[str, Entry]:
    """The stored entries among these ids."""
    if session.dialect.name == "sqlite":
        sql = "SELECT data FROM entry WHERE eid IN (SELECT value FROM json_each(?))"
        rows = session.exec_driver_sql(sql, (json.dumps(list(eids)),))
    else:
        rows = session.exec_driver_sql("SELECT data FROM entry WHERE eid = ANY(%s::text[])", (list(eids),))
    return {entry.body["id"]: entry for entry in (Entry.parse(bytes(row[0])) for row in rows)}


def add_entries(session: Connection, made: Sequence[Entry]) -> None:
    """Store entries in order with the columns by which people search."""
    rows = []
    for entry in made:
        body = entry.body
        said = body.get
        rows.append((
            entry.seq, entry.raw, entry.leaf, entry.ts, body["id"], entry.stream, entry.stream_seq, body["actor"],
            said("on_behalf_of"), body["action"], said("trial"), *search_columns(body["fields"]), said("reason"),
        ))
    if rows:
        _ADD_ENTRIES.put(session, rows)


class SearchColumns(NamedTuple):
    """What an entry's fields name of these."""

    subject: str | None
    study: str | None
    model: str | None


def search_columns(fields: dict[str, Any]) -> SearchColumns:
    """Subject, study and model of an entry, where its fields name them."""
    subject, study, lock = fields.get("subject"), fields.get("study"), fields.get("lock")
    model = lock if isinstance(lock, str) else fields.get("model")
    return SearchColumns(
        subject if isinstance(subject, str) else None, study if isinstance(study, str) else None,
        model if isinstance(model, str) else None,
    )


def add_checkpoint(session: Connection, checkpoint: proofs.Checkpoint) -> None:
    _ADD_CHECKPOINT.put(session, {"size": checkpoint.size, "root": checkpoint.root, "note": checkpoint.note})


def add_full_tiles(session: Connection, old_size: int, new_size: int) -> None:
    """Store every tile that became full between two sizes, level by level."""
    level, old, new = 0, old_size, new_size
    while new // proofs.TILE > old // proofs.TILE:
        for index in range(old // proofs.TILE, new // proofs.TILE):
            hashes = tile_row(session, level, index * proofs.TILE, proofs.TILE)
            root = proofs.subtree_root(hashes)
            _ADD_TILE.put(session, {"level": level, "idx": index, "data": b"".join(hashes), "root": root})
        level, old, new = level + 1, old // proofs.TILE, new // proofs.TILE


_NEWS = {
    "sqlite": Fixed(text(
        "SELECT seq, leaf, NULL FROM entry WHERE seq >= :low UNION ALL "
        "SELECT size - 1, root, note FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)")),
    # Number by number: `seq >= 4711` alone is planned as a reading of the whole table where statistics lag (0144).
    "postgresql": Fixed(text(
        "SELECT one.seq, one.leaf, NULL FROM generate_series(CAST(:low AS bigint), (SELECT max(seq) FROM entry)) "
        "AS numbers (place), LATERAL (SELECT seq, leaf FROM entry WHERE seq = place LIMIT 1) AS one UNION ALL "
        "SELECT size - 1, root, note FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)")),
}


_HEAD = Fixed(text(
    "SELECT (SELECT root FROM checkpoint WHERE size = :size), note FROM checkpoint "
    "WHERE size = (SELECT max(size) FROM checkpoint)"))


def lookout(engine: Engine) -> Lookout:
    """For `news`."""
    return Lookout(engine, _NEWS[engine.dialect.name])


def lookout_for_heads(engine: Engine) -> Lookout:
    """For `head_at`."""
    return Lookout(engine, _HEAD)


def head_at(seen_from: Lookout, size: int) -> tuple[bytes | None, proofs.Checkpoint | None]:
    """The root of the committed checkpoint over so many entries, None where there is none; and the newest note."""
    for root, note in seen_from.rows(size):
        return root, noted(note)
    return None, None


def news(
    seen_from: Lookout, low: int, glance: Glance | None = None
) -> tuple[list[bytes], proofs.Checkpoint | None]:
    """Leaves of the committed entries from number `low` on, and the newest note: one view of both.

    `glance`: a look from there that is under way since the lock was taken.

    Raises LookupError where the entries are not one after another.
    """
    rows, note = [], None
    for seq, leaf, said in seen_from.rows(low, glance):
        if said is None:
            rows.append((seq, leaf))
        else:
            note = noted(said)
    rows.sort()
    if [seq for seq, _ in rows] != list(range(low, low + len(rows))):
        raise LookupError(f"entries are missing from number {low} on.")
    return [leaf for _, leaf in rows], note


_LEAVES = Fixed(
    select(entries.c.leaf).where(entries.c.seq.between(bindparam("low"), bindparam("high"))).order_by(entries.c.seq))
_ROOTS = Fixed(
    select(tiles.c.root).where(tiles.c.level == bindparam("of_level"),
                               tiles.c.idx.between(bindparam("low"), bindparam("high"))).order_by(tiles.c.idx))


def tile_row(session: Connection, level: int, start: int, count: int) -> list[bytes]:
    """`count` hashes of tile level `level` (each covering 256^level leaves) from `start` on."""
    run = {"low": start, "high": start + count - 1}
    rows = _LEAVES.ask(session, run) if level == 0 else _ROOTS.ask(session, run | {"of_level": level - 1})
    found = [row[0] for row in rows]
    if len(found) != count:
        raise LookupError(f"tile level {level} lacks hashes from {start}: {len(found)} of {count}.")
    return found


class StoredNodes:
    """Complete subtrees read from the store (proofs.Nodes); small ranges are computed, large ones read."""

    def __init__(self, session: Connection) -> None:
        self._session = session

    def node(self, level: int, index: int) -> bytes:
        tile_level, within = divmod(level, 8)
        return proofs.subtree_root(tile_row(self._session, tile_level, index << within, 1 << within))


class CommittedNodes:
    """Subtrees as they are committed when one is asked for (proofs.Nodes)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def node(self, level: int, index: int) -> bytes:
        with self._engine.connect() as session:
            return StoredNodes(session).node(level, index)

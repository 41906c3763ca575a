"""The tables of the record and the only SQL of this floor; every column beside `data` is a projection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
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
    literal,
    select,
    text,
)

from audit import proofs
from audit.entry import Entry

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
    out.append(
        "CREATE TRIGGER entry_next BEFORE INSERT ON entry BEGIN "
        "SELECT RAISE(ABORT, 'seq is not the next number') "
        "WHERE NEW.seq IS NOT (SELECT coalesce(max(seq), -1) + 1 FROM entry); "
        # REPLACE on a unique column would delete the old row past the triggers (research/ledger.md 3).
        "SELECT RAISE(ABORT, 'id is already recorded') WHERE EXISTS (SELECT 1 FROM entry WHERE eid = NEW.eid); "
        "SELECT RAISE(ABORT, 'number is already recorded') WHERE EXISTS "
        "(SELECT 1 FROM entry WHERE stream = NEW.stream AND stream_seq = NEW.stream_seq); "
        "SELECT RAISE(ABORT, 'data is not bytes') WHERE typeof(NEW.data) <> 'blob'; END"
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
        "CREATE OR REPLACE FUNCTION countersign_next() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.seq <> (SELECT coalesce(max(seq), -1) + 1 FROM entry) THEN "
        "RAISE EXCEPTION 'seq is not the next number'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER entry_next BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION countersign_next()",
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


def lock(session: Connection) -> None:
    """Take the sequencer's lock; on SQLite the transaction itself began IMMEDIATE."""
    if session.dialect.name == "postgresql":
        session.exec_driver_sql("SELECT pg_advisory_xact_lock(7246573)")


@dataclass(frozen=True, slots=True)
class Standing:
    """What an append needs to know of the record: its size and last `ts`, the size that the newest note covers, the
    next number in a stream, and whether an id is recorded."""

    size: int
    last_ts: int
    covered: int
    next_in_stream: int
    known: bool


# Built once: composing a statement anew costs as much as running it.
_NEWEST = entries.alias("newest")
_STANDING = select(
    select(_NEWEST.c.seq).order_by(_NEWEST.c.seq.desc()).limit(1).scalar_subquery().label("seq"),
    select(_NEWEST.c.ts).order_by(_NEWEST.c.seq.desc()).limit(1).scalar_subquery().label("ts"),
    select(func.max(checkpoints.c.size)).scalar_subquery().label("covered"),
    select(func.max(entries.c.stream_seq)).where(entries.c.stream == bindparam("of_stream")).scalar_subquery()
    .label("in_stream"),
    select(literal(1)).where(entries.c.eid == bindparam("of_id")).exists().label("known"),
)
_ADD_ENTRY, _ADD_CHECKPOINT = insert(entries), insert(checkpoints)


def standing(session: Connection, stream: str, eid: str) -> Standing:
    """One question for everything that an append asks first."""
    row = session.execute(_STANDING, {"of_stream": stream, "of_id": eid}).one()
    size = 0 if row.seq is None else row.seq + 1
    in_stream = 0 if row.in_stream is None else row.in_stream + 1
    return Standing(size, row.ts or 0, row.covered or 0, in_stream, bool(row.known))


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
    found: dict[str, Entry] = {}
    for start in range(0, len(eids), 500):
        rows = session.execute(select(entries.c.data).where(entries.c.eid.in_(eids[start:start + 500])))
        found |= {entry.body["id"]: entry for entry in (Entry.parse(row.data) for row in rows)}
    return found


def add_entries(session: Connection, made: Sequence[Entry]) -> None:
    """Store entries in order with the columns by which people search."""
    rows = [
        {
            "seq": entry.seq, "data": entry.raw, "leaf": entry.leaf, "ts": entry.ts, "eid": entry.body["id"],
            "stream": entry.stream, "stream_seq": entry.stream_seq, "actor": entry.body["actor"],
            "on_behalf_of": entry.body.get("on_behalf_of"), "action": entry.body["action"],
            "trial": entry.body.get("trial"), "reason": entry.body.get("reason"),
            **search_columns(entry.body["fields"]),
        }
        for entry in made
    ]
    if rows:
        session.execute(_ADD_ENTRY, rows)


def search_columns(fields: dict[str, Any]) -> dict[str, str | None]:
    """Subject, study and model of an entry, where its fields name them."""

    def text(*names: str) -> str | None:
        return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)

    return {"subject": text("subject"), "study": text("study"), "model": text("lock", "model")}


def add_checkpoint(session: Connection, checkpoint: proofs.Checkpoint) -> None:
    session.execute(
        _ADD_CHECKPOINT, {"size": checkpoint.size, "root": checkpoint.root, "note": checkpoint.note}
    )


def add_full_tiles(session: Connection, old_size: int, new_size: int) -> None:
    """Store every tile that became full between two sizes, level by level."""
    level, old, new = 0, old_size, new_size
    while new // proofs.TILE > old // proofs.TILE:
        for index in range(old // proofs.TILE, new // proofs.TILE):
            hashes = tile_row(session, level, index * proofs.TILE, proofs.TILE)
            session.execute(
                insert(tiles).values(level=level, idx=index, data=b"".join(hashes), root=proofs.subtree_root(hashes))
            )
        level, old, new = level + 1, old // proofs.TILE, new // proofs.TILE


_NEWS = (
    select(entries.c.seq, entries.c.leaf, checkpoints.c.note)
    .outerjoin(checkpoints, checkpoints.c.size == entries.c.seq + 1)
    .where(entries.c.seq >= bindparam("low")).order_by(entries.c.seq)
)


def news(session: Connection, low: int) -> list[tuple[int, bytes, str | None]]:
    """(number, leaf, the note that ends with it) of every committed entry from `low` on."""
    return [(row.seq, bytes(row.leaf), row.note) for row in session.execute(_NEWS, {"low": low})]


def tile_row(session: Connection, level: int, start: int, count: int) -> list[bytes]:
    """`count` hashes of tile level `level` (each covering 256^level leaves) from `start` on."""
    if level == 0:
        column, key = entries.c.leaf, entries.c.seq
        query = select(column).where(key.between(start, start + count - 1)).order_by(key)
    else:
        key = tiles.c.idx
        query = (
            select(tiles.c.root).where(tiles.c.level == level - 1, key.between(start, start + count - 1)).order_by(key)
        )
    found = [bytes(row[0]) for row in session.execute(query)]
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

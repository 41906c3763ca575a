"""Engines for both stores, and the schema: Alembic's steps, then the read-models."""

from __future__ import annotations

import math
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, insert, inspect, select, text
from sqlalchemy.exc import InvalidatePoolError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry

from audit import store, turn
from core import outbox, projection
from core.errors import CountersignError, OutsideUnavailable, UnusableInput
from core.ledger_postgresql import PLANNED_ONCE
from countersign import disk, schema

IDLE_S = 1.0
MIGRATIONS = Path(__file__).parent / "migrations"
INSUFFICIENT_PRIVILEGE = "42501"


def connect(url: str) -> Engine:
    """An engine with the promises of RECORD 8: WAL, FULL, and a write that begins IMMEDIATE on SQLite."""
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": 60, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "handle_error", _tell_of_disk)
        turn.listen(engine)
        return engine
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    # The connection that was used last has most statements planned.
    engine = create_engine(url, isolation_level="READ COMMITTED", pool_use_lifo=True)
    event.listen(engine, "connect", _prepare_postgres)
    event.listen(engine, "do_execute", _plan_once)
    _ask_the_idle(engine)
    event.listen(engine, "handle_error", _tell_of_disk)
    turn.listen(engine)
    return engine


def _tell_of_disk(context: ExceptionContext) -> None:
    """A full or read-only disk leaves as DiskFull or DiskReadOnly; the transaction is rolled back as for any error."""
    said = disk.store_error(context.original_exception)
    if said is not None:
        raise said from context.original_exception


def connect_to_read(url: str) -> Engine:
    """An engine that only reads, for a signer in its own process. SQLite is opened read-only; on PostgreSQL the address
    is best that of the auditor's role, and the session is read-only besides."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        engine = create_engine(
            f"sqlite:///file:{path}?mode=ro&uri=true", connect_args={"timeout": 60, "check_same_thread": False}
        )
        event.listen(engine, "connect", _prepare_reader)
        event.listen(engine, "begin", _begin_sqlite)
        turn.listen(engine)
        return engine
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        url, isolation_level="READ COMMITTED", connect_args={"options": "-c default_transaction_read_only=on"}
    )
    _ask_the_idle(engine)
    turn.listen(engine)
    return engine


def _ask_the_idle(engine: Engine) -> None:
    """Ask a connection whether it still stands before it is used again, if it lay for a second: to ask each time is an
    exchange with the server for each commit. One that broke within the second is met by whoever uses it."""

    def left(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["left"] = time.monotonic()

    def taken(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("left", math.inf) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as gone:
            raise InvalidatePoolError from gone

    event.listen(engine, "checkin", left)
    event.listen(engine, "checkout", taken)


def _plan_once(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Prepare a statement that says so at its first execution, with a plan for any values: by itself the driver sends
    it unprepared the first five times, and the server plans it anew the next five (design record 0146)."""
    if PLANNED_ONCE not in context.execution_options:
        return False
    cursor.connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    cursor.execute(statement, parameters, prepare=True)
    cursor.connection.execute("SET LOCAL plan_cache_mode = auto")
    return True


def _prepare_reader(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("query_only=ON", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgres(connection: Any, _record: Any) -> None:
    """A server that can compile a question does so by its estimate alone, and takes longer than a page may."""
    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
    connection.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    with closing(connection.cursor()) as cursor:
        for pragma in (
            "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON", "secure_delete=ON",
            "trusted_schema=OFF",
        ):
            try:
                cursor.execute(f"PRAGMA {pragma}")
            except sqlite3.Error as error:
                raise disk.store_error(error) or error from error


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("countersign_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest step, then make the read-models that do not exist yet.

    Read-models are not migrated: a changed one is dropped and folded again from entry 0.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect().execution_options(countersign_write=True) as session, session.begin():
        config.attributes["connection"] = session
        command.upgrade(config, "head")
    with engine.connect().execution_options(countersign_write=True) as session, session.begin():
        projection.metadata.create_all(session)
    if engine.dialect.name == "postgresql":
        schema.grant_roles(engine)


def bring_up(engine: Engine) -> None:
    """Make the schema of this release, unless the database's owner did so before (`prepare`).

    Raises UnusableInput: on PostgreSQL this role may not make tables, and the owner has not made them.
    """
    if engine.dialect.name == "postgresql" and is_prepared(engine):
        return
    try:
        migrate(engine)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise UnusableInput(
            "The database lacks the tables of this release, and the house's role may not make them.",
            next_step="Its owner prepares it: countersign database prepare --owner ADDRESS --house ROLE",
        ) from error


def prepare(engine: Engine, *, house: str, signer: str | None = None) -> tuple[str, ...]:
    """The owner's act on PostgreSQL: the schema of this release, the roles of RECORD 8, and who is in them.

    May be repeated, and is after each new release. Read-models that differ from a fold of the record by this release
    are swapped for it in one transaction, so that no house ever decides on an empty table; returns their names.

    Raises UnusableInput as `schema.admit`.
    """
    if engine.dialect.name != "postgresql":
        raise UnusableInput("Only PostgreSQL has owners and roles.", next_step="An embedded home needs no preparation.")
    migrate(engine)
    changed = _folded_anew(engine) if holds_record(engine) else ()
    schema.grant_roles(engine)
    schema.admit(engine, house=house, signer=signer)
    return changed


def _folded_anew(engine: Engine) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="countersign-prepare-") as folder, \
            projection.Fresh(Path(folder) / "fresh.db") as fresh, turn.locked(engine) as session:
        fresh.fold(store.read_entries(session))
        difference = fresh.difference(session)
        fresh.swap(session, difference)
    return difference.tables


def is_prepared(engine: Engine) -> bool:
    """Whether record, working tables and read-models are those of this release. Raises OutsideUnavailable."""
    if not is_founded(engine):
        return False
    with engine.connect() as session:
        here, known = schema_steps(session)
        return here == known[0] and not projection.misshapen(session)


def schema_steps(session: Connection) -> tuple[str | None, list[str]]:
    """The step that the database is at, and the steps of this release, the newest first."""
    from alembic.script import ScriptDirectory

    steps = ScriptDirectory(str(MIGRATIONS))
    here = session.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return here, [step.revision for step in steps.walk_revisions()]


def holds_record(engine: Engine) -> bool:
    """Whether an entry was appended. Raises OutsideUnavailable where the database does not answer."""
    if not is_founded(engine):
        return False
    with engine.connect() as session:
        return store.head(session)[0] > 0


def copy_tables(source: Connection, target: Connection) -> None:
    """Every row of record, working tables and read-models, from one store to an empty one of the same schema.

    The caller holds both transactions; the source's is one snapshot. A few hundred rows are in memory at a time.
    """
    there = set(inspect(source).get_table_names())
    for metadata in (store.metadata, outbox.metadata, projection.metadata):
        for table in metadata.sorted_tables:
            if table.name not in there:
                continue
            rows = source.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            for some in rows.partitions(500):
                target.execute(insert(table), [dict(row) for row in some])


def is_founded(engine: Engine) -> bool:
    """Whether the tables of the record exist. Raises OutsideUnavailable where the database does not answer."""
    try:
        return inspect(engine).has_table("entry")
    except CountersignError:
        raise
    except Exception as error:
        raise OutsideUnavailable(
            f"The database does not answer: {type(error).__name__}.",
            next_step="Start it, or correct COUNTERSIGN_DATABASE_URL.",
        ) from error

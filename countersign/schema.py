"""The record's schema as it must be: compared with a fresh one, and the roles that hold it on PostgreSQL (RECORD 8)."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, Engine, create_engine, text

from audit import store
from core import outbox, projection

WRITER, AUDITOR = "countersign_writer", "countersign_auditor"


def _sqlite_objects(session: Connection) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in store.APPEND_ONLY)
    rows = session.execute(text(
        f"SELECT type || ' ' || name AS what, sql FROM sqlite_master WHERE tbl_name IN ({names}) "  # noqa: S608
        "AND sql IS NOT NULL"
    ))
    return {row.what: " ".join(row.sql.split()) for row in rows}


def _postgres_objects(session: Connection) -> dict[str, str]:
    rows = session.execute(text(
        "SELECT 'trigger ' || t.tgname AS what, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text AS sql "
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace "
        "UNION ALL SELECT 'column ' || table_name || '.' || column_name, data_type || ' ' || is_nullable "
        "FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ANY(:tables) "
        "UNION ALL SELECT 'function ' || proname::text, prosrc FROM pg_proc WHERE proname LIKE 'countersign_%'"
    ), {"tables": list(store.APPEND_ONLY)})
    return {row.what: row.sql for row in rows}


def record_objects(session: Connection) -> dict[str, str]:
    """Tables, indexes and protections of the record, by name."""
    return _sqlite_objects(session) if session.dialect.name == "sqlite" else _postgres_objects(session)


def schema_digest(objects: dict[str, str]) -> str:
    """SHA-256 over names and definitions; pinned in the validation report of an installation."""
    return hashlib.sha256("\n".join(f"{what}\t{objects[what]}" for what in sorted(objects)).encode()).hexdigest()


def deviations(session: Connection) -> list[str]:
    """What differs from a fresh schema of this release: missing, added or changed, in words."""
    found = record_objects(session)
    if session.dialect.name != "sqlite":
        wanted = {
            statement.split()[2] for statement in store.protection("postgresql")
            if statement.startswith("CREATE TRIGGER")
        }
        return [
            f"trigger {name} is missing or disabled" for name in sorted(wanted)
            if not found.get(f"trigger {name}", "").endswith(" O")
        ]
    fresh = create_engine("sqlite://")
    with fresh.begin() as clean:
        store.metadata.create_all(clean)
        for statement in store.protection("sqlite"):
            clean.exec_driver_sql(statement)
        right = _sqlite_objects(clean)
    fresh.dispose()
    return [
        *(f"{what} is missing" for what in sorted(right.keys() - found.keys())),
        *(f"{what} was added" for what in sorted(found.keys() - right.keys())),
        *(f"{what} was changed" for what in sorted(right.keys() & found.keys()) if right[what] != found[what]),
    ]


def grant_roles(engine: Engine) -> None:
    """PostgreSQL: a writer that can only add to the record, and an auditor that can only read.

    Made where the owner may make roles; an installation points COUNTERSIGN_DATABASE_URL at a member of the writer.
    """
    with engine.connect() as session, session.begin():
        may = session.execute(text(
            "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
        )).scalar_one()
        if not may:
            return
        for role in (WRITER, AUDITOR):
            if not session.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :r"), {"r": role}).scalar():
                session.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
        record = ", ".join(store.APPEND_ONLY)
        session.exec_driver_sql(f"GRANT SELECT, INSERT ON {record} TO {WRITER}")
        others = [table.name for table in (*projection.metadata.sorted_tables, *outbox.metadata.sorted_tables)]
        for name in others:
            session.exec_driver_sql(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{name}" TO {WRITER}')
        for name in (*store.APPEND_ONLY, *others):
            session.exec_driver_sql(f'GRANT SELECT ON "{name}" TO {AUDITOR}')

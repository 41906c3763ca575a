"""The roles that hold the record on PostgreSQL (RECORD 8)."""

from __future__ import annotations

from sqlalchemy import Engine, text

from audit import store
from core import outbox, projection

WRITER, AUDITOR = "countersign_writer", "countersign_auditor"


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

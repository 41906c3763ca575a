"""The roles that hold the record on PostgreSQL (RECORD 8): an owner who makes tables, a writer, an auditor."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from audit import store
from core import outbox, projection
from core.errors import UnusableInput

WRITER, AUDITOR = "countersign_writer", "countersign_auditor"
# What a server must be set to so that an acknowledged entry is on the disk, and a damaged page is noticed.
DURABLE = {"fsync": "on", "full_page_writes": "on", "data_checksums": "on"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session stands to the record: as whom, whether it could lift the protections, what the server is set to."""

    user: str
    could_weaken: bool
    settings: tuple[str, ...]


def standing(session: Connection) -> Standing:
    """Of this session on PostgreSQL; `settings` names those that do not keep an acknowledged entry (RECORD 8)."""
    user, could = session.execute(text(
        "SELECT current_user, bool_or(rolsuper OR pg_has_role(current_user, tableowner, 'USAGE')) "
        "FROM pg_tables, pg_roles WHERE schemaname = current_schema() AND tablename = 'entry' "
        "AND rolname = current_user GROUP BY rolname"
    )).one()
    given = {name: str(session.execute(text("SELECT current_setting(:n)"), {"n": name}).scalar_one())
             for name in (*DURABLE, "synchronous_commit")}
    wrong = [f"{name} = {given[name]}" for name, right in DURABLE.items() if given[name] != right]
    if given["synchronous_commit"] == "off":  # every other value waits for this server's own disk
        wrong.append("synchronous_commit = off")
    return Standing(str(user), bool(could), tuple(wrong))


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
            if not _is_there(session, role):
                session.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
        record = ", ".join(store.APPEND_ONLY)
        session.exec_driver_sql(f"GRANT SELECT, INSERT ON {record} TO {WRITER}")
        others = [table.name for table in (*projection.metadata.sorted_tables, *outbox.metadata.sorted_tables)]
        for name in others:
            session.exec_driver_sql(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{name}" TO {WRITER}')
        for name in (*store.APPEND_ONLY, *others, "alembic_version"):
            session.exec_driver_sql(f'GRANT SELECT ON "{name}" TO {AUDITOR}, {WRITER}')


def admit(engine: Engine, *, house: str, signer: str | None = None) -> None:
    """Make the house's login role a writer, and the signer's an auditor. The owner's act, after `grant_roles`.

    Raises UnusableInput: a role does not exist, or could lift the protections by itself.
    """
    with engine.connect() as session, session.begin():
        quote = session.dialect.identifier_preparer.quote
        for login, group in ((house, WRITER), (signer, AUDITOR)):
            if login is None:
                continue
            if not _is_there(session, login):
                raise UnusableInput(f"The database knows no role {login}.",
                                    next_step=f"Make it first: CREATE ROLE {quote(login)} LOGIN; then repeat.")
            if _could_weaken(session, login):
                raise UnusableInput(
                    f"{login} owns the record's tables, or may become their owner: it could lift their protections.",
                    next_step="Name a role of its own that is no superuser and no member of the owner.")
            if not _is_there(session, group):
                raise UnusableInput(f"The role {group} could not be made: this owner may not make roles.",
                                    next_step="As a superuser: ALTER ROLE … CREATEROLE for the owner; then repeat.")
            session.exec_driver_sql(f"GRANT {group} TO {quote(login)}")


def _is_there(session: Connection, role: str) -> bool:
    return session.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :r"), {"r": role}).scalar() is not None


def _could_weaken(session: Connection, role: str) -> bool:
    return bool(session.execute(text(
        "SELECT rolsuper OR rolcreaterole OR pg_has_role(rolname, current_user, 'MEMBER') "
        "FROM pg_roles WHERE rolname = :r"), {"r": role}).scalar())

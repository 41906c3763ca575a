"""A transaction to write in: under the lock from its first statement, whole or not at all, also when a server went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from audit import turn
from countersign import database
from tests.conftest import need
from tests.postgres import owner_of
from tests.req import req


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    made = database.connect(url)
    yield made
    made.dispose()


@req("REC-01", "REC-05")
def test_what_is_written_under_the_lock_is_one_transaction(engine: Engine) -> None:
    with owner_of(engine).begin() as session:
        session.exec_driver_sql("CREATE TABLE half (number integer)")
        if engine.dialect.name == "postgresql":
            session.exec_driver_sql(f"GRANT ALL ON half TO {engine.url.username}")
    with pytest.raises(RuntimeError, match="half-way"), turn.locked(engine) as session:
        session.exec_driver_sql("INSERT INTO half VALUES (1)")
        raise RuntimeError("half-way")
    with turn.locked(engine) as session:
        session.exec_driver_sql("INSERT INTO half VALUES (2)")
    with engine.connect() as session:
        assert session.exec_driver_sql("SELECT number FROM half").scalars().all() == [2]


@req("REC-01")
def test_the_lock_is_held_until_the_transaction_ends(engine: Engine) -> None:
    def second() -> None:
        with engine.connect() as session:
            if engine.dialect.name == "sqlite":
                session.exec_driver_sql("PRAGMA busy_timeout=0")
                session.exec_driver_sql("ROLLBACK")
                session.exec_driver_sql("BEGIN IMMEDIATE")
            elif not session.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7246573)").scalar_one():
                raise OperationalError("the lock is taken", None, RuntimeError("the lock is taken"))

    with turn.locked(engine), pytest.raises(OperationalError, match="lock"):
        second()
    second()


@req("REC-08")
def test_a_connection_whose_server_went_while_it_lay_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    need("postgres")
    from tests.postgres import fresh_database

    url = fresh_database().replace("postgresql://", "postgresql+psycopg://", 1)
    engine, other = database.connect(url), create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    monkeypatch.setattr(database, "IDLE_S", 0.0)
    with engine.connect() as session:
        first = session.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with other.connect() as session:
        assert session.exec_driver_sql("SELECT pg_terminate_backend(%s, 10000)", (first,)).scalar_one()

    with turn.locked(engine) as session:
        assert session.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != first
    engine.dispose()

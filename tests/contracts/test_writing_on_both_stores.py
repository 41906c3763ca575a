"""A transaction to write in: under the lock from its first statement, whole or not at all, also when a server went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, bindparam, column, create_engine, insert, select, table
from sqlalchemy.exc import DBAPIError, OperationalError
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


SAID = table("said", column("number"), column("words"), column("raw"))
SAY = turn.Fixed(insert(SAID))
HEARD = turn.Fixed(select(SAID.c.number, SAID.c.words, SAID.c.raw).where(SAID.c.number >= bindparam("low"))
                   .order_by(SAID.c.number))
ROWS = turn.Rows("said", ("number", "words", "raw"))


@pytest.fixture
def spoken(engine: Engine) -> Engine:
    raw = "bytea" if engine.dialect.name == "postgresql" else "blob"
    with owner_of(engine).begin() as session:
        session.exec_driver_sql(f"CREATE TABLE said (number integer PRIMARY KEY, words varchar(40), raw {raw})")
        if engine.dialect.name == "postgresql":
            session.exec_driver_sql(f"GRANT ALL ON said TO {engine.url.username}")
    return engine


def say(number: int, words: str | None = None, raw: bytes | None = None) -> dict[str, object]:
    return {"number": number, "words": words, "raw": raw}


@req("REC-01", "REC-05")
def test_what_waits_for_commit_is_read_by_whatever_is_asked_before(spoken: Engine) -> None:
    with turn.locked(spoken, at_once=False) as session:
        SAY.put(session, say(1))
        assert [row[0] for row in HEARD.ask(session, {"low": 0})] == [1]
        ROWS.put(session, [(2, None, None)])
        assert session.execute(select(SAID.c.number)).scalars().all() == [1, 2]
        ROWS.put(session, [(number, None, None) for number in range(3, 40)])
        SAY.put(session, say(40))
        assert HEARD.look(spoken, 0) == []  # another connection sees nothing before the commit
    assert [row[0] for row in HEARD.look(spoken, 0)] == list(range(1, 41))


@req("REC-01", "REC-05")
def test_where_one_of_what_waits_fails_nothing_of_it_is_kept_and_the_reason_is_told(spoken: Engine) -> None:
    with turn.locked(spoken) as session:
        SAY.put(session, say(1))
    for again in (lambda session: SAY.put(session, say(1)), lambda session: ROWS.put(session, [(1, None, None)])):
        with pytest.raises(DBAPIError, match=r"(?i)unique"), turn.locked(spoken) as session:
            SAY.put(session, say(2))
            again(session)
            SAY.put(session, say(3))
        assert [row[0] for row in HEARD.look(spoken, 0)] == [1]

    with turn.locked(spoken, at_once=False) as session:
        SAY.put(session, say(2))
    assert [row[0] for row in HEARD.look(spoken, 0)] == [1, 2]


@req("REC-01")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_failure_that_somebody_swallows_is_no_commit(spoken: Engine) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK then, and no error; SQLite goes on after a statement that failed."""
    with pytest.raises(RuntimeError, match="Nothing was committed"), turn.locked(spoken) as session:
        session.exec_driver_sql("INSERT INTO said (number) VALUES (1)")
        with pytest.raises(DBAPIError):
            session.exec_driver_sql("SELECT nothing")
    assert HEARD.look(spoken, 0) == []


@req("REC-01")
def test_texts_and_bytes_arrive_as_they_were(spoken: Engine) -> None:
    texts = ["it's", '"', "\\'; DROP TABLE said; --", "100 %s %(number)s $1 $$", "Größe ≥ 5 µm\n", "E'\\x00'"]
    if spoken.dialect.name == "postgresql":
        with spoken.connect() as session, session.begin():
            session.exec_driver_sql("SET standard_conforming_strings = off")  # for this one connection of the pool
    with turn.locked(spoken) as session:
        for number, words in enumerate(texts):
            SAY.put(session, say(number, words, words.encode() + bytes(range(256))))
            ROWS.put(session, [(number + 100, words, bytes(range(256)))])
    for number, words in enumerate(texts):
        rows = {row[0]: row[1:] for row in HEARD.look(spoken, 0)}
        assert rows[number] == (words, words.encode() + bytes(range(256)))
        assert rows[number + 100] == (words, bytes(range(256)))


@req("REC-01", "REC-05")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_what_is_prepared_outlives_what_the_driver_forgets(spoken: Engine) -> None:
    """psycopg throws all prepared statements of a connection away after a rollback, DROP, ALTER and the like."""

    def prepared_by_the_driver() -> None:
        with spoken.connect() as session, session.begin():
            for _ in range(8):
                session.exec_driver_sql("SELECT count(*) FROM said WHERE number > %s", (0,)).all()

    def rolled_back() -> None:
        with spoken.connect() as session:
            session.exec_driver_sql("SELECT 1")

    def left_to_the_pool() -> None:
        driver = spoken.raw_connection()
        driver.cursor().execute("SELECT 1")
        driver.close()

    def failed() -> None:
        with pytest.raises(RuntimeError), turn.locked(spoken) as session:
            HEARD.ask(session, {"low": 0})
            raise RuntimeError

    def thrown_away() -> None:
        with turn.locked(spoken) as session:
            session.exec_driver_sql(" deallocate all")

    def back_to_a_savepoint() -> None:
        with turn.locked(spoken) as session:
            step = session.begin_nested()
            SAY.put(session, say(1000))
            step.rollback()

    number = 0
    for event in (rolled_back, left_to_the_pool, failed, thrown_away, back_to_a_savepoint) * 2:
        with turn.locked(spoken) as session:
            SAY.put(session, say(number))
            assert len(HEARD.ask(session, {"low": 0})) == number + 1
        prepared_by_the_driver()
        event()
        number += 1
    assert [row[0] for row in HEARD.look(spoken, 0)] == list(range(number))


@req("REC-01", "REC-05")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_server_that_goes_during_a_turn_leaves_nothing_and_the_next_turn_goes_on(spoken: Engine) -> None:
    other = create_engine(spoken.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    for asked in (False, True):
        with pytest.raises(OperationalError), turn.locked(spoken) as session:
            SAY.put(session, say(1))
            pid = session.connection.driver_connection.info.backend_pid
            with other.connect() as killer:
                assert killer.exec_driver_sql("SELECT pg_terminate_backend(%s, 10000)", (pid,)).scalar_one()
            if asked:
                HEARD.ask(session, {"low": 0})
        assert HEARD.look(spoken, 0) == []

    with turn.locked(spoken) as session:
        SAY.put(session, say(1))
    assert [row[0] for row in HEARD.look(spoken, 0)] == [1]


@req("REC-01")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_lock_not_taken_at_once_is_taken_by_the_first_statement(spoken: Engine) -> None:
    free = "SELECT pg_try_advisory_xact_lock(7246573)"
    for first in (lambda session: HEARD.ask(session, {"low": 0}), lambda session: session.exec_driver_sql("SELECT 1"),
                  lambda session: session.execute(select(SAID.c.number)),
                  lambda session: ROWS.put(session, [(n, None, None) for n in range(20)])):
        with spoken.connect() as second, turn.locked(spoken, at_once=False) as session:
            assert second.exec_driver_sql(free).scalar_one()
            second.rollback()
            first(session)
            assert not second.exec_driver_sql(free).scalar_one()

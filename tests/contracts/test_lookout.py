"""The signer's own look at what is committed: over a connection that stays open, and on PostgreSQL begun ahead."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine, bindparam, column, create_engine, select, table
from sqlalchemy.pool import NullPool

from audit.lookout import Glance, Lookout
from audit.turn import Fixed
from audit.vocabulary.ledger import ClockStepped
from core.policy.state import Actor, Decision
from countersign import database
from tests.conftest import need
from tests.house import a_house
from tests.postgres import owner_of
from tests.req import req

YES = Decision(True, "P-30", "for a test", "service")
SEEN = table("seen", column("number"))
SEE = Fixed(select(SEEN.c.number).where(SEEN.c.number >= bindparam("low")).order_by(SEEN.c.number))


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    made = database.connect(url)
    with owner_of(made).begin() as session:
        session.exec_driver_sql("CREATE TABLE seen (number integer PRIMARY KEY)")
        if made.dialect.name == "postgresql":
            session.exec_driver_sql(f"GRANT ALL ON seen TO {made.url.username}")
    yield made
    made.dispose()


def commit(engine: Engine, number: int) -> None:
    with engine.connect().execution_options(countersign_write=True) as session, session.begin():
        session.exec_driver_sql(f"INSERT INTO seen VALUES ({number})")


def seen(lookout: Lookout, glance: Glance | None = None, low: int = 0) -> list[int]:
    return [row[0] for row in lookout.rows(low, glance)]


def server_process(lookout: Lookout) -> int:
    lookout.rows(0)
    assert lookout._open is not None
    return int(lookout._open.dbapi_connection.info.backend_pid)


@req("REC-01", "REC-03")
def test_each_look_sees_what_is_committed_then(engine: Engine) -> None:
    lookout = Lookout(engine, SEE)
    assert seen(lookout) == []
    for number in range(3):
        commit(engine, number)
        assert seen(lookout) == list(range(number + 1))
    assert seen(lookout, low=1) == [1, 2]


@req("REC-03")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_look_that_was_begun_ahead_answers_for_its_own_number_once(engine: Engine) -> None:
    """What is committed after it was begun is not in it; whoever asks otherwise than by the last one sees anew."""
    lookout = Lookout(engine, SEE)
    commit(engine, 1)
    glance = lookout.ask_ahead(0)
    assert glance is not None
    commit(engine, 2)
    assert seen(lookout, glance) in ([1], [1, 2])  # the server may take it up late, never early
    commit(engine, 3)
    assert seen(lookout, glance) == [1, 2, 3]

    first, second = lookout.ask_ahead(0), lookout.ask_ahead(2)
    commit(engine, 4)
    assert seen(lookout, first) == [1, 2, 3, 4]
    commit(engine, 5)
    assert seen(lookout, second, low=2) == [2, 3, 4, 5]
    assert seen(lookout, lookout.ask_ahead(4)) == [1, 2, 3, 4, 5]
    assert seen(lookout, Glance(0)) == [1, 2, 3, 4, 5]


@req("REC-03")
def test_on_sqlite_nothing_is_begun_ahead(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path / 'store.db'}")
    assert Lookout(engine, SEE).ask_ahead(0) is None
    engine.dispose()


@req("REC-03", "REC-08")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("ahead", [False, True])
def test_a_connection_that_went_is_replaced_and_the_question_asked_again(engine: Engine, ahead: bool) -> None:
    lookout, other = Lookout(engine, SEE), create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    commit(engine, 1)
    for _ in range(2):
        first = server_process(lookout)
        with other.connect() as killer:
            assert killer.exec_driver_sql("SELECT pg_terminate_backend(%s, 10000)", (first,)).scalar_one()
        assert seen(lookout, lookout.ask_ahead(0) if ahead else None) == [1]
        assert server_process(lookout) != first


@req("REC-08")
def test_it_is_given_up_with_its_engine_and_told_of_as_any_failure(engine: Engine) -> None:
    lookout = Lookout(engine, SEE)
    commit(engine, 1)
    assert seen(lookout) == [1]
    engine.dispose()
    assert lookout._open is None
    assert seen(lookout) == [1]

    with owner_of(engine).begin() as session:
        session.exec_driver_sql("DROP TABLE seen")
    with pytest.raises(Exception, match=r"no such table|does not exist") as told:
        lookout.rows(0)
    assert type(told.value).__module__ == "sqlalchemy.exc"


@req("REC-03")
def test_threads_that_look_at_once_each_get_their_own_answer(engine: Engine) -> None:
    lookout = Lookout(engine, SEE)
    for number in range(40):
        commit(engine, number)
    wrong: list[object] = []

    def look(low: int) -> None:
        for _ in range(30):
            found = seen(lookout, lookout.ask_ahead(low), low)
            if found != list(range(low, 40)):
                wrong.append((low, found))

    threads = [Thread(target=look, args=(low,)) for low in (0, 11, 23, 39)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


@req("REC-01", "REC-03")
@pytest.mark.parametrize("store_name", ["sqlite", "postgresql"])
def test_a_look_of_a_transaction_that_ended_without_a_note_serves_no_other(store_name: str, tmp_path: Path) -> None:
    """The next note is over what is committed then, and an old glance that is offered again is not believed."""
    url = None
    if store_name == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path / "house", url) as house:
        stale = []
        for number in range(4):
            with pytest.raises(RuntimeError, match="half-way"), house.desk.open(Actor.of_service("house")) as work:
                work.record(ClockStepped(microseconds=number, because="left"), under=YES)
                stale.append(work.glance)
                raise RuntimeError("half-way")
            with house.desk.open(Actor.of_service("house")) as work:
                work.record(ClockStepped(microseconds=number, because="kept"), under=YES)
                work.glance = stale[0]
        assert house.words()[-4:] == ["clock.stepped"] * 4
        assert (stale[0] is None) == (store_name == "sqlite")


@req("REC-03")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_process_with_many_open_files_looks_all_the_same(engine: Engine) -> None:
    """`select` knows the first 1,024 of them; a busy server holds more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2_048, before[1]), before[1]))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        lookout = Lookout(engine, SEE)
        commit(engine, 1)
        assert all(seen(lookout, lookout.ask_ahead(0)) == [1] for _ in range(20))
        lookout.close()
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

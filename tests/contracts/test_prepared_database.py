"""A PostgreSQL as operators set it up: its owner prepares it, the house adds to it, the signer reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

import countersign.words  # noqa: F401  the read-models are declared by importing them
from countersign.doctor import Finding, examine
from countersign.house import open_house
from tests.conftest import need
from tests.people.test_cli import WORDS, Terminal
from tests.req import req

VARIABLE = "COUNTERSIGN_DATABASE_URL"


@pytest.fixture
def database() -> tuple[str, str, str]:
    """Addresses of owner, house and signer of an empty database."""
    need("postgres")
    from tests.postgres import bare_database

    return bare_database()


def role(url: str) -> str:
    return str(make_url(url).username)


def found(terminal: Terminal) -> tuple[int, str]:
    done = terminal.run("init", "--one-time", "counter", lines=(WORDS, WORDS))
    return done.exit_code, done.output


def prepared(terminal: Terminal, *arguments: str) -> tuple[int, str]:
    done = terminal.run("database", "prepare", *arguments)
    return done.exit_code, done.output


def about(home: Path, words: str) -> Finding:
    opened = open_house(home)
    try:
        (finding,) = [one for one in examine(opened) if words in one.what]
    finally:
        opened.close()
    return finding


@req("REC-01", "REC-05", "OPS-05")
def test_a_house_lives_in_a_database_that_its_owner_prepared(
    database: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, house, signer = database
    terminal = Terminal(tmp_path / "home")
    monkeypatch.setenv(VARIABLE, house)
    code, said = found(terminal)
    assert (code, "countersign database prepare" in said, terminal.home.exists()) == (1, True, False), said

    for _ in range(2):  # after each new release it is typed again
        code, said = prepared(terminal, "--owner", owner, "--house", role(house), "--signer", role(signer))
        assert code == 0, said
        assert "countersign init" in said
    code, said = found(terminal)
    assert code == 0, said
    for founder in ("owner", "qa"):
        terminal.signed("init", "--sign", founder, by=founder, meaning="responsibility")
    assert terminal.run("ledger", "verify").exit_code == 0
    assert terminal.run("ledger", "rebuild").exit_code == 0
    assert about(terminal.home, "to its database").fine
    assert about(terminal.home, "Home and database can be written").fine

    for statement in ("CREATE TABLE mine (a INTEGER)", "ALTER TABLE entry DISABLE TRIGGER ALL", "DELETE FROM entry",
                      "SET session_replication_role = replica", "TRUNCATE person"):
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), create_engine(house).begin() as there:
            there.exec_driver_sql(statement)
    with create_engine(signer).begin() as there:
        assert there.execute(text("SELECT count(*) FROM entry")).scalar_one() > 20
    with pytest.raises(DBAPIError, match="permission denied"), create_engine(signer).begin() as there:
        there.exec_driver_sql("INSERT INTO cosignature VALUES (1, 'w', 'line')")


@req("REC-05", "OPS-05")
def test_doctor_tells_of_a_house_that_owns_its_record_and_of_a_server_that_may_lose_it(
    database: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, _ = database
    terminal = Terminal(tmp_path / "home")
    monkeypatch.setenv(VARIABLE, owner)
    code, said = found(terminal)
    assert code == 0, said
    finding = about(terminal.home, "to its database")
    assert not finding.fine
    assert "countersign database prepare" in finding.remedy
    assert about(terminal.home, "keeps what it acknowledged").fine
    monkeypatch.setenv("PGOPTIONS", "-c synchronous_commit=off")
    finding = about(terminal.home, "may lose what it acknowledged: synchronous_commit = off")
    assert not finding.fine


@req("REC-05", "OPS-05")
def test_nobody_is_let_in_who_could_lift_the_protections(database: tuple[str, str, str], tmp_path: Path) -> None:
    owner, house, signer = database
    terminal = Terminal(tmp_path / "home")
    with create_engine(owner).begin() as there:
        there.exec_driver_sql(f"ALTER ROLE {role(signer)} CREATEROLE")
    for given, word in ((role(owner), "could lift their protections"), (role(signer), "could lift their protections"),
                        ("nobody_here", "CREATE ROLE nobody_here LOGIN")):
        code, said = prepared(terminal, "--owner", owner, "--house", given)
        assert code == 1
        assert word in said, said
    with create_engine(house).connect() as there:
        assert not there.execute(text(
            "SELECT 1 FROM pg_auth_members WHERE member = current_user::regrole")).scalar()
    code, said = prepared(terminal, "--owner", f"sqlite:///{tmp_path / 'ledger.db'}", "--house", "x")
    assert code == 1
    assert "Only PostgreSQL" in said
    assert not (tmp_path / "ledger.db").exists()

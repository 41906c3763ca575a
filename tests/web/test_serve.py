"""`countersign serve` and the login that a person gives themself."""

from __future__ import annotations

import pyotp
import pytest
from typer.testing import CliRunner, Result

from core.errors import NotAuthenticated
from countersign.cli.serve import app
from countersign.web.accounts import Passwords, log_in
from tests.house import PASSWORD, HouseUnderTest
from tests.req import req

LOGIN = "a login password of its own"
CHEAP = Passwords(64, 1, 1)


@pytest.fixture
def lived(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> HouseUnderTest:
    monkeypatch.setattr("countersign.house.SystemClock", lambda: house.clock)
    house.person("qa-1", "qa_auditor")
    return house


def typed(house: HouseUnderTest, *answers: str, user: str = "qa-1") -> Result:
    return CliRunner().invoke(app, ["password", user, "--home", str(house.home)], input="\n".join(answers) + "\n")


def code(house: HouseUnderTest) -> str:
    counter = house.counters["qa-1"]
    house.counters["qa-1"] += 1
    return pyotp.HOTP(house.secrets["qa-1"]).at(counter)


@req("ACC-06", "SIG-05")
def test_a_person_sets_a_login_by_proving_who_they_are_with_key_password_and_code(lived: HouseUnderTest) -> None:
    done = typed(lived, PASSWORD, code(lived), LOGIN, LOGIN)

    assert done.exit_code == 0, done.output
    assert log_in(lived.desk, CHEAP, "qa-1", LOGIN)[1].user == "qa-1"
    with pytest.raises(NotAuthenticated):
        log_in(lived.desk, CHEAP, "qa-1", PASSWORD)


@req("ACC-06", "SIG-09")
def test_nobody_sets_a_login_for_somebody_else_or_with_the_signing_password(lived: HouseUnderTest) -> None:
    wrong = typed(lived, "not the password", code(lived), LOGIN, LOGIN)
    same = typed(lived, PASSWORD, code(lived), PASSWORD, PASSWORD)
    nobody = typed(lived, PASSWORD, "123456", LOGIN, LOGIN, user="nobody")

    assert [wrong.exit_code, same.exit_code, nobody.exit_code] == [1, 1, 1]
    assert "another one than the signing password" in same.output
    for password in (LOGIN, PASSWORD):
        with pytest.raises(NotAuthenticated):
            log_in(lived.desk, CHEAP, "qa-1", password)


@req("ACC-07")
def test_listening_beyond_this_machine_without_tls_is_refused(lived: HouseUnderTest) -> None:
    result = CliRunner().invoke(app, ["--host", "0.0.0.0", "--home", str(lived.home)])

    assert result.exit_code == 1
    assert "without TLS" in result.output

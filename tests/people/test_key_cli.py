"""`countersign key` and what `ledger query`, pages and API say of suspect entries, as people meet them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from core.access import usecases
from core.policy.state import Actor
from countersign.cli import app
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app
from tests.builders import people
from tests.builders.people import OWNER
from tests.house import PASSWORD, HouseUnderTest, a_house, checked
from tests.req import req

NEW_PASSWORD = "seven grey herons by the weir"


@pytest.fixture(scope="module")
def founded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path_factory.mktemp("founded"), founding=True) as house:
        people.opened(house)
        yield house


@pytest.fixture
def opened(founded_once: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(founded_once.copied(tmp_path)) as house:
        yield house


def command(house: HouseUnderTest, *arguments: str, lines: tuple[str, ...] = ()) -> Result:
    return CliRunner(env={"COUNTERSIGN_HOME": str(house.home)}).invoke(
        app, list(arguments), input="".join(f"{line}\n" for line in lines))


def signing(house: HouseUnderTest, user: str, meaning: str) -> tuple[str, str, str]:
    return meaning, PASSWORD, house.proof(user).code


@req("SIG-10", "SIG-07", "REC-10")
def test_a_person_replaces_their_key_at_the_command_line(opened: HouseUnderTest) -> None:
    shown = command(opened, "key", "rotate", "--as", "lead", "--new-second-factor", "counter",
                    lines=(NEW_PASSWORD, *signing(opened, "lead", "responsibility")))

    assert shown.exit_code == 0, shown.output
    assert "What you signed before" in shown.output
    assert "Second factor of lead, shown once" in shown.output
    kid = opened.house.signer.kid_of_person("lead")
    assert f"The new key signs from now on: {kid}" in shown.output
    secret = shown.output.split("secret ")[1].split()[0]
    again = command(opened, "key", "password", "--as", "lead",
                    lines=(NEW_PASSWORD, pyotp.HOTP(secret).at(0), "nine lamps over the harbour"))
    assert again.exit_code == 0, again.output
    listed = json.loads(command(opened, "key", "list", "--json").output)
    assert [row["revoked_by"] is None for row in listed if row["holder"] == "lead"] == [False, True]


@req("SIG-09", "REC-10")
@pytest.mark.parametrize(("arguments", "holder"), [(("rotate-service", "intake"), "intake"), (("rotate-log",), "log")])
def test_owner_and_qa_replace_a_key_of_the_house_at_the_command_line(
    opened: HouseUnderTest, arguments: tuple[str, ...], holder: str
) -> None:
    old = opened.house.signer.public_key(holder)

    first = command(opened, "key", *arguments, "--because", "yearly", "--as", "owner",
                    lines=signing(opened, "owner", "approval"))
    assert first.exit_code == 0, first.output
    assert "Nothing is replaced yet" in first.output
    assert opened.house.signer.public_key(holder) == old
    second = command(opened, "key", *arguments, "--because", "yearly", "--as", "qa",
                     lines=signing(opened, "qa", "approval"))

    assert second.exit_code == 0, second.output
    assert "the old one signs nothing more" in second.output
    assert opened.house.signer.public_key(holder) != old
    assert command(opened, "ledger", "verify").exit_code == 0
    unknown = command(opened, "key", "rotate-service", "nobody", "--because", "x", "--as", "owner")
    assert (unknown.exit_code, "countersign key list" in unknown.output) == (1, True)


@req("SIG-10", "ATR-04")
def test_a_suspect_entry_is_marked_in_query_page_and_api(opened: HouseUnderTest) -> None:
    """Shown everywhere an entry is shown; the entry itself stays genuine."""
    seq = max(one.seq for one in opened.entries() if one.body["actor"] == "lead")
    kid = opened.house.signer.kid_of_person("lead")
    said = command(opened, "key", "revoke", kid[:16], "--because", "laptop stolen", "--suspect-from", str(seq),
                   "--as", "owner", lines=signing(opened, "owner", "approval"))
    assert said.exit_code == 0, said.output
    by = len(opened.words()) - 1

    rows = json.loads(command(opened, "ledger", "query", "actor:lead", "--json").output)["entries"]
    assert {row["seq"]: row["suspect"] for row in rows} == {
        row["seq"]: by if row["seq"] >= seq else None for row in rows}
    assert f"SUSPECT by entry {by}" in command(opened, "ledger", "query", f"seq:{seq}..{seq}").output
    assert "SUSPECT" not in command(opened, "ledger", "query", f"seq:{seq - 1}..{seq - 1}").output
    as_csv = list(csv.DictReader(io.StringIO(command(opened, "ledger", "query", f"seq:{seq}..{seq}", "--csv").output)))
    assert as_csv[0]["suspect"] == str(by)

    cheap, password = Passwords(64, 1, 1), "a login password of its own"
    set_password(opened.desk, cheap, "qa", password)
    client = TestClient(build_app(opened.house, watching=False), base_url="http://testserver", follow_redirects=True)
    token = client.get("/login").text.split('name="token" value="')[1].split('"')[0]
    client.post("/login", data={"user": "qa", "password": password, "token": token, "next": "/ledger"})
    page = client.get(f"/ledger/{seq}").text
    assert "This entry is suspect." in page
    assert "This entry is genuine." in page
    assert "This entry is suspect." not in client.get(f"/ledger/{seq - 1}").text
    assert client.get(f"/api/v1/entries/{seq}").json()["entry"]["suspect"] == by
    listed = client.get("/api/v1/entries", params={"q": f"seq:{seq - 1}..{seq}"}).json()["entries"]
    assert [row["suspect"] for row in listed] == [by, None]


@req("SIG-10")
def test_a_revocation_that_names_nothing_says_what_to_do(opened: HouseUnderTest) -> None:
    before = opened.words()

    said = command(opened, "key", "revoke", "ffffffffffff", "--because", "x", "--as", "owner")

    assert said.exit_code == 1
    assert "countersign key list" in said.output
    assert opened.words() == before


@req("SIG-10")
def test_whoever_may_not_revoke_a_key_is_refused_also_by_its_id(opened: HouseUnderTest) -> None:
    from core.errors import Refused

    kid = opened.house.signer.kid_of_person("qa")
    with pytest.raises(Refused):
        usecases.revoke_key(opened.desk, Actor("lead"), kid[:16], "no reason", suspect_from=3)
    opened.commit(usecases.revoke_key(opened.desk, OWNER, kid[:16], "left the house", suspect_from=3))

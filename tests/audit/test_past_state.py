"""How the house stood at any entry or time: the record folded up to there says what the live tables said then."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import UnusableInput
from core.gates import usecases as gates
from countersign.cli.ledger import app as ledger_cli
from countersign.web import past
from reports.past_state import TABLES, state_as_of
from tests.audit.test_auditors_questions import visitor
from tests.builders import trials as build
from tests.builders.reads import TRIAL
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req


def live_tables(house: HouseUnderTest) -> dict[str, list[dict[str, Any]]]:
    on = datetime.date(2026, 11, 24)
    with house.desk.reading() as session:
        return {name: list(rows(session, None, on)) for name, rows in TABLES.items()}


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def lived(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HouseUnderTest, dict[int, Any], dict[int, str]]]:
    """A trial whose gate opened and was suspended: the house, the live tables at four moments, and their times."""
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path_factory.mktemp("past"), url) as house:
        then: dict[int, Any] = {}
        times: dict[int, str] = {}

        def look() -> None:
            last = house.entries()[-1]
            then[last.seq] = live_tables(house)
            times[last.seq] = datetime.datetime.fromtimestamp(last.ts / 1e6, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
            house.clock.advance(minutes=1)

        look()
        build.live(house)
        build.evidence_of_use_1(house)
        build.enrolled(house)
        look()
        gate = build.opened(house, "qc")
        look()
        gates.suspend_gate(house.desk, build.QA, gate, "drift_level_2")
        house.person("reader-9", "reader", trial=TRIAL)
        look()
        yield house, then, times


@req("REC-07", "ATR-04")
def test_the_record_folded_up_to_a_moment_says_what_the_live_tables_said_then(lived: Any) -> None:
    house, then, times = lived
    before = live_tables(house), len(house.words())
    for seq, tables in then.items():
        found = state_as_of(house.desk, str(seq))
        by_time = state_as_of(house.desk, times[seq])

        assert found.tables == tables
        assert (found.seq, found.folded) == (seq, seq + 1)
        assert (by_time.seq, by_time.tables, by_time.root) == (seq, tables, found.root)
    assert [[one["state"] for one in tables["gates"]] for tables in then.values()] == [[], [], ["open"], ["suspended"]]
    assert before == (live_tables(house), len(house.words()))


@req("REC-07", "ATR-04")
def test_the_console_shows_a_past_state_and_what_it_cost(lived: Any) -> None:
    house, then, _ = lived
    opened = list(then)[2]
    address = {"COUNTERSIGN_DATABASE_URL": house.house.settings.database_url}
    ask = ["state", "--as-of", str(opened), "--table", "gates", "--home", str(house.home)]
    told = CliRunner().invoke(ledger_cli, [*ask, "--json"], env=address)
    said = CliRunner().invoke(ledger_cli, ask, env=address)

    data = json.loads(told.stdout)
    assert list(data["tables"]) == ["gates"]
    assert data["tables"]["gates"] == then[opened]["gates"]
    assert f"{opened + 1} entries were folded in" in said.stdout
    assert "state open" in said.stdout
    wrong = CliRunner().invoke(ledger_cli, [*ask, "--table", "secrets"], env=address)
    assert wrong.exit_code == 1
    assert "There is no table secrets" in wrong.stderr


@req("REC-07")
@pytest.mark.parametrize(("moment", "fact"), [
    ("1999-01-01", "Nothing was on record"), ("99999", "There is no entry 99999"), ("soon", "is no moment"),
    ("2026-13-40", "is no moment")])
def test_a_moment_without_a_state_is_refused_in_words(lived: Any, moment: str, fact: str) -> None:
    house, _, _ = lived
    with pytest.raises(UnusableInput, match=fact):
        state_as_of(house.desk, moment)


@req("ACC-02", "ATR-04")
def test_a_person_sees_the_past_of_what_they_may_read_now(lived: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house, then, _ = lived
    from countersign.web.accounts import Passwords, set_password
    from tests.audit.test_auditors_questions import PASSWORD

    opened = list(then)[2]
    house.person("lead-8", "trial_lead", trial="OTHER-1")
    house.person("qa-8", "qa_auditor")
    for user in ("lead-8", "qa-8", "reader-9"):
        set_password(house.desk, Passwords(64, 1, 1), user, PASSWORD)
    foreign = visitor(house, "lead-8").get("/api/v1/state", params={"as_of": opened}).json()["tables"]
    client = visitor(house, "qa-8")
    own = client.get("/api/v1/state", params={"as_of": opened}).json()["tables"]
    page = client.get("/state", params={"as_of": opened})

    assert {name: rows for name, rows in foreign.items() if rows} == {}
    assert own == json.loads(json.dumps(then[opened]))
    assert f"{opened + 1} entries were folded" in page.text.replace("\u2009", " ")
    assert f"{TRIAL}-G1-1" in page.text
    assert visitor(house, "reader-9").get("/api/v1/state", params={"as_of": opened}).status_code == 403
    assert client.get("/state", params={"as_of": "soon"}).status_code == 422
    monkeypatch.setattr(past, "MOST_FOLDED", 10)
    refused = client.get("/api/v1/state", params={"as_of": opened})
    assert "a page folds at most 10" in refused.json()["fact"]
    assert "countersign ledger state --as-of" in refused.json()["next_step"]

"""`countersign validate` from the outside: what a script sees, and that a wrong call leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from countersign.cli.validate import app
from tests.builders.validation import Team, approve, installation
from tests.house import PASSWORD, HouseUnderTest
from tests.req import req
from validation import protocol


def call(house: HouseUnderTest, *words: str, user: str = "", meaning: str = "", app: Typer = app) -> Result:
    answers = {"COUNTERSIGN_HOME": str(house.home)}
    if user:
        answers |= {"COUNTERSIGN_USER": user, "COUNTERSIGN_PASSWORD": PASSWORD, "COUNTERSIGN_MEANING": meaning}
    if meaning:
        answers["COUNTERSIGN_CODE"] = house.proof(user).code
    return CliRunner().invoke(app, list(words), env=answers)


@req("VAL-01", "VAL-03")
def test_a_protocol_goes_from_draft_to_verdict_at_the_command_line(house: HouseUnderTest) -> None:
    Team.of(house)
    before = call(house, "installation", "--protocols", "OQ-INSTALLATION", user="tester-1")
    drafted = call(house, "draft", "iq-installation", user="author-1", meaning="authorship")
    early = call(house, "installation", "--protocols", "IQ-INSTALLATION", user="tester-1")
    reviewed = call(house, "sign", "IQ-INSTALLATION", user="lead-1", meaning="review")
    approved = call(house, "sign", "IQ-INSTALLATION", user="qa-1", meaning="approval")
    ran = call(house, "installation", "--protocols", "IQ-INSTALLATION", "--unsigned", "--json",
               user="tester-1")
    listed = json.loads(call(house, "list", "--json").output)

    assert (before.exit_code, early.exit_code) == (1, 1)
    assert "There is no protocol OQ-INSTALLATION" in before.output
    assert "not approved" in early.output
    assert [one.exit_code for one in (drafted, reviewed, approved)] == [0, 0, 0], drafted.output
    verdict = json.loads(ran.output)[0]["verdict"]
    assert ran.exit_code == (0 if verdict == "passed" else 1)
    assert listed["runs"] == [{"run": "IQ-INSTALLATION-v1-R1", "state": "concluded", "verdict": verdict}]
    report = json.loads(call(house, "report", "IQ-INSTALLATION-v1-R1").output)
    assert len(report["steps"]) == len(protocol.read(protocol.template("iq-installation")).steps)


@req("VAL-03")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["draft", "no-such-protocol"], "No protocol no-such-protocol ships"),
        (["draft", "pq-lesion-at-seed"], "supports.use"),
        (["draft", "iq-model", "--lock", "LCK-NONE", "--use", "1"], "No model is locked as LCK-NONE"),
        (["model", "IQ-SMALL"], "about this installation"),
        (["report", "NO-RUN"], "There is no run NO-RUN"),
        (["release", "NO-RUN", "--conclusion", "Fit."], "There is no run NO-RUN"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_records_nothing(
    house: HouseUnderTest, words: list[str], said: str
) -> None:
    approve(house, Team.of(house), installation("fine"))
    before = house.words()

    done = call(house, *words, *([] if words[0] == "report" else ["--as", "author-1"]))

    assert done.exit_code == 1
    assert said in done.output
    assert house.words() == before


@req("VAL-05")
def test_a_deviation_is_reported_signed_and_listed(house: HouseUnderTest) -> None:
    Team.of(house)
    words = ("deviate", "DEV-7", "--class", "minor", "--about", "backup", "--says", "A drill was late.")

    wrong = call(house, "deviate", "DEV-7", "--class", "small", "--about", "x", "--says", "y", user="lead-1")
    done = call(house, *words, user="lead-1", meaning="responsibility")
    twice = call(house, *words, user="lead-1", meaning="responsibility")

    assert "no class of deviation" in wrong.output
    assert done.exit_code == 0, done.output
    assert house.words().count("deviation.opened") == 1
    assert "DEV-7 exists already" in twice.output
    listed = json.loads(call(house, "list", "--json").output)
    assert [one["deviation"] for one in listed["open_deviations"]] == ["DEV-7"]


@req("VAL-08")
def test_the_size_of_a_test_set_is_planned_with_the_bound_that_judges_it(house: HouseUnderTest) -> None:
    """240 cases show a lower bound of 0.90 with 94 % where the truth is 0.96; 20 never do."""
    planned = call(house, "power", "--cases", "240", "--true", "0.96", "--limit", "0.9")
    few = call(house, "power", "--cases", "20", "--true", "0.96", "--limit", "0.9")

    assert planned.output.startswith("94.")
    assert few.output.startswith("0.0 %")


@req("VAL-02")
def test_a_trace_without_evidence_shows_the_gaps(house: HouseUnderTest, tmp_path: Path) -> None:
    out = tmp_path / "matrix.csv"

    done = call(house, "trace", "--out", str(out))

    assert done.exit_code == 1
    assert "REC-01 (H) open" in done.output
    assert out.read_text(encoding="utf-8").startswith("requirement,risk,method,state")

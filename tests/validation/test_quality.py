"""Actions against causes are judged on their effect by another person; a change makes suspect what its class says."""

from __future__ import annotations

import json

import pytest

from core.errors import AlreadyDone, Refused, UnusableInput
from countersign.cli.quality import app
from countersign.readiness import people_findings
from tests.builders.validation import Team, approve, installation, passing, run
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call
from validation import queries
from validation.quality import AssessChange, CloseCapa, OpenCapa, assess_change, close_capa, open_capa
from validation.releases import CloseDeviation, OpenDeviation, close_deviation, open_deviation

ABOUT = "the backup"


def planned(capa: str = "CAPA-1", due: str = "2020-01-31") -> OpenCapa:
    return OpenCapa(capa, "DEV-1", "corrective", "Two drills a year.", "owner-0", due, "The next drill is in time.")


def deviating(house: HouseUnderTest, klass: str = "critical") -> Team:
    team = Team.of(house)
    house.commit(open_deviation(house.desk, team.lead, OpenDeviation("DEV-1", klass, "operation", ABOUT, "Late.")))
    return team


@req("VAL-05")
def test_a_critical_deviation_closes_with_an_action_that_alarms_when_it_is_late(house: HouseUnderTest) -> None:
    team = deviating(house)
    closing = CloseDeviation("DEV-1", "No reminder", "None", "Reminder set", "Closed")
    with pytest.raises(Refused) as without:
        close_deviation(house.desk, team.qa, closing)
    with pytest.raises(UnusableInput, match="no day"):
        open_capa(house.desk, team.lead, planned(due="soon"))
    house.commit(open_capa(house.desk, team.lead, planned()))
    with pytest.raises(AlreadyDone):
        open_capa(house.desk, team.lead, planned())

    house.commit(close_deviation(house.desk, team.qa, closing))

    assert without.value.rule == "F-724"
    (alarm,) = [one for one in people_findings(house.house) if "CAPA-1" in one.what]
    assert alarm.what.startswith("ALARM: critical action")
    house.commit(close_capa(house.desk, team.qa, CloseCapa("CAPA-1", "Done.", "effective", "Seen.", b"protocol")))
    assert not [one for one in people_findings(house.house) if "CAPA-1" in one.what]


@req("VAL-05")
def test_an_action_is_judged_by_another_than_its_owner_and_on_an_effect(house: HouseUnderTest) -> None:
    """Without effect it closes only onto the next one."""
    team = deviating(house, "major")
    house.commit(open_capa(house.desk, team.lead, OpenCapa(
        "CAPA-1", "DEV-1", "preventive", "A reminder.", team.qa.user, "2099-01-31", "Drills in time.")))

    with pytest.raises(Refused) as own:
        close_capa(house.desk, team.qa, CloseCapa("CAPA-1", "Done.", "effective", "Seen.", b"x"))
    with pytest.raises(UnusableInput, match="shown by a file"):
        close_capa(house.desk, team.lead, CloseCapa("CAPA-1", "Done.", "effective", "Seen."))
    failed = CloseCapa("CAPA-1", "Done.", "not_effective", "Late again.", followed_by="CAPA-2")
    with pytest.raises(UnusableInput, match="another open one"):
        close_capa(house.desk, team.lead, failed)
    house.commit(open_capa(house.desk, team.lead, planned("CAPA-2")))
    house.commit(close_capa(house.desk, team.lead, failed))
    with pytest.raises(AlreadyDone):
        close_capa(house.desk, team.lead, failed)

    assert own.value.rule == "F-723"


@req("VAL-13")
@pytest.mark.parametrize(("klass", "suspect"), [("C0", []), ("C1", ["IQ"]), ("C2", ["IQ", "OQ"]), ("C3", ["IQ", "OQ"])])
def test_a_change_makes_suspect_what_its_class_says(house: HouseUnderTest, klass: str, suspect: list[str]) -> None:
    team = Team.of(house)
    runs = {}
    for kind in ("IQ", "OQ"):
        approve(house, team, installation("fine", kind=kind))
        runs[kind] = run(house, team, f"{kind}-SMALL", checks={"fine": passing()}).run
    if klass == "C1":
        with pytest.raises(UnusableInput, match="bit by bit"):
            assess_change(house.desk, team.lead, AssessChange("CHG-1", klass, "A compiler."))

    house.commit(assess_change(house.desk, team.lead, AssessChange("CHG-1", klass, "A library.", proof=b"digests")))
    house.work()
    house.work()

    with house.desk.reading() as session:
        states = {kind: queries.run_row(session, name)["state"] for kind, name in runs.items()}
    assert [kind for kind, state in states.items() if state == "suspect"] == suspect
    assert house.words().count("validation.suspect") == len(suspect)
    with pytest.raises(AlreadyDone):
        assess_change(house.desk, team.lead, AssessChange("CHG-1", klass, "A library.", proof=b"digests"))


@req("VAL-05", "VAL-13")
def test_actions_and_changes_go_through_the_command_line(house: HouseUnderTest) -> None:
    deviating(house)
    opened = call(house, "open", "CAPA-1", "DEV-1", "--action", "A drill.", "--owner", "owner-0", "--due", "2099-01-31",
                  "--effect-check", "In time.", user="lead-1", meaning="responsibility", app=app)
    changed = call(house, "change", "CHG-1", "--class", "C0", "--says", "A typing error in a label.",
                   user="lead-1", meaning="responsibility", app=app)
    early = call(house, "check", "CAPA-1", "--done", "Done.", "--effect", "not_effective", "--checked", "Late.",
                 user="qa-1", meaning="approval", app=app)
    listed = json.loads(call(house, "list", "--json", app=app).output)

    assert (opened.exit_code, changed.exit_code, early.exit_code) == (0, 0, 1), opened.output + changed.output
    assert "another open one" in early.output
    assert [one["capa"] for one in listed["actions"]] == ["CAPA-1"]
    assert [one["scope"] for one in listed["changes"]] == ["nothing: text alone"]

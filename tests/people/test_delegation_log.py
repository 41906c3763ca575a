"""The delegation log of a trial keeps every line, ended ones too, and agrees with what policy asks."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path

from typer.testing import CliRunner

from core.access import usecases
from core.access.delegation_log import delegation_log
from core.access.queries import delegation_of, today
from countersign.cli import app
from tests.builders import people
from tests.builders.people import QA
from tests.house import a_house
from tests.req import req

TRIAL = "T1"


@req("ACC-04", "SOP-03")
def test_every_line_says_who_delegated_what_from_when_to_when_in_which_entry(tmp_path: Path) -> None:
    with a_house(tmp_path, founding=True) as house:
        people.opened(house)
        lead = people.active(house, "tia")
        people.granted(house, "tia", "trial_lead", trial=TRIAL)
        for user in ("ann", "ben"):
            people.active(house, user)
        people.granted(house, "ann", "reader", trial=TRIAL)  # by QA: delegates nothing
        with house.desk.reading() as session:
            day = today(session)
        last = (date.fromisoformat(day) + timedelta(days=10)).isoformat()
        house.commit(usecases.delegate_tasks(
            house.desk, lead, usecases.DelegateTasks("ann", "reader", TRIAL, day, last)))
        signed = house.entries()[-1].seq
        people.granted(house, "ben", "reader", by=lead, trial=TRIAL)
        granted = house.entries()[-1].seq
        house.commit(usecases.end_delegation(
            house.desk, lead, usecases.GrantRole("ben", "reader", "has left the team", TRIAL)))

        with house.desk.reading() as session:
            ann, ben = delegation_log(session, TRIAL)
            for one in (ann, ben):
                for then in (day, last, "2099-01-01"):
                    assert one.in_force(then) == (delegation_of(session, one.user, "reader", TRIAL, then) is not None)
        assert (ann.user, ann.role, ann.signed_by, ann.signed_as, ann.entry, ann.how) == (
            "ann", "reader", "tia", "trial_lead", signed, "delegation")
        assert (ann.from_on, ann.until_on, ann.ended_entry) == (day, last, None)
        assert (ben.entry, ben.how, ben.ended_by, ben.because) == (granted, "grant", "tia", "has left the team")

        house.commit(usecases.revoke_role(house.desk, QA, usecases.GrantRole("ann", "reader", "on leave", TRIAL)))
        people.granted(house, "ann", "reader", trial=TRIAL)
        with house.desk.reading() as session:
            assert delegation_of(session, "ann", "reader", TRIAL, day) is None, "the old line went with the role"
            assert [one.ended_by for one in delegation_log(session, TRIAL)] == ["qa", "tia"]
            assert delegation_log(session, "T2") == ()

        house.house.close()
        shell = CliRunner(env={"COUNTERSIGN_HOME": str(house.home)})
        rows = json.loads(shell.invoke(app, ["role", "delegations", "--trial", TRIAL, "--json"]).output)
        assert [(row["user"], row["in_force"]) for row in rows] == [("ann", False), ("ben", False)]
        listed = shell.invoke(app, ["role", "delegations", "--trial", TRIAL, "--csv"]).output
        assert [row["because"] for row in csv.DictReader(listed.splitlines())] == ["on leave", "has left the team"]
        words = shell.invoke(app, ["role", "delegations", "--trial", TRIAL]).output
        assert f"signed by tia (trial_lead), entry {signed}" in words

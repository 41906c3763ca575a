"""The training matrix says of every person and version where they stand, and which acts are refused until when."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.access.roles import ROLES, is_untrained
from core.access.training import NEVER_GOVERNED, Binding, applies, governs
from core.errors import Refused
from core.policy.decide import decide
from core.policy.state import Actor, Facts, HouseState
from core.policy.table import TABLE
from countersign.cli import app
from sops import usecases
from sops.matrix import Cell, Training, matrix, stopped_acts
from tests.builders import people
from tests.builders.people import OWNER, QA, THIRD
from tests.house import HouseUnderTest, a_house
from tests.req import req
from tests.sops.test_sops import a_document, approved

ACTS = sorted({action for rule in TABLE for action in rule.actions} - {"*"})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path, founding=True) as house:
        people.opened(house)
        yield house


def cell(house: HouseUnderTest, user: str, sop: str, version: int) -> Cell:
    with house.desk.reading() as session:
        return next(one for one in matrix(session) if (one.user, one.sop, one.version) == (user, sop, version))


@req("SOP-03")
def test_a_person_goes_from_missing_to_trained_to_due_to_lapsed_and_only_they_can_lift_it(
    opened: HouseUnderTest
) -> None:
    approved(opened, a_document("sop.draft", applies_to="validation_lead"))
    found = cell(opened, "lead", "SOP-07", 1)
    assert (found.status, found.roles, found.stopped) == (Training.MISSING, ("validation_lead",), ("sop.draft",))
    assert cell(opened, "qa", "SOP-07", 1).status is Training.NOT_NEEDED

    people.trained(opened, THIRD, "SOP-07")
    found = cell(opened, "lead", "SOP-07", 1)
    assert (found.status, found.stopped, found.lifted_by) == (Training.TRAINED, (), "")
    assert found.entry == opened.entries()[-1].seq

    approved(opened, a_document("sop.draft", window=14, applies_to="validation_lead"))
    approval = next(one for one in reversed(opened.entries()) if one.body["action"] == "sop.approved")
    due = cell(opened, "lead", "SOP-07", 2)
    assert (due.status, due.stopped) == (Training.DUE, ())
    assert due.due_by == approval.body["fields"]["effective_on"]
    opened.clock.advance(days=15)
    assert usecases.make_due_effective(opened.desk) == ["SOP-07 version 2"]

    lapsed = cell(opened, "lead", "SOP-07", 2)
    assert (lapsed.status, lapsed.earlier, lapsed.stopped) == (Training.LAPSED, 1, ("sop.draft",))
    with pytest.raises(Refused) as refusal:
        usecases.draft_sop(opened.desk, THIRD, usecases.DraftSop(a_document()))
    said = f"{refusal.value.fact} {refusal.value.next_step}"
    assert "SOP-07 version 2 (Reads)" in said
    assert "lead has not signed read-and-understood" in said
    assert lapsed.lifted_by == "lead: countersign sop train SOP-07 --as lead"
    assert lapsed.lifted_by in said
    assert opened.words()[-1] == "action.refused"
    people.trained(opened, THIRD, "SOP-07")
    assert cell(opened, "lead", "SOP-07", 2).status is Training.TRAINED
    usecases.draft_sop(opened.desk, THIRD, usecases.DraftSop(a_document()))


@req("SOP-03")
def test_the_matrix_at_the_command_line_is_that_of_the_record(opened: HouseUnderTest) -> None:
    approved(opened, a_document("sop.draft", applies_to="validation_lead"))
    opened.house.close()

    def typed(*more: str) -> str:
        result = CliRunner(env={"COUNTERSIGN_HOME": str(opened.home)}).invoke(app, ["sop", "matrix", *more])
        assert result.exit_code == 0, result.output
        return result.output

    rows = json.loads(typed("--json"))
    assert {row["user"] for row in rows} == {"owner", "qa", "lead"}
    assert {(row["sop"], row["status"]) for row in rows if row["user"] == "lead"} == {
        ("SOP-01", "trained"), ("SOP-07", "missing")}
    assert [row["user"] for row in csv.DictReader(typed("--csv", "--lacking").splitlines())] == ["lead"]
    (line,) = typed("--lacking").splitlines()
    assert line.endswith("missing; refused: sop.draft; lead: countersign sop train SOP-07 --as lead")


@req("SOP-03", "ACC-01")
@given(held=st.sets(st.sampled_from(sorted(ROLES)), min_size=1, max_size=3),
       bound=st.sets(st.sampled_from(sorted(role for role in ROLES if not is_untrained(role))), max_size=4),
       pattern=st.sampled_from(ACTS))
def test_the_acts_that_the_matrix_calls_stopped_are_those_that_the_policy_refuses(
    held: set[str], bound: set[str], pattern: str
) -> None:
    """Against the real table: what is named is refused for the gap, and what the lapse does refuse is named."""
    binding = Binding("SOP-07", 1, "Reads", (pattern,), tuple(sorted(bound)), effective=True)
    stopped = stopped_acts(binding, held)
    gaps = {role: "untrained" for role in held if not is_untrained(role) and applies(binding, role=role)}
    for action in (one for one in ACTS if governs(binding.governs, one)):
        facts = {name: Facts(house=HouseState.OPENED, trial="T1", roles=frozenset(held), gaps=given)
                 for name, given in (("trained", {}), ("lapsed", gaps))}
        trained, lapsed = (decide(Actor("ann"), action, facts[name]) for name in ("trained", "lapsed"))
        if action in stopped:
            assert not lapsed.allowed
        elif action not in NEVER_GOVERNED:
            assert lapsed.allowed == trained.allowed


@req("SOP-03")
def test_nobody_is_in_the_matrix_after_the_account_is_closed(opened: HouseUnderTest) -> None:
    from core.access import usecases as accounts

    people.active(opened, "ann")
    with opened.desk.reading() as session:
        assert "ann" in {one.user for one in matrix(session)}
    opened.commit(accounts.close_account(opened.desk, QA, "ann", "left"))
    with opened.desk.reading() as session:
        assert {one.user for one in matrix(session)} == {OWNER.user, QA.user, THIRD.user}

"""Criteria about the trial itself where the charter is silent, another one, or plans another scope."""

from __future__ import annotations

from dataclasses import replace

from core.gates.criteria import Judged, judge
from core.gates.facts import FiledFact, GateFacts
from tests.req import req
from tests.unit.gates.test_gate_numbers import ARM_A
from tests.unit.gates.test_gate_rules import full
from tests.unit.gates.test_what_criteria_say import UNPLANNED


def found(facts: GateFacts, criterion: str) -> Judged:
    return next(one for one in judge(facts) if one.id == criterion)


def why(role: str) -> FiledFact:
    return FiledFact("arm_scope_reason", role, 3, None, None, None, None, "demonstration", 90)


@req("GAT-02", "ACC-09")
def test_without_a_charter_blinding_is_not_met_and_a_told_arm_says_what_is_wanted() -> None:
    limit = "the scope tells no arm; no unblinding is open"
    for facts in (replace(full(3), charter=None), replace(full(3), scope="arm:A")):
        assert (found(facts, "blinding").state, found(facts, "blinding").limit) == ("open", limit)
    armed = replace(full(3, ARM_A), scope="arm:A", filed=(why("statistician"), why("qa_auditor")))
    assert found(armed, "blinding").state == found(armed, "charter_names_ai").state == "met"
    assert found(replace(armed, scope="all"), "blinding").found == "The charter plans use 3 for arm:A, not for all."


@req("GAT-01", "GAT-02")
def test_a_scope_that_the_charter_does_not_plan_is_told_with_the_charters_entry() -> None:
    """Whether somebody signed why is blinding's question, not the charter's."""
    one = found(replace(full(3, ARM_A), scope="sites:101"), "charter_names_ai")
    limit = "signed charter plans use 3 (secondary) with this model, endpoint and scope"

    assert (one.state, one.found, one.limit, one.entries) == (
        "open", "The charter plans use 3 for arm:A, not for sites:101.", limit, (5,))
    assert found(replace(full(3, ARM_A), scope="arm:A"), "charter_names_ai").state == "met"
    assert found(replace(full(3), endpoint="response"), "charter_names_ai").limit == limit
    assert found(full(1, UNPLANNED), "charter_names_ai").entries == (5,)


@req("GAT-02")
def test_a_signed_impact_says_what_was_wanted() -> None:
    one = found(replace(full(1), amended=("acquisition",), impact_entry=9), "amendment")

    assert one.limit == "the imaging impact of an amended charter is signed"

"""Evidence of a gate at its very edges: one pair, a bound between two limits, the first twenty entries."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from core.gates.criteria import Judged, judge
from core.gates.facts import GateFacts
from tests.req import req
from tests.unit.gates.test_gate_rules import full
from tests.unit.gates.test_what_criteria_say import _limits


def found(facts: GateFacts, criterion: str) -> Judged:
    return next(one for one in judge(facts) if one.id == criterion)


@req("GAT-02", "VAL-10")
def test_a_bound_is_judged_exactly_where_it_is_printed_rounded() -> None:
    """One of one flagged: the exact bound at 95 % is 0.025."""
    for limit, state in (("0.0250", "met"), ("0.0251", "open")):
        facts = full(2, _limits(run_in_sensitivity_lower=limit))
        assert found(replace(facts, run_in=facts.run_in[:1]), "run_in_sensitivity").state == state


@req("GAT-02")
def test_one_value_of_this_lock_is_one_and_twenty_entries_are_shown() -> None:
    facts = full(4)
    entries = tuple(range(200, 260))

    assert found(replace(facts, pairs=facts.pairs[:1], pair_entries=(200,)), "same_lock").state == "met"
    for criterion in ("same_lock", "agreement_pairs", "agreement_subjects", "agreement_lower", "agreement_difference"):
        assert found(replace(facts, pair_entries=entries), criterion).entries == entries[:20]
    assert Decimal(found(facts, "agreement_lower").found) > 0

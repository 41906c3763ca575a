"""What a criterion tells where there is no number, no limit, or doubt, and of whom a filed document speaks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from core.gates.criteria import Judged, judge
from core.gates.criteria.findings import with_unit
from core.gates.facts import GateFacts
from tests.req import req
from tests.unit.gates.test_gate_rules import CHARTER, full


def found(facts: GateFacts, criterion: str) -> Judged:
    return next(one for one in judge(facts) if one.id == criterion)


@req("GAT-02")
def test_a_number_that_cannot_be_told_still_points_to_its_evidence() -> None:
    def without(name: str) -> GateFacts:
        limits = {key: one for key, one in CHARTER.limits.items() if key != name}
        use = 2 if name == "run_in_studies" else 4
        facts = full(use, CHARTER.model_copy(update={"limits": limits}))
        return replace(facts, pair_entries=tuple(range(200, 260)))

    unknown, few = found(without("run_in_studies"), "run_in_studies"), found(
        without("confidence_percent"), "agreement_lower")
    assert (unknown.found, unknown.entries) == ("unknown", tuple(range(100, 160)))
    assert (few.found, few.entries) == ("too few to tell", tuple(range(200, 220)))
    told = [with_unit(Decimal(value), unit) for value, unit in (("1", "%"), ("1", "days"), ("2", "days"), ("1", ""))]
    assert told == ["1 %", "1 day", "2 days", "1"]


@req("GAT-02", "SIG-09")
def test_a_doubted_criterion_says_what_is_wanted_and_a_document_counts_for_every_endpoint() -> None:
    facts = replace(full(1), pairs=(), pair_entries=(), suspect=frozenset({30}))
    elsewhere = replace(full(3), filed=tuple(replace(one, endpoint="response") for one in full(3).filed))

    assert found(facts, "privacy").limit == found(full(1), "privacy").limit
    assert found(elsewhere, "privacy").state == "met"

"""A scope that the charter does not know, or that tells the arm, is refused in whole sentences."""

from __future__ import annotations

from core.gates.rules import scope_refusal
from tests.req import req
from tests.unit.gates.test_gate_rules import CHARTER


@req("GAT-01", "ACC-09")
def test_the_kind_of_a_scope_ends_at_its_first_colon_and_a_refusal_is_a_sentence() -> None:
    both = frozenset({"statistician", "qa_auditor"})

    assert scope_refusal(CHARTER, 1, "sites:101:102") == "The charter has no sites 101:102."
    assert scope_refusal(CHARTER, 3, "arm:A", both) == "An arm scope would break the readers' blind to the arm."

"""What is wanted of a model is told in the same words whether it is there or not, and a check answers yes or no."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from core.gates.criteria import BY_ID, CRITERIA
from core.gates.criteria.findings import Finding
from core.gates.facts import ValidationFact
from core.gates.sentinels import Watch
from tests.req import req
from tests.unit.gates.test_gate_rules import SPOILED, full
from tests.unit.gates.test_what_criteria_say import _plan, _stratum

CUSTODIANS = {"demonstration": False}
DIFFERED = Watch("LCK-1", date(2026, 1, 1), "declared", 20, date(2026, 5, 31), False, 16)


def of(criterion: str, use: int, change: dict[str, Any]) -> Finding:
    return BY_ID[criterion].check(replace(full(use), **change))


def suspect(number: int) -> tuple[ValidationFact, ...]:
    runs = list(full(4).validations)
    runs[number] = replace(runs[number], suspect=70)
    return tuple(runs)


@req("GAT-02")
@pytest.mark.parametrize(("criterion", "use", "changes"), [
    ("release", 1, ({"releases": ()}, CUSTODIANS, {"releases": (replace(full(1).releases[0], suspect=70),)})),
    ("lock", 1, ({"lock": None}, CUSTODIANS, {"lock": replace(full(1).lock, state="recalled")})),  # type: ignore[type-var]
    ("lock_iq_oq", 1, ({"validations": ()}, {"validations": suspect(0)})),
    ("pq", 3, ({"validations": ()}, {"validations": suspect(2)}, {"validations": (_stratum(0, verdict="failed"),)})),
    ("noninferiority", 4, ({"validations": ()}, {"validations": suspect(2)})),
    ("bridging", 3, ({"predecessor": "LCK-0"}, {"predecessor": "LCK-0", "bridging": _plan(qa_auditor_by=None)},
                     {"predecessor": "LCK-0", "bridging": _plan(verdict="failed")},
                     {"predecessor": "LCK-0", "bridging": _plan(verdict=None)})),
])
def test_what_is_wanted_of_a_model_is_the_same_whatever_was_found(
    criterion: str, use: int, changes: tuple[dict[str, Any], ...]
) -> None:
    wanted = of(criterion, use, {}).limit

    assert wanted.strip()
    for change in changes:
        lacking = of(criterion, use, change)
        assert (lacking.met, lacking.limit) == (False, wanted)


@req("GAT-02", "MLK-02")
def test_an_answer_that_differed_is_told_beside_what_the_set_should_do() -> None:
    lacking = of("sentinel", 1, {"sentinel": DIFFERED, "sentinel_limits": (20, 3)})

    assert (lacking.met, lacking.found) == (False, "the last answer differed")
    assert lacking.limit == of("sentinel", 1, {"sentinel": replace(DIFFERED, same=True),
                                               "sentinel_limits": (20, 3)}).limit


@req("GAT-02")
def test_every_check_answers_yes_or_no_and_nothing_between() -> None:
    """A finding that is neither would read as open on the board and as nothing in a report."""
    for row in CRITERIA:
        for use in sorted(row.uses):
            for change in ({}, SPOILED.get(row.id, {})):
                assert type(of(row.id, use, change).met) is bool, row.id  # type: ignore[arg-type]

"""When a halt rule fires, which lock may measure on in a series, and what a signer of a gate is shown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.gates import views
from core.gates.bridging import series_refusal
from core.gates.criteria import Judged
from core.gates.looks import fires, is_ai_error, proportion_of
from core.trials.charter import StatisticalHalt
from tests.req import req
from tests.unit.gates.test_gate_rules import CHARTER

RULE = next(one for one in CHARTER.halt_rules if isinstance(one, StatisticalHalt))


@req("GAT-05")
def test_a_rule_fires_beyond_its_limit_and_not_at_it() -> None:
    above, below = RULE, RULE.model_copy(update={"operator": "<"})

    for rule, fired in ((above, [False, False, True]), (below, [True, False, False])):
        assert [fires(rule, RULE.limit + Decimal(step) / 1000) for step in (-1, 0, 1)] == fired
        assert not fires(rule, None)


@req("GAT-05")
def test_a_look_sees_its_first_observations_and_no_later_ones() -> None:
    events = [True, False, False, True]

    assert [proportion_of(events, look) for look in (1, 2, 4, 5)] == [
        Decimal(1), Decimal("0.5"), Decimal("0.5"), None]
    assert proportion_of([*events, True, True], 4) == Decimal("0.5")


@req("GAT-05")
@pytest.mark.parametrize(("use", "reason", "wrong"), [
    ("adjust", "part_missed", True), ("adjust", "boundary_too_wide", False), ("reject", "boundary_too_wide", True),
    ("reject", "boundary_too_narrow", True), ("reject", "wrong_lesion", True), ("accept", "part_missed", False),
    ("reject", "image_quality", False),
])
def test_a_model_was_wrong_where_the_reader_says_so(use: str, reason: str, wrong: bool) -> None:
    assert is_ai_error(use, reason) is wrong


@req("MLK-08")
def test_a_series_keeps_its_lock_or_is_measured_again_from_its_beginning() -> None:
    old = [("BL", "LCK-1"), ("W08", "LCK-1"), ("W16", "LCK-1")]
    foreign = ("This subject's series holds values of LCK-0, LCK-1; a subject never has two locks in one series.")
    plan = frozenset({"LCK-1"})

    assert series_refusal("LCK-1", "W24", [], frozenset()) is None
    assert series_refusal("LCK-1", "W24", old, frozenset()) is None
    assert series_refusal("LCK-2", "W24", [("SCR", "LCK-0"), *old], frozenset()) == foreign
    assert series_refusal("LCK-2", "W24", [("SCR", "LCK-0"), *old], plan) == foreign.replace("LCK-0, LCK-1", "LCK-0")
    assert series_refusal("LCK-2", "BL", old, plan) is None
    assert series_refusal("LCK-2", "W08", old, plan) == (
        "Under the plan every earlier time point is measured again first; BL is not.")
    assert series_refusal("LCK-2", "W08", [*old, ("BL", "LCK-2")], plan) is None
    assert series_refusal("LCK-2", "W24", [*old, ("BL", "LCK-2")], plan) == (
        "Under the plan every earlier time point is measured again first; W08 is not.")
    assert series_refusal("LCK-2", "W24", [*old, *((point, "LCK-2") for point, _ in old)], plan) is None


ONE = Judged("privacy", "Privacy assessment on file", "privacy_officer", True, "waived", "not filed", "filed",
             tuple(range(30)), "W-1")


@req("SIG-05", "GAT-02")
def test_a_signer_sees_each_criterion_with_what_was_found_and_wanted() -> None:
    met = replace(ONE, id="order", title="Earlier gates", state="met", entries=(), waiver=None)
    view = views.gate("Request", "T-1", "G-1", 3, None, "all", "LCK-1", [ONE, met], "study", ("Signed as", "lead"))

    assert view.title == "Request"
    assert view.lines == (
        ("Trial", "T-1"), ("Gate", "G-1"), ("AI use", "3 secondary"), ("Endpoint", "none"), ("Scope", "all"),
        ("Lock", "LCK-1"), ("Evidence class", "study"), ("Signed as", "lead"),
        ("Privacy assessment on file", f"waived, waiver W-1: not filed; wanted: filed (entries {numbers(20)})"),
        ("Earlier gates", "met: not filed; wanted: filed"))
    assert ("Endpoint", "E1") in views.gate("R", "T-1", "G-1", 3, "E1", "all", "L", [], "study").lines


def numbers(count: int) -> str:
    return ", ".join(map(str, range(count)))


@req("GAT-02")
def test_criteria_are_recorded_with_their_first_twenty_entries_and_a_digest_of_their_states() -> None:
    (recorded,) = views.recorded([ONE])

    assert (recorded.id, recorded.state, recorded.found, recorded.limit, recorded.entries, recorded.waiver) == (
        "privacy", "waived", "not filed", "filed", tuple(range(20)), "W-1")
    same = views.digest_of([replace(ONE, found="61 of 60", entries=(1,))])
    assert views.digest_of([ONE]) == same
    assert len({same, views.digest_of([replace(ONE, state="met")]), views.digest_of([replace(ONE, id="order")]),
                views.digest_of([ONE, ONE])}) == 4

"""Controlled documents: life of a version, three pairs of eyes, training that neither lapses early nor late."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnusableInput
from sops import rules
from sops.rules import LIFECYCLE, State
from tests.req import req

WORDS = sorted({word for _, word in LIFECYCLE})


@req("SOP-01")
@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_no_history_makes_a_version_effective_without_review_and_approval(words):
    """21 CFR 11.10(k)(1): whatever is tried in whatever order, the path to effective holds both signatures."""
    state, taken = None, []
    for word in words:
        following = rules.next_state(state, word)
        if following is None:
            assert rules.step_refusal("SOP-07 version 1", state, word)
            continue
        state = following
        taken.append(word)
        if state is State.EFFECTIVE:
            assert taken[:3] == ["sop.drafted", "sop.reviewed", "sop.approved"]


@req("SOP-01")
def test_a_retired_version_never_returns():
    assert not [word for before, word in LIFECYCLE if before is State.RETIRED]


@req("SOP-01")
def test_a_refused_step_says_where_the_document_stands_and_what_the_step_needs():
    said = rules.step_refusal("SOP-07 version 1", State.DRAFT, "sop.approved")

    assert said == "SOP-07 version 1 is draft; this step needs it to be in_review."


@req("SOP-03")
def test_read_and_understood_may_come_before_the_effective_date_but_not_before_approval():
    assert rules.training_refusal("SOP-07 version 2", State.APPROVED) is None
    assert rules.training_refusal("SOP-07 version 2", State.EFFECTIVE) is None
    for state in set(State) - rules.TRAINABLE:
        assert state.value in (rules.training_refusal("SOP-07 version 2", state) or "")


@req("SOP-01")
@given(st.dates(date(2020, 1, 1), date(2060, 1, 1)), st.integers(0, rules.MAX_WINDOW_DAYS))
def test_a_version_is_effective_only_after_its_training_window(approved_on, window_days):
    assert rules.effective_date(approved_on, window_days) - approved_on == timedelta(days=window_days)


@pytest.mark.parametrize("window_days", [-1, rules.MAX_WINDOW_DAYS + 1])
def test_a_window_outside_its_limits_is_refused(window_days):
    with pytest.raises(UnusableInput, match="outside 0 to"):
        rules.effective_date(date(2026, 1, 1), window_days)


@req("VAL-15")
@given(st.dates(date(2020, 1, 1), date(2060, 1, 1)), st.integers(1, 24))
def test_review_is_due_after_whole_months(effective_on, months):
    due = rules.review_due(effective_on, months)

    assert (due.year - effective_on.year) * 12 + due.month - effective_on.month == months
    assert due.day <= effective_on.day


def test_a_review_period_beyond_two_years_is_refused():
    with pytest.raises(UnusableInput):
        rules.review_due(date(2026, 1, 1), 25)


@pytest.mark.parametrize("pattern", ["*", "*.*", "read", "Read.*", "read.*.x", ""])
def test_a_pattern_that_would_govern_everything_or_nothing_is_refused(pattern):
    assert rules.pattern_refusal(pattern)


def test_answers_are_compared_without_case_and_spacing():
    assert rules.wrong_answers({"q1": "Never", "q2": "QA"}, {"q1": " never ", "q2": "reader"}) == ("q2",)
    assert rules.wrong_answers({"q1": "Never"}, {}) == ("q1",)

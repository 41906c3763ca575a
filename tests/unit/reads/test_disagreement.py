"""Each trigger of the charter: when it fires, and when it must not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnusableInput
from core.reads.criteria.answer import NewLesion
from core.reads.disagreement import (
    Course,
    Trigger,
    at_time_point,
    baseline_difference,
    over_course,
    pairs,
    sums_differ,
)
from core.reads.rules import blind_labels, case_order
from tests.req import req
from tests.unit.reads.test_criteria import DAY, baseline, follow, lesion, mark, recist, sums, visit

PERCENT = Trigger("ADJ-2", "response", "burden_difference", Decimal(20), "%")


def fired(kind: str, one: str, other: str) -> bool:
    trigger = Trigger("ADJ", "response", kind, Decimal(20), "%")  # type: ignore[arg-type]
    first, second = sums(recist(), "50", one)[0], sums(recist(), "50", other)[0]
    return bool(at_time_point([trigger], "response", first, second))


@req("RDG-05")
@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        ("time_point_response", "35", "36", True),
        ("time_point_response", "36", "49", False),
        ("progression", "60", "59.9", True),
        ("progression", "30", "49", False),
        ("burden_difference", "45", "55", False),
        ("burden_difference", "45", "55.1", True),
    ],
)
def test_triggers_at_a_time_point(kind: str, one: str, other: str, expected: bool) -> None:
    assert fired(kind, one, other) is expected


@req("RDG-05")
def test_a_new_lesion_seen_by_one_reader_alone_fires() -> None:
    trigger = Trigger("ADJ", "response", "new_lesion")
    start = baseline(lesion(1, "50"))
    plain = follow(recist(), start, visit(1, mark(1, "50")))[0]
    for state, expected in (("unequivocal", True), ("equivocal", False)):
        found = NewLesion("L1", "lung", state)  # type: ignore[arg-type]
        seen = follow(recist(), start, visit(1, mark(1, "50"), new_lesions=(found,)))[0]
        assert bool(at_time_point([trigger], "response", plain, seen)) is expected


@req("RDG-05")
def test_a_reader_without_a_baseline_differs_from_one_with_a_response() -> None:
    trigger = Trigger("ADJ", "response", "time_point_response")
    derived = sums(recist(), "50", "50")[0]
    assert at_time_point([trigger], "response", None, derived)
    assert not at_time_point([trigger], "response", None, None)
    assert not at_time_point([trigger], "other-endpoint", None, derived)


def course(*sizes: str, every: int = 42) -> Course:
    derived = sums(recist(), *sizes, every=every)
    return Course(tuple(derived), recist().subject(derived, reference_on=DAY))


@req("RDG-05")
@pytest.mark.parametrize(
    ("kind", "limit", "one", "other", "expected"),
    [
        ("best_overall_response", None, course("50", "30"), course("50", "50"), True),
        ("best_overall_response", None, course("50", "30"), course("50", "35"), False),
        ("progression_date", 0, course("50", "50", "70"), course("50", "50", "50", "70"), True),
        ("progression_date", 42, course("50", "50", "70"), course("50", "50", "50", "70"), False),
        ("progression_date", 99, course("50", "50", "70"), course("50", "50"), True),
        ("progression_date", 0, course("50", "50"), course("50", "50"), False),
        ("first_response_date", 0, course("50", "30"), course("50", "50", "30"), True),
    ],
)
def test_triggers_over_a_course(kind: str, limit: int | None, one: Course, other: Course, expected: bool) -> None:
    stated = (Decimal(limit), "days") if limit is not None else (None, None)
    trigger = Trigger("ADJ", "response", kind, *stated)  # type: ignore[arg-type]
    assert bool(over_course([trigger], "response", one, other)) is expected
    assert bool(over_course([trigger], "response", other, one)) is expected
    assert at_time_point([trigger], "response", one.last, other.last) == []


@req("RDG-05", "VAL-14")
def test_a_trigger_without_its_limit_is_refused() -> None:
    bare = Trigger("ADJ", "response", "burden_difference")
    with pytest.raises(UnusableInput, match="limit and a unit"):
        sums_differ(bare, Decimal(1), Decimal(2))
    with pytest.raises(UnusableInput, match="in days"):
        late = course("50", "70")
        later = replace(late, subject=replace(late.subject, progression_on=DAY + timedelta(days=9)))
        over_course([Trigger("ADJ", "response", "progression_date")], "response", late, later)


sizes = st.integers(0, 2000).map(lambda tenths: Decimal(tenths) / 10)


@req("RDG-05")
@given(sizes, sizes)
def test_a_difference_of_sums_is_symmetric_and_absent_between_equals(one: Decimal, other: Decimal) -> None:
    assert sums_differ(PERCENT, one, other) is sums_differ(PERCENT, other, one)
    assert not sums_differ(PERCENT, one, one)
    assert sums_differ(PERCENT, one, None)
    assert bool(baseline_difference([PERCENT], "response", one, other)) is sums_differ(PERCENT, one, other)


@req("RDG-05")
def test_three_readers_are_compared_in_every_pair() -> None:
    assert pairs(["reader_1", "reader_2", "reader_3"]) == [
        ("reader_1", "reader_2"), ("reader_1", "reader_3"), ("reader_2", "reader_3"),
    ]  # fmt: skip


@req("RDG-03", "RDG-05")
def test_order_of_cases_and_blind_letters_tell_nothing_of_who() -> None:
    subjects = [f"S-{number:03d}" for number in range(40)]
    first, second = case_order("T", "reader-1", subjects), case_order("T", "reader-2", subjects)
    assert first == case_order("T", "reader-1", reversed(subjects))
    assert sorted(first) == subjects != first
    assert first != second
    letters = [blind_labels(f"compared-{number}", ["one", "two"])["A"] for number in range(200)]
    assert 60 < letters.count("one") < 140

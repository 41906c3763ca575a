"""The matrix of a table small enough to be asked by hand: which questions there are, and what is printed of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations as some_of

import pytest

from core.policy import matrix
from core.policy.matrix import actions, asked, classes, combinations, printed_matrix, relations, roles
from core.policy.state import Actor, Facts, HouseState, Stage, allow, forbid, related
from tests.req import req


def _in_turn(actor: Actor, facts: Facts) -> bool:
    """one name only where another holds, and another only where a use is open"""
    return ("first" in facts.relations and "second" in facts.relations) or (
        "primary:E" in facts.uses_open and "late" in facts.relations)


def _of_a_person_in_no_phase(actor: Actor, facts: Facts) -> bool:
    """names asked of a person alone, before any use is open, and behind the absence of another"""
    if not actor.user or actor.service or facts.uses_open:
        return False
    return not facts.relations & {"hidden"} and "behind" in facts.relations


ROWS = (
    forbid("F-1", "*", "Your account is closed.", when=related("inactive")),
    forbid("F-2", "read.seal", "Not yours.", when=_in_turn),
    forbid("F-3", "read.*", "The data are locked.", stages=frozenset({Stage.LOCKED})),
    allow("P-1", "read.seal read.open", "reader adjudicator", "You read."),
    allow("P-2", "read.open", "inspector", "You look on.", stages=frozenset({Stage.LIVE})),
    allow("P-3", "house.open", "*", "All may.", house=frozenset({HouseState.FOUNDING})),
    allow("P-4", "run.start", "service", "The worker."),
    forbid("F-4", "run.start", "Six reasons.", when=related("a", "b", "c", "d", "e", "f")),
    forbid("F-6", "run.look", "Not now.", when=_of_a_person_in_no_phase),
    forbid("F-5", "run.stop", "Seven reasons.", when=related("a", "b", "c", "d", "e", "f", "g")),
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The matrix asks these rows, and remembers nothing of the table it asked before."""
    monkeypatch.setattr(matrix, "TABLE", ROWS)
    for one in (relations, classes):
        one.cache_clear()
    yield
    for one in (relations, classes):
        one.cache_clear()


@req("ACC-02")
def test_actions_and_roles_are_those_that_rows_name_in_full() -> None:
    assert actions(ROWS) == ("house.open", "read.open", "read.seal", "run.look", "run.start", "run.stop")
    assert roles(ROWS) == ("adjudicator", "inspector", "reader")


@req("ACC-02")
@pytest.mark.usefixtures("few")
def test_a_relation_is_found_though_it_is_asked_for_only_behind_another_or_with_a_use_open() -> None:
    assert relations("read.seal") == ("first", "late", "second")
    assert relations("run.look") == ("behind", "hidden")
    assert relations("read.open") == ()
    assert relations("*") == ("inactive",)
    assert relations("run.start") == ("a", "b", "c", "d", "e", "f")


@req("ACC-02")
@pytest.mark.usefixtures("few")
def test_a_short_list_is_asked_in_all_combinations_and_a_long_one_at_its_ends() -> None:
    inactive = [frozenset({"inactive"})]

    def sets(names: str, *sizes: int) -> list[frozenset[str]]:
        return [frozenset(one) for size in sizes for one in some_of(names, size)]

    assert list(combinations("read.open")) == [*inactive, *inactive, frozenset()]
    assert list(combinations("run.start")) == [
        *inactive, frozenset("abcdef") | inactive[0], *sets("abcdef", 0, 1, 2, 3, 4, 5, 6)]
    assert list(combinations("run.stop")) == [
        *inactive, frozenset("abcdefg") | inactive[0], *sets("abcdefg", 0, 1, 2, 6, 7)]


@req("ACC-02")
@pytest.mark.usefixtures("few")
def test_roles_that_no_row_tells_apart_are_one_class_and_a_service_is_its_own(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "roles", lambda: roles(ROWS))

    assert classes("read.open") == (("",), ("adjudicator", "reader"), ("inspector",), ("service",))
    assert classes("read.seal") == (("", "inspector"), ("adjudicator", "reader"), ("service",))
    assert classes("house.open") == (("", "adjudicator", "inspector", "reader"), ("service",))


@req("ACC-01", "ACC-02")
@pytest.mark.usefixtures("few")
def test_every_question_of_a_role_is_asked_once_with_its_own_facts() -> None:
    questions = list(asked("read.open", "inspector", ROWS))

    assert len(questions) == 2 * 6 * 5 * 3, "house, stage, phase, relations"
    assert {one.role for one in questions} == {"inspector"}
    assert {one.facts.roles for one in questions} == {frozenset({"inspector"})}
    assert {one.facts.stage for one in questions} == {None, *Stage}
    assert {one.facts.uses_open for one in questions} == set(matrix.PHASES)
    assert {one.facts.house for one in questions} == set(HouseState)
    assert {one.facts.relations for one in questions} == {frozenset(), frozenset({"inactive"})}
    allowed = [one.facts for one in questions if one.decision.allowed]
    assert {(one.stage, one.house) for one in allowed} == {(Stage.LIVE, HouseState.OPENED)}
    assert not any(one.relations for one in allowed)

    def answer(role: str, action: str) -> set[str]:
        return {one.decision.rule for one in asked(action, role, ROWS) if one.decision.allowed}

    assert (answer("service", "run.start"), answer("", "run.start"), answer("", "house.open")) == (
        {"P-4"}, set(), {"P-3"})
    assert {one.facts.roles for role in ("", "service") for one in asked("read.open", role, ROWS)} == {frozenset()}


@req("ACC-02", "VAL-02")
@pytest.mark.usefixtures("few")
def test_the_printed_matrix_has_a_line_for_each_class_that_may_ever_act(monkeypatch: pytest.MonkeyPatch) -> None:
    given = matrix.asked
    monkeypatch.setattr(matrix, "roles", lambda: roles(ROWS))
    monkeypatch.setattr(matrix, "actions", lambda: ("house.open", "read.open", "read.seal", "run.stop"))
    monkeypatch.setattr(matrix, "asked", lambda action, role: given(action, role, ROWS))

    printed = printed_matrix()
    assert (printed[-1], "\r" in printed) == ("\n", False)
    assert printed.splitlines() == [
        "action,roles,while,stages,phases,permitted_by,refused_by,asked,allowed",
        "house.open,(without a role) adjudicator inspector reader,founding,"
        "closed live locked no_trial set_up soft_locked,0 1 2 3 4,P-3,F-1,180,30",
        "house.open,service,founding,closed live locked no_trial set_up soft_locked,0 1 2 3 4,P-3,F-1,180,30",
        "read.open,adjudicator reader,opened,closed live no_trial set_up soft_locked,0 1 2 3 4,P-1,F-1 F-3,180,25",
        "read.open,inspector,opened,live,0 1 2 3 4,P-2,F-1 F-3,180,5",
        "read.seal,adjudicator reader,opened,closed live no_trial set_up soft_locked,0 1 2 3 4,P-1,F-1 F-2 F-3,"
        "600,135",
    ]


@req("ACC-02")
def test_a_phase_is_how_many_uses_are_open() -> None:
    assert [len(one) for one in matrix.PHASES] == [0, 1, 2, 3, 4]
    assert matrix.PHASES[4] == {"qc", "cohort", "secondary:E", "primary:E"}

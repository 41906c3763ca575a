"""What a row of the policy table is made of: actions, roles, stages, conditions; and the words of an answer."""

from __future__ import annotations

import pytest

from core.errors import Refused
from core.policy.decide import DEFAULT, UNTRAINED, decide, permit
from core.policy.state import (
    ANY_STAGE,
    Actor,
    Decision,
    Facts,
    HouseState,
    Rule,
    Stage,
    allow,
    always,
    forbid,
    held,
    related,
    unrelated,
    use_closed,
)
from tests.req import req

PERSON, SERVICE = Actor("somebody"), Actor.of_service("gates")
EVERYWHERE = frozenset(HouseState)


def test_an_actor_is_a_person_unless_it_is_a_service_of_the_house() -> None:
    assert Actor("somebody", service=False) == PERSON
    assert Actor("gates", service=True) == SERVICE
    assert held(PERSON, Facts(roles=frozenset({"reader"}))) == {"reader"}
    assert held(SERVICE, Facts(roles=frozenset({"reader"}))) == {"service"}


@req("ACC-01")
@pytest.mark.parametrize(("action", "named"), [
    ("gate.sign", True), ("gate", False), ("gate.signs", False), ("read.seal", True), ("read", False),
    ("reader.qualify", False), ("seal.open", False),
])
def test_a_row_names_actions_in_full_or_by_their_noun(action: str, named: bool) -> None:
    assert allow("P-1", "gate.sign read.*", "reader", "yes").names(action) is named
    assert allow("P-2", "*", "reader", "yes").names(action)


@req("ACC-01", "GAT-03")
def test_a_row_fits_where_all_of_it_does() -> None:
    row = allow("P-1", "gate.sign", "reader qa_auditor", "yes", stages=frozenset({Stage.LIVE}), when=related("own"))
    fitting = Facts(stage=Stage.LIVE, roles=frozenset({"reader", "other"}), relations=frozenset({"own", "x"}))

    assert row.fits(PERSON, "gate.sign", fitting) is True
    for other in (
        Facts(stage=Stage.LOCKED, roles=fitting.roles, relations=fitting.relations),
        Facts(stage=None, roles=fitting.roles, relations=fitting.relations),
        Facts(stage=Stage.LIVE, roles=frozenset({"other"}), relations=fitting.relations),
        Facts(stage=Stage.LIVE, roles=fitting.roles, relations=frozenset({"x"})),
        Facts(stage=Stage.LIVE, roles=fitting.roles, relations=fitting.relations, house=HouseState.FOUNDING),
    ):
        assert not row.fits(PERSON, "gate.sign", other)
    assert not row.fits(PERSON, "gate.open", fitting)
    assert not row.fits(SERVICE, "gate.sign", fitting)


@req("ACC-01")
def test_rows_are_made_as_they_are_written() -> None:
    yes = allow("P-1", "gate.sign gate.open", "reader qa_auditor", "why")
    no = forbid("F-1", "gate.sign gate.open", "why not")

    assert yes == Rule("P-1", "permit", ("gate.sign", "gate.open"), frozenset({"reader", "qa_auditor"}), "why",
                       ANY_STAGE, always, frozenset({HouseState.OPENED}))
    assert no == Rule("F-1", "forbid", ("gate.sign", "gate.open"), frozenset({"*"}), "why not", ANY_STAGE, always,
                      EVERYWHERE)
    when, stages, house = related("own"), frozenset({Stage.LIVE}), frozenset({HouseState.FOUNDING})
    assert allow("P-1", "a.b", "r", "w", stages=stages, when=when, house=house) == Rule(
        "P-1", "permit", ("a.b",), frozenset({"r"}), "w", stages, when, house)
    assert forbid("F-1", "a.b", "w", roles="r s", stages=stages, when=when, house=house) == Rule(
        "F-1", "forbid", ("a.b",), frozenset({"r", "s"}), "w", stages, when, house)
    assert always(PERSON, Facts()) is True


@req("ACC-01", "GAT-03")
def test_conditions_ask_for_any_or_none_of_their_names_and_print_them() -> None:
    def told(*names: str) -> tuple[bool, bool]:
        facts = Facts(relations=frozenset(names))
        return related("own", "author")(PERSON, facts), unrelated("own", "author")(PERSON, facts)

    assert (told(), told("x"), told("own"), told("author", "x")) == (
        (False, True), (False, True), (True, False), (True, False))
    assert related("own", "author").__doc__ == "any of: author, own"
    assert unrelated("own", "author").__doc__ == "none of: author, own"


@req("GAT-03")
@pytest.mark.parametrize(("open_uses", "closed"), [
    ((), True), (("qc",), True), (("secondary:E1",), False), (("secondary:E2",), False), (("primary:E1",), True),
    (("primary:E2",), False), (("primary",), True), (("qc", "secondary:E1"), False),
])
def test_a_bare_use_is_open_with_any_endpoint_and_a_named_one_with_its_own(
    open_uses: tuple[str, ...], closed: bool
) -> None:
    condition = use_closed("secondary", "primary:E2")

    assert condition(PERSON, Facts(uses_open=frozenset(open_uses))) is closed
    assert condition.__doc__ == "AI use not open: secondary, primary:E2"


@req("ACC-01", "SOP-03")
def test_an_answer_names_its_row_its_sentence_and_the_role_it_was_given_in() -> None:
    reader = Facts(roles=frozenset({"reader", "qa_auditor"}))
    row = allow("P-1", "thing.do", "reader qa_auditor", "You may.")
    forbids = (forbid("F-1", "thing.do", "No."), forbid("F-2", "thing.do", "No either."))

    assert decide(PERSON, "thing.do", reader, (row,)) == Decision(True, "P-1", "You may.", "qa_auditor")
    assert decide(PERSON, "thing.do", reader, (row, *forbids)) == Decision(False, "F-1", "No.")
    assert decide(PERSON, "thing.do", Facts(), (allow("P-2", "*", "*", "Anybody may."),)) == Decision(
        True, "P-2", "Anybody may.", "none")
    assert decide(PERSON, "thing.do", reader, (allow("P-3", "thing.do", "*", "All."),)) == Decision(
        True, "P-3", "All.", "qa_auditor")


@req("SOP-03")
def test_what_a_role_lacks_is_told_once_all_of_them_lack_something() -> None:
    rows = (allow("P-1", "thing.do", "reader", "yes"), allow("P-2", "thing.do", "qa_auditor coordinator", "yes"))
    gaps = {"reader": "Read SOP-07.", "qa_auditor": "Read SOP-01."}

    both = decide(PERSON, "thing.do", Facts(roles=frozenset({"reader", "qa_auditor"}), gaps=gaps), rows)
    third = decide(PERSON, "thing.do", Facts(
        roles=frozenset({"reader", "qa_auditor", "coordinator"}), gaps=gaps), rows)
    everybody = decide(PERSON, "thing.do", Facts(roles=frozenset({"reader"}), gaps=gaps),
                       (allow("P-9", "thing.do", "*", "All."),))

    assert both == Decision(False, UNTRAINED, "Read SOP-07.")
    assert third == Decision(True, "P-2", "yes", "coordinator")
    assert everybody == Decision(False, UNTRAINED, "Read SOP-07.")


@req("ACC-01")
def test_where_no_row_permits_the_answer_says_who_asked_and_when() -> None:
    def said(facts: Facts, actor: Actor = PERSON) -> str:
        answer = decide(actor, "thing.do", facts, ())
        assert (answer.allowed, answer.rule, answer.role) == (False, DEFAULT, "none")
        return answer.because

    assert said(Facts()) == "No rule permits thing.do for no role."
    assert said(Facts(stage=Stage.LIVE, roles=frozenset({"reader", "coordinator"}))) == (
        "No rule permits thing.do for coordinator, reader in stage live.")
    assert said(Facts(), SERVICE) == "No rule permits thing.do for service."
    assert said(Facts(house=HouseState.FOUNDING)) == (
        "The installation is not opened yet; thing.do is no founding act.")


@req("GAT-03")
def test_permit_gives_the_decision_or_refuses_with_its_sentence() -> None:
    given = permit(SERVICE, "gate.suspend", Facts(stage=Stage.LIVE))

    assert (given.allowed, given.rule, given.role) == (True, "P-03", "service")
    with pytest.raises(Refused, match=r"No rule permits thing\.do for no role") as refusal:
        permit(PERSON, "thing.do", Facts())
    assert refusal.value.rule == DEFAULT

"""The rules of deciding, on made-up tables and on the real one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from core.policy import decide as decisions
from core.policy.decide import decide, permit
from core.policy.state import Actor, Facts, HouseState, Rule, Stage, allow, forbid, related
from core.policy.table import TABLE, digest, printed
from tests.req import req

PERSON = Actor("somebody")
ROLES = ("reader", "qa_auditor", "trial_lead")
RELATIONS = ("own", "author", "other")


@st.composite
def tables(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Small tables of permits and forbids."""
    rows = []
    for number in range(draw(st.integers(0, 6))):
        when = related(draw(st.sampled_from(RELATIONS)))
        if draw(st.booleans()):
            rows.append(allow(f"P-{number}", "thing.do", draw(st.sampled_from(ROLES)), "yes"))
        else:
            rows.append(forbid(f"F-{number}", draw(st.sampled_from(["thing.do", "thing.*", "*"])), "no", when=when))
    return tuple(rows)


facts = st.builds(
    lambda roles, relations: Facts(roles=frozenset(roles), relations=frozenset(relations)),
    st.sets(st.sampled_from(ROLES)), st.sets(st.sampled_from(RELATIONS)),
)


@req("ACC-01", "GAT-03")
@given(tables(), facts, st.randoms(use_true_random=False))
def test_order_of_rows_never_changes_the_answer(table: tuple[Rule, ...], given_facts: Facts, chance: object) -> None:
    """Order is not meaning: shuffled rows allow and refuse the same."""
    shuffled = list(table)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert (
        decide(PERSON, "thing.do", given_facts, table).allowed
        == decide(PERSON, "thing.do", given_facts, shuffled).allowed
    )


@req("ACC-01", "GAT-03")
@given(tables(), facts)
def test_a_fitting_forbid_always_wins(table: tuple[Rule, ...], given_facts: Facts) -> None:
    """A forbid protects; no further role undoes it."""
    forbids = [row for row in table if row.effect == "forbid" and row.fits(PERSON, "thing.do", given_facts)]
    permits = [row for row in table if row.effect == "permit" and row.fits(PERSON, "thing.do", given_facts)]
    answer = decide(PERSON, "thing.do", given_facts, table)

    assert answer.allowed == (not forbids and bool(permits))


@req("SOP-03")
def test_a_role_without_its_training_does_not_act() -> None:
    """The refusal says what is missing; another trained role may still act (21 CFR 11.10(i))."""
    table = (allow("P-1", "thing.do", "reader", "yes"), allow("P-2", "thing.do", "qa_auditor", "yes"))
    gaps = {"reader": "SOP-07 version 1 is not read and understood."}

    only = decide(PERSON, "thing.do", Facts(roles=frozenset({"reader"}), gaps=gaps), table)
    both = decide(PERSON, "thing.do", Facts(roles=frozenset({"reader", "qa_auditor"}), gaps=gaps), table)

    assert (only.allowed, only.rule, only.because) == (False, decisions.UNTRAINED, gaps["reader"])
    assert (both.allowed, both.role) == (True, "qa_auditor")


@req("ACC-01")
def test_without_a_role_only_what_is_open_to_everybody() -> None:
    """Over every action and stage of the real table: no role, no act, but for the rows that name everybody."""
    everybody = {row.id for row in TABLE if row.effect == "permit" and "*" in row.roles}
    actions = sorted({action for row in TABLE for action in row.actions})
    for action, stage, house in itertools.product(actions, (None, *Stage), HouseState):
        answer = decide(PERSON, action.replace("*", "anything"), Facts(stage=stage, house=house))
        assert not answer.allowed or answer.rule in everybody, (action, stage, house, answer)


@req("ACC-01")
def test_a_locked_account_does_nothing_in_any_role() -> None:
    """F-01 beats every permit of the real table."""
    roles = frozenset(role for row in TABLE for role in row.roles)
    for action in sorted({action for row in TABLE for action in row.actions}):
        answer = decide(PERSON, action.replace("*", "x"), Facts(roles=roles, relations=frozenset({"inactive"})))
        assert (answer.allowed, answer.rule) == (False, "F-01")


@req("VAL-01")
def test_the_table_prints_and_its_digest_follows_it() -> None:
    """What is adopted by digest is what is printed; ids are unique."""
    rows = printed()
    assert len({row["id"] for row in rows}) == len(rows) == len(TABLE)
    assert all(row["because"] and row["when"] for row in rows)
    assert len(digest()) == 64


@req("GAT-03")
def test_permit_raises_with_the_rule() -> None:
    """A refusal carries the row that said no, for the entry."""
    with pytest.raises(Refused) as refusal:
        permit(PERSON, "trial.create", Facts())
    assert refusal.value.rule == decisions.DEFAULT

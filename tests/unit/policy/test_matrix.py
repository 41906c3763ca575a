"""Every question that the policy table can be asked: role x action x stage x phase x relation."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.access.roles import CATALOGUE, SEES_ALLOCATION
from core.policy.decide import UNTRAINED, decide
from core.policy.matrix import (
    ALL_TOGETHER,
    PHASES,
    STAGES,
    actions,
    asked,
    classes,
    combinations,
    relations,
    roles,
)
from core.policy.state import Actor, Facts, HouseState, Stage, held
from core.policy.table import TABLE
from countersign.cli import app
from tests.req import req

PERSON = Actor("somebody")
# Seeing is not doing: what an inspector, a viewer or a monitor may be granted.
SEEING = (".see", "ledger.read", "ledger.export", "ledger.verify", "model.verify")
# For oneself, whatever one's role is.
OWN = {"accountability.state", "training.complete", "password.renew", "key.rotate", "key.revoke",
       "key.enrol_passkey", "key.revoke_passkey"}
TRIAL_DATA = ("read.", "quality.", "subject.", "cohort.", "series.", "seed.", "consent.", "time_point.", "reread.",
              "reader.", "seal.", "database.", "charter.", "report.", "defect.", "waiver.", "evidence.", "ai.")
NEVER = ("ai.select_subject", "ai.accept_all", "ai.break_tie", "ai.write_eligibility")


@pytest.fixture(scope="module")
def answers():
    """Every answer about every action, one role for each class that the table tells apart."""
    return {(action, role): list(asked(action, role)) for action in actions()
            for role in (members[0] for members in classes(action))}


def allowed_for(answers, action):
    """The roles that may carry out an action in some circumstances; "" is a person without a role."""
    return {role for members in classes(action) for role in members
            if any(one.decision.allowed for one in answers[action, members[0]])}


@req("ACC-01", "ACC-02", "GAT-03")
def test_each_answer_is_what_the_rows_say_by_themselves(answers) -> None:
    """A second reading of the table, in one line: no forbid fits and a permit does. Holds in every case asked."""
    assert len(answers) > 300
    assert sum(map(len, answers.values())) > 200_000
    for (action, role), questions in answers.items():
        actor = Actor.of_service("service") if role == "service" else PERSON
        rows = [row for row in TABLE if row.names(action)]
        for one in questions:
            fitting = [row.effect for row in rows if row.fits(actor, action, one.facts)]
            assert one.decision.allowed == ("permit" in fitting and "forbid" not in fitting), (action, one)


@req("ACC-01")
@settings(max_examples=200)
@given(st.data())
def test_roles_of_one_class_get_one_answer(data) -> None:
    """The classes that spare questions are none: any two roles of one class answer alike, with any relations."""
    action = data.draw(st.sampled_from(actions()))
    members = data.draw(st.sampled_from([one for one in classes(action) if len(one) > 1] or [("reader", "reader")]))
    first, second = data.draw(st.sampled_from(members)), data.draw(st.sampled_from(members))
    names = (*relations(action), *relations("*"))
    facts = [Facts(
        house=HouseState.OPENED, stage=stage, roles=frozenset({role}) - {""}, relations=related, uses_open=phase)
        for stage, phase, related in [(
            data.draw(st.sampled_from(STAGES)), data.draw(st.sampled_from(PHASES)),
            frozenset(data.draw(st.sets(st.sampled_from(names)))))]
        for role in (first, second)]

    one, other = (decide(PERSON, action, each) for each in facts)

    assert (one.allowed, one.rule) == (other.allowed, other.rule)


@req("ACC-02")
def test_all_relations_that_a_row_asks_for_are_asked() -> None:
    """The names found by listening to the conditions are those that the printed conditions name."""
    for row in TABLE:
        told = (row.when.__doc__ or "").partition("of: ")[2]
        for name in filter(None, told.split(", ")):
            for action in row.actions:
                known = relations("*") if action == "*" else relations(action) if not action.endswith("*") else (name,)
                assert name in known, (row.id, action, name)
    names = relations("read.begin")
    assert len(names) > ALL_TOGETHER
    assert {frozenset({one, other}) for one in names for other in names} <= set(combinations("read.begin"))


@req("RDG-09", "GAT-03")
@pytest.mark.parametrize("action", NEVER)
def test_what_ai_never_does_is_refused_in_every_case(answers, action) -> None:
    """TRIAL 2, row "refused at every door": in no phase, for nobody."""
    assert allowed_for(answers, action) == set()


@req("RDG-09")
def test_an_ai_value_becomes_a_result_only_where_a_person_signed_it(answers) -> None:
    entered = [one for one in answers["ai.enter_result", "service"] if one.decision.allowed]

    assert entered
    assert all("human_signed" in one.facts.relations for one in entered)
    assert allowed_for(answers, "ai.enter_result") == {"service"}


@req("GAT-01")
def test_human_work_never_depends_on_a_phase(answers) -> None:
    """TRIAL 2: closed or suspended means without AI, not stopped. Only the doors of AI ask which uses are open."""
    for (action, _), questions in answers.items():
        if action.startswith("ai."):
            continue
        by_case: dict = {}
        for one in questions:
            case = (one.facts.house, one.facts.stage, one.facts.relations)
            by_case.setdefault(case, set()).add((one.decision.allowed, one.decision.rule))
        assert all(len(found) == 1 for found in by_case.values()), action


@req("GAT-01", "GAT-03")
def test_opening_a_further_use_takes_nothing_away(answers) -> None:
    """Phases only add: what is allowed in a phase is allowed in the next, with equal relations."""
    for (action, role), questions in answers.items():
        allowed = {(one.facts.house, one.facts.stage, one.facts.relations, len(one.facts.uses_open))
                   for one in questions if one.decision.allowed}
        for house, stage, related, phase in allowed:
            assert phase == 4 or (house, stage, related, phase + 1) in allowed, (action, role)


@req("GAT-01", "GAT-03")
@pytest.mark.parametrize(("action", "phase", "when"), [
    ("ai.run", 1, "for_qc"), ("ai.run", 2, "for_cohort"), ("ai.run", 3, "for_secondary"), ("ai.run", 4, "for_primary"),
    ("ai.show_in_qc", 1, None), ("ai.show_to_coordinator", 2, None), ("ai.seal_read", 4, None),
])
def test_no_door_of_ai_opens_before_its_phase(answers, action, phase, when) -> None:
    """Counted runs and what people see of them; shadow and exploratory runs are computed and shown to nobody."""
    for role in {role for named, role in answers if named == action}:
        for one in answers[action, role]:
            hidden = one.facts.relations & {"shadow", "exploratory"}
            if when is not None and when not in one.facts.relations:
                continue
            assert not one.decision.allowed or hidden or len(one.facts.uses_open) >= phase, one


@req("RDG-02", "RDG-06")
def test_a_reader_sees_ai_only_at_its_use_and_never_a_sealed_one(answers) -> None:
    shown = [one for one in answers["ai.show_to_reader", "reader"] if one.decision.allowed]

    assert shown
    for one in shown:
        assert "reads_locked" in one.facts.relations or len(one.facts.uses_open) >= 3
        assert "for_primary" not in one.facts.relations or "reads_locked" in one.facts.relations
        assert not one.facts.relations & {"shadow", "exploratory", "display_none", "own_mark_missing"}


@req("ACC-03")
def test_the_system_owner_touches_no_trial_data(answers) -> None:
    assert {action for action in actions() if action.startswith(TRIAL_DATA)
            and "system_owner" in allowed_for(answers, action)} == set()


@req("ACC-08")
@pytest.mark.parametrize("role", ["inspector", "monitor", "sponsor_viewer", "dmc_member"])
def test_who_only_looks_does_nothing_but_look(answers, role) -> None:
    """Their deeds concern themselves; a monitor may report a deviation."""
    if role not in roles():
        return  # no row names the role: it may what anybody may
    may = {action for action in actions() if role in allowed_for(answers, action)}

    assert {one for one in may - OWN if not one.endswith(SEEING)} <= {"deviation.open"} & may
    assert role != "inspector" or "ledger.read" in may


@req("ACC-09")
@pytest.mark.parametrize("role", sorted(SEES_ALLOCATION))
def test_who_knows_the_allocation_neither_reads_nor_signs(role) -> None:
    """Wherever a row names the role at all it is none that reads, adjudicates, disposes, edits charters or gates."""
    rows = [row for row in TABLE if row.effect == "permit" and role in row.roles]

    assert [row.id for row in rows for action in row.actions if action.startswith((*TRIAL_DATA, "gate."))] == []


@req("SIG-09", "GAT-02")
def test_no_service_carries_out_what_a_person_signs(answers) -> None:
    """The policy says so by itself, beside the keys (a service key signs no person's word)."""
    signed = {"gate.sign", "gate.request", "release.sign", "model.lock", "charter.approve", "read.sign", "read.seal",
              "read.adjudicate", "cohort.select", "quality.dispose", "protocol.approve", "test_set.open",
              "waiver.approve", "subject.enrol", "trial.activate", "database.lock", "role.grant", "sop.approve",
              "report.approve", "privacy.erase", "key.enrol", "installation.open"}

    assert signed <= set(actions())
    assert {action for action in signed if "service" in allowed_for(answers, action)} == set()


@req("RDG-04", "REC-13")
@pytest.mark.parametrize("stage", [Stage.SOFT_LOCKED, Stage.LOCKED, Stage.CLOSED])
def test_after_the_lock_nothing_is_read_sent_disposed_or_computed(answers, stage) -> None:
    """Reports, questions and halts go on; what makes data does not."""
    makes = ("read.", "quality.dispose", "series.send", "series.receive", "series.release", "subject.enrol",
             "subject.screen", "subject.progress", "cohort.", "seed.", "consent.record", "time_point.", "ai.run",
             "ai.seal_read", "gate.request", "gate.sign", "waiver.")
    found = {action for (action, _), questions in answers.items() if action.startswith(makes)
             for one in questions if one.decision.allowed and one.facts.stage is stage}

    # A failed AI read is withdrawn whenever it fails: that makes no value, it ends a wait.
    assert found == {"read.withdraw"}


@req("ACC-01", "VAL-06")
def test_while_founding_only_founding_acts_are_possible(answers) -> None:
    """TRIAL 1: keys, accountability, documents, training, qualification, grants; no trial, no model, no AI."""
    founding = ("person.", "identity.", "key.", "recovery.", "accountability.", "role.", "password.", "sop.",
                "training.", "installation.", "protocol.", "validation.", "step.", "deviation.", "capa.",
                "release.", "ledger.", "backup.", "clock.")
    found = {action for (action, role), questions in answers.items() if role != "service"
             for one in questions if one.decision.allowed and one.facts.house is HouseState.FOUNDING}

    assert {one for one in found if not one.startswith(founding)} == set()
    assert not {"installation.found", "installation.open"} & {
        action for (action, _), questions in answers.items()
        for one in questions if one.decision.allowed and one.facts.house is HouseState.OPENED}


@req("SOP-03", "SOP-04")
def test_a_gap_in_training_or_delegation_stops_every_act_of_every_role(answers) -> None:
    """What a role may do it may not with a gap; only acts open to anybody remain (one's own key and training)."""
    says = "SOP-05 version 1 is not read and understood."
    stopped = set()
    for action in actions():
        if any("*" in row.roles for row in TABLE if row.effect == "permit" and row.names(action)):
            continue
        for members in classes(action):
            first = next((one for one in answers[action, members[0]] if one.decision.allowed), None)
            for role in members if first is not None and members != ("service",) else ():
                facts = first.facts
                gapped = Facts(house=facts.house, stage=facts.stage, roles=frozenset({role}), gaps={role: says},
                               relations=facts.relations, uses_open=facts.uses_open)
                refused = decide(PERSON, action, gapped)
                assert (refused.allowed, refused.rule, refused.because) == (False, UNTRAINED, says), (action, role)
                stopped.add(role)
    assert stopped == set(roles())


@req("VAL-01")
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_every_row_of_the_table_decides_something(row) -> None:
    """Without it at least one answer would be another: no row is dead, and none says what others say already."""
    rest = [each for each in TABLE if each is not row]
    named = [one for one in actions() if row.names(one)]
    changed = any(
        one.decision != decide(
            Actor.of_service("service") if role == "service" else PERSON, action, one.facts,
            [each for each in rest if each.names(action)])
        for action in named for role in (members[0] for members in classes(action)) for one in asked(action, role)
        if row.fits(Actor.of_service("service") if role == "service" else PERSON, action, one.facts)
    )

    assert changed, row.id


@req("VAL-01", "ACC-02")
def test_the_printed_matrix_names_who_may_and_counts_what_was_asked(answers, tmp_path) -> None:
    """For a validation pack: every action that somebody may do stands in it, with the rows that decide."""
    typed = CliRunner().invoke(app, ["validate", "matrix", "--out", str(tmp_path / "matrix.csv")])
    assert typed.exit_code == 0, typed.output
    rows = list(csv.DictReader(io.StringIO((tmp_path / "matrix.csv").read_text(encoding="utf-8"))))

    by_action: dict = {}
    for row in rows:
        by_action.setdefault(row["action"], set()).update(row["roles"].replace("(without a role)", "-").split())
    for action in actions():
        assert {one or "-" for one in allowed_for(answers, action)} == by_action.get(action, set()), action
    assert "gate.sign" in by_action
    assert "ai.accept_all" not in by_action


@req("ACC-04")
def test_every_role_that_a_row_names_is_in_the_catalogue() -> None:
    assert set(roles()) <= {one.name for one in CATALOGUE}
    assert held(Actor.of_service("x"), Facts(roles=frozenset({"reader"}))) == {"service"}

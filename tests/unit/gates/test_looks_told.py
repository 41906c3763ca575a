"""At which observations a statistical halt rule looks, in which order, and what it records when it fires."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary import trials as trial_words
from audit.vocabulary.gates import HaltEvaluated
from core.gates import looks, queries
from core.gates.looks import Look, due_looks, evaluate_looks, fires, is_ai_error, proportion_of
from core.gates.statistics import Pair, concordance_lower
from core.gates.usecases import halt_gate
from core.reads.agreement import AiPair
from core.reads.state import AiDecision
from core.trials.charter import StatisticalHalt
from core.trials.queries import signed_charter
from tests.builders import gates as homes
from tests.builders.folded import Folded
from tests.builders.gates import GATE, copy_of, opened_by_word
from tests.builders.reads import DIGEST, TRIAL, charter_text
from tests.builders.trials import LEAD
from tests.house import HouseUnderTest
from tests.req import req
from tests.unit.gates.test_gate_tables import finished, undecided

STATISTICAL = '{id: HALT-5, kind: statistical, metric: ai_error_overrides, operator: ">", limit: 0.30, looks: [8, 16], '
RULES = {
    "errors": STATISTICAL.replace("[8, 16]", "[4, 2]"),
    "undecided": STATISTICAL.replace("[8, 16]", "[2, 4]").replace("ai_error_overrides", "undecided_rate"),
    "agreement": STATISTICAL.replace("[8, 16]", "[6, 9]").replace("ai_error_overrides", "agreement_lower").replace(
        '">"', '"<"'),
}


def before_mutants() -> None:
    homes.opened()


def charter(record: Folded, rule: str, approved: bool = True, **replaced: str) -> Folded:
    """A trial whose charter has this statistical rule beside its event rules."""
    record.say(trial_words.TrialCreated(title="A trial", demonstration=True))
    said = record.say(trial_words.CharterSigned(
        charter_version="1.0", digest=DIGEST, text=charter_text(**{STATISTICAL: RULES[rule]} | replaced),
        evidence_class="demonstration", limits=(), uses=(), people=(), sites=()))
    if approved:
        record.say(trial_words.CharterApproved(charter_version="1.0", digest=DIGEST, signed=said.body["id"]), "qa")
    return record


def seen(record: Folded) -> list[tuple[int, Decimal | None, bool]]:
    found = due_looks(record.session, TRIAL)
    assert {one.rule.id for one in found} <= {"HALT-5"}
    return [(one.look, one.found, one.fired) for one in found]


def decision(entry: int, wrong: bool, **change: Any) -> AiDecision:
    made = AiDecision(
        TRIAL, "101-001", "BL", "reader_1", "reader-1", "volume", "T01", "run-1", "60 ml", None, None, "adjust",
        "part_missed" if wrong else "artefact", "LCK-1", "", entry, False)
    return replace(made, **change)


def decided(monkeypatch: pytest.MonkeyPatch, *made: AiDecision) -> None:
    def given(session: Any, trial: str) -> list[AiDecision]:
        assert trial == TRIAL
        return list(made)

    monkeypatch.setattr("core.gates.looks.ai_decisions", given)


@req("GAT-05", "RDG-10")
def test_the_first_decisions_by_entry_endpoint_and_lesion_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    record = charter(Folded(), "errors")
    decided(monkeypatch, decision(9, True))
    assert seen(record) == []

    decided(monkeypatch, decision(9, True), decision(5, True, lesion="T02"), decision(5, False))
    assert seen(record) == [(2, Decimal("0.5"), True)], "9 is the third, and T01 comes before T02"
    decided(monkeypatch, decision(9, True), decision(5, False, lesion="T02"), decision(5, False), decision(7, False))
    assert seen(record) == [(2, Decimal(0), False), (4, Decimal("0.25"), False)]


@req("GAT-05", "RDG-10")
def test_decisions_on_other_endpoints_and_excluded_ones_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    record = charter(Folded(), "errors")
    decided(monkeypatch, decision(1, True, endpoint="response"), decision(2, True, excluded=True), decision(3, True))
    assert seen(record) == []

    decided(monkeypatch, decision(1, True, endpoint="response"), decision(2, True, excluded=True), decision(3, True),
            decision(4, False))
    assert seen(record) == [(2, Decimal("0.5"), True)]


@req("GAT-05")
def test_a_look_is_judged_once_and_an_unapproved_charter_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    decided(monkeypatch, *(decision(number, False) for number in range(4)))
    assert seen(charter(Folded(), "errors", approved=False)) == []
    record = charter(Folded(), "errors")
    both = [(2, Decimal(0), False), (4, Decimal(0), False)]
    assert seen(record) == both

    def judged(trial: str, rule: str, look: int) -> None:
        record.say(HaltEvaluated(halt_rule=rule, look=look, metric="m", found="0", limit="> 0.30", fired=False),
                   trial=trial)

    judged("OTHER-1", "HALT-5", 2)
    judged(TRIAL, "HALT-6", 2)
    assert seen(record) == both
    judged(TRIAL, "HALT-5", 2)
    assert seen(record) == both[1:]
    judged(TRIAL, "HALT-5", 4)
    assert seen(record) == []


@req("GAT-05", "VAL-11")
def test_the_share_without_a_value_is_of_gated_runs_of_the_endpoints_that_the_rule_halts() -> None:
    record = charter(Folded(), "undecided")
    for event in (undecided("r1", use="secondary", endpoint="volume"), finished("r2", use="secondary",
                  endpoint="response"), finished("r3", use="secondary", endpoint="volume", standing="shadow")):
        record.say(event)
    record.say(finished("x1", use="secondary", endpoint="volume"), trial="OTHER-1")
    assert seen(record) == []

    record.say(finished("r4"))  # of no endpoint: quality control
    assert seen(record) == [(2, Decimal("0.5"), True)]
    record.say(finished("r5", use="secondary", endpoint="volume"))
    record.say(undecided("r6", use="secondary", endpoint="volume"))
    assert seen(record) == [(2, Decimal("0.5"), True), (4, Decimal("0.5"), True)]


def pair(entry: int, subject: str, before: str | None, ai: str, **change: Any) -> AiPair:
    made = AiPair(TRIAL, subject, "BL", "volume", "T01", "reader-1", Decimal(ai), Decimal(before) if before else None,
                  None, "ml", "adjust", "LCK-1", 1, entry)
    return replace(made, **change)


APART = [pair(number, f"S{number % 3}", str(10 * number), str(10 * number + (7 if number % 2 else -4)))
         for number in range(1, 7)]


@req("GAT-05", "VAL-10")
def test_agreement_is_told_of_the_first_pairs_whose_mark_came_before_ai(monkeypatch: pytest.MonkeyPatch) -> None:
    record = charter(Folded(), "agreement")
    blind = [pair(0, "S9", None, "500"), pair(0, "S9", "1", "500", endpoint="response")]
    later = [pair(8, "S0", "1", "900", lesion="T02"), pair(9, "S1", "1", "900"), pair(8, "S2", "80", "80")]

    def given(*pairs: AiPair) -> list[tuple[int, Decimal | None, bool]]:
        monkeypatch.setattr("core.gates.looks.ai_pairs", lambda session, trial: list(pairs) if trial == TRIAL else [])
        return seen(record)

    def bound(pairs: list[AiPair]) -> Decimal | None:
        return concordance_lower([Pair(one.subject, one.before or Decimal(0), one.ai) for one in pairs], Decimal(95))

    assert given(*blind, *APART[:5]) == []
    first = bound(APART)
    assert first is not None
    assert given(*blind, *reversed(APART)) == [(6, first, first < Decimal("0.30"))]
    all_nine = bound([*APART, later[2], later[0], later[1]])
    assert given(*later, *reversed(APART)) == [(6, first, first < Decimal("0.30")), (9, all_nine, True)]
    same = [replace(one, subject="S1") for one in APART]
    assert given(*same) == [(6, None, False)], "of one subject no bound can be told, and nothing fires"


@req("GAT-05", "VAL-10")
def test_without_a_confidence_in_the_charter_it_is_ninety_five_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.gates.looks.ai_pairs", lambda session, trial: APART)
    asked: list[Decimal] = []
    monkeypatch.setattr("core.gates.looks.concordance_lower", lambda pairs, confidence: asked.append(confidence))

    record = charter(Folded(), "agreement")
    due_looks(record.session, TRIAL)
    signed = signed_charter(record.session, TRIAL)
    assert signed is not None
    stated = signed.charter.limits.get("confidence_percent")
    assert asked == [stated.value if stated else Decimal(95)]
    limits = {name: one for name, one in signed.charter.limits.items() if name != "confidence_percent"}
    (rule,) = [one for one in signed.charter.halt_rules if isinstance(one, StatisticalHalt)]
    for value in ("80", None):
        given = limits if value is None else limits | {
            "confidence_percent": signed.charter.limits["confidence_percent"].model_copy(
                update={"value": Decimal(value)})}
        looks._observed(record.session, TRIAL, signed.charter.model_copy(update={"limits": given}), rule, 6)
    assert asked[1:] == [Decimal(80), Decimal(95)]


@req("GAT-05")
@pytest.mark.parametrize(("operator", "found", "fired"), [
    (">", "0.31", True), (">", "0.30", False), (">", "0.29", False), ("<", "0.29", True), ("<", "0.30", False),
    ("<", "0.31", False), (">", None, False), ("<", None, False),
])
def test_a_rule_fires_on_its_own_side_of_the_limit(operator: Any, found: str | None, fired: bool) -> None:
    rule = StatisticalHalt(id="H", kind="statistical", metric="undecided_rate", operator=operator,
                           limit=Decimal("0.30"), looks=(8,), halts=(3,))

    assert fires(rule, Decimal(found) if found else None) is fired


@req("GAT-05", "RDG-10")
def test_errors_are_what_a_reader_says_of_the_model_and_shares_are_of_the_first() -> None:
    assert [is_ai_error(use, reason) for use, reason in (
        ("adjust", "part_missed"), ("adjust", "boundary_too_wide"), ("reject", "boundary_too_wide"),
        ("accept", "part_missed"), ("reject", "artefact"))] == [True, False, True, False, False]
    assert [proportion_of([True, False, True], look) for look in (1, 2, 3, 4)] == [
        Decimal(1), Decimal("0.5"), Decimal(2) / 3, None]


# What is recorded -------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.opened(), tmp_path) as house:
        yield house


def rule(*halts: int) -> StatisticalHalt:
    return StatisticalHalt(id="HALT-5", kind="statistical", metric="ai_error_overrides", operator=">",
                           limit=Decimal("0.30"), looks=(3,), halts=halts)


def due(monkeypatch: pytest.MonkeyPatch, *found: Look) -> None:
    monkeypatch.setattr("core.gates.looks.due_looks", lambda session, trial: found if trial == TRIAL else ())


@req("GAT-05")
def test_a_look_that_fires_halts_the_gates_of_its_uses_and_says_what_was_found(
    opened: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_by_word(opened, 2, 3)
    opened.commit(halt_gate(opened.desk, LEAD, "G2-word", "judgement"))
    found = Look(rule(2, 3), 3, Decimal(2) / 3, True)
    due(monkeypatch, found)
    before = len(opened.entries())

    assert evaluate_looks(opened.desk, TRIAL) == (found,)

    looked, *halts = [entry.body for entry in opened.entries()[before:]]
    assert looked["fields"] == {
        "halt_rule": "HALT-5", "look": 3, "metric": "ai_error_overrides", "found": "0.667", "limit": "> 0.30",
        "fired": True}
    assert [one["fields"] for one in halts] == [
        {"gate": "G3-word", "use": 3, "halt_rule": "HALT-5", "says": "ai error overrides 0.667 at look 3"}]
    for one in (looked, *halts):
        assert (one["actor"], one["rule"], one["trial"]) == ("gates", "P-03", TRIAL)
    assert (looked.get("caused_by"), halts[0]["caused_by"]) == (None, looked["id"])
    with opened.desk.reading() as session:
        assert queries.gate_named(session, GATE).state == "open"


@req("GAT-05")
def test_looks_are_recorded_one_after_the_other_and_a_number_that_cannot_be_told_halts_nothing(
    opened: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(monkeypatch, Look(rule(1), 1, None, False), Look(rule(1), 2, Decimal("0.0005"), False),
        Look(rule(1), 3, Decimal("0.5"), True))
    before = len(opened.entries())
    evaluate_looks(opened.desk, TRIAL)

    bodies = [entry.body for entry in opened.entries()[before:]]
    assert [(one["action"], one["fields"].get("found")) for one in bodies] == [
        ("halt.evaluated", "not to be told"), ("halt.evaluated", "0.000"), ("halt.evaluated", "0.500"),
        ("gate.halted", None)]
    assert bodies[3]["caused_by"] == bodies[2]["id"]
    due(monkeypatch)
    assert (evaluate_looks(opened.desk, TRIAL), len(opened.entries())) == ((), before + 4)

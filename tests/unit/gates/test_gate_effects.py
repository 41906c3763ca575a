"""What the worker does to gates after each word that takes their ground away, and after those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary import models, validation
from audit.vocabulary.corrections import CorrectedSeries, StudyReassigned
from audit.vocabulary.ledger import KeyRevoked
from core.gates import queries, usecases
from core.policy.state import Actor, Decision
from core.trials import usecases as trials
from core.work import Draft, View
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import GATE, copy_of, last, opened_by_word
from tests.builders.reads import DIGEST, TRIAL, charter_text, recorded, signed
from tests.house import HouseUnderTest
from tests.req import req

YES = Decision(True, "P-00", "set up for a test", "none")


def before_mutants() -> None:
    homes.opened()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.opened(), tmp_path) as house:
        house.work()
        yield house


def states(house: HouseUnderTest) -> dict[str, str]:
    with house.desk.reading() as session:
        return {one.gate: one.state for one in queries.gates_of(session, TRIAL)}


def stop(house: HouseUnderTest, word: str = "gate.suspended") -> tuple[str, str | None]:
    """Cause of the newest stop, and the word that the record names as what caused it."""
    body = last(house, word)
    by = [entry.body["action"] for entry in house.entries() if entry.body["id"] == body.get("caused_by")]
    return body["fields"].get("cause") or body["fields"]["halt_rule"], by[0] if by else None


def of_the_house(house: HouseUnderTest, user: str, event: Any) -> None:
    """A person's entry that belongs to no trial."""
    draft = Draft(event, under=YES, meaning="responsibility", view=View("Set up for a test", "test", ()))
    house.sign(Actor(user), lambda session, occasion: draft)


def model_refused(cause: str, lock: str = build.LOCK) -> models.ModelRefused:
    return models.ModelRefused(lock=lock, model="lesion-at-seed", check="files", cause=cause, expected="a", found="b")


@req("GAT-04", "MLK-01")
def test_a_model_that_is_not_the_locked_one_closes_the_gates_of_its_lock(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 2, lock="LCK-9")
    recorded(opened, model_refused("digest_mismatch"), "inference")
    opened.work()

    assert states(opened) == {GATE: "suspended", "G2-word": "open"}
    assert stop(opened) == ("digest_mismatch", "model.refused")


@req("GAT-04", "MLK-08")
def test_a_refusal_for_another_cause_closes_nothing(opened: HouseUnderTest) -> None:
    recorded(opened, model_refused("tampered_tree"), "inference")
    opened.work()

    assert states(opened) == {GATE: "open"}


@req("GAT-04", "MLK-08")
def test_a_recalled_lock_serves_no_gate(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 2, lock="LCK-9")
    of_the_house(opened, "validation-lead", models.ModelRetired(lock=build.LOCK, model="m", how="recalled"))
    opened.work()

    assert states(opened) == {GATE: "suspended", "G2-word": "open"}
    assert stop(opened) == ("lock_revoked", "model.retired")


def run_of(house: HouseUnderTest) -> str:
    return str(last(house, "validation.concluded")["fields"]["run"])


@req("GAT-04", "VAL-06")
def test_a_suspicion_about_a_lock_closes_its_gates_by_name(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 2, lock="LCK-9")
    of_the_house(opened, "validation-lead", validation.ValidationSuspect(
        run=run_of(opened), cause="A driver was patched.", scope="OQ", lock=build.LOCK))
    opened.work()

    assert states(opened) == {GATE: "suspended", "G2-word": "open"}
    assert stop(opened) == ("validation_suspect", "validation.suspect")


@req("GAT-04", "VAL-06")
def test_a_suspicion_about_the_installation_closes_what_rests_on_its_release(opened: HouseUnderTest) -> None:
    of_the_house(opened, "validation-lead", validation.ValidationSuspect(
        run=run_of(opened), cause="A driver was patched.", scope="OQ"))
    opened.work()

    assert states(opened) == {GATE: "suspended"}
    assert stop(opened) == ("validation_suspect", None), "found by looking at the gate, whatever had been said"


def deviation(klass: str = "critical", lock: str | None = None) -> validation.DeviationOpened:
    return validation.DeviationOpened(deviation="DEV-1", klass_name=klass, source="system", about="values",
                                      says="wrong unit", lock=lock)


@req("GAT-04", "OPS-04")
@pytest.mark.parametrize(("event", "in_trial", "closed"), [
    (deviation(), True, {GATE, "G2-word"}), (deviation("major"), True, set()),
    (deviation(lock=build.LOCK), False, {GATE}), (deviation("major", build.LOCK), False, set()),
    (deviation(lock="LCK-9"), True, {GATE, "G2-word"}), (deviation(), False, set()),
], ids=["of a trial", "not critical", "of a lock", "of a lock, not critical", "of both", "of neither"])
def test_a_critical_deviation_closes_what_it_is_about(
    opened: HouseUnderTest, event: validation.DeviationOpened, in_trial: bool, closed: set[str]
) -> None:
    opened_by_word(opened, 2, lock="LCK-9")
    if in_trial:
        signed(opened, "qa-auditor", event)
    else:
        of_the_house(opened, "qa-auditor", event)
    opened.work()

    assert {gate for gate, state in states(opened).items() if state == "suspended"} == closed
    if closed:
        assert stop(opened) == ("critical_deviation", "deviation.opened")


@req("GAT-04", "SIG-10")
@pytest.mark.parametrize(("since", "state"), [(0, "suspended"), (None, "open")])
def test_a_key_under_suspicion_closes_what_it_signed_and_a_lost_one_nothing(
    opened: HouseUnderTest, since: int | None, state: str
) -> None:
    kid = next(entry for entry in opened.entries() if entry.body["action"] == "gate.signed").kid
    of_the_house(opened, "qa-auditor", KeyRevoked(kid=kid, because="lost", suspect_from=since))
    opened.work()

    assert states(opened) == {GATE: state}


@req("GAT-04", "GAT-01")
def test_an_amended_charter_that_leaves_a_use_out_closes_it(opened: HouseUnderTest) -> None:
    text = charter_text(**{
        'version: "1.0"': 'version: "2.0"',
        "qc: {use: planned, model: lesion-at-seed, strata: [generated], scope: all}":
            "qc: {use: not_used, reason: Technologists decide without it.}"})
    opened.commit(trials.sign_charter(opened.desk, build.LEAD, text))
    opened.commit(trials.accept_charter(opened.desk, build.INVESTIGATOR, TRIAL))
    opened.work()
    assert states(opened) == {GATE: "open"}, "signed is not yet in force"
    opened.commit(trials.approve_charter(opened.desk, build.QA, TRIAL))
    opened.work()

    assert states(opened) == {GATE: "suspended"}


@req("GAT-04", "GAT-01")
def test_a_revoked_gate_takes_what_rests_on_it_along(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 2)
    assert states(opened) == {GATE: "open", "G2-word": "open"}
    opened.commit(usecases.revoke_gate(opened.desk, build.QA, GATE, "misuse"))
    opened.work()

    assert states(opened) == {GATE: "revoked", "G2-word": "suspended"}


def reassigned(kind: str, ai_values: int) -> StudyReassigned:
    return StudyReassigned(
        study="S-1", kind=kind, subject="101-001", time_point="BL", became="expected", count=1,
        series=(CorrectedSeries(series="1", modality="CT", instances=1, manifest_sha256=DIGEST),),
        ai_values=ai_values, pulled=0, locked=0)


@req("GAT-05", "PRV-04")
@pytest.mark.parametrize(("kind", "ai_values", "rule"), [
    ("wrong_subject", 1, "HALT-2"), ("wrong_side", 2, "HALT-3"), ("wrong_subject", 0, None),
    ("wrong_time_point", 1, None),
])
def test_a_value_in_the_wrong_place_halts_by_the_rule_for_its_kind(
    opened: HouseUnderTest, kind: str, ai_values: int, rule: str | None
) -> None:
    opened_by_word(opened, 3)
    signed(opened, "qa-auditor", reassigned(kind, ai_values))
    opened.work()

    assert states(opened)["G3-word"] == ("halted" if rule else "open")
    if rule:
        assert stop(opened, "gate.halted") == (rule, "study.reassigned")

"""A lock in use is watched: baseline signed, windows judged, level 2 suspends; of sealed uses only levels are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit.entry import base64_text
from audit.vocabulary import validation
from core.drift import queries
from core.drift.queries import Stream
from core.drift.usecases import SignBaseline, evaluate, evaluate_due, sign_baseline
from core.errors import NotFound, Refused, UnusableInput
from core.policy.decide import decide
from core.policy.state import Actor
from core.reads.ports import keeper_of
from core.trials.queries import facts_for, open_uses
from countersign.cli import app
from countersign.daily import look_after
from tests.builders import trials as build
from tests.builders.drift import STATISTICIAN, based, measured, qualified
from tests.builders.reads import TRIAL, signed
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

QC = Stream(TRIAL, build.LOCK, "qc")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> HouseUnderTest:
    with a_house(tmp_path_factory.mktemp("drift")) as house:
        build.live(house)
        build.evidence_of_use_1(house)
        build.opened(house, "qc")
        measured(house, 0, 30)
    return house


@pytest.fixture
def watched(first: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A gate is open and thirty studies without drift are measured."""
    with checked(first.copied(tmp_path)) as house:
        yield house


def uses_open(house: HouseUnderTest) -> list[str]:
    with house.desk.reading() as session:
        return [use.code for use in open_uses(session, TRIAL)]


@req("VAL-13", "MLK-03")
def test_a_baseline_is_signed_by_who_answers_for_it_on_enough_studies(watched: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput, match="at least 30"):
        sign_baseline(watched.desk, STATISTICIAN, SignBaseline(TRIAL, build.LOCK, first=watched.entries()[-1].seq))
    with pytest.raises(Refused):
        sign_baseline(watched.desk, Actor("imaging-lead"), SignBaseline(TRIAL, build.LOCK))

    based(watched)

    body = watched.entries()[-1].body
    assert (body["action"], body["role"], body["fields"]["studies"]) == ("drift.baselined", "statistician", 30)
    assert "101-0" not in json.dumps(body["fields"])


@req("VAL-13", "VAL-04")
def test_the_cases_of_a_pq_are_a_baseline_before_any_study_came(watched: HouseUnderTest) -> None:
    """Signed from the validation's measured distribution; then every study of the trial is held against it."""
    run = qualified(watched)
    watched.commit(sign_baseline(watched.desk, STATISTICIAN, SignBaseline(TRIAL, build.LOCK, validation=run)))

    fields = watched.entries()[-1].body["fields"]
    assert (fields["validation"], fields["studies"], fields["first_entry"]) == (run, 30, fields["last_entry"])
    measured(watched, 100, 25)
    assert evaluate_due(watched.desk) == 1
    assert watched.entries()[-1].body["fields"]["level"] == 0
    measured(watched, 200, 25, confidence=0.8)
    assert evaluate_due(watched.desk) == 1
    assert watched.words()[-2:] == ["drift.evaluated", "gate.suspended"]
    assert uses_open(watched) == []
    said = CliRunner().invoke(app, ["drift", "show", "--home", str(watched.home)]).output
    assert f"baseline of 30 cases of {run}, signed by statistician" in said


@req("VAL-13", "VAL-04")
@pytest.mark.parametrize(("stated", "why"), [
    ({"lock": "LCK-other"}, "it asked LCK-other"), ({"verdict": "failed"}, "its verdict is failed"),
    ({"reviewed": False}, "nobody signed its report"), ({"evidence_class": "exploratory"}, "class exploratory"),
    ({"cases": 12}, "at least 30"),
])
def test_a_run_that_shows_nothing_of_this_lock_is_no_baseline(
    watched: HouseUnderTest, stated: dict[str, Any], why: str
) -> None:
    run = qualified(watched, **stated)

    with pytest.raises(UnusableInput, match=why):
        sign_baseline(watched.desk, STATISTICIAN, SignBaseline(TRIAL, build.LOCK, validation=run))


@req("VAL-13", "VAL-05")
def test_a_suspect_pq_is_no_baseline_and_a_run_without_cases_neither(watched: HouseUnderTest) -> None:
    run = qualified(watched)
    signed(watched, "validation-lead", validation.ValidationSuspect(
        run=run, cause="A driver was patched.", scope="PQ", lock="LCK-none"))

    for name, error, why in ((run, UnusableInput, "it is suspect"), ("PQ-none", NotFound, "no concluded run of a PQ")):
        with pytest.raises(error, match=why):
            sign_baseline(watched.desk, STATISTICIAN, SignBaseline(TRIAL, build.LOCK, validation=name))


@req("VAL-13", "OPS-09")
def test_a_lock_in_use_without_a_baseline_alarms(watched: HouseUnderTest) -> None:
    with watched.desk.reading() as session:
        assert [one.says for one in queries.alarms(session)] == [
            f"{build.LOCK} is in use in {TRIAL} without a drift baseline."]
    assert evaluate_due(watched.desk) == 0

    based(watched)
    with watched.desk.reading() as session:
        assert list(queries.alarms(session)) == []


@req("VAL-13")
def test_studies_without_drift_are_evaluated_when_enough_are_new_or_days_have_passed(watched: HouseUnderTest) -> None:
    based(watched)
    assert evaluate_due(watched.desk) == 0
    measured(watched, 100, 5)
    assert evaluate_due(watched.desk) == 1
    assert watched.entries()[-1].body["fields"]["says"] == "too few studies to tell"
    measured(watched, 200, 9)
    assert evaluate_due(watched.desk) == 0
    watched.clock.at_us += 7 * 24 * 3600 * 1_000_000
    assert evaluate_due(watched.desk) == 1
    measured(watched, 300, 10)
    assert evaluate_due(watched.desk) == 1
    assert evaluate_due(watched.desk) == 0

    fields = watched.entries()[-1].body["fields"]
    assert (fields["told"], fields["level"], fields["studies"], fields["says"]) == (True, 0, 24, "no drift")
    assert {one["name"]: one["value"] for one in fields["limits"]}["drift_psi_2"] == "0.25"
    assert {(one["feature"], one["monitor"]) for one in fields["signals"]} >= {
        ("confidence", "PSI"), ("confidence", "KS"), ("confidence", "CUSUM"), ("failed", "rate")}
    assert uses_open(watched) == ["qc"]


@req("GAT-04", "VAL-13")
def test_level_2_suspends_in_the_same_transaction_and_the_next_run_is_refused(watched: HouseUnderTest) -> None:
    based(watched)
    measured(watched, 100, 25, confidence=0.8)

    said = look_after(watched.desk)

    assert said[0] == "drift evaluated 1 times"
    assert watched.words()[-2:] == ["drift.evaluated", "gate.suspended"]
    evaluated, suspended = watched.entries()[-2:]
    assert suspended.body["fields"]["cause"] == "drift_level_2"
    assert suspended.body["caused_by"] == evaluated.body["id"]
    assert "confidence" in evaluated.body["fields"]["says"]
    assert uses_open(watched) == []
    inference = Actor.of_service("inference")
    with watched.desk.reading() as session:
        decision = decide(inference, "ai.run", facts_for(
            session, inference, "ai.run", TRIAL, relations=frozenset({"for_qc"})))
        (alarm,) = queries.alarms(session)
    assert (decision.allowed, decision.rule) == (False, "F-610")
    assert "level 2" in alarm.says
    assert "all signers resume" in alarm.remedy


@req("GAT-05", "VAL-13")
def test_when_all_signers_resumed_what_they_looked_at_suspends_no_second_time(watched: HouseUnderTest) -> None:
    based(watched)
    measured(watched, 100, 25, confidence=0.8)
    evaluate(watched.desk, QC)
    build.sign_all(watched, f"{TRIAL}-G1-1")
    assert uses_open(watched) == ["qc"]

    measured(watched, 200, 12, confidence=0.8)
    evaluate_due(watched.desk)
    assert watched.entries()[-1].body["fields"]["says"] == "too few studies to tell"
    assert uses_open(watched) == ["qc"]

    measured(watched, 300, 12, confidence=0.8)
    evaluate_due(watched.desk)
    assert uses_open(watched) == [], "the shift is still there in the studies since"


@req("VAL-13", "GAT-04")
def test_failures_that_become_frequent_are_drift(watched: HouseUnderTest) -> None:
    based(watched)
    measured(watched, 100, 12)
    measured(watched, 200, 10, failed=True)
    evaluate(watched.desk, QC)

    fields = watched.entries()[-2].body["fields"]
    assert (fields["level"], fields["outputs"]) == (2, 2)
    assert fields["says"].endswith("failed (rate)")


@req("RDG-02", "RDG-06", "VAL-13")
def test_of_a_sealed_use_only_levels_leave_the_seal(watched: HouseUnderTest) -> None:
    """Answers are enclosed under a seal that is closed: a shift is found inside it, no number is recorded or told."""
    commit = keeper_of(watched.desk.signer).seal("occasion-1", b"the AI's read").commit
    based(watched)
    measured(watched, 100, 25, use="primary", sealed=True, commit=commit, confidence=0.8)

    assert evaluate_due(watched.desk) == 1

    fields = watched.entries()[-2].body["fields"]
    assert (fields["level"], fields["inputs"], fields["outputs"], fields["sealed"]) == (2, 0, 2, True)
    assert "signals" not in fields or fields["signals"] == []
    assert fields["says"] == "level 2 (inputs 0, outputs 2)"
    assert "confidence" not in json.dumps(watched.entries()[-2].body)
    with watched.desk.reading() as session:
        assert queries.signals_of(session, watched.entries()[-2].seq) == ()


@req("RDG-02")
def test_a_seal_is_no_oracle_about_one_study(watched: HouseUnderTest) -> None:
    keeper = keeper_of(watched.desk.signer)
    commit = keeper.seal("occasion-1", b"the AI's read").commit
    held = base64_text(keeper.enclose(commit, "run/sample", b'{"confidence": "0.9"}'))
    study = {"at_baseline": True, "undecided": False, "failed": False, "runs": [
        {"inputs": {}, "enclosed": {"commit": commit, "name": "run/sample", "data": held}}]}

    with pytest.raises(Refused) as refusal:
        keeper.levels_inside(json.dumps({"limits": {}, "baseline": [], "since": [study]}).encode())

    assert refusal.value.rule == "F-650"


@req("VAL-13")
def test_what_people_type(watched: HouseUnderTest) -> None:
    def call(*words: str, exit_code: int = 0, **environment: str) -> str:
        done = CliRunner().invoke(app, [*words, "--home", str(watched.home)], env=environment)
        assert done.exit_code == exit_code, done.output
        return done.output

    proof = watched.proof("statistician")
    call("drift", "baseline", build.LOCK, "--trial", TRIAL, "--as", "statistician",
         COUNTERSIGN_USER="statistician", COUNTERSIGN_MEANING="approval", COUNTERSIGN_PASSWORD=proof.password,
         COUNTERSIGN_CODE=proof.code)
    measured(watched, 100, 25, confidence=0.8)
    assert call("drift", "evaluate") == "1 evaluated.\n"

    told = call("drift", "show", build.LOCK)

    assert "baseline of 30 studies" in told
    assert "limit drift_psi_2 0.25" in told
    assert "confidence: KS" in told
    assert "ATTENTION  Drift of LCK-1" in told
    data = json.loads(call("drift", "show", "--json"))
    assert [(one["level"], one["use"]) for one in data["evaluations"]] == [(2, "qc")]
    assert f"Drift of {build.LOCK}" in call("doctor", exit_code=1)

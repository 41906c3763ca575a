"""A model that changes mid-trial: one lock per series, a signed plan, agreement on the same cases, then the gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from typer.testing import CliRunner

from audit.entry import base64_text
from audit.vocabulary import bridging as words
from audit.vocabulary import gates as gate_words
from audit.vocabulary import models
from core.drift.bridging import PlanBridging, judge_bridging, plan_bridging, sign_bridging
from core.errors import AlreadyDone, Refused, UnusableInput
from core.gates.bridging import plans_of, series_refusal
from core.gates.gathering import judged_now
from core.objects import JSON
from core.policy.state import Actor, Decision
from core.reads.ports import keeper_of
from countersign.cli import app
from models_registry.asking import RequestRun, request_run
from models_registry.ports import GivenSeries
from tests.builders import trials as build
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

OLD, NEW, SUBJECT = build.LOCK, "LCK-2", "101-001"
STATISTICIAN, VALIDATION, QA = Actor("statistician"), Actor("validation-lead"), Actor("qa-auditor")
ASKER = Actor("technologist")


@dataclass
class TwoSeries:
    """models_registry.ports.Images of which only the list is asked."""

    def series_of(self, session: Any, trial: str, subject: str, time_point: str) -> list[GivenSeries]:
        return [GivenSeries(kind, f"2.25.{kind == 'CT'}", "2.25.9", DIGEST, 2, True) for kind in ("CT", "PT")]

    def load(self, session: Any, objects: Any, trial: str, series: str) -> list[Any]:
        raise AssertionError("nothing is run here")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> HouseUnderTest:
    with a_house(tmp_path_factory.mktemp("change")) as house:
        build.live(house)
        build.evidence_of_use_1(house)
        build.a_lock(house, NEW)
        build.enrolled(house, SUBJECT)
        opened(house, OLD)
    return house


@pytest.fixture
def changed(first: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """The old lock's gate for the secondary endpoint is open; the new one is locked."""
    with checked(first.copied(tmp_path)) as house:
        yield house


def opened(house: HouseUnderTest, lock: str) -> None:
    """The secondary gate of a lock, as far as its words go."""
    gate = f"{TRIAL}-G3-{lock}"
    signed(house, "trial-lead", gate_words.GateRequested(
        gate=gate, use=3, use_name="secondary", endpoint="volume", scope="all", lock=lock, model="lesion-at-seed",
        criteria=()))
    recorded(house, gate_words.GateOpened(
        gate=gate, use=3, use_name="secondary", endpoint="volume", scope="all", lock=lock, criteria=(), signed=()),
        "gates")


def asked(house: HouseUnderTest, lock: str, time_point: str = "BL", standing: str = "gated") -> None:
    request_run(house.desk, ASKER, RequestRun(
        TRIAL, SUBJECT, time_point, "TL01", "2.25.1", ("0.0", "0.0", "0.0"), "technologist", lock, "secondary",
        "volume", standing), TwoSeries())


def planned(house: HouseUnderTest, strategy: str = "new_subjects") -> str:
    house.commit(plan_bridging(house.desk, STATISTICIAN, PlanBridging(
        TRIAL, "secondary", "volume", OLD, NEW, strategy, "a defect at coarse slices was mended")))
    return f"{TRIAL}-B1"


def signed_by_all(house: HouseUnderTest, plan: str) -> None:
    for person in (VALIDATION, QA):
        house.commit(sign_bridging(house.desk, person, plan))


def both_measured(house: HouseUnderTest, cases: int, *, start: int = 0, apart: float = 1.0, sealed: bool = False,
                  commit: str | None = None) -> None:
    """Runs of both locks on the same lesions; `apart`: the new lock's volume over the old one's."""
    draw, events = np.random.default_rng((11, start)), []
    for number in range(start, start + cases):
        volume = float(draw.uniform(2_000, 80_000))
        for lock, value in ((OLD, volume), (NEW, volume * apart * draw.normal(1, 0.01))):
            subject, run = f"101-{100 + number:03d}", f"{lock}-{number}"
            outputs = {"confidence": "0.9", "volume_mm3": f"{value:.1f}"}
            sample: dict[str, Any] = {"run": run, "inputs": {}}
            if commit is None:
                sample["outputs"] = outputs
            else:
                held = keeper_of(house.desk.signer).enclose(commit, f"{run}/sample", json.dumps(outputs).encode())
                sample["enclosed"] = {"commit": commit, "name": f"{run}/sample", "data": base64_text(held)}
            kept = house.desk.objects.put(json.dumps(sample).encode(), JSON, subject=f"{TRIAL}/{subject}")
            events.append(models.RunFinished(
                run=run, lock=lock, model="lesion-at-seed", subject=subject, time_point="BL", study=f"2.25.{number}",
                lesion="TL01", use="secondary", standing="gated" if lock == OLD else "shadow", sealed=sealed,
                input_sha256=DIGEST, environment_sha256=DIGEST, output_sha256=DIGEST, values_said="measured",
                took="1.0 s", endpoint="volume", sample=kept))
    with house.desk.open(Actor.of_service("inference")) as work:
        for event in events:
            work.record(event, under=Decision(True, "P-03", "for a test", "service"), trial=TRIAL)


def criterion(house: HouseUnderTest, lock: str) -> tuple[str, str]:
    with house.desk.reading() as session:
        judged = judged_now(session, TRIAL, 3, "volume", "all", lock, house.desk.occasion().at[:10])
    found = next(one for one in judged if one.id == "bridging")
    return found.state, found.found


@req("MLK-01", "GAT-03")
def test_a_second_lock_in_a_subjects_series_is_refused_and_in_shadow_it_runs(changed: HouseUnderTest) -> None:
    asked(changed, OLD)
    opened(changed, NEW)

    with pytest.raises(Refused) as refusal:
        asked(changed, NEW, "W08")

    assert refusal.value.rule == "F-407"
    assert changed.words()[-1] == "action.refused"
    asked(changed, NEW, "W08", standing="shadow")
    asked(changed, OLD, "W08")
    assert [entry.body["fields"]["standing"] for entry in changed.entries()
            if entry.body["action"] == "run.requested"] == ["gated", "shadow", "gated"]


@req("MLK-01", "GAT-03")
def test_under_a_passed_plan_that_recomputes_the_earliest_time_point_comes_first(changed: HouseUnderTest) -> None:
    asked(changed, OLD)
    opened(changed, NEW)
    for event, user in (
        (words.BridgingPlanned(plan="P", use="secondary", endpoint="volume", from_lock=OLD, to_lock=NEW,
                               strategy="recompute", because="mended"), "statistician"),
        (words.BridgingSigned(plan="P", signed_as="validation_lead", planned="x"), "validation-lead"),
        (words.BridgingSigned(plan="P", signed_as="qa_auditor", planned="x"), "qa-auditor"),
    ):
        signed(changed, user, event)
    with pytest.raises(Refused):
        asked(changed, NEW)
    recorded(changed, words.BridgingJudged(plan="P", from_lock=OLD, to_lock=NEW, verdict="passed", sealed=False,
                                           says="passed"), "gates")

    with pytest.raises(Refused):
        asked(changed, NEW, "W08")
    asked(changed, NEW, "BL")
    asked(changed, NEW, "W08")
    with pytest.raises(Refused) as back:
        asked(changed, OLD, "W16")

    assert back.value.rule == "F-407", "the old lock never comes back into the series"


@req("MLK-01")
@given(some.lists(some.tuples(some.sampled_from(["BL", "W08", "W16"]), some.sampled_from([OLD, NEW])), max_size=6),
       some.sampled_from(["BL", "W08", "W16"]))
def test_without_a_plan_no_series_ever_holds_two_locks(asks: list[tuple[str, str]], time_point: str) -> None:
    held: list[tuple[str, str]] = []
    for point, lock in asks:
        if series_refusal(lock, point, sorted(held), frozenset()) is None:
            held.append((point, lock))

    assert len({lock for _, lock in held}) <= 1


@req("GAT-02", "VAL-13")
def test_a_plan_needs_three_people_and_the_lock_that_served_before(changed: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput, match="follows LCK-1"):
        plan_bridging(changed.desk, STATISTICIAN, PlanBridging(
            TRIAL, "secondary", "volume", "LCK-9", NEW, "recompute", "mended"))
    with pytest.raises(Refused):
        plan_bridging(changed.desk, Actor("imaging-lead"), PlanBridging(
            TRIAL, "secondary", "volume", OLD, NEW, "recompute", "mended"))
    plan = planned(changed)
    with pytest.raises(Refused) as early:
        sign_bridging(changed.desk, QA, plan)
    with pytest.raises(Refused) as unsigned:
        judge_bridging(changed.desk, STATISTICIAN, plan)

    signed_by_all(changed, plan)

    assert (early.value.rule, unsigned.value.rule) == ("F-651", "F-652")
    with pytest.raises(AlreadyDone):
        sign_bridging(changed.desk, QA, plan)
    with changed.desk.reading() as session:
        (row,) = plans_of(session, TRIAL)
    assert (row.in_force, row.planned_by, row.qa_auditor_by) == (True, "statistician", "qa-auditor")


@req("GAT-02", "VAL-13")
def test_the_gate_of_a_changed_lock_waits_for_the_verdict_on_the_bound(changed: HouseUnderTest) -> None:
    assert criterion(changed, OLD) == ("met", "the first lock of this endpoint")
    assert criterion(changed, NEW) == ("open", f"no plan bridges from {OLD}")
    plan = planned(changed)
    assert criterion(changed, NEW) == ("open", f"plan {plan} is not signed by all")
    signed_by_all(changed, plan)
    both_measured(changed, 20)
    assert judge_bridging(changed.desk, STATISTICIAN, plan).verdict == "too_few"
    assert criterion(changed, NEW) == ("open", f"plan {plan}: too few")
    both_measured(changed, 20, start=20)

    judged = judge_bridging(changed.desk, STATISTICIAN, plan)

    assert (judged.verdict, judged.pairs, judged.subjects) == ("passed", 40, 40)
    assert criterion(changed, NEW) == ("met", f"plan {plan}: passed")
    assert changed.entries()[-1].body["on_behalf_of"] == "statistician"


@req("VAL-13")
def test_a_lock_that_measures_a_fifth_more_fails(changed: HouseUnderTest) -> None:
    plan = planned(changed)
    signed_by_all(changed, plan)
    both_measured(changed, 40, apart=1.2)

    judged = judge_bridging(changed.desk, STATISTICIAN, plan)

    assert judged.verdict == "failed"
    assert criterion(changed, NEW)[0] == "open"


@req("RDG-02", "RDG-06", "VAL-13")
def test_of_sealed_runs_the_verdict_alone_leaves_the_seal(changed: HouseUnderTest) -> None:
    commit = keeper_of(changed.desk.signer).seal("occasion-1", b"the AI's read").commit
    plan = planned(changed)
    signed_by_all(changed, plan)
    both_measured(changed, 40, sealed=True, commit=commit)

    judge_bridging(changed.desk, STATISTICIAN, plan)

    fields = changed.entries()[-1].body["fields"]
    assert (fields["verdict"], fields["sealed"], fields["says"]) == ("passed", True, "passed")
    assert not {"pairs", "subjects", "lower", "difference"} & set(fields)


@req("GAT-02")
def test_what_people_type_about_a_changed_model(changed: HouseUnderTest) -> None:
    def call(*typed: str, user: str = "", meaning: str = "") -> str:
        environment = {}
        if user:
            proof = changed.proof(user)
            environment = {"COUNTERSIGN_USER": user, "COUNTERSIGN_MEANING": meaning,
                           "COUNTERSIGN_PASSWORD": proof.password, "COUNTERSIGN_CODE": proof.code}
        done = CliRunner().invoke(app, [*typed, "--home", str(changed.home)], env=environment)
        assert done.exit_code == 0, done.output
        return done.output

    plan = f"{TRIAL}-B1"
    call("bridge", "plan", TRIAL, "--endpoint", "volume", "--from", OLD, "--to", NEW, "--strategy", "new_subjects",
         "--because", "a defect was mended", "--as", "statistician", user="statistician", meaning="authorship")
    call("bridge", "sign", plan, "--as", "validation-lead", user="validation-lead", meaning="approval")
    call("bridge", "sign", plan, "--as", "qa-auditor", user="qa-auditor", meaning="approval")
    both_measured(changed, 40)

    assert "passed: 40 pairs of 40 subjects" in call("bridge", "judge", plan, "--as", "statistician")
    assert f"{plan}  secondary volume: {OLD} to {NEW}, new_subjects" in call("bridge", "list", TRIAL)

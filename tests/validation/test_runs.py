"""Nothing runs from an unsigned protocol; what a run finds is recorded by the runner and judged as signed before."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.vocabulary.registry import ObjectRef
from core.errors import AlreadyDone, NotFound, Refused, Stale, UnusableInput
from core.projection import from_reference
from tests.builders.validation import (
    LOCK,
    TRAINER,
    FakeModel,
    Team,
    approve,
    clinical_folder,
    contoured,
    failing,
    installation,
    locked,
    passing,
    pq_by_groups,
    ready_pq,
    reviewed,
    run,
    small_pq,
    stated_of_six,
)
from tests.house import HouseUnderTest
from tests.req import req
from validation import cases, groups, protocol, queries
from validation.ports import Found
from validation.releases import (
    CloseDeviation,
    MarkSuspect,
    OpenDeviation,
    ReviewRun,
    SignRelease,
    close_deviation,
    mark_suspect,
    open_deviation,
    review_run,
    sign_release,
)
from validation.usecases import (
    DraftProtocol,
    OpenTestSet,
    SealTestSet,
    SignProtocol,
    draft_protocol,
    open_test_set,
    seal_test_set,
    sign_protocol,
)

_once = functools.cache(cases.generated_case)


@pytest.fixture(autouse=True)
def each_case_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "generated_case", _once)


@req("VAL-03")
def test_an_unsigned_protocol_does_not_run(house: HouseUnderTest) -> None:
    """Not after its author's signature, not after the review; only after QA's approval."""
    team = Team.of(house)
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(installation("fine"))))
    for signer in (team.lead, team.qa):
        with pytest.raises(Refused) as refusal:
            run(house, team, "IQ-SMALL", checks={"fine": passing()})
        assert refusal.value.rule == "F-704"
        house.commit(sign_protocol(house.desk, signer, SignProtocol("IQ-SMALL", 1)))

    outcome = run(house, team, "IQ-SMALL", checks={"fine": passing()})

    assert outcome.verdict == "passed"
    assert "action.refused" in house.words()
    assert house.words()[-3:] == ["validation.started", "step.recorded", "validation.concluded"]


@req("VAL-03", "ACC-03")
def test_author_reviewer_and_approver_are_three_people_in_their_order(house: HouseUnderTest) -> None:
    team = Team.of(house)
    house.grant("author-1", "validation_lead")
    house.grant("lead-1", "qa_auditor")
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(installation("fine"))))

    with pytest.raises(Refused) as own:
        sign_protocol(house.desk, team.author, SignProtocol("IQ-SMALL", 1))
    with pytest.raises(Refused) as early:
        sign_protocol(house.desk, team.qa, SignProtocol("IQ-SMALL", 1))
    house.commit(sign_protocol(house.desk, team.lead, SignProtocol("IQ-SMALL", 1)))
    with pytest.raises(Refused) as twice:
        sign_protocol(house.desk, team.lead, SignProtocol("IQ-SMALL", 1))
    house.commit(sign_protocol(house.desk, team.qa, SignProtocol("IQ-SMALL", 1)))
    with pytest.raises(AlreadyDone):
        sign_protocol(house.desk, team.qa, SignProtocol("IQ-SMALL", 1))

    assert (own.value.rule, early.value.rule, twice.value.rule) == ("F-701", "F-703", "F-702")


@req("VAL-03")
def test_a_page_of_an_approval_goes_stale_when_another_signs_first(house: HouseUnderTest) -> None:
    """Two reviewers hold the page at once: one signature, one refusal to sign what has changed."""
    team = Team.of(house)
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(installation("fine"))))
    first = sign_protocol(house.desk, team.lead, SignProtocol("IQ-SMALL", 1))
    second = sign_protocol(house.desk, team.tester, SignProtocol("IQ-SMALL", 1))

    house.commit(first)
    with pytest.raises((Stale, Refused)):
        house.commit(second)

    assert house.words().count("protocol.reviewed") == 1


@req("VAL-03")
def test_a_newer_approved_version_replaces_the_older(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("fine"))
    assert approve(house, team, installation("fine", "more")) == 2

    from validation.runner import Bench, RunProtocol, run_protocol

    with pytest.raises(Refused) as refusal:
        run_protocol(house.desk, team.tester, RunProtocol("IQ-SMALL", 1), Bench({}, {"fine": passing()}))

    assert refusal.value.rule == "F-705"
    with house.desk.reading() as session:
        assert [row["state"] for row in queries.protocol_lines(session)] == ["superseded", "approved"]


@req("VAL-04", "VAL-05")
def test_a_failed_step_is_recorded_with_evidence_and_opens_a_deviation(house: HouseUnderTest) -> None:
    """A check that breaks has failed; one that could not be made has not passed either."""
    team = Team.of(house)

    def broken() -> Found:
        raise ZeroDivisionError("the disk is gone")

    approve(house, team, installation("fine", "bad", "broken", "absent"))
    outcome = run(house, team, "IQ-SMALL", checks={
        "fine": passing(), "bad": failing("12 triggers instead of 13"), "broken": broken,
        "absent": lambda: Found(False, "no such device", executed=False),
    })

    assert outcome.verdict == "failed"
    assert [verdict for _, verdict, _ in outcome.steps] == ["passed", "failed", "failed", "not_executed"]
    assert outcome.deviations == ("DEV-IQ-SMALL-v1-R1-S-2", "DEV-IQ-SMALL-v1-R1-S-3")
    with house.desk.reading() as session:
        rows = queries.steps_of(session, outcome.run)
        evidence = json.loads(house.desk.objects.get(from_reference(rows[1]["evidence"])))
        assert evidence == {"found": "12 triggers instead of 13", "step": "S-2"}
        assert "ZeroDivisionError: the disk is gone" in rows[2]["found"]
        assert [row["state"] for row in queries.deviation_lines(session)] == ["open", "open"]


@req("VAL-04")
def test_an_unknown_check_stops_the_run_before_it_begins(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("no_such_check"))

    with pytest.raises(UnusableInput, match="no_such_check"):
        run(house, team, "IQ-SMALL", checks={"fine": passing()})

    assert "validation.started" not in house.words()


@req("VAL-03")
def test_an_oq_waits_for_a_passed_iq(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("fine"))
    approve(house, team, installation("fine", kind="OQ", requires=["IQ"]))

    for check, refused in ((failing(), True), (passing(), False)):
        run(house, team, "IQ-SMALL", checks={"fine": check})
        if refused:
            with pytest.raises(Refused) as refusal:
                run(house, team, "OQ-SMALL", checks={"fine": passing()})
            assert refusal.value.rule == "F-709"

    assert run(house, team, "OQ-SMALL", checks={"fine": passing()}).verdict == "passed"


@req("VAL-05")
def test_the_tester_does_not_close_the_own_deviation(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("bad"))
    name = run(house, team, "IQ-SMALL", checks={"bad": failing()}).deviations[0]
    closing = CloseDeviation(
        name, "A wrong setting", "None on subjects", "Corrected", "Closed", "none: the check itself is withdrawn")

    with pytest.raises(Refused) as refusal:
        close_deviation(house.desk, team.tester, closing)
    with pytest.raises(UnusableInput, match="cause"):
        close_deviation(house.desk, team.qa, CloseDeviation(name, "", "i", "a", "c"))
    house.commit(close_deviation(house.desk, team.qa, closing))
    with pytest.raises(AlreadyDone):
        close_deviation(house.desk, team.qa, closing)

    assert refusal.value.rule == "F-721"


@req("VAL-04", "VAL-05")
def test_a_report_is_reviewed_once_and_not_by_its_tester(house: HouseUnderTest) -> None:
    """The reviewer signs the digest that the run concluded with; a run without verdict has nothing to review."""
    team = Team.of(house)
    approve(house, team, installation("bad"))
    outcome = run(house, team, "IQ-SMALL", checks={"bad": failing()})
    command = ReviewRun(outcome.run, "The failure stands.")

    with pytest.raises(Refused) as own:
        review_run(house.desk, team.tester, command)
    with pytest.raises(UnusableInput, match="conclusion"):
        review_run(house.desk, team.lead, ReviewRun(outcome.run, ""))
    house.commit(review_run(house.desk, team.lead, command))
    with pytest.raises(AlreadyDone):
        review_run(house.desk, team.qa, command)

    assert own.value.rule == "F-741"
    assert house.entries()[-1].body["fields"]["report_digest"] == outcome.report.sha256


@req("VAL-06", "VAL-02")
def test_a_release_rests_on_passed_runs_and_is_qas_alone(house: HouseUnderTest) -> None:
    """IQ alone releases nothing; a suspect run takes the release away."""
    team = Team.of(house)
    approve(house, team, installation("fine"))
    approve(house, team, installation("fine", kind="OQ"))
    iq, oq = (run(house, team, name, checks={"fine": passing()}).run for name in ("IQ-SMALL", "OQ-SMALL"))

    with pytest.raises(Refused) as unreviewed:
        sign_release(house.desk, team.qa, SignRelease((iq, oq), "Fit.", demonstration=True))
    assert unreviewed.value.rule == "F-733"
    reviewed(house, team, iq, oq)
    for runs, person in (((iq,), team.qa), ((iq, oq), team.lead)):
        with pytest.raises(Refused):
            sign_release(house.desk, person, SignRelease(runs, "Fit.", demonstration=True))
    house.commit(sign_release(house.desk, team.qa, SignRelease((iq, oq), "Fit.", demonstration=True)))
    with house.desk.reading() as session:
        what = queries.releases_of(session, "installation")[-1]["what"]
        assert queries.installation_is_released(session, what)

    house.commit(mark_suspect(house.desk, team.lead, MarkSuspect(oq, "A library was patched.", "OQ")))
    with house.desk.reading() as session:
        assert not queries.installation_is_released(session, what)
    with pytest.raises(Refused) as refusal:
        sign_release(house.desk, team.qa, SignRelease((iq, oq), "Fit.", demonstration=True))

    assert refusal.value.rule == "F-731"


@req("VAL-05")
def test_an_open_deviation_blocks_the_release(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("fine"))
    approve(house, team, installation("fine", kind="OQ"))
    runs = tuple(run(house, team, name, checks={"fine": passing()}).run for name in ("IQ-SMALL", "OQ-SMALL"))
    reviewed(house, team, *runs)
    house.commit(open_deviation(house.desk, team.lead, OpenDeviation(
        "DEV-1", "minor", "validation", runs[0], "A screen was not legible.")))

    with pytest.raises(Refused) as refusal:
        sign_release(house.desk, team.qa, SignRelease(runs, "Fit.", demonstration=True))

    assert refusal.value.rule == "F-731"


# -- A model's PQ --------------------------------------------------------------------------------------------------


def iq_and_oq(house: HouseUnderTest, team: Team) -> None:
    for kind in ("IQ", "OQ"):
        text = installation("fine", kind=kind).replace("target: installation", "target: model")
        text = text.replace("context_of_use", f"supports: {{lock: {LOCK}, use: 3, endpoint: E2}}\ncontext_of_use")
        text = text.replace("{role: validation_lead, meaning: review}",
                            "{role: statistician, meaning: review}\n  - {role: validation_lead, meaning: approval}")
        approve(house, team, text)
        run(house, team, f"{kind}-SMALL", model=FakeModel(own={"fine": passing()}))


@req("VAL-10", "VAL-08", "MLK-03")
def test_a_good_model_passes_where_it_was_shown_and_only_there(house: HouseUnderTest) -> None:
    """Generated: volume passed, long axis refused as too coarse. Clinical: not executed, so the whole is not passed."""
    team = Team.of(house)
    locked(house)
    iq_and_oq(house, team)
    ready_pq(house, team, small_pq(**{"seed: 7": "requires: [IQ, OQ]\nseed: 7"}))

    outcome = run(house, team, "PQ-SMALL", model=FakeModel())

    found = {(part.stratum, part.measure): part.verdict for part in outcome.strata}
    assert found["generated", "volume"] == "passed"
    assert found["generated", "long_axis"] == "too_coarse"
    assert found["clinical", "overlap"] == "not_executed"
    parts = {one.criterion: one for one in outcome.criteria if one.criterion.startswith("G2/")}
    # Of one or two cases there is no interval: such a group shows nothing, and says so.
    assert {one.verdict for one in parts.values() if one.low is not None} <= {"for_information"}
    assert {one.verdict for one in parts.values() if one.low is None} <= {"too_small"}
    assert parts
    assert outcome.verdict != "passed"
    clinical = next(one for one in outcome.criteria if one.criterion == "C1")
    assert "data absent" in clinical.says
    concluded = house.entries()[-1].body["fields"]
    assert (concluded["lock"], concluded["use"], concluded["endpoint"]) == (LOCK, 3, "E2")
    # What the monitors of drift compare, of each case that was asked.
    held = json.loads(house.desk.objects.get(ObjectRef(**concluded["distribution"])))["studies"]
    asked = {one["runs"][0]["outputs"]["confidence"] for one in held}
    assert (concluded["cases"], asked, held[0]["at_baseline"]) == (len(held), {"0.9"}, True)
    assert house.entries()[concluded["protocol_seq"]].body["action"] == "protocol.approved"


@req("VAL-10")
@pytest.mark.parametrize(
    ("spoil", "criterion", "verdict"),
    [
        (lambda case, mask: ("finished", np.roll(mask, 12, axis=2)), "G1", "not_met"),
        (lambda case, mask: ("failed", None), "G2", "not_met"),
        (lambda case, mask: ("undecided", None), "G4", "not_met"),
        (lambda case, mask: ("undecided", None), "G1", "insufficient_evidence"),
        (lambda case, mask: ("finished", np.zeros_like(mask)), "G3", "not_met"),
    ],
)
def test_a_bad_model_fails_and_its_failures_are_no_gaps(
    house: HouseUnderTest, spoil: Any, criterion: str, verdict: str
) -> None:
    """Shifted, failed, undecided or empty answers: none improves a mean by being left out."""
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq())

    outcome = run(house, team, "PQ-SMALL", model=FakeModel(spoil=spoil))

    assert next(one for one in outcome.criteria if one.criterion == criterion).verdict == verdict
    assert outcome.verdict in ("failed", "insufficient_evidence")
    if verdict == "not_met":
        assert f"DEV-PQ-SMALL-v1-R1-{criterion}" in outcome.deviations


@req("MLK-05")
def test_a_model_trained_on_a_test_case_is_not_tested_with_it(house: HouseUnderTest) -> None:
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq())
    model = FakeModel(trained_on=frozenset({"60003"}))

    with pytest.raises(Refused) as refusal:
        run(house, team, "PQ-SMALL", model=model)

    assert (refusal.value.rule, model.asked) == ("F-707", 0)


@req("VAL-09", "MLK-05")
def test_a_test_set_is_kept_by_others_than_the_models_maker_and_opened_by_two(house: HouseUnderTest) -> None:
    team = Team.of(house)
    locked(house)
    maker = house.person(TRAINER, "validation_lead")
    with pytest.raises(Refused) as kept:
        seal_test_set(house.desk, maker, SealTestSet(small_pq()))
    house.commit(seal_test_set(house.desk, team.lead, SealTestSet(small_pq())))
    digest = house.entries()[-1].body["fields"]["digest"]
    text = protocol.filled(small_pq(), lock=LOCK, test_set_digest=digest)
    command = OpenTestSet("TS-SMALL", "PQ-SMALL", 1)
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(text)))
    with pytest.raises(Refused) as before:
        open_test_set(house.desk, team.lead, command)
    for person in (team.statistician, team.lead, team.qa):
        house.commit(sign_protocol(house.desk, person, SignProtocol("PQ-SMALL", 1)))
    with pytest.raises(Refused) as sealed:
        run(house, team, "PQ-SMALL", model=FakeModel())
    house.commit(open_test_set(house.desk, team.lead, command))
    with pytest.raises(Refused) as same:
        open_test_set(house.desk, team.lead, command)
    with pytest.raises(Refused) as half:
        run(house, team, "PQ-SMALL", model=FakeModel())
    house.commit(open_test_set(house.desk, team.qa, command))

    assert (kept.value.rule, before.value.rule, same.value.rule) == ("F-712", "F-713", "F-711")
    assert sealed.value.rule == half.value.rule == "F-706"
    assert run(house, team, "PQ-SMALL", model=FakeModel()).run == "PQ-SMALL-v1-R1"


@req("VAL-08")
def test_a_protocol_names_the_sealed_set_and_no_other(house: HouseUnderTest) -> None:
    team = Team.of(house)
    locked(house)
    house.commit(seal_test_set(house.desk, team.lead, SealTestSet(small_pq())))

    with pytest.raises(UnusableInput, match="sealed is"):
        draft_protocol(house.desk, team.author, DraftProtocol(
            protocol.filled(small_pq(), lock=LOCK, test_set_digest="0" * 64)))
    with pytest.raises(UnusableInput, match="NAMED-WHEN-DRAFTED"):
        draft_protocol(house.desk, team.author, DraftProtocol(small_pq()))


@req("MLK-01")
def test_another_lock_than_the_protocols_does_not_run(house: HouseUnderTest) -> None:
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq())

    with pytest.raises(Refused) as refusal:
        run(house, team, "PQ-SMALL", model=FakeModel(lock="LCK-OTHER"))

    assert refusal.value.rule == "F-708"


@req("VAL-08")
def test_cases_that_changed_after_sealing_are_not_used(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq())
    monkeypatch.setattr(cases, "generator_digest", lambda: "another generator")

    outcome = run(house, team, "PQ-SMALL", model=FakeModel())

    assert outcome.verdict == "failed"
    assert "differ from what was sealed" in outcome.steps[0][2]


EQUIVALENT = """\
  - {id: R1, requirement: VAL-10, stratum: generated, metric: volume_repeat, statistic: repeatability, judge: upper,
     limit: "30 %"}
  - {id: E1, requirement: VAL-10, stratum: generated, metric: volume_shift, statistic: equivalence, judge: within,
     low: "-5 %", high: "5 %"}
  - {id: C1,"""
SCANNED_TWICE = {"last_seed: 60005, planned: 6": "last_seed: 60002, planned: 3, repeated: 3"}


@req("VAL-10", "VAL-08")
def test_a_changed_environment_is_judged_against_the_run_before_it(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Change class C2, on the kept values of the run named in the signed protocol: the same bits are equivalent and no
    shift of 10 % is; the second scans of lesions are sealed with the set and asked as well."""
    monkeypatch.setattr(cases, "generated_case", functools.cache(cases.generated_case))
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq(**SCANNED_TWICE))
    model = FakeModel()
    first = run(house, team, "PQ-SMALL", model=model)
    with house.desk.reading() as session:
        digest = queries.test_set_row(session, "TS-SMALL")["digest"]

    def against(name: str, spoil: Any) -> dict[str, Any]:
        named = {"  - {id: C1,": EQUIVALENT, "seed: 7\n": f"seed: 7\ncompared_with: {name}\n"}
        text = small_pq(**SCANNED_TWICE, **named)
        version = approve(house, team, protocol.filled(text, lock=LOCK, test_set_digest=digest))
        for person in (team.lead, team.qa):
            house.commit(open_test_set(house.desk, person, OpenTestSet("TS-SMALL", "PQ-SMALL", version)))
        return {one.criterion: one for one in run(house, team, "PQ-SMALL", model=FakeModel(spoil=spoil)).criteria}

    def larger(case: str, mask: Any) -> tuple[str, Any]:
        return "finished", mask | np.roll(mask, 1, axis=0)

    same, other = against(first.run, lambda case, mask: ("finished", mask)), against(first.run, larger)

    assert model.asked == 6
    assert (same["E1"].verdict, same["E1"].estimate) == ("met", "0.0000 %")
    assert same["E1"].method == "TOST, t, each side 95 %"
    assert other["E1"].verdict == "not_met"
    # The same mask on every scan: nothing was repeated that could tell.
    assert same["R1"].verdict == "insufficient_evidence"
    with pytest.raises(NotFound):
        against("PQ-SMALL-v9-R9", larger)
    with pytest.raises(UnusableInput, match="no concluded run"):
        house.commit(mark_suspect(house.desk, team.qa, MarkSuspect(first.run, "A doubt.", "PQ")))
        against(first.run, larger)


@req("MLK-02", "VAL-11")
def test_named_checks_catch_a_model_that_guesses(house: HouseUnderTest) -> None:
    """An obedient model passes the shipped OQ; one that answers without a seed, or never twice alike, does not."""
    from validation.model_checks import checks_of

    class Guesser(FakeModel):
        def _reply(self, question: Any) -> Any:
            reply = super()._reply(question)
            mask = np.zeros(question.ct.values.shape, dtype=bool)
            if mask.size:
                mask[tuple(side // 2 for side in mask.shape)] = True
            return replace(reply, status="finished", output_sha256=str(self.asked), mask=mask)

    good = {name: check() for name, check in checks_of(FakeModel()).items()}
    bad = {name: check() for name, check in checks_of(Guesser()).items()}

    assert {n: f.executed for n, f in good.items() if not f.passed} == {"gpu_equals_processor": False}
    assert [name for name, found in bad.items() if found.passed] == ["answers_a_case"]


GPU_STEP = """\
protocol: {id: OQ-GPU, title: Small, kind: OQ, target: model, evidence_class: demonstration}
supports: {lock: LCK-TEST, use: 1}
context_of_use: A test.
steps:
  - {id: S-1, requirements: [MLK-02], check: fine, title: Fine, expected: Fine, on_fail: major}
  - {id: S-2, requirements: [MLK-02], check: gpu_equals_processor, title: GPU, expected: Alike, on_fail: major,
     only_for: cuda}
signatures:
  - {role: statistician, meaning: review}
  - {role: validation_lead, meaning: approval}
  - {role: qa_auditor, meaning: approval}
"""


@req("MLK-02", "VAL-04", "VAL-07")
@pytest.mark.parametrize(("device", "verdict", "says"), [
    ("cpu", "passed", "this one names cpu"), ("cuda: A100", "not_executed", "There is no GPU in a test"),
])
def test_a_gpu_step_without_a_gpu_is_not_executed_and_never_passed(
    house: HouseUnderTest, device: str, verdict: str, says: str
) -> None:
    """A lock for the processor does not need it; under a lock for a GPU nothing that needs the run is fulfilled."""
    team = Team.of(house)
    locked(house)
    approve(house, team, GPU_STEP)

    outcome = run(house, team, "OQ-GPU", model=FakeModel(device=device, own={"fine": passing()}))

    assert [one[1] for one in outcome.steps] == ["passed", "not_executed"]
    assert says in outcome.steps[1][2]
    assert (outcome.verdict, [part.verdict for part in outcome.strata]) == (verdict, [verdict])
    assert says in outcome.strata[0].says
    with house.desk.reading() as session:
        assert [shown for _, shown, _ in queries.counting_steps(session)] == ["passed", "not_executed"]


@req("MLK-02")
@pytest.mark.parametrize("shift", [0, 3])
def test_a_gpu_that_answers_otherwise_fails_the_step(shift: int) -> None:
    """With a device the two masks are compared: alike passes, moved by three slices does not."""
    from validation.model_checks import checks_of

    class WithGpu(FakeModel):
        def ask_on(self, device: str, questions: Any) -> Any:
            replies = self.ask(questions)
            if device == "cuda":
                replies = [replace(one, mask=None if one.mask is None else np.roll(one.mask, shift, axis=0))
                           for one in replies]
            return replies

    found = checks_of(WithGpu())["gpu_equals_processor"]()

    assert (found.executed, found.passed) == (True, shift == 0)


@req("VAL-10", "MLK-03", "PRV-02")
def test_sub_groups_are_those_that_the_sealed_manifest_states(house: HouseUnderTest, tmp_path: Path) -> None:
    """Site, sex and age band of each case, fixed with the set: shown in the verdicts, and no word of them changes."""
    stated = stated_of_six()
    data = clinical_folder(tmp_path / "data", stated)
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, pq_by_groups(stated), data)
    model = FakeModel(spoil=contoured(data))

    outcome = run(house, team, "PQ-SMALL", model=model, data=data)
    rows = {one.criterion: one for one in outcome.criteria if one.criterion.startswith("C1")}

    assert {name: (one.subjects, one.verdict) for name, one in rows.items()} == {
        "C1": (6, "met"), "C1/site 101": (4, "met"), "C1/site 102": (2, "insufficient_evidence"),
        "C1/sex F": (3, "met"), "C1/sex M": (3, "met"), "C1/age band 60-69": (6, "met"),
        "C1/field strength 1.5 T": (6, "met"), "C1/manufacturer not stated": (6, "met")}
    assert {name for name, one in rows.items() if not (one.estimate and one.low and one.high)} == {"C1/site 102"}
    clinical = next(one for one in outcome.strata if one.stratum == "clinical")
    assert (clinical.verdict, "C1/site 102: 2 of the 3 cases" in clinical.says) == ("insufficient_evidence", True)
    moved = stated | {"SUB_000": stated["SUB_000"] | {"site": "102"}}
    (data / cases.CLINICAL / groups.FILE).write_text(json.dumps(moved), encoding="utf-8")
    changed = run(house, team, "PQ-SMALL", model=model, data=data)
    assert "1 cases differ from what was sealed: SUB_000" in json.dumps(
        [one.body["fields"].get("found", "") for one in house.entries()])
    assert changed.verdict == "failed"


@pytest.mark.realdata
@req("VAL-08", "VAL-10")
def test_two_clinical_subjects_are_run_and_say_too_little(house: HouseUnderTest, data: Path) -> None:
    """Even a perfect bound on two of 35 planned subjects is insufficient evidence."""
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq(), data)

    def perfect(case: str, mask: Any) -> Any:
        return "finished", cases.clinical_case(data, case).mask if case.startswith("STS") else mask

    outcome = run(house, team, "PQ-SMALL", model=FakeModel(spoil=perfect), data=data)

    assert next(part for part in outcome.strata if part.stratum == "clinical").verdict == "insufficient_evidence"

"""Manual steps: signed by who did them, with the file that shows it; no run has a verdict while one is open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.projection import from_reference
from tests.builders.validation import Team, approve, failing, installation, passing, reviewed, run
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call
from validation import protocol, queries
from validation.observing import ObserveStep, observe_step
from validation.releases import CloseDeviation, ReviewRun, close_deviation, review_run
from validation.rules import to_review

BY_HAND = """\
  - {id: M-1, requirements: [RPT-02], manual: "Open the paper in veraPDF.", title: Paper, expected: Valid PDF/A,
     on_fail: major}
"""


def with_manual(*checks: str) -> str:
    text = installation(*checks)
    return text.replace("signatures:\n", BY_HAND + "signatures:\n")


@req("VAL-04")
def test_a_run_has_no_verdict_until_its_manual_step_is_signed(house: HouseUnderTest, tmp_path: Path) -> None:
    """At the command line: the tester's own key, evidence kept by digest, then the verdict from the record."""
    team = Team.of(house)
    approve(house, team, with_manual("fine"))
    outcome = run(house, team, "IQ-SMALL", checks={"fine": passing()})
    assert (outcome.verdict, outcome.report, outcome.waits_for) == ("waits", None, ("M-1",))
    with pytest.raises(NotFound, match="not concluded"):
        review_run(house.desk, team.lead, ReviewRun(outcome.run, "Complete."))
    shown = tmp_path / "verapdf.xml"
    shown.write_text("<report/>", encoding="utf-8")

    done = call(house, "observe", outcome.run, "M-1", "--found", "1 file, valid", "--verdict", "passed", "--evidence",
                str(shown), user="tester-1", meaning="execution")

    assert done.exit_code == 0, done.output
    assert "concluded, passed" in done.output
    observed, concluded = house.entries()[-2:]
    assert (observed.body["action"], observed.body["actor"]) == ("step.observed", "tester-1")
    assert concluded.body["fields"]["verdict"] == "passed"
    with house.desk.reading() as session:
        report = json.loads(house.desk.objects.get(from_reference(queries.run_row(session, outcome.run)["report"])))
    assert [(step["step"], step.get("observed_by")) for step in report["steps"]] == [("S-1", None), ("M-1", "tester-1")]
    assert report["environment"] == {"machine": "test"}
    with pytest.raises(Refused) as over:
        observe_step(house.desk, team.tester, ObserveStep(outcome.run, "M-1", "Again.", "failed"))
    assert over.value.rule == "F-722"


@req("VAL-04")
@pytest.mark.parametrize(
    ("changed", "said"),
    [({"evidence": None}, "with the file"), ({"verdict": "fine"}, "one of passed"), ({"found": " "}, "what was found"),
     ({"altered": " "}, "otherwise")],
)
def test_an_observation_that_shows_nothing_is_no_pass(
    house: HouseUnderTest, changed: dict[str, str | None], said: str
) -> None:
    team = Team.of(house)
    seen = {"found": "Valid.", "verdict": "passed", "evidence": b"file", **changed}

    with pytest.raises(UnusableInput, match=said):
        observe_step(house.desk, team.tester, ObserveStep("R", "M-1", **seen))  # type: ignore[arg-type]


@req("VAL-05")
def test_a_step_carried_out_otherwise_than_signed_is_a_deviation(house: HouseUnderTest) -> None:
    """It passed, and still somebody else judges what was altered; who carried it out neither reviews nor closes."""
    team = Team.of(house)
    approve(house, team, with_manual("fine"))
    name = run(house, team, "IQ-SMALL", checks={"fine": passing()}).run
    with pytest.raises(NotFound, match="no manual step S-1"):
        observe_step(house.desk, team.lead, ObserveStep(name, "S-1", "Fine.", "failed"))
    seen = ObserveStep(name, "M-1", "Valid.", "passed", b"file", "text/plain", "Another validator: ours was down.")

    house.commit(observe_step(house.desk, team.lead, seen))
    with pytest.raises(AlreadyDone):
        observe_step(house.desk, team.lead, seen)
    house.work()
    house.work()

    assert house.words()[-3:] == ["step.observed", "deviation.opened", "validation.concluded"]
    deviation = f"DEV-{name}-M-1"
    closing = CloseDeviation(deviation, "Outage", "None", "None needed", "Equivalent validator")
    with pytest.raises(Refused) as own:
        close_deviation(house.desk, team.lead, closing)
    with pytest.raises(Refused) as review:
        review_run(house.desk, team.lead, ReviewRun(name, "Complete."))
    house.commit(close_deviation(house.desk, team.qa, closing))
    assert (own.value.rule, review.value.rule) == ("F-721", "F-741")


@req("VAL-05")
def test_a_failed_step_is_closed_on_a_later_pass_of_the_same_step(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("bad", "fine"))
    first = run(house, team, "IQ-SMALL", checks={"bad": failing(), "fine": passing()})
    second = run(house, team, "IQ-SMALL", checks={"bad": passing(), "fine": passing()})

    def closing(retest: str | None) -> CloseDeviation:
        return CloseDeviation(first.deviations[0], "A wrong setting", "None", "Corrected", "Closed", retest)

    for wrong in (None, f"{first.run}/S-2", f"{second.run}/S-2", f"{first.run}/S-1", "none:", "later"):
        with pytest.raises(UnusableInput, match="no later pass"):
            close_deviation(house.desk, team.qa, closing(wrong))
    house.commit(close_deviation(house.desk, team.qa, closing(f"{second.run}/S-1")))

    assert house.entries()[-1].body["fields"]["retest"] == f"{second.run}/S-1"


@req("VAL-03")
def test_a_step_is_automatic_or_manual_and_never_both() -> None:
    for wrong in (with_manual("fine").replace('manual: "Open', 'check: fine, manual: "Open'),
                  with_manual("fine").replace('manual: "Open the paper in veraPDF.", ', "")):
        with pytest.raises(UnusableInput, match="one of both"):
            protocol.read(wrong)


STEP = st.tuples(st.sampled_from(("passed", "failed", "not_executed")), st.booleans(), st.booleans())


@req("VAL-04", "VAL-07")
@given(st.lists(STEP, max_size=40), st.text(max_size=5))
def test_a_review_by_exception_leaves_out_nothing_that_matters(
    steps: list[tuple[str, bool, bool]], seed: str
) -> None:
    done = [(f"S-{n}", *one) for n, one in enumerate(steps)]

    chosen = to_review(done, seed, {"S-0"})

    must = {name for name, verdict, manual, high in done if verdict != "passed" or manual or high or name == "S-0"}
    assert must <= set(chosen.steps)
    assert set(chosen.steps) == must | set(chosen.sampled)
    assert len(chosen.sampled) == -(-(len(done) - len(must)) // 10)
    assert chosen == to_review(done, seed, {"S-0"})


@req("VAL-04")
def test_the_reviewed_steps_are_on_record_with_the_drawn_ones(house: HouseUnderTest) -> None:
    """Twenty passes of middle risk: two of them are drawn; the failure is always there."""
    team = Team.of(house)
    names = [f"c{n}" for n in range(20)]
    approve(house, team, installation(*names, "bad").replace("[REC-01]", "[OPS-10]"))
    name = run(house, team, "IQ-SMALL", checks=dict.fromkeys(names, passing()) | {"bad": failing()}).run

    reviewed(house, team, name)

    fields = house.entries()[-1].body["fields"]
    assert len(fields["sampled"]) == 2
    assert set(fields["steps"]) == {*fields["sampled"], "S-21"}

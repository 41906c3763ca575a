"""RECIST 1.1 and volumetric response: worked numbers of the sources, and properties over random subjects."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnusableInput
from core.reads.criteria import criterion
from core.reads.criteria.answer import (
    Baseline,
    NewLesion,
    NonTargetLesion,
    NonTargetMark,
    TargetLesion,
    TargetMark,
    TimePointAnswer,
)
from core.reads.criteria.derived import Derived, Response, State
from core.reads.criteria.options import OptionsUnstated
from core.reads.criteria.organs import NODES, organ_of
from core.reads.criteria.recist11 import Recist11
from core.reads.criteria.volumetric import Volumetric
from core.trials.charter import RecistOptions, VolumetricOptions
from tests.req import req

LESION_LIMITS = {"max_target_lesions", "max_per_organ"}

STATED: dict[str, object] = {
    "confirm": False,
    "confirm_min_days": 28,
    "sd_min_days": 42,
    "max_ne": 1,
    "accept_sd": False,
    "response_carry": False,
    "non_target_with_ne": "non_cr_non_pd",
    "cr_with_equivocal": "cr",
    "regrowth_after_cr": "needs_increase",
    "unconfirmed_pr_date": "qualifying_assessment",
    "time_point_date": "last_scan",
    "missing_label": "ne",
    "pd_rule_set": "fda_censoring",
    "visit_windows": "charter",
    "scans_after_new_therapy": "count",
    "rounding_mm": "0.1",
    "max_target_lesions": 5,
    "max_per_organ": 2,
}
VOLUMES: dict[str, object] = {
    "response_decrease_percent": "65",
    "progression_increase_percent": "40",
    "progression_min_increase_ml": "0.5",
    "progression_reference": "nadir",
    "sd_min_days": 42,
    "confirm": False,
    "confirm_min_days": 28,
    "missing_label": "ne",
    "time_point_date": "last_scan",
    "scans_after_new_therapy": "count",
    "rounding_ml": "0.001",
    "max_target_lesions": 5,
    "max_per_organ": 2,
}
DAY = date(2031, 1, 1)
PLACES = ("liver", "lung", "spleen", "left kidney", "brain")


def recist(**options: object) -> Recist11:
    return Recist11(STATED | options)


def lesion(number: int, size: str, **more: Any) -> TargetLesion:
    fields: dict[str, Any] = {
        "id": f"T{number:02d}",
        "location": PLACES[(number - 1) % 5],
        "kind": "extranodal",
        "size": Decimal(size),
        "modality": "CT",
        "slice_mm": Decimal("2.5"),
    }
    return TargetLesion(**(fields | more))


def baseline(*targets: TargetLesion, non_targets: int = 0) -> Baseline:
    return Baseline(
        "BL",
        DAY,
        DAY,
        targets,
        tuple(NonTargetLesion(f"N{n}", "liver", "extranodal") for n in range(1, non_targets + 1)),
    )


def mark(number: int, *sizes: str, state: str = "measured", merged_with: str = "") -> TargetMark:
    return TargetMark(f"T{number:02d}", state, tuple(map(Decimal, sizes)), merged_with)  # type: ignore[arg-type]


def visit(number: int, *targets: TargetMark, every: int = 42, **more: Any) -> TimePointAnswer:
    on = DAY + timedelta(days=every * number)
    return TimePointAnswer(f"W{number}", on, on, targets, **more)


def follow(rules: Any, start: Baseline, *visits: TimePointAnswer) -> list[Derived]:
    state, derived = rules.start(start), []
    for each in visits:
        derived.append(rules.timepoint(state, each))
        state = derived[-1].state
    return derived


def sums(rules: Any, first: str, *later: str, every: int = 42) -> list[Derived]:
    """One target with these sizes."""
    return follow(
        rules,
        baseline(lesion(1, first)),
        *(visit(n, mark(1, size), every=every) for n, size in enumerate(later, 1)),
    )


def statuses(derived: list[Derived]) -> list[str]:
    return [str(each.status) for each in derived]


WORKED = [
    (["165", "63", "65"], ["PR", "PR"]),
    (["100", "70", "70", "80", "80", "80"], ["PR", "PR", "SD", "SD", "SD"]),
    (["27.0", "32.4"], ["PD"]),
    (["23.0", "16.1"], ["PR"]),
    (["20", "24.9"], ["SD"]),
    (["20", "25"], ["PD"]),
    (["100", "119.9"], ["SD"]),
    (["100", "120"], ["PD"]),
    (["100", "70.1"], ["SD"]),
    (["100", "50", "59", "60"], ["PR", "PR", "PD"]),
]


@req("VAL-10", "RDG-01")
@pytest.mark.parametrize(("sizes", "expected"), WORKED)
def test_worked_sums_of_the_sources(sizes: list[str], expected: list[str]) -> None:
    assert statuses(sums(recist(), *sizes)) == expected


@req("VAL-10")
def test_response_may_continue_until_progression_where_the_charter_says_so() -> None:
    """100/70/70/80/80/80 is PR throughout (EORTC)."""
    assert statuses(sums(recist(response_carry=True), "100", "70", "70", "80", "80", "80")) == ["PR"] * 5


@req("VAL-10")
def test_exact_limits_are_met_at_every_tenth_of_a_millimetre() -> None:
    """Floats miss exactly +20 % in 72 of 210 cases and exactly -30 % in 15 of 105."""
    rules = recist()
    for tenths in range(250, 1200, 5):
        first = Decimal(tenths) / 10
        grown, shrunk = first * 12 / 10, first * 7 / 10
        if grown == grown.quantize(Decimal("0.1")):
            assert sums(rules, str(first), str(grown.quantize(Decimal("0.1"))))[0].status is Response.PD
        if shrunk == shrunk.quantize(Decimal("0.1")):
            assert sums(rules, str(first), str(shrunk.quantize(Decimal("0.1"))))[0].status is Response.PR


@req("VAL-10")
def test_a_partial_sum_can_show_progression_but_never_response() -> None:
    """Baseline 50 mm in three lesions, later two of them sum to 80 mm: PD."""
    start = baseline(lesion(1, "20"), lesion(2, "20"), lesion(3, "10"))
    worse = visit(1, mark(1, "40"), mark(2, "40"), mark(3, state="not_imaged"))
    better = visit(1, mark(1, "5"), mark(2, "5"), mark(3, state="not_assessable"))

    found = follow(recist(), start, worse)[0]
    assert (found.status, found.evidence[0].rule, found.sum) == (Response.PD, "T-PD-PARTIAL", None)
    assert found.partial_sum == 80
    assert follow(recist(), start, better)[0].status is Response.NE


@req("VAL-10")
def test_an_incomplete_sum_never_sets_the_nadir() -> None:
    start = baseline(lesion(1, "50"), lesion(2, "50"))
    found = follow(
        recist(),
        start,
        visit(1, mark(1, "40"), mark(2, state="not_imaged")),
        visit(2, mark(1, "50"), mark(2, "50")),
        visit(3, mark(1, "45"), mark(2, "45")),
    )
    assert statuses(found) == ["NE", "SD", "SD"]
    assert [each.state.nadir for each in found] == [100, 100, 90]


@req("VAL-10")
def test_complete_response_keeps_the_size_of_normal_nodes() -> None:
    start = baseline(lesion(1, "30"), lesion(2, "20", kind="nodal", location="axillary node"))
    found = follow(
        recist(),
        start,
        visit(1, mark(1, state="gone"), mark(2, "9.0")),
        visit(2, mark(1, state="gone"), mark(2, "12.0")),
        visit(3, mark(1, state="gone"), mark(2, "10.0")),
    )
    assert (found[0].status, found[0].sum) == (Response.CR, Decimal("9.0"))
    assert found[1].status is Response.PR, "a node from 9 to 12 mm grew by 33 %, but by 3 mm only"
    assert found[2].status is Response.PR, "10 mm is not below 10 mm"


@req("VAL-10")
def test_too_small_counts_five_millimetres_and_measured_below_five_as_measured() -> None:
    start = baseline(lesion(1, "20"), lesion(2, "20"))
    found = follow(recist(), start, visit(1, mark(1, state="too_small"), mark(2, "3.2")))
    assert found[0].sum == Decimal("8.2")


@req("VAL-10")
def test_split_lesions_add_up_and_merged_ones_count_once() -> None:
    start = baseline(lesion(1, "20"), lesion(2, "20"))
    split = follow(recist(), start, visit(1, mark(1, "8.0", "7.5"), mark(2, "20")))
    merged = follow(recist(), start, visit(1, mark(1, "30"), mark(2, state="merged", merged_with="T01")))
    assert split[0].sum == Decimal("35.5")
    assert (merged[0].sum, merged[0].status) == (Decimal(30), Response.SD)


@req("VAL-10")
@pytest.mark.parametrize(("rule", "expected"), [("pd", "PD"), ("needs_increase", "PR")])
def test_regrowth_after_complete_response_follows_the_stated_rule(rule: str, expected: str) -> None:
    start = baseline(lesion(1, "40"))
    found = follow(recist(regrowth_after_cr=rule), start, visit(1, mark(1, state="gone")), visit(2, mark(1, "3")))
    assert statuses(found) == ["CR", expected]


NON_TARGET = [
    (["present", "not_assessable"], "non_cr_non_pd", "NON-CR/NON-PD"),
    (["present", "not_assessable"], "ne", "NE"),
    (["absent", "not_assessable"], "non_cr_non_pd", "NE"),
    (["absent", "absent"], "non_cr_non_pd", "CR"),
    (["unequivocal_progression", "not_assessable"], "ne", "PD"),
]


def non_targets(*states: str) -> tuple[NonTargetMark, ...]:
    return tuple(
        NonTargetMark(f"N{n}", state, "doubled" if state.startswith("uneq") else "")  # type: ignore[arg-type]
        for n, state in enumerate(states, 1)
    )


@req("VAL-10")
@pytest.mark.parametrize(("states", "rule", "expected"), NON_TARGET)
def test_non_targets_alone_have_a_path_of_their_own(states: list[str], rule: str, expected: str) -> None:
    """Without targets there is no PR and no SD."""
    found = follow(recist(non_target_with_ne=rule), baseline(non_targets=2), visit(1, non_targets=non_targets(*states)))
    assert statuses(found) == [expected]


OVERALL = [
    ("gone", "absent", "", "CR"),
    ("gone", "present", "", "PR"),
    ("gone", "not_assessable", "", "PR"),
    ("gone", "absent", "equivocal", "CR"),
    ("gone", "absent", "unequivocal", "PD"),
    ("30", "absent", "", "PR"),
    ("30", "not_assessable", "", "PR"),
    ("50", "present", "", "SD"),
    ("50", "unequivocal_progression", "", "PD"),
    ("50", "present", "equivocal", "SD"),
    ("not_imaged", "present", "", "NE"),
    ("not_imaged", "present", "unequivocal", "PD"),
    ("60", "absent", "", "PD"),
]


@req("VAL-10")
@pytest.mark.parametrize(("target", "non_target", "new", "expected"), OVERALL)
def test_overall_response_table(target: str, non_target: str, new: str, expected: str) -> None:
    marked = mark(1, target) if target.isdigit() else mark(1, state=target)
    lesions = (NewLesion("L1", "liver", new),) if new else ()  # type: ignore[arg-type]
    found = follow(
        recist(),
        baseline(lesion(1, "50"), non_targets=1),
        visit(1, marked, non_targets=non_targets(non_target), new_lesions=lesions),
    )
    assert statuses(found) == [expected]


@req("VAL-10")
@pytest.mark.parametrize(("option", "expected"), [("cr", "CR"), ("pr", "PR"), ("ne", "NE")])
def test_complete_response_beside_an_equivocal_lesion_follows_the_stated_rule(option: str, expected: str) -> None:
    found = follow(
        recist(cr_with_equivocal=option),
        baseline(lesion(1, "50")),
        visit(1, mark(1, state="gone"), new_lesions=(NewLesion("L1", "liver", "equivocal"),)),
    )
    assert statuses(found) == [expected]


@req("VAL-10")
def test_no_disease_at_baseline_stays_so_until_a_new_lesion() -> None:
    found = follow(recist(), baseline(), visit(1), visit(2, new_lesions=(NewLesion("L1", "lung", "unequivocal"),)))
    assert statuses(found) == ["NED", "PD"]


@req("VAL-10", "RDG-07")
def test_a_confirmed_equivocal_lesion_dates_progression_from_its_first_sighting() -> None:
    """The date moves back; the earlier response stands as it was derived."""
    rules = recist()
    found = follow(
        rules,
        baseline(lesion(1, "50")),
        visit(1, mark(1, "30")),
        visit(2, mark(1, "30"), new_lesions=(NewLesion("L1", "liver", "equivocal"),)),
        visit(3, mark(1, "30"), new_lesions=(NewLesion("L1", "liver", "unequivocal"),)),
    )
    subject = rules.subject(found, reference_on=DAY)
    assert statuses(found) == ["PR", "PR", "PD"]
    assert subject.progression_on == found[1].on
    assert (subject.best, subject.not_counted) == (Response.PR, ("W2",))


@req("RDG-11")
def test_a_time_point_that_cannot_be_evaluated_says_why_and_changes_nothing() -> None:
    found = follow(recist(), baseline(lesion(1, "50")), visit(1, not_evaluable="no-contrast"), visit(2, mark(1, "30")))
    assert statuses(found) == ["NE", "PR"]
    assert ("reason", "no-contrast") in found[0].evidence[0].references


BEST = [
    # sums, options, expected best, confirmed
    (["50", "60"], {}, "PD"),
    (["50", "30", "60", "10"], {}, "PR"),
    (["50", "50"], {}, "SD"),
    (["50", "30"], {"confirm": True}, "SD"),
    (["50", "30", "31"], {"confirm": True}, "PR"),
    (["50", "30", "60"], {"confirm": True}, "SD"),
    (["50", "30", "34", "36", "30"], {"confirm": True}, "PR"),
    (["50", "30", "36", "30"], {"confirm": True}, "SD"),
    (["50", "30", "35.5", "31"], {"confirm": True, "accept_sd": True}, "PR"),
]


@req("VAL-10")
@pytest.mark.parametrize(("sizes", "options", "expected"), BEST)
def test_best_overall_response(sizes: list[str], options: dict[str, object], expected: str) -> None:
    rules = recist(**options)
    assert str(rules.subject(sums(rules, *sizes), reference_on=DAY).best) == expected


@req("VAL-10")
def test_stable_disease_that_came_too_early_does_not_count() -> None:
    rules = recist(sd_min_days=42)
    early = sums(rules, "50", "50", every=30)
    assert rules.subject(early, reference_on=DAY).best is Response.NE
    assert rules.subject(sums(rules, "50", "50", "60", every=20), reference_on=DAY).best is Response.PD
    assert rules.subject(sums(rules, "50", "50", every=42), reference_on=DAY).best is Response.SD


@req("VAL-10")
def test_an_unconfirmed_early_response_falls_back_by_what_followed() -> None:
    rules = recist(confirm=True, sd_min_days=56)
    assert rules.subject(sums(rules, "50", "30"), reference_on=DAY).best is Response.NE
    assert rules.subject(sums(rules, "50", "30", "60"), reference_on=DAY).best is Response.PD


@req("VAL-10")
@pytest.mark.parametrize(("max_ne", "expected"), [(1, "PR"), (0, "SD")])
def test_a_missed_assessment_between_responses_is_bridged_as_stated(max_ne: int, expected: str) -> None:
    rules = recist(confirm=True, max_ne=max_ne)
    found = follow(
        rules,
        baseline(lesion(1, "50")),
        visit(1, mark(1, "30")),
        visit(2, not_evaluable="not-acquired"),
        visit(3, mark(1, "30")),
    )
    assert str(rules.subject(found, reference_on=DAY).best) == expected


@req("VAL-10")
@pytest.mark.parametrize(("days", "expected"), [(27, "SD"), (28, "PR")])
def test_confirmation_counts_twenty_eight_days_inclusive(days: int, expected: str) -> None:
    rules = recist(confirm=True, sd_min_days=7)
    assert str(rules.subject(sums(rules, "50", "30", "30", every=days), reference_on=DAY).best) == expected


@req("VAL-10")
def test_the_date_of_an_unconfirmed_response_is_the_stated_one() -> None:
    for option, number in (("qualifying_assessment", 2), ("first_response", 1)):
        rules = recist(confirm=True, unconfirmed_pr_date=option, sd_min_days=80)
        found = sums(rules, "50", "30", "35.5", every=42)
        assert rules.subject(found, reference_on=DAY).best_on == DAY + timedelta(days=42 * number)


@req("VAL-10")
def test_scans_after_another_therapy_count_only_where_stated() -> None:
    for option, best in (("count", Response.PR), ("exclude", Response.SD)):
        rules = recist(scans_after_new_therapy=option)
        found = sums(rules, "50", "50", "30")
        assert rules.subject(found, reference_on=DAY, new_therapy_on=DAY + timedelta(days=50)).best is best


@req("VAL-10")
@pytest.mark.parametrize("label", ["ne", "missing"])
def test_a_subject_without_assessment_has_the_stated_label(label: str) -> None:
    assert str(recist(missing_label=label).subject([], reference_on=DAY).best) == label.upper()


@req("RDG-01", "VAL-14")
def test_a_criterion_refuses_to_run_with_an_option_unstated() -> None:
    for option in STATED:
        with pytest.raises(OptionsUnstated, match=option):
            Recist11({name: value for name, value in STATED.items() if name != option})
    with pytest.raises(OptionsUnstated) as refusal:
        Recist11({"confirm": 1, "extra": "x"})
    assert all(name in refusal.value.fact for name in STATED)
    assert "extra: not an option" in refusal.value.fact
    with pytest.raises(UnusableInput, match="no criterion"):
        criterion("recist11", 2, STATED)
    for kind in (Recist11, Volumetric):
        assert set(kind.options_schema["required"]) == set(kind.options_schema["properties"])


BASELINES = [
    ([("9.9", {})], "B-MEASURABLE"),
    ([("11", {"slice_mm": Decimal(6)})], "B-MEASURABLE"),
    ([("11", {"slice_mm": Decimal("NaN")})], "B-SLICE"),
    ([("11", {"slice_mm": Decimal(0)})], "B-SLICE"),
    ([("14.9", {"kind": "nodal"})], "B-MEASURABLE"),
    ([("19", {"modality": "X-RAY"})], "B-MEASURABLE"),
    ([("50", {"modality": "ULTRASOUND"})], "B-MODALITY"),
    ([("50", {"unmeasurable": "simple_cyst"})], "B-KIND"),
    ([("50", {"location": "somewhere"})], "B-ORGAN"),
    ([("50", {"location": "liver and spleen"})], "B-ORGAN"),
    ([("10.25", {})], "B-SIZE"),
    ([("20", {})] * 6, "B-COUNT"),
    ([("20", {"location": place}) for place in ("left lung", "right lung, lower lobe", "pulmonary")], "B-ORGAN"),
    ([("20", {"location": place, "kind": "nodal"}) for place in ("axilla", "hilar node", "neck")], "B-ORGAN"),
    ([("20", {}), ("20", {"id": "T01"})], "B-NAME"),
]


@req("VAL-10", "VAL-14")
@pytest.mark.parametrize(("targets", "rule"), BASELINES)
def test_a_baseline_against_the_rules_is_refused_with_every_finding(targets: list[Any], rule: str) -> None:
    chosen = baseline(*(lesion(n, size, **more) for n, (size, more) in enumerate(targets, 1)))
    assert rule in {finding.rule for finding in recist().validate_baseline(chosen)}
    with pytest.raises(UnusableInput, match=rule):
        recist().start(chosen)


@req("VAL-10")
def test_organs_are_counted_and_not_words() -> None:
    assert organ_of("Left lung, upper lobe", "extranodal") == organ_of("pulmonary, right", "extranodal") == "lung"
    assert organ_of("right kidney", "extranodal") == organ_of("renal", "extranodal") == "kidney"
    assert organ_of("anything", "nodal") == NODES
    with pytest.raises(UnusableInput, match="lymph node"):
        organ_of("hilar lymph node", "extranodal")


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"targets": ()}, "T01 has no mark"),
    ({"targets": (mark(1, "10"), mark(1, "10"))}, "marked twice"),
    ({"targets": (mark(1, "10"), mark(2, "10"))}, "not of this baseline"),
    ({"targets": (mark(1),)}, "0 sizes"),
    ({"targets": (mark(1, "10", state="gone"),)}, "1 sizes"),
    ({"targets": (mark(1, "10.05"),)}, "entry precision"),
    ({"targets": (mark(1, "-1"),)}, "not a size"),
    ({"targets": (mark(1, "NaN"),)}, "not a size"),
    ({"targets": (mark(1, state="merged", merged_with="T01"),)}, "merged"),
    ({"non_targets": non_targets("unequivocal_progression")[:0]}, "N1 has no mark"),
    ({"non_targets": (NonTargetMark("N1", "unequivocal_progression", " "),)}, "no reason"),
    ({"new_lesions": (NewLesion("T01", "liver", "unequivocal"),)}, "was there at baseline"),
    ({"not_evaluable": "no-contrast"}, "yet has marks"),
    ({"first_scan_on": DAY, "last_scan_on": DAY}, "is not after"),
    ({"last_scan_on": DAY}, "before the first"),
]


@req("RDG-11")
@pytest.mark.parametrize(("change", "problem"), BROKEN)
def test_an_answer_that_does_not_fit_its_baseline_is_refused(change: dict[str, Any], problem: str) -> None:
    rules = recist()
    state = rules.start(baseline(lesion(1, "50"), non_targets=1))
    good = visit(1, mark(1, "50"), non_targets=non_targets("present"))
    rules.timepoint(state, good)
    with pytest.raises(UnusableInput, match=problem):
        rules.timepoint(state, replace(good, **change))


@req("RDG-01", "RPT-02")
def test_a_derived_value_names_rule_references_options_and_input() -> None:
    found = sums(recist(), "100", "70")[0]
    assert found.evidence[0].rule == "T-PR"
    assert ("baseline sum", "100 mm") in found.evidence[0].references
    assert ("nadir", "100 mm") in found.evidence[0].references
    assert found.criterion == "recist11/1"
    assert found.options_sha256 == recist().options_sha256 != recist(confirm=True).options_sha256
    assert found.input_sha256 != sums(recist(), "100", "70.0")[0].input_sha256
    assert found.change_from_baseline_percent == Decimal("-30.0")


@req("VAL-10")
def test_volumes_follow_the_limits_of_the_charter() -> None:
    rules = Volumetric(VOLUMES)
    found = statuses(sums(rules, "10.0", "3.5", "3.501", "4.9", "0.9", "1.399", "1.4"))
    assert found == ["PR", "SD", "PD", "PR", "PR", "PD"]
    assert sums(rules, "10.0", "3.5")[0].evidence[0].references[0] == ("sum", "3.5 ml")
    from_baseline = Volumetric(VOLUMES | {"progression_reference": "baseline"})
    assert statuses(sums(from_baseline, "10.0", "1.0", "9.0", "14.0")) == ["PR", "SD", "PD"]
    with pytest.raises(UnusableInput, match="B-MEASURABLE"):
        rules.start(baseline(lesion(1, "0")))
    with pytest.raises(OptionsUnstated, match="response_decrease_percent"):
        Volumetric(VOLUMES | {"response_decrease_percent": "100"})
    with pytest.raises(OptionsUnstated, match="5 targets"):
        recist(max_target_lesions=6)


@req("VAL-14", "RDG-01")
def test_the_options_are_those_that_a_charter_states() -> None:
    """A charter that states them all runs; the names are one list, kept here and in the charter's schema."""
    assert set(Recist11.options_schema["properties"]) == set(RecistOptions.model_fields) | LESION_LIMITS
    assert set(Volumetric.options_schema["properties"]) == set(VolumetricOptions.model_fields) | LESION_LIMITS


# Properties over random subjects

sizes = st.integers(100, 1500).map(lambda tenths: Decimal(tenths) / 10)
later_sizes = st.integers(0, 1500).map(lambda tenths: Decimal(tenths) / 10)


@st.composite
def subjects(draw: st.DrawFn) -> tuple[Baseline, list[TimePointAnswer]]:
    count = draw(st.integers(1, 5))
    start = baseline(*(lesion(n, str(draw(sizes))) for n in range(1, count + 1)))
    visits = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        marks = []
        for n in range(1, count + 1):
            state = draw(st.sampled_from(["measured"] * 6 + ["gone", "too_small", "not_imaged"]))
            marks.append(mark(n, str(draw(later_sizes))) if state == "measured" else mark(n, state=state))
        visits.append(visit(number, *marks))
    return start, visits


@req("VAL-10")
@given(subjects())
def test_growth_below_five_millimetres_is_never_progression(subject: tuple[Baseline, list[TimePointAnswer]]) -> None:
    start, visits = subject
    state: State = recist().start(start)
    for each in visits:
        found = recist().timepoint(state, each)
        assert found.partial_sum is not None
        if found.partial_sum - state.nadir < 5:
            assert found.status is not Response.PD
        state = found.state


ORDER = [Response.CR, Response.PR, Response.SD, Response.PD]


@req("VAL-10")
@given(subjects(), st.integers(1, 400), st.data())
def test_a_larger_lesion_never_gives_a_better_response(
    subject: tuple[Baseline, list[TimePointAnswer]], tenths: int, data: st.DataObject
) -> None:
    start, visits = subject
    before = follow(recist(), start, *visits[:-1])
    state = before[-1].state if before else recist().start(start)
    last = visits[-1]
    measured = [each for each in last.targets if each.state == "measured"]
    if not measured:
        return
    chosen = data.draw(st.sampled_from(measured))
    grown = tuple(
        replace(each, sizes=(each.sizes[0] + Decimal(tenths) / 10,)) if each is chosen else each
        for each in last.targets
    )
    small, large = recist().timepoint(state, last), recist().timepoint(state, replace(last, targets=grown))
    if Response.NE not in (small.status, large.status):
        assert ORDER.index(large.status) >= ORDER.index(small.status)


@req("VAL-10")
@given(subjects(), st.randoms(use_true_random=False))
def test_the_order_of_lesions_changes_nothing(subject: tuple[Baseline, list[TimePointAnswer]], random: Any) -> None:
    start, visits = subject
    shuffled = []
    for each in visits:
        marks = list(each.targets)
        random.shuffle(marks)
        shuffled.append(replace(each, targets=tuple(marks)))
    lesions = list(start.targets)
    random.shuffle(lesions)
    one, other = follow(recist(), start, *visits), follow(recist(), replace(start, targets=tuple(lesions)), *shuffled)
    assert [(a.status, a.sum, a.state.nadir) for a in one] == [(b.status, b.sum, b.state.nadir) for b in other]


@req("VAL-10", "RDG-07")
@given(subjects())
def test_a_later_time_point_never_changes_an_earlier_response(
    subject: tuple[Baseline, list[TimePointAnswer]],
) -> None:
    start, visits = subject
    whole = follow(recist(), start, *visits)
    for count in range(len(visits)):
        assert follow(recist(), start, *visits[:count]) == whole[:count]


@req("VAL-10")
@given(subjects())
def test_nothing_after_progression_changes_the_best_response(
    subject: tuple[Baseline, list[TimePointAnswer]],
) -> None:
    start, visits = subject
    rules = recist()
    found = follow(rules, start, *visits)
    for count, each in enumerate(found, 1):
        if each.status is Response.PD:
            assert rules.subject(found, reference_on=DAY).best == rules.subject(found[:count], reference_on=DAY).best
            break

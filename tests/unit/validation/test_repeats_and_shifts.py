"""A protocol may ask for repeatability, categories, sub-groups and equivalence; each is judged on its bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import UnusableInput
from tests.builders.validation import small_pq
from tests.req import req
from validation import cases
from validation.cases import CaseResult, with_repeats, with_shift
from validation.judging import judged
from validation.protocol import Protocol, filled, read

ASKED = """\
  - {id: R1, requirement: VAL-10, stratum: generated, metric: volume_repeat, statistic: repeatability, judge: upper,
     limit: "30 %"}
  - {id: R2, requirement: VAL-10, stratum: generated, metric: long_axis_repeat, statistic: repeatability, judge: upper,
     limit: "5 mm"}
  - {id: R3, requirement: VAL-10, stratum: generated, metric: volume_repeat_agreement, statistic: icc_agreement,
     judge: lower, limit: "0.90 1"}
  - {id: R4, requirement: VAL-10, stratum: generated, metric: short_axis_class_repeat, statistic: fleiss_kappa,
     judge: lower, limit: "0.40 1"}
  - {id: R5, requirement: VAL-10, stratum: generated, metric: short_axis_class, statistic: weighted_kappa, judge: lower,
     limit: "0.40 1"}
  - {id: R6, requirement: VAL-10, stratum: generated, metric: long_axis_concordance, statistic: icc_consistency,
     judge: lower, limit: "0.90 1"}
  - {id: R7, requirement: VAL-10, stratum: generated, metric: volume_log_ratio, statistic: mean, judge: within,
     low: "-0.2 1", high: "0.2 1"}
  - {id: E1, requirement: VAL-10, stratum: generated, metric: volume_shift, statistic: equivalence, judge: within,
     low: "-5 %", high: "5 %"}
  - {id: E2, requirement: VAL-10, stratum: generated, metric: long_axis_shift, statistic: equivalence, judge: within,
     low: "-1 mm", high: "1 mm"}
  - {id: C1,"""
CASES = 20


def protocol(**changes: str) -> Protocol:
    text = small_pq(**{
        "  - {id: C1,": ASKED, "last_seed: 60005, planned: 6": "last_seed: 60019, planned: 20, repeated: 20",
        "seed: 7\n": "seed: 7\ncompared_with: PQ-SMALL-v1-R1\n"} | changes)
    return read(filled(text, lock="LCK-TEST", test_set_digest="0" * 64))


def result(number: int, *, times: float = 1.0, long_mm: float | None = None, found: bool = True) -> CaseResult:
    """A case of a true long axis of 20 mm and more, measured `times` as large as it is."""
    true = {"volume": 4000.0 + 900 * number, "long_axis": 20.0 + 2 * number, "short_axis": 6.0 + number}
    pairs = {name: (value * times if found else 0.0, value) for name, value in true.items()}
    if long_mm is not None:
        pairs["long_axis"] = (long_mm, true["long_axis"])
    metrics = {"undecided": 0.0, "missed": float(not found), "dice": 0.9 if found else 0.0,
               "volume_log_ratio": float(np.log(times)) if found else -8.0,
               "volume_error": 100 * (times - 1) if found else -100.0}
    groups = {"scanner": "AB"[number % 2], "burden": cases.burden_of(true["volume"])}
    return CaseResult(f"G{number}", groups, "finished", "", f"{number:064x}", "", metrics, pairs)


def evidence(one: CaseResult) -> dict[str, Any]:
    return dict(one.as_data())


def scanned(spread: float, *, missing: int = 0, shift: float = 1.0) -> list[CaseResult]:
    """Twenty lesions scanned twice; the second scans of the first `missing` find nothing."""
    random = np.random.default_rng(7)
    found = []
    for number in range(CASES):
        first = result(number, times=float(random.normal(1, spread)))
        again = result(number, times=float(random.normal(1, spread)), found=number >= missing)
        now = with_repeats(first, [again])
        before = evidence(result(number, times=float(random.normal(shift, spread))))
        found.append(with_shift(now, before))
    return found


def verdicts(found: list[CaseResult], plan: Protocol | None = None) -> dict[str, Any]:
    rows = judged(plan or protocol(), {"generated": found, "clinical": None}, {"clinical": "data absent"})
    return {row.criterion: row for row in rows}


def of(rows: dict[str, Any], *names: str) -> dict[str, str]:
    return {name: rows[name].verdict for name in names}


NAMES = ("R1", "R2", "R3", "R4", "R5", "R6", "R7", "E1", "E2")


@req("VAL-10")
def test_a_model_that_repeats_itself_meets_every_criterion() -> None:
    rows = verdicts(scanned(0.01))

    assert of(rows, *NAMES) == dict.fromkeys(NAMES, "met")
    assert rows["R1"].method == "277 wCV, 2 repeats, chi-square, each side 95 %"
    assert rows["R1"].estimate < rows["R1"].high
    assert rows["E1"].limit == "90 % interval within -5 % and 5 %"


@req("VAL-10")
def test_lesions_missed_on_the_second_scan_are_no_gap_of_repeatability() -> None:
    rows = verdicts(scanned(0.01, missing=3))

    assert of(rows, "R1", "R2", "R3") == {"R1": "not_met", "R2": "not_met", "R3": "not_met"}
    assert rows["R1"].subjects == 20


@req("VAL-10")
def test_a_lesion_missed_every_time_is_not_repeatable() -> None:
    """Zero and zero differ by nothing: the true size stands in once."""
    gone = result(3, found=False)

    assert with_repeats(gone, [gone]).repeats == {
        "volume": (0.0, 6700.0), "long_axis": (0.0, 26.0), "short_axis": (0.0, 9.0)}


@req("VAL-08", "VAL-11")
def test_a_scan_left_undecided_is_missing_from_the_number_planned() -> None:
    """Nineteen of twenty is less than was planned, however well the nineteen repeat."""
    found = scanned(0.01)
    found[0] = replace(found[0], repeats={})

    row = verdicts(found)["R1"]

    assert (row.verdict, row.subjects) == ("insufficient_evidence", 19)
    assert "1 of them gave no value" in row.says
    # Unless the statistician planned for it.
    planned = protocol(**{"repeated: 20": "repeated: 20, repeated_planned: 19"})
    assert verdicts(found, planned)["R1"].verdict == "met"


@req("VAL-10")
def test_a_shift_beyond_the_margin_is_not_equivalent_and_a_wide_interval_neither() -> None:
    """Change class C2: the mean difference to the earlier run is judged on both sides."""
    assert of(verdicts(scanned(0.01, shift=1.08)), "E1", "E2") == {"E1": "not_met", "E2": "not_met"}
    assert verdicts(scanned(0.15))["E1"].verdict == "not_met"


@req("VAL-10")
def test_an_answer_where_the_earlier_run_gave_none_counts_in_full() -> None:
    now, before = result(2), evidence(replace(result(2), pairs={}))

    assert with_shift(now, before).metrics["volume_shift"] == pytest.approx(100)
    assert with_shift(replace(now, pairs={}), evidence(now)).metrics["long_axis_shift"] == pytest.approx(-24)
    assert "volume_shift" not in with_shift(replace(now, pairs={}), before).metrics
    with pytest.raises(UnusableInput, match="other images"):
        with_shift(now, evidence(result(5)))


@req("VAL-10")
def test_a_missed_lesion_is_a_category_of_its_own() -> None:
    """A lesion of 8 mm that was not found is no agreement on 'below 10 mm'."""
    assert [cases.short_axis_class(mm) for mm in (0, 8, 9.99, 10, 14.99, 15, 40)] == [0, 1, 1, 2, 2, 3, 3]


@req("VAL-10")
def test_sub_groups_are_those_declared_and_small_ones_say_so() -> None:
    plan = protocol(**{"subgroups_by: scanner": "subgroups_by: [scanner, burden, anatomy], subgroup_least: 12"})
    found = scanned(0.01)
    lost = [replace(one, metrics={**one.metrics, "volume_error": -40.0 - n / 10})
            if one.groups["scanner"] == "B" else one for n, one in enumerate(found)]

    rows, bad = verdicts(found, plan), verdicts(lost, plan)

    groups = {name for name in rows if name.startswith("G2/")}
    assert groups == {"G2/A", "G2/B", "G2/burden below 20 mm", "G2/burden 20 to 40 mm", "G2/anatomy not stated"}
    small = {"G2/A", "G2/B"}
    assert {rows[name].verdict for name in small} == {"too_small"}
    assert {rows[name].verdict for name in groups - small if rows[name].subjects >= 12} == {"for_information"}
    assert {rows[name].verdict for name in groups if rows[name].subjects < 12} == {"too_small"}
    assert "10 of the 12 cases that a sub-group needs" in rows["G2/A"].says
    # Wholly outside is lost at any number.
    assert bad["G2/B"].verdict == "not_met"


@req("VAL-10", "VAL-11")
def test_a_proportion_is_judged_on_the_exact_bound_and_reported_with_wilsons() -> None:
    row = verdicts(scanned(0.01))["G4"]

    assert row.method == "Clopper-Pearson"
    assert "Wilson's interval: [0.0000 1, 0.1612 1]" in row.says
    assert row.high == "0.1685 1"


@req("VAL-03")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("planned: 20, repeated: 20", "planned: 20", "R1: no case of the stratum generated is scanned again"),
        ("repeated: 20", "repeated: 21", "cannot be scanned again"),
        ("repeated: 20", "repeated: 20, repeated_planned: 21", "21 of 20 cannot have values"),
        ("compared_with: PQ-SMALL-v1-R1\n", "", "compared_with: needed"),
        ('judge: upper,\n     limit: "30 %"', 'judge: lower,\n     limit: "30 %"', "repeatability is judged upper"),
        ('low: "-5 %", high: "5 %"', 'low: "1 %", high: "5 %"', "both sides of zero"),
        ("metric: short_axis_class, statistic: weighted_kappa", "metric: short_axis_class, statistic: mean",
         "short_axis_class goes with weighted_kappa, not mean"),
        ("metric: volume_log_ratio", "metric: volume_ratio", "no metric volume_ratio"),
        ("subgroups_by: scanner", "subgroups_by: [colour]", "subgroups_by"),
        ("statistic: icc_agreement,\n     judge: lower", "statistic: icc_agreement,\n     judge: upper",
         "icc_agreement is judged lower"),
    ],
)
def test_what_cannot_be_judged_is_refused_when_the_protocol_is_read(old: str, new: str, said: str) -> None:
    text = small_pq(**{
        "  - {id: C1,": ASKED, "last_seed: 60005, planned: 6": "last_seed: 60019, planned: 20, repeated: 20",
        "seed: 7\n": "seed: 7\ncompared_with: PQ-SMALL-v1-R1\n"})
    assert old in text

    with pytest.raises(UnusableInput, match=said):
        read(text.replace(old, new))

"""Charter rules on measures and tags, identity, noise: pure, table and property."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.arrival.quality import continuity_finding, measures_of, noise_hu, tag_values
from core.arrival.rules import Claim, identify, judge
from core.dicom.findings import Outcome
from core.trials.charter import AcquisitionRule
from tests.req import req
from tests.unit.dicom.samples import ct_series, ct_slice


def rule(operator, *values, **more):
    stated = {"id": "R-1", "operator": operator, "when_broken": "reject", "why": "w", "measure": "noise_hu"} | more
    if len(values) > 1:
        stated["values"] = values
    elif values:
        stated["value"] = values[0]
    return AcquisitionRule(**stated)


decimals = st.decimals(min_value=-1000, max_value=1000, allow_nan=False, allow_infinity=False, places=3)


@req("RDG-11")
@given(decimals, decimals)
def test_a_limit_holds_exactly_up_to_itself(measured, limit):
    """Equality satisfies; compared in decimal, so 0.1 + 0.2 is 0.3."""
    found = {"noise_hu": measured}

    assert (judge(rule("<=", str(limit)), found, {}).outcome == "met") == (measured <= limit)
    assert (judge(rule(">=", str(limit)), found, {}).outcome == "met") == (measured >= limit)
    assert (judge(rule("==", str(limit)), found, {}).outcome == "met") == (measured == limit)
    assert (judge(rule("!=", str(limit)), found, {}).outcome == "met") == (measured != limit)


@req("RDG-11")
@given(decimals, decimals, decimals)
def test_between_takes_both_ends(measured, low, high):
    found = judge(rule("between", str(low), str(high)), {"noise_hu": measured}, {})

    assert (found.outcome == "met") == (low <= measured <= high)


@req("RDG-11")
@pytest.mark.parametrize("operator", ["<=", ">=", "==", "!=", "between", "one_of", "present"])
def test_what_is_not_stated_breaks_every_rule(operator):
    """A missing value never passes, not even as different from something."""
    values = ("1", "2") if operator in ("between", "one_of") else () if operator == "present" else ("1",)

    assert judge(rule(operator, *values), {}, {}).outcome == "not_met"
    assert judge(rule(operator, *values), {}, {}).measured == "not stated"


@req("RDG-11")
def test_every_instance_must_satisfy_a_tag_rule():
    """One slice with another kernel breaks the rule; `note` makes a warning of it."""
    series = [ct_slice(number, ConvolutionKernel="B30f" if number != 3 else "B70s") for number in range(1, 6)]
    tag = "(0018,1210)"
    values = {tag: tag_values(series, tag)}
    strict = rule("one_of", "B30f", "B40f", measure=None, tag=tag)
    mild = rule("one_of", "B30f", "B40f", measure=None, tag=tag, when_broken="note")

    assert values[tag] == ["B30f", "B70s"]
    assert judge(strict, {}, values).outcome == "not_met"
    assert judge(mild, {}, values).outcome == "warning"


@req("RDG-11")
def test_measures_come_from_positions_not_from_slice_thickness():
    measures = measures_of(ct_series(8, SliceThickness="5"), None)

    assert measures["slice_distance_mm"] == Decimal("2.500")
    assert measures["slice_thickness_mm"] == Decimal("5.000")
    assert (measures["slices"], measures["gaps"], measures["duplicate_positions"]) == (8, 0, 0)
    assert measures["axial_coverage_mm"] == Decimal("20.000")
    assert measures["in_plane_coverage_mm"] == Decimal("9.600")


@req("RDG-11")
@pytest.mark.parametrize("sigma", [5.0, 15.0, 40.0])
def test_noise_is_measured_within_a_tenth_over_structure(sigma):
    """A ramp and a sharp edge under known noise: the edge does not count as noise."""
    rng = np.random.default_rng(7)
    plane = np.tile(np.linspace(0, 60, 160), (160, 1)) + rng.normal(0, sigma, (160, 160))
    plane[:, 80:] += 30
    dataset = ct_slice(1, Rows=160, Columns=160)
    dataset.PixelData = np.rint(plane + 1024).astype("<i2").tobytes()

    assert abs(float(noise_hu(dataset) or 0) - sigma) < 0.1 * sigma


@req("RDG-11")
@given(st.lists(st.builds(
    Claim, trial=st.sampled_from(["", "T1", "T2"]), subject=st.sampled_from(["", "S1", "S2", "X"]),
    patient=st.sampled_from(["", "S1", "S2", "MRN"]), site=st.just(""), time_point=st.just(""),
), min_size=1, max_size=4), st.sampled_from([None, "S1", "X"]))
def test_a_series_is_never_given_to_a_subject_that_it_contradicts(claims, assigned):
    """Whatever the headers claim: the answer is a subject of the trial that no header denies, or a reason."""
    found = identify(claims, "T1", {"S1", "S2"}, assigned)

    if found.subject is None:
        assert found.code
        return
    assert found.subject in {"S1", "S2"}
    assert {claim.subject for claim in claims} <= {"", found.subject}
    assert not {claim.patient for claim in claims} & ({"S1", "S2"} - {found.subject})
    assert {claim.trial for claim in claims} <= {"", "T1"}
    assert assigned in (None, found.subject)


@req("RDG-11")
def test_a_slice_that_moved_is_found_and_a_smooth_stack_is_not():
    """Twelve slices of a disc that widens slowly; one of them shifted sideways by five pixels."""
    rows, columns = np.mgrid[:48, :48]

    def stack(shift):
        made = []
        for number in range(1, 13):
            middle = 24 + (shift if number == 6 else 0)
            disc = ((rows - 24) ** 2 + (columns - middle) ** 2 < (12 + number / 2) ** 2) * 300
            one = ct_slice(number, Rows=48, Columns=48)
            one.PixelData = (disc + 900).astype("<i2").tobytes()
            made.append(one)
        return made

    smooth, moved = continuity_finding(stack(0)), continuity_finding(stack(5))

    assert smooth is not None
    assert smooth.outcome is Outcome.MET
    assert moved is not None
    assert moved.outcome is Outcome.NOT_MET
    assert moved.where == "slice at 15.0 mm"

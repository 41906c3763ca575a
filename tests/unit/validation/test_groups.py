"""Sub-groups of a sealed test set: what may be stated of a case, and how each is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.vocabulary.validation import CriterionVerdict
from core.errors import UnusableInput
from tests.builders.validation import small_pq
from tests.req import req
from validation import cases, groups, judging, protocol
from validation.cases import CaseResult
from validation.rules import overall

CASE = {"site": "101", "sex": "F", "age_band": "60-69", "manufacturer": "Acme Scanners", "field_strength": "1.5 T"}
SUBJECTS = ("STS_003", "STS_008")


def folder(tmp_path: Path, content: object) -> Path:
    made = tmp_path / cases.CLINICAL
    made.mkdir(parents=True, exist_ok=True)
    (made / groups.FILE).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return tmp_path


@req("PRV-02", "MLK-03")
@pytest.mark.parametrize(("key", "value"), [
    ("birth_date", "19510203"), ("PatientName", "Ambrosia"), ("age", "64"), ("age_band", "64"), ("age_band", "64-65"),
    ("age_band", "88-95"), ("age_band", "95-99"), ("age_band", "19510203"), ("sex", "female"),
    ("site", "Ward 3, Basel"), ("site", "1951-02-03"), ("manufacturer", "SN 4711"), ("field_strength", "2.7"),
    ("field_strength", "90 T"), ("site", 4711),
])
def test_what_is_more_than_a_sub_group_is_refused_and_not_repeated(tmp_path: Path, key: str, value: object) -> None:
    """Birth dates, ages, names and free text stay out of a sealed set; the refusal does not spread them further."""
    data = folder(tmp_path, {"STS_003": CASE | {key: value}})

    with pytest.raises(UnusableInput) as refusal:
        groups.stated_in(data / cases.CLINICAL)

    assert "STS_003" in refusal.value.fact
    assert str(value) not in refusal.value.in_words()
    assert "no birth date, age or name" in refusal.value.in_words()


@req("PRV-02")
@given(st.integers(1900, 2026), st.integers(1, 12), st.integers(1, 28), st.sampled_from(["", "-", "/", "."]))
def test_no_date_is_a_sub_group_in_whatever_form(year: int, month: int, day: int, between: str) -> None:
    for parts in ((f"{year}", f"{month:02}", f"{day:02}"), (f"{day:02}", f"{month:02}", f"{year}")):
        written = between.join(parts)
        assert not any(fits(written) for fits, _ in groups.STATED.values())


@req("PRV-02")
@given(st.integers(0, 120), st.integers(0, 120))
def test_a_band_hides_the_age_and_the_oldest_are_one_band(first: int, last: int) -> None:
    fits = groups.STATED["age_band"][0](f"{first}-{last}")

    assert fits == (last - first >= groups.FEWEST_YEARS - 1 and last < 90)
    assert groups.STATED["age_band"][0](groups.OLDEST)


@req("VAL-08", "MLK-03")
def test_sub_groups_are_sealed_with_the_cases_and_a_later_word_is_a_change(tmp_path: Path) -> None:
    """Who would move a case into another group after the seal changes the set: the run refuses it by name."""
    test_set = plan().test_set
    assert test_set is not None
    (stratum,) = (one for one in test_set.strata if one.stratum == "clinical")
    bare, _, _ = cases.sealed_manifest("TS", [stratum], tmp_path)
    data = folder(tmp_path, {"STS_003": CASE, "STS_008": CASE | {"sex": "M"}, "STS_999": CASE})
    sealed, digest, _ = cases.sealed_manifest("TS", [stratum], data)

    assert cases.stated_groups(sealed, "clinical") == {"STS_003": CASE, "STS_008": CASE | {"sex": "M"}}
    assert groups.in_words(cases.stated_groups(sealed, "clinical")).startswith("age band 60-69 2, ")
    assert cases.changed_since_sealing(sealed, stratum, data) == []
    folder(tmp_path, {"STS_003": CASE, "STS_008": CASE})
    assert cases.changed_since_sealing(sealed, stratum, data) == ["STS_008"]
    assert cases.sealed_manifest("TS", [stratum], data)[1] != digest
    # Sets that were sealed before anything was stated keep their digests.
    (data / cases.CLINICAL / groups.FILE).unlink()
    assert cases.sealed_manifest("TS", [stratum], data)[0] == bare
    folder(tmp_path, "[")
    with pytest.raises(UnusableInput, match="cannot be read"):
        cases.contents(stratum, data)


def plan(more: str = "") -> protocol.Protocol:
    """The small PQ, its overlap judged by site and sex as well."""
    return protocol.read(small_pq(**{'judge: lower, limit: "0.80 1"}': f'judge: lower, limit: "0.80 1"{more}}}'}))


def results(*each: tuple[int, dict[str, str], float]) -> list[CaseResult]:
    """So many cases of a group, their overlaps spread by 0.01 about a value."""
    return [
        CaseResult(f"G{number}-{n}", belongs, "finished", "", "0" * 64, "1" * 64,
                   {"dice": about + (n % 3 - 1) / 100, "undecided": 0.0, "volume_error": 0.0, "long_axis_error": 0.0})
        for number, (count, belongs, about) in enumerate(each) for n in range(count)]


def verdicts(made: list[CaseResult], more: str) -> dict[str, CriterionVerdict]:
    rows = judging.judged(plan(more), {"generated": made, "clinical": None}, {"clinical": "absent"})
    return {one.criterion: one for one in rows}


@req("VAL-10", "MLK-03")
def test_each_sub_group_has_its_number_estimate_and_interval_and_a_small_one_never_passes() -> None:
    """Without a limit of their own: told with n, estimate and bounds; below the least number too small, not passed."""
    rows = verdicts(results((12, {"site": "101", "sex": "F"}, 0.9), (3, {"site": "102", "sex": "M"}, 0.9)),
                    ", subgroups_by: [site, sex, age_band], subgroup_least: 5")

    large, small, unstated = rows["G1/site 101"], rows["G1/sex M"], rows["G1/age band not stated"]
    assert (large.subjects, large.estimate, large.verdict) == (12, "0.9000 1", "for_information")
    assert large.low is not None
    assert large.high is not None
    assert (small.subjects, small.verdict) == (3, "too_small")
    assert small.says.startswith("3 of the 5 cases that a sub-group needs: too few to say.")
    assert (unstated.subjects, unstated.verdict) == (15, "for_information")
    assert rows["G1"].verdict == "met"
    assert judging.strata_of([rows["G1"], large, small], {})[0].verdict == "passed"


LIMIT = ', subgroups_by: [site], subgroup_least: 6, subgroup_limit: "0.75 1"'


@req("VAL-10", "GAT-02")
@pytest.mark.parametrize(("number", "about", "verdict", "whole"), [
    (6, 0.9, "met", "passed"), (6, 0.752, "not_met", "failed"), (6, 0.6, "not_met", "failed"),
    (5, 0.9, "insufficient_evidence", "insufficient_evidence"), (4, 0.5, "not_met", "failed"),
    (1, 0.9, "insufficient_evidence", "insufficient_evidence"),
])
def test_a_limit_stated_for_sub_groups_decides_with_the_rest(
    number: int, about: float, verdict: str, whole: str
) -> None:
    """On the bound of the group; one that is too small has not reached it, whatever its values."""
    rows = verdicts(results((30, {"site": "101"}, 0.95), (number, {"site": "102"}, about)), LIMIT)

    group = rows["G1/site 102"]
    assert (rows["G1"].verdict, rows["G1/site 101"].verdict) == ("met", "met")
    assert group.verdict == verdict
    assert group.limit.startswith("sub-group site 102: lower 95 % bound at least 0.75 1")
    assert ("too few to say" in group.says) == (number < 6)
    assert judging.strata_of([rows["G1"], rows["G1/site 101"], group], {})[0].verdict == whole


@req("VAL-10")
@given(st.lists(st.sampled_from(["met", "for_information", "too_small"]), min_size=1, max_size=6))
def test_what_is_for_information_or_too_small_alone_shows_nothing(parts: list[str]) -> None:
    assert (overall(parts) == "passed") == ("met" in parts)


@req("VAL-03", "MLK-03")
@pytest.mark.parametrize(("more", "said"), [
    (', subgroup_limit: "0.75 1"', "needs subgroups_by"),
    (', subgroups_by: [site], subgroup_limit: "0.75 1"', "subgroup_least of 2 or more"),
    (', subgroups_by: [site], subgroup_least: 6, subgroup_low: "0.75 1", subgroup_high: "1 1"', "judged lower, too"),
    (', subgroups_by: [site], subgroup_least: 6, subgroup_limit: "0.75 mm"', "subgroup_limit of dice is in 1"),
    (", subgroups_by: [birth_date]", "subgroups_by"),
])
def test_a_limit_of_sub_groups_is_whole_or_the_protocol_is_refused(more: str, said: str) -> None:
    with pytest.raises(UnusableInput, match=said):
        plan(more)


def test_generated_cases_know_the_maker_of_their_scanner() -> None:
    stated: Any = cases.generated_case(60000).groups

    assert set(stated) == {"scanner", "manufacturer", "anatomy", "burden"}
    assert (stated["scanner"] in "AB") == (stated["manufacturer"] == "PHANTOM WORKS")

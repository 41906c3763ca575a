"""A charter is read whole or refused with every problem at its line."""

from dataclasses import FrozenInstanceError
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.trials.charter import Charter
from core.trials.charter_check import CharterUnusable, charter_json_schema, check_charter, read_charter
from core.trials.defaults import SHIPPED, SHIPPED_BY_NAME
from tests.req import req

TEXT = (Path(__file__).parents[3] / "countersign/demonstration/charter.yaml").read_text(encoding="utf-8")
LINES = TEXT.splitlines()


def line_of(part: str, nth: int = 1) -> int:
    """The line (from 1) of the nth line that holds a text."""
    return [number for number, line in enumerate(LINES, 1) if part in line][nth - 1]


def problems_of(*changes: tuple[str, str]) -> list[str]:
    """What is said about the demonstration charter after textual changes, each made once."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return [str(problem) for problem in check_charter(text).problems]


@req("VAL-14", "RDG-01")
def test_the_demonstration_charter_is_read_whole() -> None:
    charter = read_charter(TEXT)

    assert charter.trial == "DEMO-301"
    assert charter.evidence_class == "demonstration"
    assert [point.id for point in charter.schedule] == ["BL", "W08", "W16"]
    assert charter.endpoints[0].options.sd_min_days == 42
    assert charter.limit("run_in_sensitivity_lower") == Decimal("0.15")
    assert charter.planned(4) is not None
    with pytest.raises((ValidationError, FrozenInstanceError)):
        charter.trial = "OTHER"


@req("VAL-14")
def test_a_broken_charter_gives_every_problem_at_its_line() -> None:
    said = problems_of(
        ("Europe/Zurich", "Zurich"),
        ("window_before: 21", "window_before:"),
        ("kind: primary", "kind: tertiary"),
        ("criterion: volumetric", "criterion: volume"),
        ('operator: "<="', 'operator: "=<"'),
        ("qc: {use: planned", "qc: {use: maybe"),
        ("incidental_findings:", "incidental_finding:"),
    )

    assert f"line {line_of('Zurich')}: sites[0].time_zone: 'Zurich': write a time zone of the IANA list, " \
           "such as Europe/Zurich" in said
    assert f"line {line_of('window_before: 21')}: schedule[0].window_before: nothing is written here" in said
    assert f"line {line_of('kind: primary')}: endpoints[0].kind: 'tertiary' is not allowed; " \
           "allowed: primary, secondary, cohort" in said
    assert f"line {line_of('criterion: volumetric')}: endpoints[1].criterion: 'volume' is not allowed; " \
           "allowed: recist11, volumetric" in said
    assert any(one.startswith(f"line {line_of('<=')}: acquisition[0].rules[0].operator:") for one in said)
    assert any(one.startswith(f"line {line_of('qc: {use')}: ai.qc.use: 'maybe'") for one in said)
    assert any(f"line {line_of('incidental_findings')}: incidental_finding: not known" in one for one in said)
    assert "line 1: incidental_findings: missing" in said
    assert len(said) == 8


@req("VAL-14")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    ai_display: none\n", "", "endpoints[0].ai_display: missing"),
        ("    ai_display: none", "    ai_display: first_pass", "a primary endpoint shows no AI to a reader"),
        ("paradigm: sequential_locked", "paradigm: simultaneous_all", "contradicts endpoint response"),
        ("paradigm: sequential_locked", "paradigm: randomised_timepoints", "contradicts endpoint response"),
        ("unit: mm\n    ai_display", "unit: ml\n    ai_display", "endpoints[0].unit: 'ml' is not allowed; allowed: mm"),
        ("lesion-at-seed, strata: [generated], scope: all}", "lesion-at-seed, strata: [generated], scope: 'arm:A'}",
         "would break the readers' blind to the arm"),
        ("design: open_label", "design: double_blind", None),
        ("endpoints: [volume]", "endpoints: [response]", "response is a primary endpoint"),
        ("endpoints: [volume]", "endpoints: []", "name the endpoints AI is used for"),
        ("notice: demonstration", "notice: a demo", "a demonstration says here: demonstration, not for clinical use"),
        ("id: W16", "id: W08", "W08 is already used by schedule[1]"),
        ("day: 112", "day: 40", "not after W08 (day 56)"),
        ("day: 112", "day: 66", "its window overlaps that of W08"),
        ("event: baseline", "event: follow_up", "exactly one time point with event: baseline is needed"),
        ("modalities: [CT, PT]", "modalities: [CT, MR]", "acquisition has no rules for MR"),
        ("readers: 2", "readers: 1", "at least 2 readers are needed"),
        ("endpoint: volume, kind", "endpoint: weight, kind", "no endpoint weight"),
        (', limit: 20, unit: "%"', "", "burden_difference needs a limit and a unit"),
        ("kind: time_point_response", "kind: time_point_response, limit: 3", "it takes no limit"),
        ('site: "103"', 'site: "104"', "no site 104"),
        ("max_ne: 1\n", "max_ne: 1.5\n", "'1.5': write a whole number"),
        ("      max_ne: 1\n", "", "endpoints[0].options.max_ne: missing"),
        ("confirm: true", "confirm: yes", "'yes': write true or false"),
        ("rounding_mm: 0.1", "rounding_mm: 1e-1", "write a decimal number"),
        ("run_in_sites: {value: 2}", "run_in_sites: {value: 1}", "1 asks for less than the shipped 2; a justification"),
        ("  run_in_sites: {value: 2}\n", "", "run_in_sites is not stated; it ships as 2 sites"),
        ("run_in_sites: {value: 2}", "run_in_site: {value: 2}", "limits.run_in_site: not known"),
        ("run_in_sites: {value: 2}", "run_in_sites: {value: 2.5}", "2.5 is not a whole number of sites"),
        ("unit: mm\n        when_broken: reject\n        why: A lesion", "tag: (0018,0050)\n        unit: mm\n"
         "        when_broken: reject\n        why: A lesion", "one of measure and tag is needed, not both"),
        ('value: "5.0"', 'value: "five"', "'five' is not a decimal number"),
        ("values: [BQML, CNTS]", "values: [BQML]", "one_of needs values: with at least two"),
        ("trial: DEMO-301", "trial: &t DEMO-301", "anchors (&) and aliases (*) are not allowed"),
        ("arms:", "sites: []\narms:", "written twice, first on line"),
        ("arms:", "arms: [", "not readable as YAML"),
        ("country: CH", "country: NO", None),
    ],
)
def test_each_contradiction_is_refused_by_name(old: str, new: str, said: str | None) -> None:
    found = problems_of((old, new))

    if said is None:
        assert found == []
    else:
        assert any(said in one for one in found), found
        assert all(one.startswith("line ") for one in found)


@req("VAL-14")
def test_an_open_label_trial_whose_readers_do_not_depend_on_the_arm_may_limit_ai_to_an_arm() -> None:
    assert problems_of(
        ("readers_blind_depends_on_arm: true", "readers_blind_depends_on_arm: false"),
        ("lesion-at-seed, strata: [generated], scope: all}", "lesion-at-seed, strata: [generated], scope: 'arm:A'}"),
    ) == []
    assert "would tell the arm in a double_blind trial" in problems_of(
        ("readers_blind_depends_on_arm: true", "readers_blind_depends_on_arm: false"),
        ("lesion-at-seed, strata: [generated], scope: all}", "lesion-at-seed, strata: [generated], scope: 'arm:A'}"),
        ("design: open_label", "design: double_blind"),
    )[0]


@req("GAT-02")
def test_a_charter_states_every_number_laxer_than_shipped_with_its_reason() -> None:
    charter = read_charter(TEXT)

    for name, one in charter.limits.items():
        assert one.justification or not SHIPPED_BY_NAME[name].laxer(one.value)
    assert {limit.name for limit in SHIPPED} == set(charter.limits)


@req("VAL-14")
def test_a_use_that_the_trial_lacks_needs_a_reason_and_none_of_its_numbers() -> None:
    without = TEXT.replace(
        "primary: {use: planned, model: lesion-at-seed, strata: [generated], scope: all, endpoints: [response]}",
        "primary: {use: not_used, reason: Two human readers decide alone.}",
    )
    for name in ("agreement_pairs", "agreement_subjects"):
        start = without.index(f"  {name}:")
        without = without[:start] + without[without.index("\n  ", without.index("justification", start)) + 1:]

    assert check_charter(without).problems == ()
    assert [str(one) for one in check_charter(without.replace(", reason: Two human readers decide alone.", "")).problems
            ] == [f"line {line_of('primary: {use')}: ai.primary.reason: missing"]


@req("VAL-14")
def test_the_exported_json_schema_closes_every_section() -> None:
    schema = charter_json_schema()

    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["required"]) >= {"trial", "endpoints", "ai", "limits", "reading"}
    sections = [schema, *schema["$defs"].values()]
    assert all(one["additionalProperties"] is False for one in sections if one.get("type") == "object")
    assert schema["$defs"]["RecistEndpoint"]["properties"]["kind"]["enum"] == ["primary", "secondary", "cohort"]


@req("VAL-14")
def test_the_error_carries_all_problems_and_the_next_step() -> None:
    with pytest.raises(CharterUnusable) as refused:
        read_charter("trial: DEMO-301\n")

    assert len(refused.value.problems) == len([f for f in Charter.model_fields.values() if f.is_required()]) - 1
    assert "countersign charter check FILE" in refused.value.in_words()


@given(st.text(max_size=60), st.integers(0, len(TEXT)), st.integers(0, 400))
def test_no_damage_to_the_text_raises_anything_but_problems(noise: str, where: int, cut: int) -> None:
    """VAL-14: a door that outside text enters never falls over."""
    checked = check_charter(TEXT[:where] + noise + TEXT[where + cut:])

    assert (checked.charter is None) == bool(checked.problems)

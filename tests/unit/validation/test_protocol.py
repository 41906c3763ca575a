"""A protocol is read whole or refused with every problem; a verdict rests on the bound and the planned number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFound, UnusableInput
from tests.builders.validation import installation, small_pq
from tests.conftest import known_requirements
from tests.req import req
from validation import protocol
from validation.rules import as_text, judge, next_signature, overall, resolves, smallest_change_mm


@req("VAL-03")
@pytest.mark.parametrize("name", protocol.shipped())
def test_every_shipped_protocol_is_whole_once_its_places_are_named(name: str) -> None:
    text = protocol.filled(protocol.template(name), lock="LCK-1", use=3, endpoint="E2", test_set_digest="0" * 64)

    read = protocol.read(text)

    assert protocol.UNNAMED not in text
    assert read.signatures[-1].text == "qa_auditor:approval"


@req("VAL-02")
def test_shipped_protocols_name_requirements_that_exist() -> None:
    known = known_requirements()
    for name in protocol.shipped():
        read = protocol.read(protocol.filled(protocol.template(name), lock="L", use=1, test_set_digest="0"))
        named = {one for step in read.steps for one in step.requirements} | {c.requirement for c in read.criteria}
        assert named <= known


@req("VAL-03")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("kind: PQ", "kind: XQ", "protocol.kind"),
        ("limit: \"0.80 1\"", "limit: \"0.80\"", "not a measure"),
        ("limit: \"0.80 1\"", "limit: \"0.80 mm\"", "limit of dice is in 1"),
        ("low: \"-10 %\"", "low: \"20 %\"", "low lies below high"),
        ("judge: lower, limit: \"0.80 1\"", "judge: lower", "needs exactly limit"),
        ("stratum: clinical, metric: dice", "stratum: generated, metric: dice", "no criterion judges it"),
        ("seed: 7", "sed: 7", "sed"),
        ("id: G2", "id: G1", "G1 stands twice"),
        ("statistician, meaning: review", "statistician, meaning: approval", "a review is needed"),
        ("  - {role: qa_auditor, meaning: approval}\n", "", "QA approves last"),
        ("metric: undecided, statistic: proportion", "metric: undecided, statistic: mean", "goes with proportion"),
        ("resamples: 5000", "resamples: 1000", "resamples"),
        ("supports: {lock: LCK-TEST, use: 3, endpoint: E2}\n", "", "supports"),
        ("use: 3", "use: 5", "supports.use"),
    ],
)
def test_a_broken_protocol_is_refused_at_its_place(old: str, new: str, problem: str) -> None:
    text = small_pq()
    assert old in text

    with pytest.raises(UnusableInput, match=problem):
        protocol.read(text.replace(old, new))


def test_text_that_is_no_protocol_is_refused() -> None:
    with pytest.raises(UnusableInput, match="not YAML"):
        protocol.read("a: [")
    with pytest.raises(UnusableInput, match="empty"):
        protocol.read("")
    with pytest.raises(UnusableInput, match="steps"):
        protocol.read(installation())
    with pytest.raises(NotFound, match="ships"):
        protocol.template("../requirements")


@req("VAL-03")
def test_a_use_without_endpoint_loses_the_line_and_nothing_else() -> None:
    template = protocol.template("pq-lesion-at-seed")

    cohort = protocol.read(protocol.filled(template, lock="L", use=2, test_set_digest="0"))

    assert (cohort.supports.use, cohort.supports.endpoint) == (2, None) if cohort.supports else False


@req("VAL-10")
@pytest.mark.parametrize(
    ("low", "high", "judged_on", "subjects", "verdict"),
    [
        ("0.85 1", "0.95 1", "lower", 60, "met"),
        ("0.75 1", "0.95 1", "lower", 60, "not_met"),
        ("0.85 1", "0.95 1", "lower", 8, "insufficient_evidence"),
        ("0.75 1", "0.95 1", "lower", 8, "insufficient_evidence"),
        ("0.50 1", "0.70 1", "lower", 8, "not_met"),
        ("0.70 1", "0.80 1", "upper", 60, "met"),
        ("0.70 1", "0.81 1", "upper", 60, "not_met"),
    ],
)
def test_a_verdict_needs_the_bound_and_the_planned_number(
    low: str, high: str, judged_on: str, subjects: int, verdict: str
) -> None:
    limits = (Decimal("0.80"), Decimal("Infinity")) if judged_on == "lower" else (Decimal("-Infinity"), Decimal("0.80"))

    assert judge(low, high, limits, judged_on, subjects=subjects, planned=60).verdict == verdict


@given(
    st.decimals(-5, 5, places=2), st.decimals(0, 4, places=2), st.decimals(-3, 3, places=2), st.integers(1, 100)
)
def test_a_wider_interval_never_turns_a_verdict_to_met(
    low: Decimal, width: Decimal, limit: Decimal, subjects: int
) -> None:
    limits = (limit, Decimal("Infinity"))
    narrow = judge(f"{low:f} 1", f"{low + width:f} 1", limits, "lower", subjects=subjects, planned=50)
    wide = judge(f"{low - 1:f} 1", f"{low + width + 1:f} 1", limits, "lower", subjects=subjects, planned=50)

    assert not (wide.verdict == "met" and narrow.verdict != "met")
    if narrow.verdict == "met":
        assert low >= limit
        assert subjects >= 50


@req("VAL-10")
def test_bounds_are_rounded_to_their_worse_side() -> None:
    assert as_text(0.80009999, "1", towards="low") == "0.8000 1"
    assert as_text(0.79999999, "1", towards="low") == "0.7999 1"
    assert as_text(0.15000001, "1", towards="high") == "0.1501 1"
    assert as_text(-3.00001, "%", towards="low") == "-3.0001 %"


@req("VAL-10")
def test_the_gravest_part_decides() -> None:
    assert overall(["met", "met"]) == "passed"
    assert overall(["met", "not_met", "insufficient_evidence"]) == "failed"
    assert overall(["passed", "insufficient_evidence", "not_executed"]) == "insufficient_evidence"
    assert overall([]) == "not_executed"


@req("MLK-03")
def test_cells_of_five_millimetres_cannot_judge_a_growth_of_five() -> None:
    """2.77 standard deviations of a difference whose ends lie anywhere within a cell: 5.333 mm gives 6.04 mm."""
    assert smallest_change_mm(Decimal("5.333")) == Decimal("6.04")
    assert not resolves(Decimal("5.333"), "5 mm")
    assert resolves(Decimal("2"), "5 mm")


@req("VAL-03")
def test_signatures_come_in_the_order_asked() -> None:
    asked = ["statistician:review", "validation_lead:approval", "qa_auditor:approval"]

    assert next_signature(asked, []) == "statistician:review"
    assert next_signature(asked, asked[:2]) == "qa_auditor:approval"
    assert next_signature(asked, asked) is None
    with pytest.raises(ValueError, match="beginning"):
        next_signature(asked, ["qa_auditor:approval"])

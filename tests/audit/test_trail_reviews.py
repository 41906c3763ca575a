"""Audit-trail review: samples that nobody chose, a signature by somebody else, and what happens when it is overdue."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit.vocabulary import gates as gate_words
from audit.vocabulary.sops import TrainingCompleted
from core.clock import in_words
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.gates import gathering
from core.gates import usecases as gates
from core.gates.queries import gates_of
from core.ledger_queries import SessionReader, line_at
from core.policy.state import Actor
from core.reviews import queries, usecases
from core.reviews.rules import CONCLUSIONS, GRADES, Found, draw, rank, wrong_with
from countersign.cli import app
from countersign.readiness import people_findings
from tests.builders import trials as build
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import PASSWORD, HouseUnderTest
from tests.req import req

QA = build.QA
OTHER = Actor("qa-2")


@pytest.fixture
def live(house: HouseUnderTest) -> HouseUnderTest:
    """A live trial with two people of QA."""
    build.live(house)
    house.person("qa-2", "qa_auditor", trial=TRIAL)
    return house


def opened(house: HouseUnderTest, actor: Actor = OTHER, **options: Any) -> queries.ReviewRow:
    return usecases.open_review(house.desk, actor, usecases.OpenReview(**{"trial": TRIAL} | options))


def concluded(house: HouseUnderTest, row: queries.ReviewRow, actor: Actor = OTHER, **options: Any) -> Any:
    command = usecases.SignReview(row.review, **{"conclusion": "in_order", "statement": "Nothing unusual."} | options)
    return house.commit(usecases.sign_review(house.desk, actor, command))


def due(house: HouseUnderTest) -> Any:
    with house.desk.reading() as session:
        return queries.due_of(session, TRIAL)


def today(house: HouseUnderTest) -> date:
    return date.fromisoformat(in_words(house.desk.clock.now())[:10])


# -- the draw -------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="0123456789abcdef", min_size=64, max_size=64), st.sets(st.integers(0, 10**9), max_size=60),
       st.integers(1, 20), st.randoms())
@req("ATR-02")
def test_whoever_draws_again_gets_the_same_samples(seed: str, numbers: set[int], many: int, chance: Any) -> None:
    """In any order; and leaving entries out never lets another one in before its turn."""
    listed = list(numbers)
    chance.shuffle(listed)
    drawn = draw(seed, listed, many)

    assert drawn == draw(seed, sorted(numbers), many) == tuple(sorted(drawn))
    assert set(drawn) <= numbers
    assert len(drawn) == min(many, len(numbers))
    left = numbers - set(drawn)
    assert all(rank(seed, one) < rank(seed, other) for one in drawn for other in left)


@req("ATR-02")
def test_the_draw_is_what_its_rule_says_and_another_seed_draws_others() -> None:
    """A worked case, so that an inspector's own program can be compared (design record 0091)."""
    by_hand = sorted(range(100), key=lambda n: hashlib.sha256(
        b"countersign-sample/1\x00" + b"ab" * 32 + b"\x00" + str(n).encode()).digest())[:5]

    assert draw("ab" * 32, range(100), 5) == tuple(sorted(by_hand))
    assert draw("ab" * 32, range(100), 5) != draw("cd" * 32, range(100), 5)


@given(st.lists(st.sampled_from(GRADES), max_size=4), st.sampled_from(CONCLUSIONS))
@req("ATR-02")
def test_a_conclusion_fits_its_findings(grades: list[str], conclusion: str) -> None:
    """A critical finding is never in order, and in order without remark has no finding."""
    found = [Found(5, "accurate", grade, "words") for grade in grades]
    refusal = wrong_with(found, conclusion, "said", 0, 9)

    fits = {"in_order": not grades, "in_order_with_findings": bool(grades) and "critical" not in grades,
            "not_in_order": bool(grades)}
    assert (refusal is None) is fits[conclusion]


# -- opening and signing --------------------------------------------------------------------------------------------


@req("ATR-02", "ATR-03", "SIG-02")
def test_a_review_is_drawn_recorded_and_signed_with_everything_that_was_shown(live: HouseUnderTest) -> None:
    row = opened(live, samples=5)
    entry = live.entries()[row.entry].body
    finding = Found(row.samples[0], "accurate", "minor", "the reason is unclear")
    command = usecases.SignReview(row.review, "in_order_with_findings", "One remark.", (finding,))
    proposal = usecases.sign_review(live.desk, OTHER, command)
    shown = dict(proposal.views[0].lines)
    receipt = live.commit(proposal)
    body = live.entries()[receipt.seq].body

    assert (entry["action"], entry["on_behalf_of"], entry["trial"]) == ("audit_trail.drawn", "qa-2", TRIAL)
    assert tuple(entry["fields"]["samples"]) == row.samples
    assert len(row.samples) == 5
    assert row.seed == root_at(live, row.size)
    assert (body["action"], body["actor"], body["role"], body["trial"]) == (
        "audit_trail.reviewed", "qa-2", "qa_auditor", TRIAL)
    assert body["caused_by"] == body["fields"]["drawn"] == entry["id"]
    assert body["manifest"]["meaning"] == "review"
    assert body["fields"]["findings"] == [{"entry": finding.entry, "category": "accurate", "grade": "minor",
                                           "says": "the reason is unclear"}]
    assert body["manifest"]["view_digest"] == hashlib.sha256(proposal.views[0].document()).hexdigest()
    assert {f"Sample, entry {seq}" for seq in row.samples} <= set(shown)
    assert shown[f"Finding, entry {finding.entry}"] == "accurate, minor: the reason is unclear"
    assert (shown["Conclusion"], shown["Statement"]) == ("in order with findings", "One remark.")
    with live.desk.reading() as session:
        assert usecases.redraw(session, row) == row.samples
        kept = queries.review_named(session, row.review)
    assert (kept.signed_by, kept.conclusion, kept.findings) == ("qa-2", "in_order_with_findings", (finding,))
    with pytest.raises(AlreadyDone):
        concluded(live, row)


def root_at(house: HouseUnderTest, size: int) -> str:
    from audit import proofs, store

    with house.desk.reading() as session:
        return proofs.root_at(store.StoredNodes(session), size).hex()


@req("ATR-03")
def test_nobody_reviews_their_own_deeds(live: HouseUnderTest) -> None:
    """They are left out of the draw and counted; where nothing else is there, the review is refused and recorded."""
    row = opened(live, actor=QA, samples=500)
    with live.desk.reading() as session:
        reader = SessionReader(session)
        people = {line_at(reader, seq).body.get("on_behalf_of", line_at(reader, seq).body["actor"])
                  for seq in row.samples}
    assert people
    assert "qa-auditor" not in people
    assert row.own > 0
    assert row.fitting == row.own + len(row.samples)

    own = next(entry.seq for entry in live.entries() if entry.body["action"] == "charter.approved")
    with pytest.raises(Refused) as refusal:
        opened(live, actor=QA, first=own, last=own)
    assert refusal.value.rule == "F-03"
    assert live.words()[-1] == "action.refused"
    assert opened(live, first=own, last=own).samples == (own,)


@req("ATR-03", "ACC-02")
def test_only_qa_opens_and_only_whoever_opened_signs(live: HouseUnderTest) -> None:
    row = opened(live)
    with pytest.raises(Refused) as refusal:
        concluded(live, row, actor=QA)
    assert refusal.value.rule == "F-04"
    for user in ("trial-lead", "coordinator", "nobody"):
        with pytest.raises(Refused):
            opened(live, actor=Actor(user))
    live.person("reader-7", "qa_auditor", trial="T-OTHER")
    with pytest.raises(Refused):
        opened(live, actor=Actor("reader-7"))


@req("ATR-02", "ACC-02")
def test_a_filter_narrows_and_never_widens(live: HouseUnderTest) -> None:
    """A second `trial:` would mean either; range and trial are their own fields."""
    row = opened(live, filter="action:role.granted", samples=500)
    with live.desk.reading() as session:
        lines = [line_at(SessionReader(session), seq) for seq in row.samples]

    assert {(line.body["action"], line.body["trial"]) for line in lines} == {("role.granted", TRIAL)}
    assert not row.regular
    for wrong in ("trial:T2", "-trial:T2", "seq:0..9", "as-of:9", "nonsense"):
        with pytest.raises(UnusableInput):
            opened(live, filter=wrong)
    wrong_options: tuple[dict[str, Any], ...] = (
        {"first": 9, "last": 3}, {"last": 10**9}, {"samples": 0}, {"samples": 501}, {"first": -1})
    for options in wrong_options:
        with pytest.raises(UnusableInput):
            opened(live, **options)


@req("ATR-02")
def test_a_finding_is_about_what_was_under_review(live: HouseUnderTest) -> None:
    row = opened(live)
    house_entry = 1  # the log key's enrolment: in the range, and not of this trial
    with pytest.raises(NotFound):
        concluded(live, row, conclusion="not_in_order", findings=(Found(house_entry, "other", "major", "x"),))
    with pytest.raises(UnusableInput, match="outside the range"):
        concluded(live, row, conclusion="not_in_order", findings=(Found(row.last + 1, "other", "major", "x"),))


@req("ATR-02")
def test_a_tampered_draw_is_found_by_drawing_again(live: HouseUnderTest) -> None:
    from dataclasses import replace

    row = opened(live, samples=5)
    with live.desk.reading() as session:
        assert usecases.redraw(session, replace(row, seed="00" * 32)) != row.samples
        assert usecases.redraw(session, replace(row, opened_by="trial-lead")) != row.samples or row.own == 0


# -- when it is due -------------------------------------------------------------------------------------------------


@req("ATR-05")
def test_only_a_review_without_gap_and_filter_moves_the_date(live: HouseUnderTest) -> None:
    began = today(live)
    assert (due(live).covered_to, due(live).interval_days, due(live).limit_days) == (began, 90, 10)
    live.clock.advance(days=30)
    concluded(live, opened(live, filter="action:role.*"))
    assert due(live).covered_to == began
    first = opened(live)
    assert due(live).covered_to == began  # drawn is not reviewed
    concluded(live, first)
    assert first.first == 0
    live.clock.advance(days=5)
    signed(live, "imaging-lead", gate_words.DefectSeeded(study="1.2.3"))
    concluded(live, opened(live, first=first.last + 2, last=first.last + 3))
    covered = due(live).covered_to
    assert covered < today(live)  # a gap was left, so it does not count
    following = opened(live)
    concluded(live, following)
    assert following.first == first.last + 1
    assert due(live).covered_to == today(live)


@req("ATR-05", "GAT-06")
def test_an_overdue_review_alarms_and_then_suspends_uses_3_and_4_only(house: HouseUnderTest) -> None:
    build.live(house)
    build.evidence_of_use_1(house)
    house.person("qa-2", "qa_auditor", trial=TRIAL)
    house.person("reader-1", "reader", trial=TRIAL)
    signed(house, "reader-1", TrainingCompleted(sop="SOP-90", version=1, text_sha256=DIGEST, answered=0))
    first = build.opened(house, "qc")
    strata = tuple(("generated", one, 60, "passed") for one in ("volume", "long_axis", "short_axis"))
    build.concluded(house, "PQ", use=3, strata=strata)
    third = third_gate(house)

    def late() -> list[str]:
        return [one.what for one in people_findings(house.house) if "audit-trail review of" in one.what]

    assert gates.enforce(house.desk) == 0
    house.clock.advance(days=91)
    signed(house, "statistician", gate_words.DefectSeeded(study="1.2.3"))
    build.sentinel_answered(house)
    assert gates.enforce(house.desk) == 0
    assert len(late()) == 1
    assert "1 days ago" in late()[0]
    house.clock.advance(days=10)
    build.sentinel_answered(house)
    assert gates.enforce(house.desk) == 1
    suspended = house.entries()[-1].body["fields"]
    assert (suspended["gate"], suspended["cause"]) == (third, "review_overdue")
    with house.desk.reading() as session:
        assert {row.gate: row.state for row in gates_of(session, TRIAL)} == {
            first: "open", f"{TRIAL}-G2-1": "open", third: "suspended"}
        judged = gathering.judged_now(session, TRIAL, 3, "volume", "all", build.LOCK, str(today(house)))
    assert {one.id: one.state for one in judged}["trail_reviewed"] == "open"

    concluded(house, opened(house))

    with house.desk.reading() as session:
        judged = gathering.judged_now(session, TRIAL, 3, "volume", "all", build.LOCK, str(today(house)))
    assert {one.id: one.state for one in judged}["trail_reviewed"] == "met"
    assert late() == []


def third_gate(house: HouseUnderTest) -> str:
    """Gates up to the third open by their own words; what their opening asks for is the matter of other tests."""
    with house.desk.reading() as session:
        there = {row.use for row in gates_of(session, TRIAL)}
    for use, name in ((1, "qc"), (2, "cohort"), (3, "secondary")):
        if use in there:
            continue
        common: dict[str, Any] = {"use": use, "use_name": name, "scope": "all", "lock": build.LOCK, "criteria": (),
                                  "endpoint": "volume" if use == 3 else None}
        gate = f"{TRIAL}-G{use}-1"
        signed(house, "trial-lead", gate_words.GateRequested(gate=gate, model="lesion-at-seed", **common))
        recorded(house, gate_words.GateOpened(gate=gate, signed=(), **common), "gates")
    return gate


# -- at the console -------------------------------------------------------------------------------------------------


@req("ATR-02", "ATR-04")
def test_the_console_opens_shows_signs_lists_and_draws_again(
    live: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_HOME", str(live.home))

    def run(*arguments: str, lines: str = "", code: int = 0) -> str:
        result = CliRunner().invoke(app, ["review-trail", *arguments], input=lines)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output

    said = run("open", "--trial", TRIAL, "--as", "qa-2", "--samples", "3")
    with live.desk.reading() as session:
        (row,) = queries.reviews_of(session)
    assert all(f"{seq:>8}  " in said for seq in row.samples)
    assert row.seed in said
    assert "The 3 samples" in run("redraw", row.review)
    assert "open, qa-2" in run("list")
    proof = live.proof("qa-2")
    wrong = run("sign", row.review, "--as", "qa-2", "--conclusion", "in_order", "--statement", "Fine.", "--finding",
                f"{row.samples[0]}:accurate:minor:odd", code=1)
    assert "With these findings the conclusion is" in wrong
    signed_page = run("sign", row.review, "--as", "qa-2", "--conclusion", "in_order", "--statement", "Fine.",
                      lines=f"review\n{PASSWORD}\n{proof.code}\n")
    assert f"Sample, entry {row.samples[0]}" in signed_page
    assert "audit_trail.reviewed" in signed_page
    assert "in_order, 0 findings, qa-2" in run("list")
    assert "signed by qa-2" in run("show", row.review)

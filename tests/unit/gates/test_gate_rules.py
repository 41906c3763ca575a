"""Order, signers, scope and criteria of gates as pure rules, attacked with random histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gates.criteria import CRITERIA, judge, open_ones
from core.gates.facts import (
    FiledFact,
    GateFacts,
    LockFact,
    ReleaseFact,
    RunInStudy,
    StratumFact,
    ValidationFact,
    WaiverFact,
)
from core.gates.rules import (
    COUNTS_AS_OPENED,
    GATE,
    LAST,
    SUSPENSION_CAUSES,
    GateState,
    Signed,
    order_gap,
    scope_refusal,
    signature_refusal,
    signers_of,
    still_to_sign,
    suspends,
)
from core.gates.sentinels import Watch
from core.gates.statistics import (
    Pair,
    concordance,
    concordance_lower,
    exact_lower_bound,
    largest_difference_percent,
    student_quantile,
    upper_tail_at_most,
)
from core.gates.usecases import lost_precondition
from core.policy.table import TABLE
from core.reviews.rules import Due
from core.trials.charter import Charter
from core.trials.charter_check import read_charter
from core.trials.rules import LIFECYCLES, SUBJECT, TIME_POINT
from tests.req import req

TEXT = (Path(__file__).parents[3] / "countersign" / "demonstration" / "charter.yaml").read_text(encoding="utf-8")
CHARTER = read_charter(TEXT)
uses = st.integers(1, 4)
states = st.sampled_from(sorted(set(GATE.values())))
gates = st.lists(st.builds(
    lambda use, state, entry: GateState(f"G{use}-{entry}", use, None, state, entry), uses, states,
    st.integers(1, 99)), max_size=8)


def full(use: int, charter: Charter = CHARTER) -> GateFacts:
    """Facts under which every criterion of a use is met."""
    endpoint = {3: "volume", 4: "response"}.get(use)
    strata = tuple(StratumFact("generated", one, 60, "passed", "") for one in ("volume", "long_axis", "short_axis"))
    runs = (
        ValidationFact("IQ", "passed", None, None, (), frozenset(), "demonstration", None, 11),
        ValidationFact("OQ", "passed", None, None, (), frozenset(), "demonstration", None, 12),
        ValidationFact("PQ", "passed", 4, None, strata, frozenset({"dice_minus_reader noninferiority"}),
                       "demonstration", None, 13),
    )
    kinds = ("privacy_assessment", "reader_study", "device_determination", "consent_covers_ai", "protocol_names_ai",
             "sap_names_ai", "regulator_advice")
    filed = tuple(
        FiledFact(kind, "regulatory", None, None, "after_own", 40, None, "demonstration", 30 + number)
        for number, kind in enumerate(kinds))
    run_in = tuple(
        RunInStudy(f"S{number}", "101" if number % 2 else "102", number < 30, number < 30, False, (100 + number,))
        for number in range(60))
    pairs = tuple(
        Pair(f"S{number % 12}", Decimal(20 + number), Decimal(20 + number) + Decimal(number % 3) / 10)
        for number in range(60))
    return GateFacts(
        trial="DEMO-301", use=use, endpoint=endpoint, scope="all", lock_id="LCK-1", today="2026-06-01",
        release="0.1.0", stage="live", demonstration=True, charter=charter, charter_entry=5,
        lock=LockFact("LCK-1", "lesion-at-seed", "locked", True, 10), validations=runs,
        releases=(ReleaseFact("0.1.0", "demonstration", 14),), filed=filed,
        gates=tuple(GateState(f"G{one}", one, None, "open", 20 + one) for one in range(1, use)), run_in=run_in,
        pairs=pairs, pair_entries=(200,), able={"qc_technologist": 2, "adjudicator": 1, "reader": 2, "coordinator": 1},
        review=Due("DEMO-301", date(2026, 3, 1), 90, 10, 15),
    )


SPOILED = {
    "charter_names_ai": {"charter_entry": None}, "order": {"gates": ()}, "trial_live": {"stage": "locked"},
    "release": {"release": "0.2.0"}, "lock": {"lock": None}, "lock_iq_oq": {"validations": ()},
    "blinding": {"unblindings": (77,)}, "deviations": {"open_deviations": (78,)},
    "procedures": {"sops_lacking": ("gate.sign",)}, "privacy": {"filed": ()}, "technologists": {"able": {}},
    "run_in_studies": {"run_in": full(2).run_in[:3]}, "run_in_sites": {"run_in": full(2).run_in[1:60:2]},
    "run_in_sensitivity": {"run_in": tuple(replace(one, flagged=False) for one in full(2).run_in)},
    "pq": {"validations": full(2).validations[:2]}, "reader_study": {"filed": ()}, "device_status": {"filed": ()},
    "pq_cases": {"validations": (*full(3).validations[:2], replace(
        full(3).validations[2], strata=tuple(replace(one, subjects=59) for one in full(3).validations[2].strata)))},
    "consent": {"filed": ()}, "same_lock": {"pairs": ()}, "agreement_pairs": {"pairs": full(4).pairs[:5]},
    "noninferiority": {"validations": (*full(4).validations[:2], replace(
        full(4).validations[2], metrics_met=frozenset()))},
    "agreement_subjects": {"pairs": tuple(replace(one, subject="S1") for one in full(4).pairs)},
    "agreement_lower": {"pairs": tuple(replace(one, ai=-one.ai) for one in full(4).pairs)},
    "agreement_difference": {"pairs": tuple(replace(one, ai=one.ai * 3) for one in full(4).pairs)},
    "adjudications": {"open_adjudications": 1}, "protocol_names_ai": {"filed": ()}, "sap_names_ai": {"filed": ()},
    "regulator_advice": {"filed": ()}, "adjudicators": {"able": {}},
    "bridging": {"predecessor": "LCK-0"},
    "amendment": {"amended": ("acquisition",), "impact_entry": None},
    "sentinel": {"sentinel": Watch("LCK-1", date(2026, 1, 1), "declared", 20, date(2026, 1, 1), True, 16)},
    "trail_reviewed": {"review": Due("DEMO-301", date(2026, 2, 19), 90, 10, 15)},
}


@req("GAT-02")
@pytest.mark.parametrize("use", [1, 2, 3, 4])
def test_a_gate_may_open_when_everything_it_asks_for_is_there(use: int) -> None:
    assert [f"{one.id}: {one.found}" for one in open_ones(judge(full(use)))] == []


@req("GAT-02", "GAT-06", "VAL-10")
@pytest.mark.parametrize(("use", "criterion"), [
    (use, row.id) for row in CRITERIA for use in sorted(row.uses) if (use, row.id) != (1, "order")])
def test_no_gate_opens_with_one_criterion_open(use: int, criterion: str) -> None:
    facts = replace(full(use), **SPOILED[criterion])  # type: ignore[arg-type]

    assert criterion in {one.id for one in open_ones(judge(facts))}


#: TRIAL 2, "Never waivable"; order and a live trial are no evidence; what stands in for a measure is not waived either.
NEVER_WAIVABLE = {
    "lock", "lock_iq_oq", "release", "pq", "charter_names_ai", "blinding", "order", "trial_live", "same_lock",
    "bridging", "noninferiority", "protocol_names_ai", "sap_names_ai",
}


@req("GAT-02", "OPS-04")
def test_what_can_never_be_waived_is_the_list_and_two_people_answer_for_the_rest() -> None:
    """A waiver is approved by QA and by the criterion's owner: two roles, so two people."""
    assert {row.id for row in CRITERIA if not row.waivable} == NEVER_WAIVABLE
    assert {row.owner for row in CRITERIA if row.waivable} & {LAST} == set()
    approvers = {role for rule in TABLE if "waiver.approve" in rule.actions and rule.effect == "permit"
                 for role in rule.roles}
    assert {row.owner for row in CRITERIA if row.waivable} <= approvers


def leaving_out(*names: str) -> Charter:
    """The charter with some uses declared not used."""
    lines = []
    for line in TEXT.splitlines():
        name = line.strip().partition(":")[0]
        lines.append(f"  {name}: {{use: not_used, reason: No such use in this trial.}}"
                     if name in names and "use: planned" in line else line)
    text = "\n".join(lines)
    return read_charter(text.replace("ai_display: after_own", "ai_display: none") if "secondary" in names else text)


@req("GAT-01", "GAT-02")
@pytest.mark.parametrize("missing", ["privacy", "device_status", "consent", "pq_cases"])
def test_leaving_a_use_out_leaves_out_none_of_its_evidence(missing: str) -> None:
    """A trial without uses 1 to 3 still needs the privacy assessment, device status and consent for the fourth."""
    alone = leaving_out("qc", "cohort", "secondary")
    facts = replace(full(4), charter=alone, gates=())
    assert open_ones(judge(facts)) == ()

    spoiled = replace(facts, **SPOILED[missing])  # type: ignore[arg-type]
    assert missing in {one.id for one in open_ones(judge(spoiled))}


@req("GAT-02", "VAL-06")
@pytest.mark.parametrize("change", [
    {"evidence_class": "demonstration"}, {"use": 3}, {"endpoint": "volume"}, {"suspect": 70}])
def test_a_pq_that_does_not_support_the_use_shows_nothing_else_of_it(change: dict[str, object]) -> None:
    """Of another class, use or endpoint, or suspect: neither its verdict nor its size nor non-inferiority counts."""
    runs = (*full(4).validations[:2], replace(full(4).validations[2], **change))  # type: ignore[arg-type]
    facts = replace(full(4), validations=runs, demonstration="evidence_class" not in change)

    lacking = {one.id for one in open_ones(judge(facts))}
    assert {"pq", "noninferiority"} <= lacking
    assert ("pq_cases" in lacking) == ("suspect" not in change)


@req("GAT-02", "GAT-04")
def test_a_pq_that_failed_later_takes_back_what_the_earlier_one_showed() -> None:
    passed = full(4).validations[2]
    later = replace(passed, verdict="failed", metrics_met=frozenset(), entry=15, strata=tuple(
        replace(one, verdict="failed") for one in passed.strata))

    facts = replace(full(4), validations=(*full(4).validations, later))
    assert {"pq", "noninferiority"} <= {one.id for one in open_ones(judge(facts))}
    assert lost_precondition(facts, frozenset()) == "validation_suspect"


@req("GAT-02")
@pytest.mark.parametrize(("change", "counts"), [
    ({}, True), ({"display": "first_pass"}, False), ({"lock": "LCK-0"}, False), ({"endpoint": "response"}, False),
    ({"use": 4}, False), ({"cases": 3}, False)])
def test_a_reader_study_counts_in_its_own_display_mode_for_its_own_lock(
    change: dict[str, object], counts: bool
) -> None:
    filed = tuple(replace(one, **change) if one.kind == "reader_study" else one  # type: ignore[arg-type]
                  for one in full(3).filed)

    lacking = {one.id for one in open_ones(judge(replace(full(3), filed=filed)))}
    assert ("reader_study" not in lacking) is counts


@req("GAT-02", "VAL-02")
def test_a_limit_is_a_limit_to_the_last_study() -> None:
    """The charter asks for 4 run-in studies: 4 are enough, 3 are one too few."""
    four = replace(full(2), run_in=full(2).run_in[:4])
    three = replace(four, run_in=four.run_in[:3])

    assert "run_in_studies" not in {one.id for one in open_ones(judge(four))}
    lacking = next(one for one in open_ones(judge(three)) if one.id == "run_in_studies")
    assert (lacking.found, lacking.limit) == ("3 studies", "≥ 4 studies (ships ≥ 50)")


@req("VAL-06", "GAT-02")
def test_demonstration_evidence_counts_nowhere_else() -> None:
    facts = replace(full(1), demonstration=False)

    assert {one.id for one in open_ones(judge(facts))} >= {"release", "lock", "lock_iq_oq", "privacy"}


@req("GAT-02", "OPS-04")
def test_a_waiver_counts_until_its_last_day_and_never_for_what_cannot_be_waived() -> None:
    def waived(criterion: str, until: str) -> str:
        facts = replace(full(1), **SPOILED[criterion], waivers=(  # type: ignore[arg-type]
            WaiverFact("W-1", criterion, until, 90),))
        return next(one.state for one in judge(facts) if one.id == criterion)

    assert waived("privacy", "2026-06-01") == "waived"
    assert waived("privacy", "2026-05-31") == "open"
    for row in CRITERIA:
        if not row.waivable and 1 in row.uses and row.id != "order":
            assert waived(row.id, "2030-01-01") == "open"


@req("GAT-04", "SOP-03")
def test_a_gate_stays_while_one_able_person_is_left_and_falls_with_the_last() -> None:
    """Lapsed training stops that person; the gate only when nobody of a needed role is left (TRIAL 2)."""
    for use, role in ((1, "qc_technologist"), (2, "coordinator"), (3, "reader"), (4, "adjudicator")):
        facts = full(use)
        assert lost_precondition(facts, frozenset()) is None
        assert lost_precondition(replace(facts, able=facts.able | {role: 1}), frozenset()) is None
        assert lost_precondition(replace(facts, able=facts.able | {role: 0}), frozenset()) == "nobody_left"


@req("GAT-04")
def test_a_gate_falls_with_a_revoked_earlier_one_and_not_with_a_halted_one() -> None:
    """A halt stops the uses that its rule names; what was revoked for cause carries nothing."""
    def after(*states: str) -> str | None:
        gates = tuple(GateState(f"G{use}", use, None, state, 20 + use) for use, state in enumerate(states, start=1))
        return lost_precondition(replace(full(3), gates=gates), frozenset())

    assert after("open", "open") is None
    assert after("revoked", "open") is None  # it opened behind the first, and is no weaker for what came later
    assert after("open", "halted") is None
    assert after("open", "suspended") is None
    assert after("open", "revoked") == "earlier_gate_revoked"


@req("GAT-04", "ACC-09")
@pytest.mark.parametrize(("old", "new"), [
    ("scope: all, endpoints: [volume]}", 'scope: "sites:101", endpoints: [volume]}'),
    ("secondary: {use: planned", ""),
    ("model: lesion-at-seed, strata: [generated], scope: all, endpoints: [volume]",
     "model: another-model, strata: [generated], scope: all, endpoints: [volume]"),
])
def test_a_charter_that_no_longer_plans_a_use_as_it_is_open_suspends_it(old: str, new: str) -> None:
    """An amendment in force may leave out the use, or plan it for another model or scope."""
    assert old in TEXT
    charter = leaving_out("secondary") if not new else read_charter(TEXT.replace(old, new, 1))

    assert lost_precondition(full(3), frozenset()) is None
    assert lost_precondition(replace(full(3), charter=charter), frozenset()) == "not_in_charter"


@req("GAT-04")
@pytest.mark.parametrize(
    ("criterion", "cause"),
    [("release", "unreleased_software"), ("lock", "lock_revoked"), ("lock_iq_oq", "validation_suspect"),
     ("deviations", "critical_deviation"), ("run_in_studies", None)],
)
def test_what_is_lost_later_has_its_cause(criterion: str, cause: str | None) -> None:
    facts = replace(full(2), **SPOILED[criterion])  # type: ignore[arg-type]

    assert lost_precondition(facts, frozenset()) == cause
    assert lost_precondition(facts, frozenset({criterion})) == (cause or "waiver_expired")


@given(uses, gates, st.sets(uses))
def test_the_order_of_uses_is_never_skipped(use: int, history: list[GateState], not_used: set[int]) -> None:
    """GAT-01: between a gate and the first, each use is opened or declared not used, down to one that is opened."""
    gap, _ = order_gap(use, dict.fromkeys(not_used, 5), history)

    if gap is None:
        for earlier in range(use - 1, 0, -1):
            opened = any(one.use == earlier and one.state in COUNTS_AS_OPENED for one in history)
            assert opened or earlier in not_used
            if opened:
                break


@given(uses, gates)
def test_a_revoked_or_halted_gate_carries_no_later_one(use: int, history: list[GateState]) -> None:
    stopped = [replace(one, state="revoked") for one in history if one.state in COUNTS_AS_OPENED]

    gap, _ = order_gap(use, {}, [*stopped, *(one for one in history if one.state not in COUNTS_AS_OPENED)])

    assert (gap is None) == (use == 1)


people = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"])
attempts = st.lists(st.tuples(st.sampled_from([*signers_of(4), "reader"]), people), max_size=40)


@given(uses, attempts)
def test_signers_are_distinct_and_qa_is_last(use: int, tries: list[tuple[str, str]]) -> None:
    """GAT-02, SIG-04: whatever is tried in whatever order."""
    signed: list[Signed] = []
    for entry, (role, person) in enumerate(tries):
        if signature_refusal(use, signed, role, person) is None:
            signed.append(Signed(role, person, entry))

    roles = [one.role for one in signed]
    assert set(roles) <= set(signers_of(use))
    assert len(set(roles)) == len(roles) == len({one.person for one in signed})
    if LAST in roles:
        assert roles[-1] == LAST
        assert still_to_sign(use, signed) == ()


@req("GAT-02")
def test_the_signers_are_those_of_the_table() -> None:
    assert signers_of(1) == ("trial_lead", "qa_auditor")
    assert signers_of(2) == ("trial_lead", "validation_lead", "qa_auditor")
    assert signers_of(3) == ("trial_lead", "validation_lead", "statistician", "imaging_lead", "qa_auditor")
    assert signers_of(4) == ("trial_lead", "validation_lead", "statistician", "imaging_lead", "medical_monitor",
                             "regulatory", "qa_auditor")


@req("ACC-09", "GAT-01")
def test_an_arm_scope_is_refused_where_it_tells_the_arm() -> None:
    both = frozenset({"statistician", "qa_auditor"})
    free = read_charter(TEXT.replace("readers_blind_depends_on_arm: true", "readers_blind_depends_on_arm: false")
                        .replace("scope: all, endpoints: [volume]", 'scope: "arm:A", endpoints: [volume]'))

    assert "readers' blind" in (scope_refusal(CHARTER, 3, "arm:A", both) or "")
    assert "signed by qa auditor, statistician" in (scope_refusal(free, 3, "arm:A") or "")
    assert scope_refusal(free, 3, "arm:A", both) is None
    assert "no arm Z" in (scope_refusal(free, 3, "arm:Z", both) or "")
    assert scope_refusal(CHARTER, 1, "sites:101,102") is None
    assert scope_refusal(CHARTER, 1, "sites:101,999") is not None
    assert scope_refusal(CHARTER, 1, "everything") is not None


@req("ACC-09", "GAT-02")
@pytest.mark.parametrize(("change", "met"), [
    ({}, True), ({"use": 4}, False), ({"evidence_class": "demonstration"}, False), ({"role": "trial_lead"}, False)])
def test_why_an_arm_scope_is_needed_is_signed_for_this_use_by_both(change: dict[str, object], met: bool) -> None:
    charter = read_charter(TEXT.replace("readers_blind_depends_on_arm: true", "readers_blind_depends_on_arm: false")
                           .replace("scope: all, endpoints: [volume]", 'scope: "arm:A", endpoints: [volume]'))
    reasons = [FiledFact("arm_scope_reason", role, 3, None, None, None, None, "clinical", 50)
               for role in ("statistician", "qa_auditor")]
    reasons[0] = replace(reasons[0], **change)  # type: ignore[arg-type]
    facts = replace(full(3, charter), scope="arm:A", filed=tuple(reasons), demonstration=False)

    assert ("blinding" not in {one.id for one in open_ones(judge(facts))}) is met


@req("GAT-04", "ATR-05")
def test_an_overdue_review_closes_uses_3_and_4_and_a_wrong_digest_all() -> None:
    assert [use for use in (1, 2, 3, 4) if suspends("review_overdue", use)] == [3, 4]
    assert all(suspends("digest_mismatch", use) for use in (1, 2, 3, 4))
    assert all(cause.says.endswith(".") for cause in SUSPENSION_CAUSES.values())


@req("VAL-10")
@pytest.mark.parametrize(
    ("found", "of", "bound"), [(58, 60, "0.884"), (2, 2, "0.158"), (0, 5, "0.000"), (5, 5, "0.478")])
def test_exact_bounds_are_those_of_the_tables(found: int, of: int, bound: str) -> None:
    assert exact_lower_bound(found, of, Decimal(95)) == Decimal(bound)


@given(st.integers(1, 40), st.data())
def test_the_exact_bound_is_judged_as_it_is_printed(of: int, data: st.DataObject) -> None:
    found = data.draw(st.integers(0, of))
    bound = exact_lower_bound(found, of, Decimal(95))

    assert upper_tail_at_most(found, of, bound, Decimal("0.025"))
    assert not upper_tail_at_most(found, of, bound + Decimal("0.001"), Decimal("0.025"))
    assert bound <= Decimal(found) / of


@req("VAL-10")
def test_agreement_is_clustered_by_subject() -> None:
    """Pairs of one subject are alike: the bound with them as clusters is lower than with each on its own."""
    pairs = [
        Pair(f"S{subject}", Decimal(20 + 10 * subject + one), Decimal(20 + 10 * subject + one + 4 * (-1) ** subject))
        for subject in range(5) for one in range(4)
    ]
    alone = [replace(one, subject=str(number)) for number, one in enumerate(pairs)]

    clustered, naive = concordance_lower(pairs, Decimal(95)), concordance_lower(alone, Decimal(95))
    assert clustered is not None
    assert naive is not None
    assert clustered < naive < Decimal(repr(concordance(pairs)))
    assert concordance_lower(pairs[:8], Decimal(95)) is None


def test_agreement_numbers_are_known_ones() -> None:
    """Student's t and limits of agreement against printed values (t(0.975; 2) = 4.3027, t(0.975; 10) = 2.2281)."""
    assert round(student_quantile(0.975, 2), 4) == 4.3027
    assert round(student_quantile(0.975, 10), 4) == 2.2281
    same = [Pair(one, Decimal(human), Decimal(human) * 11 / 10) for one, human in (("a", 10), ("b", 20), ("c", 30))]
    assert largest_difference_percent(same, Decimal(95)) == Decimal("9.524")


@given(st.sampled_from(sorted(LIFECYCLES)), st.lists(st.sampled_from(sorted(
    {word for table in LIFECYCLES.values() for _, word in table})), max_size=20))
def test_ended_lives_stay_ended(kind: str, words: list[str]) -> None:
    table, state, ended = LIFECYCLES[kind], None, False
    for word in words:
        after = table.get((state, word))
        ended = ended or state in ("completed", "died", "closed", "frozen", "superseded")
        assert not (ended and after is not None)
        state = after or state


def test_a_screen_failure_is_never_enrolled_and_a_late_scan_of_a_missed_time_point_is_received() -> None:
    assert ("screen_failed", "subject.enrolled") not in SUBJECT
    assert TIME_POINT["missed", "time_point.received"] == "received"

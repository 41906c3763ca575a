"""What each criterion prints and where it points, on either side of what it asks for: board and entry show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from core.gates.bridging import Plan
from core.gates.criteria import BY_ID, CRITERIA, Judged, judge, open_ones
from core.gates.facts import FiledFact, GateFacts, LockFact, ReleaseFact, RunInStudy, ValidationFact, WaiverFact
from core.gates.sentinels import Watch
from core.gates.statistics import Pair
from core.reviews.rules import Due
from core.trials.charter_check import read_charter
from tests.req import req
from tests.unit.gates.test_gate_rules import CHARTER, SPOILED, TEXT, full

UNPLANNED = read_charter(TEXT.replace(
    "qc: {use: planned, model: lesion-at-seed, strata: [generated], scope: all}",
    "qc: {use: not_used, reason: Quality is checked by people alone in this trial.}"))


def found(facts: GateFacts, criterion: str) -> Judged:
    return next(one for one in judge(facts) if one.id == criterion)


def run(kind: str, verdict: str = "passed", entry: int = 60, **more: Any) -> ValidationFact:
    fields: dict[str, Any] = {"use": None, "endpoint": None, "strata": (), "metrics_met": frozenset(),
                              "evidence_class": "demonstration", "suspect": None}
    return ValidationFact(kind=kind, verdict=verdict, entry=entry, **(fields | more))


IQ, OQ, PQ = full(4).validations


@req("GAT-02")
@pytest.mark.parametrize("use", [1, 2, 3, 4])
def test_every_criterion_says_what_was_found_and_what_was_wanted(use: int) -> None:
    """Met or open, with all facts and with as good as none: no cell of the board is ever empty."""
    bare = GateFacts(trial="T-1", use=use, endpoint=None, scope="all", lock_id="LCK-9", today="2026-06-01",
                     release="9.9", stage="set_up", demonstration=False)
    for facts in (full(use), bare, replace(bare, charter=CHARTER), *(
            replace(full(use), **SPOILED[row.id])  # type: ignore[arg-type]
            for row in CRITERIA if use in row.uses)):
        judged = judge(facts)
        assert [one.id for one in judged] == [row.id for row in CRITERIA if use in row.uses]
        for one in judged:
            row = BY_ID[one.id]
            assert one.found.strip()
            assert one.limit.strip()
            assert (one.title, one.owner, one.waivable) == (row.title, row.owner, row.waivable)
            assert all(isinstance(entry, int) for entry in one.entries)
            assert one.entries == tuple(sorted(set(one.entries)))


@req("GAT-02")
@pytest.mark.parametrize(("use", "criterion", "said", "entries"), [
    (1, "charter_names_ai", "charter 1.0 names lesion-at-seed", (5,)), (1, "trial_live", "stage live", (3,)),
    (1, "release", "0.1.0 is released", (14,)), (1, "lock", "LCK-1 of lesion-at-seed", (10,)),
    (1, "lock_iq_oq", "IQ and OQ passed", (11, 12)), (1, "deviations", "0 open", ()),
    (1, "blinding", "design open_label, scope all", (5,)), (1, "procedures", "all effective", (8, 9)),
    (1, "order", "in order", ()), (3, "order", "in order", (22,)), (1, "privacy", "on file", (30,)),
    (1, "technologists", "2 people", (6, 7)), (2, "run_in_studies", "60 studies", tuple(range(100, 160))),
    (2, "run_in_sites", "2 sites", (100, 101)), (2, "run_in_sensitivity",
     "30 of 30 flagged, exact lower bound 0.884", tuple(range(100, 130))), (2, "pq", "passed", (13,)),
    (3, "pq_cases", "60 cases", (13,)), (3, "reader_study", "40 cases", (31,)), (4, "adjudications", "0 open", ()),
    (4, "noninferiority", "shown", (13,)),
    (4, "same_lock", "60 values of LCK-1 beside human marks", tuple(range(200, 220))),
    (4, "agreement_pairs", "60 pairs", tuple(range(200, 220))),
    (4, "agreement_subjects", "12 subjects", tuple(range(200, 220))), (4, "adjudicators", "1 person", (4,)),
    (3, "bridging", "the first lock of this endpoint", ()), (4, "protocol_names_ai", "on file", (34,)),
    (1, "sentinel", "the watch begins when the first gate of this lock opens", ()),
    (1, "amendment", "the charter in force changed nothing that concerns imaging", ()),
    (3, "trail_reviewed", "2 days overdue", (15,)),
])
def test_what_is_met_points_to_the_entries_that_show_it(
    use: int, criterion: str, said: str, entries: tuple[int, ...]
) -> None:
    facts = replace(
        full(use), live_entry=3, sop_entries=(9, 8), able_entries={"qc_technologist": (7, 6), "adjudicator": (4,)},
        pair_entries=tuple(range(200, 260)))

    one = found(facts, criterion)

    assert (one.state, one.found, one.entries) == ("met", said, entries)


def _limits(**values: str) -> Any:
    """The charter with other numbers."""
    return CHARTER.model_copy(update={"limits": CHARTER.limits | {
        name: CHARTER.limits[name].model_copy(update={"value": Decimal(value)}) for name, value in values.items()}})


def _without_limits(*names: str) -> Any:
    return CHARTER.model_copy(update={"limits": {
        name: one for name, one in CHARTER.limits.items() if name not in names}})


@req("GAT-02", "VAL-02")
@pytest.mark.parametrize(("use", "criterion", "limit"), [
    (2, "run_in_studies", "≥ 4 studies (ships ≥ 50)"), (2, "run_in_sites", "≥ 2 sites"),
    (1, "technologists", "≥ 1 person (ships ≥ 2)"), (3, "pq_cases", "≥ 60 cases"),
    (4, "agreement_difference", "≤ 60 % (ships ≤ 20)"), (4, "agreement_lower", "≥ 0.30 (ships ≥ 0.70)"),
    (1, "order", "first gate"), (3, "order", "gate 2 open or use not_used"),
    (2, "order", "gate 1 open or use not_used"),
    (1, "release", "installation 0.1.0 released after IQ and OQ"),
    (3, "pq", "PQ passed on the bound for volume in generated"),
    (4, "pq", "PQ passed on the bound for long_axis, short_axis in generated"),
])
def test_what_is_wanted_is_printed_with_its_unit_and_what_ships(use: int, criterion: str, limit: str) -> None:
    assert found(full(use), criterion).limit == limit


@req("GAT-02", "VAL-02")
@pytest.mark.parametrize(("use", "criterion", "name"), [
    (1, "technologists", "trained_technologists"), (2, "run_in_studies", "run_in_studies"),
    (2, "run_in_sensitivity", "run_in_sensitivity_lower"), (3, "pq_cases", "validation_cases"),
    (3, "reader_study", "reader_study_cases"), (4, "agreement_lower", "agreement_lower"),
    (4, "agreement_difference", "agreement_difference_percent"),
])
def test_a_number_that_the_charter_does_not_state_is_never_met(use: int, criterion: str, name: str) -> None:
    one = found(full(use, _without_limits(name)), criterion)

    assert (one.state, one.limit) == ("open", f"the charter states no {name}")


@req("GAT-02", "VAL-02")
@pytest.mark.parametrize(("use", "criterion", "name", "met", "too_much"), [
    (1, "technologists", "trained_technologists", "2", "3"), (2, "run_in_studies", "run_in_studies", "60", "61"),
    (2, "run_in_sites", "run_in_sites", "2", "3"),
    (2, "run_in_sensitivity", "run_in_sensitivity_lower", "0.884", "0.885"),
    (3, "pq_cases", "validation_cases", "60", "61"), (3, "reader_study", "reader_study_cases", "40", "41"),
    (4, "agreement_pairs", "agreement_pairs", "60", "61"), (4, "agreement_subjects", "agreement_subjects", "12", "13"),
    (4, "adjudicators", "adjudicators", "1", "2"),
])
def test_each_number_is_met_exactly_at_its_limit(
    use: int, criterion: str, name: str, met: str, too_much: str
) -> None:
    assert found(full(use, _limits(**{name: met})), criterion).state == "met"
    assert found(full(use, _limits(**{name: too_much})), criterion).state == "open"


@req("GAT-02", "VAL-10")
def test_bounds_are_taken_at_the_confidence_of_the_charter() -> None:
    """A wider interval has a lower bound; without a stated confidence there is no bound at all."""
    for use, criterion in ((2, "run_in_sensitivity"), (4, "agreement_lower"), (4, "agreement_difference")):
        one = found(full(use, _without_limits("confidence_percent")), criterion)
        assert one.state == "open"
        assert one.found in ("too few to tell", "no truly defective study")
    assert "bound 0.838" in found(full(2, _limits(confidence_percent="99")), "run_in_sensitivity").found


@req("GAT-02")
def test_seeded_defects_are_told_apart_and_count_for_nothing() -> None:
    seeded = tuple(RunInStudy(f"X{number}", "101", True, number == 0, True, (300 + number,)) for number in range(3))
    facts = full(2)
    alone = replace(facts, run_in=seeded)
    beside = found(replace(facts, run_in=(*facts.run_in, *seeded)), "run_in_sensitivity")

    assert beside.found == "30 of 30 flagged, exact lower bound 0.884; seeded apart: 1 of 3"
    assert max(beside.entries) < 300
    assert (found(alone, "run_in_sensitivity").state, found(alone, "run_in_sensitivity").found) == (
        "open", "no truly defective study; seeded apart: 1 of 3")


@req("GAT-02", "VAL-06")
@pytest.mark.parametrize(("change", "said", "entries"), [
    ({"releases": ()}, "nothing is released", ()),
    ({"releases": (ReleaseFact("0.0.9", "study", 14),)}, "0.0.9 is released", ()),
    ({"releases": (ReleaseFact("0.1.0", "study", 14), ReleaseFact("0.1.0", "demonstration", 15)),
      "demonstration": False}, "the release is of class demonstration", (15,)),
    ({"releases": (ReleaseFact("0.1.0", "demonstration", 14, suspect=40),)},
     "0.1.0 is released, but on a run that is suspect", (40,)),
])
def test_the_last_release_of_what_runs_is_the_one_that_counts(
    change: dict[str, Any], said: str, entries: tuple[int, ...]
) -> None:
    one = found(replace(full(1), **change), "release")

    assert (one.state, one.found, one.entries, one.cause) == ("open", said, entries, "unreleased_software")


@req("GAT-02", "MLK-08")
@pytest.mark.parametrize(("state", "demonstration", "said"), [
    ("retired", True, "LCK-1 is retired"), ("recalled", True, "LCK-1 is recalled"),
    ("locked", False, "the lock is of class demonstration"),
])
def test_a_lock_that_ended_or_belongs_elsewhere_opens_nothing(state: str, demonstration: bool, said: str) -> None:
    facts = replace(full(1), lock=LockFact("LCK-1", "lesion-at-seed", state, True, 10), demonstration=demonstration)

    assert (found(facts, "lock").state, found(facts, "lock").found, found(facts, "lock").entries) == (
        "open", said, (10,))


@req("GAT-02", "MLK-08")
def test_a_superseded_lock_and_one_of_the_trials_own_class_are_valid() -> None:
    superseded = replace(full(1), lock=LockFact("LCK-1", "lesion-at-seed", "superseded", True, 10))
    own = replace(full(1), lock=LockFact("LCK-1", "lesion-at-seed", "locked", False, 10), demonstration=False)

    assert found(superseded, "lock").state == found(own, "lock").state == "met"
    assert found(replace(full(1), lock=None), "lock").found == "no lock LCK-1"


@req("GAT-02", "VAL-03")
@pytest.mark.parametrize(("runs", "said", "entries"), [
    ((), "IQ not run; OQ not run", ()), ((IQ,), "OQ not run", (11,)), ((OQ,), "IQ not run", (12,)),
    ((IQ, OQ, run("OQ", "failed", 50)), "OQ failed", (11, 50)),
    ((IQ, OQ, run("IQ", suspect=77, entry=51)), "IQ suspect since entry 77", (12, 51)),
    ((run("IQ", "failed", 9), run("OQ", "failed", 8)), "IQ failed; OQ failed", (8, 9)),
])
def test_the_last_iq_and_oq_of_the_lock_are_the_ones_that_count(
    runs: tuple[ValidationFact, ...], said: str, entries: tuple[int, ...]
) -> None:
    one = found(replace(full(1), validations=runs), "lock_iq_oq")

    assert (one.state, one.found, one.entries) == ("open", said, entries)
    again = replace(full(1), validations=(run("IQ", "failed", 9), run("OQ", "failed", 8), IQ, OQ))
    assert found(again, "lock_iq_oq").state == "met"


def _stratum(number: int, **change: Any) -> ValidationFact:
    strata = [*PQ.strata]
    strata[number] = replace(strata[number], **change)
    return replace(PQ, strata=tuple(strata))


@req("GAT-02", "VAL-10")
@pytest.mark.parametrize(("use", "runs", "said", "entries"), [
    (3, (IQ, OQ), "no PQ that supports this use is concluded", ()),
    (3, (replace(PQ, use=2),), "no PQ that supports this use is concluded", ()),
    (3, (replace(PQ, use=None),), "no PQ that supports this use is concluded", ()),
    (3, (replace(PQ, endpoint="response"),), "no PQ that supports this use is concluded", ()),
    (3, (PQ, replace(PQ, suspect=55, entry=54)), "the PQ is suspect since entry 55", (54, 55)),
    (3, (_stratum(0, verdict="too_few", says="12 of 60"),), "volume in generated: too few: 12 of 60", (13,)),
    (3, (_stratum(0, stratum="other"),), "volume in generated: not judged", (13,)),
    (4, (_stratum(2, verdict="failed"),), "short_axis in generated: failed", (13,)),
    (3, (PQ, replace(_stratum(0, verdict="failed"), entry=58)), "volume in generated: failed", (58,)),
])
def test_the_last_pq_that_supports_the_use_decides_by_every_stratum_and_measure(
    use: int, runs: tuple[ValidationFact, ...], said: str, entries: tuple[int, ...]
) -> None:
    one = found(replace(full(use), validations=runs), "pq")

    assert (one.state, one.found, one.entries) == ("open", said, entries)


@req("GAT-02", "VAL-10")
def test_a_pq_of_a_later_use_of_this_endpoint_or_of_no_endpoint_supports_an_earlier_one() -> None:
    for pq in (PQ, replace(PQ, endpoint="volume"), replace(PQ, use=3), _stratum(1, verdict="failed")):
        assert found(replace(full(3), validations=(replace(PQ, endpoint="response", entry=1), pq)), "pq").state == "met"


@req("GAT-02", "VAL-10")
def test_the_smallest_stratum_of_what_the_use_measures_is_the_size_of_a_pq() -> None:
    def cases(*runs: ValidationFact) -> tuple[str, tuple[int, ...]]:
        one = found(replace(full(3), validations=runs), "pq_cases")
        return one.found, one.entries

    assert cases(_stratum(0, subjects=59)) == ("59 cases", (13,))
    assert cases(_stratum(1, subjects=2)) == ("60 cases", (13,))
    assert cases(_stratum(0, stratum="other")) == ("0 cases", (13,))
    assert cases(IQ, OQ) == cases(replace(PQ, use=2)) == ("no PQ", ())
    assert cases(_stratum(0, subjects=70), replace(_stratum(0, subjects=80), entry=66)) == ("80 cases", (66,))


@req("GAT-02", "VAL-06")
def test_nothing_of_class_demonstration_shows_anything_in_another_trial() -> None:
    """Each of the rows that look at runs and files, one by one (VAL-06)."""
    facts = replace(full(4), demonstration=False)
    study = replace(
        facts, validations=tuple(replace(one, evidence_class="study") for one in facts.validations),
        filed=tuple(replace(one, evidence_class="study") for one in facts.filed))

    for criterion in ("lock_iq_oq", "pq", "pq_cases", "noninferiority", "protocol_names_ai", "sap_names_ai"):
        assert (criterion, found(facts, criterion).state) == (criterion, "open")
        assert (criterion, found(study, criterion).state) == (criterion, "met")
    third = replace(full(3), demonstration=False)
    assert found(third, "reader_study").state == "open"


def _filed(kind: str, **more: Any) -> FiledFact:
    fields: dict[str, Any] = {"role": "statistician", "use": None, "endpoint": None, "display": None, "cases": None,
                              "lock": None, "evidence_class": "demonstration", "entry": 88}
    return FiledFact(kind=kind, **(fields | more))


@req("GAT-02")
@pytest.mark.parametrize(("filed", "state"), [
    (_filed("noninferiority_assessment"), "met"), (_filed("noninferiority_assessment", endpoint="response"), "met"),
    (_filed("noninferiority_assessment", endpoint="volume"), "open"),
    (_filed("noninferiority_assessment", use=4, lock="LCK-1"), "met"),
    (_filed("noninferiority_assessment", use=3), "open"), (_filed("noninferiority_assessment", lock="LCK-0"), "open"),
    (_filed("another"), "open"),
])
def test_an_assessment_on_file_counts_for_its_own_use_endpoint_and_lock(filed: FiledFact, state: str) -> None:
    facts = replace(full(4), filed=(filed,), validations=(IQ, OQ))

    one = found(facts, "noninferiority")
    assert (one.state, one.found) == (state, "shown" if state == "met" else "not shown")
    assert one.entries == ((88,) if state == "met" else ())


@req("GAT-02", "VAL-10")
def test_a_suspect_pq_or_one_that_met_something_else_shows_no_noninferiority() -> None:
    for pq in (replace(PQ, suspect=50), replace(PQ, metrics_met=frozenset({"dice_minus_reader superiority"})),
               replace(PQ, kind="OQ")):
        assert found(replace(full(4), validations=(pq,)), "noninferiority").state == "open"


@req("GAT-02")
@pytest.mark.parametrize(("filed", "said"), [
    ((_filed("reader_study", display="after_own", cases=4),), "4 cases"),
    ((_filed("reader_study", display="after_own", cases=9), _filed("reader_study", display="after_own", cases=7)),
     "7 cases"),
    ((_filed("reader_study", display="after_own"),), "0 cases"),
    ((_filed("reader_study", display="beside", cases=9),), "no reader study in display mode after_own"),
    ((_filed("reader_study", display="after_own", cases=9, endpoint="response"),),
     "no reader study in display mode after_own"),
    ((_filed("another", display="after_own", cases=9),), "no reader study in display mode after_own"),
])
def test_a_reader_study_counts_in_the_display_mode_of_the_endpoint(filed: tuple[FiledFact, ...], said: str) -> None:
    one = found(replace(full(3), filed=filed), "reader_study")

    assert one.found == said
    assert one.entries == (() if said.startswith("no ") else (88,))


@req("GAT-02")
@pytest.mark.parametrize(("change", "said"), [
    ({"charter": None}, "no approved charter"), ({"charter_entry": None}, "no approved charter"),
    ({"charter": UNPLANNED}, "the charter declares not_used"),
    ({"lock": LockFact("LCK-1", "other-model", "locked", True, 10)},
     "the charter names model lesion-at-seed, the lock is of other-model"),
])
def test_a_use_model_or_endpoint_that_no_charter_names_opens_nothing(change: dict[str, Any], said: str) -> None:
    one = found(replace(full(1), **change), "charter_names_ai")

    assert (one.state, one.found) == ("open", said)
    assert one.limit == "signed charter plans use 1 (qc) with this model, endpoint and scope"
    elsewhere = found(replace(full(3), endpoint="response"), "charter_names_ai")
    assert (elsewhere.state, elsewhere.found) == (
        "open", "the charter does not name endpoint response for this use")


@req("GAT-02")
def test_an_amendment_waits_for_its_impact() -> None:
    amended = replace(full(1), amended=("acquisition", "reading"))
    done = found(replace(amended, impact_entry=9), "amendment")
    missing = found(amended, "amendment")

    assert (done.state, done.found, done.entries) == (
        "met", "charter 1.0 changes acquisition, reading; impact signed", (9,))
    assert (missing.state, missing.found, missing.entries, missing.cause) == (
        "open", "charter 1.0 changes acquisition, reading; no impact is signed", (5,), "amendment_without_impact")
    assert found(replace(amended, charter_entry=None), "amendment").entries == ()
    assert found(replace(amended, charter=None), "amendment").state == "met"


@req("GAT-01")
def test_a_use_that_is_not_used_carries_the_next_one_by_the_charters_entry() -> None:
    second = found(replace(full(2, UNPLANNED), gates=()), "order")
    unapproved = found(replace(full(2, UNPLANNED), gates=(), charter_entry=None), "order")

    assert (second.state, second.found, second.entries) == ("met", "in order", (5,))
    assert (unapproved.state, unapproved.found) == (
        "open", "Gate 1 (qc) is not open, and the charter does not say not_used.")


@req("GAT-02", "ACC-09")
def test_an_unblinding_that_is_not_resumed_and_an_arm_that_is_told_keep_gates_shut() -> None:
    halted = found(replace(full(3), unblindings=(77, 78)), "blinding")
    arm = found(replace(full(3), scope="arm:A"), "blinding")

    assert (halted.state, halted.found, halted.entries) == (
        "open", "2 halts for unblinding are not resumed", (77, 78))
    assert arm.state == "open"
    assert "readers' blind" in arm.found
    assert found(replace(full(3), charter=None), "blinding").found == "no approved charter"


@req("GAT-02")
def test_deviations_procedures_and_adjudications_are_counted_and_named() -> None:
    facts = replace(full(4), open_deviations=(71, 70), sops_lacking=("gate.sign", "read.seal"), open_adjudications=2)

    assert (found(facts, "deviations").found, found(facts, "deviations").entries) == ("2 open", (70, 71))
    assert found(facts, "procedures").found == "no effective procedure governs gate.sign, read.seal"
    assert found(facts, "adjudications").found == "2 open"
    assert {one.id for one in open_ones(judge(facts))} >= {"deviations", "procedures", "adjudications"}


def _watch(**more: Any) -> Watch:
    fields: dict[str, Any] = {"lock": "LCK-1", "watched_from": date(2026, 1, 1), "declared": "entry", "number": 20,
                              "checked_on": date(2026, 5, 31), "same": True, "entry": 16}
    return Watch(**(fields | more))


@req("GAT-04", "MLK-02")
@pytest.mark.parametrize(("watch", "state", "said"), [
    (_watch(), "met", "20 cases, 0 days missed"),
    (_watch(checked_on=date(2026, 5, 28)), "met", "20 cases, 3 days missed"),
    (_watch(checked_on=date(2026, 5, 27)), "open", "20 cases, 4 days missed"),
    (_watch(same=False), "open", "the last answer differed"),
    (_watch(number=19), "open", "19 cases, 150 days missed"),
    (_watch(declared=None, checked_on=None, number=0, same=None, watched_from=date(2026, 5, 31)), "met",
     "no set, 0 days missed"),
    (_watch(declared=None, checked_on=None, number=0, same=None), "open", "no set, 150 days missed"),
])
def test_a_sentinel_set_is_met_to_the_last_day_that_may_be_missed(watch: Watch, state: str, said: str) -> None:
    one = found(replace(full(1), sentinel=watch, sentinel_limits=(20, 3)), "sentinel")

    assert (one.state, one.found, one.entries) == (state, said, (16,))
    assert one.limit == "a set of at least 20 cases is answered bit-equal every day, at most 3 days missed"


@req("MLK-02")
def test_a_set_is_due_once_a_day_from_when_it_is_declared() -> None:
    today = date(2026, 6, 1)

    assert _watch().due(today)
    assert _watch(checked_on=None).due(today)
    assert not _watch(checked_on=today).due(today)
    assert not _watch(declared=None, checked_on=None).due(today)


def _plan(**more: Any) -> Plan:
    fields: dict[str, Any] = {
        "plan": "BRG-1", "trial": "DEMO-301", "use": "secondary", "endpoint": "volume", "from_lock": "LCK-0",
        "to_lock": "LCK-1", "strategy": "recompute", "planned_by": "statistician", "validation_lead_by": "v",
        "qa_auditor_by": "q", "verdict": "passed", "judged_entry": 45, "entry_id": "id", "entry": 44}
    return Plan(**(fields | more))


@req("GAT-02", "MLK-08")
@pytest.mark.parametrize(("plan", "state", "said", "entries"), [
    (None, "open", "no plan bridges from LCK-0", ()), (_plan(), "met", "plan BRG-1: passed", (44, 45)),
    (_plan(validation_lead_by=None), "open", "plan BRG-1 is not signed by all", (44, 45)),
    (_plan(qa_auditor_by=None), "open", "plan BRG-1 is not signed by all", (44, 45)),
    (_plan(verdict=None, judged_entry=None), "open", "plan BRG-1: not judged", (44,)),
    (_plan(verdict="too_few"), "open", "plan BRG-1: too few", (44, 45)),
])
def test_a_changed_lock_is_bridged_by_a_plan_that_all_signed_and_that_passed(
    plan: Plan | None, state: str, said: str, entries: tuple[int, ...]
) -> None:
    one = found(replace(full(3), predecessor="LCK-0", bridging=plan), "bridging")

    assert (one.state, one.found, one.entries) == (state, said, entries)


@req("GAT-02", "OPS-04")
def test_a_waiver_is_shown_where_it_is_needed_and_no_longer() -> None:
    waiver = WaiverFact("W-1", "privacy", "2026-06-01", 90)
    lacking = replace(full(1), filed=(), waivers=(waiver,))

    waived, met = found(lacking, "privacy"), found(replace(full(1), waivers=(waiver,)), "privacy")

    assert (waived.state, waived.waiver, waived.entries) == ("waived", "W-1", (90,))
    assert (met.state, met.waiver, met.entries) == ("met", None, (30,))
    assert found(replace(full(1), open_deviations=(78,), waivers=(replace(waiver, criterion="deviations"),)),
                 "deviations").entries == (78, 90)


@req("SIG-09", "GAT-04")
def test_what_rests_on_suspect_entries_counts_for_nothing_and_says_so() -> None:
    """Where other evidence stands in, nothing is lost; a doubted waiver waives nothing."""
    facts = replace(full(1), pairs=(), pair_entries=(), suspect=frozenset({30}))
    one = found(facts, "privacy")
    other = found(replace(facts, filed=(*facts.filed, replace(facts.filed[0], entry=41))), "privacy")
    lacking = replace(facts, filed=(), waivers=(WaiverFact("W-1", "privacy", "2026-07-01", 90),),
                      suspect=frozenset({90}))

    assert (one.state, one.found, one.entries, one.cause) == (
        "open", "on file; rests on suspect entries 30", (30,), "suspect_signature")
    assert (other.state, other.entries, other.cause) == ("met", (41,), None)
    assert (found(lacking, "privacy").state, found(lacking, "privacy").cause, found(lacking, "privacy").waiver) == (
        "open", "suspect_signature", None)
    missing = found(replace(facts, filed=(), suspect=frozenset({30})), "privacy")
    assert (missing.state, missing.found, missing.cause) == ("open", "not filed", None)


@req("SIG-09", "GAT-04")
def test_suspect_entries_are_taken_out_of_every_list_of_evidence() -> None:
    facts = replace(
        full(4), pairs=tuple(Pair(f"S{n}", Decimal(n), Decimal(n)) for n in range(3)), pair_entries=(200, 201, 202),
        able_entries={"adjudicator": (4, 6), "reader": (7,)}, run_in=full(2).run_in[:3],
        suspect=frozenset({200, 4, 7, 11, 14, 30, 101}))

    left = facts.trusted()

    assert (left.pair_entries, [one.subject for one in left.pairs]) == ((201, 202), ["S1", "S2"])
    assert (left.able, left.able_entries) == ({"adjudicator": 1, "reader": 0}, {"adjudicator": (6,), "reader": ()})
    assert [one.entry for one in left.validations] == [12, 13]
    assert left.releases == ()
    assert 30 not in {one.entry for one in left.filed}
    assert len(left.filed) == len(facts.filed) - 1
    assert [one.entries for one in left.run_in] == [(100,), (102,)]
    assert (left.charter, left.lock, left.suspect) == (facts.charter, facts.lock, facts.suspect)
    with pytest.raises(ValueError, match="zip"):
        replace(facts, pair_entries=(200,)).trusted()


@req("ATR-05", "GAT-04")
def test_reviews_are_in_time_to_the_last_day() -> None:
    def at(covered: date) -> Judged:
        return found(replace(full(3), review=Due("DEMO-301", covered, 90, 10, 15)), "trail_reviewed")

    assert at(date(2026, 2, 21)).state == "met"
    assert at(date(2026, 2, 20)).state == "open"
    assert at(date(2026, 2, 20)).cause == "review_overdue"
    assert found(replace(full(3), review=None), "trail_reviewed").found == "the trial is not live yet, or closed"

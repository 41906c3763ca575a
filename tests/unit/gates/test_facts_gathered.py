"""The facts of one opening are those that the words of every room left, for this trial, use and lock."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from audit.vocabulary import amendments, drift, sops, validation
from audit.vocabulary import bridging as plans
from audit.vocabulary import gates as words
from audit.vocabulary import trials as trial_words
from audit.vocabulary.access import RoleGranted
from audit.vocabulary.ledger import KeyEnrolled, KeyRevoked
from core.errors import NotFound
from core.gates import gathering, queries
from core.gates.criteria import judge
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
from core.gates.gathering import board, facts_of, judged_now
from core.gates.rules import GateState, Signed
from core.gates.sentinels import watch_of
from core.gates.statistics import Pair
from core.reads.agreement import AiPair
from core.reviews.queries import due_of
from core.trials.queries import signed_charter
from core.work import release
from tests.builders.folded import Folded
from tests.builders.locks import lock_word
from tests.builders.reads import DIGEST, TRIAL, charter_text
from tests.req import req
from tests.unit.gates.test_gate_tables import (
    OBJECT,
    begun,
    concluded,
    disposed,
    finished,
    received,
    requested,
    undecided,
)

LOCK, TODAY, OTHER = "LCK-1", "2026-06-01", "OTHER-1"
#: A charter that differs in its rules of acquisition.
AMENDED = {'        value: "5.0"\n        unit: mm': '        value: "4.0"\n        unit: mm'}


def a_charter(record: Folded, trial: str = TRIAL, version: str = "1.0", **replaced: str) -> int:
    said = record.say(trial_words.CharterSigned(
        charter_version=version, digest=DIGEST, text=charter_text(**replaced), evidence_class="demonstration",
        limits=(), uses=(), people=(), sites=()), trial=trial)
    return record.say(trial_words.CharterApproved(
        charter_version=version, digest=DIGEST, signed=said.body["id"]), "qa", trial=trial).seq


@pytest.fixture
def record() -> Folded:
    """A trial of class demonstration with an approved charter, live."""
    made = Folded()
    made.say(lock_word("LCK-0", "older"))
    made.say(trial_words.TrialCreated(title="A trial", demonstration=True))
    a_charter(made)
    made.say(trial_words.TrialActivated(charter_version="1.0", digest=DIGEST))
    return made


def of(record: Folded, use: int = 1, endpoint: str | None = None, **change: Any) -> GateFacts:
    asked: dict[str, Any] = {"trial": TRIAL, "scope": "all", "lock": LOCK, "today": TODAY} | change
    return facts_of(record.session, asked["trial"], use, endpoint, asked["scope"], asked["lock"], asked["today"])


@req("GAT-01", "GAT-02")
def test_where_nothing_was_said_there_is_nothing_but_the_trial_itself(record: Folded) -> None:
    signed = signed_charter(record.session, TRIAL)
    assert signed is not None

    assert of(record, 3, "volume", scope="sites:101") == GateFacts(
        trial=TRIAL, use=3, endpoint="volume", scope="sites:101", lock_id=LOCK, today=TODAY, release=release(),
        stage="live", demonstration=True, charter=signed.charter, charter_entry=signed.approved_entry,
        live_entry=4, able=dict.fromkeys(gathering.MAIN_ACTS, 0),
        able_entries=dict.fromkeys(gathering.MAIN_ACTS, ()), sops_lacking=("gate.sign", "read.seal"),
        review=due_of(record.session, TRIAL), sentinel_limits=(20, 3))
    with pytest.raises(NotFound):
        of(record, trial="NONE-1")


@req("GAT-02")
def test_without_a_charter_the_limits_are_those_that_ship(record: Folded) -> None:
    record.say(trial_words.TrialCreated(title="Another", demonstration=False), trial=OTHER)

    facts = of(record, trial=OTHER)
    assert (facts.charter, facts.charter_entry, facts.stage, facts.demonstration, facts.live_entry) == (
        None, None, "set_up", False, None)
    assert (facts.sentinel_limits, facts.amended, facts.unblindings) == ((20, 3), (), ())


@req("GAT-02", "MLK-02")
def test_limits_of_the_sentinel_set_are_the_charters(record: Folded) -> None:
    assert gathering._sentinel_limits(None) == (20, 3)
    a_charter(record, version="2.0", **{
        "sentinel_cases: {value: 20}": "sentinel_cases: {value: 25}",
        "sentinel_overdue_days: {value: 3}": "sentinel_overdue_days: {value: 2}"})

    assert of(record).sentinel_limits == (25, 2)


@req("GAT-02", "MLK-08", "VAL-06")
def test_lock_runs_releases_and_documents_are_those_of_this_lock_and_trial(record: Folded) -> None:
    entry = record.say(lock_word(LOCK, "lesion-at-seed", demonstration=False)).seq
    for name, lock in (("run-1", LOCK), ("run-2", "LCK-0"), ("run-3", LOCK)):
        begun(record, name)
        record.say(concluded(name, lock=lock))
    suspect = record.say(validation.ValidationSuspect(run="run-3", cause="c", scope="PQ", lock=LOCK)).seq
    first = record.say(validation.ReleaseSigned(target="installation", what="0.1.0", runs=("run-1",), conclusion="fit",
                                                evidence_class="study")).seq
    second = record.say(validation.ReleaseSigned(target="installation", what="0.2.0", runs=("run-2",),
                                                 conclusion="fit", evidence_class="study")).seq
    doubt = record.say(validation.ValidationSuspect(run="run-2", cause="c", scope="OQ")).seq
    filed = record.say(words.EvidenceFiled(
        kind="reader_study", title="A", document=OBJECT, document_date="2026-01-01", evidence_class="study", use=3,
        endpoint="volume", display="after_own", cases=40, lock=LOCK), role="statistician").seq
    record.say(words.EvidenceFiled(kind="reader_study", title="B", document=OBJECT, document_date="2026-01-01",
                                   evidence_class="study"), trial=OTHER)

    facts = of(record)
    assert facts.lock == LockFact(LOCK, "lesion-at-seed", "locked", False, entry)
    run = ValidationFact("PQ", "passed", 3, "volume", (StratumFact("liver", "volume", 60, "passed", "enough"),),
                         frozenset({"dice", "later"}), "study", None, entry + 3)
    assert facts.validations == (run, replace(run, suspect=suspect, entry=entry + 9))
    assert facts.releases == (ReleaseFact("0.1.0", "study", first), ReleaseFact("0.2.0", "study", second, doubt))
    assert facts.filed == (
        FiledFact("reader_study", "statistician", 3, "volume", "after_own", 40, LOCK, "study", filed),)
    assert (of(record, lock="LCK-9").lock, of(record, lock="LCK-9").validations) == (None, ())


@req("GAT-01")
def test_gates_are_shown_by_their_opening_or_else_by_their_last_word(record: Folded) -> None:
    asked = record.say(requested("G-1")).seq
    record.say(requested("G-2", 1, None))
    opening = record.say(words.GateOpened(gate="G-2", use=1, use_name="qc", scope="all", lock=LOCK, criteria=(),
                                          signed=())).seq
    record.say(words.GateSuspended(gate="G-2", use=1, cause="lock_revoked", says="recalled"))
    record.say(requested("X-1"), trial=OTHER)

    assert of(record).gates == (GateState("G-2", 1, None, "suspended", opening),
                                GateState("G-1", 3, "volume", "requested", asked))


@req("GAT-04", "OPS-04")
def test_critical_deviations_of_this_trial_or_lock_are_open_until_they_are_closed(record: Folded) -> None:
    entries = {}
    for name, klass, lock, trial in (
        ("D-1", "critical", None, TRIAL), ("D-2", "major", None, TRIAL), ("D-3", "critical", LOCK, OTHER),
        ("D-4", "critical", "LCK-0", OTHER), ("D-5", "critical", "LCK-0", TRIAL), ("D-6", "critical", None, TRIAL),
    ):
        entries[name] = record.say(validation.DeviationOpened(
            deviation=name, klass_name=klass, source="system", about="values", says="wrong", lock=lock),
            trial=trial).seq
    record.say(validation.DeviationClosed(deviation="D-6", cause="c", impact="i", action="a", conclusion="done"))

    assert of(record).open_deviations == (entries["D-1"], entries["D-3"], entries["D-5"])


@req("OPS-04", "GAT-02")
def test_waivers_count_once_two_approved_them_and_for_their_use(record: Folded) -> None:
    for waiver, use, approved in (("W-1", 1, True), ("W-2", 1, False), ("W-3", 2, True)):
        record.say(words.WaiverRequested(waiver=waiver, use=use, criterion="privacy", because="b", risk="r",
                                         ends_on="2026-12-31", owner="privacy_officer"))
        for role in ("qa_auditor", "privacy_officer") if approved else ("qa_auditor",):
            last = record.say(words.WaiverApproved(waiver=waiver, signed_as=role), role).seq
        if waiver == "W-1":
            entry = last

    assert of(record).waivers == (WaiverFact("W-1", "privacy", "2026-12-31", entry),)


HALTED = words.GateHalted(gate="G-1", use=3, halt_rule="HALT-1", says="ai unblinding")


def a_halted_gate(record: Folded) -> int:
    record.say(requested("G-1"))
    return record.say(HALTED).seq


@req("GAT-05", "GAT-02")
def test_an_unblinding_shuts_every_opening_but_the_one_it_halted(record: Folded) -> None:
    halt = a_halted_gate(record)
    record.say(requested("G-2", 4, "response"))
    record.say(words.GateHalted(gate="G-2", use=4, halt_rule="HALT-3", says="wrong side"))
    record.say(requested("G-3", 1, None))
    record.say(words.GateSuspended(gate="G-3", use=1, cause="HALT-1", says="no halt"))

    assert of(record, 3, "volume", scope="sites:101").unblindings == ()
    for use, endpoint, scope, lock in ((1, None, "sites:101", LOCK), (3, "other", "sites:101", LOCK),
                                       (3, "volume", "all", LOCK), (3, "volume", "sites:101", "LCK-9")):
        assert of(record, use, endpoint, scope=scope, lock=lock).unblindings == (halt,)
    assert of(record, 4, "response", scope="sites:101").unblindings == (), "halted for another event, not shut twice"

    record.say(words.GateResumed(gate="G-1", use=3, criteria=(), signed=()))
    assert of(record, 1).unblindings == ()


@req("GAT-05")
def test_a_halt_by_a_rule_that_is_no_unblinding_shuts_its_own_gate_alone(record: Folded) -> None:
    record.say(requested("G-1"))
    record.say(words.GateHalted(gate="G-1", use=3, halt_rule="HALT-5", says="too many"))

    assert of(record, 1).unblindings == ()


@req("GAT-04", "MLK-02")
def test_the_watch_over_the_lock_and_the_reviews_that_are_due_are_among_the_facts(record: Folded) -> None:
    record.say(lock_word(LOCK, "lesion-at-seed"))
    record.say(words.GateOpened(gate="G-1", use=1, use_name="qc", scope="all", lock=LOCK, criteria=(), signed=()))
    record.say(drift.SentinelDeclared(lock=LOCK, model="m", generator_sha256=DIGEST, number=20, cases=()))
    record.say(sops.SopEffective(sop="SOP-90", version=1, review_by="2028-01-01"), trial=None)

    facts = of(record)
    assert facts.sentinel is not None
    assert facts.sentinel == watch_of(record.session, LOCK)
    assert facts.review == due_of(record.session, TRIAL)
    assert facts.review is not None
    assert [(one.kind, one.subject) for one in facts.periodic] == [("document", "SOP-90")]


# People and procedures --------------------------------------------------------------------------------------------


def granted(record: Folded, user: str, role: str, trial: str | None = TRIAL) -> int:
    return record.say(RoleGranted(user=user, role=role, because="set up", at_init=True), "root", trial=trial).seq


def governing(record: Folded, sop: str, *acts: str) -> int:
    record.say(sops.SopDrafted(sop=sop, version=1, title="T", owner="qa_auditor", governs=acts, applies_to=(),
                               review_months=24, window_days=0, text=OBJECT), trial=None)
    record.say(sops.SopApproved(sop=sop, version=1, text_sha256=DIGEST, effective_on="2026-01-01"), trial=None)
    return record.say(sops.SopEffective(sop=sop, version=1, review_by="2028-01-01"), trial=None).seq


@req("GAT-02", "GAT-04", "SOP-04")
def test_the_able_of_a_role_hold_it_here_and_lack_no_training_for_its_main_act(record: Folded) -> None:
    first, house = granted(record, "tech-b", "qc_technologist"), granted(record, "tech-a", "qc_technologist", None)
    granted(record, "tech-c", "qc_technologist", OTHER)
    reader = granted(record, "reader-1", "reader")
    granted(record, "tech-b", "qc_technologist")
    granted(record, "tech-b", "coordinator", OTHER)

    facts = of(record)
    assert facts.able_entries == {
        "qc_technologist": (house, first), "coordinator": (), "reader": (reader,), "adjudicator": ()}
    assert facts.able == {"qc_technologist": 2, "coordinator": 0, "reader": 1, "adjudicator": 0}

    governing(record, "SOP-91", "quality.dispose")
    record.say(sops.TrainingCompleted(sop="SOP-91", version=1, text_sha256=DIGEST, answered=0), "tech-b", trial=None)
    assert of(record).able_entries["qc_technologist"] == (first,)
    assert of(record).able_entries["reader"] == (reader,)
    governing(record, "SOP-92", "read.seal")
    assert of(record).able == {"qc_technologist": 1, "coordinator": 0, "reader": 0, "adjudicator": 0}


@req("GAT-02", "SOP-03")
def test_the_acts_of_a_use_are_governed_by_effective_procedures_whose_entries_show_it(record: Folded) -> None:
    assert {use: of(record, use, "volume" if use > 2 else None).sops_lacking for use in (1, 2, 3, 4)} == {
        1: ("gate.sign", "quality.dispose"), 2: ("gate.sign", "quality.dispose"), 3: ("gate.sign", "read.seal"),
        4: ("gate.sign", "read.seal")}
    second = governing(record, "SOP-95", "read.*", "quality.dispose")
    facts = of(record)
    assert (facts.sops_lacking, facts.sop_entries) == (("gate.sign",), (second,))

    first = governing(record, "SOP-94", "gate.sign")
    governing(record, "SOP-96", "cohort.select")
    facts = of(record)
    assert (facts.sops_lacking, facts.sop_entries) == ((), (second, first))
    record.say(sops.SopDrafted(sop="SOP-94", version=2, title="T", owner="qa_auditor", governs=("gate.sign",),
                               applies_to=(), review_months=24, window_days=0, text=OBJECT), trial=None)
    record.say(sops.SopRetired(sop="SOP-94", version=1, because="old"), trial=None)
    assert of(record).sops_lacking == ("gate.sign",), "a draft governs nothing"


# The run-in -------------------------------------------------------------------------------------------------------


def studied(record: Folded, study: str, *series: tuple[str, str | None]) -> list[int]:
    """Series of a study with their dispositions; entries of the dispositions."""
    for name, _ in series:
        record.say(received(name, study))
    said = [replace(disposed(name), study=study, disposition=one) for name, one in series if one is not None]
    return [record.say(one).seq for one in said]


@req("GAT-02")
def test_a_study_counts_in_the_run_in_when_people_judged_it_before_the_flag_could_be_seen(record: Folded) -> None:
    record.say(words.DefectSeeded(study="S-2"))
    record.say(words.DefectSeeded(study="S-1"), trial=OTHER)
    first = studied(record, "S-2", ("1", "accepted"), ("2", "rejected"))
    runs = [record.say(one).seq for one in (finished("r1", "S-2"), undecided("r2", "S-2"))]
    early = record.say(undecided("r3", "S-1", )).seq
    studied(record, "S-1", ("3", "accepted"))
    shadow = record.say(finished("r4", "S-3", standing="shadow")).seq
    third = studied(record, "S-3", ("4", "accepted"))
    studied(record, "S-4", ("5", "accepted"), ("6", None))
    record.say(finished("r5", "S-4"))
    studied(record, "S-5", ("7", "accepted"))
    studied(record, "S-6", ("8", "accepted"))
    record.say(replace(finished("r6", "S-6"), lock="LCK-9"))
    record.say(finished("r7", "S-6"), trial=OTHER)
    assert early < shadow

    expected = (
        RunInStudy("S-2", "101", True, True, True, (*first, *runs)),
        RunInStudy("S-3", "101", False, False, False, (*third, shadow)))
    assert of(record, 2).run_in == expected
    assert of(record, 1).run_in == ()

    record.say(finished("r8", "S-2", standing="shadow"))
    assert len(of(record, 2).run_in[0].entries) == 5
    late = studied(record, "S-7", ("9", "rejected"))
    seen = record.say(finished("r9", "S-7")).seq
    assert of(record, 2).run_in[-1] == RunInStudy("S-7", "101", True, False, False, (*late, seen))


# Agreement --------------------------------------------------------------------------------------------------------


@req("GAT-02", "VAL-10")
def test_pairs_are_of_the_same_measure_and_lock_with_a_mark_made_before(
    record: Folded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pair(entry: int, endpoint: str, before: str | None = "10", lock: str = LOCK) -> AiPair:
        return AiPair(TRIAL, f"S-{entry}", "BL", endpoint, "T01", "reader-1", Decimal(entry),
                      Decimal(before) if before else None, None, "mm", "adjust", lock, 1, entry)

    given = [pair(50, "response"), pair(51, "volume"), pair(52, "response", None), pair(53, "response", lock="LCK-9"),
             pair(54, "response", "12")]
    monkeypatch.setattr("core.gates.gathering.ai_pairs", lambda session, trial: given if trial == TRIAL else [])

    facts = of(record, 4, "response")
    assert facts.pairs == (Pair("S-50", Decimal(10), Decimal(50)), Pair("S-54", Decimal(12), Decimal(54)))
    assert facts.pair_entries == (50, 54)
    assert of(record, 4, "volume").pair_entries == (51,)
    assert (of(record, 4, "none").pairs, of(record, 4).pairs, of(record, 3, "response").pairs) == ((), (), ())
    record.say(trial_words.TrialCreated(title="Another", demonstration=False), trial=OTHER)
    assert of(record, 4, "response", trial=OTHER).pairs == ()


@req("GAT-02", "RDG-04")
def test_adjudications_that_wait_concern_the_primary_use(record: Folded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.gates.gathering.awaiting_adjudication",
                        lambda session, trial: ["one", "two"] if trial == TRIAL else [])

    assert [of(record, use, "response" if use > 2 else None).open_adjudications for use in (1, 3, 4)] == [0, 0, 2]


# A changed model and a changed charter ----------------------------------------------------------------------------


def bridged(record: Folded, plan: str, use: str = "secondary", endpoint: str = "volume", before: str = "LCK-0",
            after: str = LOCK, trial: str = TRIAL) -> None:
    record.say(plans.BridgingPlanned(plan=plan, use=use, endpoint=endpoint, from_lock=before, to_lock=after,
                                     strategy="recompute", because="better"), "stat", trial=trial)


@req("MLK-08", "GAT-02")
def test_the_lock_before_and_the_last_plan_that_bridges_from_it_are_found(record: Folded) -> None:
    record.say(requested("G-1", lock="LCK-0"))
    record.say(words.GateOpened(gate="G-1", use=3, use_name="secondary", scope="all", lock="LCK-0", criteria=(),
                                signed=(), endpoint="volume"))
    assert (of(record, 3, "volume").predecessor, of(record, 3, "volume").bridging) == ("LCK-0", None)
    for plan, change in (
        ("B-1", {}), ("B-2", {}), ("B-3", {"use": "primary"}), ("B-4", {"endpoint": "response"}),
        ("B-5", {"before": "LCK-8"}), ("B-6", {"after": "LCK-9"}), ("B-7", {"trial": OTHER}),
    ):
        bridged(record, plan, **change)

    facts = of(record, 3, "volume")
    assert facts.bridging is not None
    assert (facts.predecessor, facts.bridging.plan) == ("LCK-0", "B-2")
    assert (of(record, 1).predecessor, of(record, 1).bridging) == (None, None)
    assert of(record, 4, "volume").predecessor is None


@req("GAT-04", "GAT-02")
def test_what_an_amendment_in_force_changes_is_told_with_its_assessment(record: Folded) -> None:
    assert (of(record).amended, of(record).impact_entry) == ((), None)
    a_charter(record, version="1.1")
    assert (of(record).amended, of(record).impact_entry) == ((), None), "nothing of imaging differs"
    a_charter(record, version="2.0", **AMENDED)
    assert (of(record).amended, of(record).impact_entry) == (("acquisition",), None)

    signed = signed_charter(record.session, TRIAL)
    assert signed is not None
    entry = record.say(amendments.AmendmentAssessed(
        charter_version="2.0", digest=DIGEST, signed=signed.entry_id, impact="minor", because="none",
        changed=("acquisition",)), "imaging").seq
    assert (of(record).amended, of(record).impact_entry) == (("acquisition",), entry)
    record.say(trial_words.CharterSigned(
        charter_version="3.0", digest=DIGEST, text=charter_text(), evidence_class="demonstration", limits=(), uses=(),
        people=(), sites=()))
    assert of(record).impact_entry == entry, "what is signed and not approved is not in force"


@req("GAT-02")
def test_the_board_shows_each_gate_with_its_criteria_now_and_who_is_still_to_sign(record: Folded) -> None:
    record.say(lock_word(LOCK, "lesion-at-seed"))
    asked = record.say(requested("G-1")).body["id"]
    sign = record.say(words.GateSigned(gate="G-1", signed_as="trial_lead", purpose="open", criteria_digest=DIGEST,
                                       requested=asked), "lead")
    record.say(requested("G-2", 1, None))
    record.say(words.GateOpened(gate="G-2", use=1, use_name="qc", scope="all", lock=LOCK, criteria=(), signed=()))

    second, first = board(record.session, TRIAL, TODAY)
    assert first.gate == queries.gate_named(record.session, "G-1")
    assert first.signed == (Signed("trial_lead", "lead", sign.seq),)
    assert first.missing == ("validation_lead", "statistician", "imaging_lead", "qa_auditor")
    assert (second.gate.gate, second.signed, second.missing, second.stops) == ("G-2", (), (), ())
    for row in (first, second):
        gate = row.gate
        assert row.criteria == judge(of(record, gate.use, gate.endpoint, scope=gate.scope, lock=gate.lock))
        assert row.criteria == judged_now(record.session, TRIAL, gate.use, gate.endpoint, gate.scope, gate.lock, TODAY)

    record.say(words.GateSuspended(gate="G-2", use=1, cause="lock_revoked", says="recalled"))
    stopped = board(record.session, TRIAL, TODAY)[0]
    assert (stopped.missing, [one.cause for one in stopped.stops]) == (("trial_lead", "qa_auditor"), ["lock_revoked"])
    record.say(words.GateHalted(gate="G-2", use=1, halt_rule="HALT-2", says="wrong subject"))
    assert board(record.session, TRIAL, TODAY)[0].missing == ("trial_lead", "qa_auditor")
    record.say(words.GateRevoked(gate="G-2", use=1), reason="misuse")
    assert board(record.session, TRIAL, TODAY)[0].missing == ()


# Suspect entries --------------------------------------------------------------------------------------------------


def a_key(record: Folded, user: str) -> str:
    public = hashlib.sha256(user.encode()).digest()
    record.say(KeyEnrolled(klass="person", holder=user, public_key=b64encode(public).decode(), printed_name=user,
                           at_init=True), trial=None)
    return hashlib.sha256(public).hexdigest()


def privacy(record: Folded, kid: str, **more: Any) -> int:
    return record.say(words.EvidenceFiled(
        kind="privacy_assessment", title="A", document=OBJECT, document_date="2026-01-01",
        evidence_class="demonstration"), "qa", kid=kid, **more).seq


@req("SIG-10", "GAT-04")
def test_an_entry_is_suspect_from_where_its_key_is_and_only_where_a_criterion_rests_on_it(record: Folded) -> None:
    kid, other = a_key(record, "qa"), a_key(record, "second")
    before, within = privacy(record, kid), privacy(record, kid)
    proved = privacy(record, "kid", proofs=[{"kid": kid, "sig": "sig"}])
    elsewhere = privacy(record, other, proofs=[{"kid": "kid", "sig": "sig"}])
    record.say(words.DefectSeeded(study="S-1"), kid=kid)  # rests under no criterion
    assert of(record).suspect == frozenset()

    record.say(KeyRevoked(kid=kid, because="lost", suspect_from=within), trial=None)
    assert of(record).suspect == {within, proved}
    record.say(KeyRevoked(kid=other, because="lost", suspect_from=elsewhere + 1), trial=None)
    assert of(record).suspect == {within, proved}
    assert before not in of(record).suspect


@req("SIG-10", "OPS-04")
def test_a_waiver_given_with_a_suspect_key_is_suspect(record: Folded) -> None:
    kid = a_key(record, "qa")
    record.say(words.WaiverRequested(waiver="W-1", use=1, criterion="privacy", because="b", risk="r",
                                     ends_on="2026-12-31", owner="privacy_officer"))
    record.say(words.WaiverApproved(waiver="W-1", signed_as="privacy_officer"), "owner")
    last = record.say(words.WaiverApproved(waiver="W-1", signed_as="qa_auditor"), "qa", kid=kid).seq
    record.say(KeyRevoked(kid=kid, because="lost", suspect_from=0), trial=None)

    assert of(record).suspect == {last}


"""Gates of a live trial: requested, signed, opened, suspended, halted, resumed; every refusal is on record."""

from __future__ import annotations

import pytest

from audit.vocabulary import models, sops, validation
from core.errors import AlreadyDone, NotFound, Refused, Stale, UnusableInput
from core.gates import queries, usecases
from core.gates.evidence import FileEvidence, RequestWaiver, approve_waiver, file_evidence, request_waiver
from core.policy.decide import decide
from core.policy.state import Actor
from core.trials import usecases as trials
from core.trials.queries import facts_for, open_uses
from core.work import release
from tests.builders import trials as build
from tests.builders.locks import lock_word
from tests.builders.reads import DIGEST, TRIAL, charter_text, recorded, signed
from tests.house import HouseUnderTest
from tests.req import req

QA, LEAD = build.QA, build.LEAD


def refused(house: HouseUnderTest, rule: str, refusal: pytest.ExceptionInfo[Refused]) -> str:
    assert refusal.value.rule == rule, refusal.value.fact
    assert house.words()[-1] == "action.refused"
    return refusal.value.fact


def ready(house: HouseUnderTest) -> None:
    build.live(house)
    build.evidence_of_use_1(house)


def uses_open(house: HouseUnderTest) -> list[str]:
    with house.desk.reading() as session:
        return [use.code for use in open_uses(session, TRIAL)]


def state_of(house: HouseUnderTest, gate: str) -> str:
    with house.desk.reading() as session:
        return queries.gate_named(session, gate).state


@req("GAT-02", "GAT-03", "SIG-04")
def test_a_gate_opens_with_the_last_signature_which_is_qas(house: HouseUnderTest) -> None:
    build.live(house)
    with pytest.raises(Refused) as refusal:
        usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK))
    said = refused(house, "F-602", refusal)
    assert "lock: no lock LCK-1" in said
    assert "privacy: not filed" in said

    build.evidence_of_use_1(house)
    house.commit(usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK)))
    gate = f"{TRIAL}-G1-1"
    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(house.desk, QA, gate)
    assert "QA signs last" in refused(house, "F-603", refusal)
    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(house.desk, Actor("statistician"), gate)
    refused(house, "F-603", refusal)
    assert uses_open(house) == []
    with pytest.raises(AlreadyDone):
        usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK))

    house.commit(usecases.sign_gate(house.desk, LEAD, gate))
    with pytest.raises(Refused):
        usecases.sign_gate(house.desk, LEAD, gate, "trial_lead")
    house.commit(usecases.sign_gate(house.desk, QA, gate))
    assert house.words()[-2:] == ["gate.signed", "gate.opened"]
    assert house.entries()[-1].body["actor"] == "gates"
    assert house.entries()[-1].body["caused_by"] == house.entries()[-2].body["id"]
    assert uses_open(house) == ["qc"]


@req("GAT-01", "GAT-02")
def test_a_cohort_gate_with_one_study_too_few_is_refused_and_says_which_criterion(house: HouseUnderTest) -> None:
    ready(house)
    build.opened(house, "1")
    build.concluded(house, "PQ", use=2, strata=(("generated", "volume", 60, "passed"),))
    for number in range(1, 4):
        build.run_in_study(house, number, site="101" if number % 2 else "102", defective=number < 3, flagged=number < 3)

    with pytest.raises(Refused) as refusal:
        usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "cohort", build.LOCK))
    said = refused(house, "F-602", refusal)
    assert "run_in_studies: 3 studies, wanted ≥ 4 studies (ships ≥ 50)" in said
    assert "1 of 16 criteria are open" in said
    assert house.entries()[-1].body["fields"]["because"] == said

    build.run_in_study(house, 4, site="101", defective=False, flagged=False)
    gate = build.opened(house, "cohort")
    assert uses_open(house) == ["qc", "cohort"]
    with house.desk.reading() as session:
        recorded_criteria = {
            one.criterion: one for one in queries.criteria_recorded(session, gate) if one.at == "opened"}
    assert recorded_criteria["run_in_sensitivity"].found == "2 of 2 flagged, exact lower bound 0.158"
    assert all(recorded_criteria["pq"].entries)


@req("GAT-01")
def test_no_gate_opens_before_the_earlier_one(house: HouseUnderTest) -> None:
    ready(house)

    with pytest.raises(Refused) as refusal:
        usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "primary", build.LOCK, "response"))
    assert "order: Gate 3 (secondary) is not open" in refused(house, "F-602", refusal)


@req("GAT-04", "MLK-01")
def test_bytes_that_differ_from_the_lock_close_its_gates_at_once_and_all_must_resume(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    recorded(house, models.ModelRefused(
        lock=build.LOCK, model="lesion-at-seed", check="files", cause="digest_mismatch", expected="a", found="b"),
        "inference")
    assert uses_open(house) == []
    with house.desk.reading() as session:
        facts = facts_for(session, Actor.of_service("inference"), "ai.run", TRIAL, relations=frozenset({"for_qc"}))
    decision = decide(Actor.of_service("inference"), "ai.run", facts)
    assert (decision.allowed, decision.rule) == (False, "F-610")

    house.work()
    assert state_of(house, gate) == "suspended"
    assert house.words()[-1] == "gate.suspended"
    house.work()
    assert house.words().count("gate.suspended") == 1

    house.commit(usecases.sign_gate(house.desk, LEAD, gate))
    assert state_of(house, gate) == "suspended"
    house.commit(usecases.sign_gate(house.desk, QA, gate))
    assert state_of(house, gate) == "open"
    assert house.words()[-1] == "gate.resumed"
    assert uses_open(house) == ["qc"]


@req("GAT-04", "MLK-08")
def test_a_recalled_lock_and_a_suspect_validation_keep_a_gate_shut(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    signed(house, "validation-lead", models.ModelRetired(lock=build.LOCK, model="lesion-at-seed", how="recalled"))
    house.work()
    assert state_of(house, gate) == "suspended"

    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(house.desk, LEAD, gate)
    assert "lock: LCK-1 is recalled" in refused(house, "F-602", refusal)


@req("GAT-02", "MLK-08")
def test_a_follower_stops_no_gate_of_the_old_lock_and_takes_its_next_ones(house: HouseUnderTest) -> None:
    """A new version stops nothing (TRIAL 2); but for a superseded lock no further gate is asked for."""
    ready(house)
    gate = build.opened(house, "qc")
    signed(house, "validation-lead", lock_word("LCK-2", "lesion-at-seed", model_version="1.1", supersedes=build.LOCK))
    house.work()
    usecases.enforce(house.desk)
    assert state_of(house, gate) == "open"
    assert uses_open(house) == ["qc"]

    with pytest.raises(Refused) as refusal:
        usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "cohort", build.LOCK))
    assert f"{build.LOCK} is superseded" in refused(house, "F-609", refusal)


@req("GAT-04", "OPS-04")
def test_a_critical_deviation_suspends_and_its_closing_alone_reopens_nothing(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    signed(house, "qa-auditor", validation.DeviationOpened(
        deviation="DEV-1", klass_name="critical", source="system", about="values", says="wrong unit"))
    assert uses_open(house) == []
    house.work()
    signed(house, "qa-auditor", validation.DeviationClosed(
        deviation="DEV-1", cause="c", impact="i", action="a", conclusion="done"))

    assert state_of(house, gate) == "suspended"
    assert uses_open(house) == []


@req("GAT-05")
def test_one_may_halt_under_a_rule_of_the_charter_and_all_must_resume(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    with pytest.raises(Refused, match="halts uses 3, 4, not 1"):
        usecases.halt_gate(house.desk, build.MANAGER, gate, "HALT-1")
    with pytest.raises(UnusableInput):
        usecases.halt_gate(house.desk, build.MANAGER, gate, "HALT-9")

    house.commit(usecases.halt_gate(house.desk, build.MANAGER, gate, "HALT-2"))
    assert (state_of(house, gate), uses_open(house)) == ("halted", [])
    build.sign_all(house, gate)
    assert (state_of(house, gate), uses_open(house)) == ("open", ["qc"])


@req("GAT-02", "SOP-03")
def test_a_signer_without_training_signs_no_gate(house: HouseUnderTest) -> None:
    """TRIAL 2: the signers' training is never waived; it is asked of each person as they sign."""
    ready(house)
    house.person("lead-2", "trial_lead", trial=TRIAL)
    house.commit(usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK)))

    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(house.desk, Actor("lead-2"), f"{TRIAL}-G1-1")
    assert "SOP-90" in refused(house, "F-02", refusal)


@req("GAT-04", "GAT-01")
def test_a_revoked_gate_takes_later_ones_with_it(house: HouseUnderTest) -> None:
    ready(house)
    first = build.opened(house, "1")
    build.concluded(house, "PQ", use=2, strata=(("generated", "volume", 60, "passed"),))
    for number in range(1, 5):
        build.run_in_study(house, number, site="101" if number % 2 else "102", defective=number < 3, flagged=number < 3)
    second = build.opened(house, "cohort")

    house.commit(usecases.revoke_gate(house.desk, QA, first, "evidence_wrong"))
    house.work()

    with house.desk.reading() as session:
        (stop,) = queries.stops_of(session, second)
    assert (state_of(house, second), stop.cause) == ("suspended", "earlier_gate_revoked")
    assert uses_open(house) == []
    with pytest.raises(Refused, match=r"order: Gate 1 \(qc\) is not open"):
        usecases.sign_gate(house.desk, LEAD, second)


@req("GAT-04", "GAT-01")
def test_an_amendment_that_leaves_a_use_out_closes_its_gate_though_its_impact_is_signed(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    text = charter_text(**{
        'version: "1.0"': 'version: "2.0"',
        "qc: {use: planned, model: lesion-at-seed, strata: [generated], scope: all}":
            "qc: {use: not_used, reason: Technologists decide without it.}"})
    house.commit(trials.sign_charter(house.desk, LEAD, text))
    house.commit(trials.accept_charter(house.desk, build.INVESTIGATOR, TRIAL))
    house.commit(trials.approve_charter(house.desk, QA, TRIAL))
    house.work()

    with house.desk.reading() as session:
        (stop,) = queries.stops_of(session, gate)
    assert (stop.kind, stop.cause, uses_open(house)) == ("suspended", "not_in_charter", [])
    with pytest.raises(Refused, match="charter_names_ai: the charter declares not_used"):
        usecases.sign_gate(house.desk, LEAD, gate)


@req("GAT-05", "RDG-02")
def test_an_unblinding_halts_at_the_event_what_the_charter_says(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    assert usecases.report_event(house.desk, build.MANAGER, TRIAL, "ai_unblinding") == 0
    assert state_of(house, gate) == "open"
    with pytest.raises(UnusableInput):
        usecases.report_event(house.desk, build.MANAGER, TRIAL, "bad weather")
    with pytest.raises(Refused):
        usecases.report_event(house.desk, build.COORDINATOR, TRIAL, "wrong_subject")

    assert usecases.report_event(house.desk, build.MANAGER, TRIAL, "wrong_subject") == 1
    assert (state_of(house, gate), uses_open(house)) == ("halted", [])
    with house.desk.reading() as session:
        assert [(stop.cause, stop.resumed) for stop in queries.stops_of(session, gate)] == [("HALT-2", False)]


@req("GAT-02", "SIG-04")
def test_two_last_signatures_at_once_open_one_gate(house: HouseUnderTest) -> None:
    """Both pages were prepared before either was signed; the second finds another state under the lock."""
    ready(house)
    house.person("qa-2", "qa_auditor", trial=TRIAL)
    house._signed("qa-2", sops.TrainingCompleted(sop="SOP-90", version=1, text_sha256=DIGEST, answered=0))
    house.commit(usecases.request_gate(house.desk, LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK)))
    gate = f"{TRIAL}-G1-1"
    house.commit(usecases.sign_gate(house.desk, LEAD, gate))
    first = usecases.sign_gate(house.desk, QA, gate)
    second = usecases.sign_gate(house.desk, Actor("qa-2"), gate)

    house.commit(first)
    with pytest.raises((Refused, Stale)):
        house.commit(second)
    assert house.words().count("gate.opened") == 1
    assert house.words().count("gate.signed") == 2


@req("GAT-04")
def test_whoever_answers_may_suspend_and_qa_alone_revokes(house: HouseUnderTest) -> None:
    ready(house)
    gate = build.opened(house, "qc")
    with pytest.raises(Refused):
        usecases.suspend_gate(house.desk, build.COORDINATOR, gate, "drift_level_2")
    usecases.suspend_gate(house.desk, LEAD, gate, "drift_level_2")
    assert house.entries()[-1].body["on_behalf_of"] == "trial-lead"
    with pytest.raises(UnusableInput):
        usecases.suspend_gate(house.desk, LEAD, gate, "bad mood")
    with pytest.raises(Refused):
        usecases.revoke_gate(house.desk, LEAD, gate, "misuse")

    house.commit(usecases.revoke_gate(house.desk, QA, gate, "misuse"))
    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(house.desk, LEAD, gate)
    refused(house, "F-601", refusal)


@req("OPS-04", "GAT-02")
def test_a_waiver_needs_the_owner_and_qa_and_its_end_suspends(house: HouseUnderTest) -> None:
    build.live(house)
    build.people(house, *(user for user in build.ROLES if user not in build.SET_UP))
    build.procedures(house)
    build.a_lock(house)
    build.concluded(house, "IQ")
    build.concluded(house, "OQ")
    signed(house, "qa-auditor", validation.ReleaseSigned(
        target="installation", what=release(), runs=(), conclusion="fit", evidence_class="demonstration"))
    house.grant("technologist", "qc_technologist", trial=TRIAL)
    asked = RequestWaiver(TRIAL, 1, "technologists", "one is enough", "slower", "2100-01-01")
    with pytest.raises(Refused) as refusal:
        request_waiver(house.desk, LEAD, RequestWaiver(TRIAL, 1, "release", "no", "no", "2100-01-01"))
    refused(house, "F-604", refusal)
    house.commit(request_waiver(house.desk, build.IMAGING, asked))
    waiver = f"{TRIAL}-W001"
    with pytest.raises(Refused) as refusal:
        approve_waiver(house.desk, build.IMAGING, waiver, "imaging_lead")
    refused(house, "F-605", refusal)

    privacy = RequestWaiver(
        TRIAL, 1, "privacy", "assessment is being written", "none for generated images",
        house.desk.occasion().at[:10])
    house.commit(request_waiver(house.desk, LEAD, privacy))
    house.commit(approve_waiver(house.desk, QA, f"{TRIAL}-W002", "qa_auditor"))
    with pytest.raises(Refused, match="privacy: not filed"):
        build.opened(house, "qc")
    house.grant("qa-auditor", "privacy_officer", trial=TRIAL)
    with pytest.raises(Refused, match="Another person"):
        approve_waiver(house.desk, QA, f"{TRIAL}-W002", "privacy_officer")
    officer = house.person("privacy-officer", "privacy_officer", trial=TRIAL)
    house.commit(approve_waiver(house.desk, officer, f"{TRIAL}-W002", "privacy_officer"))
    gate = build.opened(house, "qc")
    assert state_of(house, gate) == "open"
    house.clock.advance(days=1)
    assert usecases.enforce(house.desk) == 1
    assert house.entries()[-1].body["fields"]["cause"] == "waiver_expired"
    assert usecases.enforce(house.desk) == 0


@req("ACC-02", "GAT-02")
def test_evidence_is_filed_by_the_role_that_answers_for_it(house: HouseUnderTest) -> None:
    build.live(house)
    document = house.desk.objects.put(b"advice", "text/plain")
    advice = FileEvidence(TRIAL, "regulator_advice", "Advice", document, "2026-01-01")

    with pytest.raises(Refused) as refusal:
        file_evidence(house.desk, build.MANAGER, advice)
    refused(house, "F-606", refusal)
    with pytest.raises(UnusableInput, match="no kind of evidence"):
        file_evidence(house.desk, LEAD, FileEvidence(TRIAL, "rumour", "R", document, "2026-01-01"))
    with pytest.raises(UnusableInput, match="states its cases"):
        file_evidence(house.desk, LEAD, FileEvidence(TRIAL, "reader_study", "R", document, "2026-01-01"))
    with pytest.raises(NotFound):
        usecases.sign_gate(house.desk, LEAD, "no-gate")


@req("GAT-03", "RDG-09", "RDG-06")
@pytest.mark.parametrize(
    ("action", "relations", "rule"),
    [
        ("ai.select_subject", set(), "F-630"), ("ai.enter_result", set(), "F-631"), ("ai.accept_all", set(), "F-632"),
        ("ai.break_tie", set(), "F-633"), ("ai.write_eligibility", set(), "F-634"),
        ("ai.show_to_coordinator", set(), "F-621"), ("ai.show_in_qc", set(), "F-620"),
        ("ai.show_to_reader", {"for_primary"}, "F-622"), ("ai.show_to_reader", set(), "F-623"),
        ("ai.run", {"for_secondary"}, "F-612"), ("ai.run", {"for_primary"}, "F-613"),
        ("ai.enter_result", {"shadow", "human_signed"}, "F-626"),
    ],
)
def test_what_ai_may_not_do_is_refused_to_services_and_people(action: str, relations: set[str], rule: str) -> None:
    from core.policy.state import Facts, Stage

    facts = Facts(trial=TRIAL, stage=Stage.LIVE, roles=frozenset({"reader", "coordinator", "qc_technologist"}),
                  relations=frozenset(relations))
    for actor in (Actor.of_service("inference"), Actor("reader-1")):
        decision = decide(actor, action, facts)
        assert (decision.allowed, decision.rule) == (False, rule)

"""What each command of gates records, shows before it is signed, and answers to whoever may not or asks wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary.ledger import KeyRevoked
from audit.vocabulary.models import ModelRetired
from core.errors import AlreadyDone, CountersignError, NotFound, Refused, UnusableInput
from core.gates import queries, usecases, views
from core.gates.gathering import judged_now
from core.gates.rules import SUSPENSION_CAUSES
from core.gates.usecases import RequestGate
from core.policy.state import Actor
from core.proposal import Proposal
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import GATE, copy_of, last, opened_by_word
from tests.builders.locks import lock_word
from tests.builders.reads import TRIAL, signed
from tests.house import HouseUnderTest
from tests.req import req

LEAD, QA, STATISTICIAN = build.LEAD, build.QA, Actor("statistician")
QC = RequestGate(TRIAL, "qc", build.LOCK)


def before_mutants() -> None:
    homes.opened()


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.ready(), tmp_path) as house:
        yield house


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.opened(), tmp_path) as house:
        yield house


def said(error: CountersignError) -> tuple[str, str | None]:
    return error.fact, getattr(error, "rule", None)


def refused(house: HouseUnderTest, asked: str) -> str:
    """What the record says of the attempt."""
    body = last(house, "action.refused")
    assert body["fields"]["asked"] == asked
    return str(body["fields"]["because"])


def lines(proposal: Proposal) -> dict[str, str]:
    return dict(proposal.views[0].lines)


def state_of(house: HouseUnderTest, gate: str = GATE) -> str:
    with house.desk.reading() as session:
        return queries.gate_named(session, gate).state


def judged(house: HouseUnderTest, use: int = 1) -> Any:
    with house.desk.reading() as session:
        return judged_now(session, TRIAL, use, None, "all", build.LOCK, house.desk.occasion().at[:10])


# Requests ---------------------------------------------------------------------------------------------------------


@req("GAT-01", "GAT-02", "SIG-05")
def test_a_request_records_the_opening_with_its_criteria_as_they_stand(ready: HouseUnderTest) -> None:
    proposal = usecases.request_gate(ready.desk, LEAD, QC)
    view = proposal.views[0]
    assert (view.title, view.template) == ("Request of a gate", "gates/sign")
    assert list(view.lines)[:7] == [
        ("Trial", TRIAL), ("Gate", GATE), ("AI use", "1 qc"), ("Endpoint", "none"), ("Scope", "all"),
        ("Lock", "LCK-1"), ("Evidence class", "demonstration")]
    assert list(view.lines)[7:] == [(one.title, views.criterion(one)) for one in judged(ready)]

    ready.commit(proposal)

    body = last(ready, "gate.requested")
    fields = body["fields"]
    assert {name: value for name, value in fields.items() if name != "criteria"} == {
        "gate": GATE, "use": 1, "use_name": "qc", "scope": "all", "lock": "LCK-1", "model": "lesion-at-seed"}
    assert [(one["id"], one["state"], one["found"]) for one in fields["criteria"]] == [
        (one.id, one.state, one.found) for one in judged(ready)]
    assert (body["actor"], body["rule"], body["role"], body["trial"], body["manifest"]["meaning"]) == (
        "trial-lead", "P-601", "trial_lead", TRIAL, "authorship")
    assert len(body["manifest"]["trainings"]) == 1


@req("GAT-01")
@pytest.mark.parametrize(("command", "error", "fact"), [
    (replace(QC, endpoint="volume"), UnusableInput, "Use 1 (qc) has no endpoint."),
    (replace(QC, use="3"), UnusableInput, "Use 3 (secondary) needs an endpoint."),
    (replace(QC, use="primary", endpoint="nothing"), NotFound, f"Charter 1.0 of {TRIAL} has no endpoint nothing."),
    (replace(QC, trial="NONE-1"), NotFound, "There is no trial NONE-1."),
    (replace(QC, use="fifth"), NotFound, "There is no AI use fifth; uses: qc, cohort, secondary, primary."),
])
def test_an_opening_that_cannot_be_is_told_in_a_word(
    ready: HouseUnderTest, command: RequestGate, error: type[CountersignError], fact: str
) -> None:
    with pytest.raises(error) as told:
        usecases.request_gate(ready.desk, LEAD, command)
    assert told.value.fact == fact


@req("GAT-01", "GAT-02")
@pytest.mark.parametrize(("actor", "command", "rule", "fact"), [
    (QA, QC, None, None),
    (LEAD, replace(QC, scope="sites:998"), "F-607", "The charter has no sites 998."),
    (LEAD, replace(QC, scope="arm:X"), "F-607", "The charter has no arm X."),
    (LEAD, replace(QC, lock="LCK-0"), "F-609", "LCK-0 is superseded; no gate is opened for it any more."),
])
def test_who_may_not_ask_and_what_is_not_asked_for_is_refused_on_record(
    ready: HouseUnderTest, actor: Actor, command: RequestGate, rule: str | None, fact: str | None
) -> None:
    signed(ready, "validation-lead", lock_word("LCK-0", "lesion-at-seed"))
    signed(ready, "validation-lead", lock_word("LCK-2", "lesion-at-seed", supersedes="LCK-0"))

    with pytest.raises(Refused) as told:
        usecases.request_gate(ready.desk, actor, command)

    assert rule is None or said(told.value) == (fact, rule)
    assert refused(ready, "gate.request") == told.value.fact
    if command.lock == "LCK-0":
        assert told.value.next_step == (
            "Ask for the gate of the lock that follows it (`countersign model list`).")


@req("GAT-02")
def test_open_criteria_are_named_counted_and_told_what_to_do_about(ready: HouseUnderTest) -> None:
    signed(ready, "validation-lead", ModelRetired(lock=build.LOCK, model="lesion-at-seed", how="recalled"))

    with pytest.raises(Refused) as told:
        usecases.request_gate(ready.desk, LEAD, QC)

    (lacking,) = [one for one in judged(ready) if one.state == "open"]
    assert said(told.value) == (
        f"Gate 1 (qc) cannot be requested; 1 of {len(judged(ready))} criteria are open: "
        f"lock: LCK-1 is recalled, wanted {lacking.limit}.", "F-602")
    assert told.value.next_step == "Supply the evidence that each open criterion asks for; nothing was signed."
    assert refused(ready, "gate.request") == told.value.fact


@req("GAT-01", "GAT-02")
def test_the_same_opening_is_asked_for_once_until_it_is_taken_back(ready: HouseUnderTest) -> None:
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))
    with pytest.raises(AlreadyDone) as told:
        usecases.request_gate(ready.desk, LEAD, QC)
    assert told.value.fact == f"Gate {GATE} is this opening; it is requested."
    # Another scope or lock is another opening.
    assert lines(usecases.request_gate(ready.desk, LEAD, replace(QC, scope="sites:101")))["Gate"] == f"{TRIAL}-G1-2"

    proposal = usecases.withdraw_gate(ready.desk, LEAD, GATE, "wrong_data")
    assert proposal.views[0].title == "Request taken back"
    assert (proposal.views[0].template, lines(proposal)) == ("gates/act", {"Gate": GATE, "Reason": "wrong_data"})
    ready.commit(proposal)
    body = last(ready, "gate.withdrawn")
    assert (body["fields"], body["reason"], body["rule"], body["manifest"]["meaning"], body["trial"]) == (
        {"gate": GATE}, "wrong_data", "P-601", "withdrawal", TRIAL)
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))
    assert last(ready, "gate.requested")["fields"]["gate"] == f"{TRIAL}-G1-2"


@req("GAT-01", "GAT-04")
@pytest.mark.parametrize("state", ["requested", "open", "suspended", "halted"])
def test_an_opening_that_stands_in_any_state_is_not_asked_for_again(opened: HouseUnderTest, state: str) -> None:
    if state == "suspended":
        usecases.suspend_gate(opened.desk, LEAD, GATE, "drift_level_2")
    elif state == "halted":
        opened.commit(usecases.halt_gate(opened.desk, LEAD, GATE, "judgement"))
    elif state == "requested":
        opened.commit(usecases.revoke_gate(opened.desk, QA, GATE, "misuse"))
        opened.commit(usecases.request_gate(opened.desk, LEAD, QC))

    with pytest.raises(AlreadyDone) as told:
        usecases.request_gate(opened.desk, LEAD, QC)
    assert told.value.fact.endswith(f"is this opening; it is {state}.")


# Signatures -------------------------------------------------------------------------------------------------------


@req("GAT-02", "SIG-04", "SIG-05")
def test_a_signature_says_in_which_role_to_what_end_and_on_which_criteria(ready: HouseUnderTest) -> None:
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))
    asked = last(ready, "gate.requested")
    proposal = usecases.sign_gate(ready.desk, LEAD, GATE)
    view = proposal.views[0]
    assert (view.title, view.template) == ("Signature to open a gate", "gates/sign")
    assert list(view.lines)[:9] == [
        ("Trial", TRIAL), ("Gate", GATE), ("AI use", "1 qc"), ("Endpoint", "none"), ("Scope", "all"),
        ("Lock", "LCK-1"), ("Evidence class", "demonstration"), ("Signed as", "trial lead"),
        ("Signed before", "nobody")]

    ready.commit(proposal)
    body, manifest = last(ready, "gate.signed"), last(ready, "gate.signed")["manifest"]
    assert body["fields"] == {
        "gate": GATE, "signed_as": "trial_lead", "purpose": "open", "criteria_digest": views.digest_of(judged(ready)),
        "requested": asked["id"]}
    assert (body["caused_by"], body["trial"], body["rule"], body["role"]) == (
        asked["id"], TRIAL, "P-602", "trial_lead")
    assert (manifest["meaning"], manifest["scope"], len(manifest["trainings"])) == ("approval", "all", 1)
    assert manifest["delegation"]

    second = usecases.sign_gate(ready.desk, QA, GATE)
    assert (lines(second)["Signed as"], lines(second)["Signed before"]) == ("qa auditor", "trial_lead trial-lead")
    ready.commit(second)
    opening = last(ready, "gate.opened")
    ids = [entry.body["id"] for entry in ready.entries() if entry.body["action"] == "gate.signed"]
    assert {name: value for name, value in opening["fields"].items() if name != "criteria"} == {
        "gate": GATE, "use": 1, "use_name": "qc", "scope": "all", "lock": "LCK-1", "signed": ids}
    assert [one["id"] for one in opening["fields"]["criteria"]] == [one.id for one in judged(ready)]
    assert (opening["actor"], opening["rule"], opening["trial"], opening["caused_by"]) == (
        "gates", "P-03", TRIAL, ids[1])


@req("GAT-02", "SIG-04")
def test_who_holds_no_signature_that_is_needed_is_told_so_on_record(ready: HouseUnderTest) -> None:
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))

    def told(actor: Actor, signed_as: str | None = None) -> tuple[str, str | None]:
        with pytest.raises(Refused) as refusal:
            usecases.sign_gate(ready.desk, actor, GATE, signed_as)
        assert last(ready, "action.refused")["fields"]["asked"] == "gate.sign"
        return said(refusal.value)

    assert told(STATISTICIAN) == (
        f"You hold no signature that gate {GATE} still needs (statistician is given or not asked for).", "F-603")
    assert told(LEAD, "qa_auditor") == (
        f"You hold no signature that gate {GATE} still needs (trial_lead is given or not asked for).", "F-603")
    assert told(QA) == ("QA signs last; still missing: trial lead.", "F-603")
    assert told(STATISTICIAN, "statistician") == (
        "Gate 1 is signed by trial lead, qa auditor, not by statistician.", "F-603")
    ready.commit(usecases.sign_gate(ready.desk, LEAD, GATE))
    assert told(LEAD) == (
        f"You hold no signature that gate {GATE} still needs (trial_lead is given or not asked for).", "F-603")
    assert told(LEAD, "trial_lead") == ("The signature of trial_lead is already given.", "F-603")
    with pytest.raises(NotFound, match="There is no gate G9"):
        usecases.sign_gate(ready.desk, LEAD, "G9")


@req("GAT-02", "SIG-04")
def test_a_person_of_two_roles_signs_in_the_one_that_is_missing_and_only_once(ready: HouseUnderTest) -> None:
    ready.grant("qa-auditor", "trial_lead", trial=TRIAL)
    ready.grant("trial-lead", "qa_auditor", trial=TRIAL)
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))

    assert lines(usecases.sign_gate(ready.desk, LEAD, GATE))["Signed as"] == "trial lead", "the first that is missing"
    ready.commit(usecases.sign_gate(ready.desk, LEAD, GATE))
    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(ready.desk, LEAD, GATE)
    assert said(refusal.value) == (
        "trial-lead has already signed this gate; another person signs as qa_auditor.", "F-603")
    assert lines(usecases.sign_gate(ready.desk, QA, GATE))["Signed as"] == "qa auditor"


@req("GAT-02", "GAT-04")
def test_nobody_signs_while_a_criterion_is_open(ready: HouseUnderTest) -> None:
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))
    signed(ready, "validation-lead", ModelRetired(lock=build.LOCK, model="lesion-at-seed", how="recalled"))

    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(ready.desk, LEAD, GATE)
    assert refusal.value.fact.startswith(f"Gate {GATE} cannot be signed; 1 of ")


@req("GAT-04", "GAT-05", "SIG-04")
@pytest.mark.parametrize("stop", ["suspended", "halted"])
def test_all_sign_again_to_resume_and_the_last_signature_resumes(opened: HouseUnderTest, stop: str) -> None:
    if stop == "suspended":
        usecases.suspend_gate(opened.desk, LEAD, GATE, "drift_level_2")
    else:
        opened.commit(usecases.halt_gate(opened.desk, LEAD, GATE, "judgement"))
    stopped = last(opened, f"gate.{stop}")
    proposal = usecases.sign_gate(opened.desk, LEAD, GATE)
    assert proposal.views[0].title == "Signature to resume a gate"
    opened.commit(proposal)
    body = last(opened, "gate.signed")
    assert (body["fields"]["purpose"], body["fields"]["requested"], body["caused_by"]) == (
        "resume", stopped["id"], stopped["id"])
    assert state_of(opened) == stop

    opened.commit(usecases.sign_gate(opened.desk, QA, GATE))
    resumed = last(opened, "gate.resumed")
    ids = [entry.body["id"] for entry in opened.entries() if entry.body["action"] == "gate.signed"][-2:]
    assert {name: value for name, value in resumed["fields"].items() if name != "criteria"} == {
        "gate": GATE, "use": 1, "signed": ids}
    assert [one["id"] for one in resumed["fields"]["criteria"]] == [one.id for one in judged(opened)]
    assert (resumed["actor"], resumed["caused_by"], resumed["trial"]) == ("gates", ids[1], TRIAL)
    assert state_of(opened) == "open"
    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(opened.desk, LEAD, GATE)
    assert said(refusal.value)[1] == "F-601"


@req("GAT-02")
def test_the_last_signature_opens_nothing_once_a_criterion_is_open_again(
    ready: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is judged with the signature itself on record: were it open then, nothing of the page counts."""
    ready.commit(usecases.request_gate(ready.desk, LEAD, QC))
    ready.commit(usecases.sign_gate(ready.desk, LEAD, GATE))
    proposal = usecases.sign_gate(ready.desk, QA, GATE)
    given, count = judged_now, 0

    def lost_at_the_end(*asked: Any) -> Any:
        nonlocal count
        count += 1
        found = given(*asked)
        return found if count == 1 else (replace(found[0], state="open"), *found[1:])

    monkeypatch.setattr("core.gates.gathering.judged_now", lost_at_the_end)
    with pytest.raises(Refused) as refusal:
        ready.commit(proposal)
    assert refusal.value.fact.startswith(f"Gate {GATE} cannot open; 1 of ")
    assert (state_of(ready), ready.words().count("gate.signed")) == ("requested", 1)


# Stops ------------------------------------------------------------------------------------------------------------


@req("GAT-04")
def test_a_person_suspends_at_once_for_a_cause_of_the_table(opened: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput) as told:
        usecases.suspend_gate(opened.desk, LEAD, GATE, "bad_mood")
    assert told.value.fact == f"'bad_mood' is no cause; known: {', '.join(SUSPENSION_CAUSES)}."
    with pytest.raises(Refused):
        usecases.suspend_gate(opened.desk, build.COORDINATOR, GATE, "drift_level_2")
    refused(opened, "gate.suspend")
    with pytest.raises(Refused) as refusal:
        usecases.suspend_gate(opened.desk, LEAD, GATE, "review_overdue")
    assert said(refusal.value) == ("review_overdue does not suspend use 1.", "F-608")

    receipt = usecases.suspend_gate(opened.desk, LEAD, GATE, "drift_level_2")

    body = opened.entries()[receipt.seq].body
    assert body["fields"] == {"gate": GATE, "use": 1, "cause": "drift_level_2", "says": "Drift reached level 2."}
    assert (body["action"], body["actor"], body["on_behalf_of"], body["rule"], body["trial"]) == (
        "gate.suspended", "gates", "trial-lead", "P-605", TRIAL)
    assert "caused_by" not in body


@req("GAT-04")
def test_a_cause_suspends_the_open_gates_it_touches_and_no_others(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 3)
    opened_by_word(opened, 2, lock="LCK-9")
    desk, cause = opened.desk, opened.entries()[0].body["id"]

    assert usecases.suspend_for(desk, "lock_revoked", lock="LCK-7") == 0
    assert usecases.suspend_for(desk, "lock_revoked", trial="OTHER-1") == 0
    assert usecases.suspend_for(desk, "review_overdue", lock="LCK-9") == 0
    assert "gate.suspended" not in opened.words()
    assert usecases.suspend_for(desk, "review_overdue", trial=TRIAL, caused_by=cause) == 1
    body = last(opened, "gate.suspended")
    assert (body["fields"], body["caused_by"], body["rule"], body["role"], body["trial"], body["actor"]) == (
        {"gate": "G3-word", "use": 3, "cause": "review_overdue", "says": SUSPENSION_CAUSES["review_overdue"].says},
        cause, "P-03", "service", TRIAL, "gates")
    assert usecases.suspend_for(desk, "lock_revoked", lock=build.LOCK, trial=TRIAL) == 1
    assert {gate: state_of(opened, gate) for gate in (GATE, "G2-word", "G3-word")} == {
        GATE: "suspended", "G2-word": "open", "G3-word": "suspended"}
    assert usecases.suspend_for(desk, "critical_deviation", trial=TRIAL) == 1
    assert state_of(opened, "G2-word") == "suspended"
    assert usecases.suspend_for(desk, "critical_deviation", trial=TRIAL) == 0


@req("GAT-04", "SIG-10")
def test_the_daily_look_suspends_each_open_gate_whose_ground_is_lost(opened: HouseUnderTest) -> None:
    assert usecases.enforce(opened.desk) == 0
    signed(opened, "validation-lead", ModelRetired(lock=build.LOCK, model="lesion-at-seed", how="recalled"))

    assert usecases.enforce(opened.desk) == 1

    body = last(opened, "gate.suspended")
    assert (body["fields"], body["rule"], body["role"], body["trial"], body["actor"]) == (
        {"gate": GATE, "use": 1, "cause": "lock_revoked", "says": SUSPENSION_CAUSES["lock_revoked"].says}, "P-03",
        "service", TRIAL, "gates")
    assert usecases.enforce(opened.desk) == 0


@req("GAT-04", "SIG-10")
def test_the_daily_look_finds_a_gate_that_rests_on_a_suspect_signature(opened: HouseUnderTest) -> None:
    kid = next(entry for entry in opened.entries() if entry.body["action"] == "gate.signed").kid
    signed(opened, "qa-auditor", KeyRevoked(kid=kid, because="lost", suspect_from=0))

    assert usecases.enforce(opened.desk) == 1
    assert last(opened, "gate.suspended")["fields"]["cause"] == "suspect_signature"


# Halts ------------------------------------------------------------------------------------------------------------


@req("GAT-05", "SIG-05")
def test_a_halt_names_its_rule_and_what_it_says(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 3)
    with pytest.raises(UnusableInput) as told:
        usecases.halt_gate(opened.desk, LEAD, GATE, "HALT-9")
    assert told.value.fact == ("The charter has no halt rule HALT-9; known: HALT-1, HALT-2, HALT-3, HALT-4, HALT-5, "
                               "judgement.")
    with pytest.raises(Refused) as refusal:
        usecases.halt_gate(opened.desk, LEAD, GATE, "HALT-5")
    assert said(refusal.value) == ("Halt rule HALT-5 halts uses 3, not 1.", "F-609")
    assert refused(opened, "gate.halt") == refusal.value.fact
    with pytest.raises(Refused):
        usecases.halt_gate(opened.desk, build.COORDINATOR, GATE, "judgement")

    for gate, use, rule, says in (("G3-word", "3 secondary", "HALT-5", "ai error overrides"),
                                  (GATE, "1 qc", "HALT-2", "wrong subject")):
        proposal = usecases.halt_gate(opened.desk, LEAD, gate, rule)
        assert (proposal.views[0].title, proposal.views[0].template) == ("Halt of AI", "gates/act")
        assert list(proposal.views[0].lines) == [
            ("Gate", gate), ("AI use", use), ("Halt rule", rule), ("Because", says),
            ("From here on", "without AI, not stopped")]
        opened.commit(proposal)
        body = last(opened, "gate.halted")
        assert (body["fields"], body["manifest"]["meaning"], body["rule"], body["trial"]) == (
            {"gate": gate, "use": int(use[0]), "halt_rule": rule, "says": says}, "responsibility", "P-603", TRIAL)
        assert body["manifest"]["delegation"]


@req("GAT-05")
def test_a_halt_by_judgement_says_whose_it_is_and_only_once(opened: HouseUnderTest) -> None:
    opened.commit(usecases.halt_gate(opened.desk, LEAD, GATE, "judgement"))

    assert last(opened, "gate.halted")["fields"] == {
        "gate": GATE, "use": 1, "halt_rule": "judgement", "says": "judgement of the person who halts"}
    with pytest.raises(Refused) as refusal:
        usecases.halt_gate(opened.desk, LEAD, GATE, "judgement")
    assert said(refusal.value)[1] == "F-601"


@req("GAT-05")
def test_whoever_sees_an_event_halts_what_the_charter_halts_for_it(opened: HouseUnderTest) -> None:
    opened_by_word(opened, 3, 4)
    with pytest.raises(UnusableInput) as told:
        usecases.report_event(opened.desk, build.MANAGER, TRIAL, "bad_weather")
    assert told.value.fact == f"The charter of {TRIAL} has no halt rule for bad_weather."
    with pytest.raises(Refused):
        usecases.report_event(opened.desk, build.COORDINATOR, TRIAL, "wrong_side")
    refused(opened, "gate.halt")

    assert usecases.report_event(opened.desk, build.MANAGER, TRIAL, "wrong_side") == 2

    halts = [entry.body for entry in opened.entries() if entry.body["action"] == "gate.halted"]
    assert [one["fields"] for one in halts] == [
        {"gate": "G3-word", "use": 3, "halt_rule": "HALT-3", "says": "wrong side"},
        {"gate": "G4-word", "use": 4, "halt_rule": "HALT-3", "says": "wrong side"}]
    assert {(one["actor"], one["on_behalf_of"], one["rule"], one["trial"]) for one in halts} == {
        ("gates", "data-manager", "P-603", TRIAL)}
    assert usecases.report_event(opened.desk, build.MANAGER, TRIAL, "wrong_subject") == 1, "the one still open"
    assert state_of(opened) == "halted"


@req("GAT-05")
def test_an_event_on_record_halts_suspended_gates_too_and_a_second_time_nothing(opened: HouseUnderTest) -> None:
    desk, cause = opened.desk, opened.entries()[0].body["id"]
    assert usecases.halt_for(desk, TRIAL, "ai_unblinding", cause) == 0, "it halts uses 3 and 4, and none is open"
    assert usecases.halt_for(desk, TRIAL, "bad_weather", cause) == 0
    assert "gate.halted" not in opened.words()
    opened_by_word(opened, 3)
    usecases.suspend_gate(desk, LEAD, "G3-word", "drift_level_2")

    assert usecases.halt_for(desk, TRIAL, "wrong_subject", cause) == 2

    bodies = [entry.body for entry in opened.entries() if entry.body["action"] == "gate.halted"]
    assert [(one["fields"]["gate"], one["fields"]["halt_rule"], one["fields"]["says"]) for one in bodies] == [
        (GATE, "HALT-2", "wrong subject"), ("G3-word", "HALT-2", "wrong subject")]
    assert {(one["caused_by"], one["actor"], one["rule"], one["trial"]) for one in bodies} == {
        (cause, "gates", "P-03", TRIAL)}
    assert usecases.halt_for(desk, TRIAL, "wrong_subject", cause) == 0


@req("GAT-05")
def test_a_trial_without_a_charter_halts_nothing(ready: HouseUnderTest) -> None:
    from core.trials import usecases as trials

    ready.grant("trial-lead", "trial_lead", trial="NEW-1")
    ready.commit(trials.create_trial(ready.desk, LEAD, trials.CreateTrial("NEW-1", "Another", demonstration=True)))

    assert usecases.halt_for(ready.desk, "NEW-1", "wrong_subject", "cause") == 0


# Ends -------------------------------------------------------------------------------------------------------------


@req("GAT-04", "SIG-05")
def test_qa_alone_revokes_and_says_why(opened: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput) as told:
        usecases.revoke_gate(opened.desk, QA, GATE, "mood")
    assert told.value.fact == (
        "'mood' is no reason here; allowed: evidence_wrong, model_unfit, misuse, authority_request, other.")
    with pytest.raises(Refused):
        usecases.revoke_gate(opened.desk, LEAD, GATE, "misuse")
    refused(opened, "gate.revoke")

    proposal = usecases.revoke_gate(opened.desk, QA, GATE, "model_unfit")
    assert (proposal.views[0].title, proposal.views[0].template, lines(proposal)) == (
        "Gate revoked", "gates/act", {"Gate": GATE, "Reason": "model unfit"})
    opened.commit(proposal)

    body = last(opened, "gate.revoked")
    assert (body["fields"], body["reason"], body["manifest"]["meaning"], body["rule"], body["trial"]) == (
        {"gate": GATE, "use": 1}, "model_unfit", "responsibility", "P-604", TRIAL)
    with pytest.raises(Refused) as refusal:
        usecases.revoke_gate(opened.desk, QA, GATE, "misuse")
    assert said(refusal.value)[1] == "F-601"


@req("GAT-04")
def test_only_a_request_is_taken_back_and_by_its_lead(opened: HouseUnderTest) -> None:
    for actor, rule in ((QA, None), (LEAD, "F-601")):
        with pytest.raises(Refused) as refusal:
            usecases.withdraw_gate(opened.desk, actor, GATE, "wrong_data")
        assert rule is None or said(refusal.value)[1] == rule
        refused(opened, "gate.withdraw")

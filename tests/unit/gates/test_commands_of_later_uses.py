"""What commands ask about a gate with endpoint and scope, in which role they act, and on whose training they rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary import sops
from audit.vocabulary.gates import GateOpened, GateRequested, JudgedCriterion
from audit.vocabulary.ledger import KeyRevoked
from core.errors import Refused
from core.gates import queries, usecases
from core.gates.criteria import Judged
from core.gates.facts import GateFacts
from core.gates.rules import GateState
from core.gates.usecases import RequestGate, lost_precondition
from core.policy.state import Actor
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import GATE, copy_of, last
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import HouseUnderTest
from tests.req import req
from tests.unit.gates.test_gate_rules import full, leaving_out

LEAD, QA = build.LEAD, build.QA
SITES, VOLUME = "sites:101,102", f"{TRIAL}-G3-1"


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


@req("GAT-01", "GAT-02")
def test_criteria_are_judged_of_exactly_the_opening_that_is_asked_for_and_signed(
    ready: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Criteria stand in here: what they are asked about is what this test is about."""
    met = (Judged("pq", "PQ verdict", "validation_lead", False, "met", "passed", "passed", (1,)),)
    asked: set[tuple[Any, ...]] = set()

    def judged_now(session: Any, *opening: Any) -> tuple[Judged, ...]:
        asked.add(opening)
        return met

    monkeypatch.setattr("core.gates.gathering.judged_now", judged_now)
    ready.commit(usecases.request_gate(ready.desk, LEAD, RequestGate(TRIAL, "secondary", build.LOCK, "volume", SITES)))
    build.sign_all(ready, VOLUME)

    body = last(ready, "gate.opened")
    assert asked == {(TRIAL, 3, "volume", SITES, build.LOCK, body["at"][:10])}
    assert {name: body["fields"][name] for name in ("gate", "use", "use_name", "endpoint", "scope", "lock")} == {
        "gate": VOLUME, "use": 3, "use_name": "secondary", "endpoint": "volume", "scope": SITES, "lock": build.LOCK}
    assert last(ready, "gate.requested")["fields"]["endpoint"] == "volume"
    assert last(ready, "gate.signed")["manifest"]["scope"] == SITES
    usecases.suspend_gate(ready.desk, LEAD, VOLUME, "drift_level_2")
    build.sign_all(ready, VOLUME)
    assert {opening[:5] for opening in asked} == {(TRIAL, 3, "volume", SITES, build.LOCK)}
    # Another endpoint, scope or lock of the same use is another opening, another trial's number is its own.
    for change in ({"scope": "all"}, {"lock": "LCK-9"}):
        command = replace(RequestGate(TRIAL, "3", build.LOCK, "volume", SITES), **change)
        assert dict(usecases.request_gate(ready.desk, LEAD, command).views[0].lines)["Gate"] == f"{TRIAL}-G3-2"


@req("GAT-04")
def test_the_daily_look_gathers_the_facts_of_each_open_gate(
    opened: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate whose opening rested on a waiver closes when what was waived is open; the other stays as it is."""
    waived = (JudgedCriterion(id="privacy", state="waived", found="not filed", limit="filed", waiver="W-1"),)
    signed(opened, "trial-lead", GateRequested(
        gate="G3-word", use=3, use_name="secondary", scope=SITES, lock="LCK-9", model="m", criteria=waived,
        endpoint="volume"))
    recorded(opened, GateOpened(gate="G3-word", use=3, use_name="secondary", scope=SITES, lock="LCK-9",
                                criteria=waived, signed=(), endpoint="volume"), "gates")
    asked: list[tuple[Any, ...]] = []

    def facts_of(session: Any, *opening: Any) -> GateFacts:
        asked.append(opening)
        return replace(full(opening[1]), filed=tuple(one for one in full(3).filed if one.kind != "privacy_assessment"))

    monkeypatch.setattr("core.gates.gathering.facts_of", facts_of)
    today = opened.desk.occasion().at[:10]

    assert usecases.enforce(opened.desk) == 1
    assert asked == [(TRIAL, 1, None, "all", build.LOCK, today), (TRIAL, 3, "volume", SITES, "LCK-9", today)]
    assert {name: last(opened, "gate.suspended")["fields"][name] for name in ("gate", "cause")} == {
        "gate": "G3-word", "cause": "waiver_expired"}


@req("GAT-04", "SIG-10")
def test_a_suspect_signature_alone_suspends_though_all_its_evidence_stands(opened: HouseUnderTest) -> None:
    entry = next(one for one in opened.entries() if one.body["action"] == "gate.signed")
    assert entry.body["actor"] == "trial-lead"
    signed(opened, "qa-auditor", KeyRevoked(kid=entry.kid, because="lost", suspect_from=entry.seq))

    assert usecases.enforce(opened.desk) == 1
    assert last(opened, "gate.suspended")["fields"]["cause"] == "suspect_signature"


@req("GAT-04", "GAT-01")
def test_a_use_that_is_not_used_carries_the_one_behind_it_every_day() -> None:
    facts = replace(full(3, leaving_out("cohort")), gates=(GateState("G1", 1, None, "open", 21),))

    assert lost_precondition(facts, frozenset()) is None
    assert lost_precondition(replace(facts, gates=()), frozenset()) == "earlier_gate_revoked"
    assert lost_precondition(replace(full(3), gates=facts.gates), frozenset()) == "earlier_gate_revoked"


@req("GAT-04")
@pytest.mark.parametrize(("use", "role"), [(2, "coordinator"), (3, "reader"), (4, "reader"), (4, "adjudicator")])
def test_a_role_in_which_nobody_was_ever_counted_has_nobody_left(use: int, role: str) -> None:
    able = {name: count for name, count in full(use).able.items() if name != role}

    assert lost_precondition(full(use), frozenset()) is None
    assert lost_precondition(replace(full(use), able=able), frozenset()) == "nobody_left"


@req("GAT-02", "SIG-04")
def test_who_holds_two_roles_signs_in_the_one_that_is_named_in_the_entry(ready: HouseUnderTest) -> None:
    ready.grant("trial-lead", "qa_auditor", trial=TRIAL)
    ready.grant("qa-auditor", "trial_lead", trial=TRIAL)
    ready.commit(usecases.request_gate(ready.desk, LEAD, RequestGate(TRIAL, "qc", build.LOCK)))

    for actor, role in ((LEAD, "trial_lead"), (QA, "qa_auditor")):
        ready.commit(usecases.sign_gate(ready.desk, actor, GATE))
        body = last(ready, "gate.signed")
        assert (body["role"], body["fields"]["signed_as"], body["rule"]) == (role, role, "P-602")


@req("GAT-02", "SOP-03")
def test_who_is_not_trained_signs_no_gate(ready: HouseUnderTest) -> None:
    ready.person("lead-2", "trial_lead", trial=TRIAL)
    ready.commit(usecases.request_gate(ready.desk, LEAD, RequestGate(TRIAL, "qc", build.LOCK)))

    with pytest.raises(Refused) as refusal:
        usecases.sign_gate(ready.desk, Actor("lead-2"), GATE)
    assert refusal.value.rule == "F-02"
    assert "SOP-90" in refusal.value.fact


def governed(house: HouseUnderTest, *acts: str) -> dict[str, str]:
    """A procedure about these acts, which lead and QA have read: the ids of their trainings."""
    signed(house, "qa-auditor", sops.SopDrafted(
        sop="SOP-93", version=1, title="Stops", owner="qa_auditor", governs=acts, applies_to=(), review_months=24,
        window_days=0, text=build.OBJECT))
    signed(house, "qa-auditor", sops.SopApproved(sop="SOP-93", version=1, text_sha256=DIGEST,
                                                 effective_on="2026-01-01"))
    recorded(house, sops.SopEffective(sop="SOP-93", version=1, review_by="2028-01-01"))
    read = sops.TrainingCompleted(sop="SOP-93", version=1, text_sha256=DIGEST, answered=0)
    return {user: signed(house, user, read).id for user in ("qa-auditor", "trial-lead")}


@req("GAT-05", "SOP-03")
def test_what_stops_a_gate_names_the_training_it_rests_on(opened: HouseUnderTest) -> None:
    training = governed(opened, "gate.halt", "gate.withdraw", "gate.revoke")
    proposal = usecases.halt_gate(opened.desk, LEAD, GATE, "judgement")
    assert proposal.bodies[0]["manifest"]["trainings"] == [training["trial-lead"]]
    with pytest.raises(Refused) as refusal:
        usecases.halt_gate(opened.desk, Actor("validation-lead"), GATE, "judgement")
    assert refusal.value.rule == "F-02"

    revocation = usecases.revoke_gate(opened.desk, QA, GATE, "misuse")
    assert revocation.bodies[0]["manifest"]["trainings"] == [training["qa-auditor"]]
    opened.commit(revocation)
    opened.commit(usecases.request_gate(opened.desk, LEAD, RequestGate(TRIAL, "qc", build.LOCK)))
    second = f"{TRIAL}-G1-2"
    taken_back = usecases.withdraw_gate(opened.desk, LEAD, second, "wrong_data")
    assert taken_back.bodies[0]["manifest"]["trainings"] == [training["trial-lead"]]


@req("GAT-03")
def test_a_word_that_does_not_follow_names_its_gate(opened: HouseUnderTest) -> None:
    def told(act: Any) -> str:
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.rule == "F-601"
        return refusal.value.fact

    while_open: dict[str, Any] = {
        "gate.signed": lambda: usecases.sign_gate(opened.desk, LEAD, GATE),
        "gate.withdrawn": lambda: usecases.withdraw_gate(opened.desk, LEAD, GATE, "wrong_data"),
    }
    for word, act in while_open.items():
        assert told(act).startswith(f"Gate {GATE} is open; {word} does not follow.")
    opened.commit(usecases.revoke_gate(opened.desk, QA, GATE, "misuse"))
    afterwards: dict[str, Any] = {
        "gate.suspended": lambda: usecases.suspend_gate(opened.desk, LEAD, GATE, "drift_level_2"),
        "gate.halted": lambda: usecases.halt_gate(opened.desk, LEAD, GATE, "judgement"),
        "gate.revoked": lambda: usecases.revoke_gate(opened.desk, QA, GATE, "misuse"),
    }
    for word, act in afterwards.items():
        assert told(act).startswith(f"Gate {GATE} is revoked; {word} does not follow.")
    with opened.desk.reading() as session:
        assert queries.gate_named(session, GATE).state == "revoked"

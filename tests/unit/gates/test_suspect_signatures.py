"""A key revoked as suspect closes the gates that rest on its signatures; they open again by other signatures."""

from __future__ import annotations

from core.access import rotation, usecases
from core.gates import queries
from core.gates.usecases import enforce
from core.policy.state import Actor
from tests.builders import trials as build
from tests.builders.reads import TRIAL
from tests.house import PASSWORD, HouseUnderTest
from tests.req import req


def open_gate(house: HouseUnderTest) -> str:
    """Gate 1 of a live trial, and somebody who looks after accounts."""
    build.live(house)
    build.evidence_of_use_1(house)
    house.person("owner-1", "system_owner")
    return build.opened(house, "qc")


def doubt(house: HouseUnderTest, user: str, since: int) -> None:
    """The person replaces their key, and the old one is revoked as suspect from an entry on."""
    old = house.house.signer.kid_of_person(user)
    house.commit(rotation.rotate_key(house.desk, Actor(user), rotation.RotateKey(PASSWORD)).proposal)
    house.commit(usecases.revoke_key(house.desk, Actor("owner-1"), old, "laptop stolen", suspect_from=since))


def last_seq(house: HouseUnderTest, word: str, actor: str) -> int:
    return int(max(one.seq for one in house.entries() if (one.body["action"], one.body["actor"]) == (word, actor)))


def state_of(house: HouseUnderTest, gate: str) -> str:
    with house.desk.reading() as session:
        return queries.gate_named(session, gate).state


@req("GAT-04", "SIG-10")
def test_a_gate_signed_with_a_suspect_key_is_suspended_and_resumes_by_new_signatures(house: HouseUnderTest) -> None:
    gate = open_gate(house)
    doubt(house, "trial-lead", last_seq(house, "gate.signed", "trial-lead"))
    assert state_of(house, gate) == "open", "the suspicion itself is an entry; what follows comes from the outbox"

    house.work()

    suspended = [one for one in house.entries() if one.body["action"] == "gate.suspended"]
    assert [one.body["fields"]["cause"] for one in suspended] == ["suspect_signature"]
    assert state_of(house, gate) == "suspended"
    build.sign_all(house, gate)
    assert state_of(house, gate) == "open"
    assert enforce(house.desk) == 0


@req("GAT-04", "SIG-10")
def test_a_suspicion_that_begins_after_the_signatures_suspends_nothing(house: HouseUnderTest) -> None:
    gate = open_gate(house)
    doubt(house, "trial-lead", last_seq(house, "gate.signed", "trial-lead") + 1)

    house.work()

    assert (state_of(house, gate), enforce(house.desk)) == ("open", 0)


@req("GAT-02", "GAT-04", "SIG-10")
def test_evidence_signed_with_a_suspect_key_keeps_a_gate_shut_until_it_is_signed_anew(house: HouseUnderTest) -> None:
    """The release that gate 1 rests on: the gate closes, does not resume on it, and opens with a new release."""
    import pytest

    from core.errors import Refused
    from tests.builders.reads import signed

    gate = open_gate(house)
    doubt(house, "qa-auditor", last_seq(house, "release.signed", "qa-auditor"))
    house.work()
    assert state_of(house, gate) == "suspended"
    with pytest.raises(Refused, match="rests on suspect entries"):
        build.sign_all(house, gate)

    from audit.vocabulary import validation
    from core.work import release

    signed(house, "qa-auditor", validation.ReleaseSigned(
        target="installation", what=release(), runs=(), conclusion="fit", evidence_class="demonstration"))
    build.filed(house, build.QA, "privacy_assessment")
    build.sign_all(house, gate)

    assert state_of(house, gate) == "open"
    assert enforce(house.desk) == 0


@req("GAT-02", "SIG-10")
def test_a_suspect_signature_on_a_request_is_given_again(house: HouseUnderTest) -> None:
    from core.gates.usecases import RequestGate, request_gate, sign_gate

    build.live(house)
    build.evidence_of_use_1(house)
    house.person("owner-1", "system_owner")
    house.commit(request_gate(house.desk, build.LEAD, RequestGate(TRIAL, "qc", build.LOCK)))
    gate = f"{TRIAL}-G1-1"
    house.commit(sign_gate(house.desk, build.LEAD, gate))
    doubt(house, "trial-lead", last_seq(house, "gate.signed", "trial-lead"))
    with house.desk.reading() as session:
        assert queries.signed_of(session, queries.gate_named(session, gate)) == ()

    build.sign_all(house, gate)

    opened = next(one for one in house.entries() if one.body["action"] == "gate.opened")
    first, again = [one.body["id"] for one in house.entries()
                    if (one.body["action"], one.body["actor"]) == ("gate.signed", "trial-lead")]
    assert first not in opened.body["fields"]["signed"]
    assert again in opened.body["fields"]["signed"]

"""People by the real use cases: founded, enrolled by two others, trained, granted."""

from __future__ import annotations

from typing import Any

from audit.ledger import Receipt
from audit.signatures import NewKey
from core.access import enrolment, founding, passkeys, usecases
from core.policy.state import Actor
from core.proposal import Proposal
from core.reads.seal_keys import enrol_recovery_key
from core.work import Proof
from sops import texts
from sops import usecases as sops
from tests.house import PASSWORD, HouseUnderTest
from tests.passkeys import Authenticator

CHALLENGE = bytes(range(32))
OWNER, QA, THIRD = Actor("owner"), Actor("qa"), Actor("lead")


def _keep(house: HouseUnderTest, key: NewKey) -> None:
    house.secrets[key.holder], house.counters[key.holder] = key.one_time_secret, 0


def founders(house: HouseUnderTest) -> None:
    """Owner and QA are enrolled by the root key; nothing is signed yet."""
    keys = founding.enrol_founders(
        house.desk, founding.Founder("owner", "Owner (test)", PASSWORD, one_time_kind="counter"),
        founding.Founder("qa", "Quality (test)", PASSWORD, one_time_kind="counter"),
    )
    for key in keys:
        _keep(house, key)
    house.shares = enrol_recovery_key(house.desk, "owner", "qa")


def founded(house: HouseUnderTest) -> None:
    """Owner and QA have signed accountability and founding."""
    founders(house)
    for one in (OWNER, QA):
        house.commit(founding.found_installation(house.desk, one))


def registered(house: HouseUnderTest, user: str, by: Actor = OWNER) -> str:
    """A person registered and checked; returns the one-time enrolment code."""
    command = enrolment.RegisterPerson(user, f"{user.capitalize()} (test)", "passport")
    house.commit(enrolment.register_person(house.desk, by, command))
    return command.code


def enrolled(house: HouseUnderTest, user: str, by: Actor = OWNER, witness: Actor = QA) -> Actor:
    """A person with an own key, enrolled by two others."""
    code = registered(house, user, by)
    made = enrolment.enrol_key(
        house.desk, by, enrolment.EnrolKey(user, code, PASSWORD, "counter"), witness=witness,
        witness_proof=house.proof(witness.user),
    )
    _keep(house, made.key)
    house.commit(made.proposal)
    return Actor(user)


def active(house: HouseUnderTest, user: str, by: Actor = OWNER, witness: Actor = QA) -> Actor:
    """An enrolled person who has stated accountability."""
    actor = enrolled(house, user, by, witness)
    house.commit(enrolment.state_accountability(house.desk, actor))
    return actor


def granted(
    house: HouseUnderTest, user: str, role: str, by: Actor = QA, trial: str | None = None, site: str | None = None
) -> None:
    """A role granted by somebody who may."""
    house.commit(usecases.grant_role(
        house.desk, by, usecases.GrantRole(user, role, "needed for the work", trial, site)))


def effective_sop(
    house: HouseUnderTest, sop: str, author: Actor, reviewer: Actor, approver: Actor = QA, window_days: int = 0
) -> None:
    """A shipped template drafted, reviewed and approved by three people."""
    house.commit(sops.draft_sop(house.desk, author, sops.DraftSop(texts.template(sop), window_days)))
    house.commit(sops.review_sop(house.desk, reviewer, sop))
    house.commit(sops.approve_sop(house.desk, approver, sop))


def trained(house: HouseUnderTest, actor: Actor, *numbers: str) -> Actor:
    """Read and understood, signed."""
    for sop in numbers:
        house.commit(sops.complete_training(house.desk, actor, sops.CompleteTraining(sop)))
    return actor


def opened(house: HouseUnderTest) -> Actor:
    """A whole founding by three people; returns the third, validation lead of the house."""
    founded(house)
    third = active(house, THIRD.user)
    granted(house, third.user, "validation_lead")
    effective_sop(house, "SOP-01", author=third, reviewer=OWNER)
    for one in (OWNER, QA, third):
        trained(house, one, "SOP-01")
    for one in (OWNER, QA):
        house.commit(founding.open_installation(house.desk, one))
    return third


def answered(proposal: Proposal, device: Authenticator, **wrong: Any) -> Proposal:
    """The page as a person's passkey answered for it; `wrong` says how otherwise than it should."""
    page = proposal.with_passkey()
    return page.answered([device.answer(body, **wrong) for body in page.bodies])


def signed_by_passkey(house: HouseUnderTest, proposal: Proposal, device: Authenticator, **wrong: Any) -> Receipt:
    """Committed with password and passkey."""
    return house.desk.commit(answered(proposal, device, **wrong), Proof(PASSWORD))


def new_passkey(house: HouseUnderTest, user: str, device: Authenticator, **options: Any) -> Proposal:
    """The page on which a person enrols a passkey that a browser just made."""
    made = house.desk.signer.read_passkey(CHALLENGE, *device.register(CHALLENGE))
    return passkeys.enrol_passkey(house.desk, Actor(user), passkeys.EnrolPasskey(
        made, **{"label": f"Key of {user}"} | options))


def with_passkey(
    house: HouseUnderTest, user: str, device: Authenticator | None = None, **options: Any
) -> Authenticator:
    """A first passkey of a person, by the real use case."""
    device = device or Authenticator.of(user)
    house.desk.commit(answered(new_passkey(house, user, device, **options), device), house.proof(user))
    return device

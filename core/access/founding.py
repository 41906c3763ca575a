"""How an installation begins: two people by the root key, then their signatures, then the opening by QA last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from audit.entry import base64_text
from audit.signatures import NewKey, Signature
from audit.vocabulary.access import (
    IdentityChecked,
    InstallationFounded,
    InstallationOpened,
    PersonRegistered,
    RoleGranted,
)
from audit.vocabulary.ledger import KeyEnrolled
from core.access import queries, views
from core.access.enrolment import accountability_draft
from core.access.rules import Account, password_refusals, user_id_refusal
from core.errors import AlreadyDone, Refused, UnusableInput
from core.policy.decide import decide, permit
from core.policy.state import Actor
from core.work import Desk, Draft, Occasion, Proposal, Prover


@dataclass(frozen=True, slots=True)
class Founder:
    """One of the first two people, with the signing password of their own choice."""

    user: str
    printed_name: str
    password: str = field(repr=False)
    local_offset: str = "+00:00"
    one_time_kind: str = "time"


def enrol_founders(desk: Desk, owner: Founder, qa: Founder) -> tuple[NewKey, NewKey]:
    """Register and enrol owner and QA by the root key alone, flagged `at_init`; the verifier lists them for ever.

    Returns the two keys; each one-time secret is for its holder alone.
    """
    check_founders(owner, qa)
    with desk.reading() as session:
        if queries.everybody(session):
            raise AlreadyDone("The first people of this installation are enrolled already.")
    keys, entries = [], []
    for founder, role in ((owner, "system_owner"), (qa, "qa_auditor")):
        desk.signer.forget_unenrolled(founder.user)
        key = desk.signer.new_person(
            founder.user, founder.printed_name, founder.password, one_time_kind=founder.one_time_kind
        )
        keys.append(key)
        entries += _first_entries(desk, founder, role, key)
    desk.record_as_root(entries)
    return keys[0], keys[1]


def check_founders(owner: Founder, qa: Founder) -> None:
    """Raises UnusableInput with every reason against these two, before anything is made."""
    problems = [reason for one in (owner, qa) for reason in _founder_refusals(one)]
    if owner.user == qa.user:
        problems.append("Owner and QA are two people.")
    if problems:
        raise UnusableInput(" ".join(problems))


def _founder_refusals(founder: Founder) -> list[str]:
    reasons = password_refusals(founder.password, founder.user, founder.printed_name)
    refusal = user_id_refusal(founder.user)
    return [f"{founder.user}: {reason}" for reason in ([refusal] if refusal else []) + reasons]


def _first_entries(
    desk: Desk, founder: Founder, role: str, key: NewKey
) -> list[tuple[Any, tuple[Prover, ...]]]:
    def prove(message: bytes) -> Signature:
        return desk.signer.prove_new_person(founder.user, founder.password, message)

    user, name, offset = founder.user, founder.printed_name, founder.local_offset
    enrolled = KeyEnrolled(
        klass="person", holder=user, public_key=base64_text(key.public_key), printed_name=name, local_offset=offset,
        certificate_sha256=key.certificate_sha256, identity="in_person", at_init=True,
    )
    return [
        (PersonRegistered(user=user, printed_name=name, local_offset=offset, at_init=True), ()),
        (IdentityChecked(user=user, how="in_person", at_init=True), ()),
        (enrolled, (prove,)),
        (RoleGranted(user=user, role=role, because="first of the installation", at_init=True), ()),
    ]


def found_installation(desk: Desk, actor: Actor) -> Proposal:
    """The founders' page: accountability and founding, signed by the owner, then by QA naming the first entry."""

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        signed = queries.signed_step(session, "founded")
        facts = queries.standing(
            session, actor, None, "installation.found", relations={"signed_already"} if actor.user in signed else ()
        )
        stating: list[Draft] = []
        person = queries.registered(session, actor.user)
        if person.account is Account.ENROLLED:
            # The statement stands first on this very page, so the account is active when the second body counts.
            stating = [accountability_draft(session, actor)]
            facts = replace(facts, relations=facts.relations - {"inactive"})
        decision = permit(actor, "installation.found", facts)
        if len(signed) >= 2:
            raise AlreadyDone("Owner and QA have founded this installation already.")
        owner, qa = _first_two(session)
        event = InstallationFounded(owner=owner, qa=qa, first=next(iter(signed.values()), None))
        view = views.founding(_named(session, owner), _named(session, qa), desk.signer.origin)
        return [*stating, Draft(event, under=decision, meaning="responsibility", view=view)]

    return desk.prepare(actor, propose, asked="installation.found")


def open_installation(desk: Desk, actor: Actor) -> Proposal:
    """The end of founding: the owner signs, then QA last; everything missing is named (TRIAL 1)."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        gaps = queries.what_opening_lacks(session)
        signed = queries.signed_step(session, "opened")
        known = {"incomplete"} if gaps else set()
        known |= {"signed_already"} if actor.user in signed else set()
        known |= {"first_signed"} if signed else set()
        decision = decide(
            actor, "installation.open", queries.standing(session, actor, None, "installation.open", relations=known)
        )
        if decision.rule == "F-107":
            lacking = " ".join(f"{gap.what} It can be supplied by {gap.supplied_by}." for gap in gaps)
            raise Refused(f"{decision.because} {lacking}", rule=decision.rule)
        if not decision.allowed:
            raise Refused(decision.because, rule=decision.rule)
        people = [one for one in queries.everybody(session) if one.account is Account.ACTIVE]
        documents = [one for one in queries.bindings_now(session) if one.effective]
        event = InstallationOpened(
            people=len(people), documents=tuple(f"{one.sop} version {one.version}" for one in documents),
            first=next(iter(signed.values()), None),
        )
        view = views.opening(
            [(f"{one.printed_name} ({one.user})",
              ", ".join(grant.role for grant in queries.grants_of(session, one.user))) for one in people],
            [(f"{one.sop} version {one.version}", one.title) for one in documents],
        )
        found = queries.basis(session, actor.user, decision.role, "installation.open", None)
        return Draft(event, under=decision, meaning="approval", view=view, trainings=found.trainings)

    return desk.prepare(actor, propose, asked="installation.open")


def _first_two(session: Connection) -> tuple[str, str]:
    owners, qas = queries.people_with(session, "system_owner"), queries.people_with(session, "qa_auditor")
    return owners[0], qas[0]


def _named(session: Connection, user: str) -> str:
    return f"{queries.registered(session, user).printed_name} ({user})"

"""A person's way in: registered, identity checked, key born with its holder, accountability stated."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection

from audit.entry import MalformedEntry, base64_text, check_profile
from audit.signatures import NewKey, Proof, Signature
from audit.vocabulary.access import AccountabilityStated, IdentityChecked, PersonRegistered
from audit.vocabulary.ledger import KeyEnrolled
from core.access import queries, views
from core.access.drafts import check_step, draft, self_relation
from core.access.rules import IDENTITY_CHECKS, STATEMENT, Account, password_refusals, user_id_refusal
from core.clock import from_words, in_words
from core.errors import AlreadyDone, NotAuthenticated, Refused, UnusableInput
from core.persons import active_kids, person_named
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.work import Desk, Draft, Occasion, Proposal

CODE_LIFE_US = 72 * 3600 * 1_000_000


# -- registering and checking ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RegisterPerson:
    """Who is to have an account, and how their identity was checked."""

    user: str
    printed_name: str
    how: str
    local_offset: str = "+00:00"
    code: str = field(default_factory=lambda: new_code(), repr=False)


def new_code() -> str:
    """A one-time enrolment code with 80 random bits, in four groups that can be read out."""
    alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    signs = "".join(secrets.choice(alphabet) for _ in range(16))
    return "-".join(signs[start:start + 4] for start in range(0, 16, 4))


def code_digest(user: str, code: str) -> str:
    """What the record keeps of an enrolment code; 80 random bits cannot be guessed from it."""
    plain = code.strip().upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(f"countersign-enrolment/1\x00{user}\x00{plain}".encode()).hexdigest()


def register_person(desk: Desk, actor: Actor, command: RegisterPerson) -> Proposal:
    """One page: the person is registered and their identity was checked; `command.code` goes to them by hand."""
    _check_newcomer(command)

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        facts = queries.standing(session, actor, None, "person.register")
        registering = permit(actor, "person.register", facts)
        checking = permit(actor, "identity.check", queries.standing(
            session, actor, None, "identity.check", relations=self_relation(actor, command.user)))
        if queries.person_row(session, command.user) is not None:
            raise AlreadyDone(f"The user id {command.user} is taken; ids are never given a second time.",
                              next_step="Choose another id; nothing was changed.")
        registered = PersonRegistered(
            user=command.user, printed_name=command.printed_name, local_offset=command.local_offset
        )
        view = views.registration(command.user, command.printed_name, command.local_offset)
        return [
            draft(session, actor, registered, registering, "responsibility", view, "person.register"),
            _identity_draft(session, actor, command.user, command.printed_name, command.how, command.code,
                            checking, occasion),
        ]

    return desk.prepare(actor, propose, asked="person.register")


def check_identity(desk: Desk, actor: Actor, user: str, how: str, code: str) -> Proposal:
    """Check a registered person again and hand out a new one-time code, because the first ran out."""
    if how not in IDENTITY_CHECKS:
        raise UnusableInput(f"`{how}` is no way of checking an identity; known: {', '.join(IDENTITY_CHECKS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        facts = queries.standing(session, actor, None, "identity.check", relations=self_relation(actor, user))
        decision = permit(actor, "identity.check", facts)
        person = queries.registered(session, user)
        check_step(person, "identity.checked")
        return _identity_draft(session, actor, user, person.printed_name, how, code, decision, occasion)

    return desk.prepare(actor, propose, asked="identity.check")


def _identity_draft(
    session: Connection, actor: Actor, user: str, name: str, how: str, code: str, decision: Decision, occasion: Occasion
) -> Draft:
    until = in_words(occasion.at_us + CODE_LIFE_US)
    checked = IdentityChecked(user=user, how=how, code_sha256=code_digest(user, code), code_until=until)
    return draft(session, actor, checked, decision, "witness", views.identity(user, name, how, until),
                  "identity.check")


def _check_newcomer(command: RegisterPerson) -> None:
    reason = user_id_refusal(command.user)
    if reason is None and not 2 <= len(command.printed_name.strip()) <= 200:
        reason = "A printed name has 2 to 200 characters."
    if reason is None and command.how not in IDENTITY_CHECKS:
        reason = f"`{command.how}` is no way of checking an identity; known: {', '.join(IDENTITY_CHECKS)}."
    if reason is None and not _is_offset(command.local_offset):
        reason = f"`{command.local_offset}` is no offset from UTC; one looks like +01:00."
    if reason is not None:
        raise UnusableInput(reason)
    try:
        check_profile(command.printed_name, "printed name")
    except MalformedEntry as error:
        raise UnusableInput(f"{error}") from error


def _is_offset(text: str) -> bool:
    sign, digits = text[:1], text[1:].split(":")
    return (
        sign in "+-" and len(text) == 6 and len(digits) == 2 and all(part.isdigit() for part in digits)
        and int(digits[0]) <= 14 and int(digits[1]) < 60
    )


# -- enrolling ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnrolKey:
    """What the holder gives: the one-time code that they were handed, and a signing password of their choice."""

    user: str
    code: str = field(repr=False)
    password: str = field(repr=False)
    one_time_kind: str = "time"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The page that the first person signs, and the new key; its one-time secret is shown to the holder alone."""

    proposal: Proposal
    key: NewKey


def enrol_key(desk: Desk, actor: Actor, command: EnrolKey, *, witness: Actor, witness_proof: Proof) -> Enrolment:
    """Key and signing password are born with the holder; the new key and two other persons prove it (RECORD 4).

    Args:
        actor: the first person, who signs the returned page.
        witness: the second person, whose proof is given now.

    Raises:
        NotAuthenticated: the enrolment code is wrong, used or too old, or the witness's proof is wrong; recorded.
        UnusableInput: the signing password is refused; every reason is named.
    """
    person = _may_enrol(desk, actor, command)
    if reasons := password_refusals(command.password, command.user, person.printed_name):
        raise UnusableInput(" ".join(reasons))
    desk.signer.forget_unenrolled(command.user)
    key = desk.signer.new_person(
        command.user, person.printed_name, command.password, one_time_kind=command.one_time_kind
    )

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.registered(session, command.user)
        check_step(row, "key.enrolled")
        same = {"same_person"} if witness.user == actor.user else set()
        first, _ = (
            permit(one, "key.enrol", queries.standing(
                session, one, None, "key.enrol", relations=same | self_relation(one, command.user)))
            for one in (actor, witness)
        )
        event = KeyEnrolled(
            klass="person", holder=command.user, public_key=base64_text(key.public_key),
            printed_name=row.printed_name, local_offset=row.local_offset,
            certificate_sha256=key.certificate_sha256, identity=row.identity,
            recovered=True if row.account is Account.RECOVERING else None,
        )
        name = person_named(session, witness.user).printed_name
        view = views.enrolment(command.user, row.printed_name, row.identity or "", key.kid, f"{name} ({witness.user})")
        return draft(
            session, actor, event, first, "witness", view, "key.enrol",
            proofs_by=((desk.signer.kid_of_person(witness.user), prove_witness), (key.kid, prove_new)),
        )

    def prove_witness(message: bytes) -> Signature:
        return desk.signer.sign_page(witness.user, witness_proof, [message])[0]

    def prove_new(message: bytes) -> Signature:
        return desk.signer.prove_new_person(command.user, command.password, message)

    try:
        return Enrolment(desk.prepare(actor, propose, asked="key.enrol"), key)
    except NotAuthenticated as failure:
        desk.signer.forget_unenrolled(command.user)
        desk.record_failed_proof(witness.user, "prove key.enrolled", failure)
        raise
    except Refused:
        desk.signer.forget_unenrolled(command.user)
        raise


def _may_enrol(desk: Desk, actor: Actor, command: EnrolKey) -> queries.PersonRow:
    """The person, once the code is theirs and fresh; a key that counts is never made twice."""
    with desk.reading() as session:
        person = queries.registered(session, command.user)
        waiting = person.account in (Account.REGISTERED, Account.CHECKED, Account.RECOVERING)
        if active_kids(session, command.user) or not waiting:
            raise AlreadyDone(
                f"{command.user} has enrolled already; the one-time code was used up by it.",
                next_step=f"Nothing was changed. A lost key is recovered: `countersign user recover {command.user}`.",
            )
        check_step(person, "key.enrolled")
    if person.code_not_before is not None and desk.clock.now() < from_words(person.code_not_before):
        raise UnusableInput(
            f"The recovery of {command.user} waits until {person.code_not_before[:19].replace('T', ' ')} UTC, so that "
            "its holder can object.", next_step="No key was made; come back then.",
        )
    fitting = secrets.compare_digest(code_digest(command.user, command.code), person.code_sha256 or "")
    late = person.code_until is None or desk.clock.now() > from_words(person.code_until)
    if fitting and not late:
        return person
    failure = NotAuthenticated(
        f"The enrolment code of {command.user} is {'too old' if fitting else 'wrong'}.",
        next_step=f"No key was made. A new code: `countersign user check {command.user}`.",
    )
    desk.record_refusal(command.user, "key.enrol", Refused(failure.fact, rule="F-00"))
    raise failure


def state_accountability(desk: Desk, actor: Actor) -> Proposal:
    """The person's statement of what their signature means; without it they act in nothing (21 CFR 11.10(j))."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        return accountability_draft(session, actor)

    return desk.prepare(actor, propose, asked="accountability.state")


def accountability_draft(session: Connection, actor: Actor) -> Draft:
    """The statement as a draft, for pages that hold more than it."""
    decision = permit(actor, "accountability.state", queries.standing(session, actor, None, "accountability.state"))
    person = queries.registered(session, actor.user)
    check_step(person, "accountability.stated")
    return Draft(
        AccountabilityStated(user=actor.user, statement=STATEMENT), under=decision, meaning="responsibility",
        view=views.accountability(person.printed_name, actor.user, STATEMENT),
    )

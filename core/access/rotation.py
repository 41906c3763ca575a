"""A key replaced by its successor: a person's by its holder, one of the house by owner and QA together (RECORD 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from audit.entry import base64_text, kid_of
from audit.signatures import LOG_BESIDE, NewKey, Signature
from audit.vocabulary.ledger import KeyRotated, KeyRotationSigned
from core.access import queries, views
from core.access.drafts import draft
from core.access.rules import password_refusals
from core.clock import from_words
from core.errors import NotFound, Refused, UnusableInput
from core.persons import ED25519, ML_DSA_44, KeyRow, keys_in_force, person_named
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts
from core.two_persons import permit_signature
from core.work import Desk, Draft, Occasion, Proposal, Work

INSTALLATION, LOG, ROOT = "installation", "log", "root"
#: Keys of the installation itself, by their name at the signer; every other key of the house is a service's.
OWN = (ROOT, LOG)


# -- a person's own key ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RotateKey:
    """The signing password of the new key, the same or another; the kind of a new second factor where one is wanted."""

    password: str = field(repr=False)
    one_time_kind: str | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """The page that the holder signs with the old key, and the new one; a new one-time secret is for them alone."""

    proposal: Proposal
    key: NewKey


def rotate_key(desk: Desk, actor: Actor, command: RotateKey) -> Rotation:
    """The holder replaces their own key: signed by the old one, proved by the new one, one entry.

    Until the entry is committed the old key signs; from it on only the new one does.

    Raises:
        Refused: the account is not active, or locked after failed proofs; recorded.
        UnusableInput: the signing password is refused; every reason is named, no key was made.
    """

    def ask(session: Connection, at_us: int) -> Decision:
        person = queries.registered(session, actor.user)
        until = person.locked_out_until
        locked = {"locked_out"} if until is not None and from_words(until) > at_us else set()
        return permit(actor, "key.rotate", queries.standing(
            session, actor, None, "key.rotate", relations={"self"} | locked))

    try:
        with desk.reading() as session:
            ask(session, desk.clock.now())
            holder = person_named(session, actor.user)
    except Refused as refusal:
        desk.record_refusal(actor.user, "key.rotate", refusal)
        raise
    if reasons := password_refusals(command.password, actor.user, holder.printed_name):
        raise UnusableInput(" ".join(reasons), next_step="No key was made; the old one stays.")
    key = desk.signer.next_person(
        actor.user, holder.printed_name, command.password, one_time_kind=command.one_time_kind)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        decision = ask(session, occasion.at_us)
        old = person_named(session, actor.user)
        event = KeyRotated(
            kid=old.kid, klass="person", holder=actor.user, public_key=base64_text(key.public_key),
            printed_name=old.printed_name, local_offset=old.local_offset, certificate_sha256=key.certificate_sha256,
        )
        view = views.rotation(actor.user, old.printed_name, old.kid, key.kid, new_factor=bool(key.one_time_secret))
        return draft(session, actor, event, decision, "responsibility", view, "key.rotate",
                     proofs_by=((key.kid, prove_new),))

    def prove_new(message: bytes) -> Signature:
        return desk.signer.prove_next_person(actor.user, key.kid, command.password, message)

    return Rotation(desk.prepare(actor, propose, asked="key.rotate"), key)


# -- keys of the house -----------------------------------------------------------------------------------------------


def rotate_house_key(desk: Desk, actor: Actor, holder: str, because: str) -> Proposal:
    """A service's key, the log's (`log`) or the root key (`root`) is replaced with the second of two signatures: owner
    and QA, in any order.

    Checkpoints that cover the rotation's entry are signed by the new log key (RECORD 3). The trust card goes on naming
    the first root key, from which the record leads to the one in force.

    Raises:
        NotFound: no such key is in force.
        Refused: this person or this role has signed already.
    """
    klass, named = (holder, INSTALLATION) if holder in OWN else ("service", holder)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        key = _in_force(session, klass, named)
        first, reason = queries.rotation_waiting(session, key.kid)

        def facts(relations: frozenset[str]) -> Facts:
            return queries.standing(session, actor, None, "key.sign_rotation", relations=relations)

        decision = permit_signature(actor, "key.sign_rotation", facts, first)
        event = KeyRotationSigned(
            klass=klass, holder=named, kid=key.kid, because=because, first=first.id if first else None)
        view = views.house_rotation(
            klass, named, key.kid, because, f"{first.in_words()}: {reason}" if first else None)
        return draft(session, actor, event, decision, "approval", view, "key.sign_rotation")

    proposal = desk.prepare(actor, propose, asked="key.sign_rotation")
    if "first" in proposal.bodies[0]["fields"]:
        proposal.then = partial(_replace, successors=_successors(desk, holder), klass=klass, named=named)
    return proposal


def _in_force(session: Connection, klass: str, holder: str, algorithm: str = ED25519) -> KeyRow:
    found = keys_in_force(session, klass, holder, algorithm)
    if not found:
        raise NotFound(f"No {klass} key of {holder!r} is in force.", next_step="`countersign key list` shows all keys.")
    return found[-1]


def _successors(desk: Desk, holder: str) -> tuple[tuple[str, str, bytes], ...]:
    """New keys as (algorithm, name at the signer, public half), made before the lock is taken; the log's own last."""
    beside = holder == LOG and desk.signer.has_house_key(LOG_BESIDE)
    wanted = (*(((ML_DSA_44, LOG_BESIDE),) if beside else ()), (ED25519, holder))
    return tuple((algorithm, name, desk.signer.next_house_key(name)) for algorithm, name in wanted)


def _replace(work: Work, *, successors: tuple[tuple[str, str, bytes], ...], klass: str, named: str) -> None:
    """In the transaction of the second signature: one `key.rotated` for each key, signed by the key that goes."""
    under = permit(Actor.of_service("house"), "key.replace", Facts())
    own = work.acting_as(Actor.of_service(named))
    second = work.entries[0].body["id"]
    for algorithm, name, public in successors:
        old = _in_force(work.session, klass, named, algorithm)
        event = KeyRotated(
            kid=old.kid, klass=klass, holder=named, public_key=base64_text(public),
            algorithm=algorithm if algorithm != ED25519 else None,
        )
        prove = partial(work.desk.signer.attest_next, name, kid_of(public))
        own.record(event, under=under, caused_by=second, key=klass if klass in OWN else None, proofs_by=(prove,))

"""Passkeys of a person: enrolled by their holder alone, revoked by the holder or by those who look after accounts."""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import normalize

from sqlalchemy import Connection

from audit.entry import base64_text
from audit.signatures import NewPasskey
from audit.vocabulary.ledger import KeyPasskeyEnrolled, KeyPasskeyRevoked
from core.access import queries, views
from core.access.drafts import draft, self_relation
from core.errors import AlreadyDone, UnusableInput
from core.passkeys import PASSKEY, in_force, passkey_by_entry
from core.persons import person_named
from core.policy.decide import permit
from core.policy.state import Actor
from core.work import Desk, Draft, Occasion, Proposal

LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class EnrolPasskey:
    """What the browser brought, the holder's name for it, and whether they sign with passkeys alone from then on."""

    new: NewPasskey
    label: str
    alone: bool = False


def enrol_passkey(desk: Desk, actor: Actor, command: EnrolPasskey) -> Proposal:
    """The holder enrols a passkey. The first one answers for itself, beside signing password and one-time code; a
    further one is answered for by one in force, as a further key is proved by the old one (RECORD 4).

    Raises UnusableInput for a label that says nothing or too much.
    """
    label = normalize("NFC", " ".join(command.label.split()))
    if not 1 <= len(label) <= LONGEST_LABEL or not label.isprintable():
        raise UnusableInput(f"A passkey has a name of 1 to {LONGEST_LABEL} characters.",
                            next_step="Name it so that you know it again; nothing was enrolled.")
    new = command.new

    def propose(session: Connection, occasion: Occasion) -> Draft:
        decision = permit(actor, "key.enrol_passkey", queries.standing(
            session, actor, None, "key.enrol_passkey", relations={"self"}))
        own = in_force(session, actor.user)
        event = KeyPasskeyEnrolled(
            credential=base64_text(new.credential), algorithm=new.algorithm, public_key=base64_text(new.public_key),
            rp=new.rp, label=label, sign_count=new.sign_count, synced=new.synced, alone=command.alone or None,
        )
        view = views.passkey(actor.user, person_named(session, actor.user).printed_name, event, len(own))
        factors = ("password", PASSKEY) if own else (*desk.signer.factors_of(actor.user), PASSKEY)
        return draft(session, actor, event, decision, "responsibility", view, "key.enrol_passkey", factors=factors)

    return desk.prepare(actor, propose, asked="key.enrol_passkey")


def revoke_passkey(desk: Desk, actor: Actor, entry: int, because: str) -> Proposal:
    """End a passkey, named by the entry that enrolled it: one's own, or somebody's that was lost (21 CFR 11.300(c)).

    Raises NotFound where no passkey has this entry, AlreadyDone where it has ended.
    """

    def propose(session: Connection, occasion: Occasion) -> Draft:
        passkey = passkey_by_entry(session, entry)
        decision = permit(actor, "key.revoke_passkey", queries.standing(
            session, actor, None, "key.revoke_passkey", relations=self_relation(actor, passkey.holder)))
        if passkey.ended_by is not None:
            raise AlreadyDone(f"The passkey {passkey.label} of {passkey.holder} ended with entry {passkey.ended_by}.",
                              next_step="Nothing was signed.")
        printed = queries.registered(session, passkey.holder).printed_name
        view = views.ending("Revoke a passkey", "passkey-revoked", passkey.holder, printed,
                            f"passkey {passkey.label}, enrolled by entry {passkey.entry}", because)
        event = KeyPasskeyRevoked(
            holder=passkey.holder, credential=passkey.credential, label=passkey.label, because=because)
        return draft(session, actor, event, decision, "approval", view, "key.revoke_passkey")

    return desk.prepare(actor, propose, asked="key.revoke_passkey")

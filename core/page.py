"""What a person signs: the bodies of a page, their signatures, and what is asked again under the lock (RECORD 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from audit import ledger, store
from audit.entry import Entry, SignedBody, base64_text, body_to_sign, canonical
from audit.ledger import Receipt
from audit.signatures import MEANINGS, Proof, Signature
from audit.vocabulary.registry import fields_of, word_of
from core import passkeys
from core.bodies import naming, prove
from core.errors import AlreadyDone, NotAuthenticated, Stale
from core.ids import NOISE, uuid7
from core.objects import VIEW
from core.persons import person_named
from core.policy.state import Actor
from core.proposal import Draft, Occasion, Proposal, as_tuple, release

if TYPE_CHECKING:
    from core.work import Desk

DRAFT_LIFE_US = 15 * 60 * 1_000_000
# Waiting for the lock must not push the time of record past the time that a signature may lie before it.
LOCK_MARGIN_US = 5_000_000


def bodies(
    desk: Desk, session: Connection, actor: Actor, occasion: Occasion, drafts: Sequence[Draft]
) -> tuple[dict[str, Any], ...]:
    """The complete bodies that the drafts of one page come to."""
    return tuple(_body(desk, session, actor, draft, _part(occasion, index)) for index, draft in enumerate(drafts))


def sign(desk: Desk, proposal: Proposal, proof: Proof) -> list[SignedBody]:
    """Signatures of a page's bodies by its person's key, the views kept first."""
    if desk.clock.now() - proposal.occasion.at_us > DRAFT_LIFE_US:
        raise Stale("The page was shown more than 15 minutes ago.")
    for draft in proposal.drafts:
        if draft.owner is None:
            desk.objects.put(draft.view.document(), VIEW)
    try:
        signatures = _signatures(desk, proposal, proof)
    except NotAuthenticated as failure:
        desk.record_failed_proof(proposal.actor.user, f"sign {proposal.bodies[0]['action']}", failure)
        raise
    return [
        SignedBody(body, signature.kid, base64_text(signature.sig))
        for body, signature in zip(proposal.bodies, signatures, strict=True)
    ]


def first_receipt(session: Connection, proposal: Proposal, earlier: dict[str, Entry]) -> Receipt:
    """A retry gets what the first try got, if it is the same page to the last byte (RECORD 2)."""
    recorded = [earlier.get(body["id"]) for body in proposal.bodies]
    if any(entry is None or canonical(entry.body) != canonical(body)
           for entry, body in zip(recorded, proposal.bodies, strict=True)):
        raise AlreadyDone("A page with this id is recorded with other words.")
    return ledger.receipt_for(session, earlier[proposal.bodies[0]["id"]])


def check_again(desk: Desk, session: Connection, proposal: Proposal) -> None:
    """Under the lock: time, head and everything that was asked for the page. Raises Stale, or what the page raised."""
    _still_fresh(desk, session, proposal)
    _ask_again(session, proposal)


def _still_fresh(desk: Desk, session: Connection, proposal: Proposal) -> None:
    """Under the lock: what the bodies say of time, of the record's name and of what was seen must still hold."""
    if proposal.bodies[0]["log"] != desk.origin_now(session):
        raise Stale("The record goes on under another origin since the page was opened.")
    if desk.clock.now() - proposal.occasion.at_us > DRAFT_LIFE_US - LOCK_MARGIN_US:
        raise Stale("The page was shown more than 15 minutes ago.")
    last = store.newest_by(session, proposal.actor.user)
    # A head never falls for one key (RECORD 3): an older page of the same person would break the record.
    if last is not None and last.body["head"]["size"] > proposal.bodies[0]["head"]["size"]:
        raise Stale("You signed another page since this one was opened.")


def _ask_again(session: Connection, proposal: Proposal) -> None:
    now = as_tuple(proposal.propose(session, proposal.occasion))
    same = len(now) == len(proposal.drafts) and all(
        fields_of(new.event) == fields_of(old.event)
        and type(new.event) is type(old.event)
        and (new.under.allowed, new.under.rule, new.under.role) == (True, old.under.rule, old.under.role)
        and new.view.document() == old.view.document()
        and (new.trial, new.reason, new.meaning) == (old.trial, old.reason, old.meaning)
        for new, old in zip(now, proposal.drafts, strict=False)
    )
    if not same:
        raise Stale("What was shown has changed since the page was opened.")


def _signatures(desk: Desk, proposal: Proposal, proof: Proof) -> list[Signature]:
    """Of a page's bodies. Its documents are signed first, in the same unlock, and the bodies then name them."""
    user, drafts = proposal.actor.user, proposal.drafts
    documents = [] if proposal.documents_signed else [one.document for one in drafts if one.document is not None]
    if not documents:
        return desk.signer.sign_page(user, proof, [body_to_sign(body) for body in proposal.bodies])
    certificate = desk.signer.certificate_of(user)
    page = desk.signer.open_page(user, proof, [one.to_sign(certificate) for one in documents])
    made = iter(page.signatures)
    proposal.bodies = tuple(
        body if draft.document is None else naming(body, draft.document.signed(next(made)))
        for draft, body in zip(drafts, proposal.bodies, strict=True)
    )
    proposal.documents_signed = True
    return desk.signer.close_page(user, page.ticket, [body_to_sign(body) for body in proposal.bodies])


def _part(occasion: Occasion, index: int) -> Occasion:
    """The id of the n-th body of a page; the first keeps the page's own."""
    if index == 0:
        return occasion
    noise = hashlib.sha256(f"{occasion.id}/{index}".encode()).digest()[:NOISE]
    return Occasion(occasion.at_us, occasion.at, uuid7(occasion.at_us, random=noise))


def _body(desk: Desk, session: Connection, actor: Actor, draft: Draft, occasion: Occasion) -> dict[str, Any]:
    if draft.meaning not in MEANINGS:
        raise ValueError(f"{draft.meaning!r} is no meaning of a signature.")
    person = person_named(session, actor.user)
    manifest: dict[str, Any] = {
        "printed_name": person.printed_name, "meaning": draft.meaning, "record_type": word_of(draft.event).name,
        "record_digest": hashlib.sha256(canonical(fields_of(draft.event), "fields")).hexdigest(),
        "view_digest": hashlib.sha256(draft.view.document()).hexdigest(),
        "trainings": list(draft.trainings), "local_offset": person.local_offset,
        "auth": passkeys.auth(session, desk.signer, actor.user, draft.factors),
        "release": release(),
    }
    if draft.owner is not None:
        # Named by the digest of its ciphertext, so the signature says where the view lies (RECORD 1, 6).
        manifest["view"] = fields_of(desk.objects.put(draft.view.document(), VIEW, subject=draft.owner))
    manifest |= {key: value for key, value in (("scope", draft.scope), ("delegation", draft.delegation)) if value}
    body = desk.body(
        session, draft.event, actor=actor.user, role=draft.under.role,
        rule=draft.under.rule, occasion=occasion, trial=draft.trial, reason=draft.reason,
        caused_by=draft.caused_by, manifest=manifest,
    )
    if draft.proofs_by:
        prove(body, tuple(by for _, by in draft.proofs_by))
    return body

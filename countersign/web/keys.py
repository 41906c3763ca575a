"""A person's own keys: the personal key, the second factor and the passkeys, which are enrolled and revoked here."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from audit.entry import MalformedEntry, base64_text, from_base64
from audit.signatures import RelyingParty
from core.access.passkeys import LONGEST_LABEL, EnrolPasskey, enrol_passkey, revoke_passkey
from core.errors import NotFound, UnusableInput
from core.passkeys import Passkey, in_force, passkeys_of
from core.persons import Person, person_named
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.exports import same_session
from countersign.web.signing import to_sign

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
Token = Annotated[str, Form(max_length=100)]
MOST_CHALLENGES = 500
ES256, EDDSA = -7, -8  # COSE algorithms that the record takes (RFC 9053, 2)


@router.get("/keys", name="keys")
def keys_page(
    request: Request, site: TheSite, person: ThePerson, signed: Annotated[int | None, Query()] = None
) -> Response:
    return _page(request, site, person, signed=signed)


def _page(
    request: Request, site: Site, person: Session, problem: UnusableInput | None = None, label: str = "",
    signed: int | None = None,
) -> Response:
    party = site.house.signer.relying_party()
    with site.house.desk.reading() as session:
        holder, own = _holder(session, person.user)
    usable = [one for one in own if one.ended_by is None]
    ask = _creation(site, holder, party, usable) if party is not None and holder is not None else None
    factors = site.house.signer.factors_of(person.user) if holder is not None else ()
    return site.page(
        request, "keys.html", person, 422 if problem else 200, holder=holder, own=own, usable=usable, party=party,
        ask=ask, factors=factors, problem=problem, label=label, longest=LONGEST_LABEL,
        signed=next((one for one in own if signed in (one.entry, one.ended_by)), None) if signed is not None else None)


def _holder(session: Connection, user: str) -> tuple[Person | None, tuple[Passkey, ...]]:
    """The person, where they have a key in force, and their passkeys, ended ones too."""
    try:
        return person_named(session, user), passkeys_of(session, user)
    except NotFound:
        return None, passkeys_of(session, user)


def _creation(site: Site, holder: Person, party: RelyingParty, usable: list[Passkey]) -> str:
    """What the browser is asked for (W3C WebAuthn 5.4), as JSON; byte strings are base64."""
    challenge = secrets.token_bytes(32)
    while len(site.new_passkeys) >= MOST_CHALLENGES:
        del site.new_passkeys[next(iter(site.new_passkeys))]
    site.new_passkeys[holder.user] = challenge
    # A handle that tells nobody who it is (WebAuthn 14.6.1).
    handle = hashlib.sha256(f"{site.house.origin}\n{holder.user}".encode()).digest()
    asked: dict[str, Any] = {
        "rp": {"id": party.id, "name": "Countersign"}, "challenge": base64_text(challenge),
        "user": {"id": base64_text(handle), "name": holder.user, "displayName": holder.printed_name},
        "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in (ES256, EDDSA)],
        "excludeCredentials": [{"type": "public-key", "id": one.credential} for one in usable],
        "authenticatorSelection": {"userVerification": "required", "residentKey": "preferred"}, "attestation": "none",
    }
    return json.dumps(asked)


@router.post("/keys")
def enrol_page(
    request: Request, site: TheSite, person: ThePerson, token: Token, label: Annotated[str, Form(max_length=200)] = "",
    client_data: Annotated[str, Form(max_length=8000)] = "",
    attestation_object: Annotated[str, Form(max_length=40_000)] = "", alone: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    """What the browser made, read; the next page shows what is to be signed and asks the passkey itself."""
    same_session(person, token)
    desk = site.house.desk
    challenge = site.new_passkeys.pop(person.user, None)
    try:
        if challenge is None:
            raise UnusableInput("This page was used already.", next_step="Try again; nothing was enrolled.")
        made = desk.signer.read_passkey(challenge, from_base64(client_data), from_base64(attestation_object))
        proposal = enrol_passkey(desk, Actor(person.user), EnrolPasskey(made, label, alone == "yes"))
    except MalformedEntry:
        broken = UnusableInput("The browser sent no passkey.", next_step="Try again; nothing was enrolled.")
        return _page(request, site, person, broken, label)
    except UnusableInput as problem:
        return _page(request, site, person, problem, label)
    return RedirectResponse(to_sign(site, proposal, back="/keys", then="/keys"), 303)


@router.post("/keys/revoke", name="revoke-passkey")
def revoke_page(
    request: Request, site: TheSite, person: ThePerson, token: Token, entry: Annotated[int, Form(ge=0)],
    because: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """One's own passkey ends; the next page shows what is to be signed."""
    same_session(person, token)
    if not because.strip():
        return _page(request, site, person, UnusableInput(
            "Say why the passkey ends; it is part of the record.", next_step="Nothing was signed."))
    with site.house.desk.reading() as session:
        if entry not in {one.entry for one in in_force(session, person.user)}:
            raise NotFound("You have no such passkey in force.", next_step="Your keys are listed under /keys.")
    proposal = revoke_passkey(site.house.desk, Actor(person.user), entry, because.strip())
    return RedirectResponse(to_sign(site, proposal, back="/keys", then="/keys"), 303)

"""The page on which a person signs: everything that is signed, what it means, and the proof that it is them.

What is to be signed is held by this process between showing and signing, for the 15 minutes that a draft lives (RECORD
2); after a restart the page is asked for anew and nothing was signed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from audit.entry import base64_text, body_to_sign
from audit.signatures import Proof
from audit.vocabulary.registry import sentence
from core.errors import NotAuthenticated, NotFound, UnusableInput
from core.ledger_words import utc
from core.outbox import drain
from core.page import DRAFT_LIFE_US, LOCK_MARGIN_US
from core.passkeys import in_force
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.exports import same_session

if TYPE_CHECKING:
    from core.work import Proposal

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
MOST_WAITING = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """A page to be signed: whose, what, where one comes from and where one goes afterwards.

    `settles`: what follows from the entry is carried out before the next page is shown, not by the next worker.
    """

    user: str
    proposal: Proposal
    back: str
    then: str
    settles: bool = False

    @property
    def until_us(self) -> int:
        return self.proposal.occasion.at_us + DRAFT_LIFE_US - LOCK_MARGIN_US

    @property
    def meaning(self) -> str:
        return self.proposal.drafts[0].meaning


def to_sign(site: Site, proposal: Proposal, *, back: str, then: str, settles: bool = False) -> str:
    """Hold a proposal for its signer; returns the path of its page."""
    now = site.house.desk.clock.now()
    for name in [name for name, one in site.to_sign.items() if one.until_us < now]:
        del site.to_sign[name]
    while len(site.to_sign) >= MOST_WAITING:
        del site.to_sign[next(iter(site.to_sign))]
    site.to_sign[proposal.id] = Waiting(proposal.actor.user, proposal, back, then, settles)
    return f"/sign/{proposal.id}"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a passkey is asked on a page: one challenge a record. `code_due`: the one-time code as well, as the passkey
    is only being enrolled; `alone`: no code signs for this person. Byte strings are base64."""

    rp: str
    challenges: tuple[str, ...]
    digests: tuple[str, ...]
    credentials: tuple[str, ...]
    code_due: bool
    alone: bool

    @property
    def code(self) -> str:
        """What the page says of the one-time code."""
        return "due" if self.code_due else "none" if self.alone else "either"


def _ask(site: Site, waiting: Waiting) -> Ask | None:
    """None where no passkey can answer for this page."""
    party, proposal = site.house.signer.relying_party(), waiting.proposal
    if party is None or not proposal.takes_passkey:
        return None
    with site.house.desk.reading() as session:
        own = in_force(session, waiting.user)
    fresh = [body["fields"]["credential"] for body in proposal.bodies if body["action"] == "key.passkey_enrolled"]
    able = [one.credential for one in own if one.rp == party.id] if own else fresh
    if not able:
        return None
    challenges = proposal.with_passkey().challenges()
    return Ask(
        party.id, tuple(base64_text(one) for one in challenges), tuple(one.hex() for one in challenges), tuple(able),
        bool(fresh) and not own, any(one.alone for one in own) or (bool(fresh) and bool(own)))


def _waiting(site: Site, person: Session, name: str) -> Waiting:
    """The page of this person. Raises NotFound for everybody else's and for one that is over."""
    found = site.to_sign.get(name)
    if found is None or found.user != person.user or found.until_us < site.house.desk.clock.now():
        raise NotFound("This page is not open for signing any more.",
                       next_step="Nothing was signed by it unless you have a receipt. Begin again where you came from.")
    return found


@router.get("/sign/{name}", name="sign")
def sign_page(request: Request, site: TheSite, person: ThePerson, name: str) -> Response:
    return _page(request, site, person, _waiting(site, person, name))


def _page(
    request: Request, site: Site, person: Session, waiting: Waiting, problem: str | None = None, status: int = 200
) -> Response:
    said = [sentence(body["action"], body["version"], body["fields"], body) for body in waiting.proposal.bodies]
    digests = [hashlib.sha256(body_to_sign(body)).hexdigest() for body in waiting.proposal.bodies]
    return site.page(
        request, "sign.html", person, status, waiting=waiting, said=said, digests=digests, problem=problem,
        ask=_ask(site, waiting),
        until=utc(waiting.until_us)[11:19], manifest=waiting.proposal.bodies[0]["manifest"],
        role=waiting.proposal.bodies[0]["role"])


@router.post("/sign/{name}")
def sign_now(
    request: Request, site: TheSite, person: ThePerson, name: str, token: Annotated[str, Form(max_length=100)],
    password: Annotated[str, Form(max_length=1000)], code: Annotated[str, Form(max_length=20)] = "",
    meaning: Annotated[str, Form(max_length=40)] = "", assertions: Annotated[str, Form(max_length=60_000)] = "",
) -> Response:
    """Sign exactly what was shown. A wrong proof signs nothing, is counted and recorded."""
    same_session(person, token)
    waiting = _waiting(site, person, name)
    if meaning != waiting.meaning:
        return _page(request, site, person, waiting, "Say what your signature means. Nothing was signed.", 422)
    if not assertions and not code.strip():
        problem = "Give the code of your authenticator, or sign with your passkey. Nothing was signed."
        return _page(request, site, person, waiting, problem, 422)
    try:
        proposal = waiting.proposal
        if assertions:
            proposal = proposal.with_passkey().answered(_assertions(assertions))
        receipt = site.house.desk.commit(proposal, Proof(password, code.strip()))
    except NotAuthenticated as refusal:
        return _page(request, site, person, waiting, refusal.in_words(), 401)
    except UnusableInput as problem_of_form:
        return _page(request, site, person, waiting, problem_of_form.in_words(), 422)
    site.to_sign.pop(name, None)
    if waiting.settles:
        drain(site.house.desk, of=receipt.seq)
    return RedirectResponse(f"{waiting.then}?signed={receipt.seq}", 303)


def _assertions(text: str) -> list[dict[str, str]]:
    """What the page's script sent. Raises UnusableInput."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise UnusableInput("The browser sent no answer of a passkey.", next_step="Nothing was signed. Try again.")
    return given

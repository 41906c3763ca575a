"""What pages share on which a person begins an act: whether they may, what is wrong with what they typed, the page to
sign. A page that only shows needs none of this."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Form, Response, UploadFile
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from audit.vocabulary.registry import ObjectRef
from core.access.queries import standing
from core.errors import AlreadyDone, CountersignError, NotFound, Refused, Stale, UnusableInput
from core.ledger_scope import Scope, scope_of
from core.policy.decide import decide
from core.policy.state import Actor, Decision
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.signing import to_sign

if TYPE_CHECKING:
    from core.work import Proposal

TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
Token = Annotated[str, Form(max_length=100)]
Name = Annotated[str, Form(max_length=240)]
Words = Annotated[str, Form(max_length=4000)]
# What a person can put right on the same page; anything else has a page of its own.
CORRECTABLE = (UnusableInput, NotFound, AlreadyDone, Refused, Stale)


def may(
    session: Connection, person: Session, action: str, trial: str | None = None, *relations: str
) -> Decision:
    """What the policy says of an act before it is begun: the reason of a refusal names who can lift it."""
    actor = Actor(person.user)
    return decide(actor, action, standing(session, actor, trial, action, relations=relations))


def validation_scope(session: Connection, person: Session) -> Scope:
    """Whose deviations this person may see. Raises Refused for who may see nothing of validation."""
    return scope_of(session, Actor(person.user), "validation.see")


def read_file(upload: UploadFile | None) -> tuple[bytes | None, str]:
    """Content and type of a file that came with a form, the type by its name; None where no file was chosen."""
    if upload is None or not upload.filename:
        return None, "application/octet-stream"
    return upload.file.read() or None, mimetypes.guess_type(upload.filename)[0] or "application/octet-stream"


def kept_file(site: Site, kept: ObjectRef, name: str = "") -> Response:
    """A file that shows something, its digest checked; offered for saving under this name or the head of its digest,
    never shown as a page of this site."""
    called = name or kept.sha256[:16]
    return Response(site.house.desk.objects.get(kept), media_type=kept.media, headers={
        "Content-Disposition": f'attachment; filename="{called}"', "X-Countersign-SHA256": kept.sha256})


def proposed(
    site: Site, prepare: Callable[[], Proposal], again: Callable[[CountersignError], Response], *, back: str,
    then: str | None = None, settles: bool = False,
) -> Response:
    """Go to the page that is signed, or back to the form with what is wrong and everything that was typed."""
    try:
        proposal = prepare()
    except CORRECTABLE as problem:
        return again(problem)
    return RedirectResponse(to_sign(site, proposal, back=back, then=then or back, settles=settles), 303)

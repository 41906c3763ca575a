"""The page of training: who is trained on what, which acts a lapse stops, and the delegation logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from core import ledger_queries as record
from core.access.delegation_log import delegation_log
from core.access.queries import everybody, grants_of
from core.clock import in_words
from core.ledger_queries import SessionReader
from core.ledger_scope import Scope, scope_of
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site

router = APIRouter(include_in_schema=False)


def _shown(session: Connection, scope: Scope, user: str) -> frozenset[str]:
    """Whose training somebody may see: of the house, or of the trials that they may read; always one's own."""
    if scope.covers(None):
        return frozenset(person.user for person in everybody(session))
    return frozenset({user} | {
        person.user for person in everybody(session)
        if any(grant.trial and scope.covers(grant.trial) for grant in grants_of(session, person.user))
    })


@router.get("/training", name="training")
def training_page(
    request: Request, site: Annotated[Site, Depends(the_site)], person: Annotated[Session, Depends(the_person)]
) -> Response:
    """The matrix as it stands, what is lacking first; then the delegation log of each trial that one may read."""
    from sops.matrix import Training, matrix

    today = in_words(site.house.desk.clock.now())[:10]
    with site.house.desk.reading() as session:
        scope = scope_of(session, Actor(person.user))
        cells = matrix(session, _shown(session, scope, person.user))
        logs = [(trial, delegation_log(session, trial)) for trial in sorted(one for one in scope.trials if one)]
        note = record.newest_note(SessionReader(session))
    documents = sorted({(one.sop, one.version, one.title, one.state) for one in cells})
    grid = {(one.user, one.sop, one.version): one for one in cells}
    lacking = [one for one in cells if one.status in (Training.LAPSED, Training.MISSING, Training.DUE)]
    return site.page(
        request, "training.html", person, scope=scope, documents=documents, grid=grid, lacking=lacking,
        people=list(dict.fromkeys(one.user for one in cells)), logs=[(trial, lines) for trial, lines in logs if lines],
        today=today, note=note)

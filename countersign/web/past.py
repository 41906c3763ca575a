"""The page and the API of a past state: people, trials, gates, time points and models as of any entry or time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from core.errors import UnusableInput
from core.ledger_scope import Scope, scope_of
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site

router = APIRouter()
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
TableName = Literal["people", "trials", "gates", "time-points", "models"]
# A page is answered within seconds; the command line folds a ledger of any length.
MOST_FOLDED = 20_000


class PastState(BaseModel):
    """Tables as they stood after entry `seq`; `folded` entries were read for it."""

    seq: int
    recorded_at: str
    root: str
    folded: int
    seconds: float
    scope: str
    tables: dict[str, list[dict[str, Any]]]


def _scope(site: Site, person: Session) -> Scope:
    with site.house.desk.reading() as session:
        return scope_of(session, Actor(person.user))


@router.get("/api/v1/state", name="api-state")
def state_api(
    site: TheSite, person: ThePerson,
    as_of: Annotated[str, Query(max_length=40, description="An entry number, or a UTC date, minute or second.")],
    table: Annotated[list[TableName] | None, Query()] = None,
) -> PastState:
    """The house as the record tells it up to a moment, as far as the person may read it."""
    from reports.past_state import state_as_of

    scope = _scope(site, person)
    found = state_as_of(site.house.desk, as_of, tables=tuple(table or ()), most=MOST_FOLDED,
                        trials=None if scope.whole else scope.trials)
    return PastState(scope=scope.in_words(), **found.as_data())


@router.get("/state", name="state", include_in_schema=False)
def state_page(
    request: Request, site: TheSite, person: ThePerson, as_of: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    from reports.past_state import state_as_of

    scope = _scope(site, person)
    found, problem = None, None
    if as_of.strip():
        try:
            found = state_as_of(site.house.desk, as_of, most=MOST_FOLDED, trials=None if scope.whole else scope.trials)
        except UnusableInput as error:
            problem = error
    return site.page(request, "state.html", person, 422 if problem else 200, as_of=as_of, found=found, problem=problem,
                     scope=scope)

"""Pages of models: every lock with what it may do, one lock with its lineage, refusals and what rests on it; as the
record stands, or as it stood at any entry or time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from core.access.queries import standings
from core.errors import Refused, UnusableInput
from core.ledger_scope import Scope, scope_of
from core.policy.decide import decide
from core.policy.state import Actor
from countersign.web import plots
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.past import MOST_FOLDED

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from reports.past_state import Moment

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
AsOf = Annotated[str, Query(max_length=40)]
ACTION = "model.see"


def _scope(site: Site, person: Session) -> Scope:
    """The trials of which this person may read. Raises Refused for who may see no model at all."""
    actor = Actor(person.user)
    with site.house.desk.reading() as session:
        scope = scope_of(session, actor)
        facts = standings(session, actor, (None, *(trial for trial in scope.trials if trial)), ACTION)
    decisions = [decide(actor, ACTION, one) for one in facts.values()]
    if not any(one.allowed for one in decisions):
        raise Refused(decisions[0].because, rule=decisions[0].rule)
    return scope


@contextmanager
def _tables(site: Site, as_of: str) -> Iterator[tuple[Connection, Moment | None]]:
    """The live tables, or those of a moment."""
    from reports.past_state import moment

    if as_of.strip():
        with moment(site.house.desk, as_of, most=MOST_FOLDED) as then:
            yield then.session, then
    else:
        with site.house.desk.reading() as session:
            yield session, None


@router.get("/models", name="models")
def models(request: Request, site: TheSite, person: ThePerson, as_of: AsOf = "") -> Response:
    """Every lock, and the versions that nobody has locked."""
    from models_registry import queries
    from reports.model_lineage import locks_shown

    scope = _scope(site, person)
    trials = None if scope.whole else scope.trials
    try:
        with _tables(site, as_of) as (session, then):
            return site.page(
                request, "models.html", person, as_of=as_of, then=then, problem=None, scope=scope,
                locks=locks_shown(session, trials),
                unlocked=[one for one in queries.versions_known(session) if one.state == "registered"])
    except UnusableInput as error:
        return site.page(request, "models.html", person, 422, as_of=as_of, then=None, problem=error, scope=scope,
                         locks=(), unlocked=[])


@router.get("/models/{lock}", name="model")
def model(request: Request, site: TheSite, person: ThePerson, lock: str, as_of: AsOf = "") -> Response:
    """One lock: what it binds, where it comes from, what it may do, what was refused, what rests on it."""
    from models_registry import queries, views
    from reports.model_lineage import lineage, lock_shown, resting_on

    scope = _scope(site, person)
    trials = None if scope.whole else scope.trials
    with _tables(site, as_of) as (session, then):
        row = queries.lock_of(session, lock)
        nodes = lineage(session, row, trials)
        return site.page(
            request, "model.html", person, as_of=as_of, then=then, scope=scope, row=row,
            shown=lock_shown(session, row, trials), nodes=nodes, boxes=plots.lineage(nodes),
            bound=views.lock(row.fields).lines, refusals=queries.refusals_known(session, lock=lock),
            reproductions=queries.reproductions_of(session, lock), resting=resting_on(session, lock, trials),
            mixed=[one for one in queries.two_locks(session, lock) if scope.covers(one[0])])

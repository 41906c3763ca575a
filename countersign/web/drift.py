"""The page of drift: which locks are in use, on which baseline, what later studies showed, and their sentinel sets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from core import ledger_queries as record
from core.clock import in_words
from core.drift import queries
from core.gates.bridging import plans_of
from core.gates.sentinels import watches
from core.ledger_queries import SessionReader
from core.ledger_scope import Scope, scope_of
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site

router = APIRouter(include_in_schema=False)
SHOWN = 50


def drift_alarms(session: Connection, scope: Scope) -> Iterator[queries.Alarm]:
    """What the alarm says of the trials that a person may read."""
    return (one for one in queries.alarms(session) if scope.covers(one.trial))


@router.get("/drift", name="drift")
def drift_page(
    request: Request, site: Annotated[Site, Depends(the_site)], person: Annotated[Session, Depends(the_person)]
) -> Response:
    """Everything that the person may read; of uses under seal there are levels and no numbers to show."""
    today = date.fromisoformat(in_words(site.house.desk.clock.now())[:10])
    with site.house.desk.reading() as session:
        scope = scope_of(session, Actor(person.user))
        rows = [(one, queries.signals_of(session, one.entry)) for one in queries.evaluations_of(session)
                if scope.covers(one.trial)][:SHOWN]
        alarms = list(drift_alarms(session, scope))
        baselines = [found for trial, lock in queries.watched(session) if scope.covers(trial)
                     if (found := queries.baseline_of(session, trial, lock)) is not None]
        sets = [(one, one.missed_days(today, 1)) for one in watches(session)]
        plans = [plan for trial in sorted(name for name in scope.trials if name) for plan in plans_of(session, trial)]
        note = record.newest_note(SessionReader(session))
    return site.page(request, "drift.html", person, scope=scope, rows=rows, alarms=alarms, baselines=baselines,
                     sets=sets, plans=plans, note=note)

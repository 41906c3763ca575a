"""The page of corrections: conflicts that nobody answered, decisions that are awaited, and what was corrected."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from core.arrival.queries import quality_facts, series_of_trial, unanswered_conflicts
from core.corrections.queries import corrections_of, deliveries_of, notices_of
from core.corrections.rules import NEEDS
from core.corrections.usecases import CorrectStudy, correct_study
from core.errors import NotFound, UnusableInput
from core.incidents.queries import copies_to_answer, incidents_of
from core.policy.decide import decide
from core.policy.state import Actor
from core.reads.impact import DecideImpact, decide_impact, may_decide
from core.reads.queries import impacts_of
from core.reads.state import Impact
from core.trials.queries import facts_for, trials_known
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.exports import same_session
from countersign.web.signing import to_sign

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
Token = Annotated[str, Form(max_length=100)]
Short = Annotated[str, Form(max_length=64)]
Comment = Annotated[str, Form(max_length=4000)]


def _trials(session: Connection, actor: Actor) -> list[str]:
    """The trials whose quality control this person may see."""
    return [one.trial for one in trials_known(session)
            if decide(actor, "quality.see", quality_facts(session, actor, "quality.see", one.trial)).allowed]


def _awaited(session: Connection, actor: Actor, trial: str) -> list[tuple[list[Impact], tuple[str, ...]]]:
    """By time point: what awaits a decision, and which decisions this person may sign."""
    places: dict[tuple[str, str], list[Impact]] = {}
    for one in impacts_of(session, trial, open_only=True):
        places.setdefault((one.subject, one.time_point), []).append(one)
    return [(several, may_decide(session, actor, several)) for several in places.values()]


@router.get("/corrections", name="corrections")
def corrections_page(
    request: Request, site: TheSite, person: ThePerson, trial: Annotated[str, Query(max_length=40)] = "",
    subject: Annotated[str, Query(max_length=64)] = "", signed: Annotated[int | None, Query()] = None,
) -> Response:
    return _page(request, site, person, trial, subject, signed=signed)


def _page(
    request: Request, site: Site, person: Session, trial: str, subject: str, *, signed: int | None = None,
    problem: UnusableInput | NotFound | None = None,
) -> Response:
    actor, things = Actor(person.user), dict[str, Any]()
    with site.house.desk.reading() as session:
        names = _trials(session, actor)
        shown = trial if trial in names else names[0] if names else ""
        if shown:
            corrects = decide(actor, "study.reassign", facts_for(session, actor, "study.reassign", shown)).allowed
            things = {
                "conflicts": unanswered_conflicts(session, shown), "awaited": _awaited(session, actor, shown),
                "rows": [(one, notices_of(session, one.correction), deliveries_of(session, one.correction))
                         for one in reversed(corrections_of(session, shown))],
                "incidents": [(one, copies_to_answer(session, one)) for one in reversed(incidents_of(session, shown))],
                "corrects": corrects,
                "series": series_of_trial(session, shown, subject=subject) if subject and corrects else (),
            }
    return site.page(request, "corrections.html", person, 422 if problem else 200, trials=names, trial=shown,
                     subject=subject, problem=problem, signed=signed, kinds=tuple(NEEDS), **things)


@router.post("/corrections")
def correct(
    request: Request, site: TheSite, person: ThePerson, token: Token, trial: Short, subject: Short, kind: Short,
    series: Annotated[list[str] | None, Form(max_length=64)] = None, to_subject: Short = "", to_time_point: Short = "",
    side: Short = "", comment: Comment = "",
) -> Response:
    """What is corrected, as typed; the next page shows what is to be signed."""
    same_session(person, token)
    command = CorrectStudy(trial, tuple(series or ()), kind, to_subject.strip() or None, to_time_point.strip() or None,
                           side.strip() or None, comment.strip() or None)
    try:
        proposal = correct_study(site.house.desk, Actor(person.user), command)
    except (UnusableInput, NotFound) as problem:
        return _page(request, site, person, trial, subject, problem=problem)
    back = f"/corrections?trial={trial}"
    return RedirectResponse(to_sign(site, proposal, back=back, then="/corrections"), 303)


@router.post("/corrections/impact", name="impact")
def decide_now(
    request: Request, site: TheSite, person: ThePerson, token: Token, trial: Short, subject: Short, time_point: Short,
    decision: Short = "", comment: Comment = "",
) -> Response:
    """The impact decision; no value of a read stands on this page or on the next."""
    same_session(person, token)
    command = DecideImpact(trial, subject, time_point, decision, comment.strip() or None)
    try:
        proposal = decide_impact(site.house.desk, Actor(person.user), command)
    except (UnusableInput, NotFound) as problem:
        return _page(request, site, person, trial, "", problem=problem)
    back = f"/corrections?trial={trial}"
    return RedirectResponse(to_sign(site, proposal, back=back, then="/corrections"), 303)

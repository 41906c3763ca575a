"""Pages of audit-trail review: what is due, what was reviewed, the samples of one review, and what was found."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from core import ledger_queries as record
from core.access.queries import standing
from core.clock import in_words
from core.errors import NotFound, UnusableInput
from core.ledger_changes import changes_of
from core.ledger_queries import SessionReader
from core.ledger_scope import Scope, scope_of
from core.ledger_words import sentence_of
from core.policy.decide import decide
from core.policy.state import Actor
from core.reviews import queries, usecases
from core.reviews.periodic import PeriodicDue
from core.reviews.periodic_projections import periodic_due
from core.reviews.rules import CATEGORIES, CONCLUSIONS, GRADES, USUAL_SAMPLES, Due, Found
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.exports import same_session
from countersign.web.signing import to_sign

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
Token = Annotated[str, Form(max_length=100)]
# Findings that the form has room for; more are signed at the console.
ROWS = 6
TYPED = ("trial", "matching", "first", "last", "samples")


def overdue(session: Connection, scope: Scope, now_us: int) -> list[str]:
    """What the alarm says of the trials that a person may read."""
    today = date.fromisoformat(in_words(now_us)[:10])
    return [one.in_words(today) for one in queries.all_due(session)
            if scope.covers(one.trial) and one.overdue_days(today)]


def periodic_late(session: Connection, scope: Scope, now_us: int) -> list[PeriodicDue]:
    """Reviews of access, validated state and procedures that are late or ended unfit; they are the house's."""
    today = date.fromisoformat(in_words(now_us)[:10])
    return [one for one in periodic_due(session)
            if scope.covers(None) and (one.overdue_days(today) or one.suspends(today))]


def _may_review(session: Connection, person: Session, trial: str | None) -> bool:
    actor = Actor(person.user)
    return decide(actor, usecases.ACTION, standing(session, actor, trial, usecases.ACTION)).allowed


@router.get("/reviews", name="reviews")
def reviews_page(request: Request, site: TheSite, person: ThePerson) -> Response:
    return _list(request, site, person)


def _list(
    request: Request, site: Site, person: Session, problem: UnusableInput | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    now = site.house.desk.clock.now()
    today = date.fromisoformat(in_words(now)[:10])
    with site.house.desk.reading() as session:
        scope = scope_of(session, Actor(person.user))
        due: list[Due] = [one for one in queries.all_due(session) if scope.covers(one.trial)]
        rows = queries.reviews_of(session, scope.trials)
        mine = [trial for trial in sorted(scope.trials, key=lambda name: (name is None, name or ""))
                if _may_review(session, person, trial)]
        alarms = overdue(session, scope, now)
        late = periodic_late(session, scope, now)
        periodic = periodic_due(session) if scope.covers(None) else ()
        note = record.newest_note(SessionReader(session))
    return site.page(request, "reviews.html", person, 422 if problem else 200, scope=scope, due=due, rows=rows,
                     mine=mine, today=today, overdue=alarms, late=late, periodic=periodic, note=note, problem=problem,
                     typed=typed or dict.fromkeys(TYPED, ""), usual=USUAL_SAMPLES)


@router.post("/reviews")
def open_page(
    request: Request, site: TheSite, person: ThePerson, token: Token,
    trial: Annotated[str, Form(max_length=40)] = "", matching: Annotated[str, Form(max_length=2000)] = "",
    first: Annotated[str, Form(max_length=20)] = "", last: Annotated[str, Form(max_length=20)] = "",
    samples: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Draw the samples for whoever is logged in."""
    same_session(person, token)
    typed = dict(zip(TYPED, (trial, matching, first, last, samples), strict=True))
    try:
        command = usecases.OpenReview(
            trial.strip() or None, matching.strip(), _number(first, "First entry"), _number(last, "Last entry"),
            _number(samples, "Samples") or USUAL_SAMPLES)
        row = usecases.open_review(site.house.desk, Actor(person.user), command)
    except UnusableInput as problem:
        return _list(request, site, person, problem, typed)
    return RedirectResponse(f"/reviews/{row.review}", 303)


def _number(text: str, what: str) -> int | None:
    text = text.replace(" ", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise UnusableInput(f"{what}: {text!r} is no number.")
    return int(text)


@router.get("/reviews/{name}", name="review")
def review_page(
    request: Request, site: TheSite, person: ThePerson, name: str, signed: Annotated[int | None, Query()] = None
) -> Response:
    return _one(request, site, person, name, signed=signed)


def _one(
    request: Request, site: Site, person: Session, name: str, *, problem: UnusableInput | NotFound | None = None,
    typed: dict[str, Any] | None = None, signed: int | None = None,
) -> Response:
    with site.house.desk.reading() as session:
        scope = scope_of(session, Actor(person.user))
        row = queries.review_named(session, name)
        if not scope.covers(row.trial):
            raise NotFound("There is no such review among those that you may read.")
        reader = SessionReader(session)
        said = record.sentences(reader)
        lines = [record.line_at(reader, seq) for seq in row.samples]
        samples = [(line, sentence_of(line.body, said), changes)
                   for line, changes in zip(lines, changes_of(reader, lines), strict=True)]
        same = usecases.redraw(session, row) == row.samples
        ours = row.signed_entry is None and row.opened_by == person.user and _may_review(session, person, row.trial)
    return site.page(
        request, "review.html", person, 422 if problem else 200, row=row, samples=samples, same=same, ours=ours,
        scope=scope, problem=problem, typed=typed or {"findings": [], "conclusion": "", "statement": ""}, rooms=ROWS,
        categories=CATEGORIES, grades=GRADES, conclusions=CONCLUSIONS,
        signed=signed if signed == row.signed_entry else None)


@router.post("/reviews/{name}")
async def conclude_page(request: Request, site: TheSite, person: ThePerson, name: str) -> Response:
    """Findings and conclusion as typed; the next page shows what is to be signed."""
    from starlette.concurrency import run_in_threadpool

    form = await request.form()
    given = {key: [str(value) for value in form.getlist(key)] for key in form}
    return await run_in_threadpool(_conclude, request, site, person, name, given)


def _found(entry: str, category: str, grade: str, says: str) -> Found:
    seq = _number(entry, "Entry of a finding")
    if seq is None:
        raise UnusableInput(f"The finding {says[:40]!r} names no entry.")
    return Found(seq, category, grade, says)


def _conclude(request: Request, site: Site, person: Session, name: str, given: dict[str, list[str]]) -> Response:
    def one(key: str) -> str:
        return (given.get(key) or [""])[0]

    same_session(person, one("token"))
    columns = [given.get(key, []) for key in ("entry", "category", "grade", "says")]
    typed_rows = [row for row in zip(*columns, strict=False) if row[0].strip() or row[3].strip()]
    typed = {"findings": typed_rows, "conclusion": one("conclusion"), "statement": one("statement")}
    try:
        findings = tuple(_found(*row) for row in typed_rows)
        proposal = usecases.sign_review(
            site.house.desk, Actor(person.user),
            usecases.SignReview(name, one("conclusion"), one("statement"), findings))
    except (UnusableInput, NotFound) as problem:
        return _one(request, site, person, name, problem=problem, typed=typed)
    path = f"/reviews/{name}"
    return RedirectResponse(to_sign(site, proposal, back=path, then=path), 303)

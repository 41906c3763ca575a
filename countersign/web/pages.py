"""The pages: log in, ledger, evidence. Server-made, complete without script."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from sqlalchemy import Connection

from audit.query import QueryError, parse, quoted
from core import ledger_queries as record
from core.access.queries import standing
from core.clock import in_words
from core.errors import NotAuthenticated, NotFound, Refused
from core.ledger_changes import Change, changes_of
from core.ledger_evidence import Evidence, examine
from core.ledger_queries import SessionReader
from core.ledger_rows import rows_of
from core.ledger_scope import Scope, scope_of
from core.ledger_suspects import suspicions
from core.ledger_words import find_line, sentence_of
from core.policy.decide import decide
from core.policy.state import Actor
from core.privacy.queries import texts_of
from countersign.web import plots
from countersign.web.accounts import Session, log_in, log_out
from countersign.web.app import Site, same_token, somebody, the_person, the_site
from countersign.web.drift import drift_alarms
from countersign.web.reviews import overdue, periodic_late

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
ROWS = 50
# A list looks back so far for what an entry changed; the entry's own page, exports and the API look back all the way.
LOOK_BACK = 20
LOGIN_TOKEN = "countersign-login"  # noqa: S105  a cookie's name
FACETS = (("actor", "Actor"), ("action", "Action"), ("trial", "Trial"), ("subject", "Subject"), ("reason", "Reason"))


def local_path(target: str) -> str:
    """Where a person goes after login: a path of this site, whatever somebody put into the link."""
    return target if re.fullmatch(r"/(?![/\\])[^\s\\]*", target) else "/ledger"


@router.get("/login", name="login")
def login(request: Request, site: TheSite, next: str = "/ledger") -> Response:  # noqa: A002  the link's own word
    return _login_page(request, site, local_path(next))


@router.post("/login")
def log_in_now(
    request: Request, site: TheSite, user: Annotated[str, Form(max_length=120)],
    password: Annotated[str, Form(max_length=1000)], token: Annotated[str, Form(max_length=100)],
    next: Annotated[str, Form(max_length=2000)] = "/ledger",  # noqa: A002
) -> Response:
    target = local_path(next)
    if not same_token(token, request.cookies.get(LOGIN_TOKEN, "") or "-"):
        return _login_page(request, site, target, user, "This page was open too long. Nothing was done; log in now.")
    try:
        secret, _ = log_in(site.house.desk, site.passwords, user.strip(), password)
    except NotAuthenticated as refusal:
        return _login_page(request, site, target, user, refusal.in_words())
    answer = RedirectResponse(target, 303)
    answer.set_cookie(site.cookie, secret, httponly=True, secure=site.tls, samesite="lax", path="/")
    answer.delete_cookie(LOGIN_TOKEN, path="/login")
    return answer


def _login_page(
    request: Request, site: Site, target: str, user: str = "", problem: str | None = None
) -> Response:
    token = secrets.token_urlsafe(24)
    with site.house.desk.reading() as session:
        try:
            note = record.newest_note(SessionReader(session))
        except NotFound:
            note = None
    answer = site.page(request, "login.html", None, 401 if problem else 200, token=token, target=target, user=user,
                       problem=problem, note=note, origin=site.house.origin)
    answer.set_cookie(LOGIN_TOKEN, token, httponly=True, secure=site.tls, samesite="strict", path="/login")
    return answer


@router.post("/logout", name="logout")
def log_out_now(request: Request, site: TheSite, token: Annotated[str, Form(max_length=100)]) -> Response:
    session = somebody(request)
    if session is not None:
        if not same_token(token, session.csrf):
            raise Refused("This form does not belong to your session.", rule="F-00", next_step="Load the page again.")
        log_out(site.house.desk, request.cookies[site.cookie])
    answer = RedirectResponse(request.url_for("login"), 303)
    answer.delete_cookie(site.cookie, path="/", secure=site.tls, httponly=True)
    return answer


@router.get("/")
def home(request: Request, person: ThePerson) -> Response:
    return RedirectResponse(request.url_for("ledger"), 303)


@router.get("/ledger", name="ledger")
def ledger(
    request: Request, site: TheSite, person: ThePerson, q: Annotated[list[str] | None, Query(max_length=2000)] = None,
    before: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """The record, filtered. Several `q` are one question: tokens that stand, and what was added."""
    text = " ".join(part.strip() for part in q or () if part.strip())
    problem: QueryError | None = None
    try:
        query = parse(text)
    except QueryError as error:
        problem, query = error, parse("")
    now = site.house.desk.clock.now()
    with site.house.desk.reading() as session:
        scope = scope_of(session, Actor(person.user))
        reader = SessionReader(session)
        note = record.newest_note(reader)
        if problem is not None:
            return site.page(request, "ledger.html", person, 422, text=text, problem=problem, note=note, scope=scope)
        trials = None if scope.whole else scope.trials
        page = record.page(reader, query, before=before, limit=ROWS, trials=trials)
        said = record.sentences(reader)
        rows = [(line, sentence_of(line.body, said), changes)
                for line, changes in zip(page.lines, changes_of(reader, page.lines, back=LOOK_BACK), strict=True)]
        found = record.summary(reader, query, trials)
        facets = [(title, [(value, number.in_words(), f"{query.text} {key}:{quoted(value)}".strip())
                           for value, number in values])
                  for key, title in FACETS if (values := found.facets[key])]
        days, whole = record.all_days(reader, note, trials) if query.tokens else (found.days, found.count)
        return site.page(
            request, "ledger.html", person, text=text, problem=None, query=query, rows=rows, page=page, facets=facets,
            count=found.count, whole=whole, found=found,
            note=note, scope=scope, before=before, overdue=overdue(session, scope, now),
            late=periodic_late(session, scope, now), today=date.fromisoformat(in_words(now)[:10]),
            drifting=list(drift_alarms(session, scope)),
            plot=plots.days(list(days), list(found.days)),
        )


@router.get("/go", name="go")
def go(request: Request, person: ThePerson, code: Annotated[str, Query(max_length=100)] = "") -> Response:
    """The bar's "Go to": an entry number or an evidence code."""
    return RedirectResponse(request.url_for("entry", named=code.strip() or "-"), 303)


@dataclass(frozen=True, slots=True)
class Looked:
    """An entry examined, with its sentence and what it changed."""

    evidence: Evidence
    scope: Scope
    sentence: str
    changes: tuple[Change, ...]


def evidence_for(site: Site, person: Session, named: str) -> Looked:
    """An entry examined, if this person may read it. What may not be read does not exist for them."""
    with site.house.desk.reading() as session:
        scope = scope_of(session, Actor(person.user))
        reader = SessionReader(session)
        line = find_line(reader, named)
        if not scope.covers(line.body.get("trial")):
            raise NotFound("There is no such entry among those that you may read.")
        sentence = sentence_of(line.body, record.sentences(reader))
        return Looked(examine(reader, line), scope, sentence, changes_of(reader, [line])[0])


def evidence_and_row(site: Site, person: Session, named: str) -> tuple[Evidence, dict[str, Any]]:
    """The same for machines: the evidence and the columns of the entry."""
    looked = evidence_for(site, person, named)
    with site.house.desk.reading() as session:
        reader = SessionReader(session)
        (row,) = rows_of(reader, [looked.evidence.line], record.sentences(reader), suspicions(reader))
        return looked.evidence, row


@router.get("/ledger/{named}", name="entry")
def entry(request: Request, site: TheSite, person: ThePerson, named: str) -> Response:
    looked = evidence_for(site, person, named)
    body = looked.evidence.line.body
    with site.house.desk.reading() as session:
        texts = _texts(session, site, person, body)
    return site.page(request, "entry.html", person, evidence=looked.evidence, sentence=looked.sentence,
                     scope=looked.scope, changes=looked.changes, texts=texts, plot=plots.proof(looked.evidence),
                     body=body)


def _texts(session: Connection, site: Site, person: Session, body: Mapping[str, Any]) -> dict[str, str]:
    """Texts about a subject, where the key lives; the words of a request for those who may see decisions alone."""
    actor = Actor(person.user)
    if body["action"].startswith("privacy."):
        facts = standing(session, actor, body.get("trial"), "privacy.see")
        if not decide(actor, "privacy.see", facts).allowed:
            return {}
    return texts_of(session, site.house.desk.objects.keys, body["id"])


@router.get("/ledger/{named}/proof", name="proof")
def proof(site: TheSite, person: ThePerson, named: str) -> Response:
    """The proof file (C2SP tlog-proof) for whoever checks with own tools."""
    evidence = evidence_for(site, person, named).evidence
    return PlainTextResponse(evidence.proof_file, headers={
        "Content-Disposition": f'attachment; filename="{evidence.line.seq}.tlog-proof"'})


@router.get("/ledger/{named}/bytes", name="bytes")
def stored_bytes(site: TheSite, person: ThePerson, named: str) -> Response:
    """The entry's exact bytes: what was signed and hashed."""
    evidence = evidence_for(site, person, named).evidence
    return Response(evidence.line.raw, media_type="application/json", headers={
        "Content-Disposition": f'attachment; filename="{evidence.line.seq}.json"'})

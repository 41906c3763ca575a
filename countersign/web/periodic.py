"""Pages on which periodic reviews are signed: who may do what, and whether what was released is still fit."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response

from core.access.queries import everybody, grants_of
from core.access.roles import ROLES, Grant
from core.access.usecases import review_access
from core.errors import CountersignError, UnusableInput
from core.ledger_scope import scope_of
from core.policy.state import Actor
from core.reviews.periodic import CONCLUSIONS, INSTALLATION
from core.reviews.periodic_projections import periodic_due
from countersign.web.accounts import Session
from countersign.web.acting import Name, ThePerson, TheSite, Token, Words, may, proposed
from countersign.web.app import Site
from countersign.web.exports import same_session

router = APIRouter(include_in_schema=False)


def _named(user: str, grant: Grant) -> str:
    """A grant as `countersign role review --end` names it."""
    return ":".join((user, grant.role, grant.trial, grant.site)).rstrip(":")


@router.get("/reviews/periodic/access", name="review-access")
def access_page(request: Request, site: TheSite, person: ThePerson) -> Response:
    """Every grant of the installation; each stays or is named as one to end."""
    return _access(request, site, person)


def _access(
    request: Request, site: Site, person: Session, problem: CountersignError | None = None, *,
    ending: list[str] | None = None, conclusion: str = "", next_by: str = "",
) -> Response:
    with site.house.desk.reading() as session:
        scope_of(session, Actor(person.user))
        held = [(one.user, ROLES[grant.role].title, grant, _named(one.user, grant))
                for one in everybody(session) for grant in grants_of(session, one.user)]
        due = next((one for one in periodic_due(session) if one.kind == "access"), None)
        allowed = may(session, person, "access.review")
    return site.page(
        request, "review_access.html", person, problem.http_status if problem else 200,
        held=held if allowed.allowed else [], due=due, allowed=allowed, problem=problem, ending=ending or [],
        conclusion=conclusion, next_by=next_by)


@router.post("/reviews/periodic/access")
def sign_access_page(
    request: Request, site: TheSite, person: ThePerson, token: Token, conclusion: Words = "", next_by: Name = "",
    ending: Annotated[list[str] | None, Form(max_length=2000)] = None,
) -> Response:
    same_session(person, token)
    named = frozenset((parts[0], Grant(*parts[1:])) for parts in (text.split(":") for text in ending or [])
                      if 2 <= len(parts) <= 4)
    return proposed(
        site, lambda: review_access(site.house.desk, Actor(person.user), conclusion.strip(), to_end=named,
                                    next_by=next_by.strip() or None),
        partial(_access, request, site, person, ending=ending, conclusion=conclusion, next_by=next_by),
        back="/reviews/periodic/access", then="/reviews")


@router.get("/reviews/periodic/validation", name="review-validation")
def validation_page(
    request: Request, site: TheSite, person: ThePerson, subject: Annotated[str, Query(max_length=160)] = INSTALLATION
) -> Response:
    return _validation(request, site, person, subject)


def _validation(
    request: Request, site: Site, person: Session, subject: str, problem: CountersignError | None = None, *,
    conclusion: str = "", statement: str = "", next_by: str = "",
) -> Response:
    with site.house.desk.reading() as session:
        scope_of(session, Actor(person.user))
        due = next((one for one in periodic_due(session) if (one.kind, one.subject) == ("validation", subject)), None)
        allowed = may(session, person, "validation.review_periodically")
    if due is None:
        problem = problem or UnusableInput(f"{subject} was never released; there is nothing to review.",
                                           next_step="QA releases it first: `countersign validate release`.")
    return site.page(
        request, "review_validation.html", person, problem.http_status if problem else 200, subject=subject, due=due,
        allowed=allowed, problem=problem, conclusions=CONCLUSIONS, conclusion=conclusion, statement=statement,
        next_by=next_by)


@router.post("/reviews/periodic/validation")
def sign_validation_page(
    request: Request, site: TheSite, person: ThePerson, token: Token, subject: Name = INSTALLATION,
    conclusion: Name = "", statement: Words = "", next_by: Name = "",
) -> Response:
    """The page that is signed counts what the record holds since the last review."""
    from validation.periodic import ReviewValidation, review_validation

    same_session(person, token)
    command = ReviewValidation(conclusion, statement, None if subject == INSTALLATION else subject,
                               next_by.strip() or None)
    return proposed(
        site, lambda: review_validation(site.house.desk, Actor(person.user), command),
        partial(_validation, request, site, person, subject, conclusion=conclusion, statement=statement,
                next_by=next_by),
        back="/reviews", then="/reviews")

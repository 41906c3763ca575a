"""Pages of controlled documents: every version with its state and signatures, its text, and the next thing that the
person looking at it can sign: read-and-understood with answers, review, approval, return, retirement."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response

from core import ledger_queries as record
from core.clock import in_words
from core.errors import CountersignError, NotFound
from core.ledger_queries import SessionReader
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.acting import ThePerson, TheSite, Token, Words, may, proposed
from countersign.web.app import Site
from countersign.web.exports import same_session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sops.queries import SopVersion

router = APIRouter(include_in_schema=False)
Signed = Annotated[int | None, Query()]
Answers = Annotated[list[str] | None, Form(max_length=100)]


@router.get("/procedures", name="procedures")
def procedures_page(request: Request, site: TheSite, person: ThePerson) -> Response:
    """What is in force, what comes, what was; where the reader's own training stands with each; what is not drafted."""
    from sops.matrix import matrix
    from sops.queries import all_versions
    from sops.texts import templates

    with site.house.desk.reading() as session:
        versions = all_versions(session)
        own = {(one.sop, one.version): one for one in matrix(session, frozenset({person.user}))}
        note = record.newest_note(SessionReader(session))
    known = {one.sop for one in versions}
    return site.page(
        request, "procedures.html", person, versions=versions, own=own, note=note,
        today=in_words(site.house.desk.clock.now())[:10],
        undrafted=[one for one in templates().values() if one.sop not in known])


@router.get("/procedures/{sop}/{version}", name="procedure")
def procedure_page(
    request: Request, site: TheSite, person: ThePerson, sop: str, version: int, signed: Signed = None
) -> Response:
    return _one(request, site, person, sop, version, signed=signed)


def _one(
    request: Request, site: Site, person: Session, sop: str, version: int, problem: CountersignError | None = None, *,
    form: str = "", typed: list[str] | None = None, because: str = "", signed: int | None = None,
) -> Response:
    from sops.matrix import matrix
    from sops.queries import all_versions, version_of
    from sops.rules import TRAINABLE
    from sops.usecases import text_of

    desk = site.house.desk
    with desk.reading() as session:
        row = version_of(session, sop, version)
        own = next((one for one in matrix(session, frozenset({person.user}))
                    if (one.sop, one.version) == (sop, version)), None)
        steps = _steps(session, person, row)
        note = record.newest_note(SessionReader(session))
        newest = all_versions(session, sop)[-1].version
    document = text_of(desk, row)
    return site.page(
        request, "procedure.html", person, problem.http_status if problem else 200, row=row, document=document, own=own,
        steps=steps, newest=newest, problem=problem, form=form, typed=typed or [""] * len(document.questions),
        because=because, signed=signed, trainable=row.state in TRAINABLE, note=note,
        today=in_words(desk.clock.now())[:10])


# What can be signed in a state of the document, the word that it makes and what the button says.
STEPS = (("review", "sop.reviewed", "Review it"), ("return", "sop.returned", "Return it"),
         ("approve", "sop.approved", "Approve it"), ("retire", "sop.retired", "Retire it"))


def _steps(session: Connection, person: Session, row: SopVersion) -> list[tuple[str, str, bool, str]]:
    """Name, label, whether it is this person's to do, and why not, of every step that the document's state allows."""
    from sops.rules import next_state

    hands = tuple(name for name, who in (("author", row.author), ("reviewer", row.reviewer)) if who == person.user)
    decided = [(name, said, may(session, person, f"sop.{name}", None, *hands))
               for name, word, said in STEPS if next_state(row.state, word) is not None]
    return [(name, said, one.allowed, one.because) for name, said, one in decided]


@router.post("/procedures/{sop}/{version}/train")
def train_page(
    request: Request, site: TheSite, person: ThePerson, sop: str, version: int, token: Token, answer: Answers = None
) -> Response:
    """Read and understood: a wrong answer is named by its question and signs nothing."""
    from sops.queries import version_of
    from sops.usecases import CompleteTraining, complete_training, text_of

    same_session(person, token)
    given = answer or []
    with site.house.desk.reading() as session:
        questions = text_of(site.house.desk, version_of(session, sop, version)).questions
    command = CompleteTraining(sop, version, dict(zip(questions, given, strict=False)))
    return proposed(
        site, lambda: complete_training(site.house.desk, Actor(person.user), command),
        partial(_one, request, site, person, sop, version, form="train",
                typed=[*given, *[""] * len(questions)][:len(questions)]),
        back=f"/procedures/{quote(sop)}/{version}")


@router.post("/procedures/{sop}/{version}/{step}")
def step_page(
    request: Request, site: TheSite, person: ThePerson, sop: str, version: int, step: str, token: Token,
    because: Words = "",
) -> Response:
    """The next signature under a document, or the end of it with its reason."""
    from sops import usecases

    same_session(person, token)
    desk, actor = site.house.desk, Actor(person.user)
    prepare = {
        "review": lambda: usecases.review_sop(desk, actor, sop, version=version),
        "approve": lambda: usecases.approve_sop(desk, actor, sop, version=version),
        "return": lambda: usecases.return_sop(desk, actor, sop, because.strip(), version),
        "retire": lambda: usecases.retire_sop(desk, actor, sop, because.strip(), version),
    }.get(step)
    if prepare is None:
        raise NotFound("There is no such step of a document.", next_step="Its page shows what can be signed.")
    return proposed(
        site, prepare, partial(_one, request, site, person, sop, version, form=step, because=because),
        back=f"/procedures/{quote(sop)}/{version}")

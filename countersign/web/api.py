"""The same for machines: JSON under /api/v1, with the session of the pages, and /healthz for whoever watches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from core import ledger_queries as record
from core.ledger_queries import SessionReader
from core.ledger_rows import rows_of
from core.ledger_scope import scope_of
from core.ledger_suspects import suspicions
from core.policy.state import Actor
from core.work import release
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.exports import asked
from countersign.web.pages import evidence_and_row

router = APIRouter()
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
Question = Annotated[str, Query(max_length=2000, description="actor:reader-1 action:read.* since:2026-11-01 …")]


class EntryRow(BaseModel):
    """One entry as lists show it; `suspect` is the entry that revoked its key from before it on."""

    seq: int
    recorded_at: str
    signed_at: str
    actor: str
    on_behalf_of: str | None
    role: str
    action: str
    trial: str | None
    reason: str | None
    rule: str
    sentence: str
    changes: str | None
    evidence: str
    leaf: str
    suspect: int | None


class FacetCount(BaseModel):
    """A value and how many entries with it fit; `capped`: at least so many."""

    value: str
    count: int
    capped: bool


class EntryPage(BaseModel):
    """Entries, newest first; `next_before` asks for the following page. Facets are counted up to a cap."""

    entries: list[EntryRow]
    count: str
    facets: dict[str, list[FacetCount]]
    next_before: int | None
    size: int


class CheckStep(BaseModel):
    """One thing that was checked; `good` is null where there was nothing to check."""

    name: str
    what: str
    value: str
    good: bool | None


class EntryEvidence(BaseModel):
    """An entry with its exact content, proof and check."""

    entry: EntryRow
    body: dict[str, Any]
    kid: str
    good: bool
    steps: list[CheckStep]
    proof: str


class Checkpoint(BaseModel):
    """The newest signed note."""

    origin: str
    size: int
    root: str
    note: str


def readable(session: Connection, person: Session) -> frozenset[str | None] | None:
    """The trials whose entries this person may read, None for everything. Raises Refused where there is nothing."""
    scope = scope_of(session, Actor(person.user))
    return None if scope.whole else scope.trials


@router.get("/healthz", include_in_schema=False)
def healthz(site: TheSite) -> Response:
    """Whether the store answers and its newest entry is covered by a checkpoint; no content."""
    try:
        with site.house.desk.reading() as session:
            reader = SessionReader(session)
            note = record.newest_note(reader)
            entries = next(reader.rows("SELECT coalesce(max(seq) + 1, 0) FROM entry"))[0]
    except Exception as problem:  # noqa: BLE001  whatever keeps the store from answering is the answer
        return JSONResponse({"status": "unavailable", "problem": type(problem).__name__, "release": release()}, 503)
    fault = site.watch.last is not None and site.watch.last.fault is not None
    good = note.size == entries and not fault
    return JSONResponse({"status": "ok" if good else "record-disagrees", "release": release()}, 200 if good else 503)


@router.get("/api/v1/entries", name="api-entries")
def entries(
    site: TheSite, person: ThePerson, q: Question = "", before: Annotated[int | None, Query(ge=0)] = None,
    limit: Annotated[int, Query(ge=1, le=record.LARGEST_PAGE)] = 50,
) -> EntryPage:
    """A page of entries that fit the question."""
    query = asked(q)
    with site.house.desk.reading() as session:
        trials = readable(session, person)
        reader = SessionReader(session)
        page = record.page(reader, query, before=before, limit=limit, trials=trials)
        said, marks = record.sentences(reader), suspicions(reader)
        found = record.summary(reader, query, trials)
        facets = {key: [FacetCount(value=value, count=one.number, capped=one.capped) for value, one in values]
                  for key, values in found.facets.items()}
        return EntryPage(
            entries=[EntryRow(**row) for row in rows_of(reader, page.lines, said, marks)],
            next_before=page.next_before, count=found.count.in_words(), facets=facets,
            size=record.newest_note(reader).size)


@router.get("/api/v1/entries/{named}", name="api-entry")
def one_entry(site: TheSite, person: ThePerson, named: str) -> EntryEvidence:
    """One entry by number or evidence code, examined."""
    evidence, row = evidence_and_row(site, person, named)
    steps = [CheckStep(name=step.name, what=step.what, value=step.value, good=step.good) for step in evidence.steps]
    return EntryEvidence(entry=EntryRow(**row), body=dict(evidence.line.body), kid=evidence.line.kid,
                         good=evidence.good, steps=steps, proof=evidence.proof_file)


@router.get("/api/v1/checkpoint", name="api-checkpoint")
def checkpoint(site: TheSite, person: ThePerson) -> Checkpoint:
    """The newest checkpoint."""
    with site.house.desk.reading() as session:
        note = record.newest_note(SessionReader(session))
    return Checkpoint(origin=site.house.origin, size=note.size, root=note.root.hex(), note=note.note)



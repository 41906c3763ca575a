"""The same for machines: JSON under /api/v1, with the session of the pages, and /healthz for whoever watches."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from sqlalchemy import Connection

from audit import query as language
from core import ledger_queries as record
from core.errors import UnusableInput
from core.ledger_queries import Line, SessionReader
from core.ledger_scope import scope_of
from core.ledger_words import evidence_code, sentence_of, utc
from core.policy.state import Actor
from core.work import release
from countersign.web.accounts import Session
from countersign.web.app import Site, the_person, the_site
from countersign.web.pages import evidence_for

router = APIRouter()
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
Question = Annotated[str, Query(max_length=2000, description="actor:reader-1 action:read.* since:2026-11-01 …")]
COLUMNS = ("seq", "recorded_at", "signed_at", "actor", "on_behalf_of", "role", "action", "trial", "reason", "rule",
           "sentence", "evidence", "leaf")


class EntryRow(BaseModel):
    """One entry as lists show it."""

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
    evidence: str
    leaf: str


class EntryPage(BaseModel):
    """Entries, newest first; `next_before` asks for the following page."""

    entries: list[EntryRow]
    count: str
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


def row_of(line: Line, said: dict[tuple[str, int], str]) -> EntryRow:
    body = line.body
    return EntryRow(
        seq=line.seq, recorded_at=utc(line.ts), signed_at=body["at"], actor=body["actor"],
        on_behalf_of=body.get("on_behalf_of"), role=body["role"], action=body["action"], trial=body.get("trial"),
        reason=body.get("reason"), rule=body["rule"], sentence=sentence_of(body, said),
        evidence=evidence_code(line.leaf), leaf=line.leaf.hex())


def readable(session: Connection, person: Session) -> frozenset[str | None] | None:
    """The trials whose entries this person may read, None for everything. Raises Refused where there is nothing."""
    scope = scope_of(session, Actor(person.user))
    return None if scope.whole else scope.trials


def asked(q: str) -> language.Query:
    try:
        return language.parse(q)
    except language.QueryError as error:
        raise UnusableInput(str(error), next_step="Correct the question.") from error


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
        said = record.sentences(reader)
        return EntryPage(
            entries=[row_of(line, said) for line in page.lines], next_before=page.next_before,
            count=record.count(reader, query, trials).in_words(), size=record.newest_note(reader).size)


@router.get("/api/v1/entries.csv", name="api-csv", response_class=StreamingResponse)
def entries_csv(site: TheSite, person: ThePerson, q: Question = "") -> StreamingResponse:
    """All entries that fit, as CSV with the columns of the page."""
    query = asked(q)
    with site.house.desk.reading() as session:
        trials = readable(session, person)  # refused before the first byte is sent

    def lines() -> Iterator[str]:
        with site.house.desk.reading() as session:
            reader = SessionReader(session)
            said = record.sentences(reader)
            yield _csv_line(COLUMNS)
            for line in record.every(reader, query, trials):
                row = row_of(line, said).model_dump()
                yield _csv_line([_cell(row[name]) for name in COLUMNS])

    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers={
        "Content-Disposition": 'attachment; filename="ledger.csv"'})


def _csv_line(cells: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    """A cell that a spreadsheet would take for a formula stays text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value


@router.get("/api/v1/entries/{named}", name="api-entry")
def one_entry(site: TheSite, person: ThePerson, named: str) -> EntryEvidence:
    """One entry by number or evidence code, examined."""
    evidence, _, sentence = evidence_for(site, person, named)
    row = row_of(evidence.line, {}).model_copy(update={"sentence": sentence})
    steps = [CheckStep(name=step.name, what=step.what, value=step.value, good=step.good) for step in evidence.steps]
    return EntryEvidence(entry=row, body=dict(evidence.line.body), kid=evidence.line.kid, good=evidence.good,
                         steps=steps, proof=evidence.proof_file)


@router.get("/api/v1/checkpoint", name="api-checkpoint")
def checkpoint(site: TheSite, person: ThePerson) -> Checkpoint:
    """The newest checkpoint."""
    with site.house.desk.reading() as session:
        note = record.newest_note(SessionReader(session))
    return Checkpoint(origin=site.house.origin, size=note.size, root=note.root.hex(), note=note.note)



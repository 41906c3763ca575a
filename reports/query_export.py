"""The answer to a question as a file: CSV, JSON or PDF, through the eyes of whoever gets it, and itself an entry.

The file is made first, over the ledger as it stands; then the entry names its digest; only then does the file get its
name (RECORD 4: documents are made before their entry). What a person may not read is left out and counted as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.query import LARGEST_SEQ, Query
from audit.vocabulary.ledger import QueryExported
from core import ledger_queries as record
from core.access.queries import standing
from core.errors import AlreadyDone, Stale, UnusableInput
from core.ledger_conditions import Clauses, Trials
from core.ledger_queries import Note, Reader, SessionReader
from core.ledger_rows import rows_of, write_csv
from core.ledger_scope import Scope, scope_of
from core.ledger_suspects import suspicions
from core.ledger_words import utc
from core.policy.decide import decide, permit
from core.policy.state import Actor, Decision, Facts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.work import Desk

FORMS = ("csv", "json", "pdf")
FORMAT = "countersign-query/1"
# A page holds some twelve rows and the renderer keeps every page in memory: beyond this nobody reads paper.
MOST_ROWS_ON_PAPER = 5_000
ACTION = "ledger.export"
CONSOLE = "console"
EVERYTHING = "(everything)"


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the rows of every form."""

    origin: str
    query: str
    scope: str
    withheld: int
    size: int
    root: str
    made_at: str
    made_for: str
    through: str
    entries: int


@dataclass(frozen=True, slots=True)
class Exported:
    """A written file and the entry that tells of it."""

    path: Path
    form: str
    entries: int
    withheld: int
    size: int
    root: str
    sha256: str
    entry: int


def form_of(path: Path) -> str:
    """The form that a file's name asks for. Raises UnusableInput."""
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
        raise UnusableInput(f"{path.name} does not say its form.", next_step="Name it .csv, .json or .pdf.")
    return form


def export_query(
    desk: Desk, query: Query, out: Path, *, person: Actor | None, through: str, origin: str
) -> Exported:
    """Write everything that fits at `out`, and record it.

    Args:
        query: the question, as parsed.
        out: a new file; its ending names the form.
        person: who gets it and through whose eyes it is drawn; None for whoever holds the console.
        through: how the person is known: `session` (logged in) or `console` (named, not proven).
        origin: the name of the ledger.

    Raises:
        Refused: the person may not export, or may read nothing.
        UnusableInput: the file is there, its folder is not, or a PDF would have more rows than people read.
        Stale: the person's right to read changed while the file was made; nothing was kept.
    """
    form = form_of(out)
    if out.exists():
        raise UnusableInput(f"{out} exists already.", next_step="Name a new file; nothing was exported.")
    if not out.parent.is_dir():
        raise UnusableInput(f"The folder {out.parent} is not there.", next_step="Make it first; nothing was exported.")
    holder = person.user if person else CONSOLE
    with tempfile.TemporaryDirectory(prefix=".countersign-export-", dir=out.parent) as name:
        made = Path(name) / out.name
        with desk.reading() as session:
            scope, _ = _right(session, person)
            reader = SessionReader(session)
            note = record.newest_note(reader)
            head, trials = _head(reader, query, note, scope, (holder, through), utc(desk.clock.now()), origin)
            pinned = _pinned(query, note)
            if form == "pdf" and head.entries > MOST_ROWS_ON_PAPER:
                raise UnusableInput(
                    f"{head.entries} entries fit; a PDF holds at most {MOST_ROWS_ON_PAPER}.",
                    next_step="Narrow the question, for example by since: and until:, or take CSV or JSON.")
            rows = _rows(reader, pinned, trials, bodies=form == "json")
            _WRITERS[form](head, rows, made)
        digest, size = _digest(made)
        event = QueryExported(
            query=query.text or EVERYTHING, form=form, through=head.through, scope=head.scope, size=head.size,
            root=head.root, entries=head.entries, withheld=head.withheld, bytes=size, sha256=digest)
        with desk.open(Actor.of_service("house"), on_behalf_of=holder, asked=ACTION) as work:
            now, under = _right(work.session, person)
            if now != scope:
                raise Stale("What you may read has changed while the file was made.")
            one = next(iter(scope.trials)) if scope is not None and len(scope.trials) == 1 else None
            entry = work.record(event, under=under, trial=one)
        try:
            os.link(made, out)
        except FileExistsError as error:
            raise AlreadyDone(f"{out} was made by somebody else meanwhile; entry {entry.seq} tells of a file that was "
                              f"not kept.", next_step="Export again under another name.") from error
    return Exported(out, form, head.entries, head.withheld, head.size, head.root, digest, entry.seq)


def _right(session: Connection, person: Actor | None) -> tuple[Scope | None, Decision]:
    """What may be read (None: everything, at the console) and the rule that lets it be taken away. Raises Refused."""
    if person is None:
        return None, permit(Actor.of_service("house"), ACTION, Facts())
    scope = scope_of(session, person)
    answers = [decide(person, ACTION, standing(session, person, trial, ACTION))
               for trial in sorted(scope.trials, key=lambda trial: trial or "")]
    allowed = next((one for one in answers if one.allowed), None)
    return scope, allowed or permit(person, ACTION, standing(session, person, None, ACTION))


def _head(
    reader: Reader, query: Query, note: Note, scope: Scope | None, holder: tuple[str, str], made_at: str, origin: str
) -> tuple[Head, Trials]:
    trials = None if scope is None or scope.whole else scope.trials
    everything = Query()
    readable = note.size if trials is None else number_of(reader, _pinned(everything, note), trials)
    return Head(
        origin=origin, query=query.text or EVERYTHING, scope=scope.in_words() if scope else "All entries",
        withheld=note.size - readable, size=note.size, root=note.root.hex(), made_at=made_at, made_for=holder[0],
        through=holder[1], entries=number_of(reader, _pinned(query, note), trials),
    ), trials


def number_of(reader: Reader, query: Query, trials: Trials) -> int:
    """How many entries fit, without a cap."""
    clauses = Clauses(reader.dialect)
    where = " AND ".join(clauses.of(query, trials)) or "1 = 1"
    return int(next(reader.rows(f"SELECT count(*) FROM entry WHERE {where}", **clauses.given))[0])  # noqa: S608


def _pinned(query: Query, note: Note) -> Query:
    """The question over the entries that the note covers, and no later one."""
    asked = LARGEST_SEQ if query.as_of_seq is None else query.as_of_seq
    return replace(query, as_of_seq=min(asked, note.size - 1))


def _rows(reader: Reader, query: Query, trials: Trials, *, bodies: bool) -> Iterator[dict[str, Any]]:
    said, marks = record.sentences(reader), suspicions(reader)
    yield from rows_of(reader, record.every(reader, query, trials), said, marks, bodies=bodies)


def _as_csv(head: Head, rows: Iterator[dict[str, Any]], path: Path) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        write_csv(rows, file)


def _as_json(head: Head, rows: Iterator[dict[str, Any]], path: Path) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps({"format": FORMAT, **asdict(head)}, ensure_ascii=False, indent=1)[:-2])
        file.write(',\n "rows": [')
        for number, row in enumerate(rows):
            file.write(("," if number else "") + "\n  " + json.dumps(row, ensure_ascii=False))
        file.write("\n ]\n}\n")


def _as_pdf(head: Head, rows: Iterator[dict[str, Any]], path: Path) -> None:
    from reports.query_paper import write_paper

    write_paper(head, rows, path)


_WRITERS = {"csv": _as_csv, "json": _as_json, "pdf": _as_pdf}


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size

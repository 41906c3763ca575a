"""What pages and use cases ask about papers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from audit import store, verifier
from audit.entry import MalformedEntry
from audit.vocabulary.registry import ObjectRef
from core.errors import NotFound, RecordDamaged
from core.projection import from_reference
from reports.book import Book, Line
from reports.projections import drawn, issued, signed, stamped
from reports.projections import report_files as signed_files


@dataclass(frozen=True, slots=True)
class DrawnReport:
    """A paper whose content was drawn, with the entries of its signatures by part."""

    entry: int
    entry_id: str
    trial: str
    report: str
    kind: str
    content_digest: str
    size: int
    root: str
    content: ObjectRef
    release: str
    drawn_for: str
    at: str
    signatures: dict[str, tuple[str, str]]  # part -> (person, entry id)


@dataclass(frozen=True, slots=True)
class IssuedReport:
    """A paper as it went out. `pdf` is the file that its issue names, `newest` the same with the last time stamp."""

    entry: int
    entry_id: str
    trial: str
    report: str
    kind: str
    content_digest: str
    pdf: ObjectRef
    pages: int
    supersedes: str | None
    at: str
    newest: ObjectRef
    stamps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A signed file of the report of validation runs, as its entry names it. part: executed or reviewed."""

    entry: int
    runs: tuple[str, ...]
    part: str
    content_digest: str
    pdf: ObjectRef
    pages: int
    size: int
    root: str
    bundle_sha256: str
    person: str
    at: str


def report_files(session: Connection, run: str) -> list[ReportFile]:
    """Signed files that tell of a run, newest first."""
    rows = session.execute(select(signed_files).order_by(signed_files.c.entry.desc())).mappings()
    found = [ReportFile(**{**row, "runs": tuple(json.loads(row["runs"])), "pdf": from_reference(row["pdf"])})
             for row in rows]
    return [one for one in found if run in one.runs]


def drawn_reports(session: Connection, trial: str) -> list[DrawnReport]:
    """Papers drawn in a trial, newest first."""
    rows = session.execute(select(drawn).where(drawn.c.trial == trial).order_by(drawn.c.entry.desc())).mappings()
    return [
        DrawnReport(**{**row, "content": from_reference(row["content"])},
                    signatures=_signatures(session, row["content_digest"]))
        for row in rows
    ]


def drawn_report(session: Connection, trial: str, digest: str) -> DrawnReport:
    """The paper of a trial whose content digest begins so. Raises NotFound, also where two would fit."""
    fitting = [one for one in drawn_reports(session, trial) if one.content_digest.startswith(digest)]
    if len({one.content_digest for one in fitting}) != 1 or len(digest) < 8:
        raise NotFound(f"Trial {trial} has no drawn paper with content digest {digest}.",
                       next_step="`countersign report list` shows the papers; eight signs of the digest are enough.")
    return fitting[-1]


def _signatures(session: Connection, digest: str) -> dict[str, tuple[str, str]]:
    rows = session.execute(select(signed).where(signed.c.content_digest == digest).order_by(signed.c.entry))
    return {row.part: (row.person, row.entry_id) for row in rows}


def issued_reports(session: Connection, trial: str) -> list[IssuedReport]:
    """Papers issued in a trial, newest first."""
    rows = session.execute(select(issued).where(issued.c.trial == trial).order_by(issued.c.entry.desc())).mappings()
    later: dict[str, list[Row[Any]]] = {}
    for stamp in session.execute(select(stamped).where(stamped.c.trial == trial).order_by(stamped.c.entry)):
        later.setdefault(stamp.issued, []).append(stamp)
    found = []
    for row in rows:
        stamps = later.get(row["entry_id"], [])
        newest = stamps[-1].pdf if stamps else row["pdf"]
        found.append(IssuedReport(**{**row, "pdf": from_reference(row["pdf"])}, newest=from_reference(newest),
                                  stamps=tuple(one.entry for one in stamps)))
    return found


def issued_report(session: Connection, report: DrawnReport) -> IssuedReport | None:
    """The issue of a drawn paper; None where it is not issued yet."""
    papers = issued_reports(session, report.trial)
    return next((one for one in papers if one.content_digest == report.content_digest), None)


def verified_book(session: Connection, origin: str, size: int | None = None) -> Book:
    """The record as a book, every entry checked on the way as a stranger would check it.

    `size` reads the record as it stood then. Raises RecordDamaged at the first entry that breaks a rule, and where
    the entries do not lead to the root of the last checkpoint.
    """
    checker = verifier.Checker(origin)
    lines, leaves = [], []
    try:
        for entry in store.read_entries(session):
            _, leaf = checker.take(entry.raw)
            checker.tree.append(leaf)
            lines.append(Line.of(entry))
            leaves.append(leaf)
        checker.finish()
    except verifier.Wrong as wrong:
        where = f"Entry {wrong.seq}" if wrong.seq is not None else "The record"
        raise RecordDamaged(f"{where} does not stand up to verification: {wrong.reason}.") from wrong
    except MalformedEntry as wrong:
        raise RecordDamaged(f"Entry {len(lines)} does not stand up to verification: {wrong}") from wrong
    checkpoint = store.last_checkpoint(session)
    if checkpoint is None or (checkpoint.size, checkpoint.root) != (len(leaves), checker.tree.root()):
        raise RecordDamaged("The entries do not lead to the root of the last checkpoint.")
    return Book(origin, lines, leaves, size or len(leaves))


def issued_as(session: Connection, pdf_sha256: str) -> IssuedReport | None:
    """The issued paper whose file has exactly this digest, with or without its time stamps: what a copy in somebody's
    hands must equal."""
    rows = [*session.execute(select(issued.c.trial, issued.c.entry_id.label("issue"), issued.c.pdf)),
            *session.execute(select(stamped.c.trial, stamped.c.issued.label("issue"), stamped.c.pdf))]
    for trial, issue, pdf in rows:
        if from_reference(pdf).sha256 == pdf_sha256:
            return next(one for one in issued_reports(session, trial) if one.entry_id == issue)
    return None

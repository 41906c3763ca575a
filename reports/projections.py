"""Papers as tables: drawn, signed, issued."""

from __future__ import annotations

import json

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, Text

from audit.vocabulary.reports import ReportDrawn, ReportIssued, ReportSigned, ReportTimeStamped
from audit.vocabulary.validation import ValidationReportSigned
from core.projection import Recorded, keep, metadata, projects, reference

drawn = Table(
    "report_drawn", metadata,
    Column("entry", BigInteger, primary_key=True), Column("entry_id", String(40), nullable=False),
    Column("trial", String(60), nullable=False, index=True), Column("report", String(120), nullable=False),
    Column("kind", String(40), nullable=False), Column("content_digest", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False), Column("root", String(80), nullable=False),
    Column("content", Text, nullable=False), Column("release", String(40), nullable=False),
    Column("drawn_for", String(60), nullable=False), Column("at", String(40), nullable=False),
)
signed = Table(
    "report_signature", metadata,
    Column("entry", BigInteger, primary_key=True), Column("entry_id", String(40), nullable=False),
    Column("trial", String(60), nullable=False, index=True),
    Column("content_digest", String(64), nullable=False, index=True),
    Column("part", String(20), nullable=False), Column("person", String(60), nullable=False),
    Column("at", String(40), nullable=False),
)
issued = Table(
    "report_issued", metadata,
    Column("entry", BigInteger, primary_key=True), Column("entry_id", String(40), nullable=False),
    Column("trial", String(60), nullable=False, index=True), Column("report", String(120), nullable=False),
    Column("kind", String(40), nullable=False), Column("content_digest", String(64), nullable=False, index=True),
    Column("pdf", Text, nullable=False), Column("pages", Integer, nullable=False),
    Column("supersedes", String(64)), Column("at", String(40), nullable=False),
)

stamped = Table(
    "report_time_stamp", metadata,
    Column("entry", BigInteger, primary_key=True), Column("trial", String(60), nullable=False, index=True),
    Column("issued", String(40), nullable=False, index=True), Column("pdf", Text, nullable=False),
    Column("authority", Text, nullable=False), Column("at", String(40), nullable=False),
)


report_files = Table(
    "validation_report_file", metadata,
    Column("entry", BigInteger, primary_key=True), Column("runs", Text, nullable=False),
    Column("part", String(12), nullable=False), Column("content_digest", String(64), nullable=False),
    Column("pdf", Text, nullable=False), Column("pages", Integer, nullable=False),
    Column("size", BigInteger, nullable=False), Column("root", String(80), nullable=False),
    Column("bundle_sha256", String(64), nullable=False), Column("person", String(120), nullable=False),
    Column("at", String(40), nullable=False),
)


@projects(ValidationReportSigned)
def remember_report_file(session: Connection, entry: Recorded, event: ValidationReportSigned) -> None:
    keep(session, report_files, entry=entry.seq, runs=json.dumps(event.runs), part=event.part,
         content_digest=event.content_digest, pdf=reference(event.pdf), pages=event.pages, size=event.size,
         root=event.root, bundle_sha256=event.bundle_sha256, person=entry.person, at=entry.at)


@projects(ReportDrawn)
def remember_drawn(session: Connection, entry: Recorded, event: ReportDrawn) -> None:
    keep(session, drawn, entry=entry.seq, entry_id=entry.id, trial=entry.trial, report=event.report, kind=event.kind,
         content_digest=event.content_digest, size=event.size, root=event.root, content=reference(event.content),
         release=event.release, drawn_for=entry.person, at=entry.at)


@projects(ReportSigned)
def remember_signature(session: Connection, entry: Recorded, event: ReportSigned) -> None:
    keep(session, signed, entry=entry.seq, entry_id=entry.id, trial=entry.trial, content_digest=event.content_digest,
         part=event.part, person=entry.actor, at=entry.at)


@projects(ReportIssued)
def remember_issue(session: Connection, entry: Recorded, event: ReportIssued) -> None:
    keep(session, issued, entry=entry.seq, entry_id=entry.id, trial=entry.trial, report=event.report, kind=event.kind,
         content_digest=event.content_digest, pdf=reference(event.pdf), pages=event.pages,
         supersedes=event.supersedes, at=entry.at)


@projects(ReportTimeStamped)
def remember_time_stamp(session: Connection, entry: Recorded, event: ReportTimeStamped) -> None:
    keep(session, stamped, entry=entry.seq, trial=entry.trial, issued=event.issued, pdf=reference(event.pdf),
         authority=event.authority, at=entry.at)

"""Tables of corrections: what was corrected, its rejection note, who was told, and what was taken out for others."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, String, Table, Text

from audit.vocabulary import corrections as words
from core.projection import Recorded, keep, metadata, projects, reference

corrections = Table(
    "correction", metadata,
    Column("correction", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("study", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("to_subject", String(64)),
    Column("to_time_point", String(32)),
    Column("side", String(1)),
    Column("became", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("ai_values", Integer, nullable=False),
    Column("pulled", Integer, nullable=False),
    Column("locked", Integer, nullable=False),
    Column("person", String(120), nullable=False),
    Column("at", String(32), nullable=False),
    Column("note", Text),
    Column("title", String(64)),
    Column("entry", Integer, nullable=False),
)
notices = Table(
    "correction_notice", metadata,
    Column("correction", String(36), primary_key=True),
    Column("copy_entry", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("holder", String(120), nullable=False),
    Column("entry", Integer, nullable=False),
)
deliveries = Table(
    "correction_delivery", metadata,
    Column("correction", String(36), nullable=False, index=True),
    Column("objects", Integer, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("person", String(120), nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)


@projects(words.StudyReassigned)
def remember_correction(session: Connection, entry: Recorded, event: words.StudyReassigned) -> None:
    keep(
        session, corrections, correction=entry.id, trial=entry.trial, kind=event.kind, study=event.study,
        subject=event.subject, time_point=event.time_point, to_subject=event.to_subject,
        to_time_point=event.to_time_point, side=event.side, became=event.became,
        series=" ".join(one.series for one in event.series), ai_values=event.ai_values, pulled=event.pulled,
        locked=event.locked, person=entry.person, at=entry.at, entry=entry.seq,
    )


@projects(words.CorrectionNoted)
def remember_note(session: Connection, entry: Recorded, event: words.CorrectionNoted) -> None:
    session.execute(corrections.update().where(corrections.c.correction == event.correction).values(
        note=reference(event.note), title=event.title))


@projects(words.CorrectionNotified)
def remember_notice(session: Connection, entry: Recorded, event: words.CorrectionNotified) -> None:
    keep(session, notices, correction=event.correction, copy_entry=event.copy_entry, kind=event.kind,
         holder=event.holder, entry=entry.seq)


@projects(words.CorrectionDelivered)
def remember_delivery(session: Connection, entry: Recorded, event: words.CorrectionDelivered) -> None:
    keep(session, deliveries, correction=event.correction, objects=event.objects,
         manifest_sha256=event.manifest_sha256, person=entry.person, at=entry.at, entry=entry.seq)

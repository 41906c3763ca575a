"""Tables of audit-trail reviews: what was drawn, what was signed, and from when on a trial's trail is watched."""

from __future__ import annotations

import json

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text

from audit.vocabulary import trials as trial_words
from audit.vocabulary.registry import fields_of
from audit.vocabulary.reviews import AuditTrailDrawn, AuditTrailReviewed
from core.projection import Recorded, keep, metadata, projects

reviews = Table(
    "audit_trail_review", metadata,
    Column("review", String(64), primary_key=True),
    Column("trial", String(16), index=True),
    Column("query", Text, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("last_at", String(27), nullable=False),
    Column("fitting", Integer, nullable=False),
    Column("own", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("seed", String(64), nullable=False),
    Column("samples", Text, nullable=False),
    Column("regular", Boolean, nullable=False),
    Column("opened_by", String(120), nullable=False),
    Column("opened_at", String(27), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
    Column("signed_by", String(120)),
    Column("signed_at", String(27)),
    Column("conclusion", String(32)),
    Column("statement", Text),
    Column("findings", Text),
    Column("signed_entry", Integer),
)
watched = Table(
    "audit_trail_watched", metadata,
    Column("trial", String(16), primary_key=True),
    Column("live_at", String(27), nullable=False),
    Column("entry", Integer, nullable=False),
)


@projects(AuditTrailDrawn)
def remember_draw(session: Connection, entry: Recorded, event: AuditTrailDrawn) -> None:
    keep(
        session, reviews, review=event.review, trial=entry.trial, query=event.query, first=event.first, last=event.last,
        last_at=event.last_at, fitting=event.fitting, own=event.own, size=event.size, seed=event.seed,
        samples=json.dumps(event.samples), regular=event.regular, opened_by=entry.person, opened_at=entry.at,
        entry_id=entry.id, entry=entry.seq,
    )


@projects(AuditTrailReviewed)
def remember_review(session: Connection, entry: Recorded, event: AuditTrailReviewed) -> None:
    session.execute(reviews.update().where(reviews.c.review == event.review).values(
        signed_by=entry.actor, signed_at=entry.at, conclusion=event.conclusion, statement=event.statement,
        findings=json.dumps([fields_of(one) for one in event.findings], sort_keys=True), signed_entry=entry.seq))


@projects(trial_words.TrialActivated)
def begin_watching(session: Connection, entry: Recorded, event: trial_words.TrialActivated) -> None:
    keep(session, watched, trial=entry.trial, live_at=entry.at, entry=entry.seq)


@projects(trial_words.TrialClosed)
def end_watching(session: Connection, entry: Recorded, event: trial_words.TrialClosed) -> None:
    session.execute(watched.delete().where(watched.c.trial == entry.trial))

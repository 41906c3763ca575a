"""Versions of controlled documents, who had a hand in them, and the training log."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, String, Table, Text

from audit.vocabulary.sops import (
    SopApproved,
    SopDrafted,
    SopEffective,
    SopRetired,
    SopReturned,
    SopReviewed,
    SopSuperseded,
    TrainingCompleted,
)
from core.projection import Recorded, keep, metadata, projects, reference
from sops.rules import State

versions = Table(
    "sop_version", metadata,
    Column("sop", String(12), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("title", String(200), nullable=False),
    Column("owner", String(60), nullable=False),
    Column("governs", Text, nullable=False),
    Column("applies_to", Text, nullable=False),
    Column("review_months", Integer, nullable=False),
    Column("window_days", Integer, nullable=False),
    Column("text", String(200), nullable=False),
    Column("state", String(12), nullable=False),
    Column("author", String(120), nullable=False),
    Column("reviewer", String(120)),
    Column("approver", String(120)),
    Column("approval_id", String(36)),
    Column("effective_on", String(10)),
    Column("review_by", String(10)),
    Column("entry", Integer, nullable=False),
)
training_log = Table(
    "sop_training", metadata,
    Column("entry", Integer, primary_key=True, autoincrement=False),
    Column("user", String(120), nullable=False, index=True),
    Column("sop", String(12), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", String(27), nullable=False),
)


@projects(SopDrafted)
def remember_draft(session: Connection, entry: Recorded, event: SopDrafted) -> None:
    keep(
        session, versions, sop=event.sop, version=event.version, title=event.title, owner=event.owner,
        governs=" ".join(event.governs), applies_to=" ".join(event.applies_to), review_months=event.review_months,
        window_days=event.window_days, text=reference(event.text), state=State.DRAFT, author=entry.person,
        entry=entry.seq,
    )


def _change(session: Connection, sop: str, version: int, **values: object) -> None:
    session.execute(
        versions.update().where(versions.c.sop == sop, versions.c.version == version).values(**values)
    )


@projects(SopReviewed)
def remember_review(session: Connection, entry: Recorded, event: SopReviewed) -> None:
    _change(session, event.sop, event.version, state=State.IN_REVIEW, reviewer=entry.person)


@projects(SopApproved)
def remember_approval(session: Connection, entry: Recorded, event: SopApproved) -> None:
    _change(
        session, event.sop, event.version, state=State.APPROVED, approver=entry.person, approval_id=entry.id,
        effective_on=event.effective_on,
    )


@projects(SopEffective)
def remember_effect(session: Connection, entry: Recorded, event: SopEffective) -> None:
    _change(session, event.sop, event.version, state=State.EFFECTIVE, review_by=event.review_by)


@projects(SopSuperseded)
def remember_successor(session: Connection, entry: Recorded, event: SopSuperseded) -> None:
    _change(session, event.sop, event.version, state=State.SUPERSEDED)


@projects(SopReturned, SopRetired)
def remember_end(session: Connection, entry: Recorded, event: SopReturned | SopRetired) -> None:
    _change(session, event.sop, event.version, state=State.RETIRED)


@projects(TrainingCompleted)
def remember_training(session: Connection, entry: Recorded, event: TrainingCompleted) -> None:
    keep(session, training_log, entry=entry.seq, user=entry.person, sop=event.sop, version=event.version, at=entry.at)

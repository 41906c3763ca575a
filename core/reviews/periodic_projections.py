"""Table of periodic reviews: for each thing that is reviewed, what the last one covers and when the next is due."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Column, Connection, Integer, String, Table, select

from audit.vocabulary.access import AccessReviewed, InstallationOpened
from audit.vocabulary.models import ModelRetired
from audit.vocabulary.sops import SopEffective, SopRetired
from audit.vocabulary.validation import ReleaseSigned, ValidationPeriodicallyReviewed
from core.access.review_days import MOST_MONTHS, months_after
from core.projection import Recorded, keep, metadata, projects
from core.reviews.periodic import INSTALLATION, PeriodicDue

periodic = Table(
    "periodic_review", metadata,
    Column("kind", String(12), primary_key=True),
    Column("subject", String(160), primary_key=True),
    Column("version", Integer),
    Column("covered_to", String(10), nullable=False),
    Column("due_on", String(10), nullable=False),
    Column("conclusion", String(20), nullable=False),
    Column("entry", Integer, nullable=False),
)


def _drop(session: Connection, kind: str, subject: str) -> None:
    session.execute(periodic.delete().where(periodic.c.kind == kind, periodic.c.subject == subject))


def _set(
    session: Connection, entry: Recorded, kind: str, subject: str, due_on: str | None = None, conclusion: str = "",
    version: int | None = None,
) -> None:
    _drop(session, kind, subject)
    day = entry.at[:10]
    longest = months_after(date.fromisoformat(day), MOST_MONTHS[kind]).isoformat() if due_on is None else due_on
    keep(session, periodic, kind=kind, subject=subject, version=version, covered_to=day, due_on=longest,
         conclusion=conclusion, entry=entry.seq)


@projects(InstallationOpened)
def begin_access(session: Connection, entry: Recorded, event: InstallationOpened) -> None:
    if event.first is not None:
        _set(session, entry, "access", INSTALLATION)


@projects(AccessReviewed)
def remember_access(session: Connection, entry: Recorded, event: AccessReviewed) -> None:
    _set(session, entry, "access", INSTALLATION, event.next_by)


@projects(ReleaseSigned)
def begin_validation(session: Connection, entry: Recorded, event: ReleaseSigned) -> None:
    """A later release is a part of what the next review looks at, not a review."""
    subject = event.lock or INSTALLATION
    known = session.execute(select(periodic.c.entry).where(
        periodic.c.kind == "validation", periodic.c.subject == subject)).first()
    if known is None:
        _set(session, entry, "validation", subject)


@projects(ValidationPeriodicallyReviewed)
def remember_validation(session: Connection, entry: Recorded, event: ValidationPeriodicallyReviewed) -> None:
    _set(session, entry, "validation", event.lock or INSTALLATION, event.next_by, event.conclusion)


@projects(ModelRetired)
def end_validation(session: Connection, entry: Recorded, event: ModelRetired) -> None:
    _drop(session, "validation", event.lock)


@projects(SopEffective)
def begin_document(session: Connection, entry: Recorded, event: SopEffective) -> None:
    _set(session, entry, "document", event.sop, event.review_by, version=event.version)


@projects(SopRetired)
def end_document(session: Connection, entry: Recorded, event: SopRetired) -> None:
    session.execute(periodic.delete().where(
        periodic.c.kind == "document", periodic.c.subject == event.sop, periodic.c.version == event.version))


def periodic_due(session: Connection) -> tuple[PeriodicDue, ...]:
    """Everything that is reviewed periodically, what is due first first."""
    rows = session.execute(select(periodic).order_by(periodic.c.due_on, periodic.c.kind, periodic.c.subject))
    return tuple(
        PeriodicDue(row.kind, row.subject, date.fromisoformat(row.covered_to), date.fromisoformat(row.due_on),
                    row.entry, row.conclusion)
        for row in rows
    )

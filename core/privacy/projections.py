"""What was decided about whose data, which copies left the house, and texts about subjects as ciphertext.

No table holds a text about a subject in clear, so a rebuild needs no key and gives the same rows with and without it.
What an erasure takes from a row it takes in the fold: live rows and rebuilt ones carry the same tombstone.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text, select

import audit.vocabulary  # noqa: F401  every word is declared before those with texts are looked for
from audit.vocabulary import privacy as words
from audit.vocabulary.ledger import ExportMade
from audit.vocabulary.registry import REGISTRY, SubjectText
from audit.vocabulary.reports import ReportIssued
from audit.vocabulary.trials import SubjectScreened
from core.projection import Recorded, keep, metadata, projects

subjects = Table(
    "privacy_subject", metadata,
    Column("trial", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("restricted", String(36)),  # the decision in force
    Column("erased", String(36)),
    Column("destroyed", String(36)),
    Column("entry", Integer, nullable=False),
)
decisions = Table(
    "privacy_decision", metadata,
    Column("id", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("request", String(32), nullable=False),
    Column("basis", String(32), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("retention", String(16), nullable=False),
    Column("retain_until", String(10)),
    Column("retain_event", String(32)),
    Column("happened_on", String(10)),
    Column("replaces", String(36)),
    Column("decider", String(120), nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry", Integer, nullable=False),
)
# Exports and issued papers: of one trial, or (trial empty) of whatever their scope names.
copies = Table(
    "privacy_copy", metadata,
    Column("copy_entry", String(36), primary_key=True),
    Column("trial", String(16), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("holder", String(120), nullable=False),
    Column("what", Text, nullable=False),
    Column("entry", Integer, nullable=False),
)
notices = Table(
    "privacy_notice", metadata,
    Column("erased", String(36), primary_key=True),
    Column("copy_entry", String(36), primary_key=True),
    Column("trial", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("holder", String(120), nullable=False),
    Column("entry", Integer, nullable=False),
)
texts = Table(
    "subject_text", metadata,
    Column("id", String(36), primary_key=True),
    Column("field", String(32), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("ct", Text, nullable=False),
    Column("iv", String(24), nullable=False),
    Column("kid", String(64), nullable=False),
    Column("erased", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)


def _fields_with_text(cls: type) -> tuple[str, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(
        one.name for one in dataclasses.fields(cls)
        if hints[one.name] is SubjectText or SubjectText in typing.get_args(hints[one.name])
    )


#: Every word that may carry text about a subject, and in which fields.
WITH_TEXT: dict[type, tuple[str, ...]] = {
    word.cls: fields for word in REGISTRY.values() if (fields := _fields_with_text(word.cls))
}


@projects(*WITH_TEXT)
def remember_texts(session: Connection, entry: Recorded, event: Any) -> None:
    for name in WITH_TEXT[type(event)]:
        sealed = getattr(event, name)
        if sealed is not None:
            keep(
                session, texts, id=entry.id, field=name, trial=entry.trial, subject=event.subject, ct=sealed.ct,
                iv=sealed.iv, kid=sealed.kid, erased=False, entry=entry.seq,
            )


@projects(SubjectScreened)
def remember_subject(session: Connection, entry: Recorded, event: SubjectScreened) -> None:
    known = select(subjects).where(subjects.c.trial == entry.trial, subjects.c.subject == event.subject)
    if session.execute(known).first() is None:
        keep(session, subjects, trial=entry.trial, subject=event.subject, entry=entry.seq)


@projects(words.PrivacyDecided)
def remember_decision(session: Connection, entry: Recorded, event: words.PrivacyDecided) -> None:
    keep(
        session, decisions, id=entry.id, trial=entry.trial, subject=event.subject, request=event.request,
        basis=event.basis, decision=event.decision, retention=event.retention, retain_until=event.retain_until,
        retain_event=event.retain_event, happened_on=event.happened_on, replaces=event.replaces, decider=entry.person,
        at=entry.at, entry=entry.seq,
    )
    if event.decision == "restrict":
        _mark(session, entry, event.subject, restricted=entry.id)


@projects(words.RestrictionLifted)
def forget_restriction(session: Connection, entry: Recorded, event: words.RestrictionLifted) -> None:
    _mark(session, entry, event.subject, restricted=None)


@projects(words.PrivacyErased)
def remember_erasure(session: Connection, entry: Recorded, event: words.PrivacyErased) -> None:
    _mark(session, entry, event.subject, erased=entry.id)
    _forget_texts(session, entry, event.subject)


@projects(words.PrivacyDestroyed)
def remember_destruction(session: Connection, entry: Recorded, event: words.PrivacyDestroyed) -> None:
    """Also where a restored record lost the order itself."""
    _mark(session, entry, event.subject, erased=event.erased, destroyed=entry.id)
    _forget_texts(session, entry, event.subject)


@projects(words.PrivacyNotified)
def remember_notice(session: Connection, entry: Recorded, event: words.PrivacyNotified) -> None:
    keep(
        session, notices, erased=event.erased, copy_entry=event.copy_entry, trial=entry.trial, subject=event.subject,
        kind=event.kind, holder=event.holder, entry=entry.seq,
    )


@projects(ExportMade)
def remember_export(session: Connection, entry: Recorded, event: ExportMade) -> None:
    named = [one.stream.removeprefix("trial/") for one in event.streams if one.stream.startswith("trial/")]
    # Chosen entries come with no stream of a trial: their scope names them.
    for trial in named or ([""] if event.scope.startswith("entries ") else []):
        keep(
            session, copies, copy_entry=entry.id, trial=trial, kind="export", holder=entry.person, what=event.scope,
            entry=entry.seq,
        )


@projects(ReportIssued)
def remember_paper(session: Connection, entry: Recorded, event: ReportIssued) -> None:
    keep(
        session, copies, copy_entry=entry.id, trial=entry.trial or "", kind="report", holder=entry.person,
        what=event.report, entry=entry.seq,
    )


def _mark(session: Connection, entry: Recorded, subject: str, **values: str | None) -> None:
    session.execute(
        subjects.update().where(subjects.c.trial == entry.trial, subjects.c.subject == subject).values(**values)
    )


def _forget_texts(session: Connection, entry: Recorded, subject: str) -> None:
    session.execute(
        texts.update().where(texts.c.trial == entry.trial, texts.c.subject == subject)
        .values(ct="", iv="", erased=True)
    )

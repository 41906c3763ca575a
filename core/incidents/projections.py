"""Tables of incidents: what was opened, and how far its destruction has come."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, String, Table, Text, select

from audit.vocabulary import incidents as words
from audit.vocabulary.ledger import BackupMade
from core.incidents.rules import INCIDENT
from core.projection import Recorded, keep, metadata, projects, reference

incidents = Table(
    "incident", metadata,
    Column("incident", String(40), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("source", String(8), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("state", String(16), nullable=False),
    Column("subject", String(64)),
    Column("time_point", String(32)),
    Column("series", Text, nullable=False),
    Column("places", Text, nullable=False),
    Column("mark", String(64)),
    Column("opened_by", String(120), nullable=False),
    Column("at", String(32), nullable=False),
    Column("id", String(36), nullable=False),
    Column("objects", Integer),
    Column("listing", Text),
    Column("digest", String(64)),
    Column("ordered_by", String(120)),
    Column("ordered_entry", Integer),
    Column("certified_by", String(120)),
    Column("certified_entry", Integer),
    Column("entry", Integer, nullable=False),
)
backups = Table(
    "incident_backup", metadata,
    Column("id", String(36), primary_key=True),
    Column("holder", String(120), nullable=False),
    Column("entry", Integer, nullable=False),
)


@projects(words.IncidentOpened)
def remember_incident(session: Connection, entry: Recorded, event: words.IncidentOpened) -> None:
    state = INCIDENT[None, "incident.opened"] if event.series else "nothing_kept"
    keep(
        session, incidents, incident=event.incident, trial=entry.trial, source=event.source, kind=event.kind,
        state=state, subject=event.subject, time_point=event.time_point,
        series=" ".join(one.series for one in event.series), places="\n".join(event.places), mark=event.mark,
        opened_by=entry.person, at=entry.at, id=entry.id, entry=entry.seq,
    )


def _move(session: Connection, incident: str, word: str, **values: str | int | None) -> None:
    here = incidents.c.incident == incident
    state = session.execute(select(incidents.c.state).where(here)).scalar_one()
    session.execute(incidents.update().where(here).values(state=INCIDENT[state, word], **values))


@projects(words.DestructionOrdered)
def remember_order(session: Connection, entry: Recorded, event: words.DestructionOrdered) -> None:
    _move(session, event.incident, "destruction.ordered", objects=event.objects, listing=reference(event.listing),
          digest=event.digest, ordered_by=entry.person, ordered_entry=entry.seq)


@projects(words.DestructionDone)
def remember_destruction(session: Connection, entry: Recorded, event: words.DestructionDone) -> None:
    _move(session, event.incident, "destruction.done")


@projects(words.DestructionCertified)
def remember_certificate(session: Connection, entry: Recorded, event: words.DestructionCertified) -> None:
    _move(session, event.incident, "destruction.certified", certified_by=entry.person, certified_entry=entry.seq)


@projects(BackupMade)
def remember_backup(session: Connection, entry: Recorded, event: BackupMade) -> None:
    keep(session, backups, id=entry.id, holder=entry.person, entry=entry.seq)

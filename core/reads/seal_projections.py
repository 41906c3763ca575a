"""Tables of what two persons sign about seals: recovery keys, recoveries, openings before all are in."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text

from audit.vocabulary import seals as words
from core.projection import Recorded, keep, metadata, projects

seal_keys = Table(
    "seal_key", metadata,
    Column("id", String(36), primary_key=True),
    Column("public_key", String(44), nullable=False),
    Column("signer", String(120), nullable=False),
    Column("role", String(40), nullable=False),
    Column("first", String(36)),
    Column("at_init", Boolean, nullable=False),
    Column("at", String(27), nullable=False),
    Column("entry", Integer, nullable=False),
)
recoveries = Table(
    "seal_recovery", metadata,
    Column("id", String(36), primary_key=True),
    Column("because", Text, nullable=False),
    Column("signer", String(120), nullable=False),
    Column("role", String(40), nullable=False),
    Column("first", String(36)),
    Column("at", String(27), nullable=False),
    Column("entry", Integer, nullable=False),
)
openings = Table(
    "read_opening_order", metadata,
    Column("id", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("seals", Text, nullable=False),
    Column("signer", String(120), nullable=False),
    Column("role", String(40), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("first", String(36)),
    Column("entry", Integer, nullable=False),
)


@projects(words.SealKeyEnrolled)
def remember_seal_key(session: Connection, entry: Recorded, event: words.SealKeyEnrolled) -> None:
    keep(
        session, seal_keys, id=entry.id, public_key=event.public_key, signer=entry.person, role=entry.role,
        first=event.first, at_init=bool(event.at_init), at=entry.at, entry=entry.seq,
    )  # fmt: skip


@projects(words.SealsRecoveryOrdered)
def remember_recovery(session: Connection, entry: Recorded, event: words.SealsRecoveryOrdered) -> None:
    keep(
        session, recoveries, id=entry.id, because=event.because, signer=entry.person, role=entry.role,
        first=event.first, at=entry.at, entry=entry.seq,
    )  # fmt: skip


@projects(words.OpeningOrdered)
def remember_opening(session: Connection, entry: Recorded, event: words.OpeningOrdered) -> None:
    keep(
        session, openings, id=entry.id, trial=entry.trial, subject=event.subject, time_point=event.time_point,
        seals=" ".join(event.seals), signer=entry.person, role=entry.role, reason=entry.reason or "",
        first=event.first, entry=entry.seq,
    )  # fmt: skip

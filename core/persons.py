"""Who stands behind a personal key: printed name and local time, as signatures print them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, String, Table, select

from audit.entry import from_base64, kid_of
from audit.vocabulary.ledger import KeyEnrolled, KeyRevoked, KeyRotated
from core.errors import NotFound
from core.projection import Recorded, keep, metadata, projects

keys = Table(
    "key", metadata,
    Column("kid", String(64), primary_key=True),
    Column("klass", String(12), nullable=False),
    Column("holder", String(120), nullable=False, index=True),
    Column("public_key", String(64), nullable=False),
    Column("printed_name", String(200)),
    Column("local_offset", String(6), nullable=False),
    Column("certificate_sha256", String(64)),
    Column("entry", Integer, nullable=False),
    Column("revoked_by", Integer),
)


@dataclass(frozen=True, slots=True)
class Person:
    """A holder of a personal key."""

    user: str
    printed_name: str
    local_offset: str
    kid: str
    certificate_sha256: str | None


@projects(KeyEnrolled)
def remember_key(session: Connection, entry: Recorded, event: KeyEnrolled) -> None:
    keep(
        session, keys, kid=kid_of(from_base64(event.public_key)), klass=event.klass, holder=event.holder,
        public_key=event.public_key, printed_name=event.printed_name,
        local_offset=event.local_offset or "+00:00", certificate_sha256=event.certificate_sha256, entry=entry.seq,
    )


@projects(KeyRotated)
def replace_key(session: Connection, entry: Recorded, event: KeyRotated) -> None:
    old = session.execute(select(keys).where(keys.c.kid == event.kid)).mappings().one()
    session.execute(keys.update().where(keys.c.kid == event.kid).values(revoked_by=entry.seq))
    keep(
        session, keys, kid=kid_of(from_base64(event.public_key)), klass=event.klass, holder=event.holder,
        public_key=event.public_key, printed_name=old["printed_name"], local_offset=old["local_offset"],
        entry=entry.seq,
    )


@projects(KeyRevoked)
def retire_key(session: Connection, entry: Recorded, event: KeyRevoked) -> None:
    session.execute(keys.update().where(keys.c.kid == event.kid).values(revoked_by=entry.seq))


def person_named(session: Connection, user: str) -> Person:
    """The person with a valid key. Raises NotFound."""
    row = session.execute(
        select(keys).where(keys.c.holder == user, keys.c.klass == "person", keys.c.revoked_by.is_(None))
        .order_by(keys.c.entry.desc()).limit(1)
    ).mappings().first()
    if row is None:
        raise NotFound(f"No valid personal key of {user!r} is enrolled.", next_step="Enrol the person first.")
    return Person(user, row["printed_name"] or user, row["local_offset"], row["kid"], row["certificate_sha256"])


def active_kids(session: Connection, user: str) -> frozenset[str]:
    """Key ids of a holder that are enrolled and not revoked."""
    rows = session.execute(select(keys.c.kid).where(keys.c.holder == user, keys.c.revoked_by.is_(None)))
    return frozenset(row.kid for row in rows)

"""Who stands behind a personal key: printed name and local time, as signatures print them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, String, Table, Text, bindparam, select

from audit.entry import from_base64, kid_of
from audit.turn import Fixed
from audit.vocabulary.ledger import KeyEnrolled, KeyRevoked, KeyRotated, LedgerFounded
from core.errors import NotFound
from core.projection import Recorded, keep, metadata, projects

keys = Table(
    "key", metadata,
    Column("kid", String(64), primary_key=True),
    Column("klass", String(12), nullable=False),
    Column("holder", String(120), nullable=False, index=True),
    Column("public_key", Text, nullable=False),
    Column("algorithm", String(12), nullable=False),
    Column("printed_name", String(200)),
    Column("local_offset", String(6), nullable=False),
    Column("certificate_sha256", String(64)),
    Column("entry", Integer, nullable=False),
    Column("revoked_by", Integer),
    Column("suspect_from", Integer),
    Column("suspect_by", Integer),
)
ED25519, ML_DSA_44 = "ed25519", "ml-dsa-44"


@dataclass(frozen=True, slots=True)
class Person:
    """A holder of a personal key."""

    user: str
    printed_name: str
    local_offset: str
    kid: str
    certificate_sha256: str | None


@projects(LedgerFounded)
def remember_root(session: Connection, entry: Recorded, event: LedgerFounded) -> None:
    keep(
        session, keys, kid=entry.kid, klass=event.klass, holder=event.holder, public_key=event.public_key,
        algorithm=ED25519, local_offset="+00:00", entry=entry.seq,
    )


@projects(KeyEnrolled)
def remember_key(session: Connection, entry: Recorded, event: KeyEnrolled) -> None:
    keep(
        session, keys, kid=kid_of(from_base64(event.public_key)), klass=event.klass, holder=event.holder,
        public_key=event.public_key, algorithm=event.algorithm or ED25519, printed_name=event.printed_name,
        local_offset=event.local_offset or "+00:00", certificate_sha256=event.certificate_sha256, entry=entry.seq,
    )


@projects(KeyRotated)
def replace_key(session: Connection, entry: Recorded, event: KeyRotated) -> None:
    session.execute(keys.update().where(keys.c.kid == event.kid).values(revoked_by=entry.seq))
    keep(
        session, keys, kid=kid_of(from_base64(event.public_key)), klass=event.klass, holder=event.holder,
        public_key=event.public_key, algorithm=event.algorithm or ED25519, printed_name=event.printed_name,
        local_offset=event.local_offset or "+00:00", certificate_sha256=event.certificate_sha256, entry=entry.seq,
    )


@projects(KeyRevoked)
def retire_key(session: Connection, entry: Recorded, event: KeyRevoked) -> None:
    """A key ends once, by what ended it first; a suspicion may be widened later and is never taken back."""
    this = keys.c.kid == event.kid
    session.execute(keys.update().where(this, keys.c.revoked_by.is_(None)).values(revoked_by=entry.seq))
    if event.suspect_from is not None:
        wider = keys.c.suspect_from.is_(None) | (keys.c.suspect_from > event.suspect_from)
        session.execute(
            keys.update().where(this, wider).values(suspect_from=event.suspect_from, suspect_by=entry.seq))


def person_named(session: Connection, user: str) -> Person:
    """The person with a valid key. Raises NotFound."""
    row = session.execute(
        select(keys).where(keys.c.holder == user, keys.c.klass == "person", keys.c.revoked_by.is_(None))
        .order_by(keys.c.entry.desc()).limit(1)
    ).mappings().first()
    if row is None:
        raise NotFound(f"No valid personal key of {user!r} is enrolled.", next_step="Enrol the person first.")
    return Person(user, row["printed_name"] or user, row["local_offset"], row["kid"], row["certificate_sha256"])


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as policy and pages need it."""

    kid: str
    klass: str
    holder: str
    algorithm: str
    certificate_sha256: str | None
    entry: int
    revoked_by: int | None
    suspect_from: int | None
    suspect_by: int | None


KEY_COLUMNS = tuple(keys.c[name] for name in KeyRow.__dataclass_fields__)
_KEY_OF_KID = Fixed(select(*KEY_COLUMNS).where(keys.c.kid == bindparam("of_kid")))


def key_row(session: Connection, kid: str) -> KeyRow | None:
    """A key of the record, in force or not; None where the record knows no such key."""
    rows = _KEY_OF_KID.ask(session, {"of_kid": kid})
    return KeyRow(*rows[0]) if rows else None


def key_of_certificate(session: Connection, sha256: str) -> KeyRow | None:
    """The personal key with which this certificate (SHA-256 of its DER form, hex) was enrolled; None for a foreign one.
    """
    row = session.execute(
        select(*KEY_COLUMNS).where(keys.c.certificate_sha256 == sha256, keys.c.klass == "person")).first()
    return KeyRow(**row._mapping) if row else None


def key_named(session: Connection, named: str) -> KeyRow:
    """The key whose id begins with these 8 to 64 hex digits. Raises NotFound, also where several do."""
    rows = session.execute(select(*KEY_COLUMNS).where(keys.c.kid.startswith(named, autoescape=True)).limit(2)).all()
    if len(named) < 8 or len(rows) != 1:
        raise NotFound(f"{len(rows) or 'No'} keys begin with {named!r}." if len(named) >= 8 else
                       f"{named!r} is too short for a key id.", next_step="`countersign key list` shows all keys.")
    return KeyRow(**rows[0]._mapping)


def keys_in_force(session: Connection, klass: str, holder: str, algorithm: str = ED25519) -> tuple[KeyRow, ...]:
    """The keys of a holder that sign now, oldest first."""
    rows = session.execute(
        select(*KEY_COLUMNS).where(
            keys.c.klass == klass, keys.c.holder == holder, keys.c.algorithm == algorithm, keys.c.revoked_by.is_(None)
        ).order_by(keys.c.entry))
    return tuple(KeyRow(**row._mapping) for row in rows)


def name_is_shared(session: Connection, klass: str, holder: str) -> bool:
    """Whether a key of the house bears a person's name, or a person that of a key of the house."""
    other = keys.c.klass != "person" if klass == "person" else keys.c.klass == "person"
    return session.execute(select(keys.c.kid).where(keys.c.holder == holder, other).limit(1)).first() is not None


def suspect_keys(session: Connection) -> dict[str, KeyRow]:
    """Keys whose earlier entries are suspect, by key id."""
    rows = session.execute(select(*KEY_COLUMNS).where(keys.c.suspect_from.is_not(None)))
    return {row.kid: KeyRow(**row._mapping) for row in rows}


def active_kids(session: Connection, user: str) -> frozenset[str]:
    """Key ids of a holder that are enrolled and not revoked."""
    rows = session.execute(select(keys.c.kid).where(keys.c.holder == user, keys.c.revoked_by.is_(None)))
    return frozenset(row.kid for row in rows)

"""Passkeys of people: which are in force, whose, and which may answer for an entry that is about to be appended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, String, Table, Text, select

from audit import store
from audit.entry import ASSERTION, Entry, from_base64
from audit.signatures import Signer
from audit.vocabulary.ledger import KeyPasskeyEnrolled, KeyPasskeyRevoked, KeyRevoked
from core.errors import NotFound, Refused, Stale
from core.persons import key_row
from core.projection import Recorded, keep, metadata, projects

RULE = "F-126"
PASSKEY = "passkey"
MEMBER = b'"assertion":{'

passkeys = Table(
    "passkey", metadata,
    Column("credential", Text, primary_key=True),
    Column("holder", String(120), nullable=False, index=True),
    Column("algorithm", String(12), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("rp", String(253), nullable=False),
    Column("label", String(60), nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
    Column("alone", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("enrolled_at", String(27), nullable=False),
    Column("ended_by", Integer),
)


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey of a person; `credential` and `public_key` are base64, `entry` is the one that enrolled it."""

    credential: str
    holder: str
    algorithm: str
    public_key: str
    rp: str
    label: str
    sign_count: int
    synced: bool
    alone: bool
    entry: int
    enrolled_at: str
    ended_by: int | None


@projects(KeyPasskeyEnrolled)
def remember_passkey(session: Connection, entry: Recorded, event: KeyPasskeyEnrolled) -> None:
    keep(
        session, passkeys, credential=event.credential, holder=entry.actor, algorithm=event.algorithm,
        public_key=event.public_key, rp=event.rp, label=event.label, sign_count=event.sign_count, synced=event.synced,
        alone=bool(event.alone), entry=entry.seq, enrolled_at=entry.at,
    )


@projects(KeyPasskeyRevoked)
def retire_passkey(session: Connection, entry: Recorded, event: KeyPasskeyRevoked) -> None:
    session.execute(passkeys.update().where(
        passkeys.c.credential == event.credential, passkeys.c.ended_by.is_(None)).values(ended_by=entry.seq))


@projects(KeyRevoked)
def retire_with_their_key(session: Connection, entry: Recorded, event: KeyRevoked) -> None:
    """A person's revoked key vouched for the passkeys: they end with it, and are enrolled anew under the next one."""
    key = key_row(session, event.kid)
    if key is not None and key.klass == "person":
        session.execute(passkeys.update().where(
            passkeys.c.holder == key.holder, passkeys.c.ended_by.is_(None)).values(ended_by=entry.seq))


def passkeys_of(session: Connection, holder: str) -> tuple[Passkey, ...]:
    """All that a person ever enrolled, oldest first."""
    rows = session.execute(select(passkeys).where(passkeys.c.holder == holder).order_by(passkeys.c.entry))
    return tuple(Passkey(**row._mapping) for row in rows)


def in_force(session: Connection, holder: str) -> tuple[Passkey, ...]:
    """Those that may answer now."""
    return tuple(one for one in passkeys_of(session, holder) if one.ended_by is None)


def signs_alone(session: Connection, holder: str) -> bool:
    """Whether this person signs with passkeys alone: no one-time code signs for them."""
    return any(one.alone for one in in_force(session, holder))


def auth(session: Connection, signer: Signer, user: str, factors: tuple[str, ...] | None) -> dict[str, Any]:
    """`auth` of a signature in preparation; on a page it may still change to a passkey (`Proposal.with_passkey`).

    Args:
        factors: where the deed leaves no choice.
    """
    alone = ("password", PASSKEY) if signs_alone(session, user) else None
    return {"factors": list(factors or alone or signer.factors_of(user)), "component": "first", "age_s": 0}


def all_passkeys(session: Connection) -> tuple[Passkey, ...]:
    """Of everybody, in the order of the record."""
    return tuple(Passkey(**row._mapping) for row in session.execute(select(passkeys).order_by(passkeys.c.entry)))


def passkey_by_entry(session: Connection, entry: int) -> Passkey:
    """The passkey that this entry enrolled. Raises NotFound."""
    row = session.execute(select(passkeys).where(passkeys.c.entry == entry)).first()
    if row is None:
        raise NotFound(f"Entry {entry} enrolled no passkey.", next_step="`countersign key passkeys` shows all.")
    return Passkey(**row._mapping)


def names_passkey(body: Mapping[str, Any]) -> bool:
    """Whether the manifest lists a passkey among the factors."""
    return PASSKEY in body.get("manifest", {}).get("auth", {}).get("factors", ())


def check_assertion(session: Connection, body: Mapping[str, Any], klass: str, ending: frozenset[str]) -> None:
    """Whether the right passkey answers for this body; that it answered truly is for signer and verifier to see.

    Args:
        ending: credentials that an earlier entry of the same page ends.

    Raises:
        Refused: rule F-126; the attempt is on record.
        Stale: the passkey answered for a later page of this person, which was recorded first.
    """
    assertion, enrolling = body.get("assertion"), body["action"] == "key.passkey_enrolled"
    if klass != "person":
        if assertion is not None or names_passkey(body):
            raise Refused("A passkey answers beside a person's signature alone.", rule=RULE)
        return
    own = {one.credential: one for one in in_force(session, body["actor"]) if one.credential not in ending}
    if (assertion is not None) is not names_passkey(body):
        raise Refused("The factors that the signature names are not those that it carries.", rule=RULE)
    if enrolling and _known(session, body["fields"]["credential"]):
        raise Refused("This passkey was enrolled before; each is enrolled once.", rule=RULE)
    if assertion is None:
        if enrolling:
            raise Refused("The enrolment of a passkey carries no answer of a passkey.", rule=RULE)
        if any(one.alone for one in own.values()):
            raise Refused(f"{body['actor']} signs with passkeys alone.", rule=RULE)
        return
    if set(assertion) != ASSERTION:
        raise Refused("The passkey's answer is not in the form of the record.", rule=RULE)
    if enrolling and not own:
        answering = body["fields"]["credential"] if assertion["credential"] == body["fields"]["credential"] else None
    else:
        answering = assertion["credential"] if assertion["credential"] in own else None
    if answering is None:
        raise Refused(f"The passkey that answered is none of {body['actor']} in force.", rule=RULE)
    before, now = _last_count(session, own.get(answering)), sign_count(assertion)
    if before and now <= before:
        raise Stale("Your passkey answered for another page since it answered for this one.")


def sign_count(assertion: Mapping[str, str]) -> int:
    """The authenticator's counter (WebAuthn 6.1): four bytes behind the relying party's digest and the flags."""
    return int.from_bytes(from_base64(assertion["authenticator_data"])[33:37])


def _known(session: Connection, credential: str) -> bool:
    query = select(passkeys.c.entry).where(passkeys.c.credential == credential)
    return session.execute(query).first() is not None


def _last_count(session: Connection, passkey: Passkey | None) -> int:
    """The count of the newest recorded answer of a passkey, else that of its enrolment."""
    if passkey is None:
        return 0
    entries = store.entries
    rows = session.execute(
        select(entries.c.data).where(entries.c.actor == passkey.holder, entries.c.seq >= passkey.entry)
        .order_by(entries.c.seq.desc()))
    for row in rows:
        if MEMBER in row.data:
            assertion = Entry.parse(bytes(row.data)).body.get("assertion")
            if assertion and assertion["credential"] == passkey.credential:
                return sign_count(assertion)
    return passkey.sign_count

"""Logging in to the pages: login passwords and sessions, both working tables and no part of the record (RECORD 2).

A login signs nothing. The login password is another one than the signing password, and is set by whoever proves with
signing password and one-time code that the account is theirs. Only digests of session tokens are kept.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import BigInteger, Column, Integer, String, Table, delete, insert, select, update

from audit import store
from core.access.projections import people
from core.access.queries import person_row
from core.access.rules import Account
from core.errors import NotAuthenticated, NotFound, Refused, UnusableInput
from core.outbox import metadata
from core.work import Desk

FAILURES_BEFORE_LOCK = 5
LOCK_US = 15 * 60 * 1_000_000
IDLE_US = 15 * 60 * 1_000_000
LONGEST_US = 12 * 3600 * 1_000_000
SEEN_EVERY_US = 30 * 1_000_000
SHORTEST, LONGEST = 12, 256
RULE = "F-00"

logins = Table(
    "web_login", metadata,
    Column("user", String(120), primary_key=True),
    Column("hash", String(200), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked_until", BigInteger, nullable=False),
)
sessions = Table(
    "web_session", metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user", String(120), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in. `ends_us` moves with every deed, up to the longest time."""

    user: str
    csrf: str
    ends_us: int


@dataclass(frozen=True, slots=True)
class Passwords:
    """How login passwords are hashed (Argon2id)."""

    memory_kib: int
    passes: int
    lanes: int

    def hasher(self) -> PasswordHasher:
        return PasswordHasher(time_cost=self.passes, memory_cost=self.memory_kib, parallelism=self.lanes)


def set_password(desk: Desk, passwords: Passwords, user: str, password: str) -> None:
    """Give an account a login password; ends its sessions. The caller has proven the person.

    Raises NotFound for nobody registered, UnusableInput for a password too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UnusableInput(f"A login password has {SHORTEST} to {LONGEST} characters.")
    with desk.reading() as session:
        if person_row(session, user) is None:
            raise NotFound(f"Nobody is registered as {user}.", next_step="`countersign user list` shows who is.")
    hashed = passwords.hasher().hash(password)
    with desk.working_tables() as session:
        session.execute(delete(logins).where(logins.c.user == user))
        session.execute(insert(logins).values(user=user, hash=hashed, failures=0, locked_until=0))
        session.execute(delete(sessions).where(sessions.c.user == user))


def log_in(desk: Desk, passwords: Passwords, user: str, password: str) -> tuple[str, Session]:
    """A fresh session token for whoever knows the login password.

    Raises NotAuthenticated, always with the same words and after the same work, so that an answer does not tell which
    accounts exist. Failures are counted, recorded once a minute, and lock the account for a while.
    """
    hasher, now = passwords.hasher(), desk.clock.now()
    with desk.reading() as session:
        row = session.execute(select(logins).where(logins.c.user == user)).first()
        person = person_row(session, user) if row else None
    known = row is not None and person is not None and person.account is not Account.CLOSED
    right = _fits(hasher, row.hash if row else hasher.hash(secrets.token_hex(8)), password[:LONGEST])
    if row is not None and row.locked_until > now:
        raise NotAuthenticated("User id or password is wrong, or the account is locked for a while.",
                               next_step="Wait 15 minutes and try again, or call QA.")
    if not (known and right):
        _count_failure(desk, user if row else None, now)
        raise NotAuthenticated("User id or password is wrong, or the account is locked for a while.",
                               next_step="Try again; after 5 failures the account is locked for 15 minutes.")
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    with desk.working_tables() as session:
        session.execute(update(logins).where(logins.c.user == user).values(failures=0, locked_until=0))
        session.execute(delete(sessions).where(sessions.c.seen < now - IDLE_US))
        session.execute(insert(sessions).values(
            token_sha256=_digest(token), user=user, csrf=csrf, began=now, seen=now))
    return token, Session(user, csrf, now + IDLE_US)


def _fits(hasher: PasswordHasher, hashed: str, password: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _count_failure(desk: Desk, user: str | None, now: int) -> None:
    if user is not None:
        with desk.working_tables() as session:
            failures = session.execute(select(logins.c.failures).where(logins.c.user == user)).scalar_one() + 1
            locked = failures >= FAILURES_BEFORE_LOCK
            session.execute(update(logins).where(logins.c.user == user).values(
                failures=0 if locked else failures, locked_until=now + LOCK_US if locked else 0))
    # What somebody typed for a user id that does not exist is not written into the record.
    desk.record_refusal(user or "unknown", "log in", Refused("A login failed.", rule=RULE))


def session_of(desk: Desk, token: str | None) -> Session | None:
    """Who is logged in with this token, or None."""
    if not token or len(token) > 100:
        return None
    now = desk.clock.now()
    with store.connected(desk.engine, "AUTOCOMMIT") as session, session.begin():
        row = session.execute(
            select(sessions, people.c.account).join(people, people.c.user == sessions.c.user)
            .where(sessions.c.token_sha256 == _digest(token))).first()
    if row is None or Account(row.account) is Account.CLOSED:
        return None
    if now - row.seen > IDLE_US or now - row.began > LONGEST_US:
        return None
    if now - row.seen > SEEN_EVERY_US:
        with desk.working_tables() as session:
            session.execute(update(sessions).where(sessions.c.token_sha256 == row.token_sha256).values(seen=now))
    return Session(row.user, row.csrf, min(now + IDLE_US, row.began + LONGEST_US))


def log_out(desk: Desk, token: str) -> None:
    """End a session; the token opens nothing any more."""
    with desk.working_tables() as session:
        session.execute(delete(sessions).where(sessions.c.token_sha256 == _digest(token)))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

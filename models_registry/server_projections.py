"""Tables of model servers: which are enrolled for which lock, and which answered for which run."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, String, Table, Text, update

from audit.vocabulary.servers import RunServed, ServerEnrolled, ServerWithdrawn
from core.projection import Recorded, keep, metadata, projects, reference

servers = Table(
    "model_servers", metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("server", String(40), nullable=False),
    Column("lock", String(40), nullable=False, index=True),
    Column("state", String(20), nullable=False),
    Column("url", String(400), nullable=False),
    Column("public_key", String(60), nullable=False),
    Column("dialect", String(20), nullable=False),
    Column("serves", String(80), nullable=False),
    Column("authority", Text),
    Column("enrolled_by", String(80), nullable=False),
    Column("enrolled_at", String(32), nullable=False),
)
served_runs = Table(
    "model_served_runs", metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("run", String(60), nullable=False, index=True),
    Column("server", String(40), nullable=False),
    Column("key", String(64), nullable=False),
    Column("attestation", Text, nullable=False),
    Column("serves", String(80), nullable=False),
    Column("threads", String(20), nullable=False),
    Column("device", String(40), nullable=False),
)


@projects(ServerEnrolled)
def remember_server(session: Connection, entry: Recorded, event: ServerEnrolled) -> None:
    """The lock's network answers there from now on; another server of the lock does so no more."""
    session.execute(update(servers).where(servers.c.lock == event.lock).values(state="replaced"))
    keep(session, servers, entry=entry.seq, server=event.server, lock=event.lock, state="enrolled", url=event.url,
         public_key=event.public_key, dialect=event.dialect, serves=event.serves, authority=event.authority,
         enrolled_by=entry.person, enrolled_at=entry.at)


@projects(ServerWithdrawn)
def forget_server(session: Connection, entry: Recorded, event: ServerWithdrawn) -> None:
    """The lock runs in the house again."""
    session.execute(update(servers).where(
        servers.c.server == event.server, servers.c.lock == event.lock, servers.c.state == "enrolled"
    ).values(state="withdrawn"))


@projects(RunServed)
def remember_served_run(session: Connection, entry: Recorded, event: RunServed) -> None:
    """Who answered for a run's network."""
    keep(session, served_runs, entry=entry.seq, run=event.run, server=event.server, key=event.key,
         attestation=reference(event.attestation), serves=event.serves, threads=event.threads, device=event.device)

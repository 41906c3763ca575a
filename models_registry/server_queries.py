"""What is asked about model servers: those of a lock, and who answered for a run."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit.entry import from_base64
from audit.vocabulary.registry import ObjectRef
from core.errors import NotFound
from core.projection import from_reference
from models_registry.attestation import Enrolled
from models_registry.server_projections import served_runs, servers


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A server enrolled for a lock. `state` is enrolled, replaced or withdrawn."""

    server: str
    lock: str
    state: str
    url: str
    public_key: str
    dialect: str
    serves: str
    authority: str | None
    enrolled_by: str
    enrolled_at: str
    entry: int

    @property
    def enrolled(self) -> Enrolled:
        return Enrolled(self.server, self.url, from_base64(self.public_key), self.dialect, self.authority)


@dataclass(frozen=True, slots=True)
class ServedRow:
    """Who answered for a run's network, and the object with the signed statements."""

    run: str
    server: str
    key: str
    attestation: ObjectRef
    serves: str
    threads: str
    device: str
    entry: int


def servers_known(session: Connection, lock: str | None = None) -> tuple[ServerRow, ...]:
    """Every enrolment, oldest first."""
    wanted = select(servers).order_by(servers.c.entry)
    if lock is not None:
        wanted = wanted.where(servers.c.lock == lock)
    return tuple(ServerRow(**row) for row in session.execute(wanted).mappings())


def server_in_use(session: Connection, lock: str) -> ServerRow | None:
    """Where a lock's network answers; None where it runs in the house."""
    return next((row for row in servers_known(session, lock) if row.state == "enrolled"), None)


def server_of(session: Connection, server: str) -> ServerRow:
    """The newest enrolment of a server. Raises NotFound."""
    found = [row for row in servers_known(session) if row.server == server]
    if not found:
        raise NotFound(f"No model server {server} is enrolled.",
                       next_step="`countersign model-server list` lists what is.")
    return found[-1]


def served_of(session: Connection, run: str) -> ServedRow | None:
    """Who answered for a run; None where its network ran in the house."""
    row = session.execute(select(served_runs).where(served_runs.c.run == run)
                          .order_by(served_runs.c.entry.desc())).mappings().first()
    return None if row is None else ServedRow(**{**row, "attestation": from_reference(row["attestation"])})

"""Who holds which role: folded from grants and revocations."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, String, Table

from audit.vocabulary.access import RoleGranted, RoleRevoked
from core.projection import Recorded, keep, metadata, projects

grants = Table(
    "role_grant", metadata,
    Column("user", String(120), nullable=False, index=True),
    Column("role", String(60), nullable=False),
    Column("trial", String(120)),
    Column("site", String(60)),
    Column("granted_by", String(120), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)


@projects(RoleGranted)
def remember_grant(session: Connection, entry: Recorded, event: RoleGranted) -> None:
    keep(
        session, grants, user=event.user, role=event.role, trial=entry.trial, site=event.site,
        granted_by=entry.actor, entry=entry.seq,
    )


@projects(RoleRevoked)
def forget_grant(session: Connection, entry: Recorded, event: RoleRevoked) -> None:
    session.execute(
        grants.delete().where(
            grants.c.user == event.user, grants.c.role == event.role,
            grants.c.trial.is_not_distinct_from(entry.trial), grants.c.site.is_not_distinct_from(event.site),
        )
    )

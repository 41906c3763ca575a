"""What a person holds, as decisions and pages ask for it."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select

from core.access.projections import grants


def roles_of(session: Connection, user: str, trial: str | None) -> frozenset[str]:
    """Roles a person holds for the whole house and, where given, for the trial."""
    wanted = or_(grants.c.trial.is_(None), grants.c.trial == trial) if trial else grants.c.trial.is_(None)
    return frozenset(row.role for row in session.execute(select(grants.c.role).where(grants.c.user == user, wanted)))

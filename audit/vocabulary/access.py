"""Words about people: who they are, what they were granted."""

from __future__ import annotations

from audit.vocabulary.registry import event


@event(
    "role.granted", signed_by=("person", "root"), clause="21 CFR 11.10(d),(g); ICH E6(R3) 4.2.2(a)(i)",
    sentence="{actor} granted {user} the role {role}: {because}",
)
class RoleGranted:
    """For a trial where the entry names one, narrowed to a site where `site` is given; else for the house."""

    user: str
    role: str
    because: str
    site: str | None = None
    at_init: bool | None = None


@event(
    "role.revoked", signed_by="person", clause="21 CFR 11.10(d); 11.300(b)",
    sentence="{actor} took the role {role} from {user}: {because}",
)
class RoleRevoked:
    """Ends a grant from its own sequence number on."""

    user: str
    role: str
    because: str
    site: str | None = None

"""Words about people: who they are, what they were granted, and how an installation was founded."""

from __future__ import annotations

from audit.vocabulary.registry import event, piece


@event(
    "person.registered", signed_by=("person", "root"), clause="21 CFR 11.100(a); 11.300(a)",
    sentence="{actor} registered {printed_name} as {user}",
)
class PersonRegistered:
    """A user id and whose it is; an id is never given to somebody else. `at_init`: by the root key alone."""

    user: str
    printed_name: str
    local_offset: str
    at_init: bool | None = None


@event(
    "identity.checked", signed_by=("person", "root"), clause="21 CFR 11.100(b)",
    sentence="{actor} checked the identity of {user} by {how}",
)
class IdentityChecked:
    """How it was checked, never a document's number; the digest is of the one-time code that was handed over."""

    user: str
    how: str
    code_sha256: str | None = None
    code_until: str | None = None
    at_init: bool | None = None


@event(
    "recovery.begun", signed_by="person", clause="RECORD 4; 21 CFR 11.300(c)",
    sentence="{actor} began the recovery of {user}, whose key was lost: {because}; not before {not_before}",
)
class RecoveryBegun:
    """The lost key is revoked beside this entry; a new one can be enrolled by two persons after the delay."""

    user: str
    because: str
    how: str
    code_sha256: str
    not_before: str
    code_until: str


@event(
    "accountability.stated", signed_by="person", clause="21 CFR 11.10(j); 11.100(c)",
    sentence="{actor} stated: {statement}",
)
class AccountabilityStated:
    """A person's own words about what their signature means; nothing else is signed before."""

    user: str
    statement: str


@event(
    "password.renewed", signed_by="service", clause="21 CFR 11.300(b)",
    sentence="{user} renewed their signing password",
)
class PasswordRenewed:
    """The same key under a new password, changed by its holder with the old one and the second factor."""

    user: str


@event(
    "person.locked_out", signed_by="service", clause="21 CFR 11.300(d)",
    sentence="{user} was locked out until {until} after {failures} failed proofs in a row",
)
class PersonLockedOut:
    """Signing is closed for this person for a while; security is told at once."""

    user: str
    failures: int
    until: str


@event(
    "person.closed", signed_by="person", clause="21 CFR 11.10(d); 11.300(b)",
    sentence="{actor} closed the account {user}: {because}",
)
class PersonClosed:
    """The person acts no more; what they signed stays theirs."""

    user: str
    because: str


@event(
    "role.granted", signed_by=("person", "root"), clause="21 CFR 11.10(d),(g); ICH E6(R3) 4.2.2(a)(i)",
    sentence="{actor} granted {user} the role {role}: {because}",
)
class RoleGranted:
    """For a trial where the entry names one, narrowed to a site where `site` is given; else for the house.

    `delegates`: the one who grants answers for the tasks of this role, so this signature delegates them too.
    """

    user: str
    role: str
    because: str
    site: str | None = None
    delegates: bool | None = None
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


@event(
    "delegation.signed", signed_by="person", clause="ICH E6(R3) 2.3",
    sentence="{actor} delegated the tasks of {role} to {user} from {from_on} until {until_on}",
)
class DelegationSigned:
    """One line of the delegation log of the trial that the entry names; dates are days in UTC, both included."""

    user: str
    role: str
    from_on: str
    until_on: str | None = None
    site: str | None = None


@event(
    "delegation.ended", signed_by="person", clause="ICH E6(R3) 2.3",
    sentence="{actor} ended the delegation of {role} to {user}: {because}",
)
class DelegationEnded:
    """Takes the tasks of a role back, from its own sequence number on."""

    user: str
    role: str
    because: str
    site: str | None = None


@piece
class ReviewedGrant:
    """One line of an access review: who holds what, and whether it stays."""

    user: str
    role: str
    stays: bool
    trial_name: str | None = None


@event(
    "access.reviewed", signed_by="person", clause="EMA computerised systems 2023, A3.2",
    sentence="{actor} reviewed {count} grants of {scope}: {conclusion}",
)
class AccessReviewed:
    """A periodic review of who may do what; the next one is due on `next_by`."""

    scope: str
    count: int
    grants: tuple[ReviewedGrant, ...]
    conclusion: str
    next_by: str | None = None


@event(
    "installation.founded", signed_by="person", clause="TRIAL 1; 21 CFR 11.10(a)",
    sentence="{actor} founded the installation, with {owner} as owner and {qa} as quality assurance",
)
class InstallationFounded:
    """Signed twice: by the owner, then by QA naming the first entry; the second takes effect."""

    owner: str
    qa: str
    first: str | None = None


@event(
    "installation.opened", signed_by="person", clause="TRIAL 1; 21 CFR 11.10(a)",
    sentence="{actor} opened the installation with {people} people; effective documents: {documents}",
)
class InstallationOpened:
    """Signed twice: by the owner, then by QA naming the first entry; founding is over for ever."""

    people: int
    documents: tuple[str, ...]
    first: str | None = None

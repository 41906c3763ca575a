"""People, grants, delegations, documents and training as policy needs them: folded from their words."""

from __future__ import annotations

import json

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text

from audit.vocabulary.access import (
    AccountabilityStated,
    DelegationEnded,
    DelegationSigned,
    IdentityChecked,
    InstallationFounded,
    InstallationOpened,
    PasswordRenewed,
    PersonClosed,
    PersonLockedOut,
    PersonRegistered,
    RecoveryBegun,
    RoleGranted,
    RoleRevoked,
)
from audit.vocabulary.ledger import KeyEnrolled, KeyRotationSigned
from audit.vocabulary.sops import (
    SopApproved,
    SopDrafted,
    SopEffective,
    SopRetired,
    SopReturned,
    SopReviewed,
    SopSuperseded,
    TrainingCompleted,
)
from audit.vocabulary.trials import CharterApproved, CharterSigned
from core.access.rules import ACCOUNTS, Account
from core.projection import Recorded, keep, metadata, projects

people = Table(
    "person", metadata,
    Column("user", String(40), primary_key=True),
    Column("printed_name", String(200), nullable=False),
    Column("local_offset", String(6), nullable=False),
    Column("account", String(12), nullable=False),
    Column("identity", String(60)),
    Column("code_sha256", String(64)),
    Column("code_until", String(27)),
    Column("code_not_before", String(27)),
    Column("key_at_init", Boolean, nullable=False),
    Column("password_since", String(27)),
    Column("locked_out_until", String(27)),
    Column("entry", Integer, nullable=False),
)
grants = Table(
    "role_grant", metadata,
    Column("user", String(120), nullable=False, index=True),
    Column("role", String(60), nullable=False),
    Column("trial", String(120)),
    Column("site", String(60)),
    Column("granted_by", String(120), nullable=False),
    Column("delegates", Boolean, nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
delegations = Table(
    "delegation", metadata,
    Column("user", String(120), nullable=False, index=True),
    Column("role", String(60), nullable=False),
    Column("trial", String(120), nullable=False),
    Column("site", String(60)),
    Column("from_on", String(10), nullable=False),
    Column("until_on", String(10)),
    Column("signed_by", String(120), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
# Deputies of a charter; `approved` is the approval of the one in force, None for those of any other.
deputies = Table(
    "charter_deputy", metadata,
    Column("trial", String(120), primary_key=True),
    Column("signed", String(36), primary_key=True),
    Column("user", String(120), primary_key=True),
    Column("role", String(60), primary_key=True),
    Column("approved", String(36)),
    Column("entry", Integer, nullable=False),
)
installations = Table(
    "installation", metadata,
    Column("step", String(24), primary_key=True),  # founded, opened
    Column("by", String(40), primary_key=True),
    Column("first", String(36)),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)
documents = Table(
    "access_document", metadata,
    Column("sop", String(12), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("title", String(200), nullable=False),
    Column("governs", Text, nullable=False),
    Column("applies_to", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("entry", Integer, nullable=False),
)
trainings = Table(
    "access_training", metadata,
    Column("user", String(120), primary_key=True),
    Column("sop", String(12), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)
rotation_orders = Table(
    "key_rotation_order", metadata,
    Column("kid", String(64), nullable=False, index=True),
    Column("by", String(120), nullable=False),
    Column("role", String(60), nullable=False),
    Column("because", Text, nullable=False),
    Column("first", String(36)),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)


@projects(PersonRegistered)
def remember_person(session: Connection, entry: Recorded, event: PersonRegistered) -> None:
    keep(
        session, people, user=event.user, printed_name=event.printed_name, local_offset=event.local_offset,
        account=Account.REGISTERED, key_at_init=False, entry=entry.seq,
    )


def _step(session: Connection, user: str, word: str, **also: object) -> None:
    account = session.execute(people.select().with_only_columns(people.c.account).where(people.c.user == user)).scalar()
    following = ACCOUNTS.get((Account(account), word)) if account else None
    if following is not None:
        session.execute(people.update().where(people.c.user == user).values(account=following, **also))


@projects(IdentityChecked)
def remember_identity(session: Connection, entry: Recorded, event: IdentityChecked) -> None:
    _step(session, event.user, "identity.checked", identity=event.how, code_sha256=event.code_sha256,
          code_until=event.code_until)


@projects(KeyEnrolled)
def remember_enrolment(session: Connection, entry: Recorded, event: KeyEnrolled) -> None:
    if event.klass == "person":
        _step(session, event.holder, "key.enrolled", key_at_init=bool(event.at_init), code_sha256=None, code_until=None,
              code_not_before=None, password_since=entry.at)


@projects(KeyRotationSigned)
def remember_rotation_order(session: Connection, entry: Recorded, event: KeyRotationSigned) -> None:
    keep(
        session, rotation_orders, kid=event.kid, by=entry.actor, role=entry.role, because=event.because,
        first=event.first, entry_id=entry.id, entry=entry.seq,
    )


@projects(RecoveryBegun)
def remember_recovery(session: Connection, entry: Recorded, event: RecoveryBegun) -> None:
    _step(session, event.user, "recovery.begun", identity=event.how, code_sha256=event.code_sha256,
          code_until=event.code_until, code_not_before=event.not_before)


@projects(PasswordRenewed)
def remember_password(session: Connection, entry: Recorded, event: PasswordRenewed) -> None:
    session.execute(people.update().where(people.c.user == event.user).values(password_since=entry.at))


@projects(AccountabilityStated)
def remember_accountability(session: Connection, entry: Recorded, event: AccountabilityStated) -> None:
    _step(session, event.user, "accountability.stated")


@projects(PersonLockedOut)
def remember_lock_out(session: Connection, entry: Recorded, event: PersonLockedOut) -> None:
    session.execute(people.update().where(people.c.user == event.user).values(locked_out_until=event.until))


@projects(PersonClosed)
def remember_closing(session: Connection, entry: Recorded, event: PersonClosed) -> None:
    _step(session, event.user, "person.closed")


@projects(RoleGranted)
def remember_grant(session: Connection, entry: Recorded, event: RoleGranted) -> None:
    keep(
        session, grants, user=event.user, role=event.role, trial=entry.trial, site=event.site,
        granted_by=entry.actor, delegates=bool(event.delegates or event.at_init), entry_id=entry.id, entry=entry.seq,
    )


@projects(RoleRevoked)
def forget_grant(session: Connection, entry: Recorded, event: RoleRevoked) -> None:
    session.execute(
        grants.delete().where(
            grants.c.user == event.user, grants.c.role == event.role,
            grants.c.trial.is_not_distinct_from(entry.trial), grants.c.site.is_not_distinct_from(event.site),
        )
    )
    # The tasks go with the role: whoever is granted it anew is delegated anew.
    session.execute(
        delegations.delete().where(
            delegations.c.user == event.user, delegations.c.role == event.role, delegations.c.trial == entry.trial,
            delegations.c.site.is_not_distinct_from(event.site),
        )
    )


@projects(DelegationSigned)
def remember_delegation(session: Connection, entry: Recorded, event: DelegationSigned) -> None:
    keep(
        session, delegations, user=event.user, role=event.role, trial=entry.trial, site=event.site,
        from_on=event.from_on, until_on=event.until_on, signed_by=entry.actor, entry_id=entry.id, entry=entry.seq,
    )


@projects(CharterSigned)
def remember_named(session: Connection, entry: Recorded, event: CharterSigned) -> None:
    for one in dict.fromkeys(event.people):
        if one.role not in ("trial_lead", "investigator"):
            keep(session, deputies, trial=entry.trial, signed=entry.id, user=one.person, role=one.role, entry=entry.seq)


@projects(CharterApproved)
def delegate_to_deputies(session: Connection, entry: Recorded, event: CharterApproved) -> None:
    """The charter in force delegates to the deputies it names; those that it names no more are delegated no more."""
    session.execute(deputies.update().where(deputies.c.trial == entry.trial).values(approved=None))
    session.execute(
        deputies.update().where(deputies.c.trial == entry.trial, deputies.c.signed == event.signed)
        .values(approved=entry.id))


@projects(DelegationEnded)
def forget_delegation(session: Connection, entry: Recorded, event: DelegationEnded) -> None:
    session.execute(
        delegations.delete().where(
            delegations.c.user == event.user, delegations.c.role == event.role, delegations.c.trial == entry.trial,
            delegations.c.site.is_not_distinct_from(event.site),
        )
    )
    session.execute(
        deputies.update().where(
            deputies.c.user == event.user, deputies.c.role == event.role, deputies.c.trial == entry.trial,
        ).values(approved=None)
    )
    session.execute(
        grants.update().where(
            grants.c.user == event.user, grants.c.role == event.role, grants.c.trial == entry.trial,
            grants.c.site.is_not_distinct_from(event.site),
        ).values(delegates=False)
    )


@projects(InstallationFounded, InstallationOpened)
def remember_founding(session: Connection, entry: Recorded, event: InstallationFounded | InstallationOpened) -> None:
    step = "founded" if isinstance(event, InstallationFounded) else "opened"
    keep(session, installations, step=step, by=entry.person, first=event.first, entry_id=entry.id, entry=entry.seq)


@projects(SopDrafted)
def remember_document(session: Connection, entry: Recorded, event: SopDrafted) -> None:
    keep(
        session, documents, sop=event.sop, version=event.version, title=event.title,
        governs=json.dumps(event.governs), applies_to=json.dumps(event.applies_to), state="draft", entry=entry.seq,
    )


_STATES: dict[type, str] = {
    SopReviewed: "in_review", SopReturned: "retired", SopApproved: "approved", SopEffective: "effective",
    SopSuperseded: "superseded", SopRetired: "retired",
}


@projects(SopReviewed, SopReturned, SopApproved, SopEffective, SopSuperseded, SopRetired)
def move_document(
    session: Connection, entry: Recorded,
    event: SopReviewed | SopReturned | SopApproved | SopEffective | SopSuperseded | SopRetired,
) -> None:
    session.execute(
        documents.update().where(documents.c.sop == event.sop, documents.c.version == event.version)
        .values(state=_STATES[type(event)])
    )


@projects(TrainingCompleted)
def remember_training(session: Connection, entry: Recorded, event: TrainingCompleted) -> None:
    session.execute(
        trainings.delete().where(
            trainings.c.user == entry.person, trainings.c.sop == event.sop, trainings.c.version == event.version
        )
    )
    keep(
        session, trainings, user=entry.person, sop=event.sop, version=event.version, entry_id=entry.id, entry=entry.seq,
    )

"""Roles, delegation, review and closing of accounts: all are a person's own signed acts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from audit import store
from audit.vocabulary.access import (
    AccessReviewed,
    DelegationEnded,
    DelegationSigned,
    PersonClosed,
    ReviewedGrant,
    RoleGranted,
    RoleRevoked,
)
from audit.vocabulary.ledger import KeyRevoked
from core.access import queries, views
from core.access.drafts import check_step, draft, self_relation
from core.access.review_days import next_day
from core.access.roles import ROLES, Grant, exclusion, grant_refusals, may_delegate, may_grant, meet, scope_refusal
from core.access.rules import Account
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.persons import KeyRow, active_kids, key_named, key_row, person_named
from core.policy.decide import decide, permit
from core.policy.state import Actor, Decision
from core.work import Desk, Draft, Occasion, Proposal

# -- granting -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GrantRole:
    """A role for somebody: for the house, a trial, or a site of it."""

    user: str
    role: str
    because: str
    trial: str | None = None
    site: str | None = None

    @property
    def grant(self) -> Grant:
        return Grant(self.role, self.trial or "", self.site or "")


def grant_role(desk: Desk, actor: Actor, command: GrantRole) -> Proposal:
    """Grant a role; where the granting person answers for its tasks, the signature delegates them too."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        person = queries.registered(session, command.user)
        if person.account is Account.CLOSED:
            raise UnusableInput(f"The account {command.user} is closed; it is granted nothing.")
        held, mine = queries.grants_of(session, command.user), queries.grants_of(session, actor.user)
        if command.grant in held:
            raise AlreadyDone(f"{command.user} holds the role {command.role} for {views.where(command.grant)} already.")
        reasons = grant_refusals(command.grant, to=command.user, held=held, by=actor.user, by_grants=mine)
        decision = decide(actor, "role.grant", queries.standing(
            session, actor, command.trial, "role.grant", relations=_relations(actor, command, held, mine)))
        if not decision.allowed:
            specific = decision.rule in ("F-102", "F-103", "default-deny") and reasons
            raise Refused(" ".join(reasons) if specific else decision.because, rule=decision.rule)
        delegates = bool(command.trial) and may_delegate(command.role, decision.role)
        event = RoleGranted(
            user=command.user, role=command.role, because=command.because, site=command.site,
            delegates=delegates or None,
        )
        view = views.grant(command.user, person.printed_name, command.grant, command.because, delegates)
        return draft(session, actor, event, decision, "approval", view, "role.grant", trial=command.trial)

    return desk.prepare(actor, propose, asked="role.grant")


def _relations(actor: Actor, command: GrantRole, held: list[Grant], mine: list[Grant]) -> set[str]:
    found = self_relation(actor, command.user)
    if scope_refusal(command.grant) is not None:
        found.add("out_of_scope")
        return found
    if any(meet(command.grant, other) and exclusion(command.role, other.role) for other in held):
        found.add("excluded")
    if may_grant(command.grant, mine):
        found.add("may_grant")
    return found


def revoke_role(desk: Desk, actor: Actor, command: GrantRole) -> Proposal:
    """Take a role that somebody holds; it ends with this entry."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        person = queries.registered(session, command.user)
        if command.grant not in queries.grants_of(session, command.user):
            raise NotFound(f"{command.user} does not hold the role {command.role} for {views.where(command.grant)}.")
        known = self_relation(actor, command.user) | _last_holder(session, command.user, command.grant)
        if may_grant(command.grant, queries.grants_of(session, actor.user)):
            known.add("may_grant")
        decision = permit(actor, "role.revoke", queries.standing(
            session, actor, command.trial, "role.revoke", relations=known))
        event = RoleRevoked(user=command.user, role=command.role, because=command.because, site=command.site)
        view = views.revocation(command.user, person.printed_name, command.grant, command.because)
        return draft(session, actor, event, decision, "approval", view, "role.revoke", trial=command.trial)

    return desk.prepare(actor, propose, asked="role.revoke")


@dataclass(frozen=True, slots=True)
class DelegateTasks:
    """A line of the delegation log; days as YYYY-MM-DD, both included."""

    user: str
    role: str
    trial: str
    from_on: str
    until_on: str | None = None
    site: str | None = None


def delegate_tasks(desk: Desk, actor: Actor, command: DelegateTasks) -> Proposal:
    """The tasks of a role that the person holds are delegated to them, from and until a day (ICH E6(R3) 2.3)."""
    grant = Grant(command.role, command.trial, command.site or "")
    if command.until_on is not None and command.until_on < command.from_on:
        raise UnusableInput(f"The delegation would end on {command.until_on}, before it begins on {command.from_on}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        person = queries.registered(session, command.user)
        if grant not in queries.grants_of(session, command.user):
            raise NotFound(f"{command.user} does not hold the role {command.role} for {views.where(grant)}.",
                           next_step="Grant the role first: `countersign role grant`.")
        decision = _delegating(session, actor, command.user, grant, "delegation.sign")
        event = DelegationSigned(
            user=command.user, role=command.role, from_on=command.from_on, until_on=command.until_on, site=command.site
        )
        view = views.delegation(command.user, person.printed_name, grant, command.from_on, command.until_on)
        return draft(session, actor, event, decision, "responsibility", view, "delegation.sign", trial=command.trial)

    return desk.prepare(actor, propose, asked="delegation.sign")


def end_delegation(desk: Desk, actor: Actor, command: GrantRole) -> Proposal:
    """Take the tasks of a role back; the role itself stays."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        person = queries.registered(session, command.user)
        day = queries.today(session)
        if queries.delegation_of(session, command.user, command.role, command.trial or "", day) is None:
            raise NotFound(f"No delegation of {command.role} to {command.user} is in force.")
        decision = _delegating(session, actor, command.user, command.grant, "delegation.end")
        event = DelegationEnded(user=command.user, role=command.role, because=command.because, site=command.site)
        what = f"delegation of {command.role} for {views.where(command.grant)}"
        view = views.ending("End a delegation", "delegation-ended", command.user, person.printed_name, what,
                            command.because)
        return draft(session, actor, event, decision, "responsibility", view, "delegation.end", trial=command.trial)

    return desk.prepare(actor, propose, asked="delegation.end")


def _delegating(session: Connection, actor: Actor, user: str, grant: Grant, action: str) -> Decision:
    known = self_relation(actor, user)
    for mine in queries.grants_of(session, actor.user):
        if mine.trial == grant.trial and may_delegate(grant.role, mine.role) and mine.site in ("", grant.site):
            known.add("may_delegate")
    return permit(actor, action, queries.standing(session, actor, grant.trial, action, relations=known))


# -- reviewing and closing ------------------------------------------------------------------------------------------


def review_access(
    desk: Desk, actor: Actor, conclusion: str, *, to_end: frozenset[tuple[str, Grant]], next_by: str | None = None
) -> Proposal:
    """Sign the periodic review of everybody's grants; what is `to_end` is then revoked by its own acts.

    The next one is due on `next_by` (YYYY-MM-DD), after the longest interval where not given.

    Raises:
        UnusableInput: nothing concluded, or the day is none or too late. NotFound: a grant to end that nobody holds.
    """
    if not conclusion.strip():
        raise UnusableInput("A review of access ends with a conclusion in words.", next_step="Nothing was signed.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        decision = permit(actor, "access.review", queries.standing(session, actor, None, "access.review"))
        held = [
            (one.user, grant)
            for one in queries.everybody(session) for grant in queries.grants_of(session, one.user)
        ]
        day = next_day("access", date.fromisoformat(occasion.at[:10]), next_by).isoformat()
        if unknown := to_end - set(held):
            raise NotFound(f"{min(user for user, _ in unknown)} holds no such grant.")
        lines = [
            (f"{user}: {ROLES[grant.role].title}",
             f"{views.where(grant)}; {'ends' if (user, grant) in to_end else 'stays'}")
            for user, grant in held
        ]
        event = AccessReviewed(
            scope="installation", count=len(held), conclusion=conclusion, next_by=day,
            grants=tuple(
                ReviewedGrant(user=user, role=grant.role, stays=(user, grant) not in to_end,
                              trial_name=grant.trial or None)
                for user, grant in held
            ),
        )
        view = views.review("the whole installation", lines, conclusion, day)
        return draft(session, actor, event, decision, "review", view, "access.review")

    return desk.prepare(actor, propose, asked="access.review")


def _last_holder(session: Connection, user: str, grant: Grant) -> set[str]:
    """`last_holder` where the house would be left without an owner or without quality assurance."""
    if grant.trial or grant.role not in ("system_owner", "qa_auditor"):
        return set()
    others = [
        one for one in queries.people_with(session, grant.role)
        if one != user and queries.registered(session, one).account is Account.ACTIVE
    ]
    return set() if others else {"last_holder"}


def close_account(desk: Desk, actor: Actor, user: str, because: str) -> Proposal:
    """One page: the account is closed and its key revoked; what the person signed stays theirs."""

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        person = queries.registered(session, user)
        check_step(person, "person.closed")
        last = set().union(*(_last_holder(session, user, grant) for grant in queries.grants_of(session, user)))
        drafts = []
        for action in ("person.close", "key.revoke"):
            decision = permit(actor, action, queries.standing(
                session, actor, None, action, relations=self_relation(actor, user) | last))
            if action == "person.close":
                view = views.ending("Close an account", "person-closed", user, person.printed_name, "account", because)
                drafts.append(draft(session, actor, PersonClosed(user=user, because=because), decision,
                                     "approval", view, action))
                continue
            for kid in sorted(active_kids(session, user)):
                view = views.ending("Revoke a key", "key-revoked", user, person.printed_name, f"key {kid}", because)
                drafts.append(draft(session, actor, KeyRevoked(kid=kid, because=because), decision,
                                     "approval", view, action))
        return drafts

    return desk.prepare(actor, propose, asked="person.close")


def revoke_key(desk: Desk, actor: Actor, named: str, because: str, *, suspect_from: int | None = None) -> Proposal:
    """Revoke a person's key at once, as after the loss of a token (21 CFR 11.300(c)); one's own, or somebody's.

    A key that was replaced or revoked before can still be named: then only the suspicion is new.

    Args:
        named: a user id, or the beginning of a key id.
        suspect_from: entries of this key from this number on are suspect; what rests on them is suspended.
    """

    def propose(session: Connection, occasion: Occasion) -> Draft:
        person = queries.person_row(session, named)
        key = key_row(session, person_named(session, named).kid) if person else key_named(session, named)
        assert key is not None
        own = self_relation(actor, key.holder) if key.klass == "person" else set()
        decision = permit(actor, "key.revoke", queries.standing(session, actor, None, "key.revoke", relations=own))
        _check_revocation(session, key, suspect_from)
        if key.klass == "person":
            person = queries.registered(session, key.holder)
        what = f"key {key.kid}" + (f"; entries from {suspect_from} on are suspect" if suspect_from is not None else "")
        printed = person.printed_name if person else f"{key.klass} key"
        view = views.ending("Revoke a key", "key-revoked", key.holder, printed, what, because)
        event = KeyRevoked(kid=key.kid, because=because, suspect_from=suspect_from)
        return draft(session, actor, event, decision, "approval", view, "key.revoke")

    return desk.prepare(actor, propose, asked="key.revoke")


def _check_revocation(session: Connection, key: KeyRow, suspect_from: int | None) -> None:
    if key.klass != "person" and key.revoked_by is None:
        raise UnusableInput(
            f"The {key.klass} key of {key.holder} is in force; without it the house could not go on.",
            next_step="Replace it first: `countersign key rotate-service`, `countersign key rotate-log`.")
    if suspect_from is None:
        if key.revoked_by is not None:
            raise AlreadyDone(f"The key {key.kid[:16]}… was ended by entry {key.revoked_by}.",
                              next_step="Name the first suspect entry with --suspect-from if it is not to be trusted.")
        return
    size, _ = store.head(session)
    if not 0 <= suspect_from < size:
        raise UnusableInput(f"There is no entry {suspect_from}; the newest is {size - 1}.",
                            next_step="Nothing was signed. `countersign ledger query actor:USER` shows the entries.")
    if key.suspect_from is not None and key.suspect_from <= suspect_from:
        raise AlreadyDone(f"Its entries are suspect from entry {key.suspect_from} on already.")

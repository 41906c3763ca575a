"""What a person is and holds, as decisions and pages ask for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from audit import store
from core.access.projections import (
    delegations,
    deputies,
    documents,
    grants,
    installations,
    people,
    rotation_orders,
    trainings,
)
from core.access.roles import Grant, is_untrained, needs_delegation
from core.access.rules import Account, Founder, Gap, Installation, opening_gaps, password_is_old
from core.access.training import NEVER_GOVERNED, Binding, governs, missing_training
from core.clock import as_datetime, from_words, in_words
from core.errors import NotFound
from core.policy.state import Actor, Facts, HouseState
from core.two_persons import OneSignature, waiting


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One person as the record knows them."""

    user: str
    printed_name: str
    local_offset: str
    account: Account
    identity: str | None
    code_sha256: str | None
    code_until: str | None
    code_not_before: str | None
    key_at_init: bool
    password_since: str | None
    locked_out_until: str | None
    entry: int


def person_row(session: Connection, user: str) -> PersonRow | None:
    """A registered person, or None."""
    row = session.execute(select(people).where(people.c.user == user)).mappings().first()
    return PersonRow(**(dict(row) | {"account": Account(row["account"])})) if row else None


def registered(session: Connection, user: str) -> PersonRow:
    """A registered person. Raises NotFound."""
    row = person_row(session, user)
    if row is None:
        raise NotFound(f"Nobody is registered as {user}.", next_step="`countersign user list` shows who is.")
    return row


def everybody(session: Connection) -> list[PersonRow]:
    """All registered people, in order of registration."""
    users = session.execute(select(people.c.user).order_by(people.c.entry)).scalars()
    return [registered(session, user) for user in users]


def grants_of(session: Connection, user: str) -> list[Grant]:
    """Everything a person holds, for the house, trials and sites, in order of granting."""
    rows = session.execute(select(grants).where(grants.c.user == user).order_by(grants.c.entry))
    return [Grant(row.role, row.trial or "", row.site or "") for row in rows]


def roles_of(session: Connection, user: str, trial: str | None) -> frozenset[str]:
    """Roles a person holds for the whole house and, where given, for the trial."""
    wanted = or_(grants.c.trial.is_(None), grants.c.trial == trial) if trial else grants.c.trial.is_(None)
    return frozenset(row.role for row in session.execute(select(grants.c.role).where(grants.c.user == user, wanted)))


def rotation_waiting(session: Connection, kid: str) -> tuple[OneSignature | None, str]:
    """The first signature to replace a key that is in force, and its reason; the second makes it history."""
    table = rotation_orders
    row = session.execute(select(table).where(table.c.kid == kid).order_by(table.c.entry.desc()).limit(1)).first()
    if row is None:
        return None, ""
    return waiting(OneSignature(row.entry_id, row.entry, row.by, row.role, row.first is not None)), row.because


def people_with(session: Connection, role: str, trial: str | None = None) -> tuple[str, ...]:
    """Who holds a role for the house or this trial, by user id."""
    wanted = or_(grants.c.trial.is_(None), grants.c.trial == trial) if trial else grants.c.trial.is_(None)
    rows = session.execute(select(grants.c.user).where(grants.c.role == role, wanted).distinct())
    return tuple(sorted(rows.scalars()))


# -- the installation ----------------------------------------------------------------------------------------------


def installation_state(session: Connection) -> Installation | None:
    """None before both founders signed; then founding; open once QA has signed last."""
    done = set(session.execute(select(installations.c.step).where(installations.c.first.is_not(None))).scalars())
    if "opened" in done:
        return Installation.OPEN
    return Installation.FOUNDING if "founded" in done else None


def signed_step(session: Connection, step: str) -> dict[str, str]:
    """Who signed a step of founding (`founded`, `opened`), with the id of their entry."""
    rows = session.execute(select(installations).where(installations.c.step == step).order_by(installations.c.entry))
    return {row.by: row.entry_id for row in rows}


def what_opening_lacks(session: Connection) -> tuple[Gap, ...]:
    """What is missing before the installation can be opened, and who can supply it."""
    bindings = bindings_now(session)
    founders = tuple(
        Founder(
            person.user, person.account, tuple(grants_of(session, person.user)),
            tuple(dict.fromkeys(
                each.sop
                for grant in grants_of(session, person.user)
                for each in untrained_in(session, person.user, grant.role, bindings=bindings)
            )),
        )
        for person in everybody(session) if person.account is not Account.CLOSED
    )
    effective = [each for each in bindings if each.effective]
    return opening_gaps(
        installation_state(session), founders, tuple(each.sop for each in effective),
        any(governs(each.governs, "sop.approve") for each in effective),
    )


# -- training and delegation ---------------------------------------------------------------------------------------


def bindings_now(session: Connection) -> list[Binding]:
    """Every version of every controlled document, as far as training needs to know."""
    rows = session.execute(select(documents).order_by(documents.c.sop, documents.c.version))
    return [
        Binding(row.sop, row.version, row.title, tuple(json.loads(row.governs)), tuple(json.loads(row.applies_to)),
                row.state == "effective")
        for row in rows
    ]


def trained_on(session: Connection, user: str) -> dict[tuple[str, int], str]:
    """(SOP, version) -> id of the entry in which the person signed read-and-understood."""
    rows = session.execute(select(trainings).where(trainings.c.user == user))
    return {(row.sop, row.version): row.entry_id for row in rows}


def untrained_in(
    session: Connection, user: str, role: str, action: str | None = None, *, bindings: Iterable[Binding] | None = None
) -> tuple[Binding, ...]:
    """Effective documents that bind this role (for this act) and lack the person's read-and-understood."""
    if is_untrained(role) or action in NEVER_GOVERNED:
        return ()
    known = bindings_now(session) if bindings is None else bindings
    return missing_training(known, trained_on(session, user), role=role, action=action)


def training_gaps(
    session: Connection, user: str, role: str, action: str | None = None, *, bindings: Iterable[Binding] | None = None
) -> tuple[Gap, ...]:
    """What training a person lacks in a role, in words, and who can supply it: only the person themself."""
    return tuple(
        Gap(
            f"{user} has not signed read-and-understood on {each.sop} version {each.version} ({each.title}).",
            f"{user}: countersign sop train {each.sop} --as {user}",
        )
        for each in untrained_in(session, user, role, action, bindings=bindings)
    )


def delegation_of(session: Connection, user: str, role: str, trial: str, on: str) -> str | None:
    """Id of the entry that delegates the tasks of this role in the trial on a day (YYYY-MM-DD), or None."""
    rows = session.execute(
        select(delegations).where(
            delegations.c.user == user, delegations.c.role == role, delegations.c.trial == trial,
            delegations.c.from_on <= on, or_(delegations.c.until_on.is_(None), delegations.c.until_on >= on),
        ).order_by(delegations.c.entry.desc())
    )
    found = rows.first()
    if found is None:
        found = session.execute(
            select(grants).where(
                grants.c.user == user, grants.c.role == role, grants.c.trial == trial, grants.c.delegates,
            ).order_by(grants.c.entry.desc())
        ).first()
    if found is not None:
        return str(found.entry_id)
    # The signed charter names deputies; it delegates to them as it does to its lead and investigators (TRIAL 1, 2).
    named: str | None = session.execute(
        select(deputies.c.approved).where(
            deputies.c.user == user, deputies.c.role == role, deputies.c.trial == trial,
            deputies.c.approved.is_not(None),
        )
    ).scalar()
    return named


def delegation_gap(session: Connection, user: str, role: str, trial: str | None, on: str) -> Gap | None:
    """A missing delegation, in words, and who can supply it; work for the house rests on none."""
    if trial is None or not needs_delegation(role, trial) or _held_for_house(session, user, role):
        return None
    if delegation_of(session, user, role, trial, on) is not None:
        return None
    leads = ", ".join(people_with(session, "trial_lead", trial)) or "the trial lead"
    return Gap(
        f"The tasks of {role} in {trial} are not delegated to {user} today.",
        f"{leads}: countersign role delegate {user} {role} --trial {trial}",
    )


def _held_for_house(session: Connection, user: str, role: str) -> bool:
    return session.execute(
        select(grants.c.entry).where(grants.c.user == user, grants.c.role == role, grants.c.trial.is_(None))
    ).first() is not None


# -- facts ---------------------------------------------------------------------------------------------------------


def today(session: Connection) -> str:
    """The day (UTC) of the newest entry: a date that is in the record and never runs back."""
    _, last_us = store.head(session)
    return in_words(last_us)[:10]


# What a person with an outdated password can still do: renew it, and revoke a key that was lost.
ALWAYS_POSSIBLE = frozenset({"password.renew", "key.revoke"})


def password_age_exceeded(session: Connection, person: PersonRow) -> bool:
    """Whether the person's signing password is older than allowed, on the time of the newest entry."""
    _, last_us = store.head(session)
    return _password_is_outdated(person, last_us)


def _password_is_outdated(person: PersonRow, last_us: int) -> bool:
    since = person.password_since
    return since is not None and password_is_old(as_datetime(from_words(since)), as_datetime(last_us))


def standing(
    session: Connection, actor: Actor, trial: str | None, action: str, *,
    relations: Iterable[str] = (), on: str | None = None,
) -> Facts:
    """What is true of an actor for an action: house, roles, lacking training and delegation, account.

    Args:
        trial: the trial acted in, or None for acts of the house.
        relations: what the caller knows of actor and thing besides.
        on: the day delegations are judged on; the day of the newest entry where not given.
    """
    return standings(session, actor, (trial,), action, relations=relations, on=on)[trial]


def standings(
    session: Connection, actor: Actor, trials: Iterable[str | None], action: str, *,
    relations: Iterable[str] = (), on: str | None = None,
) -> dict[str | None, Facts]:
    """`standing` in several trials at once: what is alike in all of them is asked once."""
    known = set(relations)
    state = installation_state(session)
    if state is None:
        known.add("unfounded")
    house = HouseState.OPENED if state is Installation.OPEN else HouseState.FOUNDING
    if actor.service:
        return {trial: Facts(house=house, trial=trial, relations=frozenset(known)) for trial in trials}
    person = person_row(session, actor.user)
    _, last_us = store.head(session)
    may_state = action == "accountability.state" and person is not None and person.account is Account.ENROLLED
    if person is None or (person.account is not Account.ACTIVE and not may_state):
        known.add("inactive")
    if person is not None and action not in ALWAYS_POSSIBLE and _password_is_outdated(person, last_us):
        known.add("password_old")
    held = grants_of(session, actor.user)
    governing = _governing(session, action)
    facts: dict[str | None, Facts] = {}
    for trial in trials:
        roles = frozenset(grant.role for grant in held if grant.trial in ("", trial or ""))
        gaps = _gaps(session, actor.user, roles, trial, action, on or in_words(last_us)[:10], governing)
        facts[trial] = Facts(house=house, trial=trial, roles=roles, gaps=gaps, relations=frozenset(known))
    return facts


def _governing(session: Connection, action: str) -> list[Binding]:
    """The effective documents that bind this act."""
    if action in NEVER_GOVERNED:
        return []
    return [each for each in bindings_now(session) if each.effective and governs(each.governs, action)]


def _gaps(
    session: Connection, user: str, roles: frozenset[str], trial: str | None, action: str, day: str,
    governing: Sequence[Binding],
) -> dict[str, str]:
    if action in NEVER_GOVERNED:
        return {}
    lacking: dict[str, str] = {}
    for role in sorted(roles):
        found = list(training_gaps(session, user, role, action, bindings=governing)) if governing else []
        delegation = delegation_gap(session, user, role, trial, day)
        if delegation is not None:
            found.append(delegation)
        if found:
            lacking[role] = " ".join(f"{gap.what} It can be supplied by {gap.supplied_by}." for gap in found)
    return lacking


@dataclass(frozen=True, slots=True)
class Basis:
    """What a signature rests on, for its manifest: entries of training and delegation."""

    trainings: tuple[str, ...]
    delegation: str | None


def basis(session: Connection, user: str, role: str, action: str, trial: str | None, on: str | None = None) -> Basis:
    """The trainings that govern this act and the delegation behind it, as entry ids.

    Pass them on: `Draft(…, trainings=found.trainings, delegation=found.delegation)`.
    """
    done = trained_on(session, user)
    used = tuple(
        done[each.sop, each.version]
        for each in bindings_now(session)
        if each.effective and governs(each.governs, action) and (each.sop, each.version) in done
    )
    delegated = delegation_of(session, user, role, trial, on or today(session)) if trial else None
    return Basis(used, delegated)

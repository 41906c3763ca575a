"""Commands of cut, soft lock, lock and unlock; each names what it refuses (TRIAL 3, cut -> lock -> unblind)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import data_lock as words
from audit.vocabulary.trials import DatabaseLocked, DatabaseLockSigned, DatabaseUnlocked
from core.arrival.queries import copies_due
from core.data_lock import queries
from core.data_lock.queries import CutRow, gather
from core.data_lock.rules import (
    KINDS,
    RELEASE_REASONS,
    UNLOCK_REASONS,
    differing,
    digest_of,
    listing_text,
)
from core.errors import AlreadyDone, Refused, UnusableInput
from core.policy.state import Actor, Facts
from core.reads.queries import impacts_of
from core.trials import views
from core.trials.acting import allowed, draft, iso_day
from core.trials.queries import facts_for, lock_signatures_of, the_trial
from core.trials.rules import follow
from core.two_persons import permit_signature
from core.work import Desk, Draft, Occasion, Proposal

LISTING = "application/vnd.countersign.cut+json-lines"
LOCK_SIGNERS = ("data_manager", "statistician", "imaging_lead")
LONGEST_DIFFERENCE = 1_000


@dataclass(frozen=True, slots=True)
class FreezeCut:
    """A data cut: its name, `interim` or `final`, and the last day (ISO) whose images belong to it."""

    trial: str
    cut: str
    kind: str
    until: str


def freeze_cut(desk: Desk, actor: Actor, command: FreezeCut) -> Proposal:
    """The data manager freezes what is in, with every open query listed. Raises AlreadyDone, UnusableInput, Refused."""
    if command.kind not in KINDS:
        raise UnusableInput(f"{command.kind!r} is no kind of cut; write {' or '.join(KINDS)}.")
    if not 0 < len(command.cut) <= 64:
        raise UnusableInput("The name of a cut has 1 to 64 characters.")
    until = iso_day(command.until, "The day of the cut").isoformat()

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = the_trial(session, command.trial)
        under = allowed(session, actor, "cut.freeze", command.trial)
        before = queries.cuts_of(session, command.trial)
        if any(one.cut == command.cut for one in before):
            raise AlreadyDone(f"Cut {command.cut} of {command.trial} is frozen.")
        if until > occasion.at[:10]:
            raise UnusableInput(f"A cut until {until} lies in the future.")
        found = gather(session, command.trial, until)
        text = listing_text(found.lines)
        changed = differing(queries.lines_of(desk.objects, before[-1]), found.lines) if before else None
        counts = Counter(("time_point" if one.time_point else "subject", one.state) for one in found.lines)
        event = words.CutFrozen(
            cut=command.cut, kind=command.kind, until=until, as_of=found.as_of,
            subjects=sum(not one.time_point for one in found.lines),
            states=tuple(words.StateCount(what=what, state=state, count=count)
                         for (what, state), count in sorted(counts.items())),
            open_queries=found.open_queries, listing=desk.objects.put(text.encode(), LISTING),
            digest=digest_of(text), previous=before[-1].cut if before else None, changed=changed,
        )
        return draft(
            session, actor, "cut.freeze", command.trial, event, under=under, meaning="responsibility",
            view=views.lines(
                "Data cut", "trial/cut", ("Trial", command.trial), ("Title", row.title), ("Cut", command.cut),
                ("Kind", command.kind), ("Images until", until), ("As of entry", str(found.as_of)),
                *((f"{one.what.replace('_', ' ')}s {one.state.replace('_', ' ')}", str(one.count))
                  for one in event.states),
                ("Open queries", ", ".join(one.case for one in found.open_queries) or "none"),
                ("Differs from", f"{event.previous}: {changed} lines" if before else "no earlier cut"),
                ("SHA-256 of the listing", event.digest),
            ),
        )

    return desk.prepare(actor, propose, asked="cut.freeze")


def _relations(session: Connection, cut: CutRow) -> frozenset[str]:
    """What stands against locking this cut as the data are now."""
    found = gather(session, cut.trial, cut.until)
    names = {"cut_outdated"} if digest_of(listing_text(found.lines)) != cut.digest else set()
    names |= {"open_queries"} if found.open_queries else set()
    if impacts_of(session, cut.trial, open_only=True) or copies_due(session, cut.trial):
        names.add("corrections_open")
    return frozenset(names | ({"interim"} if cut.kind == "interim" else set()))


def soft_lock(desk: Desk, actor: Actor, trial: str, cut: str) -> Proposal:
    """Nothing is entered from here on: the final cut is as the data are, and no query is open."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        the_trial(session, trial)
        row = queries.the_cut(session, trial, cut)
        under = allowed(session, actor, "database.soft_lock", trial, *_relations(session, row))
        follow("cut", cut, row.state, "database.soft_locked")
        return draft(
            session, actor, "database.soft_lock", trial, words.DatabaseSoftLocked(cut=cut, digest=row.digest),
            under=under, meaning="responsibility", view=views.lines(
                "Soft lock of the data", "trial/soft-lock", *_what(row),
                ("From here on", "nothing is received, read or entered until the lock or its release")))

    return desk.prepare(actor, propose, asked="database.soft_lock")


def _what(row: CutRow) -> tuple[tuple[str, str], ...]:
    return (
        ("Trial", row.trial), ("Cut", row.cut), ("Images until", row.until), ("Subjects", str(row.subjects)),
        *((f"{what.replace('_', ' ')}s {state.replace('_', ' ')}", str(count)) for what, state, count in row.states),
        ("SHA-256 of the listing", row.digest),
    )


def release_soft_lock(desk: Desk, actor: Actor, trial: str, reason: str) -> Proposal:
    """Work goes on; the cut is withdrawn and another is frozen later."""
    _a_code(reason, RELEASE_REASONS)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        the_trial(session, trial)
        under = allowed(session, actor, "database.release_soft_lock", trial)
        row = _in_state(session, trial, "soft_locked")
        return draft(
            session, actor, "database.release_soft_lock", trial, words.DatabaseSoftLockReleased(cut=row.cut),
            under=under, meaning="responsibility", reason=reason, view=views.lines(
                "Release of the soft lock", "trial/soft-lock", ("Trial", trial), ("Cut", row.cut), ("Reason", reason),
                ("From here on", "work goes on; this cut is withdrawn")))

    return desk.prepare(actor, propose, asked="database.release_soft_lock")


def _a_code(reason: str, known: tuple[str, ...]) -> None:
    if reason not in known:
        raise UnusableInput(f"{reason!r} is no reason here; one of: {', '.join(known)}.")


def _in_state(session: Connection, trial: str, state: str) -> CutRow:
    row = queries.cut_in(session, trial, state)
    if row is None:
        raise Refused(f"No cut of {trial} is {state.replace('_', ' ')}.", rule="F-201")
    return row


def sign_lock(desk: Desk, actor: Actor, trial: str, cut: str, signed_as: str) -> Proposal:
    """A signature on the lock of a cut: data manager, statistician, imaging lead in any order, QA last.

    Raises Refused: the cut is not the soft-locked one, the data differ from it, the role is not held, QA is too early.
    """
    last = signed_as == "qa_auditor"
    if not last and signed_as not in LOCK_SIGNERS:
        raise UnusableInput(f"The lock is signed by {', '.join(LOCK_SIGNERS)} and qa_auditor, not by {signed_as}.")
    action = "database.lock" if last else "database.sign_lock"

    def propose(session: Connection, occasion: Occasion) -> Draft:
        title = the_trial(session, trial).title
        row = queries.the_cut(session, trial, cut)
        under = allowed(session, actor, action, trial, *_relations(session, row) & {"cut_outdated"})
        if under.role != signed_as and signed_as not in facts_for(session, actor, action, trial).roles:
            raise Refused(f"You do not hold the role {signed_as} in {trial}.", rule="F-211")
        follow("cut", cut, row.state, "database.locked" if last else "database.lock_signed")
        given = lock_signatures_of(session, trial, cut)
        if any(one[0] == signed_as or one[1] == actor.user for one in given):
            raise AlreadyDone(f"The lock of cut {cut} is signed by you or as {signed_as}.")
        event: DatabaseLocked | DatabaseLockSigned
        if last:
            missing = [one for one in LOCK_SIGNERS if all(one != role for role, _, _ in given)]
            if missing:
                raise Refused(f"QA signs the lock last; still missing: {', '.join(missing)}.", rule="F-212")
            event = DatabaseLocked(cut=cut, signed=tuple(entry for _, _, entry in given))
        else:
            event = DatabaseLockSigned(cut=cut, signed_as=signed_as)
        return draft(
            session, actor, action, trial, event, under=under, meaning="approval",
            view=views.lines(
                "Lock of the data", "trial/lock", ("Title", title), *_what(row), ("Signed as", signed_as),
                ("Signed before", ", ".join(one[0] for one in given) or "nobody")),
        )

    return desk.prepare(actor, propose, asked=action)


def unlock(desk: Desk, actor: Actor, trial: str, reason: str, difference: str) -> Proposal:
    """Data manager and QA, in any order, sign why the data are unlocked and what is to be changed.

    The second names the first and says the same reason and difference; with it the data are unlocked.
    """
    _a_code(reason, UNLOCK_REASONS)
    said = " ".join(difference.split())
    if not 0 < len(said) <= LONGEST_DIFFERENCE:
        raise UnusableInput(f"Say in 1 to {LONGEST_DIFFERENCE} characters what is to be changed.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        the_trial(session, trial)
        first = queries.unlock_waiting(session, trial, reason, said)

        def facts(relations: frozenset[str]) -> Facts:
            return facts_for(session, actor, "database.unlock", trial, relations=relations)

        under = permit_signature(actor, "database.unlock", facts, first)
        row = _in_state(session, trial, "locked")
        allocation = queries.allocation_of(session, trial)
        unblinded = allocation is not None and allocation.state == "unblinded"
        event: words.DatabaseUnlockRequested | DatabaseUnlocked
        if first is None:
            event = words.DatabaseUnlockRequested(cut=row.cut, difference=said, after_unblinding=unblinded)
        else:
            event = DatabaseUnlocked(first=first.id, difference=said)
        return draft(
            session, actor, "database.unlock", trial, event, under=under, meaning="approval", reason=reason,
            caused_by=first.id if first else None,
            view=views.lines(
                "Unlock of the data", "trial/unlock", ("Trial", trial), ("Cut", row.cut), ("Reason", reason),
                ("To be changed", said), ("Blind", "opened already" if unblinded else "kept"),
                ("Signed before", first.in_words() if first else "nobody; a second person signs after you")))

    return desk.prepare(actor, propose, asked="database.unlock")

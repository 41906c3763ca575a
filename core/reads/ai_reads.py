"""The AI as a sealed, blinded third reader (phase 4): it locks before the human reads open, and is never accepted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from audit.vocabulary import reads as words
from core.errors import NotFound, Refused, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.reads import queries, rules, views
from core.reads.acting import READS, facts_of
from core.reads.answer import FORMAT, read_answer, sealed_text
from core.reads.locking import LockAnswer
from core.reads.ports import keeper_of
from core.reads.sealing import Sealed
from core.reads.state import AI_SLOT, AI_SLOTS, SHADOW_SLOT, Task, human_slots
from core.trials import queries as trials
from core.trials.charter import Charter
from core.work import Desk, Receipt, Work


def begin_ai_read(
    work: Work, trial: str, subject: str, time_point: str, lock: str, follows: frozenset[str] = frozenset()
) -> None:
    """The AI's blinded read of a time point by a lock has begun: human reads open only once it is sealed or withdrawn.

    A read that was sealed by a lock which this one follows under a passed plan of recomputation (`follows`) is
    superseded, whether the human reads are open or not: they stay as they are, and so does what was compared. Does
    nothing where the read has begun before, or where the human reads are open and an AI read comes too late.

    Raises UnusableInput while the read by the other lock is not sealed.
    """
    begun = queries.current_tasks(work.session, trial, subject, time_point)
    held = next((each for each in begun if each.slot == AI_SLOT), None)
    before = held if held is not None and held.lock in follows else None
    if before is not None and not before.locked:
        raise UnusableInput(
            f"The AI's read of {subject}, {time_point} by {before.lock} has begun and is not sealed.",
            next_step="Wait for its runs, or give it up: `countersign read withdraw`.")
    if before is None and (held is not None or any(each.state == "opened" for each in begun)):
        return
    point = trials.time_point_of(work.session, trial, subject, time_point)
    if point is not None and point.acquired_on is not None:
        _begin(work, trials.charter_of(work.session, trial), trial, subject, time_point, AI_SLOT, point.acquired_on,
               lock, before)


def _begin(
    work: Work, charter: Charter, trial: str, subject: str, time_point: str, slot: str, on: str, lock: str | None,
    before: Task | None = None,
) -> str:
    primary = next(each for each in charter.endpoints if each.kind == "primary")
    relations = ("shadow",) if slot == SHADOW_SLOT else ("measures_again",) if before is not None else ()
    facts = facts_of(work.session, work.actor, "ai.seal_read", trial, *relations, endpoint=primary.id, about=subject)
    entry = work.record(
        words.ReadBegun(
            subject=subject, time_point=time_point, slot=slot, assigned=slot, charter_version=charter.version,
            slots=human_slots(charter.reading.readers), on=on, lock=lock,
            supersedes=before.assignment if before is not None else None,
        ),
        under=permit(work.actor, "ai.seal_read", facts), trial=trial,
    )  # fmt: skip
    return str(entry.body["id"])


def seal_ai_read(desk: Desk, command: LockAnswer, *, shadow: bool = False, lock: str | None = None) -> Receipt:
    """The AI's own read of a time point by a lock, sealed like a person's, before the human reads open; where it
    measures again what the lock before had sealed in time, at any time. Never the accepted one.

    In shadow no gate is needed: the read opens with the others, is shown to nobody and counts in agreement alone.

    Raises:
        Refused: the primary use is not open, the human reads are open already, or the AI read is locked.
    """
    inference = Actor.of_service("inference")
    slot = SHADOW_SLOT if shadow else AI_SLOT
    sealed = _ai_seal(desk, inference, command, slot, lock)
    with desk.open(inference, asked="ai.seal_read") as work:
        charter, under, on = _ai_facts(work.session, inference, command, slot)
        begun = [
            each.assignment
            for each in queries.current_tasks(work.session, command.trial, command.subject, command.time_point)
            if each.slot == slot
        ]
        assignment = begun[-1] if begun else _begin(
            work, charter, command.trial, command.subject, command.time_point, slot, on, lock
        )
        event = words.ReadSealed(assignment=assignment, commit=sealed.commit, iv=sealed.iv, ct=sealed.ct)
        work.record(event, under=under, trial=command.trial, caused_by=assignment)
    return work.receipts[-1]


def _ai_seal(desk: Desk, inference: Actor, command: LockAnswer, slot: str, lock: str | None) -> Sealed:
    """Asked before anything is written, so that a refusal leaves no secret behind; sealed outside the lock."""
    try:
        with desk.reading() as session:
            charter, _, on = _ai_facts(session, inference, command, slot)
            stated = {
                "format": FORMAT, "trial": command.trial, "subject": command.subject,
                "time_point": command.time_point, "scanned_on": on,
            } | dict(command.answer)  # fmt: skip
            answer = read_answer(stated)
            earlier = [
                each.answer
                for each in queries.opened_reads(session, command.trial, command.subject, shadow=True)
                if each.task.slot == slot and each.task.lock == lock and not each.excluded
            ]
            problems = rules.answer_problems(charter, answer, earlier, by_ai=True)
    except Refused as refusal:
        desk.record_refusal(inference.user, "ai.seal_read", refusal)
        raise
    if problems:
        raise UnusableInput(f"The AI read cannot be locked. {'; '.join(problems)}.")
    text = sealed_text(answer, views.answer(answer, rules.units_of(charter)))
    return keeper_of(desk.signer).seal(desk.occasion().id, text)


def _ai_facts(session: Connection, inference: Actor, command: LockAnswer, slot: str) -> tuple[Charter, Decision, str]:
    """Charter, decision and date of acquisition; raises Refused or NotFound."""
    charter = trials.charter_of(session, command.trial)
    primary = next(each for each in charter.endpoints if each.kind == "primary")
    point = trials.time_point_of(session, command.trial, command.subject, command.time_point)
    if point is None or point.acquired_on is None:
        raise NotFound(f"{command.subject} has no images at {command.time_point}.")
    begun = queries.current_tasks(session, command.trial, command.subject, command.time_point)
    found = {
        "opened": any(each.state == "opened" for each in begun),
        "locked": any(each.slot == slot and each.locked for each in begun),
        "shadow": slot == SHADOW_SLOT,
        "measures_again": _measures_again(session, command, begun, slot),
    }
    relations = [name for name, holds in found.items() if holds]
    facts = facts_of(
        session, inference, "ai.seal_read", command.trial, *relations, endpoint=primary.id, about=command.subject)
    return charter, permit(inference, "ai.seal_read", facts), point.acquired_on


def _measures_again(session: Connection, command: LockAnswer, begun: Sequence[Task], slot: str) -> bool:
    """Whether the AI's read that has begun replaces one that another lock sealed."""
    every = queries.tasks_of(session, command.trial, command.subject, command.time_point)
    again = {each.superseded for each in every if each.slot == slot and each.locked}
    return any(each.slot == slot and each.assignment in again for each in begun)


def withdraw_ai_read(desk: Desk, assignment: str, says: str, *, by: Actor = READS) -> Receipt:
    """Give up an AI read that began and will not be sealed, so that human reads do not wait for it.

    The worker does so when every run of it has failed; `by` is a person where the worker does not come back.
    """
    with desk.open(READS, on_behalf_of=None if by.service else by.user, asked="read.withdraw") as work:
        task = queries.task(work.session, assignment)
        permit(by, "read.withdraw", facts_of(work.session, by, "read.withdraw", task.trial))
        if task.slot not in AI_SLOTS or task.state != "begun":
            raise UnusableInput("Only an AI read that is not locked can be withdrawn.")
        if not says.strip():
            raise UnusableInput("A withdrawal says why.", next_step="Give --because; nothing was changed.")
        under = permit(READS, "read.withdraw", facts_of(work.session, READS, "read.withdraw", task.trial))
        work.record(words.ReadWithdrawn(assignment=assignment, says=says), under=under, trial=task.trial)
    return work.receipts[-1]

"""A reader's answer from the open case to the seal: own marks, AI values as the charter shows them, the locked read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from audit.vocabulary import reads as words
from core.errors import NotFound, Stale, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.reads import queries, rules, views
from core.reads.acting import READS, draft, facts_of
from core.reads.answer import FORMAT, Answer, read_answer, sealed_text, shortcuts_in
from core.reads.ports import keeper_of
from core.reads.state import AiValue, Task
from core.trials import queries as trials
from core.trials.charter import Charter
from core.work import Desk, Draft, Occasion, Proposal

# Answering


@dataclass(frozen=True, slots=True)
class LockAnswer:
    """A reader's answer, as written (core/reads/answer.py); subject, time point and date are filled in when absent."""

    trial: str
    subject: str
    time_point: str
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToLock:
    """A proposal to sign, and the answer in lines: the page shows both, only the commitment is stored openly."""

    proposal: Proposal
    shown: tuple[tuple[str, str], ...]


def seal_read(desk: Desk, actor: Actor, command: LockAnswer) -> ToLock:
    """Lock a read under seal with the reader's own signature; nobody learns the answer before all seals are in."""
    return _lock(desk, actor, command, marks=False)


def mark_read(desk: Desk, actor: Actor, command: LockAnswer) -> ToLock:
    """Lock the reader's own marks under seal, before AI values are shown (`ai_display: after_own`)."""
    return _lock(desk, actor, command, marks=True)


def _lock(desk: Desk, actor: Actor, command: LockAnswer, *, marks: bool) -> ToLock:
    keeper, shown = keeper_of(desk.signer), list[tuple[str, str]]()
    action = "read.mark" if marks else "read.seal"

    def propose(session: Connection, occasion: Occasion) -> Draft:
        task = queries.task_of_reader(session, command.trial, command.subject, command.time_point, actor.user)
        if task is None:
            mine = queries.tasks_of(session, command.trial, command.subject, command.time_point, actor.user)
            if any(each.state == "withdrawn" for each in mine):
                raise Stale(
                    f"Images of {command.time_point} of {command.subject} were corrected; your read was taken back.",
                    next_step="Begin it again when it is on your list; nothing of your answer was kept.",
                )
            raise NotFound(
                f"You have not begun {command.time_point} of {command.subject}.",
                next_step=f"Begin it: countersign read begin {command.subject} {command.time_point}",
            )
        charter = queries.charter_for(session, command.trial, task.charter_version)
        answer = checked_answer(session, actor, charter, task, command.answer)
        relations = lock_relations(session, actor, charter, task, answer, marks=marks)
        under = permit(actor, action, facts_of(session, actor, action, command.trial, *relations))
        if not marks:
            check_ai_uses(session, charter, task, answer)
        lines = views.answer(answer, rules.units_of(charter))
        shown[:] = lines
        sealed = keeper.seal(occasion.id, sealed_text(answer, lines))
        word = words.ReadMarked if marks else words.ReadSealed
        event = word(assignment=task.assignment, commit=sealed.commit, iv=sealed.iv, ct=sealed.ct)
        view = views.seal(task, sealed, marks=marks)
        return draft(session, actor, action, event, under, trial=command.trial, meaning="authorship", view=view,
                     subject=task.subject)  # fmt: skip

    return ToLock(desk.prepare(actor, propose, asked=action), tuple(shown))


def checked_answer(
    session: Connection, actor: Actor, charter: Charter, task: Task, stated: Mapping[str, Any]
) -> Answer:
    """The typed answer to this task; refuses shortcuts about AI values, and everything the criteria cannot use."""
    if shortcuts_in(stated):
        permit(actor, "ai.accept_all", facts_of(session, actor, "ai.accept_all", task.trial))
    answer = read_answer(
        {
            "format": FORMAT, "trial": task.trial, "subject": task.subject, "time_point": task.time_point,
            "scanned_on": task.acquired_on.isoformat(),
        }
        | dict(stated)
    )  # fmt: skip
    named = (answer.trial, answer.subject, answer.time_point, answer.scanned_on)
    if named != (task.trial, task.subject, task.time_point, task.acquired_on):
        raise UnusableInput(
            f"The answer is for {answer.time_point} of {answer.subject}, acquired on {answer.scanned_on}, and not for "
            f"{task.time_point} of {task.subject}, acquired on {task.acquired_on}."
        )
    earlier = queries.own_answers(session, task.trial, task.subject, task.assigned)
    problems = rules.answer_problems(charter, answer, earlier)
    if problems:
        raise UnusableInput(f"The answer cannot be locked. {'; '.join(problems)}.")
    return answer


def lock_relations(
    session: Connection, actor: Actor, charter: Charter, task: Task, answer: Answer, *, marks: bool
) -> list[str]:
    """What stands against locking this answer, beside its form."""
    seen = queries.shown_runs(session, task.assignment)
    used = {(use.run, use.endpoint) for _, use in answer.ai_uses()}
    for endpoint in {use.endpoint for _, use in answer.ai_uses()}:
        permit_showing(session, actor, charter, task, endpoint)
    marked = bool(queries.seals_of(session, [task.assignment], marks=True))
    found = {
        "not_qualified": not queries.is_qualified(session, task.trial, actor.user, "reader"),
        "locked": task.locked,
        "ai_seen": bool(seen),
        "ai_not_shown": bool(used - seen),
        "marked": marks and marked,
        "nothing_after_own": marks and all(each.ai_display != "after_own" for each in charter.endpoints),
    }
    return [name for name, holds in found.items() if holds]


def check_ai_uses(session: Connection, charter: Charter, task: Task, answer: Answer) -> None:
    """Each AI value that was shown is decided by itself, and the number says the same as the decision.

    Raises:
        UnusableInput: a shown value without a decision, two decisions, or a size that contradicts one.
    """
    values = {
        (each.run, each.endpoint): each
        for each in queries.ai_values_of(session, charter, task.trial, task.subject, task.time_point)
    }
    decided = [(use.run, use.endpoint) for _, use in answer.ai_uses()]
    wrong = [
        f"AI value {run} for {endpoint} is neither accepted, adjusted nor rejected"
        for run, endpoint in sorted(queries.shown_runs(session, task.assignment) - set(decided))
    ]
    wrong += [
        f"AI value {run} is decided twice" for run, _ in sorted({one for one in decided if decided.count(one) > 1})
    ]
    for target, use in answer.ai_uses():
        value, sizes = values.get((use.run, use.endpoint)), target.sizes.get(use.endpoint, ())
        if value is None:
            wrong.append(f"AI value {use.run} was recomputed; look at the new one")
            continue
        same = len(sizes) == 1 and rules.decimal_of(sizes[0].split(" ")[0]) == value.value
        if use.use == "accept" and not same:
            wrong.append(f"target {target.lesion}: accepted {value}, but the size is {' and '.join(sizes) or 'none'}")
        if use.use != "accept" and same:
            wrong.append(f"target {target.lesion}: {use.use}, but the size is the AI's own {value}")
        if use.use == "adjust" and not sizes:
            wrong.append(f"target {target.lesion}: adjusted, but there is no size")
    if wrong:
        raise UnusableInput(f"The answer cannot be locked. {'; '.join(wrong)}.")


# AI values before a reader


def permit_showing(session: Connection, actor: Actor, charter: Charter, task: Task, endpoint_id: str) -> Decision:
    """Whether this reader may see AI values of an endpoint now. Raises Refused by the rows of the doors of AI."""
    endpoint = charter.endpoint(endpoint_id)
    if endpoint is None:
        raise UnusableInput(f"The charter has no endpoint {endpoint_id}.")
    relations = ["for_primary" if endpoint.kind == "primary" else "for_secondary"]
    if endpoint.ai_display == "none":
        relations.append("display_none")
    if endpoint.ai_display == "after_own" and not queries.seals_of(session, [task.assignment], marks=True):
        relations.append("own_mark_missing")
    facts = facts_of(
        session, actor, "ai.show_to_reader", task.trial, *relations, endpoint=endpoint_id, about=task.subject)
    return permit(actor, "ai.show_to_reader", facts)


def show_ai_values(desk: Desk, actor: Actor, assignment: str, endpoint: str) -> Sequence[AiValue]:
    """Show a reader the AI values of an endpoint for a read they have begun; that they were shown is recorded."""
    with desk.open(READS, on_behalf_of=actor.user, asked="ai.show_to_reader") as work:
        task = queries.task(work.session, assignment)
        if task.reader != actor.user or task.locked:
            raise NotFound(f"You have no open read {assignment}.", next_step="List yours with `countersign read list`.")
        charter = queries.charter_for(work.session, task.trial, task.charter_version)
        under = permit_showing(work.session, actor, charter, task, endpoint)
        values = [
            each
            for each in queries.ai_values_of(work.session, charter, task.trial, task.subject, task.time_point)
            if each.endpoint == endpoint
        ]
        seen = queries.shown_runs(work.session, assignment)
        fresh = [each for each in values if (each.run, endpoint) not in seen]
        if fresh:
            gate = next(
                (use.gate for use in trials.uses_for(work.session, task.trial, task.subject)
                 if use.endpoint in (None, endpoint)), ""
            )
            event = words.ReadAiShown(
                assignment=assignment, endpoint=endpoint, gate=gate, runs=tuple(each.run for each in fresh)
            )
            work.record(event, under=under, trial=task.trial)
    return values

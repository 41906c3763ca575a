"""The adjudicator's choice between reads that differ: blind, one whole read, signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import reads as words
from core.errors import Refused, UnusableInput
from core.policy.decide import decide, permit
from core.policy.state import Actor
from core.reads import queries, rules, views
from core.reads.acting import carry_on, draft, facts_of
from core.reads.answer import lines_of
from core.reads.state import AI_SLOT, Comparison, OpenedRead
from core.trials.charter import Charter
from core.work import Desk, Draft, Occasion, Proposal, Work

#: Why one read was chosen; coded, counted and printed.
CHOICE_REASONS = (
    "measurement",
    "target_choice",
    "new_lesion",
    "non_target",
    "evaluability",
    "response_rule",
)


AI_DOOR, HIDDEN = "ai.show_in_adjudication", "adjudication_hidden"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A read as the adjudicator sees it: a letter, and what it says; never who read it."""

    letter: str
    sealed: tuple[str, ...]
    slot: str
    reads: tuple[OpenedRead, ...]

    def lines(self, charter: Charter) -> tuple[tuple[str, str], ...]:
        """The read under its letter; ids of AI values stay out, for they would tell whether AI was used."""
        units = rules.units_of(charter)
        return tuple(
            (f"Read {self.letter}, {label}", value)
            for each in self.reads
            for label, value in lines_of(each.answer, units)
            if "AI value" not in label
        )


def candidates(session: Connection, actor: Actor, charter: Charter, found: Comparison) -> list[Candidate]:
    """The reads that were compared, under blind letters; the AI's as an anonymous third where the charter says so.

    Raises Refused where the charter shows AI and this person may not see it.
    """
    opened = [
        each
        for each in queries.opened_reads(session, found.trial, found.subject)
        if found.time_point in (None, each.task.time_point)
        and (each.task.sealed in found.sealed or (each.task.slot == AI_SLOT and not each.excluded
                                                 and _third(session, actor, charter, found)))
    ]
    by_slot: dict[str, list[OpenedRead]] = {}
    for each in opened:
        by_slot.setdefault(each.task.slot, []).append(each)
    labels = rules.blind_labels(found.compared, by_slot)
    return [
        Candidate(letter, tuple(str(each.task.sealed) for each in by_slot[slot]), slot, tuple(by_slot[slot]))
        for letter, slot in sorted(labels.items())
    ]


def _third(session: Connection, actor: Actor, charter: Charter, found: Comparison) -> bool:
    """Whether the AI's read stands among the others: asked of the door, so that a closed trial shows none either."""
    endpoints = {each.endpoint for each in found.fired}
    shown = any(each.ai_in_adjudication == "anonymous_third" for each in charter.endpoints if each.id in endpoints)
    relations = () if shown else (HIDDEN,)
    decision = decide(
        actor, AI_DOOR, facts_of(session, actor, AI_DOOR, found.trial, *relations, about=found.subject))
    if shown and not decision.allowed:
        # Left out without a word, a read that the charter promises would change what is decided between.
        raise Refused(decision.because, rule=decision.rule)
    return decision.allowed


@dataclass(frozen=True, slots=True)
class Adjudicate:
    """`letter` is that of one of `candidates`; `reason` a code of CHOICE_REASONS; the comment is kept under the
    subject's key alone."""

    trial: str
    compared: str
    letter: str
    reason: str
    comment: str | None = None


def adjudicate(desk: Desk, actor: Actor, command: Adjudicate) -> Proposal:
    """What the adjudicator signs: one whole read, never a mixture; the time point is adjudicated with it."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        found = queries.comparison(session, command.compared)
        if found.trial != command.trial:
            raise UnusableInput(f"Comparison {command.compared} is not of {command.trial}.")
        if command.reason not in CHOICE_REASONS:
            raise UnusableInput(
                f"{command.reason!r} is no reason for a choice.", next_step=f"One of: {', '.join(CHOICE_REASONS)}."
            )
        charter = queries.charter_for(session, found.trial, found.charter_version)
        under = permit(
            actor,
            "read.adjudicate",
            facts_of(session, actor, "read.adjudicate", found.trial, *adjudicate_relations(session, actor, found)),
        )
        shown = candidates(session, actor, charter, found)
        chosen = next((each for each in shown if each.letter == command.letter), None)
        if chosen is None:
            raise UnusableInput(f"There is no read {command.letter}; {', '.join(each.letter for each in shown)}.")
        if chosen.slot == AI_SLOT:
            permit(actor, "ai.break_tie", facts_of(session, actor, "ai.break_tie", found.trial, "ai_read"))
        event = words.ReadAdjudicated(
            subject=found.subject, time_point=found.time_point, compared=found.compared, chosen=chosen.sealed[-1],
            against=tuple(each.sealed[-1] for each in shown if each is not chosen and each.slot != AI_SLOT),
            comment=desk.conceal(command.comment, found.trial, found.subject, occasion),
        )  # fmt: skip
        lines = [line for each in shown for line in each.lines(charter)]
        view = views.adjudication(found, command.letter, lines, command.reason, command.comment)
        return draft(
            session, actor, "read.adjudicate", event, under, trial=found.trial, meaning="adjudication", view=view,
            reason=command.reason,
        )  # fmt: skip

    def then(work: Work) -> None:
        found = queries.comparison(work.session, command.compared)
        if found.time_point is not None:
            carry_on(
                work, found.trial, found.subject, found.time_point, "time_point.adjudicated", work.entries[0].body["id"]
            )

    return desk.prepare(actor, propose, asked="read.adjudicate", then=then)


def adjudicate_relations(session: Connection, actor: Actor, found: Comparison) -> list[str]:
    """What stands against this person deciding this difference."""
    charter = queries.charter_for(session, found.trial, found.charter_version)
    newest = queries.comparison_of(session, found.trial, found.subject, found.time_point)
    decided = [each.compared for each in queries.adjudications_of(session, found.trial, found.subject)]
    parts = queries.parts_of(session, found.trial, found.subject, actor.user)
    holds = {
        "reader_of_subject": bool(parts - {"adjudicator"}),
        "nothing_fired": not found.fired,
        "re_read": charter.adjudication.method != "choose_one_read",
        "adjudicated": found.compared in decided or newest != found,
        "not_qualified": not queries.is_qualified(session, found.trial, actor.user, "adjudicator"),
        "impact_awaited": queries.impact_awaited(session, found.trial, found.subject, found.time_point),
    }
    return [name for name, true in holds.items() if true]


def work_list(session: Connection, actor: Actor, trial: str) -> Sequence[Comparison]:
    """Differences that this person may decide, oldest first; empty for anybody without the role."""
    return [
        each
        for each in queries.awaiting_adjudication(session, trial, actor.user)
        if decide(
            actor,
            "read.adjudicate",
            facts_of(session, actor, "read.adjudicate", trial, *adjudicate_relations(session, actor, each)),
        ).allowed
    ]

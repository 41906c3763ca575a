"""What a correction of images means for reads that are locked: decided blind to their values, signed (TRIAL 3)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import reads as words
from core.access.queries import roles_of
from core.arrival.queries import accepted_series, copies_due, series_of
from core.errors import NotFound, UnusableInput
from core.policy.decide import decide, permit
from core.policy.state import Actor
from core.reads import queries, rules, views
from core.reads.acting import carry_on, draft, facts_of
from core.reads.blinding import Seen, Shown, view_of
from core.reads.state import AI_SLOTS, Impact, Task
from core.trials import queries as trials
from core.work import Desk, Draft, Occasion, Proposal, Work

DECISIONS = ("none", "this", "from_here")
#: The reason of the re-reads that follow, by the kind of the correction.
_REASONS = {"wrong_time_point": "wrong_time_point", "wrong_side": "wrong_side"}


@dataclass(frozen=True, slots=True)
class DecideImpact:
    """`decision` is none, this or from_here; the comment is kept under the subject's key alone."""

    trial: str
    subject: str
    time_point: str
    decision: str
    comment: str | None = None


def decide_impact(desk: Desk, actor: Actor, command: DecideImpact) -> Proposal:
    """What is signed of every correction of a time point that awaits it: the reads stand, or each slot reads again.

    One page: the decision, and with `this` or `from_here` the order to read again for each slot with a locked read.

    Raises:
        NotFound: no correction of this time point awaits a decision.
        Refused: who decides may see values, corrected or read the subject; images are not through quality control; or
            reads would stand without images, or later ones on a baseline that is read again alone.
    """
    if command.decision not in DECISIONS:
        raise UnusableInput(f"{command.decision!r} is no impact decision; one of: {', '.join(DECISIONS)}.")

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        waiting = _awaiting(session, command)
        locked = locked_reads(session, command.trial, command.subject, command.time_point)
        relations = impact_relations(session, actor, waiting, command.decision)
        under = permit(actor, "impact.decide", facts_of(session, actor, "impact.decide", command.trial, *relations))
        slots = tuple(sorted({each.slot for each in locked}))
        event = words.ImpactDecided(
            subject=command.subject, time_point=command.time_point, decision=command.decision,
            corrections=tuple(each.correction for each in waiting), slots=slots,
            comment=desk.conceal(command.comment, command.trial, command.subject, occasion),
        )  # fmt: skip
        reason = _REASONS.get(waiting[-1].kind, "images_corrected")
        view = views.impact(command.subject, command.time_point, waiting, command.decision, slots, command.comment)
        page = [draft(session, actor, "impact.decide", event, under, trial=command.trial, meaning="responsibility",
                      view=view, reason=reason)]  # fmt: skip
        if command.decision == "none":
            return page
        return page + [
            draft(
                session, actor, "impact.decide",
                words.RereadOrdered(
                    subject=each.subject, time_point=each.time_point, slot=each.slot, scope=command.decision,
                    on=each.acquired_on.isoformat(),
                ),
                under, trial=command.trial, meaning="responsibility", reason=reason,
                view=views.reread(each.subject, each.time_point, each.slot, command.decision, reason),
            )
            for each in sorted(locked, key=lambda one: one.slot)
        ]  # fmt: skip

    def then(work: Work) -> None:
        if command.decision == "none":
            _stands(work, command)

    return desk.prepare(actor, propose, asked="impact.decide", then=then)


def _awaiting(session: Connection, command: DecideImpact) -> list[Impact]:
    found = [
        each for each in queries.impacts_of(session, command.trial, command.subject, open_only=True)
        if each.time_point == command.time_point
    ]  # fmt: skip
    if not found:
        raise NotFound(
            f"No correction of {command.time_point} of {command.subject} awaits an impact decision.",
            next_step="`countersign correct list` shows those that do.",
        )
    return found


def locked_reads(session: Connection, trial: str, subject: str, time_point: str) -> list[Task]:
    """The newest locked read of each human slot by its present holder that counts still."""
    found = {
        each.slot: each for each in queries.current_tasks(session, trial, subject, time_point)
        if each.locked and each.slot not in AI_SLOTS
    }  # fmt: skip
    return list(found.values())


def impact_relations(session: Connection, actor: Actor, waiting: list[Impact], decision: str) -> list[str]:
    """What stands against this person deciding this, now."""
    trial, subject, time_point = waiting[0].trial, waiting[0].subject, waiting[0].time_point
    here = series_of(session, trial, subject, time_point)
    charter = trials.charter_of(session, trial)
    holds = {
        "sees_values": sees_values(session, actor.user, trial, subject),
        "corrector": any(each.corrected_by == actor.user for each in waiting),
        "reader_of_subject": bool(queries.parts_of(session, trial, subject, actor.user)),
        "images_undisposed": bool(copies_due(session, trial)) or any(
            each.disposition != "accepted" or each.held is not None for each in here),
        "nothing_left": decision == "none" and not accepted_series(session, trial, subject, time_point),
        "baseline_alone": decision == "this" and rules.is_baseline(charter, time_point),
    }  # fmt: skip
    return [name for name, true in holds.items() if true]


def sees_values(session: Connection, user: str, trial: str, subject: str) -> bool:
    """Whether `view_of` shows this person any opened read of the subject; while all are sealed nobody sees one."""
    roles = roles_of(session, user, trial)
    reads_here = any(each.reader == user for each in queries.slots_of(session, trial, current=False))
    return any(
        isinstance(view_of(Seen(
            roles=roles, own=each.reader == user, opened=each.state == "opened", reads_here=reads_here,
            data_locked=False, to_adjudicate="adjudicator" in roles, ai=each.slot in AI_SLOTS,
        )), Shown)
        for each in queries.tasks_of(session, trial, subject)
    )  # fmt: skip


def _stands(work: Work, command: DecideImpact) -> None:
    """The time point is read again as before: the corrected images change nothing in its reads."""
    session, cause = work.session, str(work.entries[0].body["id"])
    place = (command.trial, command.subject, command.time_point)
    begun = queries.current_tasks(session, *place)
    opened = {each.slot for each in begun if each.state == "opened"}
    if not begun or not set(begun[-1].slots) <= opened:
        return
    carry_on(work, *place, "time_point.kept", cause)
    compared = queries.comparison_of(session, *place)
    if compared is not None and any(
            each.compared == compared.compared for each in queries.adjudications_of(session, *place[:2])):
        carry_on(work, *place, "time_point.adjudicated", cause)


def may_decide(session: Connection, actor: Actor, waiting: list[Impact]) -> tuple[str, ...]:
    """The decisions that this person may sign now; empty where somebody else has to."""
    return tuple(
        decision for decision in DECISIONS
        if decide(actor, "impact.decide", facts_of(
            session, actor, "impact.decide", waiting[0].trial,
            *impact_relations(session, actor, waiting, decision))).allowed
    )  # fmt: skip

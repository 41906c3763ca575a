"""Reads beside each other: differences and their decisions, what readers made of AI values, AI against people.

Every row names the entry it rests on; nothing under seal is in any of them. Not blinded: see listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from core.reads import queries, rules
from core.reads.answer import Answer, Target
from core.reads.listing import is_accepted, size_sum
from core.reads.state import AI_SLOTS, SHADOW_SLOT, AiDecision, AiValue, OpenedRead, Task
from core.trials.charter import Charter


@dataclass(frozen=True, slots=True)
class AiPair:
    """An AI value beside the person's and the accepted one, in the endpoint's unit. `before` is the reader's own mark
    made before AI was shown, or a blind read against the sealed AI read; only those measure agreement."""

    trial: str
    subject: str
    time_point: str
    endpoint: str
    lesion: str
    reader: str
    ai: Decimal
    before: Decimal | None
    final: Decimal | None
    unit: str
    use: str
    lock: str
    ai_entry: int
    entry: int


def ai_decisions(session: Connection, trial: str) -> list[AiDecision]:
    """Every decision about an AI value in opened reads, in full (table A10 lists those that are not `accept`)."""
    rows = []
    for each in queries.opened_reads(session, trial):
        charter = queries.charter_for(session, trial, each.task.charter_version)
        values = _runs(session, charter, each.task)
        own = {target.lesion: target for target in each.own_marks.targets} if each.own_marks else {}
        for target, use in each.answer.ai_uses():
            value = values.get((use.run, use.endpoint))
            before = own.get(target.lesion)
            rows.append(
                AiDecision(
                    trial,
                    each.task.subject,
                    each.task.time_point,
                    each.task.slot,
                    each.task.reader,
                    use.endpoint,
                    target.lesion,
                    use.run,
                    str(value) if value else "",
                    _said(before, use.endpoint),
                    _said(target, use.endpoint),
                    use.use,
                    use.reason,
                    value.lock if value else "",
                    each.task.sealed_at or "",
                    each.task.sealed_entry or 0,
                    each.excluded,
                )
            )
    return rows


def _said(target: Target | None, endpoint: str) -> str | None:
    return " + ".join(target.sizes[endpoint]) if target is not None and target.sizes.get(endpoint) else None


def _runs(session: Connection, charter: Charter, task: Task) -> dict[tuple[str, str], AiValue]:
    found = queries.ai_values_of(session, charter, task.trial, task.subject, task.time_point)
    return {(each.run, each.endpoint): each for each in found}


def ai_pairs(session: Connection, trial: str) -> list[AiPair]:
    """AI against people: shown values lesion by lesion, and the sealed AI read against each human read by sums."""
    pairs = []
    opened = [each for each in queries.opened_reads(session, trial, shadow=True) if not each.excluded]
    for each in opened:
        charter = queries.charter_for(session, trial, each.task.charter_version)
        values = _runs(session, charter, each.task)
        own = {target.lesion: target for target in each.own_marks.targets} if each.own_marks else {}
        for target, use in each.answer.ai_uses():
            value, before = values.get((use.run, use.endpoint)), own.get(target.lesion)
            if value is not None:
                pairs.append(
                    AiPair(
                        trial,
                        each.task.subject,
                        each.task.time_point,
                        use.endpoint,
                        target.lesion,
                        each.task.reader,
                        value.value,
                        size_sum(before, use.endpoint) if before else None,
                        size_sum(target, use.endpoint),
                        value.unit,
                        use.use,
                        value.lock,
                        value.entry,
                        each.task.sealed_entry or 0,
                    )
                )
    return pairs + _sealed_pairs(session, trial, opened)


def _sealed_pairs(session: Connection, trial: str, opened: list[OpenedRead]) -> list[AiPair]:
    """Sums of the AI's blind read, in phase 4 or in shadow, against each human read of the same time point."""
    pairs = []
    for third in (each for each in opened if each.task.slot in AI_SLOTS):
        charter = queries.charter_for(session, trial, third.task.charter_version)
        standing = "shadow" if third.task.slot == SHADOW_SLOT else "gated"
        here = (third.task.subject, third.task.time_point)
        locks = (third.task.lock,) if third.task.lock else queries.sealed_run_locks(session, trial, *here, standing)
        human = [
            each
            for each in opened
            if each.task.slot not in AI_SLOTS and (each.task.subject, each.task.time_point) == here
        ]
        for endpoint in (each for each in charter.endpoints if each.kind == "primary"):
            ai = burden(third.answer, endpoint.id)
            for each in human:
                blind = _blind_answer(session, each)
                before = burden(blind, endpoint.id) if blind is not None else None
                if ai is not None and before is not None:
                    pairs.append(_sealed_pair(session, endpoint, third, each, ai, before, standing, locks))
    return pairs


def _blind_answer(session: Connection, read: OpenedRead) -> Answer | None:
    """What a person measured before any AI value was shown for this read; None where there is nothing such."""
    return read.own_marks if queries.shown_runs(session, read.task.assignment) else read.answer


def _sealed_pair(
    session: Connection, endpoint: rules.Endpoint, third: OpenedRead, human: OpenedRead, ai: Decimal,
    before: Decimal, standing: str, locks: tuple[str, ...],
) -> AiPair:  # fmt: skip
    return AiPair(
        human.task.trial, human.task.subject, human.task.time_point, endpoint.id, "sum", human.task.reader, ai,
        before, burden(human.answer, endpoint.id) if is_accepted(session, human.task) else None, endpoint.unit,
        "shadow" if standing == "shadow" else "sealed", " ".join(locks), third.task.sealed_entry or 0,
        human.task.sealed_entry or 0,
    )  # fmt: skip


def burden(answer: Answer, endpoint: str) -> Decimal | None:
    """Sum of an answer's measured targets; None where there are none, or one of them has no size."""
    if endpoint in answer.not_evaluable or not answer.targets:
        return None
    sizes = [size_sum(each, endpoint) if each.state == "measured" else None for each in answer.targets]
    gone = [each.state in ("gone", "merged") for each in answer.targets]
    if any(size is None and not away for size, away in zip(sizes, gone, strict=True)):
        return None
    return sum((size for size in sizes if size is not None), Decimal(0))

"""What reports and pages tell of reads: values as locked, responses derived anew, readers, what is still unread.

Every row names the entry it rests on. Nothing here is blinded: reports and pages ask `view_of` for their reader, and a
read under seal is not in any of these rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, select

from core.errors import UnusableInput
from core.reads import projections as tables
from core.reads import queries, rules
from core.reads.answer import Target
from core.reads.criteria.derived import Derived, Evidence
from core.reads.state import AI_SLOT, OpenedRead, Task
from core.trials import queries as trials
from core.trials.charter import Charter


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value of one reader, as locked (table A7). `value` is None where not evaluable; `reason` then says why."""

    trial: str
    subject: str
    time_point: str
    slot: str
    reader: str
    endpoint: str
    lesion: str
    state: str
    value: Decimal | None
    unit: str
    evaluable: bool
    reason: str
    sealed_at: str
    entry: int
    opened_entry: int | None
    excluded: bool
    accepted: bool


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """A response, derived anew at this question. `time_point` is None for the best overall response."""

    trial: str
    subject: str
    time_point: str | None
    slot: str
    reader: str
    endpoint: str
    criterion: str
    options_sha256: str
    status: str
    on: date | None
    sum: Decimal | None
    unit: str
    change_from_baseline_percent: Decimal | None
    change_from_nadir_percent: Decimal | None
    progression_on: date | None
    evidence: tuple[Evidence, ...]
    entry: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """A reader or adjudicator: qualification and what they have done (table A2)."""

    trial: str
    user: str
    role_read: str
    reference_set: str
    cases: int
    score: str
    limit: str
    passed: bool
    qualified_at: str
    qualified_by: str
    reads: int
    adjudications: int
    entry: int


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """A time point without an accepted read, as far as reads know; A11 joins it with the states of time points."""

    trial: str
    subject: str
    time_point: str
    state: str
    waits_for: tuple[str, ...]
    entry: int


def read_values(session: Connection, trial: str) -> list[ValueRow]:
    """Every value of every opened read, reads of replaced holders included and marked."""
    rows = []
    for each in queries.opened_reads(session, trial):
        charter = queries.charter_for(session, trial, each.task.charter_version)
        accepted = is_accepted(session, each.task)
        rows += [row for endpoint in charter.endpoints for row in _values(each, endpoint, accepted)]
    return rows


def _values(read: OpenedRead, endpoint: rules.Endpoint, accepted: bool) -> list[ValueRow]:
    def row(lesion: str, state: str, value: Decimal | None, reason: str) -> ValueRow:
        task = read.task
        return ValueRow(
            task.trial,
            task.subject,
            task.time_point,
            task.slot,
            task.reader,
            endpoint.id,
            lesion,
            state,
            value,
            endpoint.unit,
            not reason,
            reason,
            task.sealed_at or "",
            task.sealed_entry or 0,
            task.opened_entry,
            read.excluded,
            accepted,
        )

    whole = read.answer.not_evaluable.get(endpoint.id)
    if whole is not None:
        return [row("", "not_evaluable", None, whole)]
    found = []
    for target in read.answer.targets:
        value = size_sum(target, endpoint.id)
        missing = target.state if target.state in ("not_assessable", "not_imaged") else ""
        found.append(row(target.lesion, target.state, value, missing))
    found += [row(each.lesion, each.state, None, "") for each in read.answer.non_targets]
    found += [row(each.lesion, f"new {each.state}", None, "") for each in read.answer.new_lesions]
    return found


def size_sum(target: Target, endpoint: str) -> Decimal | None:
    """The stated sizes of a target added up; None where there are none."""
    sizes = [rules.decimal_of(text.split(" ")[0]) for text in target.sizes.get(endpoint, ())]
    return sum(sizes, Decimal(0)) if sizes else None


def responses(session: Connection, trial: str, subject: str | None = None, *, ai: bool = False) -> list[ResponseRow]:
    """Responses per reader, time point and endpoint, and each reader's best overall response; from opened answers,
    by the charter's criteria, each time anew. The AI's read is included only where asked for."""
    rows: list[ResponseRow] = []
    subjects = [subject] if subject else sorted({each.subject for each in queries.tasks_of(session, trial)})
    for one in subjects:
        opened = [each for each in queries.opened_reads(session, trial, one) if not each.excluded]
        for slot in sorted({each.task.slot for each in opened} - (set() if ai else {AI_SLOT})):
            held = sorted((each for each in opened if each.task.slot == slot), key=lambda each: each.task.acquired_on)
            charter = queries.charter_for(session, trial, held[-1].task.charter_version)
            for endpoint in charter.endpoints:
                try:
                    rows += _responses(session, charter, endpoint, held)
                except UnusableInput:
                    # A person's answer is checked before it is locked; a model may name other lesions than before.
                    if slot != AI_SLOT:
                        raise
    return rows


def _responses(
    session: Connection, charter: Charter, endpoint: rules.Endpoint, held: list[OpenedRead]
) -> list[ResponseRow]:
    found = rules.course(charter, endpoint, [each.answer for each in held])
    criterion = rules.criterion_of(charter, endpoint)
    by_point = {each.time_point: each for each in found.timepoints}
    rows = []
    for read in held:
        derived = by_point.get(read.task.time_point)
        if rules.is_baseline(charter, read.task.time_point):
            continue
        rows.append(
            _response(
                read.task, endpoint, criterion.title, derived, is_accepted(session, read.task), criterion.options_sha256
            )
        )
    last, best = held[-1].task, found.subject
    rows.append(
        ResponseRow(
            last.trial,
            last.subject,
            None,
            last.slot,
            last.reader,
            endpoint.id,
            criterion.title,
            best.options_sha256,
            str(best.best),
            best.best_on,
            None,
            endpoint.unit,
            None,
            None,
            best.progression_on,
            best.evidence,
            last.sealed_entry or 0,
            accepted_slot(session, last.trial, last.subject) == last.slot,
        )
    )
    return rows


def _response(
    task: Task, endpoint: rules.Endpoint, title: str, derived: Derived | None, accepted: bool, options_sha256: str
) -> ResponseRow:
    none = (Evidence("TP-NO-BASELINE", "There is no evaluable baseline of this reader to compare with."),)
    row = ResponseRow(
        task.trial, task.subject, task.time_point, task.slot, task.reader, endpoint.id, title, options_sha256, "NE",
        task.acquired_on, None, endpoint.unit, None, None, None, none, task.sealed_entry or 0, accepted,
    )  # fmt: skip
    if derived is None:
        return row
    return replace(
        row, options_sha256=derived.options_sha256, status=str(derived.status), on=derived.on, sum=derived.sum,
        change_from_baseline_percent=derived.change_from_baseline_percent,
        change_from_nadir_percent=derived.change_from_nadir_percent,
        progression_on=derived.progression_first_seen_on, evidence=derived.evidence,
    )  # fmt: skip


def is_accepted(session: Connection, task: Task) -> bool:
    """Whether this read is the accepted one of its time point."""
    found = queries.accepted_read(session, task.trial, task.subject, task.time_point)
    return found is not None and found[0].assignment == task.assignment


def accepted_slot(session: Connection, trial: str, subject: str) -> str | None:
    """Whose whole course is the accepted one: the adjudicator's choice over the course, else the last choice at a
    time point, else reader 1's. None while a difference awaits the adjudicator."""
    if any(each.subject == subject for each in queries.awaiting_adjudication(session, trial)):
        return None
    by_seal = {each.sealed: each.slot for each in queries.tasks_of(session, trial, subject)}
    decided = queries.adjudications_of(session, trial, subject)
    over = [each for each in decided if each.time_point is None]
    if over or decided:
        return by_seal[(over or decided)[-1].chosen]
    return "reader_1" if queries.comparisons_of(session, trial, subject) else None


def reader_rows(session: Connection, trial: str) -> list[ReaderRow]:
    """Every qualification with the reads and adjudications its person has locked so far."""
    table = tables.readers
    done = [each for each in queries.tasks_of(session, trial) if each.locked]
    decided = queries.adjudications_of(session, trial)
    return [
        ReaderRow(
            row.trial,
            row.user,
            row.role_read,
            row.reference_set,
            row.cases,
            row.score,
            row.required,
            Decimal(row.score) >= Decimal(row.required),
            row.at,
            row.qualified_by,
            sum(each.reader == row.user for each in done),
            sum(each.adjudicator == row.user for each in decided),
            row.entry,
        )
        for row in session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry))
    ]


def unread(session: Connection, trial: str) -> list[UnreadRow]:
    """Time points with images and no accepted read, and who is awaited. It names slots and no value or reason."""
    rows = []
    for subject in trials.subjects_of(session, trial):
        for point in queries.readable(session, trial, subject.subject):
            if queries.accepted_read(session, trial, subject.subject, point.time_point) is not None:
                continue
            held = queries.current_tasks(session, trial, subject.subject, point.time_point)
            done = {each.slot for each in held if each.locked}
            slots = queries.slots_of(session, trial, subject.subject)
            waits = tuple(each.slot for each in slots if each.slot not in done) or ("adjudicator",)
            rows.append(UnreadRow(trial, subject.subject, point.time_point, point.state, waits, point.entry))
    return rows

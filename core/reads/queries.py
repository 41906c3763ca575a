"""Questions that pages, reports and use cases ask about reads. What leaves through `opened_reads_for` is blinded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from core.access.queries import roles_of
from core.dicom.result import Algorithm
from core.errors import NotFound
from core.policy.state import Stage
from core.reads import projections as tables
from core.reads import rules
from core.reads.answer import Answer, answer_under_seal
from core.reads.blinding import Hidden, Seen, Shown, view_of
from core.reads.state import (
    AI_SLOT,
    AI_SLOTS,
    SHADOW_SLOT,
    Adjudication,
    AiValue,
    Comparison,
    Final,
    Fired,
    Impact,
    OpenedRead,
    SeedRow,
    SlotRow,
    Task,
)
from core.trials import queries as trials
from core.trials.charter import Charter

READABLE = ("ready", "in_read", "read", "adjudicated", "frozen")
PENDING = ("received", "in_qc", "ready", "in_read")


# Slots and qualification


def read_again(session: Connection, trial: str, subject: str, time_point: str, assigned: str) -> bool:
    """Whether this holder's read of a time point was ordered to be read again."""
    return any(
        each.assigned == assigned and each.superseded for each in tasks_of(session, trial, subject, time_point)
    )


def is_qualified(session: Connection, trial: str, user: str, role_read: str) -> bool:
    """Whether the person's last reference set for this part was passed."""
    table = tables.readers
    row = session.execute(
        select(table)
        .where(table.c.trial == trial, table.c.user == user, table.c.role_read == role_read)
        .order_by(table.c.entry.desc())
        .limit(1)
    ).first()
    return row is not None and Decimal(row.score) >= Decimal(row.required)


def slots_of(session: Connection, trial: str, subject: str | None = None, *, current: bool = True) -> list[SlotRow]:
    """Slots of a trial or a subject, present holders unless told otherwise."""
    table = tables.slots
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if current:
        query = query.where(table.c.current.is_(True))
    return [
        SlotRow(row.assigned, row.trial, row.subject, row.slot, row.reader, row.current, row.entry)
        for row in session.execute(query.order_by(table.c.subject, table.c.slot, table.c.entry))
    ]


def trials_read_by(session: Connection, reader: str) -> frozenset[str]:
    """The trials in which this person holds or held a slot."""
    slots = tables.slots
    return frozenset(session.execute(select(slots.c.trial).where(slots.c.reader == reader).distinct()).scalars())


def slot_held(session: Connection, trial: str, subject: str, reader: str) -> SlotRow | None:
    """The slot that this person holds for a subject now."""
    return next((each for each in slots_of(session, trial, subject) if each.reader == reader), None)


def parts_of(session: Connection, trial: str, subject: str, user: str) -> frozenset[str]:
    """Every part this person has or had in a subject's reads: slots, and adjudicator."""
    held = {each.slot for each in slots_of(session, trial, subject, current=False) if each.reader == user}
    table = tables.adjudications
    decided = session.execute(
        select(table.c.id).where(table.c.trial == trial, table.c.subject == subject, table.c.adjudicator == user)
    ).first()
    return frozenset(held | ({"adjudicator"} if decided else set()))


# Tasks and seals


def tasks_of(
    session: Connection,
    trial: str,
    subject: str | None = None,
    time_point: str | None = None,
    reader: str | None = None,
) -> list[Task]:
    """Reads begun so far, in order of their entries."""
    table = tables.tasks
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if time_point is not None:
        query = query.where(table.c.time_point == time_point)
    if reader is not None:
        query = query.where(table.c.reader == reader)
    return [_task(row) for row in session.execute(query.order_by(table.c.entry))]


def task(session: Connection, assignment: str) -> Task:
    """One read. Raises NotFound."""
    row = session.execute(select(tables.tasks).where(tables.tasks.c.assignment == assignment)).first()
    if row is None:
        raise NotFound(f"There is no read {assignment}.", next_step="List yours with `countersign read list`.")
    return _task(row)


def _task(row: Row[Any]) -> Task:
    values = dict(row._mapping)
    return Task(
        **values | {"slots": tuple(values["slots"].split()), "acquired_on": date.fromisoformat(values["acquired_on"])}
    )


def current_tasks(session: Connection, trial: str, subject: str, time_point: str | None = None) -> list[Task]:
    """Reads by the present holders of the slots, and the AI's; withdrawn ones and those read again are left out."""
    held = {each.assigned for each in slots_of(session, trial, subject)}
    return [
        each
        for each in tasks_of(session, trial, subject, time_point)
        if (each.slot in AI_SLOTS or each.assigned in held) and each.state != "withdrawn" and not each.superseded
    ]


def task_of_reader(session: Connection, trial: str, subject: str, time_point: str, reader: str) -> Task | None:
    """The read that a present slot holder has begun for a time point."""
    found = [each for each in current_tasks(session, trial, subject, time_point) if each.reader == reader]
    return found[-1] if found else None


def seals_of(session: Connection, assignments: Iterable[str], *, marks: bool | None = None) -> list[Row[Any]]:
    """Rows of `read_seal` of these reads: sealed, assignment, marks, open, entry."""
    table = tables.seals
    query = select(table.c.sealed, table.c.assignment, table.c.marks, table.c.open, table.c.entry).where(
        table.c.assignment.in_(list(assignments))
    )
    if marks is not None:
        query = query.where(table.c.marks.is_(marks))
    return list(session.execute(query.order_by(table.c.entry)))


# Opened reads


def opened_reads(
    session: Connection, trial: str, subject: str | None = None, *, shadow: bool = False
) -> list[OpenedRead]:
    """Every opened read, replaced holders' included and marked `excluded`; the AI's shadow reads only where asked for.

    Not blinded: for use cases and reports of a trial's record, which pass `view_of` themselves.
    """
    table = tables.answers
    held = {each.assigned for each in slots_of(session, trial, subject)}
    reads = []
    for each in tasks_of(session, trial, subject):
        if each.state != "opened" or (each.slot == SHADOW_SLOT and not shadow):
            continue
        rows = session.execute(select(table).where(table.c.assignment == each.assignment).order_by(table.c.entry)).all()
        answer = next(answer_under_seal(row.plaintext.encode()) for row in rows if not row.marks)
        own = next((answer_under_seal(row.plaintext.encode()) for row in rows if row.marks), None)
        excluded = bool(each.superseded) or (each.slot not in AI_SLOTS and each.assigned not in held)
        reads.append(OpenedRead(each, answer, own, excluded))
    return reads


def answers_by_slot(
    session: Connection, trial: str, subject: str, *, until: date | None = None, ai: bool = False
) -> dict[str, list[Answer]]:
    """Opened answers of the present holders by slot, up to a date of acquisition, in order of dates."""
    by_slot: dict[str, list[Answer]] = {}
    for each in opened_reads(session, trial, subject):
        if each.excluded or (each.task.slot == AI_SLOT and not ai):
            continue
        if until is None or each.task.acquired_on <= until:
            by_slot.setdefault(each.task.slot, []).append(each.answer)
    return {slot: sorted(found, key=lambda one: one.scanned_on) for slot, found in by_slot.items()}


def own_answers(session: Connection, trial: str, subject: str, assigned: str) -> list[Answer]:
    """A slot holder's own opened answers, which the next time point is measured against."""
    opened = opened_reads(session, trial, subject, shadow=True)
    return [each.answer for each in opened if each.task.assigned == assigned and not each.task.superseded]


def opened_reads_for(
    session: Connection, user: str, trial: str, subject: str | None = None
) -> list[OpenedRead | Hidden]:
    """Opened reads as one person may see them; what is hidden stands as `Hidden` with its rule."""
    roles = roles_of(session, user, trial)
    row = trials.trial_row(session, trial)
    locked = row is not None and row.stage in (Stage.LOCKED, Stage.CLOSED)
    reads_here = not locked and any(each.reader == user for each in slots_of(session, trial, current=False))
    shown: list[OpenedRead | Hidden] = []
    for each in opened_reads(session, trial, subject):
        seen = Seen(
            roles=roles,
            own=each.task.reader == user,
            opened=True,
            reads_here=reads_here,
            data_locked=locked,
            ai=each.task.slot == AI_SLOT,
        )
        found = view_of(seen)
        shown.append(each if isinstance(found, Shown) else found)
    return shown


# Differences, decisions, finals


def comparisons_of(session: Connection, trial: str, subject: str | None = None) -> list[Comparison]:
    """Comparisons in order of their entries, with the triggers that fired."""
    table = tables.comparisons
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [_comparison(session, row) for row in session.execute(query.order_by(table.c.entry)).all()]


def comparison(session: Connection, compared: str) -> Comparison:
    """One comparison. Raises NotFound."""
    row = session.execute(select(tables.comparisons).where(tables.comparisons.c.compared == compared)).first()
    if row is None:
        raise NotFound(f"There is no comparison {compared}.", next_step="List them with `countersign read list`.")
    return _comparison(session, row)


def _comparison(session: Connection, row: Row[Any]) -> Comparison:
    fired = session.execute(
        select(tables.triggers).where(tables.triggers.c.compared == row.compared).order_by(tables.triggers.c.number)
    )
    return Comparison(
        row.compared, row.trial, row.subject, row.time_point, row.charter_version, tuple(row.sealed.split()),
        tuple(Fired(each.trigger, each.endpoint, each.kind) for each in fired), row.at, row.entry,
    )  # fmt: skip


def comparison_of(session: Connection, trial: str, subject: str, time_point: str | None) -> Comparison | None:
    """The newest comparison of a time point, or of the course."""
    found = [each for each in comparisons_of(session, trial, subject) if each.time_point == time_point]
    return found[-1] if found else None


def adjudications_of(session: Connection, trial: str, subject: str | None = None) -> list[Adjudication]:
    """Adjudications in order of their entries."""
    table = tables.adjudications
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [
        Adjudication(**dict(row._mapping) | {"against": tuple(row.against.split())})
        for row in session.execute(query.order_by(table.c.entry))
    ]


def awaiting_adjudication(session: Connection, trial: str, user: str | None = None) -> list[Comparison]:
    """Newest comparisons with a fired trigger and no decision; those a user could decide where one is given."""
    decided = {each.compared for each in adjudications_of(session, trial)}
    newest: dict[tuple[str, str | None], Comparison] = {}
    for each in comparisons_of(session, trial):
        newest[each.subject, each.time_point] = each
    return [
        each
        for each in newest.values()
        if each.fired
        and each.compared not in decided
        and (user is None or not parts_of(session, trial, each.subject, user) - {"adjudicator"})
    ]


def finals_of(session: Connection, trial: str, subject: str | None = None) -> list[Final]:
    """Signed finals in order of their entries."""
    table = tables.finals
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [Final(**dict(row._mapping)) for row in session.execute(query.order_by(table.c.entry))]


def accepted_read(session: Connection, trial: str, subject: str, time_point: str) -> tuple[Task, str] | None:
    """The accepted read of a time point and the id of the entry that makes it so: the adjudicator's choice, else
    reader 1's where no trigger fired. None while reads are sealed or await the adjudicator."""
    found = comparison_of(session, trial, subject, time_point)
    if found is None:
        return None
    by_seal = {each.sealed: each for each in tasks_of(session, trial, subject, time_point)}
    decided = [each for each in adjudications_of(session, trial, subject) if each.compared == found.compared]
    if any(by_seal[sealed].superseded for sealed in found.sealed if sealed in by_seal):
        # One of the reads that were compared is to be made again: nothing is accepted until they are compared anew.
        return None
    if decided:
        return by_seal[decided[-1].chosen], decided[-1].id
    if found.fired:
        return None
    here = current_tasks(session, trial, subject, time_point)
    first = next((each for each in here if each.slot == "reader_1"), None)
    return (first, found.compared) if first is not None else None


def standing_finals(session: Connection, trial: str) -> list[Final]:
    """Signed finals whose read counts still; one whose read was ordered to be made again stays on record only."""
    again = {each.sealed for each in tasks_of(session, trial) if each.superseded}
    return [each for each in finals_of(session, trial) if each.accepted not in again]


# Corrections


def impacts_of(session: Connection, trial: str, subject: str | None = None, *, open_only: bool = False) -> list[Impact]:
    """Corrections that touched locked reads, oldest first; those that still await their decision where asked."""
    table = tables.impacts
    query = select(table).where(table.c.trial == trial)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if open_only:
        query = query.where(table.c.decision.is_(None))
    return [Impact(**row._mapping) for row in session.execute(query.order_by(table.c.entry, table.c.time_point))]


def impact_awaited(session: Connection, trial: str, subject: str, time_point: str | None) -> bool:
    """Whether a correction at a time point (anywhere in the course for None) awaits its impact decision."""
    found = impacts_of(session, trial, subject, open_only=True)
    return any(time_point in (None, each.time_point) for each in found)


def counted_values(session: Connection, trial: str, subject: str, time_point: str) -> int:
    """Finished runs of models that count, of a time point."""
    table = tables.ai_runs
    return len(session.execute(select(table.c.run).where(
        table.c.trial == trial, table.c.subject == subject, table.c.time_point == time_point,
        table.c.standing == "gated")).all())


# AI values and seeds


def ai_values_of(session: Connection, charter: Charter, trial: str, subject: str, time_point: str) -> list[AiValue]:
    """Gated, clear AI values for this charter's endpoints in their units; the newest run per lesion and endpoint.

    A value in another unit than its endpoint's is not one of it and is left out. Not blinded: readers get them
    through `show_ai_values`.
    """
    table = tables.ai_values
    rows = session.execute(
        select(table)
        .where(table.c.trial == trial, table.c.subject == subject, table.c.time_point == time_point)
        .order_by(table.c.entry)
    ).all()
    newest: dict[tuple[str, str], AiValue] = {}
    for row in rows:
        endpoint = charter.endpoint(row.endpoint)
        # Which axis a criterion sums depends on the lesion; the value shown for a diameter is the long axis.
        if endpoint is None or row.name != rules.MEASURE_OF[endpoint.criterion, "extranodal"]:
            continue
        value = rules.ai_value_in(endpoint, row.value)
        if value is None:
            continue
        newest[row.lesion, row.endpoint] = AiValue(
            row.run, row.trial, row.subject, row.time_point, row.lesion, row.endpoint, value, endpoint.unit,
            row.value, row.uncertainty, row.lock, row.gate, row.tracking_uid, row.segmentation, row.report, row.entry,
        )  # fmt: skip
    return list(newest.values())


def standing_of_run(session: Connection, run: str) -> str:
    """How a finished run stands: gated, shadow or exploratory. Raises NotFound."""
    row = session.execute(select(tables.ai_runs.c.standing).where(tables.ai_runs.c.run == run)).first()
    if row is None:
        raise NotFound(f"No run {run} has finished.")
    return str(row.standing)


def sealed_run_locks(session: Connection, trial: str, subject: str, time_point: str, standing: str) -> tuple[str, ...]:
    """Locks of the sealed runs behind an AI read of a time point: gated, or in shadow."""
    table = tables.ai_runs
    rows = session.execute(
        select(table.c.lock)
        .where(table.c.trial == trial, table.c.subject == subject, table.c.time_point == time_point)
        .where(table.c.standing == standing, table.c.sealed.is_(True))
        .order_by(table.c.lock)
        .distinct()
    )
    return tuple(row.lock for row in rows)


def shown_runs(session: Connection, assignment: str) -> set[tuple[str, str]]:
    """(run, endpoint) of the AI values that were shown for a read."""
    table = tables.shown
    return {(row.run, row.endpoint) for row in session.execute(select(table).where(table.c.assignment == assignment))}


def algorithm_of(session: Connection, lock: str) -> Algorithm:
    """TID 4019 of a lock, with the same names and digests as in the AI's own report. Raises NotFound."""
    row = session.execute(select(tables.locks).where(tables.locks.c.lock == lock)).first()
    if row is None:
        raise NotFound(f"There is no lock {lock}.")
    return Algorithm(
        row.model,
        row.model_version,
        "Countersign",
        row.tree_sha256,
        (
            f"lock={row.lock}",
            f"bundle-sha256={row.tree_sha256}",
            f"weights-sha256={row.tensors_sha256}",
            f"environment-sha256={row.environment_sha256}",
            f"entry={row.entry_id}",
        ),
    )


def seeds_of(session: Connection, trial: str, subject: str, time_point: str) -> list[SeedRow]:
    """The seeds that a person placed at a time point, the last one per lesion."""
    table = tables.seeds
    rows = session.execute(
        select(table)
        .where(table.c.trial == trial, table.c.subject == subject, table.c.time_point == time_point)
        .order_by(table.c.lesion)
    )
    return [
        SeedRow(**dict(row._mapping) | {axis: Decimal(getattr(row, axis)) for axis in ("x", "y", "z")}) for row in rows
    ]


# Work lists


def reads_awaiting(session: Connection, trial: str, reader: str) -> list[trials.TimePointRow]:
    """What a reader may begin now, one time point per subject, in the order that the system sets (RDG-03)."""
    found = {}
    for slot in slots_of(session, trial):
        if slot.reader != reader:
            continue
        done = {each.time_point for each in current_tasks(session, trial, slot.subject) if each.reader == reader}
        for point in readable(session, trial, slot.subject):
            if point.time_point not in done:
                if point.state in READABLE:
                    found[slot.subject] = point
                break
    return [found[subject] for subject in rules.case_order(trial, reader, found)]


def readable(session: Connection, trial: str, subject: str) -> list[trials.TimePointRow]:
    """Time points with images, those still in quality control included, in order of acquisition."""
    points = [
        each
        for each in trials.time_points_of(session, trial, subject)
        if each.acquired_on is not None and (each.state in READABLE or each.state in PENDING)
    ]
    return sorted(points, key=lambda each: (each.acquired_on or "", each.time_point))


def charter_for(session: Connection, trial: str, version: str) -> Charter:
    """The charter version that a read was begun under. Raises NotFound."""
    for each in trials.charters_of(session, trial):
        if each.version == version and each.approved_entry is not None:
            return each.charter
    raise NotFound(f"Trial {trial} has no approved charter {version}.", next_step="Check `countersign trial show`.")

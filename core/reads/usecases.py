"""What people do before a read is answered: qualify, assign, place seeds, begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from audit.vocabulary import reads as words
from audit.vocabulary.registry import ObjectRef
from core.access.queries import roles_of
from core.arrival.queries import accepted_series, case_of
from core.errors import NotFound, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.reads import queries, rules, views
from core.reads.acting import READS, carry_on, draft, facts_of
from core.reads.state import SeedRow, human_slots
from core.trials import queries as trials
from core.trials.charter import Charter
from core.work import Desk, Draft, Occasion, Proposal

REPLACEMENT_REASONS = ("left_the_trial", "not_available", "conflict_of_interest", "failed_calibration")
REREAD_REASONS = ("images_corrected", "wrong_time_point", "wrong_side", "read_under_wrong_charter", "display_error")


# Who reads


@dataclass(frozen=True, slots=True)
class QualifyReader:
    """Score and limit are decimals as text, on the reference set's own scale; `role_read` is reader or adjudicator."""

    trial: str
    user: str
    role_read: str
    reference_set: str
    cases: int
    score: str
    limit: str
    evidence: ObjectRef | None = None


def qualify_reader(desk: Desk, actor: Actor, command: QualifyReader) -> Proposal:
    """What the imaging lead signs once a reader has passed the reference set."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        if command.role_read not in ("reader", "adjudicator"):
            raise UnusableInput(f"{command.role_read!r} does not read; reader or adjudicator is needed.")
        score, limit = rules.decimal_of(command.score), rules.decimal_of(command.limit)
        if command.cases < 1:
            raise UnusableInput("A reference set has at least one case.")
        relations = [name for name, holds in (("self", command.user == actor.user), ("failed", score < limit)) if holds]
        under = permit(actor, "reader.qualify", facts_of(session, actor, "reader.qualify", command.trial, *relations))
        charter = trials.charter_of(session, command.trial)
        event = words.ReaderQualified(
            user=command.user, role_read=command.role_read, reference_set=command.reference_set,
            cases=command.cases, score=command.score, limit=command.limit, charter_version=charter.version,
            evidence=command.evidence,
        )  # fmt: skip
        view = views.qualification(
            command.user, command.role_read, command.reference_set, command.cases, command.score, command.limit
        )
        return draft(session, actor, "reader.qualify", event, under, trial=command.trial, meaning="approval", view=view)

    return desk.prepare(actor, propose, asked="reader.qualify")


@dataclass(frozen=True, slots=True)
class AssignReaders:
    """Give slots of subjects to readers: {slot: reader} for every subject named. `replacement_reason` is a code of
    REPLACEMENT_REASONS where present holders are replaced; the new reader starts from baseline."""

    trial: str
    subjects: tuple[str, ...]
    readers: Mapping[str, str] = field(default_factory=dict)
    replacement_reason: str | None = None


def assign_readers(desk: Desk, actor: Actor, command: AssignReaders) -> Proposal:
    """What the imaging lead signs; one entry per subject and slot, all or none."""

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        charter = trials.charter_of(session, command.trial)
        _check_assignment(session, charter, command)
        return [
            _assign(session, actor, command, subject, slot, reader)
            for subject in command.subjects
            for slot, reader in sorted(command.readers.items())
        ]

    return desk.prepare(actor, propose, asked="read.assign")


def _check_assignment(session: Connection, charter: Charter, command: AssignReaders) -> None:
    slots = human_slots(charter.reading.readers)
    unknown = sorted(set(command.readers) - set(slots))
    if unknown or not command.readers:
        raise UnusableInput(f"No slot {', '.join(unknown) or 'was named'}; the charter has: {', '.join(slots)}.")
    if command.replacement_reason not in (None, *REPLACEMENT_REASONS):
        raise UnusableInput(
            f"{command.replacement_reason!r} is no reason to replace a reader.",
            next_step=f"Give one of: {', '.join(REPLACEMENT_REASONS)}.",
        )
    for subject in command.subjects:
        if trials.subject_of(session, command.trial, subject) is None:
            raise NotFound(f"There is no subject {subject} in {command.trial}.")


def _assign(session: Connection, actor: Actor, command: AssignReaders, subject: str, slot: str, reader: str) -> Draft:
    held = next((each for each in queries.slots_of(session, command.trial, subject) if each.slot == slot), None)
    parts = queries.parts_of(session, command.trial, subject, reader)
    named_twice = sum(each == reader for each in command.readers.values()) > 1
    relations = {
        "self": reader == actor.user,
        "no_reader": "reader" not in roles_of(session, reader, command.trial),
        "not_qualified": not queries.is_qualified(session, command.trial, reader, "reader"),
        "slot_taken": held is not None and command.replacement_reason is None,
        # Whoever had any part of this subject before has seen it; replaced readers included.
        "other_part": bool(parts) or named_twice,
    }
    asked = [name for name, holds in relations.items() if holds]
    under = permit(actor, "read.assign", facts_of(session, actor, "read.assign", command.trial, *asked))
    replaces = held.assigned if held else None
    reason = command.replacement_reason if held else None
    event = words.ReadAssigned(subject=subject, slot=slot, reader=reader, replaces=replaces)
    view = views.assignment(subject, slot, reader, replaces, reason)
    return draft(
        session, actor, "read.assign", event, under, trial=command.trial, meaning="responsibility", view=view,
        reason=reason,
    )  # fmt: skip


# Seeds


@dataclass(frozen=True, slots=True)
class PlaceSeeds:
    """Points inside lesions for the model; coordinates are millimetres of the patient's axes, decimals as text."""

    trial: str
    subject: str
    time_point: str
    series: str
    frame_of_reference: str
    seeds: tuple[words.Seed, ...]


def place_seeds(desk: Desk, actor: Actor, command: PlaceSeeds) -> Proposal:
    """What a technologist or the imaging lead signs before the model runs on a time point."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        if trials.time_point_of(session, command.trial, command.subject, command.time_point) is None:
            raise NotFound(f"{command.subject} has no time point {command.time_point}.")
        names = [seed.lesion for seed in command.seeds]
        if not names or len(set(names)) != len(names):
            raise UnusableInput("At least one seed is needed, and one per lesion.")
        placed = [
            SeedRow(
                command.trial, command.subject, command.time_point, seed.lesion, seed.tracking_uid,
                rules.decimal_of(seed.x), rules.decimal_of(seed.y), rules.decimal_of(seed.z), command.series,
                command.frame_of_reference, actor.user, "", 0,
            )
            for seed in command.seeds
        ]  # fmt: skip
        parts = queries.parts_of(session, command.trial, command.subject, actor.user)
        relations = ["reader_of_subject"] if parts else []
        under = permit(
            actor, "seed.place",
            facts_of(session, actor, "seed.place", command.trial, *relations, about=command.subject),
        )  # fmt: skip
        event = words.SeedPlaced(
            subject=command.subject, time_point=command.time_point, series=command.series,
            frame_of_reference=command.frame_of_reference, seeds=command.seeds,
        )  # fmt: skip
        view = views.seeds(command.subject, command.time_point, placed)
        return draft(session, actor, "seed.place", event, under, trial=command.trial, meaning="execution", view=view)

    return desk.prepare(actor, propose, asked="seed.place")


# Reading again


@dataclass(frozen=True, slots=True)
class OrderReread:
    """`scope` is this or from_here; `reason` a code of REREAD_REASONS; the comment is kept under the subject's
    key alone."""

    trial: str
    subject: str
    time_point: str
    slot: str
    scope: str
    reason: str
    comment: str | None = None


def order_reread(desk: Desk, actor: Actor, command: OrderReread) -> Proposal:
    """What is signed when a correction touches locked reads: both reads are kept, responses follow anew."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        if command.scope not in ("this", "from_here"):
            raise UnusableInput(f"{command.scope!r} is no scope; this or from_here.")
        if command.reason not in REREAD_REASONS:
            raise UnusableInput(
                f"{command.reason!r} is no reason to read again.", next_step=f"One of: {', '.join(REREAD_REASONS)}."
            )
        found = [
            each
            for each in queries.current_tasks(session, command.trial, command.subject, command.time_point)
            if each.slot == command.slot and each.locked
        ]
        charter = trials.charter_of(session, command.trial)
        holds = {
            "nothing_read": not found,
            "baseline_alone": command.scope == "this" and rules.is_baseline(charter, command.time_point),
            "reader_of_subject": bool(queries.parts_of(session, command.trial, command.subject, actor.user)),
            "impact_awaited": queries.impact_awaited(session, command.trial, command.subject, command.time_point),
        }
        relations = [name for name, true in holds.items() if true]
        under = permit(actor, "reread.order", facts_of(session, actor, "reread.order", command.trial, *relations))
        on = found[-1].acquired_on.isoformat()
        event = words.RereadOrdered(
            subject=command.subject, time_point=command.time_point, slot=command.slot, scope=command.scope, on=on,
            comment=desk.conceal(command.comment, command.trial, command.subject, occasion),
        )  # fmt: skip
        view = views.reread(command.subject, command.time_point, command.slot, command.scope, command.reason,
                            command.comment)  # fmt: skip
        return draft(
            session, actor, "reread.order", event, under, trial=command.trial, meaning="responsibility", view=view,
            reason=command.reason,
        )  # fmt: skip

    return desk.prepare(actor, propose, asked="reread.order")


# Beginning


@dataclass(frozen=True, slots=True)
class BeginRead:
    """A time point of a subject."""

    trial: str
    subject: str
    time_point: str


def begin_read(desk: Desk, actor: Actor, command: BeginRead) -> str:
    """Open a time point's images to the slot this person holds. Returns the assignment that the answer will name."""
    with desk.open(READS, on_behalf_of=actor.user, asked="read.begin") as work:
        session, place = work.session, (command.trial, command.subject, command.time_point)
        charter = trials.charter_of(session, command.trial)
        slot = queries.slot_held(session, command.trial, command.subject, actor.user)
        relations = begin_relations(session, charter, command, actor.user)
        under = permit(
            actor, "read.begin",
            facts_of(session, actor, "read.begin", command.trial, *relations, about=command.subject),
        )  # fmt: skip
        point = trials.time_point_of(session, command.trial, command.subject, command.time_point)
        assert slot is not None  # else refused above, as not_yours
        assert point is not None  # else refused above, as not_ready
        assert point.acquired_on is not None
        entry = work.record(
            words.ReadBegun(
                subject=command.subject, time_point=command.time_point, slot=slot.slot, assigned=slot.assigned,
                charter_version=charter.version, slots=human_slots(charter.reading.readers), on=point.acquired_on,
                images=_images(session, command), flags=image_flags(session, *place),
            ),
            under=under, trial=command.trial,
        )  # fmt: skip
        begun = str(entry.body["id"])
        carry_on(work, command.trial, command.subject, command.time_point, "time_point.read_opened", begun)
    return begun


def _images(session: Connection, command: BeginRead) -> tuple[words.ShownSeries, ...]:
    """The accepted series laid before the reader, each with the entry of its acceptance."""
    found = accepted_series(session, command.trial, command.subject, command.time_point)
    return tuple(words.ShownSeries(series=each.series, entry=each.disposed_entry or each.entry) for each in found)


def image_flags(session: Connection, trial: str, subject: str, time_point: str) -> tuple[str, ...]:
    """What quality control found of the accepted series that their reader is to know (TRIAL 3, equipment)."""
    flags = []
    for each in accepted_series(session, trial, subject, time_point):
        rules_of = case_of(session, trial, each.case_id).rules if each.case_id else ()
        if any(rule.rule == "scanner.same" and rule.outcome != "met" for rule in rules_of):
            flags.append(f"{each.modality}: another scanner than at the first time point")
    return tuple(dict.fromkeys(flags))


def begin_relations(session: Connection, charter: Charter, command: BeginRead, reader: str) -> list[str]:
    """What stands against beginning this read now (TRIAL 4, sequential_locked)."""
    trial, subject = command.trial, command.subject
    slot = queries.slot_held(session, trial, subject, reader)
    mine = [each for each in queries.current_tasks(session, trial, subject) if each.reader == reader]
    points = queries.readable(session, trial, subject)
    here = next((each for each in points if each.time_point == command.time_point), None)
    by_point = {each.time_point: each for each in mine}
    before = [each for each in points if here is not None and (each.acquired_on or "") < (here.acquired_on or "")]
    after = [each for each in points if here is not None and (each.acquired_on or "") > (here.acquired_on or "")]

    again = slot is not None and queries.read_again(session, trial, subject, command.time_point, slot.assigned)

    def locked(time_point: str) -> bool:
        return time_point in by_point and by_point[time_point].locked

    found = {
        "not_yours": slot is None,
        "not_qualified": not queries.is_qualified(session, trial, reader, "reader"),
        "other_paradigm": charter.reading.paradigm != "sequential_locked",
        "shared_list": charter.reading.lesion_source != "each_reader",
        "not_ready": here is None or here.state not in queries.READABLE,
        "begun": command.time_point in by_point,
        "earlier_pending": any(not locked(each.time_point) for each in before),
        "later_locked": any(each.time_point in by_point for each in after) and not again,
        "earlier_sealed": any(each.state == "sealed" for each in mine),
        "impact_awaited": queries.impact_awaited(session, trial, subject, command.time_point),
    }
    return [name for name, holds in found.items() if holds]

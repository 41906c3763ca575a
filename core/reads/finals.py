"""The human final of a time point: the accepted read as a new structured report, signed by the person it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Literal, cast

from cryptography import x509
from pydicom.dataset import Dataset
from sqlalchemy import Connection

from audit.vocabulary import reads as words
from audit.vocabulary.registry import ObjectRef
from core.arrival.queries import accepted_series, load_series
from core.clock import as_datetime
from core.dicom.reading import read_object
from core.dicom.result import Instance, as_bytes
from core.dicom.signature import BegunSignature, begin_signature
from core.dicom.structured_report import (
    LesionResult,
    Measured,
    TimePoint,
    Verifier,
    make_final_report,
)
from core.errors import NotFound, RecordDamaged, UnusableInput
from core.ids import derived_uid
from core.objects import DICOM, ObjectStore
from core.persons import person_named
from core.policy.decide import permit
from core.policy.state import Actor
from core.projection import from_reference
from core.reads import queries, rules, views
from core.reads.acting import READS, draft, facts_of
from core.reads.answer import AiUse, Answer, Target
from core.reads.listing import size_sum
from core.reads.state import AI_SLOT, AI_SLOTS, AiValue, Task
from core.trials import queries as trials
from core.trials.charter import Charter
from core.work import Desk, Draft, Occasion, Proposal, release

FINAL_SERIES = 901
ENTERING, HUMAN_SIGNED = "ai.enter_result", "human_signed"
_UNMEASURED = ("too_small", "merged", "not_assessable", "not_imaged")


@dataclass(frozen=True, slots=True)
class SignFinal:
    """The time point whose accepted read becomes final."""

    trial: str
    subject: str
    time_point: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The report made for one occasion: rendered once, the same whenever the page is asked again; not signed yet."""

    dataset: Dataset
    at: datetime
    sop_instance: str
    predecessors: tuple[str, ...]

    @property
    def content(self) -> ObjectRef:
        """Digest of the report before its signature: what the signer is shown."""
        data = as_bytes(self.dataset)
        return ObjectRef(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), media=DICOM)


class SignedReport:
    """The final as core.proposal.Document: signed by the reader's certificate in the unlock of its entry (RECORD 4)."""

    def __init__(self, objects: ObjectStore, owner: str, rendered: Rendered, event: words.ReadSigned) -> None:
        self._objects, self._owner, self._rendered, self._event = objects, owner, rendered, event
        self._begun: BegunSignature | None = None

    def to_sign(self, certificate: str) -> bytes:
        dataset = read_object(as_bytes(self._rendered.dataset))
        self._begun = begin_signature(dataset, x509.load_pem_x509_certificate(certificate.encode()), self._rendered.at)
        return self._begun.message

    def signed(self, signature: bytes) -> words.ReadSigned:
        assert self._begun is not None  # asked for before
        self._begun.complete(signature)
        stored = self._objects.put(as_bytes(self._begun.dataset), DICOM, subject=self._owner)
        return replace(self._event, report=stored)


def sign_final(desk: Desk, actor: Actor, command: SignFinal) -> Proposal:
    """What the reader of the accepted read signs, or the adjudicator who chose it: a new SR instance, COMPLETE,
    VERIFIED and FINAL, naming the AI's report as predecessor where its values were used."""
    made: dict[str, Rendered] = {}

    def propose(session: Connection, occasion: Occasion) -> Draft:
        found = queries.accepted_read(session, command.trial, command.subject, command.time_point)
        relations = final_relations(session, actor, command, found[0] if found else None)
        under = permit(actor, "read.sign", facts_of(session, actor, "read.sign", command.trial, *relations))
        if found is None:
            raise NotFound(f"{command.time_point} of {command.subject} has no read that could become final yet.")
        task, rests_on = found
        charter = queries.charter_for(session, command.trial, task.charter_version)
        answer = _answer(session, task)
        _permit_entering(session, task, answer)
        if occasion.id not in made:
            made[occasion.id] = _render(
                desk.objects, session, charter, task, answer, actor, occasion, desk.signer.origin
            )
        report, shown = made[occasion.id], made[occasion.id].content
        event = words.ReadSigned(
            subject=command.subject, time_point=command.time_point, accepted=str(task.sealed), rests_on=rests_on,
            report=shown, sop_instance=report.sop_instance, predecessors=report.predecessors,
        )  # fmt: skip
        view = views.final(task, answer, rules.units_of(charter), shown.sha256)
        signable = draft(
            session, actor, "read.sign", event, under, trial=command.trial, meaning="responsibility", view=view
        )
        document = SignedReport(desk.objects, f"{command.trial}/{command.subject}", report, event)
        return replace(signable, document=document)

    return desk.prepare(actor, propose, asked="read.sign")


@dataclass(frozen=True, slots=True)
class FinalDue:
    """A time point whose accepted read is not signed as final yet, and whose signature that is."""

    subject: str
    time_point: str
    signer: str


def finals_due(session: Connection, trial: str, signer: str | None = None) -> list[FinalDue]:
    """Every final that can be signed now, of one person where given."""
    done = {each.rests_on for each in queries.finals_of(session, trial)}
    deciders = {each.id: each.adjudicator for each in queries.adjudications_of(session, trial)}
    places = dict.fromkeys((each.subject, each.time_point) for each in queries.tasks_of(session, trial))
    due = []
    for subject, time_point in places:
        found = queries.accepted_read(session, trial, subject, time_point)
        awaits = queries.impact_awaited(session, trial, subject, time_point)
        if found is not None and found[1] not in done and not awaits:
            due.append(FinalDue(subject, time_point, deciders.get(found[1], found[0].reader)))
    return [each for each in due if signer in (None, each.signer)]


def final_relations(session: Connection, actor: Actor, command: SignFinal, accepted: Task | None) -> list[str]:
    """What stands against this person signing this final."""
    compared = queries.comparison_of(session, command.trial, command.subject, command.time_point)
    decided = [
        each.adjudicator
        for each in queries.adjudications_of(session, command.trial, command.subject)
        if compared is not None and each.compared == compared.compared
    ]
    signs = decided[-1] if decided else accepted.reader if accepted else None
    rests_on = {each.rests_on for each in queries.finals_of(session, command.trial, command.subject)}
    current = queries.accepted_read(session, command.trial, command.subject, command.time_point)
    holds = {
        "awaits_adjudication": compared is not None and bool(compared.fired) and not decided,
        "not_accepted": signs is not None and signs != actor.user,
        "signed": current is not None and current[1] in rests_on,
        "ai_read": accepted is not None and accepted.slot == AI_SLOT,
        "impact_awaited": queries.impact_awaited(session, command.trial, command.subject, command.time_point),
    }
    return [name for name, true in holds.items() if true]


def _permit_entering(session: Connection, task: Task, answer: Answer) -> None:
    """Every AI value that enters the final is asked for by itself: gated, and accepted or adjusted in a read that a
    person sealed. Raises Refused by the rows of `ai.enter_result`."""
    signed_by_person = task.slot not in AI_SLOTS and task.sealed is not None
    for _, use in answer.ai_uses():
        if use.use == "reject":
            continue
        standing = queries.standing_of_run(session, use.run)
        relations = [name for name, holds in (
            (HUMAN_SIGNED, signed_by_person), (standing, standing != "gated")) if holds]
        permit(READS, ENTERING, facts_of(
            session, READS, ENTERING, task.trial, *relations, endpoint=use.endpoint, about=task.subject))


def _answer(session: Connection, task: Task) -> Answer:
    for each in queries.opened_reads(session, task.trial, task.subject):
        if each.task.assignment == task.assignment:
            return each.answer
    raise RecordDamaged(f"The read {task.assignment} is accepted and not open.")


def _render(
    objects: ObjectStore, session: Connection, charter: Charter, task: Task, answer: Answer, actor: Actor,
    occasion: Occasion, organization: str,
) -> Rendered:  # fmt: skip
    """Everything named or dated here follows from the occasion: nothing of seq or ts is inside (RECORD 4)."""
    owner = f"{task.trial}/{task.subject}"
    values = {
        (each.run, each.endpoint): each
        for each in queries.ai_values_of(session, charter, task.trial, task.subject, task.time_point)
    }
    used = [
        values[use.run, use.endpoint]
        for _, use in answer.ai_uses()
        if use.use != "reject" and (use.run, use.endpoint) in values
    ]
    segmentations = {each.run: _dataset(objects, each.segmentation, owner) for each in used}
    reports = {each.run: _dataset(objects, each.report, owner) for each in used if each.report}
    locks = sorted({each.lock for each in used})
    if len(locks) > 1:
        raise UnusableInput(f"One report rests on one lock; this read used {', '.join(locks)}.")
    person = person_named(session, actor.user)
    at = as_datetime(occasion.at_us).astimezone(_zone(person.local_offset))
    instance = Instance(
        series_uid=derived_uid(occasion.id, "final", "series"), sop_uid=derived_uid(occasion.id, "final"),
        series_number=FINAL_SERIES, instance_number=1, made_at=at, software=release(),
        demonstration=trials.the_trial(session, task.trial).demonstration,
    )  # fmt: skip
    role = "reader" if actor.user == task.reader else "adjudicator"
    verifier = Verifier(person.printed_name, person.user, organization, role, at)
    dataset = make_final_report(
        _lesions(session, charter, task, answer, values, segmentations),
        [*segmentations.values(), *_images(session, objects, task)],
        queries.algorithm_of(session, locks[0]) if locks else None,
        _time_point(session, charter, task),
        instance,
        verifier,
        list(reports.values()),
    )
    return Rendered(dataset, at, instance.sop_uid, tuple(str(each.SOPInstanceUID) for each in reports.values()))


def _dataset(objects: ObjectStore, text: str | None, owner: str) -> Dataset:
    if text is None:
        raise UnusableInput("An AI value that was used has no segmentation to refer to.")
    return read_object(objects.get(from_reference(text), subject=owner))


def _images(session: Connection, objects: ObjectStore, task: Task) -> list[Dataset]:
    """The accepted images of the time point that lie in one study: CT first, for a report belongs to one study."""
    series = sorted(
        accepted_series(session, task.trial, task.subject, task.time_point),
        key=lambda each: (each.modality, each.series),
    )
    if not series:
        raise UnusableInput(f"{task.time_point} of {task.subject} has no accepted series for a report to refer to.")
    same = [each for each in series if each.study == series[0].study]
    return [dataset for each in same for dataset in load_series(session, objects, task.trial, each.series)]


def _lesions(
    session: Connection, charter: Charter, task: Task, answer: Answer, values: dict[tuple[str, str], AiValue],
    segmentations: dict[str, Dataset],
) -> list[LesionResult]:  # fmt: skip
    """One group per target and origin: a volume accepted from the AI and a diameter of the reader's own are two."""
    kinds = _kinds(session, task, answer)
    groups = []
    for target in answer.targets:
        uses = {use.endpoint: use for use in target.ai if use.use != "reject"}
        measured = {
            endpoint.id: _measured(charter, endpoint, target, kinds.get(target.lesion, "extranodal"))
            for endpoint in charter.endpoints
            if endpoint.id not in answer.not_evaluable
        }
        own = [each for name, each in measured.items() if name not in uses]
        groups += [_group(task, target, part, "drawn") for part in _once_each(own)]
        for endpoint_id, use in uses.items():
            if endpoint_id in measured:
                segmentation = segmentations[values[use.run, endpoint_id].run]
                groups.append(_proposed(task, target, measured[endpoint_id], use, segmentation))
    if groups:
        return groups
    # Nothing was measured: the report says so instead of being left out.
    none = Measured("long_axis", None, "mm", "not_attempted")
    return [_group(task, Target(lesion=task.time_point, state="not_assessable"), (none,), "drawn")]


def _once_each(measured: Sequence[Measured]) -> list[list[Measured]]:
    """Parts in which every measure stands once (TID 1411): endpoints that share a measure share its number, and where
    their numbers differ each has a group of its own."""
    parts: list[list[Measured]] = []
    for each in dict.fromkeys(measured):
        part = next((one for one in parts if all(other.name != each.name for other in one)), None)
        if part is None:
            parts.append([each])
        else:
            part.append(each)
    return parts


def _kinds(session: Connection, task: Task, answer: Answer) -> dict[str, str]:
    """Nodal or not, as the reader stated it at baseline."""
    earlier = queries.own_answers(session, task.trial, task.subject, task.assigned)
    stated = sorted([*earlier, answer], key=lambda each: each.scanned_on)
    return {target.lesion: target.kind for target in (stated[0].targets if stated else ())}


def _measured(charter: Charter, endpoint: rules.Endpoint, target: Target, kind: str) -> Measured:
    name = cast(Literal["volume", "long_axis", "short_axis"], rules.MEASURE_OF[endpoint.criterion, kind])
    if target.state in _UNMEASURED:
        return Measured(name, None, endpoint.unit, "not_attempted")
    return Measured(name, Decimal(0) if target.state == "gone" else size_sum(target, endpoint.id), endpoint.unit)


def tracking_uid(task: Task, lesion: str) -> str:
    """One UID per lesion of a slot for the whole trial; both readers own a T01, and they are two lesions."""
    return derived_uid("lesion", task.trial, task.subject, task.slot, lesion)


def _group(
    task: Task, target: Target, measured: Sequence[Measured], origin: Literal["drawn", "accepted", "adjusted"],
    segment: tuple[str, int, str] = ("", 0, ""),
) -> LesionResult:  # fmt: skip
    return LesionResult(
        target.lesion, target.tracking_uid or tracking_uid(task, target.lesion), *segment, tuple(measured), origin
    )


def _proposed(task: Task, target: Target, measured: Measured, use: AiUse, segmentation: Dataset) -> LesionResult:
    source = str(segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID)
    origin: Literal["accepted", "adjusted"] = "accepted" if use.use == "accept" else "adjusted"
    return _group(task, target, (measured,), origin, (str(segmentation.SOPInstanceUID), 1, source))


def _time_point(session: Connection, charter: Charter, task: Task) -> TimePoint:
    points = trials.time_points_of(session, task.trial, task.subject)
    order = {each.time_point: number for number, each in enumerate(points, start=1)}
    scheduled = charter.time_point(task.time_point)
    kinds = {"baseline": "baseline", "eligibility": "eligibility", "follow_up": "posttreatment"}
    kind = kinds[scheduled.event] if scheduled else "unscheduled"
    label = scheduled.label if scheduled else task.time_point
    return TimePoint(label, kind, order.get(task.time_point, 1))


def _zone(offset: str) -> timezone:
    """A fixed offset such as +01:00."""
    instant = datetime.fromisoformat(f"2000-01-01T00:00:00{offset}")
    return timezone(instant.utcoffset() or timedelta(0))

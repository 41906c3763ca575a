"""The reads of a trial as the entries tell them: seals opened again, sums and responses derived again.

A seal is opened with the key and nonce of its `read.opened`, so everything here follows from the record alone. Sums
are added up here; responses come from the charter's criterion (core/reads/criteria), fed with the opened answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from core.errors import UnusableInput
from core.quantities import Quantity, rounded
from core.reads.criteria.answer import (
    Baseline,
    NewLesion,
    NonTargetLesion,
    NonTargetMark,
    TargetLesion,
    TargetMark,
    TimePointAnswer,
)
from core.reads.criteria.derived import Derived, SubjectResponse
from core.reads.rules import criterion_of, supersedes
from core.reads.sealing import Sealed, open_seal
from core.reads.state import SHADOW_SLOT
from core.trials.charter import Charter, RecistEndpoint, VolumetricEndpoint
from core.trials.charter_check import read_charter
from reports.book import Book, Line
from reports.recompute import CannotRecompute

Endpoint = RecistEndpoint | VolumetricEndpoint
# RECIST 1.1, 4.3.1: present but too small to measure counts 5 mm; a volume has no such convention.
TOO_SMALL = {"recist11": Decimal(5), "volumetric": Decimal(0)}


@dataclass(frozen=True, slots=True)
class Told:
    """One read: its beginning, its seal, and what was under it once it is open."""

    begun: Line
    sealed: Line | None
    opened: Line | None
    withdrawn: Line | None
    answer: Mapping[str, Any] | None
    # The entry by which this read counts no more: its slot went to another reader, it was ordered to be read again, or
    # a changed lock measured again what the AI had read.
    excluded: Line | None = None

    @property
    def subject(self) -> str:
        return str(self.begun.get("subject"))

    @property
    def time_point(self) -> str:
        return str(self.begun.get("time_point"))

    @property
    def slot(self) -> str:
        return str(self.begun.get("slot"))

    @property
    def assigned(self) -> str:
        return str(self.begun.get("assigned"))

    @property
    def left_course(self) -> bool:
        """Whether another read of the same slot stands in its place."""
        return self.excluded is not None and self.excluded.action in ("reread.ordered", "read.begun")

    @property
    def by_ai(self) -> bool:
        """A seal of a service is the model's read; a person's is signed with the person's key."""
        return self.sealed is not None and self.sealed.body["role"] == "service"

    def lines(self) -> list[Line]:
        """The entries it rests on, the deciding one first. Raises CannotRecompute where it is not open."""
        if self.sealed is None or self.opened is None:
            raise CannotRecompute(f"the read begun at entry {self.begun.seq} is not open.")
        return [self.sealed, self.opened, self.begun]


@dataclass(frozen=True, slots=True)
class Step:
    """One read within the course of a reader and subject, for one endpoint. `derived` is None at baseline."""

    told: Told
    burden: Decimal | None
    change: Decimal | None
    derived: Derived | None
    response: str


@dataclass(frozen=True, slots=True)
class Course:
    """All opened reads of one reader slot and subject for one endpoint, in order, and what follows from them."""

    subject: str
    slot: str
    assigned: str
    endpoint: Endpoint
    steps: tuple[Step, ...]
    best: SubjectResponse | None

    @property
    def counts(self) -> bool:
        """False for the course of a reader who was replaced: kept, and excluded by rule."""
        return all(step.told.excluded is None for step in self.steps)


def charter_of(book: Book, trial: str, version: str = "") -> Charter | None:
    """An approved charter of the range, read from its entry: of this version, else the newest; None without one."""
    key = ("charter", trial, version)
    if key not in book.memo:
        approved = [line for line in book.of("charter.approved") if line.body.get("trial") == trial
                    and version in ("", line.get("charter_version"))]
        signed = book.by_id(str(approved[-1].get("signed"))) if approved else None
        book.memo[key] = read_charter(str(signed.get("text"))) if signed is not None else None
    found: Charter | None = book.memo[key]
    return found


def reads_of(book: Book, trial: str) -> list[Told]:
    """Every read that was begun in the trial, in order. Raises RecordDamaged where a seal does not open."""
    key = ("reads", trial)
    if key not in book.memo:
        sealed = {str(line.get("assignment")): line for line in book.of("read.sealed")}
        opened = {str(line.get("sealed")): line for line in book.of("read.opened")}
        withdrawn = {str(line.get("assignment")): line for line in book.of("read.withdrawn")}
        book.memo[key] = [
            _told(line, sealed.get(line.id), opened, withdrawn.get(line.id), _excluding(book, trial, line))
            for line in book.of("read.begun")
            # A read in shadow counts nowhere and stands in no table (TRIAL 2).
            if line.body.get("trial") == trial and line.get("slot") != SHADOW_SLOT
        ]
    found: list[Told] = book.memo[key]
    return found


def _excluding(book: Book, trial: str, begun: Line) -> Line | None:
    for order in book.of("reread.ordered"):
        if order.body.get("trial") == trial and supersedes(order.fields, order.seq, begun.fields, begun.seq):
            return order
    again = [line for line in book.of("read.begun") if line.get("supersedes") == begun.id]
    withdrawn = {str(line.get("assignment")) for line in book.of("read.withdrawn")}
    if again and again[-1].id not in withdrawn:
        return again[-1]
    holders = [line for line in book.of("read.assigned") if line.body.get("trial") == trial
               and (line.get("subject"), line.get("slot")) == (begun.get("subject"), begun.get("slot"))]
    return holders[-1] if holders and holders[-1].id != begun.get("assigned") else None


def _told(
    begun: Line, sealed: Line | None, opened: Mapping[str, Line], withdrawn: Line | None, excluded: Line | None
) -> Told:
    key = opened.get(sealed.id) if sealed is not None else None
    answer = None
    if sealed is not None and key is not None:
        seal = Sealed(sealed.get("commit"), sealed.get("iv"), sealed.get("ct"))
        answer = json.loads(open_seal(seal, key=key.get("key"), nonce=key.get("nonce")))["answer"]
    return Told(begun, sealed, key, withdrawn, answer, excluded)


def read_at(book: Book, seq: int) -> Told:
    """The opened read whose seal is entry `seq`. Raises CannotRecompute."""
    trial = str(book.line(seq).body.get("trial"))
    key = ("reads by seal", trial)
    if key not in book.memo:
        book.memo[key] = {t.sealed.seq: t for t in reads_of(book, trial) if t.sealed is not None}
    told: Told | None = book.memo[key].get(seq)
    if told is None or told.answer is None:
        raise CannotRecompute(f"entry {seq} is no opened read.")
    return told


def burden_of(answer: Mapping[str, Any], endpoint: str, criterion_id: str) -> Decimal | None:
    """Sum of the targets' sizes in the endpoint's unit; None where one has no value, or there are no targets.

    Measured: its sizes together (fragments add up). Gone, or merged into another: 0. Too small: by convention.
    """
    if endpoint in answer.get("not_evaluable", {}) or not answer.get("targets"):
        return None
    total = Decimal(0)
    for target in answer["targets"]:
        if target["state"] == "measured":
            total += sum((Quantity.read(text).value for text in target["sizes"][endpoint]), Decimal(0))
        elif target["state"] == "too_small":
            total += TOO_SMALL[criterion_id]
        elif target["state"] not in ("gone", "merged"):
            return None
    return total


def change_percent(now: Decimal, then: Decimal) -> Decimal | None:
    """Change from `then` in percent, one decimal, half to even; None where there was nothing."""
    return rounded((now - then) * 100 / then) if then else None


def courses_of(book: Book, trial: str) -> list[Course]:
    """Every course of the trial: by subject, slot and endpoint, in the order of their first read."""
    key = ("courses", trial)
    if key not in book.memo:
        newest = charter_of(book, trial)
        # What was read or measured again is kept, and no part of the course; the course of a reader who was replaced
        # stays, as one that does not count.
        opened = [told for told in reads_of(book, trial) if told.answer is not None and not told.left_course]
        slots = list(dict.fromkeys((told.subject, told.slot, told.assigned) for told in opened))
        book.memo[key] = [
            _course(mine, endpoint, charter_of(book, trial, str(mine[-1].begun.get("charter_version"))) or newest)
            for mine in ([t for t in opened if (t.subject, t.slot, t.assigned) == slot] for slot in slots)
            for endpoint in newest.endpoints
        ] if newest is not None else []
    found: list[Course] = book.memo[key]
    return found


def step_at(book: Book, told: Told, endpoint: str) -> tuple[Course, Step]:
    """The step of a course that a read is, for an endpoint. Raises CannotRecompute where it belongs to none."""
    trial = str(told.begun.body.get("trial"))
    key = ("steps", trial)
    if key not in book.memo:
        book.memo[key] = {(step.told.begun.seq, course.endpoint.id): (course, step)
                          for course in courses_of(book, trial) for step in course.steps}
    found: tuple[Course, Step] | None = book.memo[key].get((told.begun.seq, endpoint))
    if found is None:
        raise CannotRecompute(f"the read begun at entry {told.begun.seq} belongs to no course of {endpoint}.")
    return found


def _course(reads: list[Told], endpoint: Endpoint, charter: Charter) -> Course:
    rules = criterion_of(charter, endpoint)
    state, first, steps, derivations = None, None, [], []
    reference_on = None
    for told in sorted(reads, key=lambda one: (str(one.answer and one.answer["scanned_on"]), one.begun.seq)):
        answer = told.answer
        assert answer is not None
        burden = burden_of(answer, endpoint.id, endpoint.criterion)
        scheduled = charter.time_point(told.time_point)
        if scheduled is not None and scheduled.event == "baseline":
            evaluable = endpoint.id not in answer.get("not_evaluable", {})
            state = rules.start(_baseline(answer, endpoint)) if evaluable else None
            first, reference_on = burden, date.fromisoformat(answer["scanned_on"])
            steps.append(Step(told, burden, None, None, ""))
        elif state is None:
            steps.append(Step(told, burden, None, None, "NE"))
        else:
            derived = rules.timepoint(state, _time_point(answer, endpoint))
            if derived.sum != burden:
                raise CannotRecompute(f"entry {told.begun.seq}: sums differ, {derived.sum} and {burden}.")
            state = derived.state
            derivations.append(derived)
            change = change_percent(burden, first) if burden is not None and first is not None else None
            steps.append(Step(told, burden, change, derived, str(derived.status.value)))
    best = rules.subject(derivations, reference_on=reference_on) if derivations and reference_on else None
    return Course(reads[0].subject, reads[0].slot, reads[0].assigned, endpoint, tuple(steps), best)


def _size(text: str, unit: str) -> Decimal:
    quantity = Quantity.read(text)
    if quantity.unit != unit:
        raise UnusableInput(f"{text!r} is not in {unit}.")
    return quantity.value


def _baseline(answer: Mapping[str, Any], endpoint: Endpoint) -> Baseline:
    on = date.fromisoformat(answer["scanned_on"])
    return Baseline(
        answer["time_point"], on, on,
        tuple(
            TargetLesion(t["lesion"], t["location"], t["kind"], _size(t["sizes"][endpoint.id][0], endpoint.unit),
                         t["modality"], _size(t["slice_mm"], "mm"), t.get("unmeasurable", ""))
            for t in answer["targets"]
        ),
        tuple(NonTargetLesion(n["lesion"], n["location"], n["kind"]) for n in answer["non_targets"]),
    )


def _time_point(answer: Mapping[str, Any], endpoint: Endpoint) -> TimePointAnswer:
    on = date.fromisoformat(answer["scanned_on"])
    reason = answer.get("not_evaluable", {}).get(endpoint.id, "")
    if reason:
        return TimePointAnswer(answer["time_point"], on, on, not_evaluable=reason)
    return TimePointAnswer(
        answer["time_point"], on, on,
        tuple(
            TargetMark(t["lesion"], t["state"],
                       tuple(_size(text, endpoint.unit) for text in t["sizes"].get(endpoint.id, ())),
                       t.get("merged_with", ""))
            for t in answer["targets"]
        ),
        tuple(NonTargetMark(n["lesion"], n["state"], n.get("reason", "")) for n in answer["non_targets"]),
        tuple(NewLesion(n["lesion"], n["location"], n["state"]) for n in answer["new_lesions"]),
    )


def accepted_reads(book: Book, trial: str) -> dict[tuple[str, str], tuple[Line, Told | None]]:
    """For each (subject, time point) the entry that makes a read the accepted one, and that read.

    The human-signed final, else the adjudicator's choice, else the comparison that fired no trigger: then it is
    reader 1's. Nothing is accepted while a difference awaits the adjudicator.
    """
    by_seal = {told.sealed.id: told for told in reads_of(book, trial) if told.sealed is not None}
    found: dict[tuple[str, str], tuple[Line, Told | None]] = {}
    for line in book.of("read.compared", "read.adjudicated", "read.signed"):
        if line.body.get("trial") != trial or not line.get("time_point"):
            continue
        key = (str(line.get("subject")), str(line.get("time_point")))
        if line.action == "read.compared":
            found.pop(key, None)
            first = [by_seal[s] for s in line.get("sealed") if s in by_seal and by_seal[s].slot == "reader_1"]
            if not line.get("fired") and first:
                found[key] = (line, first[0])
        else:
            chosen = by_seal.get(str(line.get("chosen" if line.action == "read.adjudicated" else "accepted")))
            found[key] = (line, chosen)
    return found

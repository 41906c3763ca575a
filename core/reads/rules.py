"""Rules of reads, pure: criteria of a charter, courses of a reader, triggers that fire, blind labels, case order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from core.errors import UnusableInput
from core.quantities import Quantity
from core.reads import disagreement
from core.reads.answer import Answer, as_baseline, as_time_point, coding_problems
from core.reads.criteria import CRITERIA, criterion
from core.reads.criteria.answer import Baseline
from core.reads.criteria.derived import Criterion, Derived
from core.reads.criteria.organs import is_seed
from core.reads.disagreement import Course, Fired, Trigger
from core.trials.charter import Charter, RecistEndpoint, VolumetricEndpoint

Endpoint = RecistEndpoint | VolumetricEndpoint
#: Names of run values that measure what an endpoint's criterion sums, by kind of lesion.
MEASURE_OF = {
    ("recist11", "extranodal"): "long_axis",
    ("recist11", "nodal"): "short_axis",
    ("volumetric", "extranodal"): "volume",
    ("volumetric", "nodal"): "volume",
}


def options_of(charter: Charter, endpoint: Endpoint) -> dict[str, object]:
    """The options of an endpoint's criterion exactly as the charter states them."""
    return endpoint.options.model_dump() | {
        "max_target_lesions": charter.reading.max_target_lesions,
        "max_per_organ": charter.reading.max_per_organ,
    }


def criterion_of(charter: Charter, endpoint: Endpoint) -> Criterion:
    """The endpoint's criterion with its options bound. Raises OptionsUnstated."""
    return criterion(endpoint.criterion, CRITERIA[endpoint.criterion].version, options_of(charter, endpoint))


def units_of(charter: Charter) -> dict[str, str]:
    """Unit by endpoint."""
    return {each.id: each.unit for each in charter.endpoints}


def rounding_of(endpoint: Endpoint) -> Decimal:
    """The entry precision of an endpoint, in its unit."""
    return endpoint.options.rounding_mm if isinstance(endpoint, RecistEndpoint) else endpoint.options.rounding_ml


def entered(value: Decimal, endpoint: Endpoint) -> Decimal:
    """A measured value at the entry precision, half to even: rounded once, here."""
    step = rounding_of(endpoint)
    return (value / step).quantize(Decimal(1), rounding=ROUND_HALF_EVEN) * step


def ai_value_in(endpoint: Endpoint, text: str) -> Decimal | None:
    """An AI value in the endpoint's unit at its entry precision; None where it measures something else."""
    quantity = Quantity.read(text)
    if quantity.unit == endpoint.unit:
        return entered(quantity.value, endpoint)
    if (quantity.unit, endpoint.unit) == ("mm3", "ml"):
        return entered(quantity.value / 1000, endpoint)
    return None


def triggers_of(charter: Charter) -> tuple[Trigger, ...]:
    """The charter's adjudication triggers."""
    return tuple(
        Trigger(each.id, each.endpoint, each.kind, each.limit, each.unit) for each in charter.adjudication.triggers
    )


def is_baseline(charter: Charter, time_point: str) -> bool:
    """Whether the charter calls this time point the baseline."""
    scheduled = charter.time_point(time_point)
    return scheduled is not None and scheduled.event == "baseline"


def decimal_of(text: str) -> Decimal:
    """A finite decimal from text. Raises UnusableInput."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise UnusableInput(f"{text!r} is no decimal number.") from error
    if not number.is_finite():
        raise UnusableInput(f"{text!r} is no decimal number.")
    return number


# One reader's course


def baseline_of(charter: Charter, endpoint: Endpoint, answers: Iterable[Answer]) -> Baseline | None:
    """The baseline among a reader's answers; None where it was not read or not evaluable for this endpoint."""
    first = next((each for each in answers if is_baseline(charter, each.time_point)), None)
    return None if first is None else as_baseline(first, endpoint.id, endpoint.unit)


def course(
    charter: Charter, endpoint: Endpoint, answers: Sequence[Answer], *, new_therapy_on: date | None = None
) -> Course:
    """One reader's responses for an endpoint, derived anew from the answers.

    Without an evaluable baseline there is no response at any time point. Durations count from the date of the
    baseline images.

    Args:
        answers: of one reader and subject, in any order; those before the baseline are not part of the course.
    """
    rules = criterion_of(charter, endpoint)
    baseline = baseline_of(charter, endpoint, answers)
    if baseline is None:
        return Course((), rules.subject([], reference_on=date.min))
    state, derived = rules.start(baseline), list[Derived]()
    for answer in sorted(answers, key=lambda each: each.scanned_on):
        if answer.scanned_on > baseline.last_scan_on:
            derived.append(rules.timepoint(state, as_time_point(answer, endpoint.id, endpoint.unit)))
            state = derived[-1].state
    subject = rules.subject(derived, reference_on=baseline.last_scan_on, new_therapy_on=new_therapy_on)
    return Course(tuple(derived), subject)


def answer_problems(
    charter: Charter, answer: Answer, earlier: Sequence[Answer], *, by_ai: bool = False
) -> list[str]:
    """Everything that keeps an answer from being locked: codes, sizes, marks against the reader's own baseline."""
    wrong = coding_problems(answer, (each.id for each in charter.endpoints))
    if not by_ai:
        # Else any number of targets in one organ could pass as places of their own.
        seeded = [each for each in answer.targets if is_seed(each.location)]
        wrong += [f"target {each.lesion}: {each.location!r} names no organ" for each in seeded]
    for endpoint in charter.endpoints:
        try:
            course(charter, endpoint, [*earlier, answer])
        except UnusableInput as problem:
            wrong.append(f"{endpoint.id}: {problem.fact}")
    return wrong


# Comparison


def fired_at(charter: Charter, by_slot: Mapping[str, Sequence[Answer]], time_point: str) -> list[Fired]:
    """Triggers that two readers' answers at a time point fire, each once.

    Args:
        by_slot: each human slot's answers up to and including this time point.
    """
    triggers, fired = triggers_of(charter), list[Fired]()
    for one, other in disagreement.pairs(sorted(by_slot)):
        for endpoint in charter.endpoints:
            if is_baseline(charter, time_point):
                sums = [_baseline_sum(charter, endpoint, by_slot[slot]) for slot in (one, other)]
                fired += disagreement.baseline_difference(triggers, endpoint.id, *sums)
            else:
                derived = [_at(course(charter, endpoint, by_slot[slot]), time_point) for slot in (one, other)]
                fired += disagreement.at_time_point(triggers, endpoint.id, *derived)
    return list(dict.fromkeys(fired))


def fired_over(charter: Charter, by_slot: Mapping[str, Sequence[Answer]]) -> list[Fired]:
    """Triggers that two readers' whole courses fire, each once."""
    triggers, fired = triggers_of(charter), list[Fired]()
    for one, other in disagreement.pairs(sorted(by_slot)):
        for endpoint in charter.endpoints:
            courses = [course(charter, endpoint, by_slot[slot]) for slot in (one, other)]
            fired += disagreement.over_course(triggers, endpoint.id, *courses)
    return list(dict.fromkeys(fired))


def has_course_triggers(charter: Charter) -> bool:
    """Whether the charter asks to compare whole courses."""
    return any(each.kind not in disagreement.AT_TIME_POINT for each in triggers_of(charter))


def _at(found: Course, time_point: str) -> Derived | None:
    return next((each for each in found.timepoints if each.time_point == time_point), None)


def _baseline_sum(charter: Charter, endpoint: Endpoint, answers: Iterable[Answer]) -> Decimal | None:
    baseline = baseline_of(charter, endpoint, answers)
    return None if baseline is None else sum((each.size for each in baseline.targets), Decimal(0))


# Reading again


def supersedes(order: Mapping[str, Any], order_seq: int, begun: Mapping[str, Any], begun_seq: int) -> bool:
    """Whether a `reread.ordered` covers a `read.begun`, both by their fields and entry numbers: the same subject and
    slot, begun before the order, at its time point or, with `from_here`, acquired on its date or later."""
    here = order["time_point"] == begun["time_point"]
    later = order["scope"] == "from_here" and begun["on"] >= order["on"]
    same = (order["subject"], order["slot"]) == (begun["subject"], begun["slot"])
    return same and order_seq > begun_seq and (here or later)


# Blinding and order


def blind_labels(compared: str, sealed: Iterable[str]) -> dict[str, str]:
    """Letters for reads before the adjudicator: the order is that of a digest and tells nothing of who read."""
    ordered = sorted(sealed, key=lambda each: hashlib.sha256(f"{compared}/{each}".encode()).digest())
    return {chr(ord("A") + number): each for number, each in enumerate(ordered)}


def case_order(trial: str, reader: str, subjects: Iterable[str]) -> list[str]:
    """The order in which a reader is given subjects: random to people, the same each time, another for each reader."""
    return sorted(subjects, key=lambda each: hashlib.sha256(f"{trial}/{reader}/{each}".encode()).digest())

"""When two locked reads differ so much that the charter calls the adjudicator: typed triggers, pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from core.errors import UnusableInput
from core.reads.criteria.derived import Derived, Response, SubjectResponse

TriggerKind = Literal[
    "time_point_response",
    "best_overall_response",
    "progression",
    "progression_date",
    "first_response_date",
    "burden_difference",
    "volume_difference",
    "new_lesion",
]
#: Judged at each time point; the others need the whole course of a subject.
AT_TIME_POINT = frozenset(
    {"time_point_response", "progression", "burden_difference", "volume_difference", "new_lesion"}
)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger of the charter. `limit` is exceeded, not reached; `unit` is %, mm, ml or days."""

    id: str
    endpoint: str
    kind: TriggerKind
    limit: Decimal | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Fired:
    """A trigger that fired, and in which words: never the values, which only those who may see reads see."""

    trigger: str
    endpoint: str
    kind: str


@dataclass(frozen=True, slots=True)
class Course:
    """One reader's derived responses of a subject so far, in order of dates, and what follows from them."""

    timepoints: tuple[Derived, ...]
    subject: SubjectResponse

    @property
    def last(self) -> Derived | None:
        return self.timepoints[-1] if self.timepoints else None


def at_time_point(
    triggers: Iterable[Trigger], endpoint: str, one: Derived | None, other: Derived | None
) -> list[Fired]:
    """Triggers of an endpoint that two readers' responses at one time point fire.

    A reader without an evaluable baseline has no response (None): that differs from any response.
    """
    return [
        Fired(each.id, endpoint, each.kind)
        for each in triggers
        if each.endpoint == endpoint and each.kind in AT_TIME_POINT and _AT_TIME_POINT[each.kind](each, one, other)
    ]


def over_course(triggers: Iterable[Trigger], endpoint: str, one: Course, other: Course) -> list[Fired]:
    """Triggers of an endpoint that two whole courses of a subject fire."""
    return [
        Fired(each.id, endpoint, each.kind)
        for each in triggers
        if each.endpoint == endpoint and each.kind not in AT_TIME_POINT and _OVER_COURSE[each.kind](each, one, other)
    ]


def baseline_difference(
    triggers: Iterable[Trigger], endpoint: str, one: Decimal | None, other: Decimal | None
) -> list[Fired]:
    """Triggers on sums that the baselines fire: there is no response yet, but there is a burden."""
    return [
        Fired(each.id, endpoint, each.kind)
        for each in triggers
        if each.endpoint == endpoint
        and each.kind in ("burden_difference", "volume_difference")
        and sums_differ(each, one, other)
    ]


def sums_differ(trigger: Trigger, one: Decimal | None, other: Decimal | None) -> bool:
    """Whether two sums lie further apart than the limit; a percentage is of their mean, compared exactly.

    Two missing sums do not differ; one missing does.
    """
    if trigger.limit is None or trigger.unit is None:
        raise UnusableInput(f"Trigger {trigger.id} needs a limit and a unit.")
    if one is None or other is None:
        return (one is None) != (other is None)
    apart = abs(one - other)
    if trigger.unit == "%":
        # apart / ((one + other) / 2) > limit / 100, without dividing.
        return apart * 200 > trigger.limit * (one + other)
    return apart > trigger.limit


def _response_differs(trigger: Trigger, one: Derived | None, other: Derived | None) -> bool:
    return _status(one) != _status(other)


def _progression_differs(trigger: Trigger, one: Derived | None, other: Derived | None) -> bool:
    return (_status(one) is Response.PD) != (_status(other) is Response.PD)


def _new_lesion_differs(trigger: Trigger, one: Derived | None, other: Derived | None) -> bool:
    return _new(one) != _new(other)


def _burden_differs(trigger: Trigger, one: Derived | None, other: Derived | None) -> bool:
    return sums_differ(trigger, one.sum if one else None, other.sum if other else None)


def _status(derived: Derived | None) -> Response:
    return derived.status if derived else Response.NE


def _new(derived: Derived | None) -> bool:
    return derived is not None and derived.new_lesion == "unequivocal"


def _dates_differ(trigger: Trigger, one: date | None, other: date | None) -> bool:
    """Both progressed (or responded) on days further apart than the limit; one alone differs, too."""
    if one is None or other is None:
        return (one is None) != (other is None)
    if trigger.limit is None or trigger.unit != "days":
        raise UnusableInput(f"Trigger {trigger.id} needs a limit in days.")
    return abs((one - other).days) > trigger.limit


def _best_differs(trigger: Trigger, one: Course, other: Course) -> bool:
    return one.subject.best is not other.subject.best


def _progression_date_differs(trigger: Trigger, one: Course, other: Course) -> bool:
    return _dates_differ(trigger, one.subject.progression_on, other.subject.progression_on)


def _response_date_differs(trigger: Trigger, one: Course, other: Course) -> bool:
    return _dates_differ(trigger, one.subject.response_on, other.subject.response_on)


_AT_TIME_POINT: dict[str, Callable[[Trigger, Derived | None, Derived | None], bool]] = {
    "time_point_response": _response_differs,
    "progression": _progression_differs,
    "burden_difference": _burden_differs,
    "volume_difference": _burden_differs,
    "new_lesion": _new_lesion_differs,
}
_OVER_COURSE: dict[str, Callable[[Trigger, Course, Course], bool]] = {
    "best_overall_response": _best_differs,
    "progression_date": _progression_date_differs,
    "first_response_date": _response_date_differs,
}


def pairs(slots: Sequence[str]) -> list[tuple[str, str]]:
    """Every two of the human slots, each once: with three readers each pair is compared."""
    return [(one, other) for index, one in enumerate(slots) for other in slots[index + 1 :]]

"""What makes an audit-trail review one: how samples are drawn, what may be concluded, when the next is due. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

USUAL_SAMPLES, MOST_SAMPLES = 25, 500
CATEGORIES = ("attributable", "legible", "contemporaneous", "original", "accurate", "complete", "access", "other")
GRADES = ("minor", "major", "critical")
CONCLUSIONS = ("in_order", "in_order_with_findings", "not_in_order")
LONGEST_TEXT = 2_000
MOST_FINDINGS = 50
_DOMAIN = b"countersign-sample/1\x00"


def rank(seed: str, seq: int) -> bytes:
    """Where an entry stands in the draw: SHA-256(`countersign-sample/1` 00 seed 00 number, in ASCII)."""
    return hashlib.sha256(_DOMAIN + seed.encode() + b"\x00" + str(seq).encode()).digest()


def draw(seed: str, numbers: Iterable[int], many: int) -> tuple[int, ...]:
    """The `many` entries that rank lowest, in the order of the record; all where there are fewer.

    The same for whoever draws again, in whatever order the entries come; an entry's chance does not depend on others.
    """
    return tuple(sorted(heapq.nsmallest(many, numbers, key=lambda seq: rank(seed, seq))))


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as typed."""

    entry: int
    category: str
    grade: str
    says: str


def wrong_with(findings: Sequence[Found], conclusion: str, statement: str, first: int, last: int) -> str | None:
    """Why a review cannot be concluded like this, None where it can."""
    if conclusion not in CONCLUSIONS:
        return f"{conclusion!r} is no conclusion; there are {', '.join(CONCLUSIONS)}."
    if not 1 <= len(statement.strip()) <= LONGEST_TEXT:
        return f"A review ends with a statement in words, at most {LONGEST_TEXT} characters."
    if len(findings) > MOST_FINDINGS:
        return f"One review holds at most {MOST_FINDINGS} findings; open a further one."
    for one in findings:
        if one.category not in CATEGORIES:
            return f"{one.category!r} is no category; there are {', '.join(CATEGORIES)}."
        if one.grade not in GRADES:
            return f"{one.grade!r} is no grade; there are {', '.join(GRADES)}."
        if not first <= one.entry <= last:
            return f"Entry {one.entry} is outside the range of this review, {first} to {last}."
        if not 1 <= len(one.says.strip()) <= LONGEST_TEXT:
            return f"The finding about entry {one.entry} needs words, at most {LONGEST_TEXT} characters."
    fitting = _conclusion_of({one.grade for one in findings})
    if conclusion not in fitting:
        return f"With these findings the conclusion is {' or '.join(fitting)}, not {conclusion}."
    return None


def _conclusion_of(grades: set[str]) -> tuple[str, ...]:
    if "critical" in grades:
        return ("not_in_order",)
    return ("in_order_with_findings", "not_in_order") if grades else ("in_order",)


@dataclass(frozen=True, slots=True)
class Due:
    """When the trail of a trial is to be reviewed again. Days are whole days of UTC.

    `covered_to`: the day up to which the last regular review looked, or the trial's first day live. `entry` shows it.
    """

    trial: str
    covered_to: date
    interval_days: int
    limit_days: int
    entry: int

    @property
    def on(self) -> date:
        return self.covered_to + timedelta(days=self.interval_days)

    def overdue_days(self, today: date) -> int:
        """Days beyond the day it was due; 0 where it is not overdue."""
        return max(0, (today - self.on).days)

    def suspends(self, today: date) -> bool:
        """Beyond the limit AI stops in uses 3 and 4 (TRIAL 2)."""
        return self.overdue_days(today) > self.limit_days

    def in_words(self, today: date) -> str:
        late = self.overdue_days(today)
        if not late:
            return f"The audit trail of {self.trial} is reviewed to {self.covered_to}; the next is due by {self.on}."
        return (f"The audit-trail review of {self.trial} was due by {self.on}, {late} days ago; after "
                f"{self.limit_days} days AI is suspended in uses 3 and 4.")

"""Rules of cuts and of the sealed allocation, pure: what a cut lists, how two differ, how an allocation is written."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import UnusableInput

KINDS = ("interim", "final")
UNLOCK_REASONS = ("error_found", "late_data", "request_of_authority", "other")
RELEASE_REASONS = ("error_found", "late_data", "query_raised", "other")
ALLOCATION_FORMAT = "countersign-allocation/1"
#: Hexadecimal digits of the random first line: without it the digest of a short list could be found by trying.
NONCE_DIGITS = 64
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, order=True)
class CutLine:
    """A subject (`time_point` empty) or one of its time points, as a cut lists it.

    `final` is the id of the signed final of the time point, empty where there is none.
    """

    subject: str
    time_point: str
    state: str
    acquired_on: str = ""
    final: str = ""


def listing_text(lines: Sequence[CutLine]) -> str:
    """The listing as it is stored and digested: one JSON array a line, sorted, so that equal data are equal bytes."""
    return "".join(
        json.dumps([one.subject, one.time_point, one.state, one.acquired_on, one.final]) + "\n" for one in sorted(lines)
    )


def read_listing(text: str) -> tuple[CutLine, ...]:
    """Reverse of `listing_text`."""
    return tuple(CutLine(*json.loads(line)) for line in text.splitlines())


def digest_of(text: str) -> str:
    """SHA-256 in hex of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def differing(before: Sequence[CutLine], now: Sequence[CutLine]) -> int:
    """How many subjects and time points are new, gone or different between two cuts."""
    old, new = ({(one.subject, one.time_point): one for one in lines} for lines in (before, now))
    return sum(old.get(key) != new.get(key) for key in old.keys() | new.keys())


def belongs(until: str, acquired_on: str | None, target_on: str | None) -> bool:
    """Whether a time point belongs to a cut of images until a day (ISO): acquired by then, or expected by then."""
    day = acquired_on or target_on
    return day is not None and day <= until


@dataclass(frozen=True, slots=True)
class Allocation:
    """Arm by subject, as the sealed file of a trial says."""

    trial: str
    arms: Mapping[str, str]


def sealed_allocation(trial: str, rows: str, nonce: str) -> str:
    """The text of a sealed allocation from CSV rows `subject,arm`. Raises UnusableInput naming the line, never an arm.

    Args:
        nonce: NONCE_DIGITS random hexadecimal digits.
    """
    text = f"{ALLOCATION_FORMAT} {trial} {nonce}\nsubject,arm\n" + "".join(
        f"{','.join(part.strip() for part in row)}\n" for row in csv.reader(rows.splitlines())
        if row and [part.strip() for part in row] != ["subject", "arm"])
    read_allocation(text)
    return text


def read_allocation(text: str) -> Allocation:
    """Read a sealed allocation. Raises UnusableInput naming the line; no message tells an arm."""
    lines = text.split("\n")
    head = lines[0].split(" ")
    if len(head) != 3 or head[0] != ALLOCATION_FORMAT or not re.fullmatch(f"[0-9a-f]{{{NONCE_DIGITS}}}", head[2]):
        raise UnusableInput(
            f"Line 1 is not `{ALLOCATION_FORMAT} TRIAL NONCE`, the nonce of {NONCE_DIGITS} hexadecimal digits.",
            next_step="Write the file with `countersign allocation seal TRIAL ROWS.csv FILE`.")
    if lines[1:2] != ["subject,arm"] or lines[-1] != "":
        raise UnusableInput("Line 2 is not `subject,arm`, or the last line is not ended.")
    arms: dict[str, str] = {}
    for number, line in enumerate(lines[2:-1], 3):
        parts = line.split(",")
        if len(parts) != 2 or not all(_CODE.fullmatch(part) for part in parts):
            raise UnusableInput(f"Line {number} is not one subject and one arm.")
        if parts[0] in arms:
            raise UnusableInput(f"Line {number} names a subject a second time.")
        arms[parts[0]] = parts[1]
    if not arms:
        raise UnusableInput("The allocation names no subject.")
    return Allocation(head[1], arms)


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm of a cut: subjects, and time points by state."""

    arm: str
    subjects: int
    time_points: int
    by_state: tuple[tuple[str, int], ...]
    finals: int


NOT_ALLOCATED = "not allocated"


def by_arm(lines: Sequence[CutLine], allocation: Allocation) -> tuple[ArmRow, ...]:
    """A cut counted by arm; every line of it is counted exactly once."""
    arm_of = {one.subject: allocation.arms.get(one.subject, NOT_ALLOCATED) for one in lines}
    rows = []
    for arm in sorted(set(arm_of.values())):
        mine = [one for one in lines if arm_of[one.subject] == arm]
        points = [one for one in mine if one.time_point]
        rows.append(ArmRow(
            arm, len(mine) - len(points), len(points), tuple(sorted(Counter(one.state for one in points).items())),
            sum(bool(one.final) for one in points)))
    return tuple(rows)

"""How trial, site, subject and time point live: `(state, word) -> state`, and which time points are expected when.

Pure: no session, no clock. A pair that a table lacks is a word out of order (TRIAL 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from core.errors import Refused
from core.trials.charter import Charter, TimePoint

Lifecycle = Mapping[tuple[str | None, str], str]

TRIAL: Lifecycle = {
    (None, "trial.created"): "set_up",
    ("set_up", "charter.signed"): "set_up",
    ("set_up", "trial.activated"): "live",
    ("live", "database.soft_locked"): "soft_locked",
    ("soft_locked", "database.soft_lock_released"): "live",
    ("soft_locked", "database.locked"): "locked",
    ("locked", "database.unlocked"): "live",
    ("locked", "trial.closed"): "closed",
}

CUT: Lifecycle = {
    (None, "cut.frozen"): "frozen",
    ("frozen", "database.soft_locked"): "soft_locked",
    # What changes after a release is in no cut yet; another one is frozen.
    ("soft_locked", "database.soft_lock_released"): "withdrawn",
    ("soft_locked", "database.lock_signed"): "soft_locked",
    ("soft_locked", "database.locked"): "locked",
    ("locked", "database.unlock_requested"): "locked",
    ("locked", "database.unlocked"): "unlocked",
}

ALLOCATION: Lifecycle = {
    (None, "randomisation.declared"): "declared",
    ("declared", "allocation.imported"): "imported",
    ("imported", "unblinding.done"): "unblinded",
}

SITE: Lifecycle = {
    (None, "site.selected"): "selected",
    ("selected", "site.trained"): "trained",
    ("trained", "scanner.qualified"): "equipment_qualified",
    ("equipment_qualified", "scanner.qualified"): "equipment_qualified",
    ("equipment_qualified", "site.activated"): "activated",
    ("activated", "scanner.qualified"): "activated",
    # Activation is per protocol version; a later version activates again (TRIAL 3).
    ("activated", "site.activated"): "activated",
    **{(state, "site.closed"): "closed" for state in ("selected", "trained", "equipment_qualified", "activated")},
}

_ENDINGS = {"subject.withdrawn": "withdrawn", "subject.lost": "lost", "subject.died": "died"}

SUBJECT: Lifecycle = {
    (None, "subject.pre_screened"): "pre_screened",
    (None, "subject.screened"): "screened",
    ("pre_screened", "subject.screened"): "screened",
    ("pre_screened", "subject.screen_failed"): "screen_failed",
    ("screened", "subject.screen_failed"): "screen_failed",
    ("screened", "subject.enrolled"): "enrolled",
    ("enrolled", "subject.started"): "on_study",
    ("on_study", "subject.off_treatment"): "off_treatment",
    ("on_study", "subject.completed"): "completed",
    ("off_treatment", "subject.completed"): "completed",
    **{(state, word): end for state in ("screened", "enrolled", "on_study", "off_treatment")
       for word, end in _ENDINGS.items()},
}
ENDED = frozenset({"screen_failed", "completed", "withdrawn", "lost", "died"})

# `due` and `overdue` are what `expected` looks like on a date (`expectation_on`); no word makes them. Nor has `frozen`
# an entry of its own: TRIAL 3 freezes the cut, which lists every time point by digest, and four persons sign its lock,
# so `database.locked` is that entry for all of them at once. An entry each would say the same again, unsigned, and
# `database.unlocked` would have to take every one of them back (`standing_in`).
_OPEN = ("expected", "received", "in_qc", "ready", "in_read")
TIME_POINT: Lifecycle = {
    (None, "time_point.expected"): "expected",
    (None, "time_point.unscheduled"): "received",
    ("expected", "time_point.received"): "received",
    ("expected", "time_point.rescheduled"): "expected",
    **{(state, "time_point.received"): state for state in ("received", "in_qc", "ready", "in_read")},
    ("received", "time_point.checked"): "in_qc",
    ("received", "time_point.ready"): "ready",
    ("in_qc", "time_point.ready"): "ready",
    # A further series, or an acceptance taken back before any read, puts it back into quality control.
    ("ready", "time_point.checked"): "in_qc",
    ("ready", "time_point.read_opened"): "in_read",
    ("in_read", "time_point.read"): "read",
    ("read", "time_point.adjudicated"): "adjudicated",
    **{(state, "time_point.missed"): "missed" for state in ("expected",)},
    **{(state, "time_point.not_evaluable"): "not_evaluable" for state in _OPEN},
    # An unscheduled one that a correction left without images; it exists again when images of that day come.
    **{(state, "time_point.superseded"): "superseded"
       for state in (*_OPEN, "read", "adjudicated", "missed", "not_evaluable")},
    ("superseded", "time_point.received"): "received",
    # A correction (TRIAL 3): images came or went, so quality control looks again; without any it is expected anew.
    **{(state, "time_point.corrected"): "in_qc"
       for state in ("received", "in_qc", "ready", "in_read", "read", "adjudicated", "not_evaluable")},
    **{(state, "time_point.emptied"): "expected"
       for state in ("received", "in_qc", "ready", "in_read", "read", "adjudicated", "not_evaluable")},
    **{(state, "time_point.kept"): "read" for state in ("received", "in_qc", "ready", "in_read")},
    # A late scan of a time point once declared missed is received; the signed reason stays on record.
    ("missed", "time_point.received"): "received",
    ("not_evaluable", "time_point.received"): "received",
}

LIFECYCLES = {
    "trial": TRIAL, "site": SITE, "subject": SUBJECT, "time point": TIME_POINT, "cut": CUT, "allocation of": ALLOCATION,
}


def next_state(lifecycle: Lifecycle, state: str | None, word: str) -> str | None:
    """The state after a word; None when the word does not fit here."""
    return lifecycle.get((state, word))


def follow(kind: str, name: str, state: str | None, word: str) -> str:
    """The state after a word.

    Raises:
        Refused: the word does not fit this state; the sentence says which would.
    """
    lifecycle = LIFECYCLES[kind]
    after = lifecycle.get((state, word))
    if after is None:
        fitting = sorted(one for (before, one) in lifecycle if before == state)
        where = f"is {state.replace('_', ' ')}" if state else "does not exist"
        possible = f" Possible now: {', '.join(fitting)}." if fitting else " Nothing follows from here."
        raise Refused(f"{kind.capitalize()} {name} {where}; {word} does not follow.{possible}", rule="F-201")
    return after


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """What an amended schedule means for the time points of a subject that have not come yet."""

    moved: tuple[ExpectedTimePoint, ...]
    new: tuple[ExpectedTimePoint, ...]
    dropped: tuple[str, ...]


def rescheduled(
    known: Mapping[str, tuple[str, str, date | None, date | None]], amended: Sequence[ExpectedTimePoint],
    effective_on: date,
) -> Rescheduled:
    """Compare what is expected with an amended schedule in effect from a day on.

    A window that ended before that day stays as it was, and so does everything that was received or declared: what was
    owed under the old version was owed. A time point is dropped only if its window had not begun by then.

    Args:
        known: by id the state, label, earliest and latest day of each scheduled time point of the subject.
        amended: what the amended schedule expects of this subject.
        effective_on: the day from which the amendment is in effect at the site.
    """
    moved, new, wanted = list[ExpectedTimePoint](), list[ExpectedTimePoint](), {one.id for one in amended}
    for one in amended:
        if one.id not in known:
            if one.latest >= effective_on:
                new.append(one)
            continue
        state, label, earliest, latest = known[one.id]
        waits = state == "expected" and latest is not None and latest >= effective_on
        if waits and (label, earliest, latest) != (one.label, one.earliest, one.latest):
            moved.append(one)
    dropped = tuple(
        name for name, (state, _, earliest, _) in known.items()
        if name not in wanted and state == "expected" and earliest is not None and earliest >= effective_on)
    return Rescheduled(tuple(moved), tuple(new), dropped)


Expectation = Literal["expected", "due", "overdue"]


@dataclass(frozen=True)
class ExpectedTimePoint:
    """One expected imaging date of a subject and the days on which it counts as in window."""

    id: str
    label: str
    target: date
    earliest: date
    latest: date

    def holds(self, day: date) -> bool:
        """True when an acquisition on `day` lies in the window; both ends belong to it."""
        return self.earliest <= day <= self.latest


def expected_time_points(
    schedule: Sequence[TimePoint], anchors: Mapping[str, date]
) -> tuple[ExpectedTimePoint, ...]:
    """What is expected of one subject, in order of dates.

    Args:
        schedule: the charter's time points.
        anchors: dates of this subject by anchor name (`enrolment`, `randomisation`, `first_treatment`, `baseline`);
            a time point whose anchor is not yet known is not yet expected.
    """
    expected = []
    for point in schedule:
        anchor = anchors.get(point.anchor)
        if anchor is None:
            continue
        target = anchor + timedelta(days=point.day)
        expected.append(ExpectedTimePoint(
            point.id, point.label, target,
            target - timedelta(days=point.window_before), target + timedelta(days=point.window_after),
        ))
    return tuple(sorted(expected, key=lambda one: (one.target, one.id)))


def standing_in(state: str, stage: str) -> str:
    """`frozen` is what a time point that is read or adjudicated looks like while the data of its trial are locked."""
    return "frozen" if state in ("read", "adjudicated") and stage in ("locked", "closed") else state


def expectation_on(earliest: date, latest: date, today: date) -> Expectation:
    """`due` from the first day of the window, `overdue` after its last, while nothing was received."""
    if today < earliest:
        return "expected"
    return "due" if today <= latest else "overdue"


def consent_gap(
    consents: Sequence[tuple[date, frozenset[str], str]], withdrawn_as_of: date | None, acquired: date, scope: str
) -> str | None:
    """Why an image acquired on a date is not covered by consent; None where it is (TRIAL 3).

    Args:
        consents: (given on, scopes, version), oldest first.
        withdrawn_as_of: images acquired on or after this day are refused; earlier ones stay.
        acquired: the day of acquisition.
        scope: `images`, `ai` or `future_use`.
    """
    if withdrawn_as_of is not None and acquired >= withdrawn_as_of:
        return f"Consent was withdrawn as of {withdrawn_as_of.isoformat()}."
    given = [one for one in consents if one[0] <= acquired]
    if not given:
        return f"No consent was given by {acquired.isoformat()}."
    _, scopes, version = max(given, key=lambda one: one[0])
    return None if scope in scopes else f"Consent version {version} does not cover {scope.replace('_', ' ')}."


IMPACTS = ("none", "minor", "major")
#: Sections of a charter that say how images are made, read, judged, and what AI does with them.
IMAGING_SECTIONS = (
    "schedule", "endpoints", "acquisition", "reading", "adjudication", "blinding", "arms", "ai", "halt_rules", "limits",
)


def imaging_sections(before: Charter, after: Charter) -> tuple[str, ...]:
    """The sections concerning imaging in which an amended charter differs from the one in force before it."""
    return tuple(name for name in IMAGING_SECTIONS if getattr(before, name) != getattr(after, name))


def version_number(version: str) -> tuple[int, ...]:
    """A charter version as numbers, so that 1.10 follows 1.9."""
    return tuple(int(part) for part in version.split("."))


def version_on(versions: Sequence[tuple[str, str]], day: str) -> str | None:
    """Of (effective on, version) of a site, in the order of signing, the version in effect on a day; None before."""
    begun = [version for effective_on, version in versions if effective_on <= day]
    return begun[-1] if begun else None


def missing_for_go_live(approved: bool, tested: bool, active_sites: Sequence[str]) -> list[str]:
    """What still lacks before a trial may be live; empty when nothing does (TRIAL 3, trial go-live).

    Args:
        approved: a charter is in force.
        tested: its configuration was tried with dummy subjects, and signed, after that charter was approved.
        active_sites: sites activated for the version of that charter.
    """
    gaps = []
    if not approved:
        gaps.append("the charter is not signed")
    if not tested:
        gaps.append("nobody has signed the test of its configuration with dummy subjects")
    if not active_sites:
        gaps.append("no site is activated for its version")
    return gaps

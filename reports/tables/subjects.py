"""A11 Missing: time points without an accepted read, from their states alone; and the subjects' timelines."""

from __future__ import annotations

from collections.abc import Mapping

from reports import recompute
from reports.book import Book, Line
from reports.model import Column, Figure, Point, Row, Table
from reports.quoting import BLANK, Quote
from reports.tables.governance import of_trial

STATE_WORDS = ("time_point.expected", "time_point.unscheduled", "time_point.moved", "time_point.missed",
               "time_point.not_evaluable", "time_point.rescheduled")
DONE = ("read", "adjudicated", "frozen")


def state_after(line: Line) -> str:
    """The state of a time point that an entry leaves it in (TRIAL 3)."""
    if line.action == "time_point.moved":
        return str(line.get("became"))
    if line.action == "time_point.rescheduled":
        return "expected"
    return line.action.removeprefix("time_point.")


def lives(book: Book, trial: str) -> dict[tuple[str, str], list[Line]]:
    """For each (subject, time point) its entries, in order."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in of_trial(book, trial, *STATE_WORDS):
        found.setdefault((str(line.get("subject")), str(line.get("time_point"))), []).append(line)
    return found


@recompute.rule("time_point.state")
def _state(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The last state of the time point that the cited entries are about; no later entry may exist in the range."""
    first = book.line(entries[0])
    life = lives(book, str(first.body["trial"]))[str(first.get("subject")), str(first.get("time_point"))]
    if [line.seq for line in life] != sorted(entries):
        raise recompute.CannotRecompute("the range holds other entries of this time point than cited.")
    return state_after(life[-1]).replace("_", " ")


def missing(book: Book, quote: Quote, trial: str) -> Table:
    """A11: every time point of the range that has no accepted read, and why."""
    rows = []
    for (subject, time_point), life in lives(book, trial).items():
        if state_after(life[-1]) in DONE:
            continue
        last = life[-1]
        # An amended window is the one that counts.
        windows = [line for line in life if line.action in ("time_point.expected", "time_point.rescheduled")]
        scheduled, expected = bool(windows), (windows or life)[-1 if windows else 0]
        rows.append(Row(f"{subject}, {time_point}", (
            quote.field(last, "fields.subject"),
            quote.field(expected, "fields.label" if scheduled else "fields.time_point"),
            quote.field(expected, "fields.earliest_on") if scheduled else BLANK,
            quote.field(expected, "fields.latest_on") if scheduled else BLANK,
            quote.by("time_point.state", [last, *life[:-1]], code=True),
            quote.field(last, "reason", "words"), quote.person(last), quote.recorded(last),
        ), group=subject))
    total = len(lives(book, trial))
    return Table(
        "A11", "Missing, not evaluable and unread time points", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"),
            Column("from", "Window from", "time"), Column("to", "to", "time"), Column("state", "State", "number"),
            Column("reason", "Reason"), Column("person", "By"), Column("at", "Recorded, UTC", "time")),
        tuple(rows), clause="16.2.3", empty="Every time point of the range has an accepted read.",
        note=f"{len(rows)} of {total} time points. A state is what the last entry made of the time point; one that is "
             "only expected may not be due yet.",
    )


def timelines(book: Book, trial: str, responses: Mapping[tuple[str, str], str]) -> Figure | None:
    """One lane a subject, one mark a time point: shape is its state, letters its accepted response."""
    points = []
    for (subject, time_point), life in lives(book, trial).items():
        label = str(life[0].get("label") or time_point.replace("_", " "))
        points.append(Point(subject, label, responses.get((subject, time_point), ""), state_after(life[-1]),
                            tuple(line.seq for line in life)))
    if not points:
        return None
    # Columns in the order of the schedule: the order in which the first complete subject expects them.
    order = {label: n for n, label in enumerate(dict.fromkeys(p.x for p in points))}
    points.sort(key=lambda p: (p.label, order[p.x]))
    subjects = len({p.label for p in points})
    done = sum(p.kind in DONE for p in points)
    return Figure(
        "fig-timelines", "Subjects and their time points", "timelines",
        "Filled: read. Ring in ring: adjudicated or frozen. Square: images are here, not yet read. Cross: missed or "
        "not evaluable. Dashed ring: expected. Letters: accepted response.",
        f"{subjects} subjects, {len(points)} time points, {done} of them read.", tuple(points), after="A11",
    )

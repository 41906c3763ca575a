"""Rules over a model that changed mid-trial: an endpoint's result with all subjects, and with those of one lock."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from reports.book import Book
from reports.reading import Course, Step, accepted_reads, courses_of
from reports.recompute import CannotRecompute, rule, signed


def served_by(book: Book, trial: str) -> dict[str, dict[str, set[str]]]:
    """Subjects of gated runs by endpoint and lock; a subject measured again by a second lock stands under both."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in book.of("run.requested"):
        if line.body.get("trial") == trial and line.get("standing") == "gated" and line.get("endpoint"):
            locks = found.setdefault(str(line.get("endpoint")), {})
            locks.setdefault(str(line.get("lock")), set()).add(str(line.get("subject")))
    return found


def best_changes(book: Book, trial: str, endpoint: str) -> dict[str, tuple[Course, Step, Decimal]]:
    """Each subject's lowest change of the sum from baseline, in percent, among its accepted reads."""
    taken = {told.begun.seq for _, told in accepted_reads(book, trial).values() if told is not None}
    best: dict[str, tuple[Course, Step, Decimal]] = {}
    for course in courses_of(book, trial):
        for step in course.steps if course.endpoint.id == endpoint else ():
            if step.told.begun.seq not in taken or step.change is None:
                continue
            if course.subject not in best or step.change < best[course.subject][2]:
                best[course.subject] = (course, step, step.change)
    return best


@rule("change.sensitivity")
def _sensitivity(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Over the subjects of one lock, or of all where none is named: how many, with an accepted change, mean, SD."""
    locks = served_by(book, args["trial"]).get(args["endpoint"], {})
    lock = args.get("lock")
    if lock is not None and lock not in locks:
        raise CannotRecompute(f"no gated run of {args['endpoint']} by {lock} is among the entries.")
    subjects = locks[lock] if lock is not None else set().union(*locks.values())
    if args["what"] == "subjects":
        return str(len(subjects))
    best = best_changes(book, args["trial"], args["endpoint"])
    changes = [change for subject, (_, _, change) in sorted(best.items()) if subject in subjects]
    n = len(changes)
    if args["what"] == "n":
        return str(n)
    if n == 0:
        return ""
    mean = sum(changes, Decimal(0)) / n
    if args["what"] == "mean":
        return signed(mean)
    if n < 2:
        return ""
    return signed((sum(((one - mean) ** 2 for one in changes), Decimal(0)) / (n - 1)).sqrt()).removeprefix("+")

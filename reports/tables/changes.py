"""A4c Model changes, A4d Locks by subject, A4e Sensitivity: how one lock followed another, and what that changes."""

from __future__ import annotations

from reports import recompute
from reports.book import Book
from reports.change_rules import served_by
from reports.model import Basis, Cell, Column, Row, Table
from reports.quoting import BLANK, Quote, plain
from reports.tables.governance import of_trial


def model_changes(book: Book, quote: Quote, trial: str) -> Table:
    """A4c: every plan of bridging with its signatures, and what the comparison of both locks gave."""
    rows = []
    for line in of_trial(book, trial, "bridging.planned"):
        plan = line.get("plan")
        signed = {str(one.get("signed_as")): one for one in of_trial(book, trial, "bridging.signed")
                  if one.get("plan") == plan}
        judged = [one for one in of_trial(book, trial, "bridging.judged") if one.get("plan") == plan]
        last = judged[-1] if judged else None
        rows.append(Row(str(plan), (
            quote.field(line, "fields.plan"), quote.field(line, "fields.endpoint"),
            quote.field(line, "fields.from_lock", "short"), quote.field(line, "fields.to_lock", "short"),
            quote.field(line, "fields.strategy", "words"), quote.person(line),
            *(quote.person(signed[role]) if role in signed else plain("not signed")
              for role in ("validation_lead", "qa_auditor")),
            quote.field(last, "fields.verdict", "words") if last else plain("not judged"),
            *((quote.field(last, f"fields.{name}") if last is not None and last.get(name) else BLANK)
              for name in ("pairs", "lower", "difference")),
            quote.entry(last or line))))
    return Table(
        "A4c", "Model changes", (
            Column("plan", "Plan", "id"), Column("endpoint", "Endpoint"), Column("from", "Lock before", "code"),
            Column("to", "Lock after", "code"), Column("strategy", "Strategy"), Column("planned", "Planned by"),
            Column("validation", "Validation lead"), Column("qa", "QA"), Column("verdict", "Both locks agree"),
            Column("pairs", "Pairs", "number"), Column("lower", "Concordance, lower bound", "number"),
            Column("difference", "Limits of agreement"), Column("entry", "Entry", "number")),
        tuple(rows), clause="16.1.9", empty="No model changed in this range.",
        note="Of sealed runs the verdict alone is recorded; the numbers stay inside the seal.",
    )


def locks_by_subject(book: Book, quote: Quote, trial: str) -> Table:
    """A4d: for endpoints that more than one lock measured, the lock of each subject's gated runs."""
    asked = [line for line in of_trial(book, trial, "run.requested")
             if line.get("standing") == "gated" and line.get("endpoint")]
    locks: dict[str, set[str]] = {}
    for line in asked:
        locks.setdefault(str(line.get("endpoint")), set()).add(str(line.get("lock")))
    kinds = sorted({(str(line.get("endpoint")), str(line.get("lock")), str(line.get("subject"))) for line in asked
                    if len(locks[str(line.get("endpoint"))]) > 1})
    rows = []
    for endpoint, lock, subject in kinds:
        where = (f"trial={trial};fields.endpoint={endpoint};fields.lock={lock};fields.subject={subject};"
                 "fields.standing=gated")
        first = next(line for line in asked if (line.get("endpoint"), line.get("lock"), line.get("subject"))
                     == (endpoint, lock, subject))
        rows.append(Row(f"{endpoint}, {subject}, {lock}", (
            quote.field(first, "fields.endpoint"), quote.field(first, "fields.subject"),
            quote.field(first, "fields.lock", "short"),
            quote.count("run.requested", where=where), quote.count("run.finished", where=where))))
    return Table(
        "A4d", "Locks by subject", (
            Column("endpoint", "Endpoint"), Column("subject", "Subject", "id"), Column("lock", "Lock", "code"),
            Column("asked", "Runs", "number"), Column("finished", "Measured", "number")),
        tuple(rows), clause="16.1.9", empty="Every endpoint was measured by one lock.",
        note="A subject has one lock in one series, or every time point of both where the plan recomputes.",
    )


def sensitivity(book: Book, quote: Quote, trial: str) -> Table:
    """A4e: for endpoints that more than one lock measured, the accepted result with all subjects that AI served, and
    with those of each lock alone (TRIAL 2, model change mid-trial)."""
    rows = []
    for endpoint, locks in sorted(served_by(book, trial).items()):
        for lock in (None, *sorted(locks)) if len(locks) > 1 else ():
            rows.append(Row(f"{endpoint}, {lock or 'all'}", (
                plain(endpoint), plain("all locks") if lock is None else plain(recompute.written(lock, "short")),
                *(_sensitivity(book, trial, endpoint, lock, what) for what in ("subjects", "n", "mean", "sd")))))
    return Table(
        "A4e", "Sensitivity to the model change", (
            Column("endpoint", "Endpoint"), Column("lock", "Subjects of", "code"),
            Column("subjects", "Subjects", "number"), Column("n", "With accepted change", "number"),
            Column("mean", "Mean best change, %", "number"), Column("sd", "SD", "number")),
        tuple(rows), clause="16.1.9", empty="Every endpoint was measured by one lock.",
        note="Best change from baseline in the accepted reads, which people signed. A subject that both locks measured "
             "stands under both.",
    )


def _sensitivity(book: Book, trial: str, endpoint: str, lock: str | None, what: str) -> Cell:
    args = {"trial": trial, "endpoint": endpoint, "what": what} | ({"lock": lock} if lock is not None else {})
    basis = Basis("change.sensitivity", (), tuple(sorted(args.items())))
    return Cell(recompute.compute(book, basis), basis)

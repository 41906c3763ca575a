"""A4c Model changes, A4d Locks by subject: how one lock followed another, and whose values come from which."""

from __future__ import annotations

from reports.book import Book
from reports.model import Column, Row, Table
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
    """A4d: for endpoints that more than one lock measured, the lock of each subject's gated runs: the sensitivity of a
    result to the change can be computed from it, one lock at a time."""
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

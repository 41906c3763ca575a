"""A2 Readers: who read what, on which qualification and training."""

from __future__ import annotations

from reports.book import Book
from reports.model import Column, Row, Table
from reports.quoting import BLANK, Quote
from reports.tables.governance import of_trial


def readers(book: Book, quote: Quote, trial: str) -> Table:
    """A2: everybody who held a slot, sealed or adjudicated."""
    qualified = {(str(line.get("user")), str(line.get("role_read"))): line
                 for line in of_trial(book, trial, "reader.qualified")}
    people: dict[tuple[str, str], None] = {}
    for line in of_trial(book, trial, "reader.qualified"):
        people[str(line.get("user")), str(line.get("role_read"))] = None
    for line in of_trial(book, trial, "read.assigned"):
        people.setdefault((str(line.get("reader")), "reader"))
    for line in of_trial(book, trial, "read.adjudicated"):
        people.setdefault((line.person, "adjudicator"))
    rows = []
    for user, role in people:
        passed = qualified.get((user, role))
        own = f"trial={trial};actor={user}"
        anchor = passed or next((x for x in of_trial(book, trial, "read.assigned") if x.get("reader") == user), None)
        named = quote.named(anchor, "fields.user" if passed else "fields.reader") if anchor else quote.person(
            next(x for x in of_trial(book, trial, "read.adjudicated") if x.person == user))
        rows.append(Row(f"{user}, {role}", (
            named, quote.field(passed, "fields.role_read", "words") if passed else BLANK,
            *((quote.field(passed, "fields.reference_set"), quote.field(passed, "fields.cases"),
               quote.field(passed, "fields.score", code=True), quote.field(passed, "fields.limit"),
               quote.recorded(passed)) if passed else (BLANK,) * 5),
            quote.count("read.assigned", where=f"trial={trial};fields.reader={user}"),
            quote.count("read.sealed", where=own), quote.count("read.adjudicated", where=own),
            quote.count("training.completed", where=f"actor={user}"),
        )))
    return Table(
        "A2", "Readers and adjudicators", (
            Column("person", "Person", "id"), Column("role", "Qualified as"), Column("set", "Reference set"),
            Column("cases", "Cases", "number"), Column("score", "Score", "number"), Column("limit", "Limit", "number"),
            Column("at", "Qualified, UTC", "time"), Column("slots", "Slots", "number"),
            Column("reads", "Reads locked", "number"),
            Column("adjudications", "Adjudications", "number"), Column("trainings", "Trainings", "number")),
        tuple(rows), clause="16.1.4", empty="Nobody was qualified or given a slot in this range.",
        note="Curricula vitae are filed by reference. A training is a signed “read and understood” of one version of a "
             "controlled document.",
    )

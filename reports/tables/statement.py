"""A0 Statement and A13 Audit trail: what the paper rests on, and everything that happened, by kind and month."""

from __future__ import annotations

from reports.book import Book
from reports.model import Cell, Column, Row, Table
from reports.quoting import Quote, plain

MONTHS_AT_MOST = 6


def statement(book: Book, quote: Quote, trial: str) -> Table:
    """A0: the range, its root, what stands in it, and by which rules it was made."""
    here, in_trial = book.range, f"trial={trial}"
    rows: list[tuple[str, Cell]] = [
        ("Log", plain(here.origin)),
        ("Entries of the log up to here", plain(str(here.size))),
        ("Root of the tree over them", plain(here.root)),
        ("Last entry", plain(f"{here.size - 1}, {here.last_code}, recorded {here.last_entry_at}")),
    ]
    founded = book.of("ledger.founded")
    if founded:
        rows.append(("First entry", quote.field(founded[0], "at", "utc", code=True)))
    for line in book.of("policy.adopted")[-1:]:
        rows.append(("Policy table in force, digest", quote.field(line, "fields.digest", code=True)))
        rows.append(("Release that adopted it", quote.field(line, "fields.release")))
    for line in book.of("vocabulary.adopted")[-1:]:
        rows.append(("Vocabulary in force, digest", quote.field(line, "fields.digest", code=True)))
    rows += [
        (f"Entries of {trial}", quote.count(where=in_trial)),
        ("of them signed by a person", quote.count(where=f"{in_trial};role!=service")),
        ("Attempts refused in this house", quote.count("action.refused")),
        ("Exports before this one", quote.count("export.made")),
        ("Steps of the clock confirmed", quote.count("clock.stepped")),
    ]
    for line in book.of("database.locked"):
        if line.body.get("trial") == trial:
            rows.append(("Database locked", quote.field(line, "at", "utc", code=True)))
    return Table(
        "A0", "Statement", (Column("item", "Item", "id"), Column("value", "In the record")),
        tuple(Row(name, (plain(name), cell)) for name, cell in rows),
        note="The attached record holds these entries with their signatures; checking it needs no access to the "
             "system that wrote it. Lost newest entries and a second history show only against a witness or an "
             "anchor, which the check names where it has one.",
        clause="16.1.5",
    )


def audit_trail(book: Book, quote: Quote, trial: str) -> Table:
    """A13: entries of the trial by kind and month, with first and last."""
    in_trial = f"trial={trial}"
    lines = [line for line in book.all() if line.body.get("trial") == trial]
    months = sorted({str(line.body["at"])[:7] for line in lines})[-MONTHS_AT_MOST:]
    columns = (
        Column("kind", "Kind of entry", "id"),
        *(Column(f"in_{month.replace('-', '_')}", month, "number") for month in months),
        Column("total", "All", "number"), Column("persons", "Signed by a person", "number"),
        Column("first", "First, UTC", "time"), Column("last", "Last, UTC", "time"),
    )
    rows = []
    for action in sorted({line.action for line in lines}):
        own = [line for line in lines if line.action == action]
        rows.append(Row(action, (
            quote.word(action, own[0], where=f"action={action}"),
            *(quote.count(action, where=f"{in_trial};at^={month}") for month in months),
            quote.count(action, where=in_trial), quote.count(action, where=f"{in_trial};role!=service"),
            quote.recorded(own[0]), quote.recorded(own[-1]),
        )))
    if rows:
        rows.append(Row("all", (
            plain("All"), *(quote.count(where=f"{in_trial};at^={month}") for month in months),
            quote.count(where=in_trial), quote.count(where=f"{in_trial};role!=service"),
            quote.recorded(lines[0]), quote.recorded(lines[-1]),
        ), level="sum"))
    return Table("A13", "Audit trail by kind and month", columns, tuple(rows),
                 note="Every entry of the trial in the range is counted here once. Nothing is ever changed in place: "
                      "a correction is an entry of its own kind.", clause="16.1.8")

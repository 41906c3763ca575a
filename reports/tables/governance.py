"""A1 Charter, A6 Gates and their criteria: under which rules the trial ran, and what AI was allowed when."""

from __future__ import annotations

from reports.book import Book, Line
from reports.model import Column, Row, Table
from reports.quoting import BLANK, Quote, plain

CHARTER_WORDS = {
    "charter.signed": "signed", "charter.accepted": "accepted as investigator",
    "charter.approved": "approved, in force",
    "configuration.tested": "configuration tested", "trial.activated": "trial made live",
}
GATE_WORDS = {
    "gate.requested": "requested", "gate.signed": "signed", "gate.opened": "opened", "gate.withdrawn": "withdrawn",
    "gate.suspended": "suspended", "gate.halted": "halted", "gate.resumed": "resumed", "gate.revoked": "revoked",
}


def of_trial(book: Book, trial: str, *actions: str) -> list[Line]:
    """The trial's entries of these actions, in order."""
    return [line for line in book.of(*actions) if line.body.get("trial") == trial]


def charter(book: Book, quote: Quote, trial: str) -> Table:
    """A1: versions of the charter and who put a name to each."""
    rows = [
        Row(f"version {line.get('charter_version')}, {CHARTER_WORDS[line.action]}, entry {line.seq}", (
            quote.field(line, "fields.charter_version"), quote.word(CHARTER_WORDS[line.action], line),
            quote.person(line), quote.field(line, "role", "words"), quote.field(line, "manifest.meaning"),
            quote.recorded(line), quote.field(line, "fields.digest", "short"), quote.entry(line),
        ), group=str(line.get("charter_version")))
        for line in of_trial(book, trial, *CHARTER_WORDS)
    ]
    return Table(
        "A1", "Charter", (
            Column("version", "Version", "id"), Column("deed", "Deed"), Column("person", "By"), Column("role", "Role"),
            Column("meaning", "Meaning"), Column("at", "Recorded, UTC", "time"), Column("digest", "Digest", "code"),
            Column("entry", "Entry", "number")),
        tuple(rows), clause="16.1.1",
        note="The text of each version stands in its entry. A version is in force from QA's approval on.",
    )


def limits(book: Book, quote: Quote, trial: str) -> Table:
    """A1b: numbers of the charter that are laxer than the shipped default, with their justification."""
    rows = []
    for line in of_trial(book, trial, "charter.signed"):
        for n, limit in enumerate(line.get("limits", [])):
            if limit["laxer"]:
                at = f"fields.limits.{n}"
                rows.append(Row(f"{limit['name']}, version {line.get('charter_version')}", (
                    quote.field(line, f"{at}.name"), quote.field(line, f"{at}.value", code=True),
                    quote.field(line, f"{at}.shipped"), quote.field(line, f"{at}.justification"),
                    quote.field(line, "fields.charter_version"))))
    return Table(
        "A1b", "Limits laxer than shipped", (
            Column("name", "Limit", "id"), Column("value", "Charter", "number"), Column("shipped", "Shipped", "number"),
            Column("because", "Justification"), Column("version", "Version", "category")),
        tuple(rows), empty="Every limit of the charter is at least as strict as the shipped one.",
    )


def gates(book: Book, quote: Quote, trial: str) -> Table:
    """A6: the life of every gate, each deed a row."""
    requested = {line.get("gate"): line for line in of_trial(book, trial, "gate.requested")}
    rows = []
    for line in sorted(of_trial(book, trial, *GATE_WORDS), key=lambda x: (list(requested).index(x.get("gate"))
                                                                         if x.get("gate") in requested else -1, x.seq)):
        ask = requested.get(line.get("gate"))
        first = ask is not None and line.seq == ask.seq
        rows.append(Row(f"gate {line.get('gate')}, {GATE_WORDS[line.action]}, entry {line.seq}", (
            quote.field(ask, "fields.use_name", "words") if ask and first else BLANK,
            quote.field(ask, "fields.endpoint") if ask and first else BLANK,
            quote.field(ask, "fields.scope") if ask and first else BLANK,
            quote.field(ask, "fields.lock", "short") if ask and first else BLANK,
            quote.word(GATE_WORDS[line.action], line), quote.person(line),
            quote.field(line, "fields.signed_as" if line.get("signed_as") else "role", "words"),
            quote.field(line, "fields.says") if line.get("says") else quote.field(line, "reason", "words"),
            quote.recorded(line), quote.entry(line),
        ), group=str(line.get("gate"))))
    return Table(
        "A6", "Gates", (
            Column("use", "AI use", "id"), Column("endpoint", "Endpoint"), Column("scope", "Scope"),
            Column("lock", "Lock", "code"), Column("deed", "Deed"), Column("person", "By"), Column("role", "As"),
            Column("cause", "Cause"), Column("at", "Recorded, UTC", "time"), Column("entry", "Entry", "number")),
        tuple(rows), clause="16.1.8", empty="No gate was asked for: AI had no use in this range.",
        note="Human work never depends on a gate: closed or suspended means without AI.",
    )


def evidence(book: Book, quote: Quote, trial: str) -> Table:
    """A6c: documents from outside the system that gates rest on, each filed and signed by the role that answers."""
    rows = [
        Row(f"{line.get('kind')}, entry {line.seq}", (
            quote.field(line, "fields.kind", "words"), quote.field(line, "fields.title"),
            quote.field(line, "fields.document_date"), quote.field(line, "fields.evidence_class"),
            quote.field(line, "fields.document.sha256", "short"), quote.person(line), quote.recorded(line),
            quote.entry(line)))
        for line in of_trial(book, trial, "evidence.filed")
    ]
    return Table(
        "A6c", "Evidence filed", (
            Column("kind", "Kind", "id"), Column("title", "Title"), Column("date", "Dated"), Column("class", "Class"),
            Column("digest", "Digest", "code"), Column("person", "By"), Column("at", "Filed, UTC", "time"),
            Column("entry", "Entry", "number")),
        tuple(rows), clause="16.1.8", empty="No document was filed for a gate in this range.",
    )


def waivers(book: Book, quote: Quote, trial: str) -> Table:
    """A6d: criteria that were waived: reason, risk, end, and both approvals."""
    rows = []
    for line in of_trial(book, trial, "waiver.requested"):
        approved = [x for x in of_trial(book, trial, "waiver.approved") if x.get("waiver") == line.get("waiver")]
        rows.append(Row(f"waiver {line.get('waiver')}", (
            quote.field(line, "fields.waiver"), quote.field(line, "fields.criterion", "words"),
            quote.field(line, "fields.because"), quote.field(line, "fields.risk"), quote.field(line, "fields.ends_on"),
            quote.person(line), *((quote.person(approved[n]) if n < len(approved) else plain("open")) for n in (0, 1)),
            quote.entry(line))))
    return Table(
        "A6d", "Waived criteria", (
            Column("waiver", "Waiver", "id"), Column("criterion", "Criterion"), Column("because", "Reason"),
            Column("risk", "Risk"), Column("ends", "Ends", "time"), Column("person", "Asked by"),
            Column("first", "Approved by"), Column("second", "and by"), Column("entry", "Entry", "number")),
        tuple(rows), clause="16.2.2", empty="No criterion was waived.",
    )


def criteria(book: Book, quote: Quote, trial: str) -> Table:
    """A6b: the criteria as judged when a gate opened or resumed; of a gate that never opened, at its last request."""
    opened = {line.get("gate") for line in of_trial(book, trial, "gate.opened")}
    last = {line.get("gate"): line.seq for line in of_trial(book, trial, "gate.requested")}
    rows = []
    for line in of_trial(book, trial, "gate.requested", "gate.opened", "gate.resumed"):
        if line.action == "gate.requested" and (line.get("gate") in opened or last[line.get("gate")] != line.seq):
            continue
        for n, criterion in enumerate(line.get("criteria", [])):
            at = f"fields.criteria.{n}"
            rows.append(Row(f"gate {line.get('gate')}, {GATE_WORDS[line.action]}, {criterion['id']}", (
                quote.field(line, "fields.use_name", "words") if line.get("use_name") else plain(""),
                quote.word(GATE_WORDS[line.action], line), quote.field(line, f"{at}.id", "words"),
                quote.field(line, f"{at}.found"), quote.field(line, f"{at}.limit"),
                quote.field(line, f"{at}.state", code=True), quote.field(line, f"{at}.entries", "list"),
            ), group=f"{line.seq}"))
    return Table(
        "A6b", "Criteria of the gates as judged", (
            Column("use", "AI use", "id"), Column("when", "When"), Column("criterion", "Criterion"),
            Column("found", "Found"), Column("limit", "Limit"), Column("state", "State", "number"),
            Column("entries", "Rests on entries")),
        tuple(rows), clause="16.1.8",
        note="As judged at the opening; of a gate that never opened, at its last request.",
    )

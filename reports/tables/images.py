"""A3 Acquisition and quality: what each site sent on which scanner, and everything that was not taken as it came."""

from __future__ import annotations

from collections.abc import Mapping

from reports import recompute
from reports.book import Book, Line
from reports.model import Column, Row, Table
from reports.quoting import BLANK, Quote
from reports.tables.governance import of_trial

WHAT = ("received", "accepted", "queried", "rejected", "held", "open")
TURNED_AWAY = {
    "series.refused": "refused", "series.conflicted": "refused, other content under a stored identity",
    "series.held": "held", "series.duplicated": "known already", "files.refused": "files refused",
    "series.resubmitted": "came again in a new version", "study.reassigned": "corrected, taken out of its place",
    "incident.opened": "closed off, identifiers left",
}
# Entries that take several series out of their place at once.
TAKEN_OUT = ("study.reassigned", "incident.opened")
# What an entry makes of a series; a disposition says it itself.
BECAME = {"series.held": "held", "series.released": "open", "series.resubmitted": "open"}


def standing_of(book: Book, trial: str) -> dict[str, tuple[Line, str]]:
    """For each received series: its entry of arrival and what became of it (accepted, queried, …, open)."""
    found = {str(line.get("series")): (line, "open") for line in of_trial(book, trial, "series.received")}
    for line in of_trial(book, trial, "quality.disposed", *BECAME, *TAKEN_OUT):
        if line.action in TAKEN_OUT:
            for one in line.get("series"):
                if one["series"] in found:
                    found[one["series"]] = (found[one["series"]][0], "corrected")
            continue
        series = str(line.get("series"))
        if series in found:
            became = BECAME.get(line.action) or str(line.get("disposition"))
            found[series] = (found[series][0], became)
    return found


@recompute.rule("series.count")
def _count(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """How many series of a site, modality and scanner were received, or stand as `what` at the end of the range."""
    return str(sum(
        all(str(line.get(name)) == args[name] for name in ("site", "modality", "scanner"))
        and args["what"] in ("received", became)
        for line, became in standing_of(book, args["trial"]).values()
    ))


@recompute.rule("series.sum")
def _sum(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Instances received of a site, modality and scanner, later additions included."""
    lines = [line for line, _ in standing_of(book, args["trial"]).values()
             if all(str(line.get(name)) == args[name] for name in ("site", "modality", "scanner"))]
    series = {str(line.get("series")) for line in lines}
    added = (int(line.get("added")) for line in of_trial(book, args["trial"], "series.extended")
             if str(line.get("series")) in series)
    return str(sum(int(line.get("instances")) for line in lines) + sum(added))


def acquisition(book: Book, quote: Quote, trial: str) -> Table:
    """A3: by site, scanner and modality."""
    first: dict[tuple[str, str, str], Line] = {}
    for line in of_trial(book, trial, "series.received"):
        first.setdefault((str(line.get("site")), str(line.get("modality")), str(line.get("scanner"))), line)
    qualified = {(str(q.get("site")), str(q.get("modality")), str(q.get("scanner"))): q
                 for q in of_trial(book, trial, "scanner.qualified")}
    rows = []
    for key in sorted(first):
        site, modality, scanner = key
        about = {"trial": trial, "site": site, "modality": modality, "scanner": scanner}
        test = qualified.get(key)
        counts = [quote.about("series.count", first[key], {**about, "what": what}) for what in WHAT]
        instances = quote.about("series.sum", first[key], about)
        rows.append(Row(f"site {site}, {modality}, {scanner}", (
            quote.field(first[key], "fields.site"), quote.field(first[key], "fields.scanner", "short"),
            quote.field(first[key], "fields.modality"),
            quote.field(test, "fields.valid_until", code=True) if test else BLANK,
            counts[0], instances, *counts[1:]), group=site))
    return Table(
        "A3", "Acquisition and quality control", (
            Column("site", "Site", "id"), Column("scanner", "Scanner"), Column("modality", "Modality"),
            Column("qualified", "Phantom passed, valid until", "number"), Column("received", "Series", "number"),
            Column("instances", "Instances", "number"),
            *(Column(what, what.capitalize(), "number") for what in WHAT[1:])),
        tuple(rows), clause="16.1.10", empty="No series was received in this range.",
        note="A technologist disposes each series; the last disposition counts. Open: not yet disposed. A series "
             "that a "
             "correction took out of its place is received and nothing else; A3b lists it.",
    )


def turned_away(book: Book, quote: Quote, trial: str) -> Table:
    """A3b: each series queried or rejected, and everything that was refused, held or known already."""
    rows = []
    for line in of_trial(book, trial, "quality.disposed", *TURNED_AWAY):
        if line.action == "quality.disposed":
            if line.get("disposition") == "accepted":
                continue
            deed = quote.field(line, "fields.disposition", code=True)
        else:
            deed = quote.word(TURNED_AWAY[line.action], line, code=True)
        rows.append(Row(f"entry {line.seq}", (
            quote.field(line, "fields.subject"), quote.field(line, "fields.time_point"),
            quote.field(line, "fields.modality"), deed, quote.field(line, "reason", "words"),
            quote.field(line, "fields.not_met", "list"), quote.person(line), quote.recorded(line))))
    return Table(
        "A3b", "Series not taken as they came", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"), Column("modality", "Modality"),
            Column("deed", "What happened", "number"), Column("reason", "Reason"), Column("rules", "Rules not met"),
            Column("person", "By"), Column("at", "Recorded, UTC", "time")),
        tuple(rows), clause="16.1.10", empty="No series was queried, rejected, refused or held in this range.",
        note="Codes, never file names: what a name may hold is no matter of the record.",
    )

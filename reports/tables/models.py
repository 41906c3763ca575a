"""A4 Models, A4b Runs, A5 Validation, A12 Deviations: what was locked, what it was shown to do, what went otherwise."""

from __future__ import annotations

from reports.book import Book, Line
from reports.model import Column, Row, Table
from reports.quoting import BLANK, Quote, plain
from reports.tables.governance import of_trial


def locks_of(book: Book, trial: str) -> list[str]:
    """Locks that the trial named in a gate or a run, in the order of their first mention."""
    named = (str(line.get("lock")) for line in book.all()
             if line.body.get("trial") == trial and line.get("lock"))
    return list(dict.fromkeys(named))


def models(book: Book, quote: Quote, trial: str) -> Table:
    """A4: each lock that the trial used or asked for, with its digests and its uses."""
    locked = {str(line.get("lock")): line for line in book.of("model.locked")}
    rows = []
    for lock in locks_of(book, trial):
        line = locked.get(lock)
        if line is None:
            continue
        gates = [g for g in of_trial(book, trial, "gate.opened") if g.get("lock") == lock]
        ended = [e for e in book.of("model.retired") if e.get("lock") == lock]
        rows.append(Row(f"{line.get('model')} {line.get('model_version')}, {lock}", (
            quote.field(line, "fields.model"), quote.field(line, "fields.model_version"),
            quote.field(line, "fields.lock", "short"), quote.field(line, "fields.tree_sha256", "short"),
            quote.field(line, "fields.environment_sha256", "short"), quote.field(line, "fields.intended_use"),
            quote.person(line), quote.recorded(line),
            plain(", ".join(str(g.get("use_name")).replace("_", " ") for g in gates) or "none"),
            quote.field(ended[-1], "fields.how") if ended else BLANK,
            quote.count("run.requested", where=f"trial={trial};fields.lock={lock}"), quote.entry(line),
        )))
    return Table(
        "A4", "Models", (
            Column("model", "Model", "id"), Column("version", "Version"), Column("lock", "Lock", "code"),
            Column("bytes", "Bundle digest", "code"), Column("environment", "Environment", "code"),
            Column("use", "Intended use"), Column("person", "Locked by"), Column("at", "Locked, UTC", "time"),
            Column("gates", "Gates opened for"), Column("ended", "Ended"), Column("runs", "Runs", "number"),
            Column("entry", "Entry", "number")),
        tuple(rows), clause="16.1.9", empty="No model was named in this range.",
        note="Only a model whose bytes match its lock runs. Full digests stand in the entries.",
    )


def runs(book: Book, quote: Quote, trial: str) -> Table:
    """A4b: runs by lock, use and standing, with what became of them."""
    asked = of_trial(book, trial, "run.requested")
    kinds = list(dict.fromkeys((str(x.get("lock")), str(x.get("use")), str(x.get("standing"))) for x in asked))
    rows = []
    for lock, use, standing in kinds:
        where = f"trial={trial};fields.lock={lock};fields.use={use};fields.standing={standing}"
        first = next(x for x in asked if (str(x.get("lock")), str(x.get("use")), str(x.get("standing")))
                     == (lock, use, standing))
        rows.append(Row(f"{lock}, {use}, {standing}", (
            quote.field(first, "fields.model"), quote.field(first, "fields.lock", "short"),
            quote.field(first, "fields.use", "words"), quote.field(first, "fields.standing"),
            *(quote.count(word, where=where) for word in ("run.requested", "run.finished")),
            quote.count("run.undecided", where=where), quote.count("run.failed", where=where),
        )))
    return Table(
        "A4b", "Runs of models", (
            Column("model", "Model", "id"), Column("lock", "Lock", "code"), Column("use", "Use"),
            Column("standing", "Standing"), Column("asked", "Asked", "number"),
            Column("finished", "Finished", "number"),
            Column("undecided", "Undecided", "number"), Column("failed", "Failed", "number")),
        tuple(rows), clause="16.1.9", empty="No model ran in this range.",
        note="Exploratory and shadow runs are barred from every endpoint by the policy table.",
    )


def validation(book: Book, quote: Quote, trial: str) -> Table:
    """A5: every criterion of every concluded validation run that concerns the trial's locks or the installation."""
    locks = set(locks_of(book, trial))
    rows = []
    for line in book.of("validation.concluded"):
        if line.get("lock") and line.get("lock") not in locks:
            continue
        for n, criterion in enumerate(line.get("criteria", [])) if line.get("criteria") else ():
            rows.append(_criterion(quote, line, n, criterion))
        if not line.get("criteria"):
            rows.append(Row(f"{line.get('protocol')}, run {line.get('run')}", (
                quote.field(line, "fields.protocol"), quote.field(line, "fields.kind"), plain("all steps"), BLANK,
                quote.field(line, "fields.steps"), BLANK, BLANK, BLANK,
                quote.field(line, "fields.verdict", "words"), quote.field(line, "fields.evidence_class"),
                quote.entry(line)), group=str(line.seq)))
    return Table(
        "A5", "Validation", (
            Column("protocol", "Protocol", "id"), Column("kind", "Kind"), Column("criterion", "Criterion"),
            Column("stratum", "Stratum"), Column("n", "n", "number"), Column("limit", "Limit"),
            Column("estimate", "Estimate", "number"), Column("interval", "Interval", "time"),
            Column("verdict", "Verdict"), Column("class", "Evidence class"), Column("entry", "Entry", "number")),
        tuple(rows), clause="16.1.10", empty="No validation run was concluded in this range.",
        note="Protocols are signed before their run; a criterion is judged on its bound, never on the point.",
    )


def _criterion(quote: Quote, line: Line, n: int, criterion: dict[str, object]) -> Row:
    at = f"fields.criteria.{n}"
    low, high = (quote.field(line, f"{at}.{side}").text for side in ("low", "high"))
    interval = quote.by("interval", [line], path=at) if low or high else BLANK
    return Row(f"{line.get('protocol')}, run {line.get('run')}, {criterion['criterion']}", (
        quote.field(line, "fields.protocol"), quote.field(line, "fields.kind"), quote.field(line, f"{at}.criterion"),
        quote.field(line, f"{at}.stratum"), quote.field(line, f"{at}.subjects"), quote.field(line, f"{at}.limit"),
        quote.field(line, f"{at}.estimate", "minus"), interval, quote.field(line, f"{at}.verdict", "words"),
        quote.field(line, "fields.evidence_class"), quote.entry(line)), group=str(line.seq))


def deviations(book: Book, quote: Quote, trial: str) -> Table:
    """A12: deviations of the trial, and those of the house that concern its locks, with how each was closed."""
    locks = set(locks_of(book, trial))
    closed = {str(line.get("deviation")): line for line in book.of("deviation.closed")}
    rows = []
    for line in book.of("deviation.opened"):
        of_this = line.body.get("trial") == trial
        if not of_this and (line.body.get("trial") or (line.get("lock") and line.get("lock") not in locks)):
            continue
        end = closed.get(str(line.get("deviation")))
        rows.append(Row(f"{line.get('deviation')}", (
            quote.field(line, "fields.deviation"), quote.field(line, "fields.klass_name", "words"),
            quote.field(line, "fields.source"), quote.field(line, "fields.about"), quote.field(line, "fields.says"),
            quote.recorded(line), quote.field(end, "fields.impact") if end else plain("open"),
            quote.field(end, "fields.action") if end else BLANK, quote.person(end) if end else BLANK,
            quote.entry(line))))
    return Table(
        "A12", "Deviations", (
            Column("id", "Deviation", "id"), Column("class", "Class"), Column("source", "Source"),
            Column("about", "About"), Column("says", "What happened"), Column("at", "Opened, UTC", "time"),
            Column("impact", "Impact"), Column("action", "Action"), Column("person", "Closed by"),
            Column("entry", "Entry", "number")),
        tuple(rows), clause="16.2.2", empty="No deviation was opened in this range.",
    )

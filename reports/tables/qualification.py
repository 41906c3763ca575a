"""V1 to V14: what runs of validation were made from, found and left open, and what shows each requirement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.book import Book, Line
from reports.model import Cell, Column, Row, Table
from reports.quoting import BLANK, Quote, plain
from validation import protocol, traceability
from validation.rules import EXPLORATORY

STEP_WORDS = ("step.recorded", "step.observed")
# Packages are printed so many beside each other.
ABREAST = 3
# A requirement is a sentence: two or three lines of it, beside narrow columns of states.
REQUIREMENT_SIGNS = 48


def started(book: Book, runs: Sequence[str]) -> list[Line]:
    """The starts of these runs, in their order."""
    by_name = {str(line.get("run")): line for line in book.of("validation.started")}
    return [by_name[run] for run in runs if run in by_name]


def concluded(book: Book, run: str) -> Line | None:
    """The verdict of a run; None where it has none."""
    return next((line for line in book.of("validation.concluded") if line.get("run") == run), None)


def steps_of(book: Book, run: str) -> list[Line]:
    """The recorded and observed steps of a run, in the order of the record."""
    return [line for line in book.of(*STEP_WORDS) if line.get("run") == run]


def deviations_of(book: Book, runs: Sequence[str]) -> list[Line]:
    """Deviations about these runs, their steps and criteria."""
    return [line for line in book.of("deviation.opened") if str(line.get("about")).partition("/")[0] in runs]


def counting_steps(book: Book) -> list[tuple[Line, str]]:
    """Every step that counts, with its protocol: of concluded runs that are neither suspect nor exploratory, the newest
    of each protocol and step. As validation.queries.counting_steps asks the tables; here from the entries alone."""
    gone = {str(line.get("run")) for line in book.of("validation.suspect")}
    ended = {str(line.get("run")) for line in book.of("validation.concluded")
             if line.get("evidence_class") != EXPLORATORY} - gone
    of_run = {str(line.get("run")): str(line.get("protocol")) for line in book.of("validation.started")}
    newest: dict[tuple[str, str], Line] = {}
    for line in book.of(*STEP_WORDS):
        run = str(line.get("run"))
        if run in ended:
            newest[of_run[run], str(line.get("step"))] = line
    return [(line, name) for (name, _), line in newest.items()]


def _digest(quote: Quote, line: Line, member: str) -> Cell:
    return quote.field(line, f"fields.{member}.sha256") if line.get(member) else plain("none")


# -- What was run --------------------------------------------------------------------------------------------------


def runs(book: Book, quote: Quote, named: Sequence[str]) -> Table:
    """V1: each run, from which protocol, by whom, to which verdict."""
    rows = []
    for line in started(book, named):
        run, end = str(line.get("run")), concluded(book, str(line.get("run")))
        approved = book.line(int(line.get("protocol_seq")))
        signed = quote.recorded(approved) if approved.action == "protocol.approved" else plain("not approved")
        rows.append(Row(run, (
            quote.field(line, "fields.run", code=True), quote.field(line, "fields.kind"),
            quote.field(line, "fields.lock") if line.get("lock") else quote.field(line, "fields.target"),
            quote.field(line, "fields.evidence_class"), signed, quote.person(line), quote.recorded(line),
            quote.recorded(end) if end else plain("not concluded"),
            quote.field(end, "fields.verdict", "words", code=True) if end else plain("none"),
            _digest(quote, end, "report") if end else plain("none"),
        )))
    return Table(
        "V1", "Runs", (
            Column("run", "Run", "id"), Column("kind", "Kind"), Column("about", "About"),
            Column("class", "Class of evidence"), Column("approved", "Protocol approved, UTC", "time"),
            Column("tester", "Run by"), Column("started", "Started, UTC", "time"),
            Column("concluded", "Concluded, UTC", "time"), Column("verdict", "Verdict", "category"),
            Column("report", "Digest of the runner's report")),
        tuple(rows), note="The runner's own reports are attached; their digests are those that it recorded.",
    )


def protocol_signatures(book: Book, quote: Quote, named: Sequence[str]) -> Table:
    """V2: who wrote, reviewed and approved each protocol, before anything ran."""
    wanted = {(line.get("protocol"), line.get("version")) for line in started(book, named)}
    meaning = {"protocol.drafted": "authorship", "protocol.reviewed": "review", "protocol.approved": "approval"}
    rows = [
        Row(f"{line.get('protocol')} version {line.get('version')}, {meaning[line.action]}, entry {line.seq}", (
            quote.field(line, "fields.protocol"), quote.field(line, "fields.version"), quote.person(line),
            quote.field(line, "fields.signed_as" if line.get("signed_as") else "role", "words"),
            quote.word(meaning[line.action], line, where=f"action={line.action}"), quote.recorded(line),
            quote.field(line, "fields.digest"), quote.entry(line)), group=str(line.get("protocol")))
        for line in book.of(*meaning) if (line.get("protocol"), line.get("version")) in wanted
    ]
    return Table(
        "V2", "Signatures under the protocols", (
            Column("protocol", "Protocol", "id"), Column("version", "Version", "number"), Column("person", "By"),
            Column("role", "As"), Column("meaning", "Meaning"), Column("at", "Signed, UTC", "time"),
            Column("digest", "Digest of the document"), Column("entry", "Entry", "number")),
        tuple(rows), empty="Nobody has signed a protocol of these runs.",
    )


def steps(book: Book, quote: Quote, named: Sequence[str]) -> Table:
    """V3: every step as it was found, with the digest of its evidence."""
    rows = []
    altered = any(line.get("altered") for run in named for line in steps_of(book, run))
    for run in named:
        for line in steps_of(book, run):
            by_hand = line.action == "step.observed"
            otherwise = quote.field(line, "fields.altered") if line.get("altered") else BLANK
            rows.append(Row(f"{run}/{line.get('step')}", (
                quote.field(line, "fields.step"), quote.field(line, "fields.title"),
                quote.field(line, "fields.requirements", "list"), quote.field(line, "fields.expected"),
                quote.field(line, "fields.found"), quote.field(line, "fields.verdict", "words"),
                quote.person(line) if by_hand else quote.word("the runner", line, where="action=step.recorded"),
                *((otherwise,) if altered else ()), _digest(quote, line, "evidence"), quote.entry(line)), group=run))
    return Table(
        "V3", "Steps", (
            Column("step", "Step", "id"), Column("title", "What was tried"), Column("requirements", "Requirements"),
            Column("expected", "Expected"), Column("found", "Found"), Column("verdict", "Verdict", "category"),
            Column("by", "By"), *((Column("altered", "Done otherwise than signed"),) if altered else ()),
            Column("evidence", "SHA-256 of the evidence"), Column("entry", "Entry", "number")),
        tuple(rows), empty="No step is on record.",
        note="What shows each step lies in evidence.zip, named by run and step.", wide=True,
    )


def not_executed(book: Book, quote: Quote, named: Sequence[str], outside: str | None) -> Table:
    """V4: what was not executed and what is missing for it; for an installation also what no runner can show.

    outside: text of the protocol of manual steps beside the installation.
    """
    rows = [
        Row(f"{run}/{line.get('step')}", (
            quote.field(line, "fields.step"), quote.field(line, "fields.title"), quote.field(line, "fields.found"),
            quote.word("not executed", line, where="fields.verdict=not_executed", code=True)))
        for run in named for line in steps_of(book, run) if line.get("verdict") == "not_executed"
    ]
    read = protocol.read(outside) if outside else None
    done = {str(line.get("step")): line for line, name in counting_steps(book) if read and name == read.protocol.id}
    for step in read.steps if read else ():
        line = done.get(step.id)
        if line is not None and str(line.get("run")) in named:
            continue  # it stands above, or among the steps
        if line is None:
            rows.append(Row(step.id, (plain(step.id), plain(step.title), plain(step.manual or ""),
                                      plain("not carried out"))))
        elif line.get("verdict") != "passed":
            rows.append(Row(step.id, (
                quote.field(line, "fields.step"), quote.field(line, "fields.title"), quote.field(line, "fields.found"),
                quote.field(line, "fields.verdict", "words", code=True))))
    return Table(
        "V4", "Not executed", (
            Column("step", "Step", "id"), Column("title", "What it would show"), Column("lacking", "What is missing"),
            Column("state", "State", "category")),
        tuple(rows), empty="Every step was executed.",
        note="A step that was not executed shows nothing and has passed nothing."
             + (f" Steps of {read.protocol.id} are carried out by people, who keep what shows them." if read else ""),
    )


def live_record(book: Book, quote: Quote, evidence: Mapping[str, bytes]) -> Table:
    """V5: size and root of the live record before the first check and after the last one."""
    rows = []
    for name, content in evidence.items():
        try:
            found = json.loads(content)
            ends = [(when, str(found[key]["size"]), str(found[key]["root"]))
                    for key, when in (("before", "before the first check"), ("after", "after the last check"))]
        except (ValueError, KeyError, TypeError):
            continue
        run, _, step = name.removesuffix(".json").partition("/")
        line = next((one for one in steps_of(book, run) if one.get("step") == step), None)
        if line is not None:
            rows += [Row(f"{run}, {when}", (
                quote.field(line, "fields.run"), plain(when), plain(size), plain(root),
                quote.field(line, "fields.verdict", "words", code=True))) for when, size, root in ends]
    return Table(
        "V5", "The live record, before and after", (
            Column("run", "Run", "id"), Column("when", "When"), Column("size", "Entries", "number"),
            Column("root", "Root of the tree over them, SHA-256"), Column("verdict", "Beginning kept", "category")),
        tuple(rows), empty="No step of these runs took size and root of the live record.",
        note="People may work meanwhile: the record may only have grown, and its beginning is the same.",
    )


def deviations(book: Book, quote: Quote, named: Sequence[str]) -> Table:
    """V6: what was not as signed, open or closed, with its retest and its corrective actions."""
    closed = {str(line.get("deviation")): line for line in book.of("deviation.closed")}
    ended = {str(line.get("capa")): line for line in book.of("capa.closed")}
    rows = []
    for line in deviations_of(book, named):
        end = closed.get(str(line.get("deviation")))
        actions = [one for one in book.of("capa.opened") if one.get("deviation") == line.get("deviation")]
        said = ", ".join(f"{one.get('capa')} {_effect(ended.get(str(one.get('capa'))))}" for one in actions)
        rows.append(Row(str(line.get("deviation")), (
            quote.field(line, "fields.deviation"), quote.field(line, "fields.klass_name"),
            quote.field(line, "fields.says"),
            quote.person(end) if end else plain("open"), quote.field(end, "fields.cause") if end else BLANK,
            quote.field(end, "fields.impact") if end else BLANK,
            quote.field(end, "fields.retest") if end and end.get("retest") else BLANK, plain(said or "none"),
            quote.entry(line))))
    return Table(
        "V6", "Deviations", (
            Column("deviation", "Deviation", "id"), Column("class", "Class", "category"),
            Column("says", "What was not as signed"), Column("closed", "Closed by"), Column("cause", "Cause"),
            Column("impact", "Impact"), Column("retest", "Retest"), Column("capa", "Actions"),
            Column("entry", "Entry", "number")),
        tuple(rows), empty="No step failed and none was carried out otherwise than signed.", wide=bool(rows),
    )


def _effect(end: Line | None) -> str:
    return str(end.get("effect")).replace("_", " ") if end is not None else "open"


def criteria(book: Book, quote: Quote, named: Sequence[str]) -> Table:
    """V7: every criterion as judged on its bound, sub-groups included."""
    rows = []
    for run in named:
        end = concluded(book, run)
        for n, one in enumerate(end.get("criteria", []) if end else []):
            assert end is not None
            at = f"fields.criteria.{n}"
            rows.append(Row(f"{run}, {one['criterion']}", (
                quote.field(end, f"{at}.criterion"), quote.field(end, f"{at}.requirement"),
                quote.field(end, f"{at}.stratum"), quote.field(end, f"{at}.metric", "words"),
                quote.field(end, f"{at}.limit"), quote.field(end, f"{at}.subjects"),
                quote.field(end, f"{at}.estimate", "minus") if "estimate" in one else plain("none"),
                quote.by("interval", [end], path=at) if "low" in one else plain("none"),
                quote.field(end, f"{at}.verdict", "words"),
                quote.field(end, f"{at}.says")), group=run))
    return Table(
        "V7", "Criteria", (
            Column("criterion", "Criterion", "id"), Column("requirement", "Requirement"), Column("stratum", "Stratum"),
            Column("metric", "Metric"), Column("limit", "Limit"), Column("subjects", "Subjects", "number"),
            Column("estimate", "Estimate", "number"), Column("interval", "Interval", "number"),
            Column("verdict", "Verdict", "category"), Column("says", "Why")),
        tuple(rows), empty="These runs judge no criterion on cases.", wide=bool(rows),
        note="A verdict is on the bound, never on the estimate. A sub-group is judged where its limit is stated; else "
             "it is for information, or too small to say anything, unless it lies wholly outside.",
    )


# -- What shows each requirement -----------------------------------------------------------------------------------


def matrix(
    book: Book, quote: Quote, rows: Sequence[traceability.Requirement], tests: Mapping[str, Mapping[str, Any]]
) -> Table:
    """V8: requirement to test to run to evidence, as of the end of the range."""
    counting = {f"{line.get('run')}/{line.get('step')}": line for line, _ in counting_steps(book)}
    done = [(name, str(line.get("verdict")), line.get("requirements", [])) for name, line in counting.items()]
    made = traceability.traced(tests, done, rows)
    out = []
    for one in made:
        said, r = _tests_in_words(one), one.requirement
        shown = [counting[name] for name in one.steps]
        steps = ", ".join(f"{name} ({_short(counting[name])})" for name in one.steps)
        out.append(Row(r.id, (
            plain(r.id), plain(r.risk), plain(one.state), plain(r.text), plain(said),
            quote.word(steps, *shown, where="fields.verdict=passed") if shown else plain("none"))))
    return Table(
        "V8", "Requirements", (
            Column("requirement", "Requirement", "id"), Column("risk", "Risk"), Column("state", "State", "category"),
            Column("text", "What it asks", prose=REQUIREMENT_SIGNS), Column("tests", "Tests"),
            Column("steps", "Steps that passed, with their evidence")),
        tuple(out),
        note="Shown: by a passed test of this software or a passed step of a run that counts. Open: a test is due. "
             "Elsewhere: a document or procedure shows it. " + (
                 "Tests by name stand in tests.json." if tests else
                 "No evidence of tests was given to this report, so none is counted."),
    )


def _short(line: Line) -> str:
    kept = line.get("evidence")
    return f"{str(kept['sha256'])[:12]}…" if kept else "no file"


def _tests_in_words(one: traceability.Traced) -> str:
    failed = [name for name in one.failed if "::" in name]
    parts = [(len(one.passed), "passed"), (len(failed), "failed"), (len(one.skipped), "skipped")]
    steps = [f"step {name} failed" for name in one.failed if "::" not in name]
    return ", ".join([*(f"{number} {what}" for number, what in parts if number), *steps]) or "none"


# -- On what -------------------------------------------------------------------------------------------------------


def environment(quote: Quote, book: Book, reports: Mapping[str, Mapping[str, Any]]) -> tuple[Table, Table]:
    """V9 and V10: machine and software of the runs, as each start names them by digest; what is equal stands once."""
    facts: dict[tuple[str, str], list[str]] = {}
    packages: dict[tuple[str, str], list[str]] = {}
    for run, report in reports.items():
        for name, value in sorted(report["environment"].items()):
            kind, told = (packages, name.removeprefix("package ")) if name.startswith("package ") else (facts, name)
            kind.setdefault((told, str(value)), []).append(run)
    whole = list(reports)

    def where(named: list[str]) -> str:
        return "" if named == whole else f" ({', '.join(named)})"

    rows = [Row(f"{name}{where(named)}", (plain(f"{name}{where(named)}"), plain(value)))
            for (name, value), named in facts.items()]
    rows += [Row(f"digest, {line.get('run')}", (
        quote.word(f"digest of the description, {line.get('run')}", line, where="action=validation.started"),
        quote.field(line, "fields.environment.sha256", code=True))) for line in started(book, whole)]
    single = [(f"{name}{where(named)}", value) for (name, value), named in packages.items()]
    beside = [single[n : n + ABREAST] for n in range(0, len(single), ABREAST)]
    columns = tuple(Column(f"{what}_{n}", what.capitalize()) for n in range(1, ABREAST + 1)
                    for what in ("package", "version"))
    return (
        Table("V9", "Environment", (Column("name", "What", "id"), Column("value", "As the runs found it")),
              tuple(rows), empty="No run told its environment."),
        Table("V10", "Packages", columns, tuple(
            Row(f"{line[0][0]} and beside", tuple(plain(text) for pair in [*line, *[("", "")] * (ABREAST - len(line))]
                                                  for text in pair)) for line in beside),
            empty="No run told its packages."),
    )


def trust_card(book: Book, quote: Quote) -> Table:
    """V11: what an inspector keeps apart, to know this record again."""
    first = book.line(0)
    rows: list[tuple[str, Cell]] = [
        ("Origin", plain(book.range.origin)), ("Leaf of the first entry, SHA-256", plain(first.leaf.hex())),
        ("Root key, Ed25519, Base64", quote.field(first, "fields.public_key", code=True)),
    ]
    rows += [(f"Witness {line.get('holder')}, Ed25519, Base64", quote.field(line, "fields.public_key", code=True))
             for line in book.of("key.enrolled") if line.get("class") == "witness"]
    return Table(
        "V11", "Trust card", (Column("item", "Item", "id"), Column("value", "Value")),
        tuple(Row(name, (plain(name), cell)) for name, cell in rows),
        note="Compare it with the card that was handed over on another way (countersign ledger card). With that card "
             "countersign verify FILE --trust CARD says whose record this is; without one, that it holds together.",
    )


def attached(files: Iterable[tuple[str, str, str]], quote: Quote, ends: Mapping[str, Line]) -> Table:
    """V12: files inside this one, each with what its digest must be.

    files: name, what it holds, SHA-256. ends: by name, the verdict that names the file's digest.
    """
    rows = [
        Row(name, (plain(name), plain(what),
                   quote.field(ends[name], "fields.report.sha256", code=True) if name in ends else plain(digest)))
        for name, what, digest in files
    ]
    return Table(
        "V12", "Attached evidence", (
            Column("name", "File", "id"), Column("holds", "Holds"), Column("digest", "SHA-256")),
        tuple(rows),
    )

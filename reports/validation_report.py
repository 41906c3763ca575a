"""The report of validation runs: from the record and the files that the runs keep by digest to its page model.

A pure function of the range and of the attached files, so whoever has the paper can build it again (RPT-01, RPT-02).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import yaml

from core.errors import UnusableInput
from reports import recompute
from reports.book import Book, Line
from reports.model import Cover, Paper, Signing, Table
from reports.quoting import Quote
from reports.render import Attached
from reports.tables import qualification
from validation import traceability
from validation.rules import EXPLORATORY, overall
from validation.runner import as_bytes

KIND: Final = "validation_report"
EDITION, EARLIER = "1", frozenset[str]()
EVIDENCE, REQUIREMENTS, POLICY, TESTS, OUTSIDE = (
    "evidence.zip", "requirements.yaml", "policy-matrix.csv", "tests.json", "outside.yaml")
HOLDS: Mapping[str, str] = {
    EVIDENCE: "What shows each step, by run and step", REQUIREMENTS: "The requirements of this release",
    POLICY: "Who may act when, by which rows of the policy table", TESTS: "Outcome of every test of this software",
    OUTSIDE: "Protocol of what is shown beside an installation",
}
# Evidence of a step that is larger stays in the house, named by its digest.
MOST_BYTES = 2_000_000
EXECUTED, REVIEWED = "Executed and complete", "Reviewed by exception"


@dataclass(frozen=True, slots=True)
class Files:
    """What travels with the report besides content and record, by name."""

    by_name: Mapping[str, bytes]

    @classmethod
    def among(cls, files: Mapping[str, bytes]) -> Files:
        """Those of the files that are not made from the content."""
        return cls({name: data for name, data in files.items() if name in HOLDS or name.startswith("report-")})

    def reports(self, runs: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The runner's own report of each run. Raises UnusableInput where one is missing or unreadable."""
        try:
            return {run: json.loads(self.by_name[report_name(run)]) for run in runs}
        except (KeyError, ValueError) as error:
            raise UnusableInput(f"A report of the runner is missing or unreadable: {error!r}.") from error

    def evidence(self) -> dict[str, bytes]:
        """What shows each step, by "RUN/STEP.json" or another ending. Raises UnusableInput where it cannot be read."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.by_name[EVIDENCE])) as archive:
                return {name: archive.read(name) for name in archive.namelist()}
        except (KeyError, zipfile.BadZipFile, RuntimeError) as error:
            raise UnusableInput(f"{EVIDENCE} is missing or unreadable: {error!r}.") from error

    def requirements(self) -> list[traceability.Requirement]:
        """The requirements as they were printed. Raises UnusableInput."""
        try:
            return traceability.requirements(self.by_name[REQUIREMENTS].decode())
        except (KeyError, ValueError, TypeError, yaml.YAMLError) as error:
            raise UnusableInput(f"{REQUIREMENTS} is missing or unreadable: {error!r}.") from error

    def tests(self) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
        """The evidence of tests: its head, and each test. Both empty where none was given."""
        if TESTS not in self.by_name:
            return {}, {}
        return json.loads(self.by_name[TESTS]), traceability.evidence_of(self.by_name[TESTS], TESTS)

    def attached(self) -> list[Attached]:
        """As they stand in the PDF."""
        return [Attached(name, data, holds(name)) for name, data in sorted(self.by_name.items())]


def report_name(run: str) -> str:
    """The file of the runner's own report."""
    return f"report-{run}.json"


def holds(name: str) -> str:
    """What a file that travels along is."""
    return HOLDS.get(name) or "The report as the runner wrote it; its digest stands in the verdict"


def packed(evidence: Mapping[str, bytes]) -> bytes:
    """evidence.zip, the same bytes for the same evidence."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(evidence.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def runs_of(paper: Paper) -> tuple[str, ...]:
    """The runs that a report is about."""
    return tuple(row.key for table in paper.tables if table.id == "V1" for row in table.rows)


def testers(book: Book, runs: Sequence[str]) -> set[str]:
    """Who ran these, and who carried out their manual steps."""
    ran = {line.person for line in qualification.started(book, runs)}
    return ran | {line.person for run in runs for line in qualification.steps_of(book, run)
                  if line.action == "step.observed"}


def build(book: Book, runs: Sequence[str], files: Files, release: str) -> Paper:
    """The report without its signatures.

    Raises:
        UnusableInput: a run is unknown or has no verdict, or a file is missing.
        CannotRecompute: an entry lacks what its word promises.
    """
    book = book.of_trial("")
    starts = qualification.started(book, runs)
    ends = [end for run in runs if (end := qualification.concluded(book, run))]
    if not runs or len(starts) != len(runs) or len(ends) != len(runs):
        raise UnusableInput(f"The range does not hold start and verdict of {', '.join(runs) or 'any run'}.",
                            next_step="Name runs that are concluded.")
    quote, own = Quote(book), files.reports(runs)
    head, tests = files.tests()
    evidence = files.evidence()
    whole, packages = qualification.environment(quote, book, own)
    listed = [(name, holds(name), sha256(data).hexdigest()) for name, data in sorted(files.by_name.items())]
    by_file = {report_name(str(end.get("run"))): end for end in ends}
    installation = {str(line.get("target")) for line in starts} == {"installation"}
    outside = files.by_name[OUTSIDE].decode() if installation and OUTSIDE in files.by_name else None
    tables: list[Table] = [
        qualification.runs(book, quote, runs), qualification.protocol_signatures(book, quote, runs),
        qualification.steps(book, quote, runs), qualification.not_executed(book, quote, runs, outside),
        *([qualification.live_record(book, quote, evidence)] if installation else []),
        qualification.deviations(book, quote, runs),
        *([] if installation else [qualification.criteria(book, quote, runs)]),
        qualification.matrix(book, quote, files.requirements(), tests), whole, packages,
        qualification.trust_card(book, quote), qualification.attached(listed, quote, by_file),
    ]
    return Paper(_cover(book, starts, ends, head, tests, release), tuple(tables))


def _cover(
    book: Book, starts: Sequence[Line], ends: Sequence[Line], head: Mapping[str, Any],
    tests: Mapping[str, Mapping[str, Any]], release: str,
) -> Cover:
    runs = [str(line.get("run")) for line in starts]
    steps = [line for run in runs for line in qualification.steps_of(book, run)]
    number = {verdict: sum(line.get("verdict") == verdict for line in steps)
              for verdict in ("passed", "failed", "not_executed")}
    closed = {line.get("deviation") for line in book.of("deviation.closed")}
    found = qualification.deviations_of(book, runs)
    still = sum(line.get("deviation") not in closed for line in found)
    verdict = overall([str(line.get("verdict")) for line in ends]).replace("_", " ")
    classes = {str(line.get("evidence_class")) for line in starts}
    suspect = {line.get("run") for line in book.of("validation.suspect")} & set(runs)
    about = sorted({str(line.get("lock") or "this installation") for line in starts})
    kinds = ", ".join(dict.fromkeys(str(line.get("kind")) for line in starts))
    status = "exploratory, no evidence" if EXPLORATORY in classes else "suspect, counts no more" if suspect else verdict
    facts = [
        ("Verdict", verdict), ("Steps", f"{len(steps)}: {number['passed']} passed, {number['failed']} failed, "
                                        f"{number['not_executed']} not executed"),
        ("Deviations", f"{len(found)}, {still} of them open" if found else "none"), ("Run by", ", ".join(sorted(
            {f"{recompute.name_of(book, line.person)} ({line.person})" for line in starts}))),
        ("Tests of this software", _tests_in_words(head, tests)),
    ]
    return Cover(
        trial="", document=" and ".join(runs) if len(runs) < 3 else f"{runs[0]} and {len(runs) - 1} more",
        version="1.0", title="Validation report", subtitle=f"{kinds} of {', '.join(about)}.", status=status,
        evidence_class=_class(classes), range=book.range, facts=tuple(facts), release=release, edition=EDITION,
        kind=KIND,
    )


def _class(classes: set[str]) -> str:
    if EXPLORATORY in classes:
        return "exploratory: a protocol was not approved, and this is evidence of nothing, for ever"
    return "demonstration, not for clinical use" if "demonstration" in classes else "standard"


def _tests_in_words(head: Mapping[str, Any], tests: Mapping[str, Mapping[str, Any]]) -> str:
    if not tests:
        return "no evidence given"
    number = {outcome: sum(one["outcome"] == outcome for one in tests.values())
              for outcome in ("passed", "failed", "skipped")}
    said = ", ".join(f"{count} {outcome}" for outcome, count in number.items())
    return f"{said}; release {head.get('release')}, code sha256:{str(head.get('code_sha256'))[:12]}…"


def signing_block(book: Book, user: str, at: datetime, offset: str) -> Signing:
    """What the page says of the person who ran it and signs the file; the time is the signature's."""
    said = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, local time UTC{offset}", "Meaning: execution",
            "Electronic signature of this file (PAdES)")
    return Signing(recompute.name_of(book, user), EXECUTED, f"User id {user}", said, in_file=True)


def still_needed() -> Signing:
    """The block of a report that nobody has signed."""
    return Signing("Not yet signed", EXECUTED, "Who ran it")


def review_block() -> Signing:
    """The second person's: a page that is signed cannot be written on, so the second signature of the file shows it."""
    said = ("The second electronic signature of this file, where it has one, is the reviewer's: another person, who "
            "names the report's digest in a signed entry of the record.",)
    return Signing("By another person", REVIEWED, "Not who ran it", said, in_file=True)


def offset_of(book: Book, user: str) -> str:
    """The offset of a person's local time from UTC, as registered."""
    known = [str(line.get("local_offset")) for line in book.of("person.registered") if line.get("user") == user]
    return known[-1] if known else "+00:00"


def digests(book: Book, runs: Sequence[str], files: Files) -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    """Digests of what travels along beside those that the record names: where, here, in the record, entries."""
    evidence, own = files.evidence(), files.reports(runs)
    for start in qualification.started(book, runs):
        run = str(start.get("run"))
        end = qualification.concluded(book, run)
        assert end is not None  # the report was built
        yield (f"attached file {report_name(run)}", sha256(files.by_name[report_name(run)]).hexdigest(),
               str(end.get("report")["sha256"]), (end.seq,))
        yield (f"environment of {run}", sha256(as_bytes(own[run]["environment"])).hexdigest(),
               str(start.get("environment")["sha256"]), (start.seq,))
        for line in qualification.steps_of(book, run):
            if not line.get("evidence"):
                continue
            step = f"{run}/{line.get('step')}"
            data = next((data for name, data in evidence.items() if name.rpartition(".")[0] == step), None)
            if data is not None or int(line.get("evidence")["bytes"]) <= MOST_BYTES:
                yield (f"evidence of {step}", sha256(data).hexdigest() if data is not None else "missing",
                       str(line.get("evidence")["sha256"]), (line.seq,))

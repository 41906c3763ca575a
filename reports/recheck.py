"""Checks a paper without the system that wrote it: the attached record, every number, the printed text.

     1  File        a PDF with content.json and record.zip attached; its bytes agree with its own checksum
     2  Content     canonical bytes; its digest is the one that the pages carry
     3  Record      the attached bundle stands up to audit/verifier.py
     4  Range       size and root that the paper names are those of the record
     5  Numbers     every cell made again from its entries by its rule; its evidence code is its entry's
     6  Whole       the paper built again from the record: no row missing, none added
     7  Print       the text on the pages is the content's, sign by sign; the signature blocks are the record's
     8  Tables      the attached CSV files are the content's
     9  Signature   the file bears the PAdES signature of the person who approved it, by the certificate that the record
                    enrolled for them; nothing follows it but time stamps, and nothing else was appended

What differs is named: table, row, column, printed, what the record gives, which entry. A changed place may be found by
several steps; it is told once, by the first.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import CountersignError, UnusableInput
from reports import csr_appendix, recompute, validation_report
from reports.attached import BUNDLE_NAME, CONTENT_NAME, OpenedPaper, open_paper, paper_of
from reports.book import Book
from reports.model import Cell, Paper, Signing, cells_of, content_digest
from reports.render import Attached
from reports.validation_report import Files

NAMES = {1: "File", 2: "Content", 3: "Record", 4: "Range", 5: "Numbers", 6: "Whole", 7: "Print", 8: "Tables",
         9: "Signature"}
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement."""

    step: int
    where: str
    printed: str
    record: str
    entries: tuple[int, ...] = ()

    def in_words(self) -> str:
        """"table A7, S-001, Week 8, Reader 1, Sum: printed 72.4, record gives 70.1, entry 412"."""
        words = f"{self.where}: printed {self.printed or 'nothing'}, record gives {self.record or 'nothing'}"
        if self.entries:
            words += f", {'entry' if len(self.entries) == 1 else 'entries'} {', '.join(map(str, self.entries[:6]))}"
            words += f" and {len(self.entries) - 6} more" if len(self.entries) > 6 else ""
        return words


@dataclass(slots=True)
class PaperCheck:
    """What the check found. `ok` is true only when every step was done and agreed."""

    path: str
    trial: str = ""
    document: str = ""
    content_sha256: str = ""
    pdf_sha256: str = ""
    record: str = ""
    pages: int = 0
    numbers: int = 0
    signatures: int = 0
    file_signatures: tuple[dict[str, Any], ...] = ()
    steps: dict[int, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings and set(self.steps) == set(NAMES)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "file": self.path, "ok": self.ok, "trial": self.trial, "document": self.document,
            "content_sha256": self.content_sha256, "pdf_sha256": self.pdf_sha256, "record": self.record,
            "numbers": self.numbers, "signatures": self.signatures, "file_signatures": list(self.file_signatures),
            "steps": [{"step": n, "name": NAMES[n], "said": said} for n, said in sorted(self.steps.items())],
            "findings": [
                {"step": f.step, "where": f.where, "printed": f.printed, "record": f.record, "entries": list(f.entries)}
                for f in self.findings
            ],
        }

    def in_words(self) -> str:
        """For people: steps, then what differs, then the verdict."""
        lines = [f"{self.document or self.path}{', trial ' + self.trial if self.trial else ''}"]
        bad = {finding.step for finding in self.findings}
        for n, name in NAMES.items():
            state = "differs" if n in bad else "ok" if n in self.steps else "not done"
            lines.append(f"  {n} {name:<9} {state:<8} {self.steps.get(n, '')}".rstrip())
        lines += [f"  - {finding.in_words()}" for finding in self.findings]
        if self.ok:
            lines.append(f"AGREES WITH ITS RECORD. Record: {self.record}")
        elif self.findings:
            lines.append(f"DIFFERS FROM ITS RECORD in {len(self.findings)} places.")
        else:
            lines.append("NOT CHECKED WHOLLY.")
        return "\n".join(lines)


def check_pdf(
    path: str | Path, *, trust: Path | None = None, require_trust: bool = False, jobs: int = 1, unsigned: bool = False,
    signings: tuple[Signing, ...] = (),
) -> PaperCheck:
    """Check a paper offline. `trust` is the trust card of the log it was drawn from; `unsigned` says that the paper is
    about to be signed, so that its file bears no signature yet, and `signings` which blocks it prints then.

    Raises UnusableInput where the file is no paper of ours: then there is nothing to compare.
    """
    path = Path(path)
    opened = open_paper(path)  # 1
    check = PaperCheck(path.name, pdf_sha256=opened.sha256)
    check.pages = len(opened.printed)
    check.steps[1] = f"{len(opened.files)} attached files, {len(opened.printed)} pages"
    if opened.checksum_problem:
        check.findings.append(Finding(1, "bytes of the file", "another checksum", opened.checksum_problem))
    _Checker(check, opened, paper_of(opened.files[CONTENT_NAME]), signings).run(
        trust, require_trust, jobs, unsigned)
    del check.findings[MOST_FINDINGS:]
    return check


@dataclass
class _Checker:
    """The steps over one opened paper."""

    check: PaperCheck
    opened: OpenedPaper
    paper: Paper
    signings: tuple[Signing, ...] = ()
    told: set[str] = field(default_factory=set)

    def run(self, trust: Path | None, require_trust: bool, jobs: int, unsigned: bool) -> None:
        self.content()
        if not self.record(trust, require_trust, jobs):
            return
        whole = Book.from_bundle(io.BytesIO(self.opened.files[BUNDLE_NAME]))
        book = self.range(whole)
        if book is not None:
            self.numbers(book)
            self.whole(book)
            self.print(whole)
            self.tables(whole)
            self.signature(whole, trust, unsigned)

    @property
    def of_validation(self) -> bool:
        return self.paper.cover.kind == validation_report.KIND

    @property
    def more(self) -> list[Attached]:
        return Files.among(self.opened.files).attached() if self.of_validation else []

    def tell(self, step: int, where: str, printed: str, record: str, entries: tuple[int, ...] = ()) -> None:
        """One finding a place: the first step that finds it tells it."""
        if where not in self.told:
            self.told.add(where)
            self.check.findings.append(Finding(step, where, printed, record, entries))

    def content(self) -> None:  # 2
        cover = self.paper.cover
        self.check.trial, self.check.document = cover.trial, f"{cover.document}, version {cover.version}"
        self.check.content_sha256 = content_digest(self.paper)
        self.check.steps[2] = f"sha256:{self.check.content_sha256}"

    def record(self, trust: Path | None, require_trust: bool, jobs: int) -> bool:  # 3
        from audit.verifier import WrongUse, verify_bundle

        with tempfile.NamedTemporaryFile(suffix=".zip") as copy:
            copy.write(self.opened.files[BUNDLE_NAME])
            copy.flush()
            try:
                report = verify_bundle(copy.name, trust, jobs=jobs)
            except WrongUse as wrong:
                raise UnusableInput(str(wrong), next_step="Check path and trust card.") from wrong
        self.check.record = report.verdict
        self.check.steps[3] = f"{report.verdict}, {report.entries} entries"
        if not report.ok:
            bad = report.first_bad
            self.tell(3, "attached record", "a record", bad.in_words() if bad else report.verdict)
            return False
        if require_trust and report.verdict != "VERIFIED":
            self.tell(3, "attached record", "a record", "no trust card vouches for its origin")
        return True

    def range(self, whole: Book) -> Book | None:  # 4
        named = self.paper.cover.range
        try:
            book = whole.until(named.size).of_trial(self.paper.cover.trial)
        except UnusableInput as error:
            self.tell(4, "range of the paper", f"{named.size} entries", error.fact)
            return None
        if book.range != named:
            for printed, record in zip(_range_words(named), _range_words(book.range), strict=True):
                if printed != record:
                    self.tell(4, f"range, {printed[0]}", printed[1], record[1])
        self.check.steps[4] = f"entries 0 to {named.size - 1}, root {named.root[:19]}…"
        return book

    def numbers(self, book: Book) -> None:  # 5
        for where, cell in _cells(self.paper):
            basis = cell.basis
            if basis is None:
                if cell.code:
                    self.tell(5, where, cell.code, "no entry is named for this code")
                continue
            self.check.numbers += 1
            try:
                made = recompute.compute(book, basis)
            except (recompute.CannotRecompute, CountersignError) as error:
                self.tell(5, where, cell.text, str(error), basis.entries)
                continue
            if made != cell.text:
                self.tell(5, where, cell.text, made, basis.entries)
            elif cell.code and cell.code != book.codes.code(basis.entries[0]):
                self.tell(5, where, cell.code, book.codes.code(basis.entries[0]), basis.entries)
        self.check.steps[5] = f"{self.check.numbers} cells made again from their entries"

    def whole(self, book: Book) -> None:  # 6
        edition = self.paper.cover.edition
        about: Any = validation_report if self.of_validation else csr_appendix
        if edition in about.EARLIER:
            self.check.steps[6] = f"not done: edition {edition}, this release builds {about.EDITION}; a row " \
                                  "left out would not be seen"
            return
        if edition != about.EDITION or self.paper.cover.kind not in ("", validation_report.KIND):
            self.tell(6, "edition of the paper", edition, f"{about.EDITION} is the newest this release knows")
            return
        try:
            again = self._again(book)
        except (recompute.CannotRecompute, CountersignError) as error:
            self.tell(6, "whole paper", "a paper", str(error))
            return
        self.check.steps[6] = "built again from the record"
        if content_digest(again) == self.check.content_sha256:
            return
        before = len(self.check.findings)
        for where, printed, record in _differences(self.paper, again):
            self.tell(6, where, printed, record)
        if before == 0 and not self.check.findings:
            self.tell(6, "content digest", self.check.content_sha256, content_digest(again))

    def _again(self, book: Book) -> Paper:
        cover = self.paper.cover
        if self.of_validation:
            files = Files.among(self.opened.files)
            return validation_report.build(book, validation_report.runs_of(self.paper), files, cover.release)
        return csr_appendix.build(book, cover.trial, cover.release)

    def _signings(self, whole: Book) -> tuple[Signing, ...]:
        if not self.of_validation:
            return csr_appendix.signings(whole, self.paper.cover.trial, self.check.content_sha256)
        return self.signings or printed_signings(whole, self.opened.raw)

    def print(self, whole: Book) -> None:  # 7
        from reports import visible
        from reports.render import attached_data

        signings = self._signings(whole)
        self.check.signatures = sum(signing.entry is not None for signing in signings)
        signed = Paper(self.paper.cover, self.paper.tables, self.paper.figures, signings)
        files = attached_data(self.paper, self.opened.files[BUNDLE_NAME], self.more)
        places = dict(_cells(self.paper))
        for difference in visible.compare(signed, files, self.opened.printed):
            cell = places.get(difference.where)
            code = cell.code.removeprefix("EV-") if cell else ""
            entries = cell.basis.entries if cell and cell.basis else ()
            self.tell(7, difference.where, difference.printed.removesuffix(code),
                      difference.expected.removesuffix(code), entries)
        made = "" if self.of_validation else f", {self.check.signatures} of {len(signings)} signatures made"
        self.check.steps[7] = f"{self.check.pages} pages{made}"

    def tables(self, whole: Book) -> None:  # 8
        from reports.render import attached_data

        files = {item.name: item.data for item in attached_data(
            self.paper, self.opened.files[BUNDLE_NAME], self.more)}
        for name in sorted(files.keys() | self.opened.files.keys()):
            there, wanted = self.opened.files.get(name), files.get(name)
            if there is None or wanted is None:
                self.tell(8, f"attached file {name}", "missing" if there is None else "there",
                          "missing" if wanted is None else "needed")
            elif there != wanted:
                line = _first_other_line(there, wanted)
                self.tell(8, f"attached file {name}, line {line[0]}", line[1], line[2])
        self.check.steps[8] = f"{len(files)} attached files"
        if self.of_validation:
            runs, shown = validation_report.runs_of(self.paper), 0
            for where, printed, record, entries in validation_report.digests(whole, runs, Files.among(
                    self.opened.files)):
                shown += printed == record
                if printed != record:
                    self.tell(8, where, printed, record, entries)
            self.check.steps[8] += f", {shown} of them or of their evidence by the digest in its entry"

    def signature(self, whole: Book, trust: Path | None, unsigned: bool) -> None:  # 9
        from audit.verifier import read_card
        from reports.signed_file import judge, judge_report

        card = read_card(trust)
        roots = card.timestamp_roots if card else ()
        if self.of_validation:
            judged = judge_report(self.opened.raw, self.opened.appended, whole, validation_report.runs_of(self.paper),
                                  stamp_roots=roots, unsigned=unsigned)
        else:
            judged = judge(self.opened.raw, self.opened.appended, whole, self.paper.cover.trial,
                           self.check.content_sha256, stamp_roots=roots, unsigned=unsigned)
        self.check.file_signatures = judged.signatures
        for n, (found, wanted, entries) in enumerate(judged.wrong, 1):
            self.tell(9, f"signature of the file{f', {n}' if n > 1 else ''}", found, wanted, entries)
        self.check.steps[9] = judged.said


def printed_signings(whole: Book, raw: bytes) -> tuple[Signing, ...]:
    """The blocks that a report of validation must print: those of its file's own first signature, or of a draft."""
    from reports.pades import signatures_of
    from reports.signed_file import enrolment_of

    try:
        first = next(iter(signatures_of(raw, by_two=True)), None)
    except UnusableInput:
        first = None
    key = enrolment_of(whole, first.certificate) if first is not None else None
    if first is None or first.at is None or key is None:
        return validation_report.still_needed(), validation_report.review_block()
    user = str(key.get("holder"))
    offset = validation_report.offset_of(whole, user)
    return validation_report.signing_block(whole, user, first.at, offset), validation_report.review_block()


def _cells(paper: Paper) -> Iterator[tuple[str, Cell]]:
    for table in paper.tables:
        try:
            for row, column, cell in cells_of(table):
                yield f"table {table.id}, {row.key}, {column.title}", cell
        except ValueError as error:
            raise UnusableInput(f"content.json: {error}") from error


def _range_words(named: Any) -> list[tuple[str, str]]:
    return [("origin", named.origin), ("size", str(named.size)), ("root", named.root),
            ("last entry at", named.last_entry_at), ("last code", named.last_code)]


def _differences(paper: Paper, again: Paper) -> Iterator[tuple[str, str, str]]:
    """Where two papers differ: cells, rows only one has, then notes, figures and cover."""
    here, there = dict(_cells(paper)), dict(_cells(again))
    for where in [*here, *(w for w in there if w not in here)]:
        mine, other = here.get(where), there.get(where)
        if mine is None or other is None:
            yield where, mine.text if mine else "no such row", other.text if other else "no such row"
        elif mine != other:
            yield where, f"{mine.text} {mine.code}".strip(), f"{other.text} {other.code}".strip()
    for name in ("tables", "figures"):
        mine_all = {thing.id: thing for thing in getattr(paper, name)}
        again_all = {thing.id: thing for thing in getattr(again, name)}
        for key in [*mine_all, *(k for k in again_all if k not in mine_all)]:
            if mine_all.get(key) != again_all.get(key):
                yield f"{name.removesuffix('s')} {key}", "this one", "another one"
    if paper.cover != again.cover:
        for slot in ("document", "version", "title", "subtitle", "status", "evidence_class", "facts"):
            if getattr(paper.cover, slot) != getattr(again.cover, slot):
                yield f"cover, {slot}", str(getattr(paper.cover, slot)), str(getattr(again.cover, slot))


def _first_other_line(there: bytes, wanted: bytes) -> tuple[int, str, str]:
    mine, other = (data.decode(errors="replace").splitlines() for data in (there, wanted))
    for n in range(max(len(mine), len(other))):
        a, b = (lines[n] if n < len(lines) else "" for lines in (mine, other))
        if a != b:
            return n + 1, a[:160], b[:160]
    return len(mine), "", ""

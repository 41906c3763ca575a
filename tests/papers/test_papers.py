"""Papers from end to end: drawn from the record, signed by two, issued, and every tampering found and named."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from sqlalchemy import Connection
from typer.testing import CliRunner

from audit import verifier
from core.errors import RecordDamaged, Refused, Stale, UnusableInput
from core.policy.state import Actor
from core.work import Receipt
from countersign.cli import app
from reports import bundling, csr_appendix, issuing, queries, usecases
from reports.attached import open_paper, with_checksum
from reports.book import Book
from reports.model import Basis, Cell, Column, Cover, Paper, Range, Row, Table, cells_of, content_digest
from reports.recheck import check_pdf
from reports.render import render
from tests.builders.papers import TRIAL, a_small_trial, a_told_trial, an_issued_paper, book_of
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req

LEAD, QA = Actor("trial-lead"), Actor("qa")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """One house with a whole trial, for all tests that only add to its record."""
    with a_house(tmp_path_factory.mktemp("told")) as house:
        a_told_trial(house)
        yield house


@pytest.fixture(scope="module")
def issued(told: HouseUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One issued paper for all tests that only read or spoil copies of it."""
    paper = an_issued_paper(told)
    path = tmp_path_factory.mktemp("papers") / "paper.pdf"
    path.write_bytes(told.desk.objects.get(paper.pdf))
    return path


@pytest.fixture
def ready(house: HouseUnderTest) -> HouseUnderTest:
    """A house with a live trial in which nothing was read yet."""
    a_small_trial(house)
    return house


def spoiled(path: Path, out: Path, change: Callable[[pikepdf.Pdf], None]) -> Path:
    """A copy in which `change(pdf)` was done."""
    with pikepdf.open(path) as pdf:
        change(pdf)
        pdf.save(out)
    # The forger knows how the checksum is made.
    out.write_bytes(with_checksum(out.read_bytes()))
    return out


def attach(pdf: pikepdf.Pdf, name: str, data: bytes) -> None:
    """Replace the bytes of an attachment."""
    pdf.attachments[name].obj.EF.F.write(data)


@req("RPT-01", "RPT-02", "REC-08")
def test_an_issued_paper_agrees_with_its_record_offline(issued: Path) -> None:
    check = check_pdf(issued)
    assert check.ok, check.in_words()
    assert check.signatures == 2
    assert check.numbers > 100
    assert check.record == verifier.SELF_CONSISTENT
    said = check.in_words()
    assert "AGREES WITH ITS RECORD" in said
    assert "2 of 2 signatures made" in said


@req("RPT-02")
def test_the_same_range_gives_the_same_content_digest(told: HouseUnderTest) -> None:
    """Drawn from the live record, and again from a bundle in other hands."""
    drawn = usecases.draw_appendix(told.desk, LEAD, TRIAL)
    bundle = bundling.trial_bundle(told.desk, TRIAL, "trial-lead")
    from_live = csr_appendix.build(book_of(told).until(drawn.size), TRIAL, drawn.release)
    from_bundle = csr_appendix.build(Book.from_bundle(io.BytesIO(bundle)).until(drawn.size), TRIAL, drawn.release)
    assert content_digest(from_live) == content_digest(from_bundle) == drawn.content_digest


@req("RPT-03")
def test_missing_time_points_stand_in_the_paper_with_state_and_reason(told: HouseUnderTest) -> None:
    paper = csr_appendix.build(book_of(told), TRIAL, "0.1.0")
    rows = {row.key: [cell.text for cell in row.cells] for row in tables(paper)["A11"].rows}
    assert "101-001, BL" not in rows
    assert rows["101-002, W08"][4:6] == ["missed", "scan not done"]
    assert rows["101-002, W16"][4] == "ready"
    assert len(rows) == 2


def test_a_limit_below_the_shipped_one_is_printed_with_its_justification(told: HouseUnderTest) -> None:
    paper = csr_appendix.build(book_of(told), TRIAL, "0.1.0")
    (row,) = tables(paper)["A1b"].rows
    assert [cell.text for cell in row.cells][:4] == ["qc.min_studies", "2", "50", "Small numbers of a demonstration."]


@req("RPT-02")
def test_every_printed_cell_of_the_record_names_its_entries(told: HouseUnderTest) -> None:
    paper = csr_appendix.build(book_of(told), TRIAL, "0.1.0")
    for table in paper.tables:
        for row, column, cell in cells_of(table):
            if cell.code:
                assert cell.basis is not None
                assert cell.basis.entries, (table.id, row.key, column.title)


def tables(paper: Paper) -> dict[str, Table]:
    return {table.id: table for table in paper.tables}


# Tampering ---------------------------------------------------------------------------------------------------------


@req("RPT-04", "REC-08")
def test_a_changed_number_in_the_content_is_found_and_named(issued: Path, tmp_path: Path) -> None:
    raw = open_paper(issued).files["content.json"]
    changed = raw.replace(b'"text":"50"', b'"text":"51"', 1)
    assert changed != raw
    check = check_pdf(spoiled(issued, tmp_path / "x.pdf", lambda pdf: attach(pdf, "content.json", changed)))
    assert not check.ok
    finding = next(f for f in check.findings if f.where.startswith("table A1b"))
    assert (finding.printed, finding.record) == ("51", "50")
    assert re.search(r"table A1b, qc\.min_studies, version 1\.1, Shipped: printed 51, record gives 50, entry \d+",
                     check.in_words())


@req("RPT-04", "REC-04")
def test_one_changed_byte_in_the_attached_record_is_found(issued: Path, tmp_path: Path) -> None:
    files = open_paper(issued).files
    archive = zipfile.ZipFile(io.BytesIO(files["record.zip"]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "entries.jsonl":
                data = data.replace(b"scan_not_done", b"scan_not_dome", 1)
            copy.writestr(name, data)
    check = check_pdf(spoiled(issued, tmp_path / "x.pdf", lambda pdf: attach(pdf, "record.zip", out.getvalue())))
    assert not check.ok
    assert check.findings[0].step == 3
    assert "entry" in check.findings[0].record


@req("RPT-04")
@pytest.mark.parametrize(("old", "new"), [("missed", "passed"), ("Missing", "Messing")])
def test_changed_print_is_found_though_attachments_are_whole(issued: Path, tmp_path: Path, old: str, new: str) -> None:
    """A number, and a heading, are repainted on the page with the page's own font."""
    done: list[bool] = []

    def repaint(pdf: pikepdf.Pdf) -> None:
        for page in pdf.pages:
            if not done and repaint_text(pdf, page, old, new):
                done.append(True)

    path = spoiled(issued, tmp_path / "x.pdf", repaint)
    assert done, "the text was not on any page"
    check = check_pdf(path)
    assert not check.ok
    assert {finding.step for finding in check.findings} == {7, 9}
    assert any(new.split()[-1] in finding.printed for finding in check.findings), check.in_words()


def repaint_text(pdf: pikepdf.Pdf, page: pikepdf.Page, old: str, new: str) -> bool:
    """Replace a run of text by another of the same length, glyph by glyph; False where it is not on the page."""
    from reports.textlayer import unicode_map

    instructions: list[tuple[Any, Any]] = []
    found, texts = False, dict[int, str]()
    for instruction in pikepdf.parse_content_stream(page):
        verb, operands = str(instruction.operator), list(instruction.operands)
        if verb == "Tf":
            font = page.Resources.Font[str(operands[0])]
            texts = unicode_map(font.ToUnicode.read_bytes())
        if verb == "TJ" and not found:
            codes = {text: code for code, text in texts.items()}
            shown = "".join(
                texts.get(int.from_bytes(bytes(item)[n : n + 2]), "?")
                for item in operands[0] if isinstance(item, pikepdf.String) for n in range(0, len(bytes(item)), 2)
            )
            if old in shown and all(sign in codes for sign in new):
                whole = shown.replace(old, new)
                raw = b"".join(codes[sign].to_bytes(2, "big") for sign in whole)
                operands, found = [pikepdf.Array([pikepdf.String(raw)])], True
        instructions.append((operands, instruction.operator))
    if found:
        page.Contents = pdf.make_stream(pikepdf.unparse_content_stream(instructions))
    return found


def first_step_says(path: Path) -> str:
    """What is wrong with the bytes of a file, whether it can still be read to its end or not."""
    try:
        check = check_pdf(path)
    except RecordDamaged as damaged:
        return damaged.fact
    return check.findings[0].record if check.findings and check.findings[0].step == 1 else ""


@req("RPT-04")
@pytest.mark.parametrize("part", [1, 2, 3, 5, 7, 8, 9])
def test_one_bit_changed_anywhere_in_the_file_is_found(issued: Path, tmp_path: Path, part: int) -> None:
    data = bytearray(issued.read_bytes())
    data[len(data) * part // 10] ^= 1
    path = tmp_path / "x.pdf"
    path.write_bytes(data)
    assert first_step_says(path)


@req("RPT-04")
def test_a_page_taken_out_is_found(issued: Path, tmp_path: Path) -> None:
    def drop(pdf: pikepdf.Pdf) -> None:
        del pdf.pages[-1]

    check = check_pdf(spoiled(issued, tmp_path / "x.pdf", drop))
    assert not check.ok
    assert {finding.step for finding in check.findings} == {7, 9}


@req("RPT-03", "RPT-04")
def test_a_row_left_out_of_content_and_print_alike_is_found(told: HouseUnderTest, tmp_path: Path) -> None:
    """The forger draws the whole paper anew without the missed time point; only the record contradicts."""
    drawn = usecases.draw_appendix(told.desk, LEAD, TRIAL)
    paper = usecases.read_content(told.desk, drawn)
    cut = []
    for table in paper.tables:
        rows = tuple(row for row in table.rows if row.key != "101-002, W08") if table.id == "A11" else table.rows
        cut.append(type(table)(**{slot: getattr(table, slot) for slot in table.__slots__} | {"rows": rows}))
    path = tmp_path / "forged.pdf"
    forged = Paper(paper.cover, tuple(cut), paper.figures)
    signings = csr_appendix.signings(book_of(told), TRIAL, content_digest(forged))
    forged = Paper(forged.cover, forged.tables, forged.figures, signings)
    path.write_bytes(render(forged, bundle=bundling.trial_bundle(told.desk, TRIAL, "trial-lead")))

    check = check_pdf(path)

    assert not check.ok
    assert {finding.step for finding in check.findings} == {6}
    assert any("101-002, W08" in finding.where and finding.printed == "no such row" for finding in check.findings)


@req("RPT-04")
def test_a_changed_table_file_is_found(issued: Path, tmp_path: Path) -> None:
    raw = open_paper(issued).files["table-a11.csv"]
    other = raw.replace(b"101-002", b"101-009")
    path = spoiled(issued, tmp_path / "x.pdf", lambda pdf: attach(pdf, "table-a11.csv", other))
    check = check_pdf(path)
    assert not check.ok
    assert {finding.step for finding in check.findings} == {8, 9}
    assert "table-a11.csv, line 2" in check.in_words()


def test_foreign_and_broken_files_are_named_as_such(issued: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.pdf"
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save(foreign)
    with pytest.raises(UnusableInput, match="no paper of this system"):
        check_pdf(foreign)
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(issued.read_bytes()[:4000])
    with pytest.raises(RecordDamaged, match="bytes were changed"):
        check_pdf(cut)
    cut.write_bytes(foreign.read_bytes()[:200])
    with pytest.raises(UnusableInput, match="cannot be read as a PDF"):
        check_pdf(cut)
    with pytest.raises(UnusableInput, match="no file"):
        check_pdf(tmp_path / "nothing.pdf")
    path = spoiled(issued, tmp_path / "x.pdf", lambda pdf: attach(pdf, "content.json", b"{ }"))
    with pytest.raises(UnusableInput, match=r"content\.json"):
        check_pdf(path)


# Who may put a name to it --------------------------------------------------------------------------------------


@req("SIG-03")
def test_only_the_trial_lead_prepares_and_only_another_person_approves(ready: HouseUnderTest) -> None:
    ready.grant("trial-lead", "qa_auditor", trial=TRIAL)
    ready.person("reader", "reader", trial=TRIAL)
    drawn = usecases.draw_appendix(ready.desk, LEAD, TRIAL)
    digest = drawn.content_digest

    def sign(actor: Actor, part: str) -> Receipt:
        ready.clock.advance(minutes=2)
        return ready.commit(usecases.sign_report(ready.desk, actor, usecases.SignReport(TRIAL, digest, part)))

    for actor, part, rule in ((QA, "approved", "F-802"), (Actor("reader"), "prepared", "default-deny")):
        with pytest.raises(Refused) as refusal:
            sign(actor, part)
        assert refusal.value.rule == rule
    sign(LEAD, "prepared")
    with pytest.raises(Refused) as refusal:
        sign(LEAD, "approved")
    assert refusal.value.rule == "F-801"
    with pytest.raises(Refused) as refusal:
        issuing.issue_report(ready.desk, QA, TRIAL, digest)
    assert refusal.value.rule == "F-803"
    assert ready.words()[-1] == "action.refused"
    sign(QA, "approved")
    assert queries.drawn_report(session_of(ready), TRIAL, digest[:8]).signatures.keys() == {"prepared", "approved"}


def session_of(house: HouseUnderTest) -> Connection:
    return house.desk.engine.connect()


@req("RDG-02")
def test_a_reader_of_the_trial_gets_no_paper_though_a_role_would_allow_it(told: HouseUnderTest) -> None:
    told.grant("reader-1", "data_manager", trial=TRIAL)
    with pytest.raises(Refused) as refusal:
        usecases.draw_appendix(told.desk, Actor("reader-1"), TRIAL)
    assert refusal.value.rule == "F-806"


def test_two_approvals_prepared_at_once_end_in_one(ready: HouseUnderTest) -> None:
    ready.person("qa-2", "qa_auditor", trial=TRIAL)
    drawn = usecases.draw_appendix(ready.desk, LEAD, TRIAL)
    command = usecases.SignReport(TRIAL, drawn.content_digest, "prepared")
    ready.commit(usecases.sign_report(ready.desk, LEAD, command))
    approve = usecases.SignReport(TRIAL, drawn.content_digest, "approved")
    first = usecases.sign_report(ready.desk, QA, approve)
    second = usecases.sign_report(ready.desk, Actor("qa-2"), approve)
    ready.commit(first)
    with pytest.raises((Refused, Stale)):
        ready.commit(second)


@req("RPT-01")
def test_nothing_is_drawn_from_a_record_that_does_not_verify(ready: HouseUnderTest) -> None:
    with ready.desk.engine.connect() as session:
        for trigger in session.exec_driver_sql("select name from sqlite_master where type='trigger'").scalars().all():
            session.exec_driver_sql(f'drop trigger "{trigger}"')
        change = "update entry set data = cast(replace(cast(data as text), ?, ?) as blob)"
        session.exec_driver_sql(change, ("A trial", "B trial"))
        session.commit()
        with pytest.raises(RecordDamaged, match="does not stand up"):
            usecases.draw_appendix(ready.desk, LEAD, TRIAL)
        session.exec_driver_sql(change, ("B trial", "A trial"))
        session.commit()


# The file ------------------------------------------------------------------------------------------------------


@req("REC-08")
def test_the_file_is_whole_with_its_fonts_and_attachments(issued: Path) -> None:
    need("poppler")
    need("qpdf")
    said = subprocess.run(["pdffonts", str(issued)], capture_output=True, text=True, check=True).stdout
    fonts = said.splitlines()[2:]
    assert fonts
    assert all(re.search(r"yes yes yes\s+\d+\s+0$", line.rstrip()) for line in fonts), fonts
    assert all(re.match(r"[A-Z]{6}\+(Inter|DejaVu-Sans-Mono)", line) for line in fonts), fonts
    names = subprocess.run(["pdfdetach", "-list", str(issued)], capture_output=True, text=True, check=True).stdout
    assert "content.json" in names
    assert "record.zip" in names
    assert subprocess.run(["qpdf", "--check", str(issued)], capture_output=True, check=False).returncode == 0
    with pikepdf.open(issued) as pdf:
        assert {str(file.AFRelationship) for file in pdf.Root.AF} == {"/Data", "/Supplement"}
        assert "pdfaid" in pdf.Root.Metadata.read_bytes().decode()
        assert pdf.Root.OutputIntents
        assert "/JavaScript" not in str(pdf.Root.get("/Names", {}).keys())


def test_the_same_paper_gives_the_same_bytes() -> None:
    """On one machine; across machines the content digest is what is promised."""
    signs = (Cell("70.1", Basis("read.sum", (7,)), "EV-0123-4567", "mm"), Cell("−31.7"))
    table = Table("A7", "Reads", (Column("value", "Value", "number"), Column("change", "Change, %", "number")),
                  (Row("S-1", signs),))
    cover = Cover("T1", "T1-x", "1.0", "A paper", "For a test", "interim, draft", "demonstration", Range(
        "log", 8, "sha256:00", "2026-11-24 14:05:32.000000 UTC"))
    paper = Paper(cover, (table,))
    assert render(paper, bundle=b"PK") == render(paper, bundle=b"PK")


@req("REC-08")
def test_the_command_line_tells_agreement_from_difference(issued: Path, tmp_path: Path) -> None:
    good = CliRunner().invoke(app, ["verify", str(issued)])
    assert good.exit_code == 0, good.output
    assert "AGREES" in good.output
    bundle = tmp_path / "record.zip"
    bundle.write_bytes(open_paper(issued).files["record.zip"])
    assert CliRunner().invoke(app, ["verify", str(bundle)]).exit_code == 0
    raw = open_paper(issued).files["content.json"].replace(b'"text":"50"', b'"text":"51"', 1)
    bad = spoiled(issued, tmp_path / "x.pdf", lambda pdf: attach(pdf, "content.json", raw))
    assert CliRunner().invoke(app, ["verify", str(bad), "--json"]).exit_code == 2
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("hello")
    assert CliRunner().invoke(app, ["verify", str(foreign)]).exit_code == 1
    shutil.copy(issued, tmp_path / "copy.pdf")
    assert CliRunner().invoke(app, ["verify", str(issued), "--require-trust"]).exit_code == 2


@req("REC-08", "RPT-01")
def test_a_paper_is_drawn_signed_and_issued_at_the_command_line(
    ready: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The house's clock is set by the test; a second house on the machine's clock would contradict it.
    monkeypatch.setattr("countersign.cli.report.house", lambda home: ready.house)
    draft, final = tmp_path / "draft.pdf", tmp_path / "final.pdf"

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == 0, done.output
        return done.output

    said = run("report", "csr-appendix", "--trial", TRIAL, "--out", str(draft), "--as", "trial-lead", "--json")
    drawn = json.loads(said)
    content = drawn["content_sha256"][:12]
    assert check_pdf(draft).signatures == 0
    for user, part, meaning in (("trial-lead", "prepared", "authorship"), ("qa", "approved", "approval")):
        proof = ready.proof(user)
        monkeypatch.setenv("COUNTERSIGN_MEANING", meaning)
        monkeypatch.setenv("COUNTERSIGN_PASSWORD", proof.password)
        monkeypatch.setenv("COUNTERSIGN_CODE", proof.code)
        said = run("report", "sign", "--trial", TRIAL, "--content", content, "--part", part, "--as", user)
        assert "Content digest" in said
    proof = ready.proof("qa")
    monkeypatch.setenv("COUNTERSIGN_MEANING", "responsibility")
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", proof.password)
    monkeypatch.setenv("COUNTERSIGN_CODE", proof.code)
    said = run("report", "issue", "--trial", TRIAL, "--content", content, "--as", "qa", "--out", str(final))
    assert "the file bears my signature" in said
    fetched = tmp_path / "again.pdf"
    run("report", "fetch", "--trial", TRIAL, "--content", content, "--as", "trial-lead", "--out", str(fetched))
    assert fetched.read_bytes() == final.read_bytes()
    assert "issued" in run("report", "list", "--trial", TRIAL)
    check = check_pdf(final)
    assert check.ok, check.in_words()
    assert check.signatures == 2
    assert "issued 20" in run("report", "which", str(final))
    never = CliRunner().invoke(app, ["report", "which", str(draft)])
    assert never.exit_code == 2
    assert "was never issued here" in never.output


@req("RPT-02")
def test_a_paper_of_another_edition_is_said_to_be_one(issued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later release checks each cell of an earlier edition; that no row is missing it can then not say."""
    monkeypatch.setattr(csr_appendix, "EDITION", "2")
    assert [finding.where for finding in check_pdf(issued).findings] == ["edition of the paper"]
    monkeypatch.setattr(csr_appendix, "EARLIER", frozenset({"1"}))
    check = check_pdf(issued)
    assert check.ok
    assert check.steps[6].startswith("not done: edition 1")

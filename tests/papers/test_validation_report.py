"""The report of validation as a signed file: by who ran it, then by its reviewer; what is changed in it is found."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pikepdf
import pytest
from cryptography import x509

from audit import verifier
from core.errors import AlreadyDone, Refused, UnusableInput
from core.ledger_exports import card
from core.ledger_queries import SessionReader
from reports import pades, queries, validation_report, validation_signing
from reports.attached import drawn_bytes, open_paper
from reports.recheck import PaperCheck, check_pdf
from reports.visible import squeezed
from tests.builders.validation import (
    FakeModel,
    Team,
    approve,
    clinical_folder,
    contoured,
    failing,
    installation,
    locked,
    passing,
    pq_by_groups,
    ready_pq,
    reviewed,
    run,
    small_pq,
    stated_of_six,
)
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.papers.test_papers import attach, spoiled
from tests.req import req
from tests.validation.test_cli import call
from validation.ports import Found
from validation.releases import CloseDeviation, close_deviation
from validation.runner import Bench, Outcome, RunProtocol, run_protocol
from validation.usecases import DraftProtocol, draft_protocol


@dataclass
class Signed:
    """A house, its people, two runs, and the file of their report as executed and as reviewed."""

    house: HouseUnderTest
    team: Team
    runs: tuple[str, str]
    executed: Path
    reviewed: Path


def kept(house: HouseUnderTest, name: str) -> bytes:
    with house.desk.reading() as session:
        return house.desk.objects.get(queries.report_files(session, name)[0].pdf)


def size_and_root() -> Found:
    return Found(True, "Kept.", {"before": {"size": 7, "root": "ab" * 32}, "after": {"size": 9, "root": "cd" * 32}})


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """IQ with a step that could not be made, OQ with one that failed: signed by who ran them, reviewed by another."""
    folder = tmp_path_factory.mktemp("signed")
    with a_house(folder) as house:
        team = Team.of(house)
        approve(house, team, installation("fine", "absent"))
        approve(house, team, installation("bad", "kept", kind="OQ"))
        checks = {"fine": passing(), "bad": failing("Two files differ."), "kept": size_and_root,
                  "absent": lambda: Found(False, "There is no such device.", executed=False)}
        runs = (run(house, team, "IQ-SMALL", checks=checks).run, run(house, team, "OQ-SMALL", checks=checks).run)
        house.clock.advance(minutes=5)
        house.commit(validation_signing.sign_executed(house.desk, team.tester, runs))
        executed, second = folder / "executed.pdf", folder / "reviewed.pdf"
        executed.write_bytes(kept(house, runs[0]))
        house.clock.advance(minutes=5)
        house.commit(validation_signing.review_runs(house.desk, team.lead, runs, "The failure stands."))
        second.write_bytes(kept(house, runs[1]))
        yield Signed(house, team, runs, executed, second)


def text_of(path: Path) -> str:
    """The text layer without white space, as cells wrap where the renderer wants."""
    return squeezed("".join(piece for page in open_paper(path).printed for piece in page))


@req("VAL-04", "SIG-03", "REC-08")
def test_both_persons_sign_one_file_and_each_entry_names_its_digest(signed: Signed, tmp_path: Path) -> None:
    """Checked offline, with the trust card; the first signature still covers what it signed."""
    trust = tmp_path / "card.json"
    with signed.house.desk.reading() as session:
        trust.write_bytes(card(SessionReader(session), signed.house.house.origin))
    first, second = check_pdf(signed.executed), check_pdf(signed.reviewed, trust=trust, require_trust=True)

    assert first.ok, first.in_words()
    assert second.ok, second.in_words()
    assert second.record == verifier.VERIFIED
    assert "executed by Tester 1 (tester-1)" in first.steps[9]
    assert "not signed by a reviewer" in first.steps[9]
    assert "reviewed by Lead 1 (lead-1)" in second.steps[9]
    assert signed.reviewed.read_bytes().startswith(signed.executed.read_bytes())
    words = [entry.body for entry in signed.house.entries() if entry.body["action"] == "validation.report_signed"]
    assert [(one["actor"], one["fields"]["part"], one["fields"]["pdf"]["sha256"], one["manifest"]["meaning"])
            for one in words] == [("tester-1", "executed", first.pdf_sha256, "execution"),
                                  ("lead-1", "reviewed", second.pdf_sha256, "review")]
    assert words[1]["fields"]["before"] == words[0]["fields"]["pdf"]
    assert signed.house.words()[-3:] == ["validation.reviewed", "validation.reviewed", "validation.report_signed"]


@req("REC-08")
def test_other_readers_accept_both_signatures(signed: Signed) -> None:
    need("poppler")
    said = subprocess.run(["pdfsig", str(signed.reviewed)], capture_output=True, text=True, check=False).stdout
    assert said.count("Signature is Valid.") == 2
    assert said.count("ETSI.CAdES.detached") == 2
    assert "Total document signed" in said


@req("VAL-01", "VAL-02", "SIG-02")
def test_the_pages_tell_what_an_inspector_looks_for(signed: Signed) -> None:
    """Signer with time and meaning, verdicts, what was not executed and why, the live record, deviation, trust card."""
    text = text_of(signed.reviewed)
    with signed.house.desk.reading() as session:
        root = json.loads(card(SessionReader(session), signed.house.house.origin))
    for said in ("Tester 1", "Meaning: execution", "local time UTC+00:00", "Two files differ.",
                 "There is no such device.", "not executed", "DEV-OQ-SMALL-v1-R1-S-1", "before the first check",
                 "OUT-01", "veraPDF", "not carried out", root["root_key"], root["origin"], "REC-01", "Package"):
        assert squeezed(said) in text, said
    assert root["genesis_leaf"] in text


@req("VAL-05")
def test_only_who_ran_it_signs_it_and_another_reviews_it(signed: Signed) -> None:
    house, team = signed.house, signed.team
    with pytest.raises(Refused) as other:
        validation_signing.sign_executed(house.desk, team.author, signed.runs)
    approve(house, team, installation("fine", kind="IQ"))
    again = run(house, team, "IQ-SMALL", checks={"fine": passing()}).run
    with pytest.raises(Refused) as own:
        validation_signing.review_runs(house.desk, team.tester, [again], "Complete.")
    with pytest.raises(UnusableInput):
        validation_signing.review_runs(house.desk, team.lead, [], "Complete.")

    assert (other.value.rule, own.value.rule) == ("F-742", "F-741")
    assert "action.refused" in house.words()


# Changed and forged files -----------------------------------------------------------------------------------------


def found(path: Path, step: int) -> str:
    """What this step found; that it did."""
    check: PaperCheck = check_pdf(path)
    assert not check.ok
    said = [one.in_words() for one in check.findings if one.step == step]
    assert said, check.in_words()
    return "\n".join(said)


def _other_report(pdf: pikepdf.Pdf) -> None:
    name = "report-OQ-SMALL-v1-R1.json"
    data = pdf.attachments[name].get_file().read_bytes()
    attach(pdf, name, data.replace(b"Two files differ.", b"As it should be."))


def _other_evidence(pdf: pikepdf.Pdf) -> None:
    with zipfile.ZipFile(io.BytesIO(pdf.attachments[validation_report.EVIDENCE].get_file().read_bytes())) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    kept["OQ-SMALL-v1-R1/S-1.json"] = kept["OQ-SMALL-v1-R1/S-1.json"].replace(b"Two", b"No ")
    attach(pdf, validation_report.EVIDENCE, validation_report.packed(kept))


def _other_content(pdf: pikepdf.Pdf) -> None:
    data = pdf.attachments["content.json"].get_file().read_bytes()
    attach(pdf, "content.json", data.replace(b"Two files differ.", b"As it should be."))


def _other_requirements(pdf: pikepdf.Pdf) -> None:
    data = pdf.attachments[validation_report.REQUIREMENTS].get_file().read_bytes()
    attach(pdf, validation_report.REQUIREMENTS, data.replace(b"risk: H", b"risk: L"))


@req("RPT-04", "VAL-04", "REC-04")
@pytest.mark.parametrize(
    ("change", "step", "said"),
    [(_other_report, 8, "report-OQ-SMALL-v1-R1.json"), (_other_evidence, 8, "evidence of OQ-SMALL-v1-R1/S-1"),
     (_other_content, 5, "OQ-SMALL-v1-R1/S-1, Found"), (_other_requirements, 6, "V8")],
)
def test_a_changed_attachment_is_named(
    signed: Signed, tmp_path: Path, change: Callable[[pikepdf.Pdf], None], step: int, said: str
) -> None:
    assert said in found(spoiled(signed.executed, tmp_path / "x.pdf", change), step)


@req("VAL-05", "SIG-03")
def test_who_reviewed_every_run_before_signs_the_file_alone(house: HouseUnderTest, tmp_path: Path) -> None:
    """Reviews on a page of their own, then the file: the second signature needs all runs reviewed by its person."""
    team = Team.of(house)
    names = []
    for kind in ("IQ", "OQ"):
        approve(house, team, installation("fine", kind=kind))
        names.append(run(house, team, f"{kind}-SMALL", checks={"fine": passing()}).run)
    house.commit(validation_signing.sign_executed(house.desk, team.tester, names))
    reviewed(house, team, names[0])
    house.commit(validation_signing.review_runs(house.desk, team.statistician, names[1:], "Complete."))
    assert house.words()[-1] == "validation.reviewed"  # another person has the first run
    with pytest.raises(AlreadyDone):
        validation_signing.review_runs(house.desk, team.lead, names, "Complete.")


@req("SIG-03", "RPT-04")
def test_a_file_whose_signature_was_taken_off_is_found(signed: Signed, tmp_path: Path) -> None:
    """Cut back to what was drawn it prints a name that no signature stands for; bytes behind it are found, too."""
    raw, path = signed.executed.read_bytes(), tmp_path / "x.pdf"
    path.write_bytes(raw[: drawn_bytes(raw)])
    assert "Tester1" in found(path, 7)
    path.write_bytes(raw + b"% one more line\n")
    assert "does not cover the whole file" in found(path, 9)


@req("SIG-03", "VAL-05")
def test_a_second_signature_by_who_ran_it_is_found(signed: Signed, tmp_path: Path) -> None:
    """Made with the tester's own key and certificate, past every use case."""
    house, signer, user = signed.house, signed.house.house.signer, signed.team.tester.user
    own, issuer = (x509.load_pem_x509_certificate(pem.encode())
                   for pem in (signer.certificate_of(user), signer.certificate_of_authority()))
    at = pades.signatures_of(signed.executed.read_bytes(), by_two=True)[0].at
    assert at is not None
    begun = pades.begin_second_signature(signed.executed.read_bytes(), own, issuer, at, reason="My own work.")
    page = signer.open_page(user, house.proof(user), [begun.message])
    path = tmp_path / "x.pdf"
    path.write_bytes(begun.complete(page.signatures[0]))

    assert "tester-1, who ran it" in found(path, 9)
    with pytest.raises(UnusableInput, match="no place for a second signature"):
        pades.begin_second_signature(path.read_bytes(), own, issuer, at, reason="Once more.")


@req("SIG-03")
def test_a_paper_with_one_signer_takes_no_second(signed: Signed) -> None:
    """What two may sign is a kind of its own: held as a paper of one signer, the same file does not pass."""
    assert [one.problem for one in pades.signatures_of(signed.reviewed.read_bytes())] == [
        "", "is not the one that certifies the file"]


@req("VAL-10", "VAL-11")
def test_the_report_of_a_model_lists_every_criterion_as_judged(house: HouseUnderTest) -> None:
    """Bounds, limits and verdicts of a PQ, drawn and checked against the record; what was not executed says why."""
    team = Team.of(house)
    locked(house)
    ready_pq(house, team, small_pq())
    outcome = run(house, team, "PQ-SMALL", model=FakeModel())

    drawn = validation_signing.draw(house.desk, team.tester, [outcome.run])

    tables = {table.id: table for table in drawn.paper.tables}
    assert [row.cells[0].text for row in tables["V7"].rows] == [one.criterion for one in outcome.criteria]
    assert [row.cells[8].text for row in tables["V7"].rows] == [
        one.verdict.replace("_", " ") for one in outcome.criteria]
    assert [row.key for row in tables["V4"].rows] == [f"{outcome.run}/CASES-clinical"]
    assert "V5" not in tables


# Sub-groups -------------------------------------------------------------------------------------------------------


@req("VAL-10", "MLK-03")
def test_the_report_of_a_pq_shows_each_sub_group_with_number_interval_and_verdict(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """On the page, from the signed verdict: what was too small stands there as too small."""
    team, stated = Team.of(house), stated_of_six()
    data = clinical_folder(tmp_path / "data", stated)
    locked(house)
    ready_pq(house, team, pq_by_groups(stated), data)
    outcome = run(house, team, "PQ-SMALL", model=FakeModel(spoil=contoured(data)), data=data)
    house.commit(validation_signing.sign_executed(house.desk, team.tester, [outcome.run]))
    path = tmp_path / "pq.pdf"
    path.write_bytes(kept(house, outcome.run))

    assert check_pdf(path).ok
    text = text_of(path)
    for said in ("C1/site 101", "sub-group site 102: lower 95 % bound at least 0.40 1", "C1/age band 60-69",
                 "2 of the 3 cases that a sub-group needs: too few to say.", "insufficient evidence", "C1/sex M"):
        assert squeezed(said) in text, said
    row = next(one for one in outcome.criteria if one.criterion == "C1/site 101")
    assert squeezed(f"{row.low}")[:6] in text


# Exploratory runs, and the command line ---------------------------------------------------------------------------


@req("VAL-03")
def test_the_report_of_an_exploratory_run_says_so_on_every_page(house: HouseUnderTest, tmp_path: Path) -> None:
    team = Team.of(house)
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(installation("fine"))))
    outcome: Outcome = run_protocol(house.desk, team.tester, RunProtocol("IQ-SMALL", exploratory=True),
                                    Bench({"machine": "test"}, {"fine": passing()}))
    house.commit(validation_signing.sign_executed(house.desk, team.tester, [outcome.run]))
    path = tmp_path / "tried.pdf"
    path.write_bytes(kept(house, outcome.run))

    assert check_pdf(path).ok
    with pikepdf.open(path) as pdf:
        pages = len(pdf.pages)
    assert text_of(path).count(squeezed("Exploratory, no evidence")) == pages
    with pytest.raises(Refused):
        validation_signing.review_runs(house.desk, team.lead, [outcome.run], "Complete.")


@req("VAL-04", "VAL-05")
def test_one_command_runs_signs_and_writes_and_a_lost_signature_loses_no_run(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """A wrong answer at the signature leaves the runs, to be signed later; then the second person signs the file."""
    team = Team.of(house)
    for kind in ("IQ", "OQ"):
        approve(house, team, installation("python_as_stated", "code_is_ours", kind=kind))
    out, second = tmp_path / "report.pdf", tmp_path / "reviewed.pdf"
    words = ("installation", "--protocols", "IQ-SMALL,OQ-SMALL", "--pdf", str(out))

    lost = call(house, *words, user="tester-1", meaning="approval")
    assert lost.exit_code == 1
    assert "The runs stand" in lost.output
    assert not out.exists()
    names = [one for one in ("IQ-SMALL-v1-R1", "OQ-SMALL-v1-R1") if one in lost.output]
    again = call(house, "sign-report", *names, "--pdf", str(out), user="tester-1", meaning="execution")
    assert again.exit_code == 0, again.output
    assert "1 of 2" in lost.output
    assert check_pdf(out).ok
    done = call(house, "review", *names, "--conclusion", "Complete.", "--pdf", str(second), user="lead-1",
                meaning="review")
    assert done.exit_code == 0, done.output
    assert "reviewed by Lead 1" in check_pdf(second).steps[9]


@req("VAL-05")
def test_a_closed_deviation_stands_there_with_cause_and_impact(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("bad"))
    outcome = run(house, team, "IQ-SMALL", checks={"bad": failing("Two files differ.")})
    house.commit(close_deviation(house.desk, team.qa, CloseDeviation(
        outcome.deviations[0], "A wrong mount", "No subject", "Corrected", "Closed", "none: the check is withdrawn")))

    drawn = validation_signing.draw(house.desk, team.tester, [outcome.run])

    (row,) = next(table for table in drawn.paper.tables if table.id == "V6").rows
    assert [cell.text for cell in row.cells][2:7] == [
        "Title 1: Two files differ.", "Qa 1", "A wrong mount", "No subject", "none: the check is withdrawn"]
    assert drawn.paper.cover.status == "failed"

"""The file of an issued paper: signed with the approver's certificate (PAdES), time-stamped later, and every way of
spoiling or forging it found."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from typer.testing import CliRunner

from core.clock import as_datetime, from_words
from core.errors import OutsideUnavailable, Refused, UnusableInput
from core.ledger_exports import card
from core.ledger_queries import SessionReader
from core.policy.state import Actor
from countersign.cli import app
from countersign.outside_proof import time_stamp_reply
from countersign.signer.certificates import Authority
from countersign.signer.keyfiles import KeyFolder, PasswordCost
from reports import issuing, pades, queries, usecases
from reports.attached import drawn_bytes
from reports.queries import IssuedReport
from reports.recheck import PaperCheck, check_pdf
from tests.builders.authority import authority as authority
from tests.builders.papers import TRIAL, a_small_trial, an_issued_paper
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req

LEAD, QA = Actor("trial-lead"), Actor("qa")


@dataclass
class Issued:
    """A house, its issued paper and the file."""

    house: HouseUnderTest
    paper: IssuedReport
    raw: bytes

    @property
    def drawn(self) -> bytes:
        """The file as it was before its signature."""
        return self.raw[: drawn_bytes(self.raw)]

    @property
    def entry(self) -> dict[str, Any]:
        """The body of `report.issued`."""
        body: dict[str, Any] = self.house.entries()[self.paper.entry].body
        return body


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issued]:
    """One issued paper of a small trial; tests read it, or spoil copies."""
    with a_house(tmp_path_factory.mktemp("issued")) as house:
        a_small_trial(house)
        house.person("qa-2", "qa_auditor", trial=TRIAL)
        paper = an_issued_paper(house)
        yield Issued(house, paper, house.desk.objects.get(paper.pdf))


def checked(folder: Path, raw: bytes, trust: Path | None = None) -> PaperCheck:
    path = folder / "paper.pdf"
    path.write_bytes(raw)
    return check_pdf(path, trust=trust)


def found(check: PaperCheck) -> str:
    """What step 9 found, and that it did."""
    assert not check.ok, check.in_words()
    said = [one.in_words() for one in check.findings if one.step == 9]
    assert said, check.in_words()
    return "\n".join(said)


@req("SIG-03", "REC-08")
def test_the_file_bears_the_signature_of_its_approver_and_the_entry_its_digest(issued: Issued, tmp_path: Path) -> None:
    check = checked(tmp_path, issued.raw)
    assert check.ok, check.in_words()
    assert re.search(r"PAdES by Qa \(qa\), certificate enrolled by entry \d+, 20\d\d-", check.steps[9])
    (one,) = check.file_signatures
    assert (one["kind"], one["problem"]) == ("signature", "")

    body = issued.entry
    assert (body["actor"], body["action"]) == ("qa", "report.issued")
    assert body["fields"]["pdf"]["sha256"] == check.pdf_sha256
    assert str(one["at"]) == as_datetime(from_words(str(body["at"]))).strftime("%Y-%m-%d %H:%M:%S UTC")
    with issued.house.desk.reading() as session:
        enrolled = next(e.body["fields"] for e in issued.house.entries() if e.body["action"] == "key.enrolled"
                        and e.body["fields"]["holder"] == "qa")
        assert queries.issued_as(session, check.pdf_sha256) == issued.paper
    assert enrolled["certificate_sha256"] == one["certificate_sha256"]


@req("REC-08")
def test_other_readers_accept_the_signature_under_the_authority_of_the_installation(
    issued: Issued, tmp_path: Path
) -> None:
    """pyHanko with that authority as its only root, and poppler's pdfsig."""
    from asn1crypto import pem
    from asn1crypto import x509 as asn1
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.diff_analysis import ModificationLevel
    from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    (embedded,) = PdfFileReader(io.BytesIO(issued.raw)).embedded_signatures
    _, _, der = pem.unarmor(issued.house.house.signer.certificate_of_authority().encode())
    context = ValidationContext(trust_roots=[asn1.Certificate.load(der)], allow_fetching=False,
                                moment=embedded.self_reported_timestamp)
    status = validate_pdf_signature(embedded, context)
    assert status.bottom_line, status.pretty_print_details()
    assert status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    assert status.modification_level == ModificationLevel.NONE

    need("poppler")
    path = tmp_path / "paper.pdf"
    path.write_bytes(issued.raw)
    said = subprocess.run(["pdfsig", str(path)], capture_output=True, text=True, check=False).stdout
    assert "Signature is Valid." in said
    assert "Total document signed" in said
    assert "Signer Certificate Common Name: Qa" in said
    assert "ETSI.CAdES.detached" in said


@req("RPT-01")
def test_only_the_approver_issues_and_only_once(issued: Issued) -> None:
    house, digest = issued.house, issued.paper.content_digest
    for actor, rule in ((QA, "F-808"), (Actor("qa-2"), "F-807"), (LEAD, "F-807"), (usecases.SERVICE, "F-804")):
        with pytest.raises(Refused) as refusal:
            issuing.issue_report(house.desk, actor, TRIAL, digest)
        assert refusal.value.rule == rule
    drawn = usecases.draw_appendix(house.desk, LEAD, TRIAL)
    for actor, part in ((LEAD, "prepared"), (QA, "approved")):
        house.commit(usecases.sign_report(house.desk, actor, usecases.SignReport(TRIAL, drawn.content_digest, part)))
    house.commit(issuing.issue_report(house.desk, QA, TRIAL, drawn.content_digest))
    assert house.words().count("report.issued") == 2
    with house.desk.reading() as session:
        assert queries.issued_reports(session, TRIAL)[0].supersedes == digest


# Spoiled and forged files -----------------------------------------------------------------------------------------


@req("RPT-04", "SIG-03")
def test_a_byte_changed_under_the_signature_or_in_it_is_found(issued: Issued, tmp_path: Path) -> None:
    """In the paper, in the revision of the signature, and at forty places of the signature's own digits."""
    raw, drawn = issued.raw, len(issued.drawn)
    start = raw.index(b"/Contents <", drawn) + len(b"/Contents <")
    places = [drawn // 2, drawn + 40, len(raw) - 30, *range(start, start + 2_600, 97), start + 51,
              start + pades.RESERVED - 2]
    for place in places:
        data = bytearray(raw)
        data[place] ^= 1
        try:
            (one,) = pades.signatures_of(bytes(data))
        except UnusableInput:
            continue
        assert one.problem or one.certificate != pades.signatures_of(raw)[0].certificate, place
    data = bytearray(raw)
    data[start + 100] ^= 1
    found(checked(tmp_path, bytes(data)))


@req("RPT-04", "SIG-03")
def test_a_revision_or_bytes_behind_the_signature_are_found(issued: Issued, tmp_path: Path) -> None:
    from pyhanko.pdf_utils.generic import NameObject, NumberObject
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    assert "does not cover the whole file" in found(checked(tmp_path, issued.raw + b"% one more line\n"))

    writer = IncrementalPdfFileWriter(io.BytesIO(issued.raw))
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    page[NameObject("/Rotate")] = NumberObject(90)
    writer.update_container(page)
    out = io.BytesIO()
    writer.write(out)
    assert out.getvalue().startswith(issued.raw)
    assert "does not cover the whole file" in found(checked(tmp_path, out.getvalue()))


@req("RPT-04", "SIG-03")
def test_a_file_without_its_signature_is_a_copy_and_no_issued_paper(issued: Issued, tmp_path: Path) -> None:
    said = found(checked(tmp_path, issued.drawn))
    assert "printed none, record gives a signature by qa, who approved the paper" in said


def signed_by(issued: Issued, certificate: str, issuer: str, key: EllipticCurvePrivateKey) -> bytes:
    own, authority = (x509.load_pem_x509_certificate(pem.encode()) for pem in (certificate, issuer))
    at = as_datetime(issued.house.clock.now())
    begun = pades.begin_signature(issued.drawn, own, authority, at, reason=issuing.SAYS)
    return begun.complete(key.sign(begun.message, ECDSA(SHA256())))


@req("SIG-03", "SIG-04")
def test_a_certificate_of_another_installation_is_found(issued: Issued, tmp_path: Path) -> None:
    """A forger founds an authority of the same name and gives a certificate to the same person."""
    other = Authority(KeyFolder(tmp_path / "keys", PasswordCost(64, 1, 1)), issued.house.clock)
    other.found(issued.house.house.signer.origin)
    certificate, raw = other.issue("qa", "Qa")
    key = load_der_private_key(raw, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    said = found(checked(tmp_path, signed_by(issued, certificate, other.certificate(), key)))
    assert "that no entry enrolled" in said
    genuine = issued.house.house.signer.certificate_of_authority()
    with pytest.raises(UnusableInput, match="did not issue"):
        signed_by(issued, certificate, genuine, key)


@req("SIG-03", "SIG-04")
def test_a_file_signed_by_somebody_else_of_the_house_or_before_the_approval_is_found(
    issued: Issued, tmp_path: Path
) -> None:
    signer = issued.house.house.signer
    authority = x509.load_pem_x509_certificate(signer.certificate_of_authority().encode())
    for user, minutes, says in (("trial-lead", 0, "a signature by trial-lead"), ("qa", 4, "before the approval")):
        own = x509.load_pem_x509_certificate(signer.certificate_of(user).encode())
        at = as_datetime(issued.house.clock.now() - minutes * 60_000_000)
        begun = pades.begin_signature(issued.drawn, own, authority, at, reason="mine")
        page = signer.open_page(user, issued.house.proof(user), [begun.message])
        assert says in found(checked(tmp_path, begun.complete(page.signatures[0])))
    with pytest.raises(UnusableInput, match="not by the key"):
        begun.complete(b"\x30\x06\x02\x01\x01\x02\x01\x01")


# Time stamps ------------------------------------------------------------------------------------------------------


def tsa(authority: tuple[str, bytes], *roots: bytes) -> issuing.TimeStampAuthority:
    return issuing.TimeStampAuthority(
        authority[0], lambda query: time_stamp_reply(authority[0], query), roots or (authority[1],))


@req("REC-08", "OPS-02")
def test_an_issued_paper_is_time_stamped_as_a_revision_and_entry_of_its_own(
    issued: Issued, authority: tuple[str, bytes], tmp_path: Path
) -> None:
    house, digest = issued.house, issued.paper.content_digest
    receipt = issuing.stamp_report(house.desk, LEAD, TRIAL, digest, tsa(authority))
    body = house.entries()[receipt.seq].body
    assert (body["action"], body["on_behalf_of"], body["actor"]) == ("report.time_stamped", "trial-lead", "reports")
    assert body["fields"]["before"]["sha256"] == issued.paper.pdf.sha256
    paper = usecases.issued_paper(house.desk, QA, TRIAL, digest)
    assert paper.stamps == (receipt.seq,)
    stamped = house.desk.objects.get(paper.newest)
    assert stamped.startswith(issued.raw), "the signed revision was touched"
    with house.desk.reading() as session:
        for raw in (paper.pdf.sha256, paper.newest.sha256):
            assert queries.issued_as(session, raw) == paper
        trust = json.loads(card(SessionReader(session), house.house.signer.origin))
    path = tmp_path / "card.json"
    path.write_text(json.dumps(trust | {"timestamp_root": authority[1].decode()}))

    check = checked(tmp_path, stamped, trust=path)
    assert check.ok, check.in_words()
    assert [one["kind"] for one in check.file_signatures] == ["signature", "time stamp"]
    assert "time stamp of CN=test tsa" in check.steps[9]
    assert "not traced" not in check.steps[9]
    assert "not traced: no trust card" in checked(tmp_path, stamped).steps[9]
    path.write_text(json.dumps(trust | {"timestamp_root": house.house.signer.certificate_of_authority()}))
    assert "does not lead to the time-stamp root" in found(checked(tmp_path, stamped, trust=path))

    second = issuing.stamp_report(house.desk, LEAD, TRIAL, digest, tsa(authority))
    paper = usecases.issued_paper(house.desk, QA, TRIAL, digest)
    assert paper.stamps == (receipt.seq, second.seq)
    twice = house.desk.objects.get(paper.newest)
    assert twice.startswith(stamped)
    assert checked(tmp_path, twice).ok
    data = bytearray(twice)
    data[len(stamped) + 60] ^= 1
    found(checked(tmp_path, bytes(data)))


@req("OPS-02")
def test_a_time_stamp_that_does_not_hold_is_not_kept(issued: Issued, authority: tuple[str, bytes]) -> None:
    house, digest = issued.house, issued.paper.content_digest
    other = house.house.signer.certificate_of_authority().encode()
    before = house.words()
    replayed = time_stamp_reply(authority[0], _query(b"another file"))
    for ask, roots, says in (
        (tsa(authority).ask, (other,), "does not lead to the time-stamp root"),
        (lambda query: time_stamp_reply("http://127.0.0.1:9", query), (authority[1],), "does not answer"),
        (lambda query: replayed, (authority[1],), "no time stamp of this file"),
        (lambda query: b"no DER at all", (authority[1],), "no time stamp of this file"),
    ):
        with pytest.raises(OutsideUnavailable, match=says):
            issuing.stamp_report(house.desk, LEAD, TRIAL, digest, issuing.TimeStampAuthority("x", ask, roots))
    with pytest.raises(UnusableInput, match="root certificate"):
        issuing.stamp_report(house.desk, LEAD, TRIAL, digest, tsa(authority, b"no PEM"))
    assert house.words() == before
    drawn = usecases.draw_appendix(house.desk, LEAD, TRIAL)
    with pytest.raises(Refused) as refusal:
        issuing.stamp_report(house.desk, LEAD, TRIAL, drawn.content_digest, tsa(authority))
    assert refusal.value.rule == "F-809"


def _query(message: bytes) -> bytes:
    from rfc3161_client import TimestampRequestBuilder

    return TimestampRequestBuilder().data(message).nonce(nonce=True).build().as_bytes()


@req("REC-08")
def test_the_command_line_stamps_fetches_and_tells_who_signed(
    issued: Issued, authority: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("report", "grants"):
        monkeypatch.setattr(f"countersign.cli.{module}.house", lambda home: issued.house.house)
    (tmp_path / "root.pem").write_bytes(authority[1])
    paper = ("--trial", TRIAL, "--content", issued.paper.content_digest[:12], "--as", "trial-lead")
    file = tmp_path / "stamped.pdf"

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "Time-stamped by" in run("report", "stamp", *paper, "--url", authority[0], "--root",
                                    str(tmp_path / "root.pem"))
    run("report", "fetch", *paper, "--out", str(file))
    assert "Time-stamped by entry" in run("report", "which", str(file))
    said = run("verify", str(file))
    assert "9 Signature" in said
    assert "PAdES by Qa (qa)" in said
    assert json.loads(run("verify", str(file), "--json"))["file_signatures"][0]["kind"] == "signature"
    pem = run("key", "authority")
    assert x509.load_pem_x509_certificate(pem.encode()).extensions

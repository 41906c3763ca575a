"""The report of validation as a signed file: by who ran it, at the end of the run; then by its reviewer, as the second
revision of the same file (design record 0155)."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files as packaged
from pathlib import Path

from cryptography import x509
from sqlalchemy import Connection

from audit.vocabulary.registry import ObjectRef
from audit.vocabulary.validation import ValidationReportSigned
from core.clock import as_datetime
from core.errors import RecordDamaged, Refused, Stale, UnusableInput
from core.objects import PDF
from core.policy.decide import permit
from core.policy.matrix import printed_matrix
from core.policy.state import Actor, Decision
from core.projection import from_reference
from core.work import Desk, Draft, Occasion, Proposal, View, release
from reports import bundling, pades, queries, validation_report
from reports.attached import BUNDLE_NAME, open_paper
from reports.book import Book
from reports.issuing import SignedPaper
from reports.model import Paper, Signing, content_digest
from reports.queries import ReportFile
from reports.recheck import check_pdf
from reports.render import DEFAULT_EVIDENCE_URL, render
from reports.signed_file import enrolment_of
from reports.validation_report import Files, report_name
from validation import protocol, traceability
from validation import queries as validated
from validation.releases import ReviewRun, review_draft
from validation.usecases import resting_draft

ACTION = "validation.sign_report"
EXECUTED_SAYS = "I ran this, and the report is complete."
REVIEWED_SAYS = "I reviewed this report by exception; I did not run it."
TEMPLATE = "validation"


@dataclass(frozen=True, slots=True)
class Printed:
    """A report as a file that nobody has signed yet."""

    paper: Paper
    pdf: bytes
    pages: int
    bundle_sha256: str

    @property
    def digest(self) -> str:
        """Of the content."""
        return content_digest(self.paper)


def draw(
    desk: Desk, actor: Actor, runs: Sequence[str], *, tests: bytes | None = None, signing: Signing | None = None,
    occasion: Occasion | None = None, evidence_url: str = "",
) -> Printed:
    """Draw the report of these runs from the record, and check the file against it.

    Args:
        actor: on whose behalf the record that travels along is exported.
        tests: what `pytest --evidence` wrote on this very software, where it is to be counted.
        occasion: of the signature that the actor is about to give; None for a draft.

    Raises:
        UnusableInput: a run is unknown or without verdict, or tests of another software.
        RecordDamaged: the file does not agree with the record it was drawn from.
    """
    if tests is not None:
        traceability.evidence_for_release(tests, release())
    with desk.reading() as session:
        files = _files(desk, session, runs, tests)
    bundle = bundling.house_bundle(desk, actor.user)
    book = Book.from_bundle(io.BytesIO(bundle))
    paper = validation_report.build(book, runs, files, release())
    first = validation_report.still_needed()
    if occasion is not None:
        offset = validation_report.offset_of(book, actor.user)
        first = validation_report.signing_block(book, actor.user, as_datetime(occasion.at_us), offset)
    paper = Paper(paper.cover, paper.tables, paper.figures, (first, validation_report.review_block()))
    pdf = render(paper, bundle=bundle, more=files.attached(), evidence_url=evidence_url or DEFAULT_EVIDENCE_URL)
    with tempfile.TemporaryDirectory(prefix="countersign-check-") as folder:
        path = Path(folder) / "report.pdf"
        path.write_bytes(pdf)
        check = check_pdf(path, unsigned=True, signings=paper.signings)
    if not check.ok:
        said = check.findings[0].in_words() if check.findings else "a step was not done"
        raise RecordDamaged(f"The report does not agree with the record it was drawn from: {said}.")
    return Printed(paper, pdf, check.pages, hashlib.sha256(bundle).hexdigest())


def _files(desk: Desk, session: Connection, runs: Sequence[str], tests: bytes | None) -> Files:
    """The runners' reports, what shows each step, the requirements, the printed policy, the tests."""
    found: dict[str, bytes] = {}
    evidence: dict[str, bytes] = {}
    for run in runs:
        row = validated.run_row(session, run)
        if row["report"] is None:
            raise UnusableInput(f"{run} has no verdict, so there is no report of it.",
                                next_step="Carry out its open steps, or run the protocol again.")
        found[report_name(run)] = desk.objects.get(from_reference(row["report"]))
        for step in validated.steps_of(session, run):
            if step["evidence"] is not None:
                kept = from_reference(step["evidence"])
                if kept.bytes <= validation_report.MOST_BYTES:
                    evidence[f"{run}/{step['step']}{_ending(kept)}"] = desk.objects.get(kept)
    found[validation_report.EVIDENCE] = validation_report.packed(evidence)
    found[validation_report.REQUIREMENTS] = (packaged("validation") / "requirements.yaml").read_bytes()
    found[validation_report.POLICY] = printed_matrix().encode()
    found[validation_report.OUTSIDE] = protocol.template("oq-outside").encode()
    if tests is not None:
        found[validation_report.TESTS] = tests
    return Files(found)


def _ending(kept: ObjectRef) -> str:
    return ".json" if kept.media == "application/json" else ".bin"


# -- Who ran it ----------------------------------------------------------------------------------------------------


def sign_executed(
    desk: Desk, actor: Actor, runs: Sequence[str], *, tests: bytes | None = None, evidence_url: str = ""
) -> Proposal:
    """What who ran these runs signs at their end: the report, as a file with their name, time and meaning on it.

    The file is rendered before anybody is asked for a code, with the time of the signature to come.

    Raises:
        Refused: another person ran them, or the actor may not; recorded.
        UnusableInput, RecordDamaged: as `draw`.
    """
    named = tuple(runs)
    try:
        with desk.reading() as session:
            _permit(session, actor, named)
    except Refused as refusal:
        desk.record_refusal(actor.user, ACTION, refusal)
        raise
    occasion = desk.occasion()
    made = draw(desk, actor, named, tests=tests, occasion=occasion, evidence_url=evidence_url)
    shown = desk.objects.put(made.pdf, PDF)
    authority = desk.signer.certificate_of_authority()

    def propose(session: Connection, now: Occasion) -> Draft:
        decision = _permit(session, actor, named)
        event = ValidationReportSigned(
            runs=named, part="executed", content_digest=made.digest, pdf=shown, pages=made.pages,
            size=made.paper.cover.range.size, root=made.paper.cover.range.root, bundle_sha256=made.bundle_sha256,
        )
        lines = [
            ("Report", f"{made.paper.cover.title}: {made.paper.cover.subtitle}"), ("Status", made.paper.cover.status),
            *made.paper.cover.facts, ("Drawn from", f"entries 0 to {event.size - 1}, root {event.root}"),
            ("Content digest", f"sha256:{event.content_digest}"),
            ("File before your signature", f"{event.pages} pages, {shown.bytes} bytes, sha256:{shown.sha256}"),
            ("You sign", EXECUTED_SAYS),
        ]
        draft = resting_draft(session, actor, ACTION, event, decision, "execution",
                              View("Sign the report of validation", TEMPLATE, tuple(lines)))
        return replace(draft, document=SignedPaper(
            desk.objects, made.pdf, authority, as_datetime(now.at_us), event, EXECUTED_SAYS,
            partial(pades.begin_signature, by_two=True)))

    return desk.prepare(actor, propose, asked=ACTION, occasion=occasion)


def _permit(session: Connection, actor: Actor, runs: Sequence[str]) -> Decision:
    rows = [validated.run_row(session, run) for run in runs]
    relations = {"tester"} if rows and all(row["tester"] == actor.user for row in rows) else set()
    return permit(actor, ACTION, validated.facts(session, actor, ACTION, *relations))


# -- Who reviews it ------------------------------------------------------------------------------------------------


def review_runs(desk: Desk, actor: Actor, runs: Sequence[str], conclusion: str) -> Proposal:
    """The reports of these runs as their reviewer signs them, by exception. Where a signed file tells of these runs,
    and with this page the actor has reviewed all of them, the same page signs that file as its second person; it is
    the whole page where they had reviewed all of them before.

    Raises:
        Refused, UnusableInput, AlreadyDone, NotFound: as validation.releases.review_run.
        UnusableInput: no run is named, or the file's record is older than the actor's certificate.
    """
    named = tuple(dict.fromkeys(runs))
    if not named or not conclusion:
        raise UnusableInput("A review names runs, and ends with a conclusion.")
    with desk.reading() as session:
        file = _file_to_sign(session, actor, named)
    pdf = desk.objects.get(file.pdf) if file is not None else b""
    if file is not None:
        _known_in(pdf, desk.signer.certificate_of(actor.user))
    authority = desk.signer.certificate_of_authority()

    def propose(session: Connection, now: Occasion) -> list[Draft]:
        before = {run for run in named if validated.run_row(session, run)["reviewed_by"] == actor.user}
        waiting = [run for run in named if run not in before] if file is not None else named
        drafts = [review_draft(actor, ReviewRun(run, conclusion), session, now) for run in waiting]
        if file is None:
            return drafts
        if _file_to_sign(session, actor, named) != file:
            raise Stale("The file of this report was signed by somebody else meanwhile.")
        event = ValidationReportSigned(
            runs=file.runs, part="reviewed", content_digest=file.content_digest, pdf=file.pdf, pages=file.pages,
            size=file.size, root=file.root, bundle_sha256=file.bundle_sha256, before=file.pdf)
        lines = (("Report", ", ".join(file.runs)), ("Content digest", f"sha256:{file.content_digest}"),
                 ("Signed by who ran it", f"{file.person}, {file.at}, entry {file.entry}"),
                 ("File before your signature", f"{file.pages} pages, {file.pdf.bytes} bytes, "
                                                f"sha256:{file.pdf.sha256}"),
                 ("You sign", REVIEWED_SAYS))
        decision = permit(actor, "validation.review", validated.facts(session, actor, "validation.review"))
        draft = resting_draft(session, actor, "validation.review", event, decision, "review",
                              View("Sign the file of the report", TEMPLATE, lines))
        return [*drafts, replace(draft, document=SignedPaper(
            desk.objects, pdf, authority, as_datetime(now.at_us), event, REVIEWED_SAYS,
            pades.begin_second_signature))]

    return desk.prepare(actor, propose, asked="validation.review")


def _file_to_sign(session: Connection, actor: Actor, runs: Sequence[str]) -> ReportFile | None:
    """The newest file that tells of these runs and that the actor may sign once they have reviewed them."""
    file = next(iter(queries.report_files(session, runs[0])), None)
    if file is None or file.part != "executed":
        return None
    others = [run for run in file.runs if run not in runs]
    by_actor = all(validated.run_row(session, run)["reviewed_by"] == actor.user for run in others)
    return file if by_actor and set(runs) <= set(file.runs) else None


def _known_in(pdf: bytes, certificate: str) -> None:
    """Raises UnusableInput where the record inside the file does not know this certificate: who has the file alone
    could not tell whose the second signature is."""
    with tempfile.TemporaryDirectory(prefix="countersign-check-") as folder:
        path = Path(folder) / "report.pdf"
        path.write_bytes(pdf)
        book = Book.from_bundle(io.BytesIO(open_paper(path).files[BUNDLE_NAME]))
    if enrolment_of(book, x509.load_pem_x509_certificate(certificate.encode())) is None:
        raise UnusableInput("This file was made before your certificate was enrolled.",
                            next_step="Who ran it makes the file anew: `countersign validate sign-report RUN...`.")

"""Issuing an approved paper: its file is rendered, signed with the approver's certificate in the unlock of the entry
that names it, and later time-stamped as a revision and entry of its own (RECORD 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography import x509
from sqlalchemy import Connection

from audit.vocabulary.reports import ReportIssued, ReportTimeStamped
from core.clock import as_datetime
from core.errors import Refused, Stale, UnusableInput
from core.objects import PDF, ObjectStore
from core.policy.decide import permit
from core.policy.state import Actor
from core.work import Desk, Draft, Occasion, Proposal, Receipt, View
from reports import bundling, pades, queries
from reports.queries import DrawnReport
from reports.usecases import SERVICE, facts_of, printed

SAYS = "I issue this paper; the file bears my signature."
# Makes the bundle that travels with a paper: (desk, trial, for whom) -> the bytes of the ZIP.
MakeBundle = Callable[[Desk, str, str], bytes]


@dataclass(slots=True)
class SignedPaper:
    """The file of a paper as core.proposal.Document: PAdES by the certificate of who signs it. `event` names the file
    in its field `pdf`; `reason` are the person's words in the signature."""

    objects: ObjectStore
    pdf: bytes
    authority: str
    at: datetime
    event: Any
    reason: str = SAYS
    begin: Callable[..., pades.BegunSignature] = pades.begin_signature
    _begun: pades.BegunSignature | None = field(default=None, repr=False)

    def to_sign(self, certificate: str) -> bytes:
        own, issuer = (x509.load_pem_x509_certificate(pem.encode()) for pem in (certificate, self.authority))
        self._begun = self.begin(self.pdf, own, issuer, self.at, reason=self.reason)
        return self._begun.message

    def signed(self, signature: bytes) -> Any:
        assert self._begun is not None  # asked for before
        return replace(self.event, pdf=self.objects.put(self._begun.complete(signature), PDF))


def issue_report(
    desk: Desk, actor: Actor, trial: str, digest: str, make_bundle: MakeBundle = bundling.trial_bundle, *,
    evidence_url: str = "",
) -> Proposal:
    """What the approver signs to issue a paper: the rendered file, with the record attached.

    The bundle is made after both signatures, so the paper carries their entries.

    Raises:
        Refused: a signature is missing, another person approved, or it is issued already; recorded.
        RecordDamaged: the finished paper does not agree with its record; it is not issued.
    """
    try:
        with desk.reading() as session:
            report = queries.drawn_report(session, trial, digest)
            permit(actor, "report.issue", facts_of(session, actor, "report.issue", report, trial))
    except Refused as refusal:
        desk.record_refusal(actor.user, "report.issue", refusal)
        raise
    bundle = make_bundle(desk, trial, actor.user)
    pdf, pages = printed(desk, report, bundle, evidence_url)
    # The unsigned file stays beside: it is what the page to be signed names.
    shown = desk.objects.put(pdf, PDF)
    authority = desk.signer.certificate_of_authority()

    def propose(session: Connection, occasion: Occasion) -> Draft:
        report = queries.drawn_report(session, trial, digest)
        decision = permit(actor, "report.issue", facts_of(session, actor, "report.issue", report, trial))
        before = queries.issued_reports(session, trial)
        event = ReportIssued(
            report=report.report, kind=report.kind, content_digest=report.content_digest, size=report.size,
            root=report.root, pdf=shown, bundle_sha256=hashlib.sha256(bundle).hexdigest(), pages=pages,
            signed=tuple(report.signatures[part][1] for part in ("prepared", "approved")),
            supersedes=before[0].content_digest if before else None,
        )
        return Draft(
            event, under=decision, meaning="responsibility", view=_view(report, event), trial=trial,
            caused_by=report.signatures["approved"][1],
            document=SignedPaper(desk.objects, pdf, authority, as_datetime(occasion.at_us), event),
        )

    return desk.prepare(actor, propose, asked="report.issue")


def _view(report: DrawnReport, event: ReportIssued) -> View:
    lines = [
        ("Paper", report.report), ("Trial", report.trial),
        ("Drawn from", f"entries 0 to {report.size - 1}, root {report.root}"),
        ("Content digest", f"sha256:{report.content_digest}"),
        ("Prepared by", f"{report.signatures['prepared'][0]}, entry id {report.signatures['prepared'][1]}"),
        ("Approved by", f"{report.signatures['approved'][0]}, entry id {report.signatures['approved'][1]}"),
        ("File before your signature", f"{event.pages} pages, {event.pdf.bytes} bytes, sha256:{event.pdf.sha256}"),
        ("Record inside", f"sha256:{event.bundle_sha256}"),
        *((("Replaces", f"content sha256:{event.supersedes}"),) if event.supersedes else ()),
        ("You sign", SAYS),
    ]
    return View(f"Issue {report.report}", "report-issue", tuple(lines))


@dataclass(frozen=True, slots=True)
class TimeStampAuthority:
    """An RFC 3161 authority: its address as it is recorded, how it is asked, its root certificates (PEM)."""

    address: str
    ask: pades.AskAuthority
    roots: tuple[bytes, ...]


def stamp_report(desk: Desk, actor: Actor, trial: str, digest: str, authority: TimeStampAuthority) -> Receipt:
    """Have the file of an issued paper time-stamped, and record the new revision; the earlier one stays.

    The authority is asked before anything is locked.

    Raises:
        Refused: the paper is not issued, or the actor may not; recorded.
        OutsideUnavailable: the authority gave no time stamp of this file; nothing is recorded.
        Stale: another time stamp was recorded meanwhile.
        UnusableInput: a root certificate cannot be read.
    """
    try:
        with desk.reading() as session:
            report = queries.drawn_report(session, trial, digest)
            permit(actor, "report.stamp", facts_of(session, actor, "report.stamp", report, trial))
            paper = queries.issued_report(session, report)
    except Refused as refusal:
        desk.record_refusal(actor.user, "report.stamp", refusal)
        raise
    assert paper is not None  # else refused
    try:
        roots = [x509.load_pem_x509_certificate(pem) for pem in authority.roots]
    except ValueError as error:
        raise UnusableInput(f"A root certificate cannot be read: {error}", next_step="Give PEM files.") from error
    file = pades.with_time_stamp(desk.objects.get(paper.newest), authority.ask, roots)
    stamped = desk.objects.put(file, PDF)
    with desk.open(SERVICE, on_behalf_of=actor.user, asked="report.stamp") as work:
        if queries.issued_report(work.session, report) != paper:
            raise Stale("Another time stamp of this paper was recorded meanwhile.")
        decision = permit(SERVICE, "report.stamp", facts_of(work.session, SERVICE, "report.stamp", report, trial))
        work.record(
            ReportTimeStamped(report=paper.report, content_digest=paper.content_digest, issued=paper.entry_id,
                              before=paper.newest, pdf=stamped, authority=authority.address),
            under=decision, trial=trial, caused_by=paper.entry_id,
        )
    return work.receipts[0]

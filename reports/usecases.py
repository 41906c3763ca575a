"""Drawing a paper from the verified record, and signing it as prepared and as approved."""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from audit.vocabulary.reports import ReportDrawn, ReportSigned
from core.access.queries import roles_of
from core.errors import NotFound, RecordDamaged, Refused
from core.objects import JSON
from core.policy.decide import permit
from core.policy.state import Actor, Facts, Stage
from core.reads.blinding import OPENLY, Hidden, Seen, view_of
from core.reads.queries import slots_of
from core.trials.queries import facts_for, trial_row
from core.work import Desk, Draft, Occasion, Proposal, View, release
from reports import csr_appendix, queries
from reports.attached import paper_of
from reports.book import Book
from reports.model import Paper, content_bytes, content_digest
from reports.queries import DrawnReport, IssuedReport
from reports.recheck import check_pdf
from reports.render import DEFAULT_EVIDENCE_URL, render

SERVICE = Actor.of_service("reports")
MEANING = {"prepared": "authorship", "approved": "approval"}
ACTION = {"prepared": "report.prepare", "approved": "report.approve"}


def facts_of(session: Connection, actor: Actor, action: str, report: DrawnReport | None, trial: str) -> Facts:
    relations = {"reads_hidden"} if _hidden_from(session, actor, trial) else set[str]()
    if report is not None:
        people = {part: person for part, (person, _) in report.signatures.items()}
        if actor.user == people.get("prepared"):
            relations.add("preparer")
        if people.get("approved", actor.user) != actor.user:
            relations.add("approved_by_another")
        if queries.issued_report(session, report) is not None:
            relations.add("issued")
        relations |= {f"un{part}" for part in ("prepared", "approved") if part not in people}
        part = next((part for part, named in ACTION.items() if named == action), None)
        if part in people:
            relations.add("signed_already")
    return facts_for(session, actor, action, trial, relations=frozenset(relations))


def _hidden_from(session: Connection, actor: Actor, trial: str) -> bool:
    """Whether an opened read of somebody else is hidden from this person (TRIAL 4): then every paper is, too."""
    if actor.service:
        return False
    row = trial_row(session, trial)
    locked = row is not None and row.stage in (Stage.LOCKED, Stage.CLOSED)
    holds = any(slot.reader == actor.user for slot in slots_of(session, trial, current=False))
    roles = roles_of(session, actor.user, trial)
    seen = Seen(roles=roles, own=False, opened=True, reads_here=holds and not locked, data_locked=locked)
    # Without a role that shows reads, the table of acts says no by itself.
    return bool(roles & OPENLY) and isinstance(view_of(seen), Hidden)


def draw_appendix(desk: Desk, actor: Actor, trial: str) -> DrawnReport:
    """Verify the record, draw the appendix of a trial from it, and record that it was drawn.

    Raises:
        Refused: the actor may not draw papers of this trial; recorded.
        RecordDamaged: the record does not stand up to verification; nothing is drawn from it.
        NotFound: there is no such trial.
    """
    origin = desk.signer.origin
    try:
        with desk.reading() as session:
            decision = permit(actor, "report.draw", facts_of(session, actor, "report.draw", None, trial))
            book = queries.verified_book(session, origin)
    except Refused as refusal:
        desk.record_refusal(actor.user, "report.draw", refusal)
        raise
    paper = csr_appendix.build(book, trial, release())
    raw = content_bytes(paper)
    content = desk.objects.put(raw, JSON)
    digest = content_digest(paper)
    with desk.open(SERVICE, on_behalf_of=actor.user, asked="report.draw") as work:
        decision = permit(actor, "report.draw", facts_of(work.session, actor, "report.draw", None, trial))
        work.record(
            ReportDrawn(
                report=_name(paper), kind=csr_appendix.KIND, content_digest=digest, size=book.range.size,
                root=book.range.root, content=content, release=paper.cover.release,
            ),
            under=decision, trial=trial,
        )
    with desk.reading() as session:
        return queries.drawn_report(session, trial, digest)


def _name(paper: Paper) -> str:
    return f"{paper.cover.document} {paper.cover.version}"


@dataclass(frozen=True, slots=True)
class SignReport:
    """A name under a drawn paper: `part` is prepared or approved; `digest` the content digest or its first signs."""

    trial: str
    digest: str
    part: str


def sign_report(desk: Desk, actor: Actor, command: SignReport) -> Proposal:
    """What is signed: the content of the paper by its digest, its range and every table with its number of rows.

    Raises Refused (recorded) for another role, one's own preparation, or an approval before the preparation.
    """
    action = ACTION[command.part]

    def propose(session: Connection, occasion: Occasion) -> Draft:
        report = queries.drawn_report(session, command.trial, command.digest)
        decision = permit(actor, action, facts_of(session, actor, action, report, command.trial))
        paper = read_content(desk, report)
        first = report.signatures.get("prepared", ("", ""))[1] if command.part == "approved" else None
        event = ReportSigned(
            report=report.report, kind=report.kind, part=command.part, content_digest=report.content_digest,
            drawn=report.entry_id, first=first,
        )
        return Draft(event, under=decision, meaning=MEANING[command.part], view=_view(report, paper, command.part),
                     trial=command.trial, caused_by=first)

    return desk.prepare(actor, propose, asked=action)


def read_content(desk: Desk, report: DrawnReport) -> Paper:
    """The stored content of a drawn paper. Raises RecordDamaged where its digest is not the recorded one."""
    raw = desk.objects.get(report.content)
    if hashlib.sha256(raw).hexdigest() != report.content_digest:
        raise RecordDamaged(f"The stored content of {report.report} is not what was drawn.")
    return paper_of(raw)


def _view(report: DrawnReport, paper: Paper, part: str) -> View:
    cover = paper.cover
    says = {"prepared": "I have prepared this paper and it is complete.", "approved": "I approve this paper for issue."}
    lines = [
        ("Paper", f"{cover.title}; {cover.document}, version {cover.version}"), ("Trial", cover.trial),
        ("Status", cover.status), ("Evidence class", cover.evidence_class),
        ("Drawn from", f"entries 0 to {report.size - 1} of {cover.range.origin}, until {cover.range.last_entry_at}"),
        ("Ledger root", report.root), ("Content digest", f"sha256:{report.content_digest}"),
        *((f"Table {table.id}", f"{table.title}: {len(table.rows)} rows") for table in paper.tables),
        *((f"Figure {n}", figure.title) for n, figure in enumerate(paper.figures, 1)),
        ("You sign", says[part]),
    ]
    return View(f"Sign {report.report}", "report", tuple(lines))


def issued_paper(desk: Desk, actor: Actor, trial: str, digest: str) -> IssuedReport:
    """An issued paper, for somebody who may read papers of this trial.

    Raises Refused (recorded) for somebody who may not, NotFound where it is not issued.
    """
    try:
        with desk.reading() as session:
            report = queries.drawn_report(session, trial, digest)
            permit(actor, "report.see", facts_of(session, actor, "report.see", report, trial))
            paper = queries.issued_report(session, report)
    except Refused as refusal:
        desk.record_refusal(actor.user, "report.see", refusal)
        raise
    if paper is None:
        raise NotFound(f"{report.report} is not issued yet.", next_step="`countersign report list` says what it lacks.")
    return paper


def printed(desk: Desk, report: DrawnReport, bundle: bytes, evidence_url: str = "") -> tuple[bytes, int]:
    """The PDF of a drawn paper with the signatures that the bundle holds, re-checked before anybody sees it; the file
    itself is not signed.

    Returns its bytes and its number of pages. Raises RecordDamaged where the check finds a difference.
    """
    paper = read_content(desk, report)
    book = Book.from_bundle(io.BytesIO(bundle))
    signings = csr_appendix.signings(book, report.trial, report.content_digest)
    paper = Paper(paper.cover, paper.tables, paper.figures, signings)
    pdf = render(paper, bundle=bundle, evidence_url=evidence_url or DEFAULT_EVIDENCE_URL)
    with tempfile.TemporaryDirectory(prefix="countersign-check-") as folder:
        path = Path(folder) / "paper.pdf"
        path.write_bytes(pdf)
        check = check_pdf(path, unsigned=True)
    if not check.ok:
        first = check.findings[0].in_words() if check.findings else "a step was not done"
        raise RecordDamaged(f"The paper does not agree with the record it was drawn from: {first}.")
    return pdf, check.pages

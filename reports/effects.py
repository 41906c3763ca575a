"""What follows from signatures under papers: QA's approval issues the paper."""

from __future__ import annotations

from audit.vocabulary.reports import ReportSigned
from core.outbox import follows
from core.projection import Recorded
from core.work import Desk


@follows(ReportSigned, "issue-report")
def issue_after_approval(desk: Desk, entry: Recorded, event: ReportSigned) -> None:
    """Render and issue an approved paper; a paper that is issued already is left as it is."""
    if event.part != "approved" or entry.trial is None:
        return
    # The renderer is heavy and only this effect needs it.
    from reports.usecases import issue_report

    issue_report(desk, entry.trial, event.content_digest)

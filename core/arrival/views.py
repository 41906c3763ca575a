"""What a technologist is shown before signing a disposition; the page and the prompt render from this alone."""

from __future__ import annotations

from collections.abc import Mapping

from core.arrival.queries import CaseRow, SeriesRow
from core.work import View

_WORDS = {"met": "met", "warning": "noted", "not_met": "not met"}


def disposition(
    case: CaseRow, row: SeriesRow, verdict: str, reason: str, comment: str | None = None,
    ai_shown: Mapping[str, int] | None = None,
) -> View:
    """Every value to be signed, every rule of the check with its outcome, and which AI runs the signer was shown."""
    lines = [
        ("Disposition", verdict),
        ("Reason", reason.replace("_", " ")),
        # What another has signed meanwhile makes this page stale: two verdicts never cross unseen.
        ("Disposition so far", f"{row.disposition} by {row.disposed_by}" if row.disposition else "none"),
        ("Trial", case.trial),
        ("Subject", case.subject),
        ("Time point", case.time_point),
        ("Series", f"{case.modality}, {row.instances} instances, acquired {row.acquired_on}"),
        ("Case", case.case_id),
        ("Content digest", row.content_sha256),
        ("Manifest digest", case.manifest_sha256),
        ("Charter", case.charter_version),
        ("Rules not met", str(case.broken)),
    ]
    lines += [("Comment", comment)] if comment else []
    lines += [("AI shown to you", f"run {run}, entry {entry}") for run, entry in (ai_shown or {}).items()]
    lines += [
        (rule.rule, f"{_WORDS[rule.outcome]}: required {rule.required}; measured {rule.measured} ({rule.where})")
        for rule in case.rules
    ]
    return View("Disposition of a series", "qc/dispose", tuple(lines))

"""What follows from a signed correction."""

from __future__ import annotations

from audit.vocabulary.corrections import StudyReassigned
from core.corrections.carrying import carry_out
from core.outbox import follows
from core.projection import Recorded
from core.work import Desk


@follows(StudyReassigned, "carry-out")
def carry_correction_out(desk: Desk, entry: Recorded, event: StudyReassigned) -> None:
    """Corrected copies, rejection note and notices; a second run does what a killed one left."""
    if entry.trial is not None:
        carry_out(desk, entry.trial, entry.seq)

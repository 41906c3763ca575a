"""Words about the cohort: from an AI candidate flag to a coordinator's signed selection."""

from __future__ import annotations

from audit.vocabulary.registry import SubjectText, event


@event(
    "cohort.candidate_flagged", signed_by="service", clause="TRIAL 5",
    sentence="AI flagged {subject} as a candidate, unreviewed, confidence {confidence} (lock {lock})",
)
class CandidateFlagged:
    """A proposal for a coordinator's work-list; it includes and excludes nobody."""

    candidate: str
    subject: str
    study: str
    flagged: bool
    confidence: str
    lock: str
    run: str
    gate: str


@event(
    "cohort.selected", signed_by="person", clause="TRIAL 5; GDPR 22",
    sentence="{actor} reviewed candidate {subject}: {decision} ({reason})",
)
class CandidateSelected:
    """selected or not_selected, with a coded reason; the selection is the coordinator's."""

    candidate: str
    subject: str
    decision: str
    ai_was_shown: bool
    comment: SubjectText | None = None


@event(
    "cohort.eligibility_decided", signed_by="person", clause="ICH E6(R3) 2.8",
    sentence="{actor} decided on the eligibility of {subject}: {decision} ({reason})",
)
class EligibilityDecided:
    """The investigator's decision, eligible or not_eligible; AI never makes it."""

    candidate: str
    subject: str
    decision: str
    comment: SubjectText | None = None

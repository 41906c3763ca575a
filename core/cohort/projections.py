"""Tables of the cohort: candidates as flagged, and what people decided about them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table

from audit.vocabulary import cohort as words
from audit.vocabulary import corrections, incidents
from core.projection import Recorded, keep, metadata, projects

candidates = Table(
    "cohort_candidate", metadata,
    Column("candidate", String(64), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("study", String(64), nullable=False),
    Column("flagged", Boolean, nullable=False),
    Column("confidence", String(40), nullable=False),
    Column("lock", String(120), nullable=False),
    Column("run", String(120), nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_by", String(120)),
    Column("reason", String(64)),
    Column("decision_entry", Integer),
    Column("stale", Integer),
    Column("entry", Integer, nullable=False),
)


@projects(words.CandidateFlagged)
def remember_candidate(session: Connection, entry: Recorded, event: words.CandidateFlagged) -> None:
    keep(
        session, candidates, candidate=event.candidate, trial=entry.trial, subject=event.subject, study=event.study,
        flagged=event.flagged, confidence=event.confidence, lock=event.lock, run=event.run, state="candidate",
        entry=entry.seq,
    )


@projects(words.CandidateSelected, words.EligibilityDecided)
def remember_decision(
    session: Connection, entry: Recorded, event: words.CandidateSelected | words.EligibilityDecided
) -> None:
    session.execute(
        candidates.update().where(candidates.c.candidate == event.candidate)
        .values(state=event.decision, decided_by=entry.actor, reason=entry.reason, decision_entry=entry.seq)
    )


@projects(corrections.StudyReassigned, incidents.IncidentOpened)
def withdraw_candidates(
    session: Connection, entry: Recorded, event: corrections.StudyReassigned | incidents.IncidentOpened
) -> None:
    """A flag on images in the wrong place is withdrawn; what a person decided on it stays, marked as stale."""
    here = (candidates.c.trial == entry.trial) & (candidates.c.study == event.study)
    session.execute(candidates.update().where(here).values(stale=entry.seq))
    session.execute(candidates.update().where(here, candidates.c.state == "candidate").values(state="withdrawn"))

"""Commands of the cohort: a flag for the work-list, the coordinator's selection, the investigator's decision.

A flag includes and excludes nobody (F-630, F-634): it only stands on the list, labelled unreviewed (TRIAL 5). Whoever
is no person and asks to select or to decide is answered by those rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection

from audit.vocabulary import cohort as words
from core.cohort import queries
from core.errors import Refused, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials.acting import allowed, draft
from core.trials.queries import facts_for, uses_for
from core.work import Desk, Draft, Occasion, Proposal, Receipt, View

INFERENCE = Actor.of_service("inference")
SELECTION_REASONS = ("meets_imaging_criteria", "no_measurable_lesion", "poor_image_quality", "prior_therapy",
                     "clinical_exclusion", "ai_disagreed_with")
ELIGIBILITY_REASONS = ("criteria_met", "criteria_not_met", "consent_refused", "other")


@dataclass(frozen=True, slots=True)
class FlagCandidate:
    """What a run of the cohort model says of a screening study; confidence is decimal text from 0 to 1."""

    trial: str
    subject: str
    study: str
    flagged: bool
    confidence: str
    lock: str
    run: str


def flag_candidate(desk: Desk, command: FlagCandidate) -> Receipt:
    """Put a flag on the coordinator's work-list. Refused while the cohort gate is closed or open for another lock."""
    try:
        confidence = Decimal(command.confidence)
    except InvalidOperation as error:
        raise UnusableInput(f"{command.confidence!r} is no confidence.") from error
    if len(command.confidence) > 12 or not confidence.is_finite() or not 0 <= confidence <= 1:
        raise UnusableInput(f"A confidence lies from 0 to 1; {command.confidence} does not.")
    with desk.open(INFERENCE, asked="ai.run") as work:
        permit(INFERENCE, "subject.use", facts_for(
            work.session, INFERENCE, "subject.use", command.trial, about=command.subject))
        facts = facts_for(
            work.session, INFERENCE, "ai.run", command.trial, relations=frozenset({"for_cohort"}),
            about=command.subject)
        under = permit(INFERENCE, "ai.run", facts)
        gate = next((use for use in uses_for(work.session, command.trial, command.subject)
                     if use.use_name == "cohort" and use.lock == command.lock), None)
        if gate is None:
            raise Refused(f"The cohort gate of {command.trial} is open for another lock.", rule="F-641")
        number = len(queries.candidates_of(work.session, command.trial)) + 1
        event = words.CandidateFlagged(
            candidate=f"{command.trial}-C{number:04d}", subject=command.subject, study=command.study,
            flagged=command.flagged, confidence=command.confidence, lock=command.lock, run=command.run, gate=gate.gate)
        work.record(event, under=under, trial=command.trial)
    return work.receipts[0]


def worklist(session: Connection, actor: Actor, trial: str) -> tuple[queries.CandidateRow, ...]:
    """Undecided candidates for a coordinator, of the sites for which the gate is open.

    Raises Refused where AI may not be shown to them.
    """
    permit(actor, "ai.show_to_coordinator", facts_for(session, actor, "ai.show_to_coordinator", trial))
    return tuple(one for one in queries.candidates_of(session, trial)
                 if one.state == "candidate" and _may_be_shown(session, one))


def _may_be_shown(session: Connection, candidate: queries.CandidateRow) -> bool:
    return any(use.use_name == "cohort" for use in uses_for(session, candidate.trial, candidate.subject))


def _by_a_person(session: Connection, actor: Actor, door: str, row: queries.CandidateRow) -> None:
    """A service comes with what a model said and with nothing else: the door of AI answers it. Raises Refused."""
    if actor.service:
        permit(actor, door, facts_for(session, actor, door, row.trial, about=row.subject))


def select_candidate(
    desk: Desk, actor: Actor, candidate: str, decision: str, reason: str, comment: str | None = None
) -> Proposal:
    """The coordinator's signed selection, with reason; the AI flag is shown beside it where the gate is open."""
    if decision not in ("selected", "not_selected"):
        raise UnusableInput(f"{decision!r} is no decision: selected or not_selected.")
    if reason not in SELECTION_REASONS:
        raise UnusableInput(f"{reason!r} is no reason here; allowed: {', '.join(SELECTION_REASONS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.candidate_named(session, candidate)
        _by_a_person(session, actor, "ai.select_subject", row)
        decided = () if row.state == "candidate" else ("decided",)
        under = allowed(session, actor, "cohort.select", row.trial, *decided, about=row.subject)
        shown = _may_be_shown(session, row)
        flag = f"{'flagged' if row.flagged else 'not flagged'}, confidence {row.confidence}, unreviewed"
        event = words.CandidateSelected(
            candidate=candidate, subject=row.subject, decision=decision, ai_was_shown=shown,
            comment=desk.conceal(comment, row.trial, row.subject, occasion))
        return draft(
            session, actor, "cohort.select", row.trial, event, under=under, meaning="review", reason=reason,
            view=View("Selection of a candidate", "cohort/select", (
                ("Trial", row.trial), ("Candidate", candidate), ("Subject", row.subject), ("Study", row.study),
                ("AI", flag if shown else "not shown: the cohort gate is closed"),
                ("Decision", decision.replace("_", " ")), ("Reason", reason.replace("_", " ")),
                *((("Comment", comment),) if comment else ()))))

    return desk.prepare(actor, propose, asked="cohort.select")


def decide_eligibility(
    desk: Desk, actor: Actor, candidate: str, decision: str, reason: str, comment: str | None = None
) -> Proposal:
    """The investigator's signed decision on a selected candidate; no AI value stands in it."""
    if decision not in ("eligible", "not_eligible") or reason not in ELIGIBILITY_REASONS:
        raise UnusableInput(
            f"Decide eligible or not_eligible, for one of {', '.join(ELIGIBILITY_REASONS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.candidate_named(session, candidate)
        _by_a_person(session, actor, "ai.write_eligibility", row)
        under = allowed(session, actor, "cohort.decide_eligibility", row.trial, about=row.subject)
        if row.stale is not None:
            raise Refused(f"Images behind candidate {candidate} were corrected (entry {row.stale}); the selection is "
                          "made anew.", rule="F-643")
        if row.state != "selected":
            raise Refused(f"Candidate {candidate} is {row.state.replace('_', ' ')}; a selected one is decided on.",
                          rule="F-642")
        event = words.EligibilityDecided(
            candidate=candidate, subject=row.subject, decision=decision,
            comment=desk.conceal(comment, row.trial, row.subject, occasion))
        return draft(
            session, actor, "cohort.decide_eligibility", row.trial, event, under=under, meaning="responsibility",
            reason=reason, view=View("Eligibility", "cohort/eligibility", (
                ("Trial", row.trial), ("Subject", row.subject), ("Decision", decision.replace("_", " ")),
                ("Reason", reason.replace("_", " ")), *((("Comment", comment),) if comment else ()))))

    return desk.prepare(actor, propose, asked="cohort.decide_eligibility")

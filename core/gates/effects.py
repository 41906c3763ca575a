"""What follows from a lost precondition: the gates that rest on it are suspended, on record, with the cause."""

from __future__ import annotations

from audit.vocabulary.corrections import StudyReassigned
from audit.vocabulary.gates import GateRevoked
from audit.vocabulary.ledger import KeyRevoked
from audit.vocabulary.models import ModelRefused, ModelRetired
from audit.vocabulary.reads import ReadCompared, ReadOpened, RereadOrdered
from audit.vocabulary.trials import CharterApproved
from audit.vocabulary.validation import DeviationOpened, ValidationSuspect
from core.gates.looks import evaluate_looks
from core.gates.usecases import enforce, halt_for, suspend_for
from core.outbox import follows
from core.policy.state import Stage
from core.projection import Recorded
from core.reads.seal_queries import read_of_seal, seals_awaited
from core.reads.state import AI_SLOTS
from core.trials.projections import CLOSING_REFUSALS
from core.trials.queries import the_trial
from core.work import Desk


@follows(ModelRefused, "suspend-gates")
def suspend_after_refusal(desk: Desk, entry: Recorded, event: ModelRefused) -> None:
    """Bytes, environment or lock differ."""
    if event.cause in CLOSING_REFUSALS:
        suspend_for(desk, event.cause, lock=event.lock, caused_by=entry.id)


@follows(ModelRetired, "suspend-gates")
def suspend_after_retirement(desk: Desk, entry: Recorded, event: ModelRetired) -> None:
    """A retired or recalled lock serves no gate."""
    suspend_for(desk, "lock_revoked", lock=event.lock, caused_by=entry.id)


@follows(ValidationSuspect, "suspend-gates")
def suspend_after_suspicion(desk: Desk, entry: Recorded, event: ValidationSuspect) -> None:
    """What was shown of a lock is suspect; or of this installation, and then the release that rests on it."""
    if event.lock is not None:
        suspend_for(desk, "validation_suspect", lock=event.lock, caused_by=entry.id)
    else:
        enforce(desk)


@follows(DeviationOpened, "suspend-gates")
def suspend_after_deviation(desk: Desk, entry: Recorded, event: DeviationOpened) -> None:
    """A critical deviation about a trial or a lock."""
    if event.klass_name == "critical" and (entry.trial or event.lock):
        lock = None if entry.trial else event.lock
        suspend_for(desk, "critical_deviation", trial=entry.trial, lock=lock, caused_by=entry.id)


@follows(KeyRevoked, "suspend-gates")
def suspend_after_suspicion_of_a_key(desk: Desk, entry: Recorded, event: KeyRevoked) -> None:
    """Signatures are suspect: gates that rest on them, or on evidence so signed, close until people look."""
    if event.suspect_from is not None:
        enforce(desk)


@follows(CharterApproved, "suspend-gates")
def suspend_after_amendment(desk: Desk, entry: Recorded, event: CharterApproved) -> None:
    """An amendment is in force: gates whose imaging it changes close until somebody signed what that means."""
    enforce(desk)


@follows(GateRevoked, "suspend-gates")
def suspend_after_revocation(desk: Desk, entry: Recorded, event: GateRevoked) -> None:
    """Later gates that rest on the revoked one alone."""
    enforce(desk)


@follows(ReadOpened, "halt-gates")
def halt_after_unblinding(desk: Desk, entry: Recorded, event: ReadOpened) -> None:
    """The AI's read of a time point is open while a person has not locked theirs: people may know what AI found."""
    if entry.trial is None:
        return
    with desk.reading() as session:
        read = read_of_seal(session, event.sealed)
        early = read is not None and read.slot in AI_SLOTS and bool(
            set(seals_awaited(session, entry.trial, read.subject, read.time_point)) - AI_SLOTS)
        live = the_trial(session, entry.trial).stage is Stage.LIVE
    if early and live:
        halt_for(desk, entry.trial, "ai_unblinding", entry.id)


@follows(RereadOrdered, "halt-gates")
def halt_after_a_wrong_side(desk: Desk, entry: Recorded, event: RereadOrdered) -> None:
    """Reads are ordered again because images or marks lay on the wrong side."""
    if entry.trial is not None and entry.reason == "wrong_side":
        halt_for(desk, entry.trial, "wrong_side", entry.id)


@follows(ReadCompared, "evaluate-halt-rules")
def evaluate_after_comparison(desk: Desk, entry: Recorded, event: ReadCompared) -> None:
    """Reads are locked, opened and compared: a statistical halt rule may have reached a look."""
    if entry.trial is not None:
        evaluate_looks(desk, entry.trial)


@follows(StudyReassigned, "halt-at-event")
def halt_after_wrong_place(desk: Desk, entry: Recorded, event: StudyReassigned) -> None:
    """A value of a model stood with the wrong subject or side: its event rules halt at the event (TRIAL 2)."""
    if entry.trial is None or event.kind not in ("wrong_subject", "wrong_side") or not event.ai_values:
        return
    halt_for(desk, entry.trial, event.kind, entry.id)

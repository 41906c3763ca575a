"""What follows from a lost precondition: the gates that rest on it are suspended, on record, with the cause."""

from __future__ import annotations

from audit.vocabulary.ledger import KeyRevoked
from audit.vocabulary.models import ModelRefused, ModelRetired
from audit.vocabulary.reads import ReadCompared
from audit.vocabulary.trials import CharterApproved
from audit.vocabulary.validation import DeviationOpened, ValidationSuspect
from core.gates.looks import evaluate_looks
from core.gates.usecases import enforce, suspend_for
from core.outbox import follows
from core.projection import Recorded
from core.trials.projections import CLOSING_REFUSALS
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


@follows(ReadCompared, "evaluate-halt-rules")
def evaluate_after_comparison(desk: Desk, entry: Recorded, event: ReadCompared) -> None:
    """Reads are locked, opened and compared: a statistical halt rule may have reached a look."""
    if entry.trial is not None:
        evaluate_looks(desk, entry.trial)

"""What follows for validation from words of others: a recalled lock or a suspect key makes what rests on it suspect."""

from __future__ import annotations

from audit.vocabulary.ledger import KeyRevoked
from audit.vocabulary.models import ModelRetired
from audit.vocabulary.validation import ChangeAssessed, StepObserved
from core.outbox import follows
from core.policy.state import Actor
from core.projection import Recorded
from core.work import Desk
from validation.observing import settle
from validation.queries import counting_runs, run_row, runs_resting_on
from validation.releases import suspect_by_rule

SERVICE = Actor.of_service("validation")


@follows(ModelRetired, "suspect-validation")
def suspect_after_recall(desk: Desk, entry: Recorded, event: ModelRetired) -> None:
    """Once per run: a run that is suspect already is no counting run, so doing it twice changes nothing."""
    if event.how != "recalled":
        return
    with desk.open(SERVICE, on_behalf_of=entry.person, asked="validation.suspect") as work:
        for run in counting_runs(work.session, event.lock):
            suspect_by_rule(
                work, run, f"Lock {event.lock} was recalled.", "IQ, OQ and PQ of a new lock", caused_by=entry.id
            )


@follows(ChangeAssessed, "suspect-validation")
def suspect_after_change(desk: Desk, entry: Recorded, event: ChangeAssessed) -> None:
    """Each run that the signed assessment names, once."""
    with desk.open(SERVICE, on_behalf_of=entry.person, asked="validation.suspect") as work:
        for run in event.runs:
            if run_row(work.session, run)["state"] != "suspect":
                suspect_by_rule(work, run, f"Change {event.change} ({event.klass_name}): {event.says}", event.scope,
                                caused_by=entry.id)


@follows(StepObserved, "settle-run")
def settle_observed_run(desk: Desk, entry: Recorded, event: StepObserved) -> None:
    """A deviation where a manual step failed or was altered; the verdict once no step is open."""
    settle(desk, event.run, event.step)


@follows(KeyRevoked, "suspect-validation")
def suspect_after_suspicion_of_a_key(desk: Desk, entry: Recorded, event: KeyRevoked) -> None:
    """Runs approved or reviewed with a key that may have been another's; they count again when shown again."""
    if event.suspect_from is None:
        return
    with desk.open(SERVICE, on_behalf_of=entry.person, asked="validation.suspect") as work:
        for run in runs_resting_on(work.session, event.kid, event.suspect_from):
            suspect_by_rule(
                work, run, f"A signature it rests on is suspect: entry {entry.seq} revoked the key {event.kid[:16]}….",
                "the approvals and reviews signed with this key, and the run", caused_by=entry.id,
            )

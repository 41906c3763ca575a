"""The end of a trial: closed by its lead when its data are locked and nothing is open; nothing happens in it after."""

from __future__ import annotations

from sqlalchemy import Connection

from audit.vocabulary.trials import TrialClosed
from core.data_lock import queries
from core.incidents.queries import incidents_of
from core.policy.state import Actor, Stage
from core.trials import views
from core.trials.acting import allowed, draft
from core.trials.queries import signed_charter, the_trial
from core.trials.rules import follow
from core.work import Desk, Draft, Occasion, Proposal


def open_ends(session: Connection, trial: str) -> dict[str, tuple[str, ...]]:
    """What is open in a trial that keeps it from being closed: by relation, with the names of the things."""
    allocation = queries.allocation_of(session, trial)
    blinded = allocation is not None and allocation.state != "unblinded"
    return {
        "incidents_open": tuple(one.incident for one in incidents_of(session, trial) if one.state != "certified"),
        "deviations_open": queries.open_deviations(session, trial),
        "still_blinded": ("the declared allocation",) if blinded else (),
    }


def close_trial(desk: Desk, actor: Actor, trial: str) -> Proposal:
    """The trial lead closes a trial whose data are locked. Raises Refused with what is open, or not locked."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = the_trial(session, trial)
        ends = open_ends(session, trial)
        under = allowed(session, actor, "trial.close", trial, *(name for name, things in ends.items() if things))
        if row.stage is not Stage.LOCKED:
            follow("trial", trial, row.stage.value, "trial.closed")
        cut, charter = queries.cut_in(session, trial, "locked"), signed_charter(session, trial)
        assert cut is not None  # the stage is locked
        assert charter is not None  # it went live under one
        event = TrialClosed(charter_version=charter.version, cut=cut.cut)
        return draft(
            session, actor, "trial.close", trial, event, under=under, meaning="approval",
            view=views.lines(
                "Close the trial", "trial/close", ("Trial", trial), ("Title", row.title), ("Locked cut", event.cut),
                ("Charter", event.charter_version), ("Open deviations, incidents, blind", "none"),
                ("From here on", "the record is read, reported and handed over; nothing else happens in the trial")))

    return desk.prepare(actor, propose, asked="trial.close")

"""What happens at once when series are taken out of their place, by a correction or for identifiers left in them."""

from __future__ import annotations

from sqlalchemy import Connection

from audit.vocabulary.reads import ReadPulled, ReadWithdrawn
from audit.vocabulary.trials import TimePointMoved
from core.arrival.queries import series_of
from core.corrections.rules import Place, word_after
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.reads.acting import READS
from core.reads.queries import current_tasks, tasks_of
from core.reads.state import AI_SLOTS, Task
from core.trials.acting import move_time_point
from core.trials.queries import facts_for, time_point_of
from core.trials.rules import TIME_POINT, next_state
from core.work import Work

HOUSE = Actor.of_service("house")


def reads_touched(session: Connection, trial: str, source: Place, target: Place) -> list[Task]:
    """Reads that are open or count, at both places; of the AI also those that another of its reads replaced."""
    places = dict.fromkeys((source, target))
    return [
        *(one for place in places for one in tasks_of(session, trial, place.subject, place.time_point)
          if one.slot in AI_SLOTS and one.state != "withdrawn"),
        *(one for place in places for one in current_tasks(session, trial, place.subject, place.time_point)
          if one.slot not in AI_SLOTS),
    ]


def take_out(work: Work, trial: str, source: Place, target: Place, cause: str) -> None:
    """In the transaction of the signature: open reads are taken back, AI reads withdrawn, the time points moved."""
    session = work.session
    pull = permit(READS, "read.pull", facts_for(session, READS, "read.pull", trial))
    reads = work.acting_as(READS)
    for one in reads_touched(session, trial, source, target):
        if one.slot in AI_SLOTS:
            # Also one that a changed lock's read replaced: it would count again when that one is withdrawn.
            reads.record(ReadWithdrawn(assignment=one.assignment, says="its images were corrected"), under=pull,
                         trial=trial, caused_by=cause)
        elif one.state == "begun":
            reads.record(ReadPulled(assignment=one.assignment, subject=one.subject, time_point=one.time_point,
                                    slot=one.slot), under=pull, trial=trial, caused_by=cause)
    under = permit(HOUSE, "time_point.move", facts_for(session, HOUSE, "time_point.move", trial))
    _move_source(work, under, trial, source, cause)
    if target != source:
        point = time_point_of(session, trial, target.subject, target.time_point)
        if point is not None and point.state in ("read", "adjudicated"):
            move_time_point(work, trial, target.subject, target.time_point, "time_point.corrected", under=under,
                            caused_by=cause)


def _move_source(work: Work, under: Decision, trial: str, source: Place, cause: str) -> None:
    """What is left of the time point goes through quality control again; with nothing left it is expected anew."""
    point = time_point_of(work.session, trial, source.subject, source.time_point)
    if point is None:
        return
    left = series_of(work.session, trial, source.subject, source.time_point)
    word = word_after(len(left), scheduled=point.occasion != "unscheduled")
    state = next_state(TIME_POINT, point.state, word) or point.state
    acquired = min((row.acquired_on for row in left), default=None)
    if (state, acquired) != (point.state, point.acquired_on):
        event = TimePointMoved(subject=source.subject, time_point=source.time_point, became=state,
                               acquired_on=acquired, charter_version=point.charter_version)
        work.record(event, under=under, trial=trial, caused_by=cause)

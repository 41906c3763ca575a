"""What every act of a trial shares: facts and rule in one, and a draft that names training and delegation."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection

from audit.vocabulary.trials import TimePointMoved
from core.access.queries import basis
from core.errors import UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.trials.queries import facts_for, time_point_of
from core.trials.rules import TIME_POINT, next_state
from core.work import Draft, View, Work


def allowed(
    session: Connection, actor: Actor, action: str, trial: str, *relations: str, about: str | None = None
) -> Decision:
    """The rule that permits this. Raises Refused."""
    return permit(actor, action, facts_for(session, actor, action, trial, relations=frozenset(relations), about=about))


def draft(
    session: Connection, actor: Actor, action: str, trial: str, event: Any, *, under: Decision, meaning: str,
    view: View, reason: str | None = None, caused_by: str | None = None, scope: str | None = None,
) -> Draft:
    """A draft with the trainings and the delegation this act rests on."""
    rests_on = basis(session, actor.user, under.role, action, trial)
    return Draft(
        event, under=under, meaning=meaning, view=view, trial=trial, reason=reason, caused_by=caused_by, scope=scope,
        trainings=rests_on.trainings, delegation=rests_on.delegation,
    )


def iso_day(text: str, what: str) -> date:
    """A date written YYYY-MM-DD. Raises UnusableInput."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UnusableInput(f"{what}: {text!r} is no date of the form YYYY-MM-DD.") from error


def move_time_point(
    work: Work, trial: str, subject: str, time_point: str, word: str, *, under: Decision, caused_by: str,
    acquired_on: date | None = None, charter_version: str | None = None,
) -> None:
    """Carry a time point on where the word changes its state; a re-read of a read time point moves nothing."""
    point = time_point_of(work.session, trial, subject, time_point)
    became = next_state(TIME_POINT, point.state if point else None, word)
    if point is None or became is None or became == point.state:
        return
    event = TimePointMoved(
        subject=subject, time_point=time_point, became=became,
        acquired_on=acquired_on.isoformat() if acquired_on else None, charter_version=charter_version)
    work.record(event, under=under, trial=trial, caused_by=caused_by)

"""What every act about reads shares: facts, drafts that name their training, and how a time point moves on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from core.access.queries import basis
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts
from core.trials import queries as trials
from core.trials.acting import move_time_point
from core.work import Draft, View, Work

READS = Actor.of_service("reads")


def facts_of(
    session: Connection, actor: Actor, action: str, trial: str, *relations: str, endpoint: str | None = None,
    about: str | None = None,
) -> Facts:
    """Facts for a decision about reads."""
    return trials.facts_for(
        session, actor, action, trial, relations=frozenset(relations), endpoint=endpoint, about=about
    )


def draft(
    session: Connection, actor: Actor, action: str, event: Any, under: Decision, *, trial: str, meaning: str,
    view: View, reason: str | None = None, subject: str | None = None,
) -> Draft:  # fmt: skip
    """A draft that names the training and delegation it rests on."""
    rests_on = basis(session, actor.user, under.role, action, trial)
    return Draft(
        event, under=under, meaning=meaning, view=view, trial=trial, reason=reason,
        trainings=rests_on.trainings, delegation=rests_on.delegation, subject=subject,
    )  # fmt: skip


def carry_on(work: Work, trial: str, subject: str, time_point: str, word: str, caused_by: str) -> None:
    """Carry a time point on, under the rule of the service that watches reads."""
    under = permit(READS, "time_point.move", facts_of(work.session, READS, "time_point.move", trial))
    move_time_point(work, trial, subject, time_point, word, under=under, caused_by=caused_by)

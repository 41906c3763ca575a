"""What of the record a person may read: all of it, or the trials they are granted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit import store
from core.access.queries import standing
from core.errors import Refused
from core.policy.decide import decide
from core.policy.state import Actor, Decision

ACTION = "ledger.read"


@dataclass(frozen=True, slots=True)
class Scope:
    """`trials` is None where everything may be read."""

    trials: frozenset[str] | None
    under: Decision

    def covers(self, trial: str | None) -> bool:
        return self.trials is None or trial in self.trials

    def in_words(self) -> str:
        if self.trials is None:
            return "All entries"
        return "Entries of " + ", ".join(sorted(self.trials))


def scope_of(session: Connection, actor: Actor) -> Scope:
    """The part of the record open to a person. Raises Refused where there is none."""
    whole = decide(actor, ACTION, standing(session, actor, None, ACTION))
    if whole.allowed:
        return Scope(None, whole)
    names = session.execute(select(store.entries.c.trial).where(store.entries.c.trial.is_not(None)).distinct())
    open_to = {}
    for name in names.scalars():
        decision = decide(actor, ACTION, standing(session, actor, name, ACTION))
        if decision.allowed:
            open_to[name] = decision
    if not open_to:
        raise Refused(whole.because, rule=whole.rule)
    return Scope(frozenset(open_to), next(iter(open_to.values())))

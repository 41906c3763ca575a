"""What of the record a person may read: by policy, and after blinding.

Blinding is applied to whole trials: while reads are hidden from somebody, even the number and order of the trial's
entries could tell (RECORD 7), so they see none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.access.queries import standings
from core.errors import Refused
from core.policy.decide import decide
from core.policy.state import Actor, Decision, Facts, Stage
from core.reads.blinding import Hidden, Seen, view_of
from core.reads.queries import trials_read_by
from core.trials.queries import trials_known

ACTION = "ledger.read"
# Every trial named in the record, by one index probe each instead of a scan.
_TRIALS = text("""
WITH RECURSIVE named(trial) AS (
    SELECT min(trial) FROM entry
    UNION ALL
    SELECT (SELECT min(trial) FROM entry WHERE trial > named.trial) FROM named WHERE named.trial IS NOT NULL)
SELECT trial FROM named WHERE trial IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class Scope:
    """Trials whose entries may be read; None among them stands for entries of no trial."""

    trials: frozenset[str | None]
    whole: bool

    def covers(self, trial: str | None) -> bool:
        return trial in self.trials

    def in_words(self) -> str:
        if self.whole:
            return "All entries"
        named = sorted(trial for trial in self.trials if trial is not None)
        return "Entries of " + ", ".join(named + (["the house"] if None in self.trials else []))


def scope_of(session: Connection, actor: Actor, action: str = ACTION) -> Scope:
    """The part of the record open to a person, for reading it or for another act of seeing.

    Raises Refused where there is none.
    """
    names = list(session.execute(_TRIALS).scalars())
    facts = standings(session, actor, (None, *names), action)
    house = decide(actor, action, facts[None])
    stages = {row.trial: row.stage for row in trials_known(session)}
    reading_in = trials_read_by(session, actor.user)
    answers = {name: _trial(actor, action, facts[name], stages.get(name), name in reading_in) for name in names}
    trials = {name for name, decision in answers.items() if decision.allowed}
    if not house.allowed and not trials:
        raise Refused(house.because, rule=house.rule)
    return Scope(frozenset(trials | ({None} if house.allowed else set())), house.allowed and len(trials) == len(names))


def _trial(actor: Actor, action: str, facts: Facts, stage: Stage | None, has_slot: bool) -> Decision:
    decision = decide(actor, action, facts)
    if not decision.allowed:
        return decision
    locked = stage in (Stage.LOCKED, Stage.CLOSED)
    seen = view_of(Seen(roles=facts.roles, own=False, opened=True, reads_here=has_slot and not locked,
                        data_locked=locked))
    return Decision(False, seen.rule, seen.because) if isinstance(seen, Hidden) else decision

"""What of the record a person may read: by policy, and after blinding.

Blinding is applied to whole trials: while reads are hidden from somebody, even the number and order of the trial's
entries could tell (RECORD 7), so they see none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.access.queries import roles_of, standing
from core.errors import Refused
from core.policy.decide import decide
from core.policy.state import Actor, Decision, Stage
from core.reads.blinding import Hidden, Seen, view_of
from core.reads.queries import slots_of
from core.trials.queries import trial_row

ACTION = "ledger.read"
# Every trial named in the record, by one index probe each instead of a scan.
_TRIALS = """
WITH RECURSIVE named(trial) AS (
    SELECT min(trial) FROM entry
    UNION ALL
    SELECT (SELECT min(trial) FROM entry WHERE trial > named.trial) FROM named WHERE named.trial IS NOT NULL)
SELECT trial FROM named WHERE trial IS NOT NULL
"""


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


def scope_of(session: Connection, actor: Actor) -> Scope:
    """The part of the record open to a person. Raises Refused where there is none."""
    house = decide(actor, ACTION, standing(session, actor, None, ACTION))
    names = list(session.execute(text(_TRIALS)).scalars())
    answers = {name: _trial(session, actor, name) for name in names}
    trials = {name for name, decision in answers.items() if decision.allowed}
    if not house.allowed and not trials:
        raise Refused(house.because, rule=house.rule)
    return Scope(frozenset(trials | ({None} if house.allowed else set())), house.allowed and len(trials) == len(names))


def _trial(session: Connection, actor: Actor, trial: str) -> Decision:
    decision = decide(actor, ACTION, standing(session, actor, trial, ACTION))
    if not decision.allowed:
        return decision
    row = trial_row(session, trial)
    locked = row is not None and row.stage in (Stage.LOCKED, Stage.CLOSED)
    reads_here = not locked and any(one.reader == actor.user for one in slots_of(session, trial, current=False))
    seen = view_of(Seen(roles=roles_of(session, actor.user, trial), own=False, opened=True, reads_here=reads_here,
                        data_locked=locked))
    return Decision(False, seen.rule, seen.because) if isinstance(seen, Hidden) else decision

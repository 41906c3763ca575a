"""The one function that says yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from core.errors import Refused
from core.policy.state import Actor, Decision, Facts, Rule, held
from core.policy.table import TABLE

UNTRAINED = "F-02"
DEFAULT = "default-deny"


def decide(actor: Actor, action: str, facts: Facts, table: Sequence[Rule] = TABLE) -> Decision:
    """Forbids win over permits; a permit counts only where training and delegation are current; else no."""
    rows = _rows_naming(action) if table is TABLE else table
    fitting = [rule for rule in rows if rule.fits(actor, action, facts)]
    for rule in fitting:
        if rule.effect == "forbid":
            return Decision(False, rule.id, rule.because)
    lacking = ""
    for rule in fitting:
        for role in sorted(held(actor, facts) if "*" in rule.roles else rule.roles & held(actor, facts)):
            if role not in facts.gaps:
                return Decision(True, rule.id, rule.because, role)
            lacking = lacking or facts.gaps[role]
    if lacking:
        return Decision(False, UNTRAINED, lacking)
    if any(rule.effect == "permit" for rule in fitting):
        return Decision(True, fitting[0].id, fitting[0].because)
    return Decision(False, DEFAULT, _why_not(actor, action, facts))


@lru_cache(maxsize=1024)
def _rows_naming(action: str) -> tuple[Rule, ...]:
    """The rows of the table that can fit this action at all, in order: a page asks for many trials at once."""
    return tuple(rule for rule in TABLE if rule.names(action))


def _why_not(actor: Actor, action: str, facts: Facts) -> str:
    if facts.house != "opened":
        return f"The installation is not opened yet; {action} is no founding act."
    roles = ", ".join(sorted(held(actor, facts))) or "no role"
    stage = f" in stage {facts.stage}" if facts.stage else ""
    return f"No rule permits {action} for {roles}{stage}."


def permit(actor: Actor, action: str, facts: Facts) -> Decision:
    """`decide()`, raising Refused where the answer is no."""
    decision = decide(actor, action, facts)
    if not decision.allowed:
        raise Refused(decision.because, rule=decision.rule)
    return decision

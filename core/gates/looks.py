"""Statistical halt rules, evaluated at their pre-set looks on locked reads; each look once, in the order of entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from sqlalchemy import Connection, select

from audit.vocabulary import gates as words
from core.gates import projections as tables
from core.gates import queries
from core.gates.rules import MAY_HALT
from core.gates.statistics import Pair, concordance_lower
from core.gates.usecases import GATES
from core.policy.decide import permit
from core.reads.agreement import ai_decisions, ai_pairs
from core.trials.charter import Charter, StatisticalHalt
from core.trials.queries import facts_for, signed_charter
from core.work import Desk

# Reasons that say the model was wrong, not the image (research/validation.md 5, halt rule b). A corrected border is
# ordinary editing; a value rejected for its border is an error.
WRONG_WHEN_ADJUSTED = frozenset({"other_structure_included", "part_missed", "wrong_lesion", "not_a_lesion"})
WRONG_WHEN_REJECTED = WRONG_WHEN_ADJUSTED | {"boundary_too_wide", "boundary_too_narrow"}


def is_ai_error(use: str, reason: str) -> bool:
    """True where a reader's decision on an AI value (accept, adjust, reject) says that the model was wrong."""
    return reason in {"adjust": WRONG_WHEN_ADJUSTED, "reject": WRONG_WHEN_REJECTED}.get(use, frozenset())


@dataclass(frozen=True, slots=True)
class Look:
    """What a rule found at a look. `found` is None where the number cannot be told; then the rule does not fire."""

    rule: StatisticalHalt
    look: int
    found: Decimal | None
    fired: bool


def proportion_of(events: Sequence[bool], look: int) -> Decimal | None:
    """Share of True among the first `look`; None while there are fewer."""
    return None if len(events) < look else Decimal(sum(events[:look])) / look


def fires(rule: StatisticalHalt, found: Decimal | None) -> bool:
    """True when what was found lies beyond the rule's limit."""
    if found is None:
        return False
    return found > rule.limit if rule.operator == ">" else found < rule.limit


def due_looks(session: Connection, trial: str) -> tuple[Look, ...]:
    """Looks whose number of locked observations is reached and which were not evaluated yet."""
    signed = signed_charter(session, trial)
    if signed is None:
        return ()
    done = {(row.halt_rule, row.look) for row in session.execute(
        select(tables.looks.c.halt_rule, tables.looks.c.look).where(tables.looks.c.trial == trial))}
    found = []
    for rule in signed.charter.halt_rules:
        if not isinstance(rule, StatisticalHalt):
            continue
        for look in sorted(rule.looks):
            if (rule.id, look) in done:
                continue
            reached, value = _observed(session, trial, signed.charter, rule, look)
            if not reached:
                break
            found.append(Look(rule, look, value, fires(rule, value)))
    return tuple(found)


def _observed(
    session: Connection, trial: str, charter: Charter, rule: StatisticalHalt, look: int
) -> tuple[bool, Decimal | None]:
    """Whether a look is reached, and what its first observations say."""
    planned = [charter.planned(use) for use in rule.halts]
    endpoints = {name for use in planned if use is not None for name in use.endpoints}
    if rule.metric == "ai_error_overrides":
        decisions = sorted(
            (one for one in ai_decisions(session, trial) if one.endpoint in endpoints and not one.excluded),
            key=lambda one: (one.entry, one.endpoint, one.lesion))
        wrong = [is_ai_error(one.use, one.reason) for one in decisions]
        return len(wrong) >= look, proportion_of(wrong, look)
    if rule.metric == "undecided_rate":
        table = tables.run_locks
        rows = session.execute(
            select(table.c.undecided, table.c.endpoint).where(table.c.trial == trial, table.c.standing == "gated")
            .order_by(table.c.entry))
        undecided = [bool(row.undecided) for row in rows if row.endpoint is None or row.endpoint in endpoints]
        return len(undecided) >= look, proportion_of(undecided, look)
    pairs = sorted((one for one in ai_pairs(session, trial) if one.endpoint in endpoints and one.before is not None),
                   key=lambda one: (one.entry, one.endpoint, one.lesion))
    first = [Pair(one.subject, one.before, one.ai) for one in pairs[:look] if one.before is not None]
    confidence = charter.limits["confidence_percent"].value if "confidence_percent" in charter.limits else Decimal(95)
    return len(pairs) >= look, concordance_lower(first, confidence) if len(pairs) >= look else None


def evaluate_looks(desk: Desk, trial: str) -> tuple[Look, ...]:
    """Record every look that is due and halt what a rule that fired halts. A second call finds nothing to do."""
    with desk.reading() as session:
        if not due_looks(session, trial):
            return ()
    with desk.open(GATES, asked="gate.halt") as work:
        due = due_looks(work.session, trial)
        under = permit(GATES, "gate.halt", facts_for(work.session, GATES, "gate.halt", trial))
        for one in due:
            told = "not to be told" if one.found is None else str(
                one.found.quantize(Decimal("0.001"), rounding=ROUND_HALF_EVEN))
            entry = work.record(
                words.HaltEvaluated(
                    halt_rule=one.rule.id, look=one.look, metric=one.rule.metric, found=told,
                    limit=f"{one.rule.operator} {one.rule.limit:f}", fired=one.fired),
                under=under, trial=trial)
            if not one.fired:
                continue
            for row in queries.gates_of(work.session, trial):
                if row.use in one.rule.halts and row.state in MAY_HALT:
                    says = f"{one.rule.metric.replace('_', ' ')} {told} at look {one.look}"
                    work.record(
                        words.GateHalted(gate=row.gate, use=row.use, halt_rule=one.rule.id, says=says), under=under,
                        trial=trial, caused_by=entry.body["id"])
    return due

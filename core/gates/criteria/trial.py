"""Criteria that ask the trial itself: its charter, order of uses, blinding, deviations, procedures, reviews, people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from core.gates.criteria.findings import ALL_USES, USE_1, USE_4, USES_3_4, Check, Criterion, Finding, number
from core.gates.facts import GateFacts
from core.gates.rules import LAST, USES, not_used_of, order_gap, scope_refusal
from core.reviews.periodic import reviews_in_time


def _charter_names_ai(facts: GateFacts) -> Finding:
    limit = f"signed charter plans use {facts.use} ({USES[facts.use]}) with this model, endpoint and scope"
    if facts.charter is None or facts.charter_entry is None:
        return Finding(False, "no approved charter", limit)
    use = facts.charter.planned(facts.use)
    if use is None:
        return Finding(False, "the charter declares not_used", limit, (facts.charter_entry,))
    if facts.lock is not None and facts.lock.model != use.model:
        return Finding(False, f"the charter names model {use.model}, the lock is of {facts.lock.model}", limit)
    if facts.endpoint is not None and facts.endpoint not in use.endpoints:
        return Finding(False, f"the charter does not name endpoint {facts.endpoint} for this use", limit)
    elsewhere = scope_refusal(facts.charter, facts.use, facts.scope, frozenset({"statistician", LAST}))
    if elsewhere is not None:
        return Finding(False, elsewhere, limit, (facts.charter_entry,))
    return Finding(True, f"charter {facts.charter.version} names {use.model}", limit, (facts.charter_entry,))


def _impact_signed(facts: GateFacts) -> Finding:
    limit = "the imaging impact of an amended charter is signed"
    if not facts.amended or facts.charter is None:
        return Finding(True, "the charter in force changed nothing that concerns imaging", limit)
    changed = f"charter {facts.charter.version} changes {', '.join(facts.amended)}"
    if facts.impact_entry is None:
        entries = () if facts.charter_entry is None else (facts.charter_entry,)
        return Finding(False, f"{changed}; no impact is signed", limit, entries)
    return Finding(True, f"{changed}; impact signed", limit, (facts.impact_entry,))


def _order(facts: GateFacts) -> Finding:
    limit = f"gate {facts.use - 1} open or use not_used" if facts.use > 1 else "first gate"
    not_used: Mapping[int, int] = {}
    if facts.charter is not None and facts.charter_entry is not None:
        not_used = not_used_of(facts.charter, facts.charter_entry)
    gap, entries = order_gap(facts.use, not_used, facts.gates)
    return Finding(gap is None, gap or "in order", limit, entries)


def _live(facts: GateFacts) -> Finding:
    entries = (facts.live_entry,) if facts.live_entry is not None else ()
    return Finding(facts.stage == "live", f"stage {facts.stage}", "trial is live, its configuration tested", entries)


def _why_this_arm(facts: GateFacts) -> frozenset[str]:
    """The roles that filed, signed, why this use needs a scope of one arm."""
    return frozenset(
        one.role for one in facts.filed
        if one.kind == "arm_scope_reason" and one.use in (None, facts.use) and facts.counts(one.evidence_class))


def _blinding(facts: GateFacts) -> Finding:
    limit = "the scope tells no arm; no unblinding is open"
    if facts.charter is None:
        return Finding(False, "no approved charter", limit)
    refusal = scope_refusal(facts.charter, facts.use, facts.scope, _why_this_arm(facts))
    if refusal is not None:
        return Finding(False, refusal, limit)
    if facts.unblindings:
        said = f"{len(facts.unblindings)} halts for unblinding are not resumed"
        return Finding(False, said, limit, facts.unblindings)
    entries = (facts.charter_entry,) if facts.charter_entry is not None else ()
    return Finding(True, f"design {facts.charter.blinding.design}, scope {facts.scope}", limit, entries)


def _no_critical_deviation(facts: GateFacts) -> Finding:
    count = len(facts.open_deviations)
    return Finding(count == 0, f"{count} open", "no critical deviation open", facts.open_deviations)


def _procedures(facts: GateFacts) -> Finding:
    found = f"no effective procedure governs {', '.join(facts.sops_lacking)}" if facts.sops_lacking else "all effective"
    return Finding(not facts.sops_lacking, found, "effective procedures govern this use", facts.sop_entries)


def _trail_reviewed(facts: GateFacts) -> Finding:
    return Finding(*reviews_in_time(date.fromisoformat(facts.today), facts.review, facts.periodic))


def _enough_able(role: str, limit: str) -> Check:
    def check(facts: GateFacts) -> Finding:
        return number(facts, limit, Decimal(facts.able.get(role, 0)), facts.able_entries.get(role, ()))

    return check


def _adjudications_closed(facts: GateFacts) -> Finding:
    return Finding(facts.open_adjudications == 0, f"{facts.open_adjudications} open", "every adjudication is decided")


ROWS: tuple[Criterion, ...] = (
    Criterion("charter_names_ai", ALL_USES, "Signed charter names this use of AI", "trial_lead", False,
              _charter_names_ai, "not_in_charter"),
    Criterion("amendment", ALL_USES, "Amendment has its imaging impact signed", "imaging_lead", True, _impact_signed,
              "amendment_without_impact"),
    Criterion("order", ALL_USES, "Earlier gates are open or not used", "trial_lead", False, _order),
    Criterion("trial_live", ALL_USES, "Trial is live", "trial_lead", False, _live),
    Criterion("blinding", ALL_USES, "Blinding holds", "statistician", False, _blinding),
    Criterion("deviations", ALL_USES, "No critical deviation is open", "validation_lead", True, _no_critical_deviation,
              "critical_deviation"),
    Criterion("procedures", ALL_USES, "Procedures are effective", "trial_lead", True, _procedures),
    Criterion("trail_reviewed", USES_3_4, "Reviews are held in time", "trial_lead", True, _trail_reviewed,
              "review_overdue"),
    Criterion("technologists", USE_1, "Technologists trained and delegated", "imaging_lead", True,
              _enough_able("qc_technologist", "trained_technologists")),
    Criterion("adjudicators", USE_4, "Adjudicators trained and delegated", "imaging_lead", True,
              _enough_able("adjudicator", "adjudicators")),
    Criterion("adjudications", USE_4, "Adjudications are decided", "imaging_lead", True, _adjudications_closed),
)

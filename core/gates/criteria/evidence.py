"""Criteria that ask for evidence of this trial: run-in, marks beside AI values, reader study, filed documents."""

from __future__ import annotations

from decimal import Decimal

from core.gates.criteria.findings import ALL_USES, USE_2, USE_3, USE_4, USES_3_4, Criterion, Finding, filed_as, number
from core.gates.facts import GateFacts
from core.gates.statistics import concordance_lower, exact_lower_bound, largest_difference_percent, upper_tail_at_most


def _run_in_studies(facts: GateFacts) -> Finding:
    entries = tuple(one.entries[0] for one in facts.run_in if one.entries)
    return number(facts, "run_in_studies", Decimal(len(facts.run_in)), entries)


def _run_in_sites(facts: GateFacts) -> Finding:
    first = {one.site: one.entries[0] for one in reversed(facts.run_in) if one.entries}
    return number(facts, "run_in_sites", Decimal(len({one.site for one in facts.run_in})), tuple(first.values()))


def _run_in_sensitivity(facts: GateFacts) -> Finding:
    defective = [one for one in facts.run_in if one.defective and not one.seeded]
    hits = sum(one.flagged for one in defective)
    seeded = [one for one in facts.run_in if one.defective and one.seeded]
    apart = f"; seeded apart: {sum(one.flagged for one in seeded)} of {len(seeded)}" if seeded else ""
    confidence, limit = facts.limit("confidence_percent"), facts.limit("run_in_sensitivity_lower")
    entries = tuple(entry for one in defective for entry in one.entries)
    if not defective or confidence is None:
        return number(facts, "run_in_sensitivity_lower", None, entries, f"no truly defective study{apart}")
    bound = exact_lower_bound(hits, len(defective), confidence)
    said = f"{hits} of {len(defective)} flagged, exact lower bound {bound}{apart}"
    finding = number(facts, "run_in_sensitivity_lower", bound, entries, said)
    # The printed bound is rounded down; the decision is made on exact integers.
    met = limit is not None and upper_tail_at_most(hits, len(defective), limit, (100 - confidence) / 200)
    return Finding(met, finding.found, finding.limit, finding.entries)


def _reader_study(facts: GateFacts) -> Finding:
    endpoint = facts.charter.endpoint(facts.endpoint) if facts.charter and facts.endpoint else None
    display = endpoint.ai_display if endpoint else None
    fitting = [
        one for one in facts.filed
        if one.kind == "reader_study" and one.display == display and display is not None
        and one.endpoint in (None, facts.endpoint) and facts.counts(one.evidence_class)
        and one.use in (None, facts.use) and one.lock in (None, facts.lock_id)
    ]
    if not fitting:
        return number(facts, "reader_study_cases", None, (), f"no reader study in display mode {display}")
    return number(facts, "reader_study_cases", Decimal(fitting[-1].cases or 0), (fitting[-1].entry,))


def _same_lock(facts: GateFacts) -> Finding:
    count = len(facts.pairs)
    return Finding(
        count > 0, f"{count} values of {facts.lock_id} beside human marks",
        "the same lock produced this measure before, at phase 3 or in shadow", facts.pair_entries[:20])


def _agreement_pairs(facts: GateFacts) -> Finding:
    return number(facts, "agreement_pairs", Decimal(len(facts.pairs)), facts.pair_entries[:20])


def _agreement_subjects(facts: GateFacts) -> Finding:
    subjects = {one.subject for one in facts.pairs}
    return number(facts, "agreement_subjects", Decimal(len(subjects)), facts.pair_entries[:20])


def _agreement_lower(facts: GateFacts) -> Finding:
    confidence = facts.limit("confidence_percent")
    bound = concordance_lower(facts.pairs, confidence) if confidence is not None else None
    return number(facts, "agreement_lower", bound, facts.pair_entries[:20])


def _agreement_difference(facts: GateFacts) -> Finding:
    confidence = facts.limit("confidence_percent")
    worst = largest_difference_percent(facts.pairs, confidence) if confidence is not None else None
    return number(facts, "agreement_difference_percent", worst, facts.pair_entries[:20])


ROWS: tuple[Criterion, ...] = (
    Criterion("run_in_studies", USE_2, "Run-in: studies disposed before AI flags were seen", "imaging_lead", True,
              _run_in_studies),
    Criterion("run_in_sites", USE_2, "Run-in: sites", "imaging_lead", True, _run_in_sites),
    Criterion("run_in_sensitivity", USE_2, "Run-in: sensitivity on truly defective studies", "validation_lead", True,
              _run_in_sensitivity),
    Criterion("reader_study", USE_3, "Reader study in the same display mode", "statistician", True, _reader_study),
    Criterion("same_lock", USE_4, "The same lock measured before", "validation_lead", False, _same_lock),
    Criterion("agreement_pairs", USE_4, "Agreement: pairs marked before AI was shown", "statistician", True,
              _agreement_pairs),
    Criterion("agreement_subjects", USE_4, "Agreement: subjects", "statistician", True, _agreement_subjects),
    Criterion("agreement_lower", USE_4, "Agreement: lower bound, clustered by subject", "statistician", True,
              _agreement_lower),
    Criterion("agreement_difference", USE_4, "Agreement: limits of agreement", "statistician", True,
              _agreement_difference),
    # What an earlier use asks for is asked again, for that use may be one that the charter declares not used.
    Criterion("privacy", ALL_USES, "Privacy assessment on file", "privacy_officer", True,
              filed_as("privacy_assessment", "privacy assessment filed", since=1)),
    Criterion("device_status", USES_3_4, "Device status determined", "regulatory", True,
              filed_as("device_determination", "signed determination of device status", since=3)),
    Criterion("consent", USES_3_4, "Consent or notice covers AI", "regulatory", True,
              filed_as("consent_covers_ai", "consent or notice covering AI", since=3)),
    Criterion("protocol_names_ai", USE_4, "Protocol names the AI", "regulatory", False,
              filed_as("protocol_names_ai", "protocol that names the AI")),
    Criterion("sap_names_ai", USE_4, "Analysis plan names the AI", "statistician", False,
              filed_as("sap_names_ai", "statistical analysis plan that names the AI")),
    Criterion("regulator_advice", USE_4, "Regulator's advice on file", "regulatory", True,
              filed_as("regulator_advice", "advice of the regulator")),
)

"""The criteria of the four gates, each a pure function over facts: met or open, with what was found and where.

Rows are ordered as the board prints them. `waivable` is False for what may never be waived: valid lock, release, PQ
verdict, charter naming the AI, blinding; signatures and signers' training are asked when each person signs (TRIAL 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from core.gates.facts import GateFacts
from core.gates.rules import USES, not_used_of, order_gap, scope_refusal
from core.gates.statistics import concordance_lower, exact_lower_bound, largest_difference_percent, upper_tail_at_most
from core.reviews.periodic import reviews_in_time
from core.trials.defaults import SHIPPED_BY_NAME


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    met: bool
    found: str
    limit: str
    entries: tuple[int, ...] = ()


Check = Callable[[GateFacts], Finding]


@dataclass(frozen=True)
class Criterion:
    """One row of the gate table. `owner` is the role that may approve its waiver beside QA."""

    id: str
    uses: frozenset[int]
    title: str
    owner: str
    waivable: bool
    check: Check
    cause: str | None = None


SUSPECT = "suspect_signature"


@dataclass(frozen=True)
class Judged:
    """A criterion with its state: met, open or waived."""

    id: str
    title: str
    owner: str
    waivable: bool
    state: str
    found: str
    limit: str
    entries: tuple[int, ...]
    waiver: str | None = None
    cause: str | None = None


def judge(facts: GateFacts) -> tuple[Judged, ...]:
    """Every criterion of the use asked for, in order."""
    waivers = {one.criterion: one for one in facts.waivers if one.ends_on >= facts.today}
    trusted = facts.trusted() if facts.suspect else facts
    judged = []
    for row in CRITERIA:
        if facts.use not in row.uses:
            continue
        finding, doubted = _without_suspect(row, facts, trusted)
        waiver = waivers.get(row.id) if row.waivable and not finding.met else None
        if waiver is not None and waiver.entry in facts.suspect:
            doubted, waiver = [*doubted, waiver.entry], None
        state = "met" if finding.met else "waived" if waiver else "open"
        entries = (*finding.entries, waiver.entry) if waiver else finding.entries
        judged.append(Judged(
            row.id, row.title, row.owner, row.waivable, state, finding.found, finding.limit,
            tuple(sorted(set(entries))), waiver.waiver if waiver else None,
            SUSPECT if doubted and waiver is None else row.cause,
        ))
    return tuple(judged)


def _without_suspect(row: Criterion, facts: GateFacts, trusted: GateFacts) -> tuple[Finding, list[int]]:
    """What a criterion finds on trusted evidence, and the suspect entries for which it is not met (RECORD 4)."""
    finding = row.check(trusted)
    if not facts.suspect:
        return finding, []
    whole = finding if finding.met else row.check(facts)
    doubted = sorted(set(whole.entries) & facts.suspect)
    if not whole.met or not doubted:
        return finding, []
    said = f"{whole.found}; rests on suspect entries {', '.join(map(str, doubted))}"
    return Finding(False, said, whole.limit, whole.entries), doubted


def open_ones(judged: tuple[Judged, ...]) -> tuple[Judged, ...]:
    """The criteria that keep a gate shut."""
    return tuple(one for one in judged if one.state == "open")


# Common to all uses -------------------------------------------------------------------------------------------


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


def _blinding(facts: GateFacts) -> Finding:
    limit = "the scope tells no arm; no unblinding is open"
    if facts.charter is None:
        return Finding(False, "no approved charter", limit)
    signed_by = frozenset(one.role for one in facts.filed if one.kind == "arm_scope_reason")
    refusal = scope_refusal(facts.charter, facts.use, facts.scope, signed_by)
    if refusal is not None:
        return Finding(False, refusal, limit)
    if facts.unblindings:
        said = f"{len(facts.unblindings)} halts for unblinding are not resumed"
        return Finding(False, said, limit, facts.unblindings)
    entries = (facts.charter_entry,) if facts.charter_entry is not None else ()
    return Finding(True, f"design {facts.charter.blinding.design}, scope {facts.scope}", limit, entries)


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


def _released(facts: GateFacts) -> Finding:
    limit = f"installation {facts.release} released after IQ and OQ"
    fitting = [one for one in facts.releases if one.what == facts.release]
    if not fitting:
        other = facts.releases[-1].what if facts.releases else "nothing"
        return Finding(False, f"{other} is released", limit)
    if not facts.counts(fitting[-1].evidence_class):
        return Finding(False, "the release is of class demonstration", limit, (fitting[-1].entry,))
    doubt = fitting[-1].suspect
    if doubt is not None:
        return Finding(False, f"{fitting[-1].what} is released, but on a run that is suspect", limit, (doubt,))
    return Finding(True, f"{fitting[-1].what} is released", limit, (fitting[-1].entry,))


def _lock_valid(facts: GateFacts) -> Finding:
    limit = "the lock is enrolled, neither retired nor recalled, and of this trial's evidence class"
    if facts.lock is None:
        return Finding(False, f"no lock {facts.lock_id}", limit)
    # A superseded lock keeps the gates that it has (TRIAL 2: a new version stops nothing); none is opened for it.
    if facts.lock.state not in ("locked", "superseded"):
        return Finding(False, f"{facts.lock_id} is {facts.lock.state}", limit, (facts.lock.entry,))
    if facts.lock.demonstration and not facts.demonstration:
        return Finding(False, "the lock is of class demonstration", limit, (facts.lock.entry,))
    return Finding(True, f"{facts.lock_id} of {facts.lock.model}", limit, (facts.lock.entry,))


def _lock_installed(facts: GateFacts) -> Finding:
    entries, lacking = [], []
    for kind in ("IQ", "OQ"):
        fitting = [one for one in facts.validations if one.kind == kind and facts.counts(one.evidence_class)]
        last = fitting[-1] if fitting else None
        if last is None or last.verdict != "passed":
            lacking.append(f"{kind} {last.verdict if last else 'not run'}")
        elif last.suspect is not None:
            lacking.append(f"{kind} suspect since entry {last.suspect}")
        if last is not None:
            entries.append(last.entry)
    said = "; ".join(lacking) or "IQ and OQ passed"
    return Finding(not lacking, said, "IQ and OQ of the lock passed", tuple(entries))


def _no_critical_deviation(facts: GateFacts) -> Finding:
    count = len(facts.open_deviations)
    return Finding(count == 0, f"{count} open", "no critical deviation open", facts.open_deviations)


def _procedures(facts: GateFacts) -> Finding:
    found = f"no effective procedure governs {', '.join(facts.sops_lacking)}" if facts.sops_lacking else "all effective"
    return Finding(not facts.sops_lacking, found, "effective procedures govern this use", facts.sop_entries)


# Numbers and filings ------------------------------------------------------------------------------------------


def _number(facts: GateFacts, name: str, found: Decimal | None, entries: tuple[int, ...], said: str = "") -> Finding:
    """A number against the charter's limit of this name; nothing found is open."""
    shipped, limit = SHIPPED_BY_NAME[name], facts.limit(name)
    sign = "≥" if shipped.direction == "at_least" else "≤"
    if limit is None:
        return Finding(False, said or "unknown", f"the charter states no {name}", entries)
    asked = f"{sign} {_with_unit(limit, shipped.unit)}"
    if shipped.laxer(limit):
        asked += f" (ships {sign} {shipped.default})"
    if found is None:
        return Finding(False, said or "too few to tell", asked, entries)
    return Finding(shipped.met_by(found, limit), said or _with_unit(found, shipped.unit), asked, entries)


_ONE = {"people": "person", "studies": "study", "sites": "site", "cases": "case", "pairs": "pair",
        "subjects": "subject", "days": "day"}


def _with_unit(value: Decimal, unit: str) -> str:
    return f"{value:f} {_ONE.get(unit, unit) if value == 1 else unit}".strip()


def _filed(kind: str, what: str, *, of_endpoint: bool = False) -> Check:
    def check(facts: GateFacts) -> Finding:
        fitting = [
            one for one in facts.filed
            if one.kind == kind and facts.counts(one.evidence_class) and one.use in (None, facts.use)
            and (not of_endpoint or one.endpoint in (None, facts.endpoint)) and one.lock in (None, facts.lock_id)
        ]
        return Finding(bool(fitting), "on file" if fitting else "not filed", what, tuple(one.entry for one in fitting))

    return check


def _able(role: str, limit: str) -> Check:
    def check(facts: GateFacts) -> Finding:
        return _number(facts, limit, Decimal(facts.able.get(role, 0)), facts.able_entries.get(role, ()))

    return check


# Use 2 ----------------------------------------------------------------------------------------------------------


def _run_in_studies(facts: GateFacts) -> Finding:
    entries = tuple(one.entries[0] for one in facts.run_in if one.entries)
    return _number(facts, "run_in_studies", Decimal(len(facts.run_in)), entries)


def _run_in_sites(facts: GateFacts) -> Finding:
    first = {one.site: one.entries[0] for one in reversed(facts.run_in) if one.entries}
    return _number(facts, "run_in_sites", Decimal(len({one.site for one in facts.run_in})), tuple(first.values()))


def _run_in_sensitivity(facts: GateFacts) -> Finding:
    defective = [one for one in facts.run_in if one.defective and not one.seeded]
    hits = sum(one.flagged for one in defective)
    seeded = [one for one in facts.run_in if one.defective and one.seeded]
    apart = f"; seeded apart: {sum(one.flagged for one in seeded)} of {len(seeded)}" if seeded else ""
    confidence, limit = facts.limit("confidence_percent"), facts.limit("run_in_sensitivity_lower")
    entries = tuple(entry for one in defective for entry in one.entries)
    if not defective or confidence is None:
        return _number(facts, "run_in_sensitivity_lower", None, entries, f"no truly defective study{apart}")
    bound = exact_lower_bound(hits, len(defective), confidence)
    said = f"{hits} of {len(defective)} flagged, exact lower bound {bound}{apart}"
    finding = _number(facts, "run_in_sensitivity_lower", bound, entries, said)
    # The printed bound is rounded down; the decision is made on exact integers.
    met = limit is not None and upper_tail_at_most(hits, len(defective), limit, (100 - confidence) / 200)
    return Finding(met, finding.found, finding.limit, finding.entries)


# Uses 2 to 4: the PQ ----------------------------------------------------------------------------------------------


def _pq(facts: GateFacts) -> Finding:
    use = facts.charter.planned(facts.use) if facts.charter else None
    strata = use.strata if use else ()
    wanted = facts.measures()
    limit = f"PQ passed on the bound for {', '.join(sorted(wanted))} in {', '.join(strata) or 'the declared strata'}"
    runs = [
        one for one in facts.validations
        if one.kind == "PQ" and facts.counts(one.evidence_class) and (one.use or 0) >= facts.use
        and (one.endpoint is None or facts.endpoint is None or one.endpoint == facts.endpoint)
    ]
    if not runs or not strata:
        return Finding(False, "no PQ that supports this use is concluded", limit)
    last = runs[-1]
    if last.suspect is not None:
        return Finding(False, f"the PQ is suspect since entry {last.suspect}", limit, (last.entry, last.suspect))
    for stratum in strata:
        for measure in sorted(wanted):
            row = next((one for one in last.strata if (one.stratum, one.measure) == (stratum, measure)), None)
            if row is None or row.verdict != "passed":
                verdict = row.verdict.replace("_", " ") if row else "not judged"
                why = f": {row.says}" if row and row.says else ""
                return Finding(False, f"{measure} in {stratum}: {verdict}{why}", limit, (last.entry,))
    return Finding(True, "passed", limit, (last.entry,))


def _pq_cases(facts: GateFacts) -> Finding:
    use = facts.charter.planned(facts.use) if facts.charter else None
    runs = [one for one in facts.validations if one.kind == "PQ" and (one.use or 0) >= facts.use]
    if use is None or not runs:
        return _number(facts, "validation_cases", None, (), "no PQ")
    counts = [
        row.subjects for row in runs[-1].strata if row.stratum in use.strata and row.measure in facts.measures()]
    return _number(facts, "validation_cases", Decimal(min(counts, default=0)), (runs[-1].entry,))


def _reader_study(facts: GateFacts) -> Finding:
    endpoint = facts.charter.endpoint(facts.endpoint) if facts.charter and facts.endpoint else None
    display = endpoint.ai_display if endpoint else None
    fitting = [
        one for one in facts.filed
        if one.kind == "reader_study" and one.display == display and display is not None
        and one.endpoint in (None, facts.endpoint) and facts.counts(one.evidence_class)
    ]
    if not fitting:
        return _number(facts, "reader_study_cases", None, (), f"no reader study in display mode {display}")
    return _number(facts, "reader_study_cases", Decimal(fitting[-1].cases or 0), (fitting[-1].entry,))


# Use 4 ----------------------------------------------------------------------------------------------------------


def _non_inferior(facts: GateFacts) -> Finding:
    limit = "PQ shows AI not inferior to the readers it stands beside, or the statistician's assessment is on file"
    runs = [
        one for one in facts.validations
        if one.kind == "PQ" and one.suspect is None
        and any(name.endswith(" noninferiority") for name in one.metrics_met)
    ]
    filed = _filed("noninferiority_assessment", limit, of_endpoint=True)(facts)
    entries = (*(one.entry for one in runs[-1:]), *filed.entries)
    return Finding(bool(entries), "shown" if entries else "not shown", limit, entries)


def _same_lock(facts: GateFacts) -> Finding:
    count = len(facts.pairs)
    return Finding(
        count > 0, f"{count} values of {facts.lock_id} beside human marks",
        "the same lock produced this measure before, at phase 3 or in shadow", facts.pair_entries[:20])


def _agreement_pairs(facts: GateFacts) -> Finding:
    return _number(facts, "agreement_pairs", Decimal(len(facts.pairs)), facts.pair_entries[:20])


def _agreement_subjects(facts: GateFacts) -> Finding:
    subjects = {one.subject for one in facts.pairs}
    return _number(facts, "agreement_subjects", Decimal(len(subjects)), facts.pair_entries[:20])


def _agreement_lower(facts: GateFacts) -> Finding:
    confidence = facts.limit("confidence_percent")
    bound = concordance_lower(facts.pairs, confidence) if confidence is not None else None
    return _number(facts, "agreement_lower", bound, facts.pair_entries[:20])


def _agreement_difference(facts: GateFacts) -> Finding:
    confidence = facts.limit("confidence_percent")
    worst = largest_difference_percent(facts.pairs, confidence) if confidence is not None else None
    return _number(facts, "agreement_difference_percent", worst, facts.pair_entries[:20])


def _adjudications_closed(facts: GateFacts) -> Finding:
    return Finding(facts.open_adjudications == 0, f"{facts.open_adjudications} open", "every adjudication is decided")


_ALL, _FROM_2 = frozenset({1, 2, 3, 4}), frozenset({2, 3, 4})
_1, _2, _3, _4, _34 = frozenset({1}), frozenset({2}), frozenset({3}), frozenset({4}), frozenset({3, 4})

def _trail_reviewed(facts: GateFacts) -> Finding:
    return Finding(*reviews_in_time(date.fromisoformat(facts.today), facts.review, facts.periodic))



def _sentinel_answers(facts: GateFacts) -> Finding:
    cases, days = facts.sentinel_limits
    limit = f"a set of at least {cases} cases is answered bit-equal every day, at most {days} days missed"
    watch = facts.sentinel
    if watch is None:
        return Finding(True, "the watch begins when the first gate of this lock opens", limit)
    missed = watch.missed_days(date.fromisoformat(facts.today), cases)
    if watch.same is False:
        return Finding(False, "the last answer differed", limit, (watch.entry,))
    said = f"{watch.number} cases, {missed} days missed" if watch.declared else f"no set, {missed} days missed"
    return Finding(missed <= days, said, limit, (watch.entry,))



def _bridged(facts: GateFacts) -> Finding:
    limit = "the endpoint's first lock, or a signed bridging plan with both locks in agreement on the same cases"
    if facts.predecessor is None:
        return Finding(True, "the first lock of this endpoint", limit)
    plan = facts.bridging
    if plan is None:
        return Finding(False, f"no plan bridges from {facts.predecessor}", limit)
    entries = (plan.entry,) if plan.judged_entry is None else (plan.entry, plan.judged_entry)
    if not plan.in_force:
        return Finding(False, f"plan {plan.plan} is not signed by all", limit, entries)
    said = (plan.verdict or "not judged").replace("_", " ")
    return Finding(plan.passed, f"plan {plan.plan}: {said}", limit, entries)


CRITERIA: tuple[Criterion, ...] = (
    Criterion("charter_names_ai", _ALL, "Signed charter names this use of AI", "trial_lead", False, _charter_names_ai),
    Criterion("amendment", _ALL, "Amendment has its imaging impact signed", "imaging_lead", True, _impact_signed,
              "amendment_without_impact"),
    Criterion("order", _ALL, "Earlier gates are open or not used", "trial_lead", False, _order),
    Criterion("trial_live", _ALL, "Trial is live", "trial_lead", False, _live),
    Criterion("release", _ALL, "Installation is released", "validation_lead", False, _released, "unreleased_software"),
    Criterion("lock", _ALL, "Model lock is valid", "validation_lead", False, _lock_valid, "lock_revoked"),
    Criterion("lock_iq_oq", _ALL, "IQ and OQ of the lock", "validation_lead", False, _lock_installed,
              "validation_suspect"),
    Criterion("blinding", _ALL, "Blinding holds", "statistician", False, _blinding),
    Criterion("deviations", _ALL, "No critical deviation is open", "qa_auditor", True, _no_critical_deviation,
              "critical_deviation"),
    Criterion("procedures", _ALL, "Procedures are effective", "qa_auditor", True, _procedures),
    Criterion("privacy", _1, "Privacy assessment on file", "qa_auditor", True,
              _filed("privacy_assessment", "privacy assessment filed")),
    Criterion("technologists", _1, "Technologists trained and delegated", "imaging_lead", True,
              _able("qc_technologist", "trained_technologists")),
    Criterion("run_in_studies", _2, "Run-in: studies disposed before AI flags were seen", "imaging_lead", True,
              _run_in_studies),
    Criterion("run_in_sites", _2, "Run-in: sites", "imaging_lead", True, _run_in_sites),
    Criterion("run_in_sensitivity", _2, "Run-in: sensitivity on truly defective studies", "validation_lead", True,
              _run_in_sensitivity),
    Criterion("pq", _FROM_2, "PQ verdict", "validation_lead", False, _pq, "validation_suspect"),
    Criterion("pq_cases", _34, "PQ at planned size", "statistician", True, _pq_cases),
    Criterion("reader_study", _3, "Reader study in the same display mode", "statistician", True, _reader_study),
    Criterion("device_status", _3, "Device status determined", "regulatory", True,
              _filed("device_determination", "signed determination of device status")),
    Criterion("consent", _3, "Consent or notice covers AI", "regulatory", True,
              _filed("consent_covers_ai", "consent or notice covering AI")),
    Criterion("noninferiority", _4, "AI is not inferior", "statistician", False, _non_inferior),
    Criterion("same_lock", _4, "The same lock measured before", "validation_lead", False, _same_lock),
    Criterion("agreement_pairs", _4, "Agreement: pairs marked before AI was shown", "statistician", True,
              _agreement_pairs),
    Criterion("agreement_subjects", _4, "Agreement: subjects", "statistician", True, _agreement_subjects),
    Criterion("agreement_lower", _4, "Agreement: lower bound, clustered by subject", "statistician", True,
              _agreement_lower),
    Criterion("agreement_difference", _4, "Agreement: limits of agreement", "statistician", True,
              _agreement_difference),
    Criterion("adjudications", _4, "Adjudications are decided", "imaging_lead", True, _adjudications_closed),
    Criterion("protocol_names_ai", _4, "Protocol names the AI", "regulatory", False,
              _filed("protocol_names_ai", "protocol that names the AI")),
    Criterion("sap_names_ai", _4, "Analysis plan names the AI", "statistician", False,
              _filed("sap_names_ai", "statistical analysis plan that names the AI")),
    Criterion("regulator_advice", _4, "Regulator's advice on file", "regulatory", True,
              _filed("regulator_advice", "advice of the regulator")),
    Criterion("trail_reviewed", _34, "Reviews are held in time", "qa_auditor", True, _trail_reviewed,
              "review_overdue"),
    Criterion("bridging", _34, "A changed lock agrees with the one before", "statistician", False, _bridged),
    Criterion("sentinel", _ALL, "Sentinel set is answered every day", "validation_lead", True, _sentinel_answers,
              "sentinel_overdue"),
    Criterion("adjudicators", _4, "Adjudicators trained and delegated", "imaging_lead", True,
              _able("adjudicator", "adjudicators")),
)
BY_ID = {row.id: row for row in CRITERIA}

"""Criteria that ask what runs and whether it is fit: release, lock, IQ, OQ and PQ, sentinel set, bridging."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from core.gates.criteria.findings import ALL_USES, FROM_2, USE_4, USES_3_4, Criterion, Finding, filed_as, number
from core.gates.facts import GateFacts, ValidationFact


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


def _pq_runs(facts: GateFacts) -> list[ValidationFact]:
    """The concluded PQs of this lock that can support this use, oldest first; the last one counts."""
    return [
        one for one in facts.validations
        if one.kind == "PQ" and facts.counts(one.evidence_class) and (one.use or 0) >= facts.use
        and (one.endpoint is None or facts.endpoint is None or one.endpoint == facts.endpoint)
    ]


def _pq(facts: GateFacts) -> Finding:
    use = facts.charter.planned(facts.use) if facts.charter else None
    strata = use.strata if use else ()
    wanted = facts.measures()
    limit = f"PQ passed on the bound for {', '.join(sorted(wanted))} in {', '.join(strata) or 'the declared strata'}"
    runs = _pq_runs(facts)
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
    runs = _pq_runs(facts)
    if use is None or not runs:
        return number(facts, "validation_cases", None, (), "no PQ")
    counts = [
        row.subjects for row in runs[-1].strata if row.stratum in use.strata and row.measure in facts.measures()]
    return number(facts, "validation_cases", Decimal(min(counts, default=0)), (runs[-1].entry,))


def _non_inferior(facts: GateFacts) -> Finding:
    limit = "PQ shows AI not inferior to the readers it stands beside, or the statistician's assessment is on file"
    shown = [
        one for one in _pq_runs(facts)[-1:]
        if one.suspect is None and any(name.endswith(" noninferiority") for name in one.metrics_met)
    ]
    filed = filed_as("noninferiority_assessment", limit, of_endpoint=True)(facts)
    entries = (*(one.entry for one in shown), *filed.entries)
    return Finding(bool(entries), "shown" if entries else "not shown", limit, entries)


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


ROWS: tuple[Criterion, ...] = (
    Criterion("release", ALL_USES, "Installation is released", "validation_lead", False, _released,
              "unreleased_software"),
    Criterion("lock", ALL_USES, "Model lock is valid", "validation_lead", False, _lock_valid, "lock_revoked"),
    Criterion("lock_iq_oq", ALL_USES, "IQ and OQ of the lock", "validation_lead", False, _lock_installed,
              "validation_suspect"),
    Criterion("pq", FROM_2, "PQ verdict", "validation_lead", False, _pq, "validation_suspect"),
    Criterion("pq_cases", USES_3_4, "PQ at planned size", "statistician", True, _pq_cases),
    Criterion("noninferiority", USE_4, "AI is not inferior", "statistician", False, _non_inferior),
    Criterion("bridging", USES_3_4, "A changed lock agrees with the one before", "statistician", False, _bridged),
    Criterion("sentinel", ALL_USES, "Sentinel set is answered every day", "validation_lead", True, _sentinel_answers,
              "sentinel_overdue"),
)

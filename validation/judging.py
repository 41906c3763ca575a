"""From the results of all cases to a verdict on every criterion, and on every stratum and measure. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from audit.vocabulary.validation import CriterionVerdict, StratumVerdict
from validation import agreement, proportions, statistics
from validation.cases import CLASSES, CaseResult, short_axis_class
from validation.protocol import PROPORTIONS, REPEATS, Criterion, GeneratedStratum, Protocol
from validation.rules import WEIGHTLESS, as_text, judge, overall, resolves, smallest_change_mm
from validation.statistics import Estimate, Floats, NotEstimable


def judged(protocol: Protocol, results: Mapping[str, Sequence[CaseResult] | None], why_not: Mapping[str, str]
           ) -> tuple[CriterionVerdict, ...]:
    """A verdict on every criterion, in the protocol's order; one row more per sub-group where it asks for them.

    Args:
        results: cases by stratum; None where the stratum was not executed, for the reason in `why_not`.
    """
    assert protocol.test_set is not None
    planned = {part.stratum: part.planned for part in protocol.test_set.strata}
    again: dict[str, int] = {
        part.stratum: part.repeated_planned or part.repeated
        for part in protocol.test_set.strata if isinstance(part, GeneratedStratum)}
    rows: list[CriterionVerdict] = []
    for criterion in protocol.criteria:
        found = results[criterion.stratum]
        if found is None:
            rows.append(_row(criterion, criterion.id, 0, "not_executed", why_not[criterion.stratum], "none"))
            continue
        number = again[criterion.stratum] if criterion.metric in REPEATS else planned[criterion.stratum]
        rows.append(_judge(protocol, criterion, criterion.id, found, number))
        for key in criterion.group_keys:
            groups: dict[str, list[CaseResult]] = {}
            for one in found:
                groups.setdefault(one.groups.get(key, "not stated"), []).append(one)
            rows += [_subgroup(protocol, criterion, key, name, groups[name]) for name in sorted(groups)]
    return tuple(rows)


def _row(
    criterion: Criterion, name: str, subjects: int, verdict: str, says: str, method: str, **numbers: str
) -> CriterionVerdict:
    return CriterionVerdict(
        criterion=name, requirement=criterion.requirement, stratum=criterion.stratum, measure=criterion.measure,
        metric=f"{criterion.metric} {criterion.statistic}", judged_on=criterion.judge, limit=criterion.limit_in_words,
        subjects=subjects, method=method, verdict=verdict, says=says, **numbers,
    )


def _estimate(protocol: Protocol, criterion: Criterion, cases: Sequence[CaseResult]) -> Estimate:
    """The estimate with its interval, subjects as clusters.

    Raises:
        NotEstimable: too few cases carry the metric.
    """
    kind = criterion.statistic
    if criterion.metric in REPEATS:
        return _of_repeats(criterion, cases)
    if kind in BESIDE_TRUTH:
        pairs = [one.pairs[criterion.measure] for one in cases if criterion.measure in one.pairs]
        return BESIDE_TRUTH[kind](pairs)
    values = [one.metrics[criterion.metric] for one in cases if criterion.metric in one.metrics]
    if criterion.metric in PROPORTIONS:
        return proportions.clopper_pearson(int(sum(values)), len(values))
    if kind == "limits":
        found = agreement.bland_altman(values)
        return replace(found.bias, low=found.lower.low, high=found.upper.high, method="Bland-Altman limits, t")
    if kind == "equivalence":
        return statistics.equivalence(values)
    assert protocol.seed is not None
    assert protocol.resamples is not None
    return statistics.bootstrap_by_subject(
        [[value] for value in values], _p90 if kind == "p90" else _mean,
        seed=protocol.seed, resamples=protocol.resamples,
    )


def _of_repeats(criterion: Criterion, cases: Sequence[CaseResult]) -> Estimate:
    """Of every case that was scanned again and has a value in each scan."""
    rows = [one.repeats[criterion.measure] for one in cases if one.repeats and criterion.measure in one.repeats]
    if criterion.statistic == "fleiss_kappa":
        return agreement.fleiss_kappa([[short_axis_class(scan) for scan in row] for row in rows], CLASSES)
    if criterion.statistic == "repeatability":
        return (agreement.repeatability_percent if criterion.unit == "%" else agreement.repeatability)(rows)
    return (agreement.icc_agreement if criterion.statistic == "icc_agreement" else agreement.icc_consistency)(rows)


Pairs = Sequence[tuple[float, float]]


def _concordance(pairs: Pairs) -> Estimate:
    return agreement.lin_ccc([measured for measured, _ in pairs], [true for _, true in pairs])


def _classes(pairs: Pairs) -> Estimate:
    measured, true = ([short_axis_class(pair[side]) for pair in pairs] for side in (0, 1))
    return agreement.weighted_kappa(measured, true, CLASSES)


BESIDE_TRUTH: Mapping[str, Callable[[Pairs], Estimate]] = {
    "concordance": _concordance, "icc_agreement": agreement.icc_agreement,
    "icc_consistency": agreement.icc_consistency, "weighted_kappa": _classes,
}


def _mean(pooled: Floats) -> float:
    return float(np.mean(pooled))


def _p90(pooled: Floats) -> float:
    return float(np.quantile(pooled, 0.9))


def _judge(
    protocol: Protocol, criterion: Criterion, name: str, cases: Sequence[CaseResult], planned: int
) -> CriterionVerdict:
    if criterion.metric in REPEATS:
        cases = [one for one in cases if one.repeats is not None]
    try:
        found = _estimate(protocol, criterion, cases)
    except NotEstimable as error:
        return _row(criterion, name, len(cases), "insufficient_evidence", str(error), "none")
    unit = criterion.unit
    low, high = as_text(found.low, unit, towards="low"), as_text(found.high, unit, towards="high")
    # Planned are cases run; those that the model left undecided are judged by the criterion on their rate. Of repeats
    # only those with a value in every scan say anything.
    subjects = found.n if criterion.metric in REPEATS else len(cases)
    verdict = judge(low, high, criterion.numbers(), criterion.judge, subjects=subjects, planned=planned)
    without = len(cases) - found.n
    says = verdict.says if not without else f"{verdict.says} {without} of them gave no value for this metric."
    if criterion.metric in PROPORTIONS:
        score = proportions.wilson(round(found.value * found.n), found.n)
        says += (f" Wilson's interval: [{as_text(score.low, unit, towards='low')}, "
                 f"{as_text(score.high, unit, towards='high')}].")
    return _row(
        criterion, name, found.n, verdict.verdict, says, found.method,
        estimate=as_text(found.value, unit), low=low, high=high,
    )


def _subgroup(
    protocol: Protocol, criterion: Criterion, key: str, name: str, cases: Sequence[CaseResult]
) -> CriterionVerdict:
    """A sub-group beside its criterion.

    Where the protocol states a limit for sub-groups, each is judged on its own bound, with the least number as planned.
    Else a group is planned for no bound of its own: it fails only where its whole interval is outside, and is for
    information, or too small for that.
    """
    # Rows of the key that stood alone before there were several keep their names.
    label = name if key == "scanner" else f"{key.replace('_', ' ')} {name}"
    own = criterion.of_a_subgroup
    row = _judge(protocol, own or criterion, f"{criterion.id}/{label}", cases,
                 planned=criterion.subgroup_least if own else len(cases))
    few = row.subjects < criterion.subgroup_least
    if few:
        least = f"{row.subjects} of the {criterion.subgroup_least} cases that a sub-group needs: too few to say."
        row = replace(row, says=f"{least} {row.says}")
    if own is not None:
        return replace(row, limit=f"sub-group {label}: {row.limit}")
    row = replace(row, limit=f"sub-group {label}: not wholly outside [{row.limit}]")
    if _lost(criterion, row):
        return row
    # Without an interval nothing can be said of it either, whatever number it was planned for.
    return replace(row, verdict="too_small" if few or row.low is None else "for_information")


def _lost(criterion: Criterion, row: CriterionVerdict) -> bool:
    if row.low is None or row.high is None:
        return False
    return judge(row.low, row.high, criterion.numbers(), criterion.judge, subjects=row.subjects, planned=1).lost


def coarse(protocol: Protocol, resolution_mm: Decimal) -> dict[str, str]:
    """Measures that cells of this size cannot judge, each with the sentence that says so."""
    refused: dict[str, str] = {}
    for limit in protocol.absolute_limits:
        if not resolves(resolution_mm, limit.limit):
            measure = limit.measure.replace("_", " ")
            refused[str(limit.measure)] = (
                f"The lock decides on cells of {resolution_mm} mm and tells a change of {measure} from none only above "
                f"{smallest_change_mm(resolution_mm)} mm; {limit.criterion} judges {limit.limit}."
            )
    return refused


def strata_of(rows: Sequence[CriterionVerdict], refused: Mapping[str, str]) -> tuple[StratumVerdict, ...]:
    """One verdict per stratum and measure. `operation` (undecided, missed) weighs on every measure of its stratum."""
    made = []
    for stratum in sorted({row.stratum for row in rows}):
        mine = [row for row in rows if row.stratum == stratum]
        shared = [row for row in mine if row.measure in ("operation", "overlap")]
        for measure in sorted({row.measure for row in mine}):
            about = [row for row in mine if row.measure == measure]
            counted = about if measure in ("operation", "overlap") else [*about, *shared]
            verdict = overall([row.verdict for row in counted])
            bad = [row for row in counted if row.verdict not in ("met", *WEIGHTLESS)]
            says = "; ".join(f"{row.criterion}: {row.says}" for row in bad) or "Every criterion was met on its bound."
            if measure in refused and verdict == "passed":
                verdict, says = "too_coarse", refused[measure]
            elif measure in refused:
                says = f"{says} {refused[measure]}"
            subjects = max(row.subjects for row in counted)
            made.append(
                StratumVerdict(stratum=stratum, measure=measure, subjects=subjects, verdict=verdict, says=says)
            )
    return tuple(made)

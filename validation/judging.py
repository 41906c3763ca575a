"""From the results of all cases to a verdict on every criterion, and on every stratum and measure. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from audit.vocabulary.validation import CriterionVerdict, StratumVerdict
from validation import statistics
from validation.cases import CaseResult
from validation.protocol import PROPORTIONS, Criterion, Protocol
from validation.rules import as_text, judge, overall, resolves, smallest_change_mm
from validation.statistics import Estimate, Floats, NotEstimable


def judged(protocol: Protocol, results: Mapping[str, Sequence[CaseResult] | None], why_not: Mapping[str, str]
           ) -> tuple[CriterionVerdict, ...]:
    """A verdict on every criterion, in the protocol's order; one row more per sub-group where it asks for them.

    Args:
        results: cases by stratum; None where the stratum was not executed, for the reason in `why_not`.
    """
    assert protocol.test_set is not None
    planned = {part.stratum: part.planned for part in protocol.test_set.strata}
    rows: list[CriterionVerdict] = []
    for criterion in protocol.criteria:
        found = results[criterion.stratum]
        if found is None:
            rows.append(_row(criterion, criterion.id, 0, "not_executed", why_not[criterion.stratum], "none"))
            continue
        rows.append(_judge(protocol, criterion, criterion.id, found, planned[criterion.stratum]))
        if criterion.subgroups_by is not None:
            rows += [_subgroup(protocol, criterion, name, found) for name in sorted({one.subgroup for one in found})]
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
    values = [one.metrics[criterion.metric] for one in cases if criterion.metric in one.metrics]
    if criterion.metric in PROPORTIONS:
        return statistics.clopper_pearson(int(sum(values)), len(values))
    if criterion.statistic == "concordance":
        pairs = [one.pairs[criterion.metric] for one in cases if criterion.metric in one.pairs]
        return statistics.lin_ccc([measured for measured, _ in pairs], [true for _, true in pairs])
    if criterion.statistic == "limits":
        found = statistics.bland_altman(values)
        return replace(found.bias, low=found.lower.low, high=found.upper.high, method="Bland-Altman limits, t")
    assert protocol.seed is not None
    assert protocol.resamples is not None
    return statistics.bootstrap_by_subject(
        [[value] for value in values], _p90 if criterion.statistic == "p90" else _mean,
        seed=protocol.seed, resamples=protocol.resamples,
    )


def _mean(pooled: Floats) -> float:
    return float(np.mean(pooled))


def _p90(pooled: Floats) -> float:
    return float(np.quantile(pooled, 0.9))


def _judge(
    protocol: Protocol, criterion: Criterion, name: str, cases: Sequence[CaseResult], planned: int
) -> CriterionVerdict:
    try:
        found = _estimate(protocol, criterion, cases)
    except NotEstimable as error:
        return _row(criterion, name, len(cases), "insufficient_evidence", str(error), "none")
    unit = criterion.unit
    low, high = as_text(found.low, unit, towards="low"), as_text(found.high, unit, towards="high")
    # Planned are cases run; those that the model left undecided are judged by the criterion on their rate.
    verdict = judge(low, high, criterion.numbers(), criterion.judge, subjects=len(cases), planned=planned)
    without = len(cases) - found.n
    says = verdict.says if not without else f"{verdict.says} {without} of them gave no value for this metric."
    return _row(
        criterion, name, found.n, verdict.verdict, says, found.method,
        estimate=as_text(found.value, unit), low=low, high=high,
    )


def _subgroup(protocol: Protocol, criterion: Criterion, subgroup: str, cases: Sequence[CaseResult]) -> CriterionVerdict:
    """Sub-groups are planned for no bound of their own: a group fails only where its whole interval is outside."""
    mine = [one for one in cases if one.subgroup == subgroup]
    row = _judge(protocol, criterion, f"{criterion.id}/{subgroup}", mine, planned=len(mine))
    row = replace(row, limit=f"sub-group {subgroup}: not wholly outside [{row.limit}]")
    if _lost(criterion, row):
        return row
    return replace(row, verdict="for_information")


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
            bad = [row for row in counted if row.verdict not in ("met", "for_information")]
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

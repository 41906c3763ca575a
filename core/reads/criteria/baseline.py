"""What a baseline must be before anything is compared with it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Literal

from core.errors import UnusableInput
from core.reads.criteria import engine
from core.reads.criteria.answer import Baseline, TargetLesion
from core.reads.criteria.derived import Finding, State
from core.reads.criteria.organs import organ_of

#: Smallest measurable long axis by modality, in mm; None = never measurable (RECIST 1.1, 3.1.1).
_SMALLEST: dict[str, Decimal | None] = {
    "CT": Decimal(10),
    "MR": Decimal(10),
    "CALLIPER": Decimal(10),
    "X-RAY": Decimal(20),
    "ULTRASOUND": None,
}
_SLICED = ("CT", "MR")


def common(baseline: Baseline, scale: engine.Scale) -> list[Finding]:
    """Names given once, sizes usable at the entry precision, dates in order, lesion kinds measurable."""
    found = []
    names = Counter([each.id for each in baseline.targets] + [each.id for each in baseline.non_targets])
    found += [Finding("B-NAME", name, "a lesion id is given once", f"{n} times") for name, n in names.items() if n > 1]
    found += [Finding("B-NAME", "", "a lesion has an id", "an empty one") for name in names if not name.strip()]
    if baseline.last_scan_on < baseline.first_scan_on:
        found.append(Finding("B-DATES", "", "the last scan is not before the first", str(baseline.last_scan_on)))
    for lesion in baseline.targets:
        found += [
            Finding("B-SIZE", lesion.id, "a size", problem) for problem in engine.size_problems(scale, lesion.size)
        ]
        if lesion.unmeasurable:
            found.append(
                Finding("B-KIND", lesion.id, "a measurable lesion as target", lesion.unmeasurable.replace("_", " "))
            )
    return found


def counts(baseline: Baseline, *, most: int, most_per_organ: int) -> list[Finding]:
    """At most so many targets, and so many per organ; all nodes are one organ, paired organs are one."""
    found = []
    if len(baseline.targets) > most:
        found.append(Finding("B-COUNT", "", f"at most {most} targets", str(len(baseline.targets))))
    organs: Counter[str] = Counter()
    for lesion in baseline.targets:
        try:
            organs[organ_of(lesion.location, lesion.kind)] += 1
        except UnusableInput as unknown:
            found.append(Finding("B-ORGAN", lesion.id, "a location that names one known organ", unknown.fact))
    found += [
        Finding("B-ORGAN", "", f"at most {most_per_organ} targets per organ", f"{n} in {organ}")
        for organ, n in organs.items()
        if n > most_per_organ
    ]
    return found


def measurable_length(lesion: TargetLesion) -> list[Finding]:
    """Long axis at least max(10, 2 x slice) mm on CT and MR; a node's short axis at least max(15, 2 x slice)."""
    smallest = _SMALLEST[lesion.modality]
    if smallest is None:
        return [Finding("B-MODALITY", lesion.id, "a modality that measures", lesion.modality.lower())]
    if lesion.modality in _SLICED and not (lesion.slice_mm.is_finite() and lesion.slice_mm > 0):
        # A missing slice distance must not pass as a thin one.
        return [Finding("B-SLICE", lesion.id, "a slice distance above zero", f"{lesion.slice_mm} mm")]
    if lesion.kind == "nodal":
        smallest = max(smallest, Decimal(15))
    if lesion.modality in _SLICED:
        smallest = max(smallest, 2 * lesion.slice_mm)
    axis = "short" if lesion.kind == "nodal" else "long"
    if lesion.size.is_finite() and lesion.size < smallest:
        return [Finding("B-MEASURABLE", lesion.id, f"a {axis} axis of at least {smallest} mm", f"{lesion.size} mm")]
    return []


def started(baseline: Baseline, findings: tuple[Finding, ...]) -> State:
    """The state after a usable baseline. Raises UnusableInput, which lists what is wrong."""
    if findings:
        raise UnusableInput(
            f"Baseline {baseline.time_point} cannot be used: {'; '.join(str(each) for each in findings)}."
        )
    path: Literal["targets", "non_targets_only", "no_disease"] = "no_disease"
    if baseline.targets:
        path = "targets"
    elif baseline.non_targets:
        path = "non_targets_only"
    return engine.begin(path, baseline.last_scan_on, baseline.targets, tuple(each.id for each in baseline.non_targets))

"""Time point response from sums of target sizes, non-targets and new lesions: one engine, two scales.

Comparisons are exact cross-multiplications of decimals, never a rounded or binary percentage: with floats
an increase of exactly 20 % is missed in a third of all cases at 0.1 mm steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from core.errors import UnusableInput
from core.quantities import rounded
from core.reads.criteria.answer import TargetLesion, TargetMark, TimePointAnswer, digest_of
from core.reads.criteria.derived import Derived, Evidence, Response, State

CR, PR, SD, PD, NE = Response.CR, Response.PR, Response.SD, Response.PD, Response.NE
NON, NED = Response.NON_CR_NON_PD, Response.NED

TimePointDate = Literal["first_scan", "last_scan"]

RULES = {
    "TP-NE": "The time point was not evaluable as a whole.",
    "T-PD-PARTIAL": "The measured part alone already meets progression against the full reference.",
    "T-NE": "A target has no value, so the sum is incomplete; a partial sum never gives response or stability.",
    "T-CR": "Every extranodal target is gone and every target node is below the normal limit.",
    "T-PD-REAPPEARED": "A target reappeared after complete response; check whether the complete response was true.",
    "T-PD": "The sum rose over its reference by at least the relative and the absolute limit.",
    "T-PR": "The sum fell from baseline by at least the limit.",
    "T-PR-CARRIED": "Response continues until progression (option response_carry).",
    "T-SD": "Neither response nor progression.",
    "N-PD": "A non-target progressed unequivocally, by the reader's statement.",
    "N-NON": "A non-target persists.",
    "N-NE": "A non-target could not be assessed and none decides otherwise.",
    "N-CR": "Every non-target is absent, or normal in size if a node.",
    "L-NEW": "An unequivocal new lesion is progression.",
    "L-EQUIVOCAL": "An equivocal new lesion is not progression now; if confirmed, progression dates from here.",
    "L-NONE": "No new lesion.",
    "O-PD": "Progression of targets, of non-targets, or a new lesion.",
    "O-CR": "Targets in complete response and non-targets in complete response or none.",
    "O-CR-EQUIVOCAL": "Complete response beside an equivocal new lesion (option cr_with_equivocal).",
    "O-PR-NONTARGET": "Targets in complete response while non-targets persist or could not be assessed.",
    "O-TARGET": "Status of the targets.",
    "O-NONTARGET": "Status of the non-targets: there are no targets.",
    "O-NED": "No disease at baseline and no new lesion.",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers that tell one criterion from another; percentages are whole or decimal, limits inclusive."""

    unit: str
    response_percent: Decimal
    progression_percent: Decimal
    progression_absolute: Decimal
    too_small_value: Decimal
    node_normal_below: Decimal | None
    rounding: Decimal
    reference: Literal["nadir", "baseline"]
    regrowth_after_cr: Literal["pd", "needs_increase"]
    response_carry: bool
    non_target_with_ne: Literal["ne", "non_cr_non_pd"]
    cr_with_equivocal: Literal["cr", "pr", "ne"]
    time_point_date: TimePointDate


def begin(
    path: Literal["targets", "non_targets_only", "no_disease"],
    on: date,
    targets: tuple[TargetLesion, ...],
    non_targets: tuple[str, ...],
) -> State:
    """State after baseline; the baseline sum is the first nadir."""
    total = sum((each.size for each in targets), Decimal(0))
    return State(path, on, total, total, on, on, targets, non_targets)


def timepoint(name: str, scale: Scale, options_sha256: str, state: State, answer: TimePointAnswer) -> Derived:
    """Response at one time point.

    Raises:
        UnusableInput: dates out of order, marks missing, double or of unknown lesions, a size with more
            decimals than the charter's entry precision, unequivocal progression without a reason.
    """
    _check(scale, state, answer)
    evidence: list[Evidence] = []
    target: Response | None = None
    non_target: Response | None = None
    partial: Decimal | None = None
    complete = False
    new: Literal["none", "equivocal", "unequivocal"] = "none"
    if answer.not_evaluable:
        evidence.append(_because("TP-NE", ("reason", answer.not_evaluable)))
        overall = NE
    else:
        if state.targets:
            partial, complete = _added(scale, answer.targets)
            target, found = _target(scale, state, answer.targets, partial, complete)
            evidence.append(found)
        if state.non_targets:
            non_target, found = _non_target(scale, answer)
            evidence.append(found)
        new, found = _new(answer)
        evidence.append(found)
        overall, found = _overall(scale, state, target, non_target, new)
        evidence.append(found)
    on = answer.first_scan_on if scale.time_point_date == "first_scan" else answer.last_scan_on
    known = dict(state.new_lesions)
    first_seen = min(
        (known.get(each.id, on) for each in answer.new_lesions if each.state == "unequivocal"), default=None
    )
    return Derived(
        time_point=answer.time_point,
        on=on,
        status=overall,
        target=target,
        non_target=non_target,
        new_lesion=new,
        sum=partial if complete else None,
        partial_sum=partial,
        change_from_baseline_percent=_percent(partial if complete else None, state.baseline_sum),
        change_from_nadir_percent=_percent(partial if complete else None, state.nadir),
        progression_first_seen_on=None if overall is not PD else min(on, first_seen or on),
        evidence=tuple(evidence),
        criterion=name,
        options_sha256=options_sha256,
        input_sha256=digest_of(answer),
        state=_next(state, answer, on, target, partial if complete else None),
    )


def _next(state: State, answer: TimePointAnswer, on: date, target: Response | None, total: Decimal | None) -> State:
    """Only a complete sum may set the nadir; the first sighting of a new lesion is kept for dating."""
    lower = total is not None and total < state.nadir
    known = dict(state.new_lesions)
    for each in answer.new_lesions:
        known.setdefault(each.id, on)
    return replace(
        state,
        nadir=total if total is not None and lower else state.nadir,
        nadir_on=on if lower else state.nadir_on,
        last_on=answer.last_scan_on,
        target_complete_seen=state.target_complete_seen or target is CR,
        target_response_seen=state.target_response_seen or target in (CR, PR),
        new_lesions=tuple(sorted(known.items())),
    )


def _added(scale: Scale, marks: Iterable[TargetMark]) -> tuple[Decimal, bool]:
    """Sum of the values there are, and whether every target has one."""
    values = [value_of(scale, mark) for mark in marks]
    return sum((each for each in values if each is not None), Decimal(0)), None not in values


def value_of(scale: Scale, mark: TargetMark) -> Decimal | None:
    """What a mark adds to the sum: fragments together, 0 when gone or carried by the merged lesion, or nothing."""
    if mark.state == "measured":
        return sum(mark.sizes, Decimal(0))
    return {"too_small": scale.too_small_value, "gone": Decimal(0), "merged": Decimal(0)}.get(mark.state)


def _target(
    scale: Scale, state: State, marks: tuple[TargetMark, ...], total: Decimal, complete: bool
) -> tuple[Response, Evidence]:
    unit = scale.unit
    references = (
        ("sum" if complete else "partial sum", f"{total} {unit}"),
        ("baseline sum", f"{state.baseline_sum} {unit}"),
        ("nadir", f"{state.nadir} {unit}"),
        ("nadir on", state.nadir_on.isoformat()),
        ("progression from", scale.reference),
        ("progression limit", f"+{scale.progression_percent} % and +{scale.progression_absolute} {unit}"),
        ("response limit", f"-{scale.response_percent} %"),
    )

    def answer(response: Response, rule: str) -> tuple[Response, Evidence]:
        return response, _because(rule, *references)

    smallest = state.nadir if scale.reference == "nadir" else state.baseline_sum
    grown = (
        total * 100 >= smallest * (100 + scale.progression_percent) and total - smallest >= scale.progression_absolute
    )
    kinds = {lesion.id: lesion.kind for lesion in state.targets}
    reappeared = (
        state.target_complete_seen
        and scale.regrowth_after_cr == "pd"
        and any(
            kinds[mark.lesion] == "extranodal" or scale.node_normal_below is None
            for mark in marks
            if mark.state == "too_small" or (mark.state == "measured" and sum(mark.sizes) > 0)
        )
    )
    if not complete:
        if grown:
            return answer(PD, "T-PD-PARTIAL")
        return answer(PD, "T-PD-REAPPEARED") if reappeared else answer(NE, "T-NE")
    if all(_is_normal(scale, kinds[mark.lesion], mark, marks) for mark in marks):
        return answer(CR, "T-CR")
    if reappeared:
        return answer(PD, "T-PD-REAPPEARED")
    if grown:
        return answer(PD, "T-PD")
    if total * 100 <= state.baseline_sum * (100 - scale.response_percent):
        return answer(PR, "T-PR")
    if scale.response_carry and state.target_response_seen:
        return answer(PR, "T-PR-CARRIED")
    return answer(SD, "T-SD")


def _is_normal(scale: Scale, kind: str, mark: TargetMark, marks: tuple[TargetMark, ...]) -> bool:
    """Gone; or a node below the limit. A merged lesion is judged with the one that carries its size."""
    if mark.state == "merged":
        carrier = next(each for each in marks if each.lesion == mark.merged_with)
        return carrier.state == "gone"
    value = value_of(scale, mark)
    if kind == "nodal" and scale.node_normal_below is not None:
        return value is not None and value < scale.node_normal_below
    return mark.state == "gone" or (mark.state == "measured" and value == 0)


def _non_target(scale: Scale, answer: TimePointAnswer) -> tuple[Response, Evidence]:
    by_state = {
        state: [mark.lesion for mark in answer.non_targets if mark.state == state]
        for state in ("unequivocal_progression", "present", "not_assessable")
    }
    named = tuple((state, ", ".join(lesions)) for state, lesions in by_state.items() if lesions)
    order = ("present", "not_assessable")
    if scale.non_target_with_ne == "ne":
        order = ("not_assessable", "present")
    if by_state["unequivocal_progression"]:
        return PD, _because("N-PD", *named)
    for state in order:
        if by_state[state]:
            return (NON, _because("N-NON", *named)) if state == "present" else (NE, _because("N-NE", *named))
    return CR, _because("N-CR")


def _new(answer: TimePointAnswer) -> tuple[Literal["none", "equivocal", "unequivocal"], Evidence]:
    named = tuple((each.state, f"{each.id} ({each.location})") for each in answer.new_lesions)
    if any(each.state == "unequivocal" for each in answer.new_lesions):
        return "unequivocal", _because("L-NEW", *named)
    if answer.new_lesions:
        return "equivocal", _because("L-EQUIVOCAL", *named)
    return "none", _because("L-NONE")


def _overall(
    scale: Scale, state: State, target: Response | None, non_target: Response | None, new: str
) -> tuple[Response, Evidence]:
    references = (
        ("target", str(target) if target else "none"),
        ("non-target", str(non_target) if non_target else "none"),
        ("new lesion", new),
    )

    def answer(response: Response, rule: str) -> tuple[Response, Evidence]:
        return response, _because(rule, *references)

    if PD in (target, non_target) or new == "unequivocal":
        return answer(PD, "O-PD")
    if state.path == "no_disease":
        return answer(NED, "O-NED")
    all_clear = target in (CR, None) and non_target in (CR, None)
    if all_clear and new == "equivocal" and scale.cr_with_equivocal != "cr":
        # Without targets there is no PR: what is short of CR is NON-CR/NON-PD there.
        short = NON if target is None and scale.cr_with_equivocal == "pr" else Response(scale.cr_with_equivocal.upper())
        return answer(short, "O-CR-EQUIVOCAL")
    if all_clear:
        return answer(CR, "O-CR")
    if target is None:
        assert non_target is not None  # a path with disease has targets or non-targets
        return answer(non_target, "O-NONTARGET")
    return answer(PR, "O-PR-NONTARGET") if target is CR else answer(target, "O-TARGET")


def _percent(total: Decimal | None, reference: Decimal) -> Decimal | None:
    return None if total is None or reference == 0 else rounded((total - reference) * 100 / reference)


def _because(rule: str, *references: tuple[str, str]) -> Evidence:
    return Evidence(rule, RULES[rule], references)


def _check(scale: Scale, state: State, answer: TimePointAnswer) -> None:
    """Everything wrong with an answer, at once."""
    wrong: list[str] = []
    if answer.last_scan_on < answer.first_scan_on:
        wrong.append("the last scan is dated before the first")
    if answer.first_scan_on <= state.last_on:
        wrong.append(f"its first scan on {answer.first_scan_on} is not after {state.last_on}, the time point before")
    if answer.not_evaluable:
        if answer.targets or answer.non_targets or answer.new_lesions:
            wrong.append("it is not evaluable and yet has marks")
    else:
        wrong += _against("target", [each.id for each in state.targets], [mark.lesion for mark in answer.targets])
        wrong += _against("non-target", state.non_targets, [mark.lesion for mark in answer.non_targets])
        wrong += [problem for mark in answer.targets for problem in _check_mark(scale, mark, answer.targets)]
        wrong += [
            f"unequivocal progression of {mark.lesion} has no reason"
            for mark in answer.non_targets
            if mark.state == "unequivocal_progression" and not mark.reason.strip()
        ]
        names = [each.id for each in answer.new_lesions]
        taken = {each.id for each in state.targets} | set(state.non_targets)
        wrong += [f"new lesion {name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})]
        wrong += [f"new lesion {name} was there at baseline" for name in sorted(taken & set(names))]
    if wrong:
        raise UnusableInput(f"Time point {answer.time_point} cannot be used: {'; '.join(wrong)}.")


def _against(what: str, expected: Iterable[str], given: list[str]) -> list[str]:
    lesions = set(expected)
    return (
        [f"{what} {lesion} has no mark" for lesion in sorted(lesions - set(given))]
        + [f"{what} {lesion} is not of this baseline" for lesion in sorted(set(given) - lesions)]
        + [f"{what} {lesion} is marked twice" for lesion in sorted({x for x in given if given.count(x) > 1})]
    )


def _check_mark(scale: Scale, mark: TargetMark, marks: tuple[TargetMark, ...]) -> list[str]:
    wrong = []
    if (mark.state == "measured") != bool(mark.sizes):
        wrong.append(f"target {mark.lesion} is {mark.state} and has {len(mark.sizes)} sizes")
    wrong += [f"target {mark.lesion}: {problem}" for size in mark.sizes for problem in size_problems(scale, size)]
    if mark.state == "merged":
        carriers = [each for each in marks if each.lesion == mark.merged_with and each.lesion != mark.lesion]
        if not carriers or carriers[0].state != "measured":
            wrong.append(f"target {mark.lesion} is merged with {mark.merged_with!r}, which has no measured size")
    elif mark.merged_with:
        wrong.append(f"target {mark.lesion} names a lesion it merged with but is {mark.state}")
    return wrong


def size_problems(scale: Scale, size: Decimal) -> list[str]:
    """Why a size cannot be entered: rounding happens once, at entry, and never in here."""
    if not size.is_finite() or size < 0:
        return [f"{size} is not a size"]
    if size % scale.rounding != 0:
        return [f"{size} {scale.unit} is no multiple of {scale.rounding} {scale.unit}, the charter's entry precision"]
    return []

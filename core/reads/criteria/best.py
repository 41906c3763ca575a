"""Best overall response and the dates of response and progression, from derived time points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal

from core.errors import UnusableInput
from core.reads.criteria.derived import Derived, Evidence, Response, SubjectResponse

CR, PR, SD, PD, NE = Response.CR, Response.PR, Response.SD, Response.PD, Response.NE
NON, NED = Response.NON_CR_NON_PD, Response.NED
_STABLE_OR_BETTER = (CR, PR, SD, NON)

RULES = {
    "B-CR": "Complete response before or at the first progression.",
    "B-PR": "Partial response before the first progression.",
    "B-CR-CONFIRMED": "Complete response seen again after the minimum interval.",
    "B-PR-CONFIRMED": "Response seen again after the minimum interval.",
    "B-SD": "Stable or better at or after the minimum duration from the reference date.",
    "B-PD": "Progression, and nothing better that counts before it.",
    "B-NE": "Nothing that counts was seen.",
    "B-NED": "No disease throughout.",
    "B-MISSING": "No assessment after baseline.",
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a best response is judged; every field is a stated option of the criterion."""

    confirm: bool
    confirm_min_days: int
    sd_min_days: int
    max_ne: int
    accept_sd: bool
    unconfirmed_pr_date: Literal["first_response", "qualifying_assessment"]
    missing_label: Literal["ne", "missing"]
    scans_after_new_therapy: Literal["count", "exclude"]


def best_response(
    how: Confirmation,
    timepoints: Sequence[Derived],
    *,
    reference_on: date,
    new_therapy_on: date | None,
    criterion: str,
    options_sha256: str,
) -> SubjectResponse:
    """Best overall response of one reader's subject.

    Progression beats response, and nothing from the date of progression on counts (it is kept and named).
    When a lesion first seen as equivocal was confirmed, progression dates from its first sighting. Days are
    differences of dates; minimum intervals are inclusive.

    Raises:
        UnusableInput: the time points are not in the order of their dates.
    """
    for before, after in pairwise(timepoints):
        if after.on <= before.on:
            raise UnusableInput(f"Time point {after.time_point} is not after {before.time_point}.")
    considered = [
        each
        for each in timepoints
        if new_therapy_on is None or how.scans_after_new_therapy == "count" or each.on <= new_therapy_on
    ]
    progressed = next((each for each in considered if each.status is PD), None)
    progression_on = progressed.progression_first_seen_on if progressed else None
    counted = [each for each in considered if progression_on is None or each.on < progression_on]
    uncounted = tuple(each.time_point for each in timepoints if each not in counted and each is not progressed)

    def answer(
        best: Response, on: date | None, rule: str, *, confirmed: bool = False, responded: date | None = None
    ) -> SubjectResponse:
        references = (
            ("reference date", reference_on.isoformat()),
            ("progression", progression_on.isoformat() if progression_on else "none"),
            ("counted", ", ".join(f"{each.time_point} {each.status}" for each in counted) or "none"),
        )
        evidence = (Evidence(rule, RULES[rule], references),)
        return SubjectResponse(
            best, on, confirmed, responded, progression_on, uncounted, evidence, criterion, options_sha256
        )

    if not timepoints:
        return answer(
            Response(how.missing_label.upper()), None, "B-MISSING" if how.missing_label == "missing" else "B-NE"
        )
    for level, rule in ((CR, "B-CR"), (PR, "B-PR")):
        first = _responding(how, counted, level)
        if first is not None:
            rule = f"{rule}-CONFIRMED" if how.confirm else rule
            return answer(level, first.on, rule, confirmed=how.confirm, responded=first.on)
    lasting = [
        each
        for each in counted
        if each.status in _STABLE_OR_BETTER and (each.on - reference_on).days >= how.sd_min_days
    ]
    if lasting:
        first_response = next((each for each in counted if each.status in (CR, PR)), None)
        early = how.unconfirmed_pr_date == "first_response" and first_response is not None
        on = first_response.on if early and first_response is not None else lasting[0].on
        return answer(NON if counted[0].state.path == "non_targets_only" else SD, on, "B-SD")
    if progression_on is not None:
        return answer(PD, progression_on, "B-PD")
    without = next((each for each in counted if each.status is NED), None)
    if without is not None:
        return answer(NED, without.on, "B-NED")
    return answer(NE, None, "B-NE")


def _responding(how: Confirmation, counted: Sequence[Derived], level: Response) -> Derived | None:
    """The first time point of a response at this level, confirmed where that is asked for."""
    enough = (CR,) if level is CR else (CR, PR)
    between = {*enough, NE} | ({SD} if how.accept_sd and level is PR else set())
    for index, first in enumerate(counted):
        if first.status not in enough:
            continue
        if not how.confirm:
            return first
        missed = 0
        for later in counted[index + 1 :]:
            if later.status not in between:
                break
            missed += later.status is NE
            if missed > how.max_ne:
                break
            if later.status in enough and (later.on - first.on).days >= how.confirm_min_days:
                return first
    return None

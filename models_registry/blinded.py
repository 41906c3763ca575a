"""The AI as a blinded reader (phase 4): the answers of a time point go under one seal, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from core.errors import CountersignError, RecordDamaged
from core.quantities import rounded
from core.reads.ai_reads import seal_ai_read
from core.reads.locking import LockAnswer
from core.reads.queries import current_tasks
from core.reads.rules import is_baseline
from core.reads.state import AI_SLOT, SHADOW_SLOT
from core.trials.charter import Charter
from core.trials.queries import charter_of
from core.work import Desk
from models_registry.inputs import Given
from models_registry.pipeline import Answer
from models_registry.queries import RunRow, runs_of

# The measure that an endpoint's unit asks for, and how the run's unit becomes it.
MEASURES = {"mm": ("long_axis", Decimal(1)), "ml": ("volume", Decimal(1000))}


def is_blinded(row: RunRow) -> bool:
    """A gated run for a primary endpoint, or one in shadow, which opens with the others and is shown to nobody."""
    return row.use == "primary" and row.standing in ("gated", "shadow")


def seal_reads(desk: Desk, answered: Sequence[tuple[RunRow, Given, Answer]]) -> dict[str, str]:
    """Seal the AI's read of every time point among these runs, once.

    Returns run -> why, for runs whose time point could not be sealed: the human reads are open already, the use is not
    open any more, or no seal can be kept here. They must be recorded as failed.
    """
    unsealed: dict[str, str] = {}
    groups: dict[tuple[str, str, str, bool], list[tuple[RunRow, Given, Answer]]] = {}
    for row, given, answer in answered:
        key = (row.trial, row.subject, row.time_point, row.standing == "shadow")
        groups.setdefault(key, []).append((row, given, answer))
    for (trial, subject, time_point, shadow), lesions in groups.items():
        with desk.reading() as session:
            begun = current_tasks(session, trial, subject, time_point)
            charter = charter_of(session, trial)
            standing = lesions[0][0].standing
            at_baseline = tuple(dict.fromkeys(
                run.lesion for run in runs_of(session, trial=trial, subject=subject, use="primary", standing=standing)
                if is_baseline(charter, run.time_point)
            ))
        if any(one.slot == (SHADOW_SLOT if shadow else AI_SLOT) for one in begun):
            continue
        stated = answer_of(charter, time_point, lesions, at_baseline)
        try:
            seal_ai_read(desk, LockAnswer(trial, subject, time_point, stated), shadow=shadow)
        except RecordDamaged:
            raise
        except CountersignError as error:
            unsealed |= {row.run: error.fact for row, _, _ in lesions}
    return unsealed


def answer_of(
    charter: Charter, time_point: str, lesions: Sequence[tuple[RunRow, Given, Answer]], at_baseline: Sequence[str] = ()
) -> dict[str, Any]:
    """A reader's answer from the runs of a time point. What was not measured is not evaluable, never zero or gone.

    `at_baseline`: lesions asked for at baseline. Later answers follow exactly these: one that nobody pointed at is not
    assessable, and one that was not there at baseline is no target.
    """
    endpoints = {one.id: one.unit for one in charter.endpoints if one.unit in MEASURES}
    baseline = is_baseline(charter, time_point)
    sizes = {row.lesion: _sizes(answer, endpoints) for row, _, answer in lesions}
    if baseline and not all(sizes.values()):
        failed = any(answer.status == "failed" for _, _, answer in lesions)
        return {"not_evaluable": dict.fromkeys(endpoints, "ai_failed" if failed else "ai_undecided"), "targets": []}
    targets: list[dict[str, Any]] = []
    if not baseline and at_baseline:
        lesions = [one for one in lesions if one[0].lesion in at_baseline]
        unasked = set(at_baseline) - {row.lesion for row, _, _ in lesions}
        targets = [{"lesion": lesion, "state": "not_assessable"} for lesion in sorted(unasked)]
    for row, given, _ in sorted(lesions, key=lambda one: one[0].lesion):
        target: dict[str, Any] = {"lesion": row.lesion, "tracking_uid": row.tracking_uid}
        found = sizes[row.lesion]
        target |= {"state": "measured", "sizes": found} if found else {"state": "not_assessable"}
        if baseline:
            # The model knows where the seed is, not which organ: each lesion counts as a place of its own.
            target |= {"location": f"seed {row.lesion}", "modality": "CT",
                       "slice_mm": f"{rounded(given.study.ct.spacing_mm[0], 2):f} mm"}
        targets.append(target)
    return {"targets": targets}


def _sizes(answer: Answer, endpoints: Mapping[str, str]) -> dict[str, list[str]]:
    """Endpoint -> its one size, in its unit; empty unless every measure is there."""
    values = {one.name: one.value for one in answer.values if one.value is not None}
    found = {}
    for endpoint, unit in endpoints.items():
        name, divisor = MEASURES[unit]
        if answer.status != "finished" or name not in values:
            return {}
        found[endpoint] = [f"{rounded(Decimal(values[name].split(' ')[0]) / divisor):f} {unit}"]
    return found

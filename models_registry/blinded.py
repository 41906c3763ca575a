"""The AI as a blinded reader (phase 4): the answers of a time point go under one seal, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from audit.vocabulary.models import RunOpened
from core.errors import CountersignError, RecordDamaged, UnusableInput
from core.objects import DICOM
from core.policy.decide import permit
from core.privacy.queries import relations_of
from core.quantities import rounded
from core.reads.ai_reads import seal_ai_read, withdraw_ai_read
from core.reads.locking import LockAnswer
from core.reads.queries import current_tasks
from core.reads.rules import is_baseline
from core.reads.seal_queries import key_of_opened, seal_of
from core.reads.sealing import disclose
from core.reads.state import AI_SLOT, SHADOW_SLOT
from core.trials.charter import Charter
from core.trials.queries import charter_of
from core.work import Desk
from models_registry.answer import Answer
from models_registry.contract import Study
from models_registry.inputs import Given
from models_registry.loading import INFERENCE
from models_registry.preprocessing import Image
from models_registry.queries import RunRow, run_facts, run_of, runs_of
from models_registry.results import unpacked

# The measure that an endpoint's unit asks for, and how the run's unit becomes it.
MEASURES = {"mm": ("long_axis", Decimal(1)), "ml": ("volume", Decimal(1000))}


def is_blinded(row: RunRow) -> bool:
    """A gated run for a primary endpoint, or one in shadow, which opens with the others and is shown to nobody."""
    return row.use == "primary" and row.standing in ("gated", "shadow")


def slot_of(row: RunRow) -> str:
    """The slot in which a blinded run's read stands."""
    return SHADOW_SLOT if row.standing == "shadow" else AI_SLOT


def seal_for(desk: Desk, row: RunRow) -> str | None:
    """Commitment of the seal that a blinded run's values went into; None for a run that is no part of one."""
    if not is_blinded(row):
        return None
    with desk.reading() as session:
        found = seal_of(session, row.trial, row.subject, row.time_point, slot_of(row), row.lock)
    if found is None:
        raise UnusableInput(f"The read of {row.subject}, {row.time_point} was not sealed.")
    return found[1]


def open_results(desk: Desk, trial: str, subject: str, time_point: str) -> int:
    """Record masks and reports of the blinded runs of a time point whose seal is open. Returns how many were new.

    Called when the seal opens and when a run ends, whichever is later; the same result is recorded once.
    """
    opened = 0
    with desk.reading() as session:
        if "erased" in relations_of(session, trial, subject):
            return 0
        waiting = [
            row for row in runs_of(session, trial=trial, subject=subject, use="primary", state="finished")
            if row.time_point == time_point and is_blinded(row) and row.result is not None and row.report is None
        ]
        keys: list[tuple[RunRow, str, str, str]] = []
        for row in waiting:
            seal = seal_of(session, trial, subject, time_point, slot_of(row), row.lock)
            key = key_of_opened(session, seal[0]) if seal is not None else None
            if seal is not None and key is not None:
                keys.append((row, *seal, key))
    owner = f"{trial}/{subject}"
    for row, sealed, commit, key in keys:
        assert row.result is not None  # chosen above
        enclosed = desk.objects.get(row.result, subject=owner)
        segmentation, report = unpacked(disclose(key, commit, row.run, enclosed))
        event = RunOpened(
            run=row.run, sealed=sealed, subject=subject, time_point=time_point,
            segmentation=desk.objects.put(segmentation, DICOM, subject=owner),
            report=desk.objects.put(report, DICOM, subject=owner),
        )
        with desk.open(INFERENCE, asked="run.open") as work:
            if run_of(work.session, row.run).report is not None:
                continue
            under = permit(INFERENCE, "run.open", run_facts(
                work.session, INFERENCE, "run.open", trial, relations=frozenset(), endpoint=row.endpoint,
                subject=subject))
            work.record(event, under=under, trial=trial)
            opened += 1
    return opened


def withdraw_where_over(desk: Desk, trial: str, subject: str, time_point: str) -> bool:
    """Withdraw the AI's read of a time point that began, where every run of it has ended and none was sealed."""
    with desk.reading() as session:
        begun = [each for each in current_tasks(session, trial, subject, time_point)
                 if each.slot == AI_SLOT and each.state == "begun"]
        ended = [row for row in runs_of(session, trial=trial, subject=subject, use="primary", standing="gated")
                 if row.time_point == time_point and begun and begun[-1].lock in (None, row.lock)]
    if not begun or any(row.state == "requested" for row in ended):
        return False
    causes = ", ".join(sorted({row.cause or row.state for row in ended}))
    withdraw_ai_read(desk, begun[-1].assignment, f"no run of it could be sealed: {causes}")
    return True


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
        lock = lesions[0][0].lock
        held = next((one for one in begun if one.slot == (SHADOW_SLOT if shadow else AI_SLOT)), None)
        if held is not None and not shadow and held.lock != lock and (held.locked or held.lock is not None):
            # Nothing of this lock may go under another one's seal.
            other = held.lock or "a lock that it does not name"
            unsealed |= {row.run: f"The AI's read of {time_point} is that of {other}." for row, _, _ in lesions}
            continue
        if held is not None and held.locked:
            continue
        stated = answer_of(charter, time_point, lesions, at_baseline)
        try:
            seal_ai_read(desk, LockAnswer(trial, subject, time_point, stated), shadow=shadow, lock=lock)
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
                       "slice_mm": f"{rounded(_ct_of(given).spacing_mm[0], 2):f} mm"}
        targets.append(target)
    return {"targets": targets}


def _ct_of(given: Given) -> Image:
    assert isinstance(given.study, Study)  # a segmentation serves no read
    return given.study.ct


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

"""What any locked model must do when asked, by name, for OQ steps: refuse to guess, repeat itself, never break.

Questions are made from one generated case outside every test set; each check states what it changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np

from validation.cases import generated_case
from validation.ports import Check, Found, Grid, LockedModel, Question, Reply

# Of no stratum: the seeds of test sets start at 50000.
SEED = 40_000


def checks_of(model: LockedModel) -> dict[str, Check]:
    """The named checks of this model."""
    hostile: dict[str, tuple[str, Callable[[Question], Question], str]] = {
        "no_seed_is_undecided": ("no seed point", lambda q: replace(q, seed_mm=None), "undecided"),
        "seed_outside_is_undecided": (
            "a seed point outside the images", lambda q: replace(q, seed_mm=(9000.0, 0.0, 0.0)), "undecided"),
        "not_a_number_fails": ("one CT value that is not a number", _with_nan, "failed"),
        "constant_image_fails": ("a CT of one value", _constant, "failed"),
        "coarse_slices_fail": ("CT slices 40 mm apart", _coarse, "failed"),
        "wrong_scale_fails": ("a PET a thousand times too bright", _bright, "failed"),
        "single_slice_fails": ("a CT of a single slice", _single_slice, "failed"),
    }
    made: dict[str, Check] = {
        name: partial(_hostile, model, what, change, status) for name, (what, change, status) in hostile.items()
    }
    return {**made, "repeats_are_equal_bits": partial(_repeats, model), "answers_a_case": partial(_answers, model)}


@cache
def _question() -> Question:
    return generated_case(SEED).question


def _says(reply: Reply) -> str:
    return f"{reply.status}{f' ({reply.cause})' if reply.cause else ''}"


def _hostile(model: LockedModel, what: str, change: Callable[[Question], Question], status: str) -> Found:
    reply = model.ask([change(_question())])[0]
    return Found(
        reply.status == status and reply.mask is None, f"Given {what}, the model answered {_says(reply)}.",
        {"status": reply.status, "cause": reply.cause, "input_sha256": reply.input_sha256},
    )


def _answers(model: LockedModel) -> Found:
    reply = model.ask([_question()])[0]
    inside = int(reply.mask.sum()) if reply.mask is not None else 0
    return Found(
        reply.status == "finished" and inside > 0, f"An ordinary case was answered: {_says(reply)}, {inside} voxels.",
        {"status": reply.status, "output_sha256": reply.output_sha256},
    )


def _repeats(model: LockedModel) -> Found:
    """Twice within one load, once in a fresh one: the digest covers every probability and the mask."""
    together = model.ask([_question(), _question()])
    apart = model.ask([_question()])
    digests = [reply.output_sha256 for reply in [*together, *apart]]
    same = len(set(digests)) == 1 and digests[0] != ""
    return Found(
        same, f"Three answers to one question have {len(set(digests))} digest{'s' if len(set(digests)) > 1 else ''}.",
        {"output_sha256": digests},
    )


def _changed(question: Question, *, ct: Grid | None = None, pet: Grid | None = None) -> Question:
    return replace(question, ct=ct or question.ct, pet=pet or question.pet)


def _with_nan(question: Question) -> Question:
    values = question.ct.values.copy()
    values[tuple(side // 2 for side in values.shape)] = np.nan
    return _changed(question, ct=replace(question.ct, values=values))


def _constant(question: Question) -> Question:
    return _changed(question, ct=replace(question.ct, values=np.zeros_like(question.ct.values)))


def _coarse(question: Question) -> Question:
    spacing = (40.0, question.ct.spacing_mm[1], question.ct.spacing_mm[2])
    height = 40.0 * (question.ct.values.shape[0] - 1)
    origin = (question.ct.origin_mm[0], question.ct.origin_mm[1], -height / 2)
    return _changed(question, ct=replace(question.ct, spacing_mm=spacing, origin_mm=origin))


def _bright(question: Question) -> Question:
    return _changed(question, pet=replace(question.pet, values=question.pet.values * np.float32(1000)))


def _single_slice(question: Question) -> Question:
    assert question.seed_mm is not None
    middle = round((question.seed_mm[2] - question.ct.origin_mm[2]) / question.ct.spacing_mm[0])
    z = question.ct.origin_mm[2] + middle * question.ct.spacing_mm[0]
    ct = replace(
        question.ct, values=question.ct.values[middle : middle + 1].copy(),
        origin_mm=(question.ct.origin_mm[0], question.ct.origin_mm[1], z),
    )
    return replace(question, ct=ct, seed_mm=(question.seed_mm[0], question.seed_mm[1], z))

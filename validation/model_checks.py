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


HOSTILE: dict[str, tuple[str, Callable[[Question], Question], str]] = {
    "no_seed_is_undecided": ("no seed point", lambda q: replace(q, seed_mm=None), "undecided"),
    "seed_outside_is_undecided": (
        "a seed point outside the images", lambda q: replace(q, seed_mm=(9000.0, 0.0, 0.0)), "undecided"),
    "not_a_number_fails": ("one CT value that is not a number", lambda q: _with_nan(q), "failed"),
    "constant_image_fails": ("a CT of one value", lambda q: _constant(q), "failed"),
    "coarse_slices_fail": ("CT slices 40 mm apart", lambda q: _coarse(q), "failed"),
    "wrong_scale_fails": ("a PET a thousand times too bright", lambda q: _bright(q), "failed"),
    "single_slice_fails": ("a CT of a single slice", lambda q: _single_slice(q), "failed"),
}


def checks_of(model: LockedModel) -> dict[str, Check]:
    """The named checks of this model. All questions are put in one load, at the first check that is made."""

    @cache
    def replies() -> list[Reply]:
        ordinary = _question()
        return model.ask([ordinary, ordinary, *(change(ordinary) for _, change, _ in HOSTILE.values())])

    made: dict[str, Check] = {
        name: partial(_hostile, replies, place, what, status)
        for place, (name, (what, _, status)) in enumerate(HOSTILE.items(), 2)
    }
    return {**made, "repeats_are_equal_bits": partial(_repeats, replies, model),
            "answers_a_case": partial(_answers, replies)}


@cache
def _question() -> Question:
    return generated_case(SEED).question


def _says(reply: Reply) -> str:
    return f"{reply.status}{f' ({reply.cause})' if reply.cause else ''}"


def _hostile(replies: Callable[[], list[Reply]], place: int, what: str, status: str) -> Found:
    reply = replies()[place]
    return Found(
        reply.status == status and reply.mask is None, f"Given {what}, the model answered {_says(reply)}.",
        {"status": reply.status, "cause": reply.cause, "input_sha256": reply.input_sha256},
    )


def _answers(replies: Callable[[], list[Reply]]) -> Found:
    reply = replies()[0]
    inside = int(reply.mask.sum()) if reply.mask is not None else 0
    return Found(
        reply.status == "finished" and inside > 0, f"An ordinary case was answered: {_says(reply)}, {inside} voxels.",
        {"status": reply.status, "output_sha256": reply.output_sha256},
    )


def _repeats(replies: Callable[[], list[Reply]], model: LockedModel) -> Found:
    """Twice within one load, once in a fresh one: the digest covers every probability and the mask."""
    answers = [*replies()[:2], *model.ask([_question()])]
    digests = [reply.output_sha256 for reply in answers]
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

"""What any locked model must do when asked, by name, for OQ steps: refuse to guess, repeat itself, never break.

Questions are made from one generated case outside every test set; each check states what it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial

import numpy as np

from validation.cases import generated_case
from validation.ports import Check, DeviceAbsent, Found, Grid, LockedModel, Question, Reply
from validation.statistics import dice

# Of no stratum: the seeds of test sets start at 50000.
SEED = 40_000


HOSTILE: dict[str, tuple[str, Callable[[Question], Question], str]] = {
    "no_seed_is_undecided": ("no seed point", lambda q: replace(q, seed_mm=None), "undecided"),
    "seed_outside_is_undecided": (
        "a seed point outside the images", lambda q: replace(q, seed_mm=(9000.0, 0.0, 0.0)), "undecided"),
    "other_anatomy_is_undecided": (
        "images of nothing it was trained on", lambda q: _other_anatomy(q), "undecided"),
    "not_a_number_fails": ("one CT value that is not a number", lambda q: _with_nan(q), "failed"),
    "constant_image_fails": ("a CT of one value", lambda q: _constant(q), "failed"),
    "coarse_slices_fail": ("CT slices 40 mm apart", lambda q: _coarse(q), "failed"),
    "wrong_scale_fails": ("a PET a thousand times too bright", lambda q: _bright(q), "failed"),
    "single_slice_fails": ("a CT of a single slice", lambda q: _single_slice(q), "failed"),
    "no_slice_fails": ("a CT without any slice", lambda q: _changed(q, ct=replace(q.ct, values=q.ct.values[:0])),
                       "undecided or failed"),
    "infinite_value_fails": ("one PET value that is infinite", lambda q: _with_infinity(q), "failed"),
    "other_type_fails": ("a CT of another number type", lambda q: _changed(
        q, ct=replace(q.ct, values=q.ct.values.astype(np.int16))), "failed"),
}
# Masks of the same study from processor and GPU: as alike as two roundings of one network leave them.
LEAST_DICE = 0.99


def checks_of(model: LockedModel) -> dict[str, Check]:
    """The named checks of this model. All questions are put in one load, at the first check that is made."""

    @cache
    def replies() -> list[Reply]:
        ordinary = _question()
        return model.ask([ordinary, ordinary, *(change(ordinary) for _, change, _ in HOSTILE.values()), _question(1)])

    @cache
    def apart() -> tuple[list[Reply], list[Reply]]:
        """Two workers at the same time: one is asked in the other order, the other a single question."""
        with ThreadPoolExecutor(2) as both:
            two, one = both.submit(model.ask, [_question(1), _question()]), both.submit(model.ask, [_question()])
            return two.result(), one.result()

    made: dict[str, Check] = {
        name: partial(_hostile, replies, place, what, status)
        for place, (name, (what, _, status)) in enumerate(HOSTILE.items(), 2)
    }
    return {
        **made, "answers_a_case": partial(_answers, replies),
        "repeats_are_equal_bits": lambda: _equal("Three answers to one question", [*replies()[:2], apart()[1][0]]),
        "number_and_order_change_nothing": lambda: _equal(
            f"A question asked last of {len(replies())} and first of two", [replies()[-1], apart()[0][0]]),
        "workers_at_once_change_nothing": lambda: _equal(
            "One question put to two workers at once, and to one alone", [apart()[0][1], apart()[1][0], replies()[0]]),
        "gpu_equals_processor": partial(_gpu_equals_processor, model),
    }


@cache
def _question(number: int = 0) -> Question:
    return generated_case(SEED + number).question


def _says(reply: Reply) -> str:
    return f"{reply.status}{f' ({reply.cause})' if reply.cause else ''}"


def _hostile(replies: Callable[[], list[Reply]], place: int, what: str, status: str) -> Found:
    reply = replies()[place]
    right = reply.status in status.split(" or ") and reply.mask is None
    return Found(
        right, f"Given {what}, the model answered {_says(reply)}.",
        {"status": reply.status, "cause": reply.cause, "input_sha256": reply.input_sha256},
    )


def _answers(replies: Callable[[], list[Reply]]) -> Found:
    reply = replies()[0]
    inside = int(reply.mask.sum()) if reply.mask is not None else 0
    return Found(
        reply.status == "finished" and inside > 0, f"An ordinary case was answered: {_says(reply)}, {inside} voxels.",
        {"status": reply.status, "output_sha256": reply.output_sha256},
    )


def _equal(what: str, replies: Sequence[Reply]) -> Found:
    """The digest covers every probability and the mask; volumes follow from the mask, which is compared as well."""
    digests = [reply.output_sha256 for reply in replies]
    count = len(set(digests))
    masks = [reply.mask for reply in replies if reply.mask is not None]
    same = count == 1 and digests[0] != "" and len(masks) == len(replies) and all(
        np.array_equal(masks[0], mask) for mask in masks)
    return Found(same, f"{what} have {count} digest{'s' if count > 1 else ''}.", {"output_sha256": digests})


def _gpu_equals_processor(model: LockedModel) -> Found:
    """The same bytes and study on both. Without a GPU nothing was shown: not executed, never passed."""
    try:
        gpu, processor = (model.ask_on(device, [_question()])[0] for device in ("cuda", "cpu"))
    except DeviceAbsent as absent:
        return Found(False, f"Not executed: {absent.fact}", executed=False)
    if gpu.mask is None or processor.mask is None:
        return Found(False, f"GPU {_says(gpu)}, processor {_says(processor)}.")
    alike = dice(gpu.mask, processor.mask)
    return Found(alike >= LEAST_DICE, f"The masks have a Dice coefficient of {alike:.4f}.",
                 {"gpu": gpu.output_sha256, "processor": processor.output_sha256, "dice": f"{alike:.6f}"})


def _changed(question: Question, *, ct: Grid | None = None, pet: Grid | None = None) -> Question:
    return replace(question, ct=ct or question.ct, pet=pet or question.pet)


def _with_nan(question: Question) -> Question:
    values = question.ct.values.copy()
    values[tuple(side // 2 for side in values.shape)] = np.nan
    return _changed(question, ct=replace(question.ct, values=values))


def _with_infinity(question: Question) -> Question:
    values = question.pet.values.copy()
    values[tuple(side // 2 for side in values.shape)] = np.inf
    return _changed(question, pet=replace(question.pet, values=values))


def _constant(question: Question) -> Question:
    return _changed(question, ct=replace(question.ct, values=np.zeros_like(question.ct.values)))


def _coarse(question: Question) -> Question:
    spacing = (40.0, question.ct.spacing_mm[1], question.ct.spacing_mm[2])
    height = 40.0 * (question.ct.values.shape[0] - 1)
    origin = (question.ct.origin_mm[0], question.ct.origin_mm[1], -height / 2)
    return _changed(question, ct=replace(question.ct, spacing_mm=spacing, origin_mm=origin))


def _other_anatomy(question: Question) -> Question:
    """Within every range of the contract, like no body part: tissue as dense as cortical bone, uptake everywhere."""
    ct, pet = question.ct.values, question.pet.values
    return _changed(question, ct=replace(question.ct, values=np.where(ct > -500, ct / 4 + 900, ct).astype(np.float32)),
                    pet=replace(question.pet, values=(pet / 2 + 25).astype(np.float32)))


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

"""A lock of the model registry, as the validation runner asks it: the same verified load as in a trial."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache, partial

import numpy as np

from core.errors import CountersignError, UnusableInput
from core.work import Desk
from countersign.adapters import hostile_dicom
from models_registry import jobs, loading, queries
from models_registry.answer import Answer
from models_registry.bundle import Bundle, unpacked
from models_registry.contract import Study
from models_registry.digest import ModelFileUnusable
from models_registry.isolation import Expected, Limits, WorkerDiffers, WorkerFailed
from models_registry.loading import ModelDiffers
from models_registry.pipeline import input_digest
from models_registry.preprocessing import Image
from models_registry.sampling import input_features, output_features
from models_registry.servers import worker_here
from models_registry.training.samples import generated_seeds, split
from validation.ports import Check, DeviceAbsent, Found, Grid, ModelRefusedToLoad, Question, Reply

CT_UNIT, PET_UNIT = "HU", "{SUVbw}g/ml"


class RegistryModel:
    """A valid lock, asked through `models_registry.loading.asked`: digests, environment and sentinel each time."""

    def __init__(self, desk: Desk, lock: str) -> None:
        """Raises NotFound where no model is locked under this name, UnusableInput for one that measures no lesion."""
        self._desk = desk
        with desk.reading() as session:
            self._lock = queries.lock_of(session, lock)
            if self._lock.fields.task is not None:
                raise UnusableInput(f"{lock} is for the task {self._lock.fields.task}; protocols ask for lesions.",
                                    next_step="Compare such locks with `countersign model compare`.")
            self._version = queries.version_of(session, self._lock.fields.model, self._lock.fields.model_version)

    @property
    def lock(self) -> str:
        return self._lock.lock

    @property
    def resolution_mm(self) -> Decimal:
        """The number at the head of the lock's `resolution`."""
        found = re.match(r"\d+(\.\d+)?", self._lock.fields.resolution)
        if found is None:
            raise ModelFileUnusable(f"The lock's resolution {self._lock.fields.resolution!r} begins with no number.")
        return Decimal(found[0])

    @property
    def device(self) -> str:
        """The lock's own environment; locks from before it was named computed on the processor."""
        return self._lock.environment.get("torch_device", "cpu")

    @property
    def trained_on(self) -> frozenset[str]:
        """Training and tuning of the committed split: subjects by name, generated objects by seed."""
        parts = split()
        subjects = {subject for part in ("train", "tune") for subject in parts[part]}
        seeds = {str(seed) for part in ("train", "tune") for seed in generated_seeds(part)}
        return frozenset(subjects | seeds)

    def environment(self) -> Mapping[str, str]:
        return self._lock.environment

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        studies = [_study(question) for question in questions]
        try:
            session, _ = loading.asked(self._desk, self._lock, self._version, studies)
        except ModelDiffers as refusal:
            raise ModelRefusedToLoad(refusal.fact) from refusal
        return [_reply(study, answer) for study, (answer, _) in zip(studies, session.answers, strict=True)]

    def ask_on(self, device: str, questions: Sequence[Question]) -> list[Reply]:
        studies = [_study(question) for question in questions]
        files = loading.verified(self._desk, self._lock, self._version).files
        try:
            session = worker_here(self._desk, device=device)(files, studies, None)
        except WorkerFailed as failure:
            if failure.cause == "no-device":
                raise DeviceAbsent(failure.fact) from failure
            raise
        return [_reply(study, answer) for study, (answer, _) in zip(studies, session.answers, strict=True)]

    def checks(self) -> dict[str, Check]:
        @cache
        def dicom() -> tuple[dict[str, Study | CountersignError], dict[str, Answer]]:
            """What each hostile series became when it was read, and the answers to those that reached the model."""
            read = hostile_dicom.studies()
            asked = {name: one for name, one in read.items() if isinstance(one, Study)}
            session, _ = loading.asked(self._desk, self._lock, self._version, list(asked.values()))
            return read, dict(zip(asked, (answer for answer, _ in session.answers), strict=True))

        return {
            **{name: partial(_without_a_value, dicom, name) for name in hostile_dicom.HOSTILE},
            "time_limit_ends_it": partial(self._ends_at, Limits(wall_s=1), "time-limit"),
            "memory_limit_ends_it": partial(self._ends_at, Limits(memory_mib=120), "memory-limit"),
            "processor_limit_ends_it": partial(self._ends_at, Limits(cpu_s=1), "cpu-limit"),
            "other_threads_are_refused": self._other_threads_are_refused,
            "bundle_as_locked": self._bundle_as_locked,
            "environment_as_locked": self._environment_as_locked,
            "changed_weight_is_refused": partial(self._refuses, "one bit of the weights changed", _one_bit_off),
            "changed_configuration_is_refused": partial(self._refuses, "a threshold changed", _other_threshold),
            "foreign_file_is_refused": partial(self._refuses, "a file added", _foreign_file),
        }

    def _files(self) -> dict[str, bytes]:
        return unpacked(self._desk.objects.get(self._version.artefact))

    def _bundle_as_locked(self) -> Found:
        bundle: Bundle = loading.check_bundle(self._lock, self._version, self._files())
        return Found(True, f"{len(bundle.files)} files and {len(bundle.tensors)} tensors have the locked digests.",
                     {"tree": bundle.tree_sha256, "tensors": bundle.tensors_sha256})

    def _environment_as_locked(self) -> Found:
        """A worker that starts has compared environment and sentinel with the lock; it is asked nothing else."""
        session, _ = loading.asked(self._desk, self._lock, self._version, [])
        return Found(
            True, f"{len(session.environment)} parts of the environment as locked; the sentinel gave the locked bits; "
            f"network: {session.network}.",
            {"environment": session.environment, "sentinel": session.sentinel_output_sha256},
        )

    def _ends_at(self, limits: Limits, cause: str) -> Found:
        """The locked bundle under a limit that it exceeds: the worker ends for that cause, this process goes on."""
        files = loading.verified(self._desk, self._lock, self._version).files
        try:
            worker_here(self._desk, limits=limits)(files, [], None)
        except WorkerFailed as failure:
            return Found(failure.cause == cause, f"Ended for {failure.cause}: {failure.fact}", {"cause": failure.cause})
        return Found(False, "It ran to its end.")

    def _other_threads_are_refused(self) -> Found:
        """A lock that states another number of threads than the worker has; nothing is recorded of this trial."""
        files = loading.verified(self._desk, self._lock, self._version).files
        stated = dict(self._lock.environment)
        stated["torch_threads"] = str(int(stated["torch_threads"]) + 1)
        try:
            worker_here(self._desk)(files, [], Expected(stated, self._lock.fields.sentinel_output_sha256))
        except WorkerDiffers as refusal:
            return Found(refusal.check == "environment" and "torch_threads" in refusal.expected, refusal.fact)
        return Found(False, "It ran with another number of threads than locked.")

    def _refuses(self, what: str, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Found:
        """The loader's own checks on changed bytes. Nothing in the store is touched, so nothing is recorded."""
        try:
            loading.check_bundle(self._lock, self._version, change(self._files()))
        except (ModelDiffers, ModelFileUnusable) as refusal:
            return Found(True, f"Refused, with {what}: {refusal.fact}")
        return Found(False, f"It was accepted, with {what}.")


def _without_a_value(
    dicom: Callable[[], tuple[dict[str, Study | CountersignError], dict[str, Answer]]], name: str
) -> Found:
    """Stopped for the right cause: while it was read, or by the model, which then gives no mask and no value."""
    row, (read, answers) = hostile_dicom.HOSTILE[name], dicom()
    refused = read[name]
    if isinstance(refused, CountersignError):
        cause, says, value = hostile_dicom.stopped_by(refused), f"it was refused when read: {refused.fact}", False
    else:
        answer = answers[name]
        cause, says = answer.cause, f"the model answered {answer.status} ({answer.cause}: {answer.found})."
        value = answer.mask is not None or answer.status == "finished" or any(one.value for one in answer.values)
    return Found(cause in row.stopped_by and not value, f"Given {row.what}, {says}", {"cause": cause})


def _study(question: Question) -> Study:
    return Study(_image(question.ct), _image(question.pet), question.seed_mm, CT_UNIT, PET_UNIT)


def _image(grid: Grid) -> Image:
    return Image(grid.values, grid.origin_mm, grid.spacing_mm)


def _reply(study: Study, answer: Answer) -> Reply:
    return Reply(answer.status, answer.cause, input_digest(study), answer.output_sha256,
                 None if answer.mask is None else answer.mask.astype(np.bool_), _monitored(study, answer))


def _monitored(study: Study, answer: Answer) -> dict[str, dict[str, str]]:
    """As of a run in a trial; what the contract did not let through has no features."""
    if answer.status == "failed":
        return {}
    return {"inputs": input_features(study, answer), "outputs": output_features(answer)}


def _one_bit_off(files: dict[str, bytes]) -> dict[str, bytes]:
    weights = bytearray(files[jobs.WEIGHTS])
    weights[-1] ^= 1
    return {**files, jobs.WEIGHTS: bytes(weights)}


def _other_threshold(files: dict[str, bytes]) -> dict[str, bytes]:
    stated = json.loads(files[jobs.CONFIGURATION])
    stated["thresholds"]["probability"] = "0.4"
    return {**files, jobs.CONFIGURATION: json.dumps(stated).encode()}


def _foreign_file(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, "models/extra.bin": b"not locked"}

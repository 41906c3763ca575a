"""The cases of a test set, and what a reply measures against their truth.

Generated cases come from core/phantoms: their truth is a formula. Clinical cases come from the data folder: their
truth is a human contour on the same grid. A case that failed counts as a complete miss; only "undecided", which goes
to a human, leaves the errors and is counted by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.entry import canonical
from core.errors import UnusableInput
from core.measures import Measured, long_axis_mm, short_axis_mm, volume_mm3
from core.phantoms import reference_object
from core.phantoms.source import generator_digest
from validation.ports import Grid, Point, Question, Reply
from validation.protocol import ClinicalStratum, GeneratedStratum
from validation.statistics import dice, hd95_mm

LESION = "TL01"
CLINICAL_CELL_MM = 4.0


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its truth. Lengths and volume are None where the reference cannot give them."""

    question: Question
    subgroup: str
    mask: NDArray[np.bool_]
    volume_mm3: float
    long_axis_mm: float | None
    short_axis_mm: float | None
    # A second, independent human contour of the same lesion, where the data have one.
    reader: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case as measured; a metric that the reply does not allow is absent."""

    case: str
    subgroup: str
    status: str
    cause: str
    input_sha256: str
    output_sha256: str
    metrics: Mapping[str, float]
    # Measured and true value, for what is judged on both; a lesion that was missed measures zero.
    pairs: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def as_data(self) -> dict[str, object]:
        """For evidence: numbers as text at four decimals."""
        return {
            "case": self.case, "subgroup": self.subgroup, "status": self.status, "cause": self.cause,
            "input_sha256": self.input_sha256, "output_sha256": self.output_sha256,
            "metrics": {name: f"{value:.4f}" for name, value in sorted(self.metrics.items())},
            "pairs": {name: [f"{one:.4f}" for one in pair] for name, pair in sorted(self.pairs.items())},
        }


def generated_case(seed: int) -> Case:
    """The reference object of a seed. The point that a person would place lies off the centre by up to a quarter of
    the short axis, in a direction that follows from the seed."""
    volume = reference_object(seed)
    truth = volume.truth_of(LESION)
    draw = np.random.default_rng((seed, 0x5EED))
    away = draw.normal(size=3)
    away *= truth.short_axis_mm / 4 * draw.random() / np.linalg.norm(away)
    placed = tuple(float(centre + step) for centre, step in zip(truth.seed_mm, away, strict=True))
    question = Question(
        f"G{seed}", Grid(np.rint(volume.ct_hu).astype(np.float32), volume.ct_grid.origin_mm, volume.ct_grid.spacing_mm),
        Grid(volume.pet_suv.astype(np.float32), volume.pet_grid.origin_mm, volume.pet_grid.spacing_mm),
        (placed[0], placed[1], placed[2]),
    )
    return Case(
        question, volume.scanner.key, volume.masks[LESION], truth.volume_mm3, truth.long_axis_mm, truth.short_axis_mm
    )


def clinical_case(folder: Path, subject: str) -> Case:
    """A subject of `derived-sts-grid`: CT, PET and human contour on one 4 mm grid; the point is the innermost voxel.

    Raises UnusableInput where the file is missing, unreadable, or its contour is empty.
    """
    from scipy.ndimage import distance_transform_edt

    path = clinical_file(folder, subject)
    try:
        with np.load(path, allow_pickle=False) as stored:
            ct, pet, contour = stored["ct"], stored["pet_suv_x1000"], stored["gtv"] > 0
            reader = stored["reader"] > 0 if "reader" in stored else None
    except (OSError, KeyError, ValueError) as error:
        raise UnusableInput(f"{subject} of the test set is missing or unreadable ({error}).") from error
    if not contour.any():
        raise UnusableInput(f"The reference contour of {subject} is empty.")
    spacing = (CLINICAL_CELL_MM,) * 3
    depth = distance_transform_edt(contour)
    inner = np.unravel_index(int(np.argmax(depth)), contour.shape)
    seed: Point = tuple(float(i) * CLINICAL_CELL_MM for i in reversed(inner))  # type: ignore[assignment]
    question = Question(
        subject, Grid(ct.astype(np.float32), (0.0, 0.0, 0.0), spacing),
        Grid(pet.astype(np.float32) / np.float32(1000), (0.0, 0.0, 0.0), spacing), seed,
    )
    return Case(question, "clinical", contour, float(contour.sum()) * CLINICAL_CELL_MM**3, None, None, reader)


def clinical_file(folder: Path, subject: str) -> Path:
    """Where a clinical subject lies."""
    return folder / "derived-sts-grid" / f"{subject}.npz"


def measured(case: Case, reply: Reply) -> CaseResult:
    """Every metric that the reply allows."""
    pairs: dict[str, tuple[float, float]] = {}
    metrics: dict[str, float] = {"undecided": float(reply.status == "undecided")}
    if reply.status != "undecided":
        mask = reply.mask if reply.status == "finished" and reply.mask is not None else np.zeros_like(case.mask)
        if mask.shape != case.mask.shape:
            raise UnusableInput(f"{case.question.case}: the model answered on another grid than the CT's.")
        metrics["missed"] = float(not (mask & case.mask).any())
        metrics["dice"] = dice(mask, case.mask)
        if case.reader is not None:
            metrics["dice_minus_reader"] = metrics["dice"] - dice(case.reader, case.mask)
        metrics["hd95"] = hd95_mm(mask, case.mask, case.question.ct.spacing_mm)[0]
        spacing = case.question.ct.spacing_mm
        volume = volume_mm3(mask, spacing) if mask.any() else None
        if volume is None:
            metrics["volume_error"] = -100.0
            pairs["volume_concordance"] = (0.0, case.volume_mm3)
        elif isinstance(volume, Measured):
            pairs["volume_concordance"] = (float(volume.value), case.volume_mm3)
            metrics["volume_error"] = 100 * (float(volume.value) - case.volume_mm3) / case.volume_mm3
        else:
            # A mask without a value (it reaches the edge of the image) leaves the value to a human as well.
            metrics["undecided"] = 1.0
        axes = (("long_axis_error", long_axis_mm, case.long_axis_mm),
                ("short_axis_error", short_axis_mm, case.short_axis_mm))
        for name, operator, truth in axes:
            if truth is not None:
                axis = operator(mask, spacing) if mask.any() else None
                if axis is None:
                    metrics[name] = -truth
                elif isinstance(axis, Measured):
                    metrics[name] = float(axis.value) - truth
        if case.long_axis_mm is not None and "long_axis_error" in metrics:
            pairs["long_axis_concordance"] = (metrics["long_axis_error"] + case.long_axis_mm, case.long_axis_mm)
    return CaseResult(
        case.question.case, case.subgroup, reply.status, reply.cause, reply.input_sha256, reply.output_sha256, metrics,
        pairs,
    )


# -- Sealing -------------------------------------------------------------------------------------------------------


def contents(stratum: GeneratedStratum | ClinicalStratum, data: Path | None) -> list[dict[str, str]]:
    """Name and content digest of every case; a clinical file that is not on this machine has the digest `absent`."""
    if isinstance(stratum, GeneratedStratum):
        generator = generator_digest()
        return [{"case": seed, "sha256": hashlib.sha256(f"{generator}/{seed}".encode()).hexdigest()}
                for seed in stratum.cases()]
    listed = []
    for subject in stratum.subjects:
        path = clinical_file(data, subject) if data is not None else None
        there = path is not None and path.is_file()
        listed.append({
            "case": subject,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if there and path is not None else "absent",
        })
    return listed


def sealed_manifest(
    test_set: str, strata: list[GeneratedStratum | ClinicalStratum], data: Path | None
) -> tuple[bytes, str, dict[str, tuple[int, str]]]:
    """The manifest to seal: its bytes, its digest, and per stratum how many cases and their digest."""
    parts: dict[str, list[dict[str, str]]] = {stratum.stratum: contents(stratum, data) for stratum in strata}
    document = canonical({"test_set": test_set, "strata": parts}, "test set")
    each = {
        name: (len(cases), hashlib.sha256(canonical({"cases": cases}, "stratum")).hexdigest())
        for name, cases in parts.items()
    }
    return document, hashlib.sha256(document).hexdigest(), each


def changed_since_sealing(
    manifest: bytes, stratum: GeneratedStratum | ClinicalStratum, data: Path | None
) -> list[str]:
    """Cases whose content is not what was sealed. A file absent at sealing is a change once it appears, and back."""
    sealed = {one["case"]: one["sha256"] for one in json.loads(manifest)["strata"].get(stratum.stratum, [])}
    now = {one["case"]: one["sha256"] for one in contents(stratum, data)}
    return sorted(case for case in sealed.keys() | now.keys() if sealed.get(case) != now.get(case))


def absent(manifest: bytes, stratum: str) -> bool:
    """Whether every file of a stratum was absent when the set was sealed."""
    cases = json.loads(manifest)["strata"].get(stratum, [])
    return bool(cases) and all(one["sha256"] == "absent" for one in cases)

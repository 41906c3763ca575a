"""The cases of a test set, and what a reply measures against their truth.

Generated cases come from core/phantoms: their truth is a formula. Clinical cases come from the data folder: their
truth is a human contour on the same grid. A case that failed counts as a complete miss; only "undecided", which goes
to a human, leaves the errors and is counted by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.entry import canonical
from core.errors import UnusableInput
from core.measures import Measured, long_axis_mm, short_axis_mm, volume_mm3
from core.phantoms import reference_object
from core.phantoms.source import generator_digest
from validation import groups
from validation.ports import Grid, Point, Question, Reply
from validation.protocol import ClinicalStratum, GeneratedStratum
from validation.statistics import dice, hd95_mm, log_ratio

LESION = "TL01"
CLINICAL, CLINICAL_CELL_MM = "derived-sts-grid", 4.0
# Of a lymph node by its short axis: normal, non-target, target (RECIST 1.1, 4.3.2); a lesion not found is none of them.
SHORT_AXIS_CLASSES_MM = (10.0, 15.0)
NOT_FOUND, CLASSES = 0, len(SHORT_AXIS_CLASSES_MM) + 2
# Sub-groups by size: the diameter of a sphere of the true volume.
BURDENS = ((20.0, "below 20 mm"), (40.0, "20 to 40 mm"), (float("inf"), "40 mm and more"))


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its truth. Lengths and volume are None where the reference cannot give them."""

    question: Question
    # Which sub-group the case belongs to, by key (`protocol.GroupKey`).
    groups: Mapping[str, str]
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
    groups: Mapping[str, str]
    status: str
    cause: str
    input_sha256: str
    output_sha256: str
    metrics: Mapping[str, float]
    # By measure, measured and true value; a lesion that was missed measures zero.
    pairs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # By measure, what each scan of a lesion that was scanned again measured; None where it was scanned once.
    repeats: Mapping[str, tuple[float, ...]] | None = None
    # What monitors of drift compare (`ports.Reply`).
    monitored: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def observed(self) -> dict[str, object]:
        """The case as the monitors take a study: one lesion, as at a baseline visit."""
        run = {name: dict(sorted(self.monitored.get(name, {}).items())) for name in ("inputs", "outputs")}
        return {"at_baseline": True, "runs": [run], "undecided": self.status == "undecided",
                "failed": self.status == "failed"}

    def as_data(self) -> dict[str, object]:
        """For evidence: numbers as text at four decimals."""
        return {
            "case": self.case, "groups": dict(sorted(self.groups.items())), "status": self.status, "cause": self.cause,
            "input_sha256": self.input_sha256, "output_sha256": self.output_sha256,
            "metrics": {name: f"{value:.4f}" for name, value in sorted(self.metrics.items())},
            "pairs": {name: [f"{one:.4f}" for one in pair] for name, pair in sorted(self.pairs.items())},
            "repeats": {name: [f"{one:.4f}" for one in scans] for name, scans in sorted((self.repeats or {}).items())},
        }


def generated_case(seed: int, scan: int = 0) -> Case:
    """The reference object of a seed. The point that a person would place lies off the centre by up to a quarter of
    the short axis, in a direction that follows from the seed. A later `scan` has new noise, and the point anew."""
    volume = reference_object(seed, scan)
    truth = volume.truth_of(LESION)
    draw = np.random.default_rng((seed, 0x5EED, scan) if scan else (seed, 0x5EED))
    away = draw.normal(size=3)
    away *= truth.short_axis_mm / 4 * draw.random() / np.linalg.norm(away)
    placed = tuple(float(centre + step) for centre, step in zip(truth.seed_mm, away, strict=True))
    name = f"G{seed}/{scan}" if scan else f"G{seed}"
    question = Question(
        name, Grid(np.rint(volume.ct_hu).astype(np.float32), volume.ct_grid.origin_mm, volume.ct_grid.spacing_mm),
        Grid(volume.pet_suv.astype(np.float32), volume.pet_grid.origin_mm, volume.pet_grid.spacing_mm),
        (placed[0], placed[1], placed[2]),
    )
    belongs = {"scanner": volume.scanner.key, "manufacturer": volume.scanner.manufacturer, "anatomy": truth.site,
               "burden": burden_of(truth.volume_mm3)}
    return Case(
        question, belongs, volume.masks[LESION], truth.volume_mm3, truth.long_axis_mm, truth.short_axis_mm
    )


def burden_of(volume_mm3: float) -> str:
    """The sub-group of a true volume."""
    diameter = float(np.cbrt(6 * volume_mm3 / np.pi))
    return next(name for below, name in BURDENS if diameter < below)


def short_axis_class(short_axis_mm: float) -> int:
    """0 not found, then the class of RECIST 1.1 by short axis: 1 below 10 mm, 2 below 15 mm, 3 above."""
    found = short_axis_mm > 0
    return 1 + sum(short_axis_mm >= edge for edge in SHORT_AXIS_CLASSES_MM) if found else NOT_FOUND


def clinical_case(folder: Path, subject: str, stated: Mapping[str, str] | None = None) -> Case:
    """A subject of `derived-sts-grid`: CT, PET and human contour on one 4 mm grid; the point is the innermost voxel.
    `stated`: the sub-groups that the sealed manifest names for it.

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
    volume = float(contour.sum()) * CLINICAL_CELL_MM**3
    return Case(question, {**(stated or {}), "burden": burden_of(volume)}, contour, volume, None, None, reader)


def clinical_file(folder: Path, subject: str) -> Path:
    """Where a clinical subject lies."""
    return folder / CLINICAL / f"{subject}.npz"


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
            pairs["volume"] = (0.0, case.volume_mm3)
        elif isinstance(volume, Measured):
            pairs["volume"] = (float(volume.value), case.volume_mm3)
            metrics["volume_error"] = 100 * (float(volume.value) - case.volume_mm3) / case.volume_mm3
        else:
            # A mask without a value (it reaches the edge of the image) leaves the value to a human as well.
            metrics["undecided"] = 1.0
        if "volume" in pairs:
            metrics["volume_log_ratio"] = log_ratio(*pairs["volume"], float(np.prod(spacing)))
        axes = (("long_axis", long_axis_mm, case.long_axis_mm), ("short_axis", short_axis_mm, case.short_axis_mm))
        for name, operator, truth in axes:
            if truth is not None:
                axis = operator(mask, spacing) if mask.any() else None
                if axis is None:
                    pairs[name] = (0.0, truth)
                elif isinstance(axis, Measured):
                    pairs[name] = (float(axis.value), truth)
                if name in pairs:
                    metrics[f"{name}_error"] = pairs[name][0] - truth
    return CaseResult(
        case.question.case, case.groups, reply.status, reply.cause, reply.input_sha256, reply.output_sha256, metrics,
        pairs, monitored=reply.monitored,
    )


def with_repeats(first: CaseResult, again: Sequence[CaseResult]) -> CaseResult:
    """A case with what further scans of the same lesion measured.

    A measure that one scan left undecided has no repeats. A lesion missed in one scan counts zero there; missed in all,
    it counts its true size once, so that missing it every time is not repeatability.
    """
    repeats = {}
    for name, (_, true) in first.pairs.items():
        if all(name in one.pairs for one in again):
            scans = [one.pairs[name][0] for one in (first, *again)]
            repeats[name] = tuple(scans) if any(scans) else (*scans[:-1], true)
    return replace(first, repeats=repeats)


def with_shift(now: CaseResult, before: Mapping[str, Any]) -> CaseResult:
    """A case with its difference to the same case in the evidence of an earlier run: volumes in % of the true one,
    axes in mm. Where one of the two gave no value it counts zero; where neither did there is no difference.

    Raises:
        UnusableInput: the earlier run was given other images under this name.
    """
    if before["input_sha256"] != now.input_sha256:
        raise UnusableInput(f"{now.case} was other images in the earlier run; nothing is compared.")
    shifts = {}
    for name in sorted(now.pairs.keys() | before["pairs"].keys()):
        earlier, true = (float(one) for one in before["pairs"].get(name, ("0", "0")))
        new, true = now.pairs.get(name, (0.0, true))
        shifts[f"{name}_shift"] = 100 * (new - earlier) / true if name == "volume" else new - earlier
    return replace(now, metrics={**now.metrics, **shifts})


# -- Sealing -------------------------------------------------------------------------------------------------------


def contents(stratum: GeneratedStratum | ClinicalStratum, data: Path | None) -> list[dict[str, Any]]:
    """Name and content digest of every case; a clinical file that is not on this machine has the digest `absent`. What
    the folder states of its sub-groups goes along.

    Raises UnusableInput where it states more than sub-groups.
    """
    if isinstance(stratum, GeneratedStratum):
        generator = generator_digest()
        scans = [*stratum.cases(), *(f"{seed}/{scan}" for seed, scan in stratum.scanned_again())]
        return [{"case": one, "sha256": hashlib.sha256(f"{generator}/{one}".encode()).hexdigest()} for one in scans]
    stated = groups.stated_in(data / CLINICAL) if data is not None else {}
    listed: list[dict[str, Any]] = []
    for subject in stratum.subjects:
        path = clinical_file(data, subject) if data is not None else None
        there = path is not None and path.is_file()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if there and path is not None else "absent"
        known = {"groups": stated[subject]} if stated.get(subject) else {}
        listed.append({"case": subject, "sha256": digest, **known})
    return listed


def sealed_manifest(
    test_set: str, strata: list[GeneratedStratum | ClinicalStratum], data: Path | None
) -> tuple[bytes, str, dict[str, tuple[int, str]]]:
    """The manifest to seal: its bytes, its digest, and per stratum how many cases and their digest."""
    parts: dict[str, list[dict[str, Any]]] = {stratum.stratum: contents(stratum, data) for stratum in strata}
    document = canonical({"test_set": test_set, "strata": parts}, "test set")
    each = {
        name: (len(cases), hashlib.sha256(canonical({"cases": cases}, "stratum")).hexdigest())
        for name, cases in parts.items()
    }
    return document, hashlib.sha256(document).hexdigest(), each


def changed_since_sealing(
    manifest: bytes, stratum: GeneratedStratum | ClinicalStratum, data: Path | None
) -> list[str]:
    """Cases whose content, or what is stated of their sub-groups, is not what was sealed. A file absent at sealing is
    a change once it appears, and back."""
    sealed = {one["case"]: one for one in json.loads(manifest)["strata"].get(stratum.stratum, [])}
    now = {one["case"]: one for one in contents(stratum, data)}
    return sorted(case for case in sealed.keys() | now.keys() if sealed.get(case) != now.get(case))


def stated_groups(manifest: bytes, stratum: str) -> dict[str, dict[str, str]]:
    """By case, the sub-groups that the sealed manifest names."""
    return {one["case"]: one.get("groups", {}) for one in json.loads(manifest)["strata"].get(stratum, [])}


def absent(manifest: bytes, stratum: str) -> bool:
    """Whether every file of a stratum was absent when the set was sealed."""
    cases = json.loads(manifest)["strata"].get(stratum, [])
    return bool(cases) and all(one["sha256"] == "absent" for one in cases)

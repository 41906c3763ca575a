"""What is measured of a series for its check: derived measures, tag values and our own findings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

from audit.vocabulary.imaging import CheckedRule
from core.arrival.rules import Severity, checked, judge
from core.dicom.digest import decoded_pixels
from core.dicom.findings import Finding, Outcome
from core.dicom.geometry import DEFAULT_TOLERANCES, SliceHeader, check, shear_deg, slices_of, split_stacks
from core.dicom.volume import ScaleUnknown, finite_values, rescale, uptake_s
from core.errors import CountersignError
from core.trials.charter import AcquisitionRule

SOFT_TISSUE_HU = (-150.0, 250.0)
Extent = tuple[str, float, float, float]
_GEOMETRY_SEVERITY: dict[str, Severity] = {"geometry.frame_of_reference": "note"}


def measures_of(datasets: Sequence[FileDataset], noise_hu: Decimal | None) -> dict[str, Decimal]:
    """Derived measures of one series by their charter names; what cannot be taken is left out.

    Units are in the names. `slice_distance_mm` is the largest of the median distances of the stacks in the series,
    `gaps` and `duplicate_positions` are sums over them (PS3.3 C.7.6.2: positions, never Slice Thickness).
    """
    headers = slices_of(datasets)
    found: dict[str, Decimal] = {"slices": Decimal(len(headers))}
    if headers:
        found["rows"] = Decimal(min(header.rows for header in headers))
        found["columns"] = Decimal(min(header.columns for header in headers))
    _in_plane(headers, found)
    if headers and all(header.position is not None and header.normal is not None for header in headers):
        _along(headers, found)
    thickness = [value for dataset in datasets if (value := _number(dataset.get("SliceThickness"))) is not None]
    if thickness:
        found["slice_thickness_mm"] = _text(max(thickness))
    if noise_hu is not None:
        found["noise_hu"] = noise_hu
    _injection(datasets, found)
    return found


def _in_plane(headers: Sequence[SliceHeader], found: dict[str, Decimal]) -> None:
    spacings = [header.pixel_mm for header in headers if header.pixel_mm is not None]
    if spacings and len(spacings) == len(headers):
        found["pixel_spacing_mm"] = _text(max(max(pair) for pair in spacings))
        found["in_plane_coverage_mm"] = _text(min(
            min(header.rows * header.pixel_mm[0], header.columns * header.pixel_mm[1])
            for header in headers if header.pixel_mm is not None
        ))


def _along(headers: Sequence[SliceHeader], found: dict[str, Decimal]) -> None:
    distances: list[float] = []
    coverages: list[float] = []
    gaps = duplicates = 0
    for stack in split_stacks(headers).values():
        normal = np.asarray(stack[0].normal)
        steps = np.diff(np.sort(np.asarray([header.position for header in stack], dtype=np.float64) @ normal))
        real = steps[steps > float(DEFAULT_TOLERANCES.duplicate_mm)]
        duplicates += int(steps.size - real.size)
        if real.size:
            typical = float(np.median(real))
            distances.append(typical)
            coverages.append(float(steps.sum()) + typical)
            wide = real[real > typical * float(DEFAULT_TOLERANCES.gap_factor)]
            gaps += sum(max(1, round(float(step) / typical) - 1) for step in wide)
    found["gaps"], found["duplicate_positions"] = Decimal(gaps), Decimal(duplicates)
    if distances:
        found["slice_distance_mm"] = _text(max(distances))
        found["axial_coverage_mm"] = _text(min(coverages))
    declared = max(abs(header.tilt_deg) for header in headers)
    found["gantry_tilt_degrees"] = _text(max(declared, shear_deg(headers)), 2)


def _injection(datasets: Sequence[FileDataset], found: dict[str, Decimal]) -> None:
    first = datasets[0] if datasets else Dataset()
    if first.get("Modality") != "PT":
        return
    sources = first.get("RadiopharmaceuticalInformationSequence") or []
    dose = _number(sources[0].get("RadionuclideTotalDose")) if sources else None
    if dose is not None:
        found["injected_activity_mbq"] = _text(dose / 1e6, 1)
    try:
        found["minutes_after_injection"] = _text(uptake_s(first) / 60, 1)
    except ScaleUnknown:
        return


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: float, places: int = 3) -> Decimal:
    return Decimal(f"{value:.{places}f}")


def noise_hu(dataset: FileDataset) -> Decimal | None:
    """Noise of a CT slice in HU: the median absolute response to a mask that cancels plane and linear structure,
    over soft tissue, scaled to a standard deviation; None where the slice shows too little soft tissue.

    Source: J. Immerkaer, Fast noise variance estimation, 1996; the median in place of the mean keeps edges out.
    """
    if not _is_finite(dataset):
        return None
    try:
        slope, intercept = rescale(dataset, 0)
        pixels = decoded_pixels(dataset)
    except CountersignError:
        return None
    if pixels.ndim != 2 or min(pixels.shape) < 8:
        return None
    values: NDArray[np.float64] = pixels.astype(np.float64) * slope + intercept
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    response = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    inner = values[1:-1, 1:-1]
    tissue = (inner > SOFT_TISSUE_HU[0]) & (inner < SOFT_TISSUE_HU[1])
    if int(tissue.sum()) < 200:
        return None
    # The mask's weights have a sum of squares of 36; 0.6745 is the median absolute deviation of a normal variable.
    return Decimal(f"{float(np.median(np.abs(response[tissue]))) / (6 * 0.6745):.1f}")


def middle(datasets: Sequence[FileDataset]) -> FileDataset:
    """The slice in the middle of the stack by position."""
    headers = slices_of(datasets)
    if len(headers) == len(datasets) and all(header.position and header.normal for header in headers):
        normal = np.asarray(headers[0].normal)
        heights = np.asarray([header.position for header in headers], dtype=np.float64) @ normal
        return datasets[int(np.argsort(heights, kind="stable")[len(datasets) // 2])]
    return datasets[len(datasets) // 2]


@dataclass(frozen=True, slots=True)
class Continuity:
    """How far a slice may differ from the mean of its neighbours, in multiples of what is usual in its series.

    Real and generated stacks without motion reach 1.3 to 2.9 (thorax, head, thigh, PET, MR); a band of slices moved
    by a few pixels reaches 6 and more. A finding of this rule asks for a human look and bars nothing by itself.
    """

    limit: Decimal = Decimal("4.0")
    least_slices: int = 8


def continuity_finding(datasets: Sequence[FileDataset], limits: Continuity = Continuity()) -> Finding | None:
    """Whether some slice breaks away from its neighbours, as after movement; None where there is no plain stack."""
    headers = slices_of(datasets)
    plain = len(headers) == len(datasets) and len(headers) >= limits.least_slices and len(split_stacks(headers)) == 1
    if not plain or any(header.position is None or header.normal is None for header in headers):
        return None
    if len({(header.rows, header.columns) for header in headers}) != 1:
        return None
    heights = np.asarray([header.position for header in headers], dtype=np.float64) @ np.asarray(headers[0].normal)
    order = np.argsort(heights, kind="stable")
    try:
        planes = [_plane(datasets[int(index)]) for index in order]
    except CountersignError:
        return None
    if any(plane.ndim != 2 for plane in planes):
        return None
    apart = [
        float(np.abs(planes[here] - (planes[here - 1] + planes[here + 1]) / 2).mean())
        for here in range(1, len(planes) - 1)
    ]
    usual = float(np.median(apart))
    worst = int(np.argmax(apart))
    ratio = apart[worst] / usual if usual > 0 else 1.0
    where = f"slice at {float(heights[order[worst + 1]]):.1f} mm"
    return Finding("quality.continuity", f"at most {limits.limit} times the usual step between slices",
                   f"{ratio:.1f} times", where, Outcome.MET if ratio <= float(limits.limit) else Outcome.NOT_MET)


def _plane(dataset: FileDataset) -> NDArray[np.float32]:
    slope, intercept = rescale(dataset, 0)
    values: NDArray[np.float32] = decoded_pixels(dataset).astype(np.float32) * np.float32(slope) + np.float32(intercept)
    # Air and metal would drown what happens in tissue; other modalities keep their range.
    return np.clip(values, -1000, 1000) if dataset.get("Modality") == "CT" else values


def tag_values(datasets: Sequence[Dataset], tag: str) -> list[str]:
    """Distinct values of an attribute such as "(0018,0060)" over all instances; "" where one does not state it."""
    key = Tag(int(tag[1:5], 16), int(tag[6:10], 16))
    found: dict[str, None] = {}
    for dataset in datasets:
        element: Any = dataset.get(key)
        value: Any = None if element is None else element.value
        many: list[Any] = list(value) if element is not None and element.VM > 1 else [value]
        text = "\\".join("" if part is None else str(part) for part in many)
        found.setdefault(text, None)
    return list(found)


def check_series(
    datasets: Sequence[FileDataset], rules: Sequence[AcquisitionRule], noise: Decimal | None
) -> list[CheckedRule]:
    """Charter rules, geometry and completeness of one de-identified series, met ones too."""
    measures = measures_of(datasets, noise)
    tags = {rule.tag: tag_values(datasets, rule.tag) for rule in rules if rule.tag is not None}
    lines = [judge(rule, measures, tags) for rule in rules]
    lines += [
        checked(finding, _GEOMETRY_SEVERITY.get(finding.rule, "query")) for finding in check(slices_of(datasets))
    ]
    finite = _finite(datasets)
    moved = None if finite.bars else continuity_finding(datasets)
    lines += [checked(moved, "query")] if moved is not None else []
    lines += [checked(finite, "reject"), checked(_lossless(datasets), "query"),
              checked(_declared_count(datasets), "query"), checked(_numbers(datasets), "note")]
    return lines


def _finite(datasets: Sequence[FileDataset]) -> Finding:
    """Values that are no numbers bar a series: no person and no model can measure on them."""
    spoilt = sum(not _is_finite(dataset) for dataset in datasets)
    return Finding("values.finite", "finite numbers", f"{spoilt} of {len(datasets)} hold others" if spoilt else
                   "finite numbers", "pixels and their rescale", Outcome.NOT_MET if spoilt else Outcome.MET)


def _is_finite(dataset: FileDataset) -> bool:
    try:
        return finite_values(dataset)
    except (CountersignError, TypeError, ValueError):  # a rescale that is no single number is none
        return False


def _lossless(datasets: Sequence[Dataset]) -> Finding:
    lossy = sum(str(dataset.get("LossyImageCompression") or "00") == "01" for dataset in datasets)
    return Finding("acquisition.lossless", "no lossy compression", f"{lossy} of {len(datasets)} lossy", "(0028,2110)",
                   Outcome.NOT_MET if lossy else Outcome.MET)


def _declared_count(datasets: Sequence[Dataset]) -> Finding:
    """The number of slices that the scanner says it made, where it says so."""
    count = len(slices_of(datasets))
    for keyword, tag in (("NumberOfSlices", "(0054,0081)"), ("ImagesInAcquisition", "(0020,1002)")):
        stated = {int(number) for dataset in datasets if (number := _number(dataset.get(keyword))) is not None}
        if len(stated) == 1:
            expected = next(iter(stated))
            return Finding("completeness.count", f"{expected} slices", f"{count} slices", tag,
                           Outcome.MET if count >= expected else Outcome.NOT_MET)
    return Finding("completeness.count", "as the scanner states", f"{count} slices, not stated", "series", Outcome.MET)


def _numbers(datasets: Sequence[Dataset]) -> Finding:
    stated = [_number(dataset.get("InstanceNumber")) for dataset in datasets]
    numbers = sorted(int(number) for number in stated if number is not None)
    lacking = sum(later - earlier - 1 for earlier, later in pairwise(numbers) if later > earlier)
    return Finding("completeness.numbers", "instance numbers without a gap", f"{lacking} numbers left out",
                   "(0020,0013)", Outcome.MET if lacking == 0 else Outcome.NOT_MET)


def extent_mm(datasets: Sequence[Dataset]) -> Extent | None:
    """Frame of reference, lowest and highest slice along the normal, and step, in millimetres; None without planes."""
    headers = slices_of(datasets)
    if len(headers) < 2 or any(header.position is None or header.normal is None for header in headers):
        return None
    if len({header.frame_of_reference for header in headers}) != 1 or not headers[0].frame_of_reference:
        return None
    normal = np.asarray(headers[0].normal)
    heights = np.sort(np.asarray([header.position for header in headers], dtype=np.float64) @ normal)
    steps = np.diff(heights)
    real = steps[steps > float(DEFAULT_TOLERANCES.duplicate_mm)]
    step = float(np.median(real)) if real.size else 0.0
    return headers[0].frame_of_reference, float(heights[0]), float(heights[-1]), step


def coverage_finding(own: Extent, others: Sequence[Extent]) -> Finding | None:
    """Whether a series covers what the other series of its frame of reference cover, within two slices; None alone."""
    same = [other for other in others if other[0] == own[0]]
    if not same:
        return None
    low, high = min(other[1] for other in same), max(other[2] for other in same)
    slack = 2 * max(own[3], *(other[3] for other in same))
    lacking = max(0.0, own[1] - low - slack) + max(0.0, high - own[2] - slack)
    return Finding("coverage.together", f"{low:.1f} to {high:.1f} mm, as the other series",
                   f"{own[1]:.1f} to {own[2]:.1f} mm", "slice positions",
                   Outcome.NOT_MET if lacking > 0 else Outcome.MET)

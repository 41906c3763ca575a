"""Where the slices of a series lie, from headers alone; what makes them unfit for measuring is said as findings.

Axes are those of DICOM: millimetres in the patient's LPS frame (PS3.3 C.7.6.2). The distance between slices is the
distance of their positions; Slice Thickness is nominal, may overlap, and is never used for it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from core.dicom.findings import Finding, Outcome
from core.errors import UnusableInput

Vector = tuple[float, float, float]


class GeometryUnusable(UnusableInput):
    """The slices do not make a volume in which a length or a volume can be measured."""

    code = "geometry-unusable"
    next_step = "Ask the site for the complete original series; it cannot be measured as it is."


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far slices may differ and still count as the same. Defaults; a charter may state its own."""

    orientation: Decimal = Decimal("0.001")  # largest difference of a direction cosine
    duplicate_mm: Decimal = Decimal("0.01")
    step_share: Decimal = Decimal("0.02")  # of the median step
    step_mm: Decimal = Decimal("0.05")
    gap_factor: Decimal = Decimal("1.5")  # a step above this many median steps is a gap
    tilt_deg: Decimal = Decimal("0.5")
    pixel_mm: Decimal = Decimal("0.001")
    least_slices: int = 3


DEFAULT_TOLERANCES: Final = Tolerances()


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """One frame: what the geometry needs to know of it. `stack` names the contrast it belongs to (echo, b-value)."""

    index: int
    frame: int
    instance: str
    position: Vector | None
    row: Vector | None
    column: Vector | None
    rows: int
    columns: int
    pixel_mm: tuple[float, float] | None
    frame_of_reference: str
    tilt_deg: float
    stack: tuple[str, ...]

    @property
    def normal(self) -> Vector | None:
        """Unit vector across the slice; None where the slice does not say how it lies."""
        if self.row is None or self.column is None:
            return None
        across = np.cross(self.row, self.column)
        length = float(np.linalg.norm(across))
        return None if length < 1e-6 else _vector(across / length)


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """A regular grid; `frame_of_reference` is empty where its slices name several.

    `order` gives, slice by slice along the normal, the index into the headers that it was made from.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin: Vector
    row: Vector
    column: Vector
    normal: Vector
    frame_of_reference: str
    order: tuple[int, ...]

    def to_patient(self, voxel: tuple[float, float, float]) -> Vector:
        """LPS millimetres of a (slice, row, column) index; the centre of the first voxel is the origin."""
        along = (
            np.asarray(self.normal) * voxel[0] * self.spacing_mm[0]
            + np.asarray(self.column) * voxel[1] * self.spacing_mm[1]
            + np.asarray(self.row) * voxel[2] * self.spacing_mm[2]
        )
        return _vector(np.asarray(self.origin) + along)

    def to_voxel(self, point: Vector) -> tuple[float, float, float]:
        """The (slice, row, column) index, fractional, of a point in LPS millimetres."""
        offset = np.asarray(point) - np.asarray(self.origin)
        axes = (self.normal, self.column, self.row)
        found = [float(offset @ np.asarray(axis)) / step for axis, step in zip(axes, self.spacing_mm, strict=True)]
        return found[0], found[1], found[2]


def slices_of(datasets: Sequence[Dataset]) -> list[SliceHeader]:
    """One header per frame, of classic and enhanced multi-frame objects alike, in the order given."""
    found: list[SliceHeader] = []
    for dataset in datasets:
        frames = _per_frame(dataset)
        for number, groups in enumerate(frames):
            found.append(_slice(len(found), number, dataset, groups))
    return found


def _per_frame(dataset: Dataset) -> list[list[Dataset]]:
    """For each frame the data sets in which to look an attribute up, nearest first."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    per_frame = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if per_frame:
        return [[frame, *shared, dataset] for frame in per_frame]
    return [[*shared, dataset]] * max(1, int(dataset.get("NumberOfFrames") or 1))


def _look_up(groups: Sequence[Dataset], keyword: str, macro: str | None = None) -> Any:
    for group in groups:
        if macro is not None and group.get(macro):
            value = group[macro].value[0].get(keyword)
            if value is not None:
                return value
        value = group.get(keyword)
        if value is not None:
            return value
    return None


def _floats(value: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _vector(array: Iterable[float]) -> Vector:
    x, y, z = (float(part) for part in array)
    return x, y, z


def _slice(index: int, number: int, dataset: Dataset, groups: list[Dataset]) -> SliceHeader:
    position = _floats(_look_up(groups, "ImagePositionPatient", "PlanePositionSequence"), 3)
    orientation = _floats(_look_up(groups, "ImageOrientationPatient", "PlaneOrientationSequence"), 6)
    pixel = _floats(_look_up(groups, "PixelSpacing", "PixelMeasuresSequence"), 2)
    tilt = _floats([_look_up(groups, "GantryDetectorTilt") or 0], 1)
    contrast = (
        ("echo time", _look_up(groups, "EchoTime") or _look_up(groups, "EffectiveEchoTime", "MREchoSequence")),
        ("b-value", _look_up(groups, "DiffusionBValue", "MRDiffusionSequence")),
        ("image type", "\\".join(str(part) for part in (dataset.get("ImageType") or [])[2:3])),
    )
    return SliceHeader(
        index=index,
        frame=number,
        instance=str(dataset.get("SOPInstanceUID", "")),
        position=None if position is None else _vector(position),
        row=None if orientation is None else _vector(orientation[:3]),
        column=None if orientation is None else _vector(orientation[3:]),
        rows=int(dataset.get("Rows") or 0),
        columns=int(dataset.get("Columns") or 0),
        pixel_mm=None if pixel is None else (pixel[0], pixel[1]),
        frame_of_reference=str(dataset.get("FrameOfReferenceUID", "")),
        tilt_deg=0.0 if tilt is None else tilt[0],
        stack=tuple(f"{name} {value}" for name, value in contrast if value not in (None, "")),
    )


def mm(value: float, places: int = 2) -> str:
    """A length as the record holds it."""
    return f"{value:.{places}f} mm"


def check(headers: Sequence[SliceHeader], limits: Tolerances = DEFAULT_TOLERANCES) -> list[Finding]:
    """Every geometric rule with its outcome, met ones too; an object without planes gives one finding."""
    if any(header.position is None or header.normal is None for header in headers) or not headers:
        missing = sum(header.position is None or header.normal is None for header in headers)
        return [_finding("geometry.planes", "every slice states position and orientation",
                         f"{missing} of {len(headers)} do not", "series", False)]
    findings = [
        _finding("geometry.slices", f"at least {limits.least_slices} slices", f"{len(headers)} slices", "series",
                 len(headers) >= limits.least_slices),
        _frame_of_reference(headers),
        _one_value("geometry.matrix", headers, lambda h: f"{h.rows} x {h.columns}", "matrix sizes"),
        _one_value("geometry.stack", headers, lambda h: ", ".join(h.stack), "contrasts in one series"),
        _pixel_spacing(headers, limits),
        _orientation(headers, limits),
        _right_angles(headers, limits),
    ]
    findings.append(_tilt(headers, limits))
    if len(headers) > 1 and not any(f.bars for f in findings if f.rule in ("geometry.orientation", "geometry.stack")):
        findings.extend(_steps(headers, limits))
    return findings


def _finding(rule: str, required: str, measured: str, where: str, met: bool) -> Finding:
    return Finding(rule, required, measured, where, Outcome.MET if met else Outcome.NOT_MET)


def _frame_of_reference(headers: Sequence[SliceHeader]) -> Finding:
    """Several frames in one series are a sloppy de-identification more often than two scans: a warning, and the
    series then shares its frame with no other. The UIDs name a person's study and are counted, never shown."""
    frames = len({header.frame_of_reference for header in headers})
    return Finding("geometry.frame_of_reference", "one in the series", f"{frames} frames of reference", "series",
                   Outcome.MET if frames == 1 else Outcome.WARNING)


def _one_value(rule: str, headers: Sequence[SliceHeader], of: Callable[[SliceHeader], str], noun: str) -> Finding:
    counts = Counter(of(header) for header in headers)
    if len(counts) == 1:
        only = next(iter(counts))
        return _finding(rule, "one in the series", only or "1", "series", True)
    common = counts.most_common(1)[0][0]
    odd = next(header for header in headers if of(header) != common)
    measured = f"{len(counts)} {noun}: " + "; ".join(f"{name} ({count})" for name, count in sorted(counts.items())[:4])
    return _finding(rule, "one in the series", measured, f"slice {odd.index + 1}", False)


def _pixel_spacing(headers: Sequence[SliceHeader], limits: Tolerances) -> Finding:
    rule, required = "geometry.pixel_spacing", "one, above zero"
    for header in headers:
        if header.pixel_mm is None or min(header.pixel_mm) <= 0:
            return _finding(rule, required, "missing or zero", f"slice {header.index + 1}", False)
    values = np.asarray([header.pixel_mm for header in headers])
    spread = np.abs(values - values[0]).max(axis=1)
    worst = int(spread.argmax())
    text = " x ".join(f"{part:.3f}" for part in values[worst]) + " mm"
    return _finding(rule, required, text, "series" if spread[worst] <= float(limits.pixel_mm) else f"slice {worst + 1}",
                    bool(spread[worst] <= float(limits.pixel_mm)))


def _cosines(headers: Sequence[SliceHeader]) -> NDArray[np.float64]:
    return np.asarray([(*(h.row or ()), *(h.column or ())) for h in headers], dtype=np.float64)


def _orientation(headers: Sequence[SliceHeader], limits: Tolerances) -> Finding:
    cosines = _cosines(headers)
    spread = np.abs(cosines - np.median(cosines, axis=0)).max(axis=1)
    worst = int(spread.argmax())
    met = bool(spread[worst] <= float(limits.orientation))
    where = "series" if met else f"slice {worst + 1}"
    return _finding("geometry.orientation", f"direction cosines within {limits.orientation}",
                    f"largest difference {spread[worst]:.4f}", where, met)


def _right_angles(headers: Sequence[SliceHeader], limits: Tolerances) -> Finding:
    cosines = _cosines(headers)
    dots = np.abs((cosines[:, :3] * cosines[:, 3:]).sum(axis=1))
    lengths = np.abs(np.linalg.norm(cosines.reshape(-1, 2, 3), axis=2) - 1).max(axis=1)
    off = np.maximum(dots, lengths)
    worst = int(off.argmax())
    met = bool(off[worst] <= 10 * float(limits.orientation))
    return _finding("geometry.right_angles", "rows and columns at right angles, of length one",
                    f"off by {off[worst]:.4f}", "series" if met else f"slice {worst + 1}", met)


def _along(headers: Sequence[SliceHeader]) -> NDArray[np.float64]:
    normal = np.asarray(headers[0].normal)
    heights: NDArray[np.float64] = np.asarray([header.position for header in headers], dtype=np.float64) @ normal
    return heights


def shear_deg(headers: Sequence[SliceHeader]) -> float:
    """Angle in degrees between the line through the slice origins and the normal of the slices; 0.0 for one slice."""
    where = np.asarray([header.position for header in headers], dtype=np.float64)
    heights = _along(headers)
    line = where[int(heights.argmax())] - where[int(heights.argmin())]
    length = float(np.linalg.norm(line))
    if length < 1e-6:
        return 0.0
    share = min(1.0, float(abs(line @ np.asarray(headers[0].normal))) / length)
    return math.degrees(math.acos(share))


def _tilt(headers: Sequence[SliceHeader], limits: Tolerances) -> Finding:
    declared = max((header.tilt_deg for header in headers), key=abs)
    sheared = shear_deg(headers)
    met = abs(declared) <= limits.tilt_deg and sheared <= limits.tilt_deg
    return _finding("geometry.tilt", f"at most {limits.tilt_deg} deg",
                    f"declared {declared:.1f} deg, positions {sheared:.1f} deg", "series", met)


def _steps(headers: Sequence[SliceHeader], limits: Tolerances) -> list[Finding]:
    heights = np.sort(_along(headers))
    steps = np.diff(heights)
    doubles = int((steps <= float(limits.duplicate_mm)).sum())
    where = "series" if not doubles else mm(float(heights[int(steps.argmin())]))
    findings = [_finding("geometry.duplicates", "no two slices at one position",
                         f"{doubles} at the position of another", where, doubles == 0)]
    real = steps[steps > float(limits.duplicate_mm)]
    if real.size == 0:
        return findings
    typical = float(np.median(real))
    gaps = [(start, step) for start, step in zip(heights, steps, strict=False)
            if step > typical * float(limits.gap_factor)]
    missing = sum(max(1, round(step / typical) - 1) for _, step in gaps)
    span = "; ".join(f"{start:.1f} to {start + step:.1f} mm" for start, step in gaps[:3]) or "series"
    told = f"{missing} missing of {len(headers) + missing}"
    findings.append(_finding("geometry.gaps", "no gap", told, span, not gaps))
    allowed = max(typical * float(limits.step_share), float(limits.step_mm))
    off = float(np.abs(real - typical).max())
    worst = heights[int(np.abs(np.where(steps > float(limits.duplicate_mm), steps, typical) - typical).argmax())]
    findings.append(_finding("geometry.regular", f"steps within {mm(allowed)} of their median",
                             f"{mm(float(real.min()))} to {mm(float(real.max()))}, median {mm(typical)}",
                             "series" if off <= allowed else mm(float(worst)), off <= allowed))
    return findings


def volume_geometry(headers: Sequence[SliceHeader], limits: Tolerances = DEFAULT_TOLERANCES) -> VolumeGeometry:
    """The regular grid that the slices make.

    Raises:
        GeometryUnusable: naming every rule that is not met; nothing is resampled or filled in silently.
    """
    barring = [finding for finding in check(headers, limits) if finding.bars]
    if barring:
        told = "; ".join(f"{finding.rule}: {finding.measured}, required {finding.required}" for finding in barring)
        raise GeometryUnusable(f"The slices make no regular volume: {told}.")
    heights = _along(headers)
    order = tuple(int(index) for index in np.argsort(heights, kind="stable"))
    first = headers[order[0]]
    if first.position is None or first.row is None or first.column is None or first.normal is None:
        raise GeometryUnusable("A slice states no position or orientation.")
    if first.pixel_mm is None:
        raise GeometryUnusable("A slice states no Pixel Spacing.")
    step = float((heights.max() - heights.min()) / (len(headers) - 1))
    return VolumeGeometry(
        shape=(len(headers), first.rows, first.columns),
        spacing_mm=(step, first.pixel_mm[0], first.pixel_mm[1]),
        origin=first.position,
        row=first.row,
        column=first.column,
        normal=first.normal,
        frame_of_reference=first.frame_of_reference if len({h.frame_of_reference for h in headers}) == 1 else "",
        order=order,
    )


def split_stacks(headers: Sequence[SliceHeader]) -> dict[tuple[str, ...], list[SliceHeader]]:
    """The contrasts that one series mixes, each with its slices: proton density and T2, several b-values."""
    stacks: dict[tuple[str, ...], list[SliceHeader]] = {}
    for header in headers:
        stacks.setdefault(header.stack, []).append(header)
    return stacks

"""A series as one array: rescaled, in slice order, with its geometry; PET in SUV or refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from core.dicom.digest import decoded_pixels
from core.dicom.geometry import (
    DEFAULT_TOLERANCES,
    GeometryUnusable,
    Tolerances,
    VolumeGeometry,
    slices_of,
    volume_geometry,
)
from core.errors import UnusableInput


@dataclass(frozen=True, slots=True)
class Volume:
    """Values of shape (slices, rows, columns), float32, in `unit`: HU, {SUVbw}g/ml, or 1 for arbitrary units.

    `instances` are the SOP Instance UIDs in slice order (one for all slices of a multi-frame object); `scale_rule`
    says how values came to their unit.
    """

    values: NDArray[np.float32]
    geometry: VolumeGeometry
    unit: str
    modality: str
    series: str
    instances: tuple[str, ...]
    scale_rule: str


class ScaleUnknown(UnusableInput):
    """The header does not say what is needed to bring stored values to a unit."""

    code = "scale-unknown"
    next_step = "Ask the site for the original series with its radiopharmaceutical and patient weight."


class ValuesNotFinite(UnusableInput):
    """Pixels, their rescale or their place are no finite numbers, or become none."""

    code = "values-not-finite"
    next_step = "Ask the site for the original series; this one was changed by software that wrote no numbers into it."


def load_volume(datasets: Sequence[FileDataset], limits: Tolerances = DEFAULT_TOLERANCES) -> Volume:
    """One series (or one multi-frame object) as a regular volume.

    Raises:
        GeometryUnusable: the slices make no regular grid, or come from several series.
        ScaleUnknown: PET units that cannot be brought to SUV.
        ValuesNotFinite: a value that is no number. What comes back holds finite numbers alone: a model that is given
            others is refused, and its gates close (models_registry/loading.py).
        UnreadableDicom: pixels that no decoder reads.

    Source: PS3.3 C.7.6.2, C.11.1 (Modality LUT), C.8.9 (PET).
    """
    if len({str(dataset.SeriesInstanceUID) for dataset in datasets}) != 1:
        raise GeometryUnusable("The slices come from several series.")
    headers = slices_of(datasets)
    geometry = volume_geometry(headers, limits)
    planes: list[NDArray[np.float32]] = []
    instances: list[str] = []
    for dataset in datasets:
        stored = decoded_pixels(dataset)
        if int(dataset.get("SamplesPerPixel") or 1) != 1:
            raise GeometryUnusable("The images are in colour; a volume needs one value per voxel.")
        frames = stored[np.newaxis] if stored.ndim == 2 else stored
        for number, plane in enumerate(frames):
            slope, intercept = rescale(dataset, number)
            with np.errstate(over="ignore", invalid="ignore"):  # what came of it is asked below
                planes.append((plane * np.float64(slope) + np.float64(intercept)).astype(np.float32))
            instances.append(str(dataset.SOPInstanceUID))
    values = np.stack([planes[index] for index in geometry.order])
    modality = str(datasets[0].get("Modality", ""))
    factor, unit, rule = _scale(datasets, modality)
    if factor != 1.0:
        with np.errstate(over="ignore", invalid="ignore"):
            values = (values * np.float32(factor)).astype(np.float32)
    if not (np.isfinite(values).all() and np.isfinite((*geometry.origin, *geometry.spacing_mm)).all()):
        raise ValuesNotFinite("The series holds values that are no finite numbers, or becomes such by its rescale.")
    ordered = tuple(instances[index] for index in geometry.order)
    return Volume(values, geometry, unit, modality, str(datasets[0].SeriesInstanceUID), ordered, rule)


def _states_rescale(dataset: Dataset) -> bool:
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    return all(any("RescaleSlope" in group for group in _scales(dataset, frame))
               for frame in range(max(len(frames), 1)))


def rescale(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Rescale Slope and Intercept of a frame; 1 and 0 where the object states none (PS3.3 C.11.1)."""
    for group in _scales(dataset, frame):
        if group.get("RescaleSlope") is not None:
            return float(group.RescaleSlope), float(group.get("RescaleIntercept") or 0)
    return 1.0, 0.0


def finite_values(dataset: FileDataset) -> bool:
    """Whether every value of an object is a finite number once it is rescaled; integers are not decoded for it.

    Raises UnreadableDicom where float pixels cannot be decoded.
    """
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        largest = float(np.abs(decoded_pixels(dataset).astype(np.float64)).max())  # NaN where one is
    else:
        largest = float(2 ** int(dataset.get("BitsAllocated") or 16))
    frames = max(len(dataset.get("PerFrameFunctionalGroupsSequence") or []), 1)
    scaled = (abs(slope) * largest + abs(intercept)
              for slope, intercept in (rescale(dataset, frame) for frame in range(frames)))
    return all(value <= float(np.finfo(np.float32).max) for value in scaled)  # NaN is not


def _scales(dataset: Dataset, frame: int) -> list[Dataset]:
    """Where a frame's rescale may stand, the nearest first."""
    groups: list[Dataset] = []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if frame < len(per_frame):
        groups.extend(per_frame[frame].get("PixelValueTransformationSequence") or [])
    for shared in dataset.get("SharedFunctionalGroupsSequence") or []:
        groups.extend(shared.get("PixelValueTransformationSequence") or [])
    return [*groups, dataset]


def _scale(datasets: Sequence[Dataset], modality: str) -> tuple[float, str, str]:
    if modality == "CT":
        # Type 1 in a CT image (PS3.3 C.8.2.1): without them stored values are no HU, however much they look like it.
        kinds = {str(dataset.get("RescaleType") or "HU") for dataset in datasets}
        if not all(_states_rescale(dataset) for dataset in datasets) or kinds != {"HU"}:
            raise ScaleUnknown("The CT states no Rescale Slope and Intercept to HU: its values have no unit.")
        return 1.0, "HU", "Rescale Slope and Intercept"
    if modality != "PT":
        return 1.0, "1", "Rescale Slope and Intercept; arbitrary units"
    factors = {_suv_factor(dataset) for dataset in datasets}
    if len({rule for _, rule in factors}) != 1 or not _close([factor for factor, _ in factors]):
        raise ScaleUnknown("The slices of the PET series would be scaled to SUV in different ways.")
    factor, rule = next(iter(sorted(factors)))
    return factor, "{SUVbw}g/ml", rule


def _close(factors: Sequence[float]) -> bool:
    return max(factors) - min(factors) <= 1e-6 * max(factors)


_SUV_TYPES: Final = ("", "BW")


def _suv_factor(dataset: Dataset) -> tuple[float, str]:
    """Factor from stored (rescaled) values to SUV by body weight, and the rule used.

    Rules: GML with SUV Type BW or unstated is taken as it is. BQML with decay corrected to START or ADMIN is divided
    by the dose, decayed to that instant, per gram of body weight. Everything else is refused.

    Source: PS3.3 C.8.9.1; the vendor-neutral SUV calculation of the QIBA FDG-PET profile.
    """
    units = str(dataset.get("Units") or "")
    if units == "GML":
        kind = str(dataset.get("SUVType") or "")
        if kind not in _SUV_TYPES:
            raise ScaleUnknown(f"The PET series is in SUV of type {kind}; body weight (BW) is needed.")
        return 1.0, "stored as SUV (Units GML)"
    if units != "BQML":
        raise ScaleUnknown(f"PET Units (0054,1001) are {units or 'missing'}; GML or BQML is needed.")
    corrected = {str(part) for part in dataset.get("CorrectedImage") or []}
    lacking = {"ATTN", "DECY"} - corrected
    if lacking:
        raise ScaleUnknown(f"Corrected Image (0028,0051) lacks {', '.join(sorted(lacking))}.")
    weight_g = 1000 * _positive(dataset, "PatientWeight")
    sources = dataset.get("RadiopharmaceuticalInformationSequence") or []
    if len(sources) != 1:
        raise ScaleUnknown(f"{len(sources)} radiopharmaceuticals are stated; one is needed.")
    dose_bq = _positive(sources[0], "RadionuclideTotalDose")
    decay = str(dataset.get("DecayCorrection") or "")
    if decay == "ADMIN":
        return weight_g / dose_bq, "SUVbw from Bq/ml, decay corrected to injection"
    if decay != "START":
        raise ScaleUnknown(f"Decay Correction (0054,1102) is {decay or 'missing'}; START or ADMIN is needed.")
    half_life_s = _positive(sources[0], "RadionuclideHalfLife")
    waited_s = uptake_s(dataset)
    if not 0 <= waited_s <= 24 * 3600:
        raise ScaleUnknown("Injection and scan lie apart by less than nothing or more than a day.")
    return (weight_g / (dose_bq * math.exp2(-waited_s / half_life_s)),
            "SUVbw from Bq/ml, decay corrected to the start of the series")


def uptake_s(dataset: Dataset) -> float:
    """Seconds from injection to the start of the PET series. Raises ScaleUnknown where either is not stated."""
    sources = dataset.get("RadiopharmaceuticalInformationSequence") or []
    if not sources:
        raise ScaleUnknown("No radiopharmaceutical is stated.")
    return (_scan_start(dataset) - _injection(dataset, sources[0])).total_seconds()


def _positive(dataset: Dataset, keyword: str) -> float:
    value = dataset.get(keyword)
    try:
        number = float(value) if value is not None else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not number > 0 or not math.isfinite(number):
        raise ScaleUnknown(f"{keyword} is missing or not above zero; SUV cannot be computed.")
    return number


def _moment(date: Any, time: Any) -> datetime:
    text = f"{date or ''}{str(time or '').split('.')[0]}"
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - scanner's wall clock; only differences are used
    except ValueError:
        raise ScaleUnknown("Date or time of injection or scan is missing or unreadable.") from None


def _scan_start(dataset: Dataset) -> datetime:
    """Series Date and Time, unless a later reconstruction overwrote them: then the earliest trustworthy is unknown."""
    series = _moment(dataset.get("SeriesDate"), dataset.get("SeriesTime"))
    acquired = _moment(dataset.get("AcquisitionDate"), dataset.get("AcquisitionTime"))
    if series > acquired:
        raise ScaleUnknown("Series Time lies after Acquisition Time: the instant of decay correction is not known.")
    return series


def _injection(dataset: Dataset, source: Dataset) -> datetime:
    whole = str(source.get("RadiopharmaceuticalStartDateTime") or "")
    if len(whole) >= 14:
        return _moment(whole[:8], whole[8:14])
    start = _moment(dataset.get("SeriesDate"), source.get("RadiopharmaceuticalStartTime"))
    # A time alone after the scan's belongs to the day before: the injection comes first.
    return start - timedelta(days=1) if start > _scan_start(dataset) else start

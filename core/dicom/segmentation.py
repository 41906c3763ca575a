"""Masks to BINARY DICOM SEG and back. A segment carries its lesion's tracking UID and the lock that drew it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from core.dicom import codes
from core.dicom.digest import decoded_pixels
from core.dicom.geometry import VolumeGeometry, slices_of, volume_geometry
from core.dicom.result import MANUFACTURER, Algorithm, Instance, ResultUnusable, headers_only, one_study, settle
from core.ids import derived_uid

AlgorithmKind = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One lesion or structure: its mask of shape (slices, rows, columns) in the geometry of the sources, its names.

    `tracking_uid` is one per lesion for the whole trial. MANUAL means a person drew it: then no algorithm is named.
    `shows`: the code of an anatomical structure; None for a lesion.
    """

    label: str
    tracking_id: str
    tracking_uid: str
    mask: NDArray[np.bool_]
    kind: AlgorithmKind
    shows: Code | None = None


@dataclass(frozen=True, slots=True)
class ReadSegment:
    """A segment read back: its mask lies in the source's grid, True inside."""

    number: int
    label: str
    tracking_id: str
    tracking_uid: str
    kind: str
    algorithm: str
    algorithm_version: str
    parameters: tuple[str, ...]
    mask: NDArray[np.bool_]


def make_segmentation(
    segments: Sequence[Segment], sources: Sequence[Dataset], algorithm: Algorithm | None, instance: Instance
) -> Dataset:
    """A BINARY SEG of one or more lesions over one series.

    Args:
        segments: masks in slice order along the normal (`VolumeGeometry.order`), rows, columns.
        sources: the images of the series, in any order.
        algorithm: the locked model; None only where every segment is MANUAL.
        instance: identity and time of the new object.

    Raises:
        GeometryUnusable: the sources make no regular volume.
        ResultUnusable: a mask is empty or has another shape, or an algorithm is missing.

    Source: PS3.3 A.51, C.8.20.
    """
    if not segments:
        raise ResultUnusable("A segmentation without a segment says nothing.")
    one_study(sources)
    geometry = volume_geometry(slices_of(sources))
    if not geometry.frame_of_reference:
        raise ResultUnusable("The images name several frames of reference, or none; a segmentation lies in one.")
    if len(sources) != geometry.shape[0]:
        raise ResultUnusable("Multi-frame sources are not written as SEG sources yet.")
    for segment in segments:
        if segment.mask.shape != geometry.shape:
            told = f"the mask is {segment.mask.shape}, the volume {geometry.shape}"
            raise ResultUnusable(f"{segment.tracking_id}: {told}.")
        if not segment.mask.any():
            raise ResultUnusable(f"{segment.tracking_id}: the mask is empty; a lesion not found has no segment.")
        if segment.kind != "MANUAL" and algorithm is None:
            raise ResultUnusable(f"{segment.tracking_id}: a segment that was not drawn by hand names its algorithm.")
    ordered = [headers_only(sources[index]) for index in geometry.order]
    anatomy = all(segment.shows is not None for segment in segments)
    pixels = np.stack([segment.mask for segment in segments], axis=-1).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values of the source that are not ours to judge here
        made = hd.seg.Segmentation(
            source_images=ordered,
            pixel_array=pixels,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(n, segment, algorithm) for n, segment in enumerate(segments, 1)],
            series_instance_uid=instance.series_uid,
            series_number=instance.series_number,
            sop_instance_uid=instance.sop_uid,
            instance_number=instance.instance_number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.name if algorithm else "Countersign reading panel",
            software_versions=instance.software,
            device_serial_number=algorithm.lock_digest[:16] if algorithm else instance.software,
            content_label="STRUCTURES" if anatomy else "LESIONS",
            content_description="Structure segmentation" if anatomy else "Lesion segmentation",
            series_description=("AI structure segmentation" if anatomy else "AI lesion segmentation") if algorithm
            else "Lesion segmentation",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=True,
        )
    settle(made, instance)
    _settle_dimensions(made, derived_uid("dimensions", instance.sop_uid))
    return made


def _description(number: int, segment: Segment, algorithm: Algorithm | None) -> Any:
    identification = None
    if segment.kind != "MANUAL" and algorithm is not None:
        identification = hd.AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=algorithm.version,
            source=algorithm.manufacturer,
            parameters=_as_pairs(algorithm.parameters),
        )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:64],
        segmented_property_category=codes.ANATOMICAL_STRUCTURE if segment.shows else codes.MORPHOLOGICALLY_ABNORMAL,
        segmented_property_type=segment.shows or codes.LESION,
        algorithm_type=segment.kind,
        algorithm_identification=identification,
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.tracking_id,
    )


def _as_pairs(parameters: Sequence[str]) -> dict[str, str]:
    pairs = dict(part.split("=", 1) for part in parameters if "=" in part)
    if len(pairs) != len(parameters):
        raise ResultUnusable("Every algorithm parameter is written name=value, each name once.")
    return pairs


def _settle_dimensions(dataset: Dataset, uid: str) -> None:
    """The library draws a random Dimension Organization UID; it follows from the instance instead."""
    for item in [*dataset.get("DimensionOrganizationSequence", []), *dataset.get("DimensionIndexSequence", [])]:
        if "DimensionOrganizationUID" in item:
            item.DimensionOrganizationUID = uid


_PAIR: Final = re.compile(r"([A-Za-z0-9_\-]+)=([^,]*)")


def read_segmentation(dataset: FileDataset, sources: Sequence[Dataset]) -> list[ReadSegment]:
    """The segments of a BINARY SEG in the grid of its source series.

    Raises:
        ResultUnusable: another kind of object, or it refers to images that are not among `sources`.
        GeometryUnusable: the sources make no regular volume.
    """
    if dataset.SOPClassUID != SegmentationStorage or dataset.get("SegmentationType") != "BINARY":
        raise ResultUnusable("The object is no BINARY segmentation.")
    geometry = volume_geometry(slices_of(sources))
    slice_of = {str(sources[index].SOPInstanceUID): place for place, index in enumerate(geometry.order)}
    frames = decoded_pixels(dataset)
    frames = frames[np.newaxis] if frames.ndim == 2 else frames
    masks: dict[int, NDArray[np.bool_]] = {}
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = _segment_number(groups, dataset)
        place = _source_slice(groups, slice_of, geometry)
        mask = masks.setdefault(number, np.zeros(geometry.shape, dtype=np.bool_))
        if frame.shape != geometry.shape[1:]:
            raise ResultUnusable("The frames of the segmentation do not fit the rows and columns of the series.")
        mask[place] |= frame.astype(np.bool_)
    return [_read(item, masks, geometry) for item in dataset.SegmentSequence]


def _segment_number(groups: Dataset, dataset: Dataset) -> int:
    """Per frame, or shared where there is one segment only: writers differ."""
    for owner in (groups, dataset.SharedFunctionalGroupsSequence[0]):
        if owner.get("SegmentIdentificationSequence"):
            return int(owner.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    raise ResultUnusable("A frame of the segmentation names no segment.")


def _source_slice(groups: Dataset, slice_of: dict[str, int], geometry: VolumeGeometry) -> int:
    derivations = groups.get("DerivationImageSequence") or []
    images = [image for item in derivations for image in item.get("SourceImageSequence", [])]
    references = [str(image.ReferencedSOPInstanceUID) for image in images]
    if references:
        if references[0] not in slice_of:
            raise ResultUnusable("The segmentation refers to images that are not here.")
        return slice_of[references[0]]
    point = [float(part) for part in groups.PlanePositionSequence[0].ImagePositionPatient]
    height, row, column = geometry.to_voxel((point[0], point[1], point[2]))
    place = round(height)
    if max(abs(height - place), abs(row), abs(column)) > 0.1 or not 0 <= place < geometry.shape[0]:
        raise ResultUnusable("A frame of the segmentation lies beside the slices of the series.")
    return place


def _read(item: Dataset, masks: dict[int, NDArray[np.bool_]], geometry: VolumeGeometry) -> ReadSegment:
    number = int(item.SegmentNumber)
    identification = (item.get("SegmentationAlgorithmIdentificationSequence") or [Dataset()])[0]
    parameters = str(identification.get("AlgorithmParameters") or "")
    return ReadSegment(
        number=number,
        label=str(item.get("SegmentLabel", "")),
        tracking_id=str(item.get("TrackingID", "")),
        tracking_uid=str(item.get("TrackingUID", "")),
        kind=str(item.get("SegmentAlgorithmType", "")),
        algorithm=str(identification.get("AlgorithmName", "")),
        algorithm_version=str(identification.get("AlgorithmVersion", "")),
        parameters=tuple(f"{name}={value}" for name, value in _PAIR.findall(parameters)),
        mask=masks.get(number, np.zeros(geometry.shape, dtype=np.bool_)),
    )

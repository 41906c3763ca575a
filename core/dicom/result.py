"""What a result object is made of, free of pydicom: who made it, when, from what. Same input, same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian

from core.dicom.deidentify import IMPLEMENTATION_UID
from core.errors import UnusableInput
from core.ids import derived_uid

MANUFACTURER: Final = "Countersign"
DEMONSTRATION: Final = "Demonstration, not for clinical use"
# What every image must at least name, be it empty (type 2 of Patient, Study, Equipment, Frame of Reference modules).
_TYPE_2: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "Manufacturer", "PositionReferenceIndicator",
)  # fmt: skip
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class ResultUnusable(UnusableInput):
    """A segmentation or report cannot be made of what was given."""

    code = "result-unusable"
    next_step = "Nothing was written. Correct what the message names and make the result again."


@dataclass(frozen=True, slots=True)
class Algorithm:
    """TID 4019: a locked model. `parameters` are texts such as "weights-sha256=…"; `lock_digest` names the lock."""

    name: str
    version: str
    manufacturer: str
    lock_digest: str
    parameters: tuple[str, ...]

    @property
    def device_uid(self) -> str:
        """One stable observer UID per locked version."""
        return derived_uid("device", self.lock_digest)


@dataclass(frozen=True, slots=True)
class Instance:
    """Identity of the object to be made; given, never drawn, so that a second rendering has the same bytes.

    `demonstration`: its evidence class, which the object says of itself (TRIAL 2).
    """

    series_uid: str
    sop_uid: str
    series_number: int
    instance_number: int
    made_at: datetime
    software: str
    demonstration: bool = False

    def __post_init__(self) -> None:
        if self.made_at.tzinfo is None or self.made_at.utcoffset() is None:
            raise ResultUnusable("The time of a result needs its offset from UTC.")


def headers_only(dataset: Dataset) -> Dataset:
    """A copy without pixels that names every type 2 attribute, for writers that insist on them."""
    fresh = Dataset({element.tag: element for element in dataset if element.keyword not in _PIXELS})
    for keyword in _TYPE_2:
        if keyword not in fresh:
            setattr(fresh, keyword, "")
    given = getattr(dataset, "file_meta", None)
    fresh.file_meta = given if isinstance(given, FileMetaDataset) else FileMetaDataset()
    if "TransferSyntaxUID" not in fresh.file_meta:
        fresh.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return fresh


def offset_text(moment: datetime) -> str:
    """Offset from UTC as DICOM writes it: +0100."""
    return moment.strftime("%z")[:5]


def settle(dataset: Dataset, instance: Instance) -> None:
    """Give the object the stated instant and our implementation identity in place of the library's clock and name."""
    day, hour = instance.made_at.strftime("%Y%m%d"), instance.made_at.strftime("%H%M%S.%f")
    for date_name, time_name in (("InstanceCreationDate", "InstanceCreationTime"), ("ContentDate", "ContentTime"),
                                 ("SeriesDate", "SeriesTime")):
        setattr(dataset, date_name, day)
        setattr(dataset, time_name, hour)
    if instance.demonstration:
        dataset.SeriesDescription = DEMONSTRATION
    dataset.TimezoneOffsetFromUTC = offset_text(instance.made_at)
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    dataset.file_meta.ImplementationVersionName = "COUNTERSIGN"
    for item in dataset.get("ContributingEquipmentSequence") or []:
        if "ContributionDateTime" in item:
            del item.ContributionDateTime


def as_bytes(dataset: Dataset) -> bytes:
    """The object as a DICOM Part 10 file."""
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def one_study(datasets: Sequence[Dataset]) -> str:
    """The Study Instance UID that all share.

    Raises:
        ResultUnusable: none were given, or they come from several studies.
    """
    studies = {str(dataset.StudyInstanceUID) for dataset in datasets}
    if len(studies) != 1:
        raise ResultUnusable(f"The images come from {len(studies)} studies; a result belongs to one.")
    return next(iter(studies))

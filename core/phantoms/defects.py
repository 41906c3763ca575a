"""Defects that can be planted into a generated study, one row each; what arrival and quality control must find."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

PLANTED_NAME = "PLANTED^NAME"
PLANTED_ID = "MRN-99887766"
TILT_DEG = 18.5


class Uids(Protocol):
    """Derives UIDs of the study that is being written."""

    def uid(self, *parts: str) -> str: ...


Slices = list[Dataset]
Series = dict[str, Slices]


def _missing_slice(series: Series, _uids: Uids) -> None:
    del series["CT"][len(series["CT"]) // 2]


def _truncated(series: Series, _uids: Uids) -> None:
    del series["CT"][len(series["CT"]) * 3 // 5 :]


def _no_pet(series: Series, _uids: Uids) -> None:
    series.pop("PT")


def _irregular_spacing(series: Series, _uids: Uids) -> None:
    """From the middle on, every slice lies half an increment lower."""
    slices = series["CT"]
    step = abs(float(slices[0].ImagePositionPatient[2]) - float(slices[1].ImagePositionPatient[2]))
    for item in slices[len(slices) // 2 :]:
        _move(item, item.ImagePositionPatient[1], float(item.ImagePositionPatient[2]) - step / 2)


def _wrong_spacing(series: Series, _uids: Uids) -> None:
    """Every third slice only: thick and far apart, as when the wrong reconstruction is sent."""
    kept = series["CT"][::3]
    step = abs(float(kept[0].ImagePositionPatient[2]) - float(kept[1].ImagePositionPatient[2]))
    for number, item in enumerate(kept, start=1):
        item.InstanceNumber = number
        item.SliceThickness = f"{step:.3f}".rstrip("0").rstrip(".")
    series["CT"] = kept


def _duplicate_slice(series: Series, uids: Uids) -> None:
    """One position twice under two UIDs."""
    slices = series["CT"]
    double = copy.deepcopy(slices[len(slices) // 3])
    double.SOPInstanceUID = uids.uid("instance", "CT", "duplicate")
    double.InstanceNumber = len(slices) + 1
    slices.append(double)


def _gantry_tilt(series: Series, _uids: Uids) -> None:
    """Slices lean by TILT_DEG while the table still moves straight along z."""
    lean = math.radians(TILT_DEG)
    for item in series["CT"]:
        item.GantryDetectorTilt = str(TILT_DEG)
        item.ImageOrientationPatient = ["1", "0", "0", "0", f"{math.cos(lean):.6f}", f"{-math.sin(lean):.6f}"]


def _wrong_modality(series: Series, _uids: Uids) -> None:
    """An MR series comes in place of the CT."""
    for item in series["CT"]:
        for keyword in ("KVP", "XRayTubeCurrent", "ExposureTime", "Exposure", "ConvolutionKernel", "GantryDetectorTilt",
                        "TableHeight", "RescaleIntercept", "RescaleSlope", "RescaleType"):
            delattr(item, keyword)
        item.SOPClassUID, item.Modality = MRImageStorage, "MR"
        item.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        item.SeriesDescription, item.ProtocolName = "MR torso T1", "TORSO T1"
        item.ScanningSequence, item.SequenceVariant, item.ScanOptions = "GR", "SP", ""
        item.MRAcquisitionType, item.EchoTrainLength = "2D", 1
        item.RepetitionTime, item.EchoTime, item.MagneticFieldStrength = "150", "4.6", "1.5"
        item.FlipAngle = "70"


def _lossy(series: Series, _uids: Uids) -> None:
    for item in series["CT"]:
        item.LossyImageCompression = "01"
        item.LossyImageCompressionRatio = "12"
        item.LossyImageCompressionMethod = "ISO_10918_1"
        item.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        item.DerivationDescription = "Lossy copy"


def _name_private(series: Series, _uids: Uids) -> None:
    """A person's name in a private tag of one slice in the middle."""
    block = series["CT"][len(series["CT"]) // 2].private_block(0x0019, "PHANTOM SITE 1.0", create=True)
    block.add_new(0x01, "LO", PLANTED_NAME)
    block.add_new(0x02, "LO", PLANTED_ID)


def _name_nested(series: Series, _uids: Uids) -> None:
    """A person's name two sequences deep."""
    inner, outer, code = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "P0-0099A", "SRT", "Imaging procedure"
    inner.PersonName = PLANTED_NAME
    inner.InstitutionName = "Planted Institution"
    inner.PersonIdentificationCodeSequence = [copy.deepcopy(code)]
    outer.ScheduledProcedureStepDescription = "torso"
    outer.ScheduledPerformingPhysicianIdentificationSequence = [inner]
    for item in series["PT"]:
        item.RequestAttributesSequence = [copy.deepcopy(outer)]


def _name_free_text(series: Series, _uids: Uids) -> None:
    for item in series["CT"]:
        item.ImageComments = f"Pt {PLANTED_NAME.replace('^', ', ')} moved, repeat; call ward, {PLANTED_ID}"


def _name_plain(series: Series, _uids: Uids) -> None:
    """The site forgot to de-identify: name, number and birth date stand where they always stand."""
    for slices in series.values():
        for item in slices:
            item.PatientName, item.PatientID, item.PatientBirthDate = PLANTED_NAME, PLANTED_ID, "19570312"
            item.PatientIdentityRemoved = "NO"
            item.InstitutionName = "Planted Institution"


def _other_subject(series: Series, _uids: Uids) -> None:
    """The PET says that it belongs to somebody else than the CT."""
    for item in series["PT"]:
        other = f"{item.ClinicalTrialSubjectID}X"
        item.ClinicalTrialSubjectID = item.PatientID = other
        item.PatientName = f"{other}^"


def _motion(series: Series, _uids: Uids) -> None:
    """A band of CT slices moves sideways and back: breathing and a shrug."""
    slices = series["CT"]
    low, high = len(slices) // 3, len(slices) // 2
    for index in range(low, high):
        item = slices[index]
        shift = round(9 * math.sin((index - low) * 1.7))
        plane = np.frombuffer(item.PixelData, "<i2").reshape(item.Rows, item.Columns)
        item.PixelData = ((np.roll(plane, shift, 1).astype(np.int32) + plane) // 2).astype("<i2").tobytes()


def _move(item: Dataset, y: object, z: float) -> None:
    text = f"{z:.6f}".rstrip("0").rstrip(".")
    item.ImagePositionPatient = [item.ImagePositionPatient[0], y, text]
    item.SliceLocation = text


# Name -> what it does. The rows of positions come before the rows that change headers of what is left.
DEFECTS: dict[str, Callable[[Series, Uids], None]] = {
    "wrong_spacing": _wrong_spacing,
    "truncated": _truncated,
    "missing_slice": _missing_slice,
    "irregular_spacing": _irregular_spacing,
    "gantry_tilt": _gantry_tilt,
    "duplicate_slice": _duplicate_slice,
    "motion": _motion,
    "name_private": _name_private,
    "name_nested": _name_nested,
    "name_free_text": _name_free_text,
    "name_plain": _name_plain,
    "other_subject": _other_subject,
    "lossy": _lossy,
    "wrong_modality": _wrong_modality,
    "no_pet": _no_pet,
}


def apply_defects(series: Series, defects: Sequence[str], uids: Uids) -> None:
    """Plant the named defects, in the order of the table."""
    for name, plant in DEFECTS.items():
        if name in defects:
            plant(series, uids)

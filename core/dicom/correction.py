"""Corrected copies of stored objects, and the note that tells an archive which ones count no more (IHE RAD IOCM).

Pixels are never touched. A copy has UIDs of its own, so that it never meets the object that it stands for, and says
that it was corrected (Original Attributes Sequence, PS3.3 C.12.1); whose code stood in it before is not said, for
another subject's code has no place in a subject's object.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import highdicom as hd
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.coding import Code

from core.dicom.deidentify import TrialIdentity
from core.dicom.result import MANUFACTURER, Instance, headers_only, settle

#: Title of the rejection note by kind of correction (PS3.16 CID 7010; IHE RAD IOCM).
TITLES: Final = {
    "wrong_subject": Code("113038", "DCM", "Incorrect Modality Worklist Entry"),
    "wrong_time_point": Code("113038", "DCM", "Incorrect Modality Worklist Entry"),
    "wrong_side": Code("113037", "DCM", "Rejected for Patient Safety Reasons"),
    "duplicate": Code("113001", "DCM", "Rejected for Quality Reasons"),
    "extra_series": Code("113001", "DCM", "Rejected for Quality Reasons"),
}
SIDES: Final = ("L", "R")


@dataclass(frozen=True, slots=True)
class Change:
    """What a copy says instead. `uids`: old to new; `days`: by which every date moves, where the subject is another;
    `side`: L or R where the side was wrong."""

    identity: TrialIdentity
    uids: Mapping[str, str]
    days: int
    side: str | None
    at: datetime


def corrected(source: FileDataset, change: Change) -> FileDataset:
    """A copy of a stored, de-identified object in its right place; the source is not changed."""
    fresh = copy.deepcopy(source)
    _walk(fresh, change)
    identity, was = change.identity, Dataset()
    if str(fresh.ClinicalTrialTimePointID) != identity.time_point and str(fresh.PatientID) == identity.subject:
        was.ClinicalTrialTimePointID = fresh.ClinicalTrialTimePointID
    fresh.PatientName, fresh.PatientID = f"{identity.subject}^", identity.subject
    fresh.ClinicalTrialSubjectID, fresh.ClinicalTrialSiteID = identity.subject, identity.site
    fresh.ClinicalTrialTimePointID = identity.time_point
    if change.side is not None:
        # Laterality belongs to a series, Image Laterality to an image (PS3.3 C.7.3.1, C.7.6.1); never both.
        keyword = "ImageLaterality" if "ImageLaterality" in fresh else "Laterality"
        setattr(was, keyword, fresh.get(keyword, ""))
        setattr(fresh, keyword, change.side)
    note = Dataset()
    note.SourceOfPreviousValues = ""
    note.AttributeModificationDateTime = change.at.strftime("%Y%m%d%H%M%S.%f+0000")
    note.ModifyingSystem, note.ReasonForTheAttributeModification = MANUFACTURER, "CORRECT"
    note.ModifiedAttributesSequence = [was]
    fresh.OriginalAttributesSequence = [*fresh.get("OriginalAttributesSequence", []), note]
    fresh.file_meta.MediaStorageSOPInstanceUID = fresh.SOPInstanceUID
    return fresh


def _walk(dataset: Dataset, change: Change) -> None:
    """Every UID of the corrected objects becomes its new one; every date moves with the subject's shift."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _walk(item, change)
        elif element.VR == "UI" and element.value:
            many = element.VM > 1
            mapped = [change.uids.get(str(one), str(one)) for one in (element.value if many else [element.value])]
            element.value = mapped if many else mapped[0]
        elif change.days and element.VR in ("DA", "DT") and element.value:
            many = element.VM > 1
            moved = [_moved(str(one), change.days) for one in (element.value if many else [element.value])]
            element.value = moved if many else moved[0]


def _moved(text: str, days: int) -> str:
    """A DA or DT by whole days. Dates here were written by our own de-identification, so they can be read."""
    day = date(int(text[:4]), int(text[4:6]), int(text[6:8])) + timedelta(days=days)
    return day.strftime("%Y%m%d") + text[8:]


def rejection_note(rejected: Sequence[Dataset], kind: str, instance: Instance) -> Dataset:
    """The Key Object Selection (TID 2010) over objects of one study whose title says that they count no more.

    Args:
        rejected: the stored objects, all of one study.
        kind: a key of TITLES.
        instance: UIDs and time of the note; given, so that a second rendering has the same bytes.
    """
    evidence = [headers_only(one) for one in rejected]
    content = hd.ko.KeyObjectSelection(document_title=TITLES[kind], referenced_objects=evidence)
    note = hd.ko.KeyObjectSelectionDocument(
        evidence=evidence, content=content, series_instance_uid=instance.series_uid,
        series_number=instance.series_number, sop_instance_uid=instance.sop_uid,
        instance_number=instance.instance_number, manufacturer=MANUFACTURER,
    )
    settle(note, instance)
    return note

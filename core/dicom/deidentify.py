"""De-identification of a data set: PS3.15 Annex E, Basic Profile with the options named in `profile.tsv`.

The table says what happens to named attributes; what stands in no line follows its VR, and text is then removed.
Private elements, overlays and curves go altogether. A value that is to stay but holds an identifier of this very
object is removed as well. Same key and input give the same output; the key stays with the trial.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from core.dicom.leaks import Identifier, each_value, holds, identifiers_of, names
from core.dicom.words import cleaned

PROFILE_REVISION: Final = "1"
IMPLEMENTATION_UID: Final = "2.25.244217693268172905537341391398862187741"
OPTIONS: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113103", "Clean Graphics Option"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
METHOD: Final = f"Countersign: PS3.15 E Basic Profile, revision {PROFILE_REVISION}"
_EQUIPMENT: Final = ("Countersign", "Countersign arrival", f"profile revision {PROFILE_REVISION}",
                     "De-identifying Equipment")
# What the cleaning itself writes. A hospital called "Basic Imaging Center" is not named by it.
MARKS: Final = (METHOD, *_EQUIPMENT, *(meaning[:64] for _, meaning in OPTIONS))
# What happens to an attribute that the table does not name.
DEFAULTS: Final = {
    "UI": "U", "DA": "S", "DT": "S", "TM": "K", "PN": "X", "SQ": "R",
    "AE": "X", "LO": "X", "LT": "X", "SH": "X", "ST": "X", "UC": "X", "UR": "X", "UT": "X",
    "OB": "X", "UN": "X", "OD": "X", "OF": "X", "OL": "X", "OV": "X", "OW": "X",
    "AS": "K", "AT": "K", "CS": "K", "DS": "K", "FD": "K", "FL": "K", "IS": "K", "SL": "K", "SS": "K", "SV": "K",
    "UL": "K", "US": "K", "UV": "K",
}  # fmt: skip
_STANDARD_SCHEMES: Final = frozenset({"DCM", "SCT", "SRT", "SNM3", "UMLS", "UCUM", "RADLEX", "NCIt", "LN", "FMA"})
_CODE: Final = re.compile(r"[A-Z0-9 _./+\-]{0,16}")
_PLAIN_TEXT: Final = re.compile(r"[A-Za-z0-9 ._+*/()#:,\-\^&%]{0,64}")
_FORMS: Final = {"TM": re.compile(r"[\d:]{0,8}(?:\.\d{1,6})? *"), "AS": re.compile(r"(?:\d{3}[DWMY])?")}
_EARLIEST_SHIFT_DAYS: Final = 365
_SHIFT_RANGE_DAYS: Final = 3285


@dataclass(frozen=True, slots=True)
class TrialIdentity:
    """Who the object belongs to, in the trial's own coded words (PS3.3 C.7.1.3, C.7.2.3)."""

    sponsor: str
    trial: str
    site: str
    subject: str
    time_point: str

    @property
    def allowed(self) -> tuple[str, ...]:
        """Texts that may stand in the cleaned object although they look like identifiers."""
        return (self.sponsor, self.trial, self.site, self.subject, self.time_point)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The cleaned object and, per action letter, how many elements it touched."""

    dataset: FileDataset
    touched: dict[str, int]


@cache
def profile() -> dict[int, str]:
    """Attribute tag to action, from `profile.tsv`.

    Raises:
        ValueError: a line names an attribute that DICOM does not have, or an unknown action.
    """
    rows: dict[int, str] = {}
    for line in (Path(__file__).parent / "profile.tsv").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        keyword, action = line.split("\t")[:2]
        tag = tag_for_keyword(keyword)
        if tag is None or action not in "XZUSCPKR":
            raise ValueError(f"profile.tsv: {keyword} {action}")
        rows[tag] = action
    return rows


def new_uid(key: bytes, uid: str) -> str:
    """The trial's own UID for a foreign one: the same for the same key, and not to be traced back without it."""
    digest = hmac.new(key, b"uid\x00" + uid.encode(), hashlib.sha256).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def shift_days(key: bytes, subject: str) -> int:
    """Days by which every date of this subject goes back; one number per subject keeps all intervals exact."""
    digest = hmac.new(key, b"dates\x00" + subject.encode(), hashlib.sha256).digest()
    return -(_EARLIEST_SHIFT_DAYS + int.from_bytes(digest[:8], "big") % _SHIFT_RANGE_DAYS)


def pseudonym(key: bytes, value: str) -> str:
    """A device's stand-in name: equal for the same device, so that a change of scanner still shows."""
    return "DEV-" + hmac.new(key, b"device\x00" + value.strip().encode(), hashlib.sha256).hexdigest()[:10].upper()


def deidentify(
    dataset: FileDataset, identity: TrialIdentity, key: bytes, identifiers: Sequence[Identifier] | None = None
) -> Cleaned:
    """The object without what names a person, marked as such, with the Clinical Trial modules filled in.

    Args:
        dataset: as `reading.read_object` gave it; it is not changed.
        identity: whose object it is; the caller has matched it before.
        key: at least 32 secret bytes of the trial.
        identifiers: those of this object where the caller has them already (`leaks.identifiers_of`).
    """
    if len(key) < 32:
        raise ValueError("the key of a trial has at least 32 bytes")
    found = identifiers if identifiers is not None else identifiers_of(dataset, allowed=identity.allowed)
    cleaner = _Cleaner(key, shift_days(key, identity.subject), found)
    body = cleaner.clean(dataset)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = body.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "COUNTERSIGN"
    implicit, little = dataset.original_encoding
    fresh = FileDataset("", body, preamble=b"\x00" * 128, file_meta=meta,
                        is_implicit_VR=bool(implicit), is_little_endian=bool(little))
    _mark(fresh, identity)
    return Cleaned(fresh, dict(cleaner.touched))


class _Cleaner:
    """One pass over one object."""

    def __init__(self, key: bytes, days: int, identifiers: Sequence[Identifier]) -> None:
        self._key, self._days = key, days
        # A UID that stays is caught by its own action; looking for hundreds of them in every code costs time.
        self._identifiers = [found for found in identifiers if found.kind != "unique identifier"]
        self.touched: Counter[str] = Counter()

    def clean(self, dataset: Dataset) -> Dataset:
        fresh = Dataset()
        for element in dataset:
            kept = self._element(element, dataset)
            if kept is not None:
                fresh.add(kept)
        return fresh

    def _element(self, element: DataElement, owner: Dataset) -> DataElement | None:
        tag = element.tag
        if tag.is_private or tag.element == 0 or tag.group in (0x0002, 0x4000, 0xFFFC) or 0x5000 <= tag.group <= 0x60FF:
            self.touched["X"] += 1
            return None
        action = profile().get(int(tag)) or DEFAULTS.get(element.VR, "X")
        if element.keyword == "CodeMeaning" and str(owner.get("CodingSchemeDesignator", "")) not in _STANDARD_SCHEMES:
            action = "C"
        kept = self._apply(action, element)
        if action != "K" or kept is None:
            self.touched[action if kept is not None or action != "K" else "X"] += 1
        return kept

    def _apply(self, action: str, element: DataElement) -> DataElement | None:
        if action == "X":
            return None
        if action == "Z":
            return DataElement(element.tag, element.VR, DicomSequence() if element.VR == "SQ" else "")
        if element.VR == "SQ":
            return DataElement(element.tag, "SQ", DicomSequence([self.clean(item) for item in element.value]))
        if action == "K":
            return self._kept(element)
        values = [str(item) for item in each_value(element) if item not in (None, "")]
        if action == "U":
            changed = [text if _is_standard(element, text) else new_uid(self._key, text) for text in values]
        elif action == "S":
            changed = [shifted for text in values if (shifted := _shifted(text, self._days))]
        elif action == "P":
            changed = [pseudonym(self._key, text)[:16] for text in values]
        else:
            changed = [] if self._names_somebody(values) else [text for value in values if (text := cleaned(value))]
        return DataElement(element.tag, element.VR, changed[0] if len(changed) == 1 else changed or "")

    def _kept(self, element: DataElement) -> DataElement | None:
        form = _FORMS.get(element.VR)
        if form is not None and not all(form.fullmatch(str(part or "")) for part in each_value(element)):
            return None  # no time or age at all, so it may be anything
        if element.VR in ("IS", "DS") and any(
            names(element, str(part), one) for part in each_value(element) for one in self._identifiers
        ):
            # Some systems number their series by the patient: the number then says who it is.
            return DataElement(element.tag, element.VR, "")
        if element.VR == "AS":
            years = re.fullmatch(r"(\d{3})Y", str(element.value or ""))
            if years and int(years[1]) > 89:  # 45 CFR 164.514(b)(2)(i)(C): ages over 89 are one group
                return DataElement(element.tag, "AS", "090Y")
            return element
        if element.VR in ("CS", "SH", "LO", "UC", "ST", "LT", "UT"):
            values = [str(item) for item in each_value(element) if item]
            text_form = _CODE if element.VR == "CS" else _PLAIN_TEXT
            if not all(text_form.fullmatch(text) for text in values) or self._names_somebody(values):
                return None
        return element

    def _names_somebody(self, values: Sequence[str]) -> bool:
        return any(holds(text, identifier) for text in values for identifier in self._identifiers)


def _is_standard(element: DataElement, uid: str) -> bool:
    return uid.startswith("1.2.840.10008.") or element.keyword.endswith("SOPClassUID")


def _shifted(text: str, days: int) -> str:
    """A DA or DT moved by whole days; the time of day stays, a zone goes. Empty where the date cannot be read."""
    try:
        moved = date(int(text[:4]), int(text[4:6]), int(text[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    rest = re.match(r"\d{0,6}(?:\.\d{1,6})?", text[8:])
    return moved.strftime("%Y%m%d") + (rest[0] if rest else "")


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning[:64]
    return item


# Type 2 of the Patient and General Study modules: named even where the source left them out.
_TYPE_2: Final = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
                  "ReferringPhysicianName")


def _mark(dataset: FileDataset, identity: TrialIdentity) -> None:
    for keyword in _TYPE_2:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    dataset.PatientName = f"{identity.subject}^"
    dataset.PatientID = identity.subject
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in OPTIONS]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.ClinicalTrialSponsorName = identity.sponsor
    dataset.ClinicalTrialProtocolID = identity.trial
    dataset.ClinicalTrialProtocolName = ""
    dataset.ClinicalTrialSiteID = identity.site
    dataset.ClinicalTrialSiteName = ""
    dataset.ClinicalTrialSubjectID = identity.subject
    dataset.ClinicalTrialTimePointID = identity.time_point
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [_code("109104", _EQUIPMENT[3])]
    equipment.Manufacturer, equipment.ManufacturerModelName, equipment.SoftwareVersions = _EQUIPMENT[:3]
    dataset.ContributingEquipmentSequence = [equipment]

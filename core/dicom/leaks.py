"""The checker behind de-identification: does anything that named the person still stand in the object?

It does not trust the cleaning: it takes the identifiers from the object as it came, and looks for them, and for
things that look like identifiers, in every element of the cleaned one: private, nested, binary, UIDs. What it
returns never contains an identifier, only its kind and the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from core.dicom.findings import Finding, Outcome
from core.dicom.words import is_imaging_word

_NAMES: Final = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName",
    "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName", "PhysiciansOfRecord",
    "RequestingPhysician", "ResponsiblePerson", "ScheduledPerformingPhysicianName", "PersonName",
    "VerifyingObserverName", "ContentCreatorName", "ConsultingPhysicianName", "HumanPerformerName",
    "NamesOfIntendedRecipientsOfResults", "ReviewerName",
)  # fmt: skip
_CODES: Final = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID", "MedicalRecordLocator",
    "RequestedProcedureID", "ServiceEpisodeID", "PatientTelephoneNumbers", "ReferringPhysicianTelephoneNumbers",
    "PersonTelephoneNumbers", "InsurancePlanIdentification",
)  # fmt: skip
_DEVICES: Final = ("DeviceSerialNumber", "StationName", "GantryID", "DetectorID")
_PLACES: Final = (
    "InstitutionName", "InstitutionAddress", "PatientAddress", "InstitutionalDepartmentName", "PersonAddress",
    "PatientInstitutionResidence", "ReferringPhysicianAddress",
)  # fmt: skip
# Common words of institutions: alone they name nobody and would alarm everywhere.
_PLAIN: Final = frozenset({
    "hospital", "clinic", "university", "centre", "center", "medical", "imaging", "radiology", "department",
    "institute", "general", "the", "and", "for", "von", "der", "und", "street", "road", "avenue", "none", "unknown",
    "anonymous", "anonymized", "removed", "patient", "doctor", "prof", "phd", "yes",
})  # fmt: skip
_PATTERNS: Final = (
    ("e-mail address", re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE)),
    ("social security number", re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)")),
    ("telephone number", re.compile(r"(?<![\d.])(?:\+\d{1,3}[ \-]?)?\(?\d{3,4}\)?[ \-]\d{3}[ \-]?\d{3,4}(?![\d.])")),
    ("labelled identifier", re.compile(r"\b(?:mrn|dob|ssn|nhs|pat(?:ient)?[ _]?(?:id|name))\b\W*\w", re.IGNORECASE)),
    ("date in text", re.compile(r"(?<!\d)\d{1,2}[./\-]\d{1,2}[./\-](?:19|20)\d{2}(?!\d)")),
    ("person with title", re.compile(r"\b(?:mr|mrs|ms|dr|prof)\.? [A-Z][a-z]+")),
)
_TEXT_VRS: Final = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_BINARY_LIMIT: Final = 1 << 12
_STANDARD_UIDS: Final = "1.2.840.10008."


@dataclass(frozen=True, slots=True)
class Identifier:
    """Something that names the person or the site in the object as it came. Lives in memory only."""

    kind: str
    token: str

    def __repr__(self) -> str:
        return f"Identifier({self.kind}, …)"  # never in a log or a trace


def elements(dataset: Dataset, path: str = "") -> Iterator[tuple[str, DataElement]]:
    """Every element with its place, nested ones too: "(0008,1140)[1] > (0008,1155)"."""
    for element in dataset:
        place = f"{path}({element.tag.group:04X},{element.tag.element:04X})"
        yield place, element
        if element.VR == "SQ":
            for number, item in enumerate(element.value, start=1):
                yield from elements(item, f"{place}[{number}] > ")


def identifiers_of(dataset: Dataset, *, allowed: Iterable[str] = ()) -> list[Identifier]:
    """What to look for after cleaning.

    Args:
        dataset: the object as it came.
        allowed: texts that may stay although they stand in identifying places: the coded subject id, site, trial.
    """
    free = {_squeezed(text) for text in allowed}
    found: dict[str, str] = {}

    def add(kind: str, token: str) -> None:
        if len(_squeezed(token)) >= 3 and _squeezed(token) not in free and token.casefold() not in _PLAIN:
            found.setdefault(token.casefold(), kind)

    for _, element in elements(dataset):
        keyword = element.keyword
        if element.VR == "PN" or keyword in _NAMES:
            for part in _parts(r"[\^=\s,.\-]+", element):
                if not is_imaging_word(part):
                    add("name", part)
        elif keyword in _CODES:
            for text in _texts(element):
                add("identification code", text.strip())
        elif keyword in _DEVICES:
            for text in _texts(element):
                add("device code", text.strip())
        elif keyword in _PLACES:
            for part in _parts(r"[\s,;.]+", element):
                if not is_imaging_word(part) and len(part) >= 4:
                    add("place", part)
        elif keyword == "PatientBirthDate":
            for text in _texts(element):
                for form in _birth_date_forms(text):
                    add("birth date", form)
        elif element.VR == "UI" and not keyword.endswith("SOPClassUID"):
            for text in _texts(element):
                if not text.startswith(_STANDARD_UIDS):
                    add("unique identifier", text)
    return [Identifier(kind, token) for token, kind in found.items()]


def _parts(separators: str, element: DataElement) -> list[str]:
    return [part for text in _texts(element) for part in re.split(separators, text)]


def _birth_date_forms(text: str) -> tuple[str, ...]:
    if len(text) != 8:
        return ()
    year, month, day = text[:4], text[4:6], text[6:]
    return (text, f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{month}/{day}/{year}", f"{day}/{month}/{year}")


def _texts(element: DataElement) -> list[str]:
    value = element.value
    if value is None or element.VR == "SQ":
        return []
    if isinstance(value, bytes):
        if len(value) > _BINARY_LIMIT:
            return []  # pixels and large tables: see _in_binary
        wide = value.decode("utf-16-le", "ignore") if b"\x00" in value else ""
        return [value.decode("latin-1"), wide] if wide else [value.decode("latin-1")]
    return [str(item) for item in each_value(element)]


def each_value(element: DataElement) -> list[Any]:
    """The values of an element, one or many."""
    value = element.value
    return list(value) if isinstance(value, MultiValue | list) else [value]


def _squeezed(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.casefold())


def holds(text: str, identifier: Identifier) -> bool:
    """True where the text contains the identifier: as a word when it is short, anywhere when it is long.

    Codes and dates are also found with other separators ("12-345-67" in "1234567").
    """
    folded, token = text.casefold(), identifier.token
    if len(token) < 6:
        return re.search(rf"(?<![^\W_]){re.escape(token)}(?![^\W_])", folded) is not None
    if token in folded:
        return True
    squeezed = _squeezed(token)
    coded = identifier.kind in ("identification code", "device code")
    return coded and len(squeezed) >= 6 and squeezed in _squeezed(folded)


_VALUES: Final = frozenset({"DS", "IS", "DA", "TM", "DT", "AS", "FD", "FL", "US", "SS", "UL", "SL", "UV", "SV", "AT"})


def names(element: DataElement, text: str, identifier: Identifier) -> bool:
    """`holds`, by what the element is: digits of a number or a UID hold every short code by chance."""
    if element.VR == "UI":
        return identifier.kind == "unique identifier" and identifier.token in text.casefold()
    if element.VR in _VALUES:
        return len(identifier.token) >= 6 and text.strip().casefold() == identifier.token
    return holds(text, identifier)


def find_leaks(dataset: Dataset, identifiers: Sequence[Identifier], *, allowed: Iterable[str] = ()) -> list[Finding]:
    """Everything in a cleaned object that still names somebody, or looks like it. Empty means none was found."""
    free = {_squeezed(text) for text in allowed}
    found: list[Finding] = []
    texts: list[tuple[str, DataElement, list[str]]] = []
    for place, element in elements(dataset):
        if element.tag.is_private:
            found.append(_leak("deid.private", "private element", place))
        if isinstance(element.value, bytes) and len(element.value) > _BINARY_LIMIT:
            found.extend(_leak("deid.identifier", kind, place) for kind in _in_binary(element.value, identifiers))
            continue
        here = [text for text in _texts(element) if text]
        if here and _squeezed("".join(here)) not in free:
            texts.append((place, element, here))
    # All text at once first: a clean object, the usual case, costs one search per identifier, not one per element.
    whole = "\n".join(text for _, _, here in texts for text in here)
    suspects = [identifier for identifier in identifiers if holds(whole, identifier)]
    worded = "\n".join(text for _, element, here in texts for text in here if _is_text(element))
    patterns = [(name, pattern) for name, pattern in _PATTERNS if pattern.search(worded)]
    if not suspects and not patterns:
        return found
    for place, element, here in texts:
        kinds = {one.kind for one in suspects if any(names(element, text, one) for text in here)}
        found.extend(_leak("deid.identifier", kind, place) for kind in sorted(kinds))
        if _is_text(element):
            found.extend(_leak("deid.pattern", name, place) for name, pattern in patterns
                         if any(pattern.search(text) for text in here))
    return found


def _is_text(element: DataElement) -> bool:
    return element.VR in _TEXT_VRS or (element.VR in ("OB", "UN") and element.tag.is_private)


def _in_binary(value: bytes, identifiers: Sequence[Identifier]) -> list[str]:
    """Kinds of identifiers that stand as plain letters in pixels or tables; short ones would be found by chance."""
    kinds: set[str] = set()
    for identifier in identifiers:
        token = identifier.token
        if len(token) >= 8 and any(form.encode() in value for form in (token, token.upper(), token.title())):
            kinds.add(identifier.kind)
    return sorted(kinds)


def _leak(rule: str, kind: str, place: str) -> Finding:
    return Finding(rule, "none", kind, place, Outcome.NOT_MET)


def check_marks(dataset: Dataset) -> list[Finding]:
    """The attributes that a de-identified object must carry (PS3.15 E.1.1), each with its outcome."""
    codes = {str(item.get("CodeValue", "")) for item in dataset.get("DeidentificationMethodCodeSequence") or []}
    marks = (
        ("deid.removed", "(0012,0062)", "YES", str(dataset.get("PatientIdentityRemoved") or "missing")),
        ("deid.method", "(0012,0064)", "113100", "113100" if "113100" in codes else "missing"),
        ("deid.dates", "(0028,0303)", "MODIFIED",
         str(dataset.get("LongitudinalTemporalInformationModified") or "missing")),
    )
    return [
        Finding(rule, required, measured, place, Outcome.MET if measured == required else Outcome.NOT_MET)
        for rule, place, required, measured in marks
    ]


def check_pixels(dataset: Dataset) -> Finding:
    """What the header says of text in the pixels; screen captures and a stated burn-in need a human look."""
    kinds = {str(part) for part in dataset.get("ImageType") or []}
    sop_class = str(dataset.get("SOPClassUID", ""))
    if str(dataset.get("BurnedInAnnotation") or "") == "YES":
        return Finding("deid.burned_in", "none", "the header states burned-in text", "(0028,0301)", Outcome.NOT_MET)
    if sop_class.startswith("1.2.840.10008.5.1.4.1.1.7") or kinds & {"SCREEN SAVE", "SECONDARY CAPTURE"}:
        measured = "a screen capture; its pixels were not read"
        return Finding("deid.burned_in", "none", measured, "pixels", Outcome.NOT_MET)
    return Finding("deid.burned_in", "none", "an original image by its header; pixels not read", "pixels", Outcome.MET)

"""Row by row: does a report keep to TID 1500 and to its own promises? General checkers let much of this pass.

What is checked, in this order: (1) the flags of the document, (2) its evidence, (3) each row of the tree: concept,
value type, relation, how often, units and closed lists, (4) what must be there. A row that no table names is
refused: our reports have no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from core.dicom import codes
from core.dicom.findings import Finding, Outcome

_MANY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One allowed child: concept (value, scheme), value type, relation to its parent, how often, allowed values."""

    concept: tuple[str, str]
    kind: str
    relation: str
    least: int = 0
    most: int = 1
    values: frozenset[tuple[str, str]] = frozenset()


def _of(*some: Iterable[object]) -> frozenset[tuple[str, str]]:
    return frozenset((code.value, code.scheme_designator) for group in some for code in group)  # type: ignore[attr-defined]


_UNITS: Final = _of(codes.UNITS.values())
_UNIT_OF: Final = {
    codes.MEASURES["volume"].value: {"mm3", "ml"},
    codes.MEASURES["long_axis"].value: {"mm", "cm"},
    codes.MEASURES["short_axis"].value: {"mm", "cm"},
}
_ALGORITHM: Final = (
    Row(("111000", "DCM"), "CODE", "HAS CONCEPT MOD", values=_of([codes.ARTIFICIAL_INTELLIGENCE])),
    Row(("111001", "DCM"), "TEXT", "HAS CONCEPT MOD"),
    Row(("111003", "DCM"), "TEXT", "HAS CONCEPT MOD"),
    Row(("111002", "DCM"), "TEXT", "HAS CONCEPT MOD", most=_MANY),
    Row(("122405", "DCM"), "TEXT", "HAS CONCEPT MOD"),
)
_ROOT: Final = (
    Row(("121049", "DCM"), "CODE", "HAS CONCEPT MOD", least=1),
    Row(("121005", "DCM"), "CODE", "HAS OBS CONTEXT", most=2, values=frozenset({("121006", "DCM"), ("121007", "DCM")})),
    Row(("121008", "DCM"), "PNAME", "HAS OBS CONTEXT"),
    Row(("128774", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("121009", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("121011", "DCM"), "CODE", "HAS OBS CONTEXT", values=_of(codes.READER_ROLES.values())),
    Row(("121012", "DCM"), "UIDREF", "HAS OBS CONTEXT"),
    Row(("121013", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("121014", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("121015", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("121016", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("121058", "DCM"), "CODE", "HAS CONCEPT MOD", least=1, most=_MANY),
    Row(("126010", "DCM"), "CONTAINER", "CONTAINS", least=1),
    # The template is extensible; ours says its evidence class where that is demonstration.
    Row(("121106", "DCM"), "TEXT", "CONTAINS"),
)
_MEASUREMENTS: Final = (Row(("125007", "DCM"), "CONTAINER", "CONTAINS", least=1, most=_MANY),)
_GROUP: Final = (
    Row(("112039", "DCM"), "TEXT", "HAS OBS CONTEXT", least=1),
    Row(("112040", "DCM"), "UIDREF", "HAS OBS CONTEXT", least=1),
    Row(("C67447", "NCIt"), "TEXT", "HAS OBS CONTEXT"),
    Row(("276214006", "SCT"), "CODE", "CONTAINS"),
    Row(("121071", "DCM"), "CODE", "CONTAINS", least=1),
    Row(("363698007", "SCT"), "CODE", "HAS CONCEPT MOD", most=_MANY),
    Row(("370129005", "SCT"), "CODE", "HAS CONCEPT MOD"),
    Row(("121191", "DCM"), "IMAGE", "CONTAINS", least=1),
    Row(("121232", "DCM"), "UIDREF", "CONTAINS", least=1),
    Row(("C2348792", "UMLS"), "TEXT", "HAS OBS CONTEXT", least=1),
    Row(("126072", "DCM"), "CODE", "HAS OBS CONTEXT", values=_of(codes.TIME_POINT_TYPES.values())),
    Row(("126073", "DCM"), "NUM", "HAS OBS CONTEXT"),
    Row(("126070", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    Row(("126071", "DCM"), "TEXT", "HAS OBS CONTEXT"),
    *_ALGORITHM,
    *(Row((code.value, code.scheme_designator), "NUM", "CONTAINS") for code in codes.MEASURES.values()),
)
_GROUP_WITHOUT_MASK: Final = tuple(row for row in _GROUP if row.concept[0] not in ("121191", "121232"))
_NUMBER: Final = (
    Row(("370129005", "SCT"), "CODE", "HAS CONCEPT MOD", values=_of([codes.SUM_OF_VOXELS])),
    Row(("121401", "DCM"), "CODE", "HAS CONCEPT MOD", values=_of([codes.USER_CHOSEN_VALUE])),
)
_QUALIFIERS: Final = _of([codes.NOT_ATTEMPTED, codes.MEASUREMENT_FAILURE])
_COMPLETION: Final = frozenset({"PARTIAL", "COMPLETE"})
_VERIFICATION: Final = frozenset({"UNVERIFIED", "VERIFIED"})
_PRELIMINARY: Final = frozenset({"PRELIMINARY", "FINAL"})


def check_report(report: Dataset) -> list[Finding]:
    """Every row that is wrong, as findings with the place in the tree; an empty list is a sound report."""
    found = _flags(report) + _evidence(report)
    if _concept(report) != ("126000", "DCM") or report.get("ValueType") != "CONTAINER":
        return [*found, _wrong("root", "(126000, DCM) container", "another title")]
    template = (report.get("ContentTemplateSequence") or [Dataset()])[0]
    if str(template.get("TemplateIdentifier", "")) != "1500":
        found.append(_wrong("root", "TemplateIdentifier 1500", "missing or another"))
    found += _rows(report, _ROOT, "1") + _observers(report)
    for place, container in _children(report, "1", "126010"):
        found += _rows(container, _MEASUREMENTS, place)
        for inner, group in _children(container, place, "125007"):
            found += _group(group, inner)
    return found


def _wrong(where: str, required: str, measured: str) -> Finding:
    return Finding("sr.row", required, measured, where, Outcome.NOT_MET)


def _concept(item: Dataset) -> tuple[str, str]:
    name = (item.get("ConceptNameCodeSequence") or [Dataset()])[0]
    return str(name.get("CodeValue", "")), str(name.get("CodingSchemeDesignator", ""))


def _value(item: Dataset) -> tuple[str, str]:
    code = (item.get("ConceptCodeSequence") or [Dataset()])[0]
    return str(code.get("CodeValue", "")), str(code.get("CodingSchemeDesignator", ""))


def _children(item: Dataset, place: str, code: str) -> list[tuple[str, Dataset]]:
    numbered = enumerate(item.get("ContentSequence") or [], start=1)
    return [(f"{place}.{number}", child) for number, child in numbered if _concept(child)[0] == code]


def _flags(report: Dataset) -> list[Finding]:
    found: list[Finding] = []
    for keyword, allowed in (
        ("CompletionFlag", _COMPLETION), ("VerificationFlag", _VERIFICATION), ("PreliminaryFlag", _PRELIMINARY)
    ):
        value = str(report.get(keyword, "missing"))
        if value not in allowed:
            found.append(_wrong(keyword, " or ".join(sorted(allowed)), value))
    verified = report.get("VerificationFlag") == "VERIFIED"
    observers = report.get("VerifyingObserverSequence") or []
    if verified and report.get("CompletionFlag") != "COMPLETE":
        found.append(_wrong("CompletionFlag", "COMPLETE where VERIFIED", str(report.get("CompletionFlag"))))
    if verified and not observers:
        found.append(_wrong("VerifyingObserverSequence", "an observer where VERIFIED", "none"))
    if not verified and observers:
        found.append(_wrong("VerifyingObserverSequence", "none where UNVERIFIED", f"{len(observers)}"))
    for observer in observers:
        moment = str(observer.get("VerificationDateTime", ""))
        if len(moment) < 19 or moment[-5] not in "+-":
            found.append(_wrong("VerificationDateTime", "an instant with its offset from UTC", "no offset"))
        if not observer.get("VerifyingObserverName") or not observer.get("VerifyingOrganization"):
            found.append(_wrong("VerifyingObserverSequence", "name and organization", "missing"))
    return found


def _evidence(report: Dataset) -> list[Finding]:
    """Everything that the tree refers to stands in the evidence (PS3.3 C.17.2.3)."""
    listed: set[str] = set()
    series: set[str] = set()
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in report.get(keyword) or []:
            for one in study.get("ReferencedSeriesSequence") or []:
                series.add(str(one.get("SeriesInstanceUID", "")))
                listed.update(str(item.ReferencedSOPInstanceUID) for item in one.get("ReferencedSOPSequence") or [])
    found: list[Finding] = []
    if not listed:
        return [_wrong("CurrentRequestedProcedureEvidenceSequence", "the objects that were measured", "none")]
    for place, item in _walk(report, "1"):
        if item.get("ValueType") == "IMAGE":
            for reference in item.get("ReferencedSOPSequence") or []:
                if str(reference.get("ReferencedSOPInstanceUID", "")) not in listed:
                    found.append(_wrong(place, "an object of the evidence", "another object"))
        if _concept(item)[0] == "121232" and str(item.get("UID", "")) not in series:
            found.append(_wrong(place, "a series of the evidence", "another series"))
    return found


def _walk(item: Dataset, place: str) -> list[tuple[str, Dataset]]:
    found: list[tuple[str, Dataset]] = []
    for number, child in enumerate(item.get("ContentSequence") or [], start=1):
        inner = f"{place}.{number}"
        found += [(inner, child), *_walk(child, inner)]
    return found


def _rows(parent: Dataset, table: tuple[Row, ...], place: str) -> list[Finding]:
    rows = {row.concept: row for row in table}
    counts: Counter[tuple[str, str]] = Counter()
    found: list[Finding] = []
    for number, child in enumerate(parent.get("ContentSequence") or [], start=1):
        concept, inner = _concept(child), f"{place}.{number}"
        row = rows.get(concept)
        if row is None:
            found.append(_wrong(inner, "a row of the template", f"({concept[0]}, {concept[1]})"))
            continue
        counts[concept] += 1
        if child.get("ValueType") != row.kind:
            found.append(_wrong(inner, row.kind, str(child.get("ValueType", "no value type"))))
        if child.get("RelationshipType") != row.relation:
            found.append(_wrong(inner, row.relation, str(child.get("RelationshipType", "no relation"))))
        if row.values and _value(child) not in row.values:
            found.append(_wrong(inner, f"a code of the list for {concept[0]}", "({}, {})".format(*_value(child))))
        found += _filled(child, inner)
    for row in table:
        if not row.least <= counts[row.concept] <= row.most:
            most = "more" if row.most == _MANY else str(row.most)
            found.append(_wrong(place, f"{row.least} to {most} of {row.concept[0]}", str(counts[row.concept])))
    return found


def _filled(item: Dataset, place: str) -> list[Finding]:
    """Each value type holds its value."""
    attribute = {"TEXT": "TextValue", "UIDREF": "UID", "PNAME": "PersonName", "CODE": "ConceptCodeSequence",
                 "IMAGE": "ReferencedSOPSequence"}.get(str(item.get("ValueType")))
    if attribute is not None and not item.get(attribute):
        return [_wrong(place, attribute, "empty")]
    return []


def _observers(report: Dataset) -> list[Finding]:
    """A device is named by its UID, a person by name (TID 1002 to 1004)."""
    present = {_concept(child)[0] for child in report.get("ContentSequence") or []}
    kinds = {_value(child)[0] for _, child in _children(report, "1", "121005")}
    found: list[Finding] = []
    if not kinds:
        found.append(_wrong("1", "an observer (121005)", "none"))
    if "121007" in kinds and "121012" not in present:
        found.append(_wrong("1", "Device Observer UID (121012)", "missing"))
    if "121006" in kinds and "121008" not in present:
        found.append(_wrong("1", "Person Observer Name (121008)", "missing"))
    return found


def _group(group: Dataset, place: str) -> list[Finding]:
    template = (group.get("ContentTemplateSequence") or [Dataset()])[0]
    # TID 1501: measured by a person without a mask, so there is no segment to refer to.
    rows = _GROUP_WITHOUT_MASK if str(template.get("TemplateIdentifier", "")) == "1501" else _GROUP
    found = _rows(group, rows, place)
    present = {_concept(child)[0] for child in group.get("ContentSequence") or []}
    for first, second in (("111001", "111003"), ("111003", "111001"), ("111002", "111001")):  # TID 4019
        if first in present and second not in present:
            found.append(_wrong(place, f"{second} beside {first}", "missing"))
    numbers = [(f"{place}.{n}", child) for n, child in enumerate(group.get("ContentSequence") or [], 1)
               if child.get("ValueType") == "NUM" and child.get("RelationshipType") != "HAS OBS CONTEXT"]
    if not numbers:
        found.append(_wrong(place, "at least one measurement", "none"))
    for inner, number in numbers:
        found += _rows(number, _NUMBER, inner) + _number(number, inner)
    return found


def _number(item: Dataset, place: str) -> list[Finding]:
    values = item.get("MeasuredValueSequence") or []
    qualifiers = item.get("NumericValueQualifierCodeSequence") or []
    if not values:
        first = qualifiers[0] if qualifiers else Dataset()
        if (str(first.get("CodeValue", "")), str(first.get("CodingSchemeDesignator", ""))) not in _QUALIFIERS:
            return [_wrong(place, "a value, or why there is none (CID 42)", "neither")]
        return []
    units = values[0].get("MeasurementUnitsCodeSequence") or []
    if not units:
        return [_wrong(place, "a unit", "none")]
    unit = (str(units[0].get("CodeValue", "")), str(units[0].get("CodingSchemeDesignator", "")))
    if unit not in _UNITS or unit[0] not in _UNIT_OF.get(_concept(item)[0], set()):
        return [_wrong(place, "a UCUM unit of this measure", f"({unit[0]}, {unit[1]})")]
    if not str(values[0].get("NumericValue", "")):
        return [_wrong(place, "Numeric Value", "empty")]
    return []

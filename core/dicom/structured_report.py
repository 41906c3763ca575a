"""Measurements to Comprehensive 3D SR, TID 1500: the AI's proposal, and the final that a person signed.

Codes are those of `codes`; `tid1500` checks every report before it leaves. Values stand as the exact decimal that was
measured: the library's float beside it is taken out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dcm
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from core.dicom import codes
from core.dicom.result import (
    DEMONSTRATION,
    MANUFACTURER,
    Algorithm,
    Instance,
    ResultUnusable,
    headers_only,
    offset_text,
    one_study,
    settle,
)
from core.dicom.tid1500 import check_report
from core.ids import derived_uid


@dataclass(frozen=True, slots=True)
class Measured:
    """One number. `value` None means not evaluable, with the reason as CID 42 word: never a zero instead."""

    name: Literal["volume", "long_axis", "short_axis"]
    value: Decimal | None
    unit: Literal["mm", "cm", "mm3", "ml"]
    absent: Literal["", "not_attempted", "failure"] = ""


@dataclass(frozen=True, slots=True)
class LesionResult:
    """One measurement group: of TID 1411 with its segment, or of TID 1501 where a person measured without a mask and
    `segment_uid` is empty. `origin`: the AI's own value, or what the reader made of it. `shows`: the code of an
    anatomical structure; None for a lesion."""

    tracking_id: str
    tracking_uid: str
    segment_uid: str
    segment_number: int
    source_series: str
    measurements: tuple[Measured, ...]
    origin: Literal["ai", "accepted", "adjusted", "drawn"]
    shows: Code | None = None


@dataclass(frozen=True, slots=True)
class TimePoint:
    """TID 1502: the time point in the protocol's words, its kind (CID 6146) and its place in the subject's order."""

    name: str
    kind: str
    order: int


@dataclass(frozen=True, slots=True)
class Verifier:
    """The person whose signature makes a report final. `signed_at` carries the offset from UTC."""

    name: str
    login: str
    organization: str
    role: str
    signed_at: datetime


def make_ai_report(
    lesions: Sequence[LesionResult], evidence: Sequence[Dataset], algorithm: Algorithm, time_point: TimePoint,
    instance: Instance,
) -> Dataset:
    """The AI's unverified proposal: PARTIAL, UNVERIFIED, PRELIMINARY.

    Args:
        lesions: one group each; the referenced segmentations are among the evidence.
        evidence: the SEG and the images that it was made from, all of one study.
        algorithm: the lock; its device UID is the observer.
    """
    if any(lesion.origin != "ai" for lesion in lesions):
        raise ResultUnusable("An AI report holds the AI's own values only.")
    made = _report(lesions, evidence, algorithm, time_point, instance, verifier=None, predecessors=())
    made.SeriesDescription = _described(instance, "AI measurements, unverified")
    return _checked(made)


def make_final_report(
    lesions: Sequence[LesionResult], evidence: Sequence[Dataset], algorithm: Algorithm | None, time_point: TimePoint,
    instance: Instance, verifier: Verifier, predecessors: Sequence[Dataset],
) -> Dataset:
    """The result that a person signed: a new instance, COMPLETE, VERIFIED, FINAL, naming its predecessors.

    Args:
        algorithm: the lock whose values were accepted or adjusted; None where the reader measured alone.
        predecessors: the AI report and earlier finals, most recent first.
    """
    if verifier.signed_at.utcoffset() is None:
        raise ResultUnusable("The time of a signature needs its offset from UTC.")
    if any(lesion.origin == "ai" for lesion in lesions):
        raise ResultUnusable("A final report holds values that a person accepted, adjusted or measured.")
    if algorithm is None and any(lesion.origin in ("accepted", "adjusted") for lesion in lesions):
        raise ResultUnusable("An accepted or adjusted value names the algorithm that proposed it.")
    made = _report(lesions, evidence, algorithm, time_point, instance, verifier=verifier, predecessors=predecessors)
    made.SeriesDescription = _described(instance, "Final measurements, verified")
    return _checked(made)


def _described(instance: Instance, what: str) -> str:
    """What lists of series show; at most 64 characters (LO)."""
    return f"{DEMONSTRATION}: {what.rpartition(', ')[2]}" if instance.demonstration else what


def _says_its_class() -> sr.TextContentItem:
    """A comment (DCM 121106) beside the measurements, for whoever reads the document and not the list of series."""
    return sr.TextContentItem(codes.COMMENT, DEMONSTRATION, sr.RelationshipTypeValues.CONTAINS)


def _checked(made: Dataset) -> Dataset:
    wrong = check_report(made)
    if wrong:
        told = "; ".join(f"{finding.where}: {finding.measured}, required {finding.required}" for finding in wrong)
        raise ResultUnusable(f"The report breaks TID 1500: {told}.")
    return made


def _report(
    lesions: Sequence[LesionResult], evidence: Sequence[Dataset], algorithm: Algorithm | None, time_point: TimePoint,
    instance: Instance, *, verifier: Verifier | None, predecessors: Sequence[Dataset],
) -> Dataset:
    if not lesions:
        raise ResultUnusable("A measurement report needs at least one lesion.")
    one_study(evidence)
    present = {str(dataset.SOPInstanceUID) for dataset in evidence}
    for lesion in lesions:
        if not lesion.segment_uid and lesion.origin != "drawn":
            raise ResultUnusable(f"{lesion.tracking_id}: a value that came from the AI names its segmentation.")
        if lesion.segment_uid and lesion.segment_uid not in present:
            raise ResultUnusable(f"{lesion.tracking_id}: its segmentation is not among the evidence.")
    if time_point.kind not in codes.TIME_POINT_TYPES:
        raise ResultUnusable(f"{time_point.kind!r} is no kind of time point: {', '.join(codes.TIME_POINT_TYPES)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = sr.MeasurementReport(
            observation_context=_observers(algorithm, verifier),
            procedure_reported=_procedure(evidence),
            imaging_measurements=[_group(lesion, algorithm, time_point, instance) for lesion in lesions],
            title=codes.IMAGING_MEASUREMENT_REPORT,
            language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
                sr.CodedConcept.from_code(codes.ENGLISH)
            ),
        )
        made = sr.Comprehensive3DSR(
            evidence=[headers_only(dataset) for dataset in evidence],
            content=content[0],
            series_instance_uid=instance.series_uid,
            series_number=instance.series_number,
            sop_instance_uid=instance.sop_uid,
            instance_number=instance.instance_number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.name if algorithm and verifier is None else "Countersign",
            software_versions=instance.software,
            device_serial_number=algorithm.lock_digest[:16] if algorithm and verifier is None else instance.software,
            is_complete=verifier is not None,
            is_final=verifier is not None,
            is_verified=verifier is not None,
            verifying_observer_name=_person(verifier.name) if verifier else None,
            verifying_organization=verifier.organization if verifier else None,
            previous_versions=list(predecessors) or None,
            record_evidence=True,
        )
    settle(made, instance)
    if instance.demonstration:
        made.ContentSequence.append(_says_its_class())
    _empty_the_absent(made)
    if verifier is not None:
        # The library stamps its own local clock without a zone; the instant is that of the signature.
        item = made.VerifyingObserverSequence[0]
        item.VerificationDateTime = verifier.signed_at.strftime("%Y%m%d%H%M%S.%f") + offset_text(verifier.signed_at)
    return made


def _empty_the_absent(item: Dataset) -> None:
    """A number with a qualifier has no value. The library cannot hold that while it builds, so it is emptied here."""
    for child in item.get("ContentSequence") or []:
        if child.get("NumericValueQualifierCodeSequence"):
            child.MeasuredValueSequence = []
        _empty_the_absent(child)


def _person(name: str) -> str:
    """A printed name as family name component: our names are roles or full names, and are not split by guess."""
    return name.replace("^", " ").replace("=", " ")[:60] + "^"


def _observers(algorithm: Algorithm | None, verifier: Verifier | None) -> Any:
    device = person = None
    if algorithm is not None:
        device = sr.ObserverContext(
            observer_type=dcm.DCM.Device,
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=algorithm.device_uid, name=algorithm.name, manufacturer_name=algorithm.manufacturer,
                model_name=f"{algorithm.name} {algorithm.version}"[:64], serial_number=algorithm.lock_digest[:16],
            ),
        )
    if verifier is not None:
        if verifier.role not in codes.READER_ROLES:
            raise ResultUnusable(f"{verifier.role!r} is no role of CID 7453: {', '.join(codes.READER_ROLES)}.")
        person = sr.ObserverContext(
            observer_type=dcm.DCM.Person,
            observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(
                name=_person(verifier.name), login_name=verifier.login, organization_name=verifier.organization,
                role_in_procedure=codes.READER_ROLES[verifier.role],
            ),
        )
    return sr.ObservationContext(observer_person_context=person, observer_device_context=device)


def _procedure(evidence: Sequence[Dataset]) -> Any:
    kinds = {str(dataset.get("Modality")) for dataset in evidence if dataset.SOPClassUID != SegmentationStorage}
    found = [codes.PROCEDURES[kind] for kind in sorted(kinds) if kind in codes.PROCEDURES]
    return found or [codes.IMAGING_PROCEDURE]


def _group(lesion: LesionResult, algorithm: Algorithm | None, time_point: TimePoint, instance: Instance) -> Any:
    if not lesion.measurements:
        raise ResultUnusable(f"{lesion.tracking_id}: a lesion without a measurement is not reported.")
    named = algorithm is not None and lesion.origin in ("ai", "accepted", "adjusted")
    if not lesion.segment_uid:
        return sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=lesion.tracking_uid, identifier=lesion.tracking_id),
            finding_category=codes.ANATOMICAL_STRUCTURE if lesion.shows else codes.MORPHOLOGICALLY_ABNORMAL,
            finding_type=lesion.shows or codes.LESION,
            time_point_context=_time_point(time_point),
            measurements=[_number(lesion, measured, instance) for measured in lesion.measurements],
        )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=lesion.tracking_uid, identifier=lesion.tracking_id),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=lesion.segment_uid,
            segment_number=lesion.segment_number,
            source_series=sr.SourceSeriesForSegmentation(lesion.source_series),
        ),
        finding_category=codes.ANATOMICAL_STRUCTURE if lesion.shows else codes.MORPHOLOGICALLY_ABNORMAL,
        finding_type=lesion.shows or codes.LESION,
        time_point_context=_time_point(time_point),
        algorithm_id=_identification(algorithm) if named and algorithm is not None else None,
        measurements=[_number(lesion, measured, instance) for measured in lesion.measurements],
    )


def _time_point(time_point: TimePoint) -> Any:
    return sr.TimePointContext(
        time_point=time_point.name,
        time_point_type=codes.TIME_POINT_TYPES[time_point.kind],
        time_point_order=time_point.order,
        protocol_time_point_identifier=time_point.name,
    )


def _identification(algorithm: Algorithm) -> Any:
    return sr.AlgorithmIdentification(
        name=algorithm.name, version=algorithm.version, family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=algorithm.manufacturer,
        parameters=[f"lock-sha256={algorithm.lock_digest}", *algorithm.parameters],
    )


def _number(lesion: LesionResult, measured: Measured, instance: Instance) -> Any:
    if (measured.value is None) != bool(measured.absent):
        raise ResultUnusable(f"{lesion.tracking_id}: a measure has a value, or the reason why it has none.")
    qualifier = {"": None, "not_attempted": codes.NOT_ATTEMPTED, "failure": codes.MEASUREMENT_FAILURE}[measured.absent]
    made = sr.Measurement(
        name=codes.MEASURES[measured.name],
        value=0,
        unit=codes.UNITS[measured.unit],
        qualifier=qualifier,
        method=codes.SUM_OF_VOXELS if measured.name == "volume" else None,
        derivation=codes.USER_CHOSEN_VALUE if lesion.origin == "adjusted" else None,
    )
    item = made[0]
    if measured.value is not None:
        text = f"{measured.value:f}"
        if len(text) > 16:
            raise ResultUnusable(f"{lesion.tracking_id}: {text} has more digits than DICOM holds (16).")
        item.MeasuredValueSequence[0].NumericValue = text
    item.ObservationUID = derived_uid("observation", instance.sop_uid, lesion.tracking_uid, measured.name)
    return made


@dataclass(frozen=True, slots=True)
class ReadMeasurement:
    """One number read back from a report; `value` None where it is qualified as absent."""

    tracking_id: str
    tracking_uid: str
    concept: str
    value: Decimal | None
    unit: str


def read_measurements(dataset: Dataset) -> list[ReadMeasurement]:
    """Every number of every measurement group, as the exact decimal that stands in the report."""
    found: list[ReadMeasurement] = []
    for container in dataset.get("ContentSequence") or []:
        for group in container.get("ContentSequence") or []:
            if _name(group) != codes.MEASUREMENT_GROUP.value:
                continue
            texts = {_name(item): item for item in group.get("ContentSequence") or []}
            for item in group.get("ContentSequence") or []:
                # The order of the time point is a number too, and no measurement.
                if item.get("ValueType") != "NUM" or item.get("RelationshipType") != "CONTAINS":
                    continue
                values = item.get("MeasuredValueSequence") or []
                found.append(ReadMeasurement(
                    str(texts["112039"].TextValue), str(texts["112040"].UID), _name(item),
                    Decimal(str(values[0].NumericValue)) if values else None,
                    str(values[0].MeasurementUnitsCodeSequence[0].CodeValue) if values else "",
                ))
    return found


def _name(item: Dataset) -> str:
    concept = item.get("ConceptNameCodeSequence") or [Dataset()]
    return str(concept[0].get("CodeValue", ""))



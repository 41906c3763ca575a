"""What a finished run leaves: SEG, TID 1500 SR and their objects; of a sealed run one encrypted object instead."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, cast

import numpy as np
from pydicom.sr.coding import Code

from audit.vocabulary.registry import ObjectRef
from core.clock import as_datetime
from core.dicom import codes
from core.dicom.reading import read_object
from core.dicom.result import Algorithm, Instance, as_bytes
from core.dicom.segmentation import Segment, make_segmentation, read_segmentation
from core.dicom.structured_report import LesionResult, Measured, TimePoint, make_ai_report, read_measurements
from core.errors import RecordDamaged, UnusableInput
from core.ids import derived_uid
from core.objects import DICOM, JSON
from core.reads.ports import keeper_of
from core.reads.rules import is_baseline
from core.trials.queries import signed_charter, time_points_of, trial_row
from core.work import Desk, release
from models_registry.answer import Answer, Value
from models_registry.queries import LockRow, RunRow
from models_registry.segmentation.pipeline import mask_of
from models_registry.segmentation.state import Structure

UNITS = ("mm", "cm", "mm3", "ml")
NAMES = ("volume", "long_axis", "short_axis")
SEG_SERIES, SR_SERIES = 801, 802
ENCLOSED = "application/vnd.countersign.enclosed"
SEGMENTATION, REPORT = "segmentation.dcm", "report.dcm"


@dataclass(frozen=True, slots=True)
class Written:
    """The objects of a run."""

    segmentation: ObjectRef | None = None
    report: ObjectRef | None = None
    result: ObjectRef | None = None


def algorithm_of(lock: LockRow) -> Algorithm:
    """TID 4019 of a lock: what a reader of SEG or SR needs to find it in the record."""
    fields = lock.fields
    return Algorithm(
        name=fields.model, version=fields.model_version, manufacturer="Countersign", lock_digest=fields.tree_sha256,
        parameters=(
            f"lock={lock.lock}", f"bundle-sha256={fields.tree_sha256}", f"weights-sha256={fields.tensors_sha256}",
            f"environment-sha256={fields.environment_sha256}", f"entry={lock.entry_id}",
        ),
    )


def write_result(
    desk: Desk, lock: LockRow, row: RunRow, sources: Sequence[Any], answer: Answer,
    structures: Sequence[Structure] = (), seal: str | None = None,
) -> Written:
    """Write the objects of a finished run, each encrypted under the subject's key.

    `sources`: the images on whose grid the mask lies. `structures`: what the labels of a segmentation show; none where
    the mask is that of one lesion.
    `seal`: commitment of the blinded read that the run belongs to. Masks and report then are one object that is first
    encrypted under the seal's key (RECORD 5), so that the subject's key is no way round the seal.

    Raises UnusableInput where SEG or SR cannot be made, and for a unit that no SR code fits.
    """
    owner = f"{row.trial}/{row.subject}"
    if seal is None and row.sealed:
        return Written(result=desk.objects.put(sealed_document(row, answer), JSON, subject=owner))
    segmentation, report = _instances(desk, lock, row, sources, answer, structures)
    if seal is not None:
        enclosed = keeper_of(desk.signer).enclose(seal, row.run, _packed(segmentation, report))
        return Written(result=desk.objects.put(enclosed, ENCLOSED, subject=owner))
    return Written(
        segmentation=desk.objects.put(segmentation, DICOM, subject=owner),
        report=desk.objects.put(report, DICOM, subject=owner),
    )


def _packed(segmentation: bytes, report: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SEGMENTATION, segmentation)
        archive.writestr(REPORT, report)
    return packed.getvalue()


def unpacked(data: bytes) -> tuple[bytes, bytes]:
    """SEG and SR of a blinded run, as its seal gave them back. Raises RecordDamaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(SEGMENTATION), archive.read(REPORT)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RecordDamaged("The sealed result of a run holds no masks and report.") from error


def _instances(
    desk: Desk, lock: LockRow, row: RunRow, sources: Sequence[Any], answer: Answer, structures: Sequence[Structure]
) -> tuple[bytes, bytes]:
    """SEG and SR as files."""
    assert answer.mask is not None  # finished
    algorithm = algorithm_of(lock)
    made_at = as_datetime(desk.clock.now())
    with desk.reading() as session:
        trial = trial_row(session, row.trial)
    demonstration = trial is not None and trial.demonstration

    def instance(kind: str, series_number: int) -> Instance:
        return Instance(
            series_uid=derived_uid("run", row.run, kind, "series"), sop_uid=derived_uid("run", row.run, kind),
            series_number=series_number, instance_number=1, made_at=made_at, software=release(),
            demonstration=demonstration,
        )

    segments = _segments(row, answer, structures)
    segmentation = make_segmentation([one for one, _ in segments], sources, algorithm, instance("SEG", SEG_SERIES))
    groups = [
        LesionResult(
            tracking_id=one.tracking_id, tracking_uid=one.tracking_uid, segment_uid=str(segmentation.SOPInstanceUID),
            segment_number=number, source_series=str(sources[0].SeriesInstanceUID),
            measurements=tuple(_measured(name, value) for name, value in values), origin="ai", shows=one.shows,
        )
        for number, (one, values) in enumerate(segments, start=1)
    ]
    report = make_ai_report(groups, [segmentation, *sources], algorithm, _time_point(desk, row),
                            instance("SR", SR_SERIES))
    files = as_bytes(segmentation), as_bytes(report)
    _read_back(*files, sources, [one for one, _ in segments], groups)
    return files


def _segments(
    row: RunRow, answer: Answer, structures: Sequence[Structure]
) -> list[tuple[Segment, list[tuple[str, Value]]]]:
    """Each segment with its measures: the lesion that was asked for, or the structures that the labels show."""
    assert answer.mask is not None  # finished
    if not structures:
        lesion = Segment(label=row.lesion, tracking_id=row.lesion, tracking_uid=row.tracking_uid,
                         mask=answer.mask.astype(np.bool_), kind="SEMIAUTOMATIC")
        return [(lesion, [(value.name, value) for value in answer.values])]
    found = []
    for one in structures:
        values = [value for value in answer.values if value.name == f"{one.name}_volume"]
        found.append((Segment(
            label=one.name.replace("_", " "), tracking_id=one.name.replace("_", " "),
            tracking_uid=derived_uid("structure", row.tracking_uid, one.name),
            mask=mask_of(answer.mask.astype(np.uint8), one), kind="AUTOMATIC", shows=Code(*one.code),
        ), [("volume", value) for value in values]))
    return found


def _read_back(
    segmentation: bytes, report: bytes, sources: Sequence[Any], segments: Sequence[Segment],
    groups: Sequence[LesionResult],
) -> None:
    """What a reader of the files will find is what was measured. Raises UnusableInput; then nothing is stored."""
    masks = [found.mask for found in read_segmentation(read_object(segmentation), sources)]
    if len(masks) != len(segments) or not all(
            np.array_equal(mask, one.mask) for mask, one in zip(masks, segments, strict=True)):
        raise UnusableInput("The segmentation, read back from its bytes, is not the mask that was measured.")
    told = sorted((group.tracking_uid, codes.MEASURES[one.name].value, one.value)
                  for group in groups for one in group.measurements if one.value is not None)
    numbers = read_measurements(read_object(report))
    if sorted((one.tracking_uid, one.concept, one.value) for one in numbers if one.value is not None) != told:
        raise UnusableInput("The numbers of the report, read back from its bytes, are not those that were measured.")


def _measured(measure: str, value: Value) -> Measured:
    if measure not in NAMES:
        raise UnusableInput(f"No code of the report fits the measure {measure}.")
    name = cast(Literal["volume", "long_axis", "short_axis"], measure)
    if value.value is None:
        return Measured(name, None, "mm3" if name == "volume" else "mm", "failure")
    number, unit = value.value.split(" ", 1)
    if unit not in UNITS:
        raise UnusableInput(f"No code of the report fits the unit {unit}.")
    return Measured(name, Decimal(number), cast(Literal["mm", "cm", "mm3", "ml"], unit))


def _time_point(desk: Desk, row: RunRow) -> TimePoint:
    """The time point in the protocol's words, its kind and place. Kinds are those of core.dicom.codes."""
    with desk.reading() as session:
        points = time_points_of(session, row.trial, row.subject)
        signed = signed_charter(session, row.trial)
    order = {one.time_point: number for number, one in enumerate(points, start=1)}
    label = next((one.label for one in points if one.time_point == row.time_point), row.time_point)
    occasion = next((one.occasion for one in points if one.time_point == row.time_point), "unscheduled")
    at_baseline = occasion == "baseline" or (signed is not None and is_baseline(signed.charter, row.time_point))
    kind = "baseline" if at_baseline else "unscheduled" if occasion == "unscheduled" else "posttreatment"
    return TimePoint(name=label, kind=kind, order=order.get(row.time_point, 1))


def sealed_document(row: RunRow, answer: Answer) -> bytes:
    """Values and mask of a sealed run as one document; shown to nobody until its seals open."""
    assert answer.mask is not None  # finished
    packed = io.BytesIO()
    np.savez_compressed(packed, mask=np.packbits(answer.mask), shape=np.array(answer.mask.shape))
    return json.dumps({
        "run": row.run, "lock": row.lock, "lesion": row.lesion, "tracking_uid": row.tracking_uid,
        "values": [{"name": v.name, "value": v.value, "uncertainty": v.uncertainty, "failed": v.failed}
                   for v in answer.values],
        "confidence": answer.confidence, "domain_distance": answer.domain_distance,
        "output_sha256": answer.output_sha256, "mask_npz_hex": packed.getvalue().hex(),
    }, sort_keys=True).encode()

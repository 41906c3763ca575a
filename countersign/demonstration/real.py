"""Real studies beside the generated ones (`--data`): five sarcoma subjects at baseline, and one patient's MR pair.

What the public sets left out and a site's export would carry (coded trial attributes, a device serial number, one
series UID per series) is written into copies; pixels and geometry are theirs. Attribution: see `credits`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from audit.vocabulary.reads import Seed
from core import outbox
from core.arrival.queries import accepted_series, cases_of, load_series
from core.arrival.usecases import DisposeCase, IntakeFolder, dispose_case, intake_folder
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.gates.rules import USES
from core.gates.usecases import RequestGate, request_gate
from core.ids import derived_uid
from core.reads.listing import read_values
from core.reads.locking import LockAnswer, seal_read
from core.reads.usecases import (
    AssignReaders,
    BeginRead,
    PlaceSeeds,
    QualifyReader,
    assign_readers,
    begin_read,
    place_seeds,
    qualify_reader,
)
from core.trials.sites import QualifyScanner, activate_site, qualify_scanner, train_site
from core.trials.subjects import RecordConsent, ScreenSubject, enrol_subject, record_consent, screen_subject
from core.trials.usecases import (
    CreateTrial,
    SignConfigurationTest,
    accept_charter,
    activate_trial,
    approve_charter,
    create_trial,
    sign_charter,
    sign_configuration_test,
)
from countersign.demonstration.cast import CAST, actor
from countersign.demonstration.founding import grant, train
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import INVESTIGATOR, LEAD, QA
from models_registry.asking import RequestRun, request_runs
from models_registry.images import ArrivalImages
from models_registry.queries import runs_of

SARCOMA, SCLEROSIS, SITE = "DEMO-302", "DEMO-303", "201"
# Coded subject, and its folder in the set.
SUBJECTS = {f"STS-{number}": f"STS_{number}" for number in ("003", "008", "025", "041", "047")}
CREDITS = (
    "Sarcoma studies: Soft-tissue-Sarcoma, The Cancer Imaging Archive (Vallieres et al. 2015, "
    "10.7937/K9/TCIA.2015.7GO2GSKS), processed by the IBSI (A. Zwanenburg), CC BY 3.0. MR pair: Lesjak et al., "
    "University of Ljubljana, CC BY; its headers are generated, dates invented, interval real."
)


@dataclass(frozen=True, slots=True)
class Contour:
    """A person's outline of the lesion: a point inside, and what it measures."""

    inside: tuple[float, float, float]
    volume_ml: Decimal
    long_axis_mm: Decimal


def show(stage: Stage, data: Path) -> None:
    """Both sets, as far as they go; nothing is invented that they do not hold."""
    stage.say(f"   {CREDITS}")
    _sarcoma(stage, data / "petct-mr-rtstruct-sts")
    _sclerosis(stage, data / "mr-ms-longitudinal" / "dicom")


def _charter(trial: str, title: str, change: Any) -> str:
    """The charter of a small trial: the demonstration's with other sites, schedule and uses."""
    text: dict[str, Any] = yaml.safe_load((files("countersign.demonstration") / "demo-301.yaml").read_text())
    text |= {"trial": trial, "title": title, "sites": [{"id": SITE, "country": "CA", "time_zone": "America/Montreal"}]}
    text["people"]["investigators"] = [{"person": INVESTIGATOR, "site": SITE}]
    change(text)
    return yaml.safe_dump(text, sort_keys=False, allow_unicode=True)


def _set_up(stage: Stage, trial: str, title: str, text: str, modalities: tuple[str, ...]) -> None:
    grant(stage, QA, LEAD, "trial_lead", trial)
    grant(stage, QA, INVESTIGATOR, "investigator", trial, SITE)
    stage.signed(create_trial(stage.desk, actor(LEAD), CreateTrial(trial, title, demonstration=True)))
    stage.signed(sign_charter(stage.desk, actor(LEAD), text))
    stage.signed(accept_charter(stage.desk, actor(INVESTIGATOR), trial))
    stage.signed(approve_charter(stage.desk, actor(QA), trial))
    needed = {"imaging_lead", "data_manager", "qc_technologist", "coordinator", "reader", "adjudicator"}
    for user, _, roles in CAST:
        for role in needed.intersection(roles):
            grant(stage, LEAD, user, role, trial)
            train(stage, user)
    stage.signed(train_site(stage.desk, actor(LEAD), trial, SITE))
    for modality in modalities:
        stage.signed(qualify_scanner(stage.desk, actor("imaging-lead"), QualifyScanner(
            trial, SITE, f"SITE-{SITE}-{modality}", modality, "as in the images", "2027-12-31",
            "stands for a phantom scan of that time")))
    stage.signed(activate_site(stage.desk, actor(LEAD), trial, SITE, "1990-01-01"))
    stage.signed(sign_configuration_test(stage.desk, actor("data-manager"), SignConfigurationTest(
        trial, 1, ("a dummy subject was entered and its windows were compared with the charter",))))
    stage.signed(activate_trial(stage.desk, actor(LEAD), trial))


def _enrol(stage: Stage, trial: str, subject: str, scanned: date) -> None:
    before = (scanned - timedelta(days=1)).isoformat()
    screen_subject(stage.desk, actor("coordinator"), ScreenSubject(trial, subject, SITE, before))
    record_consent(stage.desk, actor("coordinator"), RecordConsent(trial, subject, "1.0", before, ("images", "ai")))
    enrolled = (scanned + timedelta(days=7)).isoformat()
    stage.signed(enrol_subject(stage.desk, actor(INVESTIGATOR), trial, subject, enrolled))


def _export(source: Path, target: Path, trial: str, subject: str, time_point: str, *, one_series: bool) -> date:
    """Copies as a site's export would send them; returns the day of acquisition."""
    target.mkdir(parents=True)
    day = ""
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        dataset = read_object(path)
        if dataset.Modality == "RTSTRUCT":
            continue
        day = str(dataset.get("AcquisitionDate") or dataset.get("SeriesDate") or dataset.StudyDate)
        dataset.ClinicalTrialProtocolID, dataset.ClinicalTrialSiteID = trial, SITE
        dataset.ClinicalTrialSubjectID, dataset.ClinicalTrialTimePointID = subject, time_point
        dataset.PatientID, dataset.PatientName = subject, f"{subject}^"
        dataset.DeviceSerialNumber = f"SITE-{SITE}-{dataset.Modality}"
        if not dataset.get("AcquisitionDate"):
            dataset.AcquisitionDate = day
        if one_series:
            dataset.StudyInstanceUID = derived_uid(subject, time_point)
            dataset.SeriesInstanceUID = derived_uid(subject, time_point, dataset.Modality)
            dataset.FrameOfReferenceUID = derived_uid(subject, time_point, "frame")
        (target / f"{number:04d}.dcm").write_bytes(as_bytes(dataset))
    return date(int(day[:4]), int(day[4:6]), int(day[6:8]))


def _take_in(stage: Stage, folder: Path, trial: str) -> None:
    account = intake_folder(stage.desk, actor("data-manager"), IntakeFolder(folder, trial))
    why = ", ".join(sorted({one.code for one in account.outcomes if one.outcome == "refused"}))
    refused = f", {account.count('refused')} refused ({why})" if why else ""
    stage.say(f"   {folder.name}: {account.count('accepted')} accepted{refused}")


def _dispose(stage: Stage, trial: str) -> None:
    with stage.desk.reading() as session:
        waiting = cases_of(session, trial, undisposed=True)
    for case, row in waiting:
        broken = [rule for rule in case.rules if rule.outcome == "not_met"]
        severity = {rule.when_broken for rule in broken}
        disposition, reason = ("accepted", "judged_irrelevant" if broken else "all_rules_met")
        if "reject" in severity:
            disposition, reason = "rejected", "protocol_deviation"
        elif "query" in severity or row.held:
            disposition, reason = "queried", "protocol_deviation"
        said = "; ".join(f"{rule.rule}: {rule.measured}, required {rule.required}" for rule in broken)
        stage.say(f"   {case.subject}, {case.time_point}, {case.modality}: {disposition}{f' ({said})' if said else ''}")
        command = DisposeCase(trial, case.case_id, disposition, reason)
        stage.signed(dispose_case(stage.desk, actor("technologist"), command))


def _answer(stage: Stage, trial: str) -> None:
    """The technologist takes the sites' answers: what was removed is gone, SUV in g/ml needs no scaling."""
    with stage.desk.reading() as session:
        queried = [(case, row) for case, row in cases_of(session, trial) if row.disposition == "queried"]
    for case, row in queried:
        broken = {rule.when_broken for rule in case.rules if rule.outcome == "not_met"}
        if "reject" not in broken and row.held is None:
            command = DisposeCase(trial, case.case_id, "accepted", "answered_by_site")
            stage.signed(dispose_case(stage.desk, actor("technologist"), command))


def contour_of(folder: Path) -> Contour:
    """The human GTV of an RTSTRUCT (PS3.3 C.8.8.6): area of each closed planar contour times the slice distance."""
    structure = next(
        dataset for dataset in map(read_object, sorted((folder / "CT").rglob("*.dcm")))
        if dataset.Modality == "RTSTRUCT"
    )
    planes: dict[float, list[NDArray[np.float64]]] = {}
    for contour in structure.ROIContourSequence[0].ContourSequence:
        points = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)
        planes.setdefault(round(float(points[0, 2]), 2), []).append(points[:, :2])
    heights = sorted(planes)
    distance = float(np.median(np.diff(heights))) if len(heights) > 1 else 1.0
    areas = {height: sum(_area(points) for points in planes[height]) for height in heights}
    widest = max(areas, key=lambda height: areas[height])
    biggest = max(planes[widest], key=_area)
    apart = biggest[:, None] - biggest[None, :]
    longest = float(np.sqrt((apart**2).sum(-1)).max())
    centre = biggest.mean(axis=0)
    volume = sum(areas.values()) * distance / 1000
    return Contour((float(centre[0]), float(centre[1]), widest), _tenth(volume), _tenth(longest))


def _area(points: NDArray[np.float64]) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _tenth(value: float) -> Decimal:
    return Decimal(repr(float(value))).quantize(Decimal("0.1"))


def _sarcoma(stage: Stage, folder: Path) -> None:
    title = "Sarcoma studies with a human reference (demonstration)"

    def change(text: dict[str, Any]) -> None:
        text["schedule"] = [text["schedule"][0]]
        for use in text["ai"].values():
            use["strata"] = ["clinical"]

    with stage.scene("Real data: five sarcoma subjects, baseline only"):
        _set_up(stage, SARCOMA, title, _charter(SARCOMA, title, change), ("CT", "PT"))
        contours = {}
        for subject, name in SUBJECTS.items():
            contours[subject] = contour_of(folder / name)
            target = stage.folder / "deliveries" / subject
            scanned = _export(folder / name / "CT", target / "CT", SARCOMA, subject, "BL", one_series=False)
            _export(folder / name / "PET", target / "PT", SARCOMA, subject, "BL", one_series=False)
            _enrol(stage, SARCOMA, subject, scanned)
            _take_in(stage, target, SARCOMA)
        _dispose(stage, SARCOMA)
        _answer(stage, SARCOMA)
        with stage.desk.reading() as session:
            ready = [one for one in SUBJECTS if len(accepted_series(session, SARCOMA, one, "BL")) == 2]
        stage.must(bool(ready), "a real study passes quality control")
        for subject in ready:
            _point_and_ask(stage, subject, contours[subject])
        outbox.drain(stage.desk)
        _compare(stage, contours)
        _reads(stage, ready, contours)
        stage.refused(
            "opening gate 3 where only eight clinical cases exist",
            lambda: request_gate(stage.desk, actor(LEAD), RequestGate(
                SARCOMA, USES[3], str(stage.notes["lock"]), "volume")),
        )
        stage.note("real sarcoma studies", f"{len(ready)} of {len(SUBJECTS)} accepted, measured (exploratory) and read")


def _point_and_ask(stage: Stage, subject: str, contour: Contour) -> None:
    with stage.desk.reading() as session:
        series = next(row for row in accepted_series(session, SARCOMA, subject, "BL") if row.modality == "CT")
        frame = str(load_series(session, stage.desk.objects, SARCOMA, series.series)[0].FrameOfReferenceUID)
    x, y, z = (f"{value:.1f}" for value in contour.inside)
    uid = derived_uid("lesion", SARCOMA, subject)
    seeds = (Seed(lesion="TL01", tracking_uid=uid, x=x, y=y, z=z),)
    command = PlaceSeeds(SARCOMA, subject, "BL", series.series, frame, seeds)
    stage.signed(place_seeds(stage.desk, actor("imaging-lead"), command))
    request_runs(stage.desk, actor("imaging-lead"), [RequestRun(
        SARCOMA, subject, "BL", "TL01", uid, (x, y, z), "imaging-lead", str(stage.notes["lock"]), "none", None,
        "exploratory")], ArrivalImages())


def _compare(stage: Stage, contours: dict[str, Contour]) -> None:
    """The model's volume beside the human contour; exploratory, so it counts nowhere."""
    with stage.desk.reading() as session:
        runs = runs_of(session, trial=SARCOMA)
    for run in runs:
        human = contours[run.subject].volume_ml
        found = run.values.get("volume", run.cause or run.state)
        stage.say(f"   {run.subject}: human contour {human} ml, model {found} ({run.state}, exploratory)")


def _reads(stage: Stage, subjects: list[str], contours: dict[str, Contour]) -> None:
    for user in ("reader-1", "reader-2"):
        stage.signed(qualify_reader(stage.desk, actor("imaging-lead"), QualifyReader(
            SARCOMA, user, "reader", "reference-set-1", 12, "0.92", "0.80")))
    stage.signed(assign_readers(stage.desk, actor("imaging-lead"), AssignReaders(
        SARCOMA, tuple(subjects), {"reader_1": "reader-1", "reader_2": "reader-2"})))
    for subject in subjects:
        for reader, factor in (("reader-1", Decimal("1.00")), ("reader-2", Decimal("1.03"))):
            begin_read(stage.desk, actor(reader), BeginRead(SARCOMA, subject, "BL"))
            contour = contours[subject]
            volume = [f"{(contour.volume_ml * factor).quantize(Decimal('0.1'))} ml"]
            target = {
                "lesion": "TL01", "state": "measured", "location": "soft tissue", "kind": "extranodal",
                "modality": "CT", "slice_mm": "3.27 mm", "tracking_uid": derived_uid("lesion", SARCOMA, subject),
                "sizes": {
                    "response": [f"{(contour.long_axis_mm * factor).quantize(Decimal('0.1'))} mm"],
                    "volume": volume, "volume_response": volume,
                },
            }
            stage.signed(seal_read(stage.desk, actor(reader), LockAnswer(
                SARCOMA, subject, "BL", {"targets": [target]})).proposal)
        outbox.drain(stage.desk)
    with stage.desk.reading() as session:
        stage.say(f"   {len(read_values(session, SARCOMA))} values read by two readers")


def _sclerosis(stage: Stage, folder: Path) -> None:
    title = "One patient's MR pair, 203 days apart (demonstration)"

    def change(text: dict[str, Any]) -> None:
        first = text["schedule"][0] | {"modalities": ["MR"]}
        second = copy.deepcopy(first) | {
            "id": "FU", "label": "Follow-up", "day": 196, "window_before": 14, "window_after": 14, "event": "follow_up",
        }
        text["schedule"] = [first, second]
        text["acquisition"] = [{"modality": "MR", "rules": [{
            "id": "MR-DISTANCE", "measure": "slice_distance_mm", "operator": "<=", "value": "3.5", "unit": "mm",
            "when_broken": "query", "why": "Both visits have to show lesions of 3 mm alike."}]}]
        text["ai"] = {use: {"use": "not_used", "reason": "No model of this installation reads MR."}
                      for use in text["ai"]}
        for endpoint in text["endpoints"]:
            endpoint["ai_display"] = "none"

    with stage.scene("Real data: one patient's MR pair"):
        _set_up(stage, SCLEROSIS, title, _charter(SCLEROSIS, title, change), ("MR",))
        subject, first = "OPENMS-LONG-01", None
        for visit, time_point in (("study1", "BL"), ("study2", "FU")):
            target = stage.folder / "deliveries" / f"{subject}-{time_point}"
            day = _export(folder / visit / "flair", target, SCLEROSIS, subject, time_point, one_series=True)
            if first is None:
                first = day
                _enrol(stage, SCLEROSIS, subject, day)
            else:
                stage.say(f"   {(day - first).days} days between the visits")
            _take_in(stage, target, SCLEROSIS)
        _dispose(stage, SCLEROSIS)
        stage.note("real MR pair", "received as two time points; 4 mm slices at the first visit are a deviation")

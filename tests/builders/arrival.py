"""A live trial with one subject, and folders of small images that a site would send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audit.vocabulary import trials as trial_words
from core.arrival.usecases import DisposeCase, IntakeAccount, IntakeFolder, dispose_case, intake_folder
from core.dicom.result import as_bytes
from core.policy.state import Actor
from core.work import Receipt
from tests.builders.reads import DIGEST, TRIAL, charter_text, recorded, signed
from tests.house import HouseUnderTest
from tests.unit.dicom.samples import ct_slice

SITE, SUBJECT, DAY = "101", "101-001", "20260302"
SCANNER = "SN-4711"
SENDER, TECHNOLOGIST = Actor("coordinator"), Actor("technologist")
PET = {
    "Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Units": "BQML", "RescaleIntercept": "0",
    "KVP": None, "ConvolutionKernel": None, "CorrectedImage": ["ATTN", "DECY"], "DecayCorrection": "START",
    "SeriesDescription": "PET WB",
}  # fmt: skip


def a_trial_that_receives(house: HouseUnderTest, text: str | None = None, *, active: bool = True) -> None:
    """DEMO-301 live, site 101 active with a qualified CT and PET scanner, subject 101-001 consented and expected."""
    house.person("trial-lead", "trial_lead", trial=TRIAL)
    house.person("imaging-lead", "imaging_lead", trial=TRIAL)
    house.person("coordinator", "coordinator", trial=TRIAL)
    house.person("technologist", "qc_technologist", trial=TRIAL)
    text = text or charter_text()
    signed(house, "trial-lead", trial_words.TrialCreated(title="A trial", demonstration=True))
    sites = (trial_words.NamedSite(site=SITE, country="CH", time_zone="Europe/Zurich"),)
    first = signed(house, "trial-lead", trial_words.CharterSigned(
        charter_version="1.0", digest=DIGEST, text=text, evidence_class="demonstration", limits=(), uses=(), people=(),
        sites=sites,
    ))
    signed(house, "qa-0", trial_words.CharterApproved(charter_version="1.0", digest=DIGEST, signed=first.id))
    signed(house, "trial-lead", trial_words.TrialActivated(charter_version="1.0", digest=DIGEST))
    signed(house, "trial-lead", trial_words.SiteTrained(site=SITE, charter_version="1.0"))
    if active:
        qualify_scanner(house, "CT")
        qualify_scanner(house, "PT")
        activate(house)
    a_subject(house, SUBJECT)


def qualify_scanner(house: HouseUnderTest, modality: str) -> None:
    signed(house, "imaging-lead", trial_words.ScannerQualified(
        site=SITE, scanner=SCANNER, modality=modality, manufacturer="Acme Scanners", valid_until="2027-01-01",
        evidence="phantom scan",
    ))


def activate(house: HouseUnderTest) -> None:
    signed(house, "trial-lead", trial_words.SiteActivated(site=SITE, charter_version="1.0", effective_on="2026-01-01"))


def a_subject(house: HouseUnderTest, subject: str, *, consent: bool = True) -> None:
    recorded(house, trial_words.SubjectScreened(subject=subject, site=SITE, on="2026-02-20"))
    if consent:
        recorded(house, trial_words.ConsentRecorded(
            subject=subject, consent_version="1", given_on="2026-02-20", scopes=("images", "ai")
        ))
    for time_point, day, first, last in (("BL", "2026-03-02", "2026-02-20", "2026-03-08"),
                                         ("W08", "2026-05-04", "2026-04-27", "2026-05-11")):
        recorded(house, trial_words.TimePointExpected(
            subject=subject, time_point=time_point, label=time_point, occasion="scheduled", target_on=day,
            earliest_on=first, latest_on=last, charter_version="1.0",
        ))


def write_series(
    folder: Path, kind: str = "CT", *, subject: str = SUBJECT, time_point: str = "BL", count: int = 8, day: str = DAY,
    numbers: tuple[int, ...] = (), **changes: Any,
) -> list[Path]:
    """Write a CT or PET series of small slices as a site would send it; returns the paths in slice order."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = {
        "PatientName": f"{subject}^", "PatientID": subject, "ClinicalTrialProtocolID": TRIAL,
        "ClinicalTrialSubjectID": subject, "ClinicalTrialSiteID": SITE, "ClinicalTrialTimePointID": time_point,
        "StudyDate": day, "SeriesDate": day, "AcquisitionDate": day, "ContentDate": day, "DeviceSerialNumber": SCANNER,
        "ImagesInAcquisition": str(count),
    } | (PET if kind == "PT" else {}) | changes
    paths = []
    for number in numbers or tuple(range(1, count + 1)):
        series = f"{kind} {changes.get('SeriesDescription', '')}"
        made = ct_slice(number, study=f"{subject} {time_point}", series=series, **stated)
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        path = folder / f"{kind}{number:03d}.dcm"
        path.write_bytes(as_bytes(made))
        paths.append(path)
    return paths


def write_study(folder: Path, **changes: Any) -> None:
    """CT and PET of one time point."""
    write_series(folder / "ct", "CT", **changes)
    write_series(folder / "pt", "PT", **changes)


def take_in(house: HouseUnderTest, folder: Path, **more: Any) -> IntakeAccount:
    return intake_folder(house.desk, SENDER, IntakeFolder(folder, TRIAL, **more))


def dispose(
    house: HouseUnderTest, case: str, disposition: str = "accepted", reason: str = "all_rules_met",
    by: Actor = TECHNOLOGIST,
) -> Receipt:
    return house.commit(dispose_case(house.desk, by, DisposeCase(TRIAL, case, disposition, reason)))

"""Real images of other people's scanners: what is in order comes in, what is wrong with them is found."""

from __future__ import annotations

import shutil

import pytest

from audit.vocabulary.trials import ConsentRecorded, SubjectScreened
from core.arrival import queries
from core.dicom.reading import read_object
from core.dicom.result import ResultUnusable, as_bytes
from core.dicom.segmentation import read_segmentation
from core.dicom.structured_report import read_measurements
from core.ids import derived_uid
from tests.builders.arrival import SITE, a_trial_that_receives, take_in
from tests.builders.reads import TRIAL, charter_text, recorded
from tests.req import req

pytestmark = pytest.mark.realdata
MR_RULES = """acquisition:
  - modality: MR
    rules:
      - id: MR-DISTANCE
        measure: slice_distance_mm
        operator: "<="
        value: "3.5"
        unit: mm
        when_broken: query
        why: The charter of this test asks for 3 mm.
"""


@pytest.fixture
def clinic(fresh):
    """A trial with rules for MR, and subjects under the names that the real images carry."""
    a_trial_that_receives(fresh, charter_text().replace("acquisition:\n", MR_RULES))
    for subject in ("OPENMS-LONG-01", "REAL-1"):
        recorded(fresh, SubjectScreened(subject=subject, site=SITE, on="2026-02-20"))
        consent = ConsentRecorded(subject=subject, consent_version="1", given_on="1990-01-01", scopes=("images",))
        recorded(fresh, consent)
    return fresh


def as_one_series(source, target, visit):
    """The set's headers were generated with a study, series and frame UID of its own for every slice; one each here."""
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            dataset = read_object(path)
            dataset.StudyInstanceUID = derived_uid(visit)
            dataset.SeriesInstanceUID = derived_uid(visit, "flair")
            (target / path.name).write_bytes(as_bytes(dataset))


def rules_by_series(house):
    with house.desk.reading() as session:
        return [
            (row, {rule.rule: rule for rule in case.rules}) for case, row in queries.cases_of(session, TRIAL)
        ]


@req("RDG-11")
def test_the_flair_of_the_first_visit_breaks_the_slice_distance_and_the_second_does_not(clinic, data, tmp_path):
    """The MS pair: 4 mm at visit 1, 3 mm at visit 2, 203 days apart; the dates stay 203 days apart after shifting."""
    for visit in ("study1", "study2"):
        as_one_series(data / "mr-ms-longitudinal" / "dicom" / visit / "flair", tmp_path / "in" / visit, visit)

    take_in(clinic, tmp_path / "in")

    found = rules_by_series(clinic)
    assert [(rules["MR-DISTANCE"].measured, rules["MR-DISTANCE"].outcome) for _, rules in found] == [
        ("4.000 mm", "not_met"), ("3.000 mm", "met")
    ]
    assert {rules["geometry.frame_of_reference"].outcome for _, rules in found} == {"warning"}
    days = []
    for row, _ in found:
        with clinic.desk.reading() as session:
            days.append(queries.load_series(session, clinic.desk.objects, TRIAL, row.series)[0].StudyDate)
    from datetime import date

    first, second = (date(int(day[:4]), int(day[4:6]), int(day[6:])) for day in days)
    assert (second - first).days == 203


@req("PRV-01", "RDG-11")
def test_a_brain_with_private_headers_and_one_slice_missing(clinic, data, tmp_path):
    """Siemens CSA headers go; the date inside the patient id is found; the one missing slice of 176 is found."""
    folder = tmp_path / "in"
    folder.mkdir()
    source = sorted((data / "mr-brain-adi" / "t1-memprage").rglob("*"))
    for path in [path for path in source if path.is_file()][40:80]:
        shutil.copy(path, folder)

    take_in(clinic, folder, subject="REAL-1")

    ((_, rules),) = rules_by_series(clinic)
    assert "private element" in rules["deid.devices"].measured
    assert rules["deid.left"].outcome == "met"
    assert rules["identity.subject"].outcome == "not_met"


@req("RDG-11")
def test_a_segmentation_is_told_from_one_whose_images_are_missing(clinic, data, tmp_path):
    """The tumour SEG with the nine slices it refers to, and the SR example whose PET is not there."""
    folder = tmp_path / "in"
    folder.mkdir()
    seg = next((data / "pet-seg-qin-hn-0024" / "seg").iterdir())
    wanted = {
        str(one.ReferencedSOPInstanceUID) for item in read_object(seg).ReferencedSeriesSequence
        for one in item.ReferencedInstanceSequence
    }
    shutil.copy(seg, folder / "seg.dcm")
    for path in (data / "pet-seg-qin-hn-0024" / "pet").iterdir():
        if str(read_object(path).SOPInstanceUID) in wanted:
            shutil.copy(path, folder)
    shutil.copy(data / "seg-sr-dcmqi" / "sr-example" / "seg.dcm", folder / "foreign.dcm")

    codes = {one.path.name: one.code for one in take_in(clinic, folder, subject="REAL-1").outcomes}

    assert codes["seg.dcm"] == "derived-object"
    assert codes["foreign.dcm"] == "references-unresolved"


@req("REC-14")
def test_a_segmentation_and_a_report_of_other_makers_are_read(data):
    """dcmqi's SEG of a PET tumour against its 299 slices, and the numbers of its TID 1500 report."""
    images = [read_object(path) for path in (data / "pet-seg-qin-hn-0024" / "pet").iterdir()]
    seg = read_object(next((data / "pet-seg-qin-hn-0024" / "seg").iterdir()))
    report = read_object(data / "seg-sr-dcmqi" / "sr-example" / "sr.dcm")

    found = read_segmentation(seg, images)

    assert [(one.label, int(one.mask.sum())) for one in found] == [
        ("Neoplasm, Primary", 54), ("Neoplasm, Secondary", 212)
    ]
    assert len(read_measurements(report)) == 22
    with pytest.raises(ResultUnusable, match="not here"):
        read_segmentation(read_object(data / "seg-sr-dcmqi" / "sr-example" / "seg.dcm"), images)

"""Planted identifiers in more than twenty places: none survives, the checker sees each, and names none."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from core.dicom.deidentify import TrialIdentity, deidentify, new_uid, profile, shift_days
from core.dicom.leaks import check_marks, check_pixels, find_leaks, identifiers_of
from core.dicom.reading import UnreadableDicom, read_object
from core.dicom.result import as_bytes
from core.dicom.words import cleaned
from tests.req import req
from tests.unit.dicom.samples import ct_slice

KEY = b"0123456789abcdef0123456789abcdef"
WHO = TrialIdentity("Sponsor", "LUMEN-301", "S-001", "LUM-001-001", "baseline")
NAME, RECORD, BORN = "Vandermeulen", "MRN-7731-4459", "19610214"


def nested(*path: tuple[int, str], text: str = NAME) -> Dataset:
    """A data set whose innermost element, under the given sequences, holds the text."""
    body = Dataset()
    if len(path) == 1:
        body.add_new(path[0][0], path[0][1], text)
        return body
    body.add_new(path[0][0], "SQ", [nested(*path[1:], text=text)])
    return body


PLACES: dict[str, dict[str, Any]] = {
    "patient name": {"PatientName": f"{NAME}^Anna"},
    "other names": {"OtherPatientNames": [f"{NAME}^A", "Smith"]},
    "record number": {"PatientID": RECORD},
    "other ids": {"OtherPatientIDs": RECORD},
    "birth date": {"PatientBirthDate": BORN},
    "address": {"PatientAddress": f"1 {NAME} Lane"},
    "telephone": {"PatientTelephoneNumbers": "+32 2 555 0199"},
    "study description": {"StudyDescription": f"CT CHEST {NAME} {RECORD}"},
    "series description": {"SeriesDescription": f"AX for {NAME}"},
    "protocol name": {"ProtocolName": f"chest {NAME}"},
    "image comments": {"ImageComments": f"pat. {NAME}, born 14.02.1961"},
    "patient comments": {"PatientComments": RECORD},
    "history": {"AdditionalPatientHistory": f"{NAME} fell"},
    "accession": {"AccessionNumber": "ACC-998877"},
    "study id": {"StudyID": "77314459"},
    "institution": {"InstitutionName": f"Clinic {NAME}"},
    "department": {"InstitutionalDepartmentName": "Oncology Vandermeulen"},
    "operator": {"OperatorsName": f"{NAME}^Op"},
    "physician": {"ReferringPhysicianName": f"{NAME}^Ref"},
    "station": {"StationName": "CTVANDERMEULEN"},
    "kernel": {"ConvolutionKernel": NAME},
    "software": {"SoftwareVersions": f"1.0 {NAME}"},
    "manufacturer": {"Manufacturer": f"Acme for {NAME}"},
    "scan options": {"ScanOptions": "VANDERMEULEN"},
    "window text": {"WindowCenterWidthExplanation": NAME},
    "derivation": {"DerivationDescription": f"anonymised from {RECORD}"},
}


def planted() -> Dataset:
    """Everything at once, and private, nested, binary and overlay places besides."""
    body = ct_slice(1)
    for changes in PLACES.values():
        for keyword, value in changes.items():
            setattr(body, keyword, value)
    body.add_new(0x00090010, "LO", "ACME")
    body.add_new(0x00091001, "LO", NAME)
    body.add_new(0x00091002, "OB", f"xx{NAME}yy ".encode())
    body.add_new(0x00091003, "SQ", [nested((0x00091010, "LO"))])
    body.add_new(0x60000022, "LO", NAME)
    body.update(nested((0x00400275, "SQ"), (0x00400007, "LO")))
    body.update(nested((0x00081140, "SQ"), (0x00081155, "UI"), text="1.2.3.4.5.6.7.8"))
    body.update(nested((0x00082112, "SQ"), (0x0040A170, "SQ"), (0x00080104, "LO")))
    body.update(nested((0x0040A730, "SQ"), (0x0040A160, "UT")))
    body.update(nested((0x00101002, "SQ"), (0x00100020, "LO"), text=RECORD))
    return body


@req("PRV-01", "PRV-02")
def test_no_planted_identifier_survives_anywhere_in_the_bytes():
    """36 places: text, names, dates, nested, private, binary, overlay; the raw bytes are searched."""
    original = read_object(as_bytes(planted()))
    content = as_bytes(deidentify(original, WHO, KEY).dataset)

    for token in (NAME, NAME.upper(), RECORD, BORN, "ACC-998877", "77314459", "14.02.1961", "1.2.3.4.5.6.7.8",
                  "555 0199", str(original.StudyInstanceUID), str(original.SOPInstanceUID),
                  str(original.FrameOfReferenceUID)):
        assert token.encode() not in content, "an identifier survived"
    assert find_leaks(read_object(content), identifiers_of(original, allowed=WHO.allowed), allowed=WHO.allowed) == []


@req("PRV-01")
@pytest.mark.parametrize("place", PLACES)
def test_the_checker_finds_each_planted_identifier_and_does_not_repeat_it(place):
    """The checker alone, on an object that was not cleaned at this one place."""
    source = planted()
    clean = deidentify(read_object(as_bytes(source)), WHO, KEY).dataset
    for keyword, value in PLACES[place].items():
        setattr(clean, keyword, value)

    found = find_leaks(clean, identifiers_of(source, allowed=WHO.allowed), allowed=WHO.allowed)

    assert found
    assert not any(NAME.casefold() in repr(one).casefold() or RECORD in repr(one) for one in found)


@req("PRV-01")
def test_the_checker_finds_what_no_header_names():
    """E-mail, telephone, labelled numbers, private elements: by their form, without knowing the person."""
    clean = deidentify(read_object(as_bytes(ct_slice(1))), WHO, KEY).dataset
    clean.ImageComments = "mail anna@example.org"
    clean.StudyDescription = "MRN: 12345"
    clean.add_new(0x00090010, "LO", "ACME")

    assert {(one.rule, one.measured) for one in find_leaks(clean, [])} == {
        ("deid.pattern", "e-mail address"), ("deid.pattern", "labelled identifier"),
        ("deid.private", "private element"),
    }  # fmt: skip


@req("PRV-01")
def test_the_cleaned_object_says_what_was_done_to_it():
    clean = deidentify(read_object(as_bytes(planted())), WHO, KEY).dataset

    assert all(not finding.bars for finding in check_marks(clean))
    assert {str(item.CodeValue) for item in clean.DeidentificationMethodCodeSequence} == {
        "113100", "113103", "113105", "113107", "113108"
    }
    assert (clean.PatientID, clean.ClinicalTrialSubjectID, clean.ClinicalTrialTimePointID) == (
        "LUM-001-001", "LUM-001-001", "baseline"
    )
    assert clean.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109104"
    assert any(finding.bars for finding in check_marks(ct_slice(1)))


@req("PRV-01")
def test_pixels_and_geometry_come_through_untouched():
    original = read_object(as_bytes(planted()))
    clean = deidentify(original, WHO, KEY).dataset

    assert clean.PixelData == original.PixelData
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "KVP", "RescaleSlope"):
        assert clean[keyword].value == original[keyword].value


@req("PRV-01")
@given(st.dates(date(1990, 1, 1), date(2030, 1, 1)), st.integers(0, 800), st.text(min_size=1, max_size=12))
def test_intervals_between_dates_stay_exact(first, gap, subject):
    """Confirmation windows of a criterion count days: both dates of a subject move by the same number."""
    days = shift_days(KEY, subject)
    second = date.fromordinal(first.toordinal() + gap)
    who = TrialIdentity("Sponsor", "T", "S", subject, "v1")
    moved = [
        deidentify(read_object(as_bytes(ct_slice(1, StudyDate=day.strftime("%Y%m%d")))), who, KEY).dataset.StudyDate
        for day in (first, second)
    ] if subject.isascii() and subject.isalnum() else None

    assert days <= -365
    if moved:
        start, end = (date(int(text[:4]), int(text[4:6]), int(text[6:8])) for text in moved)
        assert (end - start).days == gap
        assert start != first


@req("PRV-01")
def test_uids_change_consistently_and_only_with_the_key():
    one = deidentify(read_object(as_bytes(ct_slice(1))), WHO, KEY).dataset
    two = deidentify(read_object(as_bytes(ct_slice(2))), WHO, KEY).dataset
    other = deidentify(read_object(as_bytes(ct_slice(1))), WHO, KEY[::-1]).dataset

    assert one.SeriesInstanceUID == two.SeriesInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != other.SeriesInstanceUID
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    assert len(new_uid(KEY, "1.2.3")) <= 64


@req("PRV-01")
@given(st.text(max_size=60))
def test_a_cleaned_descriptor_holds_imaging_words_only(text):
    from core.dicom.words import is_imaging_word

    assert all(is_imaging_word(word.strip(".-")) for word in cleaned(text).split())


@req("PRV-01")
@pytest.mark.parametrize(
    ("keyword", "value"), [("StudyTime", "Vandermeulen"), ("PatientAge", "ANNA"), ("Modality", "a b")]
)
def test_text_in_a_field_of_another_kind_goes(keyword, value):
    """A time that is no time, an age that is no age, a code that is no code: nobody knows what they say."""
    source = read_object(as_bytes(ct_slice(1, **{keyword: value})))

    assert value.encode() not in as_bytes(deidentify(source, WHO, KEY).dataset)


@req("PRV-01")
def test_a_series_numbered_by_its_patient_loses_the_number():
    """Seen in a public set: Series Number equals Patient ID. Numbers that merely contain the digits stay."""
    source = read_object(as_bytes(ct_slice(1, PatientID="123456", SeriesNumber="123456", TableHeight="0.123456")))
    clean = deidentify(source, WHO, KEY).dataset

    assert clean.SeriesNumber in (None, "")
    assert clean.TableHeight == source.TableHeight
    assert find_leaks(clean, identifiers_of(source, allowed=WHO.allowed), allowed=WHO.allowed) == []


@req("PRV-01")
def test_an_old_person_is_ninety_and_over():
    """45 CFR 164.514(b)(2)(i)(C)."""
    assert deidentify(read_object(as_bytes(ct_slice(1, PatientAge="094Y"))), WHO, KEY).dataset.PatientAge == "090Y"


@req("PRV-01")
def test_screen_captures_and_stated_burn_in_need_a_human_look():
    assert check_pixels(ct_slice(1, BurnedInAnnotation="YES")).bars
    assert check_pixels(ct_slice(1, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])).bars
    assert not check_pixels(ct_slice(1)).bars


@req("PRV-01")
def test_the_profile_names_attributes_that_exist():
    """250 and more lines of PS3.15 E.1-1 as data."""
    assert len(profile()) > 250


@req("PRV-01")
@pytest.mark.realdata
def test_real_headers_of_many_kinds_and_alphabets_come_out_clean(data):
    """Charsets, captures with planted names, private CSA headers, enhanced frames: cleaned and found clean."""
    folders = ("charsets", "phi-and-text", "mr-enhanced-siemens-xa10", "geometry-and-syntax-d2n", "ct-head-ge-tilt")
    paths = [path for folder in folders for path in sorted((data / folder).rglob("*")) if path.is_file()][:60]
    paths.append(next(path for path in (data / "mr-brain-adi").rglob("*") if path.is_file()))
    seen = 0
    for path in paths:
        try:
            original = read_object(path)
        except UnreadableDicom:
            continue
        seen += 1
        clean = read_object(as_bytes(deidentify(original, WHO, KEY).dataset))
        assert find_leaks(clean, identifiers_of(original, allowed=WHO.allowed), allowed=WHO.allowed) == [], path.name

    assert seen > 30


@req("PRV-01")
def test_nested_private_sequences_of_pydicom_go_altogether():
    source = read_object(as_bytes(ct_slice(1)))
    from pydicom import dcmread

    for element in dcmread(str(get_testdata_file("nested_priv_SQ.dcm")), force=True):
        source.add(element)

    assert not any(element.tag.is_private for element in deidentify(source, WHO, KEY).dataset.iterall())

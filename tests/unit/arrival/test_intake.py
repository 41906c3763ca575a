"""A folder comes in: every file has one outcome on record, nothing identifying survives, nothing is overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless

from core.arrival import queries
from core.arrival.storing import prepare_series
from core.arrival.usecases import IntakeFolder, intake_folder
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.errors import NotFound, OutsideUnavailable, RecordDamaged, Refused, UnusableInput
from core.policy.state import Actor
from core.trials.queries import time_point_of
from tests.builders.arrival import (
    SENDER,
    SUBJECT,
    a_subject,
    dispose,
    take_in,
    write_series,
    write_study,
)
from tests.builders.reads import TRIAL
from tests.req import req


def outcomes(account):
    found: dict[tuple[str, str], int] = {}
    for one in account.outcomes:
        found[one.outcome, one.code] = found.get((one.outcome, one.code), 0) + 1
    return found


def asked(house, question, *arguments, **more):
    with house.desk.reading() as session:
        return question(session, *arguments, **more)


def rules_of(house, case):
    return {rule.rule: rule for rule in asked(house, queries.case_of, TRIAL, case).rules}


@req("REC-11", "RDG-11")
def test_a_whole_study_is_received_checked_and_waits_for_its_technologist(house, tmp_path):
    """CT and PET of one time point: two series entries, two cases, and the time point is in quality control."""
    write_study(tmp_path / "in")

    account = take_in(house, tmp_path / "in")

    assert outcomes(account) == {("accepted", "stored"): 16}
    assert [asked(house, queries.case_of, TRIAL, case).broken for case in account.cases] == [0, 0]
    assert asked(house, time_point_of, TRIAL, SUBJECT, "BL").state == "in_qc"
    assert house.words().count("series.received") == 2
    assert "study.completed" in house.words()


@req("REC-11")
def test_every_file_ends_in_exactly_one_recorded_outcome(house, tmp_path):
    """Good slices among broken, foreign and strange files, in nested folders, with a link among them."""
    folder = tmp_path / "in"
    write_series(folder / "a" / "b")
    hostile = ("MR_truncated.dcm", "no_meta.dcm", "rtplan_truncated.dcm", "UN_sequence.dcm", "badVR.dcm",
               "dicomdirtests/DICOMDIR", "MR_small.dcm", "test-SR.dcm", "liver_1frame.dcm")
    for number, name in enumerate(hostile):
        shutil.copy(Path(str(get_testdata_file(name))), folder / f"{number}.dcm")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "README.txt").write_text("images of a patient")
    (folder / "link.dcm").symlink_to(folder / "0.dcm")

    account = take_in(house, folder)
    found = outcomes(account)

    assert found["accepted", "stored"] == 8
    assert found["refused", "truncated"] == 2
    assert found["refused", "not-dicom"] == 2
    assert found["refused", "not-a-file"] == found["refused", "empty"] == found["refused", "directory"] == 1
    assert found["refused", "modality-not-asked"] == 1
    assert found["refused", "references-unresolved"] + found.get(("refused", "derived-object"), 0) == 2
    assert len(account.outcomes) == len(list(folder.rglob("*"))) - 2
    entry = house.entries()[-1].body
    assert entry["action"] == "intake.recorded"
    counted = entry["fields"]
    assert counted["files"] == counted["accepted"] + counted["duplicates"] + counted["conflicting"] + counted["refused"]


def with_float_pixels(path: Path) -> None:
    dataset = read_object(path)
    values = np.zeros((dataset.Rows, dataset.Columns), np.float32)
    values[3, 4] = np.nan
    del dataset.PixelData
    dataset.FloatPixelData, dataset.BitsAllocated = values.tobytes(), 32
    path.write_bytes(as_bytes(dataset))


@req("RDG-11", "VAL-11")
@pytest.mark.parametrize("spoilt", [{"RescaleSlope": "NaN"}, {"RescaleIntercept": "inf"}, {"RescaleSlope": "1e38"}, {}])
def test_a_series_without_numbers_is_found_and_cannot_be_accepted(house, tmp_path, spoilt):
    """A rescale that is no number or leads to none, or NaN among float pixels: no model is ever asked about it."""
    paths = write_series(tmp_path / "in", **spoilt)
    if not spoilt:
        with_float_pixels(paths[2])

    (case,) = take_in(house, tmp_path / "in").cases

    rule = rules_of(house, case)["values.finite"]
    assert (rule.outcome, rule.when_broken) == ("not_met", "reject")
    assert rule.measured == f"{8 if spoilt else 1} of 8 hold others"
    with pytest.raises(Refused) as refusal:
        dispose(house, case, reason="judged_irrelevant")
    assert refusal.value.rule == "F-303"


@req("PRV-02", "PRV-01")
def test_no_name_reaches_the_ledger_the_tables_or_the_store(house, tmp_path):
    """Planted name, number, birth date and institution: not in entries, database or objects; a finding says so."""
    write_series(
        tmp_path / "in", PatientName="Vandermeulen^Anna", PatientID="MRN-7731-4459", PatientBirthDate="19610214",
        InstitutionName="Clinic Vandermeulen", ImageComments="Vandermeulen moved",
    )
    account = take_in(house, tmp_path / "in")

    rule = rules_of(house, account.cases[0])["deid.as_sent"]
    assert (rule.outcome, rule.when_broken) == ("not_met", "query")
    assert "name" in rule.measured
    house.desk.engine.dispose()
    for path in house.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            for token in (b"vandermeulen", b"mrn-7731", b"19610214"):
                assert token not in content, path.name


@req("PRV-04")
def test_stored_objects_are_encrypted_under_the_subject(house, tmp_path):
    """No stored object is readable as DICOM; the loader gives the data sets back, each digest checked."""
    write_series(tmp_path / "in")
    account = take_in(house, tmp_path / "in")

    assert not any(b"DICM" in path.read_bytes() for path in (house.home / "objects").rglob("*") if path.is_file())
    with house.desk.reading() as session:
        loaded = queries.load_series(session, house.desk.objects, TRIAL, account.series[0])
    assert len(loaded) == 8
    assert {str(one.PatientID) for one in loaded} == {SUBJECT}


@req("REC-04")
def test_a_changed_object_is_found_on_loading(house, tmp_path):
    write_series(tmp_path / "in")
    account = take_in(house, tmp_path / "in")
    with house.desk.reading() as session:
        row = queries.the_series(session, TRIAL, account.series[0])
    stored = queries.manifest_of(house.desk.objects, row).instances[3].object
    path = house.home / "objects" / stored.sha256[:2] / stored.sha256[2:]
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    with house.desk.reading() as session, pytest.raises(RecordDamaged):
        queries.load_series(session, house.desk.objects, TRIAL, account.series[0])


@req("REC-11")
def test_the_same_content_again_is_recognised_in_whatever_transfer_syntax(house, tmp_path):
    """Sent a second time, once as it was and once as JPEG-LS: nothing new is stored."""
    paths = write_series(tmp_path / "in")
    take_in(house, tmp_path / "in")
    for path in paths[:3]:
        dataset = read_object(path)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        path.write_bytes(as_bytes(dataset))

    again = take_in(house, tmp_path / "in")

    assert outcomes(again) == {("duplicate", "same-content"): 8}
    event = next(entry.body["fields"] for entry in house.entries() if entry.body["action"] == "series.duplicated")
    assert (event["instances"], event["re_encoded"]) == (8, 3)
    assert house.words().count("series.received") == 1


@req("REC-07", "REC-11")
def test_the_same_uid_with_other_content_is_refused_and_kept_in_quarantine(house, tmp_path):
    """Three slices come again with one pixel changed: the stored ones stay, the attempt is an entry."""
    paths = write_series(tmp_path / "in")
    first = take_in(house, tmp_path / "in")
    before = asked(house, queries.the_series, TRIAL, first.series[0])
    for path in paths[:3]:
        dataset = read_object(path)
        dataset.PixelData = bytes(dataset.PixelData[:-2]) + b"\x01\x02"
        path.write_bytes(as_bytes(dataset))

    again = take_in(house, tmp_path / "in")

    assert outcomes(again) == {("conflict", "same-uid-other-content"): 3, ("duplicate", "same-content"): 5}
    assert asked(house, queries.the_series, TRIAL, first.series[0]) == before
    event = next(entry.body for entry in house.entries() if entry.body["action"] == "series.conflicted")
    assert event["fields"]["conflicting"] == 3
    assert event["fields"]["stored_manifest_sha256"] == before.manifest_sha256
    assert event["reason"] == "same-uid-other-content"
    assert [row.code for row in asked(house, queries.refusals_of, TRIAL, "conflict")] == ["same-uid-other-content"]


@req("REC-07")
def test_a_changed_header_alone_is_a_conflict_even_where_cleaning_would_hide_it(house, tmp_path):
    """The patient's name differs: the de-identified copies would be equal, the senders' objects are not."""
    paths = write_series(tmp_path / "in")
    take_in(house, tmp_path / "in")
    dataset = read_object(paths[0])
    dataset.ReferringPhysicianName = "Somebody^Else"
    paths[0].write_bytes(as_bytes(dataset))

    assert outcomes(take_in(house, tmp_path / "in"))["conflict", "same-uid-other-content"] == 1


@req("REC-07")
def test_one_uid_with_two_contents_in_one_delivery_keeps_the_first(house, tmp_path):
    paths = write_series(tmp_path / "in")
    dataset = read_object(paths[0])
    dataset.KVP = "80"
    (tmp_path / "in" / "z.dcm").write_bytes(as_bytes(dataset))

    found = outcomes(take_in(house, tmp_path / "in"))

    assert found == {("accepted", "stored"): 8, ("conflict", "same-uid-other-content"): 1}


OTHER = "101-002"


def of_the_other(folder: Path, source: list[Path], *, numbers: tuple[int, ...]) -> None:
    """A series of another subject, whose images of these numbers bear the SOP Instance UIDs of `source`."""
    for path in write_series(folder, subject=OTHER):
        dataset, number = read_object(path), int(path.stem[2:])
        if number in numbers:
            uid = read_object(source[number - 1]).SOPInstanceUID
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
            path.write_bytes(as_bytes(dataset))


@req("REC-11", "RDG-11")
@pytest.mark.parametrize("numbers", [(1, 2, 3, 4, 5, 6, 7, 8), (5,)], ids=["all", "one"])
def test_an_image_that_is_held_under_another_subject_keeps_its_series_out(house, tmp_path, numbers):
    """One SOP Instance UID is one image: under two subjects it is once the wrong one's. Told by entry, not by name."""
    source = write_series(tmp_path / "in")
    held = take_in(house, tmp_path / "in")
    a_subject(house, OTHER)
    of_the_other(tmp_path / "other", source, numbers=numbers)

    account = take_in(house, tmp_path / "other")

    assert outcomes(account) == {("refused", "instance-of-another-subject"): 8}
    refused = next(one.body for one in house.entries() if one.body["action"] == "series.refused")
    received = next(one for one in house.entries() if one.body["action"] == "series.received")
    assert (refused["reason"], refused["fields"]["subject"]) == ("instance-of-another-subject", OTHER)
    assert refused["fields"]["places"][1] == f"held in series {held.series[0]}, entry {received.seq}"
    assert SUBJECT not in str(refused)
    assert asked(house, queries.series_of_trial, TRIAL, subject=OTHER) == ()
    (row,) = asked(house, queries.refusals_of, TRIAL, "series")
    assert "one of the two is the wrong one" in queries.why_in_words(row.code)


@req("REC-11", "RDG-11")
def test_two_subjects_with_one_image_in_one_delivery_are_told_apart(house, tmp_path):
    """The series that is recorded first stands; the other is kept out as if it had come later."""
    source = write_series(tmp_path / "in" / "a")
    a_subject(house, OTHER)
    of_the_other(tmp_path / "in" / "b", source, numbers=(2,))

    found = outcomes(take_in(house, tmp_path / "in"))

    assert found == {("accepted", "stored"): 8, ("refused", "instance-of-another-subject"): 8}
    assert len(asked(house, queries.series_of_trial, TRIAL)) == 1


@req("RDG-11", "REC-07")
def test_once_the_wrong_series_is_rejected_the_right_one_comes_in(house, tmp_path):
    """The way out that the finding names; and images of the same subject in another series are told as before."""
    source = write_series(tmp_path / "in")
    (case,) = take_in(house, tmp_path / "in").cases
    a_subject(house, OTHER)
    of_the_other(tmp_path / "other", source, numbers=(1,))
    take_in(house, tmp_path / "other")

    dispose(house, case, "rejected", "identity_unclear")

    assert outcomes(take_in(house, tmp_path / "other")) == {("accepted", "stored"): 8}


@req("REC-11", "RDG-11")
def test_an_image_that_comes_for_another_subject_in_the_same_moment_is_found_under_the_lock(
    house, tmp_path, monkeypatch
):
    """Two deliveries side by side: the later one was compared before the first was recorded, and is compared again."""
    source = write_series(tmp_path / "in")
    a_subject(house, OTHER)
    of_the_other(tmp_path / "other", source, numbers=(3,))
    first: list[bool] = []

    def late(*arguments: Any) -> Any:
        made = prepare_series(*arguments)
        if not first:
            first.append(True)
            take_in(house, tmp_path / "in")
        return made

    monkeypatch.setattr("core.arrival.usecases.prepare_series", late)
    account = take_in(house, tmp_path / "other")

    assert outcomes(account) == {("refused", "instance-of-another-subject"): 8}
    assert [one.subject for one in asked(house, queries.series_of_trial, TRIAL)] == [SUBJECT]


@req("REC-11")
def test_a_series_that_comes_in_two_parts_becomes_one(house, tmp_path):
    """First six of eight slices, then all: the check runs over the whole and meets every rule."""
    write_series(tmp_path / "one", numbers=(1, 2, 3, 4, 5, 6))
    first = take_in(house, tmp_path / "one")
    assert rules_of(house, first.cases[0])["completeness.count"].outcome == "not_met"
    write_series(tmp_path / "two", numbers=(5, 6, 7, 8))

    second = take_in(house, tmp_path / "two")

    assert outcomes(second) == {("accepted", "stored"): 2, ("duplicate", "same-content"): 2}
    assert second.cases == first.cases
    assert asked(house, queries.case_of, TRIAL, first.cases[0]).broken == 0
    assert asked(house, queries.the_series, TRIAL, first.series[0]).instances == 8


@req("REC-07", "RDG-11")
def test_a_disposed_series_takes_no_further_instances(house, tmp_path):
    write_series(tmp_path / "one", numbers=(1, 2, 3, 4, 5, 6), ImagesInAcquisition="6")
    account = take_in(house, tmp_path / "one")
    dispose(house, account.cases[0])
    write_series(tmp_path / "two", numbers=(7, 8), ImagesInAcquisition="6")

    assert outcomes(take_in(house, tmp_path / "two")) == {("refused", "already-disposed"): 2}


@req("RDG-11")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ClinicalTrialProtocolID": "OTHER-1"}, "wrong-trial"),
        ({"ClinicalTrialSubjectID": "999-001", "PatientID": "999-001"}, "unknown-subject"),
        ({"PatientID": "101-002"}, "identity-mismatch"),
        ({"AcquisitionDate": "", "SeriesDate": "", "StudyDate": "", "day": ""}, "no-acquisition-date"),
        ({"day": "20260110"}, "no-consent"),
        ({"Modality": "US"}, "modality-not-asked"),
        ({"Modality": "SEG"}, "derived-object"),
    ],
)
def test_images_that_do_not_belong_here_are_refused_with_the_reason(house, tmp_path, changes, code):
    a_subject(house, "101-002")
    write_series(tmp_path / "in", **changes)

    account = take_in(house, tmp_path / "in")

    assert outcomes(account) == {("refused", code): 8}
    assert house.entries()[-2].body["reason"] == code


@req("RDG-11")
def test_one_slice_of_another_subject_refuses_the_series(house, tmp_path):
    a_subject(house, "101-002")
    paths = write_series(tmp_path / "in")
    dataset = read_object(paths[4])
    dataset.ClinicalTrialSubjectID = dataset.PatientID = "101-002"
    paths[4].write_bytes(as_bytes(dataset))

    assert outcomes(take_in(house, tmp_path / "in")) == {("refused", "mixed-subjects"): 8}


@req("RDG-11")
def test_silent_images_need_the_senders_word_and_carry_a_finding(house, tmp_path):
    """No coded subject in the headers: refused by itself, received with --subject, and flagged for a human look."""
    silent: dict[str, Any] = {"ClinicalTrialSubjectID": None, "ClinicalTrialProtocolID": None}
    write_series(tmp_path / "in", PatientID="AB-9921", PatientName="A^B", **silent)
    assert outcomes(take_in(house, tmp_path / "in")) == {("refused", "unknown-subject"): 8}

    account = take_in(house, tmp_path / "in", subject=SUBJECT, time_point="BL")

    assert outcomes(account) == {("accepted", "stored"): 8}
    assert rules_of(house, account.cases[0])["identity.subject"].outcome == "not_met"


@req("RDG-11")
def test_a_date_outside_every_window_makes_an_unscheduled_time_point(house, tmp_path):
    write_series(tmp_path / "in", day="20260401", time_point="EXTRA")

    account = take_in(house, tmp_path / "in")

    point = asked(house, time_point_of, TRIAL, SUBJECT, "U20260401")
    assert (point.state, point.occasion) == ("in_qc", "unscheduled")
    assert rules_of(house, account.cases[0])["time_point.window"].outcome == "warning"


@req("RDG-11")
def test_a_scan_out_of_its_window_is_received_and_found(house, tmp_path):
    write_series(tmp_path / "in", day="20260315")

    rules = rules_of(house, take_in(house, tmp_path / "in").cases[0])

    assert (rules["time_point.window"].outcome, rules["time_point.window"].measured) == ("not_met", "2026-03-15")


@req("RDG-11")
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"numbers": (1, 2, 3, 5, 6, 7, 8)}, "CT-GAPS"),
        ({"numbers": (1, 2, 3, 4, 5)}, "completeness.count"),
        ({"step_mm": 7.5}, "CT-DISTANCE"),
        ({"LossyImageCompression": "01"}, "acquisition.lossless"),
        ({"GantryDetectorTilt": "18.5"}, "CT-TILT"),
        ({"PixelSpacing": ["6", "6"]}, "CT-PIXEL"),
        ({"BurnedInAnnotation": "YES"}, "deid.burned_in"),
        ({"ClinicalTrialSiteID": "102"}, "identity.site"),
    ],
)
def test_a_breach_of_protocol_is_found_with_rule_measure_and_place(house, tmp_path, changes, rule):
    write_series(tmp_path / "in", **changes)

    found = rules_of(house, take_in(house, tmp_path / "in").cases[0])[rule]

    assert found.outcome == "not_met"
    assert found.required
    assert found.measured
    assert found.where


@req("RDG-11")
def test_a_ct_that_ends_before_its_pet_is_found_by_coverage(house, tmp_path):
    """No count is declared; the PET of the same frame of reference shows that the CT is cut off."""
    write_series(tmp_path / "in" / "pt", "PT", count=20)
    write_series(tmp_path / "in" / "ct", count=12, ImagesInAcquisition=None)

    account = take_in(house, tmp_path / "in")

    found = {case: rules_of(house, case)["coverage.together"].outcome for case in account.cases}
    assert [found[case] for case in account.cases] == ["not_met", "met"]


@req("ACC-01")
def test_nobody_sends_without_a_role_and_the_attempt_is_on_record(house, tmp_path):
    write_series(tmp_path / "in")
    house.person("stranger")

    with pytest.raises(Refused):
        intake_folder(house.desk, Actor("stranger"), IntakeFolder(tmp_path / "in", TRIAL))

    assert house.words()[-1] == "action.refused"
    assert "series.received" not in house.words()


@req("REC-11")
def test_a_folder_that_is_not_there_or_empty_records_nothing(house, tmp_path):
    before = house.words()
    (tmp_path / "void").mkdir()

    for folder in (tmp_path / "void", tmp_path / "nowhere"):
        with pytest.raises(UnusableInput):
            take_in(house, folder)

    assert house.words() == before


@req("GAT-03")
def test_an_unknown_trial_receives_nothing(house, tmp_path):
    write_series(tmp_path / "in")

    with pytest.raises((Refused, NotFound)):
        intake_folder(house.desk, SENDER, IntakeFolder(tmp_path / "in", "NOBODY-1"))


@req("RDG-11")
@pytest.mark.realdata
def test_a_real_pet_ct_of_a_sarcoma_subject_comes_in(house, data, tmp_path):
    """STS_003: CT and PET are taken in under the sender's word; the RTSTRUCT and the MR are refused with a reason."""
    a_subject(house, "STS_003", consent=False)
    from audit.vocabulary.trials import ConsentRecorded
    from tests.builders.reads import recorded

    recorded(house, ConsentRecorded(subject="STS_003", consent_version="1", given_on="1990-01-01", scopes=("images",)))
    folder = tmp_path / "in"
    for kind in ("CT", "PET"):
        shutil.copytree(data / "petct-mr-rtstruct-sts" / "STS_003" / kind, folder / kind)

    found = outcomes(take_in(house, folder, subject="STS_003"))

    assert found["accepted", "stored"] == 102
    assert sum(count for (outcome, _), count in found.items() if outcome == "refused") == 2
    rows = asked(house, queries.series_of_trial, TRIAL, subject="STS_003")
    assert {row.modality for row in rows} == {"CT", "PT"}
    assert {row.held for row in rows} == {"scanner-unqualified"} or {row.held for row in rows} == {"site-inactive"}


@req("OPS-01", "REC-11")
def test_a_full_disk_in_the_middle_leaves_whole_series_and_the_next_run_completes(house, tmp_path, monkeypatch):
    """The store fails at the twelfth object: the first series is whole, of the second nothing is on record."""
    write_study(tmp_path / "in")
    store, calls = type(house.desk.objects), []
    real = store.put

    def fails_later(self, data, media, *, subject=None):
        calls.append(media)
        if len(calls) == 14:
            raise OSError(28, "No space left on device")
        return real(self, data, media, subject=subject)

    monkeypatch.setattr(store, "put", fails_later)
    with pytest.raises(OutsideUnavailable, match="ENOSPC"):
        take_in(house, tmp_path / "in")
    assert house.words().count("series.received") == 1
    monkeypatch.undo()

    again = take_in(house, tmp_path / "in")

    assert outcomes(again) == {("duplicate", "same-content"): 8, ("accepted", "stored"): 8}
    assert house.words().count("series.received") == 2


@req("REC-11")
def test_two_deliveries_of_one_series_at_the_same_moment_make_one_series(house, tmp_path, monkeypatch):
    """Between preparing and recording, the other delivery was recorded: prepared again, and recognised as known."""
    from core.arrival import storing, usecases

    write_series(tmp_path / "in")
    real, first = storing.prepare_series, list[bool]()

    def overtaken(*arguments):
        prepared = real(*arguments)
        if not first:
            first.append(True)
            take_in(house, tmp_path / "in")
        return prepared

    monkeypatch.setattr(usecases, "prepare_series", overtaken)
    account = take_in(house, tmp_path / "in")

    assert outcomes(account) == {("duplicate", "same-content"): 8}
    assert house.words().count("series.received") == 1


@req("REC-11")
def test_a_file_that_changes_while_it_is_read_is_refused(house, tmp_path, monkeypatch):
    from core.arrival import delivery, storing, usecases

    monkeypatch.setattr(delivery, "HELD_BYTES", 0)
    paths = write_series(tmp_path / "in")
    real = storing.prepare_series

    def changed(*arguments):
        paths[3].write_bytes(paths[3].read_bytes() + b"\x00")
        return real(*arguments)

    monkeypatch.setattr(usecases, "prepare_series", changed)

    assert outcomes(take_in(house, tmp_path / "in")) == {("refused", "changed-while-reading"): 8}


@req("PRV-01")
def test_a_hospital_named_like_our_own_marks_bars_nothing(house, tmp_path):
    write_series(tmp_path / "in", InstitutionName="Basic Profile Equipment Option Hospital", Manufacturer="Basic Scans")

    assert outcomes(take_in(house, tmp_path / "in")) == {("accepted", "stored"): 8}


@req("PRV-01")
def test_an_identifier_that_cleaning_missed_keeps_the_series_out(house, tmp_path, monkeypatch):
    """The checker does not trust the cleaning: with a hole in the profile nothing is stored, and it is on record."""
    from core.dicom import deidentify

    with_hole = dict(deidentify.profile()) | {0x00081030: "K"}
    monkeypatch.setattr(deidentify, "profile", lambda: with_hole)
    monkeypatch.setattr(deidentify._Cleaner, "_names_somebody", lambda self, values: False)
    write_series(tmp_path / "in", PatientName="Vandermeulen^A", StudyDescription="CT Vandermeulen")

    assert outcomes(take_in(house, tmp_path / "in")) == {("refused", "identifiers-left"): 8}
    event = next(one.body["fields"] for one in house.entries() if one.body["action"] == "series.refused")
    assert event["places"] == ["name in (0008,1030)"]
    assert "series.received" not in house.words()

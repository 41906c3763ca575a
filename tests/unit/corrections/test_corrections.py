"""A study in the wrong place: taken out by a signature, written anew where it belongs; and what follows for reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from audit.vocabulary import cohort as cohort_words
from audit.vocabulary import models as model_words
from audit.vocabulary.gates import GateRequested
from audit.vocabulary.trials import ScannerQualified
from core.arrival import queries as arrival
from core.corrections import queries
from core.corrections.usecases import CorrectStudy, correct_study, deliver_correction
from core.data_lock.usecases import FreezeCut, freeze_cut, soft_lock
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.errors import NotFound, Refused, Stale, UnusableInput
from core.objects import owner
from core.policy.state import Actor
from core.reads import queries as reads
from core.reads.finals import SignFinal, finals_due, sign_final
from core.reads.impact import DecideImpact, decide_impact
from core.reads.listing import responses
from core.trials.queries import time_point_of
from countersign.cli import app
from countersign.web.accounts import set_password
from models_registry.queries import run_of
from tests.builders import arrival as built
from tests.builders.reads import (
    BOTH,
    DIGEST,
    SUBJECT,
    TRIAL,
    a_run,
    assign,
    baseline_answer,
    begin,
    open_gate,
    qualify,
    read_by_both,
    recorded,
    seal,
    signed,
)
from tests.house import PASSWORD as SIGNING_PASSWORD
from tests.house import HouseUnderTest, checked
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, hidden, problems, visiting

OTHER = "101-002"
MANAGER, LEAD, DECIDER = Actor("data-manager"), Actor("imaging-lead"), Actor("technologist-2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """A trial with two subjects; the baseline of the first is received, accepted and assigned to two readers."""
    folder = tmp_path_factory.mktemp("corrections")
    house = HouseUnderTest(folder)
    built.a_trial_that_receives(house)
    built.a_subject(house, OTHER)
    house.person("data-manager", "data_manager", trial=TRIAL)
    house.person("technologist-2", "qc_technologist", trial=TRIAL)
    for reader in ("reader-1", "reader-2"):
        house.person(reader, "reader", trial=TRIAL)
        qualify(house, reader)
    built.write_study(folder / "in")
    accept(house, built.take_in(house, folder / "in").cases)
    assign(house, BOTH)
    yield house
    house.house.close()


@pytest.fixture
def house(made: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(made.copied(tmp_path / "house")) as copy:
        yield copy


def accept(house: HouseUnderTest, cases: tuple[str, ...] | None = None) -> None:
    """Every open case, or these."""
    with house.desk.reading() as session:
        waiting = [case.case_id for case, _ in arrival.cases_of(session, TRIAL, undisposed=True)]
    for case in cases or waiting:
        built.dispose(house, case, reason="judged_irrelevant")


def series_at(house: HouseUnderTest, subject: str = SUBJECT, time_point: str = "BL") -> tuple[arrival.SeriesRow, ...]:
    with house.desk.reading() as session:
        return arrival.series_of_trial(session, TRIAL, subject=subject, time_point=time_point)


def state_of(house: HouseUnderTest, subject: str = SUBJECT, time_point: str = "BL") -> str:
    with house.desk.reading() as session:
        point = time_point_of(session, TRIAL, subject, time_point)
    assert point is not None
    return point.state


def correct(house: HouseUnderTest, kind: str, by: Actor = MANAGER, series: tuple[str, ...] = (), **named: Any) -> int:
    """A correction of the baseline's series (all of them unless named), signed; returns its entry."""
    series = series or tuple(one.series for one in series_at(house))
    return house.commit(correct_study(house.desk, by, CorrectStudy(TRIAL, series, kind, **named))).seq


def refused(house: HouseUnderTest, rule: str, kind: str, by: Actor = MANAGER, **named: Any) -> None:
    with pytest.raises(Refused) as refusal:
        correct(house, kind, by, **named)
    assert refusal.value.rule == rule
    assert "study.reassigned" not in house.words()


def decide(house: HouseUnderTest, decision: str, by: Actor = DECIDER, subject: str = SUBJECT) -> None:
    house.commit(decide_impact(house.desk, by, DecideImpact(TRIAL, subject, "BL", decision)))
    house.work()


@req("REC-07", "RDG-11")
def test_a_study_of_the_wrong_subject_is_written_anew_under_the_right_key_and_both_stay(house: HouseUnderTest) -> None:
    """Other UIDs, other subject, dates moved by the other's shift, the same pixels; the old objects are untouched."""
    before = series_at(house)
    with house.desk.reading() as session:
        old = arrival.load_series(session, house.desk.objects, TRIAL, before[0].series)

    entry = correct(house, "wrong_subject", to_subject=OTHER, to_time_point="BL")

    assert series_at(house) == ()
    assert (state_of(house), state_of(house, OTHER)) == ("expected", "expected")
    house.work()
    after = series_at(house, OTHER)
    assert {one.corrects for one in after} == {one.series for one in before}
    assert (state_of(house, OTHER), after[0].disposition, after[0].study == before[0].study) == ("in_qc", None, False)
    with house.desk.reading() as session:
        new = arrival.load_series(session, house.desk.objects, TRIAL, after[0].series)
        again = arrival.load_series(session, house.desk.objects, TRIAL, before[0].series)
        row = queries.the_correction(session, TRIAL, entry)
        assert len(arrival.manifest_of(house.desk.objects, after[0]).instances) == len(old)
    by_pixels = {bytes(one.PixelData): one for one in old}
    for one in new:
        was = by_pixels[bytes(one.PixelData)]
        assert (one.PatientID, one.ClinicalTrialSubjectID, str(one.PatientName)) == (OTHER, OTHER, f"{OTHER}^")
        assert not {one.SOPInstanceUID, one.SeriesInstanceUID, one.StudyInstanceUID, one.FrameOfReferenceUID} & {
            was.SOPInstanceUID, was.SeriesInstanceUID, was.StudyInstanceUID, was.FrameOfReferenceUID}
        assert one.AcquisitionDate != was.AcquisitionDate
        assert one.OriginalAttributesSequence[0].ReasonForTheAttributeModification == "CORRECT"
        assert SUBJECT not in str(one), "another subject's code has no place in a subject's object"
    assert [str(one.SOPInstanceUID) for one in again] == [str(one.SOPInstanceUID) for one in old]
    assert row.note is not None
    note = read_object(house.desk.objects.get(row.note, subject=owner(TRIAL, SUBJECT)), known=True)
    assert note.ConceptNameCodeSequence[0].CodeValue == "113038"
    listed = {item.ReferencedSOPInstanceUID for study in note.CurrentRequestedProcedureEvidenceSequence
              for series in study.ReferencedSeriesSequence for item in series.ReferencedSOPSequence}
    assert {str(one.SOPInstanceUID) for one in old} <= listed
    assert len(listed) == sum(one.instances for one in before)
    accept(house)
    assert state_of(house, OTHER) == "ready"


@req("REC-07")
def test_the_worker_carries_a_correction_out_once_however_often_it_begins(house: HouseUnderTest) -> None:
    from core.corrections.carrying import carry_out

    entry = correct(house, "wrong_subject", to_subject=OTHER, to_time_point="BL")
    house.work()
    written = house.words()

    carry_out(house.desk, TRIAL, entry)

    assert house.words() == written
    assert written.count("series.corrected") == 2
    assert written.count("correction.noted") == 1


@req("REC-07", "RDG-11")
def test_a_wrong_side_is_written_into_copies_and_a_wrong_time_point_moves(house: HouseUnderTest) -> None:
    ct = next(one for one in series_at(house) if one.modality == "CT")
    correct(house, "wrong_side", series=(ct.series,), side="L")
    house.work()

    (copy,) = [one for one in series_at(house) if one.corrects == ct.series]
    with house.desk.reading() as session:
        sets = arrival.load_series(session, house.desk.objects, TRIAL, copy.series)
    assert {str(one.get("ImageLaterality") or one.Laterality) for one in sets} == {"L"}
    assert (copy.study, state_of(house)) == (ct.study, "in_qc"), "the other series is still accepted, this one not yet"

    correct(house, "wrong_time_point", to_time_point="W08")
    house.work()
    assert (state_of(house), state_of(house, time_point="W08")) == ("expected", "in_qc")
    assert len(series_at(house, time_point="W08")) == 2


@req("RDG-11")
def test_a_duplicate_is_set_aside_and_comes_back_as_late_only(house: HouseUnderTest, tmp_path: Path) -> None:
    """Its instances are known when they come again; further ones of it are refused."""
    pet = next(one for one in series_at(house) if one.modality == "PT")
    entry = correct(house, "duplicate", series=(pet.series,))
    house.work()

    assert [one.modality for one in series_at(house)] == ["CT"]
    assert state_of(house) == "in_qc"
    with house.desk.reading() as session:
        assert str(queries.the_correction(session, TRIAL, entry).title).startswith("113001")
        assert arrival.incomplete_time_points(session, TRIAL)[0].lacking == ("PT",)
    built.write_series(tmp_path / "again", "PT", numbers=(1, 9))
    outcomes = {one.code for one in built.take_in(house, tmp_path / "again").outcomes}
    assert outcomes == {"same-content", "already-disposed"}
    with pytest.raises(Refused) as refusal:
        built.dispose(house, str(pet.case_id))
    assert refusal.value.rule == "F-311"


@req("REC-07", "ACC-02")
def test_who_may_not_correct_and_what_is_no_target_is_refused_each_for_its_cause(house: HouseUnderTest) -> None:
    house.grant("coordinator", "data_manager", trial=TRIAL)
    house.grant("reader-1", "qc_technologist", trial=TRIAL)
    refused(house, "F-321", "duplicate", Actor("coordinator"))
    refused(house, "F-322", "duplicate", Actor("reader-1"))
    refused(house, "F-323", "wrong_time_point", to_time_point="BL")
    refused(house, "F-323", "wrong_subject", to_subject=SUBJECT, to_time_point="W08")
    with pytest.raises(Refused):
        correct(house, "duplicate", Actor("trial-lead"))
    with pytest.raises(NotFound, match="no subject 999"):
        correct(house, "wrong_subject", to_subject="999-999", to_time_point="BL")
    with pytest.raises(NotFound, match="no time point"):
        correct(house, "wrong_time_point", to_time_point="W99")
    with pytest.raises(NotFound, match="holds no series"):
        correct(house, "duplicate", series=("2.25.1",))
    cases: tuple[dict[str, Any], ...] = ({}, {"to_subject": OTHER}, {"to_time_point": "W08", "side": "L"})
    for named in cases:
        with pytest.raises(UnusableInput):
            correct(house, "wrong_time_point", **named)
    built.a_subject(house, "101-003", consent=False)
    refused(house, "F-326", "wrong_subject", to_subject="101-003", to_time_point="BL")
    correct(house, "duplicate", series=(series_at(house)[0].series,))
    with house.desk.reading() as session:
        gone = next(one for one in arrival.series_of_trial(session, TRIAL, reassigned=True) if one.reassigned)
    with pytest.raises(Refused) as refusal:
        correct(house, "duplicate", series=(gone.series,))
    assert refusal.value.rule == "F-324"


@req("RDG-09", "RDG-11")
def test_what_was_derived_is_withdrawn_with_the_signature_itself(house: HouseUnderTest) -> None:
    """AI values, waiting runs, candidates: none of them is left for anybody, before the worker has done anything."""
    study = series_at(house)[0].study
    a_run(house, "RUN-1", "BL", "12.0 mm3")
    recorded(house, model_words.RunRequested(
        run="RUN-2", lock="lock-1", model="lesion-unet", subject=SUBJECT, time_point="BL", study=study, lesion="L1",
        tracking_uid="1.2", seed="", seed_by="technologist", use="secondary", standing="gated", sealed=False,
        inputs=(), input_sha256=DIGEST,
    ), "inference")
    recorded(house, cohort_words.CandidateFlagged(
        candidate="C-1", subject=SUBJECT, study=study, flagged=True, confidence="0.9", lock="lock-1", run="RUN-1",
        gate="G2"), "inference")

    correct(house, "wrong_subject", to_subject=OTHER, to_time_point="BL")

    with house.desk.reading() as session:
        assert run_of(session, "RUN-2").state == "withdrawn"
        assert reads.counted_values(session, TRIAL, SUBJECT, "BL") == 0
        from core.cohort.queries import candidate_named
        assert candidate_named(session, "C-1").state == "withdrawn"
    event = next(one.body["fields"] for one in house.entries() if one.body["action"] == "study.reassigned")
    assert event["ai_values"] == 1


@req("RDG-02", "RDG-07")
def test_an_open_read_is_taken_back_and_begins_anew_on_the_right_images(house: HouseUnderTest) -> None:
    begin(house, "reader-1")
    entry = correct(house, "wrong_side", side="R")

    with pytest.raises(Stale, match="taken back"):
        seal(house, "reader-1", baseline_answer())
    with pytest.raises(Refused) as refusal:
        begin(house, "reader-1")
    assert refusal.value.rule == "F-511"
    house.work()
    accept(house)
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer())

    pulled = [one.body for one in house.entries() if one.body["action"] == "read.pulled"]
    assert [(one["fields"]["slot"], one["caused_by"]) for one in pulled] == [
        ("reader_1", next(one.body["id"] for one in house.entries() if one.seq == entry))]


@req("RDG-07", "RDG-02")
def test_after_locked_reads_the_impact_is_decided_by_somebody_blind_to_their_values(house: HouseUnderTest) -> None:
    """Who sees values, corrected or read may not decide; until it is decided nothing goes on at the time point."""
    read_by_both(house, baseline_answer(), baseline_answer("52.0"))
    house.grant("reader-2", "qc_technologist", trial=TRIAL)
    correct(house, "wrong_side", Actor("technologist"), side="R")

    for by, rule in ((LEAD, "F-557"), (Actor("technologist"), "F-558"), (Actor("reader-2"), "F-547"),
                     (DECIDER, "F-559")):
        with pytest.raises(Refused) as refusal:
            decide(house, "from_here", by)
        assert refusal.value.rule == rule
    house.work()
    accept(house)
    for act in (lambda: begin(house, "reader-1"),
                lambda: sign_final(house.desk, Actor("reader-1"), SignFinal(TRIAL, SUBJECT, "BL"))):
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.rule == "F-556"
    with house.desk.reading() as session:
        assert finals_due(session, TRIAL) == []
    with pytest.raises(Refused) as alone:
        decide(house, "this")
    assert alone.value.rule == "F-546"
    page = decide_impact(house.desk, DECIDER, DecideImpact(TRIAL, SUBJECT, "BL", "from_here"))
    shown = " ".join(value for view in page.views for _, value in view.lines)
    assert not any(number in shown for number in ("50.0", "52.0", "60.0")), "the page is blind to the values"


@req("RDG-07", "RDG-04")
def test_read_again_both_reads_are_kept_and_the_response_is_derived_anew(house: HouseUnderTest) -> None:
    read_by_both(house, baseline_answer(), baseline_answer())
    house.commit(sign_final(house.desk, Actor("reader-1"), SignFinal(TRIAL, SUBJECT, "BL")))
    correct(house, "wrong_side", side="R")
    house.work()
    accept(house)

    decide(house, "from_here")

    with house.desk.reading() as session:
        assert reads.accepted_read(session, TRIAL, SUBJECT, "BL") is None
        assert reads.standing_finals(session, TRIAL) == []
        assert responses(session, TRIAL) == []
    assert state_of(house) == "ready"
    read_by_both(house, baseline_answer("40.0"), baseline_answer("40.0"))
    with house.desk.reading() as session:
        opened = reads.opened_reads(session, TRIAL, SUBJECT)
        assert [one.excluded for one in opened] == [True, True, False, False]
        assert [one.signer for one in finals_due(session, TRIAL)] == ["reader-1"]
        best = [one for one in responses(session, TRIAL) if one.time_point is None]
    assert {one.slot for one in best} == {"reader_1", "reader_2"}
    decided = [one.body for one in house.entries() if one.body["action"] in ("impact.decided", "reread.ordered")]
    assert [one["action"] for one in decided] == ["impact.decided", "reread.ordered", "reread.ordered"]
    assert {one["actor"] for one in decided} == {"technologist-2"}


@req("RDG-07")
def test_where_nothing_follows_the_reads_stand_and_their_state_with_them(house: HouseUnderTest) -> None:
    read_by_both(house, baseline_answer(), baseline_answer())
    correct(house, "extra_series", series=(next(one.series for one in series_at(house) if one.modality == "PT"),))
    with pytest.raises(NotFound, match="awaits"):
        decide(house, "none", subject=OTHER)
    assert state_of(house) == "in_qc"

    decide(house, "none")

    assert state_of(house) == "read"
    with house.desk.reading() as session:
        assert reads.accepted_read(session, TRIAL, SUBJECT, "BL") is not None
        assert reads.impacts_of(session, TRIAL, open_only=True) == []
        assert not any(one.excluded for one in reads.opened_reads(session, TRIAL, SUBJECT))


@req("RDG-07", "RDG-04")
def test_a_seal_waits_for_the_decision_and_reads_without_images_never_stand(house: HouseUnderTest) -> None:
    """One reader sealed, the other read open: the seal stays closed; with the images gone only re-reading is left."""
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer())
    begin(house, "reader-2")
    correct(house, "wrong_subject", to_subject=OTHER, to_time_point="BL")
    house.work()

    with pytest.raises(Refused) as refusal:
        decide(house, "none")
    assert refusal.value.rule == "F-560"
    decide(house, "from_here", LEAD)

    with house.desk.reading() as session:
        tasks = reads.tasks_of(session, TRIAL, SUBJECT)
        assert [(one.slot, one.state, one.superseded is not None) for one in tasks] == [
            ("reader_1", "sealed", True), ("reader_2", "withdrawn", False)]
    assert state_of(house) == "expected"


@req("RDG-07")
def test_images_that_come_to_a_time_point_that_was_read_await_a_decision_there(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """The target was read already: what comes to it is a question for its reads, too."""
    read_by_both(house, baseline_answer(), baseline_answer())
    built.write_series(tmp_path / "late", "PT", time_point="W08", SeriesDescription="PET WB")
    built.take_in(house, tmp_path / "late")
    late = series_at(house, time_point="W08")[0]

    correct(house, "wrong_time_point", series=(late.series,), to_time_point="BL")

    with house.desk.reading() as session:
        (awaited,) = reads.impacts_of(session, TRIAL, open_only=True)
    assert (awaited.time_point, state_of(house)) == ("BL", "in_qc")


@req("REC-07", "PRV-02")
def test_holders_of_copies_are_told_and_the_note_is_taken_out_on_record(house: HouseUnderTest, tmp_path: Path) -> None:
    from audit.vocabulary.ledger import ExportMade, StreamEnd

    exported = ExportMade(scope=f"trial {TRIAL}", streams=(StreamEnd(stream=f"trial/{TRIAL}", next=1),), size=1)
    recorded(house, exported, "house")
    entry = correct(house, "wrong_subject", to_subject=OTHER, to_time_point="BL")
    with pytest.raises(UnusableInput, match="not carried"):
        deliver_correction(house.desk, MANAGER, TRIAL, entry, tmp_path / "out")
    house.work()

    with pytest.raises(Refused):
        deliver_correction(house.desk, Actor("technologist"), TRIAL, entry, tmp_path / "out")
    deliver_correction(house.desk, MANAGER, TRIAL, entry, tmp_path / "out")

    with house.desk.reading() as session:
        row = queries.the_correction(session, TRIAL, entry)
        (told,) = queries.notices_of(session, row.correction)
        (taken,) = queries.deliveries_of(session, row.correction)
    assert told.kind == "export"
    assert (taken.person, taken.objects) == ("data-manager", 16)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 18
    assert SUBJECT.encode() not in b"".join(
        path.read_bytes() for path in (tmp_path / "out").glob("2.25.*.dcm"))
    with pytest.raises(UnusableInput, match="exists"):
        deliver_correction(house.desk, MANAGER, TRIAL, entry, tmp_path / "out")


@req("GAT-05")
def test_a_value_of_a_model_with_the_wrong_subject_halts_at_the_event(house: HouseUnderTest) -> None:
    """The charter's event rules name wrong_subject: every gate they name is halted by the correction."""
    signed(house, "trial-lead", GateRequested(
        gate="G3-volume", use=3, use_name="secondary", scope="all", lock="lock-1", model="lesion-unet", criteria=(),
        endpoint="volume"))
    open_gate(house, 3, "secondary", "volume")
    a_run(house, "RUN-1", "BL", "12.0 mm3")
    correct(house, "wrong_subject", to_subject=OTHER, to_time_point="BL")

    house.work()

    halted = [one.body["fields"] for one in house.entries() if one.body["action"] == "gate.halted"]
    assert [one["says"] for one in halted] == ["wrong subject"]




@req("REC-13", "RDG-07")
def test_nothing_is_soft_locked_while_a_correction_is_under_way(house: HouseUnderTest) -> None:
    read_by_both(house, baseline_answer(), baseline_answer())
    correct(house, "wrong_side", Actor("technologist"), side="R")
    freeze = FreezeCut(TRIAL, "cut-1", "final", "2026-03-31")
    house.commit(freeze_cut(house.desk, MANAGER, freeze))

    with pytest.raises(Refused) as refusal:
        soft_lock(house.desk, MANAGER, TRIAL, "cut-1")

    assert refusal.value.rule == "F-239"


@req("REC-07", "RDG-07", "REC-11")
def test_typed_a_study_is_corrected_its_impact_decided_and_its_note_taken_out(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    read_by_both(house, baseline_answer(), baseline_answer())
    ct = next(one for one in series_at(house) if one.modality == "CT")

    def typed(*words: str, by: str = "data-manager") -> str:
        proof = house.proof(by)
        result = CliRunner().invoke(
            app, ["correct", *words, "--trial", TRIAL, "--as", by, "--home", str(house.home)],
            env={"COUNTERSIGN_MEANING": "responsibility", "COUNTERSIGN_PASSWORD": proof.password,
                 "COUNTERSIGN_CODE": proof.code})
        assert result.exit_code == 0, result.output
        return result.output

    assert "Nothing was corrected." in typed("list")
    page = typed("series", ct.series, "--kind", "extra_series")
    assert "Locked reads that await a decision" in page
    listed = json.loads(typed("list", "--json"))
    assert [one["time_point"] for one in listed["awaited"]] == ["BL"]
    typed("impact", SUBJECT, "BL", "none", by="technologist-2")
    entry = str(listed["corrections"][0]["entry"])
    typed("deliver", entry, str(tmp_path / "out"))
    (one,) = json.loads(typed("list", "--json"))["corrections"]
    assert one["carried_out"]
    assert len(one["delivered"]) == 1


@req("REC-07", "RDG-07", "SIG-03")
def test_on_its_page_a_correction_is_shown_signed_and_its_impact_decided(house: HouseUnderTest, tmp_path: Path) -> None:
    """The alarm of a conflict, the form, the page of the signature, the decision; a reader's page has none of it."""
    read_by_both(house, baseline_answer(), baseline_answer())
    paths = built.write_series(tmp_path / "in", SeriesDescription="", numbers=(1,))
    other = read_object(paths[0])
    other.KVP = "80"
    paths[0].write_bytes(as_bytes(other))
    built.take_in(house, tmp_path / "in")
    for user in ("data-manager", "technologist-2", "reader-1"):
        set_password(house.desk, CHEAP, user, PASSWORD)
    ct = next(one for one in series_at(house) if one.modality == "CT")

    def signed_on(browser: TestClient, path: str, user: str, wish: dict[str, str]) -> str:
        answer = browser.post(path, data=wish)
        assert answer.url.path.startswith("/sign/"), answer.text
        page = answer.text
        assert problems(page) == []
        done = browser.post(str(answer.url.path), data={
            "token": hidden(page, "token"), "meaning": "responsibility", "password": SIGNING_PASSWORD,
            "code": house.proof(user).code})
        assert "Signed as" in done.text
        return str(page)

    with visiting(house) as browser:
        enter(browser, "reader-1")
        assert "You hold no role" in browser.get("/corrections").text
    with visiting(house) as browser:
        enter(browser, "data-manager")
        page = browser.get("/corrections", params={"subject": SUBJECT}).text
        assert problems(page) == []
        assert "Other images came under a stored identity." in page
        wish = {"token": hidden(page, "token"), "trial": TRIAL, "subject": SUBJECT, "kind": "extra_series"}
        assert "names at least one series" in browser.post("/corrections", data=wish).text
        signed_on(browser, "/corrections", "data-manager", wish | {"series": ct.series})
        assert "Somebody else decides" in browser.get("/corrections").text
    house.work()
    with visiting(house) as browser:
        enter(browser, "technologist-2")
        page = browser.get("/corrections").text
        assert "stand as they are" in page
        assert "Other images came" not in page, "the series is set aside: its conflict asks nobody any more"
        wish = {"token": hidden(page, "token"), "trial": TRIAL, "subject": SUBJECT, "time_point": "BL"}
        assert "is no impact decision" in browser.post("/corrections/impact", data=wish).text
        shown = signed_on(browser, "/corrections/impact", "technologist-2", wish | {"decision": "none"})
        assert "50.0" not in shown


@req("RDG-11", "RDG-03")
def test_a_read_on_images_of_another_scanner_carries_that_as_a_flag(house: HouseUnderTest, tmp_path: Path) -> None:
    """Found by quality control, accepted all the same, and said to whoever reads."""
    signed(house, "imaging-lead", ScannerQualified(
        site="101", scanner="SN-2", modality="CT", manufacturer="Acme Scanners", valid_until="2027-01-01",
        evidence="phantom scan"))
    read_by_both(house, baseline_answer(), baseline_answer())
    week: dict[str, Any] = {"time_point": "W08", "day": "20260504"}
    built.write_series(tmp_path / "in" / "ct", "CT", **week, DeviceSerialNumber="SN-2")
    built.write_series(tmp_path / "in" / "pt", "PT", **week)
    accept(house, built.take_in(house, tmp_path / "in").cases)
    proof = house.proof("reader-1")

    typed = CliRunner().invoke(app, [
        "read", "begin", SUBJECT, "W08", "--trial", TRIAL, "--as", "reader-1", "--home", str(house.home)], env={
            "COUNTERSIGN_PASSWORD": proof.password})

    assert "CT: another scanner than at the first time point" in typed.output
    begun = [one.body["fields"] for one in house.entries() if one.body["action"] == "read.begun"]
    assert [one.get("flags", []) for one in begun] == [[], [], ["CT: another scanner than at the first time point"]]

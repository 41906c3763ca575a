"""The human final: a new structured report of the accepted read, signed by whom it belongs to."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from audit.entry import canonical
from audit.signatures import Proof
from audit.vocabulary import models as model_words
from core.arrival.queries import accepted_series, cases_of, load_series
from core.clock import as_datetime
from core.dicom.reading import read_object
from core.dicom.result import Algorithm, Instance, as_bytes
from core.dicom.segmentation import Segment, make_segmentation
from core.dicom.signature import VERIFICATION, covers_all, signatures_of
from core.dicom.structured_report import LesionResult, Measured, TimePoint, make_ai_report, read_measurements
from core.dicom.tid1500 import check_report
from core.errors import NotAuthenticated, NotFound, Refused
from core.objects import DICOM
from core.policy.state import Actor
from core.projection import from_reference
from core.reads import queries
from core.reads.finals import FinalDue, SignFinal, finals_due, sign_final
from core.reads.locking import show_ai_values
from core.reads.projections import ai_runs
from tests.builders import arrival
from tests.builders.locks import lock_word
from tests.builders.reads import (
    BOTH,
    DIGEST,
    SUBJECT,
    TRIAL,
    assign,
    baseline_answer,
    begin,
    decide,
    mark,
    open_gate,
    qualify,
    read_by_both,
    recorded,
    seal,
    signed,
    target,
)
from tests.house import PASSWORD, HouseUnderTest
from tests.req import req

OWNER = f"{TRIAL}/{SUBJECT}"


def with_images(house: HouseUnderTest, folder: Path) -> None:
    """A received, accepted CT and PET baseline of a subject with two readers."""
    arrival.a_trial_that_receives(house)
    for reader in ("reader-1", "reader-2"):
        house.person(reader, "reader", trial=TRIAL)
        qualify(house, reader)
    house.person("adjudicator", "adjudicator", trial=TRIAL)
    qualify(house, "adjudicator", "adjudicator")
    arrival.write_study(folder)
    arrival.take_in(house, folder)
    with house.desk.reading() as session:
        cases = [case.case_id for case, _ in cases_of(session, TRIAL, undisposed=True)]
    for case in cases:
        arrival.dispose(house, case)
    assign(house, BOTH)


def final(house: HouseUnderTest, user: str = "reader-1") -> str:
    return house.commit(sign_final(house.desk, Actor(user), SignFinal(TRIAL, SUBJECT, "BL"))).id


def the_report(house: HouseUnderTest) -> bytes:
    with house.desk.reading() as session:
        found = queries.finals_of(session, TRIAL)[-1]
    return house.desk.objects.get(from_reference(found.report), subject=OWNER)


@req("RDG-09", "SIG-03")
def test_the_reader_of_the_accepted_read_signs_a_new_report(house: HouseUnderTest, tmp_path: Path) -> None:
    with_images(house, tmp_path / "study")
    with pytest.raises(NotFound, match="could become final"):
        final(house)
    read_by_both(house, baseline_answer("50.0", "60.0"), baseline_answer("51.0", "61.0"))
    with pytest.raises(Refused) as refusal:
        final(house, "reader-2")
    assert refusal.value.rule == "F-551"

    final(house)

    raw = the_report(house)
    report = read_object(raw)
    assert check_report(report) == []
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == ("COMPLETE", "VERIFIED", "FINAL")
    assert report.VerifyingObserverSequence[0].VerifyingObserverName == "Reader 1^"
    assert [(each.value, each.unit) for each in read_measurements(report)] == [
        (Decimal("50.0"), "mm"),
        (Decimal("60.0"), "ml"),
    ]
    if shutil.which("dciodvfy"):
        (tmp_path / "final.dcm").write_bytes(raw)
        told = subprocess.run(["dciodvfy", str(tmp_path / "final.dcm")], capture_output=True, text=True, check=False)
        assert "Error" not in told.stderr, told.stderr
    (signature,) = signatures_of(report)
    assert signature.sound
    assert covers_all(report, signature)
    assert signature.purpose == VERIFICATION
    enrolled = next(entry.body["fields"]["certificate_sha256"] for entry in house.entries()
                    if entry.body["action"] == "key.enrolled" and entry.body["fields"]["holder"] == "reader-1")
    assert signature.certificate.fingerprint(SHA256()).hex() == enrolled
    with pytest.raises(Refused) as refusal:
        final(house)
    assert refusal.value.rule == "F-553"


@req("RDG-09", "SIG-03", "SIG-09")
def test_report_and_entry_are_signed_in_one_unlock_and_a_retry_changes_neither(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """One code serves both; the entry names the signed report; the same page again gives its receipt (RECORD 2)."""
    with_images(house, tmp_path / "study")
    read_by_both(house, baseline_answer("50.0", "60.0"), baseline_answer("51.0", "61.0"))
    page = sign_final(house.desk, Actor("reader-1"), SignFinal(TRIAL, SUBJECT, "BL"))
    shown = page.bodies[0]["fields"]["report"]["sha256"]
    before = sum(1 for path in (house.home / "objects").rglob("*") if path.is_file())
    with pytest.raises(NotAuthenticated):
        house.desk.commit(page, Proof(PASSWORD, "000000"))
    assert sum(1 for path in (house.home / "objects").rglob("*") if path.is_file()) == before

    first = house.commit(page)
    entry = house.entries()[first.seq]
    assert entry.body["fields"]["report"]["sha256"] != shown
    assert hashlib.sha256(canonical(entry.body["fields"])).hexdigest() == entry.body["manifest"]["record_digest"]
    assert signatures_of(read_object(the_report(house)))[0].sound
    assert house.commit(page) == first


@req("SIG-03", "SIG-09")
def test_an_opened_page_is_closed_once_by_its_own_person_within_seconds(house: HouseUnderTest) -> None:
    signer = house.house.signer
    for one in ("reader-1", "reader-2"):
        house.person(one)
    ticket = signer.open_page("reader-1", house.proof("reader-1"), [b"a document"]).ticket
    with pytest.raises(NotAuthenticated):
        signer.close_page("reader-2", ticket, [b"a body"])
    with pytest.raises(NotAuthenticated):
        signer.close_page("reader-1", ticket, [b"a body"])
    ticket = signer.open_page("reader-1", house.proof("reader-1"), [b"a document"]).ticket
    assert len(signer.close_page("reader-1", ticket, [b"a body"])) == 1
    with pytest.raises(NotAuthenticated):
        signer.close_page("reader-1", ticket, [b"another body"])
    ticket = signer.open_page("reader-1", house.proof("reader-1"), [b"a document"]).ticket
    house.clock.advance(seconds=31)
    with pytest.raises(NotAuthenticated):
        signer.close_page("reader-1", ticket, [b"a body"])


@req("RDG-09", "RDG-05")
def test_the_final_of_differing_reads_is_the_adjudicators(house: HouseUnderTest, tmp_path: Path) -> None:
    with_images(house, tmp_path / "study")
    read_by_both(house, baseline_answer("50.0"), baseline_answer("80.0"))
    with pytest.raises(Refused) as refusal:
        final(house)
    assert refusal.value.rule == "F-552"
    with house.desk.reading() as session:
        compared = queries.awaiting_adjudication(session, TRIAL)[0].compared
    decide(house, compared)
    with pytest.raises(Refused) as refusal:
        final(house)
    assert refusal.value.rule == "F-551"
    with house.desk.reading() as session:
        assert finals_due(session, TRIAL) == [FinalDue(SUBJECT, "BL", "adjudicator")]
        assert finals_due(session, TRIAL, "reader-1") == []
    final(house, "adjudicator")
    with house.desk.reading() as session:
        assert finals_due(session, TRIAL) == []


@req("RDG-09", "GAT-03")
def test_no_service_signs_a_final(house: HouseUnderTest, tmp_path: Path) -> None:
    """In no phase does an AI value become an endpoint without a named human's signature."""
    with_images(house, tmp_path / "study")
    read_by_both(house, baseline_answer(), baseline_answer())
    for service in ("inference", "reads"):
        with pytest.raises(Refused) as refusal:
            sign_final(house.desk, Actor.of_service(service), SignFinal(TRIAL, SUBJECT, "BL"))
        assert refusal.value.rule == "F-550"


LOCKED = Algorithm("lesion-unet", "1.0.0", "Countersign", DIGEST, ("lock=lock-1",))


def with_proposal(house: HouseUnderTest) -> None:
    """A lock, and a gated run with SEG and SR over the accepted CT."""
    signed(
        house, "imaging-lead",
        lock_word("lock-1", "lesion-unet", trained_by="model-trainer", tree_sha256=DIGEST, tensors_sha256=DIGEST,
               environment_sha256=DIGEST),
    )  # fmt: skip
    with house.desk.reading() as session:
        row = accepted_series(session, TRIAL, SUBJECT, "BL", "CT")[0]
        images = load_series(session, house.desk.objects, TRIAL, row.series)
    mask = np.zeros((len(images), images[0].Rows, images[0].Columns), np.bool_)
    mask[2:5, 4:9, 3:7] = True
    at = as_datetime(house.clock.now())
    seg = make_segmentation(
        [Segment("L1", "L1", "2.25.77", mask, "SEMIAUTOMATIC")], images, LOCKED,
        Instance("2.25.1", "2.25.2", 801, 1, at, "0.1.0"),
    )  # fmt: skip
    lesion = LesionResult(
        "L1", "2.25.77", "2.25.2", 1, row.series, (Measured("volume", Decimal("61230.0"), "mm3"),), "ai"
    )
    report = make_ai_report(
        [lesion], [seg, *images], LOCKED, TimePoint("Baseline", "baseline", 1),
        Instance("2.25.3", "2.25.4", 802, 1, at, "0.1.0"),
    )  # fmt: skip
    recorded(
        house,
        model_words.RunFinished(
            run="run-1", lock="lock-1", model="lesion-unet", subject=SUBJECT, time_point="BL", study="1.2",
            lesion="L1", use="secondary", standing="gated", sealed=False, input_sha256=DIGEST,
            environment_sha256=DIGEST, output_sha256=DIGEST, values_said="61230.0 mm3", took="1.0 s",
            values=(model_words.RunValue(name="volume", value="61230.0 mm3"),), endpoint="volume",
            gate="G3-volume", tracking_uid="2.25.77",
            segmentation=house.desk.objects.put(as_bytes(seg), DICOM, subject=OWNER),
            report=house.desk.objects.put(as_bytes(report), DICOM, subject=OWNER),
        ),
        "inference",
    )  # fmt: skip


def with_an_adjusted_value(house: HouseUnderTest, folder: Path) -> None:
    """Both reads of a baseline locked; reader 1 adjusted the AI's volume, which was shown under the open gate."""
    with_images(house, folder)
    with_proposal(house)
    open_gate(house, 3, "secondary", "volume")
    assignment = begin(house, "reader-1")
    mark(house, "reader-1", baseline_answer())
    show_ai_values(house.desk, Actor("reader-1"), assignment, "volume")
    use = {"endpoint": "volume", "run": "run-1", "use": "adjust", "reason": "part_missed"}
    answer = {"targets": [target("T01", "50.0", "70.0", location="liver", tracking_uid="2.25.77", ai=[use])]}
    seal(house, "reader-1", answer)
    begin(house, "reader-2")
    seal(house, "reader-2", baseline_answer("50.0", "70.0"))
    house.work()


@req("RDG-09", "GAT-03")
@pytest.mark.parametrize("standing", ["shadow", "exploratory"])
def test_no_ai_value_enters_a_final_but_that_of_a_gated_run(
    house: HouseUnderTest, tmp_path: Path, standing: str
) -> None:
    """TRIAL 2, refused at every door: with a table changed under it the last door still asks, and it is recorded."""
    with_an_adjusted_value(house, tmp_path / "study")
    with house.house.engine.begin() as connection:
        connection.execute(ai_runs.update().values(standing=standing))
    with pytest.raises(Refused) as refusal:
        final(house)

    assert refusal.value.rule == "F-626"
    assert (house.words()[-1], house.entries()[-1].body["rule"]) == ("action.refused", "F-626")
    with house.house.engine.begin() as connection:
        connection.execute(ai_runs.update().values(standing="gated"))
    final(house)


@req("RDG-09", "RDG-10", "REC-15")
def test_an_adjusted_ai_value_names_its_algorithm_and_the_report_before_it(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    with_an_adjusted_value(house, tmp_path / "study")

    final(house)

    report = read_object(the_report(house))
    assert check_report(report) == []
    assert (
        report.PredecessorDocumentsSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
        .ReferencedSOPInstanceUID
        == "2.25.4"
    )
    assert {each.tracking_uid for each in read_measurements(report)} == {"2.25.77"}
    assert "lesion-unet" in str(report)
    with house.desk.reading() as session:
        assert queries.finals_of(session, TRIAL)[0].sop_instance == str(report.SOPInstanceUID)

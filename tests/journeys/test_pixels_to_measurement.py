"""From a site's folder to a measured lesion on record: arrival, quality control, seed, request, worker, SEG and SR."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from pathlib import Path

import pydicom
import pytest

from audit.vocabulary.reads import Seed
from core.arrival.queries import cases_of, load_series, series_of
from core.ids import derived_uid
from core.phantoms import SCANNERS, StudyHeader, lesion_at, make_volume, write_study
from core.policy.state import Actor
from core.reads.usecases import PlaceSeeds, place_seeds
from models_registry import queries
from models_registry.asking import RequestRun, request_runs
from models_registry.images import ArrivalImages, placed_seeds
from models_registry.library import SHIPPED
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import arrival
from tests.builders.arrival import SUBJECT
from tests.builders.reads import TRIAL
from tests.conftest import need
from tests.house import HouseUnderTest
from tests.req import req

IMAGING = Actor("imaging-lead")
LESIONS = (lesion_at("liver", "TL01", (46, 40, 42)), lesion_at("lung right", "TL02", (36, 32, 34)))


@req("REC-14", "MLK-01", "RDG-11", "VAL-08")
def test_a_delivery_becomes_measurements_that_lead_back_to_its_pixels(house: HouseUnderTest, tmp_path: Path) -> None:
    """Two lesions of one study: axes within 6 mm of the truth; inputs name the manifests that arrival recorded."""
    need("torch")
    arrival.a_trial_that_receives(house)
    house.person("custodian", "model_custodian")
    house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(SHIPPED, "trainer")))
    house.commit(lock_model(house.desk, Actor("custodian"), LockModel("lesion-at-seed", demonstration=True)))
    volume = make_volume(replace(SCANNERS["A"], serial=arrival.SCANNER), LESIONS, 90_001)
    header = StudyHeader(protocol=TRIAL, site=arrival.SITE, subject=SUBJECT, time_point="BL",
                         acquired_on=date(2026, 3, 2))
    write_study(tmp_path / "delivery", volume, header)

    arrival.take_in(house, tmp_path / "delivery")
    with house.desk.reading() as session:
        cases = [case.case_id for case, _ in cases_of(session, TRIAL, undisposed=True)]
    for case in cases:
        arrival.dispose(house, case)
    with house.desk.reading() as session:
        given = {one.modality: one for one in series_of(session, TRIAL, SUBJECT, "BL")}
        frame = str(load_series(session, house.desk.objects, TRIAL, given["CT"].series)[0].FrameOfReferenceUID)
    seeds = tuple(
        Seed(lesion=one.label, tracking_uid=derived_uid("lesion", TRIAL, SUBJECT, one.label),
             x=f"{one.centre_mm[0]:.1f}", y=f"{one.centre_mm[1]:.1f}", z=f"{one.centre_mm[2]:.1f}")
        for one in LESIONS)
    house.commit(place_seeds(house.desk, IMAGING, PlaceSeeds(TRIAL, SUBJECT, "BL", given["CT"].series, frame, seeds)))
    with house.desk.reading() as session:
        lock = queries.locks_known(session)[-1].lock
        placed = placed_seeds(session, TRIAL, SUBJECT, "BL")
    request_runs(house.desk, IMAGING, [
        RequestRun(TRIAL, SUBJECT, "BL", seed.lesion, seed.tracking_uid, seed.point, seed.placed_by, lock)
        for seed in placed], ArrivalImages())
    house.work()

    with house.desk.reading() as session:
        found = queries.runs_of(session, trial=TRIAL)
    assert [(row.state, row.standing) for row in found] == [("finished", "exploratory")] * 2
    for row in found:
        truth = volume.truth_of(row.lesion)
        assert float(row.values["long_axis"].split(" ")[0]) == pytest.approx(truth.long_axis_mm, abs=6)
        assert float(row.values["short_axis"].split(" ")[0]) == pytest.approx(truth.short_axis_mm, abs=6)
        assert {one["manifest_sha256"] for one in row.inputs} == {one.manifest_sha256 for one in given.values()}
        assert row.report is not None
        report = pydicom.dcmread(io.BytesIO(house.desk.objects.get(row.report, subject=f"{TRIAL}/{SUBJECT}")))
        assert report.PatientID == SUBJECT
        assert report.StudyInstanceUID == given["CT"].study
        assert report.VerificationFlag == "UNVERIFIED"

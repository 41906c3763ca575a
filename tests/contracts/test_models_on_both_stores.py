"""The models room gives the same record and tables on both stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import Refused
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor
from models_registry import queries
from models_registry.asking import RequestRun, request_runs
from models_registry.reproduction import ReproduceModel, reproduce_model
from models_registry.running import run_waiting
from models_registry.usecases import RetireModel, retire_model
from tests.builders import models
from tests.builders.models import TRIAL, MadeImages, stand_in
from tests.conftest import need
from tests.house import a_house
from tests.req import req


@req("MLK-01", "REC-14")
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_lock_a_run_and_a_retirement_are_alike_on_both_stores(store: str, tmp_path: Path) -> None:
    """Registered, locked, run, undecided, retired; the house compares rebuilt tables with live ones on its way out."""
    url = None
    if store == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    lesion = lesion_at("liver", "TL01", (46, 38, 42), suv=11.0)
    images = MadeImages()
    images.add(tmp_path / "studies", make_volume(replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), [lesion], 5),
               "S-001", "BL")
    with a_house(tmp_path / "house", url) as house:
        models.cast(house)
        models.live_trial(house, "S-001")
        lock = models.locked(house, stand_in)
        asked = RequestRun(TRIAL, "S-001", "BL", "TL01", "2.25.1", ("-76.0", "-14.0", "-60.0"), "reader", lock)
        request_runs(house.desk, Actor("imaging"), [asked, replace(asked, seed_mm=None)], images)
        run_waiting(house.desk, images, runner=stand_in)
        house.commit(retire_model(house.desk, Actor("custodian"), RetireModel(lock, "recalled", "defect_found")))
        house.commit(reproduce_model(house.desk, Actor("custodian"), ReproduceModel(lock), images, runner=stand_in))
        with pytest.raises(Refused) as refusal:
            request_runs(house.desk, Actor("imaging"), [asked], images)

        with house.desk.reading() as session:
            found = queries.runs_of(session, trial=TRIAL)
            row = queries.lock_of(session, lock)
            (again,) = queries.reproductions_of(session, lock)
        assert refusal.value.rule == "F-403"
        assert [(one.state, one.cause) for one in found] == [("finished", None), ("undecided", "no-seed")]
        assert float(found[0].values["volume"].split(" ")[0]) == pytest.approx(lesion.volume_mm3(), rel=0.15)
        assert (again.person, again.state) == ("custodian", "recalled")
        assert [one.suspect for one in found] == [row.ended_entry] * 2
        assert (row.state, row.ended_by, row.ended_reason) == ("recalled", "custodian", "defect_found")

"""Hostile series are stopped where a trial would stop them; one with nothing wrong reaches the model."""

from __future__ import annotations

import pytest

from core.errors import CountersignError
from countersign.adapters import hostile_dicom
from countersign.adapters.hostile_dicom import Hostile, stopped_by
from models_registry.contract import Study
from tests.req import req


@req("MLK-03", "RDG-11")
def test_every_hostile_series_is_stopped_for_its_own_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused when read, by the table's cause; MR in place of the CT has no HU, which the model's contract asks for."""
    harmless = {"nothing": Hostile("nothing wrong", frozenset())}
    monkeypatch.setattr(hostile_dicom, "HOSTILE", {**hostile_dicom.HOSTILE, **harmless})

    found = hostile_dicom.studies()

    reached = {name: one for name, one in found.items() if isinstance(one, Study)}
    assert {name: one.ct_unit for name, one in reached.items()} == {"dicom_wrong_modality": "1", "nothing": "HU"}
    for name, one in found.items():
        if isinstance(one, CountersignError):
            assert stopped_by(one) in hostile_dicom.HOSTILE[name].stopped_by, name

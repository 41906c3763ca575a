"""A segmentation from request to record: no lesion, no seed; SEG and SR name its structures, in whatever slices lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from core.dicom.reading import read_object
from core.dicom.segmentation import read_segmentation
from core.dicom.structured_report import read_measurements
from core.errors import Refused, UnusableInput
from core.policy.state import Actor
from countersign.adapters.locked_model import RegistryModel
from models_registry import queries
from models_registry.asking import WHOLE, RequestRun, request_run
from models_registry.comparing import compare_locks
from models_registry.isolation import Expected, Session
from models_registry.jobs import configuration_of
from models_registry.running import run_waiting
from models_registry.tasks import Given, task_of
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import models
from tests.builders.models import TRIAL, MadeImages
from tests.builders.segmentation import SAGITTAL, ByHand, add_scan, bundle, configuration, head, laid_out
from tests.house import HouseUnderTest, a_house
from tests.req import req


def by_hand(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    """models_registry.ports.Runner: the real pipeline with the network by NumPy, in this process."""
    stated = configuration_of(files)
    task = task_of(stated)
    answers = tuple((task.run(study, stated, ByHand()), "0.10 s") for study in studies)
    digest = answers[0][0].output_sha256 if expected is None else expected.sentinel_output_sha256
    return Session({"python": "3", "torch": "none"}, digest, "finished", (), answers, "none")


@pytest.fixture(scope="module")
def images() -> MadeImages:
    made = MadeImages()
    add_scan(made, head(), TRIAL, "S-001")
    add_scan(made, head((30, 30, 30), directions=SAGITTAL), TRIAL, "S-002", number=1)
    add_scan(made, replace(head(), spacing_mm=(6.0, 4.0, 4.0)), TRIAL, "S-003")
    with_a_gap = add_scan(made, head(), TRIAL, "S-004")
    made.files[with_a_gap.series] = [one for number, one in enumerate(made.files[with_a_gap.series]) if number != 9]
    add_scan(made, head(), TRIAL, "S-005", number=1)
    add_scan(made, head(), TRIAL, "S-005", number=2)
    return made


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HouseUnderTest, str]]:
    with a_house(tmp_path_factory.mktemp("models")) as house:
        models.cast(house)
        models.live_trial(house, *(f"S-00{number}" for number in range(1, 6)))
        folder = laid_out(tmp_path_factory.mktemp("bundle") / "ball", bundle())
        house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(folder, "trainer")))
        proposal = lock_model(house.desk, Actor("custodian"), LockModel("ball-segmenter"), runner=by_hand)
        house.commit(proposal)
        yield house, str(proposal.drafts[0].event.lock)


def asked(lock: str, subject: str, **more: str | None) -> RequestRun:
    command = RequestRun(trial=TRIAL, subject=subject, time_point="BL", lesion=None, tracking_uid=None, seed_mm=None,
                         seed_by="nobody", lock=lock)
    return replace(command, **more)  # type: ignore[arg-type]


def run(told: tuple[HouseUnderTest, str], images: MadeImages, subject: str, **more: str | None) -> queries.RunRow:
    house, lock = told
    entry = request_run(house.desk, Actor("imaging"), asked(lock, subject, **more), images).seq
    run_waiting(house.desk, images, runner=by_hand)
    with house.desk.reading() as session:
        return next(one for one in queries.runs_of(session) if one.entry == entry)


@req("MLK-01", "MLK-03")
def test_the_lock_says_its_task_and_the_series_it_takes(told: tuple[HouseUnderTest, str]) -> None:
    house, lock = told
    with house.desk.reading() as session:
        fields = queries.lock_of(session, lock).fields

    assert (fields.task, fields.modality) == ("segmentation", "MR")


@req("REC-14", "VAL-08")
@pytest.mark.parametrize("subject", ["S-001", "S-002"])
def test_structures_stand_in_entry_segmentation_and_report_alike(
    told: tuple[HouseUnderTest, str], images: MadeImages, subject: str
) -> None:
    house, _ = told

    row = run(told, images, subject)

    assert (row.state, row.lesion, row.seed) == ("finished", WHOLE, "none")
    assert set(row.values) == {"core_volume", "whole_volume"}
    assert row.segmentation is not None
    assert row.report is not None
    owner = f"{TRIAL}/{subject}"
    files = [dcmread(BytesIO(one)) for one in images.files[images.series[TRIAL, subject, "BL"][0].series]]
    seg = read_object(house.desk.objects.get(row.segmentation, subject=owner))
    segments = {one.label: one for one in read_segmentation(seg, files)}
    assert set(segments) == {"core", "whole"}
    assert {one.kind for one in segments.values()} == {"AUTOMATIC"}
    assert str(seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeValue) == "12738006"
    # Overlap of structures survives: the core lies within the whole.
    assert not (segments["core"].mask & ~segments["whole"].mask).any()
    report = read_measurements(read_object(house.desk.objects.get(row.report, subject=owner)))
    told_by_report = {one.tracking_id: f"{one.value} {one.unit}" for one in report}
    assert told_by_report == {"core": row.values["core_volume"], "whole": row.values["whole_volume"]}
    for name, one in segments.items():
        voxels = float(np.prod([4.0, 4.0, 4.0])) * one.mask.sum()
        assert row.values[f"{name}_volume"] == f"{voxels:.1f} mm3"


@req("VAL-11", "REC-14")
@pytest.mark.parametrize(("subject", "cause", "says"), [
    ("S-003", "between-slices", "6.000 mm; needed: at most 5 mm"),
    ("S-004", "input", "geometry.gaps: 1 missing"),
])
def test_a_scan_outside_the_contract_or_without_a_slice_is_a_failed_run(
    told: tuple[HouseUnderTest, str], images: MadeImages, subject: str, cause: str, says: str
) -> None:
    row = run(told, images, subject)

    assert (row.state, row.cause, dict(row.values), row.segmentation) == ("failed", cause, {}, None)
    assert says in (row.found or "")


def test_of_several_series_the_named_one_is_run(told: tuple[HouseUnderTest, str], images: MadeImages) -> None:
    _, second = images.series[TRIAL, "S-005", "BL"]

    with pytest.raises(UnusableInput, match="2 MR series"):
        run(told, images, "S-005")
    row = run(told, images, "S-005", series=second.series)

    assert row.state == "finished"
    assert [one["series"] for one in row.inputs] == [second.series]


@req("GAT-03")
@pytest.mark.parametrize(("more", "says"), [
    ({"lesion": "T01"}, "takes no lesion"), ({"use": "secondary", "endpoint": "volume"}, "reads for an endpoint"),
    ({"use": "primary", "endpoint": "response"}, "reads for an endpoint"),
])
def test_a_segmentation_takes_no_lesion_and_serves_no_read(
    told: tuple[HouseUnderTest, str], images: MadeImages, more: dict[str, str], says: str
) -> None:
    house, lock = told

    with pytest.raises(UnusableInput, match=says):
        request_run(house.desk, Actor("imaging"), asked(lock, "S-001", **more), images)


def test_a_protocol_about_lesions_does_not_take_a_segmenter(told: tuple[HouseUnderTest, str]) -> None:
    house, lock = told

    with pytest.raises(UnusableInput, match="task segmentation"):
        RegistryModel(house.desk, lock)


@req("VAL-08")
def test_two_locks_are_compared_case_by_case_in_words(
    told: tuple[HouseUnderTest, str], images: MadeImages, tmp_path: Path
) -> None:
    """The second calls the core alone the whole: overlap and volumes are those of the two masks."""
    house, first = told
    stated = configuration()
    stated["structures"][1]["labels"] = [2]
    folder = laid_out(tmp_path / "ball-two", bundle("ball-two", stated))
    house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(folder, "trainer")))
    proposal = lock_model(house.desk, Actor("custodian"), LockModel("ball-two"), runner=by_hand)
    house.commit(proposal)
    second = str(proposal.drafts[0].event.lock)
    for lock in (first, second):
        for subject in ("S-001", "S-003"):
            run((house, lock), images, subject)

    with pytest.raises(Refused):  # who reads in the trial, and who asked for the runs
        compare_locks(house.desk, Actor("reader"), images, first, second, TRIAL)
    with pytest.raises(Refused):
        compare_locks(house.desk, Actor("imaging"), images, first, second, TRIAL)
    assert house.words()[-2:] == ["action.refused"] * 2
    house.person("validator", "validation_lead")
    judge = Actor("validator")

    found = {(one.subject, one.structure): one
             for one in compare_locks(house.desk, judge, images, first, second, TRIAL)}

    core, whole = found["S-001", "core"], found["S-001", "whole"]
    assert (core.dice, core.difference_ml) == (Decimal("1.0000"), Decimal("0.0"))
    assert whole.first_ml is not None
    assert whole.second_ml is not None
    assert whole.second_ml == core.second_ml
    assert whole.dice is not None
    small, large = float(whole.second_ml), float(whole.first_ml)
    assert float(whole.dice) == pytest.approx(2 * small / (small + large), abs=1e-3)
    assert "the same volume" in core.in_words()
    assert "smaller" in whole.in_words()
    failed = found["S-003", "all structures"]
    assert failed.dice is None
    assert "first failed: between-slices" in failed.in_words()
    with pytest.raises(UnusableInput, match="another lock"):
        compare_locks(house.desk, judge, images, first, first, TRIAL)

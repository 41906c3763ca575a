"""Models, their people and a live trial with generated images, for tests of the models room."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from audit.vocabulary.trials import TimePointExpected, TrialActivated, TrialCreated
from core.objects import ObjectStore
from core.phantoms import PhantomVolume, StudyHeader, write_study
from core.policy.state import Actor, Decision
from core.work import Draft, View
from models_registry import pipeline
from models_registry.contract import Study
from models_registry.isolation import Expected, Session
from models_registry.jobs import configuration_of
from models_registry.library import SHIPPED
from models_registry.ports import GivenSeries, Runner
from models_registry.tasks import Given
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.conftest import need
from tests.house import HouseUnderTest

TRIAL = "T-1"


@dataclass(slots=True)
class MadeImages:
    """models_registry.ports.Images over generated studies: (trial, subject, time point) -> series and files."""

    series: dict[tuple[str, str, str], list[GivenSeries]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, folder: Path, volume: PhantomVolume, subject: str, time_point: str, *, accepted: bool = True,
            defects: Sequence[str] = (), trial: str = TRIAL) -> None:
        """Write a study and list its series."""
        header = StudyHeader(protocol=trial, site="S01", subject=subject, time_point=time_point,
                             acquired_on=date(2026, 1, 5))
        paths = write_study(folder / f"{subject}-{time_point}", volume, header, defects=defects)
        for modality in sorted({path.parent.name for path in paths}):
            mine = [path.read_bytes() for path in paths if path.parent.name == modality]
            first = pydicom.dcmread(io.BytesIO(mine[0]), stop_before_pixels=True)
            uid = str(first.SeriesInstanceUID)
            given = GivenSeries(str(first.Modality), uid, str(first.StudyInstanceUID), f"{len(mine):064x}", len(mine),
                                accepted)
            self.series.setdefault((trial, subject, time_point), []).append(given)
            self.files[uid] = mine

    def series_of(self, session: Connection, trial: str, subject: str, time_point: str) -> Sequence[GivenSeries]:
        return self.series.get((trial, subject, time_point), [])

    def load(self, session: Connection, objects: ObjectStore, trial: str, series: str) -> list[FileDataset]:
        return [pydicom.dcmread(io.BytesIO(one)) for one in self.files[series]]

    def resent(self, trial: str, subject: str, time_point: str) -> None:
        """The series of a time point came again and have other manifests."""
        key = (trial, subject, time_point)
        self.series[key] = [replace(one, manifest_sha256="f" * 64) for one in self.series[key]]


def half_of_the_peak(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network that outlines at half of the uptake at the seed."""
    return np.asarray(np.clip(channels[2] * np.float32(0.95), 0, 1), dtype=np.float32)


def stand_in(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    """models_registry.ports.Runner: the real pipeline with a simple network, in this process."""
    configuration = configuration_of(files)
    answers = tuple((pipeline.run(study, configuration, half_of_the_peak), "0.10 s") for study in studies
                    if isinstance(study, Study))
    # The sentinel of a lock is the first study of a session without expectation.
    digest = answers[0][0].output_sha256 if expected is None else expected.sentinel_output_sha256
    return Session({"python": "3", "torch": "none"}, digest, "finished", (), answers, "none")


def cast(house: HouseUnderTest) -> None:
    """Custodian, trainer, trial lead, imaging lead and a reader, each with an own key and role."""
    for user, role in (("custodian", "model_custodian"), ("trainer", "model_custodian"), ("lead", "trial_lead"),
                       ("imaging", "imaging_lead"), ("reader", "reader")):
        house.person(user, role)


def live_trial(house: HouseUnderTest, *subjects: str) -> None:
    """A live trial with one baseline expected per subject, told through its words."""
    under = Decision(True, "T-00", "set up for a test", "trial_lead")

    def signs(event: object) -> None:
        view = View("A deed of a test", "test", (("What", "a test"),))
        house.commit(house.desk.prepare(Actor("lead"), lambda session, occasion: Draft(
            event, under=under, meaning="approval", view=view, trial=TRIAL)))

    signs(TrialCreated(title="A test of models", demonstration=True))
    signs(TrialActivated(charter_version="1.0", digest="d" * 64))
    with house.desk.open(Actor.of_service("house")) as work:
        for subject in subjects:
            work.record(
                TimePointExpected(subject=subject, time_point="BL", label="Baseline", occasion="baseline",
                                  target_on="2026-01-05", earliest_on="2026-01-01", latest_on="2026-01-09",
                                  charter_version="1.0"),
                under=replace(under, role="service"), trial=TRIAL)


def registered(house: HouseUnderTest, folder: Path = SHIPPED, trained_by: str = "trainer") -> None:
    """A bundle taken in by the custodian."""
    house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(folder, trained_by)))


def locked(house: HouseUnderTest, runner: Runner | None = None) -> str:
    """The shipped model registered, and locked by the custodian; the lock's id. Without `runner` in a real worker."""
    if runner is None:
        need("torch")
        need("namespace")
    registered(house)
    command = LockModel("lesion-at-seed", demonstration=True)
    proposal = lock_model(house.desk, Actor("custodian"), command, runner=runner)
    house.commit(proposal)
    return str(proposal.drafts[0].event.lock)

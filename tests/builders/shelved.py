"""A house that loads its models from a real MLflow store, and locks in it with an open gate each."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.vocabulary import gates as gate_words
from core.gates.queries import gate_named
from core.policy.state import Actor, Decision
from core.trials.queries import open_uses
from core.work import Draft, View
from countersign.adapters.mlflow import MlflowTracking
from countersign.house import open_house, tracking_store
from models_registry import jobs, queries
from models_registry.library import SHIPPED
from models_registry.loading import answers
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import models
from tests.builders.models import TRIAL, stand_in
from tests.house import HouseUnderTest, a_house

MODEL = "lesion-at-seed"
CUSTODIAN = Actor("custodian")
YES = Decision(True, "P-00", "set up for a test", "trial_lead")
numbers = iter(range(1, 1000))


@contextmanager
def loading_from_mlflow(folder: Path) -> Iterator[HouseUnderTest]:
    """It asks its MLflow store at every load."""
    with a_house(folder) as made:
        models.cast(made)
        models.live_trial(made, "S-001", "S-002")
        with made.house.settings.config_file.open("a") as settings:
            settings.write('models_from = "tracking"\n')
        made.house = open_house(made.home, clock=made.clock)
        yield made


@dataclass
class Locked:
    """One locked version with an open gate, and where its copy lies in MLflow."""

    house: HouseUnderTest
    store: MlflowTracking
    lock: str
    gate: str
    number: str

    @property
    def folder(self) -> Path:
        return self.house.home / "mlflow"

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        uri = f"sqlite:///{self.folder / 'mlflow.db'}"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    @property
    def run(self) -> str:
        return str(self.client.get_model_version(MODEL, self.number).run_id)

    @property
    def copy(self) -> Path:
        return next((self.folder / "artefacts").rglob(f"{self.run}/artifacts/bundle"))

    def sql(self, statement: str, *values: str) -> None:
        with sqlite3.connect(self.folder / "mlflow.db") as database:
            assert database.execute(statement, values).rowcount > 0

    def asked(self) -> None:
        """The loader's whole way, with a stand-in for the network alone."""
        with self.house.desk.reading() as session:
            row = queries.lock_of(session, self.lock)
            version = queries.version_of(session, MODEL, row.fields.model_version)
        answers(self.house.desk, row, version, [], runner=stand_in)

    def state(self) -> tuple[str, bool]:
        """State of the gate, and whether it allows anything."""
        with self.house.desk.reading() as session:
            return gate_named(session, self.gate).state, self.gate in {one.gate for one in open_uses(session, TRIAL)}


def a_bundle(folder: Path, version: str) -> Path:
    """The shipped bundle under another version number."""
    shutil.copytree(SHIPPED, folder)
    stated = json.loads((folder / jobs.METADATA).read_text())
    (folder / jobs.METADATA).write_text(json.dumps(stated | {"version": version}))
    return folder


def lock_in(house: HouseUnderTest, folder: Path) -> Locked:
    n = next(numbers)
    store = tracking_store(house.house.settings)
    house.commit(register_model(
        house.desk, CUSTODIAN, RegisterModel(a_bundle(folder, f"1.0.{n}"), "trainer"), store))
    proposal = lock_model(house.desk, CUSTODIAN, LockModel(MODEL, f"1.0.{n}"), runner=stand_in)
    house.commit(proposal)
    event: Any = proposal.drafts[0].event
    gate = f"{TRIAL}-G1-{n}"
    about = {"gate": gate, "use": 1, "use_name": "qc", "scope": "all", "lock": event.lock, "criteria": ()}
    draft = Draft(gate_words.GateRequested(**about, model=MODEL), under=YES, meaning="authorship",
                  view=View("A deed of a test", "test", ()), trial=TRIAL)
    house.sign(Actor("lead"), lambda session, occasion: draft)
    with house.desk.open(Actor.of_service("gates")) as work:
        work.record(gate_words.GateOpened(**about, signed=()), under=YES, trial=TRIAL)
    found = Locked(house, store, event.lock, gate, event.store_hint.rsplit("/", 1)[1])
    found.asked()
    assert found.state() == ("open", True)
    return found


def another_version(at: Locked) -> str:
    """Somebody logs other files under the same name; its number."""
    return at.store.register(MODEL, "other", {"weights": b"junk"}).hint.rsplit("/", 1)[1]


def our_alias(at: Locked) -> str:
    with at.house.desk.reading() as session:
        marks = queries.lock_of(session, at.lock).fields.store_marks or ()
    return next(one.name.removeprefix("alias ") for one in marks if one.name.startswith("alias "))

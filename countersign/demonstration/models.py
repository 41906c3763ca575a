"""Scene 2: a real model is taken in, listed in MLflow, and locked by somebody who did not train it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from countersign.demonstration.cast import actor
from countersign.demonstration.stage import Stage
from countersign.house import tracking_store
from models_registry.queries import locks_known
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model

TRAINER, CUSTODIAN, LOCKER = "model-trainer", "model-custodian", "validation-lead"
MODEL = "lesion-at-seed"


def take_in_and_lock(stage: Stage) -> None:
    """Register the shipped bundle, refuse its trainer the lock, lock it; `stage.notes["lock"]` names it."""
    with stage.scene("Model: taken in, registered in MLflow, locked by digest"):
        bundle = Path(str(files("models_registry") / "library" / MODEL))
        tracking = tracking_store(stage.house.settings)
        stage.signed(register_model(stage.desk, actor(CUSTODIAN), RegisterModel(bundle, TRAINER), tracking))
        stage.refused(
            "locking the model by its trainer",
            lambda: lock_model(stage.desk, actor(TRAINER), LockModel(MODEL, demonstration=True)),
        )
        stage.signed(lock_model(stage.desk, actor(LOCKER), LockModel(MODEL, demonstration=True)))
        with stage.desk.reading() as session:
            lock = locks_known(session, running_only=True)[0]
        stage.notes["lock"] = lock.lock
        stage.note("model locked", f"{lock.fields.model} {lock.fields.model_version} as {lock.lock}")
        stage.note("weights", f"{lock.fields.tensors} tensors, tree sha256 {lock.fields.tree_sha256[:16]}…")

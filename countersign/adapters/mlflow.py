"""MLflow as a register of models that people can browse. Nothing it says counts: locks are entries (MLK-06)."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from core.errors import OutsideUnavailable
from models_registry.digest import read_tree

EXPERIMENT = "countersign"
BUNDLE = "bundle"


class MlflowTracking:
    """models_registry.ports.Tracking on a local store: SQLite and a folder of artefacts below the home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def register(self, model: str, version: str, files: Mapping[str, bytes], tags: Mapping[str, str]) -> str:
        """Log the bundle's files in a run and register them; the answer is models:/NAME/N (N is MLflow's number)."""
        client = self._client()
        try:
            run = client.create_run(self._experiment(client), run_name=f"{model} {version}", tags=dict(tags))
            with tempfile.TemporaryDirectory() as scratch:
                for path, data in files.items():
                    place = Path(scratch) / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
                client.log_artifacts(run.info.run_id, scratch, BUNDLE)
            client.set_terminated(run.info.run_id)
            known = {one.name for one in client.search_registered_models()}
            if model not in known:
                client.create_registered_model(model)
            made = client.create_model_version(
                model, source=f"{run.info.artifact_uri}/{BUNDLE}", run_id=run.info.run_id,
                tags={"version": version, **tags})
        except self._failure() as error:
            raise OutsideUnavailable(f"MLflow did not register {model} {version}: {error}") from error
        return f"models:/{model}/{made.version}"

    def files_of(self, hint: str) -> dict[str, bytes]:
        """The files that MLflow would hand out now."""
        client = self._client()
        _, name, number = hint.split("/")
        try:
            source = client.get_model_version(name, number).source
        except self._failure() as error:
            raise OutsideUnavailable(f"MLflow has no {hint}: {error}") from error
        return read_tree(Path(urlparse(source).path))

    def _client(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise OutsideUnavailable(
                "MLflow is not installed.", next_step="Install the extra `inference`, or register without it."
            ) from error
        # It tells of its own tables at every new store; that is no news for whoever registers a model.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._folder.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{self._folder / 'mlflow.db'}"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        place = (self._folder / "artefacts").absolute().as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=place))

    @staticmethod
    def _failure() -> type[Exception]:
        from mlflow.exceptions import MlflowException

        return MlflowException

"""MLflow as a register of models that people can browse, and as a place to fetch them from.

Nothing it says counts: locks are entries, and what comes from here is held against them (MLK-06). Alias, stage, tag and
description decide nothing; those that we put there are compared with the lock, since an edited one shows that somebody
was at our copy. `mlflow.pyfunc` is never called: it would run code that a copy brings along.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from core.errors import NotFound, OutsideUnavailable, UnusableInput
from models_registry.digest import LARGEST_FILE, ModelFileUnusable, read_tree, sha256, tree_digest
from models_registry.ports import Shelved

EXPERIMENT = "countersign"
BUNDLE, ARTEFACTS = "bundle", "artefacts"
FOLDER, DATABASE = "mlflow", "mlflow.db"
# A copy that somebody repointed may lie anywhere: what is larger than any bundle is not fetched at all.
MOST_FILES = 1000
SERVED = "mlflow-artifacts"
NO_STAGE = "None"


class MlflowTracking:
    """models_registry.ports.Tracking on a local store (SQLite and a folder of artefacts below the home), or on a server
    that serves its artefacts itself, by URL. MLflow's own variables name user and password of a server."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """Raises UnusableInput for a URL that is not http(s), or has a password in it."""
        self._folder, self._url = folder, url
        if url is not None:
            parts = urlparse(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
                raise UnusableInput(
                    "The tracking URL is http(s)://HOST[:PORT][/PATH], without user or password.",
                    next_step="MLflow reads those from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.")

    @property
    def where(self) -> str:
        """In words, for people."""
        return f"MLflow at {self._url}" if self._url else "the local MLflow store"

    def register(self, model: str, version: str, files: Mapping[str, bytes]) -> Shelved:
        """Log the bundle's files in a run and register them as models:/NAME/N (N is MLflow's number), with version and
        digest as tags and under an alias made of both numbers: another house that shares the server has its own."""
        tags = {"version": version, "tree_sha256": tree_digest(files)}
        with self._asked(f"register {model} {version}") as client:
            run = client.create_run(self._experiment(client), run_name=f"{model} {version}")
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
                model, source=f"{run.info.artifact_uri}/{BUNDLE}", run_id=run.info.run_id, tags=tags)
            number = str(made.version)
            alias = f"{EXPERIMENT}-{number}-{tags['tree_sha256'][:12]}"
            client.set_registered_model_alias(model, alias, number)
            # A new version is in no stage.
            marks = {"stage": NO_STAGE, f"alias {alias}": number} | {f"tag {key}": tags[key] for key in tags}
            return Shelved(f"models:/{model}/{number}", marks)

    def marks_of(self, hint: str) -> dict[str, str]:
        """models_registry.ports.Tracking: tags and stage of the version, and to which version each alias leads."""
        name, number = _of_hint(hint)
        with self._asked(f"say how {hint} is marked") as client:
            version = client.get_model_version(name, number)
            aliases = client.get_registered_model(name).aliases
        return {"stage": str(version.current_stage or NO_STAGE)} | {
            f"alias {alias}": str(aliases[alias]) for alias in aliases} | {
            f"tag {key}": str(version.tags[key]) for key in version.tags}

    def files_of(self, hint: str) -> dict[str, bytes]:
        """models_registry.ports.Tracking: the files that MLflow would hand out now."""
        name, number = _of_hint(hint)
        with self._asked(f"hand out {hint}") as client:
            source = str(client.get_model_version(name, number).source)
        if self._url is None:
            return read_tree(self._own_place(source))
        return self._downloaded(source)

    def _own_place(self, source: str) -> Path:
        """The folder of a local copy, below the artefacts of this store wherever its home lies now; nothing else is
        read, whatever somebody wrote into MLflow's database."""
        parts = urlparse(source)
        _, found, below = unquote(parts.path).partition(f"/{ARTEFACTS}/")
        place = (self._artefacts() / below).resolve()
        if parts.scheme not in ("", "file") or not found or not place.is_relative_to(self._artefacts().resolve()):
            raise ModelFileUnusable(f"It is said to lie at {source[:200]}, outside of the store's artefacts.")
        return place

    def _downloaded(self, source: str) -> dict[str, bytes]:
        """A copy that the server serves, fetched into a private folder and read from there once."""
        parts, server = urlparse(source), urlparse(self._url)
        if parts.scheme != SERVED or parts.netloc not in ("", server.netloc):
            raise ModelFileUnusable(f"It is said to lie at {source[:200]}, which this server does not serve itself.")
        with self._asked("hand out the files of a model"), tempfile.TemporaryDirectory() as scratch:
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            there: Any = get_artifact_repository(source, tracking_uri=self._url, registry_uri=self._url)
            for path in _listed(there):
                there.download_artifacts(path, scratch)
            return read_tree(Path(scratch))

    def _artefacts(self) -> Path:
        return self._folder / ARTEFACTS

    @contextmanager
    def _asked(self, what: str) -> Iterator[Any]:
        """MLflow's client; its errors, and those of the network, in our words."""
        for name, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false"),
                            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"),
                            ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")):
            os.environ.setdefault(name, value)
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
            from requests import RequestException
        except ImportError as error:
            raise OutsideUnavailable(
                "MLflow is not installed.", next_step="Install the extra `inference`, or register without it."
            ) from error
        # It tells of its own tables at every new store; that is no news for whoever registers a model.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        if self._url is None:
            self._folder.mkdir(parents=True, exist_ok=True)
        uri = self._url or f"sqlite:///{self._folder / DATABASE}"
        try:
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NotFound(f"{self.where} cannot {what}: it is not there.") from error
            raise OutsideUnavailable(f"{self.where} did not {what}: {_short(error)}") from error
        except RequestException as error:
            raise OutsideUnavailable(f"{self.where} did not {what}: {type(error).__name__}.") from error

    def _experiment(self, client: Any) -> str:
        """The experiment whose artefacts lie in this store; a home that was moved begins another one."""
        # A server places artefacts where it serves them from.
        place = None if self._url else self._artefacts().absolute().as_uri()
        name = EXPERIMENT
        found = client.get_experiment_by_name(name)
        if found is not None and place not in (None, found.artifact_location):
            name = f"{EXPERIMENT} {sha256(str(place).encode())[:12]}"
            found = client.get_experiment_by_name(name)
        if found is None:
            return str(client.create_experiment(name, artifact_location=place))
        return str(found.experiment_id)


def _of_hint(hint: str) -> tuple[str, str]:
    """Name and number of models:/NAME/N. An alias (models:/NAME@x) or a stage is no hint: they move."""
    head, _, rest = hint.partition(":/")
    name, _, number = rest.rpartition("/")
    if head != "models" or not name or not number.isdigit():
        raise UnusableInput(f"{hint!r} is no models:/NAME/N with N a number.",
                            next_step="An alias or a stage names no fixed version; give MLflow's number.")
    return name, number


def _listed(there: Any) -> list[str]:
    """Every file below an artefact folder, by path. Raises ModelFileUnusable for too much or a path that leaves."""
    found: list[str] = []
    waiting: list[str | None] = [None]
    total = 0
    while waiting:
        for one in there.list_artifacts(waiting.pop()):
            if PurePosixPath(one.path).is_absolute() or ".." in PurePosixPath(one.path).parts:
                raise ModelFileUnusable(f"{one.path[:200]!r} is no path inside a bundle.")
            total += one.file_size or 0
            (waiting if one.is_dir else found).append(one.path)
            if len(found) + len(waiting) > MOST_FILES or total > LARGEST_FILE:
                raise ModelFileUnusable(f"It holds more than {MOST_FILES} files or {LARGEST_FILE} bytes.")
    return sorted(found)


def _short(error: Exception) -> str:
    """The first line: MLflow's errors can hold a trace of the server."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]

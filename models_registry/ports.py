"""What the models room needs from outside: accepted images, a place that tracks models, and a worker to run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from models_registry.isolation import Expected, Session
from models_registry.tasks import Given

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from sqlalchemy import Connection

    from core.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class GivenSeries:
    """A series of a time point as arrival knows it; `accepted` once a technologist's disposition says so."""

    modality: str
    series: str
    study: str
    manifest_sha256: str
    instances: int
    accepted: bool


class Images(Protocol):
    """The images of a time point."""

    def series_of(self, session: Connection, trial: str, subject: str, time_point: str) -> Sequence[GivenSeries]:
        """The series in force, one per modality and acquisition; rejected and superseded ones left out."""
        ...

    def load(self, session: Connection, objects: ObjectStore, trial: str, series: str) -> list[FileDataset]:
        """The data sets of a series as stored, digests checked."""
        ...


@dataclass(frozen=True, slots=True)
class Shelved:
    """A copy in a tracking store: where it lies, and the marks that were put on it, name to value."""

    hint: str
    marks: Mapping[str, str]


class Tracking(Protocol):
    """A registry outside (MLflow) that lists models for people. Its word counts for nothing here (MLK-06)."""

    def register(self, model: str, version: str, files: Mapping[str, bytes]) -> Shelved:
        """Put a copy there and mark it. Raises OutsideUnavailable."""
        ...

    def marks_of(self, hint: str) -> dict[str, str]:
        """Every mark there now, whoever put it, under the names that `register` answers with.

        Raises:
            NotFound: there is no such copy.
            OutsideUnavailable: the store does not answer.
        """
        ...

    def files_of(self, hint: str) -> dict[str, bytes]:
        """The copy as it lies there now, read once into memory; nothing of it is executed.

        Raises:
            NotFound: there is no such copy.
            ModelFileUnusable: it lies where it does not belong, or is no plain tree of files.
            OutsideUnavailable: the store does not answer.
        """
        ...


@runtime_checkable
class FetchesModels(Protocol):
    """Objects of a house that loads its models from a tracking store: at each load, by the hint of the registration."""

    @property
    def tracking(self) -> Tracking:
        """That store."""
        ...


def tracking_of(objects: object) -> Tracking | None:
    """Where the models are loaded from, None where they lie among the objects themselves."""
    return objects.tracking if isinstance(objects, FetchesModels) else None


class Runner(Protocol):
    """Runs verified bundle bytes on studies, apart from the house: isolation.run_isolated, or a remote server."""

    def __call__(self, files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
        """One answer per study. Raises WorkerDiffers, WorkerFailed."""
        ...

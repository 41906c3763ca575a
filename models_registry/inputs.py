"""What a run is given: the series that its task takes, read as volumes, and a seed as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from audit.entry import canonical
from core.dicom.volume import Volume, load_volume
from core.errors import UnusableInput
from core.work import Desk
from models_registry.digest import sha256
from models_registry.ports import GivenSeries, Images
from models_registry.queries import RunRow, lock_of
from models_registry.tasks import Given as Input
from models_registry.tasks import Task, task_named

Point = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Given:
    """The images of a run, read and measured out; `files` are those of the first series, on whose grid a mask lies."""

    series: tuple[GivenSeries, ...]
    study: Input
    files: tuple[FileDataset, ...]


class SeriesReader:
    """Reads series as volumes, each once for all lesions of its time point."""

    def __init__(self, desk: Desk, images: Images) -> None:
        self._desk, self._images = desk, images
        self._read: dict[tuple[str, str], tuple[Volume, tuple[FileDataset, ...]]] = {}

    def given(self, session: Connection, trial: str, series: Sequence[GivenSeries], seed: Point | None,
              task: Task) -> Given:
        """The series as the task takes them. Raises where geometry or scale is unusable, or a digest differs."""
        read = [self._volume(session, trial, one.series) for one in series]
        point = None if seed is None else (float(seed[0]), float(seed[1]), float(seed[2]))
        return Given(tuple(series), task.given([volume for volume, _ in read], point), read[0][1])

    def again(self, session: Connection, row: RunRow) -> Given:
        """The input of a recorded run as it is now. Raises UnusableInput where its series are not what they were."""
        series = [one for one in self._images.series_of(session, row.trial, row.subject, row.time_point)
                  if one.series in {given["series"] for given in row.inputs}]
        wanted = [(given["series"], given["manifest_sha256"]) for given in row.inputs]
        chosen = sorted(series, key=lambda one: [name for name, _ in wanted].index(one.series))
        if [(one.series, one.manifest_sha256) for one in chosen] != wanted:
            raise UnusableInput(f"The series of {row.subject}, {row.time_point} changed since the run was asked for.")
        task = task_named(lock_of(session, row.lock).fields.task)
        return self.given(session, row.trial, chosen, seed_of(row.seed), task)

    def _volume(self, session: Connection, trial: str, series: str) -> tuple[Volume, tuple[FileDataset, ...]]:
        if (trial, series) not in self._read:
            files = tuple(self._images.load(session, self._desk.objects, trial, series))
            self._read[trial, series] = load_volume(files), files
        return self._read[trial, series]


def request_digest(series: Sequence[GivenSeries], seed: Point | None) -> str:
    """What a run is asked for: the manifests of its series and the seed. The outcome has the digest of the values."""
    return sha256(canonical({
        "series": [{"modality": one.modality, "series": one.series, "manifest": one.manifest_sha256} for one in series],
        "seed": seed_text(seed),
    }, "request"))


def seed_text(seed: Point | None) -> str:
    return "none" if seed is None else " ".join(seed) + " mm"


def seed_of(text: str) -> Point | None:
    if text == "none":
        return None
    x, y, z, _ = text.split(" ")
    return x, y, z

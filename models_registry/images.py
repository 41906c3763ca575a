"""Where runs get their images and seeds from: arrival's accepted series, and the points that people placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from core.arrival import queries as arrival
from core.errors import NotFound
from core.objects import ObjectStore
from core.reads.queries import seeds_of
from models_registry.ports import GivenSeries


class ArrivalImages:
    """models_registry.ports.Images on arrival's tables and manifests."""

    def series_of(self, session: Connection, trial: str, subject: str, time_point: str) -> Sequence[GivenSeries]:
        """Every series of the time point that is not rejected."""
        return [
            GivenSeries(row.modality, row.series, row.study, row.manifest_sha256, row.instances, row.accepted)
            for row in arrival.series_of(session, trial, subject, time_point)
        ]

    def load(self, session: Connection, objects: ObjectStore, trial: str, series: str) -> list[FileDataset]:
        """Data sets, decrypted, every digest checked."""
        return arrival.load_series(session, objects, trial, series)


@dataclass(frozen=True, slots=True)
class PlacedSeed:
    """A point that a person placed in a lesion: x, y, z in millimetres (LPS) as decimal text."""

    lesion: str
    tracking_uid: str
    point: tuple[str, str, str]
    placed_by: str


def placed_seeds(session: Connection, trial: str, subject: str, time_point: str) -> tuple[PlacedSeed, ...]:
    """The seeds of a time point, the last one per lesion."""
    return tuple(
        PlacedSeed(row.lesion, row.tracking_uid, (f"{row.x:f}", f"{row.y:f}", f"{row.z:f}"), row.placed_by)
        for row in seeds_of(session, trial, subject, time_point)
    )


def placed_seed(session: Connection, trial: str, subject: str, time_point: str, lesion: str) -> PlacedSeed:
    """The seed of one lesion. Raises NotFound where nobody placed one."""
    for seed in placed_seeds(session, trial, subject, time_point):
        if seed.lesion == lesion:
            return seed
    raise NotFound(f"Nobody has placed a seed for lesion {lesion} of {subject}, {time_point}.",
                   next_step="A reader places it first: the model measures nothing that nobody pointed at.")

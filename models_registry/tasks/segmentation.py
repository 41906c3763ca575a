"""The task `segmentation`: one series in, labels of named structures and their volumes out; nobody places a seed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UnusableInput
from models_registry.answer import Answer, Network
from models_registry.digest import ModelFileUnusable
from models_registry.jobs import SENTINEL, texts, three
from models_registry.segmentation import contract, pipeline
from models_registry.segmentation.state import Scan, Structure, oriented, structures_of

if TYPE_CHECKING:
    from core.dicom.volume import Volume
    from models_registry.ports import GivenSeries


class Segmentation:
    """models_registry.tasks.Task on the files of models_registry/segmentation."""

    name = "segmentation"
    seeded = False
    # Parts are joined, holes filled and images resampled by scipy: its version decides about an answer's bits.
    packages: tuple[str, ...] = ("scipy",)
    contract_parts: tuple[str, ...] = ("task", "preparation", "contract", "thresholds", "structures", "domain")

    def check(self, configuration: Mapping[str, Any]) -> None:
        structures_of(configuration)
        way = configuration["preparation"]["kind"]
        if way not in pipeline.WAYS:
            raise ValueError(f"preparation {way!r} is not one of {', '.join(pipeline.WAYS)}")
        oriented(_NOWHERE, str(configuration["preparation"]["axes"]))
        missing = [part for part in contract.PARTS if part not in configuration["contract"]]
        if missing:
            raise ValueError(f"the contract lacks {', '.join(missing)}")
        for name in ("largest_in_plane_mm", "largest_between_slices_mm", "fewest_slices", "most_voxels"):
            float(configuration["contract"][name])
        float(configuration["thresholds"]["least_confidence"])

    def sentinel(self, files: Mapping[str, bytes]) -> Scan:
        try:
            with np.load(io.BytesIO(files[SENTINEL]), allow_pickle=False) as stored:
                directions = stored["directions"].astype(np.float64)
                return Scan(stored["values"].astype(np.float32), three(list(stored["spacing"])),
                            three(list(stored["origin"])),
                            (three(list(directions[0])), three(list(directions[1])), three(list(directions[2]))),
                            str(stored["modality"]), str(stored["unit"]))
        except (KeyError, IndexError, ValueError, OSError) as error:
            raise ModelFileUnusable(f"{SENTINEL} of the bundle is not readable ({error}).") from None

    def chosen(self, found: Sequence[GivenSeries], modality: str | None, wanted: str | None,
               where: str) -> tuple[GivenSeries, ...]:
        """The named series, else the one of the model's modality; accepted ones go before others."""
        fitting = [one for one in found if one.modality == modality and wanted in (None, one.series)]
        accepted = [one for one in fitting if one.accepted]
        usable = accepted or fitting
        if not usable:
            named = f"no {modality} series" if wanted is None else f"no {modality} series {wanted}"
            raise UnusableInput(f"{where} has {named}; the model needs one.",
                                next_step="Ask the site for what is missing, or name another series.")
        if len(usable) > 1:
            listed = ", ".join(one.series for one in usable)
            raise UnusableInput(f"{where} has {len(usable)} {modality} series ({listed}); the model takes one.",
                                next_step="Name the series that is meant.")
        return (usable[0],)

    def given(self, volumes: Sequence[Volume], seed_mm: tuple[float, float, float] | None) -> Scan:
        (volume,) = volumes
        geometry = volume.geometry
        return Scan(volume.values, geometry.spacing_mm, geometry.origin,
                    (geometry.normal, geometry.column, geometry.row), volume.modality, volume.unit)

    def write_job(self, folder: Path, given: Scan) -> None:
        np.save(folder / "scan.npy", given.values, allow_pickle=False)
        (folder / "job.json").write_text(json.dumps({
            "spacing": texts(given.spacing_mm), "origin": texts(given.origin_mm),
            "directions": [texts(axis) for axis in given.directions], "modality": given.modality, "unit": given.unit,
        }, sort_keys=True))

    def read_job(self, folder: Path) -> Scan:
        stated = json.loads((folder / "job.json").read_text())
        first, second, third = (three(axis) for axis in stated["directions"])
        return Scan(np.load(folder / "scan.npy", allow_pickle=False), three(stated["spacing"]), three(stated["origin"]),
                    (first, second, third), stated["modality"], stated["unit"])

    def run(self, given: Scan, configuration: Mapping[str, Any], network: Network) -> Answer:
        return pipeline.run(given, configuration, network)

    def input_digest(self, given: Scan) -> str:
        return pipeline.input_digest(given)

    def structures(self, configuration: Mapping[str, Any]) -> tuple[Structure, ...]:
        return structures_of(configuration)


_NOWHERE = Scan(np.zeros((1, 1, 1), np.float32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0),
                ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), "", "")


def sentinel_bytes(scan: Scan) -> bytes:
    """A scan as the sentinel file of a bundle; the same bytes for the same scan."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, values=scan.values.astype(np.float32), spacing=np.array(scan.spacing_mm),
             origin=np.array(scan.origin_mm), directions=np.array(scan.directions), modality=np.array(scan.modality),
             unit=np.array(scan.unit))
    return packed.getvalue()

"""The task `lesion-at-seed`: CT and PET and a point in, the outline and measures of one lesion out."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UnusableInput
from models_registry import pipeline
from models_registry.answer import Answer, Network
from models_registry.contract import Point, Study
from models_registry.digest import ModelFileUnusable
from models_registry.jobs import SENTINEL, texts, three
from models_registry.preprocessing import Image, Preparation

if TYPE_CHECKING:
    from core.dicom.volume import Volume
    from models_registry.ports import GivenSeries
    from models_registry.segmentation.state import Structure


class LesionAtSeed:
    """models_registry.tasks.Task on contract.py, preprocessing.py and pipeline.py."""

    name = "lesion-at-seed"
    seeded = True
    packages: tuple[str, ...] = ()
    contract_parts: tuple[str, ...] = ("preparation", "contract", "thresholds", "domain")

    def check(self, configuration: Mapping[str, Any]) -> None:
        Preparation.read(configuration["preparation"])

    def sentinel(self, files: Mapping[str, bytes]) -> Study:
        try:
            with np.load(io.BytesIO(files[SENTINEL]), allow_pickle=False) as stored:
                ct, pet = stored["ct"].astype(np.float32), stored["pet_x100"].astype(np.float32) / np.float32(100)
                geometry = {key: [float(v) for v in stored[key]] for key in
                            ("ct_origin", "ct_spacing", "pet_origin", "pet_spacing", "seed")}
        except (KeyError, ValueError, OSError) as error:
            raise ModelFileUnusable(f"{SENTINEL} of the bundle is not readable ({error}).") from None
        return Study(
            ct=Image(ct, three(geometry["ct_origin"]), three(geometry["ct_spacing"])),
            pet=Image(pet, three(geometry["pet_origin"]), three(geometry["pet_spacing"])),
            seed_mm=three(geometry["seed"]), ct_unit="HU", pet_unit="{SUVbw}g/ml",
        )

    def chosen(self, found: Sequence[GivenSeries], modality: str | None, wanted: str | None,
               where: str) -> tuple[GivenSeries, ...]:
        """CT and PET of the one study that has one of each. Accepted series go before others: a study that was sent
        again after a rejection leaves its accepted half behind, which belongs to no other study's images."""
        if wanted is not None:
            raise UnusableInput("This model takes the one CT and the one PET of a study; no series is named for it.")
        for series in ([one for one in found if one.accepted], list(found)):
            studies = [_pair(one, series) for one in sorted({each.study for each in series})]
            whole = [pair for pair in studies if pair is not None]
            if len(whole) == 1:
                return whole[0]
            if len(whole) > 1:
                raise UnusableInput(f"{where} has {len(whole)} studies with CT and PET; the model needs exactly one.",
                                    next_step="Dispose the surplus series first.")
        counts = ", ".join(f"{sum(one.modality == name for one in found)} {name}" for name in ("CT", "PT"))
        raise UnusableInput(f"{where} has no study with one CT and one PET ({counts} series in all); the model needs "
                            "both.", next_step="Ask the site for what is missing, or dispose it.")

    def given(self, volumes: Sequence[Volume], seed_mm: Point | None) -> Study:
        ct, pet = volumes
        frame = ct.geometry.frame_of_reference
        return Study(
            ct=as_image(ct), pet=as_image(pet), seed_mm=seed_mm, ct_unit=ct.unit, pet_unit=pet.unit,
            axial=is_axial(ct) and is_axial(pet), one_frame=bool(frame) and frame == pet.geometry.frame_of_reference,
        )

    def write_job(self, folder: Path, given: Study) -> None:
        np.save(folder / "ct.npy", given.ct.values, allow_pickle=False)
        np.save(folder / "pet.npy", given.pet.values, allow_pickle=False)
        stated = {
            "ct": {"origin": texts(given.ct.origin_mm), "spacing": texts(given.ct.spacing_mm), "unit": given.ct_unit},
            "pet": {"origin": texts(given.pet.origin_mm), "spacing": texts(given.pet.spacing_mm),
                    "unit": given.pet_unit},
            "seed": None if given.seed_mm is None else texts(given.seed_mm),
            "axial": given.axial, "one_frame": given.one_frame,
        }
        (folder / "job.json").write_text(json.dumps(stated, sort_keys=True))

    def read_job(self, folder: Path) -> Study:
        stated = json.loads((folder / "job.json").read_text())
        images = {
            name: Image(np.load(folder / f"{name}.npy", allow_pickle=False), three(stated[name]["origin"]),
                        three(stated[name]["spacing"]))
            for name in ("ct", "pet")
        }
        return Study(
            ct=images["ct"], pet=images["pet"], seed_mm=None if stated["seed"] is None else three(stated["seed"]),
            ct_unit=stated["ct"]["unit"], pet_unit=stated["pet"]["unit"], axial=stated["axial"],
            one_frame=stated["one_frame"],
        )

    def run(self, given: Study, configuration: Mapping[str, Any], network: Network) -> Answer:
        return pipeline.run(given, configuration, network.probability)

    def input_digest(self, given: Study) -> str:
        return pipeline.input_digest(given)

    def structures(self, configuration: Mapping[str, Any]) -> tuple[Structure, ...]:
        return ()


def _pair(study: str, series: Sequence[GivenSeries]) -> tuple[GivenSeries, GivenSeries] | None:
    ct, pet = ([one for one in series if (one.study, one.modality) == (study, name)] for name in ("CT", "PT"))
    return (ct[0], pet[0]) if len(ct) == len(pet) == 1 else None


def as_image(volume: Volume) -> Image:
    """A volume as values with their place."""
    geometry = volume.geometry
    return Image(volume.values, geometry.origin, geometry.spacing_mm)


def is_axial(volume: Volume) -> bool:
    """Rows to the left, columns to the back, slices to the head, within a thousandth."""
    geometry = volume.geometry
    found = (*geometry.row, *geometry.column, *geometry.normal)
    return all(abs(a - b) <= 1e-3 for a, b in zip(found, (1, 0, 0, 0, 1, 0, 0, 0, 1), strict=True))

"""Training samples: what the network sees at a seed, and the share of each cell that is lesion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.phantoms import reference_object
from models_registry.preprocessing import (
    OUTSIDE_HU,
    OUTSIDE_SUV,
    Image,
    Preparation,
    averaged,
    crop_origin,
    prepared,
    seed_distance,
    statistics,
)

SPLIT = Path(__file__).with_name("split.json")
GRID_MM = 4.0


@dataclass(frozen=True, slots=True)
class Case:
    """CT, PET and the reference mask of one subject or generated object."""

    name: str
    ct: Image
    pet: Image
    mask: Image


@dataclass(frozen=True, slots=True)
class Sample:
    """CT and PET on the cube at a seed, and the share of lesion per cell."""

    name: str
    seed_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    ct: NDArray[np.float32]
    suv: NDArray[np.float32]
    target: NDArray[np.float32]

    def channels(self, prep: Preparation) -> NDArray[np.float32]:
        """What the network sees."""
        return prepared(self.ct, self.suv, self.seed_mm, self.origin_mm, prep)

    def numbers(self, prep: Preparation) -> NDArray[np.float64]:
        """The numbers of the domain check."""
        return statistics(self.ct, self.suv, self.seed_mm, self.origin_mm, prep)


def split() -> dict[str, list[str]]:
    """The committed split by subject: train, tune, sealed, demonstrated."""
    stated = json.loads(SPLIT.read_text())
    return {key: list(stated[key]) for key in ("train", "tune", "sealed", "demonstrated")}


def generated_seeds(part: str) -> range:
    """The seeds of generated objects of one part of the split."""
    first, last = json.loads(SPLIT.read_text())["generated"][part]
    return range(first, last + 1)


def subject_case(folder: Path, subject: str) -> Case:
    """One subject of the 4 mm grid (values z, y, x; position is not given, so the grid starts at 0)."""
    with np.load(folder / f"{subject}.npz") as stored:
        spacing = (GRID_MM,) * 3
        origin = (0.0, 0.0, 0.0)
        return Case(
            subject,
            Image(stored["ct"].astype(np.float32), origin, spacing),
            Image(stored["pet_suv_x1000"].astype(np.float32) / 1000, origin, spacing),
            Image(stored["gtv"] > 0, origin, spacing),
        )


def generated_case(seed: int) -> Case:
    """One generated object; the reference is its lesion TL01."""
    volume = reference_object(seed)
    ct, pet = volume.ct_grid, volume.pet_grid
    # Stored as whole HU, as a scanner would.
    return Case(
        f"G{seed}", Image(np.rint(volume.ct_hu), ct.origin_mm, ct.spacing_mm),
        Image(volume.pet_suv, pet.origin_mm, pet.spacing_mm), Image(volume.masks["TL01"], ct.origin_mm, ct.spacing_mm),
    )


def inner_seed(mask: Image, rng: np.random.Generator | None) -> tuple[float, float, float]:
    """A point that a person might click: the voxel deepest inside, or with `rng` any voxel of the inner half."""
    depth = _depth(mask.values)
    if rng is None:
        index = np.unravel_index(int(np.argmax(depth)), depth.shape)
    else:
        choice = np.argwhere(depth >= max(1, (int(depth.max()) + 1) // 2))
        index = tuple(choice[int(rng.integers(len(choice)))])
    return (mask.origin_mm[0] + float(index[2]) * mask.spacing_mm[2],
            mask.origin_mm[1] + float(index[1]) * mask.spacing_mm[1],
            mask.origin_mm[2] + float(index[0]) * mask.spacing_mm[0])


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How many layers of voxels can be peeled off before a voxel goes."""
    depth = np.zeros(mask.shape, np.int32)
    left = np.pad(mask, 1)
    while left.any():
        depth += left[1:-1, 1:-1, 1:-1]
        inner = left.copy()
        for axis in range(3):
            for step in (1, -1):
                inner &= np.roll(left, step, axis)
        left = inner
    return depth


def sample(case: Case, seed_mm: tuple[float, float, float], prep: Preparation) -> Sample:
    """The cube round a seed."""
    origin = crop_origin(seed_mm, prep)
    return Sample(
        case.name, seed_mm, origin, averaged(case.ct, origin, prep.cell_mm, prep.cells, OUTSIDE_HU),
        averaged(case.pet, origin, prep.cell_mm, prep.cells, OUTSIDE_SUV),
        averaged(case.mask, origin, prep.cell_mm, prep.cells, 0.0),
    )


def samples_of(case: Case, prep: Preparation, count: int, rng: np.random.Generator) -> Iterator[Sample]:
    """`count` samples of a case at different seeds, each moved by up to half a cell so that grids differ."""
    for _ in range(count):
        seed = inner_seed(case.mask, rng)
        move = rng.uniform(-prep.cell_mm / 2, prep.cell_mm / 2, 3)
        yield sample(case, (seed[0] + float(move[0]), seed[1] + float(move[1]), seed[2] + float(move[2])), prep)


def cut_field(
    item: Sample, prep: Preparation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """CT and PET with everything beyond a random box round the lesion made air.

    The subjects' images end 5 cm outside their contour. Without this the edge of the field would tell the network
    how large the lesion is.
    """
    ct, suv = item.ct.copy(), item.suv.copy()
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero((item.target > 0.01).any(axis=other))
        low = int(filled[0]) - int(rng.integers(2, 22))
        high = int(filled[-1]) + 1 + int(rng.integers(2, 22))
        for part in (slice(0, max(low, 0)), slice(min(high, prep.cells), prep.cells)):
            index = tuple(part if a == axis else slice(None) for a in range(3))
            ct[index], suv[index] = OUTSIDE_HU, OUTSIDE_SUV
    return ct, suv


__all__ = ["Case", "Sample", "cut_field", "generated_case", "generated_seeds", "inner_seed", "sample", "samples_of",
           "seed_distance", "split", "subject_case"]

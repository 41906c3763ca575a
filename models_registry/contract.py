"""The contract of lesion-at-seed: what it accepts, and what counts as an answer. Pure; before and after the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Breach
from models_registry.preprocessing import Image

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Study:
    """What a run is given. `axial`: orientation is that of the contract, slices towards the head, same frame of
    reference; `ct_unit`, `pet_unit` as the reader of the series states them."""

    ct: Image
    pet: Image
    seed_mm: Point | None
    ct_unit: str
    pet_unit: str
    axial: bool = True
    one_frame: bool = True


def finite_breach(study: Study, contract: Mapping[str, Any]) -> Breach | None:
    """Values, origin or spacing that are no finite numbers: asked before all else, since nothing before the model may
    let one through. An image with more voxels than the contract allows is not read for it."""
    for name, image in (("ct", study.ct), ("pet", study.pet)):
        if image.values.size <= int(contract["most_voxels"]) and not image.finite:
            return Breach(f"{name}-not-finite", "numbers that are not finite", "finite numbers")
    return None


def use_breach(study: Study, contract: Mapping[str, Any]) -> Breach | None:
    """Outside the intended use: the model is undecided, a human goes on."""
    if study.seed_mm is None:
        return Breach("no-seed", "no seed point", str(contract["seed"]))
    if not all(np.isfinite(study.seed_mm)):
        return Breach("no-seed", "a seed point that is not finite", str(contract["seed"]))
    if not study.ct.contains(study.seed_mm):
        return Breach("seed-outside-ct", _point(study.seed_mm), "inside the CT field")
    if not study.pet.contains(study.seed_mm):
        return Breach("seed-outside-pet", _point(study.seed_mm), "inside the PET field")
    return None


def input_breach(study: Study, contract: Mapping[str, Any]) -> Breach | None:
    """Input that no value may come from: the run fails."""
    if study.ct_unit != contract["ct_unit"]:
        return Breach("ct-unit", study.ct_unit or "none", str(contract["ct_unit"]))
    if study.pet_unit != contract["pet_unit"]:
        return Breach("pet-unit", study.pet_unit or "none", str(contract["pet_unit"]))
    if not study.axial:
        return Breach("orientation", "another orientation", str(contract["orientation"]))
    if not study.one_frame:
        return Breach("frame-of-reference", "CT and PET lie in different frames", "one frame of reference")
    for name, image, low, high in (
        ("ct", study.ct, contract["ct_low_hu"], contract["ct_high_hu"]),
        ("pet", study.pet, contract["pet_low_suv"], contract["pet_high_suv"]),
    ):
        found = _image_breach(name, image, float(low), float(high), contract)
        if found is not None:
            return found
    if study.ct.values.shape[0] < int(contract["fewest_slices"]):
        return Breach("ct-slices", str(study.ct.values.shape[0]), f"at least {contract['fewest_slices']} slices")
    largest = (("ct-spacing", study.ct.spacing_mm[0], contract["largest_between_slices_mm"]),
               ("ct-spacing", max(study.ct.spacing_mm[1:]), contract["largest_in_plane_mm"]),
               ("pet-spacing", max(study.pet.spacing_mm), contract["largest_pet_mm"]))
    for cause, spacing, limit in largest:
        if spacing > float(limit):
            return Breach(cause, f"{spacing:.3f} mm", f"at most {limit} mm")
    return None


def _image_breach(name: str, image: Image, low: float, high: float, contract: Mapping[str, Any]) -> Breach | None:
    values = image.values
    if values.ndim != 3 or min(values.shape) < 2:
        return Breach(f"{name}-shape", "x".join(str(side) for side in values.shape), "slices x rows x columns")
    if values.dtype != np.float32:
        return Breach(f"{name}-type", str(values.dtype), "float32")
    if values.size > int(contract["most_voxels"]):
        return Breach(f"{name}-size", f"{values.size} voxels", f"at most {contract['most_voxels']} voxels")
    if min(image.spacing_mm) <= 0:
        return Breach(f"{name}-spacing", "a spacing that is no length", "lengths above 0")
    found_low, found_high = float(values.min()), float(values.max())
    if found_low < low or found_high > high:
        return Breach(f"{name}-range", f"{found_low:.1f} to {found_high:.1f}", f"{low:g} to {high:g}")
    if found_low == found_high:
        return Breach(f"{name}-constant", f"{found_low:.1f} everywhere", "an image")
    return None


def output_breach(probability: NDArray[Any], cells: int) -> Breach | None:
    """An answer that is none: the run fails."""
    if probability.shape != (cells, cells, cells):
        return Breach("output-shape", "x".join(str(side) for side in probability.shape), f"{cells} cubed")
    if probability.dtype != np.float32:
        return Breach("output-type", str(probability.dtype), "float32")
    if not bool(np.isfinite(probability).all()):
        return Breach("output-not-finite", "probabilities that are not finite", "finite values")
    if float(probability.min()) < 0 or float(probability.max()) > 1:
        return Breach("output-range", f"{probability.min():.3f} to {probability.max():.3f}", "0 to 1")
    return None


def _point(point: Point) -> str:
    return " ".join(f"{coordinate:.1f}" for coordinate in point) + " mm"

"""What a segmentation is given and what it names: a scan on its own grid, and the structures of a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Floats

Vector = tuple[float, float, float]
# Which way each axis of the patient's LPS frame grows, and its opposite.
LETTERS = ("LR", "PA", "SI")


@dataclass(frozen=True, slots=True)
class Scan:
    """One series as a volume: values (slices, rows, columns), float32, in `unit`; spacing in the same order.

    directions: unit vectors in LPS along which slices, rows and columns grow.
    """

    values: NDArray[Any]
    spacing_mm: Vector
    origin_mm: Vector
    directions: tuple[Vector, Vector, Vector]
    modality: str
    unit: str


@dataclass(frozen=True, slots=True)
class Structure:
    """A label with its name, its code, and the volumes between which an answer is plausible.

    `labels`: the labels that belong to it; a structure may be made of others (brain = grey and white matter).
    """

    name: str
    labels: tuple[int, ...]
    code: tuple[str, str, str]
    least_ml: float
    most_ml: float


def structures_of(configuration: Mapping[str, Any]) -> tuple[Structure, ...]:
    """The structures that a bundle's configuration names. Raises KeyError, TypeError, ValueError."""
    found = []
    for stated in configuration["structures"]:
        labels = tuple(int(label) for label in stated["labels"])
        value, scheme, meaning = (str(part) for part in stated["code"])
        one = Structure(str(stated["name"]), labels, (value, scheme, meaning),
                        float(stated["least_ml"]), float(stated["most_ml"]))
        if not labels or min(labels) < 1 or max(labels) > 255 or not one.name.replace("_", "").isalnum():
            raise ValueError(f"structure {one.name!r} needs a plain name and labels from 1 to 255")
        if not 0 <= one.least_ml < one.most_ml or not math.isfinite(one.most_ml):
            raise ValueError(f"structure {one.name!r} states no plausible volume")
        found.append(one)
    if not found or len({one.name for one in found}) != len(found):
        raise ValueError("structures have distinct names, and there is at least one")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Oriented:
    """A scan turned so that its array axes grow as a network expects; `back` undoes it for an array of its shape."""

    values: Floats
    spacing_mm: Vector
    order: tuple[int, int, int]
    flipped: tuple[int, ...]

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array on the turned grid, on the scan's own grid again."""
        turned = np.flip(array, self.flipped) if self.flipped else array
        return np.ascontiguousarray(np.transpose(turned, np.argsort(self.order)))


def oriented(scan: Scan, axes: str) -> Oriented:
    """Turn a scan by whole axes only: `axes` names where the three array axes grow, such as RAS or SPL.

    Of an oblique scan each array axis counts as the patient axis that it lies nearest to, the nearest pair first.

    Raises ValueError where `axes` does not name three different patient axes.
    """
    wanted = [next((axis for axis, pair in enumerate(LETTERS) if letter in pair), -1) for letter in axes]
    if sorted(wanted) != [0, 1, 2]:
        raise ValueError(f"axes {axes!r} are not three patient axes such as RAS")
    cosines = np.array(scan.directions)
    patient_of = _nearest(np.abs(cosines))
    order = [patient_of.index(axis) for axis in wanted]
    values = np.transpose(scan.values, order)
    flipped = tuple(
        place for place, (letter, axis, source) in enumerate(zip(axes, wanted, order, strict=True))
        if (cosines[source, axis] > 0) != (letter == LETTERS[axis][0]))
    if flipped:
        values = np.flip(values, flipped)
    spacing = tuple(scan.spacing_mm[source] for source in order)
    return Oriented(np.ascontiguousarray(values, dtype=np.float32), (spacing[0], spacing[1], spacing[2]),
                    (order[0], order[1], order[2]), flipped)


def _nearest(closeness: NDArray[np.float64]) -> list[int]:
    """For each array axis its patient axis; the closest pair is chosen first."""
    found = [-1, -1, -1]
    left = closeness.copy()
    for _ in range(3):
        array_axis, patient_axis = np.unravel_index(int(np.argmax(left)), left.shape)
        found[int(array_axis)] = int(patient_axis)
        left[array_axis, :] = -1
        left[:, patient_axis] = -1
    return found


def sides(stated: Sequence[Any]) -> tuple[int, int, int]:
    """Three whole numbers of a configuration."""
    first, second, third = (int(side) for side in stated)
    return first, second, third

"""From CT and PET on their own grids to what the network sees at a seed point, and its answer back to the CT grid.

Pure NumPy: the same steps serve training, sentinel and inference. Arrays are (slices, rows, columns); points and
origins are x, y, z in the patient's LPS frame, millimetres; grids are axis-aligned with slices towards the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Floats


@dataclass(frozen=True, slots=True)
class Image:
    """Values and their place: origin_mm = centre of the first voxel (x, y, z), spacing_mm = slices, rows, columns."""

    values: NDArray[Any]
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]

    @property
    def finite(self) -> bool:
        """Whether every value, the origin and the spacing are finite numbers."""
        return bool(np.isfinite(self.values).all() and np.isfinite((*self.origin_mm, *self.spacing_mm)).all())

    def contains(self, point_mm: tuple[float, float, float]) -> bool:
        """Whether a point lies inside the outer faces of the grid."""
        return self.values.ndim == 3 and all(
            self.spacing_mm[2 - i] > 0
            and -0.5 <= (point_mm[i] - self.origin_mm[i]) / self.spacing_mm[2 - i] <= self.values.shape[2 - i] - 0.5
            for i in range(3)
        )


@dataclass(frozen=True, slots=True)
class Preparation:
    """The stated preparation (configs/inference.json, `preparation`)."""

    cells: int
    cell_mm: float
    ct_low_hu: float
    ct_high_hu: float
    suv_scale: float
    near_mm: float
    seed_sigma_mm: float

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> Preparation:
        """From the bundle's configuration, where every number is decimal text. Raises KeyError, ValueError."""
        return cls(
            cells=int(stated["cells"]), cell_mm=float(stated["cell_mm"]), ct_low_hu=float(stated["ct_low_hu"]),
            ct_high_hu=float(stated["ct_high_hu"]), suv_scale=float(stated["suv_scale"]),
            near_mm=float(stated["near_mm"]), seed_sigma_mm=float(stated["seed_sigma_mm"]),
        )


# What lies outside the field of a series.
OUTSIDE_HU, OUTSIDE_SUV = -1000.0, 0.0


def crop_origin(seed_mm: tuple[float, float, float], prep: Preparation) -> tuple[float, float, float]:
    """Centre of the first cell of the cube whose middle is the seed."""
    half = prep.cell_mm * (prep.cells - 1) / 2
    return seed_mm[0] - half, seed_mm[1] - half, seed_mm[2] - half


def box_weights(first: float, step: float, count: int, target: float, cell: float, cells: int) -> NDArray[np.float64]:
    """Weights (cells, count) that average source voxels over target cells; rows sum to the share inside the field."""
    low = target + (np.arange(cells) - 0.5) * cell
    edges = first + (np.arange(count) - 0.5) * step
    overlap = np.minimum(low[:, None] + cell, edges[None] + step) - np.maximum(low[:, None], edges[None])
    return np.asarray(np.maximum(overlap, 0) / cell, dtype=np.float64)


def line_weights(first: float, step: float, count: int, target: float, cell: float, cells: int) -> NDArray[np.float64]:
    """Weights (cells, count) of linear interpolation at target centres; nothing beyond the last source centre."""
    position = (target + np.arange(cells) * cell - first) / step
    return np.asarray(np.maximum(1 - np.abs(position[:, None] - np.arange(count)[None]), 0), dtype=np.float64)


def averaged(image: Image, origin_mm: tuple[float, float, float], cell_mm: float, cells: int, outside: float) -> Floats:
    """The image averaged onto a cube of cells; the part of a cell outside the field counts as `outside`."""
    weights = [
        box_weights(image.origin_mm[2 - axis], image.spacing_mm[axis], image.values.shape[axis],
                    origin_mm[2 - axis], cell_mm, cells)
        for axis in range(3)
    ]
    inside = [w.sum(1) for w in weights]
    out = _spread(image.values, weights)
    share = inside[0][:, None, None] * inside[1][None, :, None] * inside[2][None, None, :]
    return np.asarray(out + (1 - share) * outside, dtype=np.float32)


def _spread(values: NDArray[Any], weights: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Apply one weight matrix per axis. Only the voxels that any cell needs are touched."""
    needed = [np.flatnonzero(w.any(0)) for w in weights]
    if any(n.size == 0 for n in needed):
        return np.zeros(tuple(w.shape[0] for w in weights))
    spans = [slice(int(n[0]), int(n[-1]) + 1) for n in needed]
    out = values[spans[0], spans[1], spans[2]].astype(np.float64)
    for axis, (w, span) in enumerate(zip(weights, spans, strict=True)):
        out = np.moveaxis(np.tensordot(w[:, span], out, axes=(1, axis)), 0, axis)
    return out


def prepared(ct: Floats, suv: Floats, seed_mm: tuple[float, float, float], origin_mm: tuple[float, float, float],
             prep: Preparation) -> Floats:
    """The four channels, shape (4, cells, cells, cells), from CT and PET already on the cube.

    ct: clipped to the window and scaled to 0..1. suv: log(1 + SUV) / suv_scale, at most 1.5. Relative: SUV / largest
    SUV within near_mm of the seed, at most 1.5. seed: a Gaussian of seed_sigma_mm at the seed.
    """
    distance = seed_distance(seed_mm, origin_mm, prep)
    window = (np.clip(ct, prep.ct_low_hu, prep.ct_high_hu) - prep.ct_low_hu) / (prep.ct_high_hu - prep.ct_low_hu)
    clean = np.maximum(suv, 0)
    peak = max(float(clean[distance <= prep.near_mm].max()), 0.1)
    return np.stack([
        window,
        np.minimum(np.log1p(clean) / prep.suv_scale, 1.5),
        np.minimum(clean / peak, 1.5),
        np.exp(-0.5 * (distance / prep.seed_sigma_mm) ** 2),
    ]).astype(np.float32)


def seed_distance(seed_mm: tuple[float, float, float], origin_mm: tuple[float, float, float],
                  prep: Preparation) -> Floats:
    """Distance of every cell of the cube from the seed, in millimetres."""
    x, y, z = (origin_mm[i] + np.arange(prep.cells) * prep.cell_mm - seed_mm[i] for i in range(3))
    return np.asarray(
        np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2), dtype=np.float32)


def onto(probability: Floats, origin_mm: tuple[float, float, float], cell_mm: float, grid: Image) -> Floats:
    """The network's probabilities at the voxel centres of the CT grid (linear; 0 outside the cube)."""
    weights = [
        line_weights(origin_mm[2 - axis], cell_mm, probability.shape[axis], grid.origin_mm[2 - axis],
                     grid.spacing_mm[axis], grid.values.shape[axis])
        for axis in range(3)
    ]
    out = np.zeros(grid.values.shape, np.float32)
    touched = [np.flatnonzero(w.any(1)) for w in weights]
    if all(t.size for t in touched):
        spans = [slice(int(t[0]), int(t[-1]) + 1) for t in touched]
        part = _spread(probability, [w[span] for w, span in zip(weights, spans, strict=True)])
        out[spans[0], spans[1], spans[2]] = part
    return out


def statistics(ct: Floats, suv: Floats, seed_mm: tuple[float, float, float], origin_mm: tuple[float, float, float],
               prep: Preparation) -> NDArray[np.float64]:
    """The seven numbers by which an input is compared with the training inputs (`domain` of the configuration).

    Share of air (< -500 HU), mean and spread of soft tissue (-300..300 HU), its 98th percentile, mean HU within
    10 mm of the seed, log of the largest SUV within near_mm of the seed, log of the mean SUV of all tissue.
    """
    distance = seed_distance(seed_mm, origin_mm, prep)
    tissue = (ct > -300) & (ct < 300)
    soft = ct[tissue] if tissue.any() else np.zeros(1, np.float32)
    inside = suv[ct > -500] if (ct > -500).any() else np.zeros(1, np.float32)
    return np.array([
        float((ct < -500).mean()) * 100,
        float(soft.mean()), float(soft.std()), float(np.percentile(ct, 98)),
        float(ct[distance <= 10].mean()),
        10 * float(np.log1p(max(float(suv[distance <= prep.near_mm].max()), 0))),
        10 * float(np.log1p(max(float(inside.mean()), 0))),
    ])


def domain_distance(stated: Mapping[str, Any], numbers: NDArray[np.float64]) -> float:
    """Distance of an input to the nearest group of training inputs, in standard deviations (Mahalanobis)."""
    found = []
    for group in stated["groups"]:
        mean = np.array([float(v) for v in group["mean"]])
        inverse = np.array([[float(v) for v in row] for row in group["inverse_covariance"]])
        apart = numbers - mean
        found.append(float(np.sqrt(max(float(apart @ inverse @ apart), 0))))
    return min(found)

"""Made-up scans that a converted model answers the same at every load: nobody's anatomy."""

from __future__ import annotations

import numpy as np

from models_registry.segmentation.state import Scan, Vector

AXIAL: tuple[Vector, Vector, Vector] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def a_head(voxel_mm: float = 2.0) -> Scan:
    """An axial T1-like head of ellipsoids: scalp, skull, fluid, folded grey mantle, white core, ventricles, neck."""
    sides = tuple(round(side / voxel_mm) for side in (220.0, 230.0, 180.0))
    z, y, x = np.meshgrid(*[(np.arange(side) - (side - 1) / 2) * voxel_mm for side in sides], indexing="ij")
    y = y + 8

    def inside(rx: float, ry: float, rz: float, up: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray(np.sqrt((x / rx) ** 2 + (y / ry) ** 2 + ((z - up) / rz) ** 2), dtype=np.float64)

    folds = 0.035 * np.sin(x / 5.5) * np.sin(y / 6.5) * np.cos(z / 6)
    values = np.full(sides, 8.0)
    values[inside(78, 96, 90) < 1] = 620
    values[(np.hypot(x / 55, (y - 6) / 60) < 1) & (z < -40)] = 380
    values[inside(72, 90, 84, 2) < 1] = 60
    values[inside(69, 87, 81, 2) < 1] = 120
    values[inside(66, 83, 72, 10) + folds < 1] = 330
    values[inside(58, 75, 63, 11) + 2 * folds < 1] = 520
    values[(np.abs(np.abs(x) - 12) < 6) & (inside(20, 34, 18, 14) < 1)] = 110
    values[(np.abs(x) < 1.5) & (inside(66, 83, 72, 10) < 1) & (z > 30)] = 130
    rng = np.random.default_rng(7)
    values = np.rint(np.maximum(values + rng.normal(0, 12, values.shape), 0)).astype(np.float32)
    return _axial(values, (voxel_mm, voxel_mm, voxel_mm), "MR", "1")


def part_of_a_head() -> Scan:
    """A cube of 64 mm from the middle of `a_head`, at 1 mm: enough for a network that sees 50 mm."""
    whole = a_head(1.0)
    low = [side // 2 - 32 for side in whole.values.shape]
    cut = tuple(slice(first, first + 64) for first in low)
    return _axial(np.ascontiguousarray(whole.values[cut]), (1.0, 1.0, 1.0), "MR", "1")


def blocks(modality: str, unit: str, spacing_mm: tuple[float, ...]) -> Scan:
    """Smooth blobs around 100 on noise, 48 voxels a side or less, at a model's own spacing (planes: 2 mm apart)."""
    steps = spacing_mm if len(spacing_mm) == 3 else (2.0, *spacing_mm)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, side) for side in (24, 40, 40)], indexing="ij")
    rng = np.random.default_rng(7)
    values = 300 * np.exp(-6 * (z**2 + y**2 + x**2)) + 150 * np.exp(-9 * (z**2 + (y - 0.4) ** 2 + (x + 0.3) ** 2)) - 50
    values = np.rint(values + rng.normal(0, 15, values.shape)).astype(np.float32)
    return _axial(values, (steps[0], steps[1], steps[2]), modality, unit)


def _axial(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], spacing_mm: Vector, modality: str,
           unit: str) -> Scan:
    origin = [-(side - 1) / 2 * step for side, step in zip(values.shape, spacing_mm, strict=True)]
    return Scan(values, spacing_mm, (origin[2], origin[1], origin[0]), AXIAL, modality, unit)

"""One network on the whole image, brought to cubic voxels first, as MeshNet models of brain MR expect it.

Linear interpolation to voxels of a stated size over the extent of the image, intensities between two quantiles brought
to 0..1, the class with the highest score, the largest connected part of all classes, then the nearest cubic voxel for
each voxel of the scan. Source: the brainchop models (Plis et al. 2024); they were trained on 256 x 256 x 256 voxels of
1 mm, and the image is not padded to that here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models_registry.answer import Floats, Network
from models_registry.preprocessing import line_weights
from models_registry.segmentation.outcome import Labelled, NothingFound, largest_part
from models_registry.segmentation.state import Scan, oriented


def labelled(scan: Scan, configuration: Mapping[str, Any], network: Network) -> Labelled:
    """The class of each voxel. Raises NothingFound where the image has no contrast or no class but background wins."""
    prep = configuration["preparation"]
    turned = oriented(scan, str(prep["axes"]))
    cubes = cubic(turned.values, turned.spacing_mm, float(prep["voxel_mm"]))
    low, high = np.quantile(cubes, [float(prep["low_quantile"]), float(prep["high_quantile"])])
    if not high > low:
        raise NothingFound("an image without contrast", "intensities that differ")
    scaled = np.clip((cubes - low) / (high - low), 0, 1).astype(np.float32)
    scores = network.scores(scaled[None])
    labels = np.argmax(scores, axis=0).astype(np.uint8)
    confidence = of_the_winner(scores)
    kept = largest_part(labels > 0)
    if not kept.any():
        raise NothingFound("background everywhere", "a voxel of some structure")
    labels[~kept] = 0
    return Labelled(turned.back(at_centres(labels, turned.values.shape)),
                    turned.back(at_centres(confidence, turned.values.shape)))


def cubic(values: Floats, spacing_mm: tuple[float, float, float], voxel_mm: float) -> Floats:
    """Linear interpolation onto cubic voxels over the same extent; each axis has the rounded number of them."""
    out = values.astype(np.float64)
    for axis, (side, spacing) in enumerate(zip(values.shape, spacing_mm, strict=True)):
        count = max(1, round(side * spacing / voxel_mm))
        step = side * spacing / count
        first = np.clip(step / 2 - spacing / 2, 0, None)
        weights = line_weights(0.0, spacing, side, first, step, count)
        # Beyond the outermost centres the outermost voxel counts whole.
        weights /= weights.sum(axis=1, keepdims=True)
        out = np.moveaxis(np.tensordot(weights, out, axes=(1, axis)), 0, axis)
    return out.astype(np.float32)


def at_centres(values: Any, shape: tuple[int, ...]) -> Any:
    """Each voxel of the finer or coarser grid takes the value at its centre."""
    places = [np.minimum(((np.arange(side) + 0.5) * before / side).astype(np.int64), before - 1)
              for before, side in zip(values.shape, shape, strict=True)]
    return np.ascontiguousarray(values[np.ix_(*places)])


def of_the_winner(scores: Floats) -> Floats:
    """Softmax probability of the class with the highest score, per voxel."""
    top = scores.max(axis=0)
    total = np.zeros(top.shape, np.float32)
    for one in scores:
        total += np.exp(one - top)
    return np.asarray(1 / total, dtype=np.float32)

"""Two networks, as deepbet runs them: the first finds the box that holds the structure, the second outlines it there.

Each step takes the nearest voxels onto a cube of fixed sides, so what it sees is stretched; intensities are cut at two
quantiles of the coarse image and brought to a stated mean and spread. Source: deepbet 1.0.2 (Fisch et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Floats, Network
from models_registry.segmentation.outcome import Labelled, NothingFound, filled, largest_part
from models_registry.segmentation.state import Scan, oriented, sides

BOX, MASK = "box", "mask"
# A plane belongs to the box where more than this share of it is inside.
SHARE = 0.02
Box = tuple[slice, slice, slice]


def labelled(scan: Scan, configuration: Mapping[str, Any], network: Network) -> Labelled:
    """Label 1 inside. Raises NothingFound where the first network finds nothing to put a box round."""
    prep = configuration["preparation"]
    limit = float(configuration["thresholds"]["probability"])
    turned = oriented(scan, str(prep["axes"]))
    image = turned.values
    coarse = nearest(image, sides(prep["box_sides"]))
    low, high = (quantile(coarse, float(prep[name])) for name in ("low_quantile", "high_quantile"))
    if not high > low:
        raise NothingFound("an image without contrast", "intensities that differ")
    inside = network.scores(normalised(coarse, low, high, prep)[None], BOX)[1] > np.float32(0.5)
    box = box_round(largest_part(inside), image.shape, float(prep["margin"]))

    part = nearest(image[box], sides(prep["mask_sides"]))
    fine = network.scores(normalised(part, low, high, prep)[None], MASK)[1]
    probability = np.zeros(image.shape, np.float32)
    probability[box] = nearest(fine, sides(image[box].shape))
    mask = np.zeros(image.shape, np.bool_)
    mask[box] = filled(largest_part((probability > np.float32(limit))[box]))
    return Labelled(turned.back(mask.astype(np.uint8)), turned.back(np.clip(probability, 0, 1)))


def nearest(image: Floats, shape: tuple[int, int, int]) -> Floats:
    """The voxel whose cell holds each target's centre, positions in float32 as torch has them (`nearest-exact`)."""
    places = []
    for before, after in zip(image.shape, shape, strict=True):
        scale = np.float32(before) / np.float32(after)
        places.append(np.minimum(((np.arange(after, dtype=np.float32) + np.float32(0.5)) * scale).astype(np.int64),
                                 before - 1))
    return np.ascontiguousarray(image[np.ix_(*places)])


def quantile(image: Floats, share: float) -> np.float32:
    """Linear between the two neighbours, each step in float32 and from the nearer end, as torch takes it."""
    place = np.float32(share) * np.float32(image.size - 1)
    below = int(np.floor(place))
    above = min(below + 1, image.size - 1)
    ordered = np.partition(image, (below, above), axis=None)
    low, apart, weight = ordered[below], ordered[above] - ordered[below], place - np.float32(below)
    return np.float32(low + weight * apart if weight < 0.5 else ordered[above] - apart * (np.float32(1) - weight))


def normalised(image: Floats, low: np.float32, high: np.float32, prep: Mapping[str, Any]) -> Floats:
    """Cut to the quantiles, then to the stated mean and spread (n - 1)."""
    cut = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    middle, spread = np.float32(cut.mean(dtype=np.float64)), np.float32(cut.std(dtype=np.float64, ddof=1))
    if not spread > 0:
        raise NothingFound("a box without contrast", "intensities that differ")
    return np.asarray(np.float32(prep["spread"]) * ((cut - middle) / spread) + np.float32(prep["mean"]), np.float32)


def box_round(inside: NDArray[np.bool_], shape: tuple[int, ...], margin: float) -> Box:
    """The box on the full grid, a margin on each side. Raises NothingFound where too little is inside."""
    spans = []
    for axis, side in enumerate(shape):
        others = tuple(other for other in range(3) if other != axis)
        planes = np.flatnonzero(inside.mean(axis=others, dtype=np.float32) > np.float32(SHARE))
        if planes.size == 0:
            raise NothingFound("too little foreground to put a box round", f"planes more than {SHARE:.0%} inside")
        scale = np.float32(side) / np.float32(inside.shape[axis])
        centre = np.round(scale * np.float32((planes[-1] + 1 + planes[0]) / 2))
        size = np.round(np.float32(1 + 2 * np.float32(margin)) * (scale * np.float32(planes[-1] + 1 - planes[0])))
        spans.append(slice(max(0, int(centre - size / 2)), min(side, int(centre + size / 2))))
    return spans[0], spans[1], spans[2]

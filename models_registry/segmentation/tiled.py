"""Overlapping tiles over a resampled image, as nnU-Net v2 predicts: same steps, same arithmetic, same rounding.

1 crop to what is not zero · 2 normalise · 3 resample to the spacing of training · 4 tiles at half a tile's step, each
mirrored where stated, weighted by a Gaussian and summed in half precision · 5 scores resampled to the scan, the highest
wins · 6 back into the crop. Several folds are averaged. Source: nnU-Net 2.8.1 (Isensee et al. 2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Floats, Network
from models_registry.segmentation.conformed import of_the_winner
from models_registry.segmentation.outcome import Labelled, NothingFound, filled
from models_registry.segmentation.state import Scan, oriented

# Above this ratio of the largest to the smallest spacing, the coarse axis is resampled by itself.
ANISOTROPIC = 3.0
Half = NDArray[np.float16]


def labelled(scan: Scan, configuration: Mapping[str, Any], network: Network) -> Labelled:
    """The class of each voxel. Raises NothingFound where every voxel is zero."""
    prep = configuration["preparation"]
    turned = oriented(scan, str(prep["axes"]))
    order = [int(axis) for axis in prep["transpose"]]
    image = np.ascontiguousarray(np.transpose(turned.values, order))
    spacing = [turned.spacing_mm[axis] for axis in order]

    inside = filled(image != 0)                                                                                 # 1
    if not inside.any():
        raise NothingFound("zero everywhere", "an image")
    box = tuple(slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(inside))
    cropped = image[box].copy()
    ready = normalised(cropped, inside[box], prep["normalisation"])                                             # 2
    wanted = [float(side) for side in prep["spacing_mm"]]
    if len(wanted) == 2:
        wanted = [spacing[0], *wanted]
    shape = [round(old / new * side) for old, new, side in zip(spacing, wanted, ready.shape, strict=True)]
    data = resampled(ready[None], shape, spacing, wanted, 3)                                                    # 3

    scores = None                                                                                               # 4
    for part in network.parts:
        one = predicted(data, prep, network, part)
        scores = one if scores is None else np.asarray(scores + one, one.dtype)
    assert scores is not None  # a bundle has at least one network
    if len(network.parts) > 1:
        scores = np.asarray(scores / np.float16(len(network.parts)), np.float16)
    there = resampled(scores, ready.shape, wanted, spacing, 1)                                                  # 5
    labels, confidence = np.zeros(image.shape, np.uint8), np.ones(image.shape, np.float32)
    labels[box] = np.argmax(there, axis=0).astype(np.uint8)                                                     # 6
    confidence[box] = of_the_winner(there.astype(np.float32))
    back = np.argsort(order)
    return Labelled(turned.back(np.transpose(labels, back)), turned.back(np.transpose(confidence, back)))


def normalised(image: Floats, inside: NDArray[np.bool_], stated: Mapping[str, Any]) -> Floats:
    """By the scheme of the plans: CT, z-score (inside the mask of what is not zero, where stated), 0..1, or none."""
    scheme = stated["scheme"]
    if scheme == "CTNormalization":
        low, high, middle, spread = (float(stated[name]) for name in ("low", "high", "mean", "std"))
        np.clip(image, low, high, out=image)
        image -= middle
        image /= max(spread, 1e-8)
    elif scheme == "ZScoreNormalization" and stated["inside_only"]:
        chosen = image[inside]
        image[inside] = (chosen - chosen.mean()) / max(chosen.std(), 1e-8)
    elif scheme == "ZScoreNormalization":
        middle, spread = image.mean(), image.std()
        image -= middle
        image /= max(spread, 1e-8)
    elif scheme == "RescaleTo01Normalization":
        image -= image.min()
        image /= np.clip(image.max(), 1e-8, None)
    elif scheme != "NoNormalization":
        raise ValueError(f"normalisation {scheme!r} is not one of this release")
    return image


def resampled(data: NDArray[Any], shape: Sequence[int], before: Sequence[float], after: Sequence[float],
              order: int) -> NDArray[Any]:
    """Channels first. Splines of `order`; where spacing is anisotropic, planes first and the coarse axis by nearest."""
    if tuple(data.shape[1:]) == tuple(shape):
        return data
    axis = _coarse_axis(before) if max(before) / min(before) > ANISOTROPIC else \
        _coarse_axis(after) if max(after) / min(after) > ANISOTROPIC else None
    out = np.zeros((data.shape[0], *shape), data.dtype)
    for channel, values in enumerate(data.astype(np.float64)):
        if axis is None:
            out[channel] = zoomed(values, shape, order)
            continue
        plane = [side for number, side in enumerate(shape) if number != axis]
        planes = np.stack([zoomed(one, plane, order) for one in np.moveaxis(values, axis, 0)])
        out[channel] = np.moveaxis(_nearest_planes(planes, shape[axis]), 0, axis)
    return out


def _coarse_axis(spacing: Sequence[float]) -> int | None:
    found = [number for number, side in enumerate(spacing) if max(spacing) / side == 1]
    return found[0] if len(found) == 1 else None


def _nearest_planes(planes: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if planes.shape[0] == count:
        return planes
    from scipy import ndimage

    at = float(planes.shape[0]) / count * (np.arange(count) + 0.5) - 0.5
    places = ndimage.map_coordinates(np.arange(planes.shape[0], dtype=np.float64), at[None], order=0, mode="nearest")
    return np.asarray(planes[places.astype(np.int64)], dtype=np.float64)


def zoomed(values: NDArray[np.float64], shape: Sequence[int], order: int) -> NDArray[np.float64]:
    """Spline interpolation with voxel centres aligned by their cells, edges repeated, cut to the range of the input."""
    from scipy import ndimage

    factors = [1 / (before / after) for before, after in zip(values.shape, shape, strict=True)]
    out = ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return np.asarray(np.clip(out, values.min(), values.max()), dtype=np.float64)


def predicted(data: Floats, prep: Mapping[str, Any], network: Network, part: str) -> Half:
    """Scores of one network over the image, tile by tile; half precision, as the original sums them."""
    patch = [int(side) for side in prep["patch"]]
    grown = [max(side, tile) for side, tile in zip(data.shape[-len(patch):], patch, strict=True)]
    added = [new - old for new, old in zip(grown, data.shape[-len(patch):], strict=True)]
    pad = [(0, 0)] * (data.ndim - len(patch)) + [(more // 2, more // 2 + more % 2) for more in added]
    padded = np.pad(data, pad)
    weight = gaussian(patch)
    scores: Half | None = None
    count: Half = np.zeros(padded.shape[1:], np.float16)
    for place in places(padded.shape[1:], patch, float(prep["step"])):
        tile = mirrored(padded[(slice(None), *place)], [int(axis) for axis in prep["mirror_axes"]], network, part)
        if scores is None:
            scores = np.zeros((tile.shape[0], *padded.shape[1:]), np.float16)
        tile *= weight
        into = (slice(None), *place)
        scores[into] = (scores[into].astype(np.float32) + tile).astype(np.float16)
        count[place] += weight
    assert scores is not None  # there is always one tile
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = (scores.astype(np.float32) / count.astype(np.float32)).astype(np.float16)
    return scores[(slice(None), *(slice(low, side - high) for (low, high), side in
                                  zip(pad[1:], padded.shape[1:], strict=True)))]


def mirrored(tile: Floats, axes: Sequence[int], network: Network, part: str) -> Floats:
    """The mean over the tile and its mirrorings along every combination of the stated axes."""
    total = network.scores(np.ascontiguousarray(tile), part).copy()
    combinations = [chosen for count in range(1, len(axes) + 1) for chosen in itertools.combinations(axes, count)]
    for chosen in combinations:
        flipped = tuple(axis + 1 for axis in chosen)
        total += np.flip(network.scores(np.ascontiguousarray(np.flip(tile, flipped)), part), flipped)
    if combinations:
        total /= np.float32(len(combinations) + 1)
    return total


def gaussian(patch: Sequence[int]) -> Half:
    """Importance of a tile's voxels: a Gaussian of an eighth of each side, ten at the centre, never zero."""
    from scipy import ndimage

    point = np.zeros(tuple(patch))
    point[tuple(side // 2 for side in patch)] = 1
    weight = ndimage.gaussian_filter(point, [side / 8 for side in patch], 0, mode="constant", cval=0)
    weight /= weight.max() / 10
    half = weight.astype(np.float32).astype(np.float16)
    half[half == 0] = half[half != 0].min()
    return np.asarray(half, dtype=np.float16)


def places(shape: Sequence[int], patch: Sequence[int], step: float) -> Iterator[tuple[int | slice, ...]]:
    """Where tiles lie: steps of at most `step` tiles, evenly spread; of a plane tile in every slice."""
    tiled_sides = shape[-len(patch):]
    starts = []
    for side, tile in zip(tiled_sides, patch, strict=True):
        count = int(np.ceil((side - tile) / (tile * step))) + 1
        apart = (side - tile) / (count - 1) if count > 1 else 0.0
        starts.append([int(np.round(apart * number)) for number in range(count)])
    for slices in [range(shape[0])] if len(patch) < len(shape) else [(None,)]:
        for depth in slices:
            for corner in itertools.product(*starts):
                spans = tuple(slice(first, first + tile) for first, tile in zip(corner, patch, strict=True))
                yield spans if depth is None else (depth, *spans)

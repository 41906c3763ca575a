"""What a way of segmenting gives back, and when it gives nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Floats


@dataclass(frozen=True, slots=True)
class Labelled:
    """On the scan's own grid: uint8 labels, 0 outside; float32 probability of the label that each voxel got."""

    labels: NDArray[np.uint8]
    confidence: Floats


class NothingFound(Exception):
    """The network saw nothing to work on; the run is undecided."""

    def __init__(self, found: str, limit: str) -> None:
        super().__init__(found)
        self.found, self.limit = found, limit


def largest_part(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The 26-connected part with most voxels; the first in scan order where several have as many."""
    from scipy import ndimage

    parts, count = ndimage.label(inside, structure=np.ones((3, 3, 3), dtype=np.int8))
    if count == 0:
        return np.zeros_like(inside)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == int(sizes.argmax()), dtype=np.bool_)


def filled(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same with its holes filled: what no path of faces joins to the border."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(inside), dtype=np.bool_)

"""The contract of a segmentation: which scan it accepts, and what counts as an answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry.answer import Breach
from models_registry.segmentation.state import Scan

PARTS = ("modality", "unit", "largest_in_plane_mm", "largest_between_slices_mm", "fewest_slices", "most_voxels",
         "fewest_sides")


def input_breach(scan: Scan, contract: Mapping[str, Any]) -> Breach | None:
    """Input that no value may come from: the run fails."""
    values = scan.values
    numbers = (*scan.origin_mm, *scan.spacing_mm, *(part for axis in scan.directions for part in axis))
    if values.size <= int(contract["most_voxels"]) and not (np.isfinite(numbers).all() and np.isfinite(values).all()):
        return Breach("not-finite", "numbers that are not finite", "finite numbers")
    if scan.modality != contract["modality"]:
        return Breach("modality", scan.modality or "none", str(contract["modality"]))
    if scan.unit != contract["unit"]:
        return Breach("unit", scan.unit or "none", str(contract["unit"]))
    if values.ndim != 3 or min(values.shape) < int(contract["fewest_sides"]):
        return Breach("shape", "x".join(str(side) for side in values.shape),
                      f"three sides of at least {contract['fewest_sides']} voxels")
    if values.dtype != np.float32:
        return Breach("type", str(values.dtype), "float32")
    if values.size > int(contract["most_voxels"]):
        return Breach("size", f"{values.size} voxels", f"at most {contract['most_voxels']} voxels")
    if min(scan.spacing_mm) <= 0:
        return Breach("spacing", "a spacing that is no length", "lengths above 0")
    if not _square(scan):
        return Breach("orientation", "axes that are not at right angles", "three directions at right angles")
    if float(values.min()) == float(values.max()):
        return Breach("constant", f"{float(values.min()):.1f} everywhere", "an image")
    if values.shape[0] < int(contract["fewest_slices"]):
        return Breach("slices", str(values.shape[0]), f"at least {contract['fewest_slices']} slices")
    for cause, found, limit in (
        ("between-slices", scan.spacing_mm[0], contract["largest_between_slices_mm"]),
        ("in-plane", max(scan.spacing_mm[1:]), contract["largest_in_plane_mm"]),
    ):
        if found > float(limit):
            return Breach(cause, f"{found:.3f} mm", f"at most {limit} mm")
    return None


def _square(scan: Scan) -> bool:
    cosines = np.array(scan.directions)
    return bool(np.allclose(cosines @ cosines.T, np.eye(3), atol=1e-3))


def output_breach(
    labels: NDArray[Any], confidence: NDArray[Any], shape: tuple[int, ...], highest: int
) -> Breach | None:
    """An answer that is none: the run fails. `confidence` is the network's probability of the label that it gave."""
    for name, found in (("labels", labels), ("confidence", confidence)):
        if found.shape != shape:
            return Breach("output-shape", f"{name} of {'x'.join(str(side) for side in found.shape)}",
                          "x".join(str(side) for side in shape))
    if labels.dtype != np.uint8 or confidence.dtype != np.float32:
        return Breach("output-type", f"{labels.dtype} and {confidence.dtype}", "uint8 and float32")
    if int(labels.max()) > highest:
        return Breach("output-label", str(int(labels.max())), f"labels up to {highest}")
    if not bool(np.isfinite(confidence).all()):
        return Breach("output-not-finite", "probabilities that are not finite", "finite values")
    if float(confidence.min()) < 0 or float(confidence.max()) > 1:
        return Breach("output-range", f"{confidence.min():.3f} to {confidence.max():.3f}", "0 to 1")
    return None

"""One run of a segmentation, from scan to labels and values.

Steps, in this order; the first that does not hold ends the run as undecided or failed, never with a value:
1 input contract · 2 preparation, network, back to the scan's grid · 3 output contract · 4 thresholds · 5 measures.
Pure but for the network, which is passed in. How a scan is prepared and what the network's scores mean stands in one
file per family of models (`ways`): a bundle names one, and brings numbers for it, never code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.entry import canonical
from core.measures import Measured, volume_mm3
from models_registry.answer import Answer, Breach, Floats, Network, ended, value_of
from models_registry.segmentation import conformed, tiled, two_step
from models_registry.segmentation.contract import input_breach, output_breach
from models_registry.segmentation.outcome import Labelled, NothingFound
from models_registry.segmentation.state import Scan, Structure, structures_of

Way = Callable[[Scan, Mapping[str, Any], Network], Labelled]
WAYS: dict[str, Way] = {"two-step": two_step.labelled, "conformed": conformed.labelled, "tiled": tiled.labelled}


def run(scan: Scan, configuration: Mapping[str, Any], network: Network) -> Answer:
    """Label one scan and measure the structures that the configuration names."""
    breach = input_breach(scan, configuration["contract"])                                                      # 1
    if breach is not None:
        return ended("failed", breach)
    structures = structures_of(configuration)
    try:
        found = WAYS[configuration["preparation"]["kind"]](scan, configuration, network)                        # 2
    except NothingFound as nothing:
        return ended("undecided", Breach("nothing-found", nothing.found, nothing.limit))
    highest = max(label for one in structures for label in one.labels)
    breach = output_breach(found.labels, found.confidence, scan.values.shape, highest)                          # 3
    if breach is not None:
        return ended("failed", breach)
    digest = output_digest(found.labels, found.confidence)
    inside = found.labels > 0
    sure = f"{float(found.confidence[inside].mean()) if inside.any() else 0.0:.3f}"
    breach = _implausible(found.labels, scan, structures)                                                       # 4
    if breach is None and float(sure) < float(configuration["thresholds"]["least_confidence"]):
        breach = Breach("low-confidence", sure, f"at least {configuration['thresholds']['least_confidence']}")
    if breach is not None:
        return ended("undecided", breach, output=digest, confidence=sure)
    values = tuple(value_of(f"{one.name}_volume", volume_mm3(mask_of(found.labels, one), scan.spacing_mm))      # 5
                   for one in structures)
    return Answer("finished", confidence=sure, output_sha256=digest, values=values, mask=found.labels)


def _implausible(labels: NDArray[np.uint8], scan: Scan, structures: tuple[Structure, ...]) -> Breach | None:
    """A structure that is missing, cut by the edge of the image, or of a volume that the bundle calls implausible."""
    for one in structures:
        name = one.name.replace("_", " ")
        measure = volume_mm3(mask_of(labels, one), scan.spacing_mm)
        if not isinstance(measure, Measured):
            return Breach(measure.reason, f"{name}: {measure}", "a structure that lies inside the image")
        volume_ml = measure.value / Decimal(1000)
        if not one.least_ml <= volume_ml <= one.most_ml:
            return Breach("implausible-volume", f"{name} {volume_ml:.1f} ml", f"{one.least_ml:g} to {one.most_ml:g} ml")
    return None


def mask_of(labels: NDArray[np.uint8], structure: Structure) -> NDArray[np.bool_]:
    """The voxels of one structure."""
    return np.asarray(np.isin(labels, structure.labels), dtype=np.bool_)


def output_digest(labels: NDArray[np.uint8], confidence: Floats) -> str:
    """SHA-256 over labels and their probabilities (little-endian float32), with their shape."""
    stated = canonical({"labels": list(labels.shape)}, "output")
    return hashlib.sha256(stated + b"\0" + labels.tobytes() + confidence.astype("<f4").tobytes()).hexdigest()


def input_digest(scan: Scan) -> str:
    """SHA-256 over everything a run is given: values, geometry, modality and unit."""
    stated = canonical({
        "shape": list(scan.values.shape), "type": str(scan.values.dtype.newbyteorder("<")),
        "origin": [repr(float(v)) for v in scan.origin_mm], "spacing": [repr(float(v)) for v in scan.spacing_mm],
        "directions": [[repr(float(v)) for v in axis] for axis in scan.directions],
        "modality": scan.modality, "unit": scan.unit,
    }, "input")
    return hashlib.sha256(stated + np.ascontiguousarray(scan.values).tobytes()).hexdigest()

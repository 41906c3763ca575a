"""One run of lesion-at-seed, from images to mask and values.

Steps, in this order; the first that does not hold ends the run as undecided or failed, never with a value:
1 finite numbers, intended use · 2 input contract · 3 domain · 4 network and output contract · 5 the component at the
seed · 6 onto the CT grid · 7 thresholds · 8 measures. Pure but for the network, which is passed in. A number that has a
threshold is compared as it is stated, rounded to its worse side (validation/design/0119).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.entry import canonical
from core.measures import long_axis_mm, short_axis_mm, volume_mm3
from core.measures.result import Measure
from models_registry.answer import Answer, Breach, Floats, Value, ended, value_of
from models_registry.contract import Study, finite_breach, input_breach, output_breach, use_breach
from models_registry.preprocessing import (
    OUTSIDE_HU,
    OUTSIDE_SUV,
    Image,
    Preparation,
    averaged,
    crop_origin,
    domain_distance,
    onto,
    prepared,
    seed_distance,
    statistics,
)

Probability = Callable[[Floats], Floats]


def run(study: Study, configuration: Mapping[str, Any], network: Probability) -> Answer:
    """Measure the lesion at the seed of one study."""
    contract, thresholds = configuration["contract"], configuration["thresholds"]
    prep = Preparation.read(configuration["preparation"])
    breach = finite_breach(study, contract)                                                                     # 1
    if breach is not None:
        return ended("failed", breach)
    breach = use_breach(study, contract)
    if breach is not None:
        return ended("undecided", breach)
    breach = input_breach(study, contract)                                                                      # 2
    if breach is not None:
        return ended("failed", breach)
    assert study.seed_mm is not None  # step 1

    origin = crop_origin(study.seed_mm, prep)
    ct = averaged(study.ct, origin, prep.cell_mm, prep.cells, OUTSIDE_HU)
    suv = averaged(study.pet, origin, prep.cell_mm, prep.cells, OUTSIDE_SUV)
    distance = domain_distance(configuration["domain"], statistics(ct, suv, study.seed_mm, origin, prep))       # 3
    stated = on_worse_side(distance, 2, up=True)
    if stated is None or Decimal(stated) > Decimal(str(thresholds["largest_domain_distance"])):
        stated = stated or "no number"
        return ended("undecided", Breach("out-of-domain", stated, f"at most {thresholds['largest_domain_distance']}"),
                      domain=stated)

    probability = network(prepared(ct, suv, study.seed_mm, origin, prep))                                       # 4
    breach = output_breach(probability, prep.cells)
    if breach is not None:
        return ended("failed", breach, domain=stated)
    component = component_at(probability >= float(thresholds["probability"]),                                   # 5
                             seed_distance(study.seed_mm, origin, prep), float(thresholds["seed_reach_mm"]))
    digest = output_digest(probability, np.zeros(0, bool))
    if not component.any():
        return ended("undecided", Breach("nothing-at-seed", "no lesion at the seed", "a lesion within "
                      f"{thresholds['seed_reach_mm']} mm of the seed"), domain=stated, output=digest)
    if _at_border(component):
        return ended("undecided", Breach("beyond-field", "the lesion reaches the edge of the model's field",
                      f"within {prep.cell_mm * prep.cells:.0f} mm round the seed"), domain=stated, output=digest)

    kept = np.where(component | (probability < float(thresholds["probability"])), probability, np.float32(0))   # 6
    native = onto(kept, origin, prep.cell_mm, study.ct)
    mask = native >= np.float32(thresholds["probability"])
    digest = output_digest(probability, mask)

    confidence = float(native[mask].mean()) if mask.any() else 0.0                                              # 7
    sure = on_worse_side(confidence, 3, up=False) or "no number"
    size = float(mask.sum()) * float(np.prod(study.ct.spacing_mm))
    whole = on_worse_side(size, 0, up=False)
    if whole is None or Decimal(whole) < Decimal(str(thresholds["smallest_mm3"])):
        return ended("undecided", Breach("too-small", f"{whole or 'no number of'} mm3",
                      f"at least {thresholds['smallest_mm3']} mm3"), domain=stated, output=digest, confidence=sure)
    if sure == "no number" or Decimal(sure) < Decimal(str(thresholds["least_confidence"])):
        return ended("undecided", Breach("low-confidence", sure, f"at least {thresholds['least_confidence']}"),
                      domain=stated, output=digest, confidence=sure)
    values = measured(mask, study.ct.spacing_mm)                                                                # 8
    return Answer("finished", confidence=sure, domain_distance=stated, output_sha256=digest, values=values, mask=mask)


def on_worse_side(value: float, places: int, *, up: bool) -> str | None:
    """A number as the record states it, and as it is compared with its threshold: decimal text, rounded up where more
    is worse and down where less is. None where it is no number."""
    if not math.isfinite(value):
        return None
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return f"{Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=rounding):f}"


def measured(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> tuple[Value, ...]:
    """Volume, long and short axis of a mask on its native grid, by the operators of core/measures."""
    operators: tuple[tuple[str, Callable[..., Measure]], ...] = (
        ("volume", volume_mm3), ("long_axis", long_axis_mm), ("short_axis", short_axis_mm))
    return tuple(value_of(name, operator(mask, spacing_mm)) for name, operator in operators)


def component_at(inside: NDArray[np.bool_], distance_mm: Floats, reach_mm: float) -> NDArray[np.bool_]:
    """The 26-connected part of `inside` at the seed: the cell nearest to it, if within reach; else nothing."""
    grown = np.zeros_like(inside)
    if not inside.any():
        return grown
    reachable = np.where(inside, distance_mm, np.inf)
    start = np.unravel_index(int(np.argmin(reachable)), inside.shape)
    if reachable[start] > reach_mm:
        return grown
    grown[start] = True
    count = 0
    while count != int(grown.sum()):
        count = int(grown.sum())
        wide = np.pad(grown, 1)
        for axis in range(3):
            wide = wide | np.roll(wide, 1, axis) | np.roll(wide, -1, axis)
        grown = wide[1:-1, 1:-1, 1:-1] & inside
    return grown


def _at_border(mask: NDArray[np.bool_]) -> bool:
    return any(bool(np.take(mask, side, axis=axis).any()) for axis in range(3) for side in (0, -1))


def output_digest(probability: NDArray[np.float32], mask: NDArray[np.bool_]) -> str:
    """SHA-256 over probabilities (little-endian float32) and mask bits, with their shapes."""
    stated = canonical({"probability": list(probability.shape), "mask": list(mask.shape)}, "output")
    body = probability.astype("<f4").tobytes() + np.packbits(mask).tobytes()
    return hashlib.sha256(stated + b"\0" + body).hexdigest()


def input_digest(study: Study) -> str:
    """SHA-256 over everything a run is given: values, geometry, units and seed."""
    stated = canonical({
        "ct": _geometry(study.ct), "pet": _geometry(study.pet), "ct_unit": study.ct_unit, "pet_unit": study.pet_unit,
        "seed": [] if study.seed_mm is None else [repr(float(c)) for c in study.seed_mm],
        "axial": study.axial, "one_frame": study.one_frame,
    }, "input")
    digest = hashlib.sha256(stated)
    for image in (study.ct, study.pet):
        digest.update(np.ascontiguousarray(image.values).tobytes())
    return digest.hexdigest()


def _geometry(image: Image) -> dict[str, Any]:
    return {"shape": list(image.values.shape), "type": str(image.values.dtype.newbyteorder("<")),
            "origin": [repr(float(v)) for v in image.origin_mm], "spacing": [repr(float(v)) for v in image.spacing_mm]}

"""How a run can end, whatever the task: finished with values and a mask, undecided, or failed; never in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.measures import Measured
from core.measures.result import Measure

Floats = NDArray[np.float32]
# Causes of an input whose numbers are none. Arrival and the reading of series stop such images before any model
# (core/dicom/volume.py): where one meets a contract all the same, what lies before the model is not what was validated.
INPUT_NOT_FINITE = frozenset({"ct-not-finite", "pet-not-finite", "not-finite"})


@dataclass(frozen=True, slots=True)
class Breach:
    """A term that does not hold: cause (a code), what was found, what the contract asks."""

    cause: str
    found: str
    limit: str


@dataclass(frozen=True, slots=True)
class Value:
    """A measure as text with unit, its uncertainty, or why there is none."""

    name: str
    value: str | None = None
    uncertainty: str | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a run ended: finished, undecided or failed. A mask and values only where it finished.

    mask: on the grid of the first series, True inside; of a segmentation uint8, the label of each voxel, 0 outside.
    output_sha256 covers what the network gave and the mask; empty where the network gave nothing.
    """

    status: str
    cause: str = ""
    found: str = ""
    limit: str = ""
    confidence: str = ""
    domain_distance: str = ""
    output_sha256: str = ""
    values: tuple[Value, ...] = ()
    mask: NDArray[np.bool_] | NDArray[np.uint8] | None = field(default=None, compare=False)


def ended(status: str, breach: Breach, *, domain: str = "", output: str = "", confidence: str = "") -> Answer:
    """A run that gives no value, and why."""
    return Answer(status, breach.cause, breach.found, breach.limit, confidence, domain, output)


def value_of(name: str, measure: Measure) -> Value:
    """What an operator measured, as the record holds it."""
    if isinstance(measure, Measured):
        uncertainty = measure.uncertainty
        return Value(name, f"{measure.value:f} {measure.unit}",
                     None if uncertainty is None else f"{uncertainty:f} {measure.unit}")
    return Value(name, failed=measure.reason)


class Network(Protocol):
    """What a task asks of a bundle's network; `inference.Loaded` is the one that runs."""

    @property
    def parts(self) -> Sequence[str]:
        """Networks of a bundle that holds several (two steps, several folds), in order; else one empty name."""
        ...

    def probability(self, channels: Floats) -> Floats:
        """Sigmoid of the first output channel, on the grid of the channels."""
        ...

    def scores(self, channels: Floats, part: str = "") -> Floats:
        """Every output channel as the network gives it, channels first."""
        ...

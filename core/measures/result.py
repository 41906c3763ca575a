"""What a measurement operator answers: a value with its unit, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from core.errors import UnusableInput
from core.quantities import Quantity

Reason = Literal[
    "empty-mask", "cut-by-image-edge", "too-few-voxels", "values-not-finite", "constant-values", "end-systole-larger",
    "masks-overlap", "no-interval", "registration-failed", "no-tissue-contrast",
]

#: What each reason says to a person.
REASONS: dict[Reason, str] = {
    "empty-mask": "The mask holds no voxel.",
    "cut-by-image-edge": "The mask reaches the edge of the image: part of what is measured may lie outside.",
    "too-few-voxels": "Fewer voxels carry a usable value than the statistic needs.",
    "values-not-finite": "The image holds values inside the mask that are not numbers.",
    "constant-values": "All values inside the mask are equal; the feature is not defined.",
    "end-systole-larger": "The volume at end-systole is larger than at end-diastole: phases or masks are exchanged.",
    "masks-overlap": "The two masks share voxels; there is no space between them to measure.",
    "no-interval": "The two scans do not lie one after the other in days.",
    "registration-failed": "The two scans could not be brought into one position: their masks do not cover each other.",
    "no-tissue-contrast": "Inside and outside of the mask are equally bright; no boundary can be followed.",
}


class GeometryUnusable(UnusableInput):
    """A spacing or a mask that no length can be measured on."""

    code = "geometry-unusable"
    next_step = "Check the pixel spacing and slice positions of the series; nothing was measured."


@dataclass(frozen=True, slots=True)
class Measured:
    """A value in a UCUM unit; `uncertainty` is a standard uncertainty (k = 1) in the same unit.

    The uncertainty covers the sampling of the voxel grid only, not where a person or a model
    drew the boundary. A count has none.
    """

    value: Decimal
    unit: str
    uncertainty: Decimal | None = None

    @property
    def quantity(self) -> Quantity:
        """The value as the record holds it: "42.0 mm"."""
        return Quantity(self.value, self.unit)

    def __str__(self) -> str:
        return str(self.quantity)


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """No value, and why. Never replaced by zero: zero is a value that says "gone"."""

    reason: Reason

    def __str__(self) -> str:
        return REASONS[self.reason]


Measure = Measured | NotMeasured

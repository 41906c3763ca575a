"""What a measurement operator answers: a value with its unit, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from core.errors import UnusableInput
from core.quantities import Quantity

Reason = Literal["empty-mask", "cut-by-image-edge"]

#: What each reason says to a person.
REASONS: dict[Reason, str] = {
    "empty-mask": "The mask holds no voxel.",
    "cut-by-image-edge": "The mask reaches the edge of the image: part of the lesion may lie outside.",
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

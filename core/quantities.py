"""Measures as the record holds them: decimal text with a unit, and the stated rounding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from core.errors import UnusableInput

_TEXT = re.compile(r"^(-?\d+(?:\.\d+)?) ([A-Za-z%0-9/·µ^.(){}*-]+)$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A decimal and its UCUM unit: 42.0 mm."""

    value: Decimal
    unit: str

    @classmethod
    def read(cls, text: str) -> Quantity:
        """Parse "42.0 mm". Raises UnusableInput where the text has no number or no unit."""
        found = _TEXT.match(text)
        if found is None:
            raise UnusableInput(f"{text!r} is not a measure: a decimal number, one space and a unit are needed.")
        return cls(Decimal(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.value:f} {self.unit}"


def rounded(value: Decimal | float | int, places: int = 1) -> Decimal:
    """Round half to even at `places` decimals. Floats pass through their shortest text, so 0.1 stays 0.1."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)
    return exact.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)


def significant(value: Decimal | float, digits: int = 6) -> Decimal:
    """Round half to even at `digits` significant digits, without an exponent; for values whose unit sets their size."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if exact == 0:
        return Decimal(0)
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), rounding=ROUND_HALF_EVEN)

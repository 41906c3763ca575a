"""A finding: what one rule demanded of an image, what was measured, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a rule came out. A warning is shown and does not bar acceptance."""

    MET = "met"
    WARNING = "warning"
    NOT_MET = "not_met"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a quality check. Measures are decimal text with unit; never an identifier of a person."""

    rule: str
    required: str
    measured: str
    where: str
    outcome: Outcome

    @property
    def bars(self) -> bool:
        """True where the rule was not met."""
        return self.outcome is Outcome.NOT_MET

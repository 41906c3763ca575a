"""A criterion with a charter's options bound: what RECIST 1.1 and volumetric response do alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date
from typing import ClassVar

from core.reads.criteria import baseline as rules
from core.reads.criteria import best, engine
from core.reads.criteria.answer import Baseline, TimePointAnswer
from core.reads.criteria.derived import Derived, Finding, State, SubjectResponse


class Bound(ABC):
    """Sizes are in the unit of the scale; the options and their digest are set when the charter is read."""

    id: ClassVar[str]
    version: ClassVar[int]
    scale: engine.Scale
    options_sha256: str

    @property
    def name(self) -> str:
        """The criterion and version that a derived value names."""
        return f"{self.id}/{self.version}"

    @abstractmethod
    def validate_baseline(self, baseline: Baseline) -> tuple[Finding, ...]:
        """Everything against the baseline; empty = usable."""

    @abstractmethod
    def confirmation(self) -> best.Confirmation:
        """What makes a response confirmed, as the charter states it."""

    def start(self, baseline: Baseline) -> State:
        """State after a baseline without findings. Raises UnusableInput, listing them, where there are some."""
        return rules.started(baseline, self.validate_baseline(baseline))

    def timepoint(self, state: State, answer: TimePointAnswer) -> Derived:
        """Response at one time point; see engine.timepoint."""
        return engine.timepoint(self.name, self.scale, self.options_sha256, state, answer)

    def subject(
        self, timepoints: Sequence[Derived], *, reference_on: date, new_therapy_on: date | None = None
    ) -> SubjectResponse:
        """Best overall response and dates; see best.best_response."""
        return best.best_response(
            self.confirmation(),
            timepoints,
            reference_on=reference_on,
            new_therapy_on=new_therapy_on,
            criterion=self.name,
            options_sha256=self.options_sha256,
        )

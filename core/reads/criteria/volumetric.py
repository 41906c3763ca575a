"""Response by the sum of target volumes: the engine of RECIST with volumes and limits that the charter states.

There is no published set of limits that all trials use, so every number is an option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Literal

from core.reads.criteria import baseline as rules
from core.reads.criteria import best, engine
from core.reads.criteria.answer import Baseline, TimePointAnswer, digest_of
from core.reads.criteria.derived import Derived, Finding, State, SubjectResponse
from core.reads.criteria.options import OptionsUnstated, read_options, schema_of


@dataclass(frozen=True, slots=True)
class VolumetricOptions:
    """Limits and choices; percentages and cubic millimetres are decimals as text."""

    response_percent: Decimal
    progression_percent: Decimal
    progression_absolute_mm3: Decimal
    smallest_target_mm3: Decimal
    too_small_mm3: Decimal
    max_targets: int
    max_targets_per_organ: int
    confirm: bool
    confirm_min_days: int
    sd_min_days: int
    max_ne: int
    accept_sd: bool
    response_carry: bool
    non_target_with_ne: Literal["persisting_first", "ne_first"]
    cr_with_equivocal: Literal["unchanged", "PR", "NE"]
    regrowth_after_cr: Literal["any_reappearance", "thresholds"]
    unconfirmed_response_date: Literal["qualifying", "first_response"]
    time_point_date: Literal["first_scan", "last_scan", "progression_first_response_last"]
    missing_label: Literal["NE", "MISSING"]
    after_new_therapy: Literal["count", "exclude"]
    entry_decimals: Literal[0, 1]


class Volumetric:
    """Volumetric response with a charter's options bound; sizes are cubic millimetres. Nodes have no rule of
    their own here: a node, too, is gone or it is not."""

    id: ClassVar[str] = "VOLUMETRIC"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "mm3"
    options_schema: ClassVar[Mapping[str, Any]] = schema_of(VolumetricOptions)

    def __init__(self, stated: Mapping[str, object]) -> None:
        """Raises OptionsUnstated: an option is missing or cannot be used, or a limit makes no sense."""
        self.options = read_options(VolumetricOptions, stated)
        if not 0 < self.options.response_percent < 100 or self.options.progression_percent <= 0:
            raise OptionsUnstated("response_percent lies between 0 and 100, progression_percent above 0.")
        self.options_sha256 = digest_of(self.options)
        self.scale = engine.Scale(
            unit=self.unit,
            response_percent=self.options.response_percent,
            progression_percent=self.options.progression_percent,
            progression_absolute=self.options.progression_absolute_mm3,
            too_small_value=self.options.too_small_mm3,
            node_normal_below=None,
            entry_places=self.options.entry_decimals,
            regrowth_after_cr=self.options.regrowth_after_cr,
            response_carry=self.options.response_carry,
            non_target_with_ne=self.options.non_target_with_ne,
            cr_with_equivocal=self.options.cr_with_equivocal,
            time_point_date=self.options.time_point_date,
        )

    @property
    def name(self) -> str:
        """The criterion and version that a derived value names."""
        return f"{self.id}/{self.version}"

    def validate_baseline(self, baseline: Baseline) -> tuple[Finding, ...]:
        """Everything against the baseline; empty = usable."""
        return (
            *rules.common(baseline, self.scale),
            *rules.counts(baseline, most=self.options.max_targets, most_per_organ=self.options.max_targets_per_organ),
            *(
                Finding(
                    "B-MEASURABLE",
                    lesion.id,
                    f"a volume of at least {self.options.smallest_target_mm3} mm3",
                    f"{lesion.size} mm3",
                )
                for lesion in baseline.targets
                if not lesion.size.is_finite() or lesion.size <= 0 or lesion.size < self.options.smallest_target_mm3
            ),
        )

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
            best.Confirmation(
                confirm=self.options.confirm,
                confirm_min_days=self.options.confirm_min_days,
                sd_min_days=self.options.sd_min_days,
                max_ne=self.options.max_ne,
                accept_sd=self.options.accept_sd,
                unconfirmed_response_date=self.options.unconfirmed_response_date,
                missing_label=self.options.missing_label,
                after_new_therapy=self.options.after_new_therapy,
            ),
            timepoints,
            reference_on=reference_on,
            new_therapy_on=new_therapy_on,
            criterion=self.name,
            options_sha256=self.options_sha256,
        )

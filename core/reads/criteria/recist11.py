"""RECIST 1.1 (Eisenhauer 2009, clarification 2016, EORTC answers) on what image readers state.

Image-only: tumour markers, cytology and clinical progression are not part of a reader's answer.
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
from core.reads.criteria.options import read_options, schema_of


@dataclass(frozen=True, slots=True)
class Recist11Options:
    """Every choice that RECIST 1.1 leaves open. No field has a default: the charter states each one."""

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


class Recist11:
    """RECIST 1.1 with a charter's options bound; sizes are millimetres."""

    id: ClassVar[str] = "RECIST-1.1"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "mm"
    options_schema: ClassVar[Mapping[str, Any]] = schema_of(Recist11Options)

    def __init__(self, stated: Mapping[str, object]) -> None:
        """Raises OptionsUnstated, naming every option that is missing or cannot be used."""
        self.options = read_options(Recist11Options, stated)
        self.options_sha256 = digest_of(self.options)
        self.scale = engine.Scale(
            unit=self.unit,
            response_percent=Decimal(30),
            progression_percent=Decimal(20),
            progression_absolute=Decimal(5),
            too_small_value=Decimal(5),
            node_normal_below=Decimal(10),
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
        """Everything against the baseline (RECIST 1.1, 3.1 and 4.2); empty = usable."""
        return (
            *rules.common(baseline, self.scale),
            *rules.counts(baseline, most=5, most_per_organ=2),
            *(found for lesion in baseline.targets for found in rules.measurable_length(lesion)),
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

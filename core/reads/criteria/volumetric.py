"""Response by the sum of target volumes: the engine of RECIST on volumes, with limits that the charter states.

What the charter cannot choose is part of this definition, version 1: non-targets and new lesions as in RECIST 1.1; an
equivocal new lesion changes no response; a persisting non-target outweighs one not assessed; a target too small to be
measured adds nothing to the sum but is not gone; a node, too, is gone or it is not; regrowth after complete response
needs the increase; no response is carried on; nothing is bridged between a response and its confirmation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from core.reads.criteria import baseline as rules
from core.reads.criteria import best, engine
from core.reads.criteria.answer import Baseline, digest_of
from core.reads.criteria.bound import Bound
from core.reads.criteria.derived import Finding
from core.reads.criteria.options import OptionsUnstated, read_options, schema_of


@dataclass(frozen=True, slots=True)
class VolumetricOptions:
    """Limits and choices of the charter; none has a default. Percentages and millilitres are decimals as text."""

    response_decrease_percent: Decimal
    progression_increase_percent: Decimal
    progression_min_increase_ml: Decimal
    progression_reference: Literal["nadir", "baseline"]
    sd_min_days: int
    confirm: bool
    confirm_min_days: int
    missing_label: Literal["ne", "missing"]
    time_point_date: Literal["first_scan", "last_scan"]
    scans_after_new_therapy: Literal["count", "exclude"]
    rounding_ml: Decimal
    max_target_lesions: int
    max_per_organ: int


class Volumetric(Bound):
    """Volumetric response with a charter's options bound; sizes are millilitres."""

    id: ClassVar[str] = "volumetric"
    title: ClassVar[str] = "Volumetric response"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "ml"
    options_schema: ClassVar[Mapping[str, Any]] = schema_of(VolumetricOptions)

    def __init__(self, stated: Mapping[str, object]) -> None:
        """Raises OptionsUnstated: an option is missing or cannot be used, or a limit makes no sense."""
        self.options = read_options(VolumetricOptions, stated)
        if not 0 < self.options.response_decrease_percent < 100 or self.options.progression_increase_percent <= 0:
            raise OptionsUnstated(
                "response_decrease_percent lies between 0 and 100, progression_increase_percent above 0."
            )
        if self.options.rounding_ml <= 0:
            raise OptionsUnstated("rounding_ml is a volume above zero.")
        self.options_sha256 = digest_of(self.options)
        self.scale = engine.Scale(
            unit=self.unit,
            response_percent=self.options.response_decrease_percent,
            progression_percent=self.options.progression_increase_percent,
            progression_absolute=self.options.progression_min_increase_ml,
            too_small_value=Decimal(0),
            node_normal_below=None,
            rounding=self.options.rounding_ml,
            reference=self.options.progression_reference,
            regrowth_after_cr="needs_increase",
            response_carry=False,
            non_target_with_ne="non_cr_non_pd",
            cr_with_equivocal="cr",
            time_point_date=self.options.time_point_date,
        )

    def validate_baseline(self, baseline: Baseline) -> tuple[Finding, ...]:
        """Everything against the baseline; empty = usable."""
        return (
            *rules.common(baseline, self.scale),
            *rules.counts(baseline, most=self.options.max_target_lesions, most_per_organ=self.options.max_per_organ),
            *(
                Finding("B-MEASURABLE", lesion.id, "a volume above zero", f"{lesion.size} ml")
                for lesion in baseline.targets
                if not lesion.size.is_finite() or lesion.size <= 0
            ),
        )

    def confirmation(self) -> best.Confirmation:
        """What makes a response confirmed, as the charter states it."""
        return best.Confirmation(
            confirm=self.options.confirm,
            confirm_min_days=self.options.confirm_min_days,
            sd_min_days=self.options.sd_min_days,
            max_ne=0,
            accept_sd=False,
            unconfirmed_pr_date="qualifying_assessment",
            missing_label=self.options.missing_label,
            scans_after_new_therapy=self.options.scans_after_new_therapy,
        )

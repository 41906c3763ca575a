"""RECIST 1.1 (Eisenhauer 2009, clarification 2016, EORTC answers) on what image readers state.

Image-only: tumour markers, cytology and clinical progression are not part of a reader's answer.
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
class Recist11Options:
    """Every choice that RECIST 1.1 leaves open. No field has a default: the charter states each one."""

    sd_min_days: int
    confirm: bool
    confirm_min_days: int
    max_ne: int
    accept_sd: bool
    response_carry: bool
    non_target_with_ne: Literal["ne", "non_cr_non_pd"]
    missing_label: Literal["ne", "missing"]
    cr_with_equivocal: Literal["cr", "pr", "ne"]
    regrowth_after_cr: Literal["pd", "needs_increase"]
    unconfirmed_pr_date: Literal["first_response", "qualifying_assessment"]
    time_point_date: Literal["first_scan", "last_scan"]
    # The two that time to event needs; kept here so that one signed set goes with every derived value.
    pd_rule_set: Literal["fda_censoring", "ema_events"]
    visit_windows: Literal["charter", "as_dated"]
    scans_after_new_therapy: Literal["count", "exclude"]
    rounding_mm: Decimal
    max_target_lesions: int
    max_per_organ: int


class Recist11(Bound):
    """RECIST 1.1 with a charter's options bound; sizes are millimetres."""

    id: ClassVar[str] = "recist11"
    title: ClassVar[str] = "RECIST 1.1"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "mm"
    options_schema: ClassVar[Mapping[str, Any]] = schema_of(Recist11Options)

    def __init__(self, stated: Mapping[str, object]) -> None:
        """Raises OptionsUnstated, naming every option that is missing or cannot be used."""
        self.options = read_options(Recist11Options, stated)
        # The charter may ask for fewer lesions than RECIST 1.1 allows, never for more (4.2.1).
        if not 1 <= self.options.max_target_lesions <= 5 or not 1 <= self.options.max_per_organ <= 2:
            raise OptionsUnstated("RECIST 1.1 has 1 to 5 targets, and 1 or 2 per organ.")
        if self.options.rounding_mm <= 0:
            raise OptionsUnstated("rounding_mm is a length above zero.")
        self.options_sha256 = digest_of(self.options)
        self.scale = engine.Scale(
            unit=self.unit,
            response_percent=Decimal(30),
            progression_percent=Decimal(20),
            progression_absolute=Decimal(5),
            too_small_value=Decimal(5),
            node_normal_below=Decimal(10),
            rounding=self.options.rounding_mm,
            reference="nadir",
            regrowth_after_cr=self.options.regrowth_after_cr,
            response_carry=self.options.response_carry,
            non_target_with_ne=self.options.non_target_with_ne,
            cr_with_equivocal=self.options.cr_with_equivocal,
            time_point_date=self.options.time_point_date,
        )

    def validate_baseline(self, baseline: Baseline) -> tuple[Finding, ...]:
        """Everything against the baseline (RECIST 1.1, 3.1 and 4.2); empty = usable."""
        return (
            *rules.common(baseline, self.scale),
            *rules.counts(baseline, most=self.options.max_target_lesions, most_per_organ=self.options.max_per_organ),
            *(found for lesion in baseline.targets for found in rules.measurable_length(lesion)),
        )

    def confirmation(self) -> best.Confirmation:
        """What makes a response confirmed, as the charter states it."""
        return best.Confirmation(
            confirm=self.options.confirm,
            confirm_min_days=self.options.confirm_min_days,
            sd_min_days=self.options.sd_min_days,
            max_ne=self.options.max_ne,
            accept_sd=self.options.accept_sd,
            unconfirmed_pr_date=self.options.unconfirmed_pr_date,
            missing_label=self.options.missing_label,
            scans_after_new_therapy=self.options.scans_after_new_therapy,
        )

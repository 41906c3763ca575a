"""What a trial's signed charter says: the typed, frozen form of its YAML.

The fields are the charter's own words. `core/trials/charter_check.py` reads a text into a `Charter` or into the list
of everything wrong with it. Every choice is stated: a field has a default only where leaving it out means "none".
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from core.trials.defaults import SHIPPED_BY_NAME

FORMAT = "countersign-charter/1"
NOTICE = "demonstration, not for clinical use"


def _flag(value: object) -> object:
    if value in ("true", True):
        return True
    if value in ("false", False):
        return False
    raise ValueError("write true or false")


def _whole(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,9}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a whole number")


def _decimal(value: object) -> object:
    if isinstance(value, Decimal):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,12}(\.\d{1,9})?", value):
            return Decimal(value)
    except InvalidOperation:
        pass
    raise ValueError("write a decimal number, such as 0.85")


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("write a time zone of the IANA list, such as Europe/Zurich")
    ZoneInfo(value)
    return value




_DECIMAL_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[+-]?\d{1,12}(\.\d{1,9})?$"}]}

Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=0)]
Exact = Annotated[Decimal, BeforeValidator(_decimal), WithJsonSchema(_DECIMAL_SCHEMA)]
Positive = Annotated[Exact, Field(gt=0)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
TrialId = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,15}$")]
Person = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]

Modality = Literal["CT", "PT", "MR", "US", "MG", "CR", "DX", "XA", "NM"]
EndpointKind = Literal["primary", "secondary", "cohort"]
Criterion = Literal["recist11", "volumetric"]
AiDisplay = Literal["first_pass", "after_own", "none"]
AiInAdjudication = Literal["hidden", "anonymous_third"]
Paradigm = Literal["sequential_locked", "simultaneous_all", "randomised_timepoints", "hybrid_global"]


class Section(BaseModel):
    """A part of the charter: frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Site(Section):
    """A centre that images and treats subjects."""

    id: Code
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    time_zone: TimeZone


class Arm(Section):
    """A treatment arm, or a part of the study."""

    id: Code
    label: Text


class Blinding(Section):
    """Who must not know the arm. An AI scope by arm rests on this (TRIAL 2)."""

    design: Literal["single_arm", "open_label", "single_blind", "double_blind"]
    readers_blind_depends_on_arm: Flag


class TimePoint(Section):
    """One expected imaging visit: `day` counted from the anchor, with a window in days before and after."""

    id: Code
    label: Text
    day: Whole
    window_before: Count
    window_after: Count
    anchor: Literal["enrolment", "randomisation", "first_treatment", "baseline"]
    event: Literal["eligibility", "baseline", "follow_up"]
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)]


class RecistOptions(Section):
    """What RECIST 1.1 leaves open; each must be stated (research/criteria.md 1.6)."""

    sd_min_days: Count
    confirm: Flag
    confirm_min_days: Count
    max_ne: Count
    accept_sd: Flag
    response_carry: Flag
    non_target_with_ne: Literal["ne", "non_cr_non_pd"]
    missing_label: Literal["ne", "missing"]
    cr_with_equivocal: Literal["cr", "pr", "ne"]
    regrowth_after_cr: Literal["pd", "needs_increase"]
    unconfirmed_pr_date: Literal["first_response", "qualifying_assessment"]
    time_point_date: Literal["first_scan", "last_scan"]
    pd_rule_set: Literal["fda_censoring", "ema_events"]
    visit_windows: Literal["charter", "as_dated"]
    scans_after_new_therapy: Literal["count", "exclude"]
    rounding_mm: Positive


class VolumetricOptions(Section):
    """Thresholds of response by total lesion volume; none is assumed."""

    response_decrease_percent: Positive
    progression_increase_percent: Positive
    progression_min_increase_ml: Exact
    progression_reference: Literal["nadir", "baseline"]
    sd_min_days: Count
    confirm: Flag
    confirm_min_days: Count
    missing_label: Literal["ne", "missing"]
    time_point_date: Literal["first_scan", "last_scan"]
    scans_after_new_therapy: Literal["count", "exclude"]
    rounding_ml: Positive


class _Endpoint(Section):
    id: Code
    title: Text
    kind: EndpointKind
    measure: Text
    ai_display: AiDisplay
    ai_in_adjudication: AiInAdjudication


class RecistEndpoint(_Endpoint):
    """An endpoint by sums of diameters, RECIST 1.1."""

    criterion: Literal["recist11"]
    unit: Literal["mm"]
    options: RecistOptions


class VolumetricEndpoint(_Endpoint):
    """An endpoint by lesion volume."""

    criterion: Literal["volumetric"]
    unit: Literal["ml"]
    options: VolumetricOptions


Endpoint = Annotated[RecistEndpoint | VolumetricEndpoint, Field(discriminator="criterion")]

DerivedMeasure = Literal[
    "slice_distance_mm", "slice_thickness_mm", "pixel_spacing_mm", "in_plane_coverage_mm", "axial_coverage_mm",
    "slices", "gaps", "duplicate_positions", "gantry_tilt_degrees", "rows", "columns", "noise_hu",
    "minutes_after_injection", "injected_activity_mbq",
]
Operator = Literal["<=", ">=", "==", "!=", "between", "one_of", "present"]


class AcquisitionRule(Section):
    """One requirement on a series: a derived measure or a DICOM attribute, compared with what is required."""

    id: Code
    measure: DerivedMeasure | None = None
    tag: Annotated[str, Field(pattern=r"^\([0-9A-F]{4},[0-9A-F]{4}\)$")] | None = None
    operator: Operator
    value: Text | None = None
    values: tuple[Text, ...] = ()
    unit: Annotated[str, Field(max_length=16)] = ""
    when_broken: Literal["reject", "query", "note"]
    why: Text


class Acquisition(Section):
    """The rules for one modality."""

    modality: Modality
    rules: tuple[AcquisitionRule, ...]


class Reading(Section):
    """How images are read."""

    paradigm: Paradigm
    readers: Annotated[Whole, Field(ge=1, le=3)]
    lesion_source: Literal["each_reader", "shared_list"]
    max_target_lesions: Annotated[Whole, Field(ge=1)]
    max_per_organ: Annotated[Whole, Field(ge=1)]


class Trigger(Section):
    """A difference between two locked reads that calls the adjudicator."""

    id: Code
    endpoint: Code
    kind: Literal[
        "time_point_response", "best_overall_response", "progression", "progression_date", "first_response_date",
        "burden_difference", "volume_difference",
    ]
    limit: Exact | None = None
    unit: Literal["%", "mm", "ml", "days"] | None = None


class Adjudication(Section):
    """When and how two reads are adjudicated."""

    method: Literal["choose_one_read", "re_read"]
    triggers: Annotated[tuple[Trigger, ...], Field(min_length=1)]


class EventHalt(Section):
    """Halts at the first event of its kind."""

    id: Code
    kind: Literal["event"]
    event: Literal["ai_unblinding", "wrong_subject", "wrong_side", "unsigned_endpoint"]
    halts: Annotated[tuple[Annotated[Whole, Field(ge=1, le=4)], ...], Field(min_length=1)]


class StatisticalHalt(Section):
    """Judged on locked data at pre-set looks (numbers of reads)."""

    id: Code
    kind: Literal["statistical"]
    metric: Literal["ai_error_overrides", "undecided_rate", "agreement_lower"]
    operator: Literal[">", "<"]
    limit: Exact
    looks: Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], Field(min_length=1)]
    halts: Annotated[tuple[Annotated[Whole, Field(ge=1, le=4)], ...], Field(min_length=1)]


HaltRule = Annotated[EventHalt | StatisticalHalt, Field(discriminator="kind")]


class PlannedUse(Section):
    """A use of AI that this trial plans; it still needs its gate.

    `strata` names the kinds of cases (populations) of this trial; the PQ must have passed on each of them.
    """

    use: Literal["planned"]
    model: Code
    strata: Annotated[tuple[Code, ...], Field(min_length=1)]
    endpoints: tuple[Code, ...] = ()
    scope: Annotated[str, Field(pattern=r"^(all|part:[A-Za-z0-9_-]+|arm:[A-Za-z0-9_-]+|sites:[A-Za-z0-9_,-]+)$")]


class UnusedUse(Section):
    """A use this trial lacks; counts as met in the order of gates."""

    use: Literal["not_used"]
    reason: Text


AiUse = Annotated[PlannedUse | UnusedUse, Field(discriminator="use")]


class AiUses(Section):
    """What AI may be used for, phase by phase."""

    qc: AiUse
    cohort: AiUse
    secondary: AiUse
    primary: AiUse

    def numbered(self) -> tuple[tuple[int, str, PlannedUse | UnusedUse], ...]:
        """The four uses with their numbers."""
        return ((1, "qc", self.qc), (2, "cohort", self.cohort), (3, "secondary", self.secondary),
                (4, "primary", self.primary))


class Investigator(Section):
    """An investigator and the site they answer for."""

    person: Person
    site: Code


class Deputy(Section):
    """Who stands in for a role when its holder may not act."""

    role: Code
    person: Person


class People(Section):
    """Named people: the signed charter is their first delegation (TRIAL 1)."""

    trial_lead: Person
    investigators: Annotated[tuple[Investigator, ...], Field(min_length=1)]
    deputies: tuple[Deputy, ...] = ()


class Limit(Section):
    """One number of a gate criterion, and why it may be laxer than it ships."""

    value: Exact
    justification: Text | None = None


class IncidentalFindings(Section):
    """How fast an unexpected finding reaches the site."""

    to_medical_monitor_hours: Annotated[Whole, Field(ge=1)]
    to_site_hours: Annotated[Whole, Field(ge=1)]


class Cohort(Section):
    """What may leave the house about candidates, and how missed ones are looked for (TRIAL 5)."""

    callback_candidate_flags: Flag
    excluded_sample_fraction: Annotated[Exact, Field(gt=0, le=1)]


class Charter(Section):
    """A trial's imaging charter, one version."""

    charter: Literal["countersign-charter/1"]
    trial: TrialId
    version: Annotated[str, Field(pattern=r"^\d{1,3}\.\d{1,3}$")]
    title: Text
    demonstration: Flag
    notice: Text | None = None
    sites: Annotated[tuple[Site, ...], Field(min_length=1)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    parts: tuple[Arm, ...] = ()
    blinding: Blinding
    consent: Annotated[tuple[Literal["images", "ai", "future_use"], ...], Field(min_length=1)]
    schedule: Annotated[tuple[TimePoint, ...], Field(min_length=1)]
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)]
    acquisition: Annotated[tuple[Acquisition, ...], Field(min_length=1)]
    reading: Reading
    adjudication: Adjudication
    halt_rules: Annotated[tuple[HaltRule, ...], Field(min_length=1)]
    ai: AiUses
    cohort: Cohort
    incidental_findings: IncidentalFindings
    people: People
    limits: dict[str, Limit]

    @property
    def evidence_class(self) -> str:
        """`demonstration` evidence is printed as such everywhere and refused by any other trial (TRIAL 2)."""
        return "demonstration" if self.demonstration else "clinical"

    def endpoint(self, endpoint_id: str) -> RecistEndpoint | VolumetricEndpoint | None:
        """The endpoint of this id."""
        return next((one for one in self.endpoints if one.id == endpoint_id), None)

    def time_point(self, time_point_id: str) -> TimePoint | None:
        """The scheduled time point of this id."""
        return next((one for one in self.schedule if one.id == time_point_id), None)

    def site(self, site_id: str) -> Site | None:
        """The site of this id."""
        return next((one for one in self.sites if one.id == site_id), None)

    def rules_for(self, modality: str) -> tuple[AcquisitionRule, ...]:
        """The acquisition rules of a modality; empty when the charter has none for it."""
        return next((one.rules for one in self.acquisition if one.modality == modality), ())

    def limit(self, name: str) -> Decimal:
        """A number of the gates. Raises KeyError when the charter does not state it."""
        return self.limits[name].value

    def limit_in_force(self, name: str) -> Decimal:
        """A number that a charter may leave to its shipped default (reviews, drift)."""
        return self.limits[name].value if name in self.limits else SHIPPED_BY_NAME[name].default

    def planned(self, use: int) -> PlannedUse | None:
        """The declared use 1-4 of AI, or None where it is not used."""
        return next((u for n, _, u in self.ai.numbered() if n == use and isinstance(u, PlannedUse)), None)

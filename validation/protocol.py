"""A protocol is a document in YAML, signed before anything runs; this reads it, whole or not at all.

Numbers are decimal text with their unit ("0.80 1", "-10 %", "5 mm"), so that what is signed is what is judged.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import NotFound, UnusableInput
from core.quantities import Quantity

Kind = Literal["IQ", "OQ", "PQ"]
Klass = Literal["critical", "major", "minor"]
UNNAMED = "NAMED-WHEN-DRAFTED"
USES = {1: "qc", 2: "cohort", 3: "secondary", 4: "primary"}
# What each metric of a case measures, in which unit, and the statistics that mean something of it. How cases without an
# answer count is told in validation/cases.py.
AVERAGES = ("mean", "p90")
CORRELATIONS = ("concordance", "icc_agreement", "icc_consistency")
INTRACLASS = CORRELATIONS[1:]
METRICS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "volume_error": ("volume", "%", (*AVERAGES, "limits")),
    "long_axis_error": ("long_axis", "mm", (*AVERAGES, "limits")),
    "short_axis_error": ("short_axis", "mm", (*AVERAGES, "limits")),
    "volume_log_ratio": ("volume", "1", (*AVERAGES, "limits")),
    "dice": ("overlap", "1", AVERAGES),
    "hd95": ("overlap", "mm", AVERAGES),
    # Overlap with the reference less that of a second human contour: what a reader does, from case to case.
    "dice_minus_reader": ("overlap", "1", ("noninferiority",)),
    # Measured beside true values.
    "volume_concordance": ("volume", "1", CORRELATIONS),
    "long_axis_concordance": ("long_axis", "1", CORRELATIONS),
    "short_axis_concordance": ("short_axis", "1", CORRELATIONS),
    "short_axis_class": ("short_axis", "1", ("weighted_kappa",)),
    # Scans of one lesion beside each other.
    "volume_repeat": ("volume", "%", ("repeatability",)),
    "long_axis_repeat": ("long_axis", "mm", ("repeatability",)),
    "short_axis_repeat": ("short_axis", "mm", ("repeatability",)),
    "volume_repeat_agreement": ("volume", "1", INTRACLASS),
    "long_axis_repeat_agreement": ("long_axis", "1", INTRACLASS),
    "short_axis_class_repeat": ("short_axis", "1", ("fleiss_kappa",)),
    # Differences to the same cases in an earlier run.
    "volume_shift": ("volume", "%", ("equivalence",)),
    "long_axis_shift": ("long_axis", "mm", ("equivalence",)),
    "short_axis_shift": ("short_axis", "mm", ("equivalence",)),
    "undecided": ("operation", "1", ("proportion",)),
    "missed": ("operation", "1", ("proportion",)),
}
PROPORTIONS = frozenset(name for name, (_, _, statistics) in METRICS.items() if "proportion" in statistics)
REPEATS = frozenset(name for name in METRICS if "_repeat" in name)
SHIFTS = frozenset(name for name in METRICS if name.endswith("_shift"))
# Judged from both sides, or from the one that speaks against the model.
WITHIN = frozenset({"limits", "equivalence"})
ONE_SIDED = {"noninferiority": "lower", "repeatability": "upper", "weighted_kappa": "lower", "fleiss_kappa": "lower",
             "concordance": "lower", "icc_agreement": "lower", "icc_consistency": "lower"}
FEWEST_RESAMPLES = 5000


def _measured(text: str) -> str:
    Quantity.read(text)
    return text


def _identifier(text: str) -> str:
    if not text or not all(c.isalnum() or c in "-_." for c in text):
        raise ValueError("an identifier has letters, digits, '-', '_' and '.' only")
    return text


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"no metric {name}; there are {', '.join(METRICS)}")
    return name


Measured = Annotated[str, AfterValidator(_measured)]
Id = Annotated[str, AfterValidator(_identifier)]
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# Of generated cases the first four are known by construction; of clinical ones the burden is measured on the reference
# contour, and the others are as the sealed manifest states them (validation/groups.py).
GroupKey = Literal["scanner", "manufacturer", "anatomy", "burden", "site", "sex", "age_band", "field_strength"]


class Head(_Part):
    """Which protocol this is."""

    id: Id
    title: Text
    kind: Kind
    target: Literal["installation", "model"]
    evidence_class: Literal["standard", "demonstration"]


class Supports(_Part):
    """What a passed protocol is evidence for."""

    lock: Id
    use: Literal[1, 2, 3, 4]
    endpoint: Id | None = None

    @property
    def use_name(self) -> str:
        return USES[self.use]


class Step(_Part):
    """One step: what it must find, and which class of deviation its failure is.

    Either a check by name, which the runner makes, or `manual`: what a person does, observes and signs.
    """

    id: Id
    requirements: list[Text] = Field(min_length=1)
    check: Id | None = None
    manual: Text | None = None
    title: Text
    expected: Text
    on_fail: Klass
    # For locks that name such a device alone: on another lock it is recorded as not executed and weighs nothing.
    only_for: Literal["cuda"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Step:
        if (self.check is None) == (self.manual is None):
            raise ValueError("a step is a check of the runner or manual, one of both")
        return self


class GeneratedStratum(_Part):
    """Objects of core/phantoms by their seeds, first and last included."""

    stratum: Literal["generated"]
    first_seed: int = Field(ge=0)
    last_seed: int
    planned: int = Field(ge=2)
    # The first so many are scanned this many times; repeatability is judged where so many of them have a value in each
    # scan (all, where no number is planned).
    repeated: int = Field(default=0, ge=0)
    repeated_planned: int | None = Field(default=None, ge=3)
    scans: int = Field(default=2, ge=2, le=10)

    @model_validator(mode="after")
    def _whole(self) -> GeneratedStratum:
        if self.repeated > len(self.cases()):
            raise ValueError(f"repeated: {self.repeated} of {len(self.cases())} cases cannot be scanned again")
        if self.repeated_planned is not None and self.repeated_planned > self.repeated:
            raise ValueError(f"repeated_planned: {self.repeated_planned} of {self.repeated} cannot have values")
        return self

    def cases(self) -> list[str]:
        return [str(seed) for seed in range(self.first_seed, self.last_seed + 1)]

    def scanned_again(self) -> list[tuple[int, int]]:
        """Seed and number of every further scan."""
        seeds = range(self.first_seed, self.first_seed + self.repeated)
        return [(seed, scan) for seed in seeds for scan in range(1, self.scans)]


class ClinicalStratum(_Part):
    """Real subjects of the data folder, by name."""

    stratum: Literal["clinical"]
    subjects: list[Id] = Field(min_length=1)
    planned: int = Field(ge=2)

    def cases(self) -> list[str]:
        return list(self.subjects)


Stratum = Annotated[GeneratedStratum | ClinicalStratum, Field(discriminator="stratum")]


class TestSet(_Part):
    """Which cases judge; `digest` is that of the sealed manifest."""

    __test__ = False  # for pytest: this is no test

    id: Id
    digest: Text
    independence: Literal["no_shared_subject", "no_shared_subject_or_site"]
    strata: list[Stratum] = Field(min_length=1)


class Criterion(_Part):
    """Judged on the 95 % bound: `lower` must reach the limit, `upper` must not pass it, `within` both."""

    id: Id
    requirement: Text
    stratum: Literal["generated", "clinical"]
    metric: Annotated[str, AfterValidator(_metric)]
    # `limits`: the 95 % limits of agreement of Bland and Altman, each at the far end of its own interval.
    # `noninferiority`: the lower bound of a mean difference lies above minus the margin, which is the limit.
    # `equivalence`: two one-sided tests; the 90 % interval of a mean difference lies within the margins.
    # `repeatability`: 2.77 wSD of repeated scans, in % of the mean for volumes.
    statistic: Literal[
        "mean", "p90", "limits", "concordance", "noninferiority", "proportion", "icc_agreement", "icc_consistency",
        "weighted_kappa", "fleiss_kappa", "repeatability", "equivalence"
    ]
    judge: Literal["lower", "upper", "within"]
    limit: Measured | None = None
    low: Measured | None = None
    high: Measured | None = None
    # Keys of sub-groups, declared before anything ran, and how many cases a sub-group needs for a verdict of its own.
    subgroups_by: GroupKey | list[GroupKey] | None = None
    subgroup_least: int = Field(default=1, ge=1)
    # What every sub-group must reach on its own bound, where the protocol states one: then it decides with the rest.
    subgroup_limit: Measured | None = None
    subgroup_low: Measured | None = None
    subgroup_high: Measured | None = None

    @model_validator(mode="after")
    def _whole(self) -> Criterion:
        wanted = {"low", "high"} if self.judge == "within" else {"limit"}
        given = {name for name in ("limit", "low", "high") if getattr(self, name) is not None}
        if given != wanted:
            raise ValueError(f"judge {self.judge} needs exactly {' and '.join(sorted(wanted))}")
        if self.statistic == "limits" and ("limits" not in METRICS[self.metric][2] or self.judge != "within"):
            raise ValueError("limits of agreement are those of an error, judged within low and high")
        if (self.statistic == "noninferiority") != (self.metric == "dice_minus_reader"):
            raise ValueError("dice_minus_reader goes with noninferiority, and nothing else does")
        if self.statistic == "noninferiority" and (self.judge != "lower" or self.numbers()[0] >= 0):
            raise ValueError("noninferiority is judged lower, against minus the margin (a limit below zero)")
        if self.statistic not in METRICS[self.metric][2]:
            raise ValueError(f"{self.metric} goes with {' or '.join(METRICS[self.metric][2])}, not {self.statistic}")
        side = "within" if self.statistic in WITHIN else ONE_SIDED.get(self.statistic, self.judge)
        if self.judge != side:
            raise ValueError(f"{self.statistic} is judged {side}")
        if self.statistic == "equivalence" and not self.numbers()[0] < 0 < self.numbers()[1]:
            raise ValueError("margins of equivalence lie on both sides of zero")
        own = {name for name in ("limit", "low", "high") if getattr(self, f"subgroup_{name}") is not None}
        if own and own != wanted:
            raise ValueError(f"a sub-group is judged {self.judge}, too: state subgroup_"
                             + " and subgroup_".join(sorted(wanted)))
        if own and (not self.group_keys or self.subgroup_least < 2):
            raise ValueError("a limit of sub-groups needs subgroups_by and a subgroup_least of 2 or more")
        unit = METRICS[self.metric][1]
        given |= {f"subgroup_{name}" for name in own}
        for name in sorted(given):
            if Quantity.read(getattr(self, name)).unit != unit:
                raise ValueError(f"{name} of {self.metric} is in {unit}")
        for one in (self, self.of_a_subgroup):
            if one is not None and self.judge == "within" and one.numbers()[0] >= one.numbers()[1]:
                raise ValueError("low lies below high")
        return self

    @property
    def group_keys(self) -> tuple[str, ...]:
        asked = self.subgroups_by
        return () if asked is None else (asked,) if isinstance(asked, str) else tuple(asked)

    @property
    def of_a_subgroup(self) -> Criterion | None:
        """The same criterion at the limit that every sub-group must reach; None where the protocol states none."""
        stated = {name: getattr(self, f"subgroup_{name}") for name in ("limit", "low", "high")}
        return self.model_copy(update=stated) if any(stated.values()) else None

    @property
    def measure(self) -> str:
        return METRICS[self.metric][0]

    @property
    def unit(self) -> str:
        return METRICS[self.metric][1]

    def numbers(self) -> tuple[Decimal, Decimal]:
        """Lower and upper limit; an open side is infinite."""
        def number(text: str | None, otherwise: str) -> Decimal:
            return Quantity.read(text).value if text else Decimal(otherwise)

        if self.judge == "lower":
            return number(self.limit, "0"), Decimal("Infinity")
        if self.judge == "upper":
            return Decimal("-Infinity"), number(self.limit, "0")
        return number(self.low, "0"), number(self.high, "0")

    @property
    def limit_in_words(self) -> str:
        if self.judge == "within":
            level = "90" if self.statistic == "equivalence" else "95"
            return f"{level} % interval within {self.low} and {self.high}"
        side = "lower" if self.judge == "lower" else "upper"
        return f"{side} 95 % bound {'at least' if self.judge == 'lower' else 'at most'} {self.limit}"


class AbsoluteLimit(_Part):
    """An absolute limit of a response criterion that the measure must be able to resolve."""

    criterion: Text
    measure: Literal["long_axis", "short_axis"]
    limit: Measured


class Risk(_Part):
    """Influence of the model times consequence of its error (FDA AI draft 2025, step 3)."""

    influence: Literal["low", "medium", "high"]
    consequence: Literal["low", "medium", "high"]


class Signer(_Part):
    """One signature that the protocol asks for, in this order."""

    role: Literal["statistician", "validation_lead", "qa_auditor", "system_owner"]
    meaning: Literal["review", "approval"]

    @property
    def text(self) -> str:
        return f"{self.role}:{self.meaning}"


class Protocol(_Part):
    """A whole protocol; steps for IQ and OQ, test set and criteria for PQ."""

    protocol: Head
    context_of_use: Text
    supports: Supports | None = None
    requires: list[Kind] = []
    model_risk: Risk | None = None
    steps: list[Step] = []
    test_set: TestSet | None = None
    seed: int | None = None
    resamples: int | None = Field(default=None, ge=FEWEST_RESAMPLES)
    # A concluded run on the same test set that differences (`_shift`) are taken to: change class C2.
    compared_with: Id | None = None
    absolute_limits: list[AbsoluteLimit] = []
    criteria: list[Criterion] = []
    signatures: list[Signer] = Field(min_length=2)

    @model_validator(mode="after")
    def _whole(self) -> Protocol:
        problems = [*self._parts(), *self._signers()]
        for name, ids in (("steps", [s.id for s in self.steps]), ("criteria", [c.id for c in self.criteria])):
            problems += [f"{name}: {one} stands twice" for one in sorted({i for i in ids if ids.count(i) > 1})]
        if self.test_set is not None:
            strata = {part.stratum for part in self.test_set.strata}
            problems += [f"criterion {c.id}: the test set has no stratum {c.stratum}" for c in self.criteria
                         if c.stratum not in strata]
            problems += [f"stratum {s}: no criterion judges it" for s in sorted(strata)
                         if not any(c.stratum == s for c in self.criteria)]
            again = {part.stratum for part in self.test_set.strata if isinstance(part, GeneratedStratum)
                     and part.repeated}
            problems += [f"criterion {c.id}: no case of the stratum {c.stratum} is scanned again (repeated)"
                         for c in self.criteria if c.metric in REPEATS and c.stratum not in again]
        if (self.compared_with is not None) != any(c.metric in SHIFTS for c in self.criteria):
            problems.append("compared_with: needed for a criterion on a shift, and only there")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _parts(self) -> list[str]:
        problems = []
        if (self.supports is not None) != (self.protocol.target == "model"):
            problems.append("supports: needed for a model, and only there")
        if self.protocol.kind == "PQ" and self.protocol.target == "model":
            problems += [f"{name}: needed for a PQ" for name in
                         ("test_set", "seed", "resamples", "criteria", "model_risk") if not getattr(self, name)]
        elif not self.steps:
            problems.append("steps: at least one is needed")
        elif self.criteria or self.test_set:
            problems.append("criteria and test_set belong to the PQ of a model")
        if self.test_set is not None and any(step.manual for step in self.steps):
            problems.append("steps: the runner alone judges a test set; manual steps have another protocol")
        return problems

    def _signers(self) -> list[str]:
        problems = []
        if self.signatures[-1].text != "qa_auditor:approval":
            problems.append("signatures: QA approves last")
        if not any(signer.meaning == "review" for signer in self.signatures):
            problems.append("signatures: a review is needed")
        if len({signer.role for signer in self.signatures}) != len(self.signatures):
            problems.append("signatures: each role signs once")
        needed = {"statistician:review", "validation_lead:approval"}
        if self.protocol.target == "model" and not needed <= {signer.text for signer in self.signatures}:
            problems.append("signatures: a model's protocol is reviewed by statistician, approved by validation_lead")
        return problems


def read(text: str) -> Protocol:
    """Parse and check a protocol.

    Raises:
        UnusableInput: not YAML, or anything missing, unknown or contradictory; every problem is named at its place.
    """
    try:
        raw: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnusableInput(f"The protocol is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UnusableInput("The protocol is empty, or not a list of named parts.")
    try:
        return Protocol.model_validate(raw)
    except ValidationError as error:
        found = [f"{'.'.join(str(step) for step in one['loc']) or 'protocol'}: {one['msg']}" for one in error.errors()]
        raise UnusableInput(f"The protocol has {len(found)} problems: {'; '.join(found)}.") from error


def shipped() -> list[str]:
    """Names of the protocols that ship with the product, as drafts."""
    folder = files("validation") / "protocols"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def template(name: str) -> str:
    """Text of a shipped protocol. Raises NotFound."""
    if name not in shipped():
        raise NotFound(f"No protocol {name} ships.", next_step=f"There are: {', '.join(shipped())}.")
    return (files("validation") / "protocols" / f"{name}.yaml").read_text(encoding="utf-8")


def filled(
    text: str, *, lock: str, use: int | None = None, endpoint: str | None = None, test_set_digest: str | None = None
) -> str:
    """A shipped text with its open places named. A use without an endpoint loses the line that asks for one.

    Places that nothing is given for stay open; `draft_protocol` refuses a text that still has one.
    """
    # Quoted: a digest of digits alone, or with one e, would else be read as a number.
    places = (("lock", f'"{lock}"'), ("use", None if use is None else str(use)),
              ("endpoint", None if endpoint is None else f'"{endpoint}"'),
              ("digest", None if test_set_digest is None else f'"{test_set_digest}"'))
    for place, value in places:
        if value is not None:
            text = text.replace(f"{place}: {UNNAMED}", f"{place}: {value}")
    if use in (1, 2) or (use is not None and endpoint is None):
        text = text.replace(f"  endpoint: {UNNAMED}\n", "")
    return text


def digest(text: str) -> str:
    """SHA-256 of the document's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()

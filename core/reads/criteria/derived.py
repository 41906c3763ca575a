"""What a criterion answers: a status, the rule and numbers it rests on, and the state for the next time point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol

from core.reads.criteria.answer import Baseline, TargetLesion, TimePointAnswer


class Response(StrEnum):
    """Time point and best responses, in the words of the tables."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    PD = "PD"
    NE = "NE"
    NON_CR_NON_PD = "NON-CR/NON-PD"
    NED = "NED"
    MISSING = "MISSING"


Path = Literal["targets", "non_targets_only", "no_disease"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a status was derived: the rule's id, its sentence, and the named values it compared."""

    rule: str
    because: str
    references: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What later time points need of earlier ones. A fold: `timepoint` never looks anywhere else."""

    path: Path
    baseline_on: date
    baseline_sum: Decimal
    nadir: Decimal
    nadir_on: date
    last_on: date
    targets: tuple[TargetLesion, ...]
    non_targets: tuple[str, ...]
    target_complete_seen: bool = False
    target_response_seen: bool = False
    new_lesions: tuple[tuple[str, date], ...] = ()


@dataclass(frozen=True, slots=True)
class Derived:
    """The response at one time point. `sum` is absent without targets or when one of them has no value;
    `partial_sum` is what could be added. Percentages are for display and were compared with nothing."""

    time_point: str
    on: date
    status: Response
    target: Response | None
    non_target: Response | None
    new_lesion: Literal["none", "equivocal", "unequivocal"]
    sum: Decimal | None
    partial_sum: Decimal | None
    change_from_baseline_percent: Decimal | None
    change_from_nadir_percent: Decimal | None
    progression_first_seen_on: date | None
    evidence: tuple[Evidence, ...]
    criterion: str
    options_sha256: str
    input_sha256: str
    state: State


@dataclass(frozen=True, slots=True)
class SubjectResponse:
    """The best overall response and the dates that follow; time points that no longer counted are named."""

    best: Response
    best_on: date | None
    confirmed: bool
    response_on: date | None
    progression_on: date | None
    not_counted: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    criterion: str
    options_sha256: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a baseline: the rule, the lesion ("" = the whole), what it requires, what was found."""

    rule: str
    lesion: str
    required: str
    found: str

    def __str__(self) -> str:
        where = f"{self.lesion}: " if self.lesion else ""
        return f"{where}{self.required}; found {self.found} ({self.rule})"


class Criterion(Protocol):
    """A response criterion with its options bound. Pure: same input, same answer, on any machine."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def unit(self) -> str: ...
    @property
    def options_sha256(self) -> str: ...

    def validate_baseline(self, baseline: Baseline) -> tuple[Finding, ...]: ...
    def start(self, baseline: Baseline) -> State: ...
    def timepoint(self, state: State, answer: TimePointAnswer) -> Derived: ...
    def subject(
        self, timepoints: Sequence[Derived], *, reference_on: date, new_therapy_on: date | None = None
    ) -> SubjectResponse: ...


class CriterionKind(Protocol):
    """What the charter names: an id, a version, a schema of options, and how to bind them."""

    id: str
    title: str
    version: int
    options_schema: Mapping[str, Any]

    def __call__(self, stated: Mapping[str, object]) -> Criterion: ...

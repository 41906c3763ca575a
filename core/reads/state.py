"""What a read is at rest: slots, tasks, opened reads, differences, decisions, finals. Frozen rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from core.reads.answer import Answer

AI_SLOT = "ai"
#: The AI reading in shadow: computed, sealed, shown to nobody and counted nowhere but in agreement (TRIAL 2).
SHADOW_SLOT = "shadow"
AI_SLOTS = frozenset({AI_SLOT, SHADOW_SLOT})


def human_slots(readers: int) -> tuple[str, ...]:
    """Slots of the charter's readers: reader_1, reader_2, …"""
    return tuple(f"reader_{number}" for number in range(1, readers + 1))


@dataclass(frozen=True, slots=True)
class SlotRow:
    """A subject's slot and who holds it; `current` is false once it was given to somebody else."""

    assigned: str
    trial: str
    subject: str
    slot: str
    reader: str
    current: bool
    entry: int


@dataclass(frozen=True, slots=True)
class Task:
    """One read of one time point by one slot. `state` is begun, sealed, opened or withdrawn; times are UTC."""

    assignment: str
    trial: str
    subject: str
    time_point: str
    slot: str
    reader: str
    assigned: str
    charter_version: str
    slots: tuple[str, ...]
    acquired_on: date
    state: str
    begun_at: str
    sealed: str | None
    sealed_at: str | None
    sealed_entry: int | None
    opened_entry: int | None
    superseded: str | None
    lock: str | None
    entry: int

    @property
    def locked(self) -> bool:
        return self.state in ("sealed", "opened")


@dataclass(frozen=True, slots=True)
class OpenedRead:
    """A read whose seal is open. `excluded` is true for reads of a holder who was replaced, and for those that were
    read or measured again."""

    task: Task
    answer: Answer
    own_marks: Answer | None
    excluded: bool


@dataclass(frozen=True, slots=True)
class Fired:
    """A trigger that fired, as recorded."""

    trigger: str
    endpoint: str
    kind: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of a time point, or of a whole course where `time_point` is None."""

    compared: str
    trial: str
    subject: str
    time_point: str | None
    charter_version: str
    sealed: tuple[str, ...]
    fired: tuple[Fired, ...]
    at: str
    entry: int


@dataclass(frozen=True, slots=True)
class Adjudication:
    """What the adjudicator chose, as ids of sealed entries."""

    id: str
    compared: str
    trial: str
    subject: str
    time_point: str | None
    chosen: str
    against: tuple[str, ...]
    adjudicator: str
    reason: str
    at: str
    entry: int


@dataclass(frozen=True, slots=True)
class Final:
    """The signed human final of a time point."""

    id: str
    trial: str
    subject: str
    time_point: str
    accepted: str
    rests_on: str
    report: str
    sop_instance: str
    signer: str
    at: str
    entry: int


@dataclass(frozen=True, slots=True)
class AiValue:
    """A gated AI value that an endpoint's readers may be shown, in the endpoint's unit at its entry precision."""

    run: str
    trial: str
    subject: str
    time_point: str
    lesion: str
    endpoint: str
    value: Decimal
    unit: str
    exact: str
    uncertainty: str | None
    lock: str
    gate: str | None
    tracking_uid: str | None
    segmentation: str | None
    report: str | None
    entry: int

    def __str__(self) -> str:
        return f"{self.value} {self.unit}"


@dataclass(frozen=True, slots=True)
class SeedRow:
    """A seed that a person placed, in millimetres of the patient's axes."""

    trial: str
    subject: str
    time_point: str
    lesion: str
    tracking_uid: str
    x: Decimal
    y: Decimal
    z: Decimal
    series: str
    frame_of_reference: str
    placed_by: str
    placed: str
    entry: int


@dataclass(frozen=True, slots=True)
class AiDecision:
    """What a reader made of one AI value, once the read is open: A10's row. `own` is the reader's own mark before."""

    trial: str
    subject: str
    time_point: str
    slot: str
    reader: str
    endpoint: str
    lesion: str
    run: str
    ai: str
    own: str | None
    final: str | None
    use: str
    reason: str
    lock: str
    sealed_at: str
    entry: int
    excluded: bool


@dataclass(frozen=True, slots=True)
class Impact:
    """A correction at a time point with locked reads; `decision` is None until somebody blind to the values made it."""

    correction: str
    trial: str
    subject: str
    time_point: str
    kind: str
    corrected_by: str
    decision: str | None
    decided_by: str | None
    decided_entry: int | None
    entry: int

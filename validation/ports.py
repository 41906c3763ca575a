"""What a run of validation needs from outside: checks of the installation, and the locked model as a callable.

The face wires both: this floor knows no model registry. Arrays are (slices, rows, columns), slices towards the head;
points are x, y, z in the patient's LPS frame, millimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import CountersignError

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: a sentence, whether it is as expected, and what is kept as evidence (JSON, no floats).

    `states` are facts about the installation that other rooms rest on once this has passed.

    `executed` is False where the check could not be made at all; then it neither passed nor failed.
    """

    passed: bool
    says: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    executed: bool = True
    states: Mapping[str, str] = field(default_factory=dict)


Check = Callable[[], Found]


@dataclass(frozen=True, slots=True)
class Grid:
    """Values and their place: centre of the first voxel (x, y, z), spacing between slices, rows, columns."""

    values: NDArray[Any]
    origin_mm: Point
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked: CT in HU, PET in SUV by body weight, and the seed point a person placed, or none."""

    case: str
    ct: Grid
    pet: Grid
    seed_mm: Point | None


@dataclass(frozen=True, slots=True)
class Reply:
    """How the model answered. `status`: finished (with a mask on the CT grid), undecided, or failed (with a cause)."""

    status: str
    cause: str
    input_sha256: str
    output_sha256: str
    mask: NDArray[np.bool_] | None
    # What monitors of drift compare, decimal text by name: features of the images (`inputs`), of answers (`outputs`).
    monitored: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class LockedModel(Protocol):
    """One lock, ready to be asked. Every call checks digests and environment anew, as in a trial."""

    @property
    def lock(self) -> str:
        """The lock that answers."""
        ...

    @property
    def resolution_mm(self) -> Decimal:
        """Size of the cells the model decides on."""
        ...

    @property
    def device(self) -> str:
        """What computes under the lock: cpu, or cuda and the name of the GPU."""
        ...

    @property
    def trained_on(self) -> frozenset[str]:
        """Every subject and generated seed that its training, tuning or selection saw, as its data statement says."""
        ...

    def environment(self) -> Mapping[str, str]:
        """What of this machine and its software decides about the bits of an answer."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order. Raises ModelRefusedToLoad where the bundle differs from its lock."""
        ...

    def ask_on(self, device: str, questions: Sequence[Question]) -> list[Reply]:
        """The same bytes on cpu or cuda, whatever the lock names. Raises DeviceAbsent."""
        ...

    def checks(self) -> Mapping[str, Check]:
        """Named checks that only the registry can make: digest tree, a changed weight is refused, and so on."""
        ...


class ModelRefusedToLoad(CountersignError):
    """Bytes or environment differ from the lock: nothing ran."""

    code, http_status = "model-refused", 409
    next_step = "Look at the refusal on record; a model that differs from its lock is suspended everywhere."


class DeviceAbsent(CountersignError):
    """What a step needs to compute on is not on this machine: it is not executed, never passed."""

    code, http_status = "device-absent", 409
    next_step = "Run the protocol on a machine with the device."

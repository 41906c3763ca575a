"""What a reader states about one time point, as a response criterion takes it in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

Kind = Literal["extranodal", "nodal"]
Modality = Literal["CT", "MR", "CALLIPER", "X-RAY", "ULTRASOUND"]
#: Lesions that are never measurable, by the words of RECIST 1.1, 3.1.2 and 3.2; "" = none of them.
Unmeasurable = Literal[
    "",
    "blastic_bone",
    "lytic_bone_without_soft_tissue",
    "effusion",
    "leptomeningeal",
    "lymphangitic",
    "simple_cyst",
    "irradiated_without_progression",
]
TargetState = Literal["measured", "too_small", "gone", "merged", "not_assessable", "not_imaged"]
NonTargetState = Literal["present", "absent", "unequivocal_progression", "not_assessable"]
NewLesionState = Literal["equivocal", "unequivocal"]


@dataclass(frozen=True, slots=True)
class TargetLesion:
    """A target chosen at baseline. `size` is in the unit of the criterion: for RECIST the long axis,
    the short axis of a node; `location` is free text that organs.py brings to an organ."""

    id: str
    location: str
    kind: Kind
    size: Decimal
    modality: Modality
    slice_mm: Decimal
    unmeasurable: Unmeasurable = ""


@dataclass(frozen=True, slots=True)
class NonTargetLesion:
    """A lesion followed without being measured; at baseline it can only be present."""

    id: str
    location: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the reader chose at baseline; empty targets with non-targets is the non-target-only path."""

    time_point: str
    first_scan_on: date
    last_scan_on: date
    targets: tuple[TargetLesion, ...]
    non_targets: tuple[NonTargetLesion, ...]


@dataclass(frozen=True, slots=True)
class TargetMark:
    """A target at a later time point. Several `sizes` mean that it split; `merged_with` names the lesion
    that carries the common size. Only "measured" has sizes."""

    lesion: str
    state: TargetState
    sizes: tuple[Decimal, ...] = ()
    merged_with: str = ""


@dataclass(frozen=True, slots=True)
class NonTargetMark:
    """A non-target at a later time point. Unequivocal progression is the reader's statement, with a reason;
    it is never computed from sizes."""

    lesion: str
    state: NonTargetState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NewLesion:
    """A lesion not there at baseline. It keeps its id from the first equivocal sighting on."""

    id: str
    location: str
    state: NewLesionState


@dataclass(frozen=True, slots=True)
class TimePointAnswer:
    """A reader's marks at one time point. `not_evaluable` holds the coded reason where nothing can be said;
    then there are no marks at all."""

    time_point: str
    first_scan_on: date
    last_scan_on: date
    targets: tuple[TargetMark, ...] = ()
    non_targets: tuple[NonTargetMark, ...] = ()
    new_lesions: tuple[NewLesion, ...] = ()
    not_evaluable: str = ""


def digest_of(stated: Any) -> str:
    """SHA-256, hex, over the sorted JSON of a frozen dataclass: names the input of a derivation."""

    def text(value: object) -> str:
        return value.isoformat() if isinstance(value, date) else str(value)

    canonical = json.dumps(asdict(stated), sort_keys=True, separators=(",", ":"), default=text, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

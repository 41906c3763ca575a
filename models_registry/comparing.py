"""Two locks for the same use, held side by side on the runs that both finished: overlap and volumes, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from audit.vocabulary.registry import ObjectRef
from core.dicom.reading import read_object
from core.dicom.segmentation import read_segmentation
from core.errors import Refused, UnusableInput
from core.objects import ObjectStore
from core.policy.decide import permit
from core.policy.state import Actor
from core.quantities import rounded
from core.trials.queries import facts_for
from core.work import Desk
from models_registry import queries
from models_registry.ports import Images
from models_registry.queries import LockRow, RunRow

ASKED = "bridging.judge"


@dataclass(frozen=True, slots=True)
class Compared:
    """One structure on one series as both locks have it: Dice coefficient, volumes, and where only one gave a mask.

    `first_ended`, `second_ended`: how the last run of each ended, with its cause; values only where both finished.
    """

    subject: str
    time_point: str
    series: str
    structure: str
    first_ended: str
    second_ended: str
    dice: Decimal | None = None
    first_ml: Decimal | None = None
    second_ml: Decimal | None = None

    @property
    def difference_ml(self) -> Decimal | None:
        """Second minus first."""
        return None if self.first_ml is None or self.second_ml is None else self.second_ml - self.first_ml

    def in_words(self) -> str:
        where = f"{self.subject}, {self.time_point}, {self.structure}"
        if self.dice is None or self.first_ml is None or self.second_ml is None:
            return f"{where}: not compared (first {self.first_ended}, second {self.second_ended})."
        apart = self.second_ml - self.first_ml
        share = rounded(100 * abs(apart) / self.first_ml)
        more = "the same volume" if apart == 0 else \
            f"the second {abs(apart)} ml ({share} %) {'larger' if apart > 0 else 'smaller'}"
        return f"{where}: Dice {self.dice}; {self.first_ml} ml and {self.second_ml} ml, {more}."


def compare_locks(
    desk: Desk, actor: Actor, images: Images, first: str, second: str, trial: str
) -> tuple[Compared, ...]:
    """Every series that both locks were run on, last runs only; nothing is run. It tells what runs measured that count
    nowhere and that nobody who works in the trial sees, so it is asked by who may have two locks compared.

    Raises:
        Refused: the actor may not; on record.
        NotFound: there is no such lock.
        UnusableInput: the locks are the same, do other tasks, or name no structure in common.
    """
    try:
        with desk.reading() as session:
            permit(actor, ASKED, facts_for(session, actor, ASKED, trial))
    except Refused as refusal:
        desk.record_refusal(actor.user, ASKED, refusal)
        raise
    with desk.reading() as session:
        one, other = queries.lock_of(session, first), queries.lock_of(session, second)
        _comparable(one, other)
        mine, theirs = _last(session, trial, first), _last(session, trial, second)
        found: list[Compared] = []
        for key in sorted(set(mine) & set(theirs)):
            found += _case(session, desk.objects, images, mine[key], theirs[key])
    return tuple(found)


def _comparable(one: LockRow, other: LockRow) -> None:
    if one.lock == other.lock:
        raise UnusableInput("A lock is compared with another lock.")
    if one.fields.task is None or one.fields.task != other.fields.task:
        raise UnusableInput("Two segmentations are compared; lesions are compared by a qualification protocol.")
    if one.fields.modality != other.fields.modality:
        raise UnusableInput(f"The locks take other images: {one.fields.modality} and {other.fields.modality}.")


def _last(session: Connection, trial: str, lock: str) -> dict[tuple[str, str, str], RunRow]:
    """The last run of a lock per subject, time point and series that is neither sealed nor waiting."""
    rows = queries.runs_of(session, trial=trial, lock=lock)
    return {(row.subject, row.time_point, str(row.inputs[0]["series"])): row for row in rows
            if row.state != "requested" and not row.sealed}


def _case(session: Connection, objects: ObjectStore, images: Images, one: RunRow, other: RunRow) -> list[Compared]:
    series = str(one.inputs[0]["series"])
    if one.inputs[0]["manifest_sha256"] != other.inputs[0]["manifest_sha256"]:
        raise UnusableInput(f"{one.subject}, {one.time_point}: the series came again between the two runs.",
                            next_step="Run the first lock once more.")
    ends = [row.state if row.state == "finished" else f"{row.state}: {row.cause}" for row in (one, other)]
    if one.segmentation is None or other.segmentation is None:
        return [Compared(one.subject, one.time_point, series, "all structures", ends[0], ends[1])]
    files = images.load(session, objects, one.trial, series)
    owner = f"{one.trial}/{one.subject}"
    mine, theirs = (_masks(objects, row.segmentation, files, owner) for row in (one, other)
                    if row.segmentation is not None)
    shared = sorted(set(mine) & set(theirs))
    if not shared:
        raise UnusableInput(f"The locks name no structure in common: {', '.join(sorted(mine))} and "
                            f"{', '.join(sorted(theirs))}.")
    return [Compared(one.subject, one.time_point, series, name, ends[0], ends[1], dice_of(mine[name], theirs[name]),
                     _volume_ml(one, name), _volume_ml(other, name)) for name in shared]


def _masks(objects: ObjectStore, ref: ObjectRef, files: Sequence[FileDataset], owner: str
           ) -> dict[str, NDArray[np.bool_]]:
    seg = read_object(objects.get(ref, subject=owner))
    return {one.label: one.mask for one in read_segmentation(seg, files)}


def _volume_ml(row: RunRow, structure: str) -> Decimal | None:
    said = row.values.get(f"{structure.replace(' ', '_')}_volume")
    return None if said is None else rounded(Decimal(said.split(" ")[0]) / 1000)


def dice_of(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Decimal:
    """Twice the voxels in both over those in each (Dice 1945); 1 is the same mask. Rounded half-even to 0.0001.

    Raises UnusableInput for two empty masks, about which it says nothing.
    """
    total = int(one.sum()) + int(other.sum())
    if total == 0:
        raise UnusableInput("Two empty masks have no overlap to measure.")
    return rounded(Decimal(2 * int((one & other).sum())) / total, 4)

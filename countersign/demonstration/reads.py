"""Blinded reads: two readers seal, AI as the charter shows it, differences adjudicated, finals signed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from core import outbox
from core.errors import CountersignError
from core.phantoms import SCANNERS, Lesion
from core.reads.deciding import Adjudicate, adjudicate
from core.reads.finals import SignFinal, finals_due, sign_final
from core.reads.locking import LockAnswer, mark_read, seal_read, show_ai_values
from core.reads.opening import compare_course
from core.reads.queries import awaiting_adjudication, finals_of
from core.reads.usecases import AssignReaders, BeginRead, QualifyReader, assign_readers, begin_read, qualify_reader
from countersign.demonstration.cast import actor
from countersign.demonstration.inference import tracking_uid
from countersign.demonstration.lives import Life
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import TRIAL

READERS = ("reader-1", "reader-2")
ADJUDICATOR = "adjudicator"
# How far each reader's hand is from the truth, and where one of them measured something else.
HAND = {"reader-1": (1.00, 0.015), "reader-2": (1.01, 0.02)}
DISAGREES = {("reader-2", "103-001", "W08"): 1.30, ("reader-1", "102-002", "W08"): 1.55}


def prepare(stage: Stage, lives: Sequence[Life]) -> None:
    """Readers and adjudicator pass the reference set; slots are given for whole subjects."""
    for user, role in (*((reader, "reader") for reader in READERS), (ADJUDICATOR, "adjudicator")):
        command = QualifyReader(TRIAL, user, role, "reference-set-1", 12, "0.92", "0.80")
        stage.signed(qualify_reader(stage.desk, actor("imaging-lead"), command))
    subjects = tuple(life.subject for life in lives)
    stage.refused(
        "giving both slots of a subject to one reader",
        lambda: assign_readers(stage.desk, actor("imaging-lead"), AssignReaders(
            TRIAL, subjects[:1], {"reader_1": READERS[0], "reader_2": READERS[0]})),
        expect=CountersignError,
    )
    stage.signed(assign_readers(stage.desk, actor("imaging-lead"), AssignReaders(
        TRIAL, subjects, {"reader_1": READERS[0], "reader_2": READERS[1]})))


def _mm(value: float) -> str:
    return f"{Decimal(repr(value)).quantize(Decimal('0.1'))} mm"


def _ml(value_mm3: float) -> str:
    return f"{Decimal(repr(value_mm3 / 1000)).quantize(Decimal('0.1'))} ml"


def own_answer(life: Life, time_point: str, reader: str) -> dict[str, Any]:
    """What a reader measures by hand: the truth through that reader's hand."""
    bias, spread = HAND[reader]
    rng = np.random.default_rng([ord(sign) for sign in f"{reader}{life.subject}{time_point}"])
    factor = DISAGREES.get((reader, life.subject, time_point), 1.0)
    found = {lesion.label: lesion for lesion in life.at(time_point)}
    targets = []
    for number, (site, _) in enumerate(life.lesions, start=1):
        label = f"TL{number:02d}"
        lesion = found.get(label)
        target: dict[str, Any] = {"lesion": label, "tracking_uid": tracking_uid(life.subject, label)}
        if lesion is None or not lesion.present:
            target["state"] = "gone"
        else:
            target |= {"state": "measured", "sizes": _sizes(lesion, bias * factor, spread, rng)}
        if time_point == "BL":
            increment = SCANNERS[life.scanner].increment_mm
            target |= {"location": site, "kind": "extranodal", "modality": "CT", "slice_mm": f"{increment} mm"}
        targets.append(target)
    answer: dict[str, Any] = {"targets": targets}
    if "NL01" in found:
        answer["new_lesions"] = [{"lesion": "NL01", "location": "lung left", "state": "unequivocal"}]
    return answer


def _sizes(lesion: Lesion, bias: float, spread: float, rng: np.random.Generator) -> dict[str, list[str]]:
    scale = bias * (1 + spread * float(rng.standard_normal()))
    volume = [_ml(lesion.volume_mm3() * scale**3)]
    return {"response": [_mm(lesion.axes_mm()[0] * scale)], "volume": volume, "volume_response": volume}


def with_ai(answer: dict[str, Any], values: Sequence[Any]) -> dict[str, Any]:
    """Each AI value decided by itself: near the own mark accepted, farther adjusted, far away rejected."""
    by_lesion = {value.lesion: value for value in values}
    targets = []
    for target in answer["targets"]:
        value = by_lesion.get(target["lesion"])
        changed = dict(target)
        if value is not None and target["state"] == "measured":
            own = Decimal(target["sizes"]["volume"][0].split()[0])
            difference = abs(value.value - own) / own
            use: dict[str, Any] = {"endpoint": "volume", "run": value.run}
            if difference <= Decimal("0.10"):
                use["use"] = "accept"
                changed["sizes"] = target["sizes"] | {"volume": [f"{value.value} ml"]}
            elif difference <= Decimal("0.40"):
                middle = ((value.value + own) / 2).quantize(Decimal("0.1"))
                wide = value.value > own
                use |= {"use": "adjust", "reason": "boundary_too_wide" if wide else "boundary_too_narrow"}
                changed["sizes"] = target["sizes"] | {"volume": [f"{middle} ml"]}
            else:
                use |= {"use": "reject", "reason": "other_structure_included"}
            changed["ai"] = [use]
        targets.append(changed)
    return answer | {"targets": targets}


def read(stage: Stage, lives: Sequence[Life], time_points: Sequence[str], *, ai_beside: bool) -> None:
    """Time points in date order, each sealed by both before the next opens; `ai_beside` shows AI after own marks."""
    for life in lives:
        for time_point in time_points:
            if time_point not in life.factors:
                continue
            for reader in READERS:
                _one_read(stage, life, time_point, reader, ai_beside=ai_beside)
            outbox.drain(stage.desk)
        stage.say(f"   {life.subject}: {', '.join(time_points)} read by both and opened")


def _one_read(stage: Stage, life: Life, time_point: str, reader: str, *, ai_beside: bool) -> None:
    assignment = begin_read(stage.desk, actor(reader), BeginRead(TRIAL, life.subject, time_point))
    answer = own_answer(life, time_point, reader)
    if not stage.notes.get("blind shown"):
        stage.notes["blind shown"] = True
        stage.refused("showing AI to a reader before their own marks",
                      lambda: show_ai_values(stage.desk, actor(reader), assignment, "volume"))
        stage.refused("showing AI of the primary endpoint to a reader",
                      lambda: show_ai_values(stage.desk, actor(reader), assignment, "volume_response"))
        stage.refused(
            "accepting all AI values in one stroke",
            lambda: seal_read(stage.desk, actor(reader), LockAnswer(
                TRIAL, life.subject, time_point, answer | {"accept_all": True})),
        )
    if not ai_beside:
        stage.signed(seal_read(
            stage.desk, actor(reader), LockAnswer(TRIAL, life.subject, time_point, answer)).proposal)
        return
    stage.signed(mark_read(stage.desk, actor(reader), LockAnswer(TRIAL, life.subject, time_point, answer)).proposal)
    values = show_ai_values(stage.desk, actor(reader), assignment, "volume")
    locked = LockAnswer(TRIAL, life.subject, time_point, with_ai(answer, values))
    stage.signed(seal_read(stage.desk, actor(reader), locked).proposal)


def settle(stage: Stage, lives: Sequence[Life]) -> None:
    """Whole courses compared, differences adjudicated, finals signed by whom the accepted read belongs to."""
    for life in lives:
        compare_course(stage.desk, TRIAL, life.subject)
    with stage.desk.reading() as session:
        waiting = awaiting_adjudication(session, TRIAL)
    for found in waiting:
        stage.signed(adjudicate(stage.desk, actor(ADJUDICATOR), Adjudicate(
            TRIAL, found.compared, "A", "measurement")))
    stage.say(f"   {len(waiting)} differences adjudicated")
    with stage.desk.reading() as session:
        due = finals_due(session, TRIAL)
    for final in due:
        command = SignFinal(TRIAL, final.subject, final.time_point)
        stage.signed(sign_final(stage.desk, actor(final.signer), command))
    with stage.desk.reading() as session:
        stage.note("final reads signed", len(finals_of(session, TRIAL)))

"""The sentinel set: generated cases that a lock in use answers every day, bit-equal to what was signed.

The one sentinel within a bundle shows at each load that the lock runs as it was locked; the set shows on a range of
scanners and lesions that it still answers so. Cases follow from their seeds; nothing of a subject is in them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

import numpy as np
from sqlalchemy import Connection

from audit import store
from audit.vocabulary.drift import SentinelCase, SentinelChecked, SentinelDeclared
from audit.vocabulary.registry import event_from
from core.errors import NotFound, UnusableInput
from core.gates import sentinels
from core.phantoms import reference_object
from core.phantoms.source import generator_digest
from core.policy.decide import permit
from core.work import Actor, Desk, Draft, Occasion, Proposal, View
from models_registry import queries
from models_registry.contract import Study
from models_registry.isolation import WorkerFailed
from models_registry.loading import INFERENCE, ModelDiffers, answers, refuse
from models_registry.pipeline import input_digest
from models_registry.ports import Runner
from models_registry.preprocessing import Image

# Of no other set: training and tuning end below 10,000, test sets begin at 50,000, demonstrated ones at 90,000.
FIRST_SEED, MOST_CASES, LESION = 70_000, 200, "TL01"
CHUNK = 10
NO_ANSWER = "an answer"  # what isolation wants where the worker did not come to a case
log = logging.getLogger("countersign.sentinel")


def case_of(seed: int) -> Study:
    """The generated study of a seed, whole HU as a scanner stores them, seeded at the centre of its first lesion."""
    volume = reference_object(seed)
    ct, pet = volume.ct_grid, volume.pet_grid
    return Study(
        ct=Image(np.rint(volume.ct_hu).astype(np.float32), ct.origin_mm, ct.spacing_mm),
        pet=Image(volume.pet_suv.astype(np.float32), pet.origin_mm, pet.spacing_mm),
        seed_mm=volume.truth_of(LESION).seed_mm, ct_unit="HU", pet_unit="{SUVbw}g/ml",
    )


def _asked(
    desk: Desk, lock: queries.LockRow, seeds: Sequence[str], runner: Runner | None
) -> tuple[list[SentinelCase], int]:
    """The lock's answers to the cases, and how many of them were no measurement. Raises ModelDiffers, WorkerFailed."""
    with desk.reading() as session:
        version = queries.version_of(session, lock.fields.model, lock.fields.model_version)
    found, unmeasured = [], 0
    for start in range(0, len(seeds), CHUNK):
        part = seeds[start:start + CHUNK]
        studies = [case_of(int(seed)) for seed in part]
        session_here, _ = answers(desk, lock, version, studies, runner=runner)
        for seed, study, (answer, _) in zip(part, studies, session_here.answers, strict=True):
            if answer.limit == NO_ANSWER:
                raise WorkerFailed(f"Case {seed} of the sentinel set was not answered: {answer.found}.",
                                   cause=answer.cause)
            unmeasured += answer.status != "finished"
            found.append(SentinelCase(seed=seed, input_sha256=input_digest(study), output_sha256=answer.output_sha256))
    return found, unmeasured


def declare_sentinel(
    desk: Desk, actor: Actor, lock: str, cases: int, *, runner: Runner | None = None
) -> Proposal:
    """Ask the lock a set of generated cases, and let who answers for it sign the digests as what it must answer.

    Raises:
        UnusableInput: an odd number of cases, or most of them are no input for this model.
        ModelDiffers: the lock does not run here as it was locked (recorded).
        WorkerFailed: the worker did not come to a case.
    """
    if not 1 <= cases <= MOST_CASES:
        raise UnusableInput(f"A sentinel set has 1 to {MOST_CASES} cases, not {cases}.")
    with desk.reading() as session:
        row = queries.lock_of(session, lock)
    if row.fields.task is not None:
        raise UnusableInput(f"{lock} is for the task {row.fields.task}; the generated cases are CT and PET of lesions.",
                            next_step="Its own sentinel is compared at every load.")
    _may(desk, actor)
    found, unmeasured = _asked(desk, row, [str(FIRST_SEED + number) for number in range(cases)], runner)
    if 2 * unmeasured >= cases:
        raise UnusableInput(f"{unmeasured} of {cases} generated cases are no input that {lock} measures.",
                            next_step="This set says nothing about a model of other images.")
    event = SentinelDeclared(lock=lock, model=row.fields.model, generator_sha256=generator_digest(),
                             number=len(found), cases=tuple(found))

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = permit(actor, "sentinel.declare", queries.house_facts(session, actor, "sentinel.declare"))
        lines = (("Lock", lock), ("Model", row.fields.model), ("Generator digest", event.generator_sha256),
                 *((f"Case {one.seed}", f"input {one.input_sha256}, output {one.output_sha256}")
                   for one in event.cases))
        return Draft(event, under=under, meaning="approval", view=View("Daily sentinel set", "models/sentinel", lines),
                     scope=lock)

    return desk.prepare(actor, propose, asked="sentinel.declare")


def _may(desk: Desk, actor: Actor) -> None:
    """Asked before the slow part as well."""
    with desk.reading() as session:
        permit(actor, "sentinel.declare", queries.house_facts(session, actor, "sentinel.declare"))


def declared_set(session: Connection, lock: str) -> tuple[str, SentinelDeclared]:
    """(id of the entry, word) of the set in force. Raises NotFound."""
    seq = sentinels.set_of(session, lock)
    entry = store.entry_at(session, seq) if seq is not None else None
    if entry is None:
        raise NotFound(f"{lock} has no sentinel set.",
                       next_step=f"Validation lead or custodian: `countersign drift sentinel {lock} --declare`.")
    event: SentinelDeclared = event_from("sentinel.declared", entry.body["version"], entry.body["fields"])
    return str(entry.body["id"]), event


def check_sentinel(desk: Desk, lock: str, *, runner: Runner | None = None) -> SentinelChecked:
    """Ask the lock its set now and record what it answered; a difference closes what rests on the lock at once.

    Raises NotFound where no set is declared, WorkerFailed where the worker did not come to a case: then nothing is
    recorded and the set stays due.
    """
    with desk.reading() as session:
        row = queries.lock_of(session, lock)
        declared, stated = declared_set(session, lock)
    try:
        found, _ = _asked(desk, row, [one.seed for one in stated.cases], runner)
    except ModelDiffers as refusal:
        # Recorded as refused by the loader; said here too, so that the day's asking is on record and ended.
        return _record(desk, row, declared, stated, False, f"refused at {refusal.check}")
    differing = tuple(now for then, now in zip(stated.cases, found, strict=True) if then != now)
    if not differing:
        return _record(desk, row, declared, stated, True, f"{len(found)} answers are bit-equal")
    refuse(desk, row, _difference(stated, differing))
    return _record(desk, row, declared, stated, False, f"{len(differing)} of {len(found)} cases differ", differing)


def _difference(stated: SentinelDeclared, differing: tuple[SentinelCase, ...]) -> ModelDiffers:
    """What a gate suspends for: the first case that differs, at its input where this machine generates another one."""
    now = differing[0]
    then = next(one for one in stated.cases if one.seed == now.seed)
    expected, found = (then.output_sha256, now.output_sha256) if then.input_sha256 == now.input_sha256 else (
        then.input_sha256, now.input_sha256)
    return ModelDiffers(f"{len(differing)} cases of the sentinel set of {stated.lock} differ.", check="sentinel",
                        expected=expected, found=found, path=f"sentinel set, case {now.seed}")


def _record(
    desk: Desk, row: queries.LockRow, declared: str, stated: SentinelDeclared, same: bool, says: str,
    differing: tuple[SentinelCase, ...] = (),
) -> SentinelChecked:
    event = SentinelChecked(lock=row.lock, model=row.fields.model, declared=declared, number=stated.number, same=same,
                            says=says, differing=differing)
    with desk.open(INFERENCE, asked="sentinel.check") as work:
        under = permit(INFERENCE, "sentinel.check", queries.house_facts(work.session, INFERENCE, "sentinel.check"))
        work.record(event, under=under)
    return event


def check_due(desk: Desk, *, runner: Runner | None = None) -> list[SentinelChecked]:
    """Ask every lock in use whose set was not asked today. A worker that fails leaves a set due, and its day missed."""
    day = date.fromisoformat(desk.occasion().at[:10])
    with desk.reading() as session:
        due = [one.lock for one in sentinels.watches(session) if one.due(day)]
    done = []
    for lock in due:
        try:
            done.append(check_sentinel(desk, lock, runner=runner))
        except WorkerFailed as failure:
            log.error("sentinel set of %s: %s", lock, failure.fact)
    return done

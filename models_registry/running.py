"""The worker answers: all waiting runs of a lock in one process, each outcome an entry, whatever it is.

The worker process, its environment check and its sentinel serve many runs; a run that has an outcome already is passed
over, so that everything may be tried again after a crash. Values of a blinded read (phase 4) go into its seal and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from audit.vocabulary.models import RunFailed, RunFinished, RunUndecided, RunValue
from core.errors import CountersignError, OutsideUnavailable, RecordDamaged, Refused
from core.policy.decide import decide, permit
from core.work import Desk
from models_registry import blinded, queries
from models_registry.answer import Answer
from models_registry.digest import environment_digest
from models_registry.inputs import Given, SeriesReader
from models_registry.isolation import Session, WorkerFailed
from models_registry.loading import INFERENCE, ModelDiffers, answers
from models_registry.ports import Images, Runner
from models_registry.queries import RunRow
from models_registry.results import Written, write_result
from models_registry.sampling import keep_sample
from models_registry.segmentation.state import Structure
from models_registry.servers import record_served
from models_registry.tasks import task_for, task_named

BATCH = 16


def run_waiting(desk: Desk, images: Images, lock: str | None = None, *, runner: Runner | None = None) -> int:
    """Run everything that waits (of one lock, where given). Returns how many runs ended, in whatever way."""
    with desk.reading() as session:
        waiting = queries.runs_of(session, state="requested", lock=lock)
    done = 0
    for name in sorted({one.lock for one in waiting}):
        mine = [one for one in waiting if one.lock == name]
        for batch in _batches(mine):
            done += _run_batch(desk, images, name, batch, runner)
            for point in sorted({(row.trial, row.subject, row.time_point) for row in batch if blinded.is_blinded(row)}):
                blinded.withdraw_where_over(desk, *point)
    return done


def _batches(rows: Sequence[RunRow]) -> Iterator[list[RunRow]]:
    """About BATCH runs each; the lesions of a time point stay together, since a blinded read seals them as one."""
    groups: dict[tuple[str, str, str], list[RunRow]] = {}
    for row in rows:
        groups.setdefault((row.trial, row.subject, row.time_point), []).append(row)
    batch: list[RunRow] = []
    for group in groups.values():
        if batch and len(batch) + len(group) > BATCH:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def _run_batch(desk: Desk, images: Images, lock: str, rows: Sequence[RunRow], runner: Runner | None) -> int:
    with desk.reading() as session:
        locked = queries.lock_of(session, lock)
        version = queries.version_of(session, locked.fields.model, locked.fields.model_version)
    task = task_named(locked.fields.task)
    given: list[tuple[RunRow, Given]] = []
    reader = SeriesReader(desk, images)
    for row in rows:
        barred = _barred(desk, row)
        if barred is not None:
            _fail(desk, row, "subject-data", barred)
            continue
        try:
            with desk.reading() as session:
                one = reader.again(session, row)
        except RecordDamaged as damage:
            _fail(desk, row, "input", damage.fact)
            raise
        except CountersignError as error:
            _fail(desk, row, "input", error.fact)
            continue
        except Exception as error:  # noqa: BLE001  outside bytes: one strange header must not hold the others back
            _fail(desk, row, "input", f"The images could not be read: {type(error).__name__}.")
            continue
        given.append((row, one))
    if not given:
        return len(rows)
    try:
        session_here, bundle = answers(desk, locked, version, [one.study for _, one in given], runner=runner,
                                       runs=[row.run for row, _ in given])
    except ModelDiffers as refusal:
        # One run's refusal is recorded by the loader; the others have no answer for the same cause.
        for row, _ in given:
            if row.run != refusal.run:
                _fail(desk, row, "model-refused", refusal.fact)
        return len(rows)
    except (WorkerFailed, OutsideUnavailable) as failure:
        # A store that does not answer is no sign of tampering; but nobody waits for it (TRIAL 2).
        cause = failure.cause if isinstance(failure, WorkerFailed) else "model-unavailable"
        for row, _ in given:
            _fail(desk, row, cause, failure.fact)
        return len(rows)
    record_served(desk, [row for row, _ in given], session_here)
    structures = task.structures(bundle.configuration)
    # Sealed before the outcomes are recorded: after a crash the seal is found and not made twice.
    unsealed = blinded.seal_reads(desk, [(row, one, answer) for (row, one), (answer, _) in
                                         zip(given, session_here.answers, strict=True) if blinded.is_blinded(row)])
    for (row, one), (answer, took) in zip(given, session_here.answers, strict=True):
        if row.run in unsealed:
            _fail(desk, row, "seal", unsealed[row.run], took)
        else:
            _record(desk, locked, row, one, answer, took, session_here, structures)
    for trial, subject, time_point in sorted({(row.trial, row.subject, row.time_point) for row, _ in given
                                              if blinded.is_blinded(row)}):
        blinded.open_results(desk, trial, subject, time_point)
    return len(rows)


def _barred(desk: Desk, row: RunRow) -> str | None:
    """Why the subject's images may not be read: restricted or erased after the run was asked for."""
    with desk.reading() as session:
        facts = queries.run_facts(session, INFERENCE, "subject.use", row.trial, relations=(), endpoint=row.endpoint,
                                  subject=row.subject)
    decision = decide(INFERENCE, "subject.use", facts)
    return None if decision.allowed else decision.because


def _record(desk: Desk, lock: queries.LockRow, row: RunRow, given: Given, answer: Answer, took: str,
            session_here: Session, structures: tuple[Structure, ...]) -> None:
    """One outcome as an entry; objects are written before, nothing slow is done under the lock."""
    if answer.status == "failed":
        _fail(desk, row, answer.cause, f"{answer.found}; needed: {answer.limit}", took)
        return
    if answer.status == "undecided":
        _end(desk, row, RunUndecided(
            run=row.run, lock=row.lock, model=row.model, subject=row.subject, time_point=row.time_point,
            study=row.study, lesion=row.lesion, use=row.use, standing=row.standing, sealed=row.sealed,
            input_sha256=task_for(given.study).input_digest(given.study),
            environment_sha256=environment_digest(session_here.environment), cause=answer.cause,
            found=answer.found, limit=answer.limit, took=took, endpoint=row.endpoint, gate=row.gate,
            sample=keep_sample(desk, row, given.study, answer, None)))
        return
    try:
        seal = blinded.seal_for(desk, row)
        written = write_result(desk, lock, row, given.files, answer, structures, seal)
        sample = keep_sample(desk, row, given.study, answer, seal)
    except CountersignError as error:
        _fail(desk, row, "output", error.fact, took)
        return
    except Exception as error:  # noqa: BLE001  as above: the result objects copy what the images' headers say
        _fail(desk, row, "output", f"The result could not be written: {type(error).__name__}.", took)
        return
    _end(desk, row, replace(_finished(row, given, answer, took, session_here, written), sample=sample))


def _finished(row: RunRow, given: Given, answer: Answer, took: str, session_here: Session, written: Written
              ) -> RunFinished:
    values = () if row.sealed else tuple(
        RunValue(name=one.name, value=one.value, uncertainty=one.uncertainty, failed=one.failed)
        for one in answer.values)
    said = "sealed" if row.sealed else ", ".join(
        f"{one.name.replace('_', ' ')} {one.value or 'not measured'}" for one in answer.values)
    return RunFinished(
        run=row.run, lock=row.lock, model=row.model, subject=row.subject, time_point=row.time_point, study=row.study,
        lesion=row.lesion, use=row.use, standing=row.standing, sealed=row.sealed,
        input_sha256=task_for(given.study).input_digest(given.study),
        environment_sha256=environment_digest(session_here.environment), output_sha256=answer.output_sha256,
        values_said=said, took=took, values=values,
        confidence=None if row.sealed else answer.confidence,
        domain_distance=None if row.sealed else answer.domain_distance, segmentation=written.segmentation,
        report=written.report, result=written.result, tracking_uid=row.tracking_uid, endpoint=row.endpoint,
        gate=row.gate, device=session_here.environment.get("torch_device"),
        threads=session_here.environment.get("torch_threads"), network_wall=session_here.network,
    )


def _fail(desk: Desk, row: RunRow, cause: str, detail: str, took: str = "0.00 s") -> None:
    _end(desk, row, RunFailed(
        run=row.run, lock=row.lock, model=row.model, subject=row.subject, time_point=row.time_point, study=row.study,
        lesion=row.lesion, use=row.use, standing=row.standing, sealed=row.sealed, input_sha256=row.input_sha256,
        cause=cause, detail=_plain(detail), took=took, endpoint=row.endpoint, gate=row.gate))


def _plain(text: str) -> str:
    """A worker's last words, fit for the record: printable, short."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:400]


def _end(desk: Desk, row: RunRow, event: RunFinished | RunUndecided | RunFailed) -> None:
    try:
        _recorded(desk, row, event)
    except Refused as refusal:
        if isinstance(event, RunFailed):
            raise
        # The gate or the lock closed while it was computed: nothing counts, and nobody waits for it (TRIAL 2).
        _fail(desk, row, "use-closed", refusal.fact, event.took)


def _recorded(desk: Desk, row: RunRow, event: RunFinished | RunUndecided | RunFailed) -> None:
    with desk.open(INFERENCE, on_behalf_of=row.asked_by, asked="ai.run") as work:
        now = queries.run_of(work.session, row.run)
        if now.state != "requested":
            # Another worker was first; its outcome stands.
            return
        relations = {row.standing} if row.standing != "gated" else set()
        # A failure gives no value, so it uses no AI: it goes on record whether the gate is open or closed.
        if not isinstance(event, RunFailed):
            if row.use != "none":
                relations.add(f"for_{row.use}")
            if not queries.lock_of(work.session, row.lock).runs:
                relations.add("lock_not_valid")
        decision = permit(INFERENCE, "ai.run", queries.run_facts(
            work.session, INFERENCE, "ai.run", row.trial, relations=relations, endpoint=row.endpoint,
            subject=row.subject))
        work.record(event, under=decision, trial=row.trial, caused_by=row.entry_id)

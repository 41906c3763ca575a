"""A lock, retired ones included, made to answer once more as it was locked: proof that it can be reproduced, no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary.models import ModelReproduced, RunAgain
from core.errors import Refused, UnusableInput
from core.policy.decide import decide, permit
from core.work import Actor, Desk, Draft, Occasion, Proposal, release
from models_registry import queries, views
from models_registry.inputs import Given, SeriesReader
from models_registry.isolation import Expected, Session, WorkerDiffers
from models_registry.loading import INFERENCE, ModelDiffers, check_bytes, check_container, own_copy, refuse
from models_registry.ports import Images, Runner
from models_registry.servers import worker_here
from models_registry.software import code_digest
from models_registry.tasks import task_for

NEXT = "Nothing was signed. Bring back the environment that the lock states (`countersign model show LOCK`), then " \
       "reproduce again."


@dataclass(frozen=True, slots=True)
class ReproduceModel:
    """Reproduce a lock; `runs` of the record are computed again and held against their recorded output."""

    lock: str
    runs: tuple[str, ...] = ()


def reproduce_model(
    desk: Desk, actor: Actor, command: ReproduceModel, images: Images, *, runner: Runner | None = None
) -> Proposal:
    """Load the lock's bytes from the house's own objects, compare environment and sentinel, compute the runs again, and
    let the person sign that everything came out as recorded. It is no run, whatever the state of the lock: no value is
    kept, and nothing can rest on it.

    Raises:
        Refused: the actor holds no role for it, or a subject's images may not be used.
        ModelDiffers: bytes, environment, sentinel or an output differ; recorded as model.refused.
        UnusableInput: a run is not of this lock, or gave no output.
    """
    _may(desk, actor)
    with desk.reading() as session:
        lock = queries.lock_of(session, command.lock)
        version = queries.version_of(session, lock.fields.model, lock.fields.model_version)
        rows = [queries.run_of(session, name) for name in command.runs]
    given = _inputs(desk, lock.lock, rows, images)
    try:
        bundle = check_bytes(lock, version, own_copy(desk, version))
        check_container(lock)
        answered = (runner or worker_here(desk))(bundle.files, [one.study for one in given],
                          Expected(lock.environment, lock.fields.sentinel_output_sha256))
        _outputs_as_recorded(rows, answered)
    except WorkerDiffers as differs:
        found = ModelDiffers(differs.fact, check=differs.check, expected=differs.expected, found=differs.found)
        raise _recorded(desk, lock, found) from differs
    except ModelDiffers as differs:
        raise _recorded(desk, lock, differs) from differs
    event = ModelReproduced(
        lock=lock.lock, model=lock.fields.model, state=lock.state, tree_sha256=bundle.tree_sha256,
        environment_sha256=lock.fields.environment_sha256,
        sentinel_output_sha256=answered.sentinel_output_sha256,
        runs_said=f"{len(rows)} run{'s' if len(rows) != 1 else ''}", software=release(), code_sha256=code_digest(),
        software_said=_software_said(lock), runs=tuple(
            RunAgain(run=row.run, output_sha256=answer.output_sha256)
            for row, (answer, _) in zip(rows, answered.answers, strict=True)))

    def propose(session: Connection, occasion: Occasion) -> Draft:
        now = queries.lock_of(session, command.lock)
        if now.state != event.state:
            raise UnusableInput(f"{now.lock} has become {now.state} meanwhile.", next_step="Reproduce it again.")
        decision = permit(actor, "model.reproduce", queries.house_facts(session, actor, "model.reproduce"))
        return Draft(event, under=decision, meaning="execution", view=views.reproduction(event))

    return desk.prepare(actor, propose, asked="model.reproduce")


def _may(desk: Desk, actor: Actor) -> None:
    """Asked before the slow part, so that nobody waits for a refusal."""
    with desk.reading() as session:
        decision = decide(actor, "model.reproduce", queries.house_facts(session, actor, "model.reproduce"))
    if not decision.allowed:
        refusal = Refused(decision.because, rule=decision.rule)
        desk.record_refusal(actor.user, "model.reproduce", refusal)
        raise refusal


def _inputs(desk: Desk, lock: str, rows: Sequence[queries.RunRow], images: Images) -> list[Given]:
    """The images of the runs as they were measured. Raises UnusableInput, Refused."""
    reader, given = SeriesReader(desk, images), []
    for row in rows:
        if row.lock != lock or not row.output_sha256:
            raise UnusableInput(f"Run {row.run} is of {row.lock} and {row.state}; only runs of {lock} that gave an "
                                "output can be computed again.")
        with desk.reading() as session:
            permit(INFERENCE, "subject.use", queries.run_facts(
                session, INFERENCE, "subject.use", row.trial, relations=(), endpoint=row.endpoint,
                subject=row.subject))
            one = reader.again(session, row)
        if task_for(one.study).input_digest(one.study) != row.input_sha256:
            raise UnusableInput(f"The images of run {row.run} are not the ones that it measured.")
        given.append(one)
    return given


def _outputs_as_recorded(rows: Sequence[queries.RunRow], answered: Session) -> None:
    for row, (answer, _) in zip(rows, answered.answers, strict=True):
        if answer.output_sha256 != row.output_sha256:
            raise ModelDiffers(f"Run {row.run} came out otherwise: expected {row.output_sha256}, found "
                               f"{answer.output_sha256 or answer.cause}.", check="output",
                               expected=row.output_sha256 or "", found=answer.output_sha256 or answer.cause)


def _recorded(desk: Desk, lock: queries.LockRow, refusal: ModelDiffers) -> ModelDiffers:
    refuse(desk, lock, refusal)
    refusal.next_step = NEXT
    return refusal


def _software_said(lock: queries.LockRow) -> str:
    fields = lock.fields
    if fields.code_sha256 == code_digest():
        return "the same software as at the lock"
    return (f"locked by release {fields.software}, code {fields.code_sha256[:12]}…; reproduced by release {release()}, "
            f"code {code_digest()[:12]}…")

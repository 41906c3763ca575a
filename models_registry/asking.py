"""A person asks for runs: everything that a run rests on is recorded before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary.models import InputSeries, RunRequested
from core.errors import UnusableInput
from core.gates.bridging import plans_of, series_refusal
from core.ids import derived_uid
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.reads.ai_reads import begin_ai_read
from core.trials.queries import time_points_of
from core.work import Desk, Receipt
from models_registry import queries
from models_registry.inputs import Point, request_digest, seed_text
from models_registry.loading import INFERENCE
from models_registry.ports import GivenSeries, Images
from models_registry.queries import LockRow
from models_registry.rules import OpenGate, Standing, standing_of
from models_registry.tasks import Task, task_named

# What a segmentation is asked for, in the place of a lesion.
WHOLE = "all structures"


@dataclass(frozen=True, slots=True)
class RequestRun:
    """Ask for a measurement of one lesion, or for a segmentation.

    lesion, tracking_uid, seed_mm: for a model that measures at a seed; the seed is x, y, z in millimetres (LPS) as
    decimal text, placed by `seed_by`; None where nobody placed one. A segmentation takes none of them.
    series: UID of the series that is meant, for a segmentation whose time point has several that would do.
    use: qc, cohort, secondary, primary or none; standing: gated, shadow or exploratory, or None to take what is open.
    """

    trial: str
    subject: str
    time_point: str
    lesion: str | None
    tracking_uid: str | None
    seed_mm: Point | None
    seed_by: str
    lock: str
    use: str = "none"
    endpoint: str | None = None
    standing: str | None = None
    series: str | None = None


def request_run(desk: Desk, person: Actor, command: RequestRun, images: Images) -> Receipt:
    """One run asked for; see `request_runs`."""
    return request_runs(desk, person, [command], images)[0]


def request_runs(desk: Desk, person: Actor, commands: Sequence[RequestRun], images: Images) -> list[Receipt]:
    """Record that a person asks for runs, all or none; the worker follows from the entries.

    Raises:
        Refused: the person may not ask, the lock does not run, a series is not accepted, or the gate is closed.
        UnusableInput: a time point has not exactly the series that the model takes, or a lesion is named for a
            segmentation, or none for another model. What else is wrong with the series is the run's to find: it
            ends as failed or undecided, on record.
        NotFound: no such lock.
    """
    prepared = []
    for command in commands:
        with desk.reading() as session:
            lock = queries.lock_of(session, command.lock)
            found = images.series_of(session, command.trial, command.subject, command.time_point)
            series = _fits(lock, command).chosen(found, lock.fields.modality, command.series,
                                                 f"{command.subject}, {command.time_point}")
        prepared.append((command, series))
    with desk.open(INFERENCE, on_behalf_of=person.user, asked="run.request") as work:
        for command, series in prepared:
            standing, decision = _decided(work.session, person, command, series)
            follows = _follows(work.session, command)
            model = queries.lock_of(work.session, command.lock).fields.model
            work.record(RunRequested(
                run=desk.occasion().id, lock=command.lock, model=model, subject=command.subject,
                time_point=command.time_point, study=series[0].study, lesion=command.lesion or WHOLE,
                tracking_uid=command.tracking_uid or derived_uid("segmentation", command.trial, command.subject, model),
                seed=seed_text(command.seed_mm), seed_by=command.seed_by,
                inputs=tuple(InputSeries(modality=one.modality, series=one.series, instances=one.instances,
                                         manifest_sha256=one.manifest_sha256) for one in series),
                use=command.use, standing=standing.name, sealed=standing.sealed,
                input_sha256=request_digest(series, command.seed_mm),
                endpoint=command.endpoint, gate=standing.gate,
            ), under=decision, trial=command.trial)
            if (command.use, standing.name) == ("primary", "gated"):
                begin_ai_read(work, command.trial, command.subject, command.time_point, command.lock, follows)
    return work.receipts


def _fits(lock: LockRow, command: RequestRun) -> Task:
    """The task of the lock, once it is known that the request names what that task asks for."""
    task = task_named(lock.fields.task)
    if task.seeded and (command.lesion is None or command.tracking_uid is None):
        raise UnusableInput(f"{lock.fields.model} measures one lesion; the request names none.")
    if not task.seeded and (command.lesion, command.tracking_uid, command.seed_mm) != (None, None, None):
        raise UnusableInput(f"{lock.fields.model} segments a whole image; it takes no lesion and no seed.")
    if not task.seeded and command.use in ("secondary", "primary"):
        # A reader accepts, adjusts or rejects lesions; structures have no place on that page yet.
        raise UnusableInput(f"{lock.fields.model} segments a whole image; reads for an endpoint measure lesions.",
                            next_step="Ask for use qc, cohort or none.")
    return task


def _decided(session: Connection, person: Actor, command: RequestRun, series: Sequence[GivenSeries]
             ) -> tuple[Standing, Decision]:
    """The person may ask, and the service may run: both are asked of the table."""
    lock = queries.lock_of(session, command.lock)
    gates = queries.gates_open(session, command.trial, command.subject)
    standing = standing_of(command.standing, command.use, command.endpoint, command.lock, gates)
    relations = _relations(lock.runs, standing, command, series) | _second_lock(session, standing, command)
    relations |= _follower_serves(session, lock, standing, command, gates)
    permit(person, "run.request", queries.run_facts(
        session, person, "run.request", command.trial, relations=relations, endpoint=command.endpoint,
        subject=command.subject))
    decision = permit(INFERENCE, "ai.run", queries.run_facts(
        session, INFERENCE, "ai.run", command.trial, relations=relations, endpoint=command.endpoint,
        subject=command.subject))
    return standing, decision


def _follower_serves(
    session: Connection, lock: queries.LockRow, standing: Standing, command: RequestRun, gates: Sequence[OpenGate]
) -> frozenset[str]:
    """Whether a superseded lock would begin a subject whose endpoint its follower has an open gate for."""
    if standing.name != "gated" or command.endpoint is None or lock.superseded_by is None:
        return frozenset()
    open_now = any((gate.use, gate.endpoint, gate.lock) == (command.use, command.endpoint, lock.superseded_by)
                   for gate in gates)
    began = queries.runs_of(session, trial=command.trial, subject=command.subject, endpoint=command.endpoint,
                            lock=lock.lock, standing="gated")
    return frozenset({"follower_serves"}) if open_now and not began else frozenset()


def _relations(runs: bool, standing: Standing, command: RequestRun, series: Sequence[GivenSeries]) -> frozenset[str]:
    relations = set(standing.relations)
    if command.use != "none":
        relations.add(f"for_{command.use}")
    if not runs:
        relations.add("lock_not_valid")
    # Use 1 serves quality control itself, so it comes before the disposition.
    if command.use != "qc" and not all(one.accepted for one in series):
        relations.add("not_accepted")
    return frozenset(relations)


def _second_lock(session: Connection, standing: Standing, command: RequestRun) -> frozenset[str]:
    """Whether a gated value would bring another lock into a subject's series (TRIAL 2, model change mid-trial)."""
    if standing.name != "gated" or command.endpoint is None:
        return frozenset()
    points = [one.time_point for one in sorted(
        time_points_of(session, command.trial, command.subject),
        key=lambda one: (one.acquired_on or "9", one.time_point))]
    held = sorted(
        {(one.time_point, one.lock) for one in queries.runs_of(
            session, trial=command.trial, subject=command.subject, use=command.use, endpoint=command.endpoint,
            standing="gated") if one.state in ("requested", "finished", "undecided")},
        key=lambda one: (points.index(one[0]) if one[0] in points else len(points), one))
    refusal = series_refusal(command.lock, command.time_point, held, _follows(session, command))
    return frozenset({"second_lock"}) if refusal is not None else frozenset()


def _follows(session: Connection, command: RequestRun) -> frozenset[str]:
    """The locks whose time points this one measures again for the endpoint, under a passed plan."""
    return frozenset(
        plan.from_lock for plan in plans_of(session, command.trial)
        if plan.passed and plan.strategy == "recompute"
        and (plan.use, plan.endpoint, plan.to_lock) == (command.use, command.endpoint, command.lock))

"""Tables of drift, folded from the words of models and gates: runs, baselines, evaluations, restarts, sentinel sets."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text, delete

from audit.vocabulary import corrections, gates, incidents, models, validation
from audit.vocabulary import drift as words
from core.projection import Recorded, keep, metadata, projects, reference

runs = Table(
    "drift_run", metadata,
    Column("run", String(60), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("lock", String(40), nullable=False),
    Column("use", String(12), nullable=False),
    Column("endpoint", String(32)),
    Column("subject", String(80), nullable=False),
    Column("time_point", String(40), nullable=False),
    Column("lesion", String(40), nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("sample", Text),
    Column("at", String(32), nullable=False),
    Column("entry", Integer, nullable=False),
)
baselines = Table(
    "drift_baseline", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("lock", String(40), nullable=False),
    Column("first_entry", Integer, nullable=False),
    Column("last_entry", Integer, nullable=False),
    Column("studies", Integer, nullable=False),
    Column("observations_sha256", String(64), nullable=False),
    Column("validation", String(120)),
    Column("signed_by", String(120), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
# What a run of validation measured of a lock's inputs and answers, case by case.
distributions = Table(
    "drift_distribution", metadata,
    Column("run", String(120), primary_key=True),
    Column("lock", String(120), nullable=False),
    Column("verdict", String(24), nullable=False),
    Column("evidence_class", String(16), nullable=False),
    Column("cases", Integer, nullable=False),
    Column("held", Text, nullable=False),
    Column("reviewed_by", String(120)),
    Column("suspect", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)
evaluations = Table(
    "drift_evaluation", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("lock", String(40), nullable=False),
    Column("use", String(12), nullable=False),
    Column("first_entry", Integer, nullable=False),
    Column("last_entry", Integer, nullable=False),
    Column("studies", Integer, nullable=False),
    Column("told", Boolean, nullable=False),
    Column("level", Integer, nullable=False),
    Column("inputs", Integer, nullable=False),
    Column("outputs", Integer, nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("says", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
openings = Table(
    "drift_gate", metadata,
    Column("gate", String(64), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("lock", String(120), nullable=False),
    Column("opened", Integer, nullable=False),
    # The resumption after a suspension for drift: the monitors start anew behind it.
    Column("suspended_for_drift", Boolean, nullable=False),
    Column("restarted", Integer, nullable=False),
)


@projects(models.RunFinished, models.RunUndecided, models.RunFailed)
def remember_run(
    session: Connection, entry: Recorded, event: models.RunFinished | models.RunUndecided | models.RunFailed
) -> None:
    """Runs that stand for something: exploratory ones are barred from every endpoint and from drift."""
    if event.standing == "exploratory" or event.use == "none" or entry.trial is None:
        return
    sample = None if isinstance(event, models.RunFailed) else event.sample
    ends = {models.RunFinished: "finished", models.RunUndecided: "undecided", models.RunFailed: "failed"}
    keep(session, runs, run=event.run, trial=entry.trial, lock=event.lock, use=event.use, endpoint=event.endpoint,
         subject=event.subject,
         time_point=event.time_point, lesion=event.lesion, outcome=ends[type(event)], sealed=event.sealed,
         sample=reference(sample) if sample is not None else None, at=entry.at, entry=entry.seq)


@projects(corrections.StudyReassigned, incidents.IncidentOpened)
def forget_runs(
    session: Connection, entry: Recorded, event: corrections.StudyReassigned | incidents.IncidentOpened
) -> None:
    """What ran on images in the wrong place is no sample of a model in use."""
    session.execute(delete(runs).where(
        runs.c.trial == entry.trial, runs.c.subject == event.subject, runs.c.time_point == event.time_point))


@projects(words.DriftBaselined)
def remember_baseline(session: Connection, entry: Recorded, event: words.DriftBaselined) -> None:
    """The newest baseline of a lock in a trial is the one in force."""
    keep(session, baselines, trial=entry.trial, lock=event.lock, first_entry=event.first_entry,
         last_entry=event.last_entry, studies=event.studies, observations_sha256=event.observations_sha256,
         validation=event.validation, signed_by=entry.person, entry_id=entry.id, entry=entry.seq)


@projects(validation.ValidationConcluded)
def remember_distribution(session: Connection, entry: Recorded, event: validation.ValidationConcluded) -> None:
    """Only a PQ asks a lock cases of a test set."""
    if event.distribution is not None and event.lock is not None and event.cases is not None:
        keep(session, distributions, run=event.run, lock=event.lock, verdict=event.verdict,
             evidence_class=event.evidence_class, cases=event.cases, held=reference(event.distribution), suspect=False,
             entry=entry.seq)


@projects(validation.ValidationReviewed)
def remember_review(session: Connection, entry: Recorded, event: validation.ValidationReviewed) -> None:
    """A second person signed the report."""
    session.execute(distributions.update().where(distributions.c.run == event.run).values(reviewed_by=entry.person))


@projects(validation.ValidationSuspect)
def remember_suspicion(session: Connection, entry: Recorded, event: validation.ValidationSuspect) -> None:
    """What the run showed counts no more."""
    session.execute(distributions.update().where(distributions.c.run == event.run).values(suspect=True))


@projects(words.DriftEvaluated)
def remember_evaluation(session: Connection, entry: Recorded, event: words.DriftEvaluated) -> None:
    """What a window showed."""
    keep(session, evaluations, trial=entry.trial, lock=event.lock, use=event.use, first_entry=event.first_entry,
         last_entry=event.last_entry, studies=event.studies, told=event.told, level=event.level, inputs=event.inputs,
         outputs=event.outputs, sealed=event.sealed, says=event.says, at=entry.at, entry=entry.seq)


@projects(gates.GateOpened)
def remember_opening(session: Connection, entry: Recorded, event: gates.GateOpened) -> None:
    """From its first opening a lock in a trial is watched."""
    session.execute(delete(openings).where(openings.c.gate == event.gate))
    keep(session, openings, gate=event.gate, trial=entry.trial, lock=event.lock, opened=entry.seq,
         suspended_for_drift=False, restarted=0)


@projects(gates.GateSuspended)
def remember_suspension(session: Connection, entry: Recorded, event: gates.GateSuspended) -> None:
    """For drift, or for something else."""
    if event.cause == "drift_level_2":
        session.execute(openings.update().where(openings.c.gate == event.gate).values(suspended_for_drift=True))


@projects(gates.GateResumed)
def remember_restart(session: Connection, entry: Recorded, event: gates.GateResumed) -> None:
    """All signers looked at the drift and go on: what they looked at suspends no second time."""
    session.execute(openings.update().where(
        openings.c.gate == event.gate, openings.c.suspended_for_drift.is_(True)).values(
            suspended_for_drift=False, restarted=entry.seq))

"""Tables of the models room: versions, locks, refusals and runs, folded from their words alone."""

from __future__ import annotations

import json

from sqlalchemy import BigInteger, Boolean, Column, Connection, String, Table, Text, update

from audit.vocabulary.corrections import StudyReassigned
from audit.vocabulary.incidents import IncidentOpened
from audit.vocabulary.models import (
    ModelLocked,
    ModelRefused,
    ModelRegistered,
    ModelReproduced,
    ModelRetired,
    RunFailed,
    RunFinished,
    RunOpened,
    RunRequested,
    RunUndecided,
)
from audit.vocabulary.registry import fields_of
from audit.vocabulary.validation import (
    StepRecorded,
    ValidationConcluded,
    ValidationReviewed,
    ValidationStarted,
    ValidationSuspect,
)
from core.projection import Recorded, keep, metadata, projects, reference

versions = Table(
    "model_versions", metadata,
    Column("model", String(80), primary_key=True),
    Column("version", String(40), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("trained_by", String(80), nullable=False),
    Column("registered_by", String(80), nullable=False),
    Column("tree_sha256", String(64), nullable=False),
    Column("artefact", Text, nullable=False),
    Column("tree", Text, nullable=False),
    Column("intended_use", Text, nullable=False),
    Column("licence", Text, nullable=False),
    Column("data_statement_sha256", String(64), nullable=False),
    Column("training", Text),
    Column("store_hint", Text),
    Column("store_marks", Text),
    Column("source_sha256", String(64)),
    Column("conversion_sha256", String(64)),
    Column("entry_id", String(40), nullable=False),
    Column("entry", BigInteger, nullable=False),
)
locks = Table(
    "model_locks", metadata,
    Column("lock", String(40), primary_key=True),
    Column("model", String(80), nullable=False),
    Column("version", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("trained_by", String(80), nullable=False),
    Column("locked_by", String(80), nullable=False),
    Column("locked_at", String(32), nullable=False),
    Column("fields", Text, nullable=False),
    Column("superseded_by", String(40)),
    Column("entry_id", String(40), nullable=False),
    Column("entry", BigInteger, nullable=False),
    Column("ended_by", String(80)),
    Column("ended_at", String(32)),
    Column("ended_reason", String(80)),
    Column("ended_entry", BigInteger),
)
refusals = Table(
    "model_refusals", metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("lock", String(40), nullable=False),
    Column("model", String(80), nullable=False),
    Column("checked", String(20), nullable=False),
    Column("cause", String(40), nullable=False),
    Column("expected", Text, nullable=False),
    Column("found", Text, nullable=False),
    Column("path", Text),
    Column("run", String(60)),
)
# What the worker rests on where the kernel gives no network namespace: runs of the installation's own IQ.
qualifications = Table(
    "model_qualifications", metadata,
    Column("run", String(200), primary_key=True),
    Column("network_wall", String(40)),
    Column("verdict", String(24)),
    Column("reviewed_by", String(120)),
    Column("suspect", Boolean, nullable=False),
    Column("concluded", BigInteger),
    Column("entry", BigInteger, nullable=False),
)
reproductions = Table(
    "model_reproductions", metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("lock", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("person", String(80), nullable=False),
    Column("runs_said", Text, nullable=False),
    Column("software_said", Text, nullable=False),
)
runs = Table(
    "model_runs", metadata,
    Column("run", String(60), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("lock", String(40), nullable=False),
    Column("model", String(80), nullable=False),
    Column("trial", String(80), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("time_point", String(40), nullable=False),
    Column("study", String(80), nullable=False),
    Column("lesion", String(40), nullable=False),
    Column("tracking_uid", String(80), nullable=False),
    Column("seed", String(80), nullable=False),
    Column("use", String(20), nullable=False),
    Column("endpoint", String(80)),
    Column("gate", String(80)),
    Column("standing", String(20), nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("asked_by", String(80), nullable=False),
    Column("asked_at", String(32), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("input_sha256", String(64), nullable=False),
    Column("entry", BigInteger, nullable=False),
    Column("entry_id", String(40), nullable=False),
    Column("ended_at", String(32)),
    Column("ended_entry", BigInteger),
    Column("environment_sha256", String(64)),
    Column("output_sha256", String(64)),
    Column("measured", Text),
    Column("confidence", String(20)),
    Column("domain_distance", String(20)),
    Column("cause", String(60)),
    Column("found", Text),
    Column("limit", Text),
    Column("took", String(20)),
    Column("segmentation", Text),
    Column("report", Text),
    Column("result", Text),
    Column("suspect", BigInteger),
    Column("withdrawn", BigInteger),
)


@projects(ModelRegistered)
def remember_version(session: Connection, entry: Recorded, event: ModelRegistered) -> None:
    """A version was taken in."""
    keep(session, versions, model=event.model, version=event.model_version, state="registered",
         trained_by=event.trained_by, registered_by=entry.person, tree_sha256=event.tree_sha256,
         artefact=reference(event.artefact), tree=json.dumps([fields_of(file) for file in event.tree]),
         intended_use=event.intended_use, licence=event.licence, data_statement_sha256=event.data_statement_sha256,
         training=json.dumps(fields_of(event.training), sort_keys=True) if event.training else None,
         store_hint=event.store_hint,
         store_marks=json.dumps([fields_of(one) for one in event.store_marks]) if event.store_marks else None,
         source_sha256=event.source_sha256, conversion_sha256=event.conversion_sha256,
         entry_id=entry.id, entry=entry.seq)


@projects(ModelLocked)
def remember_lock(session: Connection, entry: Recorded, event: ModelLocked) -> None:
    """A lock was signed; its version is locked, and the lock that it follows is superseded where it was valid."""
    keep(session, locks, lock=event.lock, model=event.model, version=event.model_version, state="valid",
         trained_by=event.trained_by, locked_by=entry.person, locked_at=entry.at,
         fields=json.dumps(fields_of(event), sort_keys=True), entry_id=entry.id, entry=entry.seq)
    session.execute(update(versions).where(versions.c.model == event.model, versions.c.version == event.model_version)
                    .values(state="locked"))
    if event.supersedes is not None:
        session.execute(update(locks).where(locks.c.lock == event.supersedes).values(superseded_by=event.lock))
        session.execute(update(locks).where(locks.c.lock == event.supersedes, locks.c.state == "valid")
                        .values(state="superseded"))


@projects(ModelRetired)
def remember_end(session: Connection, entry: Recorded, event: ModelRetired) -> None:
    """A lock ended: retired or recalled. After a recall everything that it measured is suspect."""
    session.execute(update(locks).where(locks.c.lock == event.lock).values(
        state=event.how, ended_by=entry.person, ended_at=entry.at, ended_reason=entry.reason, ended_entry=entry.seq))
    if event.how == "recalled":
        session.execute(update(runs).where(runs.c.lock == event.lock).values(suspect=entry.seq))


@projects(ModelReproduced)
def remember_reproduction(session: Connection, entry: Recorded, event: ModelReproduced) -> None:
    """A lock answered as it was locked, once more."""
    keep(session, reproductions, entry=entry.seq, at=entry.at, lock=event.lock, state=event.state,
         person=entry.person, runs_said=event.runs_said, software_said=event.software_said)


@projects(ModelRefused)
def remember_refusal(session: Connection, entry: Recorded, event: ModelRefused) -> None:
    """Something differed from a lock."""
    keep(session, refusals, entry=entry.seq, at=entry.at, lock=event.lock, model=event.model, checked=event.check,
         cause=event.cause, expected=event.expected, found=event.found, path=event.path, run=event.run)
    if event.run is not None:
        session.execute(update(runs).where(runs.c.run == event.run).values(
            state="refused", ended_at=entry.at, ended_entry=entry.seq, cause=event.check, found=event.found,
            limit=event.expected))


@projects(RunRequested)
def remember_request(session: Connection, entry: Recorded, event: RunRequested) -> None:
    """A run waits for the worker."""
    keep(session, runs, run=event.run, state="requested", lock=event.lock, model=event.model, trial=entry.trial or "",
         subject=event.subject, time_point=event.time_point, study=event.study, lesion=event.lesion,
         tracking_uid=event.tracking_uid, seed=event.seed, use=event.use, endpoint=event.endpoint, gate=event.gate,
         standing=event.standing, sealed=event.sealed, asked_by=entry.person, asked_at=entry.at,
         inputs=json.dumps([fields_of(one) for one in event.inputs]), input_sha256=event.input_sha256,
         entry=entry.seq, entry_id=entry.id)


@projects(RunFinished)
def remember_result(session: Connection, entry: Recorded, event: RunFinished) -> None:
    """A run measured; a sealed one leaves its values out."""
    session.execute(update(runs).where(runs.c.run == event.run).values(
        state="finished", ended_at=entry.at, ended_entry=entry.seq, input_sha256=event.input_sha256,
        environment_sha256=event.environment_sha256,
        output_sha256=event.output_sha256, measured=json.dumps([fields_of(one) for one in event.values]),
        confidence=event.confidence, domain_distance=event.domain_distance, took=event.took,
        segmentation=reference(event.segmentation) if event.segmentation else None,
        report=reference(event.report) if event.report else None,
        result=reference(event.result) if event.result else None))


@projects(RunOpened)
def remember_opened_result(session: Connection, entry: Recorded, event: RunOpened) -> None:
    """What a blinded run left, since its seal is open."""
    session.execute(update(runs).where(runs.c.run == event.run).values(
        segmentation=reference(event.segmentation), report=reference(event.report)))


@projects(RunUndecided)
def remember_undecided(session: Connection, entry: Recorded, event: RunUndecided) -> None:
    """A run gave no value and says why."""
    session.execute(update(runs).where(runs.c.run == event.run).values(
        state="undecided", ended_at=entry.at, ended_entry=entry.seq, input_sha256=event.input_sha256,
        environment_sha256=event.environment_sha256,
        cause=event.cause, found=event.found, limit=event.limit, took=event.took))


@projects(StudyReassigned, IncidentOpened)
def withdraw_runs(session: Connection, entry: Recorded, event: StudyReassigned | IncidentOpened) -> None:
    """Images of the time point were corrected or closed off: what ran on them counts no more and is asked anew."""
    session.execute(update(runs).where(
        runs.c.trial == entry.trial, runs.c.subject == event.subject, runs.c.time_point == event.time_point,
        runs.c.state.in_(("requested", "finished", "undecided")),
    ).values(state="withdrawn", withdrawn=entry.seq))


@projects(RunFailed)
def remember_failure(session: Connection, entry: Recorded, event: RunFailed) -> None:
    """A run failed; there is no value."""
    session.execute(update(runs).where(runs.c.run == event.run).values(
        state="failed", ended_at=entry.at, ended_entry=entry.seq, cause=event.cause, found=event.detail,
        took=event.took))


@projects(ValidationStarted)
def remember_qualification(session: Connection, entry: Recorded, event: ValidationStarted) -> None:
    """A run of the installation's IQ began; an exploratory one never counts."""
    if (event.kind, event.target) == ("IQ", "installation") and event.evidence_class != "exploratory":
        keep(session, qualifications, run=event.run, suspect=False, entry=entry.seq)


@projects(StepRecorded)
def remember_network_wall(session: Connection, entry: Recorded, event: StepRecorded) -> None:
    """What keeps a worker off the network on this installation, where a step that passed says it."""
    for one in event.states:
        if (one.name, event.verdict) == ("network_wall", "passed"):
            session.execute(update(qualifications).where(qualifications.c.run == event.run)
                            .values(network_wall=one.value))


@projects(ValidationConcluded)
def remember_verdict(session: Connection, entry: Recorded, event: ValidationConcluded) -> None:
    """The IQ has a verdict."""
    session.execute(update(qualifications).where(qualifications.c.run == event.run)
                    .values(verdict=event.verdict, concluded=entry.seq))


@projects(ValidationReviewed)
def remember_review(session: Connection, entry: Recorded, event: ValidationReviewed) -> None:
    """A second person signed the IQ's report."""
    session.execute(update(qualifications).where(qualifications.c.run == event.run).values(reviewed_by=entry.person))


@projects(ValidationSuspect)
def remember_suspicion(session: Connection, entry: Recorded, event: ValidationSuspect) -> None:
    """What the IQ showed counts no more."""
    session.execute(update(qualifications).where(qualifications.c.run == event.run).values(suspect=True))

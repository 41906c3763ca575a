"""What pages, gates, reads and reports ask about models: versions, locks, runs, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from audit.vocabulary.models import ModelLocked, Named, Training
from audit.vocabulary.registry import ObjectRef, event_from
from core.access.queries import standing
from core.errors import NotFound
from core.policy.state import Actor, Facts
from core.projection import from_reference
from core.trials.queries import facts_for, uses_for
from models_registry.projections import locks, qualifications, refusals, reproductions, runs, versions
from models_registry.rules import KERNEL_WALL, RUNNING, OpenGate


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A registered version. `tree` is path -> (bytes, sha256). Of a converted one `source_sha256` is that of what its
    maker gave, `conversion_sha256` that of the report in the bundle."""

    model: str
    version: str
    state: str
    trained_by: str
    registered_by: str
    tree_sha256: str
    artefact: ObjectRef
    tree: Mapping[str, tuple[int, str]]
    intended_use: str
    licence: str
    data_statement_sha256: str
    training: Training | None
    store_hint: str | None
    store_marks: tuple[Named, ...] | None
    source_sha256: str | None
    conversion_sha256: str | None
    entry_id: str
    entry: int


@dataclass(frozen=True, slots=True)
class LockRow:
    """A lock with all its signed fields. `state` is valid, superseded, retired or recalled."""

    lock: str
    state: str
    fields: ModelLocked
    locked_by: str
    locked_at: str
    entry_id: str
    entry: int
    ended_by: str | None = None
    ended_at: str | None = None
    ended_reason: str | None = None
    ended_entry: int | None = None
    superseded_by: str | None = None

    @property
    def runs(self) -> bool:
        """Valid, or superseded: then for the gates and subjects that it began with."""
        return self.state in RUNNING

    @property
    def environment(self) -> dict[str, str]:
        return {one.name: one.value for one in self.fields.environment}


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run and how it ended; withdrawn where its images were corrected since.

    `values` is name -> decimal text with unit; empty unless finished and not sealed.
    """

    run: str
    state: str
    lock: str
    model: str
    trial: str
    subject: str
    time_point: str
    study: str
    lesion: str
    tracking_uid: str
    seed: str
    use: str
    endpoint: str | None
    gate: str | None
    standing: str
    sealed: bool
    asked_by: str
    asked_at: str
    inputs: tuple[Mapping[str, Any], ...]
    input_sha256: str
    entry: int
    entry_id: str
    ended_at: str | None
    ended_entry: int | None
    environment_sha256: str | None
    output_sha256: str | None
    values: Mapping[str, str]
    uncertainties: Mapping[str, str]
    not_measured: Mapping[str, str]
    confidence: str | None
    domain_distance: str | None
    cause: str | None
    found: str | None
    limit: str | None
    took: str | None
    segmentation: ObjectRef | None
    report: ObjectRef | None
    result: ObjectRef | None
    suspect: int | None = None
    withdrawn: int | None = None


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """Something differed from a lock, so nothing ran."""

    entry: int
    at: str
    lock: str
    model: str
    checked: str
    cause: str
    expected: str
    found: str
    path: str | None
    run: str | None


@dataclass(frozen=True, slots=True)
class ReproductionRow:
    """A lock was reproduced: by whom, in which state it was then."""

    entry: int
    at: str
    lock: str
    state: str
    person: str
    runs_said: str
    software_said: str


def versions_known(session: Connection) -> tuple[VersionRow, ...]:
    """Every registered version, oldest first."""
    return tuple(_version(row) for row in session.execute(select(versions).order_by(versions.c.entry)))


def version_of(session: Connection, model: str, version: str | None = None) -> VersionRow:
    """One version, the newest where none is named. Raises NotFound."""
    wanted = select(versions).where(versions.c.model == model).order_by(versions.c.entry.desc())
    if version is not None:
        wanted = wanted.where(versions.c.version == version)
    row = session.execute(wanted).first()
    if row is None:
        named = f"{model} {version}" if version else model
        raise NotFound(f"Model {named} is not registered.",
                       next_step="`countersign model list` shows what is; `countersign model register` takes one in.")
    return _version(row)


def _version(row: Row[Any]) -> VersionRow:
    tree = {one["path"]: (one["bytes"], one["sha256"]) for one in json.loads(row.tree)}
    return VersionRow(row.model, row.version, row.state, row.trained_by, row.registered_by, row.tree_sha256,
                      from_reference(row.artefact), tree, row.intended_use, row.licence, row.data_statement_sha256,
                      _training(row.training), row.store_hint,
                      tuple(Named(**one) for one in json.loads(row.store_marks)) if row.store_marks else None,
                      row.source_sha256, row.conversion_sha256, row.entry_id, row.entry)


def _training(stated: str | None) -> Training | None:
    """The training run as a registration stated it."""
    if stated is None:
        return None
    fields = json.loads(stated)
    return Training(**fields | {"data": tuple(Named(**one) for one in fields["data"])})


def lock_of(session: Connection, lock: str) -> LockRow:
    """One lock. Raises NotFound."""
    row = session.execute(select(locks).where(locks.c.lock == lock)).first()
    if row is None:
        raise NotFound(f"There is no lock {lock}.", next_step="`countersign model list` shows the locks.")
    return _lock(row)


def locks_known(session: Connection, *, running_only: bool = False, model: str | None = None) -> tuple[LockRow, ...]:
    """Locks, oldest first; with `running_only` those that may run."""
    wanted = select(locks).order_by(locks.c.entry)
    if running_only:
        wanted = wanted.where(locks.c.state.in_(RUNNING))
    if model is not None:
        wanted = wanted.where(locks.c.model == model)
    return tuple(_lock(row) for row in session.execute(wanted))


def _lock(row: Row[Any]) -> LockRow:
    fields: ModelLocked = event_from("model.locked", 1, json.loads(row.fields))
    return LockRow(row.lock, row.state, fields, row.locked_by, row.locked_at, row.entry_id, row.entry, row.ended_by,
                   row.ended_at, row.ended_reason, row.ended_entry, row.superseded_by)


def run_of(session: Connection, run: str) -> RunRow:
    """One run. Raises NotFound."""
    row = session.execute(select(runs).where(runs.c.run == run)).first()
    if row is None:
        raise NotFound(f"There is no run {run}.")
    return _run(row)


def runs_of(
    session: Connection, *, trial: str | None = None, subject: str | None = None, time_point: str | None = None,
    lock: str | None = None, state: str | None = None, use: str | None = None, endpoint: str | None = None,
    standing: str | None = None,
) -> tuple[RunRow, ...]:
    """Runs that fit everything given, in the order they were asked for."""
    wanted = select(runs).order_by(runs.c.entry)
    for name, value in (("trial", trial), ("subject", subject), ("time_point", time_point), ("lock", lock),
                        ("state", state), ("use", use), ("endpoint", endpoint), ("standing", standing)):
        if value is not None:
            wanted = wanted.where(runs.c[name] == value)
    return tuple(_run(row) for row in session.execute(wanted))


def _run(row: Row[Any]) -> RunRow:
    given = dict(row._mapping)
    measured = json.loads(given.pop("measured") or "[]")
    inputs = tuple(json.loads(given.pop("inputs")))
    objects = {
        name: from_reference(given[name]) if given[name] else None for name in ("segmentation", "report", "result")
    }
    return RunRow(
        **given | objects, inputs=inputs,
        values={one["name"]: one["value"] for one in measured if "value" in one},
        uncertainties={one["name"]: one["uncertainty"] for one in measured if "uncertainty" in one},
        not_measured={one["name"]: one["failed"] for one in measured if "failed" in one},
    )


def refusals_known(session: Connection, *, lock: str | None = None) -> tuple[RefusalRow, ...]:
    """What was refused, oldest first."""
    wanted = select(refusals).order_by(refusals.c.entry)
    if lock is not None:
        wanted = wanted.where(refusals.c.lock == lock)
    return tuple(RefusalRow(**row._mapping) for row in session.execute(wanted))


def wall_stated(session: Connection) -> str | None:
    """What keeps a worker off the network where the kernel gives no namespace, as the installation's IQ states it.

    Only the newest concluded IQ counts: it passed, a second person signed its report, and it is not suspect.
    """
    newest = session.execute(
        select(qualifications).where(qualifications.c.concluded.is_not(None))
        .order_by(qualifications.c.concluded.desc()).limit(1)
    ).first()
    if newest is None or newest.verdict != "passed" or newest.reviewed_by is None or newest.suspect:
        return None
    if newest.network_wall in (None, KERNEL_WALL):
        return None
    return f"{newest.network_wall}, stated by {newest.run}"


def reproductions_of(session: Connection, lock: str) -> tuple[ReproductionRow, ...]:
    """How often a lock was reproduced, oldest first."""
    wanted = select(reproductions).where(reproductions.c.lock == lock).order_by(reproductions.c.entry)
    return tuple(ReproductionRow(**row._mapping) for row in session.execute(wanted))


def two_locks(session: Connection, lock: str) -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
    """(trial, subject, endpoint, locks): series that this lock and another one measured."""
    chosen = select(runs.c.trial, runs.c.subject, runs.c.endpoint, runs.c.lock).distinct().where(
        runs.c.standing == "gated", runs.c.state == "finished", runs.c.endpoint.is_not(None))
    found: dict[tuple[str, str, str], set[str]] = {}
    for row in session.execute(chosen):
        found.setdefault((row.trial, row.subject, row.endpoint), set()).add(row.lock)
    mixed = {key: names for key, names in found.items() if lock in names and len(names) > 1}
    return tuple((*key, tuple(sorted(mixed[key]))) for key in sorted(mixed))


# -- facts ---------------------------------------------------------------------------------------------------------


def house_facts(session: Connection, actor: Actor, action: str, relations: Iterable[str] = ()) -> Facts:
    """Facts for an act on a model, which belongs to the house and to no trial."""
    return standing(session, actor, None, action, relations=relations)


def run_facts(session: Connection, actor: Actor, action: str, trial: str, *, relations: Iterable[str],
              endpoint: str | None, subject: str) -> Facts:
    """Facts for asking for a run, or running it; uses count where their scope holds the subject's site."""
    return facts_for(
        session, actor, action, trial, relations=frozenset(relations), endpoint=endpoint, about=subject)


def gates_open(session: Connection, trial: str, subject: str) -> tuple[OpenGate, ...]:
    """The gates that are open for a subject, as the rules of standing ask for them."""
    return tuple(
        OpenGate(use.gate, use.use_name, use.endpoint, use.lock) for use in uses_for(session, trial, subject))

"""What was locked and allowed, in which trial, and where a lock comes from and leads to.

Asked of tables: the live ones, or those of a past moment (`reports.past_state.moment`), which answer alike. Trials that
somebody may not read are left out before anything is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.gates.queries import GateRow, gates_of
from core.ledger_conditions import Trials
from core.reads.queries import finals_of
from core.trials.queries import open_uses, trials_known
from models_registry import queries
from models_registry.queries import LockRow, RunRow, VersionRow
from reports.queries import issued_reports
from validation.queries import validation_lines

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Use:
    """A gate of a lock and whether it allowed anything at that moment."""

    trial: str
    gate: str
    use: str
    endpoint: str | None
    scope: str
    state: str
    allows: bool
    entry: int

    def in_words(self) -> str:
        what = f"{self.use}, {self.endpoint}" if self.endpoint else self.use
        return f"{self.trial}: {what} ({self.scope}), gate {self.gate} {self.state}" + (
            "" if self.allows == (self.state == "open") else ", closed by a lost precondition")


@dataclass(frozen=True, slots=True)
class Shown:
    """A lock as it stood: its state, who made it so, and what it was allowed to do."""

    row: LockRow
    uses: tuple[Use, ...]

    @property
    def state_said(self) -> str:
        row = self.row
        if row.ended_at is not None:
            return f"{row.state} {row.ended_at[:19]}Z by {row.ended_by}: {row.ended_reason}, entry {row.ended_entry}"
        return f"superseded by {row.superseded_by}" if row.state == "superseded" else row.state


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a lineage: what it is, what is said of it, its digest, its entry."""

    kind: str
    title: str
    says: tuple[str, ...]
    digest: str | None = None
    entry: int | None = None


@dataclass(frozen=True, slots=True)
class Rests:
    """Something that rests on what a lock measured: a run, a final read, an issued paper."""

    kind: str
    trial: str
    what: str
    entry: int


def locks_shown(session: Connection, trials: Trials = None, trial: str | None = None) -> tuple[Shown, ...]:
    """Every lock with its uses; of one trial, those that a gate or a run of it names."""
    found = []
    for row in queries.locks_known(session):
        shown = lock_shown(session, row, trials, trial)
        if trial is None or shown.uses or queries.runs_of(session, trial=trial, lock=row.lock):
            found.append(shown)
    return tuple(found)


def lock_shown(session: Connection, row: LockRow, trials: Trials = None, trial: str | None = None) -> Shown:
    """A lock with its uses in the trials that may be read, or in one of them."""
    uses = []
    for name in _readable(session, trials, trial):
        allowed = {use.gate for use in open_uses(session, name)}
        uses += [_use(gate, gate.gate in allowed) for gate in gates_of(session, name) if gate.lock == row.lock]
    return Shown(row, tuple(uses))


def _readable(session: Connection, trials: Trials, trial: str | None) -> list[str]:
    return [one.trial for one in trials_known(session)
            if (trials is None or one.trial in trials) and trial in (None, one.trial)]


def _use(gate: GateRow, allows: bool) -> Use:
    return Use(gate.trial, gate.gate, gate.use_name, gate.endpoint, gate.scope, gate.state, allows, gate.entry)


def lineage(session: Connection, row: LockRow, trials: Trials = None) -> tuple[Node, ...]:
    """Data, training run, weights, lock, validations, gates, inferences: in this order, each as the record has it."""
    version = queries.version_of(session, row.fields.model, row.fields.model_version)
    return (*_made(version), *_locked(row), *_validated(session, row.lock),
            *_allowed(lock_shown(session, row, trials)), *_used(session, row.lock, trials))


def _made(version: VersionRow) -> Iterator[Node]:
    run = version.training
    data = tuple(f"{one.name} {one.value}" for one in run.data) if run else ()
    yield Node("data", f"{len(data)} data files" if data else "data statement",
               data or ("The maker lists no files; the statement describes them.",), version.data_statement_sha256,
               version.entry)
    if run is None:
        yield Node("training run", "not stated", ("The maker states nothing about the run that made the weights.",),
                   None, version.entry)
    else:
        yield Node("training run", run.made_on, (f"{run.code} at commit {run.commit}", f"seeds {run.seeds}"),
                   run.statement_sha256, version.entry)
    converted = ((f"converted from source {version.source_sha256}", f"report {version.conversion_sha256}")
                 if version.source_sha256 else ())
    yield Node("weights", f"{version.model} {version.version}",
               (f"trained by {version.trained_by}, taken in by {version.registered_by}", *converted,
                f"{len(version.tree)} files"), version.tree_sha256, version.entry)


def _locked(row: LockRow) -> Iterator[Node]:
    says = [f"locked by {row.locked_by} {row.locked_at[:19]}Z", f"{row.fields.tensors} tensors", row.state]
    if row.fields.supersedes:
        says.append(f"follows {row.fields.supersedes}")
    yield Node("lock", row.lock, tuple(says), row.fields.environment_sha256, row.entry)


def _validated(session: Connection, lock: str) -> Iterator[Node]:
    seen = set()
    for line in validation_lines(session, lock=lock):
        if line.run not in seen:
            seen.add(line.run)
            of = "".join(f", {part}" for part in (f"use {line.use}" if line.use else "", line.endpoint or "") if part)
            yield Node("validation", f"{line.kind} {line.protocol}", (
                f"run {line.run}, version {line.version}{of}", f"{line.verdict or line.state}"
                + (", suspect" if line.state == "suspect" else ""), line.evidence_class), None, line.concluded_seq)


def _allowed(shown: Shown) -> Iterator[Node]:
    for use in shown.uses:
        yield Node("gate", use.gate, (use.in_words(),), None, use.entry)


def _used(session: Connection, lock: str, trials: Trials) -> Iterator[Node]:
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    last: dict[tuple[str, str, str], int] = {}
    for run in _runs(session, lock, trials):
        key = (run.trial, f"{run.use}, {run.endpoint}" if run.endpoint else run.use, run.standing)
        states = counts.setdefault(key, {})
        states[run.state] = states.get(run.state, 0) + 1
        last[key] = run.ended_entry or run.entry
    for key in sorted(counts):
        trial, use, standing = key
        said = ", ".join(f"{number} {state}" for state, number in sorted(counts[key].items()))
        yield Node("inferences", trial, (f"{use}, {standing}: {said}",), None, last[key])


def _runs(session: Connection, lock: str, trials: Trials) -> list[RunRow]:
    return [run for run in queries.runs_of(session, lock=lock) if trials is None or run.trial in trials]


def resting_on(session: Connection, lock: str, trials: Trials = None) -> tuple[Rests, ...]:
    """What a recall makes doubtful: each gated run with a result, each final read of a time point that it measured,
    each paper issued from a record that holds such a run. On shadow and exploratory runs, which count nowhere, nothing
    rests.
    """
    measured = [run for run in _runs(session, lock, trials) if run.standing == "gated" and run.state == "finished"]
    found = [Rests("run", run.trial, f"{run.run}: {run.subject}, {run.time_point}, lesion {run.lesion}",
                   run.ended_entry or run.entry) for run in measured]
    for trial in sorted({run.trial for run in measured}):
        first: dict[tuple[str, str], int] = {}
        for run in measured:
            if run.trial == trial:
                point = (run.subject, run.time_point)
                first[point] = min(first.get(point, run.entry), run.ended_entry or run.entry)
        found += [Rests("read", trial, f"final of {final.subject}, {final.time_point}, signed by {final.signer}",
                        final.entry) for final in finals_of(session, trial)
                  if final.entry > first.get((final.subject, final.time_point), final.entry)]
        found += [Rests("report", trial, f"{paper.report}, content {paper.content_digest[:12]}…", paper.entry)
                  for paper in issued_reports(session, trial) if paper.entry > min(first.values())]
    return tuple(found)

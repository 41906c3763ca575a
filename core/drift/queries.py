"""What is asked about drift: baselines, studies in a window, evaluations, what is due and what alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from audit import store
from audit.vocabulary.registry import ObjectRef, event_from
from core.drift import projections as tables
from core.drift.rules import PREFIX, Limits, Signal
from core.errors import NotFound
from core.projection import from_reference
from core.trials.charter import Charter
from core.trials.queries import signed_charter


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the monitors see it."""

    run: str
    use: str
    subject: str
    time_point: str
    lesion: str
    outcome: str
    sealed: bool
    sample: ObjectRef | None
    entry: int


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """A signed baseline of a lock in a trial."""

    trial: str
    lock: str
    first_entry: int
    last_entry: int
    studies: int
    observations_sha256: str
    validation: str | None
    signed_by: str
    entry_id: str
    entry: int


@dataclass(frozen=True, slots=True)
class DistributionRow:
    """What a PQ run measured of a lock: how many cases, and the object that holds them."""

    run: str
    lock: str
    verdict: str
    evidence_class: str
    cases: int
    held: ObjectRef
    reviewed_by: str | None
    suspect: bool
    entry: int


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """What a window showed; level 0, 1 or 2, and not `told` where there were too few studies."""

    trial: str
    lock: str
    use: str
    first_entry: int
    last_entry: int
    studies: int
    told: bool
    level: int
    inputs: int
    outputs: int
    sealed: bool
    says: str
    at: str
    entry: int


@dataclass(frozen=True, slots=True)
class Stream:
    """What is watched as one: the runs of a lock for a use of AI in a trial."""

    trial: str
    lock: str
    use: str


Study = tuple[str, str]


def limits_of(charter: Charter) -> Limits:
    """The numbers that drift is judged by in a trial."""
    return Limits(**{name: charter.limit_in_force(PREFIX + name) for name in Limits.__slots__})


def baseline_of(session: Connection, trial: str, lock: str) -> BaselineRow | None:
    """The baseline in force: the newest."""
    table = tables.baselines
    row = session.execute(select(table).where(table.c.trial == trial, table.c.lock == lock)
                          .order_by(table.c.entry.desc()).limit(1)).first()
    return BaselineRow(**row._mapping) if row else None


def distribution_of(session: Connection, run: str) -> DistributionRow:
    """What a validation run measured. Raises NotFound where it asked a lock no cases."""
    row = session.execute(select(tables.distributions).where(tables.distributions.c.run == run)).first()
    if row is None:
        raise NotFound(f"{run} is no concluded run of a PQ whose cases were kept for monitors.",
                       next_step="`countersign validate list` shows the runs.")
    return DistributionRow(**dict(row._mapping) | {"held": from_reference(row.held)})


def studies_of(
    session: Connection, trial: str, lock: str, *, use: str | None = None, first: int = 0, last: int | None = None
) -> dict[Study, list[RunRow]]:
    """Studies with their runs that ended within a range of entries, the newest run per lesion, oldest study first."""
    table = tables.runs
    wanted = select(table).where(table.c.trial == trial, table.c.lock == lock, table.c.entry >= first)
    if use is not None:
        wanted = wanted.where(table.c.use == use)
    if last is not None:
        wanted = wanted.where(table.c.entry <= last)
    newest: dict[tuple[str, str, str], RunRow] = {}
    for row in session.execute(wanted.order_by(table.c.entry)):
        newest[row.subject, row.time_point, row.lesion] = _run(row)
    studies: dict[Study, list[RunRow]] = {}
    for one in sorted(newest.values(), key=lambda each: each.entry):
        studies.setdefault((one.subject, one.time_point), []).append(one)
    return studies


def _run(row: Any) -> RunRow:
    sample = from_reference(row.sample) if row.sample else None
    return RunRow(row.run, row.use, row.subject, row.time_point, row.lesion, row.outcome, row.sealed, sample, row.entry)


def same_cases(
    session: Connection, trial: str, use: str, endpoint: str, locks: tuple[str, str]
) -> list[tuple[RunRow, RunRow]]:
    """Lesions that both locks measured for an endpoint, each lock's newest finished run, in the order of the second."""
    table = tables.runs
    found: tuple[dict[tuple[str, str, str], RunRow], ...] = ({}, {})
    rows = session.execute(select(table).where(
        table.c.trial == trial, table.c.use == use, table.c.endpoint == endpoint, table.c.outcome == "finished",
        table.c.lock.in_(locks)).order_by(table.c.entry))
    for row in rows:
        found[locks.index(row.lock)][row.subject, row.time_point, row.lesion] = _run(row)
    both = [(found[0][case], new) for case, new in found[1].items() if case in found[0]]
    return sorted(both, key=lambda pair: pair[1].entry)


def restarted(session: Connection, trial: str, lock: str) -> int:
    """The entry behind which the monitors of a lock start anew; 0 where they never were restarted."""
    table = tables.openings
    found = session.execute(select(func.max(table.c.restarted)).where(
        table.c.trial == trial, table.c.lock == lock)).scalar()
    return int(found or 0)


def evaluations_of(session: Connection, *, trial: str | None = None, lock: str | None = None
                   ) -> tuple[EvaluationRow, ...]:
    """Evaluations, newest first."""
    table = tables.evaluations
    wanted = select(table).order_by(table.c.entry.desc())
    if trial is not None:
        wanted = wanted.where(table.c.trial == trial)
    if lock is not None:
        wanted = wanted.where(table.c.lock == lock)
    return tuple(EvaluationRow(**row._mapping) for row in session.execute(wanted))


def signals_of(session: Connection, entry: int) -> tuple[str, ...]:
    """What the monitors found, in words, as the entry of an evaluation holds it; empty for a use under seal."""
    found = store.entry_at(session, entry)
    if found is None:
        return ()
    event = event_from(found.body["action"], found.body["version"], found.body["fields"])
    return tuple(
        Signal(one.group, one.feature, one.monitor, Decimal(one.found), Decimal(one.p) if one.p else None,
               one.level).in_words() for one in event.signals)


def last_evaluation(session: Connection, stream: Stream) -> EvaluationRow | None:
    """The newest evaluation of a stream."""
    found = evaluations_of(session, trial=stream.trial, lock=stream.lock)
    return next((one for one in found if one.use == stream.use), None)


def streams(session: Connection) -> tuple[Stream, ...]:
    """Every lock and use of which a trial has runs."""
    table = tables.runs
    rows = session.execute(select(table.c.trial, table.c.lock, table.c.use).distinct()
                           .order_by(table.c.trial, table.c.lock, table.c.use))
    return tuple(Stream(*row) for row in rows)


def streams_due(session: Connection, today: str) -> tuple[Stream, ...]:
    """Streams with a baseline in whose window enough studies, or any study and enough days, are new."""
    return tuple(one for one in streams(session) if _is_due(session, one, today))


def _is_due(session: Connection, stream: Stream, today: str) -> bool:
    signed, baseline = signed_charter(session, stream.trial), baseline_of(session, stream.trial, stream.lock)
    if signed is None or baseline is None:
        return False
    begins = max(baseline.last_entry, restarted(session, stream.trial, stream.lock)) + 1
    last = last_evaluation(session, stream)
    judged_to = last.last_entry if last is not None and last.entry > baseline.entry else 0
    fresh = studies_of(session, stream.trial, stream.lock, use=stream.use, first=max(begins, judged_to + 1))
    if not fresh:
        return False
    if last is None or last.entry < max(baseline.entry, begins):
        return True
    days = (date.fromisoformat(today) - date.fromisoformat(last.at[:10])) / timedelta(days=1)
    charter = signed.charter
    return len(fresh) >= charter.limit_in_force("drift_every_studies") or (
        days >= float(charter.limit_in_force("drift_every_days")))


def watched(session: Connection) -> tuple[tuple[str, str], ...]:
    """(trial, lock) of every gate that was ever opened."""
    table = tables.openings
    rows = session.execute(select(table.c.trial, table.c.lock).distinct().order_by(table.c.trial, table.c.lock))
    return tuple((row.trial, row.lock) for row in rows)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What somebody has to look at: the sentence, and who does what."""

    trial: str
    lock: str
    says: str
    remedy: str


def alarms(session: Connection) -> Iterator[Alarm]:
    """Drift that was found and not answered, and locks in use that have no baseline."""
    for trial, lock in watched(session):
        if baseline_of(session, trial, lock) is None:
            yield Alarm(trial, lock, f"{lock} is in use in {trial} without a drift baseline.",
                        f"Statistician or validation lead: countersign drift baseline {lock} --trial {trial} --as USER")
    for stream in streams(session):
        last = last_evaluation(session, stream)
        if last is None or not last.level or last.entry < restarted(session, stream.trial, stream.lock):
            continue
        baseline = baseline_of(session, stream.trial, stream.lock)
        if baseline is not None and baseline.entry > last.entry:
            continue
        yield Alarm(
            stream.trial, stream.lock,
            f"Drift of {stream.lock} in {stream.trial}, use {stream.use}, entry {last.entry}: {last.says}.",
            "Trial lead and statistician: find the cause; " + (
                "then all signers resume the gate (`countersign gate sign`), or the lock is retired for drift."
                if last.level == 2 else "`countersign drift show` has the numbers; a changed case mix needs a new "
                "baseline, a changed model or scanner a deviation."))

"""A person signs the baseline; the service evaluates on schedule and suspends at level 2, in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from audit import store
from audit.entry import canonical
from audit.vocabulary import drift as words
from core.drift import inside, queries
from core.drift.queries import RunRow, Stream, Study
from core.drift.rules import PREFIX, Limits
from core.errors import NotFound, SubjectErased, UnusableInput
from core.gates.usecases import GATES, suspend_within
from core.objects import owner
from core.policy.decide import permit
from core.policy.state import Actor
from core.reads.ports import keeper_of
from core.reads.queries import algorithm_of
from core.reads.rules import is_baseline
from core.trials.acting import allowed, draft
from core.trials.charter import Charter
from core.trials.queries import charter_of, facts_for, the_trial
from core.work import Desk, Draft, Occasion, Proposal, View

SUSPENDS, CAUSE = 2, "drift_level_2"


@dataclass(frozen=True, slots=True)
class SignBaseline:
    """Make studies the baseline of a lock in a trial: all that ended from entry `first` to `last` (None: until now), or
    the cases of the lock's PQ run `validation`."""

    trial: str
    lock: str
    first: int = 0
    last: int | None = None
    validation: str | None = None


def sign_baseline(desk: Desk, actor: Actor, command: SignBaseline) -> Proposal:
    """Let a statistician or validation lead sign which studies later ones are compared with.

    Raises:
        UnusableInput: fewer studies than the charter asks for, or a validation run that shows nothing of this lock.
        NotFound: no such validation run.
        Refused: another role.
    """
    with desk.reading() as session:
        charter, model = charter_of(session, command.trial), algorithm_of(session, command.lock).name
        run = _fitting(session, command, command.validation) if command.validation is not None else None
        first = run.entry if run is not None else command.first
        last = run.entry if run is not None else command.last
        last = last if last is not None else store.head(session)[0] - 1
        found = queries.studies_of(session, command.trial, command.lock, first=first, last=last)
    studies = _measured(desk, run) if run is not None else _loaded(desk, command.trial, charter, found)
    least = charter.limit_in_force(f"{PREFIX}baseline_studies")
    if len(studies) < least:
        where = command.validation or f"{command.trial} from entry {first} to {last}"
        raise UnusableInput(
            f"{command.lock} has {len(studies)} studies in {where}; a baseline needs at least {least}.",
            next_step="Wait for more (runs in shadow count as well), or name a PQ run with as many cases.")
    event = words.DriftBaselined(
        lock=command.lock, model=model, first_entry=first, last_entry=last, studies=len(studies),
        observations_sha256=_digest(studies), validation=command.validation)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "drift.baseline", command.trial)
        lines = (("Trial", command.trial), ("Lock", command.lock), ("Model", model),
                 ("Studies", str(event.studies)),
                 ("Cases of" if event.validation else "Entries",
                  event.validation or f"{event.first_entry} to {event.last_entry}"),
                 ("Digest of what is under no seal", event.observations_sha256),
                 *_limit_lines(queries.limits_of(charter_of(session, command.trial))))
        return draft(session, actor, "drift.baseline", command.trial, event, under=under, meaning="approval",
                     view=View("Baseline of drift", "drift/baseline", lines))

    return desk.prepare(actor, propose, asked="drift.baseline")


def _fitting(session: Connection, command: SignBaseline, name: str) -> queries.DistributionRow:
    """The PQ run, once it is known that its cases stand for this lock in this trial. Raises UnusableInput."""
    run, trial = queries.distribution_of(session, name), the_trial(session, command.trial)
    refusals = (
        (run.lock != command.lock, f"it asked {run.lock}, not {command.lock}"),
        (run.verdict != "passed", f"its verdict is {run.verdict.replace('_', ' ')}"),
        (run.reviewed_by is None, "nobody signed its report"),
        (run.suspect, "it is suspect"),
        (run.evidence_class not in ("clinical", trial.evidence_class),
         f"it is evidence of the class {run.evidence_class}"),
    )
    for holds, why in refusals:
        if holds:
            raise UnusableInput(f"{name} gives no baseline of {command.lock} in {command.trial}: {why}.",
                                next_step="Name a passed and reviewed PQ run of this lock; nothing was signed.")
    return run


def _measured(desk: Desk, run: queries.DistributionRow) -> list[dict[str, Any]]:
    """The cases of a PQ run as a job holds studies."""
    found: list[dict[str, Any]] = json.loads(desk.objects.get(run.held))["studies"]
    return found


def _limit_lines(limits: Limits) -> tuple[tuple[str, str], ...]:
    return tuple((f"Limit {PREFIX}{name}", value) for name, value in limits.as_data().items())


def _digest(studies: list[dict[str, Any]]) -> str:
    """SHA-256 over the observations without what is enclosed, in order; it names no subject."""
    plain = [{name: {key: f"{value:f}" for key, value in part.items()} for name, part in
              (("inputs", one.inputs), ("outputs", one.outputs))} for one in map(inside.observation, studies)]
    return hashlib.sha256(canonical(plain, "observations")).hexdigest()


def _loaded(
    desk: Desk, trial: str, charter: Charter, studies: Mapping[Study, list[RunRow]]
) -> list[dict[str, Any]]:
    """The studies as a job holds them. An erased subject's are left out: nothing of them can be compared."""
    loaded = []
    for (subject, time_point), runs in studies.items():
        try:
            samples = [json.loads(desk.objects.get(run.sample, subject=owner(trial, subject)))
                       for run in runs if run.sample is not None]
        except SubjectErased:
            continue
        loaded.append({
            "at_baseline": is_baseline(charter, time_point), "runs": samples,
            "undecided": any(run.outcome == "undecided" for run in runs),
            "failed": any(run.outcome == "failed" for run in runs),
        })
    return loaded


def evaluate(desk: Desk, stream: Stream) -> words.DriftEvaluated | None:
    """Judge the studies of a stream since its baseline or restart, and record it; None where another worker did.

    Level 2 suspends every open gate of this lock in the trial in the same transaction.

    Raises:
        NotFound: no baseline is signed, or no study came since.
        RecordDamaged: a sample or the secret of a seal is lost.
    """
    with desk.reading() as session:
        charter, model = charter_of(session, stream.trial), algorithm_of(session, stream.lock).name
        baseline = queries.baseline_of(session, stream.trial, stream.lock)
        if baseline is None:
            raise NotFound(f"{stream.lock} has no drift baseline in {stream.trial}.",
                           next_step=f"`countersign drift baseline {stream.lock} --trial {stream.trial}`.")
        pq = queries.distribution_of(session, baseline.validation) if baseline.validation is not None else None
        before = {} if pq is not None else queries.studies_of(
            session, stream.trial, stream.lock, first=baseline.first_entry, last=baseline.last_entry)
        begins = max(baseline.last_entry, queries.restarted(session, stream.trial, stream.lock)) + 1
        since = queries.studies_of(session, stream.trial, stream.lock, use=stream.use, first=begins)
    if not since:
        raise NotFound(f"No study of {stream.lock}, use {stream.use}, ended in {stream.trial} since the baseline.")
    limits = queries.limits_of(charter)
    job = {"limits": limits.as_data(),
           "baseline": _loaded(desk, stream.trial, charter, before) if pq is None else _measured(desk, pq),
           "since": _loaded(desk, stream.trial, charter, since)}
    ended = [run.entry for runs in since.values() for run in runs]
    sealed = any(run.sealed for part in (before, since) for runs in part.values() for run in runs)
    event = _judged(desk, stream, model, baseline.entry_id, limits, job, (min(ended), max(ended), len(since)), sealed)
    with desk.open(GATES, asked="drift.evaluate") as work:
        last = queries.last_evaluation(work.session, stream)
        if last is not None and last.entry > baseline.entry and last.last_entry >= event.last_entry:
            return None
        under = permit(GATES, "drift.evaluate", facts_for(work.session, GATES, "drift.evaluate", stream.trial))
        entry = work.record(event, under=under, trial=stream.trial)
        if event.level >= SUSPENDS:
            suspend_within(work, CAUSE, lock=stream.lock, trial=stream.trial, caused_by=str(entry.body["id"]))
    return event


def _judged(
    desk: Desk, stream: Stream, model: str, baseline: str, limits: Limits, job: dict[str, Any],
    window: tuple[int, int, int], sealed: bool,
) -> words.DriftEvaluated:
    """The word, with signals only where nothing of it is under a seal."""
    if any(inside.is_enclosed(study) for part in ("baseline", "since") for study in job[part]):
        text = json.dumps(job, sort_keys=True).encode()
        told, inputs, outputs = keeper_of(desk.signer).levels_inside(text)
        signals: tuple[words.DriftSignal, ...] = ()
    else:
        outcome = inside.drift(job)
        told, inputs, outputs = outcome.told, outcome.level("inputs"), outcome.level("outputs")
        signals = () if sealed else tuple(
            words.DriftSignal(group=one.group, feature=one.feature, monitor=one.monitor, found=f"{one.found:f}",
                              level=one.level, p=None if one.p is None else f"{one.p:f}")
            for one in outcome.signals)
    level = max(inputs, outputs)
    return words.DriftEvaluated(
        lock=stream.lock, model=model, use=stream.use, baseline=baseline, first_entry=window[0], last_entry=window[1],
        studies=window[2], told=told, level=level, inputs=inputs, outputs=outputs, sealed=sealed,
        says=_says(told, level, inputs, outputs, signals), signals=signals,
        limits=tuple(words.DriftLimit(name=PREFIX + name, value=value) for name, value in limits.as_data().items()))


def _says(told: bool, level: int, inputs: int, outputs: int, signals: tuple[words.DriftSignal, ...]) -> str:
    if not told:
        return "too few studies to tell"
    if not level:
        return "no drift"
    worst = ", ".join(f"{one.feature.replace('_', ' ')} ({one.monitor})" for one in signals if one.level == level)
    return f"level {level} (inputs {inputs}, outputs {outputs})" + (f": {worst}" if worst else "")


def evaluate_due(desk: Desk) -> int:
    """Evaluate every stream that is due; returns how many were. A second call finds none."""
    with desk.reading() as session:
        due = queries.streams_due(session, desk.occasion().at[:10])
    return sum(evaluate(desk, one) is not None for one in due)

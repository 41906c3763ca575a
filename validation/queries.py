"""What pages, papers, gates' owners and the runner ask about validation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from audit import store
from audit.vocabulary.registry import ObjectRef
from core.access.queries import standing
from core.errors import NotFound
from core.policy.state import Actor, Facts
from core.projection import from_reference
from core.two_persons import OneSignature, waiting
from validation.projections import (
    capas,
    changes,
    criteria,
    deviations,
    locks,
    openings,
    protocols,
    releases,
    runs,
    signatures,
    steps,
    test_sets,
)
from validation.rules import NEVER_COUNTS, next_signature

Row = RowMapping


def facts(session: Connection, actor: Actor, action: str, *relations: str, trial: str | None = None) -> Facts:
    """Standing of an actor for an act of validation, and what they are to the thing."""
    return standing(session, actor, trial, action, relations=frozenset(relations))


def protocol_row(session: Connection, protocol: str, version: int | None = None) -> RowMapping:
    """One protocol; the newest version where none is named. Raises NotFound."""
    wanted = select(protocols).where(protocols.c.protocol == protocol)
    if version is not None:
        wanted = wanted.where(protocols.c.version == version)
    row = session.execute(wanted.order_by(protocols.c.version.desc()).limit(1)).mappings().first()
    if row is None:
        named = protocol if version is None else f"{protocol} version {version}"
        raise NotFound(f"There is no protocol {named}.", next_step="`countersign validate list` shows what there is.")
    return row


def latest_version(session: Connection, protocol: str) -> int:
    """Newest version of a protocol; 0 where there is none."""
    newest = session.execute(select(func.max(protocols.c.version)).where(protocols.c.protocol == protocol)).scalar()
    return int(newest or 0)


def signed(session: Connection, protocol: str, version: int) -> list[RowMapping]:
    """Signatures under a protocol, in order."""
    return list(session.execute(
        select(signatures).where(signatures.c.protocol == protocol, signatures.c.version == version)
        .order_by(signatures.c.entry)
    ).mappings())


def next_of(session: Connection, row: Row) -> str | None:
    """The signature ("role:meaning") that a protocol waits for, None when it has all."""
    given = [one["signed"] for one in signed(session, row["protocol"], row["version"])]
    return next_signature(json.loads(row["signers"]), given)


def test_set_row(session: Connection, test_set: str) -> RowMapping:
    """A sealed test set. Raises NotFound."""
    row = session.execute(select(test_sets).where(test_sets.c.test_set == test_set)).mappings().first()
    if row is None:
        raise NotFound(f"Test set {test_set} is not sealed.", next_step="Seal it first: `countersign validate seal`.")
    return row


def is_sealed(session: Connection, test_set: str) -> bool:
    """Whether a test set of this name is sealed."""
    return session.execute(select(test_sets.c.entry).where(test_sets.c.test_set == test_set)).first() is not None


def trained_the_lock(session: Connection, lock: str, user: str) -> bool:
    """Whether this person trained the model (a developer, in the sense of draft Annex 22, 6.5)."""
    trainer = session.execute(select(locks.c.trained_by).where(locks.c.lock == lock)).scalar()
    return trainer == user


def known_lock(session: Connection, lock: str) -> bool:
    """Whether a model is locked under this name."""
    return session.execute(select(locks.c.entry).where(locks.c.lock == lock)).first() is not None


def locks_known(session: Connection) -> list[str]:
    """Every lock that validation has heard of, in the order they were locked."""
    return list(session.execute(select(locks.c.lock).order_by(locks.c.entry)).scalars())


def first_opening(session: Connection, test_set: str, protocol: str, version: int) -> OneSignature | None:
    """The first of two signatures to open a set for a protocol, while the second is missing."""
    row = session.execute(
        select(openings).where(openings.c.test_set == test_set, openings.c.protocol == protocol,
                               openings.c.version == version).order_by(openings.c.entry.desc()).limit(1)
    ).first()
    # The rows ask for two persons, not for two roles.
    return waiting(OneSignature(row.entry_id, row.entry, row.person, "", row.effective)
                   if row is not None else None)


def is_open_for(session: Connection, test_set: str, protocol: str, version: int) -> bool:
    """Whether two persons opened the set for this version of the protocol."""
    return session.execute(
        select(openings.c.entry).where(openings.c.test_set == test_set, openings.c.protocol == protocol,
                                       openings.c.version == version, openings.c.effective)
    ).first() is not None


def run_row(session: Connection, run: str) -> RowMapping:
    """One run. Raises NotFound."""
    row = session.execute(select(runs).where(runs.c.run == run)).mappings().first()
    if row is None:
        raise NotFound(f"There is no run {run}.", next_step="`countersign validate list` shows what there is.")
    return row


def count_runs(session: Connection, protocol: str, version: int) -> int:
    """How often a version of a protocol was run so far."""
    return int(session.execute(
        select(func.count()).select_from(runs).where(runs.c.protocol == protocol, runs.c.version == version)
    ).scalar_one())


def counting_run(session: Connection, kind: str, *, target: str, lock: str | None) -> RowMapping | None:
    """The newest concluded run of a kind for this lock (or the installation) that is not suspect."""
    return session.execute(
        select(runs).where(runs.c.kind == kind, runs.c.target == target, runs.c.lock.is_not_distinct_from(lock),
                           runs.c.state == "concluded").order_by(runs.c.concluded_seq.desc()).limit(1)
    ).mappings().first()


def counting_runs(session: Connection, lock: str) -> list[str]:
    """Every concluded run of a lock that is not suspect, in order."""
    wanted = select(runs.c.run).where(runs.c.lock == lock, runs.c.state == "concluded").order_by(runs.c.entry)
    return list(session.execute(wanted).scalars())


def runs_resting_on(session: Connection, kid: str, since: int) -> list[str]:
    """Concluded runs whose protocol, conclusion or review was signed by this key at entry `since` or later."""
    found = []
    for run in session.execute(select(runs).where(runs.c.state == "concluded").order_by(runs.c.entry)).mappings():
        approvals = session.execute(select(signatures.c.entry).where(
            signatures.c.protocol == run["protocol"], signatures.c.version == run["version"])).scalars()
        seqs = {*approvals, run["concluded_seq"], run["reviewed_seq"]} - {None}
        entries = (store.entry_at(session, seq) for seq in sorted(seqs) if seq >= since)
        if any(entry is not None and entry.kid == kid for entry in entries):
            found.append(str(run["run"]))
    return found


def overtaken(session: Connection, run: Row) -> str | None:
    """Why a run is not the last word of its protocol: the later run that did not pass, or the version in force that
    replaced its own; None where it is."""
    later = session.execute(
        select(runs.c.run).where(
            runs.c.protocol == run["protocol"], runs.c.lock.is_not_distinct_from(run["lock"]),
            runs.c.entry > run["entry"], runs.c.state.not_in(NEVER_COUNTS), runs.c.verdict.is_not(None),
            runs.c.verdict != "passed").order_by(runs.c.entry.desc()).limit(1)).scalar()
    passed_since = later is not None and session.execute(
        select(runs.c.entry).where(
            runs.c.protocol == run["protocol"], runs.c.lock.is_not_distinct_from(run["lock"]),
            runs.c.state == "concluded", runs.c.verdict == "passed",
            runs.c.entry > run_row(session, later)["entry"])).first() is not None
    if later is not None and not passed_since:
        return str(later)
    plan = protocol_row(session, run["protocol"], run["version"])
    return f"a newer version of {run['protocol']}" if plan["state"] == "superseded" else None


def open_deviations(session: Connection, about: Iterable[str]) -> list[str]:
    """Ids of open deviations about these runs."""
    named = list(about)
    rows = session.execute(select(deviations.c.deviation, deviations.c.about).where(deviations.c.state == "open"))
    return sorted(row.deviation for row in rows
                  if any(row.about == one or row.about.startswith(f"{one}/") for one in named))


def deviating_steps(session: Connection, run: str) -> dict[str, str]:
    """Steps and criteria of a run with a deviation, open or closed, each with its name."""
    rows = session.execute(select(deviations.c.about, deviations.c.deviation)
                           .where(deviations.c.about.startswith(f"{run}/", autoescape=True))
                           .order_by(deviations.c.entry))
    return {row.about.removeprefix(f"{run}/"): row.deviation for row in rows}


def deviations_of(session: Connection, run: str) -> list[RowMapping]:
    """Deviations about a run, its steps and its criteria, open and closed."""
    return [row for row in deviation_lines(session) if row["about"] == run or row["about"].startswith(f"{run}/")]


def step_at(session: Connection, about: str) -> RowMapping | None:
    """The recorded step that "RUN/STEP" names."""
    run, _, step = about.partition("/")
    return session.execute(
        select(steps, runs.c.state.label("run_state"), runs.c.protocol).join(runs, runs.c.run == steps.c.run)
        .where(steps.c.run == run, steps.c.step == step)
    ).mappings().first()


def passed_after(session: Connection, failed: Row) -> list[str]:
    """The "RUN/STEP" at which a failed step passed later: the same step of the same protocol, in a run that counts."""
    return [f"{row.run}/{row.step}" for row in session.execute(
        select(steps.c.run, steps.c.step).join(runs, runs.c.run == steps.c.run).where(
            runs.c.protocol == failed["protocol"], steps.c.step == failed["step"], steps.c.verdict == "passed",
            steps.c.entry > failed["entry"], runs.c.state.not_in(NEVER_COUNTS | {"suspect"})).order_by(steps.c.entry))]


def capa_lines(session: Connection, *, state: str | None = None) -> list[RowMapping]:
    """Corrective and preventive actions in the order they were opened."""
    wanted = select(capas) if state is None else select(capas).where(capas.c.state == state)
    return list(session.execute(wanted.order_by(capas.c.entry)).mappings())


def capas_of(session: Connection, deviation: str) -> list[RowMapping]:
    """Actions linked to a deviation."""
    return [row for row in capa_lines(session) if row["deviation"] == deviation]


def capa_row(session: Connection, capa: str) -> RowMapping:
    """One action. Raises NotFound."""
    row = session.execute(select(capas).where(capas.c.capa == capa)).mappings().first()
    if row is None:
        raise NotFound(f"There is no action {capa}.", next_step="`countersign quality list` shows them.")
    return row


def change_lines(session: Connection) -> list[RowMapping]:
    """Assessed changes in their order."""
    return list(session.execute(select(changes).order_by(changes.c.entry)).mappings())


def counting_runs_of(session: Connection, target: str, lock: str | None, kinds: Iterable[str]) -> list[str]:
    """Concluded runs of these kinds for a lock, or for this installation, that are not suspect."""
    wanted = select(runs.c.run).where(
        runs.c.target == target, runs.c.lock.is_not_distinct_from(lock), runs.c.state == "concluded",
        runs.c.kind.in_(list(kinds)))
    return list(session.execute(wanted.order_by(runs.c.entry)).scalars())


def is_deviation(session: Connection, deviation: str) -> bool:
    """Whether a deviation of this name exists."""
    return session.execute(
        select(deviations.c.entry).where(deviations.c.deviation == deviation)
    ).first() is not None


def deviation_row(session: Connection, deviation: str) -> RowMapping:
    """One deviation. Raises NotFound."""
    row = session.execute(select(deviations).where(deviations.c.deviation == deviation)).mappings().first()
    if row is None:
        raise NotFound(f"There is no deviation {deviation}.", next_step="`countersign validate list` shows them.")
    return row


# -- For pages and papers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ValidationLine:
    """A row of the appendix' table of validation (A5): a run, a criterion, its numbers as text, its verdict."""

    run: str
    protocol: str
    version: int
    kind: str
    target: str
    lock: str | None
    use: int | None
    endpoint: str | None
    approved_at: str | None
    protocol_seq: int
    concluded_at: str | None
    concluded_seq: int | None
    state: str
    verdict: str | None
    evidence_class: str
    criterion: Mapping[str, Any] | None


def validation_lines(session: Connection, *, lock: str | None = None, target: str | None = None
                     ) -> list[ValidationLine]:
    """Every run, with one line per criterion (or one for runs of steps), in the order of their start."""
    wanted = select(runs, protocols.c.approved_at).join(
        protocols, (protocols.c.protocol == runs.c.protocol) & (protocols.c.version == runs.c.version)
    )
    if lock is not None:
        wanted = wanted.where(runs.c.lock == lock)
    if target is not None:
        wanted = wanted.where(runs.c.target == target)
    lines = []
    for row in session.execute(wanted.order_by(runs.c.entry)).mappings():
        judged: list[dict[str, Any] | None] = [*criteria_of(session, row["run"])]
        for one in judged or [None]:
            lines.append(ValidationLine(
                row["run"], row["protocol"], row["version"], row["kind"], row["target"], row["lock"], row["use"],
                row["endpoint"], row["approved_at"], row["protocol_seq"], row["concluded_at"], row["concluded_seq"],
                row["state"], row["verdict"], row["evidence_class"], one,
            ))
    return lines


def steps_of(session: Connection, run: str) -> list[RowMapping]:
    """Steps of a run as recorded, in order."""
    return list(session.execute(select(steps).where(steps.c.run == run).order_by(steps.c.entry)).mappings())


def criteria_of(session: Connection, run: str) -> list[dict[str, Any]]:
    """Criteria of a run as judged, in the order of their names; fields as in `validation.concluded`."""
    rows = session.execute(select(criteria.c.fields).where(criteria.c.run == run).order_by(criteria.c.criterion))
    return [json.loads(text) for text in rows.scalars()]


def counting_steps(session: Connection, *, with_evidence: bool = False) -> list[tuple[str, str, list[str]]]:
    """Every step of a run that still counts: "run/step", verdict, requirements; for the traceability matrix.

    A step that failed and passed in a later run of its protocol counts by the later one. with_evidence: the name goes
    on with the digest of what shows it.
    """
    rows = session.execute(
        select(steps.c.run, steps.c.step, steps.c.verdict, steps.c.requirements, steps.c.evidence, runs.c.protocol)
        .join(runs, runs.c.run == steps.c.run).where(runs.c.state == "concluded").order_by(steps.c.entry)
    ).all()
    newest = {(row.protocol, row.step): row for row in rows}

    def named(row: Any) -> str:
        shown = from_reference(row.evidence).sha256 if with_evidence and row.evidence else ""
        return f"{row.run}/{row.step} sha256:{shown}" if shown else f"{row.run}/{row.step}"

    return [(named(row), row.verdict, json.loads(row.requirements)) for row in newest.values()]


def deviation_lines(session: Connection, *, trial: str | None = None) -> list[RowMapping]:
    """Deviations (A12) of a trial and of the house, in the order they were opened; `closing` is JSON text or None."""
    wanted = select(deviations)
    if trial is not None:
        wanted = wanted.where((deviations.c.trial == trial) | deviations.c.trial.is_(None))
    return list(session.execute(wanted.order_by(deviations.c.entry)).mappings())


def protocol_lines(session: Connection) -> list[dict[str, Any]]:
    """Every protocol with its state, signatures and the one it waits for."""
    lines = []
    for row in session.execute(select(protocols).order_by(protocols.c.entry)).mappings():
        given = [f"{one['signed']} {one['person']}" for one in signed(session, row["protocol"], row["version"])]
        waits = next_of(session, row) if row["state"] == "draft" else None
        lines.append(dict(row) | {"signed": given, "waits_for": waits})
    return lines


def releases_of(session: Connection, target: str, lock: str | None = None) -> list[RowMapping]:
    """Releases of the installation or of a lock, newest last."""
    return list(session.execute(
        select(releases).where(releases.c.target == target, releases.c.lock.is_not_distinct_from(lock))
        .order_by(releases.c.entry)
    ).mappings())


def all_releases(session: Connection) -> list[RowMapping]:
    """Releases of installations and locks, newest last."""
    return list(session.execute(select(releases).order_by(releases.c.entry)).mappings())


def newest_matrix(session: Connection) -> tuple[int, ObjectRef] | None:
    """The matrix of requirements that the newest release of this installation rests on, and the release's entry."""
    for row in reversed(releases_of(session, "installation")):
        entry = store.entry_at(session, row["entry"])
        kept = entry.body["fields"].get("matrix") if entry is not None else None
        if kept is not None:
            return int(row["entry"]), ObjectRef(**kept)
    return None


def installation_is_released(session: Connection, what: str) -> bool:
    """Whether this release of the software is signed off and none of the runs behind it is suspect."""
    for row in releases_of(session, "installation"):
        if row["what"] == what:
            states = session.execute(select(runs.c.state).where(runs.c.run.in_(json.loads(row["runs"])))).scalars()
            if all(state == "concluded" for state in states):
                return True
    return False

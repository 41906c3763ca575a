"""Collects the frozen facts of one opening from the tables of gates, and from what rooms below answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TypedDict

from sqlalchemy import Connection, select

from audit import store
from core.access.projections import grants
from core.access.queries import bindings_now, people_with, standing
from core.access.training import governs
from core.gates import projections as tables
from core.gates import queries
from core.gates.bridging import USES as BRIDGED
from core.gates.bridging import plans_of, predecessor
from core.gates.criteria import Judged, judge
from core.gates.facts import (
    FiledFact,
    GateFacts,
    LockFact,
    ReleaseFact,
    RunInStudy,
    StratumFact,
    ValidationFact,
    WaiverFact,
)
from core.gates.rules import GateState, Signed, still_to_sign
from core.gates.sentinels import watch_of
from core.gates.statistics import Pair
from core.persons import suspect_keys
from core.policy.state import Actor
from core.reads.agreement import ai_pairs
from core.reads.queries import awaiting_adjudication
from core.reviews.periodic_projections import periodic_due
from core.reviews.queries import due_of
from core.trials.charter import Charter
from core.trials.defaults import SHIPPED_BY_NAME
from core.trials.queries import SignedCharter, amendments_of, signed_charter, the_trial
from core.trials.rules import imaging_sections
from core.work import release

# Acts of each use that an effective procedure must govern.
GOVERNED = {
    1: ("gate.sign", "quality.dispose"), 2: ("gate.sign", "quality.dispose"), 3: ("gate.sign", "read.seal"),
    4: ("gate.sign", "read.seal"),
}
# The act that shows whether a holder of the role is able today (training, delegation).
MAIN_ACTS = {
    "qc_technologist": "quality.dispose", "coordinator": "cohort.select", "reader": "read.seal",
    "adjudicator": "read.adjudicate",
}


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One gate with its criteria as they are now, and the roles whose signature is missing."""

    gate: queries.GateRow
    criteria: tuple[Judged, ...]
    signed: tuple[Signed, ...]
    missing: tuple[str, ...]
    stops: tuple[queries.StopRow, ...]


def board(session: Connection, trial: str, today: str) -> tuple[BoardRow, ...]:
    """Every gate of a trial with its criteria computed now."""
    shown = []
    for gate in queries.gates_of(session, trial):
        signed = queries.signed_of(session, gate)
        collecting = gate.state in ("requested", "suspended", "halted")
        shown.append(BoardRow(
            gate, judged_now(session, gate.trial, gate.use, gate.endpoint, gate.scope, gate.lock, today), signed,
            still_to_sign(gate.use, signed) if collecting else (), queries.stops_of(session, gate.gate)))
    return tuple(shown)


def judged_now(
    session: Connection, trial: str, use: int, endpoint: str | None, scope: str, lock: str, today: str
) -> tuple[Judged, ...]:
    """The criteria of one opening, computed from the ledger's tables for a day."""
    return judge(facts_of(session, trial, use, endpoint, scope, lock, today))


def facts_of(
    session: Connection, trial: str, use: int, endpoint: str | None, scope: str, lock: str, today: str
) -> GateFacts:
    """Everything a criterion may look at, for one opening on a day (ISO)."""
    row = the_trial(session, trial)
    signed = signed_charter(session, trial)
    charter = signed.charter if signed else None
    pairs, entries = _pairs(session, trial, charter, endpoint, lock) if use == 4 else ((), ())
    able = {role: _able(session, trial, role, action) for role, action in MAIN_ACTS.items()}
    sops_lacking, sop_entries = _procedures(session, use)
    facts = GateFacts(
        trial=trial, use=use, endpoint=endpoint, scope=scope, lock_id=lock, today=today, release=release(),
        stage=str(row.stage), demonstration=row.demonstration, charter=charter,
        charter_entry=signed.approved_entry if signed else None, lock=_lock(session, lock),
        validations=_validations(session, lock), releases=_releases(session), filed=_filed(session, trial),
        gates=tuple(GateState(one.gate, one.use, one.endpoint, one.state, one.opened_entry or one.entry)
                    for one in queries.gates_of(session, trial)),
        run_in=_run_in(session, trial, lock) if use == 2 else (), pairs=pairs, pair_entries=entries,
        live_entry=row.live_entry, able={role: len(found) for role, found in able.items()}, able_entries=able,
        sops_lacking=sops_lacking, sop_entries=sop_entries, open_deviations=_critical(session, trial, lock),
        open_adjudications=len(awaiting_adjudication(session, trial)) if use == 4 else 0,
        unblindings=_unblindings(session, trial, (use, endpoint, scope, lock)), review=due_of(session, trial),
        periodic=periodic_due(session),
        sentinel=watch_of(session, lock), sentinel_limits=_sentinel_limits(charter),
        waivers=_waivers(session, trial, use), **_amended(session, trial, signed),
    )
    before = predecessor(session, trial, use, endpoint, lock) if endpoint is not None else None
    bridged = [one for one in plans_of(session, trial)
               if (BRIDGED[one.use], one.endpoint, one.from_lock, one.to_lock) == (use, endpoint, before, lock)]
    facts = replace(facts, predecessor=before, bridging=bridged[-1] if bridged else None)
    return replace(facts, suspect=_suspect(session, facts))


class _Amended(TypedDict, total=False):
    amended: tuple[str, ...]
    impact_entry: int | None


def _amended(session: Connection, trial: str, signed: SignedCharter | None) -> _Amended:
    """What an amended charter in force changes in imaging, and whether somebody signed what that means."""
    for one in amendments_of(session, trial):
        if signed is not None and one.signed.entry_id == signed.entry_id:
            return {"amended": imaging_sections(one.before.charter, signed.charter), "impact_entry": one.assessed_entry}
    return {}


def _suspect(session: Connection, facts: GateFacts) -> frozenset[int]:
    """Of the entries that the criteria and their waivers rest on, those that a suspect key signed or proved."""
    marks = {kid: key.suspect_from or 0 for kid, key in suspect_keys(session).items()}
    if not marks:
        return frozenset()
    used = {entry for one in judge(facts) for entry in one.entries} | {one.entry for one in facts.waivers}
    found = set()
    for seq in sorted(seq for seq in used if seq >= min(marks.values())):
        entry = store.entry_at(session, seq)
        if entry is not None and any(
            seq >= marks[kid] for kid in (entry.kid, *(proof["kid"] for proof in entry.body.get("proofs", ())))
            if kid in marks
        ):
            found.add(seq)
    return frozenset(found)


def _sentinel_limits(charter: Charter | None) -> tuple[int, int]:
    """Cases of a sentinel set, and days that it may be missed."""
    names = ("sentinel_cases", "sentinel_overdue_days")
    if charter is None:
        return tuple(int(SHIPPED_BY_NAME[name].default) for name in names)  # type: ignore[return-value]
    cases, days = (int(charter.limit_in_force(name)) for name in names)
    return cases, days


def _lock(session: Connection, lock: str) -> LockFact | None:
    row = session.execute(select(tables.locks).where(tables.locks.c.lock == lock)).first()
    return LockFact(row.lock, row.model, row.state, row.demonstration, row.entry) if row else None


def _validations(session: Connection, lock: str) -> tuple[ValidationFact, ...]:
    table = tables.validations
    rows = session.execute(select(table).where(table.c.lock == lock).order_by(table.c.entry))
    return tuple(
        ValidationFact(
            row.kind, row.verdict, row.use, row.endpoint,
            tuple(StratumFact(*one) for one in json.loads(row.strata)), frozenset(json.loads(row.metrics_met)),
            row.evidence_class, row.suspect, row.entry)
        for row in rows
    )


def _releases(session: Connection) -> tuple[ReleaseFact, ...]:
    rows = session.execute(select(tables.releases).order_by(tables.releases.c.entry))
    return tuple(ReleaseFact(row.what, row.evidence_class, row.entry, row.suspect) for row in rows)


def _filed(session: Connection, trial: str) -> tuple[FiledFact, ...]:
    table = tables.filings
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.entry))
    return tuple(
        FiledFact(row.kind, row.role, row.use, row.endpoint, row.display, row.cases, row.lock, row.evidence_class,
                  row.entry)
        for row in rows
    )


def _critical(session: Connection, trial: str, lock: str) -> tuple[int, ...]:
    table = tables.deviations
    rows = session.execute(
        select(table).where(table.c.klass_name == "critical", table.c.closed.is_(None)).order_by(table.c.entry))
    return tuple(row.entry for row in rows if row.trial == trial or row.lock == lock)


def _unblindings(session: Connection, trial: str, opening: tuple[int, str | None, str, str]) -> tuple[int, ...]:
    """Halts for unblinding that keep this opening shut. Not those of a gate that is halted itself: whether it may go
    on is what its signers decide when all of them resume it.
    """
    charter = signed_charter(session, trial)
    if any(one.state == "halted" and (one.use, one.endpoint, one.scope, one.lock) == opening
           for one in queries.gates_of(session, trial)):
        return ()
    rules = {one.id for one in charter.charter.halt_rules if getattr(one, "event", "") == "ai_unblinding"} \
        if charter else set()
    return tuple(
        stop.entry for gate in queries.gates_of(session, trial) for stop in queries.stops_of(session, gate.gate)
        if stop.kind == "halted" and stop.cause in rules and not stop.resumed)


def _waivers(session: Connection, trial: str, use: int) -> tuple[WaiverFact, ...]:
    return tuple(
        WaiverFact(one.waiver, one.criterion, one.ends_on, one.entry)
        for one in queries.waivers_of(session, trial) if one.approved and one.use == use)


def _able(session: Connection, trial: str, role: str, action: str) -> tuple[int, ...]:
    """The grants of those who hold a role and lack neither training nor delegation for its main act; one a person."""
    found = []
    for user in people_with(session, role, trial):
        if role not in standing(session, Actor(user), trial, action).gaps:
            wanted = (grants.c.user == user) & (grants.c.role == role) & (
                (grants.c.trial == trial) | grants.c.trial.is_(None))
            found.append(session.execute(select(grants.c.entry).where(wanted).order_by(grants.c.entry)).scalars().first())
    return tuple(entry for entry in found if entry is not None)


def _procedures(session: Connection, use: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Acts of a use that no effective procedure governs, and the entries of those that do."""
    effective = [one for one in bindings_now(session) if one.effective]
    table = tables.procedures
    entries = {(row.sop, row.version): row.entry for row in session.execute(select(table))}
    governing = {act: [one for one in effective if governs(one.governs, act)] for act in GOVERNED[use]}
    used = {entries.get((one.sop, one.version)) for found in governing.values() for one in found}
    return (
        tuple(act for act, found in governing.items() if not found),
        tuple(sorted(entry for entry in used if entry is not None)),
    )


def _run_in(session: Connection, trial: str, lock: str) -> tuple[RunInStudy, ...]:
    """Studies whose every series was disposed before any flag of this lock could be seen.

    A shadow run is shown to nobody; any other run counts only when it ended after the last disposition.
    """
    runs: dict[str, list[tuple[bool, str, int]]] = {}
    table = tables.qc_runs
    query = select(table).where(table.c.trial == trial, table.c.lock == lock).order_by(table.c.entry)
    for row in session.execute(query):
        runs.setdefault(row.study, []).append((row.flagged, row.standing, row.entry))
    seeded = set(session.execute(select(tables.seeded.c.study).where(tables.seeded.c.trial == trial)).scalars())
    series: dict[str, list[tuple[str, str | None, int | None]]] = {}
    studies = tables.studies
    for row in session.execute(select(studies).where(studies.c.trial == trial).order_by(studies.c.entry)):
        series.setdefault(row.study, []).append((row.site, row.disposition, row.disposed_entry))
    found = []
    for study, parts in sorted(series.items()):
        disposed = [entry for _, _, entry in parts if entry is not None]
        if study not in runs or len(disposed) != len(parts):
            continue
        fair = [one for one in runs[study] if one[1] == "shadow" or one[2] > max(disposed)]
        if len(fair) != len(runs[study]):
            continue
        found.append(RunInStudy(
            study, parts[0][0], any(disposition == "rejected" for _, disposition, _ in parts),
            any(flagged for flagged, _, _ in fair), study in seeded, (*sorted(disposed), *(one[2] for one in fair))))
    return tuple(found)


def _pairs(
    session: Connection, trial: str, charter: Charter | None, endpoint: str | None, lock: str
) -> tuple[tuple[Pair, ...], tuple[int, ...]]:
    """AI and human values of the same measure and lock, the human mark made before AI was shown."""
    wanted = charter.endpoint(endpoint) if charter and endpoint else None
    if charter is None or wanted is None:
        return (), ()
    same = {
        one.id for one in charter.endpoints if (one.criterion, one.measure) == (wanted.criterion, wanted.measure)}
    pairs, entries = [], []
    for one in ai_pairs(session, trial):
        if one.endpoint in same and one.before is not None and one.lock == lock:
            pairs.append(Pair(one.subject, one.before, one.ai))
            entries.append(one.entry)
    return tuple(pairs), tuple(entries)

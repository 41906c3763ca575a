"""What gates are asked: the facts of one opening, its criteria now, the board, who still signs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from core.access.queries import bindings_now, people_with, standing
from core.access.training import governs
from core.errors import NotFound
from core.gates import projections as tables
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
from core.gates.rules import USES, GateState, Signed, still_to_sign
from core.gates.statistics import Pair
from core.policy.state import Actor
from core.reads.agreement import ai_pairs
from core.reads.queries import awaiting_adjudication
from core.trials.charter import Charter
from core.trials.queries import signed_charter, the_trial
from core.work import release

# Acts of each use that an effective procedure must govern.
GOVERNED = {
    1: ("gate.sign", "quality.dispose"), 2: ("gate.sign", "quality.dispose"), 3: ("gate.sign", "read.seal"),
    4: ("gate.sign", "read.seal"),
}


MAIN_ACTS = {
    "qc_technologist": "quality.dispose", "coordinator": "cohort.select", "reader": "read.seal",
    "adjudicator": "read.adjudicate",
}


@dataclass(frozen=True, slots=True)
class GateRow:
    """A gate as the board shows it. `round` groups the signatures that are being collected."""

    gate: str
    trial: str
    use: int
    use_name: str
    endpoint: str | None
    scope: str
    lock: str
    model: str
    state: str
    says: str | None
    round: str
    requested_by: str
    opened_entry: int | None
    entry: int


@dataclass(frozen=True, slots=True)
class StopRow:
    """A suspension or halt of a gate."""

    gate: str
    kind: str
    cause: str
    says: str
    resumed: bool
    entry: int


@dataclass(frozen=True, slots=True)
class WaiverRow:
    """A waiver and who approved it."""

    waiver: str
    trial: str
    use: int
    criterion: str
    owner: str
    because: str
    risk: str
    ends_on: str
    requested_by: str
    owner_by: str | None
    qa_by: str | None
    entry_id: str
    entry: int

    @property
    def approved(self) -> bool:
        """By QA and the criterion's owner; where QA owns it, QA alone beside the requester."""
        return self.qa_by is not None and (self.owner_by is not None or self.owner == "qa_auditor")


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One gate with its criteria as they are now, and the roles whose signature is missing."""

    gate: GateRow
    criteria: tuple[Judged, ...]
    signed: tuple[Signed, ...]
    missing: tuple[str, ...]
    stops: tuple[StopRow, ...]


def gates_of(session: Connection, trial: str) -> tuple[GateRow, ...]:
    """Every gate of a trial, in order of their requests."""
    table = tables.gates
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.use, table.c.gate))
    return tuple(GateRow(**row._mapping) for row in rows)


def open_gates(session: Connection, *, lock: str | None = None, trial: str | None = None) -> tuple[GateRow, ...]:
    """Gates recorded as open, of one lock or trial where given."""
    query = select(tables.gates).where(tables.gates.c.state == "open")
    if lock is not None:
        query = query.where(tables.gates.c.lock == lock)
    if trial is not None:
        query = query.where(tables.gates.c.trial == trial)
    return tuple(GateRow(**row._mapping) for row in session.execute(query.order_by(tables.gates.c.gate)))


def waived_when_opened(session: Connection, gate: str) -> frozenset[str]:
    """The criteria that a gate's opening rested on a waiver for."""
    table = tables.criteria
    rows = session.execute(select(table.c.criterion).where(table.c.gate == gate, table.c.state == "waived"))
    return frozenset(rows.scalars())


def gate_named(session: Connection, gate: str) -> GateRow:
    """A gate. Raises NotFound."""
    row = session.execute(select(tables.gates).where(tables.gates.c.gate == gate)).first()
    if row is None:
        raise NotFound(f"There is no gate {gate}.", next_step="`countersign gate status TRIAL` lists them.")
    return GateRow(**row._mapping)


def signed_of(session: Connection, gate: GateRow) -> tuple[Signed, ...]:
    """The signatures of the round that is open."""
    table = tables.signatures
    rows = session.execute(
        select(table).where(table.c.gate == gate.gate, table.c.round == gate.round).order_by(table.c.entry))
    return tuple(Signed(row.signed_as, row.person, row.entry) for row in rows)


def signature_ids(session: Connection, gate: GateRow) -> tuple[str, ...]:
    """Entry ids of the signatures of the round that is open."""
    table = tables.signatures
    rows = session.execute(
        select(table.c.entry_id).where(table.c.gate == gate.gate, table.c.round == gate.round).order_by(table.c.entry))
    return tuple(rows.scalars())


def signatures_of(session: Connection, gate: str) -> tuple[tuple[str, Signed], ...]:
    """(purpose, signature) of every round of a gate, in order."""
    table = tables.signatures
    rows = session.execute(select(table).where(table.c.gate == gate).order_by(table.c.entry))
    return tuple((row.purpose, Signed(row.signed_as, row.person, row.entry)) for row in rows)


def stops_of(session: Connection, gate: str) -> tuple[StopRow, ...]:
    """Suspensions and halts, oldest first."""
    table = tables.stops
    rows = session.execute(select(table).where(table.c.gate == gate).order_by(table.c.entry))
    return tuple(StopRow(**row._mapping) for row in rows)


def waivers_of(session: Connection, trial: str) -> tuple[WaiverRow, ...]:
    """Waivers of a trial."""
    table = tables.waivers
    rows = session.execute(select(table).where(table.c.trial == trial).order_by(table.c.waiver))
    return tuple(WaiverRow(**row._mapping) for row in rows)


def waiver_named(session: Connection, waiver: str) -> WaiverRow:
    """A waiver. Raises NotFound."""
    row = session.execute(select(tables.waivers).where(tables.waivers.c.waiver == waiver)).first()
    if row is None:
        raise NotFound(f"There is no waiver {waiver}.")
    return WaiverRow(**row._mapping)


def criteria_recorded(session: Connection, gate: str) -> tuple[tuple[str, str, str, str, str, tuple[int, ...]], ...]:
    """(at, criterion, state, found, wanted, entries) as recorded when requested, opened and resumed."""
    table = tables.criteria
    rows = session.execute(
        select(table).where(table.c.gate == gate).order_by(table.c.entry, table.c.position))
    return tuple(
        (row.at, row.criterion, row.state, row.found, row.wanted, tuple(json.loads(row.entries))) for row in rows)


def board(session: Connection, trial: str, today: str) -> tuple[BoardRow, ...]:
    """Every gate of a trial with its criteria computed now."""
    shown = []
    for gate in gates_of(session, trial):
        signed = signed_of(session, gate)
        collecting = gate.state in ("requested", "suspended", "halted")
        shown.append(BoardRow(
            gate, judged_now(session, gate.trial, gate.use, gate.endpoint, gate.scope, gate.lock, today), signed,
            still_to_sign(gate.use, signed) if collecting else (), stops_of(session, gate.gate)))
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
    return GateFacts(
        trial=trial, use=use, endpoint=endpoint, scope=scope, lock_id=lock, today=today, release=release(),
        stage=str(row.stage), demonstration=row.demonstration, charter=charter,
        charter_entry=signed.approved_entry if signed else None, lock=_lock(session, lock),
        validations=_validations(session, lock), releases=_releases(session), filed=_filed(session, trial),
        gates=tuple(GateState(one.gate, one.use, one.endpoint, one.state, one.opened_entry or one.entry)
                    for one in gates_of(session, trial)),
        run_in=_run_in(session, trial, lock) if use == 2 else (), pairs=pairs, pair_entries=entries, able=able,
        sops_lacking=_sops_lacking(session, use), open_deviations=_critical(session, trial, lock),
        open_adjudications=len(awaiting_adjudication(session, trial)) if use == 4 else 0,
        unblindings=_unblindings(session, trial), waivers=_waivers(session, trial, use),
    )


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
    return tuple(ReleaseFact(row.what, row.evidence_class, row.entry) for row in rows)


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


def _unblindings(session: Connection, trial: str) -> tuple[int, ...]:
    charter = signed_charter(session, trial)
    rules = {one.id for one in charter.charter.halt_rules if getattr(one, "event", "") == "ai_unblinding"} \
        if charter else set()
    return tuple(
        stop.entry for gate in gates_of(session, trial) for stop in stops_of(session, gate.gate)
        if stop.kind == "halted" and stop.cause in rules and not stop.resumed)


def _waivers(session: Connection, trial: str, use: int) -> tuple[WaiverFact, ...]:
    return tuple(
        WaiverFact(one.waiver, one.criterion, one.ends_on, one.entry)
        for one in waivers_of(session, trial) if one.approved and one.use == use)


def _able(session: Connection, trial: str, role: str, action: str) -> int:
    """How many hold a role and lack neither training nor delegation for its main act."""
    return sum(
        role not in standing(session, Actor(user), trial, action).gaps for user in people_with(session, role, trial))


def _sops_lacking(session: Connection, use: int) -> tuple[str, ...]:
    effective = [one for one in bindings_now(session) if one.effective]
    return tuple(act for act in GOVERNED[use] if not any(governs(one.governs, act) for one in effective))


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


def use_named(name: str) -> int:
    """The number of a use by name. Raises NotFound."""
    for number, known in USES.items():
        if known == name or str(number) == name:
            return number
    raise NotFound(f"There is no AI use {name}; uses: {', '.join(USES.values())}.")

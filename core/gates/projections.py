"""Tables of gates, folded from the words of every room: locks, validations, releases, deviations, filings, run-in."""

from __future__ import annotations

import json

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text, delete, select

from audit.vocabulary import bridging, corrections, drift, imaging, incidents, models, sops
from audit.vocabulary import gates as words
from audit.vocabulary import validation as validated
from core.projection import Recorded, keep, metadata, projects, reference

gates = Table(
    "gate", metadata,
    Column("gate", String(64), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("use", Integer, nullable=False),
    Column("use_name", String(12), nullable=False),
    Column("endpoint", String(32)),
    Column("scope", String(120), nullable=False),
    Column("lock", String(120), nullable=False),
    Column("model", String(64), nullable=False),
    Column("state", String(12), nullable=False),
    Column("says", Text),
    Column("round", String(36), nullable=False),
    Column("requested_by", String(120), nullable=False),
    Column("opened_entry", Integer),
    Column("entry", Integer, nullable=False),
)
signatures = Table(
    "gate_signature", metadata,
    Column("gate", String(64), nullable=False, index=True),
    # The id of the request, or of the entry that stopped the gate: signatures of one round belong together.
    Column("round", String(36), nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("signed_as", String(32), nullable=False),
    Column("person", String(120), nullable=False),
    Column("kid", String(64), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
stops = Table(
    "gate_stop", metadata,
    Column("gate", String(64), nullable=False, index=True),
    Column("kind", String(12), nullable=False),
    Column("cause", String(64), nullable=False),
    Column("says", Text, nullable=False),
    Column("resumed", Boolean, nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
criteria = Table(
    "gate_criterion", metadata,
    Column("gate", String(64), nullable=False, index=True),
    Column("at", String(12), nullable=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("criterion", String(40), nullable=False),
    Column("state", String(8), nullable=False),
    Column("found", Text, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("entries", Text, nullable=False),
    Column("waiver", String(64)),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
filings = Table(
    "gate_filing", metadata,
    Column("trial", String(16), index=True),
    Column("kind", String(40), nullable=False),
    Column("title", Text, nullable=False),
    Column("role", String(32), nullable=False),
    Column("use", Integer),
    Column("endpoint", String(32)),
    Column("display", String(16)),
    Column("cases", Integer),
    Column("lock", String(120)),
    Column("evidence_class", String(16), nullable=False),
    Column("document", Text, nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
waivers = Table(
    "gate_waiver", metadata,
    Column("waiver", String(64), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("use", Integer, nullable=False),
    Column("criterion", String(40), nullable=False),
    Column("owner", String(32), nullable=False),
    Column("because", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("ends_on", String(10), nullable=False),
    Column("requested_by", String(120), nullable=False),
    Column("owner_by", String(120)),
    Column("qa_by", String(120)),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)
locks = Table(
    "gate_lock", metadata,
    Column("lock", String(120), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("state", String(12), nullable=False),
    Column("demonstration", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)
validations = Table(
    "gate_validation", metadata,
    Column("run", String(120), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("lock", String(120), index=True),
    Column("use", Integer),
    Column("endpoint", String(32)),
    Column("verdict", String(24), nullable=False),
    Column("strata", Text, nullable=False),
    Column("metrics_met", Text, nullable=False),
    Column("evidence_class", String(16), nullable=False),
    Column("suspect", Integer),
    Column("entry", Integer, nullable=False),
)
releases = Table(
    "gate_release", metadata,
    Column("what", String(120), nullable=False),
    Column("runs", Text, nullable=False),
    Column("suspect", Integer),
    Column("evidence_class", String(16), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
deviations = Table(
    "gate_deviation", metadata,
    Column("deviation", String(200), primary_key=True),
    Column("trial", String(16)),
    Column("klass_name", String(12), nullable=False),
    Column("lock", String(120)),
    Column("closed", Integer),
    Column("entry", Integer, nullable=False),
)
studies = Table(
    "gate_study_series", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("series", String(64), primary_key=True),
    Column("study", String(64), nullable=False),
    Column("site", String(32), nullable=False),
    Column("disposition", String(12)),
    Column("disposed_entry", Integer),
    Column("entry", Integer, nullable=False),
)
qc_runs = Table(
    "gate_qc_run", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("run", String(120), primary_key=True),
    Column("study", String(64), nullable=False),
    Column("lock", String(120), nullable=False),
    Column("standing", String(12), nullable=False),
    Column("flagged", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)
run_locks = Table(
    "gate_run_lock", metadata,
    Column("entry", Integer, primary_key=True, autoincrement=False),
    Column("trial", String(16)),
    Column("lock", String(120), nullable=False),
    Column("endpoint", String(32)),
    Column("standing", String(12), nullable=False),
    Column("undecided", Boolean, nullable=False),
)
looks = Table(
    "gate_look", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("halt_rule", String(32), nullable=False),
    Column("look", Integer, nullable=False),
    Column("found", String(64), nullable=False),
    Column("fired", Boolean, nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
procedures = Table(
    "gate_procedure", metadata,
    Column("sop", String(12), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("entry", Integer, nullable=False),
)
seeded = Table(
    "gate_seeded_study", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("study", String(64), primary_key=True),
    Column("entry", Integer, nullable=False),
)

sentinels = Table(
    "gate_sentinel", metadata,
    Column("lock", String(120), primary_key=True),
    Column("watched_from", String(10)),
    Column("declared", String(36)),
    Column("declared_entry", Integer),
    Column("number", Integer, nullable=False),
    Column("checked_on", String(10)),
    Column("same", Boolean),
    Column("entry", Integer, nullable=False),
)

bridgings = Table(
    "gate_bridging", metadata,
    Column("plan", String(40), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("use", String(12), nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("from_lock", String(120), nullable=False),
    Column("to_lock", String(120), nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("planned_by", String(120), nullable=False),
    Column("validation_lead_by", String(120)),
    Column("qa_auditor_by", String(120)),
    Column("verdict", String(12)),
    Column("judged_entry", Integer),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)


def _keep_criteria(session: Connection, entry: Recorded, gate: str, at: str, judged: tuple[words.JudgedCriterion, ...]
                   ) -> None:
    for position, one in enumerate(judged):
        keep(
            session, criteria, gate=gate, at=at, position=position, criterion=one.id, state=one.state, found=one.found,
            wanted=one.limit, entries=json.dumps(list(one.entries)), waiver=one.waiver, entry=entry.seq,
        )


@projects(words.GateRequested)
def remember_request(session: Connection, entry: Recorded, event: words.GateRequested) -> None:
    keep(
        session, gates, gate=event.gate, trial=entry.trial, use=event.use, use_name=event.use_name,
        endpoint=event.endpoint, scope=event.scope, lock=event.lock, model=event.model, state="requested",
        round=entry.id, requested_by=entry.actor, entry=entry.seq,
    )
    _keep_criteria(session, entry, event.gate, "requested", event.criteria)


@projects(words.GateSigned)
def remember_signature(session: Connection, entry: Recorded, event: words.GateSigned) -> None:
    keep(
        session, signatures, gate=event.gate, round=event.requested, purpose=event.purpose, signed_as=event.signed_as,
        person=entry.actor, kid=entry.kid, entry_id=entry.id, entry=entry.seq,
    )


def _gate_is(session: Connection, entry: Recorded, gate: str, state: str, **more: str | int | None) -> None:
    session.execute(gates.update().where(gates.c.gate == gate).values(state=state, entry=entry.seq, **more))


@projects(words.GateOpened)
def open_gate(session: Connection, entry: Recorded, event: words.GateOpened) -> None:
    _gate_is(session, entry, event.gate, "open", opened_entry=entry.seq)
    _keep_criteria(session, entry, event.gate, "opened", event.criteria)


@projects(words.GateWithdrawn)
def withdraw_gate(session: Connection, entry: Recorded, event: words.GateWithdrawn) -> None:
    _gate_is(session, entry, event.gate, "withdrawn")


@projects(words.GateSuspended)
def suspend_gate(session: Connection, entry: Recorded, event: words.GateSuspended) -> None:
    _gate_is(session, entry, event.gate, "suspended", says=event.says, round=entry.id)
    keep(session, stops, gate=event.gate, kind="suspended", cause=event.cause, says=event.says, resumed=False,
         entry=entry.seq)


@projects(words.GateHalted)
def halt_gate(session: Connection, entry: Recorded, event: words.GateHalted) -> None:
    _gate_is(session, entry, event.gate, "halted", says=event.says, round=entry.id)
    keep(session, stops, gate=event.gate, kind="halted", cause=event.halt_rule, says=event.says, resumed=False,
         entry=entry.seq)


@projects(words.GateResumed)
def resume_gate(session: Connection, entry: Recorded, event: words.GateResumed) -> None:
    _gate_is(session, entry, event.gate, "open", says=None)
    session.execute(stops.update().where(stops.c.gate == event.gate).values(resumed=True))
    _keep_criteria(session, entry, event.gate, "resumed", event.criteria)


@projects(words.GateRevoked)
def revoke_gate(session: Connection, entry: Recorded, event: words.GateRevoked) -> None:
    _gate_is(session, entry, event.gate, "revoked", says=entry.reason)


@projects(words.EvidenceFiled)
def remember_filing(session: Connection, entry: Recorded, event: words.EvidenceFiled) -> None:
    keep(
        session, filings, trial=entry.trial, kind=event.kind, title=event.title, role=entry.role, use=event.use,
        endpoint=event.endpoint, display=event.display, cases=event.cases, lock=event.lock,
        evidence_class=event.evidence_class, document=reference(event.document), entry=entry.seq,
    )


@projects(words.WaiverRequested)
def remember_waiver(session: Connection, entry: Recorded, event: words.WaiverRequested) -> None:
    keep(
        session, waivers, waiver=event.waiver, trial=entry.trial, use=event.use, criterion=event.criterion,
        owner=event.owner, because=event.because, risk=event.risk, ends_on=event.ends_on, requested_by=entry.actor,
        entry_id=entry.id, entry=entry.seq,
    )


@projects(words.WaiverApproved)
def approve_waiver(session: Connection, entry: Recorded, event: words.WaiverApproved) -> None:
    column = "qa_by" if event.signed_as == "qa_auditor" else "owner_by"
    session.execute(
        waivers.update().where(waivers.c.waiver == event.waiver).values({column: entry.actor, "entry": entry.seq}))


@projects(words.DefectSeeded)
def remember_seeded(session: Connection, entry: Recorded, event: words.DefectSeeded) -> None:
    session.execute(delete(seeded).where(seeded.c.study == event.study))
    keep(session, seeded, trial=entry.trial, study=event.study, entry=entry.seq)


# The words of other rooms -----------------------------------------------------------------------------------------


@projects(models.ModelLocked)
def remember_lock(session: Connection, entry: Recorded, event: models.ModelLocked) -> None:
    keep(session, locks, lock=event.lock, model=event.model, state="locked", demonstration=event.demonstration,
         entry=entry.seq)
    if event.supersedes is not None:
        session.execute(locks.update().where(locks.c.lock == event.supersedes, locks.c.state == "locked")
                        .values(state="superseded", entry=entry.seq))


@projects(models.ModelRetired)
def retire_lock(session: Connection, entry: Recorded, event: models.ModelRetired) -> None:
    session.execute(locks.update().where(locks.c.lock == event.lock).values(state=event.how, entry=entry.seq))


@projects(validated.ValidationConcluded)
def remember_validation(session: Connection, entry: Recorded, event: validated.ValidationConcluded) -> None:
    if event.evidence_class == "exploratory":
        return  # from a protocol that nobody approved: evidence of nothing, for ever
    met = sorted({one.metric for one in event.criteria if one.verdict == "met"})
    strata = [[one.stratum, one.measure, one.subjects, one.verdict, one.says] for one in event.strata]
    keep(
        session, validations, run=event.run, kind=event.kind, lock=event.lock, use=event.use, endpoint=event.endpoint,
        verdict=event.verdict, strata=json.dumps(strata), metrics_met=json.dumps(met),
        evidence_class=event.evidence_class, entry=entry.seq,
    )


@projects(validated.ValidationSuspect)
def suspect_validation(session: Connection, entry: Recorded, event: validated.ValidationSuspect) -> None:
    session.execute(validations.update().where(validations.c.run == event.run).values(suspect=entry.seq))
    for row in session.execute(select(releases.c.entry, releases.c.runs).where(releases.c.suspect.is_(None))).all():
        if event.run in json.loads(row.runs):
            session.execute(releases.update().where(releases.c.entry == row.entry).values(suspect=entry.seq))


@projects(validated.ReleaseSigned)
def remember_release(session: Connection, entry: Recorded, event: validated.ReleaseSigned) -> None:
    if event.target == "installation":
        keep(session, releases, what=event.what, runs=json.dumps(list(event.runs)),
             evidence_class=event.evidence_class, entry=entry.seq)


@projects(sops.SopEffective)
def remember_procedure(session: Connection, entry: Recorded, event: sops.SopEffective) -> None:
    keep(session, procedures, sop=event.sop, version=event.version, entry=entry.seq)


@projects(validated.DeviationOpened)
def remember_deviation(session: Connection, entry: Recorded, event: validated.DeviationOpened) -> None:
    keep(session, deviations, deviation=event.deviation, trial=entry.trial, klass_name=event.klass_name,
         lock=event.lock, entry=entry.seq)


@projects(validated.DeviationClosed)
def close_deviation(session: Connection, entry: Recorded, event: validated.DeviationClosed) -> None:
    session.execute(deviations.update().where(deviations.c.deviation == event.deviation).values(closed=entry.seq))


@projects(imaging.SeriesReceived)
def remember_series(session: Connection, entry: Recorded, event: imaging.SeriesReceived) -> None:
    keep(session, studies, trial=entry.trial, series=event.series, study=event.study, site=event.site, entry=entry.seq)


@projects(imaging.QualityDisposed)
def remember_disposition(session: Connection, entry: Recorded, event: imaging.QualityDisposed) -> None:
    session.execute(
        studies.update().where(studies.c.series == event.series)
        .values(disposition=event.disposition, disposed_entry=entry.seq))


@projects(models.RunFinished, models.RunUndecided, models.RunFailed)
def remember_qc_run(
    session: Connection, entry: Recorded, event: models.RunFinished | models.RunUndecided | models.RunFailed
) -> None:
    """In quality control the model flags a study by giving no value for it: undecided or failed."""
    if event.use == "qc":
        keep(
            session, qc_runs, trial=entry.trial, run=event.run, study=event.study, lock=event.lock,
            standing=event.standing, flagged=not isinstance(event, models.RunFinished), entry=entry.seq,
        )


@projects(corrections.StudyReassigned, incidents.IncidentOpened)
def forget_series(
    session: Connection, entry: Recorded, event: corrections.StudyReassigned | incidents.IncidentOpened
) -> None:
    """A series out of its place is no study of the run-in, and a flag on its study none of the model."""
    for one in event.series:
        session.execute(delete(studies).where(studies.c.series == one.series))
    session.execute(delete(qc_runs).where(qc_runs.c.trial == entry.trial, qc_runs.c.study == event.study))


@projects(models.RunFinished, models.RunUndecided)
def remember_run_lock(session: Connection, entry: Recorded, event: models.RunFinished | models.RunUndecided) -> None:
    keep(
        session, run_locks, entry=entry.seq, trial=entry.trial, lock=event.lock, endpoint=event.endpoint,
        standing=event.standing, undecided=isinstance(event, models.RunUndecided),
    )


@projects(words.HaltEvaluated)
def remember_look(session: Connection, entry: Recorded, event: words.HaltEvaluated) -> None:
    keep(session, looks, trial=entry.trial, halt_rule=event.halt_rule, look=event.look, found=event.found,
         fired=event.fired, entry=entry.seq)


def _sentinel(session: Connection, entry: Recorded, lock: str, **values: str | int | bool | None) -> None:
    """The row of a lock, made at the first word about it."""
    if session.execute(select(sentinels.c.lock).where(sentinels.c.lock == lock)).first() is None:
        keep(session, sentinels, lock=lock, number=0, entry=entry.seq)
    session.execute(sentinels.update().where(sentinels.c.lock == lock).values(entry=entry.seq, **values))


@projects(words.GateOpened)
def begin_watch(session: Connection, entry: Recorded, event: words.GateOpened) -> None:
    """From its first opening on a lock answers its sentinel set every day."""
    began = session.execute(select(sentinels.c.watched_from).where(sentinels.c.lock == event.lock)).scalar()
    if began is None:
        _sentinel(session, entry, event.lock, watched_from=entry.at[:10])


@projects(drift.SentinelDeclared)
def remember_sentinel_set(session: Connection, entry: Recorded, event: drift.SentinelDeclared) -> None:
    _sentinel(session, entry, event.lock, declared=entry.id, declared_entry=entry.seq, number=event.number,
              checked_on=entry.at[:10], same=True)


@projects(drift.SentinelChecked)
def remember_sentinel_answer(session: Connection, entry: Recorded, event: drift.SentinelChecked) -> None:
    _sentinel(session, entry, event.lock, checked_on=entry.at[:10], same=event.same)


@projects(bridging.BridgingPlanned)
def remember_bridging(session: Connection, entry: Recorded, event: bridging.BridgingPlanned) -> None:
    keep(session, bridgings, plan=event.plan, trial=entry.trial, use=event.use, endpoint=event.endpoint,
         from_lock=event.from_lock, to_lock=event.to_lock, strategy=event.strategy, planned_by=entry.person,
         entry_id=entry.id, entry=entry.seq)


@projects(bridging.BridgingSigned)
def remember_bridging_signature(session: Connection, entry: Recorded, event: bridging.BridgingSigned) -> None:
    session.execute(bridgings.update().where(bridgings.c.plan == event.plan).values(
        {f"{event.signed_as}_by": entry.person}))


@projects(bridging.BridgingJudged)
def remember_bridging_verdict(session: Connection, entry: Recorded, event: bridging.BridgingJudged) -> None:
    session.execute(bridgings.update().where(bridgings.c.plan == event.plan).values(
        verdict=event.verdict, judged_entry=entry.seq))

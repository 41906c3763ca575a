"""Tables of protocols, runs, steps, deviations and releases, folded from their words."""

from __future__ import annotations

import json

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, String, Table, Text, select, update

from audit.vocabulary.models import ModelLocked
from audit.vocabulary.registry import fields_of
from audit.vocabulary.validation import (
    CapaClosed,
    CapaOpened,
    ChangeAssessed,
    DeviationClosed,
    DeviationOpened,
    ProtocolApproved,
    ProtocolDrafted,
    ProtocolReviewed,
    ReleaseSigned,
    StepObserved,
    StepRecorded,
    TestSetSealed,
    TestSetUnsealed,
    ValidationConcluded,
    ValidationReviewed,
    ValidationStarted,
    ValidationSuspect,
)
from core.projection import Recorded, keep, metadata, projects, reference
from validation.rules import CAPA, DEVIATION, EXPLORATORY, PROTOCOL, RUN, next_signature

protocols = Table(
    "validation_protocol", metadata,
    Column("protocol", String(120), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("target", String(16), nullable=False),
    Column("lock", String(200)),
    Column("use", Integer),
    Column("use_name", String(16)),
    Column("endpoint", String(120)),
    Column("evidence_class", String(16), nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("signers", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("author", String(120), nullable=False),
    Column("approved_at", String(32)),
    Column("approved_seq", BigInteger),
    Column("entry", BigInteger, nullable=False),
)
signatures = Table(
    "validation_signature", metadata,
    Column("entry", BigInteger, primary_key=True),
    Column("protocol", String(120), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("signed", String(40), nullable=False),
    Column("person", String(120), nullable=False),
    Column("at", String(32), nullable=False),
)
test_sets = Table(
    "validation_test_set", metadata,
    Column("test_set", String(120), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("manifest", Text, nullable=False),
    Column("strata", Text, nullable=False),
    Column("independence", String(40), nullable=False),
    Column("sealed_by", String(120), nullable=False),
    Column("unseals", Integer, nullable=False),
    Column("entry", BigInteger, nullable=False),
)
openings = Table(
    "validation_opening", metadata,
    Column("entry", BigInteger, primary_key=True),
    Column("entry_id", String(40), nullable=False),
    Column("test_set", String(120), nullable=False, index=True),
    Column("protocol", String(120), nullable=False),
    Column("version", Integer, nullable=False),
    Column("person", String(120), nullable=False),
    Column("effective", Boolean, nullable=False),
)
runs = Table(
    "validation_run", metadata,
    Column("run", String(200), primary_key=True),
    Column("protocol", String(120), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("target", String(16), nullable=False),
    Column("lock", String(200), index=True),
    Column("use", Integer),
    Column("endpoint", String(120)),
    Column("evidence_class", String(16), nullable=False),
    Column("tester", String(120), nullable=False),
    Column("environment", Text, nullable=False),
    Column("protocol_seq", BigInteger, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("state", String(12), nullable=False),
    Column("verdict", String(24)),
    Column("concluded_at", String(32)),
    Column("concluded_seq", BigInteger),
    Column("report", Text),
    Column("test_set", String(120)),
    Column("suspect", Text),
    Column("reviewed_by", String(120)),
    Column("reviewed_at", String(32)),
    Column("reviewed_seq", BigInteger),
    Column("entry", BigInteger, nullable=False),
)
steps = Table(
    "validation_step", metadata,
    Column("entry", BigInteger, primary_key=True),
    Column("run", String(200), nullable=False, index=True),
    Column("step", String(40), nullable=False),
    Column("requirements", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("expected", Text, nullable=False),
    Column("found", Text, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("evidence", Text),
    # Who carried out a manual step and how else than signed; None for the runner's own.
    Column("observed_by", String(120)),
    Column("altered", Text),
)
verdicts = Table(
    "validation_verdict", metadata,
    Column("run", String(200), primary_key=True),
    Column("stratum", String(24), primary_key=True),
    Column("measure", String(24), primary_key=True),
    Column("lock", String(200), index=True),
    Column("subjects", Integer, nullable=False),
    Column("verdict", String(24), nullable=False),
    Column("says", Text, nullable=False),
    Column("entry", BigInteger, nullable=False),
)
criteria = Table(
    "validation_criterion", metadata,
    Column("run", String(200), primary_key=True),
    Column("criterion", String(60), primary_key=True),
    Column("fields", Text, nullable=False),
    Column("entry", BigInteger, nullable=False),
)
# What validation needs to know of a model, from its word: who made it keeps away from its test set.
locks = Table(
    "validation_lock", metadata,
    Column("lock", String(200), primary_key=True),
    Column("trained_by", String(120), nullable=False),
    Column("locked_by", String(120), nullable=False),
    Column("resolution", String(40), nullable=False),
    Column("entry", BigInteger, nullable=False),
)
deviations = Table(
    "validation_deviation", metadata,
    Column("deviation", String(240), primary_key=True),
    Column("klass_name", String(12), nullable=False),
    Column("source", String(24), nullable=False),
    Column("about", Text, nullable=False),
    Column("says", Text, nullable=False),
    Column("trial", String(120), index=True),
    Column("lock", String(200)),
    Column("state", String(8), nullable=False),
    Column("opened_by", String(120), nullable=False),
    Column("opened_at", String(32), nullable=False),
    Column("closed_by", String(120)),
    Column("closed_at", String(32)),
    Column("closing", Text),
    Column("closed_seq", BigInteger),
    Column("entry", BigInteger, nullable=False),
)
capas = Table(
    "validation_capa", metadata,
    Column("capa", String(120), primary_key=True),
    Column("deviation", String(240), nullable=False, index=True),
    Column("klass_name", String(12), nullable=False),
    Column("action_kind", String(12), nullable=False),
    Column("action", Text, nullable=False),
    Column("owner", String(120), nullable=False),
    Column("due", String(10), nullable=False),
    Column("effect_check", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("opened_by", String(120), nullable=False),
    Column("opened_at", String(32), nullable=False),
    Column("effect", String(16)),
    Column("closed_by", String(120)),
    Column("closed_at", String(32)),
    Column("closing", Text),
    Column("closed_seq", BigInteger),
    Column("entry", BigInteger, nullable=False),
)
changes = Table(
    "validation_change", metadata,
    Column("change", String(120), primary_key=True),
    Column("klass_name", String(4), nullable=False),
    Column("target", String(16), nullable=False),
    Column("lock", String(200)),
    Column("says", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("runs", Text, nullable=False),
    Column("person", String(120), nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry", BigInteger, nullable=False),
)
releases = Table(
    "validation_release", metadata,
    Column("entry", BigInteger, primary_key=True),
    Column("target", String(16), nullable=False),
    Column("what", String(200), nullable=False),
    Column("lock", String(200)),
    Column("runs", Text, nullable=False),
    Column("conclusion", Text, nullable=False),
    Column("evidence_class", String(16), nullable=False),
    Column("person", String(120), nullable=False),
    Column("at", String(32), nullable=False),
)


@projects(ModelLocked)
def remember_lock(session: Connection, entry: Recorded, event: ModelLocked) -> None:
    keep(
        session, locks, lock=event.lock, trained_by=event.trained_by, locked_by=entry.person,
        resolution=event.resolution, entry=entry.seq,
    )


@projects(ProtocolDrafted)
def remember_draft(session: Connection, entry: Recorded, event: ProtocolDrafted) -> None:
    keep(
        session, protocols, protocol=event.protocol, version=event.version, title=event.title, kind=event.kind,
        target=event.target, lock=event.lock, use=event.use, use_name=event.use_name, endpoint=event.endpoint,
        evidence_class=event.evidence_class, document=reference(event.document), digest=event.digest,
        signers=json.dumps(event.signers), state=PROTOCOL[None, "protocol.drafted"], author=entry.person,
        entry=entry.seq,
    )


@projects(ProtocolReviewed, ProtocolApproved)
def remember_signature(session: Connection, entry: Recorded, event: ProtocolReviewed | ProtocolApproved) -> None:
    meaning = "review" if isinstance(event, ProtocolReviewed) else "approval"
    keep(
        session, signatures, entry=entry.seq, protocol=event.protocol, version=event.version,
        signed=f"{event.signed_as}:{meaning}", person=entry.person, at=entry.at,
    )
    this = (protocols.c.protocol == event.protocol) & (protocols.c.version == event.version)
    row = session.execute(select(protocols).where(this)).one()
    given = session.execute(
        select(signatures.c.signed).where(
            signatures.c.protocol == event.protocol, signatures.c.version == event.version
        ).order_by(signatures.c.entry)
    ).scalars().all()
    if next_signature(json.loads(row.signers), list(given)) is not None:
        return
    session.execute(
        update(protocols).where(
            protocols.c.protocol == event.protocol, protocols.c.version < event.version,
            protocols.c.state == "approved", protocols.c.lock.is_not_distinct_from(row.lock),
            protocols.c.use.is_not_distinct_from(row.use), protocols.c.endpoint.is_not_distinct_from(row.endpoint),
        ).values(state=PROTOCOL["approved", "newer version approved"])
    )
    session.execute(
        update(protocols).where(this).values(
            state=PROTOCOL[row.state, "last signature"], approved_at=entry.at, approved_seq=entry.seq
        )
    )


@projects(TestSetSealed)
def remember_test_set(session: Connection, entry: Recorded, event: TestSetSealed) -> None:
    keep(
        session, test_sets, test_set=event.test_set, digest=event.digest, manifest=reference(event.manifest),
        strata=json.dumps([fields_of(stratum) for stratum in event.strata], sort_keys=True),
        independence=event.independence, sealed_by=entry.person, unseals=0, entry=entry.seq,
    )


@projects(TestSetUnsealed)
def remember_opening(session: Connection, entry: Recorded, event: TestSetUnsealed) -> None:
    keep(
        session, openings, entry=entry.seq, entry_id=entry.id, test_set=event.test_set, protocol=event.protocol,
        version=event.version, person=entry.person, effective=event.first is not None,
    )
    if event.first is not None:
        session.execute(
            update(test_sets).where(test_sets.c.test_set == event.test_set).values(unseals=test_sets.c.unseals + 1)
        )


@projects(ValidationStarted)
def remember_run(session: Connection, entry: Recorded, event: ValidationStarted) -> None:
    plan = session.execute(
        select(protocols).where(protocols.c.protocol == event.protocol, protocols.c.version == event.version)
    ).one()
    started = "validation.started exploratory" if event.evidence_class == EXPLORATORY else "validation.started"
    keep(
        session, runs, run=event.run, protocol=event.protocol, version=event.version, kind=event.kind,
        target=event.target, lock=event.lock, use=plan.use, endpoint=plan.endpoint,
        evidence_class=event.evidence_class, tester=entry.person, environment=reference(event.environment),
        protocol_seq=event.protocol_seq, started_at=entry.at, state=RUN[None, started], entry=entry.seq,
    )


@projects(StepRecorded)
def remember_step(session: Connection, entry: Recorded, event: StepRecorded) -> None:
    keep(
        session, steps, entry=entry.seq, run=event.run, step=event.step, requirements=json.dumps(event.requirements),
        title=event.title, expected=event.expected, found=event.found, verdict=event.verdict,
        evidence=reference(event.evidence),
    )


@projects(StepObserved)
def remember_observation(session: Connection, entry: Recorded, event: StepObserved) -> None:
    keep(
        session, steps, entry=entry.seq, run=event.run, step=event.step, requirements=json.dumps(event.requirements),
        title=event.title, expected=event.expected, found=event.found, verdict=event.verdict,
        evidence=reference(event.evidence) if event.evidence else None, observed_by=entry.person,
        altered=event.altered,
    )


@projects(ValidationConcluded)
def remember_conclusion(session: Connection, entry: Recorded, event: ValidationConcluded) -> None:
    state = session.execute(select(runs.c.state).where(runs.c.run == event.run)).scalar_one()
    session.execute(
        update(runs).where(runs.c.run == event.run).values(
            state=RUN[state, "validation.concluded"], verdict=event.verdict, concluded_at=entry.at,
            concluded_seq=entry.seq, report=reference(event.report), test_set=event.test_set,
        )
    )
    for part in event.strata:
        keep(session, verdicts, run=event.run, lock=event.lock, entry=entry.seq, **fields_of(part))
    for one in event.criteria:
        keep(
            session, criteria, run=event.run, criterion=one.criterion, entry=entry.seq,
            fields=json.dumps(fields_of(one), sort_keys=True),
        )


@projects(ValidationReviewed)
def remember_review(session: Connection, entry: Recorded, event: ValidationReviewed) -> None:
    session.execute(
        update(runs).where(runs.c.run == event.run).values(
            reviewed_by=entry.person, reviewed_at=entry.at, reviewed_seq=entry.seq
        )
    )


@projects(ValidationSuspect)
def remember_suspicion(session: Connection, entry: Recorded, event: ValidationSuspect) -> None:
    state = session.execute(select(runs.c.state).where(runs.c.run == event.run)).scalar_one()
    session.execute(
        update(runs).where(runs.c.run == event.run).values(
            state=RUN[state, "validation.suspect"], suspect=f"{event.cause} To be done again: {event.scope}."
        )
    )


@projects(DeviationOpened)
def remember_deviation(session: Connection, entry: Recorded, event: DeviationOpened) -> None:
    keep(
        session, deviations, deviation=event.deviation, klass_name=event.klass_name, source=event.source,
        about=event.about, says=event.says, trial=entry.trial, lock=event.lock,
        state=DEVIATION[None, "deviation.opened"], opened_by=entry.person, opened_at=entry.at, entry=entry.seq,
    )


@projects(DeviationClosed)
def forget_deviation(session: Connection, entry: Recorded, event: DeviationClosed) -> None:
    state = session.execute(
        select(deviations.c.state).where(deviations.c.deviation == event.deviation)
    ).scalar_one()
    session.execute(
        update(deviations).where(deviations.c.deviation == event.deviation).values(
            state=DEVIATION[state, "deviation.closed"], closed_by=entry.person, closed_at=entry.at,
            closing=json.dumps(fields_of(event), sort_keys=True), closed_seq=entry.seq,
        )
    )


@projects(CapaOpened)
def remember_capa(session: Connection, entry: Recorded, event: CapaOpened) -> None:
    keep(
        session, capas, capa=event.capa, deviation=event.deviation, klass_name=event.klass_name,
        action_kind=event.action_kind, action=event.action, owner=event.owner, due=event.due,
        effect_check=event.effect_check, state=CAPA[None, "capa.opened"], opened_by=entry.person, opened_at=entry.at,
        entry=entry.seq,
    )


@projects(CapaClosed)
def forget_capa(session: Connection, entry: Recorded, event: CapaClosed) -> None:
    state = session.execute(select(capas.c.state).where(capas.c.capa == event.capa)).scalar_one()
    session.execute(
        update(capas).where(capas.c.capa == event.capa).values(
            state=CAPA[state, "capa.closed"], effect=event.effect, closed_by=entry.person, closed_at=entry.at,
            closing=json.dumps(fields_of(event)), closed_seq=entry.seq,
        )
    )


@projects(ChangeAssessed)
def remember_change(session: Connection, entry: Recorded, event: ChangeAssessed) -> None:
    keep(
        session, changes, change=event.change, klass_name=event.klass_name, target=event.target, lock=event.lock,
        says=event.says, scope=event.scope, runs=json.dumps(event.runs), person=entry.person, at=entry.at,
        entry=entry.seq,
    )


@projects(ReleaseSigned)
def remember_release(session: Connection, entry: Recorded, event: ReleaseSigned) -> None:
    keep(
        session, releases, entry=entry.seq, target=event.target, what=event.what, lock=event.lock,
        runs=json.dumps(event.runs), conclusion=event.conclusion, evidence_class=event.evidence_class,
        person=entry.person, at=entry.at,
    )

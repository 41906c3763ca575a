"""Tables of reads: who may read, slots, tasks, seals, opened answers, comparisons, adjudications, finals, AI values."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text, delete, or_, select

from audit.vocabulary import corrections, incidents
from audit.vocabulary import models as model_words
from audit.vocabulary import reads as words
from core.errors import RecordDamaged
from core.projection import Recorded, keep, metadata, projects, reference
from core.reads.sealing import Sealed, open_seal

readers = Table(
    "read_reader", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("user", String(120), nullable=False),
    Column("role_read", String(20), nullable=False),
    Column("reference_set", Text, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("score", Text, nullable=False),
    Column("required", Text, nullable=False),
    Column("charter_version", String(8), nullable=False),
    Column("qualified_by", String(120), nullable=False),
    Column("at", String(27), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
slots = Table(
    "read_slot", metadata,
    Column("assigned", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("slot", String(12), nullable=False),
    Column("reader", String(120), nullable=False, index=True),
    Column("current", Boolean, nullable=False),
    Column("replaces", String(36)),
    Column("reason", String(64)),
    Column("entry", Integer, nullable=False),
)
# Until a seal opens, a task says "sealed" and nothing else (RECORD 5).
tasks = Table(
    "read_task", metadata,
    Column("assignment", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("time_point", String(32), nullable=False),
    Column("slot", String(12), nullable=False),
    Column("reader", String(120), nullable=False, index=True),
    Column("assigned", String(36), nullable=False),
    Column("charter_version", String(8), nullable=False),
    Column("slots", String(120), nullable=False),
    Column("acquired_on", String(10), nullable=False),
    Column("state", String(10), nullable=False),  # begun, sealed, opened, withdrawn
    Column("begun_at", String(27), nullable=False),
    Column("sealed", String(36)),
    Column("sealed_at", String(27)),
    Column("sealed_entry", Integer),
    Column("opened_entry", Integer),
    Column("superseded", String(36)),
    Column("lock", String(120)),
    Column("entry", Integer, nullable=False),
)
seals = Table(
    "read_seal", metadata,
    Column("sealed", String(36), primary_key=True),
    Column("assignment", String(36), nullable=False, index=True),
    Column("marks", Boolean, nullable=False),
    Column("sealed_commit", String(64), nullable=False),
    Column("iv", String(16), nullable=False),
    Column("ct", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)
answers = Table(
    "read_answer", metadata,
    Column("sealed", String(36), primary_key=True),
    Column("assignment", String(36), nullable=False, index=True),
    Column("marks", Boolean, nullable=False),
    Column("plaintext", Text, nullable=False),
    Column("entry", Integer, nullable=False),
)
comparisons = Table(
    "read_comparison", metadata,
    Column("compared", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32)),
    Column("charter_version", String(8), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("fired", Integer, nullable=False),
    Column("at", String(27), nullable=False),
    Column("entry", Integer, nullable=False),
)
triggers = Table(
    "read_trigger", metadata,
    Column("compared", String(36), nullable=False, index=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trigger", String(120), nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
adjudications = Table(
    "read_adjudication", metadata,
    Column("id", String(36), primary_key=True),
    Column("compared", String(36), nullable=False, unique=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32)),
    Column("chosen", String(36), nullable=False),
    Column("against", Text, nullable=False),
    Column("adjudicator", String(120), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("at", String(27), nullable=False),
    Column("entry", Integer, nullable=False),
)
finals = Table(
    "read_final", metadata,
    Column("id", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("accepted", String(36), nullable=False),
    Column("rests_on", String(36), nullable=False),
    Column("report", Text, nullable=False),
    Column("sop_instance", String(64), nullable=False),
    Column("signer", String(120), nullable=False),
    Column("at", String(27), nullable=False),
    Column("entry", Integer, nullable=False),
)
shown = Table(
    "read_ai_shown", metadata,
    Column("assignment", String(36), primary_key=True),
    Column("run", String(120), primary_key=True),
    Column("endpoint", String(32), nullable=False),
    Column("gate", String(120), nullable=False),
    Column("entry", Integer, nullable=False),
)
ai_values = Table(
    "read_ai_value", metadata,
    Column("run", String(120), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("lesion", String(120), nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("value", Text, nullable=False),
    Column("uncertainty", Text),
    Column("lock", String(120), nullable=False),
    Column("gate", String(120)),
    Column("tracking_uid", String(120)),
    Column("segmentation", Text),
    Column("report", Text),
    Column("entry", Integer, nullable=False),
)
ai_runs = Table(
    "read_ai_run", metadata,
    Column("run", String(120), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("endpoint", String(32)),
    Column("standing", String(12), nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("lock", String(120), nullable=False),
    Column("entry", Integer, nullable=False),
)
locks = Table(
    "read_lock", metadata,
    Column("lock", String(120), primary_key=True),
    Column("model", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("tree_sha256", String(64), nullable=False),
    Column("tensors_sha256", String(64), nullable=False),
    Column("environment_sha256", String(64), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)
seeds = Table(
    "read_seed", metadata,
    Column("trial", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("time_point", String(32), primary_key=True),
    Column("lesion", String(120), primary_key=True),
    Column("tracking_uid", String(120), nullable=False),
    Column("x", Text, nullable=False),
    Column("y", Text, nullable=False),
    Column("z", Text, nullable=False),
    Column("series", String(120), nullable=False),
    Column("frame_of_reference", String(120), nullable=False),
    Column("placed_by", String(120), nullable=False),
    Column("placed", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)  # fmt: skip

# A correction at a time point with locked reads, and what was decided that it means for them.
impacts = Table(
    "read_impact", metadata,
    Column("correction", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("subject", String(64), primary_key=True),
    Column("time_point", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("corrected_by", String(120), nullable=False),
    Column("decision", String(12)),
    Column("decided_by", String(120)),
    Column("decided_entry", Integer),
    Column("entry", Integer, nullable=False),
)


@projects(words.ReaderQualified)
def remember_reader(session: Connection, entry: Recorded, event: words.ReaderQualified) -> None:
    keep(
        session, readers, trial=entry.trial, user=event.user, role_read=event.role_read,
        reference_set=event.reference_set, cases=event.cases, score=event.score, required=event.limit,
        charter_version=event.charter_version, qualified_by=entry.person, at=entry.at, entry=entry.seq,
    )  # fmt: skip


@projects(words.ReadAssigned)
def remember_slot(session: Connection, entry: Recorded, event: words.ReadAssigned) -> None:
    session.execute(
        slots.update()
        .where(slots.c.trial == entry.trial, slots.c.subject == event.subject, slots.c.slot == event.slot)
        .values(current=False)
    )
    keep(
        session, slots, assigned=entry.id, trial=entry.trial, subject=event.subject, slot=event.slot,
        reader=event.reader, current=True, replaces=event.replaces, reason=entry.reason, entry=entry.seq,
    )  # fmt: skip


@projects(words.SeedPlaced)
def remember_seeds(session: Connection, entry: Recorded, event: words.SeedPlaced) -> None:
    for seed in event.seeds:
        session.execute(
            seeds.delete().where(
                seeds.c.trial == entry.trial,
                seeds.c.subject == event.subject,
                seeds.c.time_point == event.time_point,
                seeds.c.lesion == seed.lesion,
            )
        )
        keep(
            session, seeds, trial=entry.trial, subject=event.subject, time_point=event.time_point,
            lesion=seed.lesion, tracking_uid=seed.tracking_uid, x=seed.x, y=seed.y, z=seed.z, series=event.series,
            frame_of_reference=event.frame_of_reference, placed_by=entry.person, placed=entry.id, entry=entry.seq,
        )  # fmt: skip


@projects(words.ReadBegun)
def remember_task(session: Connection, entry: Recorded, event: words.ReadBegun) -> None:
    keep(
        session, tasks, assignment=entry.id, trial=entry.trial, subject=event.subject, time_point=event.time_point,
        slot=event.slot, reader=entry.person, assigned=event.assigned, charter_version=event.charter_version,
        slots=" ".join(event.slots), acquired_on=event.on, state="begun", begun_at=entry.at,
        lock=event.lock, entry=entry.seq,
    )  # fmt: skip
    if event.supersedes is not None:
        session.execute(tasks.update().where(tasks.c.assignment == event.supersedes).values(superseded=entry.id))


@projects(words.ReadMarked, words.ReadSealed)
def remember_seal(session: Connection, entry: Recorded, event: words.ReadMarked | words.ReadSealed) -> None:
    marks = isinstance(event, words.ReadMarked)
    keep(
        session, seals, sealed=entry.id, assignment=event.assignment, marks=marks, sealed_commit=event.commit,
        iv=event.iv, ct=event.ct, open=False, entry=entry.seq,
    )  # fmt: skip
    if not marks:
        session.execute(
            tasks.update()
            .where(tasks.c.assignment == event.assignment)
            .values(state="sealed", sealed=entry.id, sealed_at=entry.at, sealed_entry=entry.seq)
        )


@projects(words.RereadOrdered)
def supersede_tasks(session: Connection, entry: Recorded, event: words.RereadOrdered) -> None:
    """Reads by the slot's present holder, at the time point or from it on, are kept and count no more."""
    held = select(slots.c.assigned).where(
        slots.c.trial == entry.trial,
        slots.c.subject == event.subject,
        slots.c.slot == event.slot,
        slots.c.current.is_(True),
    )
    which = tasks.c.time_point == event.time_point
    if event.scope == "from_here":
        which = which | (tasks.c.acquired_on >= event.on)
    session.execute(
        tasks.update()
        .where(
            tasks.c.trial == entry.trial,
            tasks.c.subject == event.subject,
            tasks.c.assigned.in_(held),
            tasks.c.superseded.is_(None),
            which,
        )
        .values(superseded=entry.id)
    )


@projects(corrections.StudyReassigned, incidents.IncidentOpened)
def withdraw_what_was_derived(
    session: Connection, entry: Recorded, event: corrections.StudyReassigned | incidents.IncidentOpened
) -> None:
    """Values, runs and seeds of the time point count no more; locked reads, here and there, await a decision."""
    if not event.series or event.subject is None or event.time_point is None:
        return
    for table in (ai_values, ai_runs, seeds):
        session.execute(delete(table).where(
            table.c.trial == entry.trial, table.c.subject == event.subject, table.c.time_point == event.time_point))
    here = (event.subject, event.time_point)
    there = here
    if isinstance(event, corrections.StudyReassigned):
        there = (event.to_subject or event.subject, event.to_time_point or event.time_point)
    kind = event.kind if isinstance(event, corrections.StudyReassigned) else "identifiers_left"
    for subject, time_point in dict.fromkeys((here, there)):
        locked = session.execute(
            select(tasks.c.assignment)
            .join(slots, slots.c.assigned == tasks.c.assigned)
            .where(
                tasks.c.trial == entry.trial, tasks.c.subject == subject, tasks.c.time_point == time_point,
                tasks.c.superseded.is_(None), slots.c.current.is_(True),
                or_(tasks.c.state == "sealed", tasks.c.state == "opened"),
            )
        ).first()  # fmt: skip
        if locked is not None:
            keep(
                session, impacts, correction=entry.id, trial=entry.trial, subject=subject, time_point=time_point,
                kind=kind, corrected_by=entry.person, entry=entry.seq,
            )  # fmt: skip


@projects(words.ImpactDecided)
def remember_impact(session: Connection, entry: Recorded, event: words.ImpactDecided) -> None:
    session.execute(
        impacts.update()
        .where(
            impacts.c.trial == entry.trial, impacts.c.subject == event.subject,
            impacts.c.time_point == event.time_point, impacts.c.correction.in_(event.corrections),
        )
        .values(decision=event.decision, decided_by=entry.person, decided_entry=entry.seq)
    )  # fmt: skip


@projects(words.ReadWithdrawn, words.ReadPulled)
def withdraw_task(session: Connection, entry: Recorded, event: words.ReadWithdrawn | words.ReadPulled) -> None:
    session.execute(tasks.update().where(tasks.c.assignment == event.assignment).values(state="withdrawn"))
    # An AI read that was to replace another one does not come: the earlier one counts again.
    session.execute(tasks.update().where(tasks.c.superseded == event.assignment).values(superseded=None))


@projects(words.ReadAiShown)
def remember_shown(session: Connection, entry: Recorded, event: words.ReadAiShown) -> None:
    for run in event.runs:
        keep(
            session, shown, assignment=event.assignment, run=run, endpoint=event.endpoint, gate=event.gate,
            entry=entry.seq,
        )  # fmt: skip


@projects(words.ReadOpened)
def open_answer(session: Connection, entry: Recorded, event: words.ReadOpened) -> None:
    row = session.execute(select(seals).where(seals.c.sealed == event.sealed)).first()
    if row is None:
        raise RecordDamaged(f"Entry {entry.seq} opens {event.sealed}, which is no seal.")
    plaintext = open_seal(Sealed(row.sealed_commit, row.iv, row.ct), key=event.key, nonce=event.nonce)
    keep(
        session, answers, sealed=row.sealed, assignment=row.assignment, marks=row.marks,
        plaintext=plaintext.decode(), entry=entry.seq,
    )  # fmt: skip
    session.execute(seals.update().where(seals.c.sealed == row.sealed).values(open=True))
    if not row.marks:
        session.execute(
            tasks.update().where(tasks.c.assignment == row.assignment).values(state="opened", opened_entry=entry.seq)
        )


@projects(words.ReadCompared)
def remember_comparison(session: Connection, entry: Recorded, event: words.ReadCompared) -> None:
    keep(
        session, comparisons, compared=entry.id, trial=entry.trial, subject=event.subject,
        time_point=event.time_point, charter_version=event.charter_version, sealed=" ".join(event.sealed),
        fired=len(event.fired), at=entry.at, entry=entry.seq,
    )  # fmt: skip
    for number, each in enumerate(event.fired):
        keep(
            session, triggers, compared=entry.id, number=number, trigger=each.trigger, endpoint=each.endpoint,
            kind=each.kind, entry=entry.seq,
        )  # fmt: skip


@projects(words.ReadAdjudicated)
def remember_adjudication(session: Connection, entry: Recorded, event: words.ReadAdjudicated) -> None:
    keep(
        session, adjudications, id=entry.id, compared=event.compared, trial=entry.trial, subject=event.subject,
        time_point=event.time_point, chosen=event.chosen, against=" ".join(event.against),
        adjudicator=entry.person, reason=entry.reason or "", at=entry.at, entry=entry.seq,
    )  # fmt: skip


@projects(words.ReadSigned)
def remember_final(session: Connection, entry: Recorded, event: words.ReadSigned) -> None:
    keep(
        session, finals, id=entry.id, trial=entry.trial, subject=event.subject, time_point=event.time_point,
        accepted=event.accepted, rests_on=event.rests_on, report=reference(event.report),
        sop_instance=event.sop_instance, signer=entry.person, at=entry.at, entry=entry.seq,
    )  # fmt: skip


@projects(model_words.RunFinished)
def remember_ai_value(session: Connection, entry: Recorded, event: model_words.RunFinished) -> None:
    """Only a gated, unsealed run for an endpoint is ever offered; shadow and exploratory ones are not for readers."""
    keep(
        session, ai_runs, run=event.run, trial=entry.trial, subject=event.subject, time_point=event.time_point,
        endpoint=event.endpoint, standing=event.standing, sealed=event.sealed, lock=event.lock, entry=entry.seq,
    )  # fmt: skip
    if event.standing != "gated" or event.sealed or event.endpoint is None:
        return
    for value in event.values:
        if value.value is None:
            continue
        keep(
            session, ai_values, run=event.run, name=value.name, trial=entry.trial, subject=event.subject,
            time_point=event.time_point, lesion=event.lesion, endpoint=event.endpoint, value=value.value,
            uncertainty=value.uncertainty, lock=event.lock, gate=event.gate, tracking_uid=event.tracking_uid,
            segmentation=reference(event.segmentation) if event.segmentation else None,
            report=reference(event.report) if event.report else None, entry=entry.seq,
        )  # fmt: skip


@projects(model_words.ModelLocked)
def remember_lock(session: Connection, entry: Recorded, event: model_words.ModelLocked) -> None:
    """What a final report says of the algorithm whose values were accepted or adjusted."""
    keep(
        session, locks, lock=event.lock, model=event.model, model_version=event.model_version,
        tree_sha256=event.tree_sha256, tensors_sha256=event.tensors_sha256,
        environment_sha256=event.environment_sha256, entry_id=entry.id, entry=entry.seq,
    )  # fmt: skip

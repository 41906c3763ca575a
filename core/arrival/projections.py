"""Tables of arrival: series as they are now, cases with their rules, dispositions, and everything that was refused."""

from __future__ import annotations

import json

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, String, Table, Text, delete, select

from audit.vocabulary import corrections, incidents
from audit.vocabulary import imaging as words
from audit.vocabulary.registry import fields_of
from core.projection import Recorded, keep, metadata, projects, reference

series_table = Table(
    "arrival_series", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("series", String(64), primary_key=True),
    Column("study", String(64), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("site", String(32), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("modality", String(16), nullable=False),
    Column("acquired_on", String(10), nullable=False),
    Column("scanner", String(64), nullable=False),
    Column("charter_version", String(8), nullable=False),
    Column("instances", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("sent_by", String(120), nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("edition", Integer, nullable=False),
    Column("held", String(64)),
    Column("case_id", String(160)),
    Column("disposition", String(16)),
    Column("disposed_by", String(120)),
    Column("disposed_reason", String(64)),
    Column("disposed_entry", Integer),
    # Taken out of its place by this entry; `copy_due`: another series is written that stands for it.
    Column("reassigned", String(36)),
    Column("copy_due", Boolean, nullable=False),
    Column("corrects", String(64)),
    # Closed off for identifiers that were left; `emptied` when its objects are destroyed and it may come anew.
    Column("closed_by", String(40)),
    Column("emptied", Boolean, nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, nullable=False),
)
cases = Table(
    "arrival_case", metadata,
    Column("case_id", String(160), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("series", String(64), nullable=False),
    Column("study", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("modality", String(16), nullable=False),
    Column("charter_version", String(8), nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("broken", Integer, nullable=False),
    Column("rules", Text, nullable=False),
    Column("checked_at", String(32), nullable=False),
    Column("entry", Integer, nullable=False),
)
dispositions = Table(
    "arrival_disposition", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("case_id", String(160), nullable=False, index=True),
    Column("series", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("time_point", String(32), nullable=False),
    Column("modality", String(16), nullable=False),
    Column("disposition", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("not_met", Text, nullable=False),
    Column("person", String(120), nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
# Which AI runs a person was shown beside a case.
ai_shown = Table(
    "arrival_ai_shown", metadata,
    Column("trial", String(16), primary_key=True),
    Column("case_id", String(160), primary_key=True),
    Column("person", String(120), primary_key=True),
    Column("run", String(120), primary_key=True),
    Column("entry", Integer, nullable=False),
)
# One row per entry that kept something out, or recognised it.
refusals = Table(
    "arrival_refusal", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("intake", String(36), nullable=False, index=True),
    Column("kind", String(16), nullable=False),  # files, series, conflict, duplicate
    Column("code", String(64), nullable=False),
    Column("count", Integer, nullable=False),
    Column("subject", String(64)),
    Column("time_point", String(32)),
    Column("modality", String(16)),
    Column("series", String(64)),
    Column("at", String(32), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
)
intakes = Table(
    "arrival_intake", metadata,
    Column("intake", String(36), primary_key=True),
    Column("trial", String(16), nullable=False, index=True),
    Column("sent_by", String(120), nullable=False),
    Column("files", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("conflicting", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry", Integer, nullable=False),
)
completed = Table(
    "arrival_completed", metadata,
    Column("trial", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("time_point", String(32), primary_key=True),
    Column("study", String(64), nullable=False),
    Column("modalities", String(120), nullable=False),
    Column("entry", Integer, nullable=False),
)
keys = Table(
    "arrival_key", metadata,
    Column("trial", String(16), primary_key=True),
    Column("profile", String(16), nullable=False),
    Column("key_ref", Text, nullable=False),
    Column("entry", Integer, nullable=False),
)


@projects(words.DeidentificationKeyed)
def remember_key(session: Connection, entry: Recorded, event: words.DeidentificationKeyed) -> None:
    keep(session, keys, trial=entry.trial, profile=event.profile, key_ref=reference(event.key), entry=entry.seq)


@projects(words.SeriesReceived)
def remember_series(session: Connection, entry: Recorded, event: words.SeriesReceived) -> None:
    keep(
        session, series_table, trial=entry.trial, series=event.series, study=event.study, subject=event.subject,
        site=event.site, time_point=event.time_point, modality=event.modality, acquired_on=event.acquired_on,
        scanner=event.scanner, charter_version=event.charter_version, instances=event.instances, bytes=event.bytes,
        manifest=reference(event.manifest), manifest_sha256=event.manifest_sha256,
        content_sha256=event.content_sha256, sent_by=entry.person, received_at=entry.at, edition=1, copy_due=False,
        emptied=False, entry_id=entry.id, entry=entry.seq,
    )


@projects(corrections.StudyReassigned, incidents.IncidentOpened)
def take_series_out(
    session: Connection, entry: Recorded, event: corrections.StudyReassigned | incidents.IncidentOpened
) -> None:
    """They stay on record and count no more; the time point is complete again only when it is anew."""
    closed_by = event.incident if isinstance(event, incidents.IncidentOpened) else None
    moved = closed_by is None and event.kind in ("wrong_subject", "wrong_time_point", "wrong_side")
    for one in event.series:
        session.execute(series_table.update().where(series_table.c.series == one.series).values(
            reassigned=entry.id, copy_due=moved, closed_by=closed_by))
    session.execute(delete(completed).where(
        completed.c.trial == entry.trial, completed.c.subject == event.subject,
        completed.c.time_point == event.time_point))


@projects(corrections.SeriesCorrected)
def remember_corrected_series(session: Connection, entry: Recorded, event: corrections.SeriesCorrected) -> None:
    """Its sender is the sender of what it stands for: nobody disposes of their own upload by way of a correction."""
    former = session.execute(select(series_table).where(series_table.c.series == event.corrects)).one()
    session.execute(series_table.update().where(series_table.c.series == event.corrects).values(copy_due=False))
    keep(
        session, series_table, trial=entry.trial, series=event.series, study=event.study, subject=event.subject,
        site=event.site, time_point=event.time_point, modality=event.modality, acquired_on=event.acquired_on,
        scanner=event.scanner, charter_version=event.charter_version, instances=event.instances, bytes=event.bytes,
        manifest=reference(event.manifest), manifest_sha256=event.manifest_sha256,
        content_sha256=event.content_sha256, sent_by=former.sent_by, received_at=entry.at, edition=1,
        corrects=event.corrects, copy_due=False, emptied=False, entry_id=entry.id, entry=entry.seq,
    )


@projects(incidents.DestructionDone)
def empty_series(session: Connection, entry: Recorded, event: incidents.DestructionDone) -> None:
    """Nothing of it is left; the site may send it anew under its own UIDs."""
    session.execute(series_table.update().where(series_table.c.closed_by == event.incident).values(emptied=True))


@projects(words.SeriesExtended, words.SeriesResubmitted)
def renew_series(
    session: Connection, entry: Recorded, event: words.SeriesExtended | words.SeriesResubmitted
) -> None:
    """What came anew is disposed anew; earlier dispositions stay in their own table."""
    edition = {"edition": event.edition} if isinstance(event, words.SeriesResubmitted) else {}
    session.execute(series_table.update().where(series_table.c.series == event.series).values(
        instances=event.instances, bytes=event.bytes, manifest=reference(event.manifest),
        manifest_sha256=event.manifest_sha256, content_sha256=event.content_sha256, entry_id=entry.id, entry=entry.seq,
        sent_by=entry.person, disposition=None, disposed_by=None, disposed_reason=None, disposed_entry=None,
        reassigned=None, closed_by=None, emptied=False, **edition,
    ))


@projects(words.SeriesHeld, words.SeriesReleased)
def hold_or_release(
    session: Connection, entry: Recorded, event: words.SeriesHeld | words.SeriesReleased
) -> None:
    held = entry.reason if isinstance(event, words.SeriesHeld) else None
    session.execute(series_table.update().where(series_table.c.series == event.series).values(held=held))


@projects(words.QualityChecked)
def remember_check(session: Connection, entry: Recorded, event: words.QualityChecked) -> None:
    session.execute(cases.delete().where(cases.c.case_id == event.case))
    keep(
        session, cases, case_id=event.case, trial=entry.trial, series=event.series, study=event.study,
        subject=event.subject, time_point=event.time_point, modality=event.modality,
        charter_version=event.charter_version, manifest_sha256=event.manifest_sha256, broken=event.broken,
        rules=json.dumps([fields_of(rule) for rule in event.rules], sort_keys=True), checked_at=entry.at,
        entry=entry.seq,
    )
    session.execute(
        series_table.update().where(series_table.c.series == event.series).values(case_id=event.case)
    )


@projects(words.QualityDisposed)
def remember_disposition(session: Connection, entry: Recorded, event: words.QualityDisposed) -> None:
    keep(
        session, dispositions, trial=entry.trial, case_id=event.case, series=event.series, subject=event.subject,
        time_point=event.time_point, modality=event.modality, disposition=event.disposition,
        reason=entry.reason or "", not_met=" ".join(event.not_met), person=entry.person, at=entry.at,
        entry_id=entry.id, entry=entry.seq,
    )
    session.execute(series_table.update().where(series_table.c.series == event.series).values(
        disposition=event.disposition, disposed_by=entry.person, disposed_reason=entry.reason,
        disposed_entry=entry.seq,
    ))


@projects(words.QualityAiShown)
def remember_ai_shown(session: Connection, entry: Recorded, event: words.QualityAiShown) -> None:
    for run in event.runs:
        keep(session, ai_shown, trial=entry.trial, case_id=event.case, person=entry.person, run=run, entry=entry.seq)


@projects(words.FilesRefused)
def remember_refused_files(session: Connection, entry: Recorded, event: words.FilesRefused) -> None:
    counts: dict[str, int] = {}
    for file in event.files:
        counts[file.code] = counts.get(file.code, 0) + 1
    for part, code in enumerate(sorted(counts)):
        keep(
            session, refusals, trial=entry.trial, intake=event.intake, kind="files", code=code, count=counts[code],
            at=entry.at, entry=entry.seq, part=part,
        )


@projects(words.SeriesRefused)
def remember_refused_series(session: Connection, entry: Recorded, event: words.SeriesRefused) -> None:
    keep(
        session, refusals, trial=entry.trial, intake=event.intake, kind="series", code=entry.reason or "",
        count=event.instances, subject=event.subject, time_point=event.time_point, modality=event.modality,
        at=entry.at, entry=entry.seq, part=0,
    )


@projects(words.SeriesConflicted)
def remember_conflict(session: Connection, entry: Recorded, event: words.SeriesConflicted) -> None:
    keep(
        session, refusals, trial=entry.trial, intake=event.intake, kind="conflict", code="same-uid-other-content",
        count=event.conflicting, subject=event.subject, time_point=event.time_point, modality=event.modality,
        series=event.series, at=entry.at, entry=entry.seq, part=0,
    )


@projects(words.SeriesDuplicated)
def remember_duplicate(session: Connection, entry: Recorded, event: words.SeriesDuplicated) -> None:
    keep(
        session, refusals, trial=entry.trial, intake=event.intake, kind="duplicate", code="same-content",
        count=event.instances, subject=event.subject, time_point=event.time_point, modality=event.modality,
        series=event.series, at=entry.at, entry=entry.seq, part=0,
    )


@projects(words.StudyCompleted)
def remember_completion(session: Connection, entry: Recorded, event: words.StudyCompleted) -> None:
    keep(
        session, completed, trial=entry.trial, subject=event.subject, time_point=event.time_point, study=event.study,
        modalities=" ".join(event.modalities), entry=entry.seq,
    )


@projects(words.IntakeRecorded)
def remember_intake(session: Connection, entry: Recorded, event: words.IntakeRecorded) -> None:
    keep(
        session, intakes, intake=event.intake, trial=entry.trial, sent_by=entry.person, files=event.files,
        accepted=event.accepted, duplicates=event.duplicates, conflicting=event.conflicting, refused=event.refused,
        at=entry.at, entry=entry.seq,
    )

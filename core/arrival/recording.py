"""What is recorded of one matched and prepared series, all in one transaction; and of one that is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from audit.vocabulary import imaging as words
from audit.vocabulary import trials as trial_words
from audit.vocabulary.registry import ObjectRef
from core.arrival import queries
from core.arrival.delivery import Arrived, Delivery
from core.arrival.elsewhere import Elsewhere, Held
from core.arrival.matching import Assigned, Match, Mismatch
from core.arrival.storing import Prepared
from core.dicom.deidentify import new_uid
from core.errors import Stale
from core.objects import DICOM, owner
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.trials.acting import move_time_point
from core.trials.queries import SignedCharter, charter_at, time_point_of
from core.work import Desk, Work

INTAKE = Actor.of_service("intake")
FILES_AN_ENTRY = 200


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file: accepted, duplicate, conflict or refused; the path is for its sender's eyes only."""

    path: Path
    outcome: str
    code: str
    series: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same through one delivery."""

    desk: Desk
    actor: Actor
    trial: str
    intake: str
    key: bytes
    assigned: Assigned
    delivery: Delivery
    elsewhere: Elsewhere


def held_elsewhere(run: Run, match: Match, series: str, group: Sequence[Arrived]) -> Held | None:
    """An instance of these that stands under another subject, or None."""
    return run.elsewhere.of_another(match.subject.subject, series, (new_uid(run.key, one.uid) for one in group))


def opened(run: Run) -> AbstractContextManager[Work]:
    return run.desk.open(INTAKE, on_behalf_of=run.actor.user, asked="series.send")


def receiving(run: Run, session: Connection) -> Decision:
    """The sender may still send, and so the service receives."""
    permit(run.actor, "series.send", queries.quality_facts(session, run.actor, "series.send", run.trial))
    return permit(INTAKE, "series.receive", queries.quality_facts(session, INTAKE, "series.receive", run.trial))


def refuse_series(run: Run, group: Sequence[Arrived], why: Mismatch) -> list[FileOutcome]:
    files = [words.RefusedFile(sha256=one.digests.file, bytes=one.size, code=why.code) for one in group]
    modality = group[0].text("Modality")
    shown = modality if modality.isascii() and modality.isalnum() and len(modality) <= 16 else "unknown"
    with opened(run) as work:
        for start in range(0, len(files), FILES_AN_ENTRY):
            part = tuple(files[start : start + FILES_AN_ENTRY])
            event = words.SeriesRefused(intake=run.intake, modality=shown, instances=len(part), subject=why.subject,
                                        time_point=why.time_point, places=why.places, files=part)
            work.record(event, under=receiving(run, work.session), trial=run.trial, reason=why.code)
    return [FileOutcome(one.path, "refused", why.code) for one in group]


def record_series(
    run: Run, charter: SignedCharter, match: Match, prepared: Prepared
) -> tuple[list[FileOutcome], str | None]:
    quarantined = _quarantine(run, match.subject.subject, prepared.conflicting)
    case = None
    with opened(run) as work:
        under = receiving(run, work.session)
        row = queries.series_known(work.session, run.trial, prepared.series)
        in_force = charter_at(work.session, run.trial, match.subject.site, match.acquired.isoformat())
        if (row.manifest_sha256 if row else None) != (prepared.row.manifest_sha256 if prepared.row else None) or (
            row and prepared.row and row.disposition != prepared.row.disposition
        ) or in_force is None or in_force.digest != charter.digest:
            raise Stale("The series or the charter changed while it was taken in.")
        if prepared.added:
            # Another delivery may have brought the same instances meanwhile: little, so it is read under the lock.
            run.elsewhere.look(work.session)
            if held_elsewhere(run, match, prepared.series, prepared.added) is not None:
                raise Stale("The same instances came in for another subject meanwhile.")
        if prepared.added or prepared.replaced:
            case = _record_added(run, work, under, charter, match, prepared)
        stored = queries.series_known(work.session, run.trial, prepared.series)
        _record_known(run, work, under, match, prepared, stored, quarantined)
        if prepared.late:
            files = tuple(words.RefusedFile(sha256=one.digests.file, bytes=one.size, code="already-disposed")
                          for one in prepared.late[:FILES_AN_ENTRY])
            event = words.SeriesRefused(
                intake=run.intake, modality=match.modality, instances=len(prepared.late),
                subject=match.subject.subject, time_point=match.time_point, files=files,
            )
            work.record(event, under=under, trial=run.trial, reason="already-disposed")
    outcomes = [
        FileOutcome(one.path, outcome, code, prepared.series)
        for many, outcome, code in (
            (prepared.added, "accepted", "stored"), (prepared.replaced, "accepted", "new-version"),
            (prepared.known, "duplicate", "same-content"),
            (prepared.conflicting, "conflict", "same-uid-other-content"),
            (prepared.late, "refused", "already-disposed"),
        ) for one in many
    ]
    return outcomes, case


def _record_added(
    run: Run, work: Work, under: Decision, charter: SignedCharter, match: Match, prepared: Prepared
) -> str:
    """Received (or extended), perhaps held; the time point moves; the check opens the case."""
    subject, trial = match.subject.subject, run.trial
    same = {"subject": subject, "study": prepared.study, "series": prepared.series, "time_point": match.time_point,
            "modality": match.modality}
    whole = {"instances": len(prepared.manifest.instances), "bytes": prepared.manifest.size,
             "manifest": prepared.manifest_ref, "manifest_sha256": prepared.manifest.sha256,
             "content_sha256": prepared.manifest.content_sha256}
    received: words.SeriesReceived | words.SeriesExtended | words.SeriesResubmitted
    if prepared.row is None:
        received = words.SeriesReceived(
            intake=run.intake, site=match.subject.site, acquired_on=match.acquired.isoformat(), scanner=match.scanner,
            charter_version=charter.version, **same, **whole,  # type: ignore[arg-type]
        )
    elif prepared.replaced or prepared.row.emptied:
        received = words.SeriesResubmitted(
            intake=run.intake, edition=prepared.row.edition + 1, replaced=len(prepared.replaced),
            added=len(prepared.added), tags=prepared.tags, pixels_changed=prepared.pixels_changed,
            former_manifest_sha256=prepared.row.manifest_sha256, **same, **whole,  # type: ignore[arg-type]
        )
    else:
        received = words.SeriesExtended(intake=run.intake, added=len(prepared.added), **same, **whole)  # type: ignore[arg-type]
    cause = work.record(received, under=under, trial=trial).body["id"]
    if match.hold is not None and prepared.row is None:
        work.record(words.SeriesHeld(**same), under=under, trial=trial, reason=match.hold, caused_by=cause)
    if match.point is None and time_point_of(work.session, trial, subject, match.time_point) is None:
        event = trial_words.TimePointUnscheduled(
            subject=subject, time_point=match.time_point, acquired_on=match.acquired.isoformat(),
            charter_version=charter.version,
        )
        work.record(event, under=under, trial=trial, caused_by=cause)
    point = (work, trial, subject, match.time_point)
    move_time_point(*point, "time_point.received", under=under, caused_by=cause, acquired_on=match.acquired,
                    charter_version=charter.version)
    case = (prepared.row.case_id if prepared.row else None) or (
        f"{subject}-{match.time_point}-{match.modality}-{prepared.manifest.content_sha256[:6]}"
    )
    check = words.QualityChecked(
        case=case, charter_version=charter.version, manifest_sha256=prepared.manifest.sha256,
        broken=sum(rule.outcome == "not_met" for rule in prepared.lines), rules=prepared.lines, **same,
    )
    work.record(check, under=under, trial=trial, caused_by=cause)
    move_time_point(*point, "time_point.checked", under=under, caused_by=cause)
    record_completion(work, under, charter, trial, subject, match.time_point, prepared.study, cause)
    return case


def record_completion(
    work: Work, under: Decision, charter: SignedCharter, trial: str, subject: str, time_point: str, study: str,
    cause: str,
) -> None:
    """Say once that every modality of the charter is there."""
    scheduled = charter.charter.time_point(time_point)
    if scheduled is None or (subject, time_point) in queries.completed_time_points(work.session, trial):
        return
    rows = queries.series_of(work.session, trial, subject, time_point)
    if not queries.lacking_modalities(rows, scheduled.modalities, accepted=False):
        event = words.StudyCompleted(
            subject=subject, study=study, time_point=time_point, modalities=tuple(scheduled.modalities),
            series=tuple(row.series for row in rows),
        )
        work.record(event, under=under, trial=trial, caused_by=cause)


def _record_known(
    run: Run, work: Work, under: Decision, match: Match, prepared: Prepared, row: queries.SeriesRow | None,
    quarantined: ObjectRef | None,
) -> None:
    """What came again: with the same content, or with other content under the same UID."""
    about = row or prepared.row
    same = {"intake": run.intake, "subject": match.subject.subject, "study": prepared.study, "series": prepared.series,
            "time_point": about.time_point if about else match.time_point, "modality": match.modality}
    if prepared.known:
        event = words.SeriesDuplicated(instances=len(prepared.known), re_encoded=prepared.re_encoded, **same)
        work.record(event, under=under, trial=run.trial)
    if prepared.conflicting and quarantined is not None:
        work.record(
            words.SeriesConflicted(
                conflicting=len(prepared.conflicting), stored_manifest_sha256=about.manifest_sha256 if about else "",
                found_content_sha256=prepared.conflicting_content, quarantine=(quarantined,), **same,
            ),
            under=under, trial=run.trial, reason="same-uid-other-content",
        )


def _quarantine(run: Run, subject: str, conflicting: Sequence[Arrived]) -> ObjectRef | None:
    """What came under a known UID with other content, as it came, under the subject's key: erasure reaches it too."""
    if not conflicting:
        return None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in sorted({one.digests.file: one.content() for one in conflicting}.items()):
            archive.writestr(zipfile.ZipInfo(f"{name}.dcm"), content)
    return run.desk.objects.put(packed.getvalue(), f"{DICOM}+zip", subject=owner(run.trial, subject))

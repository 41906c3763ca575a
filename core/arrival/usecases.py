"""Commands of arrival: take a folder in, dispose of a case, release what was held."""

from __future__ import annotations

import io
import secrets
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from errno import errorcode
from pathlib import Path

from sqlalchemy import Connection

from audit.vocabulary import imaging as words
from audit.vocabulary import trials as trial_words
from audit.vocabulary.registry import ObjectRef
from core.access.queries import basis
from core.arrival import queries, views
from core.arrival.delivery import Arrived, Delivery, read_delivery
from core.arrival.matching import Assigned, Match, Mismatch, match_series, still_held
from core.arrival.rules import DISPOSITIONS, REASONS, relations_of_disposition
from core.arrival.storing import Prepared, prepare_series, trial_key_of
from core.dicom.deidentify import OPTIONS, PROFILE_REVISION
from core.dicom.reading import UnreadableDicom
from core.errors import NotFound, OutsideUnavailable, Refused, Stale, UnusableInput
from core.ids import uuid7
from core.objects import DICOM
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.trials.queries import SignedCharter, signed_charter, time_point_of
from core.trials.rules import TIME_POINT, next_state
from core.work import Desk, Draft, Occasion, Proposal, View, Work

INTAKE = Actor.of_service("intake")
ATTEMPTS = 3
FILES_AN_ENTRY = 200


@dataclass(frozen=True, slots=True)
class IntakeFolder:
    """A folder to take in for a trial; subject and time point only where the images are silent."""

    folder: Path
    trial: str
    subject: str | None = None
    time_point: str | None = None


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file: accepted, duplicate, conflict or refused; the path is for its sender's eyes only."""

    path: Path
    outcome: str
    code: str
    series: str | None = None


@dataclass(frozen=True, slots=True)
class IntakeAccount:
    """The account of one delivery; every file stands in it once."""

    intake: str
    outcomes: tuple[FileOutcome, ...]
    cases: tuple[str, ...]

    def count(self, outcome: str) -> int:
        return sum(one.outcome == outcome for one in self.outcomes)

    @property
    def series(self) -> tuple[str, ...]:
        """The series that gained instances, in order of arrival."""
        return tuple(dict.fromkeys(one.series for one in self.outcomes if one.series and one.outcome == "accepted"))


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays the same through one delivery."""

    desk: Desk
    actor: Actor
    trial: str
    intake: str
    key: bytes
    assigned: Assigned
    delivery: Delivery


def intake_folder(desk: Desk, actor: Actor, command: IntakeFolder) -> IntakeAccount:
    """Take in every file below a folder; each ends in exactly one recorded outcome.

    Files are read and digested, series are matched, de-identified, re-checked for leaks and stored encrypted before
    anything is recorded; then each series is one transaction. Run again after a crash, it finds what it has already.

    Raises:
        Refused: the sender may not send to this trial now.
        UnusableInput: there is no such folder, or no file in it.
        NotFound: the trial has no approved charter.
    """
    _allowed(desk, actor, command.trial)
    with desk.reading() as session:
        if signed_charter(session, command.trial) is None:
            raise NotFound(f"Trial {command.trial} has no approved charter.")
    delivery = read_delivery(command.folder)
    run = _Run(desk, actor, command.trial, uuid7(desk.clock.now()), make_trial_key(desk, actor, command.trial),
               Assigned(command.subject, command.time_point), delivery)
    outcomes = [FileOutcome(one.path, "refused", one.code) for one in delivery.unfit]
    _record_unfit(run)
    cases: list[str] = []
    for uid in delivery.series:
        found, case = _take_series(run, uid)
        outcomes += found
        cases += [case] if case else []
    account = IntakeAccount(run.intake, tuple(sorted(outcomes, key=lambda one: one.path)), tuple(cases))
    with _opened(run) as work:
        event = words.IntakeRecorded(
            intake=run.intake, files=delivery.files, accepted=account.count("accepted"),
            duplicates=account.count("duplicate"), conflicting=account.count("conflict"),
            refused=account.count("refused"), series=account.series[:500],
        )
        work.record(event, under=_service(run, work.session), trial=run.trial)
    return account


def _allowed(desk: Desk, actor: Actor, trial: str) -> None:
    refusal: Refused | None = None
    with desk.reading() as session:
        try:
            permit(actor, "series.send", queries.quality_facts(session, actor, "series.send", trial))
        except Refused as refused:
            refusal = refused
    if refusal is not None:
        desk.record_refusal(actor.user, "series.send", refusal)
        raise refusal


def _opened(run: _Run) -> AbstractContextManager[Work]:
    return run.desk.open(INTAKE, on_behalf_of=run.actor.user, asked="series.send")


def _service(run: _Run, session: Connection) -> Decision:
    """The sender may still send, and so the service receives."""
    permit(run.actor, "series.send", queries.quality_facts(session, run.actor, "series.send", run.trial))
    return permit(INTAKE, "series.receive", queries.quality_facts(session, INTAKE, "series.receive", run.trial))


def make_trial_key(desk: Desk, actor: Actor, trial: str) -> bytes:
    """The trial's de-identification key, made and recorded at the first intake."""
    with desk.reading() as session:
        ref = queries.key_ref(session, trial)
    if ref is None:
        fresh = secrets.token_bytes(32)
        ref = desk.objects.put(fresh, "application/octet-stream", subject=f"{trial}/_deidentification")
        with desk.open(INTAKE, on_behalf_of=actor.user, asked="series.send") as work:
            facts = queries.quality_facts(work.session, INTAKE, "series.receive", trial)
            if queries.key_ref(work.session, trial) is None:
                event = words.DeidentificationKeyed(
                    profile=PROFILE_REVISION, options=tuple(code for code, _ in OPTIONS), key=ref
                )
                work.record(event, under=permit(INTAKE, "series.receive", facts), trial=trial)
    with desk.reading() as session:
        return trial_key_of(session, desk.objects, trial)


def _record_unfit(run: _Run) -> None:
    files = [words.RefusedFile(sha256=one.sha256, bytes=one.size, code=one.code) for one in run.delivery.unfit]
    for start in range(0, len(files), FILES_AN_ENTRY):
        part = tuple(files[start : start + FILES_AN_ENTRY])
        with _opened(run) as work:
            event = words.FilesRefused(intake=run.intake, count=len(part), files=part)
            work.record(event, under=_service(run, work.session), trial=run.trial)


def _take_series(run: _Run, uid: str) -> tuple[list[FileOutcome], str | None]:
    """One series to its outcome; prepared again when the record moved on meanwhile."""
    group = run.delivery.series[uid]
    for attempt in range(1, ATTEMPTS + 1):
        with run.desk.reading() as session:
            charter = signed_charter(session, run.trial)
            if charter is None:
                raise NotFound(f"Trial {run.trial} has no approved charter.")
            delivered = frozenset(one.uid for many in run.delivery.series.values() for one in many)
            match = match_series(session, run.trial, charter.charter, group, run.assigned, run.key, delivered)
        if isinstance(match, Mismatch):
            return _refuse(run, group, match), None
        try:
            prepared = _prepare(run, uid, charter, match)
        except UnreadableDicom:
            return _refuse(run, group, Mismatch("changed-while-reading", match.subject.subject, match.time_point)), None
        except OSError as error:
            raise OutsideUnavailable(
                f"The images could not be stored ({errorcode.get(error.errno or 0, 'unknown error')}); nothing of this "
                "series was recorded.", next_step="Make room on the disk of the home, then take the folder in again.",
            ) from error
        if prepared.left:
            return _refuse(run, group, Mismatch("identifiers-left", match.subject.subject, match.time_point)), None
        try:
            return _record_series(run, charter, match, prepared)
        except Stale:
            if attempt == ATTEMPTS:
                raise
    raise Stale("The record kept changing while the series was taken in.")


def _prepare(run: _Run, uid: str, charter: SignedCharter, match: Match) -> Prepared:
    extents = run.delivery.extents()
    others = [extent for other, extent in extents.items() if other != uid]
    return prepare_series(run.desk, run.trial, charter.charter, run.delivery.series[uid], match, run.key,
                          extents.get(uid), others)


def _refuse(run: _Run, group: Sequence[Arrived], why: Mismatch) -> list[FileOutcome]:
    files = [words.RefusedFile(sha256=one.digests.file, bytes=one.size, code=why.code) for one in group]
    modality = group[0].text("Modality")
    shown = modality if modality.isascii() and modality.isalnum() and len(modality) <= 16 else "unknown"
    with _opened(run) as work:
        for start in range(0, len(files), FILES_AN_ENTRY):
            part = tuple(files[start : start + FILES_AN_ENTRY])
            event = words.SeriesRefused(intake=run.intake, modality=shown, instances=len(part), subject=why.subject,
                                        time_point=why.time_point, files=part)
            work.record(event, under=_service(run, work.session), trial=run.trial, reason=why.code)
    return [FileOutcome(one.path, "refused", why.code) for one in group]


def _record_series(
    run: _Run, charter: SignedCharter, match: Match, prepared: Prepared
) -> tuple[list[FileOutcome], str | None]:
    quarantined = _quarantine(run, prepared.conflicting)
    case = None
    with _opened(run) as work:
        under = _service(run, work.session)
        row = queries.series_known(work.session, run.trial, prepared.series)
        in_force = signed_charter(work.session, run.trial)
        if (row.manifest_sha256 if row else None) != (prepared.row.manifest_sha256 if prepared.row else None) or (
            row and prepared.row and row.disposition != prepared.row.disposition
        ) or in_force is None or in_force.digest != charter.digest:
            raise Stale("The series or the charter changed while it was taken in.")
        if prepared.added:
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
            (prepared.added, "accepted", "stored"), (prepared.known, "duplicate", "same-content"),
            (prepared.conflicting, "conflict", "same-uid-other-content"),
            (prepared.late, "refused", "already-disposed"),
        ) for one in many
    ]
    return outcomes, case


def _record_added(
    run: _Run, work: Work, under: Decision, charter: SignedCharter, match: Match, prepared: Prepared
) -> str:
    """Received (or extended), perhaps held; the time point moves; the check opens the case."""
    subject, trial = match.subject.subject, run.trial
    same = {"subject": subject, "study": prepared.study, "series": prepared.series, "time_point": match.time_point,
            "modality": match.modality}
    whole = {"instances": len(prepared.manifest.instances), "bytes": prepared.manifest.size,
             "manifest": prepared.manifest_ref, "manifest_sha256": prepared.manifest.sha256,
             "content_sha256": prepared.manifest.content_sha256}
    received: words.SeriesReceived | words.SeriesExtended
    if prepared.row is None:
        received = words.SeriesReceived(
            intake=run.intake, site=match.subject.site, acquired_on=match.acquired.isoformat(), scanner=match.scanner,
            charter_version=charter.version, **same, **whole,  # type: ignore[arg-type]
        )
    else:
        received = words.SeriesExtended(intake=run.intake, added=len(prepared.added), **same, **whole)  # type: ignore[arg-type]
    cause = work.record(received, under=under, trial=trial).body["id"]
    if match.hold is not None and prepared.row is None:
        work.record(words.SeriesHeld(**same), under=under, trial=trial, reason=match.hold, caused_by=cause)
    if match.point is None and time_point_of(work.session, trial, subject, match.time_point) is None:
        event = trial_words.TimePointUnscheduled(
            subject=subject, time_point=match.time_point, acquired_on=match.acquired.isoformat()
        )
        work.record(event, under=under, trial=trial, caused_by=cause)
    _move(work, under, trial, subject, match.time_point, "time_point.received", cause, match.acquired)
    case = (prepared.row.case_id if prepared.row else None) or (
        f"{subject}-{match.time_point}-{match.modality}-{prepared.manifest.content_sha256[:6]}"
    )
    check = words.QualityChecked(
        case=case, charter_version=charter.version, manifest_sha256=prepared.manifest.sha256,
        broken=sum(rule.outcome == "not_met" for rule in prepared.lines), rules=prepared.lines, **same,
    )
    work.record(check, under=under, trial=trial, caused_by=cause)
    _move(work, under, trial, subject, match.time_point, "time_point.checked", cause)
    _complete(work, under, charter, trial, subject, match.time_point, prepared.study, cause)
    return case


def _move(
    work: Work, under: Decision, trial: str, subject: str, time_point: str, word: str, cause: str,
    acquired: date | None = None,
) -> None:
    """Move a time point where the word changes its state."""
    point = time_point_of(work.session, trial, subject, time_point)
    became = next_state(TIME_POINT, point.state, word) if point else None
    if point is None or became is None or became == point.state:
        return
    event = trial_words.TimePointMoved(
        subject=subject, time_point=time_point, became=became, acquired_on=acquired.isoformat() if acquired else None
    )
    work.record(event, under=under, trial=trial, caused_by=cause)


def _complete(
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
    run: _Run, work: Work, under: Decision, match: Match, prepared: Prepared, row: queries.SeriesRow | None,
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


def _quarantine(run: _Run, conflicting: Sequence[Arrived]) -> ObjectRef | None:
    """What came under a known UID with other content, as it came, encrypted under a key of its own."""
    if not conflicting:
        return None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in sorted({one.digests.file: one.content() for one in conflicting}.items()):
            archive.writestr(zipfile.ZipInfo(f"{name}.dcm"), content)
    return run.desk.objects.put(packed.getvalue(), f"{DICOM}+zip", subject=f"{run.trial}/_quarantine")


@dataclass(frozen=True, slots=True)
class DisposeCase:
    """A technologist's verdict on a case: accepted, queried or rejected, with a coded reason."""

    trial: str
    case: str
    disposition: str
    reason: str


def dispose_case(desk: Desk, actor: Actor, command: DisposeCase) -> Proposal:
    """What a technologist is about to sign; `desk.commit(signed)` asks again and records it.

    Raises:
        UnusableInput: no such disposition or reason.
        Refused: own upload, held, a rule that bars acceptance, an outdated check, or no role.
    """
    if command.disposition not in DISPOSITIONS:
        raise UnusableInput(f"{command.disposition!r} is no disposition; choose {', '.join(DISPOSITIONS)}.")
    known = sorted({reason for reasons in REASONS.values() for reason in reasons})
    if command.reason not in known:
        raise UnusableInput(f"{command.reason!r} is no reason; for {command.disposition} choose "
                            f"{', '.join(REASONS[command.disposition])}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        case = queries.case_of(session, command.trial, command.case)
        row = queries.the_series(session, command.trial, case.series)
        relations = relations_of_disposition(
            command.disposition, command.reason, case.rules, held=row.held is not None, own=row.sent_by == actor.user,
            outdated=row.manifest_sha256 != case.manifest_sha256, in_read=queries.time_point_in_read(session, row),
        )
        facts = queries.quality_facts(session, actor, "quality.dispose", command.trial, row, relations)
        decision = permit(actor, "quality.dispose", facts)
        event = words.QualityDisposed(
            case=case.case_id, subject=case.subject, study=case.study, series=case.series, time_point=case.time_point,
            modality=case.modality, disposition=command.disposition, manifest_sha256=case.manifest_sha256,
            not_met=tuple(rule.rule for rule in case.rules if rule.outcome == "not_met"),
        )
        rests_on = basis(session, actor.user, decision.role, "quality.dispose", command.trial)
        view: View = views.disposition(case, row, command.disposition, command.reason)
        meaning = "rejection" if command.disposition == "rejected" else "review"
        return Draft(event, under=decision, meaning=meaning, view=view, trial=command.trial, reason=command.reason,
                     trainings=rests_on.trainings, delegation=rests_on.delegation)

    def follow(work: Work) -> None:
        _after_disposition(work, command.trial, command.case)

    return desk.prepare(actor, propose, asked="quality.dispose", then=follow)


def _after_disposition(work: Work, trial: str, case_id: str) -> None:
    """The time point is ready for reading when every expected modality has an accepted series."""
    case = queries.case_of(work.session, trial, case_id)
    charter = signed_charter(work.session, trial)
    scheduled = charter.charter.time_point(case.time_point) if charter else None
    rows = queries.series_of(work.session, trial, case.subject, case.time_point)
    expected = scheduled.modalities if scheduled else tuple(Counter(row.modality for row in rows))
    if not rows or queries.lacking_modalities(rows, expected, accepted=True):
        return
    facts = queries.quality_facts(work.session, work.actor, "time_point.move", trial)
    under = permit(work.actor, "time_point.move", facts)
    _move(work, under, trial, case.subject, case.time_point, "time_point.ready", work.entries[0].body["id"])


@dataclass(frozen=True, slots=True)
class ReleaseSeries:
    """A held series whose site is active and whose scanner is qualified by now."""

    trial: str
    series: str


def release_series(desk: Desk, actor: Actor, command: ReleaseSeries) -> None:
    """Take a series off hold when the reason for holding is gone.

    Raises:
        NotFound: no such series. Refused: it is not held, the reason is still there, or no role.
    """
    with desk.reading() as session:
        row = queries.the_series(session, command.trial, command.series)
        key = trial_key_of(session, desk.objects, command.trial)
    if row.held is None:
        raise UnusableInput("The series is not held.", next_step="Nothing is to be done.")
    with desk.open(INTAKE, on_behalf_of=actor.user, asked="series.release") as work:
        relations = frozenset({"still_held"}) if still_held(work.session, row, key) else frozenset[str]()
        permit(actor, "series.release",
               queries.quality_facts(work.session, actor, "series.release", command.trial, row, relations))
        under = permit(INTAKE, "series.receive",
                       queries.quality_facts(work.session, INTAKE, "series.receive", command.trial))
        event = words.SeriesReleased(subject=row.subject, study=row.study, series=row.series,
                                     time_point=row.time_point, modality=row.modality)
        work.record(event, under=under, trial=command.trial)

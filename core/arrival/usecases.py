"""Commands of arrival: take a folder in; dispose of a case and release what was held (see disposing)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from errno import errorcode
from pathlib import Path

from audit.vocabulary import imaging as words
from core.arrival import queries
from core.arrival.delivery import Arrived, read_delivery
from core.arrival.disposing import DisposeCase, ReleaseSeries, dispose_case, release_series
from core.arrival.elsewhere import Elsewhere
from core.arrival.leak_check import places_of
from core.arrival.matching import Assigned, Match, Mismatch, match_series
from core.arrival.recording import (
    FILES_AN_ENTRY,
    INTAKE,
    FileOutcome,
    Run,
    held_elsewhere,
    opened,
    receiving,
    record_series,
    refuse_series,
)
from core.arrival.storing import Prepared, prepare_series, trial_key_of
from core.dicom.deidentify import OPTIONS, PROFILE_REVISION, new_uid
from core.dicom.reading import UnreadableDicom
from core.errors import NotFound, OutsideUnavailable, Refused, Stale
from core.ids import uuid7
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials.queries import SignedCharter, charter_at, signed_charter
from core.work import Desk

__all__ = ["DisposeCase", "FileOutcome", "IntakeAccount", "IntakeFolder", "ReleaseSeries", "dispose_case",
           "intake_folder", "release_series"]
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class IntakeFolder:
    """A folder to take in for a trial; subject and time point only where the images are silent."""

    folder: Path
    trial: str
    subject: str | None = None
    time_point: str | None = None


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
    key = make_trial_key(desk, actor, command.trial)
    wanted = {new_uid(key, one.uid) for group in delivery.series.values() for one in group}
    run = Run(desk, actor, command.trial, uuid7(desk.clock.now()), key, Assigned(command.subject, command.time_point),
              delivery, Elsewhere(desk.objects, command.trial, wanted))
    outcomes = [FileOutcome(one.path, "refused", one.code) for one in delivery.unfit]
    _record_unfit(run)
    cases: list[str] = []
    for uid in delivery.series:
        found, case = _take_series(run, uid)
        outcomes += found
        cases += [case] if case else []
    account = IntakeAccount(run.intake, tuple(sorted(outcomes, key=lambda one: one.path)), tuple(cases))
    with opened(run) as work:
        event = words.IntakeRecorded(
            intake=run.intake, files=delivery.files, accepted=account.count("accepted"),
            duplicates=account.count("duplicate"), conflicting=account.count("conflict"),
            refused=account.count("refused"), series=account.series[:500],
        )
        work.record(event, under=receiving(run, work.session), trial=run.trial)
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


def _record_unfit(run: Run) -> None:
    files = [words.RefusedFile(sha256=one.sha256, bytes=one.size, code=one.code) for one in run.delivery.unfit]
    for start in range(0, len(files), FILES_AN_ENTRY):
        part = tuple(files[start : start + FILES_AN_ENTRY])
        with opened(run) as work:
            event = words.FilesRefused(intake=run.intake, count=len(part), files=part)
            work.record(event, under=receiving(run, work.session), trial=run.trial)


def _take_series(run: Run, uid: str) -> tuple[list[FileOutcome], str | None]:
    """One series to its outcome; prepared again when the record moved on meanwhile."""
    group = run.delivery.series[uid]
    for attempt in range(1, ATTEMPTS + 1):
        with run.desk.reading() as session:
            charter = signed_charter(session, run.trial)
            if charter is None:
                raise NotFound(f"Trial {run.trial} has no approved charter.")
            delivered = frozenset(one.uid for many in run.delivery.series.values() for one in many)
            match = match_series(session, run.trial, charter.charter, group, run.assigned, run.key, delivered)
            if not isinstance(match, Mismatch):
                there = charter_at(session, run.trial, match.subject.site, match.acquired.isoformat())
                if there is not None and there.entry_id != charter.entry_id:
                    # The site worked under another version on that day: its rules are the ones to be met.
                    charter = there
                    match = match_series(session, run.trial, charter.charter, group, run.assigned, run.key, delivered)
            run.elsewhere.look(session)
        if not isinstance(match, Mismatch):
            match = _only_its_own(run, group, match)
        if isinstance(match, Mismatch):
            return refuse_series(run, group, match), None
        try:
            prepared = _prepare(run, uid, charter, match)
        except UnreadableDicom:
            changed = Mismatch("changed-while-reading", match.subject.subject, match.time_point)
            return refuse_series(run, group, changed), None
        except OSError as error:
            raise OutsideUnavailable(
                f"The images could not be stored ({errorcode.get(error.errno or 0, 'unknown error')}); nothing of this "
                "series was recorded.", next_step="Make room on the disk of the home, then take the folder in again.",
            ) from error
        if prepared.left:
            places = places_of(prepared.left)
            named = Mismatch("identifiers-left", match.subject.subject, match.time_point, places)
            return refuse_series(run, group, named), None
        try:
            return record_series(run, charter, match, prepared)
        except Stale:
            if attempt == ATTEMPTS:
                raise
    raise Stale("The record kept changing while the series was taken in.")


def _only_its_own(run: Run, group: Sequence[Arrived], match: Match) -> Match | Mismatch:
    """The match, unless an instance stands under another subject already: then nothing of the series is kept."""
    series = new_uid(run.key, group[0].text("SeriesInstanceUID"))
    held = held_elsewhere(run, match, series, group)
    if held is None:
        return match
    places = (f"instance {held.uid}", f"held in series {held.series}, entry {held.entry}")
    return Mismatch("instance-of-another-subject", match.subject.subject, match.time_point, places)


def _prepare(run: Run, uid: str, charter: SignedCharter, match: Match) -> Prepared:
    extents = run.delivery.extents()
    others = [extent for other, extent in extents.items() if other != uid]
    return prepare_series(run.desk, run.trial, charter.charter, run.delivery.series[uid], match, run.key,
                          extents.get(uid), others)

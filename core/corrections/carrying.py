"""What the worker does after a signed correction: corrected copies, the rejection note, notices. At least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from audit.vocabulary import corrections as words
from audit.vocabulary import imaging
from audit.vocabulary.imaging import CheckedRule
from core.arrival import queries as arrival
from core.arrival.manifest import MEDIA, Instance, Manifest
from core.arrival.matching import hold_reason
from core.arrival.quality import check_series, middle, noise_hu
from core.arrival.queries import SeriesRow
from core.arrival.recording import INTAKE, record_completion
from core.arrival.rules import checked, window_finding
from core.arrival.storing import trial_key_of
from core.clock import as_datetime, from_words
from core.corrections import queries
from core.corrections.queries import CorrectionRow
from core.dicom import result
from core.dicom.correction import TITLES, Change, corrected, rejection_note
from core.dicom.deidentify import TrialIdentity, shift_days
from core.dicom.digest import content_digest, data_set_digest
from core.dicom.findings import Finding, Outcome
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.errors import NotFound
from core.ids import derived_uid
from core.objects import DICOM, owner
from core.policy.decide import permit
from core.privacy.queries import copies_that_cover
from core.trials.acting import move_time_point
from core.trials.queries import SignedCharter, charter_at, facts_for, scanners_of, subject_of, time_point_of
from core.work import HOUSE, Desk, Work, release

#: Lines of a former check that are of the place, and are made anew for the right one.
_OF_THE_PLACE = ("identity.", "time_point.", "modality.", "scanner.")
NOTE_SERIES = 902


def carry_out(desk: Desk, trial: str, entry: int) -> None:
    """Write what stands for the series, make the note, tell the holders; what is done already is not done again."""
    with desk.reading() as session:
        row = queries.the_correction(session, trial, entry)
        due = [one for one in arrival.copies_due(session, trial) if one.series in row.series]
        sets = {one: arrival.load_series(session, desk.objects, trial, one) for one in row.series}
    for one in due:
        _write_anew(desk, row, one, sets)
    if row.note is None:
        _make_note(desk, row, [dataset for many in sets.values() for dataset in many])
    _tell_holders(desk, row)


def _uids(row: CorrectionRow, sets: dict[str, list[FileDataset]]) -> dict[str, str]:
    """Old to new: every object and series; the study where copies leave it; the frame of reference with a subject."""
    own = row.correction
    old = {str(one.SOPInstanceUID) for many in sets.values() for one in many} | set(row.series)
    if row.target != row.source:
        old.add(row.study)
    if row.target.subject != row.subject:
        old |= {str(one.get("FrameOfReferenceUID", "")) for many in sets.values() for one in many} - {""}
    return {uid: derived_uid("correction", own, uid) for uid in old}


def _write_anew(desk: Desk, row: CorrectionRow, former: SeriesRow, sets: dict[str, list[FileDataset]]) -> None:
    trial, target = row.trial, row.target
    with desk.reading() as session:
        subject = subject_of(session, trial, target.subject)
        if subject is None:
            raise NotFound(f"Trial {trial} has no subject {target.subject}.")
        key = trial_key_of(session, desk.objects, trial)
        charter = _charter(session, row, subject.site, former)
        known = arrival.manifest_of(desk.objects, former).by_uid()
    days = shift_days(key, target.subject) - shift_days(key, row.subject)
    uids = _uids(row, sets)
    change = Change(
        TrialIdentity(f"Sponsor of {trial}", trial, subject.site, target.subject, target.time_point), uids, days,
        row.side, as_datetime(from_words(row.at)))
    whose, lines, written = owner(trial, target.subject), list[Instance](), list[FileDataset]()
    for source in sets[former.series]:
        content = as_bytes(corrected(source, change))
        made = read_object(content, known=True)
        before = known[str(source.SOPInstanceUID)]
        digest = content_digest(data_set_digest(made), before.pixels_of, before.pixels_sha256)
        stored = desk.objects.put(content, DICOM, subject=whose)
        lines.append(replace(before, uid=str(made.SOPInstanceUID), object=stored, content_sha256=digest))
        written.append(made)
    manifest = Manifest(uids[former.series], tuple(sorted(lines, key=lambda line: line.uid)))
    reference = desk.objects.put(manifest.document(), MEDIA, subject=whose)
    event = words.SeriesCorrected(
        corrects=former.series, former_manifest_sha256=former.manifest_sha256, subject=target.subject,
        study=uids.get(row.study, row.study), series=manifest.series, site=subject.site, time_point=target.time_point,
        modality=former.modality, acquired_on=former.acquired_on, scanner=former.scanner,
        charter_version=charter.version, instances=len(lines), bytes=manifest.size, manifest=reference,
        manifest_sha256=manifest.sha256, content_sha256=manifest.content_sha256,
    )
    with desk.open(INTAKE, asked="series.correct") as work:
        now = arrival.the_series(work.session, trial, former.series)
        if now.copy_due:
            _record(work, row, event, charter, _lines(work.session, row, event, charter, former, written))


def _charter(session: Connection, row: CorrectionRow, site: str, former: SeriesRow) -> SignedCharter:
    found = charter_at(session, row.trial, site, former.acquired_on)
    if found is None:
        raise NotFound(f"Trial {row.trial} has no approved charter.")
    return found


def _lines(
    session: Connection, row: CorrectionRow, event: words.SeriesCorrected, charter: SignedCharter, former: SeriesRow,
    written: Sequence[FileDataset],
) -> tuple[CheckedRule, ...]:
    """The check of the copy under the charter of its right place; what was found in the headers as sent stays true."""
    case = arrival.case_of(session, row.trial, former.case_id) if former.case_id else None
    point = time_point_of(session, row.trial, event.subject, event.time_point)
    scheduled = charter.charter.time_point(event.time_point)
    by_person = Finding("identity.subject", "named by the images", f"by a signed correction, entry {row.entry}",
                        "study.reassigned", Outcome.WARNING)
    lines = [
        checked(by_person, "note"),
        checked(window_finding(date.fromisoformat(event.acquired_on), point.earliest_on if point else None,
                               point.latest_on if point else None), "query"),
    ]
    if scheduled is not None:
        met = Outcome.MET if event.modality in scheduled.modalities else Outcome.NOT_MET
        lines.append(checked(Finding("modality.expected", f"one of {', '.join(scheduled.modalities)}", event.modality,
                                     "(0008,0060)", met), "query"))
    baseline = arrival.baseline_scanner(session, row.trial, event.subject, event.modality, event.acquired_on)
    if baseline is not None:
        same = baseline == event.scanner
        lines.append(checked(Finding(
            "scanner.same", "scanner of the first time point", "the same" if same else "another scanner",
            "(0018,1000)", Outcome.MET if same else Outcome.NOT_MET), "note"))
    noise = noise_hu(middle(written)) if event.modality == "CT" else None
    fresh = check_series(written, charter.charter.rules_for(event.modality), noise)
    named = {line.rule for line in fresh}
    kept = [line for line in (case.rules if case else ()) if line.rule not in named
            and not line.rule.startswith(_OF_THE_PLACE) and line.rule.startswith("deid.")]
    return (*lines, *fresh, *kept)


def _record(
    work: Work, row: CorrectionRow, event: words.SeriesCorrected, charter: SignedCharter, lines: tuple[CheckedRule, ...]
) -> None:
    """The copy, perhaps held; its time point moves; its check opens a case that a technologist disposes of."""
    session, trial = work.session, row.trial
    under = permit(INTAKE, "series.correct", facts_for(session, INTAKE, "series.correct", trial))
    same = {"subject": event.subject, "study": event.study, "series": event.series, "time_point": event.time_point,
            "modality": event.modality}
    work.record(event, under=under, trial=trial, caused_by=row.correction)
    day = date.fromisoformat(event.acquired_on)
    qualified = any(
        one.scanner == event.scanner and one.modality == event.modality and one.valid_until >= event.acquired_on
        for one in scanners_of(session, trial, event.site))
    hold = hold_reason(session, trial, event.site, day, qualified)
    if hold is not None:
        work.record(imaging.SeriesHeld(**same), under=under, trial=trial, reason=hold, caused_by=row.correction)
    point = (work, trial, event.subject, event.time_point)
    for word in ("time_point.received", "time_point.checked"):
        move_time_point(*point, word, under=under, caused_by=row.correction, acquired_on=day,
                        charter_version=charter.version)
    case = f"{event.subject}-{event.time_point}-{event.modality}-{event.content_sha256[:6]}"
    work.record(imaging.QualityChecked(
        case=case, charter_version=charter.version, manifest_sha256=event.manifest_sha256,
        broken=sum(line.outcome == "not_met" for line in lines), rules=lines, **same),
        under=under, trial=trial, caused_by=row.correction)
    record_completion(work, under, charter, trial, event.subject, event.time_point, event.study, row.correction)


def _make_note(desk: Desk, row: CorrectionRow, rejected: Sequence[FileDataset]) -> None:
    instance = result.Instance(
        series_uid=derived_uid("correction", row.correction, "note", "series"),
        sop_uid=derived_uid("correction", row.correction, "note"), series_number=NOTE_SERIES, instance_number=1,
        made_at=as_datetime(from_words(row.at)), software=release())
    note = desk.objects.put(as_bytes(rejection_note(rejected, row.kind, instance)), DICOM,
                            subject=owner(row.trial, row.subject))
    with desk.open(HOUSE, asked="correction.note") as work:
        if queries.the_correction(work.session, row.trial, row.entry).note is not None:
            return
        facts = facts_for(work.session, HOUSE, "correction.note", row.trial)
        title = TITLES[row.kind]
        work.record(words.CorrectionNoted(
            correction=row.correction, subject=row.subject, time_point=row.time_point,
            title=f"{title.value} {title.meaning}", instances=len(rejected), sop_instance=instance.sop_uid, note=note),
            under=permit(HOUSE, "correction.note", facts), trial=row.trial, caused_by=row.correction)


def _tell_holders(desk: Desk, row: CorrectionRow) -> None:
    """One signed notice for each copy on record that was taken after the series had come, once."""
    with desk.reading() as session:
        since = min(arrival.the_series(session, row.trial, one).entry for one in row.series)
    with desk.open(HOUSE, asked="correction.notify") as work:
        told = {one.copy_entry for one in queries.notices_of(work.session, row.correction)}
        facts = facts_for(work.session, HOUSE, "correction.notify", row.trial)
        for copy in tuple(copies_that_cover(work.session, row.trial, row.subject)):
            if copy.copy_entry not in told and since < copy.entry < row.entry:
                work.record(words.CorrectionNotified(
                    correction=row.correction, subject=row.subject, kind=copy.kind, copy_entry=copy.copy_entry,
                    holder=copy.holder), under=permit(HOUSE, "correction.notify", facts), trial=row.trial,
                    caused_by=row.correction)

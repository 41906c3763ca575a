"""Whose series is it, of which time point, and may it be kept: facts of the trial held against what headers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydicom.dataset import Dataset
from sqlalchemy import Connection

from audit.vocabulary.imaging import CheckedRule
from core.arrival import queries
from core.arrival.delivery import Arrived
from core.arrival.rules import Severity, checked, identify, window_finding
from core.dicom.deidentify import new_uid, pseudonym
from core.dicom.findings import Finding, Outcome
from core.privacy.queries import relations_of
from core.trials.charter import Charter
from core.trials.queries import (
    SubjectRow,
    TimePointRow,
    consent_gap_of,
    scanners_of,
    site_of,
    subjects_of,
    time_point_for,
    time_point_of,
)
from core.trials.rules import TIME_POINT, next_state

DERIVED = frozenset({"SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "ANN"})


@dataclass(frozen=True, slots=True)
class Assigned:
    """What the sender says in place of silent headers."""

    subject: str | None = None
    time_point: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """The place of a series in its trial. `point` is None for an unscheduled time point that is not on record yet.

    `closed`: its time point takes no more images; it is looked at only because its series is stored.
    """

    subject: SubjectRow
    time_point: str
    point: TimePointRow | None
    modality: str
    acquired: date
    scanner: str
    scanner_known: bool
    hold: str | None
    lines: tuple[CheckedRule, ...]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a series is not kept; subject and time point where they are those of the trial; places of what was left."""

    code: str
    subject: str | None = None
    time_point: str | None = None
    places: tuple[str, ...] = ()


def match_series(
    session: Connection, trial: str, charter: Charter, group: Sequence[Arrived], assigned: Assigned, key: bytes,
    delivered: frozenset[str],
) -> Match | Mismatch:
    """Place a series, or say why it has none.

    Args:
        group: the instances of one series.
        assigned: what the sender said of it.
        key: the trial's de-identification key, for device pseudonyms and references.
        delivered: SOP Instance UIDs of the whole delivery, to resolve references.
    """
    modalities = {one.text("Modality") for one in group}
    if len(modalities) != 1 or len({one.text("StudyInstanceUID") for one in group}) != 1:
        return Mismatch("mixed-series")
    modality = next(iter(modalities))
    if modality in DERIVED:
        resolved = all(_resolves(session, trial, one.header, key, delivered) for one in group)
        return Mismatch("derived-object" if resolved else "references-unresolved")
    if not charter.rules_for(modality) and modality not in {one.modality for one in charter.acquisition}:
        return Mismatch("modality-not-asked")
    subjects = {row.subject: row for row in subjects_of(session, trial)}
    found = identify({one.claim for one in group}, trial, subjects, assigned.subject)
    if found.subject is None:
        return Mismatch(found.code or "unknown-subject")
    subject = subjects[found.subject]
    if "erased" in relations_of(session, trial, subject.subject):
        return Mismatch("subject-erased", subject.subject)
    try:
        acquired = datetime.strptime(min(one.acquired for one in group), "%Y%m%d").date()  # noqa: DTZ007 - a day
    except ValueError:
        return Mismatch("no-acquisition-date", subject.subject)
    time_point, point, lines = _time_point(session, trial, subject, group, acquired, assigned)
    closed = point is not None and next_state(TIME_POINT, point.state, "time_point.received") is None
    # Of a stored series it is told whether this is the same content or another under its UIDs: that alarms at any time.
    stored = queries.series_known(session, trial, new_uid(key, group[0].text("SeriesInstanceUID"))) is not None
    if closed and not stored:
        return Mismatch("time-point-closed", subject.subject, time_point)
    if consent_gap_of(session, trial, subject.subject, acquired, "images") is not None:
        return Mismatch("no-consent", subject.subject, time_point)
    lines += _identity_lines(group, subject, charter, time_point, modality, assigned)
    scanner, known = _scanner(session, trial, subject.site, modality, group[0].scanner, acquired, key)
    baseline = queries.baseline_scanner(session, trial, subject.subject, modality, acquired.isoformat())
    if baseline is not None:
        lines.append(_line("scanner.same", "scanner of the first time point", "the same" if baseline == scanner
                           else "another scanner", "(0018,1000)", baseline == scanner, "note"))
    return Match(
        subject, time_point, point, modality, acquired, scanner, known,
        hold_reason(session, trial, subject.site, acquired, known), tuple(lines), closed,
    )


def _line(rule: str, required: str, measured: str, where: str, met: bool, severity: Severity) -> CheckedRule:
    return checked(Finding(rule, required, measured, where, Outcome.MET if met else Outcome.NOT_MET), severity)


def _time_point(
    session: Connection, trial: str, subject: SubjectRow, group: Sequence[Arrived], acquired: date, assigned: Assigned
) -> tuple[str, TimePointRow | None, list[CheckedRule]]:
    """By the sender's word, else by the Clinical Trial Time Point ID, else by the day; else unscheduled."""
    claims = {one.claim.time_point for one in group} - {""}
    claimed = assigned.time_point or (next(iter(claims)) if len(claims) == 1 else None)
    point = time_point_of(session, trial, subject.subject, claimed) if claimed else None
    how = "as the images say" if point is not None and not assigned.time_point else "as the sender says"
    if point is None:
        point = time_point_for(session, trial, subject.subject, acquired)
        how = "by the day of acquisition"
    named = Outcome.MET if point is not None and how == "as the images say" else Outcome.WARNING
    measured = how if point else "by none"
    lines = [checked(Finding("time_point.identified", "named by the images", measured, "(0012,0050)", named), "note")]
    if point is None:
        name = f"U{acquired.strftime('%Y%m%d')}"
        lines.append(checked(window_finding(acquired, None, None), "note"))
        return name, time_point_of(session, trial, subject.subject, name), lines
    lines.append(checked(window_finding(acquired, point.earliest_on, point.latest_on), "query"))
    return point.time_point, point, lines


def _identity_lines(
    group: Sequence[Arrived], subject: SubjectRow, charter: Charter, time_point: str, modality: str, assigned: Assigned
) -> list[CheckedRule]:
    named = {one.claim.subject for one in group} | {one.claim.patient for one in group}
    says = "the images" if subject.subject in named else "the sender only"
    sites = {one.claim.site for one in group} - {""}
    lines = [
        _line("identity.subject", "named by the images", f"named by {says}", "(0012,0040), (0010,0020)",
              subject.subject in named, "query"),
        # What another site's header says may be a hospital's name: counted, not shown.
        _line("identity.site", f"site {subject.site}", "the same" if sites == {subject.site} else
              "not stated" if not sites else "another site", "(0012,0030)", sites <= {subject.site}, "query"),
    ]
    scheduled = charter.time_point(time_point)
    if scheduled is not None:
        lines.append(_line("modality.expected", f"one of {', '.join(scheduled.modalities)}", modality, "(0008,0060)",
                           modality in scheduled.modalities, "query"))
    return lines


def _scanner(
    session: Connection, trial: str, site: str, modality: str, device: str, acquired: date, key: bytes
) -> tuple[str, bool]:
    """The scanner's name on record, and whether it is qualified for that day; an unknown one gets a pseudonym."""
    for row in scanners_of(session, trial, site):
        if device and row.scanner == device and row.modality == modality and row.valid_until >= acquired.isoformat():
            return row.scanner, True
    return (pseudonym(key, device) if device else "unknown"), False


def hold_reason(session: Connection, trial: str, site: str, acquired: date, scanner_known: bool) -> str | None:
    """Why a series is held although it is received (TRIAL 3); None where it is not."""
    row = site_of(session, trial, site)
    if row is None or not row.active_on(acquired.isoformat()):
        return "site-inactive"
    return None if scanner_known else "scanner-unqualified"


def still_held(session: Connection, row: queries.SeriesRow, key: bytes) -> str | None:
    """Why a held series would be held again now."""
    acquired = date.fromisoformat(row.acquired_on)
    known = any(
        row.scanner in (one.scanner, pseudonym(key, one.scanner)) and one.modality == row.modality
        and one.valid_until >= row.acquired_on
        for one in scanners_of(session, row.trial, row.site)
    )
    return hold_reason(session, row.trial, row.site, acquired, known)


def _resolves(session: Connection, trial: str, header: Dataset, key: bytes, delivered: frozenset[str]) -> bool:
    """True when every series or image that an object refers to is here: in this delivery, or stored."""
    for element in header.iterall():
        if element.keyword == "ReferencedSeriesSequence":
            for item in element.value:
                uid = str(item.get("SeriesInstanceUID", ""))
                listed = item.get("ReferencedInstanceSequence") or item.get("ReferencedSOPSequence") or []
                images = [str(one.get("ReferencedSOPInstanceUID", "")) for one in listed]
                stored = queries.series_known(session, trial, new_uid(key, uid)) is not None
                if not stored and not set(images) <= delivered:
                    return False
    return True

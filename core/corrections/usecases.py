"""Commands of corrections: take series out of the wrong place (signed), take the note out for those who hold copies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import Connection

from audit.vocabulary import corrections as words
from core.arrival.queries import SeriesRow, manifest_of, series_of_trial, the_series
from core.corrections import queries
from core.corrections.rules import WRITTEN_ANEW, Place, became, check_named
from core.corrections.taking_out import reads_touched, take_out
from core.errors import NotFound, UnusableInput
from core.objects import owner
from core.policy.decide import permit
from core.policy.state import Actor
from core.privacy.queries import copies_that_cover, relations_of
from core.reads.impact import locked_reads
from core.reads.queries import counted_values, parts_of
from core.reads.state import AI_SLOTS
from core.trials.acting import allowed, draft
from core.trials.queries import (
    SubjectRow,
    TimePointRow,
    consent_gap_of,
    facts_for,
    site_of,
    subject_of,
    time_point_of,
)
from core.trials.rules import TIME_POINT, next_state
from core.work import Desk, Draft, Occasion, Proposal, Receipt, View, Work

HOUSE = Actor.of_service("house")


@dataclass(frozen=True, slots=True)
class CorrectStudy:
    """Series of one study, subject and time point, by their UIDs, and what is wrong with their place.

    `kind` is a key of rules.NEEDS, which says what else is named; the comment is kept under the subject's key alone.
    """

    trial: str
    series: tuple[str, ...]
    kind: str
    to_subject: str | None = None
    to_time_point: str | None = None
    side: str | None = None
    comment: str | None = None


def correct_study(desk: Desk, actor: Actor, command: CorrectStudy) -> Proposal:
    """What is signed when series stand in the wrong place (TRIAL 3): they are taken out of it at once, with all that
    was derived there; the worker then writes what stands for them.

    Raises:
        NotFound: no such series, subject or time point in this trial.
        UnusableInput: the series do not lie together, or the kind asks for something else.
        Refused: own upload, a reader of the subject, the same place, corrected already, a closed site, no consent of
            the other subject, erased or restricted data, or a time point that is settled.
    """
    check_named(command.kind, to_subject=command.to_subject, to_time_point=command.to_time_point, side=command.side)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        rows = _together(session, command)
        source = Place(rows[0].subject, rows[0].time_point)
        target = Place(command.to_subject or source.subject, command.to_time_point or source.time_point)
        subject, point = _the_place(session, command.trial, target)
        relations = _relations(session, actor, command, rows, source, target, subject, point)
        under = allowed(session, actor, "study.reassign", command.trial, *relations)
        touched = reads_touched(session, command.trial, source, target)
        event = words.StudyReassigned(
            study=rows[0].study, kind=command.kind, subject=source.subject, time_point=source.time_point,
            became=became(command.kind, target, command.side), count=len(rows),
            series=tuple(words.CorrectedSeries(
                series=row.series, modality=row.modality, instances=row.instances, manifest_sha256=row.manifest_sha256)
                for row in rows),
            ai_values=counted_values(session, command.trial, source.subject, source.time_point),
            pulled=sum(one.state == "begun" and one.slot not in AI_SLOTS for one in touched),
            locked=sum(len(locked_reads(session, command.trial, one.subject, one.time_point))
                       for one in dict.fromkeys((source, target))),
            to_subject=command.to_subject, to_time_point=command.to_time_point, side=command.side,
            comment=desk.conceal(command.comment, command.trial, source.subject, occasion),
        )
        copies = sum(one.entry > min(row.entry for row in rows)
                     for one in copies_that_cover(session, command.trial, source.subject))
        return draft(session, actor, "study.reassign", command.trial, event, under=under, meaning="responsibility",
                     view=_view(command, event, source, rows, copies), reason=command.kind)

    def then(work: Work) -> None:
        first = the_series(work.session, command.trial, command.series[0])
        source = Place(first.subject, first.time_point)
        target = Place(command.to_subject or source.subject, command.to_time_point or source.time_point)
        take_out(work, command.trial, source, target, str(work.entries[0].body["id"]))

    return desk.prepare(actor, propose, asked="study.reassign", then=then)


def _together(session: Connection, command: CorrectStudy) -> list[SeriesRow]:
    names = tuple(dict.fromkeys(command.series))
    if not names:
        raise UnusableInput("A correction names at least one series.")
    rows = [the_series(session, command.trial, name) for name in names]
    if len({(row.study, row.subject, row.time_point) for row in rows}) != 1:
        raise UnusableInput("The series belong to several studies or time points; correct each by itself.")
    return rows


def _the_place(session: Connection, trial: str, target: Place) -> tuple[SubjectRow, TimePointRow]:
    subject = subject_of(session, trial, target.subject)
    if subject is None:
        raise NotFound(f"Trial {trial} has no subject {target.subject}.",
                       next_step="`countersign subject list` shows them; nothing was changed.")
    point = time_point_of(session, trial, target.subject, target.time_point)
    if point is None:
        raise NotFound(f"{target.subject} has no time point {target.time_point}.",
                       next_step="`countersign subject show` lists them; nothing was changed.")
    return subject, point


def _relations(
    session: Connection, actor: Actor, command: CorrectStudy, rows: Sequence[SeriesRow], source: Place, target: Place,
    subject: SubjectRow, point: TimePointRow,
) -> list[str]:
    """What stands against this correction by this person, now."""
    trial, moves = command.trial, target != source
    site = site_of(session, trial, subject.site)
    scope = [consent_gap_of(session, trial, target.subject, date.fromisoformat(row.acquired_on), "images")
             for row in rows] if moves else []
    takes_more = next_state(TIME_POINT, point.state, "time_point.received") is not None
    read = point.state in ("read", "adjudicated")
    holds = {
        "own_upload": any(row.sent_by == actor.user for row in rows),
        "reader_of_subject": any(parts_of(session, trial, one, actor.user) for one in (source.subject, target.subject)),
        "same_place": command.kind in ("wrong_subject", "wrong_time_point") and (
            not moves or (command.kind == "wrong_subject" and target.subject == source.subject)),
        "corrected": any(row.reassigned is not None for row in rows),
        "site_closed": moves and site is not None and site.state == "closed",
        "no_consent": any(one is not None for one in scope),
        "point_settled": moves and not takes_more and not read,
        "data_barred": "erased" in relations_of(session, trial, source.subject)
        or bool(relations_of(session, trial, target.subject)),
    }
    return [name for name, true in holds.items() if true]


def _view(
    command: CorrectStudy, event: words.StudyReassigned, source: Place, rows: Sequence[SeriesRow], copies: int
) -> View:
    follows = "The worker writes corrected copies; a technologist disposes of them." \
        if command.kind in WRITTEN_ANEW else "They stay on record and count no more."
    return View("Correct where series stand", "corrections/correct", (
        ("Trial", command.trial), ("Kind", command.kind.replace("_", " ")), ("They stand at", source.in_words()),
        ("They are", event.became), ("Study", event.study),
        *((f"Series {number}", f"{row.modality}, {row.instances} instances, acquired {row.acquired_on}, "
                               f"{row.disposition or 'not disposed'}; manifest {row.manifest_sha256}")
          for number, row in enumerate(rows, 1)),
        ("Values of models withdrawn", str(event.ai_values)), ("Open reads taken back", str(event.pulled)),
        ("Locked reads that await a decision", str(event.locked)), ("Holders of copies to be told", str(copies)),
        ("What follows", follows), *((("Comment", command.comment),) if command.comment else ()),
    ))


def deliver_correction(desk: Desk, actor: Actor, trial: str, entry: int, folder: Path) -> Receipt:
    """Write the rejection note and what stands for the rejected objects into a new folder, to be sent to whoever holds
    them; that it was taken out is recorded with the digest of its list of files.

    Raises:
        NotFound: no such correction. UnusableInput: not carried out yet, or the folder exists. Refused: no role.
    """
    with desk.reading() as session:
        row = queries.the_correction(session, trial, entry)
        allowed(session, actor, "correction.deliver", trial)
        if row.note is None:
            raise UnusableInput("The worker has not carried this correction out yet.",
                                next_step="`countersign work` does; nothing was written.")
        written = [one for one in series_of_trial(session, trial, reassigned=True) if one.corrects in row.series]
        files = {"rejection-note.dcm": desk.objects.get(row.note, subject=owner(trial, row.subject))}
        for one in written:
            for line in manifest_of(desk.objects, one).instances:
                files[f"{line.uid}.dcm"] = desk.objects.get(line.object, subject=owner(trial, one.subject))
    listing = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    with desk.open(HOUSE, on_behalf_of=actor.user, asked="correction.deliver") as work:
        permit(actor, "correction.deliver", facts_for(work.session, actor, "correction.deliver", trial))
        under = permit(HOUSE, "correction.deliver", facts_for(work.session, HOUSE, "correction.deliver", trial))
        # Recorded before it leaves: a copy that nobody knows of is worse than an entry without its copy.
        work.record(words.CorrectionDelivered(
            correction=row.correction, subject=row.subject, time_point=row.time_point, objects=len(files) - 1,
            manifest_sha256=hashlib.sha256(listing.encode()).hexdigest()),
            under=under, trial=trial, caused_by=row.correction)
        _write(folder, files, listing)
    return work.receipts[0]


def _write(folder: Path, files: dict[str, bytes], listing: str) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UnusableInput("The folder exists already.", next_step="Name a new one; nothing was written.") from error
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "SHA256SUMS").write_text(listing, encoding="utf-8")

"""Commands about subjects: screening, consent, enrolment with its expected time points, declarations of gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from audit.vocabulary import trials as words
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.policy.state import Actor, Decision
from core.trials import queries, views
from core.trials.acting import allowed, draft, iso_day
from core.trials.rules import expected_time_points, follow
from core.work import Desk, Draft, Occasion, Proposal, Receipt, Work

SUBJECT_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,31}")
SCOPES = ("images", "ai", "future_use")
BECAMES = {
    "on_study": "subject.started", "off_treatment": "subject.off_treatment", "completed": "subject.completed",
    "withdrawn": "subject.withdrawn", "lost": "subject.lost", "died": "subject.died",
}
SCREEN_FAILURES = ("criteria_not_met", "consent_refused", "no_measurable_disease", "other")
GAP_REASONS = ("not_acquired", "site_closed", "subject_declined", "technical_failure", "subject_died", "images_lost")
_HOUSE = Actor.of_service("house")


def subject_of(session: Connection, trial: str, subject: str) -> queries.SubjectRow:
    """The subject. Raises NotFound."""
    row = queries.subject_of(session, trial, subject)
    if row is None:
        raise NotFound(f"Trial {trial} has no subject {subject}.", next_step="`countersign subject list` shows them.")
    return row


@dataclass(frozen=True, slots=True)
class ScreenSubject:
    """A coded subject to enter for screening on a day (YYYY-MM-DD)."""

    trial: str
    subject: str
    site: str
    on: str


def screen_subject(desk: Desk, actor: Actor, command: ScreenSubject) -> Receipt:
    """Enter a subject for screening; attested for the person who enters it."""
    iso_day(command.on, "on")
    if not SUBJECT_CODE.fullmatch(command.subject):
        raise UnusableInput("A subject code has 3 to 32 letters, digits and hyphens, and no name in it.")
    with desk.open(_HOUSE, on_behalf_of=actor.user, asked="subject.screen") as work:
        under = allowed(work.session, actor, "subject.screen", command.trial)
        if queries.site_of(work.session, command.trial, command.site) is None:
            raise NotFound(f"Trial {command.trial} has no site {command.site}.")
        if queries.subject_of(work.session, command.trial, command.subject) is not None:
            raise AlreadyDone(f"Subject {command.subject} is entered.")
        event = words.SubjectScreened(subject=command.subject, site=command.site, on=command.on)
        work.record(event, under=under, trial=command.trial)
    return work.receipts[0]


def _check_scopes(scopes: tuple[str, ...]) -> None:
    unknown = [one for one in scopes if one not in SCOPES]
    if unknown or not scopes:
        raise UnusableInput(f"Consent covers {', '.join(SCOPES)}; not {', '.join(unknown) or 'nothing'}.")


@dataclass(frozen=True, slots=True)
class RecordConsent:
    """A version of consent, given on a day, and what it covers from then on."""

    trial: str
    subject: str
    version: str
    given_on: str
    scopes: tuple[str, ...]


def record_consent(desk: Desk, actor: Actor, command: RecordConsent) -> Receipt:
    """Consent given or renewed; attested for the person who enters it."""
    iso_day(command.given_on, "given on")
    _check_scopes(command.scopes)
    with desk.open(_HOUSE, on_behalf_of=actor.user, asked="consent.record") as work:
        under = allowed(work.session, actor, "consent.record", command.trial, about=command.subject)
        subject_of(work.session, command.trial, command.subject)
        event = words.ConsentRecorded(
            subject=command.subject, consent_version=command.version, given_on=command.given_on, scopes=command.scopes)
        work.record(event, under=under, trial=command.trial)
    return work.receipts[0]


def withdraw_consent(desk: Desk, actor: Actor, trial: str, subject: str, as_of: str) -> Receipt:
    """Consent ends as of a day: images acquired from then on are refused, earlier ones stay."""
    iso_day(as_of, "as of")
    with desk.open(_HOUSE, on_behalf_of=actor.user, asked="consent.record") as work:
        under = allowed(work.session, actor, "consent.record", trial)
        subject_of(work.session, trial, subject)
        work.record(words.ConsentWithdrawn(subject=subject, as_of=as_of), under=under, trial=trial)
    return work.receipts[0]


def enrol_subject(desk: Desk, actor: Actor, trial: str, subject: str, on: str) -> Proposal:
    """The investigator enrols a screened subject; what the schedule expects of it follows in the same transaction."""
    day = iso_day(on, "on")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "subject.enrol", trial, about=subject)
        row, charter = subject_of(session, trial, subject), queries.charter_of(session, trial)
        follow("subject", subject, row.state, "subject.enrolled")
        named = {one.person for one in charter.people.investigators if one.site == row.site}
        if actor.user not in named:
            who = ", ".join(sorted(named)) or "nobody"
            raise Refused(f"The charter names {who} as investigator of site {row.site}.", rule="F-213")
        gap = queries.consent_gap_of(session, trial, subject, day, "images")
        if gap is not None:
            raise Refused(f"{subject} cannot be enrolled: {gap}", rule="F-214")
        return draft(
            session, actor, "subject.enrol", trial, words.SubjectEnrolled(subject=subject, site=row.site, on=on),
            under=under, meaning="responsibility", view=views.lines(
                "Enrolment", "trial/enrol", ("Trial", trial), ("Subject", subject), ("Site", row.site),
                ("Enrolled on", on), ("Charter", charter.version),
                *((f"Expected: {one.label}", f"{one.target} ({one.earliest} to {one.latest})")
                  for one in expected_time_points(charter.schedule, {"enrolment": day})),
            ),
        )

    def then(work: Work) -> None:
        expect_time_points(work, trial, subject, {"enrolment": day}, cause=work.entries[0].body["id"])

    return desk.prepare(actor, propose, asked="subject.enrol", then=then)


def expect_time_points(work: Work, trial: str, subject: str, anchors: dict[str, date], *, cause: str) -> None:
    """Record what the schedule expects from these anchors and does not yet expect."""
    charter = queries.charter_of(work.session, trial)
    known = {one.time_point for one in queries.time_points_of(work.session, trial, subject)}
    under = Decision(True, "P-03", "Follows from enrolment and schedule.", "service")
    events = {one.id: one.event for one in charter.schedule}
    work.record_all([
        words.TimePointExpected(
            subject=subject, time_point=one.id, label=one.label, occasion=events[one.id],
            target_on=one.target.isoformat(), earliest_on=one.earliest.isoformat(),
            latest_on=one.latest.isoformat(), charter_version=charter.version,
        )
        for one in expected_time_points(charter.schedule, anchors) if one.id not in known
    ], under=under, trial=trial, caused_by=cause)


def progress_subject(desk: Desk, actor: Actor, trial: str, subject: str, became: str, on: str) -> Receipt:
    """on_study, off_treatment, completed, withdrawn, lost or died, as the site reports it."""
    iso_day(on, "on")
    word = BECAMES.get(became)
    if word is None:
        raise UnusableInput(f"{became!r} is no state of a subject; allowed: {', '.join(BECAMES)}.")
    with desk.open(_HOUSE, on_behalf_of=actor.user, asked="subject.progress") as work:
        under = allowed(work.session, actor, "subject.progress", trial, about=subject)
        row = subject_of(work.session, trial, subject)
        follow("subject", subject, row.state, word)
        work.record(words.SubjectProgressed(subject=subject, became=became, on=on), under=under, trial=trial)
    return work.receipts[0]


def fail_screening(
    desk: Desk, actor: Actor, trial: str, subject: str, on: str, reason: str, comment: str | None = None
) -> Proposal:
    """The investigator ends screening without enrolment; the comment is kept under the subject's key alone."""
    iso_day(on, "on")
    if reason not in SCREEN_FAILURES:
        raise UnusableInput(f"{reason!r} is no reason here; allowed: {', '.join(SCREEN_FAILURES)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "subject.fail_screening", trial, about=subject)
        row = subject_of(session, trial, subject)
        follow("subject", subject, row.state, "subject.screen_failed")
        return draft(
            session, actor, "subject.fail_screening", trial, words.SubjectScreenFailed(
                subject=subject, on=on, comment=desk.conceal(comment, trial, subject, occasion)),
            under=under, meaning="responsibility", reason=reason, view=views.lines(
                "Screen failure", "trial/subject", ("Trial", trial), ("Subject", subject), ("On", on),
                ("Reason", reason.replace("_", " ")), *((("Comment", comment),) if comment else ())),
        )

    return desk.prepare(actor, propose, asked="subject.fail_screening")


def declare_gap(
    desk: Desk, actor: Actor, trial: str, subject: str, time_point: str, reason: str, *, evaluable: bool = False,
    comment: str | None = None,
) -> Proposal:
    """A time point is missed, or (evaluable=True: images are there) not evaluable; signed with a coded reason.

    The comment is kept under the subject's key alone.
    """
    if reason not in GAP_REASONS:
        raise UnusableInput(f"{reason!r} is no reason here; allowed: {', '.join(GAP_REASONS)}.")
    word = "time_point.not_evaluable" if evaluable else "time_point.missed"

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "time_point.declare", trial, about=subject)
        row = queries.time_point_of(session, trial, subject, time_point)
        if row is None:
            raise NotFound(f"{subject} has no time point {time_point}.")
        follow("time point", f"{time_point} of {subject}", row.state, word)
        today = date.fromisoformat(occasion.at[:10])
        if not evaluable and row.state_on(today) == "expected":
            raise Refused(f"{time_point} of {subject} is not due before {row.earliest_on}.", rule="F-215")
        kind = words.TimePointNotEvaluable if evaluable else words.TimePointMissed
        return draft(
            session, actor, "time_point.declare", trial, kind(
                subject=subject, time_point=time_point, comment=desk.conceal(comment, trial, subject, occasion)),
            under=under,
            meaning="responsibility", reason=reason, view=views.lines(
                "Time point without a result", "trial/time_point", ("Trial", trial), ("Subject", subject),
                ("Time point", time_point), ("Declared", "not evaluable" if evaluable else "missed"),
                ("Reason", reason.replace("_", " ")), ("Window", f"{row.earliest_on} to {row.latest_on}"),
                *((("Comment", comment),) if comment else ())),
        )

    return desk.prepare(actor, propose, asked="time_point.declare")

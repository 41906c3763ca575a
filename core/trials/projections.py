"""Tables of trials: charter, stage, sites, scanners, subjects, consent, time points and the AI uses that are open."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, Text, delete, select

from audit.vocabulary import amendments as amendment_words
from audit.vocabulary import data_lock as lock_words
from audit.vocabulary import gates as gate_words
from audit.vocabulary import models as model_words
from audit.vocabulary import trials as words
from audit.vocabulary import validation as validation_words
from core.projection import Recorded, keep, metadata, projects
from core.trials.rules import SITE, SUBJECT, TRIAL

trials = Table(
    "trial", metadata,
    Column("trial", String(16), primary_key=True),
    Column("title", Text, nullable=False),
    Column("demonstration", Boolean, nullable=False),
    Column("stage", String(12), nullable=False),
    Column("created_by", String(120), nullable=False),
    Column("charter_entry", Integer),
    Column("tested_entry", Integer),
    Column("live_entry", Integer),
    Column("entry", Integer, nullable=False),
)
charters = Table(
    "trial_charter", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("version", String(8), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("signed_by", String(120), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("approved_entry", Integer),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
acceptances = Table(
    "trial_charter_acceptance", metadata,
    Column("signed", String(36), nullable=False, index=True),
    Column("person", String(120), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
sites = Table(
    "trial_site", metadata,
    Column("trial", String(16), primary_key=True),
    Column("site", String(32), primary_key=True),
    Column("country", String(2), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("charter_version", String(8)),
    Column("effective_on", String(10)),
    Column("entry", Integer, nullable=False),
)
scanners = Table(
    "trial_scanner", metadata,
    Column("trial", String(16), primary_key=True),
    Column("site", String(32), primary_key=True),
    Column("scanner", String(120), primary_key=True),
    Column("modality", String(4), primary_key=True),
    Column("manufacturer", String(200), nullable=False),
    Column("valid_until", String(10), nullable=False),
    Column("entry", Integer, nullable=False),
)
site_versions = Table(
    "trial_site_version", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("site", String(32), nullable=False),
    Column("version", String(8), nullable=False),
    Column("effective_on", String(10), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
assessments = Table(
    "trial_amendment_assessment", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("signed", String(36), nullable=False, index=True),
    Column("impact", String(8), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
subjects = Table(
    "trial_subject", metadata,
    Column("trial", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("site", String(32), nullable=False),
    Column("state", String(20), nullable=False),
    Column("screened_on", String(10), nullable=False),
    Column("enrolled_on", String(10)),
    Column("ended_on", String(10)),
    Column("entry", Integer, nullable=False),
)
consents = Table(
    "trial_consent", metadata,
    Column("trial", String(16), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("version", String(120), nullable=False),
    Column("given_on", String(10)),
    Column("scopes", String(64), nullable=False),
    Column("withdrawn_as_of", String(10)),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)
time_points = Table(
    "trial_time_point", metadata,
    Column("trial", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("time_point", String(32), primary_key=True),
    Column("label", String(200), nullable=False),
    Column("occasion", String(16), nullable=False),
    Column("target_on", String(10)),
    Column("earliest_on", String(10)),
    Column("latest_on", String(10)),
    Column("acquired_on", String(10)),
    Column("charter_version", String(8)),
    Column("state", String(16), nullable=False),
    Column("reason", String(64)),
    Column("entry", Integer, nullable=False),
)
# The gates slice folds the same words into its own tables; here only what a decision in any room must know.
ai_uses = Table(
    "trial_ai_use", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("gate", String(64), primary_key=True),
    Column("use_name", String(12), nullable=False),
    Column("endpoint", String(32)),
    Column("scope", String(120), nullable=False),
    Column("lock", String(120), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)
CLOSING_REFUSALS = frozenset({"digest_mismatch", "environment_mismatch", "lock_revoked", "input_not_finite",
                              "marks_edited"})
lock_signatures = Table(
    "trial_lock_signature", metadata,
    Column("trial", String(16), nullable=False, index=True),
    Column("cut", String(64), nullable=False),
    Column("signed_as", String(32), nullable=False),
    Column("person", String(120), nullable=False),
    Column("entry_id", String(36), nullable=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),
)


@projects(words.TrialCreated)
def remember_trial(session: Connection, entry: Recorded, event: words.TrialCreated) -> None:
    keep(
        session, trials, trial=entry.trial, title=event.title, demonstration=event.demonstration,
        stage=TRIAL[None, "trial.created"], created_by=entry.actor, entry=entry.seq,
    )


@projects(words.CharterSigned)
def remember_charter(session: Connection, entry: Recorded, event: words.CharterSigned) -> None:
    keep(
        session, charters, trial=entry.trial, version=event.charter_version, digest=event.digest, text=event.text,
        signed_by=entry.actor, entry_id=entry.id, entry=entry.seq,
    )


@projects(words.CharterAccepted)
def remember_acceptance(session: Connection, entry: Recorded, event: words.CharterAccepted) -> None:
    keep(session, acceptances, signed=event.signed, person=entry.actor, entry=entry.seq)


@projects(words.CharterApproved)
def put_charter_in_force(session: Connection, entry: Recorded, event: words.CharterApproved) -> None:
    session.execute(
        charters.update().where(charters.c.entry_id == event.signed).values(approved_entry=entry.seq)
    )
    session.execute(trials.update().where(trials.c.trial == entry.trial).values(charter_entry=entry.seq))


@projects(words.CharterSigned)
def select_sites(session: Connection, entry: Recorded, event: words.CharterSigned) -> None:
    """Named sites are selected; a later text replaces those that nobody has trained yet."""
    session.execute(delete(sites).where(sites.c.trial == entry.trial, sites.c.state == "selected"))
    known = {row.site for row in session.execute(select(sites.c.site).where(sites.c.trial == entry.trial))}
    for site in event.sites:
        if site.site not in known:
            keep(
                session, sites, trial=entry.trial, site=site.site, country=site.country, time_zone=site.time_zone,
                state=SITE[None, "site.selected"], entry=entry.seq,
            )


@projects(words.ConfigurationTested)
def remember_test(session: Connection, entry: Recorded, event: words.ConfigurationTested) -> None:
    session.execute(trials.update().where(trials.c.trial == entry.trial).values(tested_entry=entry.seq))


@projects(words.TrialActivated)
def go_live(session: Connection, entry: Recorded, event: words.TrialActivated) -> None:
    session.execute(trials.update().where(trials.c.trial == entry.trial).values(stage="live", live_entry=entry.seq))


@projects(words.DatabaseLockSigned)
def remember_lock_signature(session: Connection, entry: Recorded, event: words.DatabaseLockSigned) -> None:
    keep(
        session, lock_signatures, trial=entry.trial, cut=event.cut, signed_as=event.signed_as, person=entry.actor,
        entry_id=entry.id, entry=entry.seq,
    )


@projects(
    lock_words.DatabaseSoftLocked, lock_words.DatabaseSoftLockReleased, words.DatabaseLocked, words.DatabaseUnlocked,
    words.TrialClosed,
)
def move_stage(session: Connection, entry: Recorded, event: object) -> None:
    stage = {
        lock_words.DatabaseSoftLocked: "soft_locked", lock_words.DatabaseSoftLockReleased: "live",
        words.DatabaseLocked: "locked", words.DatabaseUnlocked: "live", words.TrialClosed: "closed",
    }[type(event)]
    session.execute(trials.update().where(trials.c.trial == entry.trial).values(stage=stage))
    if stage == "closed":
        session.execute(ai_uses.update().where(ai_uses.c.trial == entry.trial).values(open=False, entry=entry.seq))


def _site_is(session: Connection, entry: Recorded, site: str, state: str, **more: str) -> None:
    session.execute(
        sites.update().where(sites.c.trial == entry.trial, sites.c.site == site)
        .values(state=state, entry=entry.seq, **more)
    )


@projects(words.SiteTrained)
def train_site(session: Connection, entry: Recorded, event: words.SiteTrained) -> None:
    _site_is(session, entry, event.site, "trained")


@projects(words.ScannerQualified)
def remember_scanner(session: Connection, entry: Recorded, event: words.ScannerQualified) -> None:
    session.execute(
        delete(scanners).where(
            scanners.c.trial == entry.trial, scanners.c.site == event.site, scanners.c.scanner == event.scanner,
            scanners.c.modality == event.modality,
        )
    )
    keep(
        session, scanners, trial=entry.trial, site=event.site, scanner=event.scanner, modality=event.modality,
        manufacturer=event.manufacturer, valid_until=event.valid_until, entry=entry.seq,
    )
    state = session.execute(
        select(sites.c.state).where(sites.c.trial == entry.trial, sites.c.site == event.site)
    ).scalar_one()
    _site_is(session, entry, event.site, SITE.get((state, "scanner.qualified"), state))


@projects(words.SiteActivated)
def activate_site(session: Connection, entry: Recorded, event: words.SiteActivated) -> None:
    _site_is(session, entry, event.site, "activated", charter_version=event.charter_version,
             effective_on=event.effective_on)
    _in_effect(session, entry, event.site, event.charter_version, event.effective_on)


def _in_effect(session: Connection, entry: Recorded, site: str, version: str, effective_on: str) -> None:
    keep(
        session, site_versions, trial=entry.trial, site=site, version=version, effective_on=effective_on,
        entry=entry.seq,
    )


@projects(amendment_words.AmendmentApproved)
def amend_site(session: Connection, entry: Recorded, event: amendment_words.AmendmentApproved) -> None:
    """The site stays active since the day of its activation; only the version changes."""
    _site_is(session, entry, event.site, "activated", charter_version=event.charter_version)
    _in_effect(session, entry, event.site, event.charter_version, event.effective_on)


@projects(amendment_words.AmendmentAssessed)
def remember_assessment(session: Connection, entry: Recorded, event: amendment_words.AmendmentAssessed) -> None:
    keep(session, assessments, trial=entry.trial, signed=event.signed, impact=event.impact, entry=entry.seq)


@projects(words.SiteClosed)
def close_site(session: Connection, entry: Recorded, event: words.SiteClosed) -> None:
    _site_is(session, entry, event.site, "closed")


@projects(words.SubjectScreened)
def remember_subject(session: Connection, entry: Recorded, event: words.SubjectScreened) -> None:
    keep(
        session, subjects, trial=entry.trial, subject=event.subject, site=event.site,
        state=SUBJECT[None, "subject.screened"], screened_on=event.on, entry=entry.seq,
    )


def _subject_is(session: Connection, entry: Recorded, subject: str, **values: str) -> None:
    session.execute(
        subjects.update().where(subjects.c.trial == entry.trial, subjects.c.subject == subject)
        .values(entry=entry.seq, **values)
    )


@projects(words.SubjectScreenFailed)
def fail_screening(session: Connection, entry: Recorded, event: words.SubjectScreenFailed) -> None:
    _subject_is(session, entry, event.subject, state="screen_failed", ended_on=event.on)


@projects(words.SubjectEnrolled)
def enrol(session: Connection, entry: Recorded, event: words.SubjectEnrolled) -> None:
    _subject_is(session, entry, event.subject, state="enrolled", enrolled_on=event.on)


@projects(words.SubjectProgressed)
def progress_subject(session: Connection, entry: Recorded, event: words.SubjectProgressed) -> None:
    more = {} if event.became in ("on_study", "off_treatment") else {"ended_on": event.on}
    _subject_is(session, entry, event.subject, state=event.became, **more)


@projects(words.ConsentRecorded)
def remember_consent(session: Connection, entry: Recorded, event: words.ConsentRecorded) -> None:
    keep(
        session, consents, trial=entry.trial, subject=event.subject, version=event.consent_version,
        given_on=event.given_on, scopes=" ".join(event.scopes), entry=entry.seq,
    )


@projects(words.ConsentWithdrawn)
def remember_withdrawal(session: Connection, entry: Recorded, event: words.ConsentWithdrawn) -> None:
    keep(
        session, consents, trial=entry.trial, subject=event.subject, version="withdrawn", scopes="",
        withdrawn_as_of=event.as_of, entry=entry.seq,
    )


@projects(words.TimePointExpected)
def expect_time_point(session: Connection, entry: Recorded, event: words.TimePointExpected) -> None:
    keep(
        session, time_points, trial=entry.trial, subject=event.subject, time_point=event.time_point,
        label=event.label, occasion=event.occasion, target_on=event.target_on, earliest_on=event.earliest_on,
        latest_on=event.latest_on, charter_version=event.charter_version, state="expected", entry=entry.seq,
    )


@projects(words.TimePointRescheduled)
def reschedule_time_point(session: Connection, entry: Recorded, event: words.TimePointRescheduled) -> None:
    _time_point_is(
        session, entry, event.subject, event.time_point, label=event.label, occasion=event.occasion,
        target_on=event.target_on, earliest_on=event.earliest_on, latest_on=event.latest_on,
        charter_version=event.charter_version,
    )


@projects(words.TimePointUnscheduled)
def remember_unscheduled(session: Connection, entry: Recorded, event: words.TimePointUnscheduled) -> None:
    keep(
        session, time_points, trial=entry.trial, subject=event.subject, time_point=event.time_point,
        label="Unscheduled", occasion="unscheduled", acquired_on=event.acquired_on,
        charter_version=event.charter_version, state="received", entry=entry.seq,
    )


def _time_point_is(session: Connection, entry: Recorded, subject: str, time_point: str, **values: str | None) -> None:
    session.execute(
        time_points.update().where(
            time_points.c.trial == entry.trial, time_points.c.subject == subject,
            time_points.c.time_point == time_point,
        ).values(entry=entry.seq, **values)
    )


@projects(words.TimePointMoved)
def move_time_point(session: Connection, entry: Recorded, event: words.TimePointMoved) -> None:
    more: dict[str, str | None] = {"acquired_on": event.acquired_on} if event.acquired_on else {}
    if event.became in ("expected", "superseded"):
        more = {"acquired_on": None}  # a correction took its images away
    more |= {"charter_version": event.charter_version} if event.charter_version else {}
    _time_point_is(session, entry, event.subject, event.time_point, state=event.became, **more)


@projects(words.TimePointMissed, words.TimePointNotEvaluable)
def declare_time_point(
    session: Connection, entry: Recorded, event: words.TimePointMissed | words.TimePointNotEvaluable
) -> None:
    state = "missed" if isinstance(event, words.TimePointMissed) else "not_evaluable"
    _time_point_is(session, entry, event.subject, event.time_point, state=state, reason=entry.reason)


@projects(gate_words.GateOpened)
def open_use(session: Connection, entry: Recorded, event: gate_words.GateOpened) -> None:
    keep(
        session, ai_uses, trial=entry.trial, gate=event.gate, use_name=event.use_name, endpoint=event.endpoint,
        scope=event.scope, lock=event.lock, open=True, entry=entry.seq,
    )


@projects(gate_words.GateSuspended, gate_words.GateHalted, gate_words.GateRevoked, gate_words.GateResumed)
def move_use(
    session: Connection, entry: Recorded,
    event: gate_words.GateSuspended | gate_words.GateHalted | gate_words.GateRevoked | gate_words.GateResumed,
) -> None:
    session.execute(
        ai_uses.update().where(ai_uses.c.gate == event.gate)
        .values(open=isinstance(event, gate_words.GateResumed), entry=entry.seq)
    )


@projects(model_words.ModelRefused, model_words.ModelRetired, validation_words.ValidationSuspect)
def close_uses_of_lock(
    session: Connection, entry: Recorded,
    event: model_words.ModelRefused | model_words.ModelRetired | validation_words.ValidationSuspect,
) -> None:
    """A lost precondition closes at once; `gate.suspended` follows from the outbox and says so (TRIAL 2)."""
    if isinstance(event, model_words.ModelRefused) and event.cause not in CLOSING_REFUSALS:
        return
    session.execute(ai_uses.update().where(ai_uses.c.lock == event.lock).values(open=False, entry=entry.seq))


@projects(validation_words.DeviationOpened)
def close_uses_of_trial(session: Connection, entry: Recorded, event: validation_words.DeviationOpened) -> None:
    """A critical deviation about a trial or a lock closes what rests on it."""
    if event.klass_name == "critical" and (entry.trial or event.lock):
        touched = (ai_uses.c.trial == entry.trial) if entry.trial else (ai_uses.c.lock == event.lock)
        session.execute(ai_uses.update().where(touched).values(open=False, entry=entry.seq))

"""Words about a trial: its charter, stage, sites, subjects, time points and consent."""

from __future__ import annotations

from audit.vocabulary.registry import SubjectText, event, piece


@event(
    "trial.created", signed_by="person", clause="ICH E6(R3) 4.3.4",
    sentence="{actor} set up trial {trial}: {title}",
)
class TrialCreated:
    """A trial in stage set_up; nothing can be received or read yet."""

    title: str
    demonstration: bool


@piece
class KeyNumber:
    """A number of a gate criterion as the charter states it, and as it ships."""

    name: str
    value: str
    shipped: str
    laxer: bool
    justification: str | None = None


@piece
class DeclaredUse:
    """A use of AI as the charter declares it: planned with model, scope and endpoints, or not_used with reason."""

    use: int
    name: str
    planned: bool
    model: str | None = None
    scope: str | None = None
    endpoints: tuple[str, ...] = ()
    not_used_because: str | None = None


@piece
class NamedPerson:
    """A person whom the charter names in a role, for one site where given."""

    person: str
    role: str
    site: str | None = None


@piece
class NamedSite:
    """A site of the trial."""

    site: str
    country: str
    time_zone: str


@event(
    "charter.signed", signed_by="person", clause="ICH E6(R3) 4.3.4; FDA imaging 2018",
    sentence="{actor} signed charter {charter_version} of {trial}, digest {digest}",
)
class CharterSigned:
    """The whole text of a charter, signed by its trial lead; in force when QA approved it."""

    charter_version: str
    digest: str
    text: str
    evidence_class: str
    limits: tuple[KeyNumber, ...]
    uses: tuple[DeclaredUse, ...]
    people: tuple[NamedPerson, ...]
    sites: tuple[NamedSite, ...]


@event(
    "charter.accepted", signed_by="person", clause="ICH E6(R3) 2.3",
    sentence="{actor} took responsibility as investigator under charter {charter_version} of {trial}",
)
class CharterAccepted:
    """A named investigator signs the charter; with it the first delegation is given (TRIAL 1)."""

    charter_version: str
    digest: str
    signed: str


@event(
    "charter.approved", signed_by="person", clause="ICH E6(R3) 4.3.4",
    sentence="{actor} approved charter {charter_version} of {trial} as QA; it is in force",
)
class CharterApproved:
    """QA signs last; the charter is in force from here on."""

    charter_version: str
    digest: str
    signed: str


@event(
    "configuration.tested", signed_by="person", clause="EMA computerised systems 2023, A2.3",
    sentence="{actor} tested the configuration of {trial} with {dummy_subjects} dummy subjects",
)
class ConfigurationTested:
    """A user of the trial tried it with dummy subjects before it is live (TRIAL 3)."""

    charter_version: str
    dummy_subjects: int
    steps: tuple[str, ...]


@event(
    "trial.activated", signed_by="person", clause="ICH E6(R3) 4.3.5",
    sentence="{actor} made trial {trial} live under charter {charter_version}",
)
class TrialActivated:
    """From here on images are received and read."""

    charter_version: str
    digest: str


@event(
    "database.locked", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} locked the data of {trial} as QA, the last of four signatures",
)
class DatabaseLocked:
    """The last signature of data manager, statistician, imaging lead and QA."""

    cut: str
    signed: tuple[str, ...]


@event(
    "database.lock_signed", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} signed the lock of {trial} as {signed_as}",
)
class DatabaseLockSigned:
    """One of the signatures before QA's."""

    cut: str
    signed_as: str


@event(
    "database.unlocked", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} unlocked the data of {trial} for {reason}",
)
class DatabaseUnlocked:
    """The second of two persons; `first` is the other's entry, `difference` what both say is to be changed."""

    first: str
    difference: str


@event(
    "trial.closed", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} closed trial {trial} on the locked cut {cut}",
)
class TrialClosed:
    """Nothing more happens in the trial; its record stays readable."""

    charter_version: str
    cut: str


@event(
    "site.trained", signed_by="person", clause="ICH E6(R3) 4.3.2",
    sentence="{actor} confirmed that site {site} of {trial} is trained on charter {charter_version}",
)
class SiteTrained:
    """The people of a site know the imaging manual."""

    site: str
    charter_version: str


@event(
    "scanner.qualified", signed_by="person", clause="FDA imaging 2018",
    sentence="{actor} qualified {modality} scanner {scanner} of site {site} until {valid_until}",
)
class ScannerQualified:
    """A phantom scan of this scanner passed the trial's rules. `scanner` is the device id that images carry."""

    site: str
    scanner: str
    modality: str
    manufacturer: str
    valid_until: str
    evidence: str


@event(
    "site.activated", signed_by="person", clause="ICH E6(R3) 4.3.5; EMA computerised systems 2023, A2.7",
    sentence="{actor} activated site {site} of {trial} for charter {charter_version} from {effective_on}",
)
class SiteActivated:
    """Images of this site count from here on; again for each later version."""

    site: str
    charter_version: str
    effective_on: str


@event(
    "site.closed", signed_by="person", clause="ICH E6(R3) 4.3.5",
    sentence="{actor} closed site {site} of {trial}",
)
class SiteClosed:
    """Later images of this site are held."""

    site: str


@event(
    "subject.screened", signed_by="service", clause="ICH E6(R3) 2.8",
    sentence="{on_behalf_of} entered subject {subject} of site {site} for screening",
)
class SubjectScreened:
    """A coded subject id enters the trial."""

    subject: str
    site: str
    on: str


@event(
    "subject.screen_failed", signed_by="person", clause="ICH E6(R3) 2.8",
    sentence="{actor} recorded that {subject} failed screening: {reason}",
)
class SubjectScreenFailed:
    """The subject takes no part."""

    subject: str
    on: str
    comment: SubjectText | None = None


@event(
    "subject.enrolled", signed_by="person", clause="ICH E6(R3) 2.8",
    sentence="{actor} enrolled subject {subject} at site {site} on {on}",
)
class SubjectEnrolled:
    """The investigator's decision; the arm is never part of it."""

    subject: str
    site: str
    on: str


@event(
    "subject.progressed", signed_by="service", clause="ICH E6(R3) 2.8",
    sentence="{on_behalf_of} recorded that {subject} is {became} since {on}",
)
class SubjectProgressed:
    """on_study, off_treatment, completed, withdrawn, lost or died, as reported by the site."""

    subject: str
    became: str
    on: str


@event(
    "consent.recorded", signed_by="service", clause="ICH E6(R3) 2.8",
    sentence="{on_behalf_of} recorded consent {consent_version} of {subject} given on {given_on} for {scopes}",
)
class ConsentRecorded:
    """A version of consent and what it covers: images, ai, future_use."""

    subject: str
    consent_version: str
    given_on: str
    scopes: tuple[str, ...]


@event(
    "consent.withdrawn", signed_by="service", clause="ICH E6(R3) 2.8; GDPR 7(3)",
    sentence="{on_behalf_of} recorded that {subject} withdrew consent as of {as_of}",
)
class ConsentWithdrawn:
    """Images acquired from that day on are refused; earlier ones stay."""

    subject: str
    as_of: str


@event(
    "time_point.expected", signed_by="service", clause="TRIAL 3",
    sentence="{subject} is expected for {time_point} on {target_on}, from {earliest_on} to {latest_on}",
)
class TimePointExpected:
    """Follows from enrolment and the charter's schedule; without it nothing could be missing."""

    subject: str
    time_point: str
    label: str
    occasion: str
    target_on: str
    earliest_on: str
    latest_on: str
    charter_version: str


@event(
    "time_point.rescheduled", signed_by="service", clause="TRIAL 2, 3; ICH E6(R3) 2.2",
    sentence="{time_point} of {subject} is expected on {target_on}, from {earliest_on} to {latest_on}, under charter "
    "{charter_version}",
)
class TimePointRescheduled:
    """An amendment in effect at the subject's site moved the window of a time point that had not come yet."""

    subject: str
    time_point: str
    label: str
    occasion: str
    target_on: str
    earliest_on: str
    latest_on: str
    charter_version: str


@event(
    "time_point.unscheduled", signed_by="service", clause="TRIAL 3",
    sentence="An unscheduled time point {time_point} of {subject} was received, acquired on {acquired_on}",
)
class TimePointUnscheduled:
    """Images outside every window; never renumbers the scheduled ones."""

    subject: str
    time_point: str
    acquired_on: str
    charter_version: str | None = None


@event(
    "time_point.moved", signed_by="service", clause="TRIAL 3",
    sentence="{time_point} of {subject} is {became}",
)
class TimePointMoved:
    """received, in_qc, ready, in_read, read or adjudicated, and after a correction expected or superseded: what another
    entry (caused_by) made of it.

    `charter_version`: the one in effect at its site on the day of acquisition, where images were received.
    """

    subject: str
    time_point: str
    became: str
    acquired_on: str | None = None
    charter_version: str | None = None


@event(
    "time_point.missed", signed_by="person", clause="ICH E3 16.2.3",
    sentence="{actor} declared {time_point} of {subject} missed: {reason}",
)
class TimePointMissed:
    """Signed with a coded reason; a late scan is still received."""

    subject: str
    time_point: str
    comment: SubjectText | None = None


@event(
    "time_point.not_evaluable", signed_by="person", clause="ICH E3 16.2.3",
    sentence="{actor} declared {time_point} of {subject} not evaluable: {reason}",
)
class TimePointNotEvaluable:
    """Images are there and cannot be used; they stay."""

    subject: str
    time_point: str
    comment: SubjectText | None = None

"""Words about images: what came in, what was refused, what the checks measured, and how a technologist disposed."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, SubjectText, event, piece


@event(
    "deidentification.keyed", signed_by="service", clause="45 CFR 164.514(b); PS3.15 E; GDPR 32",
    sentence="The key for de-identifying images of {trial} was made; profile revision {profile}, options {options}",
)
class DeidentificationKeyed:
    """The trial's secret for UIDs, dates and device pseudonyms; `key` is its encrypted object."""

    profile: str
    options: tuple[str, ...]
    key: ObjectRef


@piece
class RefusedFile:
    """One file that was not kept: SHA-256 of its bytes, its size, and why, as a code. Never its name."""

    sha256: str
    bytes: int
    code: str


@event(
    "files.refused", signed_by="service", clause="ICH E6(R3) 4.2.5",
    sentence="{count} files of intake {intake} were refused",
)
class FilesRefused:
    """Files that are no usable image of the trial, each with its reason; at most 200 an entry."""

    intake: str
    count: int
    files: tuple[RefusedFile, ...]


@event(
    "series.received", signed_by="service", clause="ICH E6(R3) 4.2.5; 21 CFR 11.10(e)",
    sentence="{on_behalf_of} sent {modality} series of {subject}, {time_point}: {instances} instances, "
    "de-identified and stored; manifest {manifest_sha256}",
)
class SeriesReceived:
    """One series, de-identified, encrypted and on disk. `series` and `study` are the trial's own UIDs.

    `manifest_sha256` is the digest of the manifest's clear text (`manifest` is encrypted); `content_sha256` goes over
    the content digests of its instances in order, and is the same in every transfer syntax.
    """

    intake: str
    subject: str
    study: str
    series: str
    site: str
    time_point: str
    modality: str
    acquired_on: str
    scanner: str
    charter_version: str
    instances: int
    bytes: int
    manifest: ObjectRef
    manifest_sha256: str
    content_sha256: str


@event(
    "series.refused", signed_by="service", clause="ICH E6(R3) 4.2.5",
    sentence="A {modality} series of {instances} instances was refused: {reason}",
)
class SeriesRefused:
    """Readable images that do not belong here, or may not be kept. `subject` only where it is one of the trial.

    `places` says, where identifiers were left, of which kind and in which attribute, never the identifier; and of an
    instance that is held under another subject already, which one, and by which series and entry.
    """

    intake: str
    modality: str
    instances: int
    subject: str | None = None
    time_point: str | None = None
    places: tuple[str, ...] = ()
    files: tuple[RefusedFile, ...] = ()


@event(
    "series.conflicted", signed_by="service", clause="ICH E6(R3) 4.2.4; TRIAL 3 corrections",
    sentence="{conflicting} instances of a stored {modality} series of {subject} came again with other content; "
    "refused, kept in quarantine",
)
class SeriesConflicted:
    """Same UID, other content, without an open query: never overwritten. `quarantine` holds what came, encrypted."""

    intake: str
    subject: str
    study: str
    series: str
    time_point: str
    modality: str
    conflicting: int
    stored_manifest_sha256: str
    found_content_sha256: str
    quarantine: tuple[ObjectRef, ...]


@event(
    "series.duplicated", signed_by="service", clause="ICH E6(R3) 4.2.5",
    sentence="{instances} instances of a stored {modality} series of {subject} came again with the same content",
)
class SeriesDuplicated:
    """Recognised by content, `re_encoded` of them in another transfer syntax; nothing was stored again."""

    intake: str
    subject: str
    study: str
    series: str
    time_point: str
    modality: str
    instances: int
    re_encoded: int


@event(
    "series.extended", signed_by="service", clause="ICH E6(R3) 4.2.5",
    sentence="{added} instances were added to the {modality} series of {subject}, {time_point}; now {instances}",
)
class SeriesExtended:
    """Further instances of a series that is not disposed yet; the manifest is the new whole."""

    intake: str
    subject: str
    study: str
    series: str
    time_point: str
    modality: str
    added: int
    instances: int
    bytes: int
    manifest: ObjectRef
    manifest_sha256: str
    content_sha256: str


@event(
    "series.resubmitted", signed_by="service", clause="ICH E6(R3) 4.2.4; TRIAL 3 corrections",
    sentence="Under an open query {replaced} instances of the {modality} series of {subject}, {time_point}, came in a "
    "new version {edition}",
)
class SeriesResubmitted:
    """The site answers a query: same UIDs, other content. Both manifests stay; `tags` names what differs, no values.

    `edition` counts from 1, the first delivery; `pixels_changed` counts instances whose pixels differ.
    """

    intake: str
    subject: str
    study: str
    series: str
    time_point: str
    modality: str
    edition: int
    replaced: int
    added: int
    tags: tuple[str, ...]
    pixels_changed: int
    former_manifest_sha256: str
    instances: int
    bytes: int
    manifest: ObjectRef
    manifest_sha256: str
    content_sha256: str


@event(
    "series.held", signed_by="service", clause="TRIAL 3 site and equipment",
    sentence="The {modality} series of {subject}, {time_point}, is held: {reason}",
)
class SeriesHeld:
    """Received and kept, and not to be accepted until its site is active and its scanner qualified."""

    subject: str
    study: str
    series: str
    time_point: str
    modality: str


@event(
    "series.released", signed_by="service", clause="TRIAL 3 site and equipment",
    sentence="The {modality} series of {subject}, {time_point}, is no longer held; {on_behalf_of} asked",
)
class SeriesReleased:
    """The reason for holding is gone."""

    subject: str
    study: str
    series: str
    time_point: str
    modality: str


@event(
    "study.completed", signed_by="service", clause="ICH E6(R3) 4.2.5",
    sentence="{subject}, {time_point}: every modality of the charter is there ({modalities})",
)
class StudyCompleted:
    """All series that the charter expects at this time point have been received; says nothing of their quality."""

    subject: str
    study: str
    time_point: str
    modalities: tuple[str, ...]
    series: tuple[str, ...]


@piece
class CheckedRule:
    """One line of a check: what was required, what was measured and where; outcome met, warning or not_met.

    `when_broken`: reject, query or note, as the charter states it for its own rules.
    """

    rule: str
    required: str
    measured: str
    where: str
    outcome: str
    when_broken: str


@event(
    "quality.checked", signed_by="service", clause="FDA imaging 2018; ICH E6(R3) 4.2.5",
    sentence="The {modality} series of {subject}, {time_point}, was checked under charter {charter_version}: "
    "{broken} rules not met; case {case}",
)
class QualityChecked:
    """Opens (or opens again) the case of one series, with every rule and its outcome."""

    case: str
    subject: str
    study: str
    series: str
    time_point: str
    modality: str
    charter_version: str
    manifest_sha256: str
    broken: int
    rules: tuple[CheckedRule, ...]


@event(
    "quality.disposed", signed_by="person", clause="21 CFR 11.10(e); FDA imaging 2018",
    sentence="{actor} {disposition} the {modality} series of {subject}, {time_point}: {reason}",
)
class QualityDisposed:
    """A technologist's decision on one series: accepted, queried or rejected; a later one supersedes, never edits."""

    case: str
    subject: str
    study: str
    series: str
    time_point: str
    modality: str
    disposition: str
    manifest_sha256: str
    not_met: tuple[str, ...]
    comment: SubjectText | None = None


@event(
    "quality.ai_shown", signed_by="service", clause="FDA imaging 2018; EMA AI 2024",
    sentence="What AI runs {runs} say of case {case} was shown to {on_behalf_of} at quality control, under gate {gate}",
)
class QualityAiShown:
    """Which AI runs somebody was shown beside a case of quality control, before or after it was disposed of."""

    case: str
    subject: str
    time_point: str
    gate: str
    runs: tuple[str, ...]


@event(
    "intake.recorded", signed_by="service", clause="ICH E6(R3) 4.2.5",
    sentence="Intake {intake}: of {files} files {accepted} accepted, {duplicates} known already, "
    "{conflicting} in conflict, {refused} refused",
)
class IntakeRecorded:
    """The account of one delivery: every file has exactly one outcome, and the numbers add up."""

    intake: str
    files: int
    accepted: int
    duplicates: int
    conflicting: int
    refused: int
    series: tuple[str, ...]

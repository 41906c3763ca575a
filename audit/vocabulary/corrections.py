"""Words about corrections: what stood in the wrong place, what took its place, and who was told."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, SubjectText, event, piece


@piece
class CorrectedSeries:
    """One series that is taken out of its place, as it was stored; its objects stay."""

    series: str
    modality: str
    instances: int
    manifest_sha256: str


@event(
    "study.reassigned", signed_by="person", clause="ICH E6(R3) 4.2.4; TRIAL 3 corrections",
    sentence="{actor} corrected {count} series of {subject}, {time_point} ({kind}): {became}",
)
class StudyReassigned:
    """Series stand no longer where they stood, and everything derived there is stale from here on.

    `kind`: wrong_subject, wrong_time_point, wrong_side, duplicate or extra_series. The first three are written anew
    (`series.corrected`) for `to_subject`, `to_time_point` or with `side` (L or R). `ai_values` counts the values of
    models that counted and count no more; `pulled` the reads that were open, `locked` those that were locked and
    await an impact decision.
    """

    study: str
    kind: str
    subject: str
    time_point: str
    became: str
    count: int
    series: tuple[CorrectedSeries, ...]
    ai_values: int
    pulled: int
    locked: int
    to_subject: str | None = None
    to_time_point: str | None = None
    side: str | None = None
    comment: SubjectText | None = None


@event(
    "series.corrected", signed_by="service", clause="ICH E6(R3) 4.2.4; TRIAL 3 corrections",
    sentence="{modality} series {corrects} was written anew for {subject}, {time_point}: {instances} instances; "
    "manifest {manifest_sha256}",
)
class SeriesCorrected:
    """A corrected copy, under UIDs of its own and the right subject's key; pixels are those that were received.

    `corrects` is the series that it stands for, `former_manifest_sha256` that one's manifest.
    """

    corrects: str
    former_manifest_sha256: str
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
    "correction.noted", signed_by="service", clause="IHE RAD IOCM; PS3.16 CID 7010",
    sentence="A rejection note was made for {instances} instances of {subject}, {time_point}: {title}",
)
class CorrectionNoted:
    """The Key Object Selection that tells an archive which objects count no more; `title` is its code (DCM)."""

    correction: str
    subject: str
    time_point: str
    title: str
    instances: int
    sop_instance: str
    note: ObjectRef


@event(
    "correction.notified", signed_by="service", clause="ICH E6(R3) 4.2.4; GDPR 19",
    sentence="{holder}, who holds {kind} {copy_entry}, was given notice of a correction of {subject} of {trial}",
)
class CorrectionNotified:
    """Signed notice for whoever took out a copy that may show what was corrected."""

    correction: str
    subject: str
    kind: str
    copy_entry: str
    holder: str


@event(
    "correction.delivered", signed_by="service", clause="IHE RAD IOCM; ICH E6(R3) 4.2.4",
    sentence="{on_behalf_of} took out the correction of {subject}, {time_point}: rejection note and {objects} objects, "
    "manifest {manifest_sha256}",
)
class CorrectionDelivered:
    """What whoever holds the rejected objects is to be sent; `manifest_sha256` is over names and digests of files."""

    correction: str
    subject: str
    time_point: str
    objects: int
    manifest_sha256: str

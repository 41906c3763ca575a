"""Words about reads: who may read, whose case it is, sealed answers, their opening and difference, the signed final."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, SubjectText, event, piece


@event(
    "reader.qualified", signed_by="person", clause="FDA imaging 2018; ICH E6(R3) 2.3",
    sentence="{actor} qualified {user} as {role_read}: {score} on {reference_set} ({cases} cases), {limit} needed",
)
class ReaderQualified:
    """A reader or adjudicator passed the reference set before the first case (TRIAL 4)."""

    user: str
    role_read: str
    reference_set: str
    cases: int
    score: str
    limit: str
    charter_version: str
    evidence: ObjectRef | None = None


@event(
    "read.assigned", signed_by="person", clause="FDA imaging 2018",
    sentence="{actor} gave slot {slot} of subject {subject} to {reader}",
)
class ReadAssigned:
    """One slot keeps a subject for the whole trial. With `replaces` the new reader starts from baseline; the old
    reads are kept and excluded by rule."""

    subject: str
    slot: str
    reader: str
    replaces: str | None = None


@piece
class Seed:
    """A point inside a lesion, in millimetres of the patient's axes (DICOM PS3.3 C.7.6.2), decimal text."""

    lesion: str
    tracking_uid: str
    x: str
    y: str
    z: str


@event(
    "seed.placed", signed_by="person", clause="draft Annex 22, 3",
    sentence="{actor} placed the seeds of {subject}, {time_point} for the model",
)
class SeedPlaced:
    """Where a person says that lesions are; the model measures nothing that nobody pointed at."""

    subject: str
    time_point: str
    series: str
    frame_of_reference: str
    seeds: tuple[Seed, ...]


@piece
class ShownSeries:
    """A series laid before the reader, and the entry of its acceptance."""

    series: str
    entry: int


@event(
    "read.begun", signed_by="service", clause="FDA imaging 2018",
    sentence="{on_behalf_of} began the read of {subject}, {time_point} in slot {slot} under charter {charter_version}",
)
class ReadBegun:
    """The images are open to one slot. The id of this entry is the assignment that the sealed answer names;
    `slots` are the human seals that must be in before any opens. Of an AI's read `lock` is what measures, and
    `supersedes` the read of the lock before it that is measured again under a plan of bridging: kept, counted nowhere
    unless this one is withdrawn. `flags` say what a reader is to know of the images: another scanner than at the first
    time point."""

    subject: str
    time_point: str
    slot: str
    assigned: str
    charter_version: str
    slots: tuple[str, ...]
    on: str
    images: tuple[ShownSeries, ...] = ()
    lock: str | None = None
    supersedes: str | None = None
    flags: tuple[str, ...] = ()


@event(
    "read.marked", signed_by="person", clause="FDA imaging 2018; EMA AI 2024",
    sentence="{actor} locked their own marks, under seal, before any AI value was shown",
)
class ReadMarked:
    """The reader's own values before AI is shown (`ai_display: after_own`), sealed like the read itself."""

    assignment: str
    commit: str
    iv: str
    ct: str


@event(
    "read.ai_shown", signed_by="service", clause="BICR; EMA AI 2024",
    sentence="AI values {runs} were shown to {on_behalf_of}, as the charter states",
)
class ReadAiShown:
    """Which AI values a reader was shown for an assignment, and under which gate."""

    assignment: str
    endpoint: str
    gate: str
    runs: tuple[str, ...]


@event(
    "read.sealed", signed_by=("person", "service"), clause="FDA imaging 2018; 21 CFR 11.50",
    sentence="{actor} sealed a read: commitment {commit}",
)
class ReadSealed:
    """A locked answer: what it says is unknown to everyone until every required seal is in (RECORD 5)."""

    assignment: str
    commit: str
    iv: str
    ct: str


@event(
    "read.withdrawn", signed_by="service", clause="TRIAL 2",
    sentence="The AI read {assignment} was withdrawn: {says}",
)
class ReadWithdrawn:
    """An AI read that will not come: human work never waits for a gate."""

    assignment: str
    says: str


@event(
    "reread.ordered", signed_by="person", clause="FDA imaging 2018; TRIAL 3",
    sentence="{actor} ordered slot {slot} of {subject} to be read again, {scope} {time_point}: {reason}",
)
class RereadOrdered:
    """The impact decision after a correction: `scope` is this or from_here. The earlier reads are kept and excluded
    by rule; `on` is the date of acquisition from which on they are."""

    subject: str
    time_point: str
    slot: str
    scope: str
    on: str
    comment: SubjectText | None = None


@event(
    "read.pulled", signed_by="service", clause="FDA imaging 2018; TRIAL 3 corrections",
    sentence="The open read of {subject}, {time_point} in slot {slot} was taken back: its images were corrected",
)
class ReadPulled:
    """An open read ends without an answer; its slot begins anew when the images are ready."""

    assignment: str
    subject: str
    time_point: str
    slot: str


@event(
    "impact.decided", signed_by="person", clause="FDA imaging 2018; TRIAL 3 corrections",
    sentence="{actor} decided what the correction of {subject}, {time_point} means for its locked reads: {decision}",
)
class ImpactDecided:
    """Blind to the values: none (the reads stand), this or from_here (`reread.ordered` follows for each slot).

    `corrections` are the entries whose consequence this is, `slots` those with a locked read.
    """

    subject: str
    time_point: str
    decision: str
    corrections: tuple[str, ...]
    slots: tuple[str, ...]
    comment: SubjectText | None = None


@event(
    "read.opened", signed_by="service", clause="BICR; RECORD 5",
    sentence="The seal {sealed} was opened, all seals of the time point being in",
)
class ReadOpened:
    """Key (AES-256) and nonce of one seal, base64. `sealed` is the id of its entry."""

    sealed: str
    key: str
    nonce: str


@piece
class FiredTrigger:
    """A trigger of the charter that the reads fired."""

    trigger: str
    endpoint: str
    kind: str


@event(
    "read.compared", signed_by="service", clause="BICR; FDA imaging 2018",
    sentence="The reads of {subject}, {time_point} were compared under charter {charter_version}; triggers: {fired}",
)
class ReadCompared:
    """Which triggers fired; responses and values are derived anew whenever they are asked for. Without a time point
    the whole course of the subject was compared."""

    subject: str
    charter_version: str
    criteria: tuple[str, ...]
    options_sha256: tuple[str, ...]
    sealed: tuple[str, ...]
    fired: tuple[FiredTrigger, ...]
    time_point: str | None = None


@event(
    "read.adjudicated", signed_by="person", clause="BICR; FDA imaging 2018",
    sentence="{actor} adjudicated {subject}, {time_point} and chose one whole read: {reason}",
)
class ReadAdjudicated:
    """The adjudicator picks one whole read, never a mixture. `chosen` and `against` are ids of sealed entries."""

    subject: str
    compared: str
    chosen: str
    against: tuple[str, ...]
    time_point: str | None = None
    comment: SubjectText | None = None


@event(
    "read.signed", signed_by="person", clause="21 CFR 11.50, 11.70; GDPR 22",
    sentence="{actor} signed the final read of {subject}, {time_point}",
)
class ReadSigned:
    """The human final of a time point, as a new structured report. `rests_on` is the adjudication or comparison."""

    subject: str
    time_point: str
    accepted: str
    rests_on: str
    report: ObjectRef
    sop_instance: str
    predecessors: tuple[str, ...] = ()

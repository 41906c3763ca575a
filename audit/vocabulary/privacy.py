"""Words about the rights of subjects: what was asked and decided, what is no longer used, what was destroyed."""

from __future__ import annotations

from audit.vocabulary.registry import SubjectText, event


@event(
    "privacy.decided", signed_by="person", clause="GDPR 17, 18; ICH E6(R3) 2.8",
    sentence="{actor} decided on a request ({request}) about {subject} of {trial}: {decision}; basis {basis}, "
    "retention duty {retention}",
)
class PrivacyDecided:
    """Request, legal basis and decision, coded: restrict, erase or refuse. `retention` is none, until (a day) or event
    (until it has happened, then with its day). `replaces` names a decision whose duty was recorded wrongly.

    A decision to erase takes effect with `privacy.erased` of a second person.
    """

    subject: str
    request: str
    basis: str
    decision: str
    retention: str
    retain_until: str | None = None
    retain_event: str | None = None
    happened_on: str | None = None
    replaces: str | None = None
    comment: SubjectText | None = None


@event(
    "restriction.lifted", signed_by="person", clause="GDPR 18(3)",
    sentence="{actor} lifted the restriction of {subject} of {trial}: {reason}",
)
class RestrictionLifted:
    """The subject's data may be used again; `decided` is the decision that restricted them."""

    subject: str
    decided: str


@event(
    "privacy.erased", signed_by="person", clause="GDPR 17(1); ICH E6(R3) 4.2.2(b)",
    sentence="{actor} signed the erasure of {subject} of {trial}",
)
class PrivacyErased:
    """The second of two persons; `decided` is the first one's decision. What follows destroys the subject's key."""

    subject: str
    decided: str


@event(
    "privacy.destroyed", signed_by="service", clause="GDPR 17(1)",
    sentence="The key of {subject} of {trial} was destroyed in {folders} folders and what wrapped it renewed",
)
class PrivacyDestroyed:
    """Nothing that is kept opens the subject's objects and texts any more. `erased` is the entry that ordered it.

    `again`: the key had come back, or this record had lost the order, by a restored copy.
    """

    subject: str
    erased: str
    folders: int
    again: bool | None = None


@event(
    "privacy.notified", signed_by="service", clause="GDPR 19",
    sentence="{holder}, who holds {kind} {copy_entry}, was given notice of the erasure of {subject} of {trial}",
)
class PrivacyNotified:
    """Signed notice for whoever took out a copy that may cover the subject, as far as the record knows the holder."""

    subject: str
    erased: str
    kind: str
    copy_entry: str
    holder: str

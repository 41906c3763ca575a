"""Words about leaked identifiers: what was closed off, what was ordered destroyed, and the signed certificate of it.

No word names an identifier. `mark` is an HMAC of it under the trial's own secret, so that two searches can be shown to
have looked for the same thing (RECORD 6).
"""

from __future__ import annotations

from audit.vocabulary.corrections import CorrectedSeries
from audit.vocabulary.registry import ObjectRef, SubjectText, event, piece


@event(
    "incident.opened", signed_by=("person", "service"), clause="GDPR 33; ICH E6(R3) 2.10; TRIAL 3 corrections",
    sentence="{actor} opened incident {incident} of {trial}: {kind} left in images ({source}); {count} series "
    "closed off",
)
class IncidentOpened:
    """Identifiers were left. `source` is person or finding; `places` says in which attributes or pixels, never what.

    The series are out of their place from here on, and everything derived there is stale, as after a correction. An
    incident that a finding opened has none: nothing of what it found was kept.
    """

    incident: str
    source: str
    kind: str
    count: int
    series: tuple[CorrectedSeries, ...]
    places: tuple[str, ...]
    subject: str | None = None
    study: str | None = None
    time_point: str | None = None
    mark: str | None = None
    comment: SubjectText | None = None


@event(
    "destruction.ordered", signed_by="person", clause="GDPR 5(1)(c), 33; ICH E6(R3) 4.2.2",
    sentence="{actor} ordered the destruction of {objects} objects of incident {incident}, listing {digest}",
)
class DestructionOrdered:
    """`listing` names each object by the digest under which it was stored, and its size; `digest` is over its text."""

    incident: str
    objects: int
    bytes: int
    listing: ObjectRef
    digest: str


@event(
    "destruction.done", signed_by="service", clause="GDPR 5(1)(c); ICH E6(R3) 4.2.2",
    sentence="{destroyed} objects of incident {incident} were destroyed; {absent} were not there any more",
)
class DestructionDone:
    """Overwritten and removed. `again`: a restored copy had brought them back."""

    incident: str
    destroyed: int
    absent: int
    again: bool | None = None


@piece
class CopyAnswer:
    """What its holder said of a copy: destroyed, returned, or holds_none. Kind: export, report, correction, backup."""

    copy_entry: str
    kind: str
    holder: str
    answer: str


@event(
    "destruction.certified", signed_by="person", clause="GDPR 5(2), 33(5); ICH E6(R3) 4.2.2",
    sentence="{actor} certified the destruction of {objects} objects of incident {incident}: {searched} objects and "
    "files searched, {found} hold an identifier",
)
class DestructionCertified:
    """The end of an incident: which digests (by the order's), what of every copy and backup, what a search found.

    `searched` counts objects and files that were looked through for the identifier of `mark`; an identifier that is no
    text (burnt into pixels) cannot be searched for, and none is then counted.
    """

    incident: str
    objects: int
    digest: str
    copies: tuple[CopyAnswer, ...]
    searched: int
    found: int
    mark: str | None = None

"""Words about controlled documents and training."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event


@event(
    "sop.drafted", signed_by="person", clause="21 CFR 11.10(k)",
    sentence="{actor} drafted {sop} version {version}: {title}",
)
class SopDrafted:
    """A text under a number and version; it never changes under them. `window_days` is its training window."""

    sop: str
    version: int
    title: str
    owner: str
    governs: tuple[str, ...]
    applies_to: tuple[str, ...]
    review_months: int
    window_days: int
    text: ObjectRef


@event(
    "sop.reviewed", signed_by="person", clause="21 CFR 11.10(k)(1)",
    sentence="{actor} reviewed {sop} version {version} and found it fit for approval",
)
class SopReviewed:
    """The review of exactly these bytes, by another person than the author."""

    sop: str
    version: int
    text_sha256: str


@event(
    "sop.returned", signed_by="person", clause="21 CFR 11.10(k)(2)",
    sentence="{actor} returned {sop} version {version}: {because}",
)
class SopReturned:
    """The version is given up; the corrected text is drafted as the next one."""

    sop: str
    version: int
    because: str


@event(
    "sop.approved", signed_by="person", clause="21 CFR 11.10(k)(1)",
    sentence="{actor} approved {sop} version {version}, effective on {effective_on}",
)
class SopApproved:
    """Approved by QA, neither author nor reviewer; training begins, nothing else changes before the date."""

    sop: str
    version: int
    text_sha256: str
    effective_on: str


@event(
    "sop.effective", signed_by="service", clause="21 CFR 11.10(k)(1)",
    sentence="{sop} version {version} is effective; its review is due by {review_by}",
)
class SopEffective:
    """On or after the effective date; from here on its acts ask for training on this version."""

    sop: str
    version: int
    review_by: str


@event(
    "sop.superseded", signed_by="service", clause="21 CFR 11.10(k)(1)",
    sentence="{sop} version {version} was superseded by version {by_version}",
)
class SopSuperseded:
    """One version is effective at a time; the old one stays readable."""

    sop: str
    version: int
    by_version: int


@event(
    "sop.retired", signed_by="person", clause="21 CFR 11.10(k)",
    sentence="{actor} retired {sop} version {version}: {because}",
)
class SopRetired:
    """The document governs nothing any more."""

    sop: str
    version: int
    because: str


@event(
    "training.completed", signed_by="person", clause="21 CFR 11.10(i); ICH E6(R3) 4.3.2",
    sentence="{actor} has read and understood {sop} version {version}",
)
class TrainingCompleted:
    """Read and understood, signed by the trained person over the digest of the text; `answered` of its questions."""

    sop: str
    version: int
    text_sha256: str
    answered: int

"""Words about audit-trail review: which entries were drawn for a person to look at, and what that person signed."""

from __future__ import annotations

from audit.vocabulary.registry import event, piece


@event(
    "audit_trail.drawn", signed_by="service", clause="EU Annex 11:2011 9; EMA computerised systems 2023, 6.2.2",
    sentence="{on_behalf_of} opened audit-trail review {review} of entries {first} to {last}: {drawn} of {fitting} "
    "drawn",
)
class AuditTrailDrawn:
    """The samples of a review, drawn before anybody looked at them.

    Of the entries `first` to `last` that fit `query` (of the trial the entry names, else of the house), without those
    of whoever reviews (`own`), those `drawn` whose SHA-256 over `seed` and number is smallest. `seed` is the root over
    the `size` entries at the time, so nobody chose it and anybody can draw again. `regular`: everything since the last
    regular review, so that this one moves the date on which the next is due.
    """

    review: str
    query: str
    first: int
    last: int
    last_at: str
    fitting: int
    own: int
    drawn: int
    size: int
    seed: str
    samples: tuple[int, ...]
    regular: bool


@piece
class TrailFinding:
    """Something that a reviewer found about an entry of the range."""

    entry: int
    category: str
    grade: str
    says: str


@event(
    "audit_trail.reviewed", signed_by="person", clause="EU Annex 11:2011 9, draft 2025 12; ICH E6(R3) 4.2.3",
    sentence="{actor} reviewed the audit trail ({review}, entries {first} to {last}, {looked_at} samples), "
    "{findings_count} findings: {conclusion}",
)
class AuditTrailReviewed:
    """Signed by whoever the samples were drawn for. `drawn` is the id of the entry that names the samples."""

    review: str
    drawn: str
    first: int
    last: int
    looked_at: int
    findings_count: int
    findings: tuple[TrailFinding, ...]
    conclusion: str
    statement: str

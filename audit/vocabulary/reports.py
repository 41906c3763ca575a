"""Words about papers: who put a name to which content, and what was issued."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event


@event(
    "report.drawn", signed_by="service", clause="ICH E3 16; 21 CFR 11.10(b)",
    sentence="{report} was drawn for {on_behalf_of} from entries up to {size}: content {content_digest}",
)
class ReportDrawn:
    """The content of a paper was made from entries 0 .. size − 1, verified before; nobody has signed it yet."""

    report: str
    kind: str
    content_digest: str
    size: int
    root: str
    content: ObjectRef
    release: str


@event(
    "report.signed", signed_by="person", clause="ICH E6(R3) 4.2.5; 21 CFR 11.50",
    sentence="{actor} signed {report} as {part}, content {content_digest}",
)
class ReportSigned:
    """A name under the content of a paper: `part` is prepared or approved. The approval names the first entry."""

    report: str
    kind: str
    part: str
    content_digest: str
    drawn: str
    first: str | None = None


@event(
    "report.issued", signed_by="person", clause="ICH E3 16; 21 CFR 11.10(b), 11.70",
    sentence="{actor} issued {report}: content {content_digest}, {pages} pages",
)
class ReportIssued:
    """By the one who approved it. `pdf` bears their PAdES signature; its digest is here, for no file holds its own."""

    report: str
    kind: str
    content_digest: str
    size: int
    root: str
    pdf: ObjectRef
    bundle_sha256: str
    pages: int
    signed: tuple[str, ...]
    supersedes: str | None = None


@event(
    "report.time_stamped", signed_by="service", clause="RECORD 4; 21 CFR 11.10(c)",
    sentence="The file of {report} was time-stamped by {authority} for {on_behalf_of}",
)
class ReportTimeStamped:
    """A document time stamp (RFC 3161) became the next revision of an issued file: `pdf` is `before` and the stamp."""

    report: str
    content_digest: str
    issued: str
    before: ObjectRef
    pdf: ObjectRef
    authority: str

"""Words about amendments of a live trial's charter: what they mean for imaging, and where they are in effect."""

from __future__ import annotations

from audit.vocabulary.registry import event


@event(
    "amendment.assessed", signed_by="person", clause="ICH E6(R3) 4.3.4; FDA imaging 2018",
    sentence="{actor} signed that charter {charter_version} of {trial} has imaging impact {impact}: {because}",
)
class AmendmentAssessed:
    """Imaging impact `none`, `minor` or `major` of an amendment; `changed` names the sections that concern imaging."""

    charter_version: str
    digest: str
    signed: str
    impact: str
    because: str
    changed: tuple[str, ...]


@event(
    "amendment.approved", signed_by="person", clause="ICH E6(R3) 2.2; 4.3.4",
    sentence="{actor} recorded charter {charter_version} of {trial} as in effect at site {site} from {effective_on}",
)
class AmendmentApproved:
    """The site's approval of an amendment; images acquired there from that day on come under it."""

    site: str
    charter_version: str
    digest: str
    effective_on: str

"""When a retention duty holds, and which codes a decision about a subject's data is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UnusableInput

REQUESTS = ("erasure", "restriction", "objection", "consent_withdrawn", "authority", "own_initiative")
#: GDPR 17(1) a-f and 17(3) b-e, 18(1) a-d, 21(1); other law by its own code.
BASES = (
    "gdpr_17_1_a", "gdpr_17_1_b", "gdpr_17_1_c", "gdpr_17_1_d", "gdpr_17_1_e", "gdpr_17_3_b", "gdpr_17_3_c",
    "gdpr_17_3_d", "gdpr_17_3_e", "gdpr_18_1_a", "gdpr_18_1_b", "gdpr_18_1_c", "gdpr_18_1_d", "gdpr_21_1", "other_law",
)  # fmt: skip
DECISIONS = ("restrict", "erase", "refuse")
RETENTIONS = ("none", "until", "event")
EVENTS = ("trial_closed", "authorisation_ended", "development_ended", "legal_claim_ended", "incident_closed")
LIFT_REASONS = ("request_taken_back", "accuracy_settled", "objection_settled", "recorded_wrongly")


@dataclass(frozen=True, slots=True)
class Duty:
    """Data must be kept until a day, or until something has happened; days in ISO form (UTC)."""

    retention: str
    until: str | None = None
    event: str | None = None
    happened_on: str | None = None

    def holds_on(self, day: str) -> bool:
        """Whether the duty stands on a day: a day of retention is the last on which it does."""
        if self.retention == "until":
            return self.until is None or day <= self.until
        if self.retention == "event":
            return self.happened_on is None or day < self.happened_on
        return False

    def in_words(self) -> str:
        if self.retention == "until":
            return f"until {self.until}"
        if self.retention == "event":
            what = str(self.event).replace("_", " ")
            return f"until {what}" + (f", which happened on {self.happened_on}" if self.happened_on else "")
        return "none"


def duty_that_holds(duties: Iterable[Duty], day: str) -> Duty | None:
    """The first duty that still stands; an event that any of them knows to have happened has happened for all."""
    known = list(duties)
    happened = {one.event: one.happened_on for one in known if one.happened_on is not None and one.happened_on <= day}
    for one in known:
        if one.retention == "event" and one.event in happened:
            continue
        if one.holds_on(day):
            return one
    return None


def check_codes(request: str, basis: str, decision: str, duty: Duty) -> None:
    """Raises UnusableInput, naming what is allowed, where a decision is not made of known codes."""
    for what, given, allowed in (
        ("request", request, REQUESTS), ("basis", basis, BASES), ("decision", decision, DECISIONS),
        ("retention", duty.retention, RETENTIONS),
    ):
        if given not in allowed:
            raise UnusableInput(f"{given!r} is no {what} here; allowed: {', '.join(allowed)}.")
    if duty.retention == "event" and duty.event not in EVENTS:
        raise UnusableInput(f"{duty.event!r} is no event that ends a duty; allowed: {', '.join(EVENTS)}.")
    if (duty.retention == "until") != (duty.until is not None):
        raise UnusableInput("A duty until a day names that day, and no other duty does.")
    if (duty.retention == "event") != (duty.event is not None) or (duty.happened_on and duty.retention != "event"):
        raise UnusableInput("A duty until an event names that event, and no other duty does.")

"""Pure rules of arrival: whose image is it, which reasons exist, and how a charter's rule is judged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from audit.vocabulary.imaging import CheckedRule
from core.dicom.findings import Finding, Outcome
from core.trials.charter import AcquisitionRule

Severity = Literal["reject", "query", "note"]
DISPOSITIONS: Final = ("accepted", "queried", "rejected")
# Why a technologist disposes as they do; a code each, so that no free text about a subject enters the record.
REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "accepted": ("all_rules_met", "judged_irrelevant", "answered_by_site"),
    "queried": ("missing_slices", "protocol_deviation", "identity_unclear", "identifiers_sent", "incomplete_study",
                "image_quality"),
    "rejected": ("missing_slices", "protocol_deviation", "identity_unclear", "identifiers_sent", "incomplete_study",
                 "image_quality", "wrong_images"),
}  # fmt: skip
# Why readable images are not kept, and what their sender may do.
SERIES_REFUSALS: Final[Mapping[str, str]] = {
    "wrong-trial": "The images name another trial.",
    "unknown-subject": "The images name no subject of this trial.",
    "mixed-subjects": "One series names several subjects.",
    "identity-mismatch": "The coded subject in the images and the patient id name two subjects.",
    "no-acquisition-date": "The images do not say when they were acquired.",
    "no-consent": "The subject's consent does not cover images of that day.",
    "modality-not-asked": "The charter has no rules for this modality.",
    "derived-object": "Segmentations, reports and presentation states are not taken from sites.",
    "references-unresolved": "The object refers to images that are not here.",
    "time-point-closed": "The time point has been read or superseded; a correction needs its own procedure.",
    "identifiers-left": "Identifiers remained after de-identification; nothing was kept.",
    "changed-while-reading": "A file changed while it was read.",
    "already-disposed": "The series was accepted or rejected already; further instances need a query first.",
    "instance-of-another-subject": "An image of it is held under another subject: one of the two is the wrong one. The "
                                   "entry names the series that holds it; correct or reject that one, or send this one "
                                   "under its own subject.",
    "mixed-series": "One series mixes modalities or studies.",
}
_NUMERIC: Final = frozenset({"<=", ">=", "between"})
_IN_WORDS: Final = {"<=": "at most", ">=": "at least", "==": "exactly", "!=": "not"}


@dataclass(frozen=True, slots=True)
class Claim:
    """What one image says of whom and when it shows; empty text where it says nothing."""

    trial: str
    subject: str
    patient: str
    site: str
    time_point: str


@dataclass(frozen=True, slots=True)
class Identified:
    """The subject that a series belongs to; or, with `code`, why it belongs to none."""

    subject: str | None
    code: str | None = None


def identify(
    claims: Collection[Claim], trial: str, subjects: Collection[str], assigned: str | None = None
) -> Identified:
    """The subject of a series by its Clinical Trial attributes, else by a Patient ID that is a coded subject id.

    Args:
        claims: the distinct claims of the instances.
        trial: where they were sent to.
        subjects: the coded ids of the trial.
        assigned: whom the sender said; then the images may be silent, but may not name another.
    """
    if {claim.trial for claim in claims} - {"", trial}:
        return Identified(None, "wrong-trial")
    named = {claim.subject for claim in claims if claim.subject}
    patients = {claim.patient for claim in claims if claim.patient}
    if len(named) > 1 or (not named and not assigned and len(patients) > 1):
        return Identified(None, "mixed-subjects")
    if assigned is not None:
        other = (named | (patients & set(subjects))) - {assigned}
        if other:
            return Identified(None, "identity-mismatch")
        return Identified(assigned) if assigned in subjects else Identified(None, "unknown-subject")
    found = next(iter(named or patients), None)
    if found is None or found not in subjects:
        return Identified(None, "unknown-subject")
    # The patient id of a second subject of the trial: one of the two is wrong, and nobody here can tell which.
    if (patients & set(subjects)) - {found}:
        return Identified(None, "identity-mismatch")
    return Identified(found)


def as_decimal(text: str) -> Decimal | None:
    """The number that a text is; None where it is none, or not finite."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def judge(
    rule: AcquisitionRule, measures: Mapping[str, Decimal], tags: Mapping[str, Sequence[str]]
) -> CheckedRule:
    """One rule of the charter on one series.

    Args:
        rule: from the charter.
        measures: derived measures by name; one that could not be taken is left out, and then breaks the rule.
        tags: for each "(gggg,eeee)" the distinct values over all instances; every one must satisfy the rule.
    """
    if rule.measure is not None:
        value = measures.get(rule.measure)
        values = [] if value is None else [f"{value:f}"]
        where: str = rule.measure
    else:
        values = [value for value in tags.get(rule.tag or "", ()) if value != ""]
        where = rule.tag or ""
    holds = bool(values) and all(_holds(rule, value) for value in values)
    shown = ", ".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "")
    unit = f" {rule.unit}" if rule.unit and values else ""
    outcome = Outcome.MET if holds else Outcome.WARNING if rule.when_broken == "note" else Outcome.NOT_MET
    return CheckedRule(
        rule=rule.id, required=_required(rule), measured=f"{shown}{unit}" if values else "not stated", where=where,
        outcome=outcome.value, when_broken=rule.when_broken,
    )


def _required(rule: AcquisitionRule) -> str:
    unit = f" {rule.unit}" if rule.unit else ""
    if rule.operator == "present":
        return "stated"
    if rule.operator == "between":
        return f"{rule.values[0]} to {rule.values[1]}{unit}"
    if rule.operator == "one_of":
        return f"one of {', '.join(rule.values)}{unit}"
    return f"{_IN_WORDS[rule.operator]} {rule.value}{unit}"


def _holds(rule: AcquisitionRule, text: str) -> bool:
    if rule.operator == "present":
        return True
    number = as_decimal(text)
    wanted = [as_decimal(value) for value in (rule.values or (rule.value or "",))]
    if rule.operator in _NUMERIC:
        if number is None or any(value is None for value in wanted):
            return False
        low = wanted[0]
        high = wanted[-1]
        if low is None or high is None:
            return False
        return {"<=": number <= high, ">=": number >= low, "between": low <= number <= high}[rule.operator]
    fits = any(
        number == value if number is not None and value is not None else text.strip() == raw
        for value, raw in zip(wanted, rule.values or (rule.value or "",), strict=True)
    )
    return not fits if rule.operator == "!=" else fits


def checked(finding: Finding, when_broken: Severity) -> CheckedRule:
    """A finding of our own as a line of the check; `note` never bars."""
    outcome = finding.outcome
    if outcome is Outcome.NOT_MET and when_broken == "note":
        outcome = Outcome.WARNING
    return CheckedRule(
        rule=finding.rule, required=finding.required, measured=finding.measured, where=finding.where,
        outcome=outcome.value, when_broken=when_broken,
    )


def window_finding(acquired: date, earliest: str | None, latest: str | None) -> Finding:
    """Whether the day of acquisition lies in the window of its time point."""
    if earliest is None or latest is None:
        return Finding("time_point.window", "a scheduled one", "unscheduled", "acquisition date", Outcome.WARNING)
    inside = earliest <= acquired.isoformat() <= latest
    return Finding("time_point.window", f"{earliest} to {latest}", acquired.isoformat(), "acquisition date",
                   Outcome.MET if inside else Outcome.NOT_MET)


def relations_of_disposition(
    disposition: str, reason: str, rules: Sequence[CheckedRule], *, held: bool, own: bool, outdated: bool,
    in_read: bool, reassigned: bool = False,
) -> frozenset[str]:
    """What a decision on a disposition rests on, as the policy table names it."""
    broken = [rule for rule in rules if rule.outcome == Outcome.NOT_MET.value]
    accepts = disposition == "accepted"
    facts = {
        "own_upload": own,
        "reassigned": reassigned,
        "check_outdated": outdated,
        "in_read": in_read,
        "unfit_reason": disposition not in REASONS or reason not in REASONS[disposition],
        "accepts_held": accepts and held,
        "accepts_barred": accepts and any(rule.when_broken == "reject" for rule in broken),
        "accepts_unexplained": accepts and bool(broken) and reason == "all_rules_met",
    }
    return frozenset(name for name, true in facts.items() if true)

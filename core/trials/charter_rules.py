"""The rules between sections of a charter; each yields path and fact of what contradicts.

Each row of `CROSS_RULES` names the sections its rule needs; it runs when those could be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from core.trials.charter import NOTICE, PlannedUse
from core.trials.charter_yaml import Path
from core.trials.defaults import SHIPPED_BY_NAME, limits_of_use

# A reader of the RECIST family locks each time point before the next one opens; what shows follow-up first or
# all at once chooses targets with knowledge of their fate (TRIAL 4; research/criteria.md 1.1).
CONTRADICTIONS = {
    ("recist11", "randomised_timepoints"): "RECIST 1.1 needs the baseline before its follow-up",
    ("recist11", "simultaneous_all"): "RECIST 1.1 needs each time point locked before the next is seen",
}
NAMED_USES = {"secondary": "secondary", "primary": "primary"}
MEASURED_TRIGGERS = {
    "burden_difference": ("recist11", ("%", "mm")),
    "volume_difference": ("volumetric", ("%", "ml")),
    "progression_date": (None, ("days",)),
    "first_response_date": (None, ("days",)),
}

Found = Iterator[tuple[Path, str]]


def _demonstration(of: dict[str, Any]) -> Found:
    if of["demonstration"] and of["notice"] != NOTICE:
        yield ("notice",), f"a demonstration says here: {NOTICE}"
    if not of["demonstration"] and of["notice"] is not None:
        yield ("notice",), "only a demonstration carries a notice"


def _unique_ids(of: dict[str, Any]) -> Found:
    for section in ("sites", "arms", "parts", "schedule", "endpoints", "halt_rules"):
        seen: dict[str, int] = {}
        for number, item in enumerate(of.get(section, ())):
            if item.id in seen:
                yield (section, number, "id"), f"{item.id} is already used by {section}[{seen[item.id]}]"
            seen.setdefault(item.id, number)


def _schedule(of: dict[str, Any]) -> Found:
    points = of["schedule"]
    if sum(point.event == "baseline" for point in points) != 1:
        yield ("schedule",), "exactly one time point with event: baseline is needed"
    for number, point in enumerate(points):
        if point.anchor == "baseline" and point.event != "follow_up":
            yield ("schedule", number, "anchor"), "only a follow-up can be counted from the baseline images"
    follow_ups = [(number, point) for number, point in enumerate(points) if point.event == "follow_up"]
    for (_, earlier), (number, later) in pairwise(follow_ups):
        if earlier.anchor != later.anchor:
            continue
        if later.day <= earlier.day:
            yield ("schedule", number, "day"), f"not after {earlier.id} (day {earlier.day})"
        elif later.day - later.window_before <= earlier.day + earlier.window_after:
            yield ("schedule", number, "window_before"), f"its window overlaps that of {earlier.id}"


def _modalities_have_rules(of: dict[str, Any]) -> Found:
    ruled = {item.modality for item in of["acquisition"]}
    for number, point in enumerate(of["schedule"]):
        for modality in point.modalities:
            if modality not in ruled:
                yield ("schedule", number, "modalities"), f"acquisition has no rules for {modality}"


def _acquisition(of: dict[str, Any]) -> Found:
    modalities: set[str] = set()
    rule_ids: set[str] = set()
    for number, item in enumerate(of["acquisition"]):
        if item.modality in modalities:
            yield ("acquisition", number, "modality"), f"{item.modality} stands twice"
        modalities.add(item.modality)
        for place, rule in enumerate(item.rules):
            here: Path = ("acquisition", number, "rules", place)
            if rule.id in rule_ids:
                yield (*here, "id"), f"{rule.id} is already used"
            rule_ids.add(rule.id)
            if (rule.measure is None) == (rule.tag is None):
                yield here, "one of measure and tag is needed, not both"
            several = rule.operator in ("between", "one_of")
            if several and (rule.value is not None or len(rule.values) < 2):
                yield (*here, "values"), f"{rule.operator} needs values: with at least two"
            if rule.operator == "between" and len(rule.values) != 2:
                yield (*here, "values"), "between needs a lower and an upper value"
            if not several and rule.operator != "present" and (rule.value is None or rule.values):
                yield (*here, "value"), f"{rule.operator} needs one value:"
            if rule.operator in ("<=", ">=", "between"):
                for text in (rule.values or (rule.value,)):
                    if text is not None and not _is_number(text):
                        yield (*here, "values" if rule.values else "value"), f"{text!r} is not a decimal number"


def _is_number(text: str) -> bool:
    whole, _, part = text.removeprefix("-").partition(".")
    return whole.isdigit() and (part.isdigit() or "." not in text)


def _endpoints(of: dict[str, Any]) -> Found:
    if sum(endpoint.kind == "primary" for endpoint in of["endpoints"]) != 1:
        yield ("endpoints",), "exactly one endpoint of kind primary is needed"
    for number, endpoint in enumerate(of["endpoints"]):
        here: Path = ("endpoints", number)
        if endpoint.kind != "secondary" and endpoint.ai_display != "none":
            # Phase 4 is sealed and phase 2 is shown to no reader (TRIAL 2).
            yield (*here, "ai_display"), f"a {endpoint.kind} endpoint shows no AI to a reader; allowed: none"
        options = endpoint.options
        if options.confirm and options.confirm_min_days < 1:
            yield (*here, "options", "confirm_min_days"), "confirmation needs at least 1 day"


def _paradigm(of: dict[str, Any]) -> Found:
    for endpoint in of["endpoints"]:
        why = CONTRADICTIONS.get((endpoint.criterion, of["reading"].paradigm))
        if why is not None:
            yield ("reading", "paradigm"), f"{of['reading'].paradigm} contradicts endpoint {endpoint.id}: {why}"


def _adjudication(of: dict[str, Any]) -> Found:
    known = {endpoint.id: endpoint for endpoint in of["endpoints"]}
    for number, trigger in enumerate(of["adjudication"].triggers):
        here: Path = ("adjudication", "triggers", number)
        endpoint = known.get(trigger.endpoint)
        if endpoint is None:
            yield (*here, "endpoint"), f"no endpoint {trigger.endpoint}; known: {', '.join(known)}"
            continue
        criterion, units = MEASURED_TRIGGERS.get(trigger.kind, (None, ()))
        if criterion is not None and endpoint.criterion != criterion:
            yield (*here, "kind"), f"{trigger.kind} fits criterion {criterion}, not {endpoint.criterion}"
        if units and (trigger.limit is None or trigger.unit not in units):
            yield here, f"{trigger.kind} needs a limit and a unit; allowed: {', '.join(units)}"
        if not units and trigger.limit is not None:
            yield (*here, "limit"), f"{trigger.kind} is a yes or no; it takes no limit"


def _two_readers_for_triggers(of: dict[str, Any]) -> Found:
    if of["reading"].readers < 2:
        yield ("reading", "readers"), "adjudication triggers compare two reads; at least 2 readers are needed"


def _ai_uses(of: dict[str, Any]) -> Found:
    known = {endpoint.id: endpoint for endpoint in of["endpoints"]}
    for _, name, use in of["ai"].numbered():
        if not isinstance(use, PlannedUse):
            continue
        here: Path = ("ai", name, "endpoints")
        if name in ("qc", "cohort") and use.endpoints:
            yield here, f"{name} has no endpoint"
        if name in NAMED_USES and not use.endpoints:
            yield ("ai", name), "endpoints: missing; name the endpoints AI is used for"
        for place, wanted in enumerate(use.endpoints):
            endpoint = known.get(wanted)
            if name in NAMED_USES and endpoint is None:
                yield (*here, place), f"no endpoint {wanted}; known: {', '.join(known)}"
            elif name in NAMED_USES and endpoint is not None and endpoint.kind != NAMED_USES[name]:
                yield (*here, place), f"{wanted} is a {endpoint.kind} endpoint"
    for number, endpoint in enumerate(of["endpoints"]):
        use = of["ai"].secondary
        shown = endpoint.ai_display != "none"
        if endpoint.kind == "secondary" and shown and not (
            isinstance(use, PlannedUse) and endpoint.id in use.endpoints
        ):
            yield ("endpoints", number, "ai_display"), "ai.secondary does not plan AI for this endpoint; allowed: none"


def _scopes(of: dict[str, Any]) -> Found:
    known = {
        "arm": {arm.id for arm in of["arms"]},
        "part": {part.id for part in of["parts"]},
        "sites": {site.id for site in of["sites"]},
    }
    for _, name, use in of["ai"].numbered():
        if not isinstance(use, PlannedUse) or use.scope == "all":
            continue
        kind, _, ids = use.scope.partition(":")
        for one in ids.split(","):
            if one not in known[kind]:
                yield ("ai", name, "scope"), f"no {kind} {one}; known: {', '.join(sorted(known[kind])) or 'none'}"
        refusal = arm_scope_refusal(of["blinding"]) if kind == "arm" else None
        if refusal:
            yield ("ai", name, "scope"), refusal


def arm_scope_refusal(blinding: Any) -> str | None:
    """Why AI may not be limited to an arm under this blinding; None where it may (TRIAL 2)."""
    if blinding.design not in ("single_arm", "open_label"):
        return f"an arm scope would tell the arm in a {blinding.design} trial"
    if blinding.readers_blind_depends_on_arm:
        return "an arm scope would break the readers' blind to the arm"
    return None


def _people(of: dict[str, Any]) -> Found:
    sites = {site.id for site in of["sites"]}
    for number, investigator in enumerate(of["people"].investigators):
        if investigator.site not in sites:
            yield ("people", "investigators", number, "site"), f"no site {investigator.site}"
    covered = {investigator.site for investigator in of["people"].investigators}
    for number, site in enumerate(of["sites"]):
        if site.id not in covered:
            yield ("sites", number), f"people.investigators names nobody for site {site.id}"


def _limits(of: dict[str, Any]) -> Found:
    planned = [number for number, _, use in of["ai"].numbered() if isinstance(use, PlannedUse)]
    needed = {limit.name: limit for number in planned for limit in limits_of_use(number)}
    stated = of["limits"]
    for name, limit in needed.items():
        if name not in stated:
            yield ("limits",), f"{name} is not stated; it ships as {limit.default} {limit.unit}".rstrip()
    for name, one in stated.items():
        shipped = SHIPPED_BY_NAME.get(name)
        if shipped is None:
            yield ("limits", name), f"not known; known: {', '.join(SHIPPED_BY_NAME)}"
            continue
        if shipped.whole and one.value != one.value.to_integral_value():
            yield ("limits", name, "value"), f"{one.value} is not a whole number of {shipped.unit}"
        if one.value < 0:
            yield ("limits", name, "value"), f"{one.value} is negative"
        if shipped.laxer(one.value) and one.justification is None:
            yield (
                ("limits", name),
                f"{one.value} asks for less than the shipped {shipped.default}; a justification is needed",
            )


def _confidence(of: dict[str, Any]) -> Found:
    one = of["limits"].get("confidence_percent")
    if one is not None and not 50 <= one.value < 100:
        yield ("limits", "confidence_percent", "value"), f"{one.value} is not in 50 to below 100"


CROSS_RULES = (
    (("demonstration", "notice"), _demonstration),
    ((), _unique_ids),
    (("schedule",), _schedule),
    (("schedule", "acquisition"), _modalities_have_rules),
    (("acquisition",), _acquisition),
    (("endpoints",), _endpoints),
    (("endpoints", "reading"), _paradigm),
    (("endpoints", "adjudication"), _adjudication),
    (("reading", "adjudication"), _two_readers_for_triggers),
    (("ai", "endpoints"), _ai_uses),
    (("ai", "arms", "parts", "sites", "blinding"), _scopes),
    (("people", "sites"), _people),
    (("ai", "limits"), _limits),
    (("limits",), _confidence),
)

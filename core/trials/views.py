"""What people are shown before they sign something about a trial; pages and prompts render from this alone."""

from __future__ import annotations

from collections.abc import Sequence

from core.trials.charter import Charter, PlannedUse
from core.trials.defaults import SHIPPED_BY_NAME
from core.work import View


def lines(title: str, template: str, *pairs: tuple[str, str]) -> View:
    """A view of plain lines."""
    return View(title, template, pairs)


def charter(act: str, charter: Charter, digest: str, text: str) -> View:
    """The charter's numbers and choices, and its whole text."""
    rows: list[tuple[str, str]] = [
        ("Trial", charter.trial), ("Title", charter.title), ("Version", charter.version),
        ("Evidence class", charter.evidence_class), ("Notice", charter.notice or "none"),
        ("SHA-256 of the text", digest),
        ("Trial lead", charter.people.trial_lead),
        ("Investigators", ", ".join(f"{one.person} (site {one.site})" for one in charter.people.investigators)),
        ("Blinding", charter.blinding.design.replace("_", " ")),
        ("Reading", charter.reading.paradigm.replace("_", " ")),
    ]
    rows += [
        (f"Time point {one.id}", f"{one.label}: day {one.day} (-{one.window_before} to +{one.window_after}) "
                                 f"after {one.anchor}") for one in charter.schedule
    ]
    rows += [
        (f"Endpoint {one.id}", f"{one.kind}, {one.criterion}, in {one.unit}; AI display {one.ai_display}, "
                               f"in adjudication {one.ai_in_adjudication}; " + _options(one.options.model_dump()))
        for one in charter.endpoints
    ]
    for number, name, use in charter.ai.numbered():
        said = (
            f"model {use.model}, scope {use.scope}, endpoints {', '.join(use.endpoints) or 'none'}"
            if isinstance(use, PlannedUse) else f"not used: {use.reason}"
        )
        rows.append((f"AI use {number} {name}", said))
    for name, limit in charter.limits.items():
        shipped = SHIPPED_BY_NAME[name]
        said = f"{limit.value} {shipped.unit}".strip()
        if shipped.laxer(limit.value):
            said += f"; less than the shipped {shipped.default}: {limit.justification}"
        rows.append((f"Limit {name}", said))
    rows.append(("Whole text", text))
    return View(f"{act} of the imaging charter", "trial/charter", tuple(rows))


def _options(options: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def activation(trial: str, title: str, version: str, digest: str, active_sites: Sequence[str]) -> View:
    """What goes live."""
    return lines(
        "Trial goes live", "trial/activate", ("Trial", trial), ("Title", title), ("Charter", version),
        ("SHA-256 of the charter", digest), ("Activated sites", ", ".join(active_sites)),
    )


def site(title: str, trial: str, pairs: tuple[tuple[str, str], ...]) -> View:
    """Something about a site."""
    return View(title, "trial/site", (("Trial", trial), *pairs))

"""What people are shown before they sign an act about a controlled document."""

from __future__ import annotations

from audit.vocabulary.sops import SopDrafted
from core.work import View
from sops.queries import SopVersion
from sops.texts import Document


def drafting(event: SopDrafted) -> View:
    return View("Draft a document", "sop-drafted", (
        ("Document", f"{event.sop} version {event.version}"), ("Title", event.title), ("Owner", event.owner),
        ("Acts it governs", ", ".join(event.governs)), ("Roles", ", ".join(event.applies_to) or "all"),
        ("Training window", f"{event.window_days} days"), ("Review every", f"{event.review_months} months"),
        ("Digest of the text", event.text.sha256),
    ))


def stepping(title: str, template: str, found: SopVersion, *more: tuple[str, str]) -> View:
    return View(title, template, (
        ("Document", found.name), ("Title", found.title), ("Acts it governs", ", ".join(found.governs)),
        ("Author", found.author), ("Reviewer", found.reviewer or "none yet"), *more,
        ("Digest of the text", found.text.sha256),
    ))


def training(found: SopVersion, document: Document) -> View:
    """The whole text is part of what was shown."""
    return View("Read and understood", "training-completed", (
        ("Document", found.name), ("Title", found.title), ("Acts it governs", ", ".join(found.governs)),
        ("Questions answered", str(len(document.questions))), ("Digest of the text", found.text.sha256),
        ("Text", document.body.replace("\t", "    ").strip()),
    ))

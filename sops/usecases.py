"""Controlled documents: draft, review, return, approve, retire, make effective; read and understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection

from audit.vocabulary.sops import (
    SopApproved,
    SopDrafted,
    SopEffective,
    SopRetired,
    SopReturned,
    SopReviewed,
    SopSuperseded,
    TrainingCompleted,
)
from core.access.queries import basis, standing
from core.clock import in_words
from core.errors import UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.work import Desk, Draft, Occasion, Proposal, View, Work
from sops import queries, views
from sops.queries import SopVersion
from sops.rules import effective_date, next_state, review_due, step_refusal, training_refusal, wrong_answers
from sops.texts import MARKDOWN, Document, read_document

MOST_ON_A_PAGE = 25


@dataclass(frozen=True, slots=True)
class DraftSop:
    """A text to be drafted; `window_days` replaces the training window that the text proposes."""

    document: Document
    window_days: int | None = None


def draft_sop(desk: Desk, actor: Actor, *commands: DraftSop) -> Proposal:
    """The author signs new versions of documents; a text is stored before and never changes under its number."""
    _check_page([command.document.sop for command in commands])
    ready = []
    for command in commands:
        window_days = command.document.window_days if command.window_days is None else command.window_days
        effective_date(date(2000, 1, 1), window_days)
        ready.append((command.document, window_days, desk.objects.put(command.document.text.encode(), MARKDOWN)))

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        decision = permit(actor, "sop.draft", standing(session, actor, None, "sop.draft"))
        drafts = []
        for document, window_days, text in ready:
            earlier = queries.all_versions(session, document.sop)
            event = SopDrafted(
                sop=document.sop, version=len(earlier) + 1, title=document.title, owner=document.owner,
                governs=document.governs, applies_to=document.applies_to, review_months=document.review_months,
                window_days=window_days, text=text,
            )
            drafts.append(_draft(session, actor, event, decision, "authorship", views.drafting(event), "sop.draft"))
        return drafts

    return desk.prepare(actor, propose, asked="sop.draft")


def review_sop(desk: Desk, actor: Actor, *sops: str, version: int | None = None) -> Proposal:
    """Another person than the author finds the versions fit for approval."""

    def make(found: SopVersion, occasion: Occasion) -> Made:
        event = SopReviewed(sop=found.sop, version=found.version, text_sha256=found.text.sha256)
        return event, "review", views.stepping("Review a document", "sop-reviewed", found)

    return _step(desk, actor, "sop.review", "sop.reviewed", sops, version, make)


def return_sop(desk: Desk, actor: Actor, sop: str, because: str, version: int | None = None) -> Proposal:
    """The version is given up with a reason; the corrected text is drafted as the next one."""
    _check_reason(because)

    def make(found: SopVersion, occasion: Occasion) -> Made:
        event = SopReturned(sop=found.sop, version=found.version, because=because)
        return event, "rejection", views.stepping("Return a document", "sop-returned", found, ("Why", because))

    return _step(desk, actor, "sop.return", "sop.returned", (sop,), version, make)


def approve_sop(desk: Desk, actor: Actor, *sops: str, version: int | None = None) -> Proposal:
    """QA approves; a version is effective after its training window, at once where that is 0 days."""

    def make(found: SopVersion, occasion: Occasion) -> Made:
        day = effective_date(date.fromisoformat(occasion.at[:10]), found.window_days).isoformat()
        event = SopApproved(
            sop=found.sop, version=found.version, text_sha256=found.text.sha256, effective_on=day
        )
        view = views.stepping("Approve a document", "sop-approved", found, ("Effective on", day))
        return event, "approval", view

    return _step(desk, actor, "sop.approve", "sop.approved", sops, version, make, then=_make_due_effective)


def retire_sop(desk: Desk, actor: Actor, sop: str, because: str, version: int | None = None) -> Proposal:
    """A document that governs nothing any more."""
    _check_reason(because)

    def make(found: SopVersion, occasion: Occasion) -> Made:
        event = SopRetired(sop=found.sop, version=found.version, because=because)
        return event, "withdrawal", views.stepping("Retire a document", "sop-retired", found, ("Why", because))

    return _step(desk, actor, "sop.retire", "sop.retired", (sop,), version, make)


def _check_reason(because: str) -> None:
    if not because.strip():
        raise UnusableInput("A document is given up with a reason.", next_step="Say why; nothing was signed.")


Made = tuple[Any, str, View]


def _step(
    desk: Desk, actor: Actor, action: str, word: str, sops: Sequence[str], version: int | None,
    make: Callable[[SopVersion, Occasion], Made], then: Callable[[Work], None] | None = None,
) -> Proposal:
    _check_page(sops)

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        drafts = []
        for sop in sops:
            found = queries.version_of(session, sop, version)
            hands = {name for name, who in (("author", found.author), ("reviewer", found.reviewer))
                     if who == actor.user}
            decision = permit(actor, action, standing(session, actor, None, action, relations=hands))
            refusal = step_refusal(found.name, found.state, word)
            if refusal is not None:
                raise UnusableInput(
                    refusal, next_step="Nothing was changed. `countersign sop list` shows every version.")
            event, meaning, view = make(found, occasion)
            drafts.append(_draft(session, actor, event, decision, meaning, view, action))
        return drafts

    return desk.prepare(actor, propose, asked=action, then=then)


def _check_page(sops: Sequence[str]) -> None:
    """One page holds each document once, and no more than a person looks through in one sitting."""
    if not 1 <= len(sops) <= MOST_ON_A_PAGE or len(set(sops)) != len(sops):
        raise UnusableInput(f"One page is signed for 1 to {MOST_ON_A_PAGE} different documents.")


# -- becoming effective ---------------------------------------------------------------------------------------------


def make_due_effective(desk: Desk) -> list[str]:
    """Record `sop.effective` for every approved version whose day has come; the older one is superseded with it.

    Returns the names of the versions. Run by the worker; nothing happens twice.
    """
    day = in_words(desk.clock.now())[:10]
    with desk.reading() as session:
        if not queries.due(session, day):
            return []
    with desk.open(Actor.of_service("house"), asked="sop.make_effective") as work:
        return _record_due(work, day)


def _make_due_effective(work: Work) -> None:
    """In the transaction of an approval, so that a window of 0 days leaves no gap."""
    _record_due(work, in_words(work.desk.clock.now())[:10])


def _record_due(work: Work, day: str) -> list[str]:
    service = Actor.of_service("house")
    decision = permit(service, "sop.make_effective", standing(work.session, service, None, "sop.make_effective"))
    made = []
    for found in queries.due(work.session, day):
        old = queries.effective_version(work.session, found.sop)
        review_by = review_due(date.fromisoformat(day), found.review_months).isoformat()
        work.record(SopEffective(sop=found.sop, version=found.version, review_by=review_by), under=decision,
                    caused_by=found.approval_id)
        if old is not None and next_state(old.state, "sop.superseded") is not None:
            work.record(SopSuperseded(sop=old.sop, version=old.version, by_version=found.version), under=decision,
                        caused_by=found.approval_id)
        made.append(found.name)
    return made


# -- training -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompleteTraining:
    """Read and understood, with answers where the document asks questions."""

    sop: str
    version: int | None = None
    answers: Mapping[str, str] = field(default_factory=dict)


def complete_training(desk: Desk, actor: Actor, *commands: CompleteTraining) -> Proposal:
    """The person signs that they have read and understood these versions; every text is part of the page.

    Wrong answers are named by their question; the right ones are not told.
    """
    _check_page([command.sop for command in commands])
    with desk.reading() as session:
        chosen = [queries.version_to_read(session, command.sop, command.version) for command in commands]
    texts = [text_of(desk, found) for found in chosen]

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        decision = permit(actor, "training.complete", standing(session, actor, None, "training.complete"))
        drafts = []
        for command, found, document in zip(commands, chosen, texts, strict=True):
            now = queries.version_of(session, found.sop, found.version)
            _check_understood(now, document, command.answers)
            event = TrainingCompleted(
                sop=now.sop, version=now.version, text_sha256=now.text.sha256, answered=len(document.questions)
            )
            view = views.training(now, document)
            drafts.append(_draft(session, actor, event, decision, "acknowledgement", view, "training.complete"))
        return drafts

    return desk.prepare(actor, propose, asked="training.complete")


def _check_understood(now: SopVersion, document: Document, answers: Mapping[str, str]) -> None:
    if refusal := training_refusal(now.name, now.state):
        raise UnusableInput(refusal, next_step="Nothing was signed. QA approves the version first.")
    if wrong := wrong_answers(document.questions, answers):
        raise UnusableInput(
            f"{now.name}: {len(wrong)} of {len(document.questions)} questions are not answered rightly: "
            + " ".join(wrong), next_step="Read the document again; nothing was signed.",
        )


def text_of(desk: Desk, found: SopVersion) -> Document:
    """The stored text of a version, digest checked."""
    return read_document(desk.objects.get(found.text).decode(), found.name)


def _draft(
    session: Connection, actor: Actor, event: Any, decision: Decision, meaning: str, view: View, action: str
) -> Draft:
    found = basis(session, actor.user, decision.role, action, None)
    return Draft(event, under=decision, meaning=meaning, view=view, trainings=found.trainings)

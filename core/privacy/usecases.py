"""Commands about a subject's data: decide on a request, lift a restriction, sign an erasure (RECORD 6; GDPR 17-19)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection

from audit.vocabulary import privacy as words
from core.access.drafts import draft
from core.access.queries import standing
from core.errors import NotFound, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.privacy import queries, views
from core.privacy.rules import LIFT_REASONS, Duty, check_codes, duty_that_holds
from core.work import Desk, Draft, Occasion, Proposal

NO_DUTY = Duty("none")


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """What was asked for, on which basis, and what is decided; codes of core/privacy/rules.py.

    `text` is what the subject or site wrote: it is kept under the subject's key alone.
    """

    trial: str
    subject: str
    request: str
    basis: str
    decision: str
    duty: Duty = NO_DUTY
    replaces: str | None = None
    text: str | None = None


def decide_request(desk: Desk, actor: Actor, command: DecideRequest) -> Proposal:
    """What the privacy officer signs; a restriction holds at once, an erasure needs QA's signature besides.

    Raises Refused while a retention duty stands and erasure is what is to be decided.
    """
    check_codes(command.request, command.basis, command.decision, command.duty)
    for day in (command.duty.until, command.duty.happened_on):
        _check_day(day)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        queries.the_subject(session, command.trial, command.subject)
        replaced = _replaced(session, command)
        duties = (*queries.duties_of(session, command.trial, command.subject, without=command.replaces), command.duty)
        holds = duty_that_holds(duties, occasion.at[:10]) if command.decision == "erase" else None
        under = _allowed(session, actor, "privacy.decide", command.trial, command.subject,
                         *(("retained",) if holds else ()))
        event = words.PrivacyDecided(
            subject=command.subject, request=command.request, basis=command.basis, decision=command.decision,
            retention=command.duty.retention, retain_until=command.duty.until, retain_event=command.duty.event,
            happened_on=command.duty.happened_on, replaces=command.replaces,
            comment=desk.conceal(command.text, command.trial, command.subject, occasion),
        )
        view = views.decision(command.trial, command.subject, command.request, command.basis, command.decision,
                              command.duty, replaced, command.text)
        return draft(session, actor, event, under, "approval", view, "privacy.decide", trial=command.trial)

    return desk.prepare(actor, propose, asked="privacy.decide")


def lift_restriction(desk: Desk, actor: Actor, trial: str, subject: str, reason: str) -> Proposal:
    """What the privacy officer signs so that restricted data may be used again."""
    if reason not in LIFT_REASONS:
        raise UnusableInput(f"{reason!r} is no reason here; allowed: {', '.join(LIFT_REASONS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        found = queries.the_subject(session, trial, subject)
        under = _allowed(session, actor, "privacy.lift", trial, subject,
                         *(() if found.restricted else ("not_restricted",)))
        decided = _decision(session, trial, subject, str(found.restricted))
        event = words.RestrictionLifted(subject=subject, decided=decided.id)
        made = draft(session, actor, event, under, "approval", views.lifting(trial, subject, decided, reason),
                     "privacy.lift", trial=trial)
        return replace(made, reason=reason)

    return desk.prepare(actor, propose, asked="privacy.lift")


def erase_subject(desk: Desk, actor: Actor, trial: str, subject: str) -> Proposal:
    """What QA signs as the second person; the worker then destroys the key and tells the holders of copies."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        queries.the_subject(session, trial, subject)
        rows = queries.decisions_of(session, trial, subject)
        decided = rows[-1] if rows and rows[-1].decision == "erase" else None
        duties = queries.duties_of(session, trial, subject)
        relations = {
            "undecided": decided is None,
            "decider": decided is not None and decided.decider == actor.user,
            "retained": duty_that_holds(duties, occasion.at[:10]) is not None,
        }
        under = _allowed(session, actor, "privacy.erase", trial, subject,
                         *(name for name, true in relations.items() if true))
        assert decided is not None  # else refused above
        copies = tuple(queries.copies_that_cover(session, trial, subject))
        made = draft(session, actor, words.PrivacyErased(subject=subject, decided=decided.id), under, "approval",
                     views.erasure(trial, subject, decided, duties, copies), "privacy.erase", trial=trial)
        # Codes only, and the reason for an erasure outlives the key: this view is kept in clear.
        return replace(made, subject="")

    return desk.prepare(actor, propose, asked="privacy.erase")


def _allowed(session: Connection, actor: Actor, action: str, trial: str, subject: str, *relations: str) -> Decision:
    about = queries.relations_of(session, trial, subject)
    return permit(actor, action, standing(session, actor, trial, action, relations={*relations, *about}))


def _replaced(session: Connection, command: DecideRequest) -> queries.DecisionRow | None:
    if command.replaces is None:
        return None
    return _decision(session, command.trial, command.subject, command.replaces)


def _decision(session: Connection, trial: str, subject: str, named: str) -> queries.DecisionRow:
    for row in queries.decisions_of(session, trial, subject):
        if row.id == named:
            return row
    raise NotFound(f"There is no decision {named} about {subject}.", next_step="`countersign privacy list` shows them.")


def _check_day(day: str | None) -> None:
    try:
        date.fromisoformat(day or "2000-01-01")
    except ValueError as error:
        raise UnusableInput(f"{day!r} is no date of the form YYYY-MM-DD.") from error

"""The periodic review of the validated state: what happened since the last one, and whether it is still fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from audit import store
from audit.vocabulary.validation import CountedWord, ValidationPeriodicallyReviewed
from core.access.review_days import next_day
from core.errors import NotFound, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.reviews.periodic import CONCLUSIONS, INSTALLATION, NOT_FIT
from core.reviews.periodic_projections import periodic_due
from core.work import Desk, Draft, Occasion, Proposal, View, release
from validation import queries
from validation.usecases import resting_draft

ACTION = "validation.review_periodically"
LONGEST = 4_000
# What SOP-14 asks the reviewer to look at, as the words in which the record says it.
LOOKED_AT: Mapping[str, str] = {
    "deviation.opened": "deviations opened", "deviation.closed": "deviations closed",
    "validation.suspect": "runs set suspect", "validation.concluded": "validation runs",
    "release.signed": "releases", "vocabulary.adopted": "vocabularies adopted", "policy.adopted": "policies adopted",
    "access.reviewed": "reviews of access", "audit_trail.reviewed": "audit-trail reviews", "backup.made": "backups",
    "ledger.continued": "losses of the record", "clock.stepped": "steps of the clock",
    "drift.evaluated": "drift evaluations",
    "sentinel.checked": "sentinel sets asked", "gate.suspended": "gates suspended", "gate.halted": "gates halted",
    "waiver.approved": "waivers", "sop.effective": "procedures made effective", "model.refused": "loads refused",
    "run.failed": "runs failed", "key.revoked": "keys revoked", "person.locked_out": "lock-outs",
    "action.refused": "acts refused", "report.issued": "papers issued",
}


@dataclass(frozen=True, slots=True)
class ReviewValidation:
    """A review of this installation (lock None) or of a released lock; `next_by` None: the longest interval."""

    conclusion: str
    statement: str
    lock: str | None = None
    next_by: str | None = None


def review_validation(desk: Desk, actor: Actor, command: ReviewValidation) -> Proposal:
    """Sign whether what was released is still fit for its use, on what the record holds since the last review.

    Raises:
        Refused: neither validation lead nor QA.
        NotFound: the thing was never released.
        UnusableInput: conclusion, statement or day make no sense.
    """
    if command.conclusion not in CONCLUSIONS:
        raise UnusableInput(f"{command.conclusion!r} is no conclusion; there are {', '.join(CONCLUSIONS)}.")
    if not 1 <= len(command.statement.strip()) <= LONGEST:
        raise UnusableInput(f"A review ends with a statement in words, at most {LONGEST} characters.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        decision = permit(actor, ACTION, queries.facts(session, actor, ACTION))
        subject = command.lock or INSTALLATION
        last = next((one for one in periodic_due(session) if (one.kind, one.subject) == ("validation", subject)), None)
        if last is None:
            raise NotFound(f"{subject} was never released, so there is nothing to review.",
                           next_step="QA releases it first: `countersign validate release`.")
        day = next_day("validation", date.fromisoformat(occasion.at[:10]), command.next_by)
        size, _ = store.head(session)
        counts = _counted(session, last.entry, size)
        event = ValidationPeriodicallyReviewed(
            target="model" if command.lock else INSTALLATION, what=command.lock or release(), first=last.entry,
            last=size - 1, counts=counts, conclusion=command.conclusion, statement=command.statement.strip(),
            next_by=day.isoformat(), lock=command.lock,
        )
        lines = [
            ("Review of", f"{event.target} {event.what}"), ("Entries", f"{event.first} to {event.last}"),
            *((LOOKED_AT[one.word].capitalize(), str(one.count)) for one in counts),
            ("Conclusion", event.conclusion.replace("_", " ")), ("Statement", event.statement),
            ("Next review by", event.next_by),
        ]
        if event.conclusion == NOT_FIT:
            lines.append(("What follows", "AI is suspended in uses 3 and 4 until a later review finds it fit"))
        return resting_draft(session, actor, ACTION, event, decision, "review",
                             View("Periodic review", "validation-periodically-reviewed", tuple(lines)))

    return desk.prepare(actor, propose, asked=ACTION)


def _counted(session: Connection, first: int, size: int) -> tuple[CountedWord, ...]:
    """How often each word stands in the entries `first` to `size` - 1, of the whole record; none is left out."""
    table = store.entries
    rows = session.execute(
        select(table.c.action, func.count()).where(
            table.c.seq >= first, table.c.seq < size, table.c.action.in_(LOOKED_AT)).group_by(table.c.action))
    found: dict[str, int] = {row[0]: row[1] for row in rows}
    return tuple(CountedWord(word=word, count=found.get(word, 0)) for word in LOOKED_AT)

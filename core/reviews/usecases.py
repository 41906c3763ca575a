"""Commands of audit-trail review: draw the samples, then sign what was found in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.query import Query, QueryError, parse
from audit.vocabulary.reviews import AuditTrailDrawn, AuditTrailReviewed, TrailFinding
from core import ledger_queries as record
from core.access.queries import basis, standing
from core.clock import in_words
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.ledger_queries import SessionReader
from core.ledger_scope import scope_of
from core.ledger_words import evidence_code, sentence_of
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.reviews import queries
from core.reviews.queries import ReviewRow
from core.reviews.rules import MOST_SAMPLES, USUAL_SAMPLES, Found, draw, wrong_with
from core.work import Desk, Draft, Occasion, Proposal, View

ACTION = "audit_trail.review"
# The range and the trial of a review are its own fields; a second one in the filter would widen it.
NOT_IN_FILTER = ("seq", "trial", "as-of")


@dataclass(frozen=True, slots=True)
class OpenReview:
    """A review of one trial, or without `trial` of the house's own entries.

    Without `first` it begins where the last regular review ended, without `last` it reaches to the newest entry.
    """

    trial: str | None = None
    filter: str = ""
    first: int | None = None
    last: int | None = None
    samples: int = USUAL_SAMPLES


@dataclass(frozen=True, slots=True)
class SignReview:
    """What the reviewer found."""

    review: str
    conclusion: str
    statement: str
    findings: Sequence[Found] = ()


def open_review(desk: Desk, actor: Actor, command: OpenReview) -> ReviewRow:
    """Draw the samples and record them, before anybody has looked at one.

    Raises:
        Refused: not QA of this trial, blinded in it, or everything in the range is the reviewer's own deed.
        UnusableInput: range, filter or number of samples make no sense.
    """
    query = _filter(command)
    occasion = desk.occasion()
    try:
        with desk.reading() as session:
            _may(session, actor, command.trial)
            event = _drawn(session, actor, command, query, f"ATR-{occasion.id}")
            own_only = {"own_deeds"} if event.own and not event.drawn else set()
            _may(session, actor, command.trial, *own_only)
    except Refused as refusal:
        desk.record_refusal(actor.user, ACTION, refusal)
        raise
    # The draw is over entries that no later one changes, so it need not wait under the lock.
    with desk.open(Actor.of_service("house"), on_behalf_of=actor.user, asked=ACTION) as work:
        under = _may(work.session, actor, command.trial)
        work.record(event, under=under, trial=command.trial)
        return queries.review_named(work.session, event.review)


def _filter(command: OpenReview) -> Query:
    try:
        query = parse(command.filter)
    except QueryError as error:
        raise UnusableInput(f"The filter cannot be read: {error}") from error
    if wrong := [token.key for token in query.tokens if token.key in NOT_IN_FILTER]:
        raise UnusableInput(f"{wrong[0]}: stands beside the filter, not in it.",
                            next_step="Give trial and range as options of their own.")
    if not 1 <= command.samples <= MOST_SAMPLES:
        raise UnusableInput(f"A review looks at 1 to {MOST_SAMPLES} samples.")
    return query


def _may(session: Connection, actor: Actor, trial: str | None, *relations: str) -> Decision:
    """The rule that permits it, and the right to read everything of it. Raises Refused."""
    facts = standing(session, actor, trial, ACTION, relations=set(relations))
    decision = permit(actor, ACTION, facts)
    if not scope_of(session, actor).covers(trial):
        raise Refused("You may not read what this review looks at.", rule="V-00")
    return decision


def _drawn(session: Connection, actor: Actor, command: OpenReview, query: Query, review: str) -> AuditTrailDrawn:
    reader = SessionReader(session)
    note = record.newest_note(reader)
    before = queries.last_regular(session, command.trial)
    following = before.last + 1 if before else 0
    first = following if command.first is None else command.first
    last = note.size - 1 if command.last is None else command.last
    if not 0 <= first <= last < note.size:
        raise UnusableInput(f"Entries {first} to {last} are no range of this ledger; its newest entry is "
                            f"{note.size - 1}.")
    numbers, own = [], 0
    for seq, _, person in queries.fitting(reader, query, command.trial, first, last):
        if person == actor.user:
            own += 1
        else:
            numbers.append(seq)
    seed = note.root.hex()
    samples = draw(seed, numbers, command.samples)
    return AuditTrailDrawn(
        review=review, query=query.text, first=first, last=last, last_at=in_words(record.line_at(reader, last).ts),
        fitting=len(numbers) + own, own=own, drawn=len(samples), size=note.size, seed=seed, samples=samples,
        regular=not query.tokens and first <= following)


def redraw(session: Connection, row: ReviewRow) -> tuple[int, ...]:
    """The samples of a review drawn once more from the record, as an inspector does."""
    numbers = [seq for seq, _, person in queries.fitting(
        SessionReader(session), parse(row.query), row.trial, row.first, row.last) if person != row.opened_by]
    return draw(row.seed, numbers, len(row.samples))


def sign_review(desk: Desk, actor: Actor, command: SignReview) -> Proposal:
    """The reviewer's signature under samples, findings and conclusion.

    Raises:
        Refused: another person opened it, or the right to it is gone.
        AlreadyDone: it is signed.
        UnusableInput: findings and conclusion do not go together.
    """

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.review_named(session, command.review)
        if row.signed_entry is not None:
            raise AlreadyDone(f"{row.review} was signed by {row.signed_by} as entry {row.signed_entry}.")
        under = _may(session, actor, row.trial, *(() if row.opened_by == actor.user else ("others_review",)))
        wrong = wrong_with(command.findings, command.conclusion, command.statement, row.first, row.last)
        if wrong is not None:
            raise UnusableInput(wrong, next_step="Correct it; nothing was signed.")
        _of_this_trail(session, row, command.findings)
        event = AuditTrailReviewed(
            review=row.review, drawn=row.entry_id, first=row.first, last=row.last, looked_at=len(row.samples),
            findings_count=len(command.findings), conclusion=command.conclusion, statement=command.statement.strip(),
            findings=tuple(TrailFinding(entry=one.entry, category=one.category, grade=one.grade, says=one.says.strip())
                           for one in command.findings))
        rests_on = basis(session, actor.user, under.role, ACTION, row.trial)
        return Draft(event, under=under, meaning="review", view=_view(session, row, event), trial=row.trial,
                     caused_by=row.entry_id, trainings=rests_on.trainings, delegation=rests_on.delegation)

    return desk.prepare(actor, propose, asked=ACTION)


def _of_this_trail(session: Connection, row: ReviewRow, findings: Sequence[Found]) -> None:
    reader = SessionReader(session)
    for one in findings:
        if record.line_at(reader, one.entry).body.get("trial") != row.trial:
            raise NotFound(f"Entry {one.entry} is not of what this review looks at.")


def _view(session: Connection, row: ReviewRow, event: AuditTrailReviewed) -> View:
    reader = SessionReader(session)
    said = record.sentences(reader)
    lines = [
        ("Review", row.review), ("Of", row.trial or "the house"), ("Filter", row.query or "none, every entry"),
        ("Entries", f"{row.first} to {row.last}, {row.fitting} fit"),
        ("Own deeds left out", f"{row.own}; they wait for another reviewer"),
        ("Samples", f"{len(row.samples)}, drawn by seed {row.seed}"),
    ]
    for seq in row.samples:
        line = record.line_at(reader, seq)
        lines.append((f"Sample, entry {seq}", f"{evidence_code(line.leaf)}: {sentence_of(line.body, said)}"))
    lines += [(f"Finding, entry {one.entry}", f"{one.category}, {one.grade}: {one.says}") for one in event.findings]
    lines += [("Findings", str(event.findings_count)), ("Conclusion", event.conclusion.replace("_", " ")),
              ("Statement", event.statement)]
    return View("Audit-trail review", "reviews/reviewed", tuple(lines))

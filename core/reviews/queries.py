"""What is asked of audit-trail reviews: which there are, what they looked at, and when the next is due."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from audit.query import Query, Range
from core.errors import NotFound
from core.ledger_conditions import Clauses
from core.ledger_queries import Reader
from core.reviews.projections import reviews, watched
from core.reviews.rules import Due, Found
from core.trials.defaults import SHIPPED_BY_NAME
from core.trials.queries import signed_charter

INTERVAL, LIMIT = "review_interval_days", "review_overdue_days"
# Reviews are no activity that a review looks at; else an idle trial's reviewer would have only own deeds to review.
REVIEWS = "audit_trail."


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A review, signed or still open. `trial` is None for the house's own entries."""

    review: str
    trial: str | None
    query: str
    first: int
    last: int
    last_at: str
    fitting: int
    own: int
    size: int
    seed: str
    samples: tuple[int, ...]
    regular: bool
    opened_by: str
    opened_at: str
    entry_id: str
    entry: int
    signed_by: str | None
    signed_at: str | None
    conclusion: str | None
    statement: str | None
    findings: tuple[Found, ...]
    signed_entry: int | None


def _row(row: Row[Any]) -> ReviewRow:
    given = dict(row._mapping)
    given["samples"] = tuple(json.loads(given["samples"]))
    given["findings"] = tuple(Found(**one) for one in json.loads(given["findings"] or "[]"))
    return ReviewRow(**given)


def reviews_of(session: Connection, trials: frozenset[str | None] | None = None) -> tuple[ReviewRow, ...]:
    """Reviews, newest first, of these trials (None among them: of the house) or of all."""
    rows = session.execute(select(reviews).order_by(reviews.c.entry.desc()))
    return tuple(one for one in map(_row, rows) if trials is None or one.trial in trials)


def review_named(session: Connection, review: str) -> ReviewRow:
    """A review. Raises NotFound."""
    row = session.execute(select(reviews).where(reviews.c.review == review)).first()
    if row is None:
        raise NotFound(f"There is no audit-trail review {review}.",
                       next_step="`countersign review-trail list` shows them.")
    return _row(row)


def last_regular(session: Connection, trial: str | None) -> ReviewRow | None:
    """The newest signed review that covered everything up to its last entry."""
    same = reviews.c.trial.is_(None) if trial is None else reviews.c.trial == trial
    row = session.execute(select(reviews).where(
        same, reviews.c.regular, reviews.c.signed_entry.is_not(None)).order_by(reviews.c.last.desc()).limit(1)).first()
    return _row(row) if row else None


def due_of(session: Connection, trial: str) -> Due | None:
    """When the trail of a trial is to be reviewed again; None before it is live and after it is closed.

    The interval is the signed charter's, else the house's default; so is the limit beyond which AI is suspended.
    """
    live = session.execute(select(watched).where(watched.c.trial == trial)).first()
    if live is None:
        return None
    last = last_regular(session, trial)
    signed = signed_charter(session, trial)
    stated = signed.charter.limits if signed else {}
    days = {name: int(stated[name].value if name in stated else SHIPPED_BY_NAME[name].default)
            for name in (INTERVAL, LIMIT)}
    at, entry = (last.last_at, last.signed_entry or last.entry) if last else (live.live_at, live.entry)
    return Due(trial, date.fromisoformat(at[:10]), days[INTERVAL], days[LIMIT], entry)


def all_due(session: Connection) -> tuple[Due, ...]:
    """Every watched trial's."""
    names = session.execute(select(watched.c.trial).order_by(watched.c.trial)).scalars().all()
    return tuple(due for name in names if (due := due_of(session, name)) is not None)


def fitting(reader: Reader, query: Query, trial: str | None, first: int, last: int) -> Iterator[tuple[int, bool, str]]:
    """(number, whether it was attested, person) of the entries of a trial or of the house that fit within the range."""
    clauses = Clauses(reader.dialect)
    ranged = replace(query, ranges=(Range(first, last, negated=False),))
    where = " AND ".join([*clauses.of(ranged, frozenset({trial})), f"action NOT LIKE {clauses.bind(REVIEWS + '%')}"])
    sql = f"SELECT seq, actor, on_behalf_of FROM entry WHERE {where} ORDER BY seq"  # noqa: S608
    for seq, actor, behalf in reader.rows(sql, **clauses.given):
        yield int(seq), behalf is not None, str(behalf or actor)

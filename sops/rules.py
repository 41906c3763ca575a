"""The life of a controlled document, who may move it, and whose training counts. Pure.

A version goes draft -> in_review -> approved -> effective -> superseded -> retired. Every step is a word of
the ledger; the date alone changes nothing: `sop.effective` is an entry, made on or after the effective date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum

from core.access.review_days import months_after
from core.errors import UnusableInput

MAX_REVIEW_MONTHS = 24
MAX_WINDOW_DAYS = 180


class State(StrEnum):
    """Where one version of a document stands."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    EFFECTIVE = "effective"
    SUPERSEDED = "superseded"
    RETIRED = "retired"


# The reviewer's signature carries a draft into review. A text never changes under its number: a returned version is
# retired with the reason on record, and the corrected text is drafted as the next one.
LIFECYCLE: Mapping[tuple[State | None, str], State] = {
    (None, "sop.drafted"): State.DRAFT,
    (State.DRAFT, "sop.reviewed"): State.IN_REVIEW,
    (State.DRAFT, "sop.returned"): State.RETIRED,
    (State.IN_REVIEW, "sop.returned"): State.RETIRED,
    (State.IN_REVIEW, "sop.approved"): State.APPROVED,
    (State.APPROVED, "sop.effective"): State.EFFECTIVE,
    (State.APPROVED, "sop.retired"): State.RETIRED,
    (State.EFFECTIVE, "sop.superseded"): State.SUPERSEDED,
    (State.EFFECTIVE, "sop.retired"): State.RETIRED,
    (State.SUPERSEDED, "sop.retired"): State.RETIRED,
}

TRAINABLE = frozenset({State.APPROVED, State.EFFECTIVE})


def next_state(state: State | None, word: str) -> State | None:
    """The state after `word`, or None where the table has no such step."""
    return LIFECYCLE.get((state, word))


def step_refusal(document: str, state: State | None, word: str) -> str | None:
    """Why `word` cannot happen to a document in `state`; None when it can."""
    if next_state(state, word) is not None:
        return None
    wanted = sorted({before.value if before else "not yet drafted" for before, each in LIFECYCLE if each == word})
    stands = state.value if state else "not yet drafted"
    return f"{document} is {stands}; this step needs it to be {' or '.join(wanted)}."



# -- dates -------------------------------------------------------------------------------------------------------


def effective_date(approved_on: date, window_days: int) -> date:
    """First day on which the version may become effective: approval plus its training window (0 days allowed)."""
    if not 0 <= window_days <= MAX_WINDOW_DAYS:
        raise UnusableInput(f"A training window of {window_days} days is outside 0 to {MAX_WINDOW_DAYS} days.")
    return approved_on + timedelta(days=window_days)


def review_due(effective_on: date, review_months: int) -> date:
    """The day the periodic review is due; a month without that day ends on its last day."""
    if not 1 <= review_months <= MAX_REVIEW_MONTHS:
        raise UnusableInput(f"A review period of {review_months} months is outside 1 to {MAX_REVIEW_MONTHS} months.")
    return months_after(effective_on, review_months)


# -- training ----------------------------------------------------------------------------------------------------


def training_refusal(document: str, state: State) -> str | None:
    """Why read-and-understood cannot be signed on this version; None when it can.

    It may be signed before the effective date, on the approved text (TRIAL 1).
    """
    if state in TRAINABLE:
        return None
    return f"{document} is {state.value}; read-and-understood is signed on an approved or effective version."


def wrong_answers(expected: Mapping[str, str], given: Mapping[str, str]) -> tuple[str, ...]:
    """The questions of a document answered wrongly or not at all, in their order."""
    return tuple(
        question
        for question, answer in expected.items()
        if " ".join(given.get(question, "").casefold().split()) != " ".join(answer.casefold().split())
    )


# -- names -------------------------------------------------------------------------------------------------------

SOP_ID = re.compile(r"[A-Z]{2,6}-[0-9]{2,4}")
ACTION_PATTERN = re.compile(r"[a-z][a-z_]*\.(\*|[a-z][a-z_]*)")


def id_refusal(sop: str) -> str | None:
    """Why this text is no document number; None when it is one."""
    return None if SOP_ID.fullmatch(sop) else f"`{sop}` is no document number; one looks like SOP-07."


def pattern_refusal(pattern: str) -> str | None:
    """Why this text is no action pattern; None when it is one. A bare `*` is none: nobody could then act at all."""
    if ACTION_PATTERN.fullmatch(pattern):
        return None
    return f"`{pattern}` is no action pattern; use noun.verb or noun.*, such as quality.dispose or read.*."

"""Who may see a read, and how much of it (TRIAL 4): one table, asked by every query that leaves this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is true of a person and a read.

    `own`: the person read it. `opened`: its seal is open. `reads_here`: the person holds a slot of any subject of a
    trial whose reads are not locked. `to_adjudicate`: the read waits for this adjudicator. `ai`: it is the AI's.
    """

    roles: frozenset[str]
    own: bool
    opened: bool
    reads_here: bool
    data_locked: bool
    to_adjudicate: bool = False
    ai: bool = False
    ai_hidden_from_adjudicator: bool = True


@dataclass(frozen=True, slots=True)
class Shown:
    """May be seen; `anonymous` means without who read it."""

    rule: str
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Hidden:
    """May not be seen, and by which rule."""

    rule: str
    because: str


OPENLY = frozenset(
    {
        "imaging_lead", "trial_lead", "data_manager", "statistician", "validation_lead", "qa_auditor", "inspector",
        "regulatory", "medical_monitor",
    }
)  # fmt: skip
AFTER_LOCK = frozenset({"monitor", "sponsor_viewer", "dmc_member", "unblinded_statistician"})

_Row = tuple[str, Callable[[Seen], bool], str]
_HIDES: tuple[_Row, ...] = (
    ("V-01", lambda seen: not seen.opened, "The read is under seal."),
    ("V-02", lambda seen: seen.reads_here and not seen.own, "You read in this trial; another's read stays hidden."),
    (
        "V-03",
        lambda seen: seen.ai and seen.to_adjudicate and seen.ai_hidden_from_adjudicator,
        "The charter hides AI from the adjudicator.",
    ),
)
_SHOWS: tuple[tuple[str, Callable[[Seen], bool], bool], ...] = (
    ("V-10", lambda seen: seen.own, False),
    ("V-11", lambda seen: seen.to_adjudicate and "adjudicator" in seen.roles, True),
    ("V-12", lambda seen: bool(seen.roles & OPENLY) and "adjudicator" not in seen.roles, False),
    ("V-13", lambda seen: seen.data_locked and bool(seen.roles & (OPENLY | AFTER_LOCK | {"adjudicator"})), False),
)


def view_of(seen: Seen) -> Shown | Hidden:
    """Hiding rows win; without a showing row a read is hidden."""
    for rule, hides, because in _HIDES:
        if hides(seen):
            return Hidden(rule, because)
    for rule, shows, anonymous in _SHOWS:
        if shows(seen):
            return Shown(rule, anonymous)
    return Hidden("V-00", "No rule shows reads to your roles.")

"""Periodic reviews other than of the audit trail: who may do what, whether what was released is still fit, procedures.

The day on which the next one is due is part of what its reviewer signs (core/access/review_days.py); for a procedure it
is computed from the interval of its own text. Sources: EU Annex 11:2011, 11; EMA computerised systems 2023, A3.2;
draft Annex 11 2025, 14.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from core.reviews.rules import Due

LIMIT_DAYS = 10  # TRIAL 2; the charter's number is of its own trail
INSTALLATION = "installation"
NOT_FIT = "not_fit"
CONCLUSIONS = ("fit", "fit_with_actions", NOT_FIT)


@dataclass(frozen=True, slots=True)
class PeriodicDue:
    """When something is to be reviewed again. `entry` shows it; days are whole days of UTC.

    `kind`: access, validation or document; `subject`: the installation, a lock, or the number of a procedure.
    """

    kind: str
    subject: str
    covered_to: date
    on: date
    entry: int
    conclusion: str = ""

    def overdue_days(self, today: date) -> int:
        """Days beyond the day it was due; 0 where it is not overdue."""
        return max(0, (today - self.on).days)

    def suspends(self, today: date) -> bool:
        """Overdue beyond the limit, or found not fit: AI stops in uses 3 and 4 (TRIAL 2)."""
        return self.conclusion == NOT_FIT or self.overdue_days(today) > LIMIT_DAYS

    @property
    def name(self) -> str:
        return {
            "access": "review of access", "validation": f"periodic review of the validated state of {self.subject}",
            "document": f"periodic review of {self.subject}",
        }[self.kind]

    @property
    def remedy(self) -> str:
        """Who does what."""
        lock = "" if self.subject == INSTALLATION else f" --lock {self.subject}"
        return {
            "access": "Owner or QA: countersign role review --conclusion TEXT --as USER",
            "validation": f"Validation lead or QA: countersign review validation{lock} --conclusion fit --statement "
            "TEXT --as USER",
            "document": f"Its owner: a new version (countersign sop draft {self.subject}), or retirement.",
        }[self.kind]

    def in_words(self, today: date) -> str:
        late = self.overdue_days(today)
        if self.conclusion == NOT_FIT:
            return f"The {self.name} found it not fit (entry {self.entry}); AI is suspended in uses 3 and 4."
        if not late:
            return f"The next {self.name} is due by {self.on}."
        return (f"The {self.name} was due by {self.on}, {late} days ago; after {LIMIT_DAYS} days AI is suspended in "
                "uses 3 and 4.")


def reviews_in_time(
    today: date, trail: Due | None, others: Iterable[PeriodicDue]
) -> tuple[bool, str, str, tuple[int, ...]]:
    """Whether no review holds uses 3 and 4 back: met, what was found, the limit, the entries that show it."""
    late = [one for one in others if one.suspends(today)]
    if trail is None:
        met, found, limit, entries = True, "the trial is not live yet, or closed", (
            "regular audit-trail review while it is live"), tuple[int, ...]()
    else:
        met, found, entries = not trail.suspends(today), f"{trail.overdue_days(today)} days overdue", (trail.entry,)
        limit = f"at most {trail.limit_days} days, due by {trail.on}"
    if not late:
        return met, found, limit, entries
    said = " ".join(one.in_words(today) for one in late)
    return False, f"{found}. {said}", limit, (*entries, *(one.entry for one in late))

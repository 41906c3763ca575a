"""The day on which a periodic review is due again: signed by its reviewer, never later than the interval of its kind.

Intervals: SOP-10 step 6 (EMA computerised systems 2023, A3.2), SOP-14 step 8 (EU Annex 11:2011, 11). Pure.
"""

from __future__ import annotations

from datetime import date, timedelta

from core.errors import UnusableInput

MOST_MONTHS = {"access": 6, "validation": 12}


def months_after(day: date, months: int) -> date:
    """The same day so many months later; a month without that day ends on its last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=day.day - 1), following - timedelta(days=1))


def next_day(kind: str, today: date, wanted: str | None) -> date:
    """The day the next review is due: as wanted, within the interval of its kind; else the interval's end.

    Raises UnusableInput for no day, a day that has come already, or one beyond the interval.
    """
    latest = months_after(today, MOST_MONTHS[kind])
    if wanted is None:
        return latest
    try:
        day = date.fromisoformat(wanted)
    except ValueError as error:
        raise UnusableInput(f"`{wanted}` is no day; one looks like 2027-05-24.") from error
    if not today < day <= latest:
        raise UnusableInput(f"The next review is due after {today} and by {latest}, not on {day}.",
                            next_step=f"Name a day; the longest interval is {MOST_MONTHS[kind]} months.")
    return day

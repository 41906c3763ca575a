"""A clock that a test sets."""

from __future__ import annotations

START_US = 1_795_600_000_000_000


class SetClock:
    """Advances by a millisecond at each look, and by whatever the test says."""

    def __init__(self, at_us: int = START_US) -> None:
        self.at_us = at_us

    def now(self) -> int:
        self.at_us += 1_000
        return self.at_us

    def confirm(self) -> None:
        """A set clock is always believed."""

    def advance(self, *, seconds: int = 0, minutes: int = 0, hours: int = 0, days: int = 0) -> None:
        self.at_us += (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000

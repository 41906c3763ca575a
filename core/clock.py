"""The time: microseconds since 1970, UTC, and the only place that asks for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from core.errors import ClockUntrusted

BACK_LIMIT_US = 2_000_000
AHEAD_LIMIT_US = 60_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where instants come from."""

    def now(self) -> int:
        """Microseconds since 1970. Raises ClockUntrusted where the clock cannot be believed."""
        ...

    def confirm(self) -> None:
        """An operator vouches for the clock as it stands now."""
        ...


class SystemClock:
    """The host's clock, watched against the monotonic one since the process began (RECORD 2)."""

    def __init__(self) -> None:
        self._wall_us = self._monotonic_us = 0
        self.confirm()

    def now(self) -> int:
        wall = time.time_ns() // 1000
        expected = self._wall_us + (time.monotonic_ns() // 1000 - self._monotonic_us)
        if wall < expected - BACK_LIMIT_US:
            raise ClockUntrusted(f"The clock went back by {(expected - wall) / 1e6:.1f} s while the house was running.")
        if wall > expected + AHEAD_LIMIT_US:
            raise ClockUntrusted(f"The clock is {(wall - expected) / 1e6:.1f} s ahead of the time since start.")
        return wall

    def confirm(self) -> None:
        self._wall_us = time.time_ns() // 1000
        self._monotonic_us = time.monotonic_ns() // 1000


def in_words(us: int) -> str:
    """RFC 3339 with six decimals and Z, as the record writes it."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_words(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 UTC instant with six decimals and Z."""
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def as_datetime(us: int) -> datetime:
    """The same instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)

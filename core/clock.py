"""The time: microseconds since 1970, UTC, and the only place that asks for it."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
    """The host's clock, watched against the one that runs since the machine booted (RECORD 2).

    A file in the home may keep how the two stood, for all its processes (`remembering`): a step between two commands
    is seen as one within a command, and one confirmation counts for all. After a boot they are compared anew.
    """

    def __init__(self) -> None:
        self._remembered: Path | None = None
        self._boot = _boot()
        self._offset_us = _offset_us()

    def remember_in(self, path: Path) -> None:
        """Go by what the file keeps of this boot; where it keeps nothing, begin it."""
        self._remembered = path
        known = self._recall()
        if known is None:
            self._remember()
        else:
            self._offset_us = known

    def now(self) -> int:
        moved = _offset_us() - self._offset_us
        if not -BACK_LIMIT_US <= moved <= AHEAD_LIMIT_US:
            # Another process may have been told meanwhile that the clock is right.
            known = self._recall()
            if known is not None:
                moved, self._offset_us = _offset_us() - known, known
        if moved < -BACK_LIMIT_US:
            raise ClockUntrusted(f"The clock went back by {-moved / 1e6:.1f} s against the time since boot.")
        if moved > AHEAD_LIMIT_US:
            raise ClockUntrusted(f"The clock is {moved / 1e6:.1f} s ahead of the time since boot.")
        return time.time_ns() // 1000

    def confirm(self) -> None:
        self._offset_us = _offset_us()
        self._remember()

    def _recall(self) -> int | None:
        """What the home remembers of this boot, or None."""
        try:
            said = json.loads(self._remembered.read_text()) if self._remembered else {}
            return int(said["offset_us"]) if said["boot"] == self._boot else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remember(self) -> None:
        if self._remembered is None:
            return
        beside = self._remembered.with_name(f"{self._remembered.name}.{os.getpid()}")
        try:
            beside.write_text(json.dumps({"boot": self._boot, "offset_us": self._offset_us}))
            beside.replace(self._remembered)
        except OSError:
            # A home that cannot be written appends nothing anyhow; this process watches for itself.
            beside.unlink(missing_ok=True)


def remembering(clock: Clock, path: Path) -> Clock:
    """The same clock; the host's from now on shares what it knows with every process that names this file."""
    if isinstance(clock, SystemClock):
        clock.remember_in(path)
    return clock


_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def _offset_us() -> int:
    """The clock less the time since boot, suspended time included where the system counts it."""
    since_boot = time.monotonic_ns() if _BOOT_TIME is None else time.clock_gettime_ns(_BOOT_TIME)
    return (time.time_ns() - since_boot) // 1000


def _boot() -> str:
    """Which boot of this machine it is; where the system does not say, each process watches for itself."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"process {os.getpid()}"


def in_words(us: int) -> str:
    """RFC 3339 with six decimals and Z, as the record writes it."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6] + "Z"


def from_words(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 UTC instant with six decimals and Z. Raises ValueError."""
    # Not strptime: it loads its module at the first call, which a signer that gave root's rights up may not read.
    us = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) if text.endswith("Z") else -1
    if us < 0 or in_words(us) != text:
        raise ValueError(f"{text!r} is not a UTC instant with six decimals and Z")
    return us


def span_in_words(us: int) -> str:
    """A length of time as people say it: the two largest of days, hours and minutes; "less than a minute"."""
    minutes = max(us, 0) // 60_000_000
    parts = [(minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute")]
    said = [f"{number} {name}{'s' if number != 1 else ''}" for number, name in parts if number][:2]
    return " ".join(said) or "less than a minute"


def as_datetime(us: int) -> datetime:
    """The same instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)

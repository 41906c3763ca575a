"""One-time codes: by time (RFC 6238) or by counter (RFC 4226); each position is used once."""

from __future__ import annotations

import secrets

import pyotp

from core.errors import NotAuthenticated

STEP_SECONDS = 30
LOOK_AHEAD = 10


def position_of(code: str, secret: str, kind: str, first: int, now_us: int) -> int:
    """The time step or counter that a code belongs to. Raises NotAuthenticated.

    Args:
        secret: base32.
        kind: `time` or `counter`.
        first: the lowest position that was not used yet.
        now_us: for codes by time, one step before and after it counts.
    """
    if kind == "time":
        step = now_us // (STEP_SECONDS * 1_000_000)
        window = range(max(step - 1, first), step + 2)
    else:
        window = range(first, first + LOOK_AHEAD)
    generator = pyotp.HOTP(secret)
    for position in window:
        if secrets.compare_digest(generator.at(position), code.strip()):
            return position
    raise NotAuthenticated("The one-time code is wrong or was already used.")

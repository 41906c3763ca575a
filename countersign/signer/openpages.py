"""A page whose documents are signed before its entries, in one unlock (RECORD 4): a ticket, for seconds, used once."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import NotAuthenticated

LIFE_US = 30 * 1_000_000


@dataclass(frozen=True, slots=True)
class _Open:
    user: str
    key: Ed25519PrivateKey
    until_us: int


class OpenPages:
    """Keys unlocked for pages that are being signed at this moment; in memory alone."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._guard = threading.Lock()

    def open(self, user: str, key: Ed25519PrivateKey, now_us: int) -> str:
        """A ticket for the bodies of the page that this unlock was for."""
        ticket = secrets.token_urlsafe(24)
        with self._guard:
            self._open = {name: one for name, one in self._open.items() if one.until_us >= now_us}
            self._open[ticket] = _Open(user, key, now_us + LIFE_US)
        return ticket

    def close(self, user: str, ticket: str, now_us: int) -> Ed25519PrivateKey:
        """The key, once. Raises NotAuthenticated for a ticket that is unknown, used, too old or another person's."""
        with self._guard:
            found = self._open.pop(ticket, None)
        if found is None or found.user != user or now_us > found.until_us:
            raise NotAuthenticated("The page was not opened by this person a moment ago.")
        return found.key

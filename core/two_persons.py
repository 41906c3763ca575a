"""An act of two persons is two signed entries: the first names the act, the second names the first, and the effect
follows the second (RECORD 4). What all such acts share is known here; what the act is, is known where it is recorded.

* A first signature waits, until a second names it, a later one replaces it, or its time is over.
* The second is another person's, in the other role where the act asks for two roles (its rows say so).
* Of two second signatures prepared at once one wins: all of this is asked again under the lock, and a first that
  meanwhile is no longer the newest is `overtaken`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.clock import from_words
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts

#: Relations that stand against a second signature; the rows of the table of acts name them.
SIGNED_ALREADY, SAME_ROLE, OVERTAKEN = "signed_already", "same_role", "overtaken"


@dataclass(frozen=True, slots=True)
class OneSignature:
    """One of the two, as the table of its act keeps it; `second` where it names a first one."""

    id: str
    entry: int
    person: str
    role: str
    second: bool
    at: str = ""

    def in_words(self) -> str:
        """Who signed first, for the page of the second."""
        return f"{self.person}, entry {self.entry}"


def waiting(newest: OneSignature | None, *, since_us: int | None = None) -> OneSignature | None:
    """The newest signature of an act, if it is a first one that a second may still name.

    Args:
        newest: of this very act: the same key, the same seals, the same reason.
        since_us: when older than this it counts no more.
    """
    if newest is None or newest.second:
        return None
    if since_us is not None and from_words(newest.at) < since_us:
        return None
    return newest


def permit_signature(
    actor: Actor, action: str, facts: Callable[[frozenset[str]], Facts], first: OneSignature | None, *,
    newest: OneSignature | None = None, also: frozenset[str] = frozenset(),
) -> Decision:
    """The decision on a first signature, or on the second that names `first`.

    Args:
        facts: the facts of the act with these relations.
        first: the one that the page names; None for a first signature.
        newest: the newest signature of the act now, where the page was made for an earlier one.
        also: further relations of the act.

    Raises:
        Refused: the table of acts says no.
    """
    known = set(also)
    if first is not None:
        known |= {SIGNED_ALREADY} if first.person == actor.user else set()
        known |= {OVERTAKEN} if newest is not None and newest.id != first.id else set()
        decision = permit(actor, action, facts(frozenset(known)))
        known |= {SAME_ROLE} if decision.role == first.role else set()
    return permit(actor, action, facts(frozenset(known)))

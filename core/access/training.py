"""Whose training counts for which act: pure rules over documents as the words of `sop.*` left them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

# Nobody could ever come to act if these were governed: they are how a person becomes able to act.
NEVER_GOVERNED = frozenset({"training.complete", "accountability.state", "password.renew"})


@dataclass(frozen=True)
class Binding:
    """One version of a controlled document: which acts it governs, of which roles (empty: all)."""

    sop: str
    version: int
    title: str
    governs: tuple[str, ...]
    applies_to: tuple[str, ...]
    effective: bool


def governs(patterns: Iterable[str], action: str) -> bool:
    """Whether one of the patterns (`read.*`, `quality.dispose`) covers the action."""
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def applies(binding: Binding, *, role: str, action: str | None = None) -> bool:
    """Whether a document binds somebody in this role (for this act, when one is named)."""
    if binding.applies_to and role not in binding.applies_to:
        return False
    return action is None or (action not in NEVER_GOVERNED and governs(binding.governs, action))


def missing_training(
    bindings: Iterable[Binding], trained: Iterable[tuple[str, int]], *, role: str, action: str | None = None
) -> tuple[Binding, ...]:
    """The effective versions that bind this role and act and on which the person has no read-and-understood.

    An approved version binds nobody yet, so a new version lapses nobody before its effective date, and then
    only for the acts that it governs (TRIAL 1).
    """
    done = set(trained)
    return tuple(
        binding
        for binding in sorted(bindings, key=lambda each: (each.sop, each.version))
        if binding.effective
        and applies(binding, role=role, action=action)
        and (binding.sop, binding.version) not in done
    )

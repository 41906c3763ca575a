"""What people are shown before they sign about a gate; pages and prompts render from this alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from audit.entry import canonical
from audit.vocabulary.gates import JudgedCriterion
from core.gates.criteria import Judged
from core.gates.rules import USES
from core.work import View


def recorded(judged: Sequence[Judged]) -> tuple[JudgedCriterion, ...]:
    """Criteria as the entry holds them; at most twenty entries each, the rest counted in words."""
    return tuple(
        JudgedCriterion(id=one.id, state=one.state, found=one.found, limit=one.limit, entries=one.entries[:20],
                        waiver=one.waiver)
        for one in judged
    )


def digest_of(judged: Sequence[Judged]) -> str:
    """SHA-256 over id and state of every criterion: what a signer saw, without numbers that may still grow."""
    plain = [{"id": one.id, "state": one.state} for one in judged]
    return hashlib.sha256(canonical(plain, "criteria")).hexdigest()


def gate(
    title: str, trial: str, gate_id: str, use: int, endpoint: str | None, scope: str, lock: str,
    judged: Sequence[Judged], evidence_class: str, *more: tuple[str, str],
) -> View:
    """A gate with every criterion: state, found, wanted, entries."""
    lines = [
        ("Trial", trial), ("Gate", gate_id), ("AI use", f"{use} {USES[use]}"), ("Endpoint", endpoint or "none"),
        ("Scope", scope), ("Lock", lock), ("Evidence class", evidence_class), *more,
    ]
    lines += [(f"{one.title}", criterion(one)) for one in judged]
    return View(title, "gates/sign", tuple(lines))


def criterion(one: Judged) -> str:
    """One criterion in a line."""
    waiver = f", waiver {one.waiver}" if one.waiver else ""
    entries = f" (entries {', '.join(map(str, one.entries[:20]))})" if one.entries else ""
    return f"{one.state}{waiver}: {one.found}; wanted: {one.limit}{entries}"


def act(title: str, template: str, *lines: tuple[str, str]) -> View:
    """A view of plain lines."""
    return View(title, template, lines)

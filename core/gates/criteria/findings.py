"""What every criterion is made of: a finding, a row of the table, and the checks that several rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from core.gates.facts import GateFacts
from core.trials.defaults import SHIPPED_BY_NAME

ALL_USES, FROM_2, USES_3_4 = frozenset({1, 2, 3, 4}), frozenset({2, 3, 4}), frozenset({3, 4})
USE_1, USE_2, USE_3, USE_4 = frozenset({1}), frozenset({2}), frozenset({3}), frozenset({4})


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    met: bool
    found: str
    limit: str
    entries: tuple[int, ...] = ()


Check = Callable[[GateFacts], Finding]


@dataclass(frozen=True)
class Criterion:
    """One row of the gate table. `owner` is the role that may approve its waiver beside QA."""

    id: str
    uses: frozenset[int]
    title: str
    owner: str
    waivable: bool
    check: Check
    cause: str | None = None


def number(facts: GateFacts, name: str, found: Decimal | None, entries: tuple[int, ...], said: str = "") -> Finding:
    """A number against the charter's limit of this name; nothing found is open."""
    shipped, limit = SHIPPED_BY_NAME[name], facts.limit(name)
    sign = "≥" if shipped.direction == "at_least" else "≤"
    if limit is None:
        return Finding(False, said or "unknown", f"the charter states no {name}", entries)
    asked = f"{sign} {with_unit(limit, shipped.unit)}"
    if shipped.laxer(limit):
        asked += f" (ships {sign} {shipped.default})"
    if found is None:
        return Finding(False, said or "too few to tell", asked, entries)
    return Finding(shipped.met_by(found, limit), said or with_unit(found, shipped.unit), asked, entries)


_ONE = {"people": "person", "studies": "study", "sites": "site", "cases": "case", "pairs": "pair",
        "subjects": "subject", "days": "day"}


def with_unit(value: Decimal, unit: str) -> str:
    """A number with its unit as people say it: `1 study`, `50 studies`."""
    return f"{value:f} {_ONE.get(unit, unit) if value == 1 else unit}".strip()


def filed_as(kind: str, what: str, *, of_endpoint: bool = False, since: int | None = None) -> Check:
    """A check that asks for a document on file, for this use and lock where the document names them.

    Args:
        kind: of the document.
        what: the charter asks for, in words.
        of_endpoint: whether a document about another endpoint is none.
        since: the first use whose document serves later uses as well.
    """
    def check(facts: GateFacts) -> Finding:
        fitting = [
            one for one in facts.filed
            if one.kind == kind and facts.counts(one.evidence_class) and (
                one.use is None or (since or facts.use) <= one.use <= facts.use)
            and (not of_endpoint or one.endpoint in (None, facts.endpoint)) and one.lock in (None, facts.lock_id)
        ]
        return Finding(bool(fitting), "on file" if fitting else "not filed", what, tuple(one.entry for one in fitting))

    return check

"""The criteria of the four gates, each a pure function over facts: met or open, with what was found and where.

Rows are ordered as the board prints them. `waivable` is False for what may never be waived: valid lock, release, PQ
verdict, charter naming the AI, blinding; signatures and signers' training are asked when each person signs (TRIAL 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.gates.criteria import evidence, model, trial
from core.gates.criteria.findings import Criterion, Finding
from core.gates.facts import GateFacts

CRITERIA: tuple[Criterion, ...] = (*trial.ROWS, *model.ROWS, *evidence.ROWS)
BY_ID = {row.id: row for row in CRITERIA}
SUSPECT = "suspect_signature"


@dataclass(frozen=True)
class Judged:
    """A criterion with its state: met, open or waived."""

    id: str
    title: str
    owner: str
    waivable: bool
    state: str
    found: str
    limit: str
    entries: tuple[int, ...]
    waiver: str | None = None
    cause: str | None = None


def judge(facts: GateFacts) -> tuple[Judged, ...]:
    """Every criterion of the use asked for, in order."""
    waivers = {one.criterion: one for one in facts.waivers if one.ends_on >= facts.today}
    trusted = facts.trusted() if facts.suspect else facts
    judged = []
    for row in CRITERIA:
        if facts.use not in row.uses:
            continue
        finding, doubted = _without_suspect(row, facts, trusted)
        waiver = waivers.get(row.id) if row.waivable and not finding.met else None
        if waiver is not None and waiver.entry in facts.suspect:
            doubted, waiver = [*doubted, waiver.entry], None
        state = "met" if finding.met else "waived" if waiver else "open"
        entries = (*finding.entries, waiver.entry) if waiver else finding.entries
        judged.append(Judged(
            row.id, row.title, row.owner, row.waivable, state, finding.found, finding.limit,
            tuple(sorted(set(entries))), waiver.waiver if waiver else None,
            SUSPECT if doubted and waiver is None else row.cause,
        ))
    return tuple(judged)


def _without_suspect(row: Criterion, facts: GateFacts, trusted: GateFacts) -> tuple[Finding, list[int]]:
    """What a criterion finds on trusted evidence, and the suspect entries for which it is not met (RECORD 4)."""
    finding = row.check(trusted)
    if not facts.suspect:
        return finding, []
    whole = finding if finding.met else row.check(facts)
    doubted = sorted(set(whole.entries) & facts.suspect)
    if not whole.met or not doubted:
        return finding, []
    said = f"{whole.found}; rests on suspect entries {', '.join(map(str, doubted))}"
    return Finding(False, said, whole.limit, whole.entries), doubted


def open_ones(judged: tuple[Judged, ...]) -> tuple[Judged, ...]:
    """The criteria that keep a gate shut."""
    return tuple(one for one in judged if one.state == "open")

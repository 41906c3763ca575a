"""The policy table asked about everything: each action in each role, stage and phase, with every relation it asks for.

The printed matrix is part of the validation pack (requirements ACC-02, GAT-03); the tests walk the same combinations.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.policy.decide import DEFAULT, decide
from core.policy.state import Actor, Decision, Facts, HouseState, Rule, Stage
from core.policy.table import TABLE

#: What is open in each phase of a trial, 0 (no AI) to 4; the endpoint's name decides nothing here.
PHASES: tuple[frozenset[str], ...] = tuple(
    frozenset(("qc", "cohort", "secondary:E", "primary:E")[:phase]) for phase in range(5)
)
STAGES: tuple[Stage | None, ...] = (None, *Stage)
#: Up to this many relations all of their combinations are asked; beyond it none, each one, each two, and nearly all.
ALL_TOGETHER = 6


class _Asked(frozenset[str]):
    """A set of relations that remembers which ones a condition asks for."""

    def __new__(cls, members: Iterable[str], seen: set[str]) -> _Asked:
        made = super().__new__(cls, members)
        made.seen = seen
        return made

    seen: set[str]

    def __contains__(self, name: object) -> bool:
        self.seen.add(str(name))
        return super().__contains__(name)

    def __and__(self, other: Any) -> frozenset[str]:
        self.seen.update(other)
        return frozenset(self) & frozenset(other)

    __rand__ = __and__


def actions(table: Sequence[Rule] = TABLE) -> tuple[str, ...]:
    """Every action that a row of the table names in full, sorted."""
    return tuple(sorted({one for rule in table for one in rule.actions if not one.endswith("*")}))


def roles(table: Sequence[Rule] = TABLE) -> tuple[str, ...]:
    """Every role that a row of the table names, sorted; service and everybody left out."""
    return tuple(sorted({role for rule in table for role in rule.roles} - {"*", "service"}))


@lru_cache(maxsize=512)
def relations(action: str) -> tuple[str, ...]:
    """The relations that decide about an action: those that a row naming it asks for, in whatever combination.

    "*" gives those that rows about everything ask for (an inactive account, an old password).
    """
    found: set[str] = set()
    waiting: list[frozenset[str]] = [frozenset()]
    rows = [rule for rule in TABLE if (rule.actions == ("*",)) == (action == "*") and rule.names(action)]
    while waiting:
        members = waiting.pop()
        seen: set[str] = set()
        for rule, phase in itertools.product(rows, (PHASES[0], PHASES[-1])):
            rule.when(Actor("somebody"), Facts(relations=_Asked(members, seen), uses_open=phase))
        # A condition that stops at its first answer asks for the next name once that answer is another one.
        waiting += [frozenset({name}) for name in seen - found]
        found |= seen
    return tuple(sorted(found))


def combinations(action: str) -> Iterator[frozenset[str]]:
    """The sets of relations to ask with: all of an action's, or of long lists none, each, each two, and all but up to
    one; and each relation that concerns everything, alone and with all the others."""
    names = relations(action)
    for one in relations("*"):
        yield frozenset({one})
        yield frozenset({one, *names})
    if len(names) <= ALL_TOGETHER:
        sizes: Iterable[int] = range(len(names) + 1)
    else:
        sizes = (0, 1, 2, len(names) - 1, len(names))
    for size in sizes:
        yield from (frozenset(one) for one in itertools.combinations(names, size))


@lru_cache(maxsize=512)
def classes(action: str) -> tuple[tuple[str, ...], ...]:
    """The roles of the table in classes that no row about this action tells apart; "" is a person without a role.

    A row reads a role only as a member of its set, so one question answers for the whole class.
    """
    rows = [rule for rule in TABLE if rule.names(action)]
    alike: dict[tuple[bool, ...], list[str]] = {}
    for role in ("", *roles()):
        alike.setdefault(tuple(role in rule.roles for rule in rows), []).append(role)
    return (*(tuple(members) for members in alike.values()), ("service",))


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and its answer."""

    role: str
    facts: Facts
    decision: Decision


def asked(action: str, role: str, table: Sequence[Rule] = TABLE) -> Iterator[Asked]:
    """Every question about an action in one role: house x stage x phase x relations."""
    actor = Actor.of_service("service") if role == "service" else Actor("somebody")
    held = frozenset({role}) - {"", "service"}
    for house, stage, phase, related in itertools.product(
        HouseState, STAGES, PHASES, tuple(combinations(action))
    ):
        facts = Facts(house=house, stage=stage, roles=held, relations=related, uses_open=phase)
        yield Asked(role, facts, decide(actor, action, facts, table))


def printed_matrix() -> str:
    """The matrix as CSV: per action one line for each class of roles that may ever act, when, and what refuses.

    Within the stages and phases of a line the answer is yes unless a row in `refused_by` fits; those rows and their
    conditions are printed with the table. Roles that no line of an action names may never carry it out. The last two
    columns count the questions asked for one of the roles, and those answered with yes.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("action", "roles", "while", "stages", "phases", "permitted_by", "refused_by", "asked", "allowed"))
    for action in actions():
        for members in classes(action):
            answers = list(asked(action, members[0]))
            allowed = [one for one in answers if one.decision.allowed]
            if not allowed:
                continue
            refusing = {one.decision.rule for one in answers if not one.decision.allowed} - {DEFAULT}
            writer.writerow((
                action, " ".join(role or "(without a role)" for role in members),
                _listed({one.facts.house.value for one in allowed}),
                _listed({one.facts.stage.value if one.facts.stage else "no_trial" for one in allowed}),
                _listed({str(len(one.facts.uses_open)) for one in allowed}),
                _listed({one.decision.rule for one in allowed}), _listed(refusing), len(answers), len(allowed),
            ))
    return out.getvalue()


def _listed(names: set[str]) -> str:
    return " ".join(sorted(names))

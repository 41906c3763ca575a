"""The frozen facts a decision rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """A trial's life."""

    SET_UP = "set_up"
    LIVE = "live"
    SOFT_LOCKED = "soft_locked"
    LOCKED = "locked"
    CLOSED = "closed"


ANY_STAGE = frozenset({None, *Stage})


class HouseState(StrEnum):
    """Before `installation.opened` only the founding acts are possible (TRIAL 1)."""

    FOUNDING = "founding"
    OPENED = "opened"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person by user id, or a service of the house."""

    user: str
    service: bool = False

    @classmethod
    def of_service(cls, name: str) -> Actor:
        return cls(name, service=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the tables say about actor, thing and trial at this moment.

    `relations` names what the actor is to the thing ("own_upload", "author", "reader_1", "locker", "grantee", …) and
    what the thing is ("ai_value", "sealed", "study_rejected", …). `gaps` maps each held role to the sentence that says
    which training or delegation this action lacks for it.
    """

    house: HouseState = HouseState.OPENED
    trial: str | None = None
    stage: Stage | None = None
    roles: frozenset[str] = frozenset()
    gaps: Mapping[str, str] = field(default_factory=dict)
    relations: frozenset[str] = frozenset()
    uses_open: frozenset[str] = frozenset()
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, by which rule, in which role, and the sentence shown to the person."""

    allowed: bool
    rule: str
    because: str
    role: str = "none"


Condition = Callable[[Actor, Facts], bool]


def always(actor: Actor, facts: Facts) -> bool:
    """No further condition."""
    return True


def related(*names: str) -> Condition:
    """True when any of the relations holds."""
    wanted = frozenset(names)

    def any_of(actor: Actor, facts: Facts) -> bool:
        return bool(wanted & facts.relations)

    any_of.__doc__ = "any of: " + ", ".join(sorted(wanted))
    return any_of


def unrelated(*names: str) -> Condition:
    """True when none of the relations holds."""
    wanted = frozenset(names)

    def none_of(actor: Actor, facts: Facts) -> bool:
        return not wanted & facts.relations

    none_of.__doc__ = "none of: " + ", ".join(sorted(wanted))
    return none_of


def use_closed(*uses: str) -> Condition:
    """True when none of the named AI uses ("qc", "secondary:E2", …) is open; a bare use matches any endpoint."""

    def closed(actor: Actor, facts: Facts) -> bool:
        return not any(open_use == use or open_use.split(":")[0] == use for open_use in facts.uses_open for use in uses)

    closed.__doc__ = "AI use not open: " + ", ".join(uses)
    return closed


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. `actions` may end in `.*`; role "*" fits everybody; forbids ignore training."""

    id: str
    effect: str
    actions: tuple[str, ...]
    roles: frozenset[str]
    because: str
    stages: frozenset[Stage | None] = ANY_STAGE
    when: Condition = always
    house: frozenset[HouseState] = frozenset({HouseState.OPENED})

    def names(self, action: str) -> bool:
        return any(one in (action, "*") or (one.endswith(".*") and action.startswith(one[:-1])) for one in self.actions)

    def fits(self, actor: Actor, action: str, facts: Facts) -> bool:
        return (
            self.names(action)
            and facts.house in self.house
            and facts.stage in self.stages
            and ("*" in self.roles or bool(self.roles & held(actor, facts)))
            and self.when(actor, facts)
        )


def held(actor: Actor, facts: Facts) -> frozenset[str]:
    """The roles in which this actor can act."""
    return frozenset({"service"}) if actor.service else facts.roles


def allow(
    row: str, actions: str, roles: str, because: str, *, stages: frozenset[Stage | None] = ANY_STAGE,
    when: Condition = always, house: frozenset[HouseState] = frozenset({HouseState.OPENED}),
) -> Rule:
    """A row that allows; actions and roles are separated by spaces."""
    return Rule(row, "permit", tuple(actions.split()), frozenset(roles.split()), because, stages, when, house)


def forbid(
    row: str, actions: str, because: str, *, roles: str = "*", stages: frozenset[Stage | None] = ANY_STAGE,
    when: Condition = always, house: frozenset[HouseState] = frozenset(HouseState),
) -> Rule:
    """A row that refuses, whatever else permits."""
    return Rule(row, "forbid", tuple(actions.split()), frozenset(roles.split()), because, stages, when, house)

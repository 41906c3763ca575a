"""The training matrix: every person against every version in force or coming, and the acts that a lapse stops.

A fold of what the record holds already (roles, documents, read-and-understood), so it is true of any state of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from core.access.queries import bindings_now, everybody, grants_of
from core.access.roles import is_untrained
from core.access.rules import Account
from core.access.training import NEVER_GOVERNED, Binding, applies, governs
from core.policy.state import Rule
from core.policy.table import TABLE
from sops.queries import SopVersion, TrainingRow, all_versions, training_of
from sops.rules import State

COLUMNS = ("user", "sop", "version", "title", "state", "status", "roles", "entry", "signed_at", "due_by", "earlier",
           "stopped_acts", "lifted_by")


class Training(StrEnum):
    """Where a person stands with one version."""

    TRAINED = "trained"
    DUE = "due"  # approved, not yet effective: nobody lapses before its day
    LAPSED = "lapsed"  # trained on an earlier version; the acts that this one governs are refused
    MISSING = "missing"  # never trained; the acts are refused
    NOT_NEEDED = "not_needed"  # no role held is bound by the document


@dataclass(frozen=True, slots=True)
class Cell:
    """One person and one version. `roles`: those held that it binds; `stopped`: acts that are refused until trained.

    `entry`, `signed_at`: the read-and-understood on this version; `earlier`: the newest older version signed before.
    """

    user: str
    sop: str
    version: int
    title: str
    state: State
    status: Training
    roles: tuple[str, ...]
    entry: int | None
    signed_at: str | None
    due_by: str | None
    earlier: int | None
    stopped: tuple[str, ...]

    @property
    def lifted_by(self) -> str:
        """Who can end what this cell lacks; empty where it lacks nothing. Nobody signs it for somebody else."""
        if self.status in (Training.TRAINED, Training.NOT_NEEDED):
            return ""
        return f"{self.user}: countersign sop train {self.sop} --as {self.user}"

    def row(self) -> dict[str, object]:
        """The columns of a file."""
        return {
            "user": self.user, "sop": self.sop, "version": self.version, "title": self.title, "state": self.state.value,
            "status": self.status.value, "roles": " ".join(self.roles), "entry": self.entry,
            "signed_at": self.signed_at, "due_by": self.due_by, "earlier": self.earlier,
            "stopped_acts": " ".join(self.stopped), "lifted_by": self.lifted_by,
        }


def status_of(*, needed: bool, trained: bool, effective: bool, earlier: bool) -> Training:
    """Where somebody stands; a signature counts whether it was needed or not."""
    if trained:
        return Training.TRAINED
    if not needed:
        return Training.NOT_NEEDED
    if not effective:
        return Training.DUE
    return Training.LAPSED if earlier else Training.MISSING


def stopped_acts(binding: Binding, held: Iterable[str], table: Iterable[Rule] = TABLE) -> tuple[str, ...]:
    """Acts that the policy permits one of the roles held, and that all of those roles lose while untrained.

    A permit counts only in a role whose training is current (core/policy/decide.py), so one role that the document
    does not bind keeps the act.
    """
    mine = {role for role in held if not is_untrained(role)}
    free = {role for role in held if is_untrained(role) or not applies(binding, role=role)}
    by_role: dict[str, set[str]] = {}
    for rule in table:
        if rule.effect != "permit":
            continue
        roles = set(rule.roles)
        for action in rule.actions:
            if action not in NEVER_GOVERNED and governs(binding.governs, action):
                by_role.setdefault(action, set()).update(mine | free if "*" in roles else roles & (mine | free))
    return tuple(sorted(action for action, roles in by_role.items() if roles and not roles & free))


def matrix(session: Connection, users: frozenset[str] | None = None) -> tuple[Cell, ...]:
    """Every active person (or these) against every approved or effective version, by person and document."""
    versions = {(one.sop, one.version): one for one in all_versions(session)}
    bindings = [one for one in bindings_now(session)
                if versions[one.sop, one.version].state in (State.APPROVED, State.EFFECTIVE)]
    signed: dict[str, list[TrainingRow]] = {}
    for row in training_of(session):
        signed.setdefault(row.user, []).append(row)
    return tuple(
        _cell(person.user, [grant.role for grant in grants_of(session, person.user)], binding,
              versions[binding.sop, binding.version], signed.get(person.user, []))
        for person in everybody(session)
        if person.account is not Account.CLOSED and (users is None or person.user in users)
        for binding in bindings
    )


def _cell(user: str, held: list[str], binding: Binding, version: SopVersion, log: list[TrainingRow]) -> Cell:
    roles = tuple(sorted({role for role in held if not is_untrained(role) and applies(binding, role=role)}))
    here = next((row for row in reversed(log) if (row.sop, row.version) == (binding.sop, binding.version)), None)
    earlier = max((row.version for row in log if row.sop == binding.sop and row.version < binding.version),
                  default=None)
    status = status_of(needed=bool(roles), trained=here is not None, effective=binding.effective,
                       earlier=earlier is not None)
    stops = status in (Training.LAPSED, Training.MISSING)
    return Cell(
        user, binding.sop, binding.version, binding.title, version.state, status, roles,
        here.entry if here else None, here.at if here else None,
        version.effective_on if status is Training.DUE else None, earlier,
        stopped_acts(binding, held) if stops else (),
    )

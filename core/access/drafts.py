"""What every act about people shares: who is meant, whether the step exists, what the signature rests on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from core.access import queries
from core.access.rules import ACCOUNTS
from core.errors import UnusableInput
from core.policy.state import Actor, Decision
from core.work import Draft, Prover, View


def self_relation(actor: Actor, user: str) -> set[str]:
    """`self` where somebody acts on their own account."""
    return {"self"} if actor.user == user else set()


def check_step(person: queries.PersonRow, word: str) -> None:
    """Refuse a word that the life of an account does not have here. Raises UnusableInput."""
    if (person.account, word) not in ACCOUNTS:
        needed = sorted({before.value for before, each in ACCOUNTS if each == word and before is not None})
        raise UnusableInput(
            f"{person.user} is {person.account.value}; this step needs an account that is {' or '.join(needed)}."
        )


def draft(
    session: Connection, actor: Actor, event: Any, decision: Decision, meaning: str, view: View, action: str, *,
    trial: str | None = None, proofs_by: tuple[tuple[str, Prover], ...] = (), factors: tuple[str, ...] | None = None,
) -> Draft:
    """A draft with the trainings and the delegation that its signature rests on."""
    found = queries.basis(session, actor.user, decision.role, action, trial)
    return Draft(
        event, under=decision, meaning=meaning, view=view, trial=trial, trainings=found.trainings,
        delegation=found.delegation, proofs_by=proofs_by, factors=factors,
    )

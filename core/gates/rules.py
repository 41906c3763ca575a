"""How a gate lives: its states, the order of uses, who signs, what suspends, which scope is possible.

A gate is one opening: (trial, use, endpoint or none, scope, lock). Pure (TRIAL 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.errors import Refused
from core.trials.charter import Charter, UnusedUse
from core.trials.charter_rules import arm_scope_refusal

USES: Mapping[int, str] = {1: "qc", 2: "cohort", 3: "secondary", 4: "primary"}
WITH_ENDPOINT = frozenset({3, 4})

GATE: Mapping[tuple[str | None, str], str] = {
    (None, "gate.requested"): "requested",
    ("requested", "gate.signed"): "requested",
    ("requested", "gate.opened"): "open",
    ("requested", "gate.withdrawn"): "withdrawn",
    ("open", "gate.suspended"): "suspended",
    # A second cause is one more thing to clear; the state stays.
    ("suspended", "gate.suspended"): "suspended",
    ("suspended", "gate.signed"): "suspended",
    ("suspended", "gate.resumed"): "open",
    ("open", "gate.halted"): "halted",
    ("suspended", "gate.halted"): "halted",
    ("halted", "gate.signed"): "halted",
    ("halted", "gate.resumed"): "open",
    **{(state, "gate.revoked"): "revoked" for state in ("open", "suspended", "halted")},
}
MAY_HALT = frozenset(state for state, word in GATE if word == "gate.halted")
# Opened and not revoked for cause; a halt is a cause until all have resumed.
COUNTS_AS_OPENED = frozenset({"open", "suspended"})

_ORDERED_SIGNERS = (
    (1, ("trial_lead",)), (2, ("validation_lead",)), (3, ("statistician", "imaging_lead")),
    (4, ("medical_monitor", "regulatory")),
)
LAST = "qa_auditor"


def signers_of(use: int) -> tuple[str, ...]:
    """The roles that sign the gate of a use, in the order they are listed; QA last."""
    return (*(role for number, roles in _ORDERED_SIGNERS if number <= use for role in roles), LAST)


# Whose work goes on with AI at hand, by use; a gate suspends when nobody able is left in one of them.
NEEDED_ROLES: Mapping[int, tuple[str, ...]] = {
    1: ("qc_technologist",), 2: ("coordinator",), 3: ("reader",), 4: ("reader", "adjudicator"),
}


@dataclass(frozen=True)
class Signed:
    """A signature on a gate."""

    role: str
    person: str
    entry: int


def signature_refusal(use: int, signed: Sequence[Signed], role: str, person: str) -> str | None:
    """Why this person may not sign in this role now; None where they may.

    Signers are distinct people, each role signs once, and QA signs when all others have.
    """
    needed = signers_of(use)
    if role not in needed:
        return f"Gate {use} is signed by {_listed(needed)}, not by {role}."
    if any(one.role == role for one in signed):
        return f"The signature of {role} is already given."
    if any(one.person == person for one in signed):
        return f"{person} has already signed this gate; another person signs as {role}."
    missing = [one for one in needed if one not in (LAST, role) and all(other.role != one for other in signed)]
    if role == LAST and missing:
        return f"QA signs last; still missing: {_listed(missing)}."
    return None


def still_to_sign(use: int, signed: Sequence[Signed]) -> tuple[str, ...]:
    """The roles whose signature is missing."""
    given = {one.role for one in signed}
    return tuple(role for role in signers_of(use) if role not in given)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


@dataclass(frozen=True)
class GateState:
    """A gate of the trial as the order rule sees it."""

    gate: str
    use: int
    endpoint: str | None
    state: str
    entry: int


def order_gap(use: int, not_used: Mapping[int, int], gates: Sequence[GateState]) -> tuple[str | None, tuple[int, ...]]:
    """What of the order of uses is lacking before a gate of `use` may open, and the entries that show it is not.

    A use declared `not_used` counts as met itself, and passes the question on to the use before it: leaving a step
    out never opens the one behind it.

    Args:
        use: 1 to 4.
        not_used: uses that the signed charter declares not used, with the charter's entry.
        gates: every gate of the trial.
    """
    entries: list[int] = []
    for earlier in range(use - 1, 0, -1):
        opened = [one.entry for one in gates if one.use == earlier and one.state in COUNTS_AS_OPENED]
        if opened:
            # That gate could open only behind its own predecessor.
            return None, (*entries, min(opened))
        if earlier not in not_used:
            return f"Gate {earlier} ({USES[earlier]}) is not open, and the charter does not say not_used.", ()
        entries.append(not_used[earlier])
    return None, tuple(entries)


def rests_on_revoked(use: int, not_used: Mapping[int, int], gates: Sequence[GateState]) -> bool:
    """True where no earlier gate carries an open one any more; a halt stops those uses alone that its rule names."""
    carrying = [replace(one, state="open") if one.state == "halted" else one for one in gates]
    return order_gap(use, not_used, carrying)[0] is not None


def not_used_of(charter: Charter, entry: int) -> dict[int, int]:
    """The uses a signed charter declares not used, each with the charter's entry."""
    return {number: entry for number, _, use in charter.ai.numbered() if isinstance(use, UnusedUse)}


def scope_refusal(charter: Charter, use: int, scope: str, why_signed_by: frozenset[str] = frozenset()) -> str | None:
    """Why a gate of this scope cannot be requested; None where it can.

    Args:
        charter: the signed charter in force.
        use: 1 to 4.
        scope: `all`, `part:X`, `sites:X,Y` or `arm:X`.
        why_signed_by: roles that signed why an arm scope is needed.
    """
    kind, _, ids = scope.partition(":")
    known = {
        "arm": {arm.id for arm in charter.arms},
        "part": {part.id for part in charter.parts},
        "sites": {site.id for site in charter.sites},
    }
    if scope != "all":
        if kind not in known or not ids:
            return f"{scope!r} is no scope; write all, part:X, sites:X,Y or arm:X."
        unknown = [one for one in ids.split(",") if one not in known[kind]]
        if unknown:
            return f"The charter has no {kind} {', '.join(unknown)}."
    if kind == "arm":
        refusal = arm_scope_refusal(charter.blinding)
        if refusal is not None:
            return f"{refusal[0].upper()}{refusal[1:]}."
        lacking = {"statistician", "qa_auditor"} - why_signed_by
        if lacking:
            return f"An arm scope needs its reason signed by {_listed(sorted(lacking))}."
    declared = charter.planned(use)
    if declared is not None and declared.scope not in ("all", scope):
        return f"The charter plans use {use} for {declared.scope}, not for {scope}."
    return None


@dataclass(frozen=True)
class SuspensionCause:
    """Something that closes gates at once, and the uses it closes."""

    code: str
    uses: frozenset[int]
    says: str


_ALL = frozenset({1, 2, 3, 4})
SUSPENSION_CAUSES: Mapping[str, SuspensionCause] = {
    cause.code: cause
    for cause in (
        SuspensionCause("digest_mismatch", _ALL, "The model's bytes differ from its lock."),
        SuspensionCause("environment_mismatch", _ALL, "The environment differs from the locked one."),
        SuspensionCause("input_not_finite", _ALL,
                        "The model was given values that are no numbers, past every check before it."),
        SuspensionCause("marks_edited", _ALL,
                        "Marks that this house had put on the model in its tracking store were edited there."),
        SuspensionCause("lock_revoked", _ALL, "The model's lock was revoked or recalled."),
        SuspensionCause("validation_suspect", _ALL, "The validation that supports this use is suspect."),
        SuspensionCause("suspect_signature", _ALL, "A signature that this gate rests on is suspect."),
        SuspensionCause("unreleased_software", _ALL, "The software that runs is not the released one."),
        SuspensionCause("drift_level_2", _ALL, "Drift reached level 2."),
        SuspensionCause("critical_deviation", _ALL, "A critical deviation is open."),
        SuspensionCause("amendment_without_impact", _ALL, "An imaging-relevant amendment has no signed impact."),
        SuspensionCause("not_in_charter", _ALL, "The charter in force does not plan this use of AI as it is open."),
        SuspensionCause("earlier_gate_revoked", _ALL, "An earlier gate that this one rests on was revoked."),
        SuspensionCause("ledger_failure", _ALL, "The ledger did not verify."),
        SuspensionCause("review_overdue", frozenset({3, 4}),
                        "A review is overdue beyond its limit, or found what was released not fit."),
        SuspensionCause("sentinel_overdue", _ALL, "The lock's daily sentinel set was missed too long, or differs."),
        SuspensionCause("waiver_expired", _ALL, "A waiver that this gate rests on has expired."),
        SuspensionCause("nobody_left", _ALL, "No trained and delegated person is left, no deputy either."),
    )
}


def suspends(cause: str, use: int) -> bool:
    """True when a cause closes gates of this use. Raises KeyError for a cause that is not in the table."""
    return use in SUSPENSION_CAUSES[cause].uses


def follow_gate(gate: str, state: str | None, word: str) -> str:
    """The state of a gate after a word. Raises Refused where the word does not fit."""
    after = GATE.get((state, word))
    if after is None:
        fitting = ", ".join(sorted(one for before, one in GATE if before == state)) or "nothing"
        raise Refused(f"Gate {gate} is {state or 'not requested'}; {word} does not follow. Possible now: {fitting}.",
                      rule="F-601")
    return after

"""What a deviation or a change asks for: corrective and preventive actions with a check of their effect, and the class
of a change with the validation that it makes suspect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial

from sqlalchemy import Connection

from audit.vocabulary.registry import ObjectRef
from audit.vocabulary.validation import CapaClosed, CapaOpened, ChangeAssessed
from core.errors import AlreadyDone, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.work import Desk, Draft, Occasion, Proposal, View
from validation import queries
from validation.rules import CHANGES
from validation.usecases import TEMPLATE, resting_draft

KINDS = ("corrective", "preventive")
EFFECTS = ("effective", "not_effective")


@dataclass(frozen=True, slots=True)
class OpenCapa:
    """An action against the cause of a deviation: who answers for it, until which day (YYYY-MM-DD), and how its effect
    will be seen. action_kind: corrective or preventive."""

    capa: str
    deviation: str
    action_kind: str
    action: str
    owner: str
    due: str
    effect_check: str


def open_capa(desk: Desk, actor: Actor, command: OpenCapa) -> Proposal:
    """Plan an action; it carries the class of its deviation.

    Raises:
        UnusableInput: a part is missing, or the day is none. NotFound: no such deviation. AlreadyDone: so named.
    """
    if command.action_kind not in KINDS or not all((command.capa, command.action, command.owner, command.effect_check)):
        raise UnusableInput("An action is corrective or preventive, with its owner and how its effect will be seen.")
    try:
        date.fromisoformat(command.due)
    except ValueError as error:
        raise UnusableInput(f"{command.due!r} is no day like 2027-01-31.") from error

    def propose(session: Connection, _occasion: Occasion) -> Draft:
        row = queries.deviation_row(session, command.deviation)
        if any(one["capa"] == command.capa for one in queries.capa_lines(session)):
            raise AlreadyDone(f"Action {command.capa} exists already.")
        decision = permit(actor, "capa.open", queries.facts(session, actor, "capa.open"))
        event = CapaOpened(
            capa=command.capa, deviation=command.deviation, klass_name=row["klass_name"],
            action_kind=command.action_kind, action=command.action, owner=command.owner, due=command.due,
            effect_check=command.effect_check,
        )
        lines = (("Action", f"{event.capa}, {event.action_kind}: {event.action}"),
                 ("For deviation", f"{event.deviation} ({event.klass_name}): {row['says']}"), ("Owner", event.owner),
                 ("Due", event.due), ("Its effect is seen by", event.effect_check))
        return resting_draft(session, actor, "capa.open", event, decision, "responsibility",
                             View("Open a corrective or preventive action", TEMPLATE, lines))

    return desk.prepare(actor, propose, asked="capa.open")


@dataclass(frozen=True, slots=True)
class CloseCapa:
    """What was done, and whether the effect was seen (effective or not_effective), as checked."""

    capa: str
    done: str
    effect: str
    checked: str
    evidence: bytes | None = None
    media: str = "application/octet-stream"
    followed_by: str | None = None


def close_capa(desk: Desk, actor: Actor, command: CloseCapa) -> Proposal:
    """Judge the effect of an action; not by its owner. One without effect is closed only onto another open one.

    Raises:
        UnusableInput: a part is missing, no evidence of an effect, or nothing follows an action without effect.
        AlreadyDone: closed before.
    """
    if command.effect not in EFFECTS or not command.done.strip() or not command.checked.strip():
        raise UnusableInput(f"An action is closed with what was done, {' or '.join(EFFECTS)}, and how checked.")
    if command.effect == "effective" and not command.evidence:
        raise UnusableInput("An effect is shown by a file.", next_step="Name the evidence, or say not_effective.")
    shown = desk.objects.put(command.evidence, command.media) if command.evidence else None
    return desk.prepare(actor, partial(_propose_closing, actor, command, shown), asked="capa.close")


def _propose_closing(
    actor: Actor, command: CloseCapa, shown: ObjectRef | None, session: Connection, _occasion: Occasion
) -> Draft:
    row = queries.capa_row(session, command.capa)
    if row["state"] != "open":
        raise AlreadyDone(f"Action {command.capa} was closed by {row['closed_by']}.")
    if command.effect == "not_effective":
        others = [one["capa"] for one in queries.capas_of(session, row["deviation"])
                  if one["state"] == "open" and one["capa"] != command.capa]
        if command.followed_by not in others:
            raise UnusableInput(
                f"An action without effect is followed by another open one for {row['deviation']}.",
                next_step=f"Open are: {', '.join(others) or 'none; open one first'}.",
            )
    relations = ("owner",) if actor.user == row["owner"] else ()
    decision = permit(actor, "capa.close", queries.facts(session, actor, "capa.close", *relations))
    event = CapaClosed(
        capa=command.capa, deviation=row["deviation"], done=command.done, effect=command.effect,
        checked=command.checked, evidence=shown, followed_by=command.followed_by,
    )
    lines = (("Action", f"{row['capa']} for {row['deviation']} ({row['klass_name']}): {row['action']}"),
             ("Owner, due", f"{row['owner']}, {row['due']}"), ("Was to be seen by", row["effect_check"]),
             ("Done", event.done), ("Effect", event.effect.replace("_", " ")), ("Checked", event.checked),
             ("Evidence", shown.sha256 if shown else "none"), ("Followed by", event.followed_by or "none"))
    return resting_draft(session, actor, "capa.close", event, decision, "approval",
                         View("Close a corrective or preventive action", TEMPLATE, lines))


@dataclass(frozen=True, slots=True)
class AssessChange:
    """A change of this installation (lock None) or of a lock. klass_name: C0 to C3.

    proof: for C1, the file that shows the sentinel set bit-equal before and after.
    """

    change: str
    klass_name: str
    says: str
    lock: str | None = None
    proof: bytes | None = None
    media: str = "application/octet-stream"


def assess_change(desk: Desk, actor: Actor, command: AssessChange) -> Proposal:
    """Sign the class of a change. The runs that the class puts in doubt become suspect, and with them what rests on
    them, until they are done again.

    Raises:
        UnusableInput: no such class, nothing said, a C1 without proof. AlreadyDone: assessed before.
    """
    if command.klass_name not in CHANGES or not command.change or not command.says.strip():
        raise UnusableInput(f"A change has an id, says what is changed, and its class: {', '.join(CHANGES)}.")
    if command.klass_name == "C1" and not command.proof:
        raise UnusableInput(
            "That the output did not change is proved by the sentinel set, bit by bit.",
            next_step="Name the file with both digests, or assess the change as C2.",
        )
    proof = desk.objects.put(command.proof, command.media) if command.proof else None
    return desk.prepare(actor, partial(_propose_assessment, actor, command, proof), asked="change.assess")


def _propose_assessment(
    actor: Actor, command: AssessChange, proof: ObjectRef | None, session: Connection, _occasion: Occasion
) -> Draft:
    if any(row["change"] == command.change for row in queries.change_lines(session)):
        raise AlreadyDone(f"Change {command.change} was assessed already.")
    if command.lock is not None and not queries.known_lock(session, command.lock):
        raise UnusableInput(f"No model is locked as {command.lock}.")
    kinds, scope = CHANGES[command.klass_name]
    target = "model" if command.lock else "installation"
    runs = tuple(queries.counting_runs_of(session, target, command.lock, kinds))
    decision = permit(actor, "change.assess", queries.facts(session, actor, "change.assess"))
    event = ChangeAssessed(
        change=command.change, klass_name=command.klass_name, target=target, says=command.says, scope=scope, runs=runs,
        proof=proof, lock=command.lock,
    )
    lines = (("Change", f"{event.change} of {command.lock or 'this installation'}: {event.says}"),
             ("Class", event.klass_name), ("To be done again", scope),
             ("Suspect by it", ", ".join(runs) or "no run"), ("Proof", proof.sha256 if proof else "none"))
    return resting_draft(session, actor, "change.assess", event, decision, "responsibility",
                         View("Class of a change", TEMPLATE, lines))

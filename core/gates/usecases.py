"""Commands of gates: request, sign, suspend, halt, resume, revoke. What opens follows the last signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from audit.vocabulary import gates as words
from core.access.queries import basis
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.gates import gathering, queries, views
from core.gates.criteria import SUSPECT, Judged, judge, open_ones
from core.gates.facts import GateFacts
from core.gates.rules import (
    LAST,
    MAY_HALT,
    NEEDED_ROLES,
    SUSPENSION_CAUSES,
    USES,
    WITH_ENDPOINT,
    follow_gate,
    not_used_of,
    rests_on_revoked,
    scope_refusal,
    signature_refusal,
    signers_of,
    suspends,
)
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.trials.acting import allowed, draft
from core.trials.queries import charter_of, facts_for, signed_charter, the_trial
from core.work import Desk, Draft, Occasion, Proposal, Receipt, Work

GATES = Actor.of_service("gates")
REVOKE_REASONS = ("evidence_wrong", "model_unfit", "misuse", "authority_request", "other")


@dataclass(frozen=True, slots=True)
class RequestGate:
    """One opening: use by number or name, lock, endpoint for uses 3 and 4, scope."""

    trial: str
    use: str
    lock: str
    endpoint: str | None = None
    scope: str = "all"


def _today(occasion: Occasion) -> str:
    return occasion.at[:10]


def request_gate(desk: Desk, actor: Actor, command: RequestGate) -> Proposal:
    """The trial lead asks for a gate. Raises Refused naming every criterion that is open."""
    use = queries.use_named(command.use)
    if (command.endpoint is not None) != (use in WITH_ENDPOINT):
        raise UnusableInput(f"Use {use} ({USES[use]}) {'needs an' if use in WITH_ENDPOINT else 'has no'} endpoint.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = the_trial(session, command.trial)
        under = allowed(session, actor, "gate.request", command.trial)
        charter = charter_of(session, command.trial)
        if command.endpoint is not None and charter.endpoint(command.endpoint) is None:
            raise NotFound(f"Charter {charter.version} of {command.trial} has no endpoint {command.endpoint}.")
        if command.scope.startswith("arm:"):
            # The reason signed by statistician and QA is judged with the criteria.
            refusal = scope_refusal(charter, use, command.scope, frozenset({"statistician", LAST}))
        else:
            refusal = scope_refusal(charter, use, command.scope)
        if refusal is not None:
            raise Refused(refusal, rule="F-607")
        gates = queries.gates_of(session, command.trial)
        _not_twice(gates, use, command)
        if queries.lock_state(session, command.lock) == "superseded":
            raise Refused(f"{command.lock} is superseded; no gate is opened for it any more.", rule="F-609",
                          next_step="Ask for the gate of the lock that follows it (`countersign model list`).")
        judged = gathering.judged_now(
            session, command.trial, use, command.endpoint, command.scope, command.lock, _today(occasion))
        _no_open(f"Gate {use} ({USES[use]}) cannot be requested", judged)
        number = sum(one.use == use for one in gates) + 1
        gate = f"{command.trial}-G{use}-{number}"
        planned = charter.planned(use)
        event = words.GateRequested(
            gate=gate, use=use, use_name=USES[use], endpoint=command.endpoint, scope=command.scope, lock=command.lock,
            model=planned.model if planned else "", criteria=views.recorded(judged))
        return draft(
            session, actor, "gate.request", command.trial, event, under=under, meaning="authorship",
            view=views.gate("Request of a gate", command.trial, gate, use, command.endpoint, command.scope,
                            command.lock, judged, row.evidence_class),
        )

    return desk.prepare(actor, propose, asked="gate.request")


def _not_twice(gates: Sequence[queries.GateRow], use: int, command: RequestGate) -> None:
    for one in gates:
        same = (one.use, one.endpoint, one.scope, one.lock) == (use, command.endpoint, command.scope, command.lock)
        if same and one.state in ("requested", "open", "suspended", "halted"):
            raise AlreadyDone(f"Gate {one.gate} is this opening; it is {one.state}.")


def _no_open(what: str, judged: Sequence[Judged]) -> None:
    lacking = open_ones(tuple(judged))
    if lacking:
        said = "; ".join(f"{one.id}: {one.found}, wanted {one.limit}" for one in lacking)
        raise Refused(
            f"{what}; {len(lacking)} of {len(judged)} criteria are open: {said}.", rule="F-602",
            next_step="Supply the evidence that each open criterion asks for; nothing was signed.")


def sign_gate(desk: Desk, actor: Actor, gate: str, signed_as: str | None = None) -> Proposal:
    """One of the signatures of a gate, to open it or to resume it; QA's is the last, and the gate is open with it.

    Raises:
        Refused: not this role, not this person, QA too early, or a criterion is open.
    """

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.gate_named(session, gate)
        follow_gate(gate, row.state, "gate.signed")
        signed = queries.signed_of(session, row)
        facts = facts_for(session, actor, "gate.sign", row.trial)
        role = signed_as or next(
            (one for one in signers_of(row.use) if one in facts.roles and all(one != s.role for s in signed)), "")
        if role not in facts.roles:
            decision = permit(actor, "gate.sign", facts)
            raise Refused(f"You hold no signature that gate {gate} still needs ({decision.role} is given or not "
                          f"asked for).", rule="F-603")
        under = permit(actor, "gate.sign", replace(facts, roles=facts.roles & {role}))
        refusal = signature_refusal(row.use, signed, role, actor.user)
        if refusal is not None:
            raise Refused(refusal, rule="F-603")
        judged = gathering.judged_now(
            session, row.trial, row.use, row.endpoint, row.scope, row.lock, _today(occasion))
        _no_open(f"Gate {gate} cannot be signed", judged)
        purpose = "open" if row.state == "requested" else "resume"
        event = words.GateSigned(
            gate=gate, signed_as=role, purpose=purpose, criteria_digest=views.digest_of(judged), requested=row.round)
        rests_on = basis(session, actor.user, role, "gate.sign", row.trial)
        return Draft(
            event, under=under, meaning="approval", trial=row.trial, caused_by=row.round, scope=row.scope,
            trainings=rests_on.trainings, delegation=rests_on.delegation,
            view=views.gate(
                f"Signature to {purpose} a gate", row.trial, gate, row.use, row.endpoint, row.scope, row.lock, judged,
                the_trial(session, row.trial).evidence_class, ("Signed as", role.replace("_", " ")),
                ("Signed before", ", ".join(f"{one.role} {one.person}" for one in signed) or "nobody")),
        )

    return desk.prepare(actor, propose, asked="gate.sign", then=lambda work: _after_signature(work, gate))


def _after_signature(work: Work, gate: str) -> None:
    row = queries.gate_named(work.session, gate)
    signed = queries.signed_of(work.session, row)
    if {one.role for one in signed} != set(signers_of(row.use)):
        return
    today = work.desk.occasion().at[:10]
    judged = gathering.judged_now(work.session, row.trial, row.use, row.endpoint, row.scope, row.lock, today)
    _no_open(f"Gate {gate} cannot open", judged)
    facts = facts_for(work.session, GATES, "gate.open", row.trial)
    under = permit(GATES, "gate.open", facts)
    ids = queries.signature_ids(work.session, row)
    event: words.GateOpened | words.GateResumed
    if row.state == "requested":
        event = words.GateOpened(
            gate=gate, use=row.use, use_name=row.use_name, endpoint=row.endpoint, scope=row.scope, lock=row.lock,
            criteria=views.recorded(judged), signed=ids)
    else:
        event = words.GateResumed(gate=gate, use=row.use, criteria=views.recorded(judged), signed=ids)
    _record_as_gates(work, event, under, row.trial, caused_by=work.entries[0].body["id"])


def _record_as_gates(
    work: Work, event: words.GateOpened | words.GateResumed | words.GateSuspended, under: Decision, trial: str, *,
    caused_by: str | None = None,
) -> None:
    """Append a word of the gates service inside an open transaction, whoever opened it."""
    own = work.acting_as(GATES)
    own.record(event, under=under, trial=trial, caused_by=caused_by)


def withdraw_gate(desk: Desk, actor: Actor, gate: str, reason: str) -> Proposal:
    """The trial lead takes a request back."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.gate_named(session, gate)
        under = allowed(session, actor, "gate.withdraw", row.trial)
        follow_gate(gate, row.state, "gate.withdrawn")
        return draft(
            session, actor, "gate.withdraw", row.trial, words.GateWithdrawn(gate=gate), under=under,
            meaning="withdrawal", reason=reason,
            view=views.act("Request taken back", "gates/act", ("Gate", gate), ("Reason", reason)))

    return desk.prepare(actor, propose, asked="gate.withdraw")


def suspend_gate(desk: Desk, actor: Actor, gate: str, cause: str) -> Receipt:
    """A person reports a lost precondition; the gate is suspended at once, attested for them."""
    if cause not in SUSPENSION_CAUSES:
        raise UnusableInput(f"{cause!r} is no cause; known: {', '.join(SUSPENSION_CAUSES)}.")
    with desk.open(GATES, on_behalf_of=actor.user, asked="gate.suspend") as work:
        row = queries.gate_named(work.session, gate)
        under = allowed(work.session, actor, "gate.suspend", row.trial)
        _suspend(work, row, cause, under, None)
    return work.receipts[0]


def suspend_for(
    desk: Desk, cause: str, *, lock: str | None = None, trial: str | None = None, caused_by: str | None = None
) -> int:
    """Suspend every open gate that a cause touches (by lock or trial). Returns how many; a second call finds none."""
    with desk.reading() as session:
        touched = queries.open_gates(session, lock=lock, trial=trial)
    if not any(suspends(cause, one.use) for one in touched):
        return 0
    with desk.open(GATES, asked="gate.suspend") as work:
        return suspend_within(work, cause, lock=lock, trial=trial, caused_by=caused_by)


def suspend_within(
    work: Work, cause: str, *, lock: str | None = None, trial: str | None = None, caused_by: str | None = None
) -> int:
    """The same inside an open transaction of the gates service, for a cause that is recorded in it."""
    count = 0
    under = Decision(True, "P-03", SUSPENSION_CAUSES[cause].says, "service")
    for row in queries.open_gates(work.session, lock=lock, trial=trial):
        if suspends(cause, row.use):
            _suspend(work, row, cause, under, caused_by)
            count += 1
    return count


def _suspend(work: Work, row: queries.GateRow, cause: str, under: Decision, caused_by: str | None) -> None:
    if not suspends(cause, row.use):
        raise Refused(f"{cause} does not suspend use {row.use}.", rule="F-608")
    follow_gate(row.gate, row.state, "gate.suspended")
    event = words.GateSuspended(gate=row.gate, use=row.use, cause=cause, says=SUSPENSION_CAUSES[cause].says)
    work.record(event, under=under, trial=row.trial, caused_by=caused_by)


def enforce(desk: Desk) -> int:
    """Suspend every open gate one of whose lasting criteria is open now (expired waiver, lost release, …), or that
    rests on a suspect signature.

    Run by the worker after each day's change and by `doctor`; returns how many gates it suspended.
    """
    with desk.reading() as session:
        today = desk.occasion().at[:10]
        causes = {}
        for row in queries.open_gates(session):
            facts = gathering.facts_of(session, row.trial, row.use, row.endpoint, row.scope, row.lock, today)
            cause = SUSPECT if queries.suspect_signatures(session, row) else lost_precondition(
                facts, queries.waived_when_opened(session, row.gate))
            if cause is not None:
                causes[row.gate] = cause
    if not causes:
        return 0
    with desk.open(GATES, asked="gate.suspend") as work:
        for gate, cause in causes.items():
            row = queries.gate_named(work.session, gate)
            if row.state == "open":
                _suspend(work, row, cause, Decision(True, "P-03", SUSPENSION_CAUSES[cause].says, "service"), None)
    return len(causes)


def lost_precondition(facts: GateFacts, waived: frozenset[str]) -> str | None:
    """The cause for which an open gate is to be suspended on a day, or None.

    Lapsed training or delegation stops that person; the gate only when nobody of a role it needs is left (TRIAL 2).
    Numbers that opened the gate (studies, pairs) are not asked again.

    Args:
        facts: what the ledger says of this opening today.
        waived: criteria that its opening rested on a waiver for.
    """
    for one in open_ones(judge(facts)):
        if one.cause is not None:
            return one.cause
        if one.id in waived:
            return "waiver_expired"
    not_used = not_used_of(facts.charter, 0) if facts.charter is not None else {}
    if rests_on_revoked(facts.use, not_used, facts.gates):
        return "earlier_gate_revoked"
    if any(facts.able.get(role, 0) == 0 for role in NEEDED_ROLES[facts.use]):
        return "nobody_left"
    return None


def halt_gate(desk: Desk, actor: Actor, gate: str, halt_rule: str) -> Proposal:
    """One may halt: under a halt rule of the charter, or `judgement`. All must resume."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.gate_named(session, gate)
        under = allowed(session, actor, "gate.halt", row.trial)
        follow_gate(gate, row.state, "gate.halted")
        rules = {one.id: one for one in charter_of(session, row.trial).halt_rules}
        rule = rules.get(halt_rule)
        if rule is None and halt_rule != "judgement":
            raise UnusableInput(f"The charter has no halt rule {halt_rule}; known: {', '.join(rules)}, judgement.")
        if rule is not None and row.use not in rule.halts:
            raise Refused(f"Halt rule {halt_rule} halts uses {', '.join(map(str, rule.halts))}, not {row.use}.",
                          rule="F-609")
        what = getattr(rule, "event", None) or getattr(rule, "metric", None) or "judgement of the person who halts"
        says = str(what).replace("_", " ")
        return draft(
            session, actor, "gate.halt", row.trial,
            words.GateHalted(gate=gate, use=row.use, halt_rule=halt_rule, says=says), under=under,
            meaning="responsibility", view=views.act(
                "Halt of AI", "gates/act", ("Gate", gate), ("AI use", f"{row.use} {row.use_name}"),
                ("Halt rule", halt_rule), ("Because", says), ("From here on", "without AI, not stopped")))

    return desk.prepare(actor, propose, asked="gate.halt")


def report_event(desk: Desk, actor: Actor, trial: str, event: str) -> int:
    """Halt every gate that the charter's event rules halt, attested for whoever saw the event. Returns how many.

    Event rules halt at the event (TRIAL 2): ai_unblinding, wrong_subject, wrong_side, unsigned_endpoint.
    """
    with desk.open(GATES, on_behalf_of=actor.user, asked="gate.halt") as work:
        under = allowed(work.session, actor, "gate.halt", trial)
        if not any(getattr(one, "event", None) == event for one in charter_of(work.session, trial).halt_rules):
            raise UnusableInput(f"The charter of {trial} has no halt rule for {event}.")
        return _halt_at(work, trial, event, under, None)


def halt_for(desk: Desk, trial: str, event: str, caused_by: str) -> int:
    """The same for an event that the record itself shows; a charter without such a rule halts nothing."""
    with desk.reading() as session:
        signed = signed_charter(session, trial)
        halts = {use for rule in signed.charter.halt_rules if getattr(rule, "event", None) == event
                 for use in rule.halts} if signed else set()
        if not any(row.use in halts and row.state in MAY_HALT for row in queries.gates_of(session, trial)):
            return 0
    with desk.open(GATES, asked="gate.halt") as work:
        under = permit(GATES, "gate.halt", facts_for(work.session, GATES, "gate.halt", trial))
        return _halt_at(work, trial, event, under, caused_by)


def _halt_at(work: Work, trial: str, event: str, under: Decision, caused_by: str | None) -> int:
    rules = [one for one in charter_of(work.session, trial).halt_rules if getattr(one, "event", None) == event]
    count = 0
    for row in queries.gates_of(work.session, trial):
        rule = next((one for one in rules if row.use in one.halts), None)
        if rule is None or row.state not in MAY_HALT:
            continue
        says = event.replace("_", " ")
        work.record(words.GateHalted(gate=row.gate, use=row.use, halt_rule=rule.id, says=says), under=under,
                    trial=trial, caused_by=caused_by)
        count += 1
    return count


def revoke_gate(desk: Desk, actor: Actor, gate: str, reason: str) -> Proposal:
    """QA ends a gate for cause; later gates that rest on it alone are suspended, and none is requested any more."""
    if reason not in REVOKE_REASONS:
        raise UnusableInput(f"{reason!r} is no reason here; allowed: {', '.join(REVOKE_REASONS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.gate_named(session, gate)
        under = allowed(session, actor, "gate.revoke", row.trial)
        follow_gate(gate, row.state, "gate.revoked")
        return draft(
            session, actor, "gate.revoke", row.trial, words.GateRevoked(gate=gate, use=row.use), under=under,
            meaning="responsibility", reason=reason, view=views.act(
                "Gate revoked", "gates/act", ("Gate", gate), ("Reason", reason.replace("_", " "))))

    return desk.prepare(actor, propose, asked="gate.revoke")

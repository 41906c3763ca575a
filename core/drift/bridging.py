"""A changed lock against the one before it: the plan that people sign, and agreement on the same cases, in the seal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from audit.vocabulary import bridging as words
from core.drift import inside, queries
from core.errors import AlreadyDone, Refused, SubjectErased, UnusableInput
from core.gates import bridging
from core.gates.usecases import GATES
from core.objects import owner
from core.policy.decide import permit
from core.policy.state import Actor
from core.reads.ports import keeper_of
from core.trials.acting import allowed, draft
from core.trials.charter import Charter
from core.trials.queries import charter_of, facts_for
from core.work import Desk, Draft, Occasion, Proposal, View

LIMITS = ("bridging_pairs", "bridging_subjects", "bridging_lower", "bridging_difference_percent", "confidence_percent")
MEASURED = {"recist11": "long_axis_mm", "volumetric": "volume_mm3"}


@dataclass(frozen=True, slots=True)
class PlanBridging:
    """How `to_lock` follows `from_lock` for an endpoint: new_subjects or recompute, and why."""

    trial: str
    use: str
    endpoint: str
    from_lock: str
    to_lock: str
    strategy: str
    because: str


def plan_bridging(desk: Desk, actor: Actor, command: PlanBridging) -> Proposal:
    """The statistician plans; validation lead and QA sign after them."""
    if command.use not in bridging.USES or command.strategy not in bridging.STRATEGIES:
        raise UnusableInput(f"Use is {' or '.join(bridging.USES)}; strategy {' or '.join(bridging.STRATEGIES)}.")
    if command.from_lock == command.to_lock or not command.because.strip():
        raise UnusableInput("A plan names two locks and says why the model changes.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = allowed(session, actor, "bridging.plan", command.trial)
        charter = charter_of(session, command.trial)
        if charter.endpoint(command.endpoint) is None:
            raise UnusableInput(f"Charter {charter.version} of {command.trial} has no endpoint {command.endpoint}.")
        before = bridging.predecessor(
            session, command.trial, bridging.USES[command.use], command.endpoint, command.to_lock)
        if before != command.from_lock:
            raise UnusableInput(f"{command.to_lock} follows {before or 'no lock'} for {command.use} "
                                f"{command.endpoint}, not {command.from_lock}.")
        known = bridging.plans_of(session, command.trial)
        event = words.BridgingPlanned(
            plan=f"{command.trial}-B{len(known) + 1}", use=command.use, endpoint=command.endpoint,
            from_lock=command.from_lock, to_lock=command.to_lock, strategy=command.strategy,
            because=command.because.strip())
        lines = (
            ("Plan", event.plan), ("Endpoint", f"{event.endpoint}, use {event.use}"), ("Lock so far", event.from_lock),
            ("New lock", event.to_lock), ("Strategy", bridging.STRATEGIES[event.strategy]), ("Because", event.because),
            *((f"Limit {name}", f"{charter.limit_in_force(name):f}") for name in LIMITS))
        return draft(session, actor, "bridging.plan", command.trial, event, under=under, meaning="authorship",
                     view=View("Plan of bridging", "gates/bridging", lines))

    return desk.prepare(actor, propose, asked="bridging.plan")


def sign_bridging(desk: Desk, actor: Actor, plan: str) -> Proposal:
    """Validation lead, then QA; three distinct people with the statistician. QA's signature puts the plan in force."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = bridging.plan_named(session, plan)
        under = allowed(session, actor, "bridging.sign", row.trial)
        given = {"validation_lead": row.validation_lead_by, "qa_auditor": row.qa_auditor_by}
        missing = next((role for role in bridging.SIGNERS if given[role] is None), None)
        if missing is None:
            raise AlreadyDone(f"Plan {plan} is signed by all.")
        if under.role != missing:
            raise Refused(f"Plan {plan} waits for the signature of the {missing.replace('_', ' ')}.", rule="F-651")
        if actor.user in (row.planned_by, *given.values()):
            raise Refused("You signed this plan already; another person signs next.", rule="F-651")
        event = words.BridgingSigned(plan=plan, signed_as=missing, planned=row.entry_id)
        lines = (("Plan", plan), ("Endpoint", f"{row.endpoint}, use {row.use}"), ("Lock so far", row.from_lock),
                 ("New lock", row.to_lock), ("Strategy", bridging.STRATEGIES[row.strategy]),
                 ("Planned by", row.planned_by), ("Signed as", missing.replace("_", " ")))
        return draft(session, actor, "bridging.sign", row.trial, event, under=under, meaning="approval",
                     caused_by=row.entry_id, view=View("Signature on a plan of bridging", "gates/bridging", lines))

    return desk.prepare(actor, propose, asked="bridging.sign")


def judge_bridging(desk: Desk, actor: Actor, plan: str) -> words.BridgingJudged:
    """Compare both locks on the cases that both measured and record the verdict, attested for whoever asked.

    Values of sealed runs are compared inside the seal; then the verdict alone is recorded.

    Raises Refused while the plan is not signed by all.
    """
    with desk.reading() as session:
        row = bridging.plan_named(session, plan)
        charter = charter_of(session, row.trial)
        cases = queries.same_cases(session, row.trial, row.use, row.endpoint, (row.from_lock, row.to_lock))
    if not row.in_force:
        raise Refused(f"Plan {plan} is not signed by statistician, validation lead and QA.", rule="F-652")
    loaded = _loaded(desk, row.trial, cases)
    job = {"measure": MEASURED[_criterion(charter, row.endpoint)],
           "limits": {name: f"{charter.limit_in_force(name):f}" for name in LIMITS}, "cases": loaded}
    sealed = any(run.sealed for pair in cases for run in pair)
    if any("enclosed" in one for case in loaded for one in case["runs"]):
        verdict, found = keeper_of(desk.signer).verdict_inside(json.dumps(job, sort_keys=True).encode()), None
    else:
        found = inside.agreement(job)
        verdict = found.verdict
    told = None if sealed or found is None else found
    event = words.BridgingJudged(
        plan=plan, from_lock=row.from_lock, to_lock=row.to_lock, verdict=verdict, sealed=sealed,
        says=verdict.replace("_", " ") if told is None else told.in_words(),
        pairs=told.pairs if told else None, subjects=told.subjects if told else None,
        lower=f"{told.lower:f}" if told and told.lower is not None else None,
        difference=f"{told.difference:f} %" if told and told.difference is not None else None)
    with desk.open(GATES, on_behalf_of=actor.user, asked="bridging.judge") as work:
        permit(actor, "bridging.judge", facts_for(work.session, actor, "bridging.judge", row.trial))
        under = permit(GATES, "bridging.judge", facts_for(work.session, GATES, "bridging.judge", row.trial))
        work.record(event, under=under, trial=row.trial, caused_by=row.entry_id)
    return event


def _criterion(charter: Charter, endpoint: str) -> str:
    found = charter.endpoint(endpoint)
    assert found is not None  # checked when the plan was signed
    return found.criterion


def _loaded(desk: Desk, trial: str, cases: list[tuple[queries.RunRow, queries.RunRow]]) -> list[dict[str, Any]]:
    """Cases with both runs' samples; an erased subject's are left out."""
    loaded = []
    for number, pair in enumerate(cases):
        try:
            samples = [json.loads(desk.objects.get(run.sample, subject=owner(trial, run.subject)))
                       for run in pair if run.sample is not None]
        except SubjectErased:
            continue
        if len(samples) == len(pair):
            loaded.append({"subject": pair[0].subject, "runs": samples, "number": number})
    return loaded

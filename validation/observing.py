"""Manual steps: a person does what the protocol instructs, says what they found, and signs it with their own key.

The verdict of the run is not theirs: the runner's service opens what deviates and concludes, from the record alone,
when no step is open any more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, RowMapping

from audit.vocabulary.registry import ObjectRef, fields_of
from audit.vocabulary.validation import StepObserved
from core.errors import AlreadyDone, NotFound, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Facts
from core.projection import from_reference
from core.work import Desk, Draft, Occasion, Proposal, View
from validation import protocol, queries
from validation.protocol import Protocol, Step
from validation.rules import GOING_ON, NEVER_COUNTS
from validation.runner import SERVICE, Bench, Going, conclude
from validation.usecases import TEMPLATE, resting_draft

VERDICTS = ("passed", "failed", "not_executed")


@dataclass(frozen=True, slots=True)
class ObserveStep:
    """What a person found at a manual step. verdict: passed, failed or not_executed.

    `evidence` is the content of the file that shows it, `media` its type. `altered` says what was done otherwise than
    the protocol instructs, and why.
    """

    run: str
    step: str
    found: str
    verdict: str
    evidence: bytes | None = None
    media: str = "application/octet-stream"
    altered: str | None = None


def observe_step(desk: Desk, actor: Actor, command: ObserveStep) -> Proposal:
    """Sign the observation of one manual step.

    Raises:
        UnusableInput: nothing found, no such verdict, or passed without evidence. NotFound: the protocol has no such
            manual step. AlreadyDone: it was observed before; a step is done once, and again in another run.
    """
    if command.verdict not in VERDICTS or not command.found.strip():
        raise UnusableInput(f"An observation says what was found, and one of {', '.join(VERDICTS)}.")
    if command.verdict == "passed" and not command.evidence:
        raise UnusableInput(
            "A manual step passes with the file that shows it.", next_step="Name the file, or say not_executed."
        )
    if command.altered is not None and not command.altered.strip():
        raise UnusableInput("What was done otherwise than signed is said, with the reason.")
    shown = desk.objects.put(command.evidence, command.media) if command.evidence else None
    return desk.prepare(actor, partial(_propose, desk, actor, command, shown), asked="step.observe")


def _propose(
    desk: Desk, actor: Actor, command: ObserveStep, shown: ObjectRef | None, session: Connection, _occasion: Occasion
) -> Draft:
    row = queries.run_row(session, command.run)
    step = _manual(_plan(desk, session, row), command)
    relations = ("run_over",) if row["state"] not in GOING_ON else ()
    decision = permit(actor, "step.observe", queries.facts(session, actor, "step.observe", *relations))
    if queries.step_at(session, f"{command.run}/{command.step}") is not None:
        raise AlreadyDone(f"Step {command.step} of {command.run} was observed; run the protocol again to repeat it.")
    event = StepObserved(
        run=command.run, step=step.id, requirements=tuple(step.requirements), title=step.title,
        instruction=step.manual or "", expected=step.expected, found=command.found, verdict=command.verdict,
        evidence=shown, altered=command.altered,
    )
    lines = (("Run", f"{row['run']} of {row['protocol']} version {row['version']}"),
             ("Step", f"{step.id}: {step.title}"), ("Instruction", event.instruction),
             ("Expected", event.expected), ("Found", event.found),
             ("Carried out otherwise", event.altered or "no, as signed"), ("Verdict", event.verdict.replace("_", " ")),
             ("Evidence", f"{shown.sha256}, {shown.bytes} bytes, {shown.media}" if shown else "none"))
    return resting_draft(session, actor, "step.observe", event, decision, "execution",
                         View("A step carried out by hand", TEMPLATE, lines))


def _plan(desk: Desk, session: Connection, run: RowMapping) -> Protocol:
    row = queries.protocol_row(session, run["protocol"], run["version"])
    return protocol.read(desk.objects.get(from_reference(row["document"])).decode("utf-8"))


def _manual(plan: Protocol, command: ObserveStep) -> Step:
    for step in plan.steps:
        if step.id == command.step and step.manual:
            return step
    named = ", ".join(step.id for step in plan.steps if step.manual)
    raise NotFound(f"{command.run} has no manual step {command.step}.", next_step=f"It has: {named or 'none'}.")


def open_steps(desk: Desk, session: Connection, run: str) -> list[Step]:
    """Manual steps of a run that nobody has observed yet."""
    done = {step["step"] for step in queries.steps_of(session, run)}
    return [step for step in _plan(desk, session, queries.run_row(session, run)).steps
            if step.manual and step.id not in done]


def settle(desk: Desk, run: str, step: str) -> None:
    """What follows an observation: a deviation where the step failed or was altered, the verdict after the last step.

    Done twice it changes nothing.
    """
    with desk.reading() as session:
        row = queries.run_row(session, run)
        plan = _plan(desk, session, row)
    about = f"{run}/{step}"
    with desk.open(SERVICE, on_behalf_of=row["tester"], asked="step.record") as work:
        seen = queries.step_at(work.session, about)
        assert seen is not None  # what follows an observation follows its projection
        name = f"DEV-{run}-{step}"
        deviates = row["state"] not in NEVER_COUNTS and (seen["verdict"] == "failed" or seen["altered"])
        if deviates and not queries.is_deviation(work.session, name):
            klass = _manual(plan, ObserveStep(run, step, seen["found"], seen["verdict"])).on_fail
            failed = seen["verdict"] == "failed"
            how = "" if failed else f"carried out otherwise than signed: {seen['altered']} "
            going = _resumed(desk, work.session, row, plan)
            going.deviate(work, permit(SERVICE, "step.record", Facts()), name, klass if failed else "minor",
                          f"{seen['title']}: {how}{seen['found']}", about, _entry_id(work.session, seen["entry"]))
    with desk.reading() as session:
        row = queries.run_row(session, run)
        if row["state"] not in GOING_ON or open_steps(desk, session, run):
            return
        going = _resumed(desk, session, row, plan)
    conclude(going, ())


def _entry_id(session: Connection, seq: int) -> str:
    from audit import store

    entry = store.entry_at(session, seq)
    assert entry is not None
    return str(entry.body["id"])


def _resumed(desk: Desk, session: Connection, row: RowMapping, plan: Protocol) -> Going:
    """The run as the record has it: its steps in the protocol's order, its deviations, its environment."""
    about = queries.protocol_row(session, row["protocol"], row["version"])
    bench = Bench(json.loads(desk.objects.get(from_reference(row["environment"]))))
    going = Going(desk, row["tester"], row["run"], about, plan, bench, None, row["evidence_class"])
    done = {step["step"]: step for step in queries.steps_of(session, row["run"])}
    for step in (done[one.id] for one in plan.steps if one.id in done):
        going.steps.append((step["step"], step["verdict"], step["found"]))
        kept = {"evidence": fields_of(from_reference(step["evidence"]))} if step["evidence"] else {}
        by_hand = {"observed_by": step["observed_by"], "altered": step["altered"] or ""} if step["observed_by"] else {}
        going.evidence.append(
            {"step": step["step"], "verdict": step["verdict"], "found": step["found"], **kept, **by_hand})
    going.beside.update(one.id for one in plan.steps
                        if one.check and one.only_for and one.id in done and done[one.id]["verdict"] == "not_executed")
    going.deviations.extend(queries.deviating_steps(session, row["run"]).values())
    return going

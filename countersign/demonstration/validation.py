"""The scenes of validation: this installation qualified and released; a lock through IQ, OQ and PQ to its verdict."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from countersign.adapters.locked_model import RegistryModel
from countersign.demonstration.cast import actor
from countersign.demonstration.stage import Stage
from countersign.network_wall import FIREWALL, StatedWall
from countersign.qualification import checks_of, environment
from models_registry.isolation import network_wall
from validation import protocol, queries
from validation.releases import ReviewRun, SignRelease, review_run, sign_release
from validation.runner import Bench, Outcome, RunProtocol, run_protocol
from validation.usecases import (
    DraftProtocol,
    OpenTestSet,
    SealTestSet,
    SignProtocol,
    draft_protocol,
    open_test_set,
    seal_test_set,
    sign_protocol,
)

AUTHOR, STATISTICIAN, LEAD, QA = "system-owner", "statistician", "validation-lead", "qa-auditor"
TRAINER = "model-trainer"
SIGNS = {"system_owner": AUTHOR, "statistician": STATISTICIAN, "validation_lead": LEAD, "qa_auditor": QA}
PQ = "pq-lesion-at-seed"
# Where a kernel gives no network namespace, somebody has to answer for another wall.
NO_FIREWALL_LOOKED_AT = (b"A demonstration on generated images. Nobody looked at a firewall of this machine; at a site "
                         b"its rules or the approval of whoever runs it would stand here.\n")


def qualify_installation(stage: Stage) -> None:
    """IQ and OQ as three people sign them, every check a real attempt on this home; QA releases."""
    with stage.scene("Validation: this installation is qualified and released"):
        stated = None if network_wall() else StatedWall(FIREWALL, NO_FIREWALL_LOOKED_AT, "demonstration.txt")
        if stated is not None:
            stage.note("network wall of the model", "stated by hand: this kernel gives no namespace (step IQ-11)")
        bench = Bench(environment(stage.house), checks_of(stage.house, LEAD, stated), say=lambda text: None)
        runs = []
        for name in ("iq-installation", "oq-installation"):
            text = protocol.template(name)
            stage.signed(draft_protocol(stage.desk, actor(AUTHOR), DraftProtocol(text)))
            command = RunProtocol(name.upper())
            stage.refused(f"running {name} before it is approved",
                          partial(run_protocol, stage.desk, actor(LEAD), command, bench))
            _approve(stage, text)
            outcome = run_protocol(stage.desk, actor(LEAD), command, bench)
            _tell(stage, outcome)
            runs.append(outcome)
            if outcome.verdict != "passed":
                # Nothing is released from here; the gates say so themselves.
                break
            _review(stage, AUTHOR, outcome)
        if len(runs) == 2 and all(one.verdict == "passed" for one in runs):
            fit = SignRelease(tuple(one.run for one in runs), "Fit for a demonstration on this machine.",
                              demonstration=True)
            stage.signed(sign_release(stage.desk, actor(QA), fit))
        stage.note("installation", ", ".join(f"{one.run}: {one.verdict.replace('_', ' ')}" for one in runs))


def qualify_model(
    stage: Stage, lock: str, *, use: int, endpoint: str | None, data: Path | None, released: bool = True
) -> Outcome:
    """IQ, OQ and PQ of a lock; the PQ's verdict is what the numbers give, and stays so."""
    with stage.scene(f"Validation: {lock} through IQ, OQ and PQ"):
        model = RegistryModel(stage.desk, lock)
        about = environment(stage.house) | {f"model {name}": value for name, value in model.environment().items()}
        bench = Bench(about, model=model, data=data, say=lambda text: stage.say(f"   {text}"))
        runs = []
        for name in ("iq-model", "oq-model"):
            text = protocol.filled(protocol.template(name), lock=lock, use=use, endpoint=endpoint)
            stage.signed(draft_protocol(stage.desk, actor(AUTHOR), DraftProtocol(text)))
            _approve(stage, text)
            runs.append(run_protocol(stage.desk, actor(LEAD), RunProtocol(name.upper()), bench))
            _review(stage, STATISTICIAN, runs[-1])
        if released and all(one.verdict == "passed" for one in runs):
            command = SignRelease(tuple(one.run for one in runs), "May run, where a gate of a trial is open.", lock)
            stage.signed(sign_release(stage.desk, actor(QA), command))
        outcome = _performance(stage, lock, use, endpoint, data, bench)
        _review(stage, STATISTICIAN, outcome)
        for one in [*runs, outcome]:
            _tell(stage, one)
        return outcome


def _performance(
    stage: Stage, lock: str, use: int, endpoint: str | None, data: Path | None, bench: Bench
) -> Outcome:
    text = protocol.filled(protocol.template(PQ), lock=lock, use=use, endpoint=endpoint)
    plan = protocol.read(text)
    assert plan.test_set is not None
    stage.refused(
        "sealing the test set by the model's trainer",
        lambda: seal_test_set(stage.desk, actor(TRAINER), SealTestSet(text, data)),
    )
    with stage.desk.reading() as session:
        sealed = queries.is_sealed(session, plan.test_set.id)
    if not sealed:
        stage.signed(seal_test_set(stage.desk, actor(LEAD), SealTestSet(text, data)))
    with stage.desk.reading() as session:
        digest = queries.test_set_row(session, plan.test_set.id)["digest"]
    text = protocol.filled(text, lock=lock, test_set_digest=digest)
    stage.signed(draft_protocol(stage.desk, actor(AUTHOR), DraftProtocol(text)))
    version = _approve(stage, text)
    command = RunProtocol(plan.protocol.id, version)
    stage.refused("a PQ on a sealed test set", lambda: run_protocol(stage.desk, actor(LEAD), command, bench))
    for person in (LEAD, QA):
        opening = OpenTestSet(plan.test_set.id, plan.protocol.id, version)
        stage.signed(open_test_set(stage.desk, actor(person), opening))
    return run_protocol(stage.desk, actor(LEAD), command, bench)


def _approve(stage: Stage, text: str) -> int:
    """Every signature that the protocol asks for, in its order; the version that is approved then."""
    plan = protocol.read(text)
    with stage.desk.reading() as session:
        version = queries.latest_version(session, plan.protocol.id)
    for signer in plan.signatures:
        command = SignProtocol(plan.protocol.id, version)
        stage.signed(sign_protocol(stage.desk, actor(SIGNS[signer.role]), command))
    return version


def _review(stage: Stage, reviewer: str, outcome: Outcome) -> None:
    """Somebody who did not run it signs the report, whatever its verdict."""
    command = ReviewRun(outcome.run, f"The report is complete; its verdict is {outcome.verdict.replace('_', ' ')}.")
    stage.signed(review_run(stage.desk, actor(reviewer), command))


def _tell(stage: Stage, outcome: Outcome) -> None:
    stage.say(f"   {outcome.run}: {outcome.verdict.replace('_', ' ')}")
    for part in outcome.strata:
        if part.verdict != "passed":
            stage.say(f"     {part.stratum}, {part.measure}: {part.verdict.replace('_', ' ')}. {part.says}")

"""Studies of a locked model in use, with or without drift, told through their words and samples."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from audit.entry import base64_text
from audit.vocabulary import models, validation
from core.drift.usecases import SignBaseline, sign_baseline
from core.objects import JSON
from core.policy.state import Actor, Decision
from core.reads.ports import keeper_of
from tests.builders import trials as build
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import HouseUnderTest

STATISTICIAN = Actor("statistician")


def measured(
    house: HouseUnderTest, start: int, count: int, *, confidence: float = 0.9, use: str = "qc", sealed: bool = False,
    commit: str | None = None, failed: bool = False, seed: int = 7,
) -> None:
    """Studies of as many subjects, each a run with its sample; `commit`: answers are enclosed under this seal."""
    draw = np.random.default_rng((seed, start))
    events: list[models.RunFinished | models.RunFailed] = []
    for number in range(start, start + count):
        subject, run = f"101-{number:03d}", f"run-{use}-{number}"
        common: dict[str, Any] = {
            "run": run, "lock": build.LOCK, "model": "lesion-at-seed", "subject": subject, "time_point": "BL",
            "study": f"2.25.{number}", "lesion": "TL01", "use": use, "standing": "shadow" if sealed else "gated",
            "sealed": sealed, "input_sha256": DIGEST, "took": "1.0 s",
            "endpoint": "volume_response" if use == "primary" else None,
        }
        if failed:
            events.append(models.RunFailed(**common, cause="worker", detail="gone"))
            continue
        outputs = {"confidence": f"{draw.normal(confidence, 0.03):.3f}", "log_volume": f"{draw.normal(9, 1):.4f}"}
        sample: dict[str, object] = {"run": run, "inputs": {
            "ct_spread_hu": f"{draw.normal(20, 2):.1f}", "domain_distance": f"{abs(draw.normal(2.5, 0.6)):.2f}"}}
        if commit is None:
            sample["outputs"] = outputs
        else:
            held = keeper_of(house.desk.signer).enclose(commit, f"{run}/sample", json.dumps(outputs).encode())
            sample["enclosed"] = {"commit": commit, "name": f"{run}/sample", "data": base64_text(held)}
        kept = house.desk.objects.put(json.dumps(sample).encode(), JSON, subject=f"{TRIAL}/{subject}")
        events.append(models.RunFinished(
            **common, environment_sha256=DIGEST, output_sha256=DIGEST, values_said="measured", sample=kept))
    with house.desk.open(Actor.of_service("inference")) as work:
        for event in events:
            work.record(event, under=Decision(True, "P-03", "for a test", "service"), trial=TRIAL)


def qualified(
    house: HouseUnderTest, cases: int = 30, *, lock: str = build.LOCK, verdict: str = "passed", reviewed: bool = True,
    evidence_class: str = "demonstration",
) -> str:
    """A PQ of the lock with what it measured of its cases; returns the run."""
    draw, run = np.random.default_rng((17, cases)), f"PQ-{len(house.entries())}"
    studies = [{
        "at_baseline": True, "undecided": False, "failed": False, "runs": [{
            "inputs": {"ct_spread_hu": f"{draw.normal(20, 2):.1f}",
                       "domain_distance": f"{abs(draw.normal(2.5, 0.6)):.2f}"},
            "outputs": {"confidence": f"{draw.normal(0.9, 0.03):.3f}", "log_volume": f"{draw.normal(9, 1):.4f}"}}],
    } for _ in range(cases)]
    signed(house, "validation-lead", validation.ProtocolDrafted(
        protocol=f"P-{run}", version=1, title="PQ", kind="PQ", target="model", document=build.OBJECT, digest=DIGEST,
        evidence_class=evidence_class, signers=(), lock=lock))
    recorded(house, validation.ValidationStarted(
        run=run, protocol=f"P-{run}", version=1, digest=DIGEST, kind="PQ", target="model", protocol_seq=0,
        environment=build.OBJECT, evidence_class=evidence_class, lock=lock), "validation")
    recorded(house, validation.ValidationConcluded(
        run=run, protocol=f"P-{run}", version=1, digest=DIGEST, protocol_seq=0, kind="PQ", target="model",
        verdict=verdict, criteria=(), steps=1, steps_failed=0, deviations=(), strata=(), evidence_class=evidence_class,
        report=build.OBJECT, lock=lock, cases=cases,
        distribution=house.desk.objects.put(json.dumps({"studies": studies}).encode(), JSON)), "validation")
    if reviewed:
        signed(house, "qa-auditor", validation.ValidationReviewed(
            run=run, report_digest=DIGEST, verdict=verdict, steps=(), sampled=(), conclusion="fit"))
    return run


def based(house: HouseUnderTest) -> None:
    """Every study so far signed as the baseline."""
    house.commit(sign_baseline(house.desk, STATISTICIAN, SignBaseline(TRIAL, build.LOCK)))

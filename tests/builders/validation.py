"""People, protocols and a model to validate with: small, quick, and as wrong as a test asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from core.policy.state import Actor, Decision
from core.work import Draft, View
from tests.builders.locks import lock_word
from tests.house import HouseUnderTest
from validation import cases, groups, protocol
from validation.ports import Check, DeviceAbsent, Found, Question, Reply
from validation.releases import ReviewRun, review_run
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

LOCK = "LCK-TEST"
TRAINER, LOCKER = "maker-1", "custodian-1"


@dataclass(frozen=True)
class Team:
    """Everybody a protocol needs, each with the one role that they sign in."""

    author: Actor
    statistician: Actor
    lead: Actor
    qa: Actor
    tester: Actor

    @classmethod
    def of(cls, house: HouseUnderTest) -> Team:
        return cls(
            author=house.person("author-1", "system_owner"),
            statistician=house.person("statistician-1", "statistician"),
            lead=house.person("lead-1", "validation_lead"),
            qa=house.person("qa-1", "qa_auditor"),
            tester=house.person("tester-1", "validation_lead"),
        )


def approve(house: HouseUnderTest, team: Team, text: str) -> int:
    """Draft and sign a protocol to its approval; its version."""
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(text)))
    plan = protocol.read(text)
    by_role = {"statistician": team.statistician, "validation_lead": team.lead, "qa_auditor": team.qa}
    version = house.entries()[-1].body["fields"]["version"]
    for signer in plan.signatures:
        command = SignProtocol(plan.protocol.id, version)
        house.commit(sign_protocol(house.desk, by_role[signer.role], command))
    return int(version)


def installation(*checks: str, kind: str = "IQ", requires: Sequence[str] = ()) -> str:
    """A small installation protocol with these checks."""
    steps = "".join(
        f"  - {{id: S-{n}, requirements: [REC-01], check: {check}, title: Title {n}, expected: Fine, on_fail: major}}\n"
        for n, check in enumerate(checks, 1)
    )
    return (
        f"protocol: {{id: {kind}-SMALL, title: Small, kind: {kind}, target: installation, evidence_class: standard}}\n"
        f"context_of_use: A test.\nrequires: [{', '.join(requires)}]\nsteps:\n{steps}"
        "signatures:\n  - {role: validation_lead, meaning: review}\n  - {role: qa_auditor, meaning: approval}\n"
    )


def small_pq(**changes: str) -> str:
    """A PQ on six generated cases and two clinical subjects; `changes` replace pieces of its text."""
    text = f"""\
protocol: {{id: PQ-SMALL, title: Small, kind: PQ, target: model, evidence_class: demonstration}}
supports: {{lock: {LOCK}, use: 3, endpoint: E2}}
context_of_use: A test.
model_risk: {{influence: low, consequence: low}}
test_set:
  id: TS-SMALL
  digest: NAMED-WHEN-DRAFTED
  independence: no_shared_subject
  strata:
    - {{stratum: generated, first_seed: 60000, last_seed: 60005, planned: 6}}
    - {{stratum: clinical, subjects: [STS_003, STS_008], planned: 35}}
seed: 7
resamples: 5000
absolute_limits: [{{criterion: RECIST 1.1, measure: long_axis, limit: "5 mm"}}]
criteria:
  - {{id: G1, requirement: VAL-10, stratum: generated, metric: dice, statistic: mean, judge: lower, limit: "0.80 1"}}
  - {{id: G2, requirement: VAL-10, stratum: generated, metric: volume_error, statistic: mean, judge: within,
     low: "-10 %", high: "10 %", subgroups_by: scanner}}
  - {{id: G3, requirement: VAL-10, stratum: generated, metric: long_axis_error, statistic: mean, judge: within,
     low: "-4 mm", high: "4 mm"}}
  - {{id: G4, requirement: VAL-11, stratum: generated, metric: undecided, statistic: proportion, judge: upper,
     limit: "0.50 1"}}
  - {{id: C1, requirement: VAL-10, stratum: clinical, metric: dice, statistic: mean, judge: lower, limit: "0.50 1"}}
signatures:
  - {{role: statistician, meaning: review}}
  - {{role: validation_lead, meaning: approval}}
  - {{role: qa_auditor, meaning: approval}}
"""
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def stated_of_six() -> dict[str, dict[str, str]]:
    """Six clinical cases: four of site 101 and two of 102, three of each sex, one age band, one field strength."""
    return {f"SUB_{n:03}": {"site": "101" if n < 4 else "102", "sex": "FM"[n % 2], "age_band": "60-69",
                            "field_strength": "1.5 T"} for n in range(6)}


def pq_by_groups(stated: Mapping[str, Mapping[str, str]]) -> str:
    """The small PQ on these clinical cases, whose overlap has a limit of its own in each sub-group of three or more."""
    return small_pq(**{
        "subjects: [STS_003, STS_008], planned: 35": f"subjects: [{', '.join(stated)}], planned: {len(stated)}",
        'judge: lower, limit: "0.50 1"': 'judge: lower, limit: "0.50 1",\n     subgroups_by: [site, sex, age_band, '
        'field_strength, manufacturer], subgroup_least: 3, subgroup_limit: "0.40 1"'})


def clinical_folder(folder: Path, stated: Mapping[str, Mapping[str, str]]) -> Path:
    """Small images under the names of the test set's subjects, and what is stated of their sub-groups."""
    there = folder / cases.CLINICAL
    there.mkdir(parents=True)
    for number, subject in enumerate(stated):
        contour = np.zeros((8, 8, 8), np.uint8)
        contour[2:6, 2:6, 2 : 5 + number % 2] = 1
        np.savez(there / f"{subject}.npz", ct=contour.astype(np.int16) * 40, gtv=contour,
                 pet_suv_x1000=contour.astype(np.int32) * 5000)
    (there / groups.FILE).write_text(json.dumps(stated), encoding="utf-8")
    return folder


def contoured(data: Path) -> Callable[[str, Any], tuple[str, Any]]:
    """A model that answers the clinical cases of this folder with their own contours."""
    def answer(case: str, mask: Any) -> tuple[str, Any]:
        return "finished", cases.clinical_case(data, case).mask if case.startswith("SUB") else mask

    return answer


@dataclass
class FakeModel:
    """Answers generated cases with their own truth, changed by `spoil`; obeys the usual input contract."""

    lock: str = LOCK
    resolution_mm: Decimal = Decimal("5.333")
    trained_on: frozenset[str] = frozenset({"1000", "STS_004"})
    spoil: Callable[[str, Any], tuple[str, Any]] = field(default=lambda case, mask: ("finished", mask))
    own: Mapping[str, Check] = field(default_factory=dict)
    asked: int = 0

    device: str = "cpu"

    def ask_on(self, device: str, questions: Sequence[Question]) -> list[Reply]:
        if device == "cuda":
            raise DeviceAbsent("There is no GPU in a test.")
        return self.ask(questions)

    def environment(self) -> Mapping[str, str]:
        return {"runtime": "fake 1"}

    def checks(self) -> Mapping[str, Check]:
        return self.own

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        return [self._reply(question) for question in questions]

    def _reply(self, question: Question) -> Reply:
        self.asked += 1
        digest = hashlib.sha256(question.ct.values.tobytes()).hexdigest()
        if question.seed_mm is None or abs(question.seed_mm[0]) > 1000:
            return Reply("undecided", "no-seed", digest, "", None)
        values = question.ct.values
        contract = (values.dtype == np.float32 and np.isfinite(values).all() and np.isfinite(question.pet.values).all()
                    and values.shape[0] > 1 and np.ptp(values) > 0)
        if not contract or question.ct.spacing_mm[0] > 6 or float(question.pet.values.max()) > 300:
            return Reply("failed", "contract", digest, "", None)
        if float(np.median(values[values > -500])) > 600:
            return Reply("undecided", "out-of-domain", digest, "", None)
        seed = question.case[1:].split("/")[0]
        truth = cases.generated_case(int(seed)).mask if question.case.startswith("G") else values > -2000
        status, mask = self.spoil(question.case, truth)
        output = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest() if mask is not None else ""
        monitored = {"inputs": {"ct_mean_hu": f"{float(np.mean(values)):.1f}"}, "outputs": {"confidence": "0.9"}}
        return Reply(status, "" if status == "finished" else "spoilt", digest, output, mask,
                     {} if status == "failed" else monitored)


def locked(house: HouseUnderTest, lock: str = LOCK) -> None:
    """A model.locked on record, so that validation knows who made it."""
    event = lock_word(lock, "lesion", trained_by=TRAINER, resolution="5.333 mm")
    draft = Draft(event, under=Decision(True, "P-00", "set up for a test", "none"), meaning="approval",
                  view=View("Set up for a test", "test", ()))
    house.sign(house.person(LOCKER, "model_custodian"), lambda session, occasion: draft)


def ready_pq(house: HouseUnderTest, team: Team, text: str, data: Path | None = None) -> int:
    """Seal the test set, draft and approve the PQ, open the set; the version."""
    house.commit(seal_test_set(house.desk, team.lead, SealTestSet(text, data)))
    digest = house.entries()[-1].body["fields"]["digest"]
    version = approve(house, team, protocol.filled(text, lock=LOCK, test_set_digest=digest))
    for person in (team.lead, team.qa):
        house.commit(open_test_set(house.desk, person, OpenTestSet("TS-SMALL", "PQ-SMALL", version)))
    return version


def run(house: HouseUnderTest, team: Team, name: str, **bench: Any) -> Outcome:
    """Run the newest version of a protocol as the tester."""
    return run_protocol(house.desk, team.tester, RunProtocol(name), Bench({"machine": "test"}, **bench))


def reviewed(house: HouseUnderTest, team: Team, *runs: str) -> None:
    """The reports of these runs, reviewed by the lead."""
    for name in runs:
        house.commit(review_run(house.desk, team.lead, ReviewRun(name, "Complete.")))


def passing(says: str = "as expected") -> Check:
    return lambda: Found(True, says)


def failing(says: str = "not as expected") -> Check:
    return lambda: Found(False, says)

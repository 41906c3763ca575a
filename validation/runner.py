"""Executes an approved protocol and keeps what it finds: steps with evidence, verdicts, deviations. The runner itself
writes the result; nobody types one in. From a protocol without its signatures nothing runs but what is stated to be
exploratory, and that is evidence of nothing, for ever.

Every step is its own transaction, so that an interrupted run shows how far it came and never has a verdict.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping

from audit.vocabulary.registry import ObjectRef, fields_of
from audit.vocabulary.validation import (
    CriterionVerdict,
    DeviationOpened,
    Stated,
    StepRecorded,
    StratumVerdict,
    ValidationConcluded,
    ValidationStarted,
)
from core.errors import AlreadyDone, CountersignError, UnusableInput
from core.objects import JSON
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts
from core.projection import from_reference
from core.work import Desk
from validation import cases, judging, protocol, queries
from validation.cases import CaseResult
from validation.model_checks import checks_of
from validation.ports import Check, Found, LockedModel
from validation.protocol import SHIFTS, ClinicalStratum, GeneratedStratum, Protocol
from validation.rules import EXPLORATORY, GOING_ON, overall

SERVICE = Actor.of_service("validation")
# Cases asked at once: bounds memory and the model's start-up alike.
AT_ONCE = 20
# Steps that hold the cases of a stratum: CASES-generated, CASES-clinical.
CASES = "CASES-"


@dataclass(frozen=True, slots=True)
class RunProtocol:
    """One version of a protocol; the newest where none is named.

    exploratory: try a protocol that is not approved yet. The run opens no deviation and never counts, whatever is
    signed later; an approved protocol cannot be tried so, for then one could repeat it until it passes.
    """

    protocol: str
    version: int | None = None
    exploratory: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run is made with: checks of the installation, or a locked model and the folder of clinical data."""

    environment: Mapping[str, str]
    checks: Mapping[str, Check] = field(default_factory=dict)
    model: LockedModel | None = None
    data: Path | None = None
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, as the record has it; `report` is None and `waits_for` names steps while manual ones are
    open: such a run has no verdict yet."""

    run: str
    verdict: str
    strata: tuple[StratumVerdict, ...]
    criteria: tuple[CriterionVerdict, ...]
    steps: tuple[tuple[str, str, str], ...]
    deviations: tuple[str, ...]
    report: ObjectRef | None
    seq: int
    evidence_class: str
    waits_for: tuple[str, ...] = ()


@dataclass(slots=True)
class Going:
    """A run in progress."""

    desk: Desk
    tester: str
    run: str
    row: RowMapping
    plan: Protocol
    bench: Bench
    manifest: bytes | None
    evidence_class: str
    # Cases by stratum and name in the evidence of the run that the protocol compares with.
    earlier: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    # What monitors of drift compare of each case, in the order of asking.
    observed: list[dict[str, Any]] = field(default_factory=list)
    # Steps that the protocol asks of other locks than this one: recorded, and of no weight.
    beside: set[str] = field(default_factory=set)

    def step(
        self, name: str, requirements: Sequence[str], title: str, expected: str, found: Found, *, on_fail: str,
        took_s: float,
    ) -> None:
        """Keep the evidence, record the step, and a deviation where it failed. `took_s` is told and not recorded."""
        verdict = "not_executed" if not found.executed else "passed" if found.passed else "failed"
        stated = tuple(Stated(name=n, value=found.states[n]) for n in sorted(found.states)) if found.passed else ()
        kept = self.desk.objects.put(as_bytes({"step": name, "found": found.says, **found.evidence}), JSON)
        with self.desk.open(SERVICE, on_behalf_of=self.tester, asked="step.record") as work:
            decision = permit(SERVICE, "step.record", Facts())
            entry = work.record(
                StepRecorded(
                    run=self.run, step=name, requirements=tuple(requirements), title=title, expected=expected,
                    found=found.says, verdict=verdict, evidence=kept, states=stated,
                ),
                under=decision,
            )
            if verdict == "failed" and self.evidence_class != EXPLORATORY:
                self.deviate(work, decision, f"DEV-{self.run}-{name}", on_fail, f"{title}: {found.says}",
                              f"{self.run}/{name}", entry.body["id"])
        self.steps.append((name, verdict, found.says))
        self.evidence.append({"step": name, "verdict": verdict, "found": found.says, "evidence": fields_of(kept)})
        self.bench.say(f"          {verdict.replace('_', ' ')} in {took_s:.1f} s: {found.says}")

    def deviate(
        self, work: Any, decision: Decision, name: str, klass: str, says: str, about: str, caused_by: str
    ) -> None:
        work.record(
            DeviationOpened(
                deviation=name, klass_name=klass, source="validation", about=about, says=says, lock=self.row["lock"]
            ),
            under=decision, caused_by=caused_by,
        )
        self.deviations.append(name)


def run_in_order(desk: Desk, tester: Actor, commands: Sequence[RunProtocol], bench: Bench) -> list[Outcome]:
    """Several protocols, one after the other; what follows one without a passed verdict is left out, and said.

    Raises what `run_protocol` raises for the first of them that is refused.
    """
    outcomes: list[Outcome] = []
    for command in commands:
        if outcomes and outcomes[-1].verdict not in ("passed", "waits"):
            bench.say(f"{command.protocol}: not run, as {outcomes[-1].run} did not pass.")
            continue
        outcomes.append(run_protocol(desk, tester, command, bench))
    return outcomes


def run_protocol(desk: Desk, tester: Actor, command: RunProtocol, bench: Bench) -> Outcome:
    """Execute an approved protocol to its verdict; one that is not, where the run is stated to be exploratory.

    Raises:
        Refused: not approved, superseded, test set sealed, model trained on the test set, another lock, IQ or OQ
            missing, or the person may not run protocols; the attempt is on record.
        UnusableInput: an approved protocol is to be run as exploratory, the protocol names a check that this bench does
            not have, or a run to compare with that kept no values of this test set.
    """
    environment = desk.objects.put(as_bytes(dict(bench.environment)), JSON)
    with desk.reading() as session:
        row = queries.protocol_row(session, command.protocol, command.version)
    if command.exploratory and row["state"] == "approved":
        raise UnusableInput(f"{row['protocol']} version {row['version']} is approved: its runs count, and none is "
                            "tried first.", next_step="Leave --exploratory out.")
    plan = protocol.read(desk.objects.get(from_reference(row["document"])).decode("utf-8"))
    checks = _checks(plan, bench)
    earlier = _earlier(desk, plan)
    trained_on = bench.model.trained_on if bench.model is not None else frozenset()
    with desk.open(SERVICE, on_behalf_of=tester.user, asked="validation.run") as work:
        row = queries.protocol_row(work.session, row["protocol"], row["version"])
        relations = _relations(work.session, row, plan, bench.model, trained_on)
        evidence_class = row["evidence_class"]
        if command.exploratory and row["state"] == "draft":
            # Neither signatures nor forerunners are asked for where nothing can rest on the result.
            relations, evidence_class = relations - {"unapproved", "requires_first"}, EXPLORATORY
        decision = permit(tester, "validation.run", queries.facts(work.session, tester, "validation.run", *relations))
        number = queries.count_runs(work.session, row["protocol"], row["version"]) + 1
        name = f"{row['protocol']}-v{row['version']}-R{number}"
        work.record(
            ValidationStarted(
                run=name, protocol=row["protocol"], version=row["version"], digest=row["digest"], kind=row["kind"],
                target=row["target"], protocol_seq=_protocol_seq(row), environment=environment,
                evidence_class=evidence_class, lock=row["lock"],
            ),
            under=decision,
        )
        manifest = None
        if plan.test_set is not None:
            sealed = queries.test_set_row(work.session, plan.test_set.id)
            manifest = desk.objects.get(from_reference(sealed["manifest"]))
    going = Going(desk, tester.user, name, row, plan, bench, manifest, evidence_class, earlier)
    bench.say(f"{name}: {plan.protocol.title}")
    automatic = [step for step in plan.steps if step.check is not None]
    for number, step in enumerate(automatic, 1):
        assert step.check is not None
        bench.say(f"  {number:>2} of {len(automatic)}  {step.id}  {step.title}")
        begun = time.monotonic()
        device = bench.model.device if bench.model is not None else "none"
        if step.only_for is None or device.startswith(step.only_for):
            found = _made(checks[step.check])
        else:
            going.beside.add(step.id)
            found = Found(False, f"Not executed: for a lock that names {step.only_for}; this one names {device}.",
                          executed=False)
        going.step(step.id, step.requirements, step.title, step.expected, found, on_fail=step.on_fail,
                   took_s=time.monotonic() - begun)
    waits_for = tuple(step.id for step in plan.steps if step.manual)
    if waits_for:
        bench.say(f"{name}: waits for the manual steps {', '.join(waits_for)}; each is signed by who carries it out")
        return Outcome(name, "waits", (), (), tuple(going.steps), tuple(going.deviations), None, -1, evidence_class,
                       waits_for)
    judged = _cases(going) if plan.test_set is not None else ()
    return conclude(going, judged)


def _protocol_seq(row: RowMapping) -> int:
    """Entry of the last signature; of the draft, where it has not got them all."""
    return int(row["approved_seq"] or row["entry"])


def _checks(plan: Protocol, bench: Bench) -> dict[str, Check]:
    known = dict(bench.checks)
    if plan.protocol.target == "model":
        if bench.model is None:
            raise UnusableInput("This protocol is about a model; none was given to run.")
        known = {**checks_of(bench.model), **bench.model.checks()}
    missing = [step.check for step in plan.steps if step.check is not None and step.check not in known]
    if missing:
        raise UnusableInput(f"No check is named {', '.join(missing)}; known: {', '.join(sorted(known))}.")
    return known


def _relations(
    session: Connection, row: RowMapping, plan: Protocol, model: LockedModel | None, trained_on: frozenset[str]
) -> set[str]:
    found = set()
    if row["state"] == "draft":
        found.add("unapproved")
    if row["state"] == "superseded":
        found.add("superseded")
    if model is not None and model.lock != row["lock"]:
        found.add("other_lock")
    for kind in plan.requires:
        before = queries.counting_run(session, kind, target=row["target"], lock=row["lock"])
        if before is None or before["verdict"] != "passed":
            found.add("requires_first")
    if plan.test_set is not None:
        if not queries.is_open_for(session, plan.test_set.id, row["protocol"], row["version"]):
            found.add("sealed_test_set")
        if any(trained_on & set(part.cases()) for part in plan.test_set.strata):
            found.add("not_independent")
    return found


def _earlier(desk: Desk, plan: Protocol) -> dict[str, dict[str, Any]]:
    """What the run that the protocol compares with measured, by stratum and case; empty where it names none."""
    if plan.compared_with is None:
        return {}
    assert plan.test_set is not None
    with desk.reading() as session:
        run = queries.run_row(session, plan.compared_with)
        steps = queries.steps_of(session, plan.compared_with)
    if run["state"] != "concluded" or run["test_set"] != plan.test_set.id:
        raise UnusableInput(f"{plan.compared_with} is no concluded run, in good standing, on {plan.test_set.id}.")
    passed = {step["step"]: from_reference(step["evidence"]) for step in steps if step["verdict"] == "passed"}
    found: dict[str, dict[str, Any]] = {}
    for stratum in sorted({c.stratum for c in plan.criteria if c.metric in SHIFTS}):
        asked = sum(len(part.cases()) for part in plan.test_set.strata if part.stratum == stratum)
        evidence = passed.get(f"{CASES}{stratum}")
        kept = json.loads(desk.objects.get(evidence))["cases"] if evidence is not None else []
        found[stratum] = {one["case"]: one for one in kept if "pairs" in one}
        if len(found[stratum]) != asked:
            raise UnusableInput(f"{plan.compared_with} kept values of {len(found[stratum])} cases of the stratum "
                                f"{stratum}; this protocol has {asked}.")
    return found


def _made(check: Check) -> Found:
    """A check that breaks has failed: an error is a finding, never a pass and never the end of the run."""
    try:
        return check()
    except CountersignError as error:
        return Found(False, f"The check ended with an error: {error.in_words()}")
    except Exception as error:  # noqa: BLE001  whatever a check meets belongs into the record of its run
        return Found(False, f"The check broke: {type(error).__name__}: {error}")


# -- Cases of a test set -------------------------------------------------------------------------------------------


def _cases(going: Going) -> tuple[CriterionVerdict, ...]:
    assert going.plan.test_set is not None
    results: dict[str, Sequence[CaseResult] | None] = {}
    why_not: dict[str, str] = {}
    for part in going.plan.test_set.strata:
        begun = time.monotonic()
        found, results[part.stratum] = _stratum(going, part)
        going.observed += [one.observed for one in results[part.stratum] or () if one.monitored]
        why_not[part.stratum] = found.says
        going.step(
            f"{CASES}{part.stratum}", ["VAL-08", "VAL-04"], f"Cases of the stratum {part.stratum}",
            f"{len(part.cases())} sealed cases are asked", found, on_fail="major", took_s=time.monotonic() - begun,
        )
    return judging.judged(going.plan, results, why_not)


def _stratum(going: Going, part: GeneratedStratum | ClinicalStratum) -> tuple[Found, list[CaseResult] | None]:
    assert going.manifest is not None
    model, data = going.bench.model, going.bench.data
    assert model is not None
    if isinstance(part, ClinicalStratum):
        missing = [s for s in part.subjects if data is None or not cases.clinical_file(data, s).is_file()]
        if missing:
            return Found(False, f"not executed: data absent ({len(missing)} of {len(part.subjects)} subjects)",
                         executed=False), None
        if cases.absent(going.manifest, part.stratum):
            return Found(False, "not executed: the data were absent when the test set was sealed", executed=False), None
    changed = cases.changed_since_sealing(going.manifest, part, data)
    if changed:
        return Found(False, f"{len(changed)} cases differ from what was sealed: {', '.join(changed[:5])}"), None
    results: list[CaseResult] = []
    named, stated = part.cases(), cases.stated_groups(going.manifest, part.stratum)
    for first in range(0, len(named), AT_ONCE):
        made = list(_read(part, named[first : first + AT_ONCE], data, stated))
        replies = model.ask([case.question for case in made])
        if len(replies) != len(made):
            return Found(False, f"the model gave {len(replies)} replies to {len(made)} questions"), None
        results += [cases.measured(case, reply) for case, reply in zip(made, replies, strict=True)]
        going.bench.say(f"  {part.stratum}: {len(results)} of {len(named)} cases")
    if isinstance(part, GeneratedStratum) and part.repeated:
        results = _scanned_again(model, part, results)
        going.bench.say(f"  {part.stratum}: {part.repeated} cases scanned {part.scans} times")
    if part.stratum in going.earlier:
        before = going.earlier[part.stratum]
        results = [cases.with_shift(one, before[one.case]) for one in results]
    count = {status: sum(one.status == status for one in results) for status in ("finished", "undecided", "failed")}
    says = f"{len(results)} cases: " + ", ".join(f"{number} {status}" for status, number in count.items())
    return Found(True, says, {"cases": [one.as_data() for one in results]}), results


def _scanned_again(model: LockedModel, part: GeneratedStratum, results: list[CaseResult]) -> list[CaseResult]:
    """The first cases of the stratum with what further scans of them measured."""
    made = [(seed, cases.generated_case(seed, scan)) for seed, scan in part.scanned_again()]
    again: dict[int, list[CaseResult]] = {}
    for first in range(0, len(made), AT_ONCE):
        batch = made[first : first + AT_ONCE]
        replies = model.ask([case.question for _, case in batch])
        for (seed, case), reply in zip(batch, replies, strict=True):
            again.setdefault(seed, []).append(cases.measured(case, reply))
    return [cases.with_repeats(one, again[seed]) if seed in again else one
            for seed, one in enumerate(results, part.first_seed)]


def _read(
    part: GeneratedStratum | ClinicalStratum, names: Sequence[str], data: Path | None,
    stated: Mapping[str, Mapping[str, str]],
) -> Iterator[cases.Case]:
    for name in names:
        if isinstance(part, GeneratedStratum):
            yield cases.generated_case(int(name))
        else:
            assert data is not None
            yield cases.clinical_case(data, name, stated.get(name))


# -- Conclusion ----------------------------------------------------------------------------------------------------


def conclude(going: Going, judged: tuple[CriterionVerdict, ...]) -> Outcome:
    plan, row = going.plan, going.row
    resolution = going.bench.model.resolution_mm if going.bench.model is not None else Decimal(0)
    strata = judging.strata_of(judged, judging.coarse(plan, resolution)) if judged else (_of_steps(going),)
    failed = [name for name, verdict, _ in going.steps if verdict == "failed"]
    # A step that failed or could not be made weighs on the whole run, whatever its numbers say.
    weigh = [verdict for name, verdict, _ in going.steps if verdict != "passed" and name not in going.beside]
    verdict = overall([*(part.verdict for part in strata), *weigh])
    report = going.desk.objects.put(as_bytes(_report(going, judged, strata, verdict)), JSON)
    distribution = going.desk.objects.put(as_bytes({"studies": going.observed}), JSON) if going.observed else None
    with going.desk.open(SERVICE, on_behalf_of=going.tester, asked="validation.conclude") as work:
        decision = permit(SERVICE, "validation.conclude", Facts())
        if queries.run_row(work.session, going.run)["state"] not in GOING_ON:
            raise AlreadyDone(f"{going.run} is concluded.")
        for one in judged:
            if one.verdict == "not_met" and going.evidence_class != EXPLORATORY:
                going.deviate(work, decision, f"DEV-{going.run}-{one.criterion.replace('/', '-')}", "major",
                               f"{one.criterion} ({one.metric}, {one.stratum}) was not met: {one.says}",
                               f"{going.run}/{one.criterion}", _started(work.session, going.run))
        entry = work.record(
            ValidationConcluded(
                run=going.run, protocol=row["protocol"], version=row["version"], digest=row["digest"],
                protocol_seq=_protocol_seq(row), kind=row["kind"], target=row["target"], verdict=verdict,
                strata=strata, criteria=judged, steps=len(going.steps), steps_failed=len(failed),
                deviations=tuple(going.deviations), evidence_class=going.evidence_class, report=report,
                lock=row["lock"], use=row["use"], use_name=row["use_name"], endpoint=row["endpoint"],
                test_set=plan.test_set.id if plan.test_set else None, distribution=distribution,
                cases=len(going.observed) or None,
            ),
            under=decision,
        )
    going.bench.say(f"{going.run}: {verdict.replace('_', ' ')}")
    return Outcome(
        going.run, verdict, strata, judged, tuple(going.steps), tuple(going.deviations), report, entry.seq,
        going.evidence_class,
    )


def _started(session: Connection, run: str) -> str:
    from audit import store

    entry = store.entry_at(session, queries.run_row(session, run)["entry"])
    assert entry is not None
    return str(entry.body["id"])


def _of_steps(going: Going) -> StratumVerdict:
    """IQ and OQ have one line: what was executed, on the installation or on the model."""
    verdicts = [verdict for name, verdict, _ in going.steps if name not in going.beside]
    bad = [f"{name}: {says}" for name, verdict, says in going.steps if verdict != "passed"]
    return StratumVerdict(
        stratum=going.row["target"], measure="operation", subjects=0, verdict=overall(verdicts),
        says="; ".join(bad) or f"All {len(going.steps)} steps passed.",
    )


def _report(
    going: Going, judged: Sequence[CriterionVerdict], strata: Sequence[StratumVerdict], verdict: str
) -> dict[str, Any]:
    row = going.row
    return {
        "report": "countersign-validation/1", "run": going.run, "protocol": row["protocol"], "version": row["version"],
        "title": row["title"], "digest": row["digest"], "kind": row["kind"], "target": row["target"],
        "lock": row["lock"] or "", "evidence_class": going.evidence_class, "approved_at": row["approved_at"] or "",
        "approved_seq": row["approved_seq"] or "", "tester": going.tester, "environment": dict(going.bench.environment),
        "context_of_use": going.plan.context_of_use, "compared_with": going.plan.compared_with or "",
        "steps": going.evidence,
        "criteria": [fields_of(one) for one in judged], "strata": [fields_of(one) for one in strata],
        "deviations": list(going.deviations), "verdict": verdict,
    }


def as_bytes(data: Mapping[str, Any]) -> bytes:
    """JSON with sorted members: the same findings give the same digest."""
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)

"""What people do after a run: review its report, report and close deviations, set results suspect, release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping

from audit.vocabulary.registry import ObjectRef
from audit.vocabulary.validation import (
    DeviationClosed,
    DeviationOpened,
    ReleaseSigned,
    ValidationReviewed,
    ValidationSuspect,
)
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.objects import JSON
from core.policy.decide import permit
from core.policy.state import Actor, Facts
from core.privacy.queries import the_subject
from core.projection import from_reference
from core.work import Desk, Draft, Occasion, Proposal, View, Work, release
from validation import queries, traceability
from validation.rules import NEVER_COUNTS, overall, to_review
from validation.usecases import TEMPLATE, resting_draft


@dataclass(frozen=True, slots=True)
class ReviewRun:
    """A concluded run, and what its reviewer concludes from the report."""

    run: str
    conclusion: str


def review_run(desk: Desk, actor: Actor, command: ReviewRun) -> Proposal:
    """Sign the report of a run as its reviewer: every step and every criterion stands on the page.

    Raises:
        UnusableInput: no conclusion. AlreadyDone: reviewed before. NotFound: no such run, or it has no verdict.
    """
    if not command.conclusion:
        raise UnusableInput("A review ends with a conclusion.")
    return desk.prepare(actor, partial(review_draft, actor, command), asked="validation.review")


def review_draft(actor: Actor, command: ReviewRun, session: Connection, _occasion: Occasion) -> Draft:
    """What the reviewer of one run is about to sign."""
    row = queries.run_row(session, command.run)
    if row["report"] is None:
        raise NotFound(f"{command.run} was not concluded; there is no report.", next_step="Run the protocol again.")
    if row["reviewed_by"] is not None:
        raise AlreadyDone(f"The report of {command.run} was reviewed by {row['reviewed_by']}.")
    done = queries.steps_of(session, command.run)
    testers = {row["tester"], *(step["observed_by"] for step in done)}
    relations = {"tester"} if actor.user in testers else set()
    if row["state"] in NEVER_COUNTS:
        relations.add("exploratory")
    decision = permit(actor, "validation.review", queries.facts(session, actor, "validation.review", *relations))
    digest = from_reference(row["report"]).sha256
    chosen = to_review(
        [(step["step"], step["verdict"], step["observed_by"] is not None, not traceability.high_risk().isdisjoint(
            json.loads(step["requirements"]))) for step in done],
        digest, queries.deviating_steps(session, command.run).keys(),
    )
    event = ValidationReviewed(
        run=command.run, report_digest=digest, verdict=row["verdict"], steps=chosen.steps, sampled=chosen.sampled,
        conclusion=command.conclusion,
    )
    lines = [("Run", f"{row['run']}: {row['verdict'].replace('_', ' ')}"), ("Run by", row["tester"]),
             ("Steps", f"{len(chosen.steps)} of {len(done)} one by one, {len(chosen.sampled)} of them drawn; "
                       "the others passed, are automatic and of no high risk"),
             *((f"Step {step['step']}", _step_line(step)) for step in done if step["step"] in chosen.steps),
             *((f"Criterion {one['criterion']}", f"{one['verdict'].replace('_', ' ')}: {one['limit']}; {one['says']}")
               for one in queries.criteria_of(session, command.run)),
             *(("Open deviation", name) for name in queries.open_deviations(session, [command.run])),
             ("Digest of the report", event.report_digest), ("Conclusion", command.conclusion)]
    return resting_draft(session, actor, "validation.review", event, decision, "review",
                         View("Report of a validation run", TEMPLATE, tuple(lines)))


def _step_line(step: RowMapping) -> str:
    by = f" by {step['observed_by']}" if step["observed_by"] else ""
    altered = f" Altered: {step['altered']}" if step["altered"] else ""
    shown = f" Evidence {from_reference(step['evidence']).sha256}." if step["evidence"] else " No evidence."
    return f"{step['verdict'].replace('_', ' ')}{by}: {step['found']}{altered}{shown}"


@dataclass(frozen=True, slots=True)
class OpenDeviation:
    """Something was not as signed. klass_name: critical, major or minor.

    `says` is read by everybody and names no person; what must be said of a subject goes into `comment`.
    """

    deviation: str
    klass_name: str
    source: str
    about: str
    says: str
    trial: str | None = None
    lock: str | None = None
    subject: str | None = None
    comment: str | None = None


def open_deviation(desk: Desk, actor: Actor, command: OpenDeviation) -> Proposal:
    """A person reports a deviation; those of a run open by themselves."""
    if command.klass_name not in ("critical", "major", "minor"):
        raise UnusableInput(f"{command.klass_name!r} is no class of deviation: critical, major or minor.")
    if not all((command.deviation, command.about, command.says)):
        raise UnusableInput("A deviation has an id, says what it is about, and what was not as signed.")
    if command.comment and not (command.subject and command.trial):
        raise UnusableInput("A comment on a subject names the subject and its trial; nothing was recorded.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        if command.subject is not None:
            the_subject(session, command.trial or "", command.subject)
        if queries.is_deviation(session, command.deviation):
            raise AlreadyDone(f"Deviation {command.deviation} exists already.")
        known = queries.facts(session, actor, "deviation.open", trial=command.trial)
        decision = permit(actor, "deviation.open", known)
        event = DeviationOpened(
            deviation=command.deviation, klass_name=command.klass_name, source=command.source, about=command.about,
            says=command.says, lock=command.lock, subject=command.subject,
            comment=desk.conceal(command.comment, command.trial or "", command.subject or "", occasion),
        )
        lines = (("Deviation", event.deviation), ("Class", event.klass_name), ("About", event.about),
                 ("What happened", event.says), *((("Subject", command.subject),) if command.subject else ()),
                 *((("Comment", command.comment),) if command.comment else ()))
        return resting_draft(session, actor, "deviation.open", event, decision, "responsibility",
                      View("Open a deviation", TEMPLATE, lines), command.trial)

    return desk.prepare(actor, propose, asked="deviation.open")


@dataclass(frozen=True, slots=True)
class CloseDeviation:
    """Why it happened, what it touches, what was done, and the conclusion.

    retest: for a step that failed, the "RUN/STEP" that passed after it, or "none: " and why there is none.
    """

    deviation: str
    cause: str
    impact: str
    action: str
    conclusion: str
    retest: str | None = None


def close_deviation(desk: Desk, actor: Actor, command: CloseDeviation) -> Proposal:
    """Close a deviation; not by the person in whose run it arose."""
    if not all((command.cause, command.impact, command.action, command.conclusion)):
        raise UnusableInput("A deviation is closed with its cause, impact, action and conclusion.")

    def propose(session: Connection, _occasion: Occasion) -> Draft:
        row = queries.deviation_row(session, command.deviation)
        if row["state"] != "open":
            raise AlreadyDone(f"Deviation {command.deviation} was closed by {row['closed_by']}.")
        failed = queries.step_at(session, row["about"])
        relations = {"tester"} if actor.user in (row["opened_by"], failed and failed["observed_by"]) else set()
        if row["klass_name"] == "critical" and not queries.capas_of(session, command.deviation):
            relations.add("without_capa")
        known = queries.facts(session, actor, "deviation.close", *relations, trial=row["trial"])
        decision = permit(actor, "deviation.close", known)
        _check_retest(session, row, command.retest)
        event = DeviationClosed(
            deviation=command.deviation, cause=command.cause, impact=command.impact, action=command.action,
            conclusion=command.conclusion, retest=command.retest,
        )
        lines = (("Deviation", f"{row['deviation']} ({row['klass_name']}): {row['says']}"), ("Cause", command.cause),
                 ("Impact", command.impact), ("Action", command.action),
                 *((("Retest", command.retest),) if command.retest else ()), ("Conclusion", command.conclusion))
        return resting_draft(session, actor, "deviation.close", event, decision, "approval",
                      View("Close a deviation", TEMPLATE, lines), row["trial"])

    return desk.prepare(actor, propose, asked="deviation.close")


def _check_retest(session: Connection, deviation: RowMapping, retest: str | None) -> None:
    """A failed step is closed on the same step passed later, or on a reason why it is not done again."""
    failed = queries.step_at(session, deviation["about"])
    if failed is None or failed["verdict"] != "failed":
        if retest:
            raise UnusableInput(f"{deviation['deviation']} is about no failed step; there is nothing to test again.")
        return
    passed_later = queries.passed_after(session, failed)
    kind, _, why = (retest or "").partition(":")
    if retest not in passed_later and not (kind == "none" and why.strip()):
        raise UnusableInput(
            f"Step {deviation['about']} failed, and {retest or 'nothing'} is no later pass of this step.",
            next_step=(f"It passed as {', '.join(passed_later)}. " if passed_later else "")
            + "Run the protocol again and name RUN/STEP, or say `none: ` and why it is not tested again.",
        )


@dataclass(frozen=True, slots=True)
class MarkSuspect:
    """A run whose result a change, drift or incident touches, and what is to be done again."""

    run: str
    cause: str
    scope: str


def mark_suspect(desk: Desk, actor: Actor, command: MarkSuspect) -> Proposal:
    """What the run showed counts no more; gates that rest on it are suspended by their own rule."""

    def propose(session: Connection, _occasion: Occasion) -> Draft:
        row = queries.run_row(session, command.run)
        decision = permit(actor, "validation.suspect", queries.facts(session, actor, "validation.suspect"))
        event = ValidationSuspect(run=command.run, cause=command.cause, scope=command.scope, lock=row["lock"])
        lines = (("Run", f"{row['run']} of {row['protocol']} version {row['version']}: {row['verdict']}"),
                 ("Cause", command.cause), ("To be done again", command.scope))
        return resting_draft(session, actor, "validation.suspect", event, decision, "responsibility",
                      View("Validation suspect", TEMPLATE, lines))

    return desk.prepare(actor, propose, asked="validation.suspect")


def suspect_by_rule(work: Work, run: str, cause: str, scope: str, *, caused_by: str | None = None) -> None:
    """A service (drift monitor, recall of a lock) sets a run suspect inside its own transaction."""
    row = queries.run_row(work.session, run)
    decision = permit(work.actor, "validation.suspect", Facts())
    work.record(
        ValidationSuspect(run=run, cause=cause, scope=scope, lock=row["lock"]), under=decision, caused_by=caused_by
    )


@dataclass(frozen=True, slots=True)
class SignRelease:
    """QA's release: of this installation (lock None) or of a lock, resting on runs.

    tests: for an installation, what `pytest --evidence` wrote on this very software. demonstration: a release that no
    gate of a clinical trial accepts, and that needs no matrix.
    """

    runs: tuple[str, ...]
    conclusion: str
    lock: str | None = None
    tests: bytes | None = None
    demonstration: bool = False


def sign_release(desk: Desk, actor: Actor, command: SignRelease) -> Proposal:
    """Release what passed IQ and OQ. A run that failed, is suspect, or has an open deviation releases nothing.

    A PQ decides on uses, gate by gate; IQ and OQ decide whether the thing may run at all, so these two are asked for.
    An installation's release is refused, with their list, while a requirement of high risk is not shown (VAL-02).

    Raises:
        UnusableInput: nothing concluded, tests of another software than this, not all of them, or one failed that no
            requirement names.
    """
    if not command.runs or not command.conclusion:
        raise UnusableInput("A release names the runs that it rests on, and a conclusion.")
    tests = traceability.evidence_for_release(command.tests, release()) if command.tests else {}
    if failed := traceability.failures_of_no_requirement(tests):
        raise UnusableInput(f"Tests of this software failed that name no requirement: {', '.join(failed[:10])}"
                            + (f" and {len(failed) - 10} more." if len(failed) > 10 else "."),
                            next_step="Mend what fails, and run all tests again.")
    shown = desk.objects.put(command.tests, JSON) if command.tests else None
    return desk.prepare(actor, partial(_propose_release, desk, actor, command, tests, shown), asked="release.sign")


def _propose_release(
    desk: Desk, actor: Actor, command: SignRelease, tests: Mapping[str, Mapping[str, Any]], shown: ObjectRef | None,
    session: Connection, _occasion: Occasion,
) -> Draft:
    target = "model" if command.lock else "installation"
    rows = [queries.run_row(session, run) for run in command.runs]
    foreign = [row["run"] for row in rows if (row["target"], row["lock"]) != (target, command.lock)]
    if foreign:
        raise UnusableInput(f"{', '.join(foreign)} is about something else than {command.lock or 'this installation'}.")
    relations = set()
    kinds = {row["kind"] for row in rows}
    passed = all((row["state"], row["verdict"]) == ("concluded", "passed") for row in rows)
    if not passed or not {"IQ", "OQ"} <= kinds or queries.open_deviations(session, command.runs):
        relations.add("not_passed")
    if any(row["state"] in NEVER_COUNTS for row in rows):
        relations.add("exploratory")
    if any(queries.overtaken(session, row) for row in rows):
        relations.add("overtaken")
    if any(row["reviewed_by"] is None for row in rows):
        relations.add("unreviewed")
    observed = {step["observed_by"] for run in command.runs for step in queries.steps_of(session, run)}
    if actor.user in observed | {row["tester"] for row in rows}:
        relations.add("tester")
    authors = {queries.protocol_row(session, row["protocol"], row["version"])["author"] for row in rows}
    if actor.user in authors:
        relations.add("author")
    what = command.lock or release()
    classes = {row["evidence_class"] for row in rows} | ({"demonstration"} if command.demonstration else set())
    matrix, lacking = None, list[traceability.Traced]()
    if target == "installation" and "demonstration" not in classes:
        table = traceability.traced(tests, queries.counting_steps(session, with_evidence=True))
        matrix, lacking = traceability.as_csv(table), traceability.not_shown(table)
    if lacking:
        relations.add("not_shown")
    try:
        decision = permit(actor, "release.sign", queries.facts(session, actor, "release.sign", *relations))
    except Refused as refusal:
        if refusal.rule != "F-734":
            raise
        named = ", ".join(f"{one.requirement.id} ({one.state})" for one in lacking)
        raise Refused(f"{refusal.fact} Not shown: {named}.", rule=refusal.rule, next_step="Give the evidence of the "
                      "tests (`make evidence`), and carry out OQ-OUTSIDE for what no test shows.") from refusal
    event = ReleaseSigned(
        target=target, what=what, runs=command.runs, conclusion=command.conclusion, lock=command.lock,
        evidence_class="demonstration" if "demonstration" in classes else "standard", tests=shown,
        matrix=desk.objects.put(matrix.encode("utf-8"), "text/csv") if matrix else None,
    )
    lines = [("Release of", f"{target} {what}"),
             *((f"Run {row['run']}", f"{row['kind']}: {row['verdict']}") for row in rows),
             ("Over all", overall([row["verdict"] for row in rows])), ("Class of evidence", event.evidence_class),
             *((("Tests of this software", f"{len(tests)}, {shown.sha256}"),) if shown else ()),
             *((("Matrix of requirements", event.matrix.sha256),) if event.matrix else ()),
             ("Conclusion", command.conclusion)]
    return resting_draft(session, actor, "release.sign", event, decision, "approval",
                  View("Release", TEMPLATE, tuple(lines)))

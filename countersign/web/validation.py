"""Pages of validation: protocols with the signature each waits for, runs with steps and verdicts, steps that people
carry out by hand, and which requirement is shown by what."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile

from core import ledger_queries as record
from core.errors import CountersignError, NotFound
from core.ledger_queries import SessionReader
from core.policy.state import Actor
from core.projection import from_reference
from countersign.web.accounts import Session
from countersign.web.acting import (
    Name,
    ThePerson,
    TheSite,
    Token,
    Words,
    kept_file,
    may,
    proposed,
    read_file,
    validation_scope,
)
from countersign.web.app import Site
from countersign.web.exports import same_session

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

router = APIRouter(include_in_schema=False)
Signed = Annotated[int | None, Query()]


@router.get("/validation", name="validation")
def validation_page(request: Request, site: TheSite, person: ThePerson) -> Response:
    """What was planned, what was run, what is open, what is released."""
    from validation import queries
    from validation.observing import open_steps
    from validation.rules import GOING_ON

    with site.house.desk.reading() as session:
        scope = validation_scope(session, person)
        runs = {line.run: line for line in queries.validation_lines(session)}
        waiting = {name: [step.id for step in open_steps(site.house.desk, session, name)]
                   for name, line in runs.items() if line.state in GOING_ON}
        open_ones = [row for row in queries.deviation_lines(session)
                     if row["state"] == "open" and (row["trial"] is None or scope.covers(row["trial"]))]
        return site.page(
            request, "validation.html", person, scope=scope, plans=queries.protocol_lines(session),
            runs=list(runs.values())[::-1], waiting=waiting, deviations=open_ones,
            released=queries.all_releases(session)[::-1], note=record.newest_note(SessionReader(session)))


@router.get("/validation/requirements", name="requirements")
def requirements_page(request: Request, site: TheSite, person: ThePerson) -> Response:
    """Each requirement with the recorded steps that show it, and the matrix of tests behind the newest release."""
    from validation import queries, traceability

    with site.house.desk.reading() as session:
        validation_scope(session, person)
        matrix = traceability.traced({}, queries.counting_steps(session))
        resting = queries.newest_matrix(session)
        note = record.newest_note(SessionReader(session))
    released = traceability.read_csv(site.house.desk.objects.get(resting[1]).decode("utf-8")) if resting else {}
    return site.page(request, "requirements.html", person, matrix=matrix, released=released, note=note,
                     release_entry=resting[0] if resting else None)


# -- Protocols -----------------------------------------------------------------------------------------------------


@router.get("/validation/protocols/{protocol}/{version}", name="protocol")
def protocol_page(
    request: Request, site: TheSite, person: ThePerson, protocol: str, version: int, signed: Signed = None
) -> Response:
    return _protocol(request, site, person, protocol, version, signed=signed)


def _protocol(
    request: Request, site: Site, person: Session, name: str, version: int, problem: CountersignError | None = None,
    *, signed: int | None = None,
) -> Response:
    from validation import protocol, queries

    with site.house.desk.reading() as session:
        validation_scope(session, person)
        row = queries.protocol_row(session, name, version)
        given = queries.signed(session, name, version)
        waits = queries.next_of(session, row) if row["state"] == "draft" else None
        meaning = "protocol.review" if (waits or "").endswith(":review") else "protocol.approve"
        allowed = may(session, person, meaning) if waits else None
    text = site.house.desk.objects.get(from_reference(row["document"])).decode("utf-8")
    return site.page(
        request, "protocol.html", person, problem.http_status if problem else 200, row=row, plan=protocol.read(text),
        given=given, asked=json.loads(row["signers"]), waits=waits, allowed=allowed, problem=problem, text=text,
        signed=signed)


@router.post("/validation/protocols/{protocol}/{version}")
def sign_protocol_page(
    request: Request, site: TheSite, person: ThePerson, protocol: str, version: int, token: Token
) -> Response:
    from validation.usecases import SignProtocol, sign_protocol

    same_session(person, token)
    return proposed(
        site, lambda: sign_protocol(site.house.desk, Actor(person.user), SignProtocol(protocol, version)),
        partial(_protocol, request, site, person, protocol, version),
        back=f"/validation/protocols/{quote(protocol)}/{version}")


# -- Runs ----------------------------------------------------------------------------------------------------------


@router.get("/validation/runs/{run}", name="run")
def run_page(request: Request, site: TheSite, person: ThePerson, run: str, signed: Signed = None) -> Response:
    return _run(request, site, person, run, signed=signed)


def _run(
    request: Request, site: Site, person: Session, run: str, problem: CountersignError | None = None, *,
    signed: int | None = None, conclusion: str = "",
) -> Response:
    from reports.queries import report_files
    from validation import queries
    from validation.observing import open_steps
    from validation.rules import GOING_ON, NEVER_COUNTS

    desk = site.house.desk
    with desk.reading() as session:
        validation_scope(session, person)
        row = queries.run_row(session, run)
        done = queries.steps_of(session, run)
        waiting = open_steps(desk, session, run) if row["state"] in GOING_ON else []
        testers = {row["tester"], *(step["observed_by"] for step in done)}
        relations = ("tester",) if person.user in testers else ()
        about = {
            "done": [_step(step) for step in done], "waiting": waiting,
            "file": next(iter(report_files(session, run)), None),
            "criteria": queries.criteria_of(session, run), "deviations": queries.deviations_of(session, run),
            "observing": may(session, person, "step.observe"),
            "reviewing": may(session, person, "validation.review", None, *relations),
        }
    environment = json.loads(desk.objects.get(from_reference(row["environment"])))
    report = from_reference(row["report"]) if row["report"] else None
    return site.page(
        request, "run.html", person, problem.http_status if problem else 200, row=row, problem=problem, signed=signed,
        environment=environment, environment_ref=from_reference(row["environment"]), report=report,
        conclusion=conclusion, counts=row["state"] not in NEVER_COUNTS, **about)


def _step(row: RowMapping) -> dict[str, Any]:
    return dict(row) | {
        "evidence": from_reference(row["evidence"]) if row["evidence"] else None,
        "requirements": json.loads(row["requirements"]),
    }


@router.post("/validation/runs/{run}/review")
def review_run_page(
    request: Request, site: TheSite, person: ThePerson, run: str, token: Token, conclusion: Words = ""
) -> Response:
    """The report of a run signed by its reviewer, the exceptions shown one by one on the page that is signed; and with
    it the report's file, where it waits for no other run's review. `countersign validate review` does the same."""
    from reports.validation_signing import review_runs

    same_session(person, token)
    return proposed(
        site, lambda: review_runs(site.house.desk, Actor(person.user), [run], conclusion.strip()),
        partial(_run, request, site, person, run, conclusion=conclusion), back=f"/validation/runs/{quote(run)}")


@router.get("/validation/runs/{run}/report.pdf", name="run-report")
def run_report(site: TheSite, person: ThePerson, run: str) -> Response:
    """The newest signed file that tells of a run, digest checked; `countersign verify` reads it on any machine."""
    from reports.queries import report_files

    with site.house.desk.reading() as session:
        validation_scope(session, person)
        file = next(iter(report_files(session, run)), None)
    if file is None:
        raise NotFound(f"No signed file tells of {run}.",
                       next_step="Who ran it makes it: `countersign validate sign-report RUN`.")
    return kept_file(site, file.pdf, f"{'-'.join(file.runs)[:80]}-{file.part}.pdf")


@router.get("/validation/runs/{run}/steps/{step}/evidence", name="step-evidence")
def step_evidence(site: TheSite, person: ThePerson, run: str, step: str) -> Response:
    """The file that shows a step, its digest checked; offered for saving, never shown as a page of this site."""
    from validation import queries

    with site.house.desk.reading() as session:
        validation_scope(session, person)
        row = queries.step_at(session, f"{run}/{step}")
    if row is None or row["evidence"] is None:
        raise NotFound(f"Nothing is kept that shows step {step} of {run}.", next_step="The run's page lists its steps.")
    return kept_file(site, from_reference(row["evidence"]))


# -- Steps by hand -------------------------------------------------------------------------------------------------


@router.get("/validation/runs/{run}/steps/{step}", name="step")
def step_page(request: Request, site: TheSite, person: ThePerson, run: str, step: str) -> Response:
    return _observing(request, site, person, run, step)


def _observing(
    request: Request, site: Site, person: Session, run: str, step: str, problem: CountersignError | None = None, *,
    typed: dict[str, str] | None = None,
) -> Response:
    from validation import queries
    from validation.observing import VERDICTS
    from validation.rules import GOING_ON

    with site.house.desk.reading() as session:
        validation_scope(session, person)
        row = queries.run_row(session, run)
        found = _open_step(session, site, run, step)
        over = ("run_over",) if row["state"] not in GOING_ON else ()
        allowed = may(session, person, "step.observe", None, *over)
    return site.page(
        request, "step.html", person, problem.http_status if problem else 200, row=row, step=found, allowed=allowed,
        problem=problem, verdicts=VERDICTS, typed=typed or {"found": "", "verdict": "", "altered": ""})


def _open_step(session: Connection, site: Site, run: str, step: str) -> Any:
    from validation.observing import open_steps

    for one in open_steps(site.house.desk, session, run):
        if one.id == step:
            return one
    raise NotFound(f"Step {step} of {run} is not waiting for anybody.",
                   next_step="It is automatic, or was observed already; the run's page shows it.")


@router.post("/validation/runs/{run}/steps/{step}")
def observe_page(
    request: Request, site: TheSite, person: ThePerson, run: str, step: str, token: Token, found: Words = "",
    verdict: Name = "", altered: Words = "", evidence: Annotated[UploadFile | None, File()] = None,
    otherwise: Annotated[bool, Form()] = False,
) -> Response:
    """What was found, the file and the verdict, as they will be signed."""
    from validation.observing import ObserveStep, observe_step

    same_session(person, token)
    content, media = read_file(evidence)
    command = ObserveStep(run, step, found.strip(), verdict, content, media,
                          altered.strip() if otherwise or altered.strip() else None)
    typed = {"found": found, "verdict": verdict, "altered": altered, "otherwise": "yes" if otherwise else ""}
    return proposed(
        site, lambda: observe_step(site.house.desk, Actor(person.user), command),
        partial(_observing, request, site, person, run, step, typed=typed),
        back=f"/validation/runs/{quote(run)}/steps/{quote(step)}", then=f"/validation/runs/{quote(run)}", settles=True)

"""`countersign gate` and `countersign cohort`: what AI may do in a trial, and who signs for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, sign

gate_app = typer.Typer(no_args_is_help=True, help="Phase gates: status, show, request, sign, suspend, resume, halt.")
cohort_app = typer.Typer(no_args_is_help=True, help="Cohort candidates and selections.")
EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="For secondary and primary.")]
ScopeOption = Annotated[str, typer.Option("--scope", help="all, part:X, sites:X,Y or arm:X.")]
RoleOption = Annotated[str | None, typer.Option("--role", help="The role signed in, where you hold several.")]


@gate_app.command("status")
@told
def status(trial: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every gate with its criteria computed now, its signatures and its stops."""
    from dataclasses import asdict

    from core.clock import in_words
    from core.gates.gathering import board
    from core.gates.views import criterion
    from core.trials.queries import the_trial

    opened = house(home)
    with opened.desk.reading() as session:
        row = the_trial(session, trial)
        rows = board(session, trial, in_words(opened.desk.clock.now())[:10])
    lines = [f"{trial}, evidence class {row.evidence_class}"]
    for one in rows:
        gate = one.gate
        what = f"{gate.use_name} {gate.endpoint or ''}".strip()
        says = f" ({gate.says})" if gate.says else ""
        lines.append(f"{gate.gate}: {what}, scope {gate.scope}, lock {gate.lock}: {gate.state}{says}")
        lines += [f"  {judged.id}: {criterion(judged)}" for judged in one.criteria]
        if one.missing:
            lines.append(f"  still to sign: {', '.join(one.missing)}")
    answer([asdict(one) for one in rows], as_json=as_json, words="\n".join(lines))


@gate_app.command("show")
@told
def show(gate: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What a gate was opened on: criteria as recorded at each step, every signature, every stop."""
    from dataclasses import asdict

    from core.gates import queries

    with house(home).desk.reading() as session:
        row = queries.gate_named(session, gate)
        criteria = queries.criteria_recorded(session, gate)
        signed = queries.signatures_of(session, gate)
        stops = queries.stops_of(session, gate)
    lines = [f"{row.gate}: {row.use_name} {row.endpoint or ''}".rstrip() + f", lock {row.lock}: {row.state}"]
    for step in dict.fromkeys(one.at for one in criteria):
        lines.append(f"criteria when {step}")
        lines += [
            f"  {one.criterion}: {one.state}: {one.found}; wanted: {one.wanted}"
            + (f" (entries {', '.join(map(str, one.entries))})" if one.entries else "")
            for one in criteria if one.at == step
        ]
    lines += [f"signed to {purpose} by {one.person} as {one.role}, entry {one.entry}" for purpose, one in signed]
    lines += [f"{one.kind}, entry {one.entry}: {one.says}{' (resumed)' if one.resumed else ''}" for one in stops]
    data = {
        "gate": asdict(row), "criteria": [asdict(one) for one in criteria], "stops": [asdict(one) for one in stops],
        "signatures": [{"purpose": purpose, **asdict(one)} for purpose, one in signed],
    }
    answer(data, as_json=as_json, words="\n".join(lines))


@gate_app.command("check")
@told
def check(
    trial: str, use: str, lock: str, endpoint: EndpointOption = None, scope: ScopeOption = "all",
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """The criteria of an opening, before anybody asks for it."""
    from dataclasses import asdict

    from core.clock import in_words
    from core.gates.gathering import judged_now
    from core.gates.queries import use_named
    from core.gates.views import criterion

    opened = house(home)
    with opened.desk.reading() as session:
        today = in_words(opened.desk.clock.now())[:10]
        judged = judged_now(session, trial, use_named(use), endpoint, scope, lock, today)
    answer([asdict(one) for one in judged], as_json=as_json,
           words="\n".join(f"{one.id}: {criterion(one)}" for one in judged))


@gate_app.command("request")
@told
def request(
    trial: str, use: str, lock: str, acting: AsOption, endpoint: EndpointOption = None, scope: ScopeOption = "all",
    home: HomeOption = None,
) -> None:
    """Ask for a gate: qc, cohort, secondary or primary. Says every criterion that is open."""
    from core.gates.usecases import RequestGate, request_gate
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, request_gate(opened.desk, Actor(acting), RequestGate(trial, use, lock, endpoint, scope)))


@gate_app.command("withdraw")
@told
def withdraw(gate: str, reason: str, acting: AsOption, home: HomeOption = None) -> None:
    """Take a request back before it is opened, with a coded reason."""
    from core.gates.usecases import withdraw_gate
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, withdraw_gate(opened.desk, Actor(acting), gate, reason))


@gate_app.command("sign")
@told
def sign_one(gate: str, acting: AsOption, role: RoleOption = None, home: HomeOption = None) -> None:
    """One signature to open a gate; QA's is the last, and opens it."""
    from core.gates.usecases import sign_gate
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, sign_gate(opened.desk, Actor(acting), gate, role))


@gate_app.command("resume")
@told
def resume(gate: str, acting: AsOption, role: RoleOption = None, home: HomeOption = None) -> None:
    """One signature to resume a suspended or halted gate; all must sign."""
    from core.errors import UnusableInput
    from core.gates.queries import gate_named
    from core.gates.usecases import sign_gate
    from core.policy.state import Actor

    opened = house(home)
    with opened.desk.reading() as session:
        state = gate_named(session, gate).state
    if state not in ("suspended", "halted"):
        raise UnusableInput(f"Gate {gate} is {state}; there is nothing to resume.", next_step="Nothing was signed.")
    sign(opened.desk, sign_gate(opened.desk, Actor(acting), gate, role))


@gate_app.command("suspend")
@told
def suspend(gate: str, cause: str, acting: AsOption, home: HomeOption = None) -> None:
    """Report a lost precondition; the gate is suspended at once."""
    from core.gates.usecases import suspend_gate
    from core.policy.state import Actor

    receipt = suspend_gate(house(home).desk, Actor(acting), gate, cause)
    typer.echo(f"Suspended: entry {receipt.seq}. Work goes on without AI.")


@gate_app.command("halt")
@told
def halt(gate: str, rule: str, acting: AsOption, home: HomeOption = None) -> None:
    """Halt under a rule of the charter, or `judgement`."""
    from core.gates.usecases import halt_gate
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, halt_gate(opened.desk, Actor(acting), gate, rule))


@gate_app.command("event")
@told
def event(trial: str, event: str, acting: AsOption, home: HomeOption = None) -> None:
    """Report ai_unblinding, wrong_subject, wrong_side or unsigned_endpoint; the charter's rules halt at once."""
    from core.gates.usecases import report_event
    from core.policy.state import Actor

    halted = report_event(house(home).desk, Actor(acting), trial, event)
    typer.echo(f"{halted} gates halted. Work goes on without AI.")


@gate_app.command("revoke")
@told
def revoke(gate: str, reason: str, acting: AsOption, home: HomeOption = None) -> None:
    """End a gate for cause."""
    from core.gates.usecases import revoke_gate
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, revoke_gate(opened.desk, Actor(acting), gate, reason))


@gate_app.command("file")
@told
def file_document(
    trial: str, kind: str, title: str,
    document: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], acting: AsOption,
    on: Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD", help="Date of the document.")],
    use: Annotated[int | None, typer.Option("--use")] = None, endpoint: EndpointOption = None,
    display: Annotated[str | None, typer.Option("--display", help="Of a reader study.")] = None,
    cases: Annotated[int | None, typer.Option("--cases")] = None,
    lock: Annotated[str | None, typer.Option("--lock")] = None, home: HomeOption = None,
) -> None:
    """File a document from outside as evidence."""
    import mimetypes

    from core.gates.evidence import FileEvidence, file_evidence
    from core.policy.state import Actor

    opened = house(home)
    media = mimetypes.guess_type(document.name)[0] or "application/octet-stream"
    reference = opened.desk.objects.put(document.read_bytes(), media)
    sign(opened.desk, file_evidence(opened.desk, Actor(acting), FileEvidence(
        trial, kind, title, reference, on, use, endpoint, display, cases, lock)))


@gate_app.command("seed-defect")
@told
def seed_defect(trial: str, study: str, acting: AsOption, home: HomeOption = None) -> None:
    """Sign that a study (its UID in the trial) was made defective on purpose; the run-in counts it apart."""
    from core.gates.evidence import seed_defect as seed
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, seed(opened.desk, Actor(acting), trial, study))


@gate_app.command("waive")
@told
def waive(
    trial: str, use: str, criterion: str, acting: AsOption,
    because: Annotated[str, typer.Option("--because")], risk: Annotated[str, typer.Option("--risk")],
    until: Annotated[str, typer.Option("--until", metavar="YYYY-MM-DD")], home: HomeOption = None,
) -> None:
    """Ask to waive a criterion until a day."""
    from core.gates.evidence import RequestWaiver, request_waiver
    from core.gates.queries import use_named
    from core.policy.state import Actor

    opened = house(home)
    command = RequestWaiver(trial, use_named(use), criterion, because, risk, until)
    sign(opened.desk, request_waiver(opened.desk, Actor(acting), command))


@gate_app.command("approve-waiver")
@told
def approve(
    waiver: str, acting: AsOption, role: Annotated[str, typer.Option("--role")], home: HomeOption = None
) -> None:
    """Approve a waiver as the criterion's owner or as QA."""
    from core.gates.evidence import approve_waiver
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, approve_waiver(opened.desk, Actor(acting), waiver, role))


@cohort_app.command("list")
@told
def list_candidates(trial: str, acting: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The coordinator's work-list; refused while the cohort gate is closed."""
    from dataclasses import asdict

    from core.cohort.usecases import worklist
    from core.errors import Refused
    from core.policy.state import Actor

    opened = house(home)
    try:
        with opened.desk.reading() as session:
            rows = worklist(session, Actor(acting), trial)
    except Refused as refusal:
        opened.desk.record_refusal(acting, "ai.show_to_coordinator", refusal)
        raise
    answer([asdict(one) for one in rows], as_json=as_json, words="\n".join(
        f"{one.candidate}  {one.subject}  {'flagged' if one.flagged else 'not flagged'}  confidence {one.confidence}, "
        "unreviewed" for one in rows) or "No candidate waits.")


@cohort_app.command("select")
@told
def select(
    candidate: str, decision: str, reason: str, acting: AsOption,
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:
    """Sign a selection: selected or not_selected, with a coded reason."""
    from core.cohort.usecases import select_candidate
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, select_candidate(opened.desk, Actor(acting), candidate, decision, reason, comment or None))


@cohort_app.command("decide")
@told
def decide(
    candidate: str, decision: str, reason: str, acting: AsOption,
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:
    """The investigator's decision on a selected candidate: eligible or not_eligible, with a coded reason."""
    from core.cohort.usecases import decide_eligibility
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, decide_eligibility(opened.desk, Actor(acting), candidate, decision, reason, comment or None))

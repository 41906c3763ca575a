"""`countersign privacy`: requests about subjects' data, restriction, erasure, and what is known of either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, sign

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.privacy.rules import Duty

app = typer.Typer(no_args_is_help=True, help="Subjects' data: requests, restriction, erasure.")
APPS = {"privacy": app}

TrialArgument = Annotated[str, typer.Argument(metavar="TRIAL", help="The trial.")]
SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="Coded subject id.")]
RequestOption = Annotated[str, typer.Option(help="Coded request, such as erasure, objection or consent_withdrawn.")]
BasisOption = Annotated[str, typer.Option(help="Legal basis, such as gdpr_17_1_b or gdpr_18_1_b.")]
UntilOption = Annotated[str, typer.Option("--retain-until", help="Last day of a retention duty (YYYY-MM-DD).")]
EventOption = Annotated[str, typer.Option("--retain-event", help="Event that ends a retention duty.")]
HappenedOption = Annotated[str, typer.Option("--happened-on", help="Day on which that event happened.")]
ReplacesOption = Annotated[str, typer.Option("--replaces", help="Decision whose duty was recorded wrongly.")]
TextOption = Annotated[str, typer.Option("--text", help="Words of the request; kept under the subject's key alone.")]


def _duty(until: str, event: str, happened: str) -> Duty:
    from core.errors import UnusableInput
    from core.privacy.rules import Duty

    if until and event:
        raise UnusableInput("A duty ends on a day or with an event; record two duties as two decisions.")
    kind = "until" if until else "event" if event else "none"
    return Duty(kind, until or None, event or None, happened or None)


def _decide(
    home: str | None, acting: str, trial: str, subject: str, request: str, basis: str, decision: str, duty: Duty,
    replaces: str = "", text: str = "",
) -> None:
    from core.policy.state import Actor
    from core.privacy.usecases import DecideRequest, decide_request

    opened = house(home)
    command = DecideRequest(trial, subject, request, basis, decision, duty, replaces or None, text or None)
    sign(opened.desk, decide_request(opened.desk, Actor(acting), command))


@app.command()
@told
def decide(
    trial: TrialArgument, subject: SubjectArgument, acting: AsOption, request: RequestOption, basis: BasisOption,
    decision: Annotated[str, typer.Option(help="restrict, erase or refuse")],
    until: UntilOption = "", event: EventOption = "", happened: HappenedOption = "", replaces: ReplacesOption = "",
    text: TextOption = "", home: HomeOption = None,
) -> None:
    """Sign what is decided on a request; refused where a retention duty stands and it says erase."""
    duty = _duty(until, event, happened)
    _decide(home, acting, trial, subject, request, basis, decision, duty, replaces, text)
    if decision == "erase":
        typer.echo(f"Next, QA: countersign privacy erase {trial} {subject} --as USER")


@app.command()
@told
def restrict(
    trial: TrialArgument, subject: SubjectArgument, acting: AsOption, request: RequestOption = "restriction",
    basis: BasisOption = "gdpr_18_1_d", until: UntilOption = "", event: EventOption = "",
    happened: HappenedOption = "", text: TextOption = "", home: HomeOption = None,
) -> None:
    """Sign that a subject's data are kept and no longer used: no runs, no reads begun, no selections."""
    _decide(home, acting, trial, subject, request, basis, "restrict", _duty(until, event, happened), text=text)


@app.command()
@told
def lift(
    trial: TrialArgument, subject: SubjectArgument, acting: AsOption,
    reason: Annotated[str, typer.Option(help="Coded reason, such as objection_settled.")], home: HomeOption = None,
) -> None:
    """Sign that restricted data may be used again."""
    from core.policy.state import Actor
    from core.privacy.usecases import lift_restriction

    opened = house(home)
    sign(opened.desk, lift_restriction(opened.desk, Actor(acting), trial, subject, reason))


@app.command()
@told
def erase(trial: TrialArgument, subject: SubjectArgument, acting: AsOption, home: HomeOption = None) -> None:
    """Sign, as QA, the erasure that the privacy officer decided; then the key is destroyed."""
    from core import outbox
    from core.policy.state import Actor
    from core.privacy.usecases import erase_subject

    opened = house(home)
    sign(opened.desk, erase_subject(opened.desk, Actor(acting), trial, subject))
    outbox.drain(opened.desk)
    _show_status(home, acting, trial, subject, as_json=False)


@app.command("list")
@told
def list_subjects(trial: TrialArgument, acting: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Decisions of a trial, oldest first, and where their subjects stand."""
    from dataclasses import asdict

    from core.privacy import queries

    with house(home).desk.reading() as session:
        _seen(session, acting, trial)
        rows = queries.decisions_of(session, trial)
        states = {row.subject: queries.the_subject(session, trial, row.subject).state for row in rows}
    words = "\n".join(
        f"{row.at[:10]}  {row.subject}  {row.request} -> {row.decision} by {row.decider}, duty {row.duty.in_words()}; "
        f"now {states[row.subject].replace('_', ' ')}  {row.id}" for row in rows
    )
    answer([asdict(row) | {"state": states[row.subject]} for row in rows], as_json=as_json,
           words=words or "Nothing was asked for yet.")


@app.command()
@told
def status(
    trial: TrialArgument, subject: SubjectArgument, acting: AsOption, home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where a subject stands: decisions with their words, whether a key is there, and who was given notice."""
    _show_status(home, acting, trial, subject, as_json=as_json)


def _show_status(home: str | None, acting: str, trial: str, subject: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from core.objects import owner
    from core.privacy import queries

    desk = house(home).desk
    keys = desk.objects.keys
    with desk.reading() as session:
        _seen(session, acting, trial)
        found = queries.the_subject(session, trial, subject)
        rows = [
            asdict(row) | {"text": queries.text_of(session, keys, row.id)}
            for row in queries.decisions_of(session, trial, subject)
        ]
        copies = [asdict(one) for one in queries.copies_that_cover(session, trial, subject)]
        told_of = queries.notices_of(session, str(found.erased))
    there = keys.is_there(owner(trial, subject))
    words = [f"{subject} of {trial}: {found.state.replace('_', ' ')}; its key is {'there' if there else 'not there'}."]
    words += [
        f"  {row['at'][:10]}  {row['request']} -> {row['decision']}, entry {row['entry']}"
        + (f": {row['text']}" if row["text"] else "") for row in rows
    ]
    words += [
        f"  copy: {one['kind']} of {one['what']}, entry {one['entry']}, held by {one['holder']}"
        + (", given notice" if one["copy_entry"] in told_of else "") for one in copies
    ]
    data = asdict(found) | {
        "state": found.state, "key": there, "decisions": rows, "copies": copies, "notices": told_of,
    }
    answer(data, as_json=as_json, words="\n".join(words))


def _seen(session: Connection, person: str, trial: str) -> None:
    from core.access.queries import standing
    from core.policy.decide import permit
    from core.policy.state import Actor

    permit(Actor(person), "privacy.see", standing(session, Actor(person), trial, "privacy.see"))

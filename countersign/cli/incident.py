"""`countersign incident`: identifiers left in images, from closing them off to the certificate of destruction.

The identifier itself is asked for without echo, or given in COUNTERSIGN_IDENTIFIER; it is written nowhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from core.incidents.usecases import Searched
    from countersign.house import House

app = typer.Typer(no_args_is_help=True, help="Identifiers left in images: open, search, order, certify, list.")
APPS = {"incident": app}
TrialOption = Annotated[str, typer.Option("--trial", help="The trial.")]
IncidentArgument = Annotated[str, typer.Argument(help="The incident, as `incident list` names it.")]
NoText = Annotated[bool, typer.Option("--no-text", help="The identifier is no text (burnt into pixels).")]


def _identifier(no_text: bool) -> str | None:
    if no_text:
        return None
    return os.environ.get("COUNTERSIGN_IDENTIFIER") or typer.prompt("The identifier, not shown and not kept",
                                                                    hide_input=True)


def _searched(opened: House, trial: str, identifier: str | None) -> Searched | None:
    from core.trials.queries import subjects_of
    from countersign.searching import search_home

    if identifier is None:
        return None
    with opened.desk.reading() as session:
        subjects = tuple(one.subject for one in subjects_of(session, trial))
    return search_home(opened, trial, subjects, identifier)


@app.command("open")
@told
def open_(
    series: Annotated[list[str], typer.Argument(help="UIDs of series of one study that hold the identifier.")],
    kind: Annotated[str, typer.Option(help="name, birth_date, patient_number, address, device_or_place, face, other.")],
    place: Annotated[list[str], typer.Option(
        help="Attribute or \"pixels\"; may be given again. Never the identifier.")],
    trial: TrialOption, person: AsOption, no_text: NoText = False,
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:
    """Close off images in which identifiers were left, with your signature."""
    from core.incidents.usecases import OpenIncident, open_incident
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    desk = house(home).desk
    command = OpenIncident(trial, tuple(series), kind, tuple(place), _identifier(no_text), comment or None)
    sign(desk, open_incident(desk, Actor(person), command))


@app.command()
@told
def search(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Look for an identifier through the whole home; says where it is, and keeps nothing of it."""
    from core.policy.decide import permit
    from core.policy.state import Actor
    from core.trials.queries import facts_for

    opened = house(home)
    with opened.desk.reading() as session:
        permit(Actor(person), "incident.open", facts_for(session, Actor(person), "incident.open", trial))
    found = _searched(opened, trial, _identifier(no_text=False))
    assert found is not None
    lines = [f"object {one.sha256}, {one.bytes} bytes" for one in found.objects] + list(found.elsewhere)
    answer({"looked": found.looked, "found": lines}, as_json=as_json,
           words="\n".join([f"{found.looked} objects and files were looked through; {found.found} hold it.", *lines]))


@app.command()
@told
def order(
    incident: IncidentArgument, trial: TrialOption, person: AsOption, no_text: NoText = False, home: HomeOption = None
) -> None:
    """Order, as privacy officer, the destruction of what holds the identifier; the worker destroys it."""
    from core import outbox
    from core.incidents.usecases import order_destruction
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    opened = house(home)
    searched = _searched(opened, trial, _identifier(no_text))
    sign(opened.desk, order_destruction(opened.desk, Actor(person), trial, incident, searched))
    outbox.drain(opened.desk)


@app.command()
@told
def certify(
    incident: IncidentArgument, trial: TrialOption, person: AsOption,
    copy: Annotated[list[str] | None, typer.Option(
        help="ENTRY=ANSWER for each copy on record: destroyed, returned or holds_none.")] = None,
    no_text: NoText = False, home: HomeOption = None,
) -> None:
    """Certify, as QA, that nothing of it is left here, and what the holders of copies and backups said."""
    from core.incidents.usecases import CertifyDestruction, certify_destruction
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    opened = house(home)
    identifier = _identifier(no_text)
    answers = {entry: said for entry, _, said in (one.partition("=") for one in copy or ())}
    command = CertifyDestruction(trial, incident, answers, identifier, _searched(opened, trial, identifier))
    sign(opened.desk, certify_destruction(opened.desk, Actor(person), command))


@app.command("list")
@told
def list_incidents(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Incidents of a trial, how far each has come, and which copies are not answered for."""
    from dataclasses import asdict

    from core.arrival.queries import quality_facts
    from core.incidents.queries import copies_to_answer, incidents_of
    from core.policy.decide import permit
    from core.policy.state import Actor

    with house(home).desk.reading() as session:
        permit(Actor(person), "quality.see", quality_facts(session, Actor(person), "quality.see", trial))
        rows = [(one, copies_to_answer(session, one)) for one in incidents_of(session, trial)]
    words = "\n".join(
        f"{one.incident}  {one.state.replace('_', ' '):<13} {one.kind.replace('_', ' ')} in {'; '.join(one.places)}  "
        f"{one.subject or 'no subject'}; copies: "
        + (", ".join(f"{each.kind} entry {each.copy_entry} of {each.holder}" for each in copies) or "none")
        for one, copies in rows
    )
    answer([asdict(one) | {"copies": [asdict(each) for each in copies]} for one, copies in rows], as_json=as_json,
           words=words or "No incident is on record.")

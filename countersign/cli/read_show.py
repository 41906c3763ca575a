"""`countersign read list | show | differences | responses | progress`: what of the reads a person may see."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

TrialOption = Annotated[str, typer.Option("--trial", help="The trial.")]
SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="Coded subject id.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `read`."""
    app.command("list")(list_reads)
    for command in (show, differences, responses, progress):
        app.command()(command)


@told
def list_reads(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What this person may read, has begun, or may adjudicate; in the order that the system sets."""
    from core.access.queries import roles_of
    from core.policy.state import Actor
    from core.reads import queries
    from core.reads.deciding import work_list
    from core.reads.finals import finals_due
    from core.reads.state import AI_SLOT

    with house(home).desk.reading() as session:
        waiting = queries.reads_awaiting(session, trial, person)
        begun = [each for each in queries.tasks_of(session, trial, reader=person) if each.state == "begun"]
        differences = work_list(session, Actor(person), trial)
        due = finals_due(session, trial, person)
        may_withdraw = "imaging_lead" in roles_of(session, person, trial)
        awaited = [
            each for each in queries.tasks_of(session, trial)
            if may_withdraw and each.slot == AI_SLOT and each.state == "begun"
        ]  # fmt: skip
    data: dict[str, list[dict[str, Any]]] = {
        "to_begin": [{"subject": each.subject, "time_point": each.time_point} for each in waiting],
        "begun": [
            {"assignment": each.assignment, "subject": each.subject, "time_point": each.time_point} for each in begun
        ],
        "to_adjudicate": [
            {"compared": each.compared, "subject": each.subject, "time_point": each.time_point} for each in differences
        ],
        "ai_awaited": [
            {"assignment": each.assignment, "subject": each.subject, "time_point": each.time_point} for each in awaited
        ],
        "to_sign": [{"subject": each.subject, "time_point": each.time_point} for each in due],
    }
    lines = [f"begin       {each['subject']}  {each['time_point']}" for each in data["to_begin"]]
    lines += [f"seal        {each['subject']}  {each['time_point']}  {each['assignment']}" for each in data["begun"]]
    lines += [
        f"adjudicate  {each['subject']}  {each['time_point'] or 'whole course'}  {each['compared']}"
        for each in data["to_adjudicate"]
    ]
    lines += [
        f"ai awaited  {each['subject']}  {each['time_point']}  {each['assignment']}" for each in data["ai_awaited"]
    ]
    lines += [f"final       {each['subject']}  {each['time_point']}" for each in data["to_sign"]]
    answer(data, as_json=as_json, words="\n".join(lines) or "Nothing waits for you.")


@told
def show(
    subject: SubjectArgument, trial: TrialOption, person: AsOption, home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """The reads of a subject as this person may see them: locked, open, or hidden by which rule."""
    from core.reads import queries, rules
    from core.reads.answer import lines_of
    from core.reads.state import OpenedRead

    data: list[dict[str, Any]] = []
    with house(home).desk.reading() as session:
        for task in queries.tasks_of(session, trial, subject):
            if task.state != "opened" and task.reader == person:
                data.append({"time_point": task.time_point, "state": task.state})
        for each in queries.opened_reads_for(session, person, trial, subject):
            if not isinstance(each, OpenedRead):
                data.append({"state": "hidden", "rule": each.rule, "because": each.because})
                continue
            units = rules.units_of(queries.charter_for(session, trial, each.task.charter_version))
            data.append(
                {
                    "time_point": each.task.time_point, "state": "open", "slot": each.task.slot,
                    "reader": each.task.reader, "sealed_entry": each.task.sealed_entry,
                    "excluded": each.excluded, "lines": list(lines_of(each.answer, units)),
                }
            )  # fmt: skip
    words = []
    for one in data:
        words.append("  ".join(f"{key} {value}" for key, value in one.items() if key != "lines"))
        words += [f"    {label}: {value}" for label, value in one.get("lines", ())]
    answer(data, as_json=as_json, words="\n".join(words) or "There is no read that you may see.")


@told
def differences(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What waits for this adjudicator, the reads side by side under letters."""
    from core.policy.state import Actor
    from core.reads import queries
    from core.reads.deciding import candidates, work_list

    data: list[dict[str, Any]] = []
    with house(home).desk.reading() as session:
        for each in work_list(session, Actor(person), trial):
            charter = queries.charter_for(session, trial, each.charter_version)
            lines = [line for one in candidates(session, Actor(person), charter, each) for line in one.lines(charter)]
            data.append(
                {
                    "compared": each.compared, "subject": each.subject, "time_point": each.time_point,
                    "triggers": [one.trigger for one in each.fired], "reads": lines,
                }
            )  # fmt: skip
    words = []
    for one in data:
        where = one["time_point"] or "whole course"
        words.append(f"{one['subject']}  {where}  {', '.join(one['triggers'])}  {one['compared']}")
        words += [f"    {label}: {value}" for label, value in one["reads"]]
    answer(data, as_json=as_json, words="\n".join(words) or "Nothing waits for you.")


@told
def responses(
    trial: TrialOption, person: AsOption, subject: Annotated[str, typer.Option(help="Only this subject.")] = "",
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Responses derived anew from open reads, each with its rule; only what this person may see."""
    from core.reads import queries
    from core.reads.listing import responses as derive
    from core.reads.state import OpenedRead

    with house(home).desk.reading() as session:
        found = queries.opened_reads_for(session, person, trial, subject or None)
        seen = {
            (each.task.subject, each.task.slot, each.task.time_point) for each in found if isinstance(each, OpenedRead)
        }
        # Whose read was accepted tells a reader about the other one.
        whole = all(isinstance(each, OpenedRead) for each in found)
        courses = {(one, slot) for one, slot, _ in seen}
        rows = [
            each
            for each in derive(session, trial, subject or None)
            if (each.subject, each.slot, each.time_point) in seen
            or (each.time_point is None and (each.subject, each.slot) in courses)
        ]
    data = [
        {
            "subject": each.subject, "time_point": each.time_point, "slot": each.slot, "endpoint": each.endpoint,
            "status": each.status, "sum": f"{each.sum} {each.unit}" if each.sum is not None else None,
            "rule": each.evidence[-1].rule, "accepted": each.accepted if whole else None, "entry": each.entry,
        }
        for each in rows
    ]  # fmt: skip
    words = "\n".join(
        f"{one['subject']:<10} {one['time_point'] or 'best':<6} {one['slot']:<9} {one['endpoint']:<10} "
        f"{one['status']:<14} {one['sum'] or '':>12}  {one['rule']}{'  accepted' if one['accepted'] else ''}"
        for one in data
    )
    answer(data, as_json=as_json, words=words or "There is no open read that you may see.")


@told
def progress(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Readers with what they have done, and time points without an accepted read; no value of any read."""
    from dataclasses import asdict

    from core.policy.decide import permit
    from core.policy.state import Actor
    from core.reads.listing import reader_rows, unread
    from core.trials.queries import facts_for

    with house(home).desk.reading() as session:
        permit(Actor(person), "trial.see", facts_for(session, Actor(person), "trial.see", trial))
        readers, waiting = reader_rows(session, trial), unread(session, trial)
    lines = [
        f"{one.user:<16} {one.role_read:<12} {one.reads:>4} reads {one.adjudications:>4} adjudications; "
        f"{one.reference_set}: {one.score} of {one.cases} cases, limit {one.limit}" for one in readers
    ]
    lines += [
        f"{one.subject:<16} {one.time_point:<12} {one.state.replace('_', ' ')}, waits for {', '.join(one.waits_for)}"
        for one in waiting
    ]
    data = {"readers": [asdict(one) for one in readers], "unread": [asdict(one) for one in waiting]}
    answer(data, as_json=as_json, words="\n".join(lines) or "Nobody is qualified, and nothing waits to be read.")

"""`countersign model show | rests | reproduce`: what was locked and allowed when, where it comes from, and whether it
still answers as it did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.work import Desk
    from models_registry.queries import LockRow, RunRow
    from reports.model_lineage import Node, Shown


#: Uses in which that a model gave no value is its flag (core/gates/projections.py).
FLAGGING = ("qc", "cohort")


def register(app: typer.Typer) -> None:
    """Add the commands to `model`."""
    app.command("show")(show)
    app.command("rests")(rests)
    app.command("reproduce")(reproduce)


@told
def show(
    lock: Annotated[str, typer.Argument(help="Lock id; every lock in short where not given.")] = "",
    at: Annotated[str, typer.Option("--at", metavar="MOMENT", help="As it stood: an entry number, or a UTC date, "
                                    "minute or second.")] = "",
    trial: Annotated[str, typer.Option(help="What it was allowed to do in this trial alone.")] = "",
    lineage: Annotated[bool, typer.Option("--lineage", help="Data, training run, weights, lock, validations, gates, "
                                          "inferences.")] = False,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """What was locked, what it binds, what it was allowed to do, what was refused, and how its runs ended."""
    from core.errors import UnusableInput
    from reports.model_lineage import lineage as lineage_of
    from reports.model_lineage import lock_shown, locks_shown

    if lineage and not lock:
        raise UnusableInput("A lineage is that of one lock.", next_step="Name the lock: `countersign model list`.")
    with _tables(house(home).desk, at) as (session, moment):
        if not lock:
            found = locks_shown(session, None, trial or None)
            data: dict[str, Any] = {"as_of": moment, "locks": [_shown_data(one) for one in found]}
            words = "\n".join(_shown_lines(one) for one in found) or "No model was locked."
        else:
            from models_registry import queries

            row = queries.lock_of(session, lock)
            shown = lock_shown(session, row, None, trial or None)
            nodes = lineage_of(session, row) if lineage else ()
            data = {"as_of": moment} | lock_data(row) | _shown_data(shown) | _history(session, lock, trial) | (
                {"lineage": [_node_data(one) for one in nodes]} if lineage else {})
            words = _words(session, shown, nodes, trial)
    head = f"As of entry {moment['entry']}, recorded {moment['recorded_at']}\n" if moment else ""
    answer(data, as_json=as_json, words=head + words)


@contextmanager
def _tables(desk: Desk, at: str) -> Iterator[tuple[Connection, dict[str, Any] | None]]:
    """The live tables, or those of a moment with what names it."""
    from reports.past_state import moment

    if not at:
        with desk.reading() as session:
            yield session, None
    else:
        with moment(desk, at) as then:
            yield then.session, {"entry": then.seq, "recorded_at": then.recorded_at, "root": then.root}


def lock_data(row: LockRow) -> dict[str, Any]:
    """A lock with its fields, for machines."""
    from audit.vocabulary.registry import fields_of

    return fields_of(row.fields) | {"state": row.state, "locked_by": row.locked_by, "locked_at": row.locked_at,
                                    "entry": row.entry}


def _shown_data(shown: Shown) -> dict[str, Any]:
    row = shown.row
    return {
        "lock": row.lock, "model": row.fields.model, "model_version": row.fields.model_version, "state": row.state,
        "locked_by": row.locked_by, "locked_at": row.locked_at, "superseded_by": row.superseded_by,
        "ended_by": row.ended_by, "ended_at": row.ended_at, "ended_reason": row.ended_reason,
        "uses": [{"trial": one.trial, "gate": one.gate, "use": one.use, "endpoint": one.endpoint, "scope": one.scope,
                  "state": one.state, "allows": one.allows, "entry": one.entry} for one in shown.uses]}


def _shown_lines(shown: Shown) -> str:
    row = shown.row
    head = (f"{row.lock}  {shown.state_said}  {row.fields.model} {row.fields.model_version}  locked by {row.locked_by} "
            f"{row.locked_at[:19]}Z  entry {row.entry}")
    return "\n".join([head, *([f"  {one.in_words()}" for one in shown.uses] or ["  allowed nothing"])])


def _history(session: Connection, lock: str, trial: str) -> dict[str, Any]:
    from models_registry import queries

    return {
        "refusals": [one.entry for one in queries.refusals_known(session, lock=lock)],
        "runs": [one.run for one in queries.runs_of(session, lock=lock, trial=trial or None)],
        "reproductions": [one.entry for one in queries.reproductions_of(session, lock)],
        "two_locks": [{"trial": where, "subject": subject, "endpoint": endpoint, "locks": list(names)}
                      for where, subject, endpoint, names in queries.two_locks(session, lock)],
    }


def _words(session: Connection, shown: Shown, nodes: tuple[Node, ...], trial: str) -> str:
    from countersign.cli.signing import page
    from models_registry import queries, views

    lock = shown.row.lock
    lines = [page(views.lock(shown.row.fields)) + f"State: {shown.state_said}; locked in entry {shown.row.entry}"]
    lines += [f"Allowed: {one.in_words()}" if one.allows else f"Not allowed: {one.in_words()}" for one in shown.uses]
    lines += ["No gate names it." if not trial else f"No gate of {trial} names it."] if not shown.uses else []
    lines += [f"Refused at {one.checked}, entry {one.entry}: expected {one.expected}, found {one.found}"
              for one in queries.refusals_known(session, lock=lock)]
    lines += [f"Reproduced by {one.person}, entry {one.entry}, while {one.state}: {one.runs_said}, {one.software_said}"
              for one in queries.reproductions_of(session, lock)]
    lines += [f"Two locks in one series: {where} {subject}, {endpoint}: {', '.join(names)}"
              for where, subject, endpoint, names in queries.two_locks(session, lock)]
    lines += [run_line(one) for one in queries.runs_of(session, lock=lock, trial=trial or None)]
    for one in nodes:
        entry = f", entry {one.entry}" if one.entry is not None else ""
        lines.append(f"{one.kind}: {one.title}{entry}" + (f", digest {one.digest}" if one.digest else ""))
        lines += [f"  {said}" for said in one.says]
    return "\n".join(lines)


def _node_data(node: Node) -> dict[str, Any]:
    return {"kind": node.kind, "title": node.title, "says": list(node.says), "digest": node.digest,
            "entry": node.entry}


def run_line(row: RunRow) -> str:
    """A run in one line, as whoever asked for it is told: never a value, which is shown at the doors of AI alone, to
    whom the policy lets see it, and on record (TRIAL 2)."""
    state, cause, why = run_told(row)
    said = f"{cause}: {why}" if why else cause or ""
    suspect = f"  suspect since entry {row.suspect}" if row.suspect is not None else ""
    return (f"{row.run}  {row.trial} {row.subject} {row.time_point} {row.lesion}  {row.standing}"
            f"{' sealed' if row.sealed else ''}  {state}  {said}{suspect}")


def run_told(row: RunRow) -> tuple[str, str | None, str | None]:
    """State, cause, and why it failed, as they may be told here: for quality control and cohort that a run gave no
    value is the flag itself, so that it ended is all that is said."""
    hidden = row.use in FLAGGING and row.state in ("finished", "undecided", "failed")
    if hidden:
        return "ended", None, None
    # Why a run failed is a fact about images and machines; what an undecided one found is near a value.
    return row.state, row.cause, row.found if row.state == "failed" and not row.sealed else None


def flag_line(row: RunRow) -> str:
    """What a run says, for a door that asked."""
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.values.items()) or row.cause or ""
    limit = f", found {row.found}, limit {row.limit}" if row.found and row.limit else ""
    return f"{row.run}  {row.lesion}  {row.state}  {said}{limit}"


@told
def rests(
    lock: Annotated[str, typer.Argument(metavar="LOCK", help="Lock id.")], home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What rests on a lock: its gated results, final reads of what it measured, papers issued since."""
    from models_registry import queries
    from reports.model_lineage import resting_on

    with house(home).desk.reading() as session:
        row = queries.lock_of(session, lock)
        found = resting_on(session, lock)
    lines = [f"{row.lock} is {row.state}" + (f"; all of this is suspect since entry {row.ended_entry}"
                                             if row.state == "recalled" else "")]
    lines += [f"{one.kind}  {one.trial}  {one.what}, entry {one.entry}" for one in found] or ["Nothing rests on it."]
    data = {"lock": row.lock, "state": row.state, "suspect_since": row.ended_entry if row.state == "recalled" else None,
            "rests": [{"kind": one.kind, "trial": one.trial, "what": one.what, "entry": one.entry} for one in found]}
    answer(data, as_json=as_json, words="\n".join(lines))


@told
def reproduce(
    lock: Annotated[str, typer.Argument(metavar="LOCK", help="Lock id; retired ones too.")],
    person: AsOption,
    run: Annotated[list[str] | None, typer.Option(help="A run of the record to compute again; repeat it.")] = None,
    home: HomeOption = None,
) -> None:
    """Show that a lock, retired or not, still gives the locked sentinel and recorded outputs. It counts for nothing."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from models_registry.images import ArrivalImages
    from models_registry.reproduction import ReproduceModel, reproduce_model

    opened = house(home)
    command = ReproduceModel(lock, tuple(run or ()))
    sign(opened.desk, reproduce_model(opened.desk, Actor(person), command, ArrivalImages()))

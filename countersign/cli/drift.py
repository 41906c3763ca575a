"""`countersign drift`: sign a baseline, evaluate now, show what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from core.drift.queries import EvaluationRow

app = typer.Typer(no_args_is_help=True, help="Drift of locked models in use: baseline, evaluation, sentinel set.")
APPS = {"drift": app}

LockArgument = Annotated[str, typer.Argument(metavar="LOCK", help="Lock id, such as LCK-1a2b3c4d5e6f.")]
TrialOption = Annotated[str, typer.Option(help="Trial.")]


@app.command()
@told
def baseline(
    lock: LockArgument,
    trial: TrialOption,
    person: AsOption,
    first: Annotated[int, typer.Option(help="First entry whose run counts.")] = 0,
    last: Annotated[int, typer.Option(help="Last entry whose run counts; until now where not given.")] = -1,
    validation: Annotated[str, typer.Option(metavar="RUN", help="The cases of this PQ run of the lock instead.")] = "",
    home: HomeOption = None,
) -> None:
    """Sign which studies later ones are compared with: those of a trial's run-in, or the cases of the lock's PQ."""
    from core.drift.usecases import SignBaseline, sign_baseline
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    opened = house(home)
    command = SignBaseline(trial, lock, first, None if last < 0 else last, validation or None)
    sign(opened.desk, sign_baseline(opened.desk, Actor(person), command))


@app.command()
@told
def evaluate(home: HomeOption = None) -> None:
    """Evaluate everything that is due now, as `countersign work` does; level 2 suspends at once."""
    from core.drift.usecases import evaluate_due

    typer.echo(f"{evaluate_due(house(home).desk)} evaluated.")


@app.command()
@told
def show(
    lock: Annotated[str, typer.Argument(help="Lock id; every lock where not given.")] = "",
    trial: TrialOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Limits in force, baselines and evaluations; of a use under seal the level alone."""
    from core.drift import queries
    from core.drift.rules import PREFIX
    from core.trials.queries import signed_charter

    lines, data = [], []
    with house(home).desk.reading() as session:
        found = queries.evaluations_of(session, trial=trial or None, lock=lock or None)
        alarms = [one for one in queries.alarms(session) if lock in ("", one.lock) and trial in ("", one.trial)]
        pairs = sorted({(one.trial, one.lock) for one in found} | {(one.trial, one.lock) for one in alarms})
        for name, each in pairs:
            row, signed = queries.baseline_of(session, name, each), signed_charter(session, name)
            if row is not None:
                what = (f"cases of {row.validation}" if row.validation else
                        f"studies, entries {row.first_entry} to {row.last_entry}")
                lines.append(f"{name}  {each}  baseline of {row.studies} {what}, signed by {row.signed_by}, "
                             f"entry {row.entry}")
            if signed is not None:
                stated = signed.charter.limits
                lines += [f"  limit {PREFIX}{limit} {value}"
                          f"{'' if PREFIX + limit in stated else ' (as shipped)'}"
                          for limit, value in queries.limits_of(signed.charter).as_data().items()]
        for one in found:
            lines.append(_line(one))
            lines += [f"  {said}" for said in queries.signals_of(session, one.entry)]
            data.append({"trial": one.trial, "lock": one.lock, "use": one.use, "studies": one.studies,
                         "told": one.told, "level": one.level, "inputs": one.inputs, "outputs": one.outputs,
                         "sealed": one.sealed, "at": one.at, "entry": one.entry})
    lines += [f"ATTENTION  {one.says}\n    → {one.remedy}" for one in alarms]
    answer({"evaluations": data, "alarms": [one.says for one in alarms]}, as_json=as_json,
           words="\n".join(lines) or "No lock is watched for drift.")


@app.command()
@told
def sentinel(
    lock: LockArgument,
    declare: Annotated[bool, typer.Option("--declare", help="Make the set anew and sign its answers.")] = False,
    cases: Annotated[int, typer.Option(help="Generated cases of a set that is declared.")] = 20,
    person: Annotated[str, typer.Option("--as", help="Who declares it (user id).")] = "",
    home: HomeOption = None,
) -> None:
    """Ask a lock its daily sentinel set now; exit 2 where an answer differs. With --declare, state the set first."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from models_registry.sentinel import check_sentinel, declare_sentinel

    opened = house(home)
    if declare:
        sign(opened.desk, declare_sentinel(opened.desk, Actor(person), lock, cases))
        return
    checked = check_sentinel(opened.desk, lock)
    typer.echo(f"{lock}: {checked.says}.", err=not checked.same)
    if not checked.same:
        raise typer.Exit(2)


def _line(one: EvaluationRow) -> str:
    return (f"{one.trial}  {one.lock}  {one.use}{' (sealed)' if one.sealed else ''}  {one.at[:16]}Z  "
            f"{one.studies} studies  {one.says}  entry {one.entry}")

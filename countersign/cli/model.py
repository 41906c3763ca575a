"""`countersign model`: take models in, lock them, show them, check their bytes, run and compare them."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli import model_show
from countersign.cli.common import HomeOption, JsonOption, answer, house, running, told
from countersign.cli.model_show import lock_data, run_line, run_told
from countersign.cli.model_sources import compare, convert
from countersign.cli.signing import AsOption

app = typer.Typer(no_args_is_help=True, help="Models: convert, register, lock, verify, run, compare, reproduce.")
app.command()(convert)
app.command()(compare)
model_show.register(app)
APPS = {"model": app}

LockArgument = Annotated[str, typer.Argument(metavar="LOCK", help="Lock id, such as LCK-1a2b3c4d5e6f.")]


@app.command()
@told
def register(
    folder: Annotated[str, typer.Argument(
        metavar="BUNDLE", help="Bundle folder; `shipped` for lesion-at-seed of this release; models:/NAME/N for "
        "the copy that lies in MLflow.")],
    trained_by: Annotated[str, typer.Option(help="Who trained it: a user id, which cannot lock it, or the name of a "
                                            "maker outside.")],
    person: AsOption,
    tracking: Annotated[bool, typer.Option(help="Keep a copy in MLflow as well: the local store, or the server that "
                                           "the setting tracking_url names.")] = True,
    home: HomeOption = None,
) -> None:
    """Take a bundle in: its files are read once, checked, stored, and signed for."""
    from pathlib import Path

    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from countersign.house import tracking_store
    from models_registry.library import SHIPPED
    from models_registry.usecases import RegisterModel, register_model

    opened = house(home)
    fetched = folder if folder.startswith("models:/") else None
    place = None if fetched else SHIPPED if folder == "shipped" else Path(folder)
    command = RegisterModel(place, trained_by, fetched)
    register_in = tracking_store(opened.settings) if tracking or fetched else None
    sign(opened.desk, register_model(opened.desk, Actor(person), command, register_in))


@app.command()
@told
def lock(
    model: Annotated[str, typer.Argument(help="Name of a registered model.")],
    person: AsOption,
    version: Annotated[str, typer.Option(help="Version; the newest where not given.")] = "",
    influence: Annotated[str, typer.Option(help="low, medium or high: weight of its answer in a decision.")] = "medium",
    consequence: Annotated[str, typer.Option(help="low, medium or high: harm of a wrong decision.")] = "medium",
    demonstration: Annotated[bool, typer.Option("--demonstration", help="Evidence class demonstration.")] = False,
    supersedes: Annotated[str, typer.Option(help="Lock of this model that it follows; that one goes on serving what it "
                                            "began.")] = "",
    context_of_use: Annotated[str, typer.Option(help="In which decision its answer is used, and how; what the bundle "
                                                "states where not given.")] = "",
    protocol: Annotated[list[str] | None, typer.Option(help="Validation protocol that it is to be held to; repeat "
                                                       "it.")] = None,
    home: HomeOption = None,
) -> None:
    """Lock a version as it runs here; whoever trained it cannot."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from models_registry.isolation import ORDINARY
    from models_registry.usecases import LockModel, lock_model

    opened = house(home)
    command = LockModel(model, version or None, influence, consequence, demonstration, supersedes or None,
                        context_of_use, tuple(protocol or ()))
    running("The sentinel is answered in a worker process", ORDINARY.wall_s)
    sign(opened.desk, lock_model(opened.desk, Actor(person), command))


@app.command()
@told
def retire(
    lock: LockArgument,
    person: AsOption,
    how: Annotated[str, typer.Option(help="retired, or recalled where what it measured is in doubt.")] = "retired",
    reason: Annotated[str, typer.Option(help="Reason code.")] = "superseded",
    home: HomeOption = None,
) -> None:
    """Take a lock out of use."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from models_registry.usecases import RetireModel, retire_model

    opened = house(home)
    sign(opened.desk, retire_model(opened.desk, Actor(person), RetireModel(lock, how, reason)))


@app.command("list")
@told
def list_models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Registered versions and their locks."""
    from models_registry import queries

    with house(home).desk.reading() as session:
        versions, locks = queries.versions_known(session), queries.locks_known(session)
    lines = [f"{one.model} {one.version}  {one.state}  trained by {one.trained_by}  bundle {one.tree_sha256[:12]}…"
             for one in versions]
    lines += [f"{one.lock}  {one.state}  {one.fields.model} {one.fields.model_version}  locked by {one.locked_by} "
              f"{one.locked_at[:19]}Z  entry {one.entry}" for one in locks]
    data = {"versions": [{"model": one.model, "version": one.version, "state": one.state, "entry": one.entry,
                          "trained_by": one.trained_by, "tree_sha256": one.tree_sha256} for one in versions],
            "locks": [lock_data(one) for one in locks]}
    answer(data, as_json=as_json, words="\n".join(lines) or "No model is registered.")


@app.command()
@told
def runs(
    trial: Annotated[str, typer.Option(help="Trial.")] = "",
    subject: Annotated[str, typer.Option(help="Subject.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Runs and how they ended; values and flags are shown at the doors of AI alone: qc ai, cohort list, read ai."""
    from models_registry import queries

    with house(home).desk.reading() as session:
        rows = queries.runs_of(session, trial=trial or None, subject=subject or None)
    data = [{"run": one.run, "state": state, "lock": one.lock, "trial": one.trial, "subject": one.subject,
             "time_point": one.time_point, "lesion": one.lesion, "standing": one.standing, "sealed": one.sealed,
             "cause": cause, "why": why, "entry": one.entry}
            for one in rows for state, cause, why in [run_told(one)]]
    answer(data, as_json=as_json, words="\n".join(run_line(one) for one in rows) or "Nothing was run.")


@app.command()
@told
def verify(
    lock: Annotated[str, typer.Argument(help="Lock id; every lock where not given.")] = "",
    folder: Annotated[str, typer.Option(help="Hold this bundle folder against the lock, too.")] = "",
    run: Annotated[bool, typer.Option(help="Run the sentinel as well: environment and bit-equal answer.")] = True,
    tracking: Annotated[bool, typer.Option("--tracking", help="Hold the copy in MLflow against it, too.")] = False,
    home: HomeOption = None,
) -> None:
    """Recompute every digest of a lock from the stored bytes, and its sentinel; look whether what this house put on its
    copy in MLflow (tags, alias, stage) is there unedited. Exit 2 where anything differs, 1 where MLflow is silent."""
    from pathlib import Path

    from core.errors import OutsideUnavailable
    from countersign.house import tracking_store
    from models_registry import queries
    from models_registry.digest import read_tree
    from models_registry.isolation import ORDINARY
    from models_registry.loading import ModelDiffers
    from models_registry.usecases import verify_copy, verify_lock

    opened = house(home)
    with opened.desk.reading() as session:
        locks = [queries.lock_of(session, lock)] if lock else list(queries.locks_known(session))
        pairs = [(one, queries.version_of(session, one.fields.model, one.fields.model_version)) for one in locks]
    if not pairs:
        typer.echo("No model is locked.")
    store = tracking_store(opened.settings)
    differs = silent = False
    if run and pairs:
        running("Each sentinel is answered in a worker process", ORDINARY.wall_s)
    for locked, version in pairs:
        try:
            if folder:
                verify_copy(opened.desk, locked, version, read_tree(Path(folder)))
            found = verify_lock(opened.desk, locked, version, run=run, tracking=store, copy=tracking)
            typer.echo(f"{locked.lock}: {found}.")
        except ModelDiffers as difference:
            differs = True
            typer.echo(f"{locked.lock}: {difference.in_words()}", err=True)
        except OutsideUnavailable as error:
            silent = True
            typer.echo(f"{locked.lock}: {error.in_words()}", err=True)
    if differs or silent:
        raise typer.Exit(2 if differs else 1)


@app.command()
@told
def run(
    lock: LockArgument,
    trial: Annotated[str, typer.Option(help="Trial.")],
    subject: Annotated[str, typer.Option(help="Coded subject.")],
    time_point: Annotated[str, typer.Option(help="Time point.")],
    person: AsOption,
    lesion: Annotated[str, typer.Option(help="Lesion whose seed a person placed; a segmentation takes none.")] = "",
    series: Annotated[str, typer.Option(help="UID of the series for a segmentation, where several would do.")] = "",
    use: Annotated[str, typer.Option(help="qc, cohort, secondary, primary or none.")] = "none",
    endpoint: Annotated[str, typer.Option(help="Endpoint, for secondary and primary.")] = "",
    standing: Annotated[str, typer.Option(help="gated, shadow or exploratory; what is open where not given.")] = "",
    home: HomeOption = None,
) -> None:
    """Ask for a run and carry it out now."""
    from dataclasses import replace

    from core.policy.state import Actor
    from models_registry import queries
    from models_registry.asking import RequestRun, request_run
    from models_registry.images import ArrivalImages, placed_seed
    from models_registry.isolation import ORDINARY
    from models_registry.running import run_waiting

    opened = house(home)
    command = RequestRun(trial=trial, subject=subject, time_point=time_point, lesion=None, tracking_uid=None,
                         seed_mm=None, seed_by="nobody", lock=lock, use=use, endpoint=endpoint or None,
                         standing=standing or None, series=series or None)
    if lesion:
        with opened.desk.reading() as session:
            seed = placed_seed(session, trial, subject, time_point, lesion)
        command = replace(command, lesion=lesion, tracking_uid=seed.tracking_uid, seed_mm=seed.point,
                          seed_by=seed.placed_by)
    receipt = request_run(opened.desk, Actor(person), command, ArrivalImages())
    with opened.desk.reading() as session:
        waiting = sum(one.state == "requested" for one in queries.runs_of(session, lock=lock))
    others = f", after {waiting - 1} that waited before" if waiting > 1 else ""
    running(f"Asked, entry {receipt.seq}. The model runs{others}", ORDINARY.wall_s)
    run_waiting(opened.desk, ArrivalImages(), lock)
    with opened.desk.reading() as session:
        typer.echo(run_line(next(one for one in queries.runs_of(session, lock=lock) if one.entry == receipt.seq)))

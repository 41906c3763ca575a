"""`countersign trial cut|cuts|soft-lock|release|lock|unlock|close`, `countersign allocation`: the end of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, sign

lock_app = typer.Typer(no_args_is_help=True)
allocation_app = typer.Typer(no_args_is_help=True, help="Sealed allocation: declare, import, unblind, show by arm.")
ReadFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]


@lock_app.command("cut")
@told
def cut_data(
    trial: str, cut: str, acting: AsOption,
    until: Annotated[str, typer.Option("--until", metavar="YYYY-MM-DD", help="Last day whose images belong to it.")],
    kind: Annotated[str, typer.Option("--kind", help="interim or final.")] = "final", home: HomeOption = None,
) -> None:
    """Freeze a data cut: what is in, open queries, and how it differs from the cut before."""
    from core.data_lock.usecases import FreezeCut, freeze_cut
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, freeze_cut(opened.desk, Actor(acting), FreezeCut(trial, cut, kind, until)))


@lock_app.command("cuts")
@told
def cuts(trial: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Cuts of a trial and how far each has come; never by arm."""
    from dataclasses import asdict

    from core.data_lock.queries import allocation_of, cuts_of
    from core.trials.queries import the_trial

    with house(home).desk.reading() as session:
        the_trial(session, trial)
        rows, allocation = cuts_of(session, trial), allocation_of(session, trial)
    lines = [
        f"{one.cut}  {one.kind}  until {one.until}  {one.state.replace('_', ' ')}  {one.subjects} subjects, "
        f"{len(one.open_queries)} open queries, sha256 {one.digest} (entry {one.entry})" for one in rows
    ]
    state = allocation.state if allocation else "not declared"
    data = {"cuts": [asdict(one) for one in rows], "allocation": state}
    answer(data, as_json=as_json, words="\n".join([*(lines or ["No cut yet."]), f"Allocation: {state}"]))


@lock_app.command("soft-lock")
@told
def soft_lock_data(trial: str, cut: str, acting: AsOption, home: HomeOption = None) -> None:
    """Nothing is entered from here on; the cut is as the data are and no query is open."""
    from core.data_lock.usecases import soft_lock
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, soft_lock(opened.desk, Actor(acting), trial, cut))


@lock_app.command("release")
@told
def release(trial: str, reason: str, acting: AsOption, home: HomeOption = None) -> None:
    """Release the soft lock: error_found, late_data, query_raised or other."""
    from core.data_lock.usecases import release_soft_lock
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, release_soft_lock(opened.desk, Actor(acting), trial, reason))


@lock_app.command("lock")
@told
def lock(
    trial: str, cut: str, acting: AsOption,
    role: Annotated[str, typer.Option("--role", help="data_manager, statistician, imaging_lead; qa_auditor last.")],
    home: HomeOption = None,
) -> None:
    """Sign the lock of a soft-locked cut; with QA's signature the data are locked."""
    from core.data_lock.usecases import sign_lock
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, sign_lock(opened.desk, Actor(acting), trial, cut, role))


@lock_app.command("close")
@told
def close(trial: str, acting: AsOption, home: HomeOption = None) -> None:
    """Close a trial whose data are locked and in which nothing is open; nothing else happens in it afterwards."""
    from core.data_lock.closing import close_trial
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, close_trial(opened.desk, Actor(acting), trial))


@lock_app.command("unlock")
@told
def unlock_data(
    trial: str, reason: str, acting: AsOption,
    difference: Annotated[str, typer.Option("--difference", help="What is to be changed; the same for both.")],
    home: HomeOption = None,
) -> None:
    """Unlock the data: data manager and QA each sign reason (error_found, late_data, …) and difference."""
    from core.data_lock.usecases import unlock
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, unlock(opened.desk, Actor(acting), trial, reason, difference))


@allocation_app.command("seal")
@told
def seal(trial: str, rows: ReadFile, out: Annotated[Path, typer.Argument(dir_okay=False)]) -> None:
    """Write the sealed file of CSV rows `subject,arm` and print the digest to declare; needs no home."""
    import secrets

    from core.data_lock.rules import NONCE_DIGITS, digest_of, sealed_allocation
    from core.errors import AlreadyDone

    text = sealed_allocation(trial, _text(rows), secrets.token_hex(NONCE_DIGITS // 2))
    if out.exists():
        raise AlreadyDone(f"{out.name} exists; a sealed file is never overwritten.")
    out.touch(0o600)
    out.write_text(text, encoding="utf-8")
    typer.echo(f"sha256 {digest_of(text)}")


def _text(file: Path) -> str:
    from core.errors import UnusableInput

    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusableInput(f"{file.name} is not UTF-8 text (byte {error.start}).") from error


@allocation_app.command("declare")
@told
def declare(trial: str, digest: str, acting: AsOption, home: HomeOption = None) -> None:
    """Sign the digest of the sealed allocation file, at randomisation."""
    from core.data_lock.unblinding import declare_randomisation
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, declare_randomisation(opened.desk, Actor(acting), trial, digest))


@allocation_app.command("import")
@told
def import_file(trial: str, file: ReadFile, acting: AsOption, home: HomeOption = None) -> None:
    """Import the sealed file whose digest was declared; after the lock, or for an interim cut."""
    from core.data_lock.unblinding import import_allocation
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, import_allocation(opened.desk, Actor(acting), trial, _text(file)))


@allocation_app.command("unblind")
@told
def unblind_trial(trial: str, acting: AsOption, home: HomeOption = None) -> None:
    """Unblind the locked data."""
    from core.data_lock.unblinding import unblind
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, unblind(opened.desk, Actor(acting), trial))


@allocation_app.command("show")
@told
def show(trial: str, acting: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The locked cut, or the newest interim one, by arm; that you were shown it is recorded."""
    from dataclasses import asdict

    from core.data_lock.unblinding import show_by_arm
    from core.policy.state import Actor

    found = show_by_arm(house(home).desk, Actor(acting), trial)
    lines = [f"{found.report} report, cut {found.cut} of {found.trial}, images until {found.until}"]
    lines += [
        f"{one.arm}: {one.subjects} subjects, {one.time_points} time points ("
        + ", ".join(f"{state.replace('_', ' ')} {count}" for state, count in one.by_state)
        + f"), {one.finals} signed finals" for one in found.rows
    ]
    answer(asdict(found), as_json=as_json, words="\n".join(lines))

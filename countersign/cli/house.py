"""`countersign doctor`, `work`, `backup` and `restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told

doctor_app, work_app = (typer.Typer(invoke_without_command=True) for _ in range(2))
# Single commands, so that options may follow the folder.
backup_app, restore_app = typer.Typer(rich_markup_mode=None), typer.Typer(rich_markup_mode=None)
APPS = {"doctor": doctor_app, "work": work_app, "backup": backup_app, "restore": restore_app}


@doctor_app.callback(invoke_without_command=True)
@told
def doctor(
    home: HomeOption = None,
    as_json: JsonOption = False,
    confirm_clock: Annotated[str, typer.Option(help="Vouch for the clock as it stands; say why.")] = "",
    person: Annotated[str, typer.Option("--as", help="Who vouches for the clock (user id).")] = "",
    act: Annotated[str, typer.Option(help="Say what this act still waits for (gate.sign, read.seal, …).")] = "",
    trial: Annotated[str, typer.Option(help="In which trial the act is.")] = "",
) -> None:
    """Say in words what is wrong or missing, and what to do. Ends with 2 where the record disagrees."""
    from countersign.doctor import examine
    from countersign.readiness import act_findings

    opened = house(home)
    if confirm_clock:
        from core.access.queries import standing
        from core.policy.decide import permit
        from core.policy.state import Actor

        with opened.desk.reading() as session:
            under = permit(Actor(person), "clock.confirm", standing(session, Actor(person), None, "clock.confirm"))
        receipt = opened.desk.confirm_clock(Actor(person), under, confirm_clock)
        typer.echo(f"The clock is confirmed: entry {receipt.seq}.")
    findings = act_findings(opened, act, trial or None) if act else examine(opened)
    lines = [f"{'ok ' if one.fine else 'ATTENTION'}  {one.what}" + ("" if one.fine else f"\n    → {one.remedy}")
             for one in findings]
    answer([one.as_data() for one in findings], as_json=as_json, words="\n".join(lines))
    if any(one.damaged for one in findings):
        raise typer.Exit(2)
    if not all(one.fine for one in findings):
        raise typer.Exit(1)


@work_app.callback(invoke_without_command=True)
@told
def work(home: HomeOption = None, once: Annotated[bool, typer.Option(help="Stop when nothing is due.")] = True) -> None:
    """Carry out what the outbox holds, and make documents effective whose day has come."""
    import time

    from core.incidents.effects import destroy_again
    from core.outbox import drain
    from core.privacy.effects import reapply
    from countersign.daily import look_after
    from sops.usecases import make_due_effective

    opened = house(home)
    gone = opened.remove_leftovers()
    if gone:
        typer.echo(f"{len(gone)} leftovers of ended commands were removed, {sum(one.bytes for one in gone)} bytes.")
    again = reapply(opened.desk)
    if again:
        typer.echo(f"{again} erasures were carried out again: keys of erased subjects had come back.")
    back = destroy_again(opened.desk)
    if back:
        typer.echo(f"{back} objects were destroyed again: a copy had brought them back.")
    for name in make_due_effective(opened.desk):
        typer.echo(f"{name} is effective.")
    done = drain(opened.desk)
    said = look_after(opened.desk)
    typer.echo(", ".join([f"{done} jobs carried out", *said]) + ".")
    looked = asked = time.monotonic()
    while not once:
        time.sleep(1)
        make_due_effective(opened.desk)
        drain(opened.desk)
        if time.monotonic() - looked > 60:
            # An expired waiver or lapsed training has no entry of its own; somebody has to look.
            hourly = time.monotonic() - asked > 3600
            look_after(opened.desk, sets=hourly)
            looked = time.monotonic()
            asked = looked if hourly else asked


@backup_app.command()
@told
def backup(
    to: Annotated[str, typer.Argument(help="An empty or new folder.")], home: HomeOption = None,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Under a passphrase that nothing replaces.")] = False,
) -> None:
    """Copy database, objects, signer and settings consistently while the home is in use; then verify and record it.

    The passphrase is asked for, or comes from COUNTERSIGN_BACKUP_PASSPHRASE. Keep it apart from the copy.
    """
    from pathlib import Path

    from countersign.backup import take_copy, tell_of_record

    opened = house(home)
    copy = take_copy(opened, Path(to), _passphrase(new=True) if encrypt else None)
    typer.echo(copy.in_words())
    typer.echo(tell_of_record(opened, copy))


@restore_app.command()
@told
def restore(
    folder: Annotated[str, typer.Argument(help="The folder that `countersign backup` wrote.")], home: HomeOption = None,
    subject_keys: Annotated[str, typer.Option(
        help="Folder of the copies of subject keys as it is now; no backup holds these keys.")] = "",
) -> None:
    """Put a backup in place as a new home, after checking all of it; COUNTERSIGN_DATABASE_URL names a PostgreSQL.

    Nothing is appended to it until it was compared with what a witness, a time stamp or a receipt knows.
    """
    import os
    from pathlib import Path

    from core.clock import SystemClock
    from countersign.backup import ENCRYPTED
    from countersign.restore import restore as put_in_place
    from countersign.settings import DATABASE_VARIABLE, home_folder

    passphrase = _passphrase(new=False) if (Path(folder) / ENCRYPTED).is_file() else None
    url = os.environ.get(DATABASE_VARIABLE)
    done = put_in_place(Path(folder), home_folder(home), passphrase=passphrase, database_url=url,
                        subject_keys=Path(subject_keys) if subject_keys else None, now_us=SystemClock().now())
    typer.echo(done.in_words())


def _passphrase(*, new: bool) -> str:
    """Asked for as other secrets are; twice at a terminal where it is new."""
    import sys

    from core.errors import UnusableInput
    from countersign.cli.signing import answer as asked

    variables = ("COUNTERSIGN_BACKUP_PASSPHRASE",)
    given = asked("Passphrase of the backup", variables, hidden=True)
    if new and sys.stdin.isatty() and asked("The same once more", variables, hidden=True) != given:
        raise UnusableInput("The two passphrases differ.", next_step="Nothing was written; try again.")
    return given

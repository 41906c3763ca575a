"""`countersign signer`: init, serve, signatures, forget-head. Run by the signer's own operator, as its own user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import told

app = typer.Typer(no_args_is_help=True, help="The signer as a process of its own: set up, serve, lists of signatures.")
APPS = {"signer": app}
Folder = Annotated[
    Path, typer.Option("--folder", envvar="COUNTERSIGN_SIGNER", help="The signer's own folder; nobody else reads it.")
]


@app.command()
@told
def init(
    folder: Folder,
    origin: Annotated[str, typer.Option(help="Name of the record, the same as given to `countersign init`.")],
    database: Annotated[str, typer.Option(help="Address of the database for reading: best the auditor's role.")],
    socket: Annotated[Path, typer.Option(help="The Unix socket to listen on.")],
    allow: Annotated[list[int] | None, typer.Option(help="User id of the house; may be given again.")] = None,
    seal_backup: Annotated[Path | None, typer.Option(help="Folder of the copies of seal secrets.")] = None,
) -> None:
    """Set up a signer: one file of settings; keys are made when the installation is founded."""
    from countersign.signer.setup import SignerSettings, write_setup

    write_setup(SignerSettings(
        folder.absolute(), origin, database, socket.absolute(), tuple(allow or [os.getuid()]),
        str(seal_backup.absolute()) if seal_backup else None,
    ))
    typer.echo(f"{folder} is a signer's folder. Next: countersign signer serve --folder {folder}")
    typer.echo("Then, as the user of the house: countersign init --home DIR "
               f"--origin {origin} --signer-socket {socket.absolute()}")


@app.command()
@told
def serve(
    folder: Folder,
    user: Annotated[str, typer.Option(help="Started by root: the user of this machine to become before serving.")] = "",
) -> None:
    """Hold the keys and answer the house, until ended."""
    import logging
    import signal

    from countersign import leftovers
    from countersign.signer.setup import open_signer, read_setup

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = read_setup(folder.absolute())
    server, _, _ = open_signer(settings, user=user)
    for one in leftovers.remove(settings.folder):
        typer.echo(f"Removed what an ended process left: {one.path.name}.")

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    typer.echo(f"The signer of {settings.origin} listens on {settings.socket}; users {list(settings.allow)} may ask.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("The signer has ended.")
    finally:
        server.server_close()


@app.command()
@told
def signatures(
    folder: Folder,
    user: Annotated[str, typer.Argument(help="User id; without it, everybody for whom something was signed.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write one file per person into this folder.")] = None,
) -> None:
    """What was signed in each person's name, by the signer's own memory: hand it over by post or mail, not through
    the house. Ends with 2 where the record holds entries that this signer did not sign."""
    from countersign import database
    from countersign.signer.journal import Journal
    from countersign.signer.keyfiles import write_durably
    from countersign.signer.setup import read_setup

    settings = read_setup(folder.absolute())
    journal, unknown = Journal(settings.folder / "signed"), 0
    with database.connect_to_read(settings.database_url).connect() as session, session.begin():
        for one in [user] if user else journal.users():
            statement = journal.statement(session, one)
            unknown += len(statement.unknown)
            if out is None:
                typer.echo(statement.in_words())
            else:
                write_durably(out / f"{one}.txt", statement.in_words().encode())
                typer.echo(f"{one}: {len(statement.signed)} signatures, {out / f'{one}.txt'}")
    if unknown:
        raise typer.Exit(2)


@app.command("forget-head")
@told
def forget_head(
    folder: Folder,
    because: Annotated[str, typer.Option(help="Why the record is shorter than it was; kept in the signer's log.")],
) -> None:
    """Let this signer go on with a record that lost entries, after a restore; end the serving signer first."""
    import json
    from datetime import UTC, datetime

    from core.errors import UnusableInput
    from countersign.signer.memory import HeadMemory
    from countersign.signer.setup import read_setup

    if not because.strip():
        raise UnusableInput("Say why.", next_step="Nothing was changed.")
    settings = read_setup(folder.absolute())
    held = HeadMemory(settings.folder / "head").forget()
    line = {"at": datetime.now(UTC).isoformat(), "because": because,
            "size": held[0] if held else None, "root": held[1].hex() if held else None}
    with (settings.folder / "forgotten-heads.jsonl").open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
    typer.echo(f"Forgotten: {held[0]} entries. Start the signer again." if held else "There was no memory of a head.")

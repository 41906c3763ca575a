"""`countersign ledger witness | cosign | anchor | lag`: what holds the record from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, house, told


def register(app: typer.Typer) -> None:
    """Add these commands to `countersign ledger`."""
    for command in (witness, cosign, anchor, lag):
        app.command()(command)


@told
def witness(
    folder: Annotated[Path, typer.Option(help="The witness's own folder, on another machine than the house.")],
    origin: Annotated[str, typer.Option(help="Origin of the watched log, as on its trust card.")],
    log_key: Annotated[list[str], typer.Option(
        help="Public key of the log, base64, as `key list --json` shows it; after a rotation also the new one, last.")],
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 8472,
) -> None:
    """Watch one log from outside: cosign what extends what was seen, refuse a fork or a rollback and end with 2."""
    from audit.entry import MalformedEntry, base64_text, from_base64
    from core.errors import UnusableInput
    from countersign.witness import Witness, serve

    try:
        log_keys = [from_base64(one) for one in log_key]
    except MalformedEntry as error:
        raise UnusableInput("The public key of the log is not base64.") from error
    watching = Witness(folder, origin, *log_keys)
    typer.echo(f"Witness {watching.name}, public key {base64_text(watching.public_key)}")
    typer.echo(f"Listening on http://127.0.0.1:{port}; it knows {watching.known()['size']} entries.")
    server = serve(watching, port)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("Ended.")
    if server.disagreed:  # type: ignore[attr-defined]
        raise typer.Exit(2)


@told
def cosign(
    url: Annotated[str, typer.Option(help="Address of the witness.")],
    name: Annotated[str, typer.Option(help="Name of the witness, as it says at its start.")],
    key: Annotated[str, typer.Option(help="Public key of the witness, base64.")],
    home: HomeOption = None,
) -> None:
    """Have the newest checkpoint cosigned. A witness that saw another history stops this house from appending."""
    from audit.entry import MalformedEntry, from_base64
    from core.errors import UnusableInput
    from countersign.outside_proof import ask_witness

    try:
        public = from_base64(key)
    except MalformedEntry as error:
        raise UnusableInput("The public key of the witness is not base64.") from error
    typer.echo(ask_witness(house(home), url, name, public))


@told
def anchor(
    url: Annotated[str, typer.Option(help="Address of an RFC 3161 time-stamp authority.")],
    root: Annotated[list[Path], typer.Option(help="Root certificate of the authority, PEM; may be repeated.")],
    home: HomeOption = None,
) -> None:
    """Have the newest checkpoint time-stamped and record the token; signing never waits for it."""
    from core.errors import UnusableInput
    from countersign.outside_proof import anchor as take_anchor

    missing = [str(path) for path in root if not path.is_file()]
    if missing:
        raise UnusableInput(f"There is no file {', '.join(missing)}.")
    typer.echo(take_anchor(house(home), url, [path.read_bytes() for path in root]))


@told
def lag(home: HomeOption = None) -> None:
    """How much of the record nothing outside holds yet."""
    from countersign.outside_proof import lag as lag_of

    typer.echo(lag_of(house(home)))

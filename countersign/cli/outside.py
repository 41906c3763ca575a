"""`countersign ledger witness | cosign | anchor | lag | resume | continue`: what holds the record from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, house, told
from countersign.cli.signing import AsOption, BecauseOption


def register(app: typer.Typer) -> None:
    """Add these commands to `countersign ledger`."""
    for command in (witness, cosign, anchor, lag, resume):
        app.command()(command)
    app.command("continue")(continue_)


@told
def witness(
    folder: Annotated[Path, typer.Option(help="The witness's own folder, on another machine than the house.")],
    origin: Annotated[str, typer.Option(help="Origin of the watched log, as on its trust card.")],
    log_key: Annotated[list[str], typer.Option(
        help="Public key of the log, base64, as `key list --json` shows it; after a rotation also the new one, last.")],
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 8472,
    continues: Annotated[Path | None, typer.Option(
        help="Folder of the witness of the old origin, where the record was continued; with --restored.")] = None,
    restored: Annotated[Path | None, typer.Option(
        help="The last checkpoint under the old origin: `countersign ledger checkpoint --size N`.")] = None,
) -> None:
    """Watch one log from outside: cosign what extends what was seen, refuse a fork or a rollback and end with 2."""
    from audit.entry import MalformedEntry, base64_text, from_base64
    from core.errors import UnusableInput
    from countersign.witness import Witness, serve

    try:
        log_keys = [from_base64(one) for one in log_key]
    except MalformedEntry as error:
        raise UnusableInput("The public key of the log is not base64.") from error
    if (continues is None) != (restored is None):
        raise UnusableInput("--continues and --restored belong together.")
    watching = Witness(folder, origin, *log_keys)
    if continues is not None and restored is not None:
        watching.follow(continues, read_note(restored))
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


def read_note(path: Path) -> str:
    """A checkpoint from its file. Raises UnusableInput."""
    from core.errors import UnusableInput

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UnusableInput(f"{path} cannot be read as a checkpoint.") from error


@told
def resume(
    acting: AsOption, because: BecauseOption,
    note: Annotated[list[Path] | None, typer.Option(help="A checkpoint kept outside; may be repeated.")] = None,
    home: HomeOption = None,
) -> None:
    """Let a restored record go on under its own name, after comparing it with every checkpoint known outside."""
    from core.policy.state import Actor
    from countersign.standstill import resume as go_on

    receipt = go_on(house(home), Actor(acting), because, [read_note(path) for path in note or ()])
    typer.echo(f"Appending goes on: entry {receipt.seq}.")


@told
def continue_(
    origin: Annotated[str, typer.Option(help="The new name of the record, for ever: imaging.hospital.example/two.")],
    owner: Annotated[str, typer.Option(help="User id of the system owner, who signs first.")],
    qa: Annotated[str, typer.Option(help="User id of quality assurance, who signs last.")],
    because: BecauseOption,
    note: Annotated[Path | None, typer.Option(
        help="The checkpoint known outside; not needed where a witness has shown it.")] = None,
    home: HomeOption = None,
) -> None:
    """Go on after a loss, under a new origin: owner and QA sign here, one after the other, and the root key proves it.

    What the old origin knew beyond this record is reported lost, not forged, from then on.
    """
    from core.policy.state import Actor
    from countersign.cli.signing import ask_meaning, proof_of, show
    from countersign.standstill import follow_origin, prepare_continuation

    opened = house(home)
    shown = prepare_continuation(opened, Actor(owner), Actor(qa), origin=origin, because=because,
                                 note=read_note(note) if note else None)
    proofs = []
    for proposal in shown.pages:
        show(proposal)
        ask_meaning("approval")
        proofs.append(proof_of(proposal.actor.user))
    receipt = shown.commit(proofs[0], proofs[1])
    follow_origin(opened)
    typer.echo(f"Signed by both. Entries {receipt.seq} and {receipt.seq + 1}: the record goes on as {origin}.")
    typer.echo("Next: give everybody the new trust card (`countersign ledger card`), begin a new witness with "
               "`countersign ledger witness --continues`, and have the record cosigned.")

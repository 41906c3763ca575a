"""`countersign database prepare`: run by the owner of a PostgreSQL database, who is not the house."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import told

app = typer.Typer(no_args_is_help=True, help="A PostgreSQL for the record: tables, roles and who is in them.")
APPS = {"database": app}


@app.callback()
def about() -> None:
    """A PostgreSQL for the record: tables, roles and who is in them."""


@app.command()
@told
def prepare(
    owner: Annotated[str, typer.Option(
        envvar="COUNTERSIGN_OWNER_DATABASE_URL",
        help="Address of the database as its owner, such as postgresql://record_owner@/record?host=/run/postgresql; "
             "with a password better in the variable.")],
    house: Annotated[str, typer.Option(help="Login role of the house: becomes a writer, which adds only.")],
    signer: Annotated[str, typer.Option(help="Login role of a signer in its own process: becomes an auditor.")] = "",
) -> None:
    """Make the tables and protections of this release, and let the house write and the signer read.

    Before `countersign init`, and again after each new release. The house itself never connects as the owner: who owns
    tables can lift their protections.
    """
    import countersign.words  # noqa: F401  every read-model is declared by importing them
    from countersign import database

    engine = database.connect(owner)
    try:
        changed = database.prepare(engine, house=house, signer=signer or None)
    finally:
        engine.dispose()
    typer.echo(f"The database is prepared: {house} adds to the record" + (f", {signer} reads it." if signer else "."))
    if changed:
        typer.echo(f"{len(changed)} tables were folded anew from the record: {', '.join(changed)}.")
    typer.echo("Next, as the user of the house, with COUNTERSIGN_DATABASE_URL naming that role: countersign init")

"""`countersign seals`: state, renew, recover."""

from __future__ import annotations

from dataclasses import asdict

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, BecauseOption, show_share, sign
from countersign.cli.signing import answer as ask

app = typer.Typer(no_args_is_help=True, help="Secrets of sealed reads: state, recovery key, recovery after a loss.")
APPS = {"seals": app}


@app.command()
@told
def state(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """How many secrets the signer keeps, and whether each has its copy under the recovery key."""
    from core.reads.ports import keeper_of

    opened = house(home)
    found = keeper_of(opened.signer).state_of_seals()
    words = (
        f"{found.secrets} secrets of seals; {found.without_copy} without a copy under the recovery key.\n"
        f"Recovery key: {found.recovery_key or 'none is in force; nothing can be sealed'}\n"
        f"Copies: {opened.settings.seal_backup_folder}"
    )
    data = asdict(found) | {"copies": str(opened.settings.seal_backup_folder)}
    answer(data, as_json=as_json, words=words)


@app.command()
@told
def renew(acting: AsOption, home: HomeOption = None) -> None:
    """Make a new recovery key: owner and QA sign one after the other, and each is shown one share of it."""
    from core import outbox
    from core.policy.state import Actor
    from core.reads.seal_keys import renew_recovery_key

    opened = house(home)
    renewal = renew_recovery_key(opened.desk, Actor(acting))
    sign(opened.desk, renewal.proposal)
    show_share(acting, renewal.share)
    if renewal.second:
        outbox.drain(opened.desk)
        typer.echo("The new recovery key is in force; every secret has a copy under it. Destroy the old shares.")
    else:
        typer.echo("The other of owner and QA signs within 72 hours: countersign seals renew --as USER")


@app.command()
@told
def recover(acting: AsOption, because: BecauseOption, home: HomeOption = None) -> None:
    """Restore lost secrets from their copies: owner and QA each bring their share and sign, within 15 minutes."""
    from core.policy.state import Actor
    from core.reads.seal_keys import recover_seals

    opened = house(home)
    own = f"COUNTERSIGN_SHARE_{acting.upper().replace('-', '_')}"
    share = ask(f"Share of the recovery key of {acting}", (own, "COUNTERSIGN_SHARE"), hidden=True)
    recovery = recover_seals(opened.desk, Actor(acting), share, because)
    found = recovery.finish(sign(opened.desk, recovery.proposal))
    if found is None:
        typer.echo("The share is kept for 15 minutes. Next, the other person: countersign seals recover --as USER")
        return
    typer.echo(
        f"{found.restored} secrets were restored, {found.sound} were sound, {found.unreadable} copies did not open."
    )
    if found.unreadable:
        typer.echo("Those were made for an older recovery key, or were damaged; nothing on this machine opens them.")
        raise typer.Exit(1)

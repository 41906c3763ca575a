"""`countersign serve`: the pages and the API; `countersign serve password` gives a person a login."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import HomeOption, house, told

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None,
                  help="The pages and the API, on loopback unless told otherwise.")
APPS = {"serve": app}
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@app.callback(invoke_without_command=True)
@told
def serve(
    context: typer.Context, home: HomeOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
    certificate: Annotated[str | None, typer.Option(help="TLS certificate chain (PEM); with --key.")] = None,
    key: Annotated[str | None, typer.Option(help="TLS private key (PEM).")] = None,
    behind_tls: Annotated[bool, typer.Option("--behind-tls", help="A reverse proxy in front speaks TLS.")] = False,
) -> None:
    """Serve until interrupted. Anything but loopback needs TLS, here or in front: cookies travel only over it."""
    if context.invoked_subcommand is not None:
        return
    import uvicorn

    from core.errors import UnusableInput
    from core.incidents.effects import destroy_again
    from core.privacy.effects import reapply
    from countersign.web.app import build_app, settle

    tls = behind_tls or certificate is not None
    if host not in LOOPBACK and not tls:
        raise UnusableInput(f"Listening on {host} without TLS would send passwords in the clear.",
                            next_step="Give --certificate and --key, or --behind-tls when a proxy speaks TLS.")
    opened = house(home)
    # Before anybody is shown anything: a restored copy must not serve what was erased since it was made.
    reapply(opened.desk)
    destroy_again(opened.desk)
    scheme = "https" if certificate else "http"
    typer.echo(f"Countersign on {scheme}://{host}:{port}/ — end with Ctrl-C.")
    pages = build_app(opened, tls=tls)
    settle()
    uvicorn.run(pages, host=host, port=port, ssl_certfile=certificate, ssl_keyfile=key,
                log_level="warning", server_header=False, proxy_headers=behind_tls)


@app.command()
@told
def password(user: Annotated[str, typer.Argument(help="User id.")], home: HomeOption = None) -> None:
    """Set the login password of a person, who proves with signing password and one-time code that it is them."""
    from core.errors import UnusableInput
    from core.work import Proof
    from countersign.web.accounts import Passwords, set_password

    opened = house(home)
    signing = typer.prompt("Signing password", hide_input=True)
    code = typer.prompt("One-time code")
    opened.signer.prove(user, Proof(signing, code))
    fresh = typer.prompt("New login password", hide_input=True, confirmation_prompt=True)
    if fresh == signing:
        raise UnusableInput("The login password must be another one than the signing password.")
    settings = opened.settings
    set_password(opened.desk, Passwords(settings.password_memory_kib, settings.password_passes,
                                        settings.password_lanes), user, fresh)
    typer.echo(f"{user} can log in. A login signs nothing; each signature asks for the signing password.")

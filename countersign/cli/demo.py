"""`countersign demo`: a whole trial in a fresh home."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import told

demo_app = typer.Typer(invoke_without_command=True)
APPS = {"demo": demo_app}


@demo_app.callback(invoke_without_command=True)
@told
def demo(
    home: Annotated[str, typer.Option(help="A new folder for the demonstration's home.")] = "demo-home",
    data: Annotated[str | None, typer.Option(help="Folder of real imaging studies, to show these as well.")] = None,
    fresh: Annotated[bool, typer.Option(help="Remove an earlier demonstration in that folder first.")] = False,
) -> None:
    """Play a whole trial through its four phases with real use cases, to the CSR appendix; 0 only if all verified."""
    from pathlib import Path

    from countersign.demonstration.script import play

    raise typer.Exit(play(Path(home), Path(data) if data else None, fresh=fresh))

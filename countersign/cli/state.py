"""`countersign ledger state`: how the house stood at any entry or time."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told


def register(app: typer.Typer) -> None:
    """Add the command to `ledger`."""
    app.command("state")(state)


@told
def state(
    as_of: Annotated[str, typer.Option(
        "--as-of", help="An entry number, or a UTC date, minute or second (2026-11-24T10:00).")],
    table: Annotated[list[str] | None, typer.Option(
        "--table", help="people, trials, gates, time-points or models; repeat it. Left out: all.")] = None,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Fold the record up to a moment into fresh tables and show them; the live ones are left alone."""
    from reports.past_state import in_text, state_as_of

    found = state_as_of(house(home).desk, as_of, tables=tuple(table or ()))
    answer(found.as_data(), as_json=as_json, words=in_text(found))

"""What every command shares: the home, plain errors, exit codes 0 done, 1 wrong use, 2 the record disagrees."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from countersign.house import House

P = ParamSpec("P")
HomeOption = Annotated[
    str | None,
    typer.Option("--home", envvar="COUNTERSIGN_HOME", help="Folder of this installation.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable answer.")]


def told(command: Callable[P, None]) -> Callable[P, None]:
    """Show a known error as fact and next step, and end with 1; a damaged record ends with 2."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        from core.errors import CountersignError, RecordDamaged
        from countersign.disk import system_error

        try:
            try:
                command(*arguments, **options)
            except OSError as problem:
                raise system_error(problem) or problem from problem
        except CountersignError as error:
            typer.echo(error.in_words(), err=True)
            raise typer.Exit(2 if isinstance(error, RecordDamaged) else 1) from error

    return run


def house(home: str | None) -> House:
    """The opened installation."""
    from countersign.house import check_vocabulary, open_house
    from countersign.settings import home_folder

    opened = open_house(home_folder(home))
    check_vocabulary(opened)
    return opened


def running(what: str, seconds: int) -> None:
    """Say beside the answer what is being done now and when it is ended at the latest: a network may be silent long."""
    typer.echo(f"{what}; at most {seconds // 60} minutes.", err=True)


def answer(data: Any, *, as_json: bool, words: str) -> None:
    """Print data as JSON, or the words for people."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str) if as_json else words)

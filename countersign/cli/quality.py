"""`countersign quality`: corrective and preventive actions, and the class of changes."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

app = typer.Typer(no_args_is_help=True, help="Corrective and preventive actions; classes of changes.")
APPS = {"quality": app}

EvidenceOption = Annotated[str, typer.Option(help="File that shows it.")]


def _file(name: str) -> tuple[bytes | None, str]:
    import mimetypes
    from pathlib import Path

    media = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return (Path(name).read_bytes() if name else None), media


@app.command("list")
@told
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Actions with their state and day, and every assessed change."""
    from validation.queries import capa_lines, change_lines

    with house(home).desk.reading() as session:
        actions, assessed = [dict(row) for row in capa_lines(session)], [dict(row) for row in change_lines(session)]
    words = ["Actions", *(f"  {a['capa']} for {a['deviation']} ({a['klass_name']}), {a['owner']}, due {a['due']}: "
                          f"{(a['effect'] or a['state']).replace('_', ' ')}" for a in actions)]
    words += ["Changes", *(f"  {c['change']} of {c['lock'] or 'this installation'}, {c['klass_name']}: {c['says']} "
                           f"To be done again: {c['scope']}." for c in assessed)]
    answer({"actions": actions, "changes": assessed}, as_json=as_json, words="\n".join(words))


@app.command("open")
@told
def open_(
    capa: Annotated[str, typer.Argument(help="Id of the new action.")],
    deviation: Annotated[str, typer.Argument(help="Id of the deviation whose cause it treats.")], person: AsOption,
    action: Annotated[str, typer.Option(help="What is done.")],
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    due: Annotated[str, typer.Option(help="Day by which it is done and its effect checked, YYYY-MM-DD.")],
    effect_check: Annotated[str, typer.Option(help="How its effect will be seen.")],
    kind: Annotated[str, typer.Option(help="corrective or preventive.")] = "corrective", home: HomeOption = None,
) -> None:
    """Plan an action against the cause of a deviation. A critical deviation is not closed without one."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.quality import OpenCapa, open_capa

    opened = house(home)
    command = OpenCapa(capa, deviation, kind, action, owner, due, effect_check)
    sign(opened.desk, open_capa(opened.desk, Actor(person), command))


@app.command()
@told
def check(
    capa: Annotated[str, typer.Argument(help="Id of an open action.")], person: AsOption,
    done: Annotated[str, typer.Option(help="What was done.")],
    effect: Annotated[str, typer.Option(help="effective or not_effective.")],
    checked: Annotated[str, typer.Option(help="How the effect was checked, and what was seen.")],
    evidence: EvidenceOption = "",
    followed_by: Annotated[str, typer.Option(help="Open action that follows one without effect.")] = "",
    home: HomeOption = None,
) -> None:
    """Close an action on its effect; not by its owner."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.quality import CloseCapa, close_capa

    opened = house(home)
    command = CloseCapa(capa, done, effect, checked, *_file(evidence), followed_by or None)
    sign(opened.desk, close_capa(opened.desk, Actor(person), command))


@app.command()
@told
def change(
    change: Annotated[str, typer.Argument(help="Id of the change.")], person: AsOption,
    klass: Annotated[str, typer.Option(
        "--class", help="C0 text, C1 output bit-equal, C2 environment, C3 weights, processing, threshold or use.")],
    says: Annotated[str, typer.Option(help="What is changed.")],
    lock: Annotated[str, typer.Option(help="Lock that it touches; this installation where not given.")] = "",
    proof: Annotated[str, typer.Option(help="For C1: the file that shows the sentinel set bit-equal.")] = "",
    home: HomeOption = None,
) -> None:
    """Sign the class of a change; the runs it puts in doubt become suspect until they are done again."""
    from core.outbox import drain
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.quality import AssessChange, assess_change

    opened = house(home)
    command = AssessChange(change, klass, says, lock or None, *_file(proof))
    sign(opened.desk, assess_change(opened.desk, Actor(person), command))
    drain(opened.desk)

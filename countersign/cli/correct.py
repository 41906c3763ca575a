"""`countersign correct`: series in the wrong place, what that means for locked reads, and who is sent what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from sqlalchemy import Connection

app = typer.Typer(no_args_is_help=True, help="Corrections: series in the wrong place, impact on reads, notes.")
APPS = {"correct": app}
TrialOption = Annotated[str, typer.Option("--trial", help="The trial.")]
CommentOption = Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")]


@app.command("series")
@told
def correct_series(
    series: Annotated[list[str], typer.Argument(help="UIDs of series of one study, as `qc list --json` names them.")],
    kind: Annotated[str, typer.Option(
        help="wrong_subject, wrong_time_point, wrong_side, duplicate or extra_series.")],
    trial: TrialOption, person: AsOption,
    to_subject: Annotated[str, typer.Option(help="Whose images they are.")] = "",
    to_time_point: Annotated[str, typer.Option(help="Of which time point they are.")] = "",
    side: Annotated[str, typer.Option(help="L or R.")] = "",
    comment: CommentOption = "", home: HomeOption = None,
) -> None:
    """Take series out of the wrong place, with your signature; what was derived there counts no more."""
    from core import outbox
    from core.corrections.usecases import CorrectStudy, correct_study
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    desk = house(home).desk
    command = CorrectStudy(trial, tuple(series), kind, to_subject or None, to_time_point or None, side or None,
                           comment or None)
    sign(desk, correct_study(desk, Actor(person), command))
    outbox.drain(desk)


@app.command()
@told
def impact(
    subject: Annotated[str, typer.Argument(help="The subject.")],
    time_point: Annotated[str, typer.Argument(help="The time point whose images were corrected.")],
    decision: Annotated[str, typer.Argument(help="none, this or from_here.")],
    trial: TrialOption, person: AsOption, comment: CommentOption = "", home: HomeOption = None,
) -> None:
    """Decide, blind to the values, what a correction means for locked reads: none, read this again, or from here."""
    from core import outbox
    from core.policy.state import Actor
    from core.reads.impact import DecideImpact, decide_impact
    from countersign.cli.signing import sign

    desk = house(home).desk
    sign(desk, decide_impact(desk, Actor(person), DecideImpact(trial, subject, time_point, decision, comment or None)))
    outbox.drain(desk)


@app.command()
@told
def deliver(
    entry: Annotated[int, typer.Argument(help="Entry of the correction.")],
    folder: Annotated[str, typer.Argument(help="New folder for the note and what stands for the rejected objects.")],
    trial: TrialOption, person: AsOption, home: HomeOption = None,
) -> None:
    """Take out the rejection note and the corrected objects, for whoever holds the rejected ones."""
    from pathlib import Path

    from core.corrections.usecases import deliver_correction
    from core.policy.state import Actor

    receipt = deliver_correction(house(home).desk, Actor(person), trial, entry, Path(folder))
    typer.echo(f"Written to {folder}, entry {receipt.seq}. Send all of it: the note names what is rejected.")


@app.command("list")
@told
def list_corrections(
    trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Conflicts nobody has answered, decisions that are awaited, and every correction."""
    from core.arrival.queries import quality_facts
    from core.policy.decide import permit
    from core.policy.state import Actor

    with house(home).desk.reading() as session:
        permit(Actor(person), "quality.see", quality_facts(session, Actor(person), "quality.see", trial))
        data = _gathered(session, trial)
    words = [*(f"entry {one['entry']:<6} other content came under a stored identity: {one['subject']}, "
               f"{one['time_point']}, {one['modality']}; dispose of the series anew" for one in data["conflicts"]),
             *(f"entry {one['entry']:<6} awaits an impact decision: {one['subject']}, {one['time_point']} "
               f"({one['kind'].replace('_', ' ')})" for one in data["awaited"]),
             *(f"entry {one['entry']:<6} {one['subject']}, {one['time_point']}: {one['kind'].replace('_', ' ')}, "
               f"{one['became']}; {'carried out' if one['carried_out'] else 'the worker has not written it yet'}"
               for one in data["corrections"])]
    answer(data, as_json=as_json, words="\n".join(words) or "Nothing was corrected.")


def _gathered(session: Connection, trial: str) -> dict[str, list[dict[str, Any]]]:
    from dataclasses import asdict

    from core.arrival.queries import unanswered_conflicts
    from core.corrections.queries import corrections_of, deliveries_of, notices_of
    from core.reads.queries import impacts_of

    return {
        "conflicts": [asdict(one) for one in unanswered_conflicts(session, trial)],
        "awaited": [asdict(one) for one in impacts_of(session, trial, open_only=True)],
        "corrections": [
            {"entry": one.entry, "kind": one.kind, "subject": one.subject, "time_point": one.time_point,
             "became": one.became, "series": list(one.series), "by": one.person, "at": one.at, "title": one.title,
             "carried_out": one.note is not None, "told": [each.holder for each in notices_of(session, one.correction)],
             "delivered": [each.entry for each in deliveries_of(session, one.correction)]}
            for one in corrections_of(session, trial)
        ],
    }

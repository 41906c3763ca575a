"""`countersign read`: readers and slots, cases, own marks, AI values, sealed reads, adjudication, finals.

What a person may see of them is in read_show.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli import read_show
from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.read_show import SubjectArgument, TrialOption
from countersign.cli.signing import AsOption, BecauseOption

if TYPE_CHECKING:
    from countersign.house import House

app = typer.Typer(
    no_args_is_help=True,
    help="Blinded reads, from the reader's qualification to the signed final.",
)
APPS = {"read": app}
read_show.register(app)

TimePointArgument = Annotated[str, typer.Argument(metavar="TIME-POINT", help="Time point of the charter.")]
AnswerArgument = Annotated[str, typer.Argument(metavar="FILE", help="The answer, YAML or JSON; `-` reads input.")]


@app.command()
@told
def qualify(
    user: Annotated[str, typer.Argument(help="Who passed the reference set.")],
    trial: TrialOption,
    person: AsOption,
    reference_set: Annotated[str, typer.Option(help="Name of the reference set.")],
    cases: Annotated[int, typer.Option(help="Cases read.")],
    score: Annotated[str, typer.Option(help="Score, a decimal.")],
    limit: Annotated[str, typer.Option(help="Score that is needed, a decimal.")],
    part: Annotated[str, typer.Option("--part", help="reader or adjudicator.")] = "reader",
    home: HomeOption = None,
) -> None:
    """Sign that somebody passed the reference set, before their first case."""
    from core.policy.state import Actor
    from core.reads.usecases import QualifyReader, qualify_reader
    from countersign.cli.signing import sign

    opened = house(home)
    command = QualifyReader(trial, user, part, reference_set, cases, score, limit)
    sign(opened.desk, qualify_reader(opened.desk, Actor(person), command))


@app.command()
@told
def assign(
    subjects: Annotated[list[str], typer.Argument(help="Coded subject ids.")],
    trial: TrialOption,
    person: AsOption,
    slot: Annotated[list[str], typer.Option("--slot", help="SLOT=PERSON, such as reader_1=reader-1; repeat it.")],
    replace: Annotated[str, typer.Option(help="Reason code, where a present reader is replaced.")] = "",
    home: HomeOption = None,
) -> None:
    """Give slots of subjects to readers; one reader keeps a subject for the whole trial."""
    from core.errors import UnusableInput
    from core.policy.state import Actor
    from core.reads.usecases import AssignReaders, assign_readers
    from countersign.cli.signing import sign

    pairs = [each.partition("=") for each in slot]
    if any(not name or not reader for name, _, reader in pairs):
        raise UnusableInput("A slot is given as SLOT=PERSON, such as reader_1=reader-1.")
    readers = {name: reader for name, _, reader in pairs}
    opened = house(home)
    command = AssignReaders(trial, tuple(subjects), readers, replace or None)
    sign(opened.desk, assign_readers(opened.desk, Actor(person), command))


@app.command()
@told
def seeds(
    subject: SubjectArgument, time_point: TimePointArgument,
    file: Annotated[str, typer.Argument(help="YAML with series, frame_of_reference and a list of seeds.")],
    trial: TrialOption, person: AsOption, home: HomeOption = None,
) -> None:  # fmt: skip
    """Sign where lesions are, for the model; coordinates in millimetres of the patient's axes."""
    from audit.vocabulary.reads import Seed
    from core.errors import UnusableInput
    from core.policy.state import Actor
    from core.reads.answer import read_file
    from core.reads.usecases import PlaceSeeds, place_seeds
    from countersign.cli.signing import sign

    stated = read_file(_text(file))
    names = ("lesion", "tracking_uid", "x", "y", "z")
    given = stated.get("seeds")
    if not isinstance(given, list) or any(not isinstance(one, dict) or set(one) != set(names) for one in given):
        raise UnusableInput(f"`seeds` is a list of {', '.join(names)}, each of them and nothing else.")
    if not isinstance(stated.get("series"), str) or not isinstance(stated.get("frame_of_reference"), str):
        raise UnusableInput("`series` and `frame_of_reference` are UIDs, as text.")
    placed = tuple(Seed(**{name: str(one[name]) for name in names}) for one in given)
    command = PlaceSeeds(trial, subject, time_point, stated["series"], stated["frame_of_reference"], placed)
    opened = house(home)
    sign(opened.desk, place_seeds(opened.desk, Actor(person), command))


@app.command()
@told
def begin(
    subject: SubjectArgument, time_point: TimePointArgument, trial: TrialOption, person: AsOption,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Open a time point to your slot; prints the assignment and the lesions of your own baseline."""
    from core.policy.state import Actor
    from core.reads import queries
    from core.reads.usecases import BeginRead, begin_read, image_flags

    desk = house(home).desk
    assignment = begin_read(desk, Actor(person), BeginRead(trial, subject, time_point))
    with desk.reading() as session:
        task = queries.task(session, assignment)
        own = queries.own_answers(session, trial, subject, task.assigned)
        flags = image_flags(session, trial, subject, time_point)
    first = min(own, key=lambda each: each.scanned_on, default=None)
    lesions = [each.model_dump(mode="json", exclude_defaults=True) for each in first.targets] if first else []
    words = [f"{time_point} of {subject} is open to you. Assignment {assignment}."]
    words += [f"  note: {each}" for each in flags]
    words += [f"  your target {each['lesion']}: {each.get('location', '')}" for each in lesions]
    data = {"assignment": assignment, "targets": lesions, "flags": list(flags)}
    answer(data, as_json=as_json, words="\n".join(words))


@app.command()
@told
def ai(
    assignment: Annotated[str, typer.Argument(help="The assignment that `read begin` printed.")],
    endpoint: Annotated[str, typer.Argument(help="Endpoint of the charter.")],
    person: AsOption, home: HomeOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show AI values as the charter allows it now; that they were shown is recorded."""
    from core.policy.state import Actor
    from core.reads.locking import show_ai_values

    values = show_ai_values(house(home).desk, Actor(person), assignment, endpoint)
    data = [{"run": each.run, "lesion": each.lesion, "value": str(each), "lock": each.lock} for each in values]
    words = "\n".join(f"{each['lesion']:<12} {each['value']:>12}   run {each['run']}" for each in data)
    answer(data, as_json=as_json, words=words or "There is no AI value for this endpoint here.")


@app.command()
@told
def mark(
    subject: SubjectArgument, time_point: TimePointArgument, file: AnswerArgument, trial: TrialOption,
    person: AsOption, home: HomeOption = None,
) -> None:  # fmt: skip
    """Lock your own marks under seal, before AI values are shown."""
    _lock(house(home), person, trial, subject, time_point, file, marks=True)


@app.command()
@told
def seal(
    subject: SubjectArgument, time_point: TimePointArgument, file: AnswerArgument, trial: TrialOption,
    person: AsOption, home: HomeOption = None,
) -> None:  # fmt: skip
    """Lock your read under seal with your signature; it opens when every required seal is in."""
    from core import outbox
    from core.reads import queries

    opened = house(home)
    _lock(opened, person, trial, subject, time_point, file, marks=False)
    outbox.drain(opened.desk)
    with opened.desk.reading() as session:
        done = queries.task_of_reader(session, trial, subject, time_point, person)
    is_open = done is not None and done.state == "opened"
    typer.echo("All seals were in: the reads are open." if is_open else "Your read is locked; other seals are awaited.")


def _lock(
    opened: House, person: str, trial: str, subject: str, time_point: str, file: str, *, marks: bool
) -> None:
    from core.policy.state import Actor
    from core.reads.answer import read_file
    from core.reads.locking import LockAnswer, mark_read, seal_read
    from core.work import View
    from countersign.cli.signing import page, sign

    command = LockAnswer(trial, subject, time_point, read_file(_text(file)))
    to_lock = (mark_read if marks else seal_read)(opened.desk, Actor(person), command)
    typer.echo(page(View("Your answer, kept under the seal", "reads/answer", to_lock.shown)))
    sign(opened.desk, to_lock.proposal)


def _text(file: str) -> str:
    import sys
    from pathlib import Path

    from core.errors import UnusableInput

    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInput(f"{file} cannot be read as text: {type(error).__name__}.") from error


@app.command()
@told
def adjudicate(
    compared: Annotated[str, typer.Argument(help="The comparison, as `read differences` names it.")],
    letter: Annotated[str, typer.Argument(help="Letter of the read that is chosen as a whole.")],
    trial: TrialOption, person: AsOption,
    reason: Annotated[str, typer.Option(help="Reason code, such as measurement or new_lesion.")],
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:  # fmt: skip
    """Choose one whole read and sign the choice."""
    from core.policy.state import Actor
    from core.reads.deciding import Adjudicate, adjudicate
    from countersign.cli.signing import sign

    opened = house(home)
    command = Adjudicate(trial, compared, letter.upper(), reason, comment or None)
    sign(opened.desk, adjudicate(opened.desk, Actor(person), command))


@app.command()
@told
def final(
    subject: SubjectArgument, time_point: TimePointArgument, trial: TrialOption, person: AsOption,
    home: HomeOption = None,
) -> None:  # fmt: skip
    """Sign the accepted read of a time point as its final, a new structured report."""
    from core.policy.state import Actor
    from core.reads.finals import SignFinal, sign_final
    from countersign.cli.signing import sign

    opened = house(home)
    sign(opened.desk, sign_final(opened.desk, Actor(person), SignFinal(trial, subject, time_point)))


@app.command()
@told
def again(
    subject: SubjectArgument, time_point: TimePointArgument,
    slot: Annotated[str, typer.Argument(help="The slot that reads again, such as reader_1.")],
    trial: TrialOption, person: AsOption,
    scope: Annotated[str, typer.Option(help="this or from_here.")],
    reason: Annotated[str, typer.Option(help="Reason code, such as images_corrected.")],
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:  # fmt: skip
    """Order locked reads to be read again after a correction; the earlier ones are kept and excluded."""
    from core.policy.state import Actor
    from core.reads.usecases import OrderReread, order_reread
    from countersign.cli.signing import sign

    opened = house(home)
    command = OrderReread(trial, subject, time_point, slot, scope, reason, comment or None)
    sign(opened.desk, order_reread(opened.desk, Actor(person), command))


@app.command("withdraw-ai")
@told
def withdraw_ai(
    assignment: Annotated[str, typer.Argument(help="The AI read, as `read list` names it.")],
    because: BecauseOption, person: AsOption, home: HomeOption = None,
) -> None:  # fmt: skip
    """Give up an AI read that will not come, so that sealed human reads do not wait for it."""
    from core import outbox
    from core.policy.state import Actor
    from core.reads.ai_reads import withdraw_ai_read

    opened = house(home)
    receipt = withdraw_ai_read(opened.desk, assignment, because, by=Actor(person))
    outbox.drain(opened.desk)
    typer.echo(f"Withdrawn: entry {receipt.seq}. Human reads no longer wait for it.")


@app.command("open-early")
@told
def open_early(
    subject: SubjectArgument, time_point: TimePointArgument, trial: TrialOption, person: AsOption,
    reason: Annotated[str, typer.Option(help="Reason code, such as safety_of_subject or reader_not_available.")],
    home: HomeOption = None,
) -> None:  # fmt: skip
    """Sign that what is sealed opens before all seals are in; QA and imaging lead both sign."""
    from core import outbox
    from core.policy.state import Actor
    from core.reads.early_opening import OrderOpening, order_opening
    from countersign.cli.signing import sign

    opened = house(home)
    proposal = order_opening(opened.desk, Actor(person), OrderOpening(trial, subject, time_point, reason))
    sign(opened.desk, proposal)
    outbox.drain(opened.desk)
    second = proposal.bodies[0]["fields"].get("first") is not None
    said = "The seals that both of you named are open." if second else "Next, the other of QA and imaging lead signs."
    typer.echo(said)

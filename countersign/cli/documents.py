"""`countersign sop`: controlled documents and training."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, BecauseOption, sign
from countersign.cli.signing import answer as ask

sop_app = typer.Typer(no_args_is_help=True, help="Controlled documents and training.")
SopList = Annotated[list[str], typer.Argument(help="One or more documents, on one page.", metavar="SOP…")]
VersionOption = Annotated[int | None, typer.Option("--version", help="The newest where left out.")]


@sop_app.command("templates")
@told
def templates(as_json: JsonOption = False) -> None:
    """The procedures that are shipped as drafts; needs no home."""
    from sops.texts import templates as shipped

    rows = list(shipped().values())
    data = [{"sop": each.sop, "title": each.title, "owner": each.owner, "governs": each.governs} for each in rows]
    answer(data, as_json=as_json, words="\n".join(f"{each.sop}  {each.title}, owner {each.owner}" for each in rows))


@sop_app.command("draft")
@told
def draft(
    sop: Annotated[str, typer.Argument(help="Number of the document, such as SOP-07.")],
    acting: AsOption,
    file: Annotated[str | None, typer.Option("--file", help="Your text; the shipped template where left out.")] = None,
    window_days: Annotated[int | None, typer.Option(help="Training window; 0 is allowed.")] = None,
    home: HomeOption = None,
) -> None:
    """Sign a text as its author: from a file, or a shipped template as it is."""
    from pathlib import Path

    from core.errors import UnusableInput
    from core.policy.state import Actor
    from sops.texts import read_document, template
    from sops.usecases import DraftSop, draft_sop

    if file is None:
        document = template(sop)
    else:
        try:
            document = read_document(Path(file).read_text(encoding="utf-8"), file)
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableInput(f"{file} cannot be read as UTF-8 text: {error}.") from error
    if document.sop != sop:
        raise UnusableInput(f"The text says that it is {document.sop}, not {sop}.")
    opened = house(home)
    sign(opened.desk, draft_sop(opened.desk, Actor(acting), DraftSop(document, window_days)))


@sop_app.command("review")
@told
def review(sops: SopList, acting: AsOption, version: VersionOption = None, home: HomeOption = None) -> None:
    """Sign that another person's texts are fit for approval."""
    from core.policy.state import Actor
    from sops.usecases import review_sop

    opened = house(home)
    sign(opened.desk, review_sop(opened.desk, Actor(acting), *sops, version=version))


@sop_app.command("return")
@told
def return_to_author(
    sop: str, acting: AsOption, because: BecauseOption, version: VersionOption = None, home: HomeOption = None
) -> None:
    """Give a version up; the corrected text is drafted as the next one."""
    from core.policy.state import Actor
    from sops.usecases import return_sop

    opened = house(home)
    sign(opened.desk, return_sop(opened.desk, Actor(acting), sop, because, version))


@sop_app.command("approve")
@told
def approve(sops: SopList, acting: AsOption, version: VersionOption = None, home: HomeOption = None) -> None:
    """QA approves; effective after the training window."""
    from core.policy.state import Actor
    from sops.usecases import approve_sop

    opened = house(home)
    sign(opened.desk, approve_sop(opened.desk, Actor(acting), *sops, version=version))


@sop_app.command("retire")
@told
def retire(
    sop: str, acting: AsOption, because: BecauseOption, version: VersionOption = None, home: HomeOption = None
) -> None:
    """A document that governs nothing any more."""
    from core.policy.state import Actor
    from sops.usecases import retire_sop

    opened = house(home)
    sign(opened.desk, retire_sop(opened.desk, Actor(acting), sop, because, version))


@sop_app.command("train")
@told
def train(sops: SopList, acting: AsOption, version: VersionOption = None, home: HomeOption = None) -> None:
    """Read documents, answer their questions where they have some, and sign read-and-understood."""
    from core.policy.state import Actor
    from sops.queries import version_to_read
    from sops.usecases import CompleteTraining, complete_training, text_of

    opened = house(home)
    commands = []
    for sop in sops:
        with opened.desk.reading() as session:
            found = version_to_read(session, sop, version)
        answers = {question: ask(question, ()) for question in text_of(opened.desk, found).questions}
        commands.append(CompleteTraining(sop, found.version, answers))
    sign(opened.desk, complete_training(opened.desk, Actor(acting), *commands))


@sop_app.command("show")
@told
def show(sop: str, version: VersionOption = None, home: HomeOption = None) -> None:
    """The stored text of a version, its digest checked."""
    from sops.queries import version_of
    from sops.usecases import text_of

    opened = house(home)
    with opened.desk.reading() as session:
        found = version_of(session, sop, version)
    typer.echo(f"{found.name}, {found.state}; author {found.author}, reviewer {found.reviewer or 'none yet'}, "
               f"approver {found.approver or 'none yet'}; sha256 {found.text.sha256}\n")
    typer.echo(text_of(opened.desk, found).body)


@sop_app.command("list")
@told
def list_documents(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every version: state, hands, dates; what fell due today becomes effective first."""
    from sops.queries import all_versions
    from sops.usecases import make_due_effective

    opened = house(home)
    make_due_effective(opened.desk)
    with opened.desk.reading() as session:
        rows = all_versions(session)
    data = [
        {"sop": each.sop, "version": each.version, "title": each.title, "state": each.state, "author": each.author,
         "reviewer": each.reviewer, "approver": each.approver, "effective_on": each.effective_on,
         "review_by": each.review_by, "governs": each.governs, "entry": each.entry}
        for each in rows
    ]
    lines = [
        f"{each.name:<18} {each.state:<11} {each.title:<44} "
        + (f"effective {each.effective_on}" if each.effective_on else "")
        + (f", review by {each.review_by}" if each.review_by else "")
        for each in rows
    ]
    answer(data, as_json=as_json, words="\n".join(lines) or "No document is in the record: countersign sop templates.")


@sop_app.command("log")
@told
def log(
    user: Annotated[str | None, typer.Option(help="One person.")] = None,
    sop: Annotated[str | None, typer.Option(help="One document.")] = None,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """The training log."""
    from dataclasses import asdict

    from sops.queries import training_of

    with house(home).desk.reading() as session:
        rows = training_of(session, user=user, sop=sop)
    lines = [f"{row.at}  {row.user:<20} {row.sop} version {row.version}, entry {row.entry}" for row in rows]
    answer([asdict(row) for row in rows], as_json=as_json, words="\n".join(lines) or "No training is in the record.")


@sop_app.command("matrix")
@told
def training_matrix(
    user: Annotated[str | None, typer.Option(help="One person.")] = None,
    lacking: Annotated[bool, typer.Option("--lacking", help="Only what is due, lapsed or missing.")] = False,
    home: HomeOption = None, as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, a person and a version a line.")] = False,
) -> None:
    """The training matrix: every person, every approved or effective version, and the acts that a lapse stops."""
    import sys

    from core.ledger_rows import write_csv
    from sops.matrix import COLUMNS, matrix

    with house(home).desk.reading() as session:
        cells = matrix(session, None if user is None else frozenset({user}))
    rows = [one.row() for one in cells if one.lifted_by or not lacking]
    if as_csv:
        write_csv(rows, sys.stdout, COLUMNS)
        return
    lines = [
        f"{row['user']:<20} {row['sop']} version {row['version']}: {str(row['status']).replace('_', ' ')}"
        + (f", entry {row['entry']}, {row['signed_at']}" if row["entry"] is not None else "")
        + (f" by {row['due_by']}" if row["due_by"] else "")
        + (f" since version {row['earlier']}" if row["status"] == "lapsed" else "")
        + (f"; refused: {row['stopped_acts']}" if row["stopped_acts"] else "")
        + (f"; {row['lifted_by']}" if row["lifted_by"] else "")
        for row in rows
    ]
    answer(rows, as_json=as_json, words="\n".join(lines) or "Nothing is lacking." if lacking else "\n".join(lines))

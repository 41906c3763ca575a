"""`countersign review-trail`: draw samples of the record, look at them, sign what was found; `review`: what is due."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, sign

if TYPE_CHECKING:
    from core.reviews.queries import ReviewRow
    from core.reviews.rules import Found
    from countersign.house import House

app = typer.Typer(no_args_is_help=True, help="Audit-trail review: draw samples, show, sign, list, draw again.")
periodic_app = typer.Typer(
    no_args_is_help=True, help="Periodic reviews: what is due; the review of the validated state.")
APPS = {"review-trail": app, "review": periodic_app}


@app.command("open")
@told
def open_review(
    acting: AsOption,
    trial: Annotated[str | None, typer.Option(help="The trial; left out: the house's own entries.")] = None,
    matching: Annotated[str, typer.Option("--filter", help="A question that narrows it, as of `ledger query`.")] = "",
    first: Annotated[int | None, typer.Option("--from", help="First entry; else where the last one ended.")] = None,
    last: Annotated[int | None, typer.Option("--to", help="Last entry; else the newest.")] = None,
    samples: Annotated[int, typer.Option(help="Entries to draw.")] = 25,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Draw samples of the record for yourself and record which; your own deeds are not among them."""
    from core.policy.state import Actor
    from core.reviews import usecases

    opened = house(home)
    row = usecases.open_review(opened.desk, Actor(acting), usecases.OpenReview(trial, matching, first, last, samples))
    _show(opened, row, as_json=as_json)


@app.command("show")
@told
def show(review: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """A review: range, filter, seed, each sample with its sentence, findings, conclusion."""
    from core.reviews.queries import review_named

    opened = house(home)
    with opened.desk.reading() as session:
        row = review_named(session, review)
    _show(opened, row, as_json=as_json)


def _show(opened: House, row: ReviewRow, *, as_json: bool) -> None:
    from core import ledger_queries as record
    from core.ledger_queries import SessionReader
    from core.ledger_rows import rows_of
    from core.ledger_suspects import suspicions

    with opened.desk.reading() as session:
        reader = SessionReader(session)
        said, marks = record.sentences(reader), suspicions(reader)
        samples = list(rows_of(reader, (record.line_at(reader, seq) for seq in row.samples), said, marks))
    lines = [
        f"{row.review}, {row.trial or 'the house'}: entries {row.first} to {row.last}, filter {row.query or 'none'}",
        f"{row.fitting} fit, {row.own} of them deeds of {row.opened_by} and left out; {len(samples)} drawn by seed "
        f"{row.seed}",
    ]
    for one in samples:
        lines.append(f"{one['seq']:>8}  {one['recorded_at']}  {one['evidence']}  {one['sentence']}")
        if one["changes"]:
            lines.append(f"          {one['changes']}")
    lines += [f"Finding, entry {one.entry}: {one.category}, {one.grade}: {one.says}" for one in row.findings]
    lines.append(f"{row.conclusion}: {row.statement} (signed by {row.signed_by}, entry {row.signed_entry})"
                 if row.conclusion
                 else f"Open. Sign it: countersign review-trail sign {row.review} --as {row.opened_by}")
    answer(asdict(row) | {"samples": samples}, as_json=as_json, words="\n".join(lines))


@app.command("sign")
@told
def sign_review(
    review: str, acting: AsOption,
    conclusion: Annotated[str, typer.Option(help="in_order, in_order_with_findings or not_in_order.")],
    statement: Annotated[str, typer.Option(help="What the review found, in words.")],
    finding: Annotated[list[str] | None, typer.Option(
        help="ENTRY:CATEGORY:GRADE:WORDS, for example 41:accurate:minor:the reason is unclear; repeat it.")] = None,
    home: HomeOption = None,
) -> None:
    """Sign what you found in the samples that were drawn for you."""
    from core.policy.state import Actor
    from core.reviews import usecases

    opened = house(home)
    command = usecases.SignReview(review, conclusion, statement, tuple(_finding(text) for text in finding or ()))
    sign(opened.desk, usecases.sign_review(opened.desk, Actor(acting), command))


def _finding(text: str) -> Found:
    from core.errors import UnusableInput
    from core.reviews.rules import Found

    parts = text.split(":", 3)
    if len(parts) != 4 or not parts[0].isascii() or not parts[0].isdigit():
        raise UnusableInput(f"`{text}` is not ENTRY:CATEGORY:GRADE:WORDS.", next_step="Nothing was signed.")
    return Found(int(parts[0]), parts[1], parts[2], parts[3])


@app.command("list")
@told
def list_reviews(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every review, and for each live trial when the next is due."""
    from datetime import date

    from core.clock import in_words
    from core.reviews.queries import all_due, reviews_of

    opened = house(home)
    today = date.fromisoformat(in_words(opened.desk.clock.now())[:10])
    with opened.desk.reading() as session:
        rows, due = reviews_of(session), all_due(session)
    lines = [one.in_words(today) for one in due]
    lines += [
        f"{row.review}  {row.trial or 'the house'}  entries {row.first} to {row.last}  "
        + (f"{row.conclusion}, {len(row.findings)} findings, {row.signed_by}" if row.conclusion
           else f"open, {row.opened_by}") + ("" if row.regular else "  (does not move the date)")
        for row in rows
    ]
    data = {
        "reviews": [asdict(row) for row in rows],
        "due": [asdict(one) | {"on": one.on, "overdue_days": one.overdue_days(today)} for one in due],
    }
    answer(data, as_json=as_json, words="\n".join(lines) or "No trial is live and nothing was reviewed.")


@app.command("redraw")
@told
def redraw(review: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Draw the samples of a review once more from seed and record, as an inspector does. Ends with 2 if they differ."""
    from core.reviews import queries, usecases

    with house(home).desk.reading() as session:
        row = queries.review_named(session, review)
        again = usecases.redraw(session, row)
    same = again == row.samples
    words = (f"The {len(again)} samples of {row.review} are those that seed and record give." if same else
             f"{row.review} names {list(row.samples)}; seed and record give {list(again)}.")
    answer({"review": row.review, "same": same, "recorded": row.samples, "drawn_again": again}, as_json=as_json,
           words=words)
    if not same:
        raise typer.Exit(2)


@periodic_app.command("due")
@told
def due_reviews(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every periodic review and its day: trails, access, validated state, procedures. Ends with 2 if one is late."""
    from datetime import date

    from core.clock import in_words
    from core.reviews.periodic_projections import periodic_due
    from core.reviews.queries import all_due

    opened = house(home)
    today = date.fromisoformat(in_words(opened.desk.clock.now())[:10])
    with opened.desk.reading() as session:
        trails, others = all_due(session), periodic_due(session)
    rows = [
        *({"kind": "audit_trail", "subject": one.trial, "due_on": one.on.isoformat(), "entry": one.entry,
           "overdue_days": one.overdue_days(today), "suspends": one.suspends(today), "says": one.in_words(today),
           "remedy": f"QA of the trial: countersign review-trail open --trial {one.trial} --as USER"}
          for one in trails),
        *({"kind": one.kind, "subject": one.subject, "due_on": one.on.isoformat(), "entry": one.entry,
           "overdue_days": one.overdue_days(today), "suspends": one.suspends(today), "says": one.in_words(today),
           "remedy": one.remedy} for one in others),
    ]
    late = [row for row in rows if row["overdue_days"] or row["suspends"]]
    lines = [f"{row['says']} Entry {row['entry']}." + (f" {row['remedy']}" if row in late else "") for row in rows]
    answer(rows, as_json=as_json, words="\n".join(lines) or "Nothing is reviewed periodically before the opening.")
    if late:
        raise typer.Exit(2)


@periodic_app.command("validation")
@told
def review_validated_state(
    acting: AsOption,
    conclusion: Annotated[str, typer.Option(help="fit, fit_with_actions or not_fit.")],
    statement: Annotated[str, typer.Option(help="What the review found and which actions follow, in words.")],
    lock: Annotated[str | None, typer.Option(help="A released lock; left out: this installation.")] = None,
    next_by: Annotated[str | None, typer.Option(
        "--next-by", metavar="YYYY-MM-DD", help="Day the next review is due; a year from today if left out.")] = None,
    home: HomeOption = None,
) -> None:
    """Sign whether what was released is still fit, on what the record holds since the last review."""
    from core.policy.state import Actor
    from validation.periodic import ReviewValidation, review_validation

    opened = house(home)
    command = ReviewValidation(conclusion, statement, lock, next_by)
    sign(opened.desk, review_validation(opened.desk, Actor(acting), command))

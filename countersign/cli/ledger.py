"""`countersign ledger`: query, verify, prove, export, checkpoint, card, rebuild.

Only the standard library and typer at the top: sqlite3 answers a question to an embedded ledger in half a second.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli import outside, state
from countersign.cli.common import HomeOption, JsonOption, answer, house, told

if TYPE_CHECKING:
    from audit.query import Query
    from core.ledger_queries import Reader
    from countersign.settings import Settings

NAME = "ledger"
app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None,
                  help="The record: who did what to what, when and why, and the proof of it.")
APPS = {"ledger": app}
outside.register(app)
state.register(app)
# The console belongs to whoever holds the machine; the record says so instead of naming a person unproven.
CONSOLE = "console"
QUERY_HELP = """Ask the record, newest entry first.

\b
    actor:reader-1 action:read.* trial:T1 since:2026-11-01 -subject:*-009

Keys: actor action subject trial study model reason (with * as wildcard, "quotes" for spaces), seq:100..200, since:,
until:, as-of: (UTC date, minute or second; as-of: also an entry number). The same key twice means either; - excludes.
No default range is applied.
"""


@contextmanager
def _reader(home: str | None) -> Iterator[tuple[Reader, Settings]]:
    """The record of a home, for reading; PostgreSQL needs its driver, SQLite only the standard library."""
    from core.ledger_postgresql import PsycopgReader
    from core.ledger_queries import SqliteReader
    from countersign.settings import home_folder, read_settings

    settings = read_settings(home_folder(home))
    prefix = "sqlite:///"
    url = settings.database_url
    reader = SqliteReader(Path(url.removeprefix(prefix))) if url.startswith(prefix) else PsycopgReader(url)
    try:
        yield reader, settings
    finally:
        reader.close()


# A question may begin with an exclusion, `-trial:T2`, and is then no option.
@app.command(help=QUERY_HELP, context_settings={"ignore_unknown_options": True})
@told
def query(
    question: Annotated[str, typer.Argument(help="What to look for; empty asks for everything.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Entries at most.")] = 50,
    before: Annotated[int | None, typer.Option(help="Go on below this entry number.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries that fit, whatever their number.")] = False,
    home: HomeOption = None, as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, one entry a line.")] = False,
    out: Annotated[Path | None, typer.Option(
        "--export", help="Write everything that fits to this new .csv, .json or .pdf file, and record it.")] = None,
    person: Annotated[str, typer.Option("--as", help="With --export: through whose eyes (user id).")] = "",
) -> None:
    from audit.query import QueryError, parse
    from core import ledger_queries as record
    from core.ledger_rows import rows_of, write_csv
    from core.ledger_suspects import suspicions

    try:
        asked = parse(question)
    except QueryError as error:
        typer.echo(f"{error}\n{question}\n{' ' * (error.position - 1)}^", err=True)
        raise typer.Exit(1) from error
    if out is not None:
        _export_query(home, asked, out, person, as_json=as_json)
        return
    with _reader(home) as (reader, _):
        said, marks = record.sentences(reader), suspicions(reader)
        if everything:
            lines, following = record.every(reader, asked), None
        else:
            found = record.page(reader, asked, before=before, limit=limit)
            lines, following = iter(found.lines), found.next_before
        rows = rows_of(reader, lines, said, marks)
        if as_csv:
            write_csv(rows, sys.stdout)
        elif as_json:
            _as_json(rows, following)
        else:
            _as_words(rows, record.count(reader, asked).in_words(), following)


def _export_query(home: str | None, asked: Query, out: Path, person: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from core.policy.state import Actor
    from reports.query_export import export_query

    opened = house(home)
    made = export_query(opened.desk, asked, out, person=Actor(person) if person else None,
                        through=CONSOLE, origin=opened.settings.origin)
    words = (f"{made.entries} entries of a ledger of {made.size}, {made.withheld} withheld: {made.path}\n"
             f"SHA-256 {made.sha256}\nEntry {made.entry}, query.exported.")
    answer(asdict(made), as_json=as_json, words=words)


def _as_json(rows: Iterator[dict[str, Any]], following: int | None) -> None:
    sys.stdout.write('{"entries": [')
    for number, row in enumerate(rows):
        sys.stdout.write(("," if number else "") + "\n  " + json.dumps(row, ensure_ascii=False))
    sys.stdout.write(f'\n], "next_before": {json.dumps(following)}}}\n')


def _as_words(rows: Iterator[dict[str, Any]], number: str, following: int | None) -> None:
    for row in rows:
        who = row["actor"] + (f" for {row['on_behalf_of']}" if row["on_behalf_of"] else "")
        typer.echo(f"{row['seq']:>8}  {row['recorded_at']}  {row['evidence']}  {who}  {row['action']}")
        typer.echo(f"          {row['sentence']}" + (f"  [{row['reason']}]" if row["reason"] else ""))
        if row["suspect"] is not None:
            typer.echo(f"          SUSPECT by entry {row['suspect']}: its key was revoked from before this entry on")
        if row["changes"]:
            typer.echo(f"          {row['changes']}")
    typer.echo(f"{number} entries fit, newest first; no default range was applied.")
    if following is not None:
        typer.echo(f"More: --before {following}")


@app.command()
@told
def verify(
    home: HomeOption = None, as_json: JsonOption = False,
    jobs: Annotated[int, typer.Option(min=1, help="Check signatures on this many cores.")] = 1,
) -> None:
    """Check every entry, signature, head, leaf, column, tile, checkpoint and protection. Ends with 2 on any fault."""
    from core.ledger_check import check_store

    with _reader(home) as (reader, settings):
        check = check_store(reader, settings.origin, jobs=jobs)
    answer(check.as_data(), as_json=as_json, words=check.in_words())
    if not check.ok:
        raise typer.Exit(2)


@app.command()
@told
def prove(
    entry: Annotated[str, typer.Argument(help="Entry number, or evidence code (EV-7K3M-9Q2X).")],
    out: Annotated[Path | None, typer.Option(help="Write the proof here instead of printing it.")] = None,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Prove that an entry is in the ledger: a tlog-proof (C2SP) under the newest checkpoint, checked first."""
    from audit import proofs
    from audit.verifier import leaf_hash
    from core import ledger_queries as record
    from core.errors import RecordDamaged
    from core.ledger_words import evidence_code, find_line

    with _reader(home) as (reader, _):
        line = find_line(reader, entry)
        note = record.newest_note(reader)
        path = record.proof_of(reader, line.seq, note)
    if proofs.root_of_inclusion(leaf_hash(line.raw), line.seq, note.size, path) != note.root:
        raise RecordDamaged(f"Entry {line.seq} does not lead to the root of the newest checkpoint.")
    text = proofs.proof_file(line.seq, path, note.note)
    if out is not None:
        _write_new(out, text.encode())
        typer.echo(f"Proof of entry {line.seq} ({evidence_code(line.leaf)}) under {note.size} entries: {out}")
        return
    answer({"seq": line.seq, "evidence": evidence_code(line.leaf), "leaf": line.leaf.hex(), "size": note.size,
            "root": note.root.hex(), "path": [one.hex() for one in path], "proof": text},
           as_json=as_json, words=text.rstrip("\n"))


@app.command()
@told
def checkpoint(
    home: HomeOption = None, as_json: JsonOption = False,
    size: Annotated[int | None, typer.Option(min=1, help="The oldest that covers so many entries.")] = None,
) -> None:
    """Show the newest checkpoint: the signed note over all entries. Keep it elsewhere: it shows a later loss."""
    from core.ledger_queries import newest_note

    with _reader(home) as (reader, _):
        note = newest_note(reader, size)
    answer({"origin": note.note.partition("\n")[0], "size": note.size, "root": note.root.hex(), "note": note.note},
           as_json=as_json, words=note.note.rstrip("\n"))


@app.command()
@told
def card(
    out: Annotated[Path | None, typer.Option(help="Write the card here instead of printing it.")] = None,
    home: HomeOption = None,
) -> None:
    """Show the trust card: origin, first entry and root key. Give it to auditors on another way than bundles."""
    from core.ledger_exports import card as card_of

    with _reader(home) as (reader, settings):
        text = card_of(reader, settings.origin)
    if out is None:
        typer.echo(text.decode().rstrip("\n"))
    else:
        _write_new(out, text)
        typer.echo(f"Trust card of {settings.origin}: {out}")


@app.command()
@told
def export(
    out: Annotated[Path, typer.Option(help="The new ZIP file.")],
    trial: Annotated[str | None, typer.Option(help="Only this trial (and all key entries).")] = None,
    entry: Annotated[list[int] | None, typer.Option(help="Only these entries (and all key entries).")] = None,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Write a bundle that anybody can check offline, and record that it was made."""
    from core.errors import UnusableInput
    from core.ledger_exports import Wish
    from core.ledger_exports import export as export_bundle
    from core.policy.decide import permit
    from core.policy.state import Actor, Facts

    if trial and entry:
        raise UnusableInput("A bundle holds a trial or chosen entries, not both.", next_step="Give --trial or --entry.")
    opened = house(home)
    decision = permit(Actor.of_service("house"), "ledger.export", Facts(trial=trial))
    wish = Wish(trial=trial, seqs=tuple(sorted(set(entry or ()))))
    written = export_bundle(opened.desk, wish, out, under=decision, on_behalf_of=CONSOLE)
    words = (f"{written.entries} entries ({wish.in_words()}) of a ledger of {written.size}: {written.path}\n"
             f"root {written.root}\nSHA-256 {written.sha256}\n"
             f"Check it anywhere: countersign verify {written.path}, or the verify.py inside with --trust CARD.")
    answer({"path": str(written.path), "entries": written.entries, "withheld": written.withheld, "size": written.size,
            "root": written.root, "sha256": written.sha256}, as_json=as_json, words=words)


@app.command()
@told
def rebuild(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only; leave the live tables alone.")] = False,
    home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Fold every entry anew beside the live tables, compare, and swap in what differed. Ends with 2 when some did."""
    opened = house(home)
    difference = opened.rebuild(keep=not dry_run)
    answer({"entries": difference.entries, "different": list(difference.tables)}, as_json=as_json,
           words=difference.in_words())
    if not difference.none:
        raise typer.Exit(2)


@app.command()
@told
def rehash(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """State the root of all entries under a second hash (SHA3-512), once a year; the verifier recomputes it."""
    from core.ledger_rehash import rehash as state_second_hash
    from core.policy.decide import permit
    from core.policy.state import Actor, Facts

    opened = house(home)
    decision = permit(Actor.of_service("house"), "ledger.rehash", Facts())
    receipt, size = state_second_hash(opened.desk, under=decision, on_behalf_of=CONSOLE)
    answer({"seq": receipt.seq, "size": size}, as_json=as_json,
           words=f"Entry {receipt.seq} states the second hash of {size} entries. Anchor it: countersign ledger anchor")


def _write_new(path: Path, content: bytes) -> None:
    from core.errors import UnusableInput

    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise UnusableInput(f"{path} cannot be written: {error.strerror}.", next_step="Name a new file.") from error

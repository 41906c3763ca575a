"""From page model to PDF/A-3u: Jinja2 page, SVG figures, attached data, pressed in a child process.

Bytes are equal on machines with equal versions of WeasyPrint and Pango; what is promised across machines is the
content digest (research/stack.md 2.2). "Built as PDF/A-3u" is what the file says of itself; no validator certified it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.errors import UnusableInput
from reports import figures
from reports.attached import BUNDLE_NAME, CONTENT_NAME, with_checksum
from reports.model import Cell, Paper, Row, Table, cells_of, content_bytes, content_digest, table_csv

HERE = Path(__file__).parent
# The cost of one table grows with the pages it spans: longer ones are set in pieces (research/stack.md 2.3).
ROWS_IN_A_PIECE = 300
# Width that a portrait page gives a table, and what a sign, a code's sign and a cell's padding take of it, in mm.
PORTRAIT_MM, SIGN_MM, CODE_SIGN_MM, PADDING_MM = 170, 1.5, 1.05, 3.6
PADDING_SIGNS = 3
# A column of prose is readable from so many signs on; beyond them it wraps.
PROSE_SIGNS = 12
# A word of more signs (a digest) may break anywhere, or it would push the table off the page.
UNBROKEN_SIGNS = 32
SHORT_ROWS = 14
# The page of an entry, as `countersign serve` gives it on its own machine.
DEFAULT_EVIDENCE_URL = "http://127.0.0.1:8080/ledger/"
DEMONSTRATION, EXPLORATORY = "demonstration", "exploratory"
TIMEOUT_S = 1_800
PRINTED_WITH = ("paper.css", "mark-line.svg", "exploratory.svg")


@dataclass(frozen=True, slots=True)
class Attached:
    """A file inside the PDF; `relationship` is the AFRelationship of PDF/A-3 (Data, Supplement, …)."""

    name: str
    data: bytes
    description: str
    relationship: str = "Data"


@dataclass(frozen=True, slots=True)
class _Listing:
    """A table as the template wants it: rows in pieces of groups; and whether its columns have the widths in `shares`,
    which they need where there are several pieces, or where a column asks for room."""

    id: str
    title: str
    columns: tuple[Any, ...]
    rows: tuple[Row, ...]
    note: str
    empty: str
    clause: str
    pieces: list[list[list[Row]]]
    shares: list[int]
    fixed: bool


def attached_data(paper: Paper, bundle: bytes | None, more: Sequence[Attached] = ()) -> list[Attached]:
    """The data that travel with the paper: content, one CSV a table, the record it was drawn from, and `more`."""
    files = [Attached(CONTENT_NAME, content_bytes(paper),
                      "Every printed cell with its rule and entries; its SHA-256 is the content digest")]
    files += [
        Attached(f"table-{table.id.lower()}.csv", table_csv(table), f"Table {table.id}, {table.title}")
        for table in paper.tables if table.rows
    ]
    if bundle is not None:
        files.append(Attached(BUNDLE_NAME, bundle, "The record this paper was drawn from, with proofs and verifier",
                              "Supplement"))
    return [*files, *more]


def render(
    paper: Paper, *, bundle: bytes | None = None, more: Sequence[Attached] = (),
    evidence_url: str = DEFAULT_EVIDENCE_URL,
) -> bytes:
    """The paper as PDF bytes; `more` are files that travel along.

    Raises:
        UnusableInput: the renderer failed, or ran longer than half an hour; nothing was written.
    """
    for table in paper.tables:
        list(cells_of(table))
    files = attached_data(paper, bundle, more)
    with tempfile.TemporaryDirectory(prefix="countersign-paper-") as name:
        folder = Path(name)
        (folder / "page.html").write_text(page(paper, files, evidence_url))
        for figure in paper.figures:
            (folder / f"{figure.id}.svg").write_bytes(figures.draw(figure))
        for source in (HERE / "report.css", *(HERE / "templates" / name for name in PRINTED_WITH)):
            (folder / source.name).write_bytes(source.read_bytes())
        (folder / "attached").mkdir()
        for item in files:
            (folder / "attached" / item.name).write_bytes(item.data)
        (folder / "job.json").write_text(json.dumps({
            "created": _iso(paper.cover.range.last_entry_at), "styles": ["report.css", "paper.css"],
            "attachments": [{"file": f"attached/{f.name}", "name": f.name, "description": f.description,
                             "relationship": f.relationship} for f in files],
        }))
        run_press(folder)
        return with_checksum((folder / "paper.pdf").read_bytes())


def run_press(folder: Path) -> None:
    cache_dir = folder / "cache"
    cache_dir.mkdir()
    found = os.pathsep.join([str(HERE.parent), *sys.path])
    environment = {
        "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "HOME": str(folder), "XDG_CACHE_HOME": str(cache_dir),
        "FONTCONFIG_FILE": str(HERE / "fonts" / "fonts.conf"), "PYTHONPATH": found, "PYTHONHASHSEED": "0",
    }
    command = [sys.executable, "-m", "reports.press", str(folder)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as late:
        words = f"The paper was not finished within {TIMEOUT_S} s."
        raise UnusableInput(words, next_step="Nothing was kept.") from late
    if done.returncode != 0 or not (folder / "paper.pdf").is_file():
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        because = lines[-1] if lines else f"exit code {done.returncode}"
        raise UnusableInput(f"The PDF renderer failed: {because}.", next_step="Nothing was kept.")


def page(paper: Paper, files: Sequence[Attached] = (), evidence_url: str = DEFAULT_EVIDENCE_URL) -> str:
    """The paper as one HTML page for the renderer."""
    listings = [_listing(table) for table in paper.tables]
    return environment().get_template("paper.html").render(
        cover=paper.cover, tables=listings, figures=paper.figures, signings=paper.signings, attachments=files,
        digest=content_digest(paper), created=_iso(paper.cover.range.last_entry_at), evidence_url=evidence_url,
        demonstration=paper.cover.evidence_class.startswith(DEMONSTRATION), example=_example(paper),
        exploratory=paper.cover.evidence_class.startswith(EXPLORATORY),
        wide={table.id for table in paper.tables if _is_wide(table)}, flow=_flowing(paper), classes=_CLASSES,
        long={table.id for table in paper.tables if len(table.rows) > 2 * SHORT_ROWS},
        drawn={figure.after for figure in paper.figures},
        signature_note=_signature_note(paper),
    )


_CLASSES = {
    "text": "", "number": Markup(' class="n"'), "category": Markup(' class="c"'), "id": Markup(' class="id"'),
    "code": Markup(' class="code"'), "time": Markup(' class="time"'),
}


def _signature_note(paper: Paper) -> str:
    if not paper.signings:
        return "This is an unsigned copy: nobody has put a name to it."
    if any(signing.in_file for signing in paper.signings):
        return ("The signatures are those of this file (PAdES), each with the certificate that the attached record "
                "enrolled for its person; a copy without them is a draft. Who signed: countersign verify FILE.pdf")
    if all(signing.entry is not None for signing in paper.signings):
        return ("These electronic signatures were made under re-authentication and are bound to the content digest. "
                "The file itself bears the PAdES signature of the person who approved it; without it this is a copy.")
    return "A dashed frame is a signature still needed; until then this paper is a draft."


def _iso(in_words: str) -> str:
    """"2026-11-24 14:05:32 UTC" as ISO 8601."""
    return in_words.replace(" UTC", "+00:00").replace(" ", "T")


def shown_text(cell: Cell) -> str:
    """A cell exactly as its text stands on the page: the text, then the code without "EV-"."""
    return cell.text + cell.code.removeprefix("EV-")


def _widths(table: Table) -> list[int]:
    """Signs each column needs, its padding included; what may wrap counts for half beyond 14 signs."""
    widths = []
    for n, column in enumerate(table.columns):
        longest = max([len(column.title), *(len(shown_text(row.cells[n])) for row in table.rows)])
        firm = column.kind in ("number", "id", "category", "time")
        wrapped = column.prose or 14 + (min(longest, 60) - 14) // 3
        widths.append(PADDING_SIGNS + (longest if firm or longest <= 14 else min(longest, wrapped)))
    return widths


def _is_wide(table: Table) -> bool:
    """Whether the table needs a landscape page: more than a portrait one holds without squeezing its numbers."""
    if table.wide:
        return True
    need = PADDING_MM * len(table.columns)
    for n, column in enumerate(table.columns):
        longest = max((len(row.cells[n].text) * SIGN_MM + len(row.cells[n].code.removeprefix("EV-")) * CODE_SIGN_MM
                       for row in table.rows), default=0)
        firm = column.kind in ("number", "id", "category", "time", "code")
        head = max(len(word) for word in column.title.split()) * SIGN_MM
        need += max(head, longest if firm else min(longest, PROSE_SIGNS * SIGN_MM))
    return need > PORTRAIT_MM


def _flowing(paper: Paper) -> set[str]:
    """Short tables that follow their forerunner on the same page; the first one and long ones begin a page."""
    flow: set[str] = set()
    for before, table in zip(paper.tables, paper.tables[1:], strict=False):
        same_page = _is_wide(before) == _is_wide(table)
        if same_page and len(table.rows) <= SHORT_ROWS and before.id not in {figure.after for figure in paper.figures}:
            flow.add(table.id)
    return flow


def _listing(table: Table) -> _Listing:
    groups: list[list[Row]] = []
    for row in table.rows:
        if groups and row.group and row.group == groups[-1][0].group:
            groups[-1].append(row)
        else:
            groups.append([row])
    pieces: list[list[list[Row]]] = []
    filled = 0
    for group in groups:
        if not pieces or filled + len(group) > ROWS_IN_A_PIECE:
            pieces.append([])
            filled = 0
        pieces[-1].append(group)
        filled += len(group)
    widths = _widths(table)
    whole = sum(widths) or 1
    return _Listing(table.id, table.title, table.columns, table.rows, table.note, table.empty, table.clause, pieces,
                    [100 * width // whole for width in widths],
                    len(pieces) > 1 or any(column.prose for column in table.columns))


def _example(paper: Paper) -> dict[str, Any] | None:
    """The first number with an evidence code, best one of the reads (A7)."""
    for table in sorted(paper.tables, key=lambda t: t.id != "A7"):
        for row, column, cell in cells_of(table):
            if cell.code and cell.basis and column.kind == "number":
                seqs = cell.basis.entries
                words = f"entry {seqs[0]}" if len(seqs) == 1 else f"{len(seqs)} entries, the deciding one is {seqs[0]}"
                return {"table": table.id, "row": row.key, "column": column.title, "code": cell.code,
                        "text": cell.text, "unit": cell.unit, "rule": cell.basis.rule, "entries": words}
    return None


@cache
def environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined)
    environment.filters["grouped"] = lambda number: f"{number:,}".replace(",", " ")
    environment.filters["unbroken"] = lambda text: max((len(word) for word in text.split()), default=0) > UNBROKEN_SIGNS
    return environment

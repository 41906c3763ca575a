"""The answer to a question as a PDF in the house's print: what was asked, of which ledger, for whom, then the rows."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.work import release
from reports.render import DEFAULT_EVIDENCE_URL, HERE, ROWS_IN_A_PIECE, environment, run_press

if TYPE_CHECKING:
    from reports.query_export import Head

# What of a question fits into the running head; the whole of it stands on the first page.
SIGNS_IN_HEAD = 90


def write_paper(head: Head, rows: Iterator[dict[str, Any]], out: Path) -> None:
    """Write the PDF at `out`; rows are set in pieces, and the page is written as they come.

    Raises UnusableInput where the renderer fails or runs too long; nothing is kept then.
    """
    with tempfile.TemporaryDirectory(prefix="countersign-query-") as name:
        folder = Path(name)
        short = head.query if len(head.query) <= SIGNS_IN_HEAD else head.query[: SIGNS_IN_HEAD - 1] + "…"
        template = environment().get_template("query.html")
        template.stream(
            head=head, short=short, pieces=_pieces(rows), release=release(), evidence_url=DEFAULT_EVIDENCE_URL,
            created=_iso(head.made_at)).dump(str(folder / "page.html"), encoding="utf-8")
        for source in (HERE / "report.css", HERE / "templates" / "query.css", HERE / "templates" / "mark-line.svg"):
            (folder / source.name).write_bytes(source.read_bytes())
        (folder / "job.json").write_text(json.dumps({
            "created": _iso(head.made_at), "styles": ["report.css", "query.css"], "attachments": []}))
        run_press(folder)
        out.write_bytes((folder / "paper.pdf").read_bytes())


def _pieces(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while piece := list(itertools.islice(rows, ROWS_IN_A_PIECE)):
        yield piece


def _iso(in_words: str) -> str:
    return in_words.replace(" UTC", "+00:00").replace(" ", "T")

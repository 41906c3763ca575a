"""What travels inside a paper's PDF: taking the attached files out again, and the page model from content.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.entry import MalformedEntry, canonical
from core.errors import UnusableInput
from reports.model import FORMAT, NOTHING, Basis, Cell, Column, Cover, Figure, Paper, Point, Range, Row, Table

CONTENT_NAME, BUNDLE_NAME = "content.json", "record.zip"
LARGEST_ATTACHMENT = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class OpenedPaper:
    """A paper's PDF, opened: attached files by name, and the pieces of text of each page."""

    files: dict[str, bytes]
    printed: list[list[str]]


def open_paper(path: Path) -> OpenedPaper:
    """Open a PDF that says it is a paper of ours.

    Raises UnusableInput where the file is no PDF, or a PDF without our attachments (a foreign one).
    """
    import pikepdf

    from reports import textlayer

    try:
        with pikepdf.open(path) as pdf:
            files = {name: spec.get_file().read_bytes() for name, spec in pdf.attachments.items()}
            if CONTENT_NAME not in files or BUNDLE_NAME not in files:
                missing = " and ".join(n for n in (CONTENT_NAME, BUNDLE_NAME) if n not in files)
                raise UnusableInput(
                    f"{path.name} is a PDF, but no paper of this system: it has no attached {missing}.",
                    next_step="Give a paper issued by Countersign with its attachments; some portals strip them.",
                )
            printed = list(textlayer.pages(pdf))
    except FileNotFoundError as error:
        raise UnusableInput(f"There is no file {path}.", next_step="Check the path.") from error
    except (pikepdf.PdfError, pikepdf.PasswordError, ValueError) as error:
        raise UnusableInput(f"{path.name} cannot be read as a PDF: {error}", next_step="Get a whole copy.") from error
    return OpenedPaper(files, printed)


def paper_of(raw: bytes) -> Paper:
    """The page model back from content.json.

    Raises UnusableInput where the bytes are not their own canonical form, or a member is missing or foreign.
    """
    try:
        data = json.loads(raw)
        if canonical(data, "content") != raw:
            raise UnusableInput("content.json is not in its canonical form.")
        if data["format"] != FORMAT:
            raise UnusableInput(f"content.json has the format {data['format']!r}; this release reads {FORMAT}.")
        return Paper(_cover(data["cover"]), tuple(_table(t) for t in data["tables"]),
                     tuple(_figure(f) for f in data["figures"]))
    except (KeyError, TypeError, ValueError, MalformedEntry) as error:
        raise UnusableInput(f"content.json is not the content of a paper: {error!r}.") from error


def _cover(data: dict[str, Any]) -> Cover:
    facts = tuple((fact["name"], fact["value"]) for fact in data["facts"])
    return Cover(**{**data, "facts": facts, "range": Range(**data["range"])})


def _table(data: dict[str, Any]) -> Table:
    rows = tuple(
        Row(row["key"], tuple(_cell(cell) for cell in row["cells"]), row["group"], row["level"]) for row in data["rows"]
    )
    return Table(data["id"], data["title"], tuple(Column(**column) for column in data["columns"]), rows, data["note"],
                 data["empty"] or NOTHING, data["clause"])


def _cell(data: dict[str, Any]) -> Cell:
    basis = None
    if "rule" in data:
        basis = Basis(data["rule"], tuple(data["entries"]), tuple(sorted(data["args"].items())))
    return Cell(data["text"], basis, data.get("code", ""), data.get("unit", ""))


def _figure(data: dict[str, Any]) -> Figure:
    points = tuple(Point(**{**point, "entries": tuple(point["entries"])}) for point in data["points"])
    facts = tuple((fact["name"], fact["value"]) for fact in data["facts"])
    return Figure(**{**data, "points": points, "facts": facts})

"""What travels inside a paper's PDF: taking the attached files out again, and the page model from content.json."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.entry import MalformedEntry, canonical
from core.errors import RecordDamaged, UnusableInput
from reports.model import FORMAT, NOTHING, Basis, Cell, Column, Cover, Figure, Paper, Point, Range, Row, Table

CONTENT_NAME, BUNDLE_NAME = "content.json", "record.zip"


# The file's own checksum: over the bytes as they were drawn, so many as it says, with its digits as zeros. What is
# appended later are signatures and time stamps, which cover all before them.
CHECKSUM = "file-sha256:"
NO_CHECKSUM = f"{CHECKSUM}{'0' * 64}/{'0' * 12}"
_CHECKSUM = re.compile(rb"file-sha256:([0-9a-f]{64})/([0-9]{12})")


def with_checksum(pdf: bytes) -> bytes:
    """The file with its checksum filled in. It finds a damaged copy; against a forger stand signature and record.

    Raises UnusableInput where the renderer left no place for it.
    """
    if _CHECKSUM.search(pdf) is None:
        raise UnusableInput("The PDF has no place for its checksum.", next_step="Nothing was kept.")
    digest = hashlib.sha256(_blank(pdf)).hexdigest()
    return _CHECKSUM.sub(f"{CHECKSUM}{digest}/{len(pdf):012}".encode(), pdf)


def _blank(pdf: bytes) -> bytes:
    return _CHECKSUM.sub(NO_CHECKSUM.encode(), pdf)


def drawn_bytes(pdf: bytes) -> int:
    """How many bytes the paper had when it was drawn, as it says itself; 0 where it does not say."""
    found = _CHECKSUM.search(pdf)
    return int(found[2]) if found else 0


def checksum_problem(pdf: bytes) -> str:
    """What is wrong with the checksum of a file, or nothing."""
    stated = set(_CHECKSUM.findall(pdf))
    if len(stated) != 1:
        return "the file does not state one checksum of its own"
    (digest, size), = stated
    if len(pdf) < int(size):
        return f"{int(size)} bytes were drawn, {len(pdf)} are here"
    made = hashlib.sha256(_blank(pdf[: int(size)])).hexdigest()
    return "" if digest.decode() == made else f"sha256:{made}"


@dataclass(frozen=True, slots=True)
class OpenedPaper:
    """A paper's PDF, opened: its bytes, attached files by name, the pieces of text of each page.

    `appended` counts the bytes behind the paper as it was drawn: those of signatures and time stamps, or of others.
    """

    raw: bytes
    files: dict[str, bytes]
    printed: list[list[str]]
    sha256: str
    checksum_problem: str
    appended: int


def open_paper(path: Path) -> OpenedPaper:
    """Open a PDF that says it is a paper of ours.

    Raises:
        UnusableInput: the file is no PDF, or a PDF without our attachments (a foreign one).
        RecordDamaged: it is a paper of ours whose bytes were changed so that it cannot be read to its end.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise UnusableInput(f"There is no file {path}.", next_step="Check the path.") from error
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read: {error.strerror}.", next_step="Check the path.") from error
    problem = checksum_problem(raw)
    try:
        files, printed = _read(raw)
    except Exception as error:
        # Whatever foreign or damaged bytes do to a reader is a fact about them, never a crash of ours.
        if _CHECKSUM.search(raw) is not None and problem:
            words = f"{path.name} is a paper of this system whose bytes were changed: {problem}."
            raise RecordDamaged(words, next_step="Keep this copy as it is and get another one.") from error
        said = f"{path.name} cannot be read as a PDF: {type(error).__name__}: {error}"
        raise UnusableInput(said, next_step="Get a whole copy.") from error
    missing = " and ".join(name for name in (CONTENT_NAME, BUNDLE_NAME) if name not in files)
    if missing:
        raise UnusableInput(
            f"{path.name} is a PDF, but no paper of this system: it has no attached {missing}.",
            next_step="Give a paper issued by Countersign with its attachments; some portals strip them.",
        )
    return OpenedPaper(raw, files, printed, hashlib.sha256(raw).hexdigest(), problem, len(raw) - drawn_bytes(raw))


def _read(raw: bytes) -> tuple[dict[str, bytes], list[list[str]]]:
    import pikepdf

    from reports import textlayer

    with pikepdf.open(io.BytesIO(raw)) as pdf:
        files = {name: spec.get_file().read_bytes() for name, spec in pdf.attachments.items()}
        return files, list(textlayer.pages(pdf))


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

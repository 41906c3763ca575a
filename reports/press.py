"""The child process that turns a folder (page, pictures, attachments) into a PDF: `python -m reports.press FOLDER`.

WeasyPrint keeps the memory of a long document until its process ends (research/stack.md 2.3), so each document has its
own process, with a ceiling on memory, and with the fonts beside this package as its only fonts.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.attached import NO_CHECKSUM

MEMORY_BYTES = 6 * 1024**3
VARIANT = "pdf/a-3u"


def attachments_of(job: dict[str, Any], folder: Path, instant: datetime) -> list[Any]:
    """Attachments with fixed dates; without them the bytes would change each second (research/stack.md 2.2)."""
    from weasyprint import Attachment

    return [
        Attachment(
            filename=str(folder / item["file"]), name=item["name"], description=item["description"],
            created=instant, modified=instant, relationship=item["relationship"],
        )
        for item in job["attachments"]
    ]


def press(folder: Path) -> None:
    """Read job.json and page.html of the folder, write paper.pdf there."""
    from weasyprint import CSS, HTML

    job = json.loads((folder / "job.json").read_text())
    instant = datetime.fromisoformat(job["created"])
    sheets = [CSS(filename=str(folder / name)) for name in job["styles"]]
    page = HTML(filename=str(folder / "page.html"), base_url=str(folder) + "/")
    # Options belong to write_pdf: given to render() they are dropped without a word.
    page.write_pdf(
        str(folder / "pressed.pdf"), stylesheets=sheets, pdf_variant=VARIANT,
        attachments=attachments_of(job, folder, instant), full_fonts=False,
    )
    _with_place_for_checksum(folder / "pressed.pdf", folder / "paper.pdf")


def _with_place_for_checksum(made: Path, out: Path) -> None:
    """A catalogue entry of our own in clear bytes (no object streams), for the checksum to be written over it."""
    import pikepdf

    with pikepdf.open(made) as pdf:
        pdf.Root["/CountersignChecksum"] = pikepdf.String(NO_CHECKSUM)
        pdf.save(out, object_stream_mode=pikepdf.ObjectStreamMode.disable, deterministic_id=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    press(Path(sys.argv[1]))

"""How pages write numbers, times and states (design/README.md, Words)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from core.ledger_words import evidence_code, shown_value, utc


def number(value: int) -> str:
    """48917 as 48 917."""
    return f"{value:,}".replace(",", " ")


def short(text: str) -> str:
    """A digest shortened; only beside a link to the full one."""
    return f"{text[:8]}…{text[-4:]}" if len(text) > 16 else text


def label(name: str) -> str:
    """A field's name as a label."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


_ITEM = re.compile(r"(?:- |[0-9]+\. )")


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """A controlled text as headings, paragraphs, lists and numbered steps, in its order; each line of it is in one."""
    found: list[tuple[str, list[str]]] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("#"):
            found.append(("head", [lines[0].lstrip("# ")]))
            lines = lines[1:]
        if not lines:
            continue
        if not _ITEM.match(lines[0]):
            found.append(("text", [" ".join(line.strip() for line in lines)]))
            continue
        items: list[str] = []
        for line in lines:
            if _ITEM.match(line):
                items.append(_ITEM.sub("", line, count=1))
            else:
                items[-1] += f" {line.strip()}"
        found.append(("list" if lines[0].startswith("-") else "steps", items))
    return found


def spans(text: str) -> Markup:
    """Words between backquotes as code; everything else as it is, escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else escape(part)
                           for at, part in enumerate(parts))


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number, "short": short, "label": label, "utc": utc, "shown": shown_value, "code": evidence_code,
    "blocks": blocks, "spans": spans,
}

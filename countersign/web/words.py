"""How pages write numbers, times and states (design/README.md, Words)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number, "short": short, "label": label, "utc": utc, "shown": shown_value, "code": evidence_code,
}

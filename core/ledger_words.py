"""How the record is put in words for people: sentence, time, evidence code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from audit import CONCEALED
from core.errors import UnusableInput
from core.ledger_queries import Line, Reader, line_at, line_of_leaf

# Crockford's base 32, as printed beside numbers in papers (reports/evidence.py): 5 bits a sign, leaf hash first.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(us: int) -> str:
    """`2026-11-24 14:05:32.123456 UTC` of microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def evidence_code(leaf: bytes) -> str:
    """The short name of an entry: the first 40 bits of its leaf hash."""
    number = int.from_bytes(leaf[:5])
    signs = "".join(_ALPHABET[number >> shift & 31] for shift in range(35, -1, -5))
    return f"EV-{signs[:4]}-{signs[4:]}"


def find_line(reader: Reader, named: str) -> Line:
    """The entry behind a number or an evidence code. Raises UnusableInput or NotFound."""
    text = named.strip()
    if re.fullmatch(r"[\d ]{1,16}", text, re.ASCII):
        return line_at(reader, int(text.replace(" ", "")))
    signs = re.sub(r"[\s-]", "", text.upper()).removeprefix("EV").translate(_READ_AS)
    if len(signs) < 8 or len(signs) % 4 or any(sign not in _ALPHABET for sign in signs):
        raise UnusableInput(f"{named!r} is neither an entry number nor an evidence code like EV-7K3M-9Q2X.",
                            next_step="Copy it from the paper or from `countersign ledger query`.")
    number = 0
    for sign in signs:
        number = number << 5 | _ALPHABET.index(sign)
    free = 256 - 5 * len(signs)
    if free < 0:
        raise UnusableInput(f"{named!r} is longer than any evidence code.")
    low = number << free
    return line_of_leaf(reader, low.to_bytes(32), (low + (1 << free) - 1).to_bytes(32))


class _Gaps(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "—"


def sentence_of(body: Mapping[str, Any], said: Mapping[tuple[str, int], str]) -> str:
    """One plain sentence about an entry, by the vocabulary that the record itself adopted."""
    pattern = said.get((body["action"], body["version"]))
    if pattern is None:
        return f"{body['actor']}: {body['action']}"
    return filled(pattern, body)


def filled(pattern: str, body: Mapping[str, Any]) -> str:
    """A text with the entry's own members and fields in its braces; what is absent shows as a dash."""
    shown = {key: shown_value(value) for key, value in body["fields"].items()}
    return pattern.format_map(_Gaps({**body, **shown}))


def shown_value(value: Any) -> str:
    """A field as text: lists with commas, objects by their digest."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown_value(item) for item in value)
    if isinstance(value, dict):
        if "sha256" in value:
            return f"{value['sha256'][:12]}…"
        if "ct" in value:
            return CONCEALED
        return ", ".join(f"{key} {shown_value(item)}" for key, item in value.items())
    return str(value)

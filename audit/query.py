"""The auditors' question in words, `actor:reader-1 action:read.* -trial:T2 since:2026-11-01`, read into a small tree.

    actor: action: subject: trial: study: model: reason:   a value; `*` stands for any characters; "quoted" is literal
    seq:        a number or a range, `seq:120`, `seq:100..200`, `seq:..200`
    since:      from this UTC instant on        2026-11-24, 2026-11-24T10:30, 2026-11-24T10:30:05, with or without Z
    until:      up to the end of this day, minute or second
    as-of:      what was on record then: a time like `until:`, or the number of the last entry to look at

A key named twice means either value; different keys must all fit; `-` in front excludes. Nothing is assumed: without a
range the whole ledger is asked. Pure: no database and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

TEXT_KEYS = ("actor", "action", "subject", "trial", "study", "model", "reason")
KEYS = (*TEXT_KEYS, "seq", "since", "until", "as-of")
LARGEST_SEQ = 2**53
LONGEST_QUERY = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEY = re.compile(r"[a-z-]+")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d))?)?Z?\Z", re.ASCII)


class QueryError(ValueError):
    """A question that cannot be read: where (counted from 1) and why."""

    def __init__(self, position: int, fact: str) -> None:
        super().__init__(f"At character {position}: {fact}")
        self.position, self.fact = position, fact


class Wildcard(Enum):
    """The one thing a `*` stands for."""

    CHARACTERS = "*"


ANY = Wildcard.CHARACTERS
Pattern = tuple[str | Wildcard, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One `key:value` on a searchable text."""

    key: str
    pattern: Pattern
    negated: bool

    @property
    def literal(self) -> str | None:
        """The exact value, or None where a wildcard stands in it."""
        parts = [part for part in self.pattern if isinstance(part, str)]
        return "".join(parts) if len(parts) == len(self.pattern) else None

    def fits(self, text: str) -> bool:
        expression = "".join(re.escape(part) if isinstance(part, str) else ".*" for part in self.pattern)
        return re.fullmatch(expression, text, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers of entries, both ends included."""

    first: int
    last: int
    negated: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the question as it was typed, for pages that let it be taken away again."""

    text: str
    key: str
    value: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. Times are microseconds since 1970; `until_us` and `as_of_us` are the first instant too late."""

    terms: tuple[Term, ...] = ()
    ranges: tuple[Range, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    as_of_us: int | None = None
    as_of_seq: int | None = None
    tokens: tuple[Token, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(token.text for token in self.tokens)

    def without(self, token: Token) -> str:
        """The question without one of its tokens."""
        return " ".join(other.text for other in self.tokens if other is not token)

    def groups(self) -> list[tuple[str, list[Term]]]:
        """Terms that must fit, by key: one of each group is enough."""
        return [(key, found) for key in TEXT_KEYS
                if (found := [term for term in self.terms if term.key == key and not term.negated])]


def parse(text: str) -> Query:
    """Read a question; an empty one asks for everything. Raises QueryError."""
    if len(text) > LONGEST_QUERY:
        raise QueryError(LONGEST_QUERY + 1, f"a question has at most {LONGEST_QUERY} characters.")
    terms: list[Term] = []
    ranges: list[Range] = []
    tokens: list[Token] = []
    once: dict[str, int] = {}
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            break
        start = position
        negated = text[position] == "-"
        position += negated
        key, position = _read_key(text, position)
        value_at = position
        pattern, position = _read_value(text, position, key)
        token = Token(text[start:position], key, text[value_at:position], negated)
        if key in TEXT_KEYS:
            terms.append(Term(key, pattern, negated))
        elif key == "seq":
            ranges.append(_read_range(token.value, value_at, negated))
        else:
            if negated:
                raise QueryError(start + 1, f"{key}: cannot be excluded; give the range that you want.")
            name, instant = _read_bound(key, token.value, value_at)
            if key in {token.key for token in tokens}:
                raise QueryError(start + 1, f"{key}: is given twice.")
            once[name] = instant
        tokens.append(token)
    return Query(tuple(terms), tuple(ranges), **once, tokens=tuple(tokens))


def _read_key(text: str, position: int) -> tuple[str, int]:
    found = _KEY.match(text, position)
    if not found or text[found.end():found.end() + 1] != ":":
        word = text[position:].split()[0] if text[position:].split() else ""
        raise QueryError(position + 1, f"{word[:40]!r} has no key; write for example action:{word[:40] or 'read.*'}.")
    if found.group() not in KEYS:
        known = ", ".join(f"{key}:" for key in KEYS)
        raise QueryError(position + 1, f"{found.group()}: is no key; there are {known}.")
    return found.group(), found.end() + 1


def _read_value(text: str, position: int, key: str) -> tuple[Pattern, int]:
    """A value up to the next space; in quotes spaces, `*` and `\\"` are literal."""
    start = position
    parts: list[str | Wildcard] = []
    while position < len(text) and not text[position].isspace():
        sign = text[position]
        if sign == '"':
            piece, position = _read_quoted(text, position)
            parts.append(piece)
        else:
            parts.append(ANY if sign == "*" else sign)
            position += 1
    if position == start:
        raise QueryError(start + 1, f"{key}: needs a value right after it.")
    return _joined(parts), position


def _read_quoted(text: str, position: int) -> tuple[str, int]:
    opened, position, piece = position, position + 1, ""
    while position < len(text):
        if text[position] == '"':
            return piece, position + 1
        if text[position] == "\\" and text[position + 1:position + 2] in ('"', "\\"):
            position += 1
        piece += text[position]
        position += 1
    raise QueryError(opened + 1, "this quotation mark is never closed.")


def _joined(parts: list[str | Wildcard]) -> Pattern:
    out: list[str | Wildcard] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, str) and isinstance(last, str):
            out[-1] = last + part
        elif not (part is ANY and last is ANY):
            out.append(part)
    return tuple(out)


def _read_range(value: str, at: int, negated: bool) -> Range:
    found = re.fullmatch(r"(\d*)(\.\.)?(\d*)", value, re.ASCII)
    if not found or value in ("", "..") or (found.group(2) is None and not found.group(1)) or len(value) > 34:
        raise QueryError(at + 1, f"{value!r} is no entry number or range; write 120, 100..200, 100.. or ..200.")
    first, dots, last = found.groups()
    low = int(first) if first else 0
    high = (int(last) if last else LARGEST_SEQ) if dots else low
    if low > high:
        raise QueryError(at + 1, f"the range {value} ends before it begins.")
    if high > LARGEST_SEQ:
        raise QueryError(at + 1, "no ledger has that many entries.")
    return Range(low, high, negated)


def _read_bound(key: str, value: str, at: int) -> tuple[str, int]:
    if key == "as-of" and value.isascii() and value.isdigit() and len(value) < 16:
        return "as_of_seq", int(value)
    found = _TIME.match(value)
    if not found:
        raise QueryError(at + 1, f"{value!r} is no UTC time; write 2026-11-24, 2026-11-24T10:30 or "
                                 f"2026-11-24T10:30:05{', or an entry number' if key == 'as-of' else ''}.")
    year, month, day, hour, minute, second = found.groups()
    try:
        instant = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
                           tzinfo=UTC)
        ends = instant + (timedelta(seconds=1) if second else timedelta(minutes=1) if hour else timedelta(days=1))
    except (ValueError, OverflowError) as problem:
        raise QueryError(at + 1, f"{value!r} is not in the calendar.") from problem
    chosen = instant if key == "since" else ends
    name = {"since": "since_us", "until": "until_us", "as-of": "as_of_us"}[key]
    return name, (chosen - _EPOCH) // timedelta(microseconds=1)


def quoted(value: str) -> str:
    """A value as it may be typed after a key, so that it is found literally."""
    if value and re.fullmatch(r"[^\s*\"\\]+", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def fits(query: Query, seq: int, ts: int, row: Mapping[str, Any]) -> bool:
    """Whether one entry answers the question; SQL must say the same (a test compares them).

    `row` holds the texts by key; a text that the entry does not have fits no value, and every exclusion.
    """
    if query.since_us is not None and ts < query.since_us:
        return False
    if any(bound is not None and ts >= bound for bound in (query.until_us, query.as_of_us)):
        return False
    if query.as_of_seq is not None and seq > query.as_of_seq:
        return False
    inside = [span for span in query.ranges if span.first <= seq <= span.last]
    if any(span.negated for span in inside):
        return False
    if any(not span.negated for span in query.ranges) and not inside:
        return False
    for term in query.terms:
        if term.negated and any(term.fits(text) for text in _texts(row, term.key)):
            return False
    return all(any(term.fits(text) for term in group for text in _texts(row, key)) for key, group in query.groups())


def _texts(row: Mapping[str, Any], key: str) -> list[str]:
    """A person is also found by the deeds that a service attested for them."""
    names = ("actor", "on_behalf_of") if key == "actor" else (key,)
    return [str(row[name]) for name in names if row.get(name) is not None]

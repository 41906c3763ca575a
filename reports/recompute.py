"""How each printed cell is made again from the entries alone: one pure function a rule.

A rule gets the book, the entries that the cell cites and the rule's arguments, and returns the text that must be
printed. Papers are built by other code where that code exists (the readers' own sums, the gate's own criteria); these
functions go back to the fields that were signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from reports.book import Book, Line, instant
from reports.model import Basis

Rule = Callable[[Book, tuple[int, ...], Mapping[str, str]], str]
RULES: dict[str, Rule] = {}
MINUS = "\u2212"
MEASURE = re.compile(r"(-?\d+(?:\.\d+)?)(?: ([^\s]+))?\Z")
_PART = re.compile(r"([\w.]+)(=|!=|\^=)(.*)\Z", re.DOTALL)
# Entries that a count cites one by one; longer lists are cited by the digest of their numbers.
CITED_AT_MOST = 40
Z95 = Decimal("1.959963984540054")


class CannotRecompute(ValueError):
    """A rule does not fit the entries it was given; the text says why."""


def rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule under its printed name."""

    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


def compute(book: Book, basis: Basis) -> str:
    """The text that a cell with this basis must show. Raises CannotRecompute."""
    made = RULES.get(basis.rule)
    if made is None:
        raise CannotRecompute(f"no rule is called {basis.rule!r}.")
    try:
        return made(book, basis.entries, dict(basis.args))
    except CannotRecompute:
        raise
    except (KeyError, IndexError, TypeError, ValueError, InvalidOperation, ArithmeticError) as error:
        raise CannotRecompute(f"rule {basis.rule!r} does not fit entries {list(basis.entries)}: {error!r}") from error


# Reading a value and writing it ----------------------------------------------------------------------------------


def value_at(body: Mapping[str, Any], path: str) -> Any:
    """The member at a dotted path ("fields.criteria.0.state"); "" where an optional one is absent."""
    here: Any = body
    for step in path.split("."):
        if isinstance(here, list):
            here = here[int(step)]
        elif isinstance(here, Mapping):
            here = here.get(step, "")
        else:
            return ""
    return here


def written(value: Any, style: str) -> str:
    """A value of an entry as papers print it: text, minus, number, unit, utc, date, short, words, list or size.

    Raises CannotRecompute for an unknown style.
    """
    if style == "list":
        return ", ".join(written(item, "text") for item in value or ())
    if style == "size":
        return str(len(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if style == "text" or not text:
        return text
    if style == "minus":
        # UCUM writes the unit of a bare ratio as 1; people do not.
        return typographic(text.removesuffix(" 1"))
    if style == "number":
        return typographic(measure(text)[0])
    if style == "unit":
        return measure(text)[1]
    if style == "utc":
        return text[:19].replace("T", " ")
    if style == "date":
        return text[:10]
    if style == "short":
        return f"{text[:12]}…" if len(text) > 16 else text
    if style == "words":
        return text.replace("_", " ").replace(".", " ")
    raise CannotRecompute(f"no style is called {style!r}.")


def measure(text: str) -> tuple[str, str]:
    """"42.0 mm" as ("42.0", "mm"). Raises CannotRecompute where there is no number."""
    found = MEASURE.match(text)
    if found is None:
        raise CannotRecompute(f"{text!r} is not a decimal number with a unit.")
    return found[1], found[2] or ""


def typographic(number: str) -> str:
    """A decimal text with a true minus."""
    return number.replace("-", MINUS)


def signed(value: Decimal, places: int = 1) -> str:
    """Rounded half to even, with sign; zero has none."""
    rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    if rounded == 0:
        return f"{abs(rounded):f}"
    return typographic(f"{rounded:+f}")


def fits(line: Line, where: str) -> bool:
    """Whether an entry fits a condition: parts joined by `;`, each `path=a|b` (any), `path!=a|b` (none), `path^=a`
    (begins so). All parts must hold. Raises CannotRecompute where a part is none of these.
    """
    for part in filter(None, where.split(";")):
        found = _PART.match(part)
        if found is None:
            raise CannotRecompute(f"{part!r} is not a condition.")
        path, sign, wanted = found.groups()
        has = str(value_at(line.body, path))
        holds = has.startswith(wanted) if sign == "^=" else (has in wanted.split("|")) == (sign == "=")
        if not holds:
            return False
    return True


def selected(book: Book, args: Mapping[str, str]) -> list[Line]:
    """The entries that a count or share is about: `actions` (or all) under the condition `where`."""
    actions = [name for name in args.get("actions", "").split("|") if name]
    lines: Iterable[Line] = book.of(*actions) if actions else book.all()
    return [line for line in lines if fits(line, args.get("where", ""))]


def cited(lines: Sequence[Line]) -> tuple[tuple[int, ...], str]:
    """What a count cites: the numbers themselves when few, and always the digest of the ordered numbers."""
    seqs = tuple(line.seq for line in lines)
    digest = hashlib.sha256(",".join(map(str, seqs)).encode()).hexdigest()
    return (seqs if len(seqs) <= CITED_AT_MOST else ()), digest


def wilson(hits: int, of: int) -> tuple[Decimal, Decimal]:
    """Wilson's 95 % interval of a share, as fractions (Wilson 1927). `of` must be positive."""
    n, p, z = Decimal(of), Decimal(hits) / Decimal(of), Z95
    middle, spread = p + z * z / (2 * n), z * ((p * (1 - p) + z * z / (4 * n)) / n).sqrt()
    whole = 1 + z * z / n
    return max(Decimal(0), (middle - spread) / whole), min(Decimal(1), (middle + spread) / whole)


def percent(fraction: Decimal) -> str:
    """A fraction in percent with one decimal."""
    return f"{(fraction * 100).quantize(Decimal('0.1'), rounding=ROUND_HALF_EVEN):f}"


def share_text(hits: int, of: int) -> str:
    """"27 of 216, 12.5 % (8.7 to 17.6)" or "0 of 0"."""
    if of == 0:
        return "0 of 0"
    low, high = wilson(hits, of)
    return f"{hits} of {of}, {percent(Decimal(hits) / Decimal(of))} % ({percent(low)} to {percent(high)})"


# Rules that fit any word ------------------------------------------------------------------------------------------


@rule("field")
def _field(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """A member of the first cited entry."""
    return written(value_at(book.line(entries[0]).body, args["path"]), args.get("style", "text"))


@rule("entry")
def _entry(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The number of the first cited entry itself."""
    return str(book.line(entries[0]).seq)


@rule("recorded")
def _recorded(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """When the first cited entry was appended, in UTC to the second."""
    return instant(book.line(entries[0]).ts)[:19]


@rule("person")
def _person(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The printed name of whoever did the first cited entry; the user id where no name was enrolled."""
    return name_of(book, book.line(entries[0]).person)


def name_of(book: Book, user: str) -> str:
    """The last enrolled printed name of a user."""
    for line in reversed(book.of("key.enrolled")):
        if line.get("holder") == user and line.get("printed_name"):
            return str(line.get("printed_name"))
    return user


@rule("named")
def _named(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The printed name of the user whom a member of the first cited entry names."""
    return name_of(book, str(value_at(book.line(entries[0]).body, args["path"])))


@rule("count")
def _count(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """How many entries fit; the cited ones must be exactly these."""
    lines = selected(book, args)
    seqs, digest = cited(lines)
    if args.get("entries_sha256", digest) != digest or tuple(sorted(entries)) != seqs:
        raise CannotRecompute(f"the range holds {len(lines)} such entries, other ones than cited.")
    return str(len(lines))


@rule("share")
def _share(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """How many of a set fit a further condition, with Wilson's 95 % interval."""
    lines = selected(book, args)
    _, digest = cited(lines)
    if args.get("entries_sha256", digest) != digest:
        raise CannotRecompute(f"the range holds {len(lines)} such entries, other ones than cited.")
    return share_text(sum(fits(line, args["hit"]) for line in lines), len(lines))


@rule("constant")
def _constant(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """A word that stands for the presence of the cited entries ("signed", "missed")."""
    for seq in entries:
        if not fits(book.line(seq), args.get("where", "")):
            raise CannotRecompute(f"entry {seq} is not what the word {args['text']!r} stands for.")
    return args["text"]


@rule("interval")
def _interval(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Low and high bound of a criterion of the first cited entry, "0.81 to 0.93"; a dash where one is not stated."""
    found = value_at(book.line(entries[0]).body, args["path"])
    return " to ".join(written(found.get(side, "–"), "minus") for side in ("low", "high"))

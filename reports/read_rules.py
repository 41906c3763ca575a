"""Rules that make numbers of reads again: sizes, sums, changes, responses, and agreement over pairs of readers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from core.quantities import rounded
from core.reads.rules import MEASURE_OF, ai_value_in
from core.reads.state import AI_SLOT, SHADOW_SLOT
from reports.book import Book
from reports.reading import Course, Step, Told, burden_of, change_percent, charter_of, courses_of, read_at, step_at
from reports.recompute import Z95, CannotRecompute, rule, share_text, signed, typographic, value_at, written

NOT_EVALUABLE = "NE"


def slot_name(slot: str) -> str:
    """"reader_1" as "Reader 1", "ai" as "AI", "shadow" as "AI, shadow"."""
    return {AI_SLOT: "AI", SHADOW_SLOT: "AI, shadow"}.get(slot, slot.replace("_", " ").capitalize())


def shown(value: Decimal | None, places: int = 1) -> str:
    """A plain number as printed; NE where there is none."""
    return NOT_EVALUABLE if value is None else typographic(f"{rounded(value, places):f}")


def _endpoint(book: Book, told: Told, name: str) -> str:
    charter = charter_of(book, str(told.begun.body["trial"]))
    endpoint = charter.endpoint(name) if charter else None
    if endpoint is None:
        raise CannotRecompute(f"the charter has no endpoint {name}.")
    return endpoint.criterion


def _step(book: Book, seq: int, endpoint: str) -> tuple[Course, Step]:
    return step_at(book, read_at(book, seq), endpoint)


@rule("read.sum")
def _sum(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Sum of the target sizes under the opened seal of the first entry."""
    told = read_at(book, entries[0])
    assert told.answer is not None
    return shown(burden_of(told.answer, args["endpoint"], _endpoint(book, told, args["endpoint"])))


@rule("read.change")
def _change(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Change of the sum, in percent, from the read of the last cited entry (baseline) to the first."""
    sums = []
    for seq in (entries[0], entries[-1]):
        told = read_at(book, seq)
        assert told.answer is not None
        sums.append(burden_of(told.answer, args["endpoint"], _endpoint(book, told, args["endpoint"])))
    if sums[0] is None or sums[1] is None:
        return ""
    change = change_percent(sums[0], sums[1])
    return "" if change is None else signed(change)


@rule("read.response")
def _response(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Response at the time point of the first entry, by the charter's criterion over the reader's course so far."""
    return _step(book, entries[0], args["endpoint"])[1].response


@rule("read.best")
def _best(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Best overall response of the course that the first entry belongs to."""
    course, _ = _step(book, entries[0], args["endpoint"])
    return str(course.best.best.value) if course.best else ""


@rule("read.member")
def _member(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """A member of the answer under the opened seal of the first entry."""
    told = read_at(book, entries[0])
    assert told.answer is not None
    return written(value_at(told.answer, args["path"]), args.get("style", "text"))


@rule("read.sizes")
def _sizes(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The sizes of one target for an endpoint, joined where it split."""
    told = read_at(book, entries[0])
    assert told.answer is not None
    target = told.answer["targets"][int(args["target"])]
    return " + ".join(written(text, "number") for text in target["sizes"].get(args["endpoint"], []))


# Pairs of readers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """Two opened reads of one time point."""

    subject: str
    time_point: str
    one: Step
    other: Step

    @property
    def difference(self) -> Decimal:
        assert self.one.burden is not None
        assert self.other.burden is not None
        return self.one.burden - self.other.burden

    @property
    def mean(self) -> Decimal:
        assert self.one.burden is not None
        assert self.other.burden is not None
        return (self.one.burden + self.other.burden) / 2

    @property
    def seqs(self) -> tuple[int, ...]:
        return tuple(step.told.lines()[0].seq for step in (self.one, self.other))


def pairs_of(book: Book, trial: str, endpoint: str, one: str, other: str) -> list[Pair]:
    """Time points at which two slots both have an opened read with a value for the endpoint."""
    sides: dict[str, dict[tuple[str, str], Step]] = {one: {}, other: {}}
    for course in courses_of(book, trial):
        if course.endpoint.id == endpoint and course.slot in sides and course.counts:
            for step in course.steps:
                if step.burden is not None:
                    sides[course.slot][course.subject, step.told.time_point] = step
    return [Pair(*key, step, sides[other][key]) for key, step in sides[one].items() if key in sides[other]]


def cited_pairs(pairs: Sequence[Pair]) -> str:
    """The digest by which a number over pairs names them."""
    return hashlib.sha256(",".join(str(seq) for pair in pairs for seq in pair.seqs).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Agreement:
    """Bland and Altman 1986: mean difference and 95 % limits (mean ± 1.96 SD, n − 1)."""

    n: int
    mean: Decimal
    lower: Decimal
    upper: Decimal


def agreement_of(differences: Sequence[Decimal]) -> Agreement | None:
    """Agreement over paired differences; None for fewer than two pairs, which have no spread."""
    n = len(differences)
    if n < 2:
        return None
    mean = sum(differences, Decimal(0)) / n
    spread = (sum(((d - mean) ** 2 for d in differences), Decimal(0)) / (n - 1)).sqrt()
    return Agreement(n, mean, mean - Z95 * spread, mean + Z95 * spread)


def kappa_of(pairs: Sequence[tuple[str, str]]) -> Decimal | None:
    """Cohen's kappa (1960) of two raters' categories; None without pairs, or where chance alone explains all."""
    n = len(pairs)
    if n == 0:
        return None
    names = {name for pair in pairs for name in pair}
    seen = Decimal(sum(a == b for a, b in pairs)) / n
    chance = sum((Decimal(sum(a == c for a, _ in pairs) * sum(b == c for _, b in pairs)) for c in names), Decimal(0))
    chance /= n * n
    return None if chance == 1 else (seen - chance) / (1 - chance)


def responses_of(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Responses of both where both have one (not at baseline)."""
    return [(p.one.response, p.other.response) for p in pairs if p.one.response and p.other.response]


@rule("pairs")
def _pairs(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """A number over the pairs of two slots: n, mean, lower, upper, kappa or equal (share of equal responses)."""
    pairs = pairs_of(book, args["trial"], args["endpoint"], args["one"], args["other"])
    if args.get("entries_sha256", cited_pairs(pairs)) != cited_pairs(pairs):
        raise CannotRecompute(f"the range holds {len(pairs)} pairs, other ones than cited.")
    what = args["what"]
    if what == "n":
        return str(len(pairs))
    if what == "kappa":
        kappa = kappa_of(responses_of(pairs))
        return "" if kappa is None else typographic(f"{kappa.quantize(Decimal('0.01'), ROUND_HALF_EVEN):f}")
    if what == "equal":
        both = responses_of(pairs)
        return share_text(sum(a == b for a, b in both), len(both))
    agreement = agreement_of([pair.difference for pair in pairs])
    if agreement is None:
        return ""
    return signed({"mean": agreement.mean, "lower": agreement.lower, "upper": agreement.upper}[what])


# Words about reads -------------------------------------------------------------------------------------------------


@rule("slot")
def _slot(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The slot of the read that the first entry began."""
    return slot_name(str(book.line(entries[0]).get("slot")))


@rule("slot.chosen")
def _chosen(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The slot of the read that the adjudication of the first entry chose."""
    chosen = book.by_id(str(book.line(entries[0]).get("chosen")))
    begun = book.by_id(str(chosen.get("assignment"))) if chosen is not None else None
    if begun is None:
        raise CannotRecompute("the chosen read is not among the entries.")
    return _slot(book, (begun.seq,), args)


@rule("read.evaluable")
def _evaluable(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Yes, or the coded reason why the reader found the endpoint not evaluable."""
    told = read_at(book, entries[0])
    assert told.answer is not None
    reason = told.answer.get("not_evaluable", {}).get(args["endpoint"], "")
    return f"no: {reason.replace('_', ' ')}" if reason else "yes"


@rule("read.said")
def _said(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Response and sum of a read, or the best response of its course, as a comparison saw it."""
    course, step = _step(book, entries[0], args["endpoint"])
    if args["course"] == "yes":
        return str(course.best.best.value) if course.best else ""
    response = f"{step.response}, " if step.response else ""
    return f"{response}{shown(step.burden)} {course.endpoint.unit}"


@rule("run.value")
def _run_value(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """The value of a clear run in the unit of an endpoint; "undecided" or the failure where it gave none."""
    charter = charter_of(book, args["trial"])
    endpoint = charter.endpoint(args["endpoint"]) if charter else None
    line = book.line(entries[0])
    if endpoint is None:
        raise CannotRecompute(f"the charter has no endpoint {args['endpoint']}.")
    for value in line.get("values", []):
        measured = value["name"] == MEASURE_OF[endpoint.criterion, "extranodal"] and "value" in value
        shown_as = ai_value_in(endpoint, value["value"]) if measured else None
        if shown_as is not None:
            return typographic(f"{shown_as:f}")
    return str(line.get("values_said"))


@rule("read.difference")
def _difference(book: Book, entries: tuple[int, ...], args: Mapping[str, str]) -> str:
    """Sum of the first entry's read less that of the second."""
    sums = []
    for seq in entries[:2]:
        told = read_at(book, seq)
        assert told.answer is not None
        sums.append(burden_of(told.answer, args["endpoint"], _endpoint(book, told, args["endpoint"])))
    return "" if sums[0] is None or sums[1] is None else signed(sums[0] - sums[1])

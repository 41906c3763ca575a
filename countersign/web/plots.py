"""Where the lines of a plot go; the templates draw them with classes of the style sheet only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from core.ledger_evidence import Evidence

if TYPE_CHECKING:
    from reports.model_lineage import Node

LEFT, RIGHT = 64.0, 740.0
LOW, HIGH = 206.0, 92.0
WIDTH, FOOT, TALLEST = 1380.0, 46.0, 40.0
MOST_DAYS = 90
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sibling:
    """A digest of the path beside the way from leaf to root."""

    x: float
    y: float
    label: str
    label_y: float
    to_x: float
    to_y: float


@dataclass(frozen=True, slots=True)
class ProofPlot:
    """Points of the way, leaf first, and the siblings beside it."""

    points: tuple[tuple[float, float], ...]
    siblings: tuple[Sibling, ...]

    @property
    def label_y(self) -> float:
        """Where the entry's own label stands: under it, or above where the first sibling hangs below."""
        return 172.0 if self.siblings and self.siblings[0].y > LOW else 256.0


def proof(evidence: Evidence) -> ProofPlot:
    """The way from an entry to the root: a sibling on the left stands above, one on the right below."""
    steps = len(evidence.path)
    points = [(LEFT + (RIGHT - LEFT) * n / max(steps, 1), LOW + (HIGH - LOW) * n / max(steps, 1))
              for n in range(steps + 1)]
    here, last = evidence.line.seq, evidence.note.size - 1
    siblings = []
    for n, digest in enumerate(evidence.path):
        left = bool(here & 1) or here == last
        if left:
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        here, last = here >> 1, last >> 1
        x, y = points[n]
        offset = -40.0 if left else 40.0
        siblings.append(Sibling(round(x + 14, 1), round(y + offset, 1), digest.hex()[:4],
                                round(y + offset + (-12 if left else 20), 1),
                                round(points[n + 1][0], 1), round(points[n + 1][1], 1)))
    return ProofPlot(tuple((round(x, 1), round(y, 1)) for x, y in points), tuple(siblings))


@dataclass(frozen=True, slots=True)
class Bar:
    """One day."""

    x: float
    y: float
    width: float
    height: float
    shown: bool
    label: str


@dataclass(frozen=True, slots=True)
class DayPlot:
    """Entries per day; `shown` bars hold entries that fit the question."""

    bars: tuple[Bar, ...]
    first: str
    last: str
    highest: int
    highest_on: str


def days(whole: list[tuple[int, int]], fitting: list[tuple[int, int]]) -> DayPlot | None:
    """Bars of the newest days with entries; None for an empty ledger."""
    if not whole:
        return None
    newest = whole[-1][0]
    oldest = max(whole[0][0], newest - MOST_DAYS + 1)
    counts, fits = dict(whole), dict(fitting)
    number = newest - oldest + 1
    step = WIDTH / max(number, 20)
    top = max(count for day, count in whole if day >= oldest)
    bars = tuple(
        Bar(round(n * step + 1, 1), round(FOOT - height, 1), round(step * 0.88, 1), round(height, 1), day in fits,
            f"{_day(day)}: {counts.get(day, 0)} entries" + (f", {fits[day]} shown" if day in fits else ""))
        for n, day in enumerate(range(oldest, newest + 1))
        if (height := TALLEST * counts.get(day, 0) / top)
    )
    highest = max((day for day in counts if day >= oldest), key=lambda day: counts[day])
    return DayPlot(bars, _day(oldest), _day(newest), counts[highest], _day(highest))


def _day(day: int) -> str:
    moment = _EPOCH + timedelta(days=day)
    return f"{moment.day} {moment:%b %Y}"


@dataclass(frozen=True, slots=True)
class LineageBox:
    """One step of a model's lineage: where it stands, and the newest thing of its kind in a few words."""

    x: float
    kind: str
    title: str
    says: str
    digest: str | None
    entry: int | None
    there: bool


STEPS = ("data", "training run", "weights", "lock", "validation", "gate", "inferences")
PITCH, LETTERS = 172.0, 19


def lineage(nodes: Sequence[Node]) -> tuple[LineageBox, ...]:
    """A box for each step; where several of a kind are there, the newest, and how many there are."""
    boxes = []
    for number, kind in enumerate(STEPS):
        mine = [node for node in nodes if node.kind == kind]
        x = 1.0 + number * PITCH
        if not mine:
            boxes.append(LineageBox(x, kind, "none yet", "", None, None, False))
            continue
        newest = max(mine, key=lambda node: -1 if node.entry is None else node.entry)
        said = newest.says[0] if len(mine) == 1 and newest.says else f"newest of {len(mine)}"
        boxes.append(LineageBox(x, kind, _fit(newest.title, LETTERS - 3), _fit(said, LETTERS), newest.digest,
                                newest.entry, True))
    return tuple(boxes)


def _fit(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[:letters - 1] + "…"

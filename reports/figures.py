"""Figures of a paper as SVG files: the page model's points in, reproducible bytes out.

Each drawing is a template of `templates/figures/` with the one style sheet beside it inside the file, because a page's
style sheet does not reach an SVG image in the PDF renderer. Every drawing has a title and a description, and tells
kinds apart by shape and word before colour.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.model import Figure, Point

TEMPLATES = Path(__file__).parent / "templates"
WIDTH, HEIGHT = 560, 330
MINUS = "\u2212"
RESPONSE_CLASS = {"CR": "f-ok", "PR": "f-ok", "PD": "f-stop"}
# State of a time point (TRIAL 3) -> shape; a state that is not listed is one without an image yet: dashed ring.
SHAPE_OF_STATE = {
    "read": "solid", "adjudicated": "double", "frozen": "double", "missed": "cross", "not_evaluable": "cross",
    "received": "square", "in_qc": "square", "ready": "square", "in_read": "square",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight scale from data to drawing units."""

    low: Decimal
    high: Decimal
    start: int
    end: int

    def at(self, value: Decimal) -> float:
        """Drawing coordinate, to a tenth of a unit."""
        span = self.high - self.low
        return float(round(self.start + (value - self.low) / span * (self.end - self.start), 1))

    def ticks(self, step: Decimal) -> list[dict[str, Any]]:
        """Marks at whole multiples of the step."""
        first = (self.low / step).to_integral_value(ROUND_CEILING)
        last = (self.high / step).to_integral_value(ROUND_FLOOR)
        return [
            {"at": self.at(step * n), "text": signed(step * n) if self.low < 0 else plain(step * n)}
            for n in range(int(first), int(last) + 1)
        ]


def plain(value: Decimal) -> str:
    """A number with a true minus and without trailing zeros after a whole number."""
    text = f"{value.normalize():f}" if value else "0"
    return text.replace("-", MINUS)


def signed(value: Decimal) -> str:
    """As `plain`, with a plus before what is positive."""
    return ("+" if value > 0 else "") + plain(value)


def nice_step(span: Decimal, wanted: int = 5) -> Decimal:
    """A step of 1, 2 or 5 times a power of ten that gives about `wanted` marks."""
    if span <= 0:
        return Decimal(1)
    rough = span / wanted
    base = Decimal(1).scaleb(rough.adjusted())
    return next((base * m for m in (1, 2, 5) if base * m >= rough), base * 10)


def _around(values: list[Decimal], wanted: int = 5) -> tuple[Decimal, Decimal, Decimal]:
    """Low, high and step of a scale that holds all values with a whole step at each end."""
    low, high = min(values), max(values)
    step = nice_step(high - low or abs(high) or Decimal(1), wanted)
    low = (low / step).to_integral_value(ROUND_FLOOR) * step
    high = (high / step).to_integral_value(ROUND_CEILING) * step
    return low, high if high > low else low + step, step


def draw(figure: Figure) -> bytes:
    """The figure as an SVG file. Raises ValueError for a figure without points: it would show nothing."""
    if not figure.points:
        raise ValueError(f"figure {figure.id} has no points.")
    place = {"bland_altman": _bland_altman, "waterfall": _waterfall, "timelines": _timelines}[figure.template]
    facts = {
        "id": hashlib.sha256(figure.id.encode()).hexdigest()[:6],
        "title": figure.title, "description": figure.description, "style": _style(), "width": WIDTH, "height": HEIGHT,
        **place(figure),
    }
    return _environment().get_template(f"figures/{figure.template}.svg").render(facts).encode()


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@cache
def _style() -> str:
    return (TEMPLATES / "figures" / "style.css").read_text().replace("\n", "")


def _bland_altman(figure: Figure) -> dict[str, Any]:
    facts = dict(figure.facts)
    mean, lower, upper = (Decimal(facts[name]) for name in ("mean", "lower", "upper"))
    xs, ys = [Decimal(p.x) for p in figure.points], [Decimal(p.y) for p in figure.points]
    x_low, x_high, x_step = _around([Decimal(0), *xs])
    y_low, y_high, y_step = _around([Decimal(0), lower, upper, *ys])
    left, right, top, bottom = 50, 462, 26, 282
    x, y = Scale(x_low, x_high, left, right), Scale(y_low, y_high, bottom, top)
    heights = [[y.at(upper), signed(upper), "upper limit"], [y.at(mean), signed(mean), "mean"],
               [y.at(lower), signed(lower), "lower limit"]]
    for above, below in ((0, 1), (1, 2)):  # words must not lie upon one another when the limits are close
        heights[below][0] = max(heights[below][0], heights[above][0] + 30)  # type: ignore[call-overload, operator]
    return {
        "left": left, "right": right, "bottom": bottom, "plot_width": right - left,
        "y_mean": y.at(mean), "y_upper": y.at(upper), "y_lower": y.at(lower),
        "band": round(y.at(lower) - y.at(upper), 1), "x_ticks": x.ticks(x_step), "y_ticks": y.ticks(y_step),
        "labels": [{"at": at, "value": value, "word": word} for at, value, word in heights],
        "dots": [
            {"x": x.at(a), "y": y.at(b), "outside": not lower <= b <= upper} for a, b in zip(xs, ys, strict=True)
        ],
        "x_title": facts["x_title"], "y_title": facts["y_title"],
    }


def _waterfall(figure: Figure) -> dict[str, Any]:
    facts = dict(figure.facts)
    points = sorted(figure.points, key=lambda p: (-Decimal(p.y), p.label))
    limits = [Decimal(facts[name]) for name in ("progression", "response") if name in facts]
    low, high, step = _around([Decimal(0), *limits, *(Decimal(p.y) for p in points)])
    left, right, top, bottom = 50, 508, 34, 286
    y = Scale(low, high, bottom, top)
    slot = Decimal(right - left) / len(points)
    width = min(slot * Decimal("0.8"), Decimal(56))
    bars = [_bar(point, left + slot * (n + Decimal("0.5")), width, y, len(points)) for n, point in enumerate(points)]
    return {
        "left": left, "right": right, "bottom": bottom, "zero": y.at(Decimal(0)), "y_ticks": y.ticks(step),
        "bars": bars, "y_title": facts["y_title"],
        "limits": [{"at": y.at(v), "text": f"{signed(v)} %", "bad": v > 0} for v in limits],
    }


def _bar(point: Point, mid: Decimal, width: Decimal, y: Scale, count: int) -> dict[str, Any]:
    value = Decimal(point.y)
    zero, end = y.at(Decimal(0)), y.at(value)
    return {
        "x": float(round(mid - width / 2, 1)), "width": float(round(width, 1)), "mid": float(round(mid, 1)),
        "y": min(zero, end), "height": round(max(abs(zero - end), 0.6), 1),
        "cls": RESPONSE_CLASS.get(point.kind, "f-idle"), "word": point.kind,
        "word_at": end - 6 if value > 0 else max(end, zero) + 14,
        "name": point.label if count <= 12 else "",
    }


def _timelines(figure: Figure) -> dict[str, Any]:
    columns = list(dict.fromkeys(p.x for p in figure.points))
    names = list(dict.fromkeys(p.label for p in figure.points))
    left, right, lane = 150, 548, 24
    slot = Decimal(right - left) / len(columns)
    x_of = {name: float(round(left + slot * n, 1)) for n, name in enumerate(columns)}
    y_of = {name: 50 + lane * n for n, name in enumerate(names)}
    return {
        "height": 50 + lane * len(names), "left": left, "right": right,
        "heads": [{"at": at, "text": name} for name, at in x_of.items()],
        "lanes": [{"at": at, "name": name} for name, at in y_of.items()],
        "marks": [
            {"x": x_of[p.x], "y": y_of[p.label], "shape": SHAPE_OF_STATE.get(p.kind, "ring"), "word": p.y}
            for p in figure.points
        ],
    }

"""Recomputation: the small arithmetic of papers, exact and stated."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from reports import recompute
from reports.book import Line
from tests.req import req


def a_line(**body: object) -> Line:
    return Line(0, 0, "house", "", bytes(32), {"action": "a.b", "fields": {}, **body})


@req("RPT-02")
@given(st.integers(0, 400), st.integers(1, 400))
def test_wilsons_interval_is_that_of_another_library(hits: int, of: int) -> None:
    hits = min(hits, of)
    low, high = recompute.wilson(hits, of)
    other = binomtest(hits, of).proportion_ci(0.95, method="wilson")
    assert float(low) == pytest.approx(other.low, abs=1e-9)
    assert float(high) == pytest.approx(other.high, abs=1e-9)


def test_a_share_is_said_with_its_base() -> None:
    assert recompute.share_text(6, 24) == "6 of 24, 25.0 % (12.0 to 44.9)"
    assert recompute.share_text(0, 0) == "0 of 0"


def test_conditions_hold_as_written() -> None:
    line = a_line(trial="T1", role="reader", at="2026-11-24T10:00:00.000000Z", fields={"became": "read", "n": 3})
    for where, holds in (
        ("", True), ("trial=T1", True), ("trial=T2", False), ("trial=T2|T1;role=reader", True),
        ("role!=service", True), ("role!=service|reader", False), ("at^=2026-11", True), ("at^=2026-12", False),
        ("fields.became=read;fields.n=3", True), ("fields.absent=", True),
    ):
        assert recompute.fits(line, where) is holds, where
    with pytest.raises(recompute.CannotRecompute):
        recompute.fits(line, "trial")


def test_values_are_printed_by_their_style() -> None:
    for value, style, text in (
        ("-31.7 %", "number", "−31.7"), ("42.0 mm", "unit", "mm"), ("2026-11-24T10:00:00.000000Z", "utc",
                                                                   "2026-11-24 10:00:00"),
        ("not_evaluable", "words", "not evaluable"), (True, "text", "yes"), ([1, 2], "list", "1, 2"),
        ("a" * 64, "short", "aaaaaaaaaaaa…"), ("", "number", ""),
    ):
        assert recompute.written(value, style) == text
    with pytest.raises(recompute.CannotRecompute):
        recompute.written("many", "number")


@given(st.decimals(-500, 500, places=3))
def test_a_signed_number_shows_its_sign_once(value: Decimal) -> None:
    text = recompute.signed(Decimal(value))
    assert text[0] in "+−0"
    assert "-" not in text
    assert text.count("+") + text.count("−") == (0 if set(text) <= set("0.") else 1)

"""Intervals of proportions against Newcombe's published table, scipy, and the papers' own arithmetic."""

from __future__ import annotations

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from reports import recompute
from tests.req import req
from validation.proportions import clopper_pearson, wilson

# Newcombe, Statistics in Medicine 1998, table I: score method without correction (3), and Clopper-Pearson (5).
NEWCOMBE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]
counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@req("VAL-10")
@pytest.mark.parametrize(("k", "n", "score", "exact"), NEWCOMBE)
def test_both_intervals_are_those_of_newcombe(
    k: int, n: int, score: tuple[float, float], exact: tuple[float, float]
) -> None:
    ours, judged = wilson(k, n), clopper_pearson(k, n)

    assert (ours.low, ours.high) == pytest.approx(score, abs=5e-5)
    assert (judged.low, judged.high) == pytest.approx(exact, abs=5e-5)


@req("VAL-10")
@given(counts)
def test_wilson_is_what_scipy_and_the_reports_compute(kn: tuple[int, int]) -> None:
    k, n = kn
    theirs = scipy.stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    printed = recompute.wilson(k, n)

    ours = wilson(k, n)

    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx(tuple(float(one) for one in printed), abs=2e-3)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1

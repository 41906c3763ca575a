"""The statistics of drift against published examples and scipy."""

from __future__ import annotations

import math
import warnings
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some
from scipy import stats

from core.drift.statistics import (
    bin_edges,
    chi_square_tail,
    cusum,
    kolmogorov_smirnov,
    large,
    more_often,
    probability,
    stability,
)
from tests.req import req

# Montgomery, Runger: Applied Statistics and Probability for Engineers, table 16-8: target 99, K 1, H 10.
CONCENTRATION = (102.0, 94.8, 98.3, 98.4, 102.0, 98.5, 99.0, 97.7, 100.0, 98.1, 101.3, 98.7, 101.1, 98.4, 97.0, 96.7,
                 100.3, 101.4, 97.2, 101.0)
HIGH = (2.0, 0.0, 0.0, 0.0, 2.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.3, 0.0, 1.1, 0.0, 0.0, 0.0, 0.3, 1.7, 0.0, 1.0)
LOW = (0.0, 3.2, 2.9, 2.5, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.3, 0.0, 0.0, 0.8, 0.0)

values = some.lists(some.integers(-400, 400).map(lambda one: Decimal(one) / 4), min_size=1, max_size=40)


def decimals(array: np.ndarray) -> list[Decimal]:
    return [Decimal(f"{one:.3f}") for one in array]


@req("VAL-13")
def test_cusum_repeats_the_published_table() -> None:
    found = cusum(CONCENTRATION, 99.0, 1.0)

    assert [round(one.high, 6) for one in found] == list(HIGH)
    assert [round(one.low, 6) for one in found] == list(LOW)


@req("VAL-13")
@given(values, values)
def test_kolmogorov_smirnov_is_scipys_exact_test(baseline: list[Decimal], window: list[Decimal]) -> None:
    found = kolmogorov_smirnov(baseline, window)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        told = stats.ks_2samp([float(one) for one in baseline], [float(one) for one in window], method="exact")
    assume(not complaints)  # scipy gave its exact calculation up

    assert found is not None
    assert found.statistic == pytest.approx(told.statistic)
    assert found.p == pytest.approx(told.pvalue, rel=1e-9, abs=1e-12)


@req("VAL-13")
@pytest.mark.parametrize("degrees", range(1, 10))
@pytest.mark.parametrize("statistic", [0.0, 0.3, 3.7, 21.0, 90.0])
def test_the_tail_of_chi_square_is_scipys(statistic: float, degrees: int) -> None:
    assert chi_square_tail(statistic, degrees) == pytest.approx(stats.chi2.sf(statistic, degrees), rel=1e-9)


@req("VAL-13")
@given(some.integers(0, 20), some.integers(0, 20), some.integers(1, 20), some.integers(1, 20))
def test_a_risen_rate_is_fishers_exact_test(before: int, now: int, of_before: int, of_now: int) -> None:
    before, now = min(before, of_before), min(now, of_now)
    found = more_often(before, of_before, now, of_now)
    told = stats.fisher_exact([[now, of_now - now], [before, of_before - before]], alternative="greater")

    assert found == pytest.approx(told.pvalue, rel=1e-9)


@req("VAL-13")
def test_psi_of_a_hand_computed_example() -> None:
    """20 baseline values in four bins of five; 20 later ones as 8, 6, 4, 2."""
    baseline = [Decimal(one) for one in range(20)]
    window = [Decimal(value) for value, times in ((2, 8), (7, 6), (12, 4), (17, 2)) for _ in range(times)]

    found = stability(baseline, window)

    expected = sum((w - 5) / 20 * math.log(w / 5) for w in (8, 6, 4, 2))
    assert found is not None
    assert found.statistic == pytest.approx(expected)
    assert found.p == pytest.approx(stats.chi2.sf(expected * 10, 3))


@req("VAL-13")
@given(some.lists(some.integers(0, 60).map(Decimal), min_size=10, max_size=80), some.integers(2, 10))
def test_an_edge_of_a_bin_is_a_value_and_belongs_to_the_bin_below(baseline: list[Decimal], bins: int) -> None:
    edges = bin_edges(baseline, bins)

    assert set(edges) < set(baseline) or not edges
    assert list(edges) == sorted(set(edges))
    assert len(edges) < bins
    assert not edges or edges[-1] < max(baseline)


@req("VAL-13")
def test_psi_of_too_few_or_of_one_value_says_nothing() -> None:
    some_values = [Decimal(one) for one in range(9)]

    assert stability(some_values, some_values) is None
    assert stability([Decimal(1)] * 30, [Decimal(2)] * 30) is None
    assert kolmogorov_smirnov([], some_values) is None
    assert more_often(0, 0, 1, 2) is None


@req("VAL-13")
def test_numbers_are_rounded_against_the_model() -> None:
    assert large(0.2490001) == Decimal("0.250")
    assert probability(0.0000019) == Decimal("0.000001")

"""Agreement and repeatability against published examples, each named, and a second computation of another kind."""

from __future__ import annotations

from decimal import Decimal
from math import sqrt

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from core.gates.statistics import Pair, concordance
from tests.req import req
from validation import agreement
from validation.statistics import NotEstimable

# Shrout and Fleiss, Psychological Bulletin 1979, table 2: six targets, four judges.
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
# Bland and Altman, Lancet 1986, table 1: two readings of 17 people with each of two peak flow meters, l/min.
WRIGHT = [(494, 490), (395, 397), (516, 512), (434, 401), (476, 470), (557, 611), (413, 415), (442, 431), (650, 638),
          (433, 429), (417, 420), (656, 633), (267, 275), (478, 492), (178, 165), (423, 372), (427, 421)]
MINI = [(512, 525), (430, 415), (520, 508), (428, 444), (500, 500), (600, 625), (364, 460), (380, 390), (658, 642),
        (445, 432), (432, 420), (626, 605), (260, 227), (477, 467), (259, 268), (350, 370), (451, 443)]
# Hout, Duncan and Sobel 1987, in Agresti 1990 and in R's vcd as SexualFun: 91 couples, four ordered answers.
COUPLES = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]
# Fleiss, Psychological Bulletin 1971, table 1: 30 patients, six psychiatrists each, five diagnoses.
DIAGNOSES = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
# The worked example of many textbooks: ten subjects, fourteen raters, five categories; kappa 0.210.
FOURTEEN = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]

measurements = st.floats(0.5, 200, allow_nan=False).map(lambda value: round(value, 3))
tables = st.integers(2, 4).flatmap(
    lambda k: st.lists(st.lists(measurements, min_size=k, max_size=k), min_size=4, max_size=12))
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=40)


def rated(counts: list[list[int]]) -> list[list[int]]:
    """Ratings of each subject from how many raters gave each category."""
    return [[category for category, count in enumerate(row) for _ in range(count)] for row in counts]


def couples() -> tuple[list[int], list[int]]:
    cells = [(i, j) for i, row in enumerate(COUPLES) for j, count in enumerate(row) for _ in range(count)]
    return [i for i, _ in cells], [j for _, j in cells]


@req("VAL-10")
def test_intraclass_correlations_are_those_of_shrout_and_fleiss() -> None:
    """Table 4 of the paper: ICC(2,1) 0.29, ICC(3,1) 0.71; intervals [0.019, 0.761] and [0.342, 0.946] as R's psych has
    them for this example."""
    absolute, consistent = agreement.icc_agreement(SHROUT_FLEISS), agreement.icc_consistency(SHROUT_FLEISS)

    assert (round(absolute.value, 2), round(consistent.value, 2)) == (0.29, 0.71)
    assert (absolute.low, absolute.high) == pytest.approx((0.019, 0.761), abs=0.0006)
    assert (consistent.low, consistent.high) == pytest.approx((0.342, 0.946), abs=0.0006)


@req("VAL-10")
@given(st.lists(st.tuples(measurements, measurements), min_size=4, max_size=15))
def test_of_two_measurements_both_correlations_follow_from_the_moments(rows: list[tuple[float, float]]) -> None:
    """ICC(C,1) = 2 s_xy / (s_x^2 + s_y^2); a constant shift leaves it and lowers ICC(A,1)."""
    x, y = np.array(rows).T
    covariance = np.cov(x, y)
    if np.ptp(x) < 1 or np.ptp(y) < 1:
        return

    found = agreement.icc_consistency(rows)
    shifted = agreement.icc_consistency([(a, b + 500) for a, b in rows])

    expected = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1])
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert shifted.value == pytest.approx(found.value, abs=1e-6)
    if found.value > 0.05:
        assert agreement.icc_agreement([(a, b + 500) for a, b in rows]).value < found.value


@req("VAL-10")
def test_the_interval_of_consistency_is_that_of_its_f_ratio() -> None:
    """By scipy's F distribution, from mean squares made another way: sums of squares of R's anova for this table."""
    between, error, n, k = 56.208333 / 5, 15.291667 / 15, 6, 4  # Shrout and Fleiss, table 3: BMS 11.24, EMS 1.02
    ratio = between / error
    low = ratio / scipy.stats.f.ppf(0.975, n - 1, (n - 1) * (k - 1))
    high = ratio * scipy.stats.f.ppf(0.975, (n - 1) * (k - 1), n - 1)

    found = agreement.icc_consistency(SHROUT_FLEISS)

    assert (found.low, found.high) == pytest.approx(((low - 1) / (low + k - 1), (high - 1) / (high + k - 1)), abs=1e-6)


@req("VAL-10")
@given(tables)
def test_a_correlation_lies_in_its_interval_and_below_one(rows: list[list[float]]) -> None:
    for measure in (agreement.icc_agreement, agreement.icc_consistency):
        try:
            found = measure(rows)
        except NotEstimable:
            continue
        assert found.low <= found.value + 1e-9
        assert found.value <= found.high + 1e-9
        assert found.value <= 1


@req("VAL-10")
def test_repeatability_of_peak_flow_meters_is_that_of_bland_and_altman() -> None:
    """Lancet 1986: standard deviations of repeats about zero 21.6 (Wright) and 28.2 l/min (mini), which the paper takes
    twice and we 1.96 times."""
    for readings, published in ((WRIGHT, 21.6), (MINI, 28.2)):
        found = agreement.repeatability(readings)

        assert found.value / 2.77 * sqrt(2) == pytest.approx(published, abs=0.05)
        assert found.n == 17


@req("VAL-10")
@pytest.mark.parametrize(("n", "factor"), [(35, 1.25), (20, 1.36)])
def test_the_bound_of_repeatability_is_as_much_larger_as_the_chi_square_says(n: int, factor: float) -> None:
    """Barnhart and Barboriak 2009, and QIBA: 35 pairs inflate by 1.25; here 20 by 1.36. By scipy's distribution too."""
    found = agreement.repeatability(np.random.default_rng(7).normal(50, 2, (n, 2)))

    assert found.high / found.value == pytest.approx(factor, abs=0.005)
    assert found.high / found.value == pytest.approx(sqrt(n / scipy.stats.chi2.ppf(0.05, n)))
    assert found.low / found.value == pytest.approx(sqrt(n / scipy.stats.chi2.ppf(0.95, n)))


@req("VAL-10")
def test_the_bound_holds_the_true_coefficient_in_95_of_100_test_retests() -> None:
    """wSD 2 and twelve subjects, two thousand times: the coverage that the bound promises, within noise."""
    random = np.random.default_rng(20261130)
    true = 2.77 * 2
    held = [agreement.repeatability(random.normal(40, 12, (12, 1)) + random.normal(0, 2, (12, 2))).high >= true
            for _ in range(2000)]

    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@req("VAL-10")
@given(st.lists(st.tuples(measurements, measurements), min_size=3, max_size=12), st.floats(0.1, 50))
def test_relative_repeatability_knows_no_unit_and_the_absolute_one_does(
    rows: list[tuple[float, float]], scale: float
) -> None:
    if all(a == b for a, b in rows):
        with pytest.raises(NotEstimable, match="equal to the last digit"):
            agreement.repeatability(rows)
        return
    larger = [(scale * a, scale * b) for a, b in rows]

    relative = agreement.repeatability_percent(larger).value
    assert relative == pytest.approx(agreement.repeatability_percent(rows).value, rel=1e-6)
    assert agreement.repeatability(larger).high == pytest.approx(scale * agreement.repeatability(rows).high, rel=1e-6)


@req("VAL-10")
@pytest.mark.parametrize(("power", "kappa", "error"), [(0, 0.1293, 0.06860), (1, 0.2374, 0.07832)])
def test_cohens_kappa_is_that_of_r_for_the_couples_of_agresti(power: int, kappa: float, error: float) -> None:
    """vcd::Kappa(SexualFun): unweighted 0.1293 (ASE 0.06860), equal spacing 0.2374 (ASE 0.07832)."""
    found = agreement.weighted_kappa(*couples(), 4, power=power)

    assert found.value == pytest.approx(kappa, abs=5e-5)
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(error, abs=5e-6)


@req("VAL-10")
@given(pairs)
def test_quadratic_kappa_is_lins_concordance(rated_twice: list[tuple[int, int]]) -> None:
    """Fleiss and Cohen 1973: with quadratic weights kappa is the intraclass correlation, with n for n - 1 Lin's.

    Against the gates' own concordance, which is written without arrays."""
    first, second = ([pair[side] for pair in rated_twice] for side in (0, 1))
    if len({*first, *second}) < 2:
        with pytest.raises(NotEstimable, match="one category"):
            agreement.weighted_kappa(first, second, 4)
        return
    expected = concordance([Pair(str(n), Decimal(a), Decimal(b)) for n, (a, b) in enumerate(rated_twice)])

    found = agreement.weighted_kappa(first, second, 4, power=2)

    assert expected is not None
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value <= found.high + 1e-12 <= 1 + 1e-9


@req("VAL-10")
def test_fleiss_kappa_is_that_of_his_paper_and_of_the_textbooks() -> None:
    """Fleiss 1971: 0.430 for thirty patients; 0.210 for the example of fourteen raters."""
    paper = agreement.fleiss_kappa(rated([[int(c) for c in row] for row in DIAGNOSES.split()]), 5)
    textbook = agreement.fleiss_kappa(rated(FOURTEEN), 5)

    assert (round(paper.value, 3), round(textbook.value, 3)) == (0.43, 0.21)
    assert 0.28 < paper.low < paper.value < paper.high < 0.58


@req("VAL-08")
def test_raters_who_never_differ_are_not_thereby_certain() -> None:
    """No disagreement gives every error formula zero; the bound is the exact one of n of n."""
    twelve = [1, 2, 3] * 4

    found = agreement.weighted_kappa(twelve, twelve, 4)
    several = agreement.fleiss_kappa([[one, one, one] for one in twelve], 4)

    assert found.value == several.value == 1
    assert found.low < 0.7
    assert several.low < 0.7
    assert "exact bound of 12 of 12" in found.method


@req("VAL-10")
def test_one_category_and_what_does_not_vary_are_told_and_are_no_number() -> None:
    with pytest.raises(NotEstimable, match="Only one category"):
        agreement.weighted_kappa([1, 1, 1, 1], [1, 1, 1, 1], 3)
    with pytest.raises(NotEstimable, match="Only one category"):
        agreement.fleiss_kappa([[2, 2], [2, 2], [2, 2]], 3)
    with pytest.raises(NotEstimable, match="from 0 to 2"):
        agreement.weighted_kappa([0, 1, 3], [0, 1, 2], 3)
    for measure in (agreement.icc_agreement, agreement.icc_consistency):
        with pytest.raises(NotEstimable, match="one number"):
            measure([[5, 5], [5, 5], [5, 5]])
        with pytest.raises(NotEstimable, match="missing"):
            measure([[5, 5], [float("nan"), 5], [5, 6]])
    with pytest.raises(NotEstimable, match="different numbers"):
        agreement.repeatability([[1, 2], [1, 2, 3], [1, 2]])
    with pytest.raises(NotEstimable, match="not above zero"):
        agreement.repeatability_percent([[1, 2], [0, 0], [1, 2]])

"""Our estimates against published examples, other libraries and the properties they must have."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.req import req
from validation import agreement, proportions
from validation import statistics as s

# Bland and Altman, Lancet 1986: peak flow of 17 people, first readings of a large and a mini meter (l/min).
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def ball(radius: float, centre: tuple[float, float, float], shape: tuple[int, int, int] = (28, 30, 32)) -> s.Mask:
    grid = np.indices(shape)
    mask: s.Mask = sum((grid[i] - centre[i]) ** 2 for i in range(3)) <= radius**2
    return mask


@req("VAL-10")
def test_dice_is_what_monai_says_and_says_more_when_both_are_empty() -> None:
    """MONAI gives NaN for two empty masks, which means then drop."""
    from monai.metrics.meandice import compute_dice

    a, b, none = ball(6, (14, 15, 16)), ball(6, (15, 17, 16)), np.zeros((28, 30, 32), dtype=bool)
    theirs = compute_dice(torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None], include_background=True)

    assert s.dice(a, b) == pytest.approx(float(theirs), abs=1e-6)
    assert s.dice(none, none) == 1.0
    assert s.dice(none, a) == 0.0
    with pytest.raises(s.NotEstimable, match="boolean"):
        s.dice(a.astype(np.float32), b)
    with pytest.raises(s.NotEstimable, match="grids"):
        s.dice(a, b[1:])


@req("VAL-10")
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.8, 0.8), (3.27, 4.0, 2.5)])
def test_hd95_is_what_monai_says_in_millimetres(spacing: tuple[float, float, float]) -> None:
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    a, b = ball(6, (14, 15, 16)), ball(5, (15, 17, 13))
    theirs = compute_hausdorff_distance(
        torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None],
        include_background=True, percentile=95, spacing=list(spacing),
    )  # fmt: skip

    ours, missed = s.hd95_mm(a, b, spacing)

    assert ours == pytest.approx(float(theirs), rel=1e-5)
    assert not missed


@req("VAL-10")
def test_a_missed_lesion_counts_with_the_diagonal_and_never_vanishes() -> None:
    """The mean of {missed, 2.0} is not 2.0."""
    found, none = ball(4, (14, 15, 16)), np.zeros((28, 30, 32), dtype=bool)

    value, missed = s.hd95_mm(none, found, (2.0, 1.0, 1.0))

    assert missed
    assert value == pytest.approx(math.sqrt((27 * 2) ** 2 + 29**2 + 31**2))
    assert s.hd95_mm(none, none, (2.0, 1.0, 1.0)) == (0.0, False)
    with pytest.raises(s.NotEstimable, match="Spacing"):
        s.hd95_mm(found, found, (1.0, 0.0, 1.0))


@req("VAL-10")
def test_limits_of_agreement_are_those_of_the_lancet_paper() -> None:
    """Bias -2.1 l/min, limits -79.7 and 75.5 (with 1.96 for their 2), interval of the bias -22.0 to 17.8."""
    found = agreement.bland_altman([float(x - y) for x, y in zip(LARGE, MINI, strict=True)])

    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.2)
    assert found.lower.value == pytest.approx(-78.1, abs=0.1)
    assert found.upper.value == pytest.approx(73.9, abs=0.1)
    # The paper takes SE = sqrt(3 s^2 / n); the later, smaller one is ours: intervals a little narrower than printed.
    assert -114.3 < found.lower.low < -110
    assert 105 < found.upper.high < 110.1


@req("VAL-10")
def test_lin_is_its_definition_and_punishes_a_shift() -> None:
    """Checked by the moments; adding a constant lowers concordance and leaves correlation."""
    x, y = np.array(LARGE, dtype=float), np.array(MINI, dtype=float)
    cov = np.cov(x, y, bias=True)
    expected = 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (x.mean() - y.mean()) ** 2)

    found, shifted = agreement.lin_ccc(x, y), agreement.lin_ccc(x, y + 60)

    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high < 1
    assert shifted.value < found.value
    assert agreement.lin_ccc(x, x).value == pytest.approx(1.0)


@req("VAL-10")
@pytest.mark.parametrize(("k", "n"), [(58, 60), (0, 12), (12, 12), (1, 7), (181, 240)])
def test_exact_bounds_of_a_proportion_agree_with_scipy(k: int, n: int) -> None:
    ours, theirs = proportions.clopper_pearson(k, n), scipy.stats.binomtest(k, n).proportion_ci(0.95, "exact")

    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@req("VAL-08")
def test_exact_bounds_and_sample_sizes_are_those_planned_with() -> None:
    """58 of 60 is [.885, .996]; a lower bound of .90 at a true .96 is reached by 89 % (n 200) and 94 % (n 240)."""
    found = proportions.clopper_pearson(58, 60)

    assert (round(found.low, 3), round(found.high, 3)) == (0.885, 0.996)
    assert round(proportions.power_of_lower_bound(200, 0.96, 0.90), 2) == 0.89
    assert round(proportions.power_of_lower_bound(240, 0.96, 0.90), 2) == 0.94
    assert proportions.power_of_lower_bound(20, 0.96, 0.90) == 0.0


@req("VAL-10")
def test_the_bootstrap_is_bca_as_scipy_makes_it() -> None:
    """One value per subject: same bounds as scipy's BCa up to the noise of resampling; same seed, same bytes."""
    values = np.random.default_rng(7).gamma(2.0, 3.0, 40)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(1))

    ours = s.bootstrap_by_subject([[v] for v in values], lambda x: float(x.mean()), seed=11, resamples=9999)

    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.02)
    assert ours == s.bootstrap_by_subject([[v] for v in values], lambda x: float(x.mean()), seed=11, resamples=9999)


@req("VAL-10")
def test_the_bootstrap_is_bca_as_efron_publishes_it() -> None:
    """Efron and Tibshirani 1993, table 14.1 and 14.2: variance of 26 spatial test scores, 171.5, 90 % BCa interval
    (115.8, 259.6) with B = 2000; ours within the noise of their resampling."""
    scores = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]

    found = s.bootstrap_by_subject([[float(v)] for v in scores], lambda x: float(x.var()), seed=1, level=0.90)

    assert found.value == pytest.approx(171.5, abs=0.05)
    assert (found.low, found.high) == pytest.approx((115.8, 259.6), rel=0.03)


@req("VAL-10")
@given(st.lists(st.floats(-20, 20), min_size=3, max_size=30), st.floats(0.1, 15))
def test_equivalence_is_two_one_sided_t_tests(values: list[float], margin: float) -> None:
    """Within the margins exactly where scipy's two tests both reject at 5 % (Schuirmann 1987)."""
    if np.std(values) < 1e-6:
        return
    above = scipy.stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(values, margin, alternative="less").pvalue
    worst = max(float(above), float(below))
    if abs(worst - 0.05) < 1e-9:
        return

    found = s.equivalence(values)

    assert (-margin < found.low and found.high < margin) == (worst < 0.05)


@req("VAL-10")
@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_log_ratio_is_symmetric_and_a_missed_lesion_is_far_from_equal(measured: float, true: float) -> None:
    assert s.log_ratio(measured, true, 1) == pytest.approx(-s.log_ratio(true, measured, 1), abs=1e-12)
    assert s.log_ratio(0, true, 1) <= s.log_ratio(measured, true, 1)
    with pytest.raises(s.NotEstimable, match="ratio"):
        s.log_ratio(measured, 0.0, 1)


@req("VAL-10")
def test_lesions_of_one_subject_are_not_independent() -> None:
    """30 subjects x 8 lesions with a subject effect: pooled lesions pretend to be far surer than subjects are."""
    random = np.random.default_rng(7)
    subjects = [random.normal(random.normal(0.8, 0.2), 0.1, 8) for _ in range(30)]

    clustered = s.bootstrap_by_subject(subjects, lambda x: float(x.mean()), seed=3, resamples=2000)
    naive = s.bootstrap_by_subject(
        [[v] for v in np.concatenate(subjects)], lambda x: float(x.mean()), seed=3, resamples=2000
    )

    assert clustered.high - clustered.low > 1.5 * (naive.high - naive.low)


@req("VAL-10")
def test_nothing_missing_is_dropped_silently() -> None:
    """NaN raises in every estimate; so does what the data cannot determine."""
    nan = float("nan")
    with pytest.raises(s.NotEstimable, match="missing"):
        agreement.bland_altman([1.0, 2.0, nan])
    with pytest.raises(s.NotEstimable, match="missing"):
        s.bootstrap_by_subject([[1.0], [nan], [2.0]], lambda x: float(x.mean()), seed=1)
    with pytest.raises(s.NotEstimable, match="subjects"):
        s.bootstrap_by_subject([[1.0], [2.0]], lambda x: float(x.mean()), seed=1)
    with pytest.raises(s.NotEstimable, match="proportion"):
        proportions.clopper_pearson(3, 2)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_exact_interval_holds_the_estimate_and_stays_in_zero_to_one(kn: tuple[int, int]) -> None:
    found = proportions.clopper_pearson(*kn)

    assert 0.0 <= found.low <= found.value <= found.high <= 1.0

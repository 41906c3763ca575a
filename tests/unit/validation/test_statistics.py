"""Our estimates against published examples, other libraries and the properties they must have."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.req import req
from validation import statistics as s

# Bland and Altman, Lancet 1986: peak flow of 17 people, first readings of a large and a mini meter (l/min).
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
# Shrout and Fleiss, Psychological Bulletin 1979, table 2: six targets, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


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
    found = s.bland_altman([float(x) for x in LARGE], [float(x) for x in MINI])

    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.2)
    assert found.lower.value == pytest.approx(-78.1, abs=0.1)
    assert found.upper.value == pytest.approx(73.9, abs=0.1)
    # The paper takes SE = sqrt(3 s^2 / n); the later, smaller one is ours: intervals a little narrower than printed.
    assert -114.3 < found.lower.low < -110
    assert 105 < found.upper.high < 110.1


@req("VAL-10")
def test_icc_is_that_of_shrout_and_fleiss() -> None:
    """ICC(2,1) = .29 with [.02, .76], ICC(3,1) = .71 with [.34, .95]."""
    agreement, consistency = s.icc(JUDGES, "A,1"), s.icc(JUDGES, "C,1")

    assert [round(x, 2) for x in (agreement.value, agreement.low, agreement.high)] == [0.29, 0.02, 0.76]
    assert [round(x, 2) for x in (consistency.value, consistency.low, consistency.high)] == [0.71, 0.34, 0.95]
    assert s.icc(np.column_stack([np.arange(5.0), np.arange(5.0)]), "A,1").value == 1.0
    with pytest.raises(s.NotEstimable, match="equal"):
        s.icc(np.ones((4, 2)), "A,1")


@req("VAL-10")
def test_lin_is_its_definition_and_punishes_a_shift() -> None:
    """Checked by the moments; adding a constant lowers concordance and leaves correlation."""
    x, y = np.array(LARGE, dtype=float), np.array(MINI, dtype=float)
    cov = np.cov(x, y, bias=True)
    expected = 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (x.mean() - y.mean()) ** 2)

    found, shifted = s.lin_ccc(x, y), s.lin_ccc(x, y + 60)

    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high < 1
    assert shifted.value < found.value
    assert s.lin_ccc(x, x).value == pytest.approx(1.0)


@req("VAL-10")
@pytest.mark.parametrize(("k", "n"), [(58, 60), (0, 12), (12, 12), (1, 7), (181, 240)])
def test_proportions_agree_with_scipy(k: int, n: int) -> None:
    for ours, name in ((s.wilson(k, n), "wilson"), (s.clopper_pearson(k, n), "exact")):
        theirs = scipy.stats.binomtest(k, n).proportion_ci(0.95, name)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@req("VAL-08")
def test_exact_bounds_and_sample_sizes_are_those_planned_with() -> None:
    """58 of 60 is [.885, .996]; a lower bound of .90 at a true .96 is reached by 89 % (n 200) and 94 % (n 240)."""
    found = s.clopper_pearson(58, 60)

    assert (round(found.low, 3), round(found.high, 3)) == (0.885, 0.996)
    assert round(s.power_of_lower_bound(200, 0.96, 0.90), 2) == 0.89
    assert round(s.power_of_lower_bound(240, 0.96, 0.90), 2) == 0.94
    assert s.power_of_lower_bound(20, 0.96, 0.90) == 0.0


@req("VAL-10")
def test_repeatability_bounds_grow_as_planned() -> None:
    """35 pairs inflate the coefficient by 1.25, 20 by 1.36."""
    random = np.random.default_rng(7)
    for n, factor in ((35, 1.25), (20, 1.36)):
        first = random.normal(100, 10, n)
        found = s.repeatability(first, first + random.normal(0, 3, n))
        assert round(found.upper / found.coefficient, 2) == factor
        assert found.coefficient == pytest.approx(2.77 * found.within_sd, rel=1e-3)


@req("RDG-08")
def test_kappa_and_ac1_are_the_textbook_ones() -> None:
    """20/5/10/15 gives kappa .40; Gwet's 118/5/2/0 gives kappa -.023 and AC1 .941: the prevalence paradox."""

    def raters(table: list[list[int]]) -> tuple[list[str], list[str]]:
        pairs = [(i, j) for i in range(2) for j in range(2) for _ in range(table[i][j])]
        return ["ab"[i] for i, _ in pairs], ["ab"[j] for _, j in pairs]

    even, prevalent = raters([[20, 5], [10, 15]]), raters([[118, 5], [2, 0]])

    assert s.weighted_kappa(*even, "ab", "none") == pytest.approx(0.4)
    assert s.weighted_kappa(*prevalent, "ab", "none") == pytest.approx(-0.0234, abs=1e-4)
    assert s.gwet_ac1(*prevalent, "ab") == pytest.approx(0.9408, abs=1e-4)
    with pytest.raises(s.NotEstimable, match="AC1"):
        s.weighted_kappa(["a"] * 5, ["a"] * 5, "ab", "none")
    assert s.gwet_ac1(["a"] * 5, ["a"] * 5, "ab") == 1.0


@req("RDG-08")
def test_weights_forgive_near_misses() -> None:
    """A response read one category apart weighs less than one three apart."""
    order = ("CR", "PR", "SD", "PD")
    first = ["CR", "PR", "SD", "PD"] * 4
    near = ["PR", "PR", "SD", "PD"] * 4
    far = ["PD", "PR", "SD", "PD"] * 4

    assert s.weighted_kappa(first, near, order, "quadratic") > s.weighted_kappa(first, far, order, "quadratic")
    assert s.weighted_kappa(first, near, order, "linear") > s.weighted_kappa(first, near, order, "none")


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
def test_not_worse_is_judged_on_the_bound_not_on_the_mean() -> None:
    """A mean inside the margin with few subjects does not pass; with many it does."""
    random = np.random.default_rng(7)
    few, many = random.normal(-0.005, 0.05, 8), random.normal(-0.005, 0.05, 400)

    assert not s.non_inferior([[d] for d in few], 0.02, seed=5, resamples=1000).holds
    assert s.non_inferior([[d] for d in many], 0.02, seed=5, resamples=1000).holds
    assert s.equivalent(many, 0.02).holds
    assert not s.equivalent(many + 0.03, 0.02).holds
    with pytest.raises(s.NotEstimable, match="margin"):
        s.non_inferior([[d] for d in many], 0.0, seed=5)


@req("VAL-13")
def test_drift_is_seen_and_sameness_is_not_drift() -> None:
    random = np.random.default_rng(7)
    base, same, moved = random.normal(size=500), random.normal(size=500), random.normal(0.8, 1, 500)

    assert s.psi(base, same) < 0.1 < 0.25 < s.psi(base, moved)
    assert s.ks(base, moved)[0] == pytest.approx(scipy.stats.ks_2samp(base, moved).statistic)
    assert s.ks(base, moved)[1] == pytest.approx(scipy.stats.ks_2samp(base, moved, method="asymp").pvalue, rel=0.3)
    assert s.ks(base, same)[1] > 0.01
    assert s.cusum([10.0, 10.5, 9.5] * 20, 10.0, 1.0) is None
    assert s.cusum([10.0] * 5 + [12.5] * 10, 10.0, 1.0) == 7


@req("VAL-10")
def test_nothing_missing_is_dropped_silently() -> None:
    """NaN raises in every estimate; so does what the data cannot determine."""
    nan = float("nan")
    with pytest.raises(s.NotEstimable, match="missing"):
        s.bland_altman([1.0, 2.0, nan], [1.0, 2.0, 3.0])
    with pytest.raises(s.NotEstimable, match="missing"):
        s.bootstrap_by_subject([[1.0], [nan], [2.0]], lambda x: float(x.mean()), seed=1)
    with pytest.raises(s.NotEstimable, match="subjects"):
        s.bootstrap_by_subject([[1.0], [2.0]], lambda x: float(x.mean()), seed=1)
    with pytest.raises(s.NotEstimable, match="logarithm"):
        s.geometric_mean_ratio([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(s.NotEstimable, match="above zero"):
        s.volume_error_pct([1.0], [0.0])
    with pytest.raises(s.NotEstimable, match="proportion"):
        s.wilson(3, 2)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_exact_interval_holds_the_estimate_and_stays_in_zero_to_one(kn: tuple[int, int]) -> None:
    for found in (s.clopper_pearson(*kn), s.wilson(*kn)):
        assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@given(st.lists(st.floats(1, 1000), min_size=3, max_size=12), st.floats(0.5, 2.0))
def test_a_scaled_volume_is_off_by_its_scale(true: list[float], factor: float) -> None:
    errors = s.volume_error_pct([v * factor for v in true], true)

    assert errors == pytest.approx(np.full(len(true), 100 * (factor - 1)), abs=1e-6)
    assert s.geometric_mean_ratio([v * factor for v in true], true).value == pytest.approx(factor)

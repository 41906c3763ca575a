"""Agreement of measurements and of categories, and how far a repeated measurement strays. Pure.

Inputs are whole tables, one row a subject; a value that is missing raises, so that the caller decides how a missed
lesion counts (validation/cases.py). Where the data do not determine an estimate it raises NotEstimable with the reason:
one category, no spread, equal repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

from validation.proportions import clopper_pearson
from validation.rules import REPEATABILITY
from validation.statistics import LEVEL, Estimate, Floats, NotEstimable, finite, quantile_of

Table = Sequence[Sequence[float]] | Floats


def _table(rows: Table, at_least: int) -> Floats:
    """Shape (subjects, measurements), complete. Raises NotEstimable."""
    if len({len(row) for row in rows}) > 1:
        raise NotEstimable("Subjects have different numbers of measurements; nothing is dropped silently.")
    table = finite(np.asarray(rows, dtype=np.float64), at_least)
    if table.ndim != 2 or table.shape[1] < 2:
        raise NotEstimable("Each subject needs at least two measurements.")
    return table


# -- Pairs of measurements -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BlandAltman:
    """Mean difference and the two 95 % limits of agreement, each with its interval."""

    bias: Estimate
    lower: Estimate
    upper: Estimate


def bland_altman(differences: Sequence[float] | Floats) -> BlandAltman:
    """Of one difference a subject; SE of a limit s sqrt(1/n + 1.96^2 / (2 (n - 1))) (Bland, Altman 1999)."""
    from scipy.special import stdtrit

    d = finite(differences, 3)
    n, z = len(d), quantile_of(LEVEL)
    mean, s = float(d.mean()), float(d.std(ddof=1))
    t = float(stdtrit(n - 1, 0.975))

    def around(value: float, se: float) -> Estimate:
        return Estimate(value, value - t * se, value + t * se, n, "Bland-Altman, t")

    se = s * sqrt(1 / n + z**2 / (2 * (n - 1)))
    return BlandAltman(around(mean, s / sqrt(n)), around(mean - z * s, se), around(mean + z * s, se))


def lin_ccc(a: Sequence[float] | Floats, b: Sequence[float] | Floats, level: float = LEVEL) -> Estimate:
    """Lin's concordance: 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2), interval by Fisher's z (Lin 1989, 2000)."""
    x, y = finite(a, 4), finite(b, 4)
    n = len(x)
    sx, sy, sxy = float(x.var()), float(y.var()), float(((x - x.mean()) * (y - y.mean())).mean())
    if sx == 0 or sy == 0:
        raise NotEstimable("One of the series does not vary: concordance has no meaning.")
    shift = float(x.mean() - y.mean()) ** 2
    ccc = 2 * sxy / (sx + sy + shift)
    r2 = sxy**2 / (sx * sy)
    if abs(ccc) >= 1 - 1e-12 or r2 < 1e-12:
        return Estimate(ccc, ccc if abs(ccc) > 0.5 else -1.0, ccc if abs(ccc) > 0.5 else 1.0, n, "Lin, degenerate")
    u2, r, c2 = shift / sqrt(sx * sy), sqrt(r2), ccc**2
    variance = (
        (1 - r2) * c2 / ((1 - c2) * r2) + 2 * ccc**3 * (1 - ccc) * u2 / (r * (1 - c2) ** 2)
        - ccc**4 * u2**2 / (2 * r2 * (1 - c2) ** 2)
    ) / (n - 2)  # fmt: skip
    half = quantile_of(level) * sqrt(max(variance, 0.0))
    return Estimate(ccc, tanh(atanh(ccc) - half), tanh(atanh(ccc) + half), n, "Lin, Fisher z")


# -- Intraclass correlation ----------------------------------------------------------------------------------------


def _two_way(table: Floats) -> tuple[float, float, float]:
    """Mean squares of subjects, of measurements (raters) and of error."""
    n, k = table.shape
    grand, rows, columns = table.mean(), table.mean(axis=1), table.mean(axis=0)
    error = table - rows[:, None] - columns[None, :] + grand
    return (
        float(k * ((rows - grand) ** 2).sum() / (n - 1)), float(n * ((columns - grand) ** 2).sum() / (k - 1)),
        float((error**2).sum() / ((n - 1) * (k - 1))),
    )


def icc_agreement(rows: Table) -> Estimate:
    """ICC(2,1), ICC(A,1) of McGraw and Wong 1996: absolute agreement of single measurements; a shift counts.

    Args:
        rows: one row a subject, one column a rater, scan or method.

    Raises:
        NotEstimable: fewer than three subjects, or all values are one number.
    """
    table = _table(rows, 3)
    n, k = table.shape
    between, raters, error = _two_way(table)
    whole = between + (k - 1) * error + k * (raters - error) / n
    if np.ptp(table) == 0 or whole <= 0:
        raise NotEstimable("All values are one number: a correlation within subjects has no meaning.")
    icc, method = (between - error) / whole, "ICC(A,1), F"
    if 1 - icc < 1e-12:
        return Estimate(1.0, 1.0, 1.0, n, f"{method}, degenerate")
    # Below zero the approximate degrees of freedom mean nothing; those at zero are the error's own.
    ratio = max(icc, 0.0) / (n * (1 - max(icc, 0.0)))
    a, b = k * ratio, 1 + k * ratio * (n - 1)
    parts = (a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    degrees = (a * raters + b * error) ** 2 / parts
    rest = k * raters + (k * n - k - n) * error
    below, above = _f_quantile(n - 1, degrees), _f_quantile(degrees, n - 1)
    low = n * (between - below * error) / (below * rest + n * between)
    high = n * (above * between - error) / (rest + n * above * between)
    return Estimate(icc, low, high, n, method)


def icc_consistency(rows: Table) -> Estimate:
    """ICC(3,1), ICC(C,1) of McGraw and Wong 1996: consistency of single measurements; a constant shift is forgiven.

    Raises:
        NotEstimable: fewer than three subjects, or subjects that do not vary beyond the shift.
    """
    table = _table(rows, 3)
    n, k = table.shape
    between, _, error = _two_way(table)
    if between + (k - 1) * error <= 0 or np.ptp(table) == 0:
        raise NotEstimable("All values are one number: a correlation within subjects has no meaning.")
    icc, method = (between - error) / (between + (k - 1) * error), "ICC(C,1), F"
    if 1 - icc < 1e-12:
        return Estimate(1.0, 1.0, 1.0, n, f"{method}, degenerate")
    ratio, df = between / error, (n - 1) * (k - 1)
    low, high = ratio / _f_quantile(n - 1, df), ratio * _f_quantile(df, n - 1)
    return Estimate(icc, (low - 1) / (low + k - 1), (high - 1) / (high + k - 1), n, method)


def _f_quantile(numerator: float, denominator: float) -> float:
    from scipy.special import fdtri

    return float(fdtri(numerator, denominator, 0.5 + LEVEL / 2))


# -- Repeatability -------------------------------------------------------------------------------------------------


def repeatability(rows: Table) -> Estimate:
    """Repeatability coefficient 2.77 wSD: what two repeats of one subject differ by in 95 of 100.

    wSD is the root of the mean variance within subjects, sqrt(sum d^2 / 2n) for pairs. Each bound is one-sided 95 %:
    the upper RC sqrt(df / chi2(0.05, df)) with n (k - 1) degrees of freedom (Barnhart, Barboriak 2009; QIBA).

    Raises:
        NotEstimable: fewer than three subjects, or repeats that are all equal: the same images were measured twice.
    """
    table = _table(rows, 3)
    return _coefficient(float(table.var(axis=1, ddof=1).mean()), table, "2.77 wSD")


def repeatability_percent(rows: Table) -> Estimate:
    """%RC, 277 wCV: where the spread grows with the size, so that one length for all sizes would say nothing.

    wCV is the root mean square of each subject's coefficient of variation (QIBA).

    Raises:
        NotEstimable: as above, or a subject whose mean is not above zero.
    """
    table = _table(rows, 3)
    means = table.mean(axis=1)
    if (means <= 0).any():
        raise NotEstimable("A subject's mean is not above zero: its repeats have no relative spread.")
    return _coefficient(1e4 * float((table.var(axis=1, ddof=1) / means**2).mean()), table, "277 wCV")


def _coefficient(variance: float, table: Floats, what: str) -> Estimate:
    from scipy.special import chdtri

    if variance == 0:
        raise NotEstimable("All repeats are equal to the last digit: the same images were measured, nothing repeated.")
    n, k = table.shape
    df, value = n * (k - 1), float(REPEATABILITY) * sqrt(variance)
    low, high = (value * sqrt(df / float(chdtri(df, tail))) for tail in (1 - LEVEL, LEVEL))
    return Estimate(value, low, high, n, f"{what}, {k} repeats, chi-square, each side 95 %")


# -- Categories ----------------------------------------------------------------------------------------------------


def weighted_kappa(first: Sequence[int], second: Sequence[int], categories: int, *, power: int = 1) -> Estimate:
    """Cohen's weighted kappa of two ratings in ordered categories, large-sample interval (Fleiss, Cohen, Everitt 1969).

    Args:
        first, second: a category from 0 of each subject.
        power: of the distance: 1 linear, 2 quadratic, 0 unweighted (every disagreement alike).

    Raises:
        NotEstimable: fewer than three subjects, or only one category was used.
    """
    a, b = (finite(np.asarray(one, dtype=np.float64), 3).astype(np.intp) for one in (first, second))
    if len(a) != len(b) or min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= categories:
        raise NotEstimable(f"Ratings are pairs of categories from 0 to {categories - 1}.")
    if len({*a.tolist(), *b.tolist()}) < 2:
        raise NotEstimable("Only one category was used: agreement beyond chance is not estimable.")
    n, places = len(a), np.arange(categories, dtype=np.float64)
    share: Floats = np.zeros((categories, categories))
    np.add.at(share, (a, b), 1 / n)
    apart = np.abs(places[:, None] - places[None, :]) / (categories - 1)
    weight = 1 - (apart != 0 if power == 0 else apart**power).astype(np.float64)
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    observed, chance = float((weight * share).sum()), float((weight * np.outer(rows, columns)).sum())
    kappa, method = (observed - chance) / (1 - chance), f"Cohen's kappa, weights of power {power}"
    if (a == b).all():
        return _all_agree(n, chance, method)
    expected = (weight @ columns)[:, None] + (rows @ weight)[None, :]
    spread = (share * (weight - expected * (1 - kappa)) ** 2).sum() - (kappa - chance * (1 - kappa)) ** 2
    half = quantile_of(LEVEL) * sqrt(max(float(spread), 0.0) / n) / (1 - chance)
    return Estimate(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0), n, method)


def fleiss_kappa(rows: Sequence[Sequence[int]], categories: int) -> Estimate:
    """Fleiss' kappa of as many ratings of each subject, interval by the jackknife over subjects (Fleiss 1971).

    Args:
        rows: one row a subject, its ratings as categories from 0; who rated need not be the same.

    Raises:
        NotEstimable: fewer than three subjects, or without one of them only one category was used.
    """
    from scipy.special import stdtrit

    ratings = _table(np.asarray(rows, dtype=np.float64), 3).astype(np.intp)
    if ratings.min() < 0 or ratings.max() >= categories:
        raise NotEstimable(f"Ratings are categories from 0 to {categories - 1}.")
    counts = np.stack([(ratings == one).sum(axis=1) for one in range(categories)], axis=1).astype(np.float64)
    n, method = len(counts), "Fleiss' kappa, jackknife by subject"
    kappa, chance = _fleiss(counts)
    if (counts.max(axis=1) == ratings.shape[1]).all():
        return _all_agree(n, chance, method)
    without = np.array([_fleiss(np.delete(counts, one, axis=0))[0] for one in range(n)])
    pseudo = n * kappa - (n - 1) * without
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * float(pseudo.std(ddof=1)) / sqrt(n)
    return Estimate(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0), n, method)


def _fleiss(counts: NDArray[np.float64]) -> tuple[float, float]:
    """Kappa, and the agreement expected by chance."""
    raters = counts[0].sum()
    observed = float(((counts**2).sum(axis=1) - raters).mean() / (raters * (raters - 1)))
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    if chance >= 1:
        raise NotEstimable("Only one category was used: agreement beyond chance is not estimable.")
    return (observed - chance) / (1 - chance), chance


def _all_agree(n: int, chance: float, method: str) -> Estimate:
    """Without one disagreement every error formula gives zero; the exact bound of n of n agreements does not."""
    low = (clopper_pearson(n, n).low - chance) / (1 - chance)
    return Estimate(1.0, max(low, -1.0), 1.0, n, f"{method}; all agree: exact bound of {n} of {n}")

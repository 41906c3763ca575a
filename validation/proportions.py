"""Proportions and their intervals: judged on the exact one, reported with Wilson's beside it. Pure."""

from math import sqrt

from validation.statistics import LEVEL, Estimate, NotEstimable, quantile_of


def _counts(k: int, n: int) -> None:
    if n <= 0 or not 0 <= k <= n:
        raise NotEstimable(f"{k} of {n} is no proportion.")


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> Estimate:
    """k of n with the exact interval: the one that is judged."""
    from scipy.special import betaincinv

    _counts(k, n)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return Estimate(k / n, low, high, n, "Clopper-Pearson")


def wilson(k: int, n: int, level: float = LEVEL) -> Estimate:
    """k of n with Wilson's score interval (1927): the one that is reported beside the exact one, closer to nominal."""
    _counts(k, n)
    z, share = quantile_of(level), k / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # At none and at all the interval ends there; rounding must not leave the estimate outside.
    low, high = 0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half
    return Estimate(share, low, high, n, "Wilson")


def power_of_lower_bound(n: int, true: float, limit: float, level: float = LEVEL) -> float:
    """Chance that the exact lower bound of n cases reaches `limit` when the true proportion is `true`."""
    from scipy.special import bdtrc

    passing = next((k for k in range(n + 1) if clopper_pearson(k, n, level).low >= limit), None)
    return 0.0 if passing is None else 1.0 if passing == 0 else float(bdtrc(passing - 1, n, true))

"""When a window of studies has drifted from its baseline: level 0, 1 (warn) or 2 (suspend). Pure.

Every number is a limit of the signed charter. An observation is a study (subject and time point), not a lesion: lesions
of one study are alike and would count one scanner many times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import sqrt
from statistics import fmean, stdev

from core.drift.statistics import (
    FEWEST_EXPECTED,
    Compared,
    cusum,
    kolmogorov_smirnov,
    large,
    more_often,
    probability,
    stability,
)

# Followed from study to study as well; the others change with the site that sends next.
FOLLOWED = frozenset({"domain_distance", "confidence"})
PREFIX = "drift_"


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of a charter that drift is judged by; each is `limits.drift_NAME`."""

    baseline_studies: Decimal
    window_studies: Decimal
    psi_1: Decimal
    psi_2: Decimal
    p_1: Decimal
    p_2: Decimal
    cusum_k: Decimal
    cusum_1: Decimal
    cusum_2: Decimal

    def as_data(self) -> dict[str, str]:
        """For the signer: decimal text by name."""
        return {name: f"{getattr(self, name):f}" for name in self.__slots__}

    @classmethod
    def read(cls, stated: Mapping[str, str]) -> Limits:
        """Reverse of as_data."""
        return cls(**{name: Decimal(stated[name]) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Observation:
    """One study: what the model was given and what it answered, and whether it left it undecided or failed."""

    inputs: Mapping[str, Decimal] = field(default_factory=dict)
    outputs: Mapping[str, Decimal] = field(default_factory=dict)
    undecided: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """What one monitor found of one feature. `p` is None where the monitor knows no probability."""

    group: str
    feature: str
    monitor: str
    found: Decimal
    p: Decimal | None
    level: int

    def in_words(self) -> str:
        chance = "" if self.p is None else f", p {self.p:f}" if self.p else ", p below 0.000001"
        return f"{self.feature.replace('_', ' ')}: {self.monitor} {self.found:f}{chance}, level {self.level}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A judged window; `told` is False with too few studies, and then nothing is said."""

    told: bool
    signals: tuple[Signal, ...] = ()

    def level(self, group: str | None = None) -> int:
        """The highest level, of one group (inputs, outputs) or of all."""
        return max((one.level for one in self.signals if group in (None, one.group)), default=0)


def judged(baseline: Sequence[Observation], since: Sequence[Observation], limits: Limits) -> Outcome:
    """Judge the studies since the baseline, or since the last restart, oldest first.

    PSI, Kolmogorov-Smirnov and rates look at the newest `window_studies`; the CUSUM starts at zero with the first and
    follows all. Probabilities are divided by the number of features compared (Bonferroni), and a PSI needs both its
    limit and its probability: an index of few values is large by chance.
    """
    if len(baseline) < int(limits.baseline_studies) or len(since) < max(int(limits.window_studies), 1):
        return Outcome(False)
    window = since[-max(int(limits.window_studies), 1):]
    features = sorted({(group, name) for one in baseline for group in ("inputs", "outputs")
                       for name in getattr(one, group)})
    shared = len(features) + 2
    signals: list[Signal] = []
    for group, name in features:
        before, now, all_since = (_values(part, group, name) for part in (baseline, window, since))
        if min(len(before), len(now)) < FEWEST_EXPECTED:
            continue
        signals += _distributions(group, name, before, now, shared, limits)
        if name in FOLLOWED:
            signals += _followed(group, name, before, all_since, limits)
    for name in ("undecided", "failed"):
        signals += _rate(name, baseline, window, shared, limits)
    return Outcome(True, tuple(signals))


def _values(part: Iterable[Observation], group: str, name: str) -> list[Decimal]:
    return [getattr(one, group)[name] for one in part if name in getattr(one, group)]


def _by_chance(p: Decimal, shared: int, limits: Limits) -> int:
    """The level that a probability alone would be, shared among the features compared."""
    together = p * shared
    return 2 if together <= limits.p_2 else 1 if together <= limits.p_1 else 0


def _distributions(
    group: str, name: str, before: list[Decimal], now: list[Decimal], shared: int, limits: Limits
) -> list[Signal]:
    found = []
    index: Compared | None = stability(before, now)
    if index is not None:
        size, p = large(index.statistic), probability(index.p)
        by_size = 2 if size >= limits.psi_2 else 1 if size >= limits.psi_1 else 0
        found.append(Signal(group, name, "PSI", size, p, min(by_size, _by_chance(p, shared, limits))))
    apart = kolmogorov_smirnov(before, now)
    if apart is not None:
        p = probability(apart.p)
        found.append(Signal(group, name, "KS", large(apart.statistic), p, _by_chance(p, shared, limits)))
    return found


def _followed(group: str, name: str, before: list[Decimal], since: list[Decimal], limits: Limits) -> list[Signal]:
    """CUSUM in standard deviations of the baseline; a baseline of one value has none, and is left to the others.

    The baseline's mean is itself known to its standard error only, which is added to the allowance: without it, 30
    studies of baseline would warn in 15 of 100 windows without drift (0127).
    """
    plain = [float(one) for one in before]
    spread = stdev(plain)
    if spread == 0:
        return []
    mean = fmean(plain)
    allowance = float(limits.cusum_k) + 1 / sqrt(len(plain))
    sums = cusum([(float(one) - mean) / spread for one in since], 0.0, allowance)
    # The highest since the restart, not the last: an alarm does not fade before somebody answered it.
    highest = large(max(max(one.high, one.low) for one in sums))
    level = 2 if highest >= limits.cusum_2 else 1 if highest >= limits.cusum_1 else 0
    return [Signal(group, name, "CUSUM", highest, None, level)]


def _rate(
    name: str, baseline: Sequence[Observation], window: Sequence[Observation], shared: int, limits: Limits
) -> list[Signal]:
    before, now = (sum(getattr(one, name) for one in part) for part in (baseline, window))
    chance = more_often(before, len(baseline), now, len(window))
    if chance is None:
        return []
    p = probability(chance)
    return [Signal("outputs", name, "rate", large(now / len(window)), p, _by_chance(p, shared, limits))]

"""When a window has drifted: a shift is found, the same distribution rarely is, small windows say nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from core.drift.rules import Limits, Observation, judged
from core.trials.defaults import SHIPPED_BY_NAME
from tests.req import req

SHIPPED = Limits(**{name: SHIPPED_BY_NAME[f"drift_{name}"].default for name in Limits.__slots__})


def studies(seed: int, count: int, *, confidence: float = 0.9, noise: float = 20.0, undecided: float = 0.05
            ) -> list[Observation]:
    """Generated studies: two scanners with their own spacing, noise and distance, and a model's confidence."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scanner = int(draw.integers(2))
        found.append(Observation(
            {"ct_slice_mm": Decimal(("3.000", "5.000")[scanner]),
             "ct_spread_hu": Decimal(f"{draw.normal(noise + scanner, 2):.1f}"),
             "domain_distance": Decimal(f"{abs(draw.normal(2.5, 0.6)):.2f}")},
            {"confidence": Decimal(f"{min(1.0, draw.normal(confidence, 0.03)):.3f}")},
            undecided=bool(draw.random() < undecided)))
    return found


@req("VAL-13", "GAT-04")
@pytest.mark.parametrize("change", [
    {"confidence": 0.82}, {"noise": 28.0}, {"undecided": 0.7},
], ids=lambda one: next(iter(one)))
def test_a_shift_of_inputs_answers_or_rates_is_level_2(change: dict[str, float]) -> None:
    outcome = judged(studies(1, 40), studies(2, 30, **change), SHIPPED)

    assert outcome.told
    assert outcome.level() == 2


@req("VAL-13")
def test_the_same_distribution_is_hardly_ever_level_2() -> None:
    """Two hundred windows without drift: level 1 is rare, and level 2 rarer."""
    levels = [judged(studies(seed, 40), studies(10_000 + seed, 30), SHIPPED).level() for seed in range(200)]

    assert levels.count(2) <= 1
    assert levels.count(1) <= 10


@req("VAL-13")
def test_small_windows_say_that_there_are_too_few() -> None:
    changed = studies(2, 19, confidence=0.5)

    assert not judged(studies(1, 40), changed, SHIPPED).told
    assert not judged(studies(1, 29), studies(2, 40), SHIPPED).told
    assert judged(studies(1, 40), changed, SHIPPED).level() == 0


@req("VAL-13")
def test_an_index_that_is_large_by_chance_is_no_drift() -> None:
    """20 values against 30 give a PSI above 0.25 often; only with its probability does it count."""
    indices = [signal for seed in range(40) for signal in
               judged(studies(seed, 30), studies(5_000 + seed, 20), SHIPPED).signals if signal.monitor == "PSI"]

    assert any(one.found >= Decimal("0.25") for one in indices)
    assert all(one.level < 2 for one in indices)


@req("VAL-13")
def test_an_alarm_of_the_cusum_does_not_fade() -> None:
    """Ten studies that drifted, then many that are as before: the sum since the restart is what counts."""
    since = [*studies(3, 25, confidence=0.78), *studies(4, 60)]

    (signal,) = (one for one in judged(studies(1, 40), since, SHIPPED).signals
                 if (one.monitor, one.feature) == ("CUSUM", "confidence"))

    assert signal.level == 2


@req("VAL-13")
def test_a_baseline_of_one_value_is_left_to_the_other_monitors() -> None:
    fixed = [replace(one, inputs={"ct_slice_mm": Decimal("3.000")}) for one in studies(1, 40)]
    coarser = [replace(one, inputs={"ct_slice_mm": Decimal("5.000")}) for one in studies(2, 30)]

    signals = [one for one in judged(fixed, coarser, SHIPPED).signals if one.feature == "ct_slice_mm"]

    assert [(one.monitor, one.level) for one in signals] == [("KS", 2)]

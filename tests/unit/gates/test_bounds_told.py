"""Where a bound of a proportion or of agreement ends: at one, at three decimals, below three subjects."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.gates.statistics import Pair, concordance, concordance_lower, exact_lower_bound, upper_tail_at_most
from tests.req import req


@req("VAL-10")
@pytest.mark.parametrize(("found", "of", "confidence", "bound"), [
    (30, 30, "95", "0.884"), (1, 1, "95", "0.025"), (2, 2, "95", "0.158"), (57, 60, "90", "0.875"),
])
def test_a_bound_is_printed_with_three_decimals(found: int, of: int, confidence: str, bound: str) -> None:
    """Clopper and Pearson 1934: the quantiles of a beta distribution are 0.88430, 0.025, 0.15811 and 0.87581."""
    assert str(exact_lower_bound(found, of, Decimal(confidence))) == bound


@req("VAL-10")
def test_the_tail_of_a_certain_event_is_one() -> None:
    tail = Decimal("0.025")

    for found, of in ((1, 1), (5, 5), (3, 5)):
        assert not upper_tail_at_most(found, of, Decimal(1), tail)
        assert upper_tail_at_most(found, of, Decimal(1), Decimal(1))


@req("VAL-10")
def test_two_subjects_with_many_pairs_each_give_no_bound() -> None:
    """Pairs of one subject are no independent evidence, however many there are."""
    pairs = [Pair(subject, Decimal(human), Decimal(human) + Decimal(error) / 10)
             for subject in ("a", "b") for human, error in ((10, 1), (20, -2), (30, 3), (40, -1))]

    assert concordance(pairs) is not None
    assert concordance_lower(pairs, Decimal(95)) is None
    third = [Pair("c", one.human, one.ai) for one in pairs[:4]]
    assert concordance_lower([*pairs, *third], Decimal(95)) is not None

"""The numbers of a gate against another library's, and its refusals to the word."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from core.errors import Refused
from core.gates.rules import GateState, Signed, follow_gate, order_gap, scope_refusal, signature_refusal, still_to_sign
from core.gates.statistics import (
    Pair,
    concordance,
    concordance_lower,
    exact_lower_bound,
    largest_difference_percent,
    student_quantile,
    upper_tail_at_most,
)
from core.trials.charter_check import read_charter
from tests.req import req
from tests.unit.gates.test_gate_rules import CHARTER, TEXT

RNG = np.random.default_rng(7)
CONFIDENCES = (80, 90, 95, 99)


def is_floor(decimal: Decimal | None, number: float) -> bool:
    """Rounded down to three places, against AI."""
    return decimal is not None and -1e-9 <= number - float(decimal) < 0.001 + 1e-9


@req("VAL-10")
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_exact_bound_is_the_quantile_of_a_beta_distribution(confidence: int) -> None:
    """Clopper and Pearson 1934, by scipy."""
    for of in (1, 2, 7, 30, 60):
        for found in range(1, of + 1):
            bound = stats.beta.ppf((100 - confidence) / 200, found, of - found + 1)
            assert is_floor(exact_lower_bound(found, of, Decimal(confidence)), bound)
        assert exact_lower_bound(0, of, Decimal(confidence)) == 0


@req("VAL-10")
def test_a_tail_is_judged_to_its_very_end() -> None:
    tail = Decimal("0.025")

    assert upper_tail_at_most(1, 1, tail, tail)
    assert not upper_tail_at_most(1, 1, Decimal("0.0250001"), tail)
    assert upper_tail_at_most(0, 5, Decimal(0), tail)
    assert not upper_tail_at_most(0, 5, Decimal("0.001"), tail)
    for found, of in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match=f"{found} of {of} is no proportion"):
            exact_lower_bound(found, of, Decimal(95))


@req("VAL-10")
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.975, 0.995, 0.9999])
def test_students_quantiles_are_those_of_scipy(probability: float) -> None:
    for degrees in (1, 2, 3, 4, 5, 10, 11, 29, 30, 120):
        assert math.isclose(student_quantile(probability, degrees), stats.t.ppf(probability, degrees), abs_tol=1e-9,
                            rel_tol=1e-9)


@req("VAL-10")
@pytest.mark.parametrize(("probability", "degrees"), [(0.499, 3), (1.0, 3), (0.9, 0)])
def test_a_quantile_that_is_none_is_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="A probability in"):
        student_quantile(probability, degrees)


def _pairs(subjects: int, each: int, spread: float = 3.0) -> list[Pair]:
    return [Pair(f"S{subject}", Decimal(f"{human:.2f}"), Decimal(f"{human + error:.2f}"))
            for subject in range(subjects)
            for human, error in zip(RNG.uniform(5, 60, each), RNG.normal(0.7, spread, each), strict=True)]


def _lin(pairs: list[Pair]) -> float:
    """Lin 1989, by numpy."""
    x, y = np.array([float(one.human) for one in pairs]), np.array([float(one.ai) for one in pairs])
    return float(2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))


@req("VAL-10")
@pytest.mark.parametrize(("subjects", "each"), [(3, 1), (3, 4), (8, 2), (20, 3)])
def test_agreement_and_its_bound_are_those_of_another_computation(subjects: int, each: int) -> None:
    pairs = _pairs(subjects, each)
    z = np.arctanh(_lin(pairs))
    out = np.array([np.arctanh(_lin([one for one in pairs if one.subject != f"S{k}"])) for k in range(subjects)])
    pseudo = subjects * z - (subjects - 1) * out

    assert math.isclose(concordance(pairs) or 0, _lin(pairs), rel_tol=1e-12)
    for confidence in CONFIDENCES:
        width = stats.t.ppf(1 - (100 - confidence) / 200, subjects - 1) * stats.sem(pseudo)
        assert is_floor(concordance_lower(pairs, Decimal(confidence)), float(np.tanh(pseudo.mean() - width)))


@req("VAL-10")
@pytest.mark.parametrize("size", [3, 10, 60])
def test_limits_of_agreement_are_those_of_another_computation(size: int) -> None:
    """Bland and Altman 1986, in percent of the pair's mean; rounded up, against AI."""
    for pairs in (_pairs(size, 1), [Pair(one.subject, one.ai, one.human) for one in _pairs(size, 1)]):
        x, y = np.array([float(one.human) for one in pairs]), np.array([float(one.ai) for one in pairs])
        differences = 100 * (y - x) / ((x + y) / 2)
        for confidence in CONFIDENCES:
            half = stats.norm.ppf(1 - (100 - confidence) / 200) * differences.std(ddof=1)
            worst = max(abs(differences.mean() - half), abs(differences.mean() + half))
            found = largest_difference_percent(pairs, Decimal(confidence))
            assert found is not None
            assert -1e-9 <= float(found) - worst < 0.001 + 1e-9


@req("VAL-10")
def test_too_few_or_all_alike_give_no_number() -> None:
    def pairs(*values: tuple[str, str, str]) -> list[Pair]:
        return [Pair(subject, Decimal(human), Decimal(ai)) for subject, human, ai in values]

    three = pairs(("a", "1", "1"), ("b", "2", "2.5"), ("c", "3", "3"))
    assert concordance(three[:1]) is None
    assert concordance(three[:2]) is not None
    assert concordance(pairs(("a", "2", "2"), ("b", "2", "2"))) is None
    assert concordance_lower(three, Decimal(95)) is not None
    assert concordance_lower([*three[:2], *three[:2]], Decimal(95)) is None
    assert concordance_lower(pairs(("a", "2", "2"), ("b", "2", "2"), ("c", "2", "2")), Decimal(95)) is None
    # Without c the others are one number.
    assert concordance_lower(pairs(("a", "2", "2"), ("b", "2", "2"), ("c", "3", "4")), Decimal(95)) is None
    perfect = pairs(*((f"S{n}", str(n), str(n)) for n in range(1, 9)))
    assert concordance_lower(perfect, Decimal(95)) == Decimal("0.999")
    opposite = pairs(*((f"S{n}", str(n), str(-n)) for n in range(-4, 5)))
    assert concordance_lower(opposite, Decimal(95)) == Decimal("-1.000")

    assert largest_difference_percent(three[:2], Decimal(95)) is None
    assert largest_difference_percent(three, Decimal(95)) is not None
    zero = pairs(("a", "0", "0"), ("b", "0", "0"), ("c", "0", "0"))
    assert largest_difference_percent(zero, Decimal(95)) == 0
    assert largest_difference_percent([*three, *pairs(("d", "-1", "1"))], Decimal(95)) is None
    # A pair of zeros is a pair without a difference, not one less.
    assert largest_difference_percent([*three, *zero], Decimal(95)) == largest_difference_percent(
        [*three, *pairs(("a", "5", "5"), ("b", "6", "6"), ("c", "7", "7"))], Decimal(95))


@req("GAT-02", "SIG-04")
def test_who_may_not_sign_is_told_why() -> None:
    lead = Signed("trial_lead", "a", 1)

    assert signature_refusal(1, [], "reader", "a") == "Gate 1 is signed by trial lead, qa auditor, not by reader."
    assert signature_refusal(2, [lead], "trial_lead", "b") == "The signature of trial_lead is already given."
    assert signature_refusal(2, [lead], "validation_lead", "a") == (
        "a has already signed this gate; another person signs as validation_lead.")
    assert signature_refusal(3, [lead], "qa_auditor", "b") == (
        "QA signs last; still missing: validation lead, statistician, imaging lead.")
    assert signature_refusal(1, [lead], "qa_auditor", "b") is None
    assert signature_refusal(3, [], "imaging_lead", "c") is None
    assert still_to_sign(2, [Signed("validation_lead", "b", 2)]) == ("trial_lead", "qa_auditor")


@req("GAT-01")
@pytest.mark.parametrize(("use", "not_used", "gates", "entries"), [
    (1, {}, (), ()), (3, {}, ((2, "open", 40), (2, "suspended", 30), (1, "open", 20)), (30,)),
    (3, {2: 5}, ((1, "open", 21),), (5, 21)), (4, {1: 7, 2: 6, 3: 5}, (), (5, 6, 7)),
    (4, {}, ((3, "open", 33), (3, "halted", 3)), (33,)),
])
def test_the_order_of_uses_is_shown_by_the_entries_it_rests_on(
    use: int, not_used: dict[int, int], gates: tuple[tuple[int, str, int], ...], entries: tuple[int, ...]
) -> None:
    history = [GateState(f"G{entry}", one, None, state, entry) for one, state, entry in gates]

    assert order_gap(use, not_used, history) == (None, entries)


@req("GAT-01")
@pytest.mark.parametrize(("use", "not_used", "gates", "name"), [
    (3, {}, (), "2 (cohort)"), (3, {2: 5}, (), "1 (qc)"), (4, {}, ((3, "halted", 3), (2, "open", 2)), "3 (secondary)"),
    (2, {2: 5}, ((2, "open", 2),), "1 (qc)"),
])
def test_what_lacks_in_the_order_of_uses_is_named(
    use: int, not_used: dict[int, int], gates: tuple[tuple[int, str, int], ...], name: str
) -> None:
    history = [GateState(f"G{entry}", one, None, state, entry) for one, state, entry in gates]

    assert order_gap(use, not_used, history) == (
        f"Gate {name} is not open, and the charter does not say not_used.", ())


ARM_A = read_charter(TEXT.replace("readers_blind_depends_on_arm: true", "readers_blind_depends_on_arm: false")
                     .replace("scope: all, endpoints: [volume]", 'scope: "arm:A", endpoints: [volume]'))


@req("GAT-01", "ACC-09")
@pytest.mark.parametrize(("scope", "said"), [
    ("everything", "'everything' is no scope; write all, part:X, sites:X,Y or arm:X."),
    ("sites:", "'sites:' is no scope; write all, part:X, sites:X,Y or arm:X."),
    ("all:101", "'all:101' is no scope; write all, part:X, sites:X,Y or arm:X."),
    ("sites:101,998,999", "The charter has no sites 998, 999."), ("part:X", "The charter has no part X."),
    ("sites:101,102", None), ("sites:103", None), ("all", None),
])
def test_a_scope_is_one_that_the_charter_knows(scope: str, said: str | None) -> None:
    assert scope_refusal(CHARTER, 1, scope) == said


@req("GAT-01", "ACC-09")
def test_a_use_planned_for_one_arm_is_opened_for_that_arm_alone_with_its_reason_signed_by_two() -> None:
    both = frozenset({"statistician", "qa_auditor"})

    assert scope_refusal(ARM_A, 3, "arm:A", both) is None
    assert scope_refusal(ARM_A, 3, "all", both) == "The charter plans use 3 for arm:A, not for all."
    assert scope_refusal(ARM_A, 3, "arm:B", both) == "The charter plans use 3 for arm:A, not for arm:B."
    assert scope_refusal(ARM_A, 1, "arm:B", both) is None
    assert scope_refusal(ARM_A, 3, "arm:A") == "An arm scope needs its reason signed by qa auditor, statistician."
    assert scope_refusal(ARM_A, 3, "arm:A", frozenset({"qa_auditor"})) == (
        "An arm scope needs its reason signed by statistician.")
    told = scope_refusal(CHARTER, 3, "arm:A", both) or ""
    assert (told[0], told[-1]) == (told[0].upper(), ".")


@req("GAT-03")
@pytest.mark.parametrize(("state", "word", "said"), [
    (None, "gate.opened", "Gate G1 is not requested; gate.opened does not follow. Possible now: gate.requested."),
    ("open", "gate.opened", "Gate G1 is open; gate.opened does not follow. Possible now: gate.halted, gate.revoked, "
     "gate.suspended."),
    ("revoked", "gate.resumed", "Gate G1 is revoked; gate.resumed does not follow. Possible now: nothing."),
    ("halted", "gate.suspended", "Gate G1 is halted; gate.suspended does not follow. Possible now: gate.resumed, "
     "gate.revoked, gate.signed."),
])
def test_a_word_that_does_not_follow_is_refused_with_those_that_do(state: str | None, word: str, said: str) -> None:
    with pytest.raises(Refused) as refusal:
        follow_gate("G1", state, word)

    assert (str(refusal.value), refusal.value.rule) == (said, "F-601")


@req("GAT-03")
def test_the_life_of_a_gate_is_this_one() -> None:
    """Spelt out once more, by hand: a row that is lost or added shows here."""
    lives = {
        None: {"gate.requested": "requested"},
        "requested": {"gate.signed": "requested", "gate.opened": "open", "gate.withdrawn": "withdrawn"},
        "open": {"gate.suspended": "suspended", "gate.halted": "halted", "gate.revoked": "revoked"},
        "suspended": {"gate.suspended": "suspended", "gate.signed": "suspended", "gate.resumed": "open",
                      "gate.halted": "halted", "gate.revoked": "revoked"},
        "halted": {"gate.signed": "halted", "gate.resumed": "open", "gate.revoked": "revoked"},
        "withdrawn": {}, "revoked": {},
    }
    words = sorted({word for after in lives.values() for word in after})
    for state, after in lives.items():
        for word in words:
            if word in after:
                assert follow_gate("G1", state, word) == after[word]
            else:
                with pytest.raises(Refused):
                    follow_gate("G1", state, word)

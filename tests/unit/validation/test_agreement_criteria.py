"""A protocol may ask for concordance, limits of agreement and non-inferiority; each is judged on its bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import UnusableInput
from tests.builders.validation import small_pq
from tests.req import req
from validation.cases import Case, CaseResult, measured
from validation.judging import judged
from validation.ports import Grid, Question, Reply
from validation.protocol import filled, read

ASKED = """\
  - {id: G5, requirement: VAL-10, stratum: generated, metric: volume_concordance, statistic: concordance, judge: lower,
     limit: "0.90 1"}
  - {id: G6, requirement: VAL-10, stratum: generated, metric: volume_error, statistic: limits, judge: within,
     low: "-30 %", high: "30 %"}
  - {id: G7, requirement: VAL-10, stratum: generated, metric: dice_minus_reader, statistic: noninferiority,
     judge: lower, limit: "-0.05 1"}
  - {id: C1,"""


def protocol(**changes: str) -> Any:
    text = small_pq(**{"  - {id: C1,": ASKED, "planned: 6": "planned: 12"} | changes)
    return read(filled(text, lock="LCK-TEST", test_set_digest="0" * 64))


def cube(side: int, shift: int = 0) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros((40, 40, 40), dtype=bool)
    mask[5 : 5 + side, 5 : 5 + side, 5 + shift : 5 + side + shift] = True
    return mask


def result(number: int, answer: np.ndarray[Any, Any] | None, reader: np.ndarray[Any, Any] | None) -> CaseResult:
    """One case whose truth is a cube of 10 mm and more."""
    truth, grid = cube(10 + number), Grid(np.zeros((40, 40, 40), np.float32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    question = Question(f"G{number}", grid, grid, (0.0, 0.0, 0.0))
    case = Case(question, {"scanner": "A"}, truth, float(truth.sum()), None, None, reader)
    status = "finished" if answer is not None else "failed"
    return measured(case, Reply(status, "", "", "", answer))


def verdicts(results: list[CaseResult]) -> dict[str, Any]:
    found = judged(protocol(), {"generated": results, "clinical": None}, {"clinical": "data absent"})
    return {row.criterion: row for row in found if row.criterion in ("G5", "G6", "G7")}


@req("VAL-10", "GAT-06")
def test_a_model_as_good_as_a_second_reader_meets_all_three() -> None:
    rows = verdicts([result(n, cube(10 + n, shift=n % 2), cube(10 + n, shift=1)) for n in range(12)])

    assert {name: row.verdict for name, row in rows.items()} == {"G5": "met", "G6": "met", "G7": "met"}
    assert rows["G5"].method == "Lin, degenerate" or rows["G5"].method.startswith("Lin")
    assert rows["G7"].metric == "dice_minus_reader noninferiority"


@req("VAL-10")
def test_missed_lesions_lower_concordance_and_widen_the_limits() -> None:
    """Three of twelve give no mask: they measure zero beside their truth, and are no gaps."""
    rows = verdicts([result(n, None if n % 4 == 0 else cube(10 + n), cube(10 + n)) for n in range(12)])

    assert {name: row.verdict for name, row in rows.items()} == {"G5": "not_met", "G6": "not_met", "G7": "not_met"}
    assert rows["G5"].subjects == rows["G6"].subjects == 12


@req("VAL-08")
def test_without_a_second_reader_non_inferiority_is_not_shown() -> None:
    rows = verdicts([result(n, cube(10 + n), None) for n in range(12)])

    assert rows["G7"].verdict == "insufficient_evidence"


@req("VAL-10")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({'limit: "-0.05 1"': 'limit: "0.05 1"'}, "minus the margin"),
        ({"metric: volume_concordance, statistic: concordance": "metric: volume_concordance, statistic: mean"},
         "volume_concordance goes with concordance"),
        ({"metric: volume_error, statistic: limits": "metric: dice, statistic: limits"}, "limits of agreement"),
        ({"metric: dice_minus_reader, statistic: noninferiority": "metric: dice, statistic: noninferiority"},
         "nothing else does"),
    ],
)
def test_a_criterion_that_means_nothing_is_refused_when_the_protocol_is_read(change: dict[str, str], said: str) -> None:
    text = ASKED
    for old, new in change.items():
        text = text.replace(old, new)
    with pytest.raises(UnusableInput, match=said):
        protocol(**{"  - {id: C1,": text})

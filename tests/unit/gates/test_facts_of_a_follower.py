"""Which lock an opening follows, and by which plan: told for uses with an endpoint, from this lock's own openings."""

from __future__ import annotations

from typing import Any

import pytest

from audit.vocabulary import gates as words
from audit.vocabulary import trials as trial_words
from core.gates.facts import GateFacts
from core.gates.gathering import facts_of
from tests.builders.folded import Folded
from tests.builders.locks import lock_word
from tests.builders.reads import TRIAL
from tests.req import req
from tests.unit.gates.test_facts_gathered import a_charter, bridged
from tests.unit.gates.test_gate_tables import requested


@pytest.fixture
def record() -> Folded:
    made = Folded()
    made.say(lock_word("LCK-0", "older"))
    made.say(trial_words.TrialCreated(title="A trial", demonstration=True))
    a_charter(made)
    return made


def opens(record: Folded, gate: str, use: int, endpoint: str | None, lock: str) -> None:
    record.say(requested(gate, use, endpoint, lock))
    record.say(words.GateOpened(gate=gate, use=use, use_name="u", scope="all", lock=lock, criteria=(), signed=(),
                                endpoint=endpoint))


def of(record: Folded, lock: str, use: int = 3, endpoint: str | None = "volume") -> GateFacts:
    asked: Any = (TRIAL, use, endpoint, "all", lock, "2026-06-01")
    return facts_of(record.session, *asked)


@req("MLK-08", "GAT-02")
def test_the_first_lock_of_an_endpoint_follows_none_though_another_came_later(record: Folded) -> None:
    opens(record, "G-1", 3, "volume", "LCK-1")
    opens(record, "G-2", 3, "volume", "LCK-2")

    assert (of(record, "LCK-1").predecessor, of(record, "LCK-2").predecessor) == (None, "LCK-1")


@req("MLK-08", "GAT-02")
def test_a_use_without_an_endpoint_has_no_lock_before(record: Folded) -> None:
    opens(record, "G-1", 1, None, "LCK-1")

    assert of(record, "LCK-2", 1, None).predecessor is None


@req("MLK-08", "GAT-02")
def test_of_one_plan_it_is_that_and_of_three_the_last(record: Folded) -> None:
    opens(record, "G-1", 3, "volume", "LCK-0")
    for plan in ("B-1", "B-2", "B-3"):
        bridged(record, plan)
        found = of(record, "LCK-1").bridging
        assert found is not None
        assert found.plan == plan

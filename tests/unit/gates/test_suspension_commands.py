"""A cause is kept to its trial and its lock, and what it closed is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.gates import queries, usecases
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import GATE, copy_of, opened_by_word
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest
from tests.req import req

OTHER = "OTHER-1"


def before_mutants() -> None:
    homes.opened()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HouseUnderTest]:
    """Gates of two trials stand open on one lock."""
    with copy_of(homes.opened(), tmp_path) as house:
        opened_by_word(house, 2)
        opened_by_word(house, 1, trial=OTHER, prefix="O")
        yield house


def still_open(house: HouseUnderTest) -> list[str]:
    with house.desk.reading() as session:
        return [one.gate for one in queries.open_gates(session)]


@req("GAT-04")
def test_what_concerns_one_trial_closes_its_gates_alone(opened: HouseUnderTest) -> None:
    assert usecases.suspend_for(opened.desk, "critical_deviation", trial=TRIAL) == 2
    assert still_open(opened) == ["O1-word"]


@req("GAT-04")
def test_what_concerns_a_lock_closes_it_in_every_trial(opened: HouseUnderTest) -> None:
    assert usecases.suspend_for(opened.desk, "lock_revoked", lock=build.LOCK) == 3
    assert still_open(opened) == []
    assert {entry.body["trial"] for entry in opened.entries() if entry.body["action"] == "gate.suspended"} == {
        TRIAL, OTHER}


@req("GAT-04")
def test_what_concerns_the_house_closes_all(opened: HouseUnderTest) -> None:
    assert usecases.suspend_for(opened.desk, "ledger_failure") == 3
    assert still_open(opened) == []


@req("GAT-05")
def test_an_event_in_one_trial_halts_nothing_in_another(opened: HouseUnderTest) -> None:
    assert usecases.halt_for(opened.desk, TRIAL, "wrong_subject", opened.entries()[0].body["id"]) == 2
    assert still_open(opened) == ["O1-word"]
    assert GATE not in still_open(opened)

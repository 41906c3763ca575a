"""Looks ask the record itself: without reads none is reached, and what was due is asked again under the lock."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.gates.looks import Look, due_looks, evaluate_looks
from tests.builders import gates as homes
from tests.builders.folded import Folded
from tests.builders.gates import copy_of, last
from tests.builders.reads import TRIAL
from tests.req import req
from tests.unit.gates.test_looks_told import charter, rule


def before_mutants() -> None:
    homes.opened()


@req("GAT-05")
@pytest.mark.parametrize("metric", ["errors", "undecided", "agreement"])
def test_no_look_is_reached_where_nothing_was_read(metric: str) -> None:
    assert due_looks(charter(Folded(), metric).session, TRIAL) == ()


@req("GAT-05")
def test_what_is_recorded_is_what_is_due_under_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two questions another worker may have recorded a look; only what is still due is recorded."""
    answers = [(Look(rule(1), 1, Decimal(0), False), Look(rule(1), 2, Decimal("0.1"), False)),
               (Look(rule(1), 2, Decimal("0.1"), False),)]

    def asked(session: Any, trial: str) -> tuple[Look, ...]:
        assert session.execute(text("SELECT 1")).scalar() == 1
        return answers.pop(0)

    monkeypatch.setattr("core.gates.looks.due_looks", asked)
    with copy_of(homes.opened(), tmp_path) as house:
        assert [one.look for one in evaluate_looks(house.desk, TRIAL)] == [2]
        assert house.words().count("halt.evaluated") == 1
        assert last(house, "halt.evaluated")["fields"]["look"] == 2

"""The table as it is printed and adopted: every column of every row, and a digest that follows each of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from core.errors import Refused
from core.policy import table
from core.policy.decide import permit
from core.policy.state import Actor, Facts, HouseState, Stage, allow, forbid, related
from tests.req import req


def test_a_service_of_the_house_is_made_by_its_name() -> None:
    assert Actor.of_service("gates") == Actor("gates", service=True)
    assert Actor.of_service("gates").service is True


@req("VAL-01", "ACC-02")
def test_each_row_is_printed_whole_and_the_digest_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (allow("P-1", "b.do a.do", "reader coordinator", "You may.", stages=frozenset({None, Stage.LIVE})),
            forbid("F-1", "a.do", "No.", when=related("own"), house=frozenset({HouseState.FOUNDING})))
    monkeypatch.setattr(table, "TABLE", rows)
    printed = [
        {"id": "P-1", "effect": "permit", "actions": ["b.do", "a.do"], "roles": ["coordinator", "reader"],
         "stages": ["live"], "house": ["opened"], "when": "No further condition.", "because": "You may."},
        {"id": "F-1", "effect": "forbid", "actions": ["a.do"], "roles": ["*"],
         "stages": ["closed", "live", "locked", "set_up", "soft_locked"], "house": ["founding"],
         "when": "any of: own", "because": "No."},
    ]

    assert table.printed() == printed
    assert table.digest() == hashlib.sha256(json.dumps(printed, sort_keys=True).encode()).hexdigest()
    monkeypatch.setattr(table, "TABLE", (replace(rows[0], because="Anybody may."), rows[1]))
    assert table.digest() != hashlib.sha256(json.dumps(printed, sort_keys=True).encode()).hexdigest()


@req("ACC-01")
def test_a_refusal_carries_the_row_that_refused() -> None:
    with pytest.raises(Refused) as refusal:
        permit(Actor("somebody"), "gate.sign", Facts(relations=frozenset({"inactive"})))

    assert refusal.value.rule == "F-01"

"""A request is measured against what the charter in force plans: use, scope, arm, and the model it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import Refused
from core.gates import usecases
from core.gates.criteria import Judged
from core.gates.usecases import RequestGate
from core.trials.charter import Charter
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import copy_of
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest
from tests.req import req
from tests.unit.gates.test_gate_numbers import ARM_A
from tests.unit.gates.test_gate_rules import leaving_out

VOLUME = RequestGate(TRIAL, "secondary", build.LOCK, "volume")
MET = (Judged("pq", "PQ verdict", "validation_lead", False, "met", "passed", "passed", (1,)),)


def before_mutants() -> None:
    homes.ready()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HouseUnderTest]:
    """Criteria stand in here, met: what is asked is what a request is refused for before they are judged."""
    monkeypatch.setattr("core.gates.gathering.judged_now", lambda session, *opening: MET)
    with copy_of(homes.ready(), tmp_path) as made:
        yield made


def under(monkeypatch: pytest.MonkeyPatch, charter: Charter) -> None:
    monkeypatch.setattr("core.gates.usecases.charter_of", lambda session, trial: charter)


def refusal(house: HouseUnderTest, command: RequestGate) -> tuple[str, str | None]:
    with pytest.raises(Refused) as told:
        usecases.request_gate(house.desk, build.LEAD, command)
    return told.value.fact, told.value.rule


@req("GAT-01", "SIG-05")
def test_a_request_for_an_endpoint_and_its_signatures_show_it(house: HouseUnderTest) -> None:
    proposal = usecases.request_gate(house.desk, build.LEAD, VOLUME)

    assert dict(proposal.views[0].lines)["Endpoint"] == "volume"
    assert proposal.bodies[0]["fields"]["endpoint"] == "volume"
    house.commit(proposal)
    signature = usecases.sign_gate(house.desk, build.LEAD, f"{TRIAL}-G3-1")
    assert dict(signature.views[0].lines)["Endpoint"] == "volume"


@req("GAT-01", "ACC-09")
def test_a_gate_for_one_arm_is_asked_for_before_its_reason_is_judged_and_for_no_other(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    under(monkeypatch, ARM_A)

    proposal = usecases.request_gate(house.desk, build.LEAD, replace(VOLUME, scope="arm:A"))
    assert proposal.bodies[0]["fields"]["scope"] == "arm:A"
    assert refusal(house, replace(VOLUME, scope="arm:B")) == (
        "The charter plans use 3 for arm:A, not for arm:B.", "F-607")
    assert refusal(house, VOLUME) == ("The charter plans use 3 for arm:A, not for all.", "F-607")


@req("GAT-01")
def test_a_use_that_is_not_planned_names_no_model(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    command = RequestGate(TRIAL, "qc", build.LOCK)
    assert usecases.request_gate(house.desk, build.LEAD, command).bodies[0]["fields"]["model"] == "lesion-at-seed"
    under(monkeypatch, leaving_out("qc"))

    assert usecases.request_gate(house.desk, build.LEAD, command).bodies[0]["fields"]["model"] == ""

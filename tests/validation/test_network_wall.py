"""A model's worker on a machine whose kernel gives no network namespace: only behind what its signed IQ states."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from core.errors import UnusableInput
from core.policy.state import Actor
from countersign import network_wall as walls
from countersign.doctor import _workers
from countersign.network_wall import CONTAINER, FIREWALL, StatedWall, worker_network_wall
from models_registry import isolation
from models_registry.isolation import NoNetworkWall, WorkerFailed
from models_registry.queries import wall_stated
from models_registry.servers import worker_here
from models_registry.usecases import LockModel, lock_model
from tests.builders import models
from tests.builders.validation import Team, approve, installation, passing, reviewed, run
from tests.conftest import need
from tests.house import HouseUnderTest
from tests.req import req
from validation.releases import MarkSuspect, mark_suspect

RULES = StatedWall(FIREWALL, b"policy drop; no rule lets the service's account out", "rules.txt")


@pytest.fixture
def no_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "unshare"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def qualified(house: HouseUnderTest, team: Team, stated: StatedWall | None, number: int = 0) -> str:
    """A run of an IQ that holds the step, not yet reviewed."""
    approve(house, team, installation("wall", kind="IQ").replace("IQ-SMALL", f"IQ-SMALL-{number}"))
    check = partial(worker_network_wall, team.tester.user, stated)
    return run(house, team, f"IQ-SMALL-{number}", checks={"wall": check}).run


def stated_in(house: HouseUnderTest) -> str | None:
    with house.desk.reading() as session:
        return wall_stated(session)


@req("MLK-07", "VAL-01")
@pytest.mark.usefixtures("no_namespaces")
def test_only_the_reviewed_iq_of_this_installation_opens_the_worker(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before; still refused when run and not signed; runs once a second person signed the report; refused
    again when the IQ is suspect, or a newer one does not say it."""
    team = Team.of(house)
    models.cast(house)
    models.registered(house)
    worker = {"deed": b'{"do": "rights"}'}
    monkeypatch.setattr(isolation, "WORKER", Path(__file__).parents[1] / "unit" / "models" / "hostile_worker.py")

    (alone,) = _workers(house.house)
    assert "No model starts here" in alone.what
    assert "--network-wall" in alone.remedy
    with pytest.raises(NoNetworkWall, match="does not start"):
        lock_model(house.desk, Actor("custodian"), LockModel("lesion-at-seed"))
    name = qualified(house, team, RULES)
    with pytest.raises(NoNetworkWall):
        worker_here(house.desk)(worker, [], None)
    reviewed(house, team, name)
    with pytest.raises(WorkerFailed, match="capabilities"):
        worker_here(house.desk)(worker, [], None)

    assert stated_in(house) == f"firewall, stated by {name}"
    (behind,) = _workers(house.house)
    assert (behind.fine, f"behind firewall, stated by {name}" in behind.what) == (True, True)
    step = next(entry.body["fields"] for entry in house.entries() if entry.body["action"] == "step.recorded")
    assert step["states"] == [{"name": "network_wall", "value": "firewall"}]
    assert "tester-1 states by hand: firewall; evidence rules.txt" in step["found"]
    house.commit(mark_suspect(house.desk, team.lead, MarkSuspect(name, "The firewall was exchanged.", "IQ")))
    assert stated_in(house) is None

    again = qualified(house, team, RULES, 1)
    reviewed(house, team, again)
    assert stated_in(house) == f"firewall, stated by {again}"
    approve(house, team, installation("fine", kind="IQ"))
    reviewed(house, team, run(house, team, "IQ-SMALL", checks={"fine": passing()}).run)
    assert stated_in(house) is None


@req("MLK-07", "VAL-04")
@pytest.mark.usefixtures("no_namespaces")
def test_a_kernel_without_namespaces_and_no_statement_fails_the_iq(house: HouseUnderTest) -> None:
    team = Team.of(house)
    name = qualified(house, team, None)
    reviewed(house, team, name)

    concluded = next(e.body["fields"] for e in house.entries() if e.body["action"] == "validation.concluded")
    assert (concluded["verdict"], len(concluded["deviations"])) == ("failed", 1)
    assert stated_in(house) is None


@req("MLK-07")
@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize(("interfaces", "routes", "fits"), [
    (["lo"], [], True), (["lo", "eth0"], ["eth0"], False), (["lo", "eth0"], [], False),
])
def test_a_container_without_network_is_held_against_what_the_machine_sees(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch, interfaces: list[str], routes: list[str], fits: bool
) -> None:
    monkeypatch.setattr(walls, "_probe", lambda wall: {"interfaces": interfaces, "routes": routes, "listener": "x"})

    found = worker_network_wall("tester-1", StatedWall(CONTAINER, b"network: none", "compose.yaml"))

    assert found.passed is fits


@req("MLK-07")
def test_the_kernel_s_wall_is_attacked_and_a_hole_is_found(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a wall lets a child out, the same check says so; what a person states plays no part."""
    need("namespace")

    assert worker_network_wall("tester-1", None).states == {"network_wall": "namespace"}
    monkeypatch.setattr(walls, "network_wall", lambda: ("env",))
    found = worker_network_wall("tester-1", RULES)

    assert not found.passed
    assert "REACHED" in found.says


@req("MLK-07")
@pytest.mark.parametrize(("kind", "evidence"), [("firewall", ""), ("firewall", "none.txt"), ("hope", "rules.txt"),
                                                ("", "rules.txt"), ("firewall", "empty.txt")])
def test_a_statement_without_kind_or_evidence_is_none(kind: str, evidence: str, tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("drop")
    (tmp_path / "empty.txt").touch()

    with pytest.raises(UnusableInput):
        StatedWall.read(kind, str(tmp_path / evidence) if evidence else "")

"""How runs count, how models live, and how the worker process is kept in bounds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.errors import AlreadyDone, UnusableInput
from core.policy.decide import decide
from core.policy.state import Actor, Facts, Stage
from models_registry.digest import read_tree
from models_registry.isolation import Limits, WorkerFailed, run_isolated
from models_registry.library import SHIPPED
from models_registry.rules import (
    LIFECYCLE,
    LOCK,
    OpenGate,
    after,
    lock_id,
    standing_of,
)
from tests.conftest import need
from tests.req import req

GATES = (OpenGate("G3", "secondary", "volume", "LCK-1"), OpenGate("G4", "primary", "response", "LCK-1"))


@req("GAT-03")
@pytest.mark.parametrize(("asked", "use", "endpoint", "lock", "standing", "sealed", "gate"), [
    (None, "secondary", "volume", "LCK-1", "gated", False, "G3"),
    (None, "primary", "response", "LCK-1", "gated", True, "G4"),
    (None, "secondary", "volume", "LCK-2", "exploratory", False, None),
    (None, "secondary", "response", "LCK-1", "exploratory", False, None),
    (None, "none", None, "LCK-1", "exploratory", False, None),
    ("shadow", "secondary", "volume", "LCK-1", "shadow", True, None),
    ("exploratory", "secondary", "volume", "LCK-1", "exploratory", False, None),
    ("gated", "qc", None, "LCK-1", "gated", False, None),
])
def test_a_run_counts_as_its_gate_says(
    asked: str | None, use: str, endpoint: str | None, lock: str, standing: str, sealed: bool, gate: str | None
) -> None:
    """A gate of another endpoint or lock opens nothing; a gated run without gate is left to the policy to refuse."""
    found = standing_of(asked, use, endpoint, lock, GATES)

    assert (found.name, found.sealed, found.gate) == (standing, sealed, gate)
    assert found.relations == (frozenset() if standing == "gated" else frozenset({standing}))


@req("MLK-01", "GAT-03")
def test_the_gate_of_another_lock_does_not_serve_this_one() -> None:
    found = standing_of("gated", "secondary", "volume", "LCK-2", GATES)
    facts = Facts(stage=Stage.LIVE, relations=found.relations | {"for_secondary"},
                  uses_open=frozenset({"secondary:volume"}))

    assert found.gate is None
    assert decide(Actor.of_service("inference"), "ai.run", facts).rule == "F-406"


@pytest.mark.parametrize(("use", "endpoint", "asked"), [
    ("secondary", None, None), ("qc", "volume", None), ("diagnosis", None, None), ("qc", None, "quietly"),
])
def test_use_endpoint_and_standing_must_fit(use: str, endpoint: str | None, asked: str | None) -> None:
    with pytest.raises(UnusableInput):
        standing_of(asked, use, endpoint, "LCK-1", GATES)


@req("MLK-08")
def test_a_retired_lock_never_comes_back() -> None:
    assert after(LOCK, "valid", "retired", "L") == "retired"
    assert after(LOCK, "retired", "recalled", "L") == "recalled"
    for state in ("retired", "recalled"):
        with pytest.raises(AlreadyDone):
            after(LOCK, state, "retired", "L")
    assert not [pair for pair in LOCK if LOCK[pair] == "valid" and pair[0] is not None]


def test_a_model_is_locked_after_it_is_registered() -> None:
    with pytest.raises(AlreadyDone):
        after(LIFECYCLE, None, "model.locked", "M")


@req("MLK-01")
def test_the_id_of_a_lock_follows_from_everything_it_binds() -> None:
    base = ["model", "1.0", "a" * 64, "b" * 64, "c" * 64]
    changed = [[*base[:place], "other", *base[place + 1 :]] for place in range(5)]

    assert len({lock_id(*one) for one in [base, *changed]}) == 6


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return read_tree(SHIPPED)


@req("MLK-01")
@pytest.mark.parametrize(("limits", "cause"), [
    (Limits(wall_s=1), "time-limit"), (Limits(memory_mib=120), "memory-limit"), (Limits(cpu_s=1), "cpu-limit"),
])
def test_time_memory_and_processor_end_the_worker_not_the_house(
    limits: Limits, cause: str, files: dict[str, bytes]
) -> None:
    need("torch")
    need("namespace")
    with pytest.raises(WorkerFailed, match="did not start") as ended:
        run_isolated(files, [], None, limits)

    assert ended.value.cause == cause


@req("MLK-07")
def test_no_socket_can_be_made_in_the_worker_s_interpreter() -> None:
    """The second wall, behind that of the kernel."""
    closed = subprocess.run([sys.executable, "-c", (
        "from models_registry.worker import no_network\nno_network()\nimport socket\n"
        "for make in (socket.socket, lambda: socket.create_connection(('127.0.0.1', 9))):\n"
        "    try:\n        make()\n    except PermissionError:\n        print('closed')\n")],
        capture_output=True, text=True, cwd=SHIPPED.parents[2])
    assert closed.stdout.split() == ["closed", "closed"]

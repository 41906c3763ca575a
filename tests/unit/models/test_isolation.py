"""Walls and limits of the worker process: a worker that attacks them, and real models that exceed them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_registry import isolation, jobs
from models_registry.digest import read_tree
from models_registry.isolation import (
    Expected,
    Limits,
    NoNetworkWall,
    WorkerDiffers,
    WorkerFailed,
    run_isolated,
)
from models_registry.library import SHIPPED
from models_registry.tasks import TASKS
from tests.conftest import need
from tests.req import req

HOSTILE = Path(__file__).with_name("hostile_worker.py")
STATED = "firewall"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return read_tree(SHIPPED)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "WORKER", HOSTILE)


@pytest.fixture
def no_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose kernel refuses: `unshare` says what it says there."""
    program = tmp_path / "bin" / "unshare"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.fixture(params=["namespace", "stated"])
def wall(request: pytest.FixtureRequest) -> str | None:
    """Both worlds: the kernel's namespaces, and a machine without them whose IQ states a wall."""
    if request.param == "stated":
        request.getfixturevalue("no_namespaces")
        return STATED
    need("namespace")
    return None


def deed(**what: Any) -> dict[str, bytes]:
    return {"deed": json.dumps(what).encode()}


def said(failure: WorkerFailed) -> Any:
    """What the hostile worker printed last."""
    return json.loads(failure.fact.split("exit 1: ", 1)[1].removesuffix("."))


def marked(marker: str) -> list[int]:
    """Processes that carry the marker in their command line."""
    found = []
    for one in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if one.name.isdigit() and marker.encode() in (one / "cmdline").read_bytes().split(b"\0"):
                found.append(int(one.name))
    return found


@pytest.fixture
def marker() -> Iterator[str]:
    name = f"countersign-test-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    for pid in marked(name):
        os.kill(pid, signal.SIGKILL)


def gone(marker: str, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while marked(marker) and time.monotonic() < end:
        time.sleep(0.05)
    return not marked(marker)


@req("MLK-07", "MLK-01")
@pytest.mark.usefixtures("hostile", "no_namespaces")
def test_without_a_network_wall_nothing_starts() -> None:
    """The refusal says what to do; a wall that the installation's IQ states lets it start, and is named."""
    with pytest.raises(NoNetworkWall, match="no network namespace") as refusal:
        run_isolated(deed(do="rights"), [], None)
    with pytest.raises(WorkerFailed) as started:
        run_isolated(deed(do="rights"), [], None, wall_stated=STATED)

    assert "--network-wall" in refusal.value.next_step
    assert refusal.value.cause == "network-wall"
    assert said(started.value)["umask"] == "0077"


@req("MLK-07")
@pytest.mark.usefixtures("hostile")
def test_the_kernel_itself_gives_the_worker_no_way_to_a_network(wall: str | None) -> None:
    """By system calls, past Python: a listener of this machine is out of reach, and no wall opens from inside.

    Where no namespace is, the same worker does reach it: only a wall outside of the machine's kernel helps there.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        with pytest.raises(WorkerFailed) as ended:
            run_isolated(deed(do="network", port=listener.getsockname()[1]), [], None, wall_stated=wall)
        found = said(ended.value)
        if wall is not None:
            assert found["connect"] == "connected"
            return
        with pytest.raises(TimeoutError):
            listener.accept()

    assert (found["connect"], found["connect_errno"]) == (-1, errno.ENETUNREACH)
    assert (found["interface_up"], found["joined"]) == (-1, [])


@req("MLK-07")
@pytest.mark.usefixtures("hostile")
def test_the_worker_holds_no_right_and_no_handle_of_the_house(
    wall: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", "not for the worker")
    with Path(__file__).open("rb") as kept:
        os.set_inheritable(kept.fileno(), True)
        with pytest.raises(WorkerFailed) as ended:
            run_isolated(deed(do="rights"), [], None, wall_stated=wall)

    found = said(ended.value)
    assert (found["capabilities"], found["no_new_privileges"], found["umask"]) == (0, "1", "0077")
    assert (found["handles"], found["writes_in_bundle"], found["core"]) == ([0, 1, 2], False, 0)
    assert not [name for name in found["environment"] if "COUNTERSIGN" in name]


@req("MLK-01")
@pytest.mark.usefixtures("hostile")
def test_a_worker_that_starts_many_processes_is_stopped_with_them(wall: str | None, marker: str) -> None:
    with pytest.raises(WorkerFailed, match="more than 4 processes") as ended:
        run_isolated(deed(do="children", count=12, marker=marker), [], None, Limits(wall_s=60), wall_stated=wall)

    assert ended.value.cause == "process-limit"
    assert marked(marker) == []


@req("MLK-01")
@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(("stay", "cause"), [(False, "crash"), (True, "time-limit")])
def test_orphans_in_sessions_of_their_own_end_with_the_worker(
    wall: str | None, marker: str, stay: bool, cause: str
) -> None:
    """Whether it ends by itself or by the clock: what it started is gone when the house goes on."""
    with pytest.raises(WorkerFailed) as ended:
        run_isolated(deed(do="orphans", count=2, marker=marker, stay=stay), [], None, Limits(wall_s=3 if stay else 60),
                     wall_stated=wall)

    assert ended.value.cause == cause
    assert marked(marker) == []


@req("MLK-01")
def test_a_house_that_is_killed_leaves_no_worker(wall: str | None, marker: str) -> None:
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom models_registry import isolation\n"
        "isolation.WORKER = Path(sys.argv[1])\n"
        "isolation.run_isolated({'deed': sys.argv[2].encode()}, [], None, wall_stated=sys.argv[3] or None)\n")
    order = deed(do="orphans", count=1, marker=marker, stay=True)["deed"].decode()
    house = subprocess.Popen([sys.executable, "-c", program, str(HOSTILE), order, wall or ""],
                             cwd=Path(isolation.ROOT))
    end = time.monotonic() + 30
    while not marked(marker) and time.monotonic() < end:
        time.sleep(0.05)
    assert marked(marker)

    house.kill()
    house.wait()

    assert gone(marker, within_s=20)


def wide(files: dict[str, bytes]) -> dict[str, bytes]:
    """The shipped network, asked to look at 320 cells a side instead of 48: an honest model that is too large."""
    stated = json.loads(files[jobs.CONFIGURATION])
    stated["preparation"]["cells"] = 320
    return {**files, jobs.CONFIGURATION: json.dumps(stated).encode()}


@req("MLK-01")
@pytest.mark.parametrize(("limits", "cause"), [
    (Limits(memory_mib=1500), "memory-limit"),
    pytest.param(Limits(cpu_s=7), "cpu-limit", marks=pytest.mark.journey),
    pytest.param(Limits(wall_s=10), "time-limit", marks=pytest.mark.journey),
])
def test_a_model_that_exceeds_a_limit_is_stopped_at_work(files: dict[str, bytes], limits: Limits, cause: str) -> None:
    """The sentinel is its first answer, and never came: on a busy machine the time ends while it still loads."""
    need("torch")
    need("namespace")
    with pytest.raises(WorkerFailed, match=r"before its first job|did not start \(time-limit\)") as ended:
        run_isolated(wide(files), [], None, limits)

    assert ended.value.cause == cause


@req("MLK-01", "MLK-02")
def test_a_model_for_a_gpu_neither_locks_nor_runs_where_there_is_none(files: dict[str, bytes]) -> None:
    """A lock that names a device refuses at its environment; without a device none can be made. Nothing falls back."""
    need("torch")
    need("namespace")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    stated = json.loads(files[jobs.CONFIGURATION])
    stated["runtime"]["device"] = "cuda"
    for_gpu = {**files, jobs.CONFIGURATION: json.dumps(stated).encode()}

    with pytest.raises(WorkerFailed, match="not on this machine") as no_lock:
        run_isolated(for_gpu, [], None)
    assert no_lock.value.cause == "no-device"
    locked = {"torch_device": "cuda: NVIDIA A100", "torch_threads": "2"}
    with pytest.raises(WorkerDiffers) as refused:
        run_isolated(for_gpu, [], Expected(locked, "0" * 64))
    assert refused.value.check == "environment"


@pytest.mark.journey
@req("MLK-01")
def test_one_study_that_exceeds_a_limit_leaves_the_others_their_answers(files: dict[str, bytes]) -> None:
    """A mask larger than a file may be: that run fails for its cause and leaves no mask; the next is measured."""
    need("torch")
    need("namespace")
    sentinel = TASKS["lesion-at-seed"].sentinel(files)
    ct = sentinel.ct
    # As many columns of air beside it as a mask of more than 1 MiB needs.
    more = (1 << 20) // (ct.values.shape[0] * ct.values.shape[1]) + 1
    large = replace(sentinel, ct=replace(
        ct, values=np.pad(ct.values, ((0, 0), (0, 0), (0, more)), constant_values=-1000)))

    found = run_isolated(files, [large, sentinel], None, Limits(file_mib=1))

    (failed, _), (finished, _) = found.answers
    assert (failed.status, failed.cause, failed.mask, failed.values) == ("failed", "file-limit", None, ())
    assert finished.status == "finished"

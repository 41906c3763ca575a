"""Starts the worker process and keeps it in bounds: no network, no rights, limits of time, memory, files, processes.

Walls, from outside to inside: namespaces of user, network and processes (`unshare`), or what the signed IQ states where
the kernel gives none; keeper.py, which limits the worker and ends with all that it left; the scrubbed interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import CountersignError
from models_registry import jobs
from models_registry.answer import Answer
from models_registry.rules import KERNEL_WALL
from models_registry.tasks import Given, task_for
from models_registry.worker import NO_DEVICE, REFUSED

ROOT = Path(__file__).resolve().parents[1]
WORKER, KEEPER = Path(__file__).with_name("worker.py"), Path(__file__).with_name("keeper.py")
TAIL = 600
SPACES = ("--net", "--pid", "--fork", "--kill-child")
# The keeper ends by itself when the house closes its pipe; after this long it is ended from outside.
GRACE_S = 10
# What the interpreter, torch and the loader say where no memory is left.
NO_MEMORY = ("MemoryError", "std::bad_alloc", "not enough memory", "allocate memory", "Memory allocation",
             "failed to map segment")


@dataclass(frozen=True, slots=True)
class Limits:
    """Wall-clock and CPU seconds for the whole session, address space in MiB, largest file it may write, and how many
    processes the worker may start beside itself."""

    wall_s: int = 600
    cpu_s: int = 1200
    memory_mib: int = 8192
    file_mib: int = 2048
    children: int = 4


ORDINARY = Limits()


@dataclass(frozen=True, slots=True)
class Expected:
    """What the lock says of environment and sentinel."""

    environment: Mapping[str, str]
    sentinel_output_sha256: str


@dataclass(frozen=True, slots=True)
class Served:
    """Who answered for the network of one job, where that was a model server: its signed statements, in order."""

    server: str
    public_key: bytes
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """What one worker process found and answered; `network` says how it was kept off the network: by a namespace, or
    by what the installation's IQ states."""

    environment: dict[str, str]
    sentinel_output_sha256: str
    sentinel_status: str
    sentinel_values: tuple[tuple[str, str], ...]
    answers: tuple[tuple[Answer, str], ...]
    network: str
    served: tuple[Served | None, ...] = ()


class WorkerDiffers(CountersignError):
    """The worker found another environment or another sentinel answer than the lock states; nothing ran."""

    code, http_status = "worker-differs", 409
    next_step = "The model does not run here. Lock it again in this environment, with a bridging plan."

    def __init__(self, check: str, expected: str, found: str) -> None:
        super().__init__(f"The {check} differs from the lock: expected {expected}, found {found}.")
        self.check, self.expected, self.found = check, expected, found


class WorkerFailed(CountersignError):
    """The worker process did not get as far as its first job. `cause`: worker, or the limit or wall that it met."""

    code, http_status = "worker-failed", 500
    next_step = "Nothing was measured. Check memory and installation (`countersign doctor`), then run again."

    def __init__(self, fact: str, *, cause: str = "worker", next_step: str | None = None) -> None:
        super().__init__(fact, next_step=next_step)
        self.cause = cause


class NoNetworkWall(WorkerFailed):
    """Nothing keeps the worker off the network here, so it does not start."""

    next_step = ("Whoever runs this machine allows the service's account namespaces (`unshare --user --net true` must "
                 "work). Where that cannot be, run it in a container without network or behind a firewall, and the "
                 "validation lead lets the installation's IQ state so: `countersign validate installation "
                 "--network-wall KIND --evidence FILE`, reviewed by a second person.")

    def __init__(self) -> None:
        super().__init__("The kernel gives the worker process no network namespace, and no IQ in force of this "
                         "installation states another wall; the worker does not start.", cause="network-wall")


def network_wall() -> tuple[str, ...]:
    """The command that puts a child into empty namespaces of network and processes; nothing where the kernel refuses.

    A user namespace goes first, even for root: there the child holds no right over the network it came from.
    """
    program = shutil.which("unshare")
    for options in (("--map-root-user", *SPACES), SPACES):
        if program and subprocess.run([program, *options, "true"], capture_output=True, check=False).returncode == 0:
            return (program, *options)
    return ()


def run_isolated(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None,
                 limits: Limits = ORDINARY, *, wall_stated: str | None = None, device: str | None = None) -> Session:
    """Run a bundle on studies in a process of its own.

    Args:
        files: the verified bytes of the bundle; the worker gets a private copy of exactly these.
        studies: one answer each, in order; a job that the process does not come to (time, memory, crash) is failed.
        expected: environment and sentinel of the lock; None only when a lock is being made.
        wall_stated: what keeps this installation off the network by its signed IQ, for a kernel without namespaces.
        device: cpu or cuda instead of the one that the bundle names, to compare them.

    Raises:
        WorkerDiffers: environment or sentinel is not that of the lock.
        NoNetworkWall: the kernel gives no network namespace, and no wall is stated.
        WorkerFailed: the process ended before its first job.
    """
    wall = network_wall()
    if not wall and wall_stated is None:
        raise NoNetworkWall
    with tempfile.TemporaryDirectory(prefix="countersign-run-") as name:
        folder = Path(name)
        folder.chmod(0o700)
        _lay_out(folder, files, studies, expected, device)
        ended = watched(folder, limits, wall, WORKER)
        state = _state(folder, ended)
        if ended.code == REFUSED and expected is not None:
            raise _difference(state, expected)
        if ended.code == NO_DEVICE:
            raise WorkerFailed("The device that the model is to run on (cuda) is not on this machine.",
                               cause="no-device", next_step="Run it where the device is; nothing was measured.")
        if "sentinel_output_sha256" not in state:
            raise WorkerFailed(f"The worker process ended before its first job: {ended.why}.", cause=ended.cause)
        if expected is not None and (state["environment"] != dict(expected.environment)
                                     or state["sentinel_output_sha256"] != expected.sentinel_output_sha256):
            raise _difference(state, expected)
        answers = tuple(_answer(folder / f"job-{index}", ended) for index in range(len(studies)))
        return Session(
            state["environment"], state["sentinel_output_sha256"], state["sentinel_status"],
            tuple((str(n), str(v)) for n, v in state["sentinel_values"]), answers,
            KERNEL_WALL if wall else str(wall_stated),
        )


@dataclass(slots=True)
class Ended:
    """How a process behind the walls ended: exit code (minus its signal), cause, in words, seconds."""

    code: int
    cause: str
    why: str
    took_s: float = field(default=0.0)


def _lay_out(folder: Path, files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None,
             device: str | None) -> None:
    for path, data in files.items():
        place = folder / "bundle" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o400)
    for place in [*(folder / "bundle").rglob("*/"), folder / "bundle"]:
        place.chmod(0o500)
    order: dict[str, Any] = {"files": sorted(files), "jobs": [f"job-{index}" for index in range(len(studies))]}
    if device is not None:
        order["device"] = device
    if expected is not None:
        order["expected"] = {"environment": dict(expected.environment),
                             "sentinel_output_sha256": expected.sentinel_output_sha256}
    for index, study in enumerate(studies):
        place = folder / f"job-{index}"
        place.mkdir(mode=0o700)
        task_for(study).write_job(place, study)
    (folder / "order.json").write_text(json.dumps(order, sort_keys=True))


def watched(folder: Path, limits: Limits, wall: Sequence[str], script: Path) -> Ended:
    """Start keeper and the process of `script` on a folder, wait at most wall_s, and end whatever is left of them."""
    threads = "2"
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
        # Waiting threads sleep: on a busy machine spinning ones take the processor from those that compute.
        "OPENBLAS_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    bounds = [str(one) for one in (limits.cpu_s, limits.memory_mib, limits.file_mib, limits.children)]
    # -P and -s keep script folder and user site off the module path; -I would also drop the hash seed set above.
    worker = [sys.executable, "-P", "-s", str(script), str(ROOT), str(folder)]
    command = [*wall, sys.executable, "-I", "-S", str(KEEPER), *bounds, str(folder / "said.txt"), *worker]
    started = time.monotonic()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=said, start_new_session=True, close_fds=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.wait(timeout=limits.wall_s)
        late = False
    except subprocess.TimeoutExpired:
        late = True
    finally:
        # The keeper takes this for the end. What it does not end in time goes with its group, and with the group's
        # first process the namespace.
        process.stdin.close()
        try:
            process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    reported = process.stdout.read()
    process.stdout.close()
    took = time.monotonic() - started
    if late:
        return Ended(-signal.SIGKILL, "time-limit", f"stopped after {limits.wall_s} s", took)
    said_text = (folder / "said.txt").read_text(errors="replace")
    try:
        report = json.loads(reported)
        why, code, cpu_s = str(report["why"]), int(report["exit"]), float(report["cpu_s"])
    except (ValueError, KeyError, TypeError):
        return Ended(process.returncode, "crash", f"the keeper ended: {_last(said_text)}", took)
    return Ended(code, *_cause(why, code, cpu_s, said_text, limits), took)


def _cause(why: str, code: int, cpu_s: float, said: str, limits: Limits) -> tuple[str, str]:
    """Which limit ended the worker, and in words; a crash where none did."""
    if why == "children":
        return "process-limit", f"stopped: it started more than {limits.children} processes"
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu_s >= limits.cpu_s):
        return "cpu-limit", f"stopped after {limits.cpu_s} s of CPU"
    if code and any(words in said for words in NO_MEMORY):
        return "memory-limit", f"it needs more than {limits.memory_mib} MiB"
    return "crash", f"exit {code}: {_last(said)}"


def _last(said: str) -> str:
    lines = said[-TAIL:].strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _state(folder: Path, ended: Ended) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError):
        raise WorkerFailed(f"The worker process did not start ({ended.cause}): {ended.why}.",
                           cause=ended.cause) from None
    return state


def _difference(state: Mapping[str, Any], expected: Expected) -> WorkerDiffers:
    found, locked = dict(state["environment"]), dict(expected.environment)
    for name in sorted(set(found) | set(locked)):
        if found.get(name) != locked.get(name):
            return WorkerDiffers("environment", f"{name} {locked.get(name, 'absent')}",
                                 f"{name} {found.get(name, 'absent')}")
    return WorkerDiffers("sentinel", expected.sentinel_output_sha256, str(state.get("sentinel_output_sha256", "none")))


def _answer(folder: Path, ended: Ended) -> tuple[Answer, str]:
    try:
        found = jobs.read_answer(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Answer("failed", "worker-output", f"{type(error).__name__}", "an answer"), f"{ended.took_s:.2f} s"
    if found is None:
        return Answer("failed", ended.cause, ended.why, "an answer"), f"{ended.took_s:.2f} s"
    return found

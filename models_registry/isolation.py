"""Starts the worker process and keeps it in bounds: own process group, no network, limits of time and memory."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
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
from models_registry.contract import Study
from models_registry.pipeline import Answer
from models_registry.worker import REFUSED

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("worker.py")
TAIL = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """Wall-clock and CPU seconds for the whole session, address space in MiB, largest file it may write."""

    wall_s: int = 600
    cpu_s: int = 1200
    memory_mib: int = 8192
    file_mib: int = 2048


@dataclass(frozen=True, slots=True)
class Expected:
    """What the lock says of environment and sentinel."""

    environment: Mapping[str, str]
    sentinel_output_sha256: str


@dataclass(frozen=True, slots=True)
class Session:
    """What one worker process found and answered; `network` says how it was kept off the network."""

    environment: dict[str, str]
    sentinel_output_sha256: str
    sentinel_status: str
    sentinel_values: tuple[tuple[str, str], ...]
    answers: tuple[tuple[Answer, str], ...]
    network: str


class WorkerDiffers(CountersignError):
    """The worker found another environment or another sentinel answer than the lock states; nothing ran."""

    code, http_status = "worker-differs", 409
    next_step = "The model does not run here. Lock it again in this environment, with a bridging plan."

    def __init__(self, check: str, expected: str, found: str) -> None:
        super().__init__(f"The {check} differs from the lock: expected {expected}, found {found}.")
        self.check, self.expected, self.found = check, expected, found


class WorkerFailed(CountersignError):
    """The worker process did not get as far as its first job."""

    code, http_status = "worker-failed", 500
    next_step = "Nothing was measured. Check memory and installation (`countersign doctor`), then run again."


@functools.lru_cache(maxsize=1)
def network_wall() -> tuple[str, ...]:
    """The command that puts a child into an empty network namespace, or nothing where the kernel refuses."""
    program = shutil.which("unshare")
    for options in (("--net",), ("--map-root-user", "--net")):
        if program and subprocess.run([program, *options, "true"], capture_output=True, check=False).returncode == 0:
            return (program, *options)
    return ()


def run_isolated(files: Mapping[str, bytes], studies: Sequence[Study], expected: Expected | None,
                 limits: Limits = Limits()) -> Session:
    """Run a bundle on studies in a process of its own.

    Args:
        files: the verified bytes of the bundle; the worker gets a private copy of exactly these.
        studies: one answer each, in order; a job that the process does not come to (time, memory, crash) is failed.
        expected: environment and sentinel of the lock; None only when a lock is being made.

    Raises:
        WorkerDiffers: environment or sentinel is not that of the lock.
        WorkerFailed: the process ended before its first job.
    """
    with tempfile.TemporaryDirectory(prefix="countersign-run-") as name:
        folder = Path(name)
        folder.chmod(0o700)
        _lay_out(folder, files, studies, expected)
        ended = _watched(folder, limits)
        state = _state(folder, ended)
        if ended.code == REFUSED and expected is not None:
            raise _difference(state, expected)
        if "sentinel_output_sha256" not in state:
            raise WorkerFailed(f"The worker process ended before its first job: {ended.why}")
        if expected is not None and (state["environment"] != dict(expected.environment)
                                     or state["sentinel_output_sha256"] != expected.sentinel_output_sha256):
            raise _difference(state, expected)
        answers = tuple(_answer(folder / f"job-{index}", ended) for index in range(len(studies)))
        return Session(
            state["environment"], state["sentinel_output_sha256"], state["sentinel_status"],
            tuple((str(n), str(v)) for n, v in state["sentinel_values"]), answers,
            "namespace" if network_wall() else "sockets closed in the interpreter only",
        )


@dataclass(slots=True)
class _Ended:
    code: int
    cause: str
    why: str
    took_s: float = field(default=0.0)


def _lay_out(folder: Path, files: Mapping[str, bytes], studies: Sequence[Study], expected: Expected | None) -> None:
    for path, data in files.items():
        place = folder / "bundle" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o400)
    order: dict[str, Any] = {"files": sorted(files), "jobs": [f"job-{index}" for index in range(len(studies))]}
    if expected is not None:
        order["expected"] = {"environment": dict(expected.environment),
                             "sentinel_output_sha256": expected.sentinel_output_sha256}
    for index, study in enumerate(studies):
        jobs.write_job(folder / f"job-{index}", study)
    (folder / "order.json").write_text(json.dumps(order, sort_keys=True))


def _watched(folder: Path, limits: Limits) -> _Ended:
    """Start, wait at most wall_s, and end the whole process group."""
    threads = "2"
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
        # Waiting threads sleep: on a busy machine spinning ones take the processor from those that compute.
        "OPENBLAS_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }

    def bounded() -> None:
        # The hard CPU limit lies above the soft one, so that the end shows as SIGXCPU.
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
        for kind, value in ((resource.RLIMIT_AS, limits.memory_mib << 20),
                            (resource.RLIMIT_FSIZE, limits.file_mib << 20), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(kind, (value, value))

    # -P and -s keep script folder and user site off the module path; -I would also drop the hash seed set above.
    command = [*network_wall(), sys.executable, "-P", "-s", str(WORKER), str(ROOT), str(folder)]
    started = time.monotonic()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=said, start_new_session=True, preexec_fn=bounded, close_fds=True)
        try:
            process.wait(timeout=limits.wall_s)
            late = False
        except subprocess.TimeoutExpired:
            late = True
        finally:
            # The group, so that nothing the worker started outlives it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = (folder / "said.txt").read_text(errors="replace")[-TAIL:].strip().splitlines()
    last = text[-1] if text else "it said nothing"
    took = time.monotonic() - started
    if late:
        return _Ended(process.returncode, "time-limit", f"stopped after {limits.wall_s} s", took)
    if process.returncode == -signal.SIGXCPU:
        return _Ended(process.returncode, "cpu-limit", f"stopped after {limits.cpu_s} s of CPU", took)
    if "MemoryError" in last or "not enough memory" in last or "alloc" in last:
        return _Ended(process.returncode, "memory-limit", f"more than {limits.memory_mib} MiB", took)
    return _Ended(process.returncode, "crash", f"exit {process.returncode}: {last}", took)


def _state(folder: Path, ended: _Ended) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError):
        raise WorkerFailed(f"The worker process did not start ({ended.cause}): {ended.why}") from None
    return state


def _difference(state: Mapping[str, Any], expected: Expected) -> WorkerDiffers:
    found, locked = dict(state["environment"]), dict(expected.environment)
    for name in sorted(set(found) | set(locked)):
        if found.get(name) != locked.get(name):
            return WorkerDiffers("environment", f"{name} {locked.get(name, 'absent')}",
                                 f"{name} {found.get(name, 'absent')}")
    return WorkerDiffers("sentinel", expected.sentinel_output_sha256, str(state.get("sentinel_output_sha256", "none")))


def _answer(folder: Path, ended: _Ended) -> tuple[Answer, str]:
    try:
        found = jobs.read_answer(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Answer("failed", "worker-output", f"{type(error).__name__}", "an answer"), f"{ended.took_s:.2f} s"
    if found is None:
        return Answer("failed", ended.cause, ended.why, "an answer"), f"{ended.took_s:.2f} s"
    return found

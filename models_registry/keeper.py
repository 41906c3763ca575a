"""Keeps one worker process in bounds from beside it, and ends together with everything that the worker started.

Started by isolation.py, behind the wall, as `python -I -S keeper.py CPU_S MEMORY_MIB FILE_MIB CHILDREN SAID COMMAND`.
In a process namespace it is process 1, so the kernel ends all others with it; where there is none it adopts orphans
(prctl 36) and ends them itself. Its standard input is the house: where that closes, the house is gone or wants an end.
It writes one line of JSON, how the worker ended, to a pipe that the worker does not have. Knows nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

# Numbers of prctl, manual page 2, and of capabilities, manual page 7.
PDEATHSIG, CAPBSET_DROP, SUBREAPER, NO_NEW_PRIVS = 1, 24, 36, 38
CAPABILITIES = 64
LOOK_S = 0.05
FILES = 256
LIBC = ctypes.CDLL(None)


def main(words: list[str]) -> int:
    """Start the worker with less than its own rights, watch it, end what is left, and say how it ended."""
    cpu_s, memory_mib, file_mib, children = (int(word) for word in words[:4])
    LIBC.prctl(SUBREAPER, 1, 0, 0, 0)

    def lessened() -> None:
        LIBC.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # Root inside a namespace could open its walls again; without rights that is no root. Refused where there are
        # none to drop.
        for capability in range(CAPABILITIES):
            LIBC.prctl(CAPBSET_DROP, capability, 0, 0, 0)
        LIBC.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
        os.umask(0o077)
        # The hard CPU limit lies above the soft one, so that the end shows as SIGXCPU.
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
        for kind, value in ((resource.RLIMIT_AS, memory_mib << 20), (resource.RLIMIT_FSIZE, file_mib << 20),
                            (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, FILES)):
            resource.setrlimit(kind, (value, value))

    with Path(words[4]).open("ab") as said:
        worker = subprocess.Popen(words[5:], stdin=subprocess.DEVNULL, stdout=said, stderr=said, close_fds=True,
                                  start_new_session=True, preexec_fn=lessened)
    # Nothing of a child's end may be read by anybody but `_watched`.
    why, exit_code, cpu = _watched(worker.pid, children)
    _end_all()
    print(json.dumps({"why": why, "exit": exit_code, "cpu_s": f"{cpu:.2f}"}), flush=True)  # noqa: T201  to the house
    return 0


def _watched(worker: int, children: int) -> tuple[str, int, float]:
    """Why the watch ended (ended, children, house), the worker's exit code (minus its signal), its CPU seconds."""
    while True:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == worker:
                    return "ended", os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
                if pid == 0:
                    break
        # Counted and not limited by RLIMIT_NPROC: that one counts all that the account runs, and never counts root's.
        if len(_descendants()) > 1 + children:
            return "children", -signal.SIGKILL, 0.0
        if select.select([0], [], [], LOOK_S)[0] and not os.read(0, 1):
            return "house", -signal.SIGKILL, 0.0


def _descendants() -> list[int]:
    """Every process below this one, by the numbers of the /proc that is mounted here."""
    found: list[int] = []
    waiting = ["self"]
    while waiting:
        parent = waiting.pop()
        with contextlib.suppress(OSError):
            for one in Path(f"/proc/{parent}/task").iterdir():
                with contextlib.suppress(OSError):
                    waiting += (below := (one / "children").read_text().split())
                    found += map(int, below)
    return found


def _end_all() -> None:
    """As process 1 there is nothing to do: the kernel ends the namespace with it."""
    if os.getpid() == 1:
        return
    while True:
        for pid in _descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(LOOK_S / 10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

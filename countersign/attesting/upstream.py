"""The server that others wrote, as a process of our own: started from the private copy, watched, asked over loopback.

What answers is the process that we started, or nothing is attested: the process still runs, it has not been replaced,
and every socket that listens on its port belongs to it (Linux, /proc).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from core.errors import CountersignError
from countersign.adapters.http import Endpoint, NoAnswer, ask
from countersign.attesting.copy import CODE, PrivateCopy, private_copy
from countersign.attesting.served import STATE
from models_registry.dialects import Dialect, Floats, NotThisDialect, most_bytes

LISTENING = "0A"
PR_SET_PDEATHSIG = 1
TAIL = 1200
THREADS = "2"


class UpstreamUnusable(CountersignError):
    """The server behind the proxy did not start, or is no longer the process that was started."""

    code, http_status = "upstream-unusable", 503
    next_step = "Start `countersign model-server attest` anew: it copies, hashes and starts everything afresh."


class Upstream:
    """One start of one server; `boot` names it in every statement."""

    def __init__(self, bundle: Path, dialect: Dialect, python: Path, *, start_s: float = 180,
                 answer_s: float = 120) -> None:
        """Copy, hash, start and wait until it answers. `python`: interpreter of the environment that has the server.

        Raises ModelFileUnusable for a bundle that is none; UpstreamUnusable where it does not start.
        """
        self._ports = _free_ports()
        self.dialect, self._answer_s = dialect, answer_s
        self.copy: PrivateCopy = private_copy(bundle, self._ports)
        self.endpoint = Endpoint("127.0.0.1", self._ports[0], secure=False)
        self._said = self.copy.folder / "run" / "said.txt"
        self.serves = _version(python, dialect)
        self._process = self._start(python)
        try:
            self._wait(start_s)
            self.environment = self._environment()
        except BaseException:
            self.stop()
            raise

    def _start(self, python: Path) -> subprocess.Popen[bytes]:
        served, run = self.copy.served, self.copy.folder / "run"
        port = str(self._ports[0])
        command = {
            "mlflow": [str(python), "-m", "mlflow", "models", "serve", "--model-uri", str(served), "--host",
                       "127.0.0.1", "--port", port, "--env-manager", "local", "--workers", "1"],
            "v2": [str(python), "-c", "from mlserver.cli import main; main()", "start", str(served)],
        }[self.dialect.name]
        environment = {
            # MLflow starts its scoring server by name: the environment's own programs go first.
            "PATH": f"{python.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": str(run), "TMPDIR": str(run),
            "LANG": "C.UTF-8", "PYTHONPATH": str(served / CODE), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1", STATE: str(self.copy.state), "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS,
            "OPENBLAS_NUM_THREADS": THREADS, "OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        }
        with self._said.open("wb") as said:
            return subprocess.Popen(command, cwd=run, env=environment, stdin=subprocess.DEVNULL, stdout=said,
                                    stderr=said, start_new_session=True, close_fds=True, preexec_fn=_ends_with_us)

    def _wait(self, start_s: float) -> None:
        until = time.monotonic() + start_s
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise UpstreamUnusable(f"{self.serves} ended while it started: {self._last()}")
            try:
                if ask(self.endpoint, "GET", self.dialect.ready, most=1 << 16, deadline_s=5).status == 200:
                    return
            except NoAnswer:
                pass
            time.sleep(0.3)
        raise UpstreamUnusable(f"{self.serves} was not ready after {start_s:g} s: {self._last()}")

    def _environment(self) -> dict[str, str]:
        """What the loaded model said of its surroundings, and that it read the bundle that we hashed."""
        try:
            stated = json.loads(self.copy.state.read_text())
        except (OSError, ValueError) as error:
            raise UpstreamUnusable(f"{self.serves} did not tell its environment ({error}).") from None
        if stated["tree_sha256"] != self.copy.tree_sha256:
            raise UpstreamUnusable(f"{self.serves} read a bundle {stated['tree_sha256']}, not the one that was copied.")
        return {str(name): str(value) for name, value in stated["environment"].items()}

    def check(self) -> None:
        """The process that we started runs and alone holds its port. Raises UpstreamUnusable."""
        if self._process.poll() is not None:
            raise UpstreamUnusable(f"{self.serves} ended by itself.")
        listening = listening_inodes(self._ports[0])
        if not listening or not listening <= _sockets_of(self._process.pid):
            raise UpstreamUnusable(f"Another process listens on the port of {self.serves}.")

    def probability(self, channels: Floats) -> Floats:
        """The answer to one tensor of shape (1, channels, cells, cells, cells). Raises NoAnswer, NotThisDialect."""
        found = ask(self.endpoint, "POST", self.dialect.path, self.dialect.asks(channels),
                    most=most_bytes(channels.size), deadline_s=self._answer_s)
        if found.status != 200:
            raise NotThisDialect(f"{self.serves} answered with status {found.status}.")
        return self.dialect.answered(found.body)

    def stop(self) -> None:
        """End the process with all that it started, and take the copy away."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.copy.remove()

    def _last(self) -> str:
        lines = self._said.read_text(errors="replace")[-TAIL:].strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


def _ends_with_us() -> None:
    """In the child: the kernel ends it where the proxy is killed and can no longer do so (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _version(python: Path, dialect: Dialect) -> str:
    """Program and version that the interpreter holds, such as `mlserver 1.7.1`. Raises UpstreamUnusable."""
    program = {"mlflow": "mlflow", "v2": "mlserver"}[dialect.name]
    question = f"import importlib.metadata as m; print(m.version({program!r}))"
    try:
        done = subprocess.run([str(python), "-I", "-c", question], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UpstreamUnusable(f"{python} is no interpreter: {error}.", next_step="Give one with --python.") from None
    if done.returncode:
        raise UpstreamUnusable(f"{python} has no {program}.", next_step="Give the environment that has it, --python.")
    return f"{program} {done.stdout.strip()}"


def _free_ports() -> tuple[int, int, int]:
    held = []
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            held.append(int(one.getsockname()[1]))
    return held[0], held[1], held[2]


def listening_inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on a TCP port of this machine, at any address."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                parts = line.split()
                if parts[3] == LISTENING and int(parts[1].rsplit(":", 1)[1], 16) == port:
                    found.add(parts[9])
    return found


def _sockets_of(session: int) -> set[str]:
    """Inodes of the sockets that processes of a session hold open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # After the name in brackets, which may hold anything: state, parent, group, session.
            if int((process / "stat").read_text().rsplit(")", 1)[1].split()[3]) != session:
                continue
            for one in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(one.readlink())
                    if target.startswith("socket:["):
                        found.add(target[8:-1])
    return found

"""The worker process: runs a bundle on the jobs of one folder, apart from the house.

Started by keeper.py as `python -P -s worker.py ROOT FOLDER`. FOLDER holds bundle/ (private copy), order.json (which
jobs, expected environment and sentinel) and one folder a job; answers are written beside the inputs. Exit 3: the
environment or the sentinel differs from the lock; nothing ran. Exit 5: the device that the bundle names is not here.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

REFUSED, NO_DEVICE = 3, 5
# MONAI loads these where it finds them. The worker tracks, plots and reads nothing, so it can neither reach them nor
# spend two thirds of its start on them.
NOT_NEEDED = ("mlflow", "matplotlib", "scipy", "pandas", "skimage", "sklearn", "sqlalchemy", "tensorboard", "requests")


def main(folder: Path) -> int:
    """Check environment and sentinel once, then answer every job."""
    no_network()
    from models_registry import digest, jobs
    from models_registry.answer import Answer
    from models_registry.tasks import task_of

    order = json.loads((folder / "order.json").read_text())
    files = {path: (folder / "bundle" / path).read_bytes() for path in order["files"]}
    configuration = jobs.configuration_of(files)
    task = task_of(configuration)
    for name in set(NOT_NEEDED) - set(task.packages):
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
    from models_registry import inference

    inference.be_deterministic(int(configuration["runtime"]["threads"]))
    device = str(order.get("device") or configuration["runtime"].get("device", "cpu"))
    state = {"environment": digest.environment(inference.torch_state(device), task.packages)}
    _write(folder / "state.json", state)
    expected = order.get("expected")
    if expected is not None and state["environment"] != expected["environment"]:
        return REFUSED
    if state["environment"]["torch_device"] == inference.ABSENT:
        return NO_DEVICE
    model = inference.Loaded(configuration["network"], files[jobs.WEIGHTS], int(configuration["runtime"]["threads"]),
                             device)
    sentinel = task.run(task.sentinel(files), configuration, model)
    _write(folder / "state.json", state | {
        "sentinel_output_sha256": sentinel.output_sha256, "sentinel_status": sentinel.status,
        "sentinel_values": [[one.name, one.value or ""] for one in sentinel.values],
    })
    if expected is not None and sentinel.output_sha256 != expected["sentinel_output_sha256"]:
        return REFUSED
    for name in order["jobs"]:
        started = time.monotonic()
        try:
            answer = task.run(task.read_job(folder / name), configuration, model)
            jobs.write_answer(folder / name, answer, time.monotonic() - started)
        except Exception as error:  # noqa: BLE001  one study that breaks must not take the others' answers with it
            (folder / name / "mask.npy").unlink(missing_ok=True)
            broken = Answer("failed", _cause(error), f"{type(error).__name__}: {error}"[:200], "an answer")
            jobs.write_answer(folder / name, broken, time.monotonic() - started)
    return 0


def _cause(error: Exception) -> str:
    """The limit that a study met, or crash. Torch says RuntimeError where it gets no memory."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error)):
        return "memory-limit"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "file-limit"
    return "crash"


def no_network() -> None:
    """Second wall behind the network namespace: no socket can be made from Python."""

    class Closed(socket.socket):
        def __init__(self, *_: Any, **__: Any) -> None:
            raise PermissionError("the worker has no network")

    def closed(*_: Any, **__: Any) -> NoReturn:
        raise PermissionError("the worker has no network")

    socket.socket = Closed  # type: ignore[misc]
    socket.create_connection = closed


def _write(path: Path, content: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content, sort_keys=True))
    fresh.rename(path)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    # Hash-order must not decide about anything; set before the interpreter started, checked here.
    if os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("the worker is started by isolation.py only")
    sys.exit(main(Path(sys.argv[2])))

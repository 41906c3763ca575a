"""The private copy from which a server is started: the bundle as it was hashed, and the sources that read it."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.errors import RecordDamaged
from models_registry.bundle import opened
from models_registry.dialects import NAME
from models_registry.digest import ModelFileUnusable, read_tree, tensors_digest, tree_digest
from models_registry.jobs import WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
# What served.py and served_v2.py need on the other side: sources alone, so that none of our libraries comes along.
PACKAGES = ("audit", "core", "models_registry")
OURS = ("countersign/__init__.py", "countersign/attesting/__init__.py", "countersign/attesting/served.py",
        "countersign/attesting/served_v2.py")
BUNDLE, CODE, STATE = "bundle", "code", "state.json"
MLMODEL = f"""flavors:
  python_function:
    loader_module: countersign.attesting.served
    data: {BUNDLE}
    code: {CODE}
    python_version: "{platform.python_version()}"
signature:
  inputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "float32", "shape": [-1, -1, -1, -1, -1]}}}}]'
  outputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "float32", "shape": [-1, -1, -1, -1]}}}}]'
"""


class CopyChanged(RecordDamaged):
    """The private copy is no longer what was hashed when the server started."""

    next_step = "Nothing more is attested. Find out who changed it, then start the server anew."


@dataclass(frozen=True, slots=True)
class PrivateCopy:
    """A folder of our own, readable by this account alone; `served` is what the server is started from."""

    folder: Path
    tree_sha256: str
    tensors_sha256: str
    code_sha256: str
    served_sha256: str
    channels: int
    cells: int

    @property
    def served(self) -> Path:
        return self.folder / "served"

    @property
    def state(self) -> Path:
        return self.folder / "run" / STATE

    def check(self) -> None:
        """Hash every byte anew. Raises CopyChanged."""
        try:
            found = tree_digest(read_tree(self.served))
        except (ModelFileUnusable, OSError) as error:
            raise CopyChanged(f"The private copy is not whole: {error}.") from None
        if found != self.served_sha256:
            raise CopyChanged(f"The private copy was changed: expected {self.served_sha256}, found {found}.")

    def remove(self) -> None:
        """Take it away."""
        for path in self.folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(self.folder, ignore_errors=True)


def private_copy(bundle: Path, ports: tuple[int, int, int], within: Path | None = None) -> PrivateCopy:
    """Read a bundle once, check it, and lay it out for MLflow and MLServer from the very bytes that were hashed.

    Raises ModelFileUnusable where the folder is no bundle of this release.
    """
    files = read_tree(bundle)
    configuration = opened(files).configuration
    try:
        channels, cells = int(configuration["network"]["in_channels"]), int(configuration["preparation"]["cells"])
    except (KeyError, TypeError, ValueError):
        raise ModelFileUnusable(
            "This bundle's network takes no cube of stated channels and cells; only such a one is served.") from None
    code = {path.relative_to(ROOT).as_posix(): path.read_bytes()
            for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
    code |= {name: (ROOT / name).read_bytes() for name in OURS}
    laid_out = {f"{BUNDLE}/{name}": data for name, data in files.items()}
    laid_out |= {f"{CODE}/{name}": data for name, data in code.items()}
    laid_out |= {name: data.encode() for name, data in (("MLmodel", MLMODEL), *_mlserver(ports))}
    folder = Path(tempfile.mkdtemp(prefix="countersign-attest-", dir=within))
    for name, data in laid_out.items():
        place = folder / "served" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o400)
    for path in [*(folder / "served").rglob("*/"), folder / "served"]:
        path.chmod(0o500)
    (folder / "run").mkdir(mode=0o700)
    return PrivateCopy(
        folder, tree_digest(files), tensors_digest(files[WEIGHTS]), tree_digest(code), tree_digest(laid_out),
        channels, cells)


def _mlserver(ports: tuple[int, int, int]) -> tuple[tuple[str, str], ...]:
    http, grpc, metrics = ports
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "debug": False,
                "parallel_workers": 0, "load_models_at_startup": True}
    model = {"name": NAME, "implementation": "countersign.attesting.served_v2.Runtime",
             "parameters": {"uri": f"./{BUNDLE}"}}
    return (("settings.json", json.dumps(settings, sort_keys=True)),
            ("model-settings.json", json.dumps(model, sort_keys=True)))


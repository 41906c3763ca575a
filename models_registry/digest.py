"""Digests of a model: the tree of its files, each tensor, and the environment that decides about its bits."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.entry import canonical
from core.errors import UnusableInput

# Name, version and build of these decide about an answer's bits; torch adds its own state (inference.torch_state).
# A lock names every other package too (software.py), without comparing it at each load.
PACKAGES = ("torch", "monai", "numpy", "safetensors")
LARGEST_FILE = 1 << 31
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class ModelFileUnusable(UnusableInput):
    """A file of a model bundle is missing, foreign or not what its format promises; names the file."""

    code = "model-file-unusable"
    next_step = "Take the bundle again from its maker and register it; nothing was loaded."


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file of a tree: path with forward slashes, bytes, SHA-256."""

    path: str
    bytes: int
    sha256: str


def sha256(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def read_tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path: read once, so that what is hashed is what is used.

    Raises ModelFileUnusable for links, devices, oversized files or an absent folder.
    """
    if not folder.is_dir() or folder.is_symlink():
        raise ModelFileUnusable(f"There is no bundle folder {folder.name}.")
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise ModelFileUnusable(f"{name} in the bundle {folder.name} is a link or device, not a file.")
        if path.stat().st_size > LARGEST_FILE:
            raise ModelFileUnusable(f"{name} in the bundle {folder.name} is larger than {LARGEST_FILE} bytes.")
        files[name] = path.read_bytes()
    if not files:
        raise ModelFileUnusable(f"The bundle folder {folder.name} is empty.")
    return files


def listed(files: Mapping[str, bytes]) -> tuple[FileDigest, ...]:
    """The files as path, size and digest, ordered by path (code points)."""
    return tuple(FileDigest(path, len(files[path]), sha256(files[path])) for path in sorted(files))


def tree_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the canonical list of path, size and SHA-256: equal for equal trees, whatever the disk."""
    rows = [{"path": one.path, "bytes": one.bytes, "sha256": one.sha256} for one in listed(files)]
    return sha256(canonical({"files": rows}, "tree"))


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """One tensor: name, type as safetensors names it, shape, SHA-256 over these three and the values."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


def tensors_of(weights: bytes) -> tuple[TensorDigest, ...]:
    """Each tensor of a safetensors file, by name, read without any tensor library.

    Raises ModelFileUnusable where header and data do not fit to the byte.
    """
    if len(weights) < 8:
        raise ModelFileUnusable("The weights file is too short for a safetensors header.")
    (length,) = struct.unpack("<Q", weights[:8])
    if length > min(len(weights) - 8, 100_000_000):
        raise ModelFileUnusable("The weights file ends inside its safetensors header.")
    try:
        header = json.loads(weights[8 : 8 + length])
    except ValueError:
        raise ModelFileUnusable("The safetensors header of the weights file is not readable.") from None
    data = weights[8 + length :]
    found: list[TensorDigest] = []
    covered = 0
    rows = [(name, row) for name, row in header.items() if name != "__metadata__"]
    for name, row in sorted(rows, key=lambda item: _begin(item[1], item[0])):
        begin, end = row["data_offsets"]
        count = 1
        for side in row["shape"]:
            count *= side
        if row["dtype"] not in DTYPES or begin != covered or end - begin != count * DTYPES[row["dtype"]]:
            raise ModelFileUnusable(f"Tensor {name} of the weights file does not fit its stated type and shape.")
        if end > len(data):
            raise ModelFileUnusable(f"The weights file ends inside tensor {name}.")
        covered = end
        stated = canonical({"name": name, "dtype": row["dtype"], "shape": list(row["shape"])}, "tensor")
        digest = hashlib.sha256(stated + b"\0" + data[begin:end]).hexdigest()
        found.append(TensorDigest(name, row["dtype"], tuple(row["shape"]), digest))
    if covered != len(data) or not found:
        raise ModelFileUnusable("The weights file holds bytes that belong to no tensor, or no tensor at all.")
    return tuple(sorted(found, key=lambda one: one.name))


def _begin(row: Any, name: str) -> int:
    try:
        return int(row["data_offsets"][0])
    except (TypeError, KeyError, IndexError, ValueError):
        raise ModelFileUnusable(f"Tensor {name} of the weights file states no place for its data.") from None


def tensors_digest(weights: bytes) -> str:
    """One digest over all tensors: the same for the same tensors saved under another name or in another order."""
    return sha256(canonical(
        {"tensors": [{"name": one.name, "sha256": one.sha256} for one in tensors_of(weights)]}, "tensors"))


def listing(tensors: tuple[TensorDigest, ...]) -> bytes:
    """The tensors as the object that a lock names: canonical JSON."""
    rows = [{"name": one.name, "dtype": one.dtype, "shape": list(one.shape), "sha256": one.sha256} for one in tensors]
    return canonical({"tensors": rows}, "tensors")


def environment(torch_state: Mapping[str, str] | None = None, more: tuple[str, ...] = ()) -> dict[str, str]:
    """What surrounds the model here, with `more` packages of its task. With `torch_state` (from the worker process) it
    is complete."""
    stated = {"python": platform.python_version(), "implementation": platform.python_implementation(),
              "machine": platform.machine(), "system": platform.system()}
    for package in (*PACKAGES, *more):
        try:
            stated[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            stated[package] = "absent"
    return stated | {f"torch_{key}": value for key, value in (torch_state or {}).items()}


def environment_digest(stated: Mapping[str, str]) -> str:
    """SHA-256 of the environment's canonical form."""
    return sha256(canonical(dict(stated), "environment"))

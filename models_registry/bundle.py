"""A bundle's files: checked for what they must hold, packed to the same bytes every time, read back whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_registry import jobs
from models_registry.contract import Study
from models_registry.digest import ModelFileUnusable, sha256, tensor_digests, tensors_digest, tree_digest
from models_registry.preprocessing import Preparation

ARCHIVE = "application/zip"
# Formats whose loading executes what is stored in them (MLK-07).
EXECUTABLE = (".pt", ".pth", ".ts", ".pkl", ".pickle", ".joblib", ".py", ".pyc", ".so", ".sh", ".exe")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that holds what it must; `files` are its bytes, read once."""

    files: Mapping[str, bytes]
    configuration: Mapping[str, Any]
    metadata: Mapping[str, Any]
    sentinel: Study

    @property
    def tree_sha256(self) -> str:
        return tree_digest(self.files)

    @property
    def tensors(self) -> dict[str, str]:
        return tensor_digests(self.files[jobs.WEIGHTS])

    @property
    def tensors_sha256(self) -> str:
        return tensors_digest(self.files[jobs.WEIGHTS])

    def text(self, path: str) -> str:
        """A document of the bundle."""
        return self.files[path].decode("utf-8")

    def digest_of(self, path: str) -> str:
        """SHA-256 of one file."""
        return sha256(self.files[path])


def opened(files: Mapping[str, bytes]) -> Bundle:
    """Check that a bundle can be registered at all.

    Raises ModelFileUnusable naming the first file that is missing, executable or not readable.
    """
    missing = [path for path in jobs.NEEDED if path not in files]
    if missing:
        raise ModelFileUnusable(f"The bundle lacks {', '.join(missing)}.")
    for path in sorted(files):
        if path.lower().endswith(EXECUTABLE):
            raise ModelFileUnusable(f"{path} could execute on loading; a bundle holds tensors and text only.",
                                    next_step="Convert the weights to safetensors and remove the file.")
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise ModelFileUnusable(f"{path!r} is no path inside a bundle.")
    for path in (jobs.DATA_STATEMENT, jobs.INTENDED_USE, jobs.LICENCE):
        _text(files, path)
    configuration = jobs.configuration_of(files)
    try:
        Preparation.read(configuration["preparation"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileUnusable(f"{jobs.CONFIGURATION}: preparation is not usable ({error}).") from None
    bundle = Bundle(dict(files), configuration, jobs.metadata_of(files), jobs.sentinel_of(files))
    _ = bundle.tensors_sha256
    return bundle


def _text(files: Mapping[str, bytes], path: str) -> None:
    try:
        empty = not files[path].decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ModelFileUnusable(f"{path} of the bundle is not UTF-8 text.") from None
    if empty:
        raise ModelFileUnusable(f"{path} of the bundle is empty.")


def packed(files: Mapping[str, bytes]) -> bytes:
    """The files as one archive, the same bytes for the same files: stored, sorted, without times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), files[path])
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    """Reverse of `packed`. Raises ModelFileUnusable for anything that is no such archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise ModelFileUnusable("The stored bundle names a file twice.")
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelFileUnusable(f"The stored bundle is no readable archive ({error}).") from None

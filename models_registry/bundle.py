"""A bundle's files: checked for what they must hold, packed to the same bytes every time, read back whole."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.vocabulary.models import Named, Training
from models_registry import jobs
from models_registry.digest import ModelFileUnusable, TensorDigest, sha256, tensors_digest, tensors_of, tree_digest
from models_registry.tasks import Given, Task, task_of

ARCHIVE = "application/zip"
# How the weights were made; a maker who states nothing leaves it out.
TRAINING = "configs/training.json"
# Formats whose loading executes what is stored in them (MLK-07).
EXECUTABLE = (".pt", ".pth", ".ts", ".pkl", ".pickle", ".joblib", ".py", ".pyc", ".so", ".sh", ".exe")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that holds what it must; `files` are its bytes, read once."""

    files: Mapping[str, bytes]
    configuration: Mapping[str, Any]
    metadata: Mapping[str, Any]
    sentinel: Given

    @property
    def task(self) -> Task:
        """What the model is for."""
        return task_of(self.configuration)

    @property
    def conversion(self) -> Mapping[str, Any] | None:
        """From what a converted model was made; None for one that was not converted."""
        return jobs.conversion_of(self.files)

    @property
    def tree_sha256(self) -> str:
        return tree_digest(self.files)

    @property
    def tensors(self) -> tuple[TensorDigest, ...]:
        return tensors_of(self.files[jobs.WEIGHTS])

    @property
    def tensors_sha256(self) -> str:
        return tensors_digest(self.files[jobs.WEIGHTS])

    def text(self, path: str) -> str:
        """A document of the bundle."""
        return self.files[path].decode("utf-8")

    def digest_of(self, path: str) -> str:
        """SHA-256 of one file."""
        return sha256(self.files[path])

    @property
    def intended_use(self) -> str:
        """The paragraph `Intended use` of the document, else its first one, in one line."""
        return self._paragraph("Intended use") or self._paragraph("")

    @property
    def context_of_use(self) -> str:
        """The paragraph `Context of use` in one line; empty where the maker states none."""
        return self._paragraph("Context of use")

    def _paragraph(self, heading: str) -> str:
        blocks = [" ".join(block.split()) for block in self.text(jobs.INTENDED_USE).split("\n\n")]
        body = [block for block in blocks if block and not block.startswith("#")]
        for block in body:
            found = re.match(r"\*\*(.+?)\.?\*\*\s*", block)
            if not heading or (found and found[1] == heading):
                return block[found.end():].replace("**", "") if found else block
        return ""

    @property
    def undecided(self) -> tuple[Named, ...]:
        """The thresholds that end a run without a value, as the configuration names them; all where it names none."""
        thresholds = self.configuration["thresholds"]
        names = self.configuration.get("undecided", sorted(thresholds))
        return tuple(Named(name=name, value=str(thresholds[name])) for name in sorted(names))

    @property
    def training(self) -> Training | None:
        """The training run as its maker states it, None where the bundle says nothing. Raises ModelFileUnusable."""
        if TRAINING not in self.files:
            return None
        try:
            stated = json.loads(self.files[TRAINING])
            data = tuple(Named(name=str(one["name"]), value=str(one["sha256"])) for one in stated["data"])
            return Training(
                statement_sha256=self.digest_of(TRAINING), data=data, code=str(stated["code"]),
                commit=str(stated["commit"]), seeds=", ".join(str(one) for one in stated["seeds"]),
                made_on=str(stated["made_on"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileUnusable(
                f"{TRAINING} of the bundle is no training statement ({type(error).__name__}: {error}).",
                next_step="It states code, commit, seeds, made_on and data (name and sha256 of each file), or is left "
                          "out.") from None


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
    task = task_of(configuration)
    try:
        task.check(configuration)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileUnusable(f"{jobs.CONFIGURATION}: preparation is not usable ({error}).") from None
    unknown = set(configuration.get("undecided", ())) - set(configuration["thresholds"])
    if unknown:
        raise ModelFileUnusable(f"{jobs.CONFIGURATION}: undecided names {sorted(unknown)[0]}, which is no threshold.")
    bundle = Bundle(dict(files), configuration, jobs.metadata_of(files), task.sentinel(files))
    # Read once here, so that what is not readable is said at intake.
    _ = bundle.tensors_sha256, bundle.training, bundle.undecided, bundle.conversion
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

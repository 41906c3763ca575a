"""Convert a third-party model: its source is read behind walls, its tensors are checked, and a bundle is laid out.

1 the source is copied, file by file, with its digests · 2 the child reads it without network · 3 what it wrote is
checked here, without torch · 4 the bundle is put together and opened as registration will · 5 a worker loads it and
answers its sentinel · 6 only then does the folder appear.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import AlreadyDone, UnusableInput
from core.work import release
from models_registry import jobs
from models_registry.bundle import Bundle, opened
from models_registry.conversion import families
from models_registry.conversion.child import KINDS, REFUSED
from models_registry.conversion.families import Wishes
from models_registry.digest import ModelFileUnusable, listed, read_tree, tensors_digest, tensors_of, tree_digest
from models_registry.isolation import Ended, Limits, NoNetworkWall, network_wall, run_isolated, watched
from models_registry.segmentation.state import Scan
from models_registry.tasks.segmentation import sentinel_bytes

CHILD = Path(__file__).with_name("child.py")
LIMITS = Limits(wall_s=300, cpu_s=300, memory_mib=8192, file_mib=2048)
LARGEST_REPORT = 1 << 20


class SourceUnusable(UnusableInput):
    """The source was not converted; says why. Nothing was written."""

    code = "source-unusable"
    next_step = "Take the source again from its maker, or ask them for one that holds tensors and numbers alone."


@dataclass(frozen=True, slots=True)
class ConvertModel:
    """`source`: a file or folder as its maker gave it; `kind`: deepbet, meshnet-tfjs or nnunet; `out`: a new folder.

    sentinel: a scan of nobody that the model answers with a value; made up where none is given.
    """

    source: Path
    kind: str
    out: Path
    wishes: Wishes
    sentinel: Scan | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """The bundle, and how its sentinel ended here."""

    bundle: Bundle
    report: Mapping[str, Any]
    sentinel_status: str
    sentinel_said: str


def convert_model(command: ConvertModel, *, limits: Limits = LIMITS) -> Converted:
    """Write a bundle folder from a third-party source.

    Raises:
        UnusableInput: a statement is missing, or fits neither its form nor the source.
        SourceUnusable: the source holds what no bundle may, is not of this kind, or met a limit.
        ModelFileUnusable: what was converted makes no bundle.
        NoWallForStrangers: this machine's kernel does not keep the child off the network.
        AlreadyDone: the folder is there.
    """
    if command.kind not in KINDS:
        raise UnusableInput(f"A source is one of {', '.join(sorted(KINDS))}.")
    if command.out.exists():
        raise AlreadyDone(f"{command.out} is there already.", next_step="Name a folder that is not there yet.")
    families.check_wishes(command.kind, command.wishes)
    source = _source(command.source)                                                                            # 1
    weights, found = _read(source, command.kind, limits)                                           # 2, 3
    report = _report(command, source, weights, found)
    made = families.made(command.kind, found, command.wishes)
    if command.sentinel is not None:
        made = replace(made, sentinel=command.sentinel)
    files = {
        jobs.CONFIGURATION: _text(made.configuration), jobs.METADATA: _text(made.metadata), jobs.WEIGHTS: weights,
        jobs.SENTINEL: sentinel_bytes(made.sentinel), jobs.INTENDED_USE: made.intended_use.encode(),
        jobs.DATA_STATEMENT: made.data_statement.encode(), jobs.LICENCE: f"{made.licence}\n".encode(),
        jobs.CONVERSION: _text(report),
    }
    bundle = opened(files)                                                                                      # 4
    session = run_isolated(files, [], None)                                                                     # 5
    _lay_out(command.out, files)                                                                                # 6
    said = ", ".join(f"{name} {value}" for name, value in session.sentinel_values) or "no value"
    return Converted(bundle, report, session.sentinel_status, said)


class NoWallForStrangers(NoNetworkWall):
    """A converter runs behind the kernel's wall alone."""

    next_step = ("Convert on a machine whose kernel gives namespaces (`unshare --user --net true` must work) and bring "
                 "the bundle here. A wall that the installation's IQ states serves locked models, not foreign files.")


def _source(path: Path) -> dict[str, bytes]:
    if path.is_file() and not path.is_symlink():
        return {path.name: path.read_bytes()}
    if not path.is_dir():
        raise SourceUnusable(f"There is no file or folder {path}.", next_step="Name what its maker gave you.")
    return read_tree(path)


def _read(source: Mapping[str, bytes], kind: str, limits: Limits) -> tuple[bytes, dict[str, Any]]:
    # The kernel's own wall, whatever the IQ states: this child reads files that strangers made before anybody has
    # looked at them, and converting is no part of a trial, so it can be done on another machine.
    wall = network_wall()
    if not wall:
        raise NoWallForStrangers
    with tempfile.TemporaryDirectory(prefix="countersign-convert-") as name:
        folder = Path(name)
        folder.chmod(0o700)
        for path, data in source.items():
            place = folder / "source" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o400)
        (folder / "order.json").write_text(json.dumps({"kind": kind}))
        ended = watched(folder, limits, wall, CHILD)
        if ended.code == REFUSED:
            raise SourceUnusable(_refusal(folder / "out" / "refused.json"))
        if ended.code != 0:
            raise _stopped(ended)
        return _checked(folder / "out")


def _stopped(ended: Ended) -> SourceUnusable:
    if ended.cause == "crash":
        return SourceUnusable(f"The process that read the source crashed ({ended.why}).")
    return SourceUnusable(f"The process that read the source met a limit ({ended.cause}): {ended.why}.")


def _refusal(path: Path) -> str:
    try:
        return _plain(str(json.loads(path.read_text()[:LARGEST_REPORT])["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return "The process that read the source refused it without a word."


def _plain(text: str) -> str:
    """What a process said that may be hostile by now: printable, short."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:500]


def _checked(out: Path) -> tuple[bytes, dict[str, Any]]:
    """The child's two files and no other; tensors of whole shape, float32, finite. Its word is not taken for it."""
    try:
        files = read_tree(out)
        if sorted(files) != ["found.json", "weights.safetensors"] or len(files["found.json"]) > LARGEST_REPORT:
            raise SourceUnusable(f"The process that read the source left {', '.join(sorted(files))[:200]}.")
        weights, found = files["weights.safetensors"], json.loads(files["found.json"])
        tensors_of(weights)
    except (ModelFileUnusable, ValueError, KeyError, TypeError) as error:
        raise SourceUnusable(f"What was read from the source is no set of tensors: {_plain(str(error))}") from error
    if not isinstance(found, dict) or not isinstance(found.get("network"), dict):
        raise SourceUnusable("The process that read the source names no network.")
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    other = sorted(name for name, row in header.items() if name != "__metadata__" and row["dtype"] != "F32")
    if other:
        raise SourceUnusable(f"Tensor {_plain(other[0])} is not float32.")
    if not bool(np.isfinite(np.frombuffer(weights[8 + length :], "<f4")).all()):
        raise SourceUnusable("A tensor holds values that are not finite.")
    return weights, found


def _report(command: ConvertModel, source: Mapping[str, bytes], weights: bytes, found: Mapping[str, Any]
            ) -> dict[str, Any]:
    """docs/conversion.json: what was read, by what, what became of it and what was left behind."""
    return {
        "kind": command.kind, "software": release(),
        "source": {"sha256": tree_digest(source), "files": [
            {"path": one.path, "bytes": one.bytes, "sha256": one.sha256} for one in listed(source)]},
        "tensors": {"count": len(tensors_of(weights)), "sha256": tensors_digest(weights)},
        "found": {name: found[name] for name in sorted(found) if name not in ("network", "dropped")},
        "left_behind": list(found.get("dropped", [])),
        "stated_by_the_converter": {
            "axes": command.wishes.axes, "structures": {name: dict(command.wishes.structures[name]) for name in
                                                        sorted(command.wishes.structures)},
            "sentinel": "made up" if command.sentinel is None else "given",
        },
    }


def _text(stated: Mapping[str, Any]) -> bytes:
    return (json.dumps(stated, indent=2, ensure_ascii=False) + "\n").encode()


def _lay_out(out: Path, files: Mapping[str, bytes]) -> None:
    """Whole or not at all."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for path, data in files.items():
            place = fresh / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        fresh.chmod(0o755)
        fresh.rename(out)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise

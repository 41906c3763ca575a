"""What house and worker process hand each other: files and JSON, no pickles, every number as text."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models_registry.answer import Answer, Value
from models_registry.digest import ModelFileUnusable

CONFIGURATION, WEIGHTS, SENTINEL = "configs/inference.json", "models/weights.safetensors", "sentinel/input.npz"
METADATA, DATA_STATEMENT, INTENDED_USE, LICENCE = (
    "configs/metadata.json", "docs/data-statement.md", "docs/intended-use.md", "LICENSE")
# Of a converted model: from what it was made, and what was left behind.
CONVERSION = "docs/conversion.json"
NEEDED = (CONFIGURATION, WEIGHTS, SENTINEL, METADATA, DATA_STATEMENT, INTENDED_USE, LICENCE)
PARTS = ("network", "preparation", "contract", "thresholds", "domain", "runtime")


def configuration_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The bundle's stated network, preparation, contract, thresholds, domain and runtime.

    Raises ModelFileUnusable naming the file or part that is missing or unreadable.
    """
    return _json(files, CONFIGURATION, PARTS)


def metadata_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Name, version, licence and authors as the maker states them. Raises ModelFileUnusable."""
    return _json(files, METADATA, ("name", "version", "license", "task", "limits", "resolution_mm"))


def conversion_of(files: Mapping[str, bytes]) -> dict[str, Any] | None:
    """The report of a conversion, with the digest of its source; None where the bundle was not converted.

    Raises ModelFileUnusable.
    """
    if CONVERSION not in files:
        return None
    stated = _json(files, CONVERSION, ("kind", "software", "source", "tensors", "left_behind"))
    source = stated["source"]
    if not isinstance(source, dict) or not re.fullmatch("[0-9a-f]{64}", str(source.get("sha256"))):
        raise ModelFileUnusable(f"{CONVERSION} of the bundle names no digest of its source.")
    return stated


def _json(files: Mapping[str, bytes], path: str, parts: tuple[str, ...]) -> dict[str, Any]:
    if path not in files:
        raise ModelFileUnusable(f"The bundle has no {path}.")
    try:
        stated = json.loads(files[path])
    except ValueError as error:
        raise ModelFileUnusable(f"{path} of the bundle is not readable JSON ({error}).") from None
    if not isinstance(stated, dict):
        raise ModelFileUnusable(f"{path} of the bundle is no JSON object.")
    missing = [part for part in parts if part not in stated]
    if missing:
        raise ModelFileUnusable(f"{path} of the bundle lacks {', '.join(missing)}.")
    return stated


def write_answer(folder: Path, answer: Answer, took_s: float) -> None:
    """The answer beside its job; answer.json comes last and whole."""
    if answer.mask is not None:
        # By way of memory: writing to a file itself, NumPy drops the number of the error, and with it the cause.
        written = io.BytesIO()
        np.save(written, answer.mask, allow_pickle=False)
        (folder / "mask.npy").write_bytes(written.getbuffer())
    stated = {
        "status": answer.status, "cause": answer.cause, "found": answer.found, "limit": answer.limit,
        "confidence": answer.confidence, "domain_distance": answer.domain_distance,
        "output_sha256": answer.output_sha256, "took": f"{took_s:.2f} s",
        "values": [{"name": v.name, "value": v.value, "uncertainty": v.uncertainty, "failed": v.failed}
                   for v in answer.values],
    }
    fresh = folder / "answer.new"
    fresh.write_text(json.dumps(stated, sort_keys=True))
    fresh.rename(folder / "answer.json")


def read_answer(folder: Path) -> tuple[Answer, str] | None:
    """The answer and how long it took; None where the worker did not come to it.

    Raises ValueError where what it wrote is no answer (the caller makes a failed run of it).
    """
    if not (folder / "answer.json").is_file():
        return None
    stated = json.loads((folder / "answer.json").read_text())
    mask = np.load(folder / "mask.npy", allow_pickle=False) if (folder / "mask.npy").is_file() else None
    if stated["status"] not in ("finished", "undecided", "failed") or (stated["status"] == "finished") != (
            mask is not None and mask.dtype in (np.bool_, np.uint8) and mask.ndim == 3):
        raise ValueError("the worker's answer and mask do not fit together")
    answer = Answer(
        stated["status"], stated["cause"], stated["found"], stated["limit"], stated["confidence"],
        stated["domain_distance"], stated["output_sha256"],
        tuple(Value(v["name"], v["value"], v["uncertainty"], v["failed"]) for v in stated["values"]), mask,
    )
    return answer, str(stated["took"])


def texts(numbers: tuple[float, float, float]) -> list[str]:
    """Three numbers so that they come back exactly."""
    return [repr(float(number)) for number in numbers]


def three(numbers: list[Any]) -> tuple[float, float, float]:
    """Reverse of texts."""
    x, y, z = (float(number) for number in numbers)
    return x, y, z

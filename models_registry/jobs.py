"""What house and worker process hand each other: files and JSON, no pickles, every number as text."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models_registry.contract import Study
from models_registry.digest import ModelFileUnusable
from models_registry.pipeline import Answer, Value
from models_registry.preprocessing import Image

CONFIGURATION, WEIGHTS, SENTINEL = "configs/inference.json", "models/weights.safetensors", "sentinel/input.npz"
METADATA, DATA_STATEMENT, INTENDED_USE, LICENCE = (
    "configs/metadata.json", "docs/data-statement.md", "docs/intended-use.md", "LICENSE")
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


def sentinel_of(files: Mapping[str, bytes]) -> Study:
    """The small fixed input whose answer must be the same bits at every load. Raises ModelFileUnusable."""
    try:
        with np.load(io.BytesIO(files[SENTINEL]), allow_pickle=False) as stored:
            ct, pet = stored["ct"].astype(np.float32), stored["pet_x100"].astype(np.float32) / np.float32(100)
            geometry = {key: [float(v) for v in stored[key]] for key in
                        ("ct_origin", "ct_spacing", "pet_origin", "pet_spacing", "seed")}
    except (KeyError, ValueError, OSError) as error:
        raise ModelFileUnusable(f"{SENTINEL} of the bundle is not readable ({error}).") from None
    return Study(
        ct=Image(ct, _three(geometry["ct_origin"]), _three(geometry["ct_spacing"])),
        pet=Image(pet, _three(geometry["pet_origin"]), _three(geometry["pet_spacing"])),
        seed_mm=_three(geometry["seed"]), ct_unit="HU", pet_unit="{SUVbw}g/ml",
    )


def write_job(folder: Path, study: Study) -> None:
    """One job: arrays as .npy, the rest as JSON."""
    folder.mkdir(mode=0o700)
    np.save(folder / "ct.npy", study.ct.values, allow_pickle=False)
    np.save(folder / "pet.npy", study.pet.values, allow_pickle=False)
    stated = {
        "ct": {"origin": _texts(study.ct.origin_mm), "spacing": _texts(study.ct.spacing_mm), "unit": study.ct_unit},
        "pet": {"origin": _texts(study.pet.origin_mm), "spacing": _texts(study.pet.spacing_mm),
                "unit": study.pet_unit},
        "seed": None if study.seed_mm is None else _texts(study.seed_mm),
        "axial": study.axial, "one_frame": study.one_frame,
    }
    (folder / "job.json").write_text(json.dumps(stated, sort_keys=True))


def read_job(folder: Path) -> Study:
    """Reverse of write_job."""
    stated = json.loads((folder / "job.json").read_text())
    images = {
        name: Image(np.load(folder / f"{name}.npy", allow_pickle=False), _three(stated[name]["origin"]),
                    _three(stated[name]["spacing"]))
        for name in ("ct", "pet")
    }
    return Study(
        ct=images["ct"], pet=images["pet"], seed_mm=None if stated["seed"] is None else _three(stated["seed"]),
        ct_unit=stated["ct"]["unit"], pet_unit=stated["pet"]["unit"], axial=stated["axial"],
        one_frame=stated["one_frame"],
    )


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
            mask is not None and mask.dtype == np.bool_ and mask.ndim == 3):
        raise ValueError("the worker's answer and mask do not fit together")
    answer = Answer(
        stated["status"], stated["cause"], stated["found"], stated["limit"], stated["confidence"],
        stated["domain_distance"], stated["output_sha256"],
        tuple(Value(v["name"], v["value"], v["uncertainty"], v["failed"]) for v in stated["values"]), mask,
    )
    return answer, str(stated["took"])


def _texts(numbers: tuple[float, float, float]) -> list[str]:
    return [repr(float(number)) for number in numbers]


def _three(numbers: list[Any]) -> tuple[float, float, float]:
    x, y, z = (float(number) for number in numbers)
    return x, y, z

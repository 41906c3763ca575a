"""Puts what training wrote into the shipped bundle: weights, domain, sentinel, and the statement of the training run.

    python -m models_registry.training.bundle --trained FOLDER --data FOLDER --commit COMMIT --made-on DATE
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from core.phantoms import SCANNERS, lesion_at, make_volume
from models_registry.bundle import TRAINING
from models_registry.digest import sha256
from models_registry.jobs import CONFIGURATION, SENTINEL, WEIGHTS
from models_registry.training.samples import split
from models_registry.training.train import BUNDLE

SENTINEL_SEED, REACH_MM = 3000, 84.0


def write_sentinel(path: Path) -> None:
    """A liver lesion without noise on a cut, coarse grid: whole HU, hundredths of SUV."""
    scanner = SCANNERS["C"]
    lesion = lesion_at("liver", "TL01", (46, 38, 40), lobes=3, bump=0.12)
    volume = make_volume(scanner, [lesion], SENTINEL_SEED, noise=0.05)
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {"seed": np.array(lesion.centre_mm)}
    for name, values, grid, step in (
        ("ct", volume.ct_hu, volume.ct_grid, 2), ("pet", volume.pet_suv, volume.pet_grid, 1),
    ):
        low, high = [], []
        for axis in range(3):
            first, spacing, count = grid.origin_mm[2 - axis], grid.spacing_mm[axis], grid.shape[axis]
            centre = lesion.centre_mm[2 - axis]
            low.append(max(0, int((centre - REACH_MM - first) / spacing)))
            high.append(min(count, int((centre + REACH_MM - first) / spacing) + 1))
        steps = (1, step, step)
        part = values[low[0] : high[0] : 1, low[1] : high[1] : step, low[2] : high[2] : step]
        arrays[f"{name}_origin"] = np.array([grid.origin_mm[i] + low[2 - i] * grid.spacing_mm[2 - i] for i in range(3)])
        arrays[f"{name}_spacing"] = np.array([s * k for s, k in zip(grid.spacing_mm, steps, strict=True)])
        if name == "ct":
            arrays["ct"] = np.rint(part).astype(np.int16)
        else:
            arrays["pet_x100"] = np.rint(part * 100).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def training_statement(data: Path, tuning: Path, commit: str, made_on: str) -> bytes:
    """The run as JSON: digest of every file of images that the script reads, its commit, seeds and steps.

    `made_on` is the day of the run; `tuning` is what the run measured, with its seed.
    """
    measured = json.loads(tuning.read_text())
    read = {f"{part}/{subject}.npz": (data / "derived-sts-grid" / f"{subject}.npz").read_bytes()
            for part in ("train", "tune") for subject in split()[part]}
    stated = {
        "code": "models_registry/training/train.py", "commit": commit, "made_on": made_on,
        "seeds": [str(measured["seed"])], "steps": str(measured["steps"]), "torch": measured["torch"],
        "data": [{"name": name, "sha256": sha256(content)} for name, content in read.items()],
        "generated": "objects of core/phantoms with the seeds of split.json, parts train and tune",
    }
    return (json.dumps(stated, indent=1) + "\n").encode()


def main() -> None:
    """Copy the weights, state the domain and its limit and the run, write the sentinel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="as for train.py")
    parser.add_argument("--commit", required=True, help="commit of the sources that trained")
    parser.add_argument("--made-on", required=True, help="day of the training, YYYY-MM-DD")
    parser.add_argument("--margin", type=float, default=1.15, help="limit = largest distance in training x this")
    chosen = parser.parse_args()
    place = BUNDLE / CONFIGURATION
    stated = json.loads(place.read_text())
    stated["domain"] = json.loads((chosen.trained / "domain.json").read_text())
    limit = float(stated["domain"]["largest_in_training"]) * chosen.margin
    stated["thresholds"]["largest_domain_distance"] = f"{limit:.2f}"
    place.write_text(json.dumps(stated, indent=2) + "\n")
    (BUNDLE / WEIGHTS).parent.mkdir(exist_ok=True)
    shutil.copyfile(chosen.trained / "weights.safetensors", BUNDLE / WEIGHTS)
    shutil.copyfile(chosen.trained / "tuning.json", Path(__file__).with_name("tuning.json"))
    write_sentinel(BUNDLE / SENTINEL)
    statement = training_statement(chosen.data, chosen.trained / "tuning.json", chosen.commit, chosen.made_on)
    (BUNDLE / TRAINING).write_bytes(statement)


if __name__ == "__main__":
    main()

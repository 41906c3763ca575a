"""Trains lesion-at-seed from the committed split, with a fixed seed and a fixed number of steps.

    python -m models_registry.training.train --data FOLDER --out FOLDER [--steps N]

FOLDER of --data holds derived-sts-grid (STS_nnn.npz), which is not part of this repository. Reads the parts `train`
and `tune` only. Writes weights.safetensors, domain.json (for the configuration) and tuning.json (what was measured).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from numpy.typing import NDArray
from safetensors.torch import save_file

from models_registry.inference import be_deterministic, network_of
from models_registry.preprocessing import Preparation, prepared
from models_registry.training.samples import (
    Sample,
    cut_field,
    generated_case,
    generated_seeds,
    inner_seed,
    sample,
    samples_of,
    split,
    subject_case,
)

SEED = 20261124
STEPS = 2000
BUNDLE = Path(__file__).parents[1] / "library" / "lesion-at-seed"
SUBJECT_SAMPLES, GENERATED_SAMPLES = 8, 3
# How many samples of subjects, and how many generated ones, make a step.
PAIRS = 2


def configuration() -> dict[str, Any]:
    """The bundle's stated network and preparation."""
    stated: dict[str, Any] = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    return stated


def pool(data: Path, prep: Preparation, part: str) -> tuple[list[Sample], list[Sample]]:
    """Samples of subjects and of generated objects of one part: many seeds for training, the deepest for tuning."""
    rng = np.random.default_rng((SEED, 1))
    subjects, generated = [], []
    for subject in split()[part]:
        case = subject_case(data, subject)
        subjects += list(samples_of(case, prep, SUBJECT_SAMPLES, rng)) if part == "train" else [
            sample(case, inner_seed(case.mask, None), prep)]
    for seed in generated_seeds(part):
        case = generated_case(seed)
        generated += list(samples_of(case, prep, GENERATED_SAMPLES, rng)) if part == "train" else [
            sample(case, inner_seed(case.mask, None), prep)]
    return subjects, generated


def drawn(item: Sample, prep: Preparation, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One varied training example: field cut, density shifted, noise, mirrored."""
    ct, suv = (item.ct, item.suv) if rng.random() < 0.3 else cut_field(item, prep, rng)
    ct = ct + np.float32(rng.normal(0, 8)) + rng.normal(0, rng.uniform(0, 8), ct.shape).astype(np.float32)
    suv = suv * np.float32(rng.uniform(0.85, 1.15))
    channels, target = prepared(ct, suv, item.seed_mm, item.origin_mm, prep), item.target
    for axis in range(3):
        if rng.random() < 0.5:
            channels, target = np.flip(channels, axis + 1), np.flip(target, axis)
    return np.ascontiguousarray(channels), np.ascontiguousarray(target)


def trained(subjects: list[Sample], generated: list[Sample], config: dict[str, Any], steps: int) -> torch.nn.Module:
    """The network after `steps` steps of PAIRS subjects' and PAIRS generated samples."""
    prep = Preparation.read(config["preparation"])
    be_deterministic(int(config["runtime"]["threads"]), SEED)
    network = network_of(config["network"])
    rng = np.random.default_rng((SEED, 2))
    loss_of = DiceCELoss(sigmoid=True, squared_pred=True, lambda_ce=0.5)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=steps, power=0.9)
    started = time.monotonic()
    for step in range(steps):
        pairs = [drawn(items[int(rng.integers(len(items)))], prep, rng)
                 for items in (subjects, generated) * PAIRS if items]
        seen = torch.from_numpy(np.stack([pair[0] for pair in pairs]))
        wanted = torch.from_numpy(np.stack([pair[1] for pair in pairs]))[:, None]
        optimiser.zero_grad()
        loss = loss_of(network(seen), wanted)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            sys.stderr.write(f"step {step} loss {loss.item():.4f} after {time.monotonic() - started:.0f} s\n")
    return network


def dice(network: torch.nn.Module, item: Sample, prep: Preparation) -> float:
    """Dice of the thresholded answer against the thresholded reference on the cube."""
    network.eval()
    with torch.inference_mode():
        answer = torch.sigmoid(network(torch.from_numpy(item.channels(prep)[None])))[0, 0].numpy() >= 0.5
    reference = item.target >= 0.5
    return float(2 * (answer & reference).sum() / max(int(answer.sum()) + int(reference.sum()), 1))


def domain(groups: list[list[Sample]], prep: Preparation, rng: np.random.Generator) -> dict[str, Any]:
    """Mean and shrunken inverse covariance of the domain numbers of each group, and the largest distance in it."""
    stated, largest = [], 0.0
    for items in groups:
        # The field may end anywhere: half of the samples count with their field cut.
        numbers = []
        for number, item in enumerate(items):
            ct, suv = (item.ct, item.suv) if number % 2 else cut_field(item, prep, rng)
            numbers.append(Sample(item.name, item.seed_mm, item.origin_mm, ct, suv, item.target).numbers(prep))
        table = np.array(numbers)
        mean, spread = table.mean(0), np.cov(table.T)
        inverse = np.linalg.inv(0.9 * spread + 0.1 * np.diag(np.diag(spread)) + 1e-3 * np.eye(table.shape[1]))
        distances = np.sqrt(np.einsum("ij,jk,ik->i", table - mean, inverse, table - mean))
        largest = max(largest, float(distances.max()))
        stated.append({"mean": [f"{v:.6f}" for v in mean],
                       "inverse_covariance": [[f"{v:.9f}" for v in row] for row in inverse]})
    return {"numbers": 7, "groups": stated, "largest_in_training": f"{largest:.2f}"}


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    chosen = parser.parse_args()
    config = configuration()
    prep = Preparation.read(config["preparation"])
    subjects, generated = pool(chosen.data / "derived-sts-grid", prep, "train")
    network = trained(subjects, generated, config, chosen.steps)
    tune = pool(chosen.data / "derived-sts-grid", prep, "tune")
    measured = {item.name: f"{dice(network, item, prep):.3f}" for items in tune for item in items}
    chosen.out.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()},
              chosen.out / "weights.safetensors")
    rng = np.random.default_rng((SEED, 3))
    (chosen.out / "domain.json").write_text(json.dumps(domain([subjects, generated], prep, rng), indent=1) + "\n")
    (chosen.out / "tuning.json").write_text(json.dumps(
        {"seed": SEED, "steps": chosen.steps, "torch": torch.__version__, "dice": measured}, indent=1) + "\n")
    sys.stderr.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()

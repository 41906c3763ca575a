"""What was trained on, what was sealed and what is shown have nothing in common; training is repeatable."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.phantoms import random_lesion
from models_registry.library import SHIPPED
from models_registry.preprocessing import Image, Preparation
from models_registry.training import samples
from tests.conftest import need
from tests.req import req

STATED: dict[str, Any] = json.loads(samples.SPLIT.read_text())
SHOWN = {"STS_003", "STS_008", "STS_025", "STS_041", "STS_047"}


@req("MLK-05", "VAL-09")
def test_no_subject_is_in_two_parts_of_the_split() -> None:
    """16 trained, 4 tuned, 8 sealed; the five that can be shown are sealed."""
    split = samples.split()
    parts = [set(split[name]) for name in ("train", "tune", "sealed")]

    assert [len(part) for part in parts] == [16, 4, 8]
    assert all(not one & other for one, other in itertools.combinations(parts, 2))
    assert set(split["demonstrated"]) == SHOWN
    assert parts[2] >= SHOWN


@req("MLK-05", "VAL-09")
def test_no_generated_object_is_in_two_parts() -> None:
    """Seeds are disjoint, and so are the lesions drawn from them."""
    ranges = {name: samples.generated_seeds(name) for name in ("train", "tune", "sealed", "demonstrated")}

    for one, other in itertools.combinations(ranges.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start
    assert len(ranges["sealed"]) >= 60
    drawn = [random_lesion(seed) for name in ("train", "tune", "sealed") for seed in ranges[name]]
    assert len(set(drawn)) == len(drawn)


@req("VAL-09")
@pytest.mark.parametrize("part", ["train", "tune"])
def test_training_opens_no_sealed_subject(part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pool of a part is made of that part's names and seeds, and of nothing else in the folder."""
    need("torch")
    from models_registry.training import train

    opened: list[str] = []
    blob = np.zeros((30, 30, 30), bool)
    blob[10:20, 10:20, 10:20] = True
    image = Image(np.zeros((30, 30, 30), np.float32), (0.0, 0.0, 0.0), (4.0, 4.0, 4.0))

    def case(name: str) -> samples.Case:
        opened.append(name)
        return samples.Case(name, image, image, Image(blob, image.origin_mm, image.spacing_mm))

    monkeypatch.setattr(train, "subject_case", lambda folder, name: case(name))
    monkeypatch.setattr(train, "generated_case", lambda seed: case(f"G{seed}"))
    monkeypatch.setattr(train, "SUBJECT_SAMPLES", 1)
    monkeypatch.setattr(train, "GENERATED_SAMPLES", 1)
    prep = Preparation.read({**train.configuration()["preparation"], "cells": 8})

    train.pool(tmp_path, prep, part)

    assert set(opened) == set(STATED[part]) | {f"G{seed}" for seed in samples.generated_seeds(part)}
    assert not set(opened) & set(STATED["sealed"])


@req("MLK-02")
def test_two_steps_of_training_give_the_same_bits_twice() -> None:
    need("torch")
    from models_registry.training import train

    config = train.configuration()
    small = config | {"preparation": config["preparation"] | {"cells": 16}}
    prep = Preparation.read(small["preparation"])
    case = samples.generated_case(samples.generated_seeds("tune")[0])
    pool = list(samples.samples_of(case, prep, 2, np.random.default_rng(1)))

    first, again = (train.trained(pool, [], small, 2).state_dict() for _ in range(2))

    assert all(bool((first[name] == again[name]).all()) for name in first)


@req("MLK-07")
def test_weights_that_do_not_fit_or_are_not_finite_are_refused() -> None:
    need("torch")
    import torch
    from safetensors.torch import save

    from models_registry.inference import Loaded, network_of
    from models_registry.training import train

    stated = train.configuration()["network"]
    good = dict(network_of(stated).state_dict())
    name = sorted(good)[0]

    with pytest.raises(ValueError, match="not finite"):
        Loaded(stated, save(good | {name: torch.full_like(good[name], float("nan"))}), 1)
    with pytest.raises(ValueError, match="do not fit"):
        Loaded(stated, save({key: value for key, value in good.items() if key != name}), 1)


@req("MLK-05")
def test_the_shipped_model_says_how_it_was_tuned() -> None:
    """tuning.json holds a Dice for every tuning case and for no sealed one."""
    tuning = json.loads(samples.SPLIT.with_name("tuning.json").read_text())
    generated = [f"G{seed}" for seed in samples.generated_seeds("tune")]

    assert set(tuning["dice"]) == set(STATED["tune"]) | set(generated)
    limit = json.loads((SHIPPED / "configs" / "inference.json").read_text())["thresholds"]["largest_domain_distance"]
    assert float(limit) > 0


def test_the_seed_of_an_object_lies_deep_inside() -> None:
    case = samples.generated_case(samples.generated_seeds("tune")[1])
    x, y, z = samples.inner_seed(case.mask, None)
    index = tuple(round((value - case.mask.origin_mm[2 - axis]) / case.mask.spacing_mm[axis])
                  for axis, value in enumerate((z, y, x)))

    assert case.mask.values[index]


def test_preparation_and_pipeline_need_no_torch() -> None:
    """Everything but inference.py, training and the worker works where torch is not installed."""
    program = (
        "import sys\n"
        "from models_registry import asking, bundle, contract, digest, isolation, jobs, loading, pipeline, queries\n"
        "from models_registry import results, rules, running, usecases, views\n"
        "print(sorted({'torch', 'monai', 'mlflow', 'scipy'} & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[3]

    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

"""Inside a model server that others wrote: reads a bundle with this release's own code and answers tensors.

Runs in the server's environment, which holds nothing of ours but the copied sources (copy.py): MLflow finds
`_load_pyfunc` through the MLmodel file, MLServer the class of served_v2.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATE = "COUNTERSIGN_SERVED_STATE"


class Served:
    """A bundle's network, loaded from safetensors; tells the environment in which it was loaded."""

    def __init__(self, folder: Path) -> None:
        """Raises ModelFileUnusable or ValueError where the bundle is not one that this release reads."""
        from models_registry import digest, inference, jobs

        files = digest.read_tree(folder)
        configuration = jobs.configuration_of(files)
        threads = int(configuration["runtime"]["threads"])
        self._model = inference.Loaded(configuration["network"], files[jobs.WEIGHTS], threads)
        state = {"environment": digest.environment(inference.torch_state()), "tree_sha256": digest.tree_digest(files)}
        fresh = Path(os.environ[STATE] + ".new")
        fresh.write_text(json.dumps(state, sort_keys=True))
        fresh.rename(os.environ[STATE])

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> NDArray[np.float32]:
        """Probabilities, shape (1, cells, cells, cells), for channels of shape (1, channels, cells, cells, cells)."""
        channels = np.asarray(model_input, dtype=np.float32)
        if channels.ndim != 5 or channels.shape[0] != 1:
            raise ValueError("one input of shape (1, channels, cells, cells, cells) is answered at a time")
        return self._model.probability(channels[0])[None]


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls with the place of the model's data."""
    return Served(Path(path))

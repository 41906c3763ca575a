"""The word of a lock, for tests that need one on record and no model behind it."""

from __future__ import annotations

from typing import Any

from audit.vocabulary.models import ModelLocked
from audit.vocabulary.registry import ObjectRef

DIGEST = "0" * 64
OBJECT = ObjectRef(sha256=DIGEST, bytes=1, media="application/zip")


def lock_word(lock: str, model: str, **more: Any) -> ModelLocked:
    """`model.locked` with plain fields; `more` says what a test is about."""
    plain: dict[str, Any] = {
        "lock": lock, "model": model, "model_version": "1.0", "trained_by": "model-trainer", "registered": "entry",
        "artefact": OBJECT, "tree_sha256": DIGEST, "tensors_sha256": DIGEST, "tensors": 1, "tensors_listed": OBJECT,
        "format": "safetensors", "configuration_sha256": DIGEST, "contract_sha256": DIGEST, "thresholds": (),
        "undecided": (), "environment_sha256": DIGEST, "environment": (), "container": "none",
        "requirements_sha256": DIGEST, "sbom": OBJECT, "sentinel_input_sha256": DIGEST,
        "sentinel_output_sha256": DIGEST, "sentinel_tolerance": "0", "resolution": "5.0 mm", "intended_use": "measure",
        "context_of_use": "a reader decides", "limits": "none", "influence": "medium", "consequence": "medium",
        "data_statement_sha256": DIGEST, "licence": "Apache-2.0", "demonstration": True, "software": "0.1.0",
        "code_sha256": DIGEST, "commit": "none",
    }
    return ModelLocked(**plain | more)

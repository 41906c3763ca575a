"""What a person is shown before signing about a model: one line a field, nothing that they do not sign."""

from __future__ import annotations

from audit.vocabulary.models import ModelLocked, ModelRegistered
from core.work import View
from models_registry.queries import LockRow


def registration(event: ModelRegistered) -> View:
    """The bundle as it is taken in."""
    return View(
        f"Register {event.model} {event.model_version}", "models/register",
        (
            ("Model", f"{event.model} {event.model_version}"), ("Trained by", event.trained_by),
            ("Bundle digest", event.tree_sha256), ("Licence", event.licence),
            ("Intended use", event.intended_use), ("Data statement digest", event.data_statement_sha256),
            *((file.path, f"{file.bytes} bytes, {file.sha256}") for file in event.tree),
        ),
    )


def lock(event: ModelLocked) -> View:
    """Everything that the lock binds."""
    return View(
        f"Lock {event.model} {event.model_version}", "models/lock",
        (
            ("Lock", event.lock), ("Model", f"{event.model} {event.model_version}"), ("Trained by", event.trained_by),
            ("Bundle digest", event.tree_sha256), ("Tensors", f"{event.tensors}, digest {event.tensors_sha256}"),
            ("Format", event.format), ("Configuration digest", event.configuration_sha256),
            ("Contract digest", event.contract_sha256),
            *((f"Threshold {one.name}", one.value) for one in event.thresholds),
            *((f"Environment {one.name}", one.value) for one in event.environment),
            ("Environment digest", event.environment_sha256),
            ("Sentinel input", event.sentinel_input_sha256), ("Sentinel output", event.sentinel_output_sha256),
            ("Sentinel tolerance", event.sentinel_tolerance), ("Resolution", event.resolution),
            ("Intended use", event.intended_use), ("Limits", event.limits),
            ("Model risk", f"influence {event.influence}, consequence {event.consequence}"),
            ("Licence", event.licence), ("Data statement digest", event.data_statement_sha256),
            ("Supersedes", event.supersedes or "nothing"),
            *((("Evidence class", "demonstration"),) if event.demonstration else ()),
        ),
    )


def end(row: LockRow, how: str, reason: str) -> View:
    """What taking a lock out of use means."""
    means = {"retired": "It runs no more; what it measured stays.",
             "recalled": "It runs no more; what rests on it becomes suspect and its gates are suspended."}[how]
    return View(f"Take {row.lock} out of use", "models/retire",
                (("Lock", row.lock), ("Model", f"{row.fields.model} {row.fields.model_version}"), ("How", how),
                 ("Means", means), ("Reason", reason)))

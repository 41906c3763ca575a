"""What a person is shown before signing about a model: one line a field, nothing that they do not sign."""

from __future__ import annotations

from audit.vocabulary.models import ModelLocked, ModelRegistered, ModelReproduced
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
            *_training(event),
            *((("Converted from", f"source {event.source_sha256}, report {event.conversion_sha256}"),)
              if event.conversion_sha256 else ()),
            *_marks(event),
            *((file.path, f"{file.bytes} bytes, {file.sha256}") for file in event.tree),
        ),
    )


def _marks(event: ModelRegistered | ModelLocked) -> tuple[tuple[str, str], ...]:
    """The copy in the tracking store, and what the house put on it; nobody is told of none."""
    if not event.store_hint:
        return ()
    return (("Copy for people to browse", event.store_hint),
            *(("Marked there", f"{one.name}: {one.value}") for one in event.store_marks or ()))


def _training(event: ModelRegistered) -> tuple[tuple[str, str], ...]:
    if event.training is None:
        return (("Training run", "not stated by its maker"),)
    run = event.training
    return (
        ("Training run", f"{run.made_on}, {run.code} at commit {run.commit}, seeds {run.seeds}"),
        ("Training statement digest", run.statement_sha256),
        *((f"Trained on {one.name}", one.value) for one in run.data),
    )


def lock(event: ModelLocked) -> View:
    """Everything that the lock binds."""
    return View(
        f"Lock {event.model} {event.model_version}", "models/lock",
        (
            ("Lock", event.lock), ("Model", f"{event.model} {event.model_version}"), ("Trained by", event.trained_by),
            *((("Task", f"{event.task} on one {event.modality} series"),) if event.task else ()),
            ("Bundle digest", event.tree_sha256), ("Tensors", f"{event.tensors}, digest {event.tensors_sha256}"),
            ("List of tensors", event.tensors_listed.sha256), ("Format", event.format),
            ("Configuration digest", event.configuration_sha256),
            ("Contract digest", event.contract_sha256),
            *((f"Threshold {one.name}", one.value) for one in event.thresholds),
            ("Undecided by", ", ".join(f"{one.name} {one.value}" for one in event.undecided) or "no threshold"),
            *((f"Environment {one.name}", one.value) for one in event.environment),
            ("Environment digest", event.environment_sha256), ("Container", event.container),
            ("Installed packages digest", event.requirements_sha256), ("SBOM", event.sbom.sha256),
            ("Software", event.software), ("Code digest", event.code_sha256), ("Commit", event.commit),
            ("Sentinel input", event.sentinel_input_sha256), ("Sentinel output", event.sentinel_output_sha256),
            ("Sentinel tolerance", event.sentinel_tolerance), ("Resolution", event.resolution),
            ("Intended use", event.intended_use), ("Context of use", event.context_of_use), ("Limits", event.limits),
            ("Model risk", f"influence {event.influence}, consequence {event.consequence}"),
            ("Licence", event.licence), ("Data statement digest", event.data_statement_sha256),
            ("Training statement digest", event.training_sha256 or "not stated by its maker"),
            ("To be validated under", ", ".join(event.protocols) or "no protocol is named yet"),
            ("Supersedes", f"{event.supersedes}, which goes on serving the gates and subjects that it began with"
             if event.supersedes else "nothing"),
            *_marks(event),
            *((("Evidence class", "demonstration"),) if event.demonstration else ()),
        ),
    )


def reproduction(event: ModelReproduced) -> View:
    """What was computed again, and that it counts for nothing."""
    return View(
        f"Reproduction of {event.lock}", "models/reproduce",
        (
            ("Lock", f"{event.lock} of {event.model}, {event.state}"), ("Bundle digest", event.tree_sha256),
            ("Environment digest", event.environment_sha256), ("Sentinel output", event.sentinel_output_sha256),
            *((f"Run {one.run}", one.output_sha256) for one in event.runs),
            ("Software", f"{event.software}, code {event.code_sha256}"), ("Compared", event.software_said),
            ("Means", "Bytes, environment, sentinel and these outputs are as recorded. It is no run: it counts for "
                      "nothing and opens nothing."),
        ),
    )


def end(row: LockRow, how: str, reason: str) -> View:
    """What taking a lock out of use means."""
    means = {"retired": "It runs no more; what it measured stays.",
             "recalled": "It runs no more; what rests on it becomes suspect and its gates are suspended."}[how]
    return View(f"Take {row.lock} out of use", "models/retire",
                (("Lock", row.lock), ("Model", f"{row.fields.model} {row.fields.model_version}"), ("How", how),
                 ("Means", means), ("Reason", reason)))

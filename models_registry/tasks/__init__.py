"""The tasks that a model can be for, each a small module with the same parts; worker, locks and runs know none of them.

A bundle's configuration names its `task`; one that names none is of the first, `lesion-at-seed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from models_registry.answer import Answer, Network
from models_registry.contract import Study
from models_registry.digest import ModelFileUnusable
from models_registry.segmentation.state import Scan, Structure
from models_registry.tasks.lesion_at_seed import LesionAtSeed
from models_registry.tasks.segmentation import Segmentation

if TYPE_CHECKING:
    from core.dicom.volume import Volume
    from models_registry.ports import GivenSeries

Given = Study | Scan
FIRST = LesionAtSeed.name


class Task(Protocol):
    """What a task knows: its input, its contract, how a run goes, and what it names."""

    name: str
    seeded: bool
    packages: tuple[str, ...]
    contract_parts: tuple[str, ...]

    def check(self, configuration: Mapping[str, Any]) -> None:
        """Whether the configuration states all that a run needs. Raises KeyError, TypeError, ValueError."""
        ...

    def sentinel(self, files: Mapping[str, bytes]) -> Any:
        """The small fixed input whose answer must be the same bits at every load. Raises ModelFileUnusable."""
        ...

    def chosen(self, found: Sequence[GivenSeries], modality: str | None, wanted: str | None,
               where: str) -> tuple[GivenSeries, ...]:
        """The series that a run takes. Raises UnusableInput, naming `where`, for none or several that fit."""
        ...

    def given(self, volumes: Sequence[Volume], seed_mm: tuple[float, float, float] | None) -> Any:
        """The volumes of the chosen series as the model takes them."""
        ...

    def write_job(self, folder: Path, given: Any) -> None:
        """The input as .npy and JSON in a folder that is there."""
        ...

    def read_job(self, folder: Path) -> Any:
        """Reverse of write_job."""
        ...

    def run(self, given: Any, configuration: Mapping[str, Any], network: Network) -> Answer:
        """One run."""
        ...

    def input_digest(self, given: Any) -> str:
        """SHA-256 over everything a run is given."""
        ...

    def structures(self, configuration: Mapping[str, Any]) -> tuple[Structure, ...]:
        """What its masks show, one segment each; empty where the mask is the one lesion that was asked for."""
        ...


TASKS: dict[str, Task] = {task.name: task for task in (LesionAtSeed(), Segmentation())}


def task_named(name: str | None) -> Task:
    """The task of this name, of the first where none is named. Raises ModelFileUnusable."""
    found = TASKS.get(name or FIRST)
    if found is None:
        raise ModelFileUnusable(f"This release has no task {name!r}; it has {', '.join(TASKS)}.")
    return found


def task_of(configuration: Mapping[str, Any]) -> Task:
    """The task that a bundle's configuration names. Raises ModelFileUnusable."""
    named = configuration.get("task")
    if named is not None and not isinstance(named, str):
        raise ModelFileUnusable("The bundle's configuration names its task as text.")
    return task_named(named)


def task_for(given: Given) -> Task:
    """The task that takes this kind of input."""
    return TASKS[Segmentation.name if isinstance(given, Scan) else FIRST]

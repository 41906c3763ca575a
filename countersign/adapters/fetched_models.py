"""Objects of a house that loads its models from a tracking store instead of from its own disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from countersign.adapters.files import FileObjects
from countersign.adapters.subject_keys import FileSubjectKeys

if TYPE_CHECKING:
    from models_registry.ports import Tracking


class ObjectsWithFetchedModels(FileObjects):
    """FileObjects, and models_registry.ports.FetchesModels: the copy is fetched anew at every load."""

    def __init__(self, folder: Path, keys: FileSubjectKeys, tracking: Tracking) -> None:
        super().__init__(folder, keys)
        self.tracking = tracking

"""Response criteria: plug-ins that turn what readers stated into responses, and never store them."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import UnusableInput
from core.reads.criteria.derived import Criterion, CriterionKind
from core.reads.criteria.recist11 import Recist11
from core.reads.criteria.volumetric import Volumetric

CRITERIA: dict[str, CriterionKind] = {Recist11.id: Recist11, Volumetric.id: Volumetric}


def criterion(identifier: str, version: int, stated: Mapping[str, object]) -> Criterion:
    """The criterion that a charter names, with the charter's options bound.

    Raises:
        UnusableInput: no such criterion, or another version of it is built in.
        OptionsUnstated: an option is missing, unknown or of a wrong value.
    """
    kind = CRITERIA.get(identifier)
    if kind is None or kind.version != version:
        known = ", ".join(f"{name} version {each.version}" for name, each in CRITERIA.items())
        raise UnusableInput(
            f"There is no criterion {identifier!r} version {version}.", next_step=f"The charter may name: {known}."
        )
    return kind(stated)

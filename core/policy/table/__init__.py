"""The rows, one page per noun; printed into the validation pack and adopted by digest."""

from __future__ import annotations

import hashlib
import json

from core.policy.state import Rule
from core.policy.table import (
    arrival,
    corrections,
    gates,
    house,
    models,
    people,
    privacy,
    reads,
    reports,
    trials,
    validation,
)

TABLE: tuple[Rule, ...] = (
    *house.ROWS, *people.ROWS, *trials.ROWS, *arrival.ROWS, *models.ROWS,
    *reads.ROWS, *gates.ROWS, *validation.ROWS, *reports.ROWS, *privacy.ROWS, *corrections.ROWS,
)
if len({rule.id for rule in TABLE}) != len(TABLE):
    raise ValueError("two policy rows share an id.")


def printed() -> list[dict[str, object]]:
    """The table as data, in order."""
    return [
        {
            "id": rule.id, "effect": rule.effect, "actions": list(rule.actions), "roles": sorted(rule.roles),
            "stages": sorted(str(stage) for stage in rule.stages if stage), "house": sorted(rule.house),
            "when": (rule.when.__doc__ or rule.when.__name__).strip(), "because": rule.because,
        }
        for rule in TABLE
    ]


def digest() -> str:
    """SHA-256 of the printed table."""
    return hashlib.sha256(json.dumps(printed(), sort_keys=True).encode()).hexdigest()

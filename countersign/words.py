"""Importing this module declares every word, fold and effect of all floors."""

from __future__ import annotations

import importlib
import importlib.util

ROOMS = (
    "core.access", "core.trials", "core.arrival", "core.reads", "core.cohort", "core.gates",
    "models_registry", "validation", "sops", "reports",
)
importlib.import_module("audit.vocabulary")
importlib.import_module("core.persons")
for _room in ROOMS:
    for _part in ("projections", "effects"):
        if importlib.util.find_spec(_room) and importlib.util.find_spec(f"{_room}.{_part}"):
            importlib.import_module(f"{_room}.{_part}")

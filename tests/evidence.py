"""`pytest --evidence=FILE`: the outcome of every test with the requirements it gives evidence for, as JSON.

Read by `countersign validate trace --evidence FILE`. Works with xdist: marks travel as properties of the reports.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from core.work import release
from validation.traceability import code_digest

FORM = "countersign-test-evidence/1"


class Evidence:
    """Collects one outcome per test: failed wherever it failed, else skipped, else passed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        named = [value for name, value in report.user_properties if name == "requirements"]
        row = self.tests.setdefault(report.nodeid, {"requirements": [], "outcome": "passed"})
        if named:
            row["requirements"] = named[-1]
        if report.outcome == "failed" or (report.outcome == "skipped" and row["outcome"] == "passed"):
            row["outcome"] = report.outcome

    def pytest_sessionfinish(self) -> None:
        document = {"form": FORM, "python": platform.python_version(), "release": release(),
                    "code_sha256": code_digest(), "tests": dict(sorted(self.tests.items()))}
        self.path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def remember_requirements(items: list[pytest.Item]) -> None:
    """Put the requirements of each test where its report carries them."""
    for item in items:
        ids = sorted({identifier for mark in item.iter_markers("req") for identifier in mark.args})
        item.user_properties.append(("requirements", ids))

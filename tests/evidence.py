"""`pytest --evidence=FILE`: the outcome of every test with the requirements it gives evidence for, as JSON.

Read by `countersign validate trace --evidence FILE` and, where the whole suite ran on one code, by
`validate release --tests FILE`. Works with xdist: marks travel as properties of the reports. The file is written now
and then while the tests run, and says of itself that it is not whole until they have all ended.
"""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.work import release
from validation.traceability import code_digest, not_shown, traced

FORM = "countersign-test-evidence/1"
# So many seconds of outcomes are lost at most when the run is killed.
WRITTEN_EVERY_S = 60
# All ran; some may have failed.
ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


class Evidence:
    """Collects one outcome per test: failed wherever it failed, else skipped, else passed."""

    def __init__(self, path: Path, narrowed: list[str]) -> None:
        """`narrowed`: what was asked that leaves tests out; with any, the evidence is not whole."""
        self.path = path
        self.narrowed = narrowed
        self.tests: dict[str, dict[str, Any]] = {}
        self.collected = 0
        self.code, self.began = code_digest(), time.monotonic()
        self.written = self.began

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In one process."""
        self.collected = max(self.collected, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """In several: each worker collects all."""
        self.collected = max(self.collected, len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        named = [value for name, value in report.user_properties if name == "requirements"]
        # Failed until it has ended otherwise: a test that was begun and never ended has shown nothing.
        row = self.tests.setdefault(report.nodeid, {"requirements": [], "outcome": "failed"})
        if named:
            row["requirements"] = named[-1]
        if report.when == "call" or report.outcome != "passed":
            row["outcome"] = report.outcome
        if time.monotonic() - self.written > WRITTEN_EVERY_S:
            self.written = time.monotonic()
            self.write("the tests had not ended")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        code_digest.cache_clear()
        if self.narrowed:
            self.write(f"only some were asked for: {', '.join(self.narrowed)}")
        elif exitstatus not in ENDED or len(self.tests) < self.collected:
            self.write(f"the run ended early, {len(self.tests)} of {self.collected} tests begun")
        elif code_digest() != self.code:
            self.write("the code was changed while they ran")
        else:
            self.write("")

    def write(self, why_not_whole: str) -> None:
        """Replace the file as one."""
        document = {
            "form": FORM, "python": platform.python_version(), "release": release(), "code_sha256": self.code,
            "collected": self.collected, "whole": not why_not_whole, "because": why_not_whole,
            "seconds": round(time.monotonic() - self.began), "tests": dict(sorted(self.tests.items())),
        }
        beside = self.path.with_name(f"{self.path.name}.part")
        beside.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(self.path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What the file is worth, before anybody takes it to a release."""
        document = json.loads(self.path.read_text(encoding="utf-8"))
        count = Counter(one["outcome"] for one in self.tests.values())
        terminalreporter.write_sep("=", "evidence")
        terminalreporter.write_line(
            f"{self.path}: {self.path.stat().st_size} bytes, {len(self.tests)} tests in {document['seconds']} s: "
            + ", ".join(f"{number} {outcome}" for outcome, number in sorted(count.items())))
        if not document["whole"]:
            terminalreporter.write_line(f"NOT WHOLE, no release takes it: {document['because']}.", red=True)
        lacking = [f"{one.requirement.id} ({one.state})" for one in not_shown(traced(self.tests, []))]
        terminalreporter.write_line(
            "Of high risk and not shown by these tests, to be shown by steps of protocols: "
            + (", ".join(lacking) or "none"))


def narrowing(config: pytest.Config) -> list[str]:
    """What of the call leaves tests out: paths, names, marks, a limit of failures."""
    asked = {"-k": "keyword", "-m": "markexpr", "--deselect": "deselect", "--ignore": "ignore",
             "--ignore-glob": "ignore_glob", "--maxfail": "maxfail", "--last-failed": "lf", "--stepwise": "stepwise",
             "--collect-only": "collectonly"}
    given = {name: getattr(config.option, option, None) for name, option in asked.items()}
    found = [f"{name} {value}" for name, value in given.items() if value]
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        found.append(f"paths {' '.join(config.args)}")
    return found


def remember_requirements(items: list[pytest.Item]) -> None:
    """Put the requirements of each test where its report carries them."""
    for item in items:
        ids = sorted({identifier for mark in item.iter_markers("req") for identifier in mark.args})
        item.user_properties.append(("requirements", ids))

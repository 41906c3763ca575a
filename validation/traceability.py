"""From requirement to test to run to evidence: the matrix is generated, never kept by hand.

Evidence of tests is the JSON that `pytest --evidence=FILE` writes; evidence of protocols are the recorded steps.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from core.errors import UnusableInput

PACKAGES = ("audit", "core", "models_registry", "validation", "sops", "reports", "countersign")


@cache
def code_digest() -> str:
    """SHA-256 over the names and contents of this software's own files: which code evidence of tests is about."""
    root = Path(str(files("validation"))).parent
    whole = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".yaml", ".html", ".css", ".js", ".md") and path.is_file():
                name = path.relative_to(root).as_posix()
                whole.update(f"{name}\x00{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of validation/requirements.yaml."""

    id: str
    risk: str
    method: str
    text: str
    clauses: tuple[str, ...]
    to_confirm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """A requirement with what shows it. state: shown, failing, open (a test is due), elsewhere (a document or SOP)."""

    requirement: Requirement
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def state(self) -> str:
        if self.failed:
            return "failing"
        if self.passed or self.steps:
            return "shown"
        return "open" if self.requirement.method == "test" else "elsewhere"


def requirements(text: str | None = None) -> list[Requirement]:
    """All requirements, in the order of the file: of this release, or of the given one."""
    shipped = text if text is not None else (files("validation") / "requirements.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(shipped)
    return [
        Requirement(row["id"], row["risk"], row["method"], row["text"], tuple(row["clauses"]), tuple(row["to_confirm"]))
        for row in document["requirements"]
    ]


@cache
def high_risk() -> frozenset[str]:
    """Ids of the requirements of high risk."""
    return frozenset(one.id for one in requirements() if one.risk == "H")


def read_evidence(path: Path) -> dict[str, Mapping[str, Any]]:
    """Outcome and requirements of each test, by its id. Raises UnusableInput where the file is no such evidence."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read: {error.strerror}.", next_step="Check the path.") from error
    return evidence_of(content, path.name)


def evidence_of(content: bytes, name: str) -> dict[str, Mapping[str, Any]]:
    """The same from the content of such a file. Raises UnusableInput."""
    try:
        document = json.loads(content)
        tests: dict[str, Mapping[str, Any]] = document["tests"]
        for test, one in tests.items():
            if one["outcome"] not in ("passed", "failed", "skipped") or not isinstance(one["requirements"], list):
                raise UnusableInput(f"{name}: test {test} has no outcome or no requirements.")
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableInput(
            f"{name} is no evidence of tests ({type(error).__name__}: {error}).",
            next_step="Make it with `python -m pytest --evidence=FILE`.",
        ) from error
    return tests


def evidence_for_release(content: bytes, version: str) -> dict[str, Mapping[str, Any]]:
    """The same, of tests that ran on exactly this software.

    Raises:
        UnusableInput: no such evidence, it was made with another version or other code than runs here, or not all
            tests ran, so that one that fails might have been left out.
    """
    tests = evidence_of(content, "The file")
    document = json.loads(content)
    if (document.get("release"), document.get("code_sha256")) != (version, code_digest()):
        raise UnusableInput(
            f"These tests ran on {document.get('release', 'another version')}, code "
            f"{str(document.get('code_sha256', 'unknown'))[:12]}…; here runs {version}, code {code_digest()[:12]}….",
            next_step="Run the tests on the code that is installed here: `make evidence`.",
        )
    if document.get("whole") is not True:
        raise UnusableInput(
            f"This is evidence of {len(tests)} tests and not of all: {document.get('because', 'it does not say')}.",
            next_step="Run all of them: `make evidence`.",
        )
    return tests


def failures_of_no_requirement(tests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Tests that failed and name no requirement, so that no row of the matrix shows them."""
    return sorted(name for name, one in tests.items() if one["outcome"] == "failed" and not one["requirements"])


def traced(
    tests: Mapping[str, Mapping[str, Any]], steps: Iterable[tuple[str, str, Iterable[str]]],
    rows: Iterable[Requirement] | None = None,
) -> list[Traced]:
    """The matrix.

    Args:
        tests: as `read_evidence` gives them.
        steps: run and step, verdict, requirements of every recorded step that counts.
        rows: the requirements; those of this release where none are given.
    """
    by_outcome: dict[str, dict[str, list[str]]] = {"passed": {}, "failed": {}, "skipped": {}}
    for name, one in sorted(tests.items()):
        for identifier in one["requirements"]:
            by_outcome[one["outcome"]].setdefault(identifier, []).append(name)
    done: dict[str, list[str]] = {}
    for name, verdict, named in steps:
        for identifier in named:
            if verdict == "passed":
                done.setdefault(identifier, []).append(name)
            elif verdict == "failed":
                by_outcome["failed"].setdefault(identifier, []).append(name)
    def listed(outcome: str, identifier: str) -> tuple[str, ...]:
        return tuple(by_outcome[outcome].get(identifier, ()))

    return [
        Traced(one, listed("passed", one.id), listed("failed", one.id), listed("skipped", one.id),
               tuple(done.get(one.id, ())))
        for one in (requirements() if rows is None else rows)
    ]


def gaps(matrix: Iterable[Traced]) -> list[Traced]:
    """What blocks a release: a high-risk requirement that a test must show and none does, or any that fails."""
    return [one for one in matrix if one.state == "failing" or (one.state == "open" and one.requirement.risk == "H")]


def not_shown(matrix: Iterable[Traced]) -> list[Traced]:
    """What blocks the release of an installation: whatever fails, and every requirement of high risk that no passed
    test and no passed step shows, whichever its method."""
    return [one for one in matrix
            if one.state == "failing" or (one.requirement.risk == "H" and one.state != "shown")]


def as_csv(matrix: Iterable[Traced]) -> str:
    """One row per requirement, for a spreadsheet or an attachment."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["requirement", "risk", "method", "state", "text", "clauses", "to be confirmed", "tests passed",
                   "tests failed", "tests skipped", "protocol steps"])
    for one in matrix:
        r = one.requirement
        rows.writerow([r.id, r.risk, r.method, one.state, r.text, "; ".join(r.clauses), "; ".join(r.to_confirm),
                       "; ".join(one.passed), "; ".join(one.failed), "; ".join(one.skipped), "; ".join(one.steps)])
    return out.getvalue()


def read_csv(text: str) -> dict[str, Mapping[str, str]]:
    """A matrix as `as_csv` wrote it: its row by requirement."""
    return {row["requirement"]: row for row in csv.DictReader(io.StringIO(text))}


def in_words(matrix: list[Traced]) -> str:
    """A summary for people: counts, then what is open or failing."""
    count = {state: sum(one.state == state for one in matrix) for state in ("shown", "failing", "open", "elsewhere")}
    said = ", ".join(f"{number} {state}" for state, number in count.items())
    lines = [f"{len(matrix)} requirements: {said} (by document or procedure)."]
    lines += [f"  {one.requirement.id} ({one.requirement.risk}) {one.state}: {one.requirement.text}"
              for one in matrix if one.state in ("failing", "open")]
    return "\n".join(lines)

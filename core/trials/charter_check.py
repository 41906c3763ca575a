"""Reads a charter's text: into a `Charter`, or into the list of everything wrong with it.

1. YAML to plain values with lines (`charter_yaml`).
2. Each section against its type; all errors are collected.
3. The rules between sections, on every section that could be read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.errors import UnusableInput
from core.trials.charter import FORMAT, Charter
from core.trials.charter_rules import CROSS_RULES
from core.trials.charter_yaml import Document, Path, Problem, read_document, written_path


class CharterUnusable(UnusableInput):
    """A charter text with problems; each names its line."""

    code = "charter-unusable"
    next_step = "Correct these lines and check again with `countersign charter check FILE`; nothing was kept."

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"The charter has {count}:\n" + "\n".join(f"  {problem}" for problem in problems) + "\n")


@dataclass(frozen=True)
class CheckedCharter:
    """A text that was read: the charter, or what is wrong, in order of lines."""

    charter: Charter | None
    problems: tuple[Problem, ...]


def check_charter(text: str) -> CheckedCharter:
    """Read a charter; every problem is reported with its line, none is raised."""
    document = read_document(text)
    if document.problems and not document.value:
        return CheckedCharter(None, tuple(document.problems))
    sections, problems = _sections(document)
    problems += document.problems
    for needs, rule in CROSS_RULES:
        if all(name in sections for name in needs):
            problems += [document.problem(path, fact) for path, fact in rule(sections)]
    if problems:
        return CheckedCharter(None, tuple(sorted(set(problems))))
    return CheckedCharter(Charter.model_construct(**sections), ())


def read_charter(text: str) -> Charter:
    """The charter of a text. Raises CharterUnusable with all problems."""
    checked = check_charter(text)
    if checked.charter is None:
        raise CharterUnusable(checked.problems)
    return checked.charter


def charter_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the charter, for editors; rules between sections are checked by `check_charter`."""
    schema = Charter.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": FORMAT, **schema}


def charter_digest(text: str) -> str:
    """SHA-256 of the charter's exact bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def _sections(document: Document) -> tuple[dict[str, Any], list[Problem]]:
    sections: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, field in Charter.model_fields.items():
        if name not in document.value:
            if field.is_required():
                problems.append(document.problem((name,), "missing"))
            else:
                sections[name] = field.default
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        try:
            sections[name] = adapter.validate_python(document.value[name])
        except ValidationError as error:
            for one in error.errors(include_url=False):
                if not _of_its_items(one):
                    path: Path = (name, *written_path(document.value[name], one["loc"]))
                    problems.append(document.problem((*path, *_variant_field(one)), _in_words(one)))
    for name in document.value:
        if name not in Charter.model_fields:
            problems.append(document.problem((name,), f"not known; known: {', '.join(Charter.model_fields)}"))
    return sections, problems


def _of_its_items(error: Any) -> bool:
    """A list that is too short only because its items could not be read has those problems, not this one."""
    return bool(error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"])


def _variant_field(error: Any) -> Path:
    """The field that tells variants apart, where that is what is wrong."""
    if error["type"] in ("union_tag_invalid", "union_tag_not_found") and isinstance(error["input"], dict):
        return (str(error["ctx"]["discriminator"]).strip("'"),)
    return ()


def _in_words(error: Any) -> str:
    """A problem as its author reads it: what stands there, and what is allowed."""
    kind, context, found = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "missing":
        return "missing"
    if found is None:
        return "nothing is written here"
    if kind == "extra_forbidden":
        return "not known here"
    if kind in ("literal_error", "union_tag_invalid"):
        tag = found.get(str(context.get("discriminator", "")).strip("'"), found) if isinstance(found, dict) else found
        allowed = context.get("expected", context.get("expected_tags", ""))
        return f"{tag!r} is not allowed; allowed: {allowed.replace(chr(39), '').replace(' or ', ', ')}"
    if kind == "union_tag_not_found":
        return "missing"
    if kind == "value_error":
        return f"{found!r}: {context['error']}"
    if kind == "string_pattern_mismatch":
        return f"{found!r} does not have the form {context['pattern']}"
    if kind in ("too_short", "string_too_short"):
        return f"at least {context.get('min_length', 1)} needed"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{found!r}: {message}" if isinstance(found, str) else message

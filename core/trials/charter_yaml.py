"""Reading charter text: YAML nodes with their lines, and problems said with line and path.

Scalars stay text until the charter's own types read them: `NO` is a country, `0.80` keeps its digits, and no float
is ever made. Anchors, aliases, duplicate keys and several documents are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

Path = tuple[str | int, ...]
Plain = None | str | list["Plain"] | dict[str, "Plain"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
_NOTHING = {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a document, where it stands and what would be right."""

    line: int
    path: str
    fact: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.fact}" if self.path else f"line {self.line}: {self.fact}"


@dataclass
class Document:
    """The plain values of a YAML text, and the line (from 1) of every key and item."""

    value: dict[str, Plain]
    lines: dict[Path, int]
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """The line of a path, or of the nearest part of it that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: Path, fact: str) -> Problem:
        """A problem at a path, with its line."""
        return Problem(self.line_of(path), in_words(path), fact)


def in_words(path: Path) -> str:
    """`endpoints[0].kind` for ("endpoints", 0, "kind")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(text: str) -> Document:
    """Parse YAML text to plain values with lines; whatever is wrong stands in `problems`."""
    document = Document({}, {(): 1})
    if len(text.encode()) > MAX_BYTES:
        document.problems.append(Problem(1, "", f"the text is longer than {MAX_BYTES} bytes"))
        return document
    try:
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.problems.append(
            Problem(mark.line + 1 if mark else 1, "", f"not readable as YAML: {error.problem or error.context}")
        )
        return document
    except (yaml.YAMLError, RecursionError) as error:
        document.problems.append(Problem(1, "", f"not readable as YAML: {error}"))
        return document
    if len(nodes) != 1 or not isinstance(nodes[0], yaml.MappingNode):
        document.problems.append(Problem(1, "", "one document of `key: value` pairs is needed"))
        return document
    value = _plain(nodes[0], (), document)
    if isinstance(value, dict):
        document.value = value
    return document


class _Loader(yaml.SafeLoader):
    """Refuses anchors and aliases: a charter is read by people, each value where it stands."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        upcoming = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(upcoming, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, "anchors (&) and aliases (*) are not allowed in a charter", upcoming.start_mark
            )
        return super().compose_node(parent, index)


def _plain(node: yaml.Node, path: Path, document: Document) -> Plain:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > MAX_DEPTH:
        document.problems.append(document.problem(path, f"nested deeper than {MAX_DEPTH} levels"))
        return None
    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and node.value in _NOTHING else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, number), document) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    return None


def _mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem(line, in_words(path), "a key must be plain text"))
            continue
        key = str(key_node.value)
        here = (*path, key)
        if key in plain:
            first = document.lines[here]
            document.problems.append(Problem(line, in_words(here), f"written twice, first on line {first}"))
            continue
        document.lines[here] = line
        plain[key] = _plain(value_node, here, document)
    return plain


def written_path(value: object, location: Sequence[str | int]) -> Path:
    """The path of a location in the document, without the parts (names of variants) that are not written there."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(value, Mapping) and isinstance(part, str):
            if part in value:
                path.append(part)
                value = value[part]
            elif last:
                path.append(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
    return tuple(path)

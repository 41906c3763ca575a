"""A controlled document as a text: front matter and body, read strictly; the templates that are shipped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from audit.entry import MalformedEntry, check_profile
from core.access.roles import ROLES
from core.errors import NotFound, UnusableInput
from sops.rules import MAX_REVIEW_MONTHS, MAX_WINDOW_DAYS, id_refusal, pattern_refusal

LIBRARY = Path(__file__).parent / "library"
MARKDOWN = "text/markdown"
LONGEST = 200_000
_FRONT = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
_KNOWN = {"id", "title", "owner", "governs", "applies_to", "review_months", "window_days", "questions"}


@dataclass(frozen=True)
class Document:
    """What the front matter declares, and the whole text as it is stored and signed."""

    sop: str
    title: str
    owner: str
    governs: tuple[str, ...]
    applies_to: tuple[str, ...]
    review_months: int
    window_days: int
    text: str
    questions: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The text that people read, without the front matter."""
        match = _FRONT.match(self.text)
        return match.group(2) if match else self.text


def read_document(text: str, name: str = "the document") -> Document:
    """Read a document. Raises UnusableInput that names every problem, not only the first."""
    if len(text) > LONGEST:
        raise UnusableInput(f"{name} has {len(text)} characters; a controlled document has at most {LONGEST}.")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\t", "    "))
    try:
        check_profile(text, name)
    except MalformedEntry as error:
        raise UnusableInput(f"{error} A text that is signed holds no hidden characters.") from error
    match = _FRONT.match(text)
    if match is None:
        raise UnusableInput(f"{name} does not begin with front matter between two lines of `---`.")
    try:
        head = yaml.safe_load(match.group(1))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 2}" if mark else ""
        what = getattr(error, "problem", error)
        raise UnusableInput(f"{name}{place}: the front matter is not YAML ({what}).") from error
    if not isinstance(head, dict):
        raise UnusableInput(f"{name}: the front matter is not a list of names and values.")
    problems = _problems(head, match.group(2))
    if problems:
        raise UnusableInput(f"{name}: " + " ".join(problems))
    return Document(
        sop=head["id"], title=head["title"], owner=head["owner"], governs=tuple(head["governs"]),
        applies_to=tuple(head.get("applies_to", ())), review_months=head["review_months"],
        window_days=head["window_days"], text=text, questions=head.get("questions") or {},
    )


def _problems(head: dict[Any, Any], body: str) -> list[str]:
    problems = [f"`{name}` is unknown." for name in sorted(map(str, set(head) - _KNOWN))]
    for name in ("id", "title", "owner"):
        if not isinstance(head.get(name), str) or not head[name].strip():
            problems.append(f"`{name}` is missing or no text.")
    if isinstance(head.get("id"), str) and (refusal := id_refusal(head["id"])):
        problems.append(refusal)
    if isinstance(head.get("owner"), str) and head["owner"] not in ROLES:
        problems.append(f"`owner`: there is no role `{head['owner']}`.")
    problems += _list_problems(head)
    for name, most in (("review_months", MAX_REVIEW_MONTHS), ("window_days", MAX_WINDOW_DAYS)):
        least = 1 if name == "review_months" else 0
        value = head.get(name)
        if type(value) is not int or not least <= value <= most:
            problems.append(f"`{name}` is a whole number from {least} to {most}.")
    questions = head.get("questions") or {}
    if not isinstance(questions, dict) or not all(
        isinstance(each, str) and isinstance(answer, str) for each, answer in questions.items()
    ):
        problems.append("`questions` holds question and answer, both text.")
    if len(body.split()) < 50:
        problems.append("The text has fewer than 50 words; a procedure says who does what.")
    return problems


def _list_problems(head: dict[Any, Any]) -> list[str]:
    governs, applies_to = head.get("governs"), head.get("applies_to", [])
    problems: list[str] = []
    if not isinstance(governs, list) or not governs or not all(isinstance(each, str) for each in governs):
        problems.append("`governs` lists the acts it governs, at least one.")
    else:
        problems += [refusal for each in governs if (refusal := pattern_refusal(each))]
    if not isinstance(applies_to, list) or not all(isinstance(each, str) for each in applies_to):
        problems.append("`applies_to` lists roles.")
    else:
        problems += [f"`applies_to`: there is no role `{each}`." for each in applies_to if each not in ROLES]
        problems += [
            f"`applies_to`: training does not apply to {each}." for each in applies_to
            if each in ROLES and not ROLES[each].trained
        ]
    return problems


def templates() -> dict[str, Document]:
    """The shipped templates by number; drafts until an organisation makes them effective."""
    found = {}
    for path in sorted(LIBRARY.glob("*.md")):
        document = read_document(path.read_text(encoding="utf-8"), path.name)
        found[document.sop] = document
    return found


def template(sop: str) -> Document:
    """One shipped template. Raises NotFound."""
    found = templates()
    if sop not in found:
        raise NotFound(f"There is no template {sop}.", next_step=f"Templates: {', '.join(found)}.")
    return found[sop]

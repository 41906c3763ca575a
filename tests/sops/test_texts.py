"""The sixteen shipped procedures, and what is refused as a controlled document."""

from __future__ import annotations

import re

import pytest

from core.access.roles import ROLES
from core.errors import NotFound, UnusableInput
from sops import texts
from tests.req import req

TEMPLATES = texts.templates()


@req("SOP-01")
def test_sixteen_procedures_are_shipped_under_their_numbers() -> None:
    assert list(TEMPLATES) == [f"SOP-{number:02d}" for number in range(1, 17)]
    for path in texts.LIBRARY.glob("*.md"):
        assert path.name.startswith(texts.read_document(path.read_text(encoding="utf-8")).sop)


@req("SOP-01")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_a_procedure_says_that_it_is_a_draft_and_has_its_parts(sop: str) -> None:
    document = TEMPLATES[sop]

    assert "It is a draft until your organisation has reviewed and approved it" in " ".join(document.body.split())
    for part in ("Purpose", "Scope", "Roles", "Steps", "When it goes wrong", "Records"):
        assert f"\n## {part}\n" in document.body, part
    assert document.owner in ROLES
    assert 250 <= len(document.body.split()) <= 900


@pytest.mark.parametrize(("text", "because"), [
    ("no front matter at all", "does not begin with front matter"),
    ("---\nid: [\n---\nbody", "not YAML"),
    ("---\n- a\n---\nbody", "not a list of names"),
    ("---\nid: seven\n---\nbody", "no document number"),
    ("---\nid: SOP-01\ntitle: T\nowner: king\ngoverns: ['*']\nreview_months: 25\nwindow_days: -1\n---\nshort",
     "no role `king`"),
    ("---\nid: SOP-01\n---\nhidden \u202e text", "hidden characters"),
])
def test_a_broken_document_is_refused_with_its_reason(text: str, because: str) -> None:
    with pytest.raises(UnusableInput, match=re.escape(because)):
        texts.read_document(text)


def test_every_problem_of_a_document_is_named_at_once() -> None:
    with pytest.raises(UnusableInput) as refusal:
        texts.read_document("---\nid: SOP-01\ntitle: T\nowner: king\ngoverns: ['*']\nreview_months: 25\n"
                            "window_days: -1\napplies_to: [inspector, nobody]\ncolour: red\n---\nshort")

    for part in ("king", "`*`", "review_months", "window_days", "inspector", "nobody", "colour", "50 words"):
        assert part in refusal.value.fact


def test_an_unknown_template_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFound) as refusal:
        texts.template("SOP-99")

    assert "SOP-16" in refusal.value.next_step

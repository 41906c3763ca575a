"""Member names of a value that is written the short way: nothing is encoded that the profile refuses."""

from __future__ import annotations

from typing import Any

import pytest

from audit.entry import MalformedEntry, canonical
from tests.req import req


@req("REC-03", "REC-10")
@pytest.mark.parametrize(("bad", "name"), [
    ({"B": 1}, "'B'"), ({"a-b": 1}, "'a-b'"), ({"": 1}, "''"), ({"1a": True}, "'1a'"), ({"a\n": 1}, r"'a\\n'"),
    ({None: 1}, "None"), ({1: 1}, "1"), ([{"a": 1}, {"B": "x"}], "'B'"),
])
def test_a_name_outside_the_profile_is_never_written(bad: Any, name: str) -> None:
    """At the top, behind a name that passes, and after it has passed for others."""
    for value in (bad, bad if isinstance(bad, list) else {"good": bad}):
        canonical({"good": 1, "a": 1})
        with pytest.raises(MalformedEntry, match=f"member name {name} is not"):
            canonical(value)


@req("REC-03", "REC-10")
@pytest.mark.parametrize(("text", "sign"), [("\x7f", "007F"), ("\x00", "0000"), ("\ud800", "D800"), ("\u202e", "202E")])
def test_a_sign_outside_the_profile_is_never_written(text: str, sign: str) -> None:
    """DEL is the one sign of ASCII that JSON neither prints nor escapes; a lone surrogate cannot be encoded at all."""
    for value in (text, {"a": f"x{text}"}, [{"a": 1}, {"b": [text]}]):
        with pytest.raises(MalformedEntry, match=f"U\\+{sign} is not allowed"):
            canonical(value)

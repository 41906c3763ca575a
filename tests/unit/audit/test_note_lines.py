"""A signature line of a note is a dash, a name and a blob, with one blank between, after the first blank line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit import proofs
from audit.entry import from_base64
from tests.req import req

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "record.json").read_text("utf-8"))
ORIGIN, NOTE = VECTORS["origin"], VECTORS["entries"][3]["checkpoint_after"]
LOG = from_base64(VECTORS["keys"]["log"]["public_key"])
LINE = NOTE.splitlines()[-1]


@req("REC-03")
@pytest.mark.parametrize("line", [
    LINE.replace(" ", "  "), LINE.replace(" ", "\t"), f" {LINE}", f"{LINE} ", LINE.replace("— ", "—"),
])
def test_other_spacing_makes_no_signature_line(line: str) -> None:
    text = proofs.signed_text(NOTE)

    assert proofs.note_signature(f"{text}\n{LINE}\n", ORIGIN, LOG) is not None
    assert proofs.note_signature(f"{text}\n{line}\n", ORIGIN, LOG) is None


@req("REC-03")
def test_what_is_signed_ends_at_the_first_blank_line_and_signatures_begin_there() -> None:
    longer = f"{NOTE}\nmore\n"

    assert proofs.signed_text(longer) == proofs.signed_text(NOTE)
    assert proofs.note_signature(longer, ORIGIN, LOG) == proofs.note_signature(NOTE, ORIGIN, LOG)

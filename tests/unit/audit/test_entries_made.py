"""An entry that was put together just now is the one that is read back from its bytes, to every member."""

from __future__ import annotations

from typing import Any

import pytest

from audit.entry import Entry, SignedBody, canonical, entry_bytes, leaf_hash
from tests.req import req

BODY: dict[str, Any] = {
    "action": "note.made", "version": 1, "type": 1, "actor": "somebody", "at": "2026-04-01T08:00:00.000000Z",
    "head": {"size": 0, "root": ""}, "id": "one", "log": "countersign.example/test", "role": "none", "rule": "P-00",
    "fields": {"text": "said"},
}
REST: dict[str, Any] = {"seq": 7, "stream": "house", "stream_seq": 3, "ts": 1_775_000_000_000_000}


@req("REC-03", "REC-10")
def test_what_was_made_equals_what_is_read_back() -> None:
    raw = entry_bytes(SignedBody(BODY, "key", "signature"), **REST, body=canonical(BODY))

    made = Entry.made(raw, body=BODY, kid="key", sig="signature", **REST)
    read = Entry.parse(raw)

    assert made == read
    for name in ("raw", "body", "kid", "seq", "sig", "stream", "stream_seq", "ts", "leaf"):
        assert getattr(made, name) == getattr(read, name)
    assert made.leaf == read.leaf == read.leaf == leaf_hash(raw)
    with pytest.raises(AttributeError):
        made.seq = 8  # type: ignore[misc]

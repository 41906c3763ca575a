"""The writer produces the worked bytes of the record's format, and refuses what the format refuses."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit import proofs
from audit.entry import (
    Entry,
    MalformedEntry,
    SignedBody,
    body_to_prove,
    body_to_sign,
    canonical,
    check_profile,
    entry_bytes,
    from_base64,
    leaf_hash,
    stream_of,
)
from audit.signatures import signature_is_valid
from audit.vocabulary import registry
from tests.req import req

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "record.json").read_text())
KEYS = {key["kid"]: from_base64(key["public_key"]) for key in VECTORS["keys"].values()}


@req("REC-03", "REC-10")
def test_the_worked_entries_are_written_and_read_byte_for_byte() -> None:
    """Two who implement the format apart produce and accept the same bytes."""
    frontier = proofs.Frontier()
    for worked in VECTORS["entries"]:
        raw = worked["entry"].encode()
        entry = Entry.parse(raw)
        signed = SignedBody(entry.body, entry.kid, entry.sig)
        again = entry_bytes(signed, seq=entry.seq, stream=entry.stream, stream_seq=entry.stream_seq, ts=entry.ts)
        frontier.add(leaf_hash(raw))

        assert again == raw
        assert leaf_hash(raw).hex() == worked["leaf_sha256"]
        assert stream_of(entry.body["action"], entry.body.get("trial")) == entry.stream
        assert signature_is_valid(KEYS[entry.kid], body_to_sign(entry.body), from_base64(entry.sig))
        assert frontier.root().hex() == worked["root_after"]
        for proof in entry.body.get("proofs", []):
            assert signature_is_valid(KEYS[proof["kid"]], body_to_prove(entry.body), from_base64(proof["sig"]))
        checkpoint = proofs.Checkpoint.parse(worked["checkpoint_after"])
        assert (checkpoint.size, checkpoint.root) == (frontier.size, frontier.root())


class _Listed:
    """Complete subtrees of a list of leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return proofs.subtree_root(self.leaves[index << level : (index + 1) << level])


@req("REC-03")
def test_the_worked_inclusion_paths_are_ours() -> None:
    """The same paths as the vectors, and each leads to the root."""
    leaves = [bytes.fromhex(worked["leaf_sha256"]) for worked in VECTORS["entries"]]
    for worked in VECTORS["inclusion"]:
        path = proofs.inclusion_path(_Listed(leaves), worked["index"], worked["size"])

        assert [base64.b64encode(item).decode() for item in path] == worked["hashes"]
        root = proofs.root_of_inclusion(leaves[worked["index"]], worked["index"], worked["size"], path)
        assert root == proofs.root_at(_Listed(leaves), worked["size"])


@req("REC-03")
@given(st.integers(1, 700), st.data())
def test_every_leaf_of_every_tree_has_a_path_to_its_root(size: int, data: st.DataObject) -> None:
    """RFC 6962, 2.1.1, against roots computed by the frontier alone."""
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    frontier = proofs.Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    path = proofs.inclusion_path(_Listed(leaves), index, size)

    assert proofs.root_of_inclusion(leaves[index], index, size, path) == frontier.root()
    assert proofs.frontier_at(_Listed(leaves), size).root() == frontier.root()
    if path:
        with pytest.raises(ValueError, match="too"):
            proofs.root_of_inclusion(leaves[index], index, size, path[:-1])


texts = st.text(st.characters(exclude_categories=("Cs", "Cn", "Cc", "Co")), max_size=12)
values = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), inner, max_size=4),
    max_leaves=12,
)


@req("REC-10")
@given(values)
def test_canonical_bytes_equal_the_reference(value: Any) -> None:
    """RFC 8785 by its own library agrees wherever the profile accepts."""
    try:
        mine = canonical(value)
    except MalformedEntry:
        return
    assert mine == rfc8785.dumps(value)


@req("REC-03")
@pytest.mark.parametrize("bad", [
    1.5, None, {"A": 1}, {"1a": 1}, 2**53, "e\u0301", "a\u202eb", "a\x00b", "tab\t", "\ud800", b"bytes", {"a": [None]},
])
def test_the_profile_refuses(bad: Any) -> None:
    """No floats, no null, no foreign names, no big integers, no NFD, no controls, no bidi controls (RECORD 1)."""
    with pytest.raises(MalformedEntry):
        check_profile(bad)


@req("REC-03")
def test_any_other_spelling_of_an_entry_is_refused() -> None:
    """Spaces, escapes, member order, stray base64 bits and foreign members are not their own canonical form."""
    raw = VECTORS["entries"][3]["entry"]
    outer = json.loads(raw)
    spellings = [
        json.dumps(outer, sort_keys=True), raw.replace('"seq":3', '"seq":3.0'),
        raw.replace("u-reader", "\\u0075-reader"),
        raw[:-1] + ',"zeta":1}', raw.replace('"seq":3', '"seq":3,"seq":3'), raw + "\n",
    ]
    for spelling in spellings:
        with pytest.raises(MalformedEntry):
            Entry.parse(spelling.encode())
    with pytest.raises(MalformedEntry):
        from_base64("QR==")


@req("REC-02")
def test_every_declared_word_reads_back_and_has_a_sentence() -> None:
    """The catalogue is whole: constructor, fields and sentence come from one declaration."""
    import countersign.words  # noqa: F401

    assert len(registry.REGISTRY) > 10
    for (name, version), word in registry.REGISTRY.items():
        assert name.count(".") == 1
        assert word.clause
        said = registry.sentence(name, version, {}, {"actor": "somebody"})
        assert said
        assert "{" not in said


@req("REC-02")
def test_an_event_with_a_foreign_or_missing_field_is_refused() -> None:
    """Fields are typed; nothing is guessed."""
    good = {"user": "u", "role": "reader", "because": "b"}
    assert registry.event_from("role.granted", 1, good)
    for bad in (good | {"extra": "x"}, {"user": "u"}, good | {"user": 3}):
        with pytest.raises(registry.VocabularyError):
            registry.event_from("role.granted", 1, bad)

"""A model's digests see every byte, and nothing that is not there; a bundle that could execute never gets in."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry import jobs
from models_registry.bundle import opened, packed, unpacked
from models_registry.digest import (
    ModelFileUnusable,
    environment,
    environment_digest,
    read_tree,
    tensors_digest,
    tensors_of,
    tree_digest,
)
from models_registry.library import SHIPPED
from tests.req import req

names = st.text(st.sampled_from("abc/"), min_size=1, max_size=6).filter(lambda n: not n.startswith("/"))
trees = st.dictionaries(names, st.binary(max_size=40), min_size=1, max_size=5)


def saved(tensors: dict[str, bytes], *, order: list[str] | None = None) -> bytes:
    """A safetensors file of one-dimensional float32 tensors, with its data in the order given."""
    header, data = {}, b""
    for name in order or sorted(tensors):
        header[name] = {"dtype": "F32", "shape": [len(tensors[name]) // 4],
                        "data_offsets": [len(data), len(data) + len(tensors[name])]}
        data += tensors[name]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture(scope="module")
def shipped() -> dict[str, bytes]:
    return read_tree(SHIPPED)


@req("MLK-01")
@given(trees, st.data())
def test_one_changed_bit_anywhere_changes_the_tree_digest(tree: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(tree)))
    changed = dict(tree)
    if tree[name]:
        place = data.draw(st.integers(0, len(tree[name]) - 1))
        bits = bytearray(tree[name])
        bits[place] ^= 1 << data.draw(st.integers(0, 7))
        changed[name] = bytes(bits)
    else:
        changed[name] = b"\0"

    assert tree_digest(changed) != tree_digest(tree)


@req("MLK-01")
@given(trees)
def test_a_file_more_less_or_renamed_changes_the_tree_digest(tree: dict[str, bytes]) -> None:
    name = sorted(tree)[0]
    less = {key: value for key, value in tree.items() if key != name}

    assert tree_digest(tree | {"zz/more": b""}) != tree_digest(tree)
    assert tree_digest(less) != tree_digest(tree)
    assert tree_digest(less | {name + "_": tree[name]}) != tree_digest(tree)


@given(trees)
def test_the_tree_digest_does_not_depend_on_order(tree: dict[str, bytes]) -> None:
    assert tree_digest(dict(reversed(list(tree.items())))) == tree_digest(tree)


def test_tensors_saved_in_another_order_have_the_same_digest() -> None:
    """The tree differs, the tensors do not: both are in the lock."""
    tensors = {"a": b"\0\0\x80?" * 2, "b": b"\0\0\0@" * 3}

    assert saved(tensors) != saved(tensors, order=["b", "a"])
    assert tensors_digest(saved(tensors)) == tensors_digest(saved(tensors, order=["b", "a"]))


@pytest.mark.parametrize(("damage", "says"), [
    (lambda data: data[:5], "too short"),
    (lambda data: data[:20], "ends inside its safetensors header"),
    (lambda data: data[:-4], "ends inside tensor|does not fit"),
    (lambda data: data + b"more", "belong to no tensor"),
    (lambda data: data[:8] + b"x" + data[9:], "not readable"),
    (lambda data: data.replace(b'"shape": [2]', b'"shape": [3]'), "does not fit"),
])
def test_damaged_weights_are_named(damage: object, says: str) -> None:
    assert callable(damage)
    with pytest.raises(ModelFileUnusable, match=says):
        tensors_of(damage(saved({"a": b"\0\0\x80?" * 2, "b": b"\0\0\0@" * 3})))


def test_our_tensor_digests_cover_the_shipped_weights(shipped: dict[str, bytes]) -> None:
    found = tensors_of(shipped[jobs.WEIGHTS])

    assert len(found) > 20
    assert len({one.sha256 for one in found}) == len(found)
    assert len(shipped[jobs.WEIGHTS]) < 2_000_000


def test_a_link_in_a_bundle_is_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "bundle")
    (tmp_path / "bundle" / "models" / "more").symlink_to("/etc/hostname")

    with pytest.raises(ModelFileUnusable, match="link or device"):
        read_tree(tmp_path / "bundle")


def test_an_absent_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileUnusable, match="no bundle folder nothing"):
        read_tree(tmp_path / "nothing")


@given(trees)
def test_what_was_packed_is_unpacked_and_packs_to_the_same_bytes(tree: dict[str, bytes]) -> None:
    assert unpacked(packed(tree)) == tree
    assert packed(dict(reversed(list(tree.items())))) == packed(tree)


@req("MLK-05", "MLK-03")
def test_the_shipped_bundle_states_data_use_limits_and_attribution(shipped: dict[str, bytes]) -> None:
    bundle = opened(shipped)
    statement = bundle.text(jobs.DATA_STATEMENT)

    assert "CC BY 3.0" in statement
    assert "10.7937/K9/TCIA.2015.7GO2GSKS" in statement
    assert "Not for" in bundle.text(jobs.INTENDED_USE)
    assert "Apache License" in bundle.text(jobs.LICENCE)
    assert "not for clinical use" in bundle.metadata["limits"]


@pytest.mark.parametrize("path", jobs.NEEDED)
def test_each_needed_file_is_missed_by_name(path: str, shipped: dict[str, bytes]) -> None:
    with pytest.raises(ModelFileUnusable, match=path):
        opened({key: value for key, value in shipped.items() if key != path})


@req("MLK-07")
@pytest.mark.parametrize("path", ["a.pt", "code/x.PY", "b.pickle", "models/net.pth"])
def test_executable_formats_never_get_in(path: str, shipped: dict[str, bytes]) -> None:
    with pytest.raises(ModelFileUnusable, match="could execute"):
        opened(shipped | {path: b""})


def test_a_path_that_leaves_the_bundle_is_refused(shipped: dict[str, bytes]) -> None:
    with pytest.raises(ModelFileUnusable, match="no path inside"):
        opened(shipped | {"../outside.txt": b"x"})


@req("MLK-01")
def test_every_part_of_the_environment_counts() -> None:
    here = environment({"threads": "2"})
    for name in here:
        other = here | {name: "other"}
        assert environment_digest(other) != environment_digest(here)

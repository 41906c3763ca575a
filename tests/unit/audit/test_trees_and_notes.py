"""Proofs between trees of every small size, and notes as their format spells them, read by those who share no line."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import proofs, verifier
from tests.req import req

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "record.json").read_text("utf-8"))
ORIGIN = VECTORS["origin"]
LOG = base64.b64decode(VECTORS["keys"]["log"]["public_key"])
NOTE = VECTORS["entries"][3]["checkpoint_after"]
LEAVES = [hashlib.sha256(b"\x00" + bytes([number])).digest() for number in range(40)]
OTHER = b"\x07" * 32


class Listed:
    """Complete subtrees of a list of leaves, and of nothing else."""

    def node(self, level: int, index: int) -> bytes:
        part = LEAVES[index << level : (index + 1) << level]
        assert len(part) == 1 << level
        return proofs.subtree_root(part)


def root_of(size: int) -> bytes:
    """By the verifier's tree, which shares no line with the proofs."""
    tree = verifier.Tree()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    return tree.root()


ROOTS = [root_of(size) for size in range(len(LEAVES) + 1)]


def said_against(old: int, new: int, old_root: bytes, new_root: bytes, path: list[bytes]) -> str:
    with pytest.raises(ValueError, match=r"\.$") as refusal:
        proofs.check_consistency(old, new, old_root, new_root, path)
    return str(refusal.value)


@req("REC-03")
def test_every_tree_is_shown_to_extend_every_smaller_one_and_by_no_other_path() -> None:
    """RFC 9162, 2.1.4.2: a hash more, a hash less, one changed, or another root at either end proves nothing."""
    for new in range(1, 33):
        for old in range(1, new):
            path = proofs.consistency_path(Listed(), old, new)
            proofs.check_consistency(old, new, ROOTS[old], ROOTS[new], path)

            assert said_against(old, new, ROOTS[old], ROOTS[new], [*path, OTHER]) == "the path is too long."
            assert said_against(old, new, ROOTS[old], ROOTS[new], path[:-1]) == "the path is too short."
            assert said_against(old, new, OTHER, ROOTS[new], path).endswith("no extension of the old one.")
            assert said_against(old, new, ROOTS[old], OTHER, path).endswith("no extension of the old one.")
            for place in range(len(path)):
                changed = [*path[:place], OTHER, *path[place + 1 :]]
                assert said_against(old, new, ROOTS[old], ROOTS[new], changed).endswith("no extension of the old one.")


@req("REC-03")
def test_trees_of_one_size_are_one_tree_and_no_tree_extends_a_larger_one() -> None:
    proofs.check_consistency(5, 5, ROOTS[5], ROOTS[5], [])

    assert proofs.consistency_path(Listed(), 5, 5) == []
    assert said_against(5, 5, ROOTS[5], ROOTS[5], [OTHER]) == "two roots of one size."
    assert said_against(5, 5, ROOTS[5], OTHER, []) == "two roots of one size."
    assert said_against(0, 5, proofs.EMPTY_ROOT, ROOTS[5], []) == "no consistency proof leads from 0 to 5."
    assert said_against(6, 5, ROOTS[6], ROOTS[5], [OTHER]) == "no consistency proof leads from 6 to 5."
    assert said_against(3, 5, ROOTS[3], ROOTS[5], []) == "the path is too short."
    for old, new in ((0, 5), (6, 5), (-1, 5)):
        with pytest.raises(ValueError, match=f"no consistency proof from {old} to {new}"):
            proofs.consistency_path(Listed(), old, new)


@req("REC-03")
def test_every_entry_is_shown_in_every_tree_and_at_its_own_place_alone() -> None:
    for size in range(1, 33):
        assert proofs.root_at(Listed(), size) == ROOTS[size] == proofs.frontier_at(Listed(), size).root()
        for index in range(size):
            path = proofs.inclusion_path(Listed(), index, size)

            assert proofs.root_of_inclusion(LEAVES[index], index, size, path) == ROOTS[size]
            assert verifier.root_of_path(index, size, LEAVES[index], path) == ROOTS[size]
            with pytest.raises(ValueError, match="the path is too long"):
                proofs.root_of_inclusion(LEAVES[index], index, size, [*path, OTHER])
            for elsewhere in set(range(size)) - {index}:
                with suppress(ValueError):
                    assert proofs.root_of_inclusion(LEAVES[index], elsewhere, size, path) != ROOTS[size]
            if path:
                with pytest.raises(ValueError, match="the path is too short"):
                    proofs.root_of_inclusion(LEAVES[index], index, size, path[:-1])
        for outside in (-1, size):
            with pytest.raises(ValueError, match=f"entry {outside} is not among the first {size}"):
                proofs.inclusion_path(Listed(), outside, size)


@req("REC-03")
def test_a_frontier_goes_on_from_any_size_and_its_copy_goes_its_own_way() -> None:
    assert proofs.Frontier().root() == proofs.root_at(Listed(), 0) == hashlib.sha256(b"").digest()
    for size in range(33):
        frontier = proofs.frontier_at(Listed(), size)
        other = frontier.copy()
        frontier.add(LEAVES[size])
        other.add(OTHER)

        assert frontier.size == other.size == size + 1
        assert frontier.root() == ROOTS[size + 1] != other.root()


@req("REC-03", "SIG-03")
def test_the_worked_note_is_written_and_read_to_the_byte() -> None:
    text, signature = proofs.signed_text(NOTE), proofs.note_signature(NOTE, ORIGIN, LOG)
    read = proofs.Checkpoint.parse(NOTE)

    assert signature is not None
    assert verifier.good_signature(LOG, signature, text.encode())
    assert text == proofs.note_text(ORIGIN, 4, ROOT_4) == f"{ORIGIN}\n4\n{base64.b64encode(ROOT_4).decode()}\n"
    assert proofs.signed_note(text, ORIGIN, LOG, signature) == NOTE
    assert read == proofs.Checkpoint(ORIGIN, 4, ROOT_4, NOTE)
    assert proofs.note_key_id(ORIGIN, LOG) == verifier.note_key_id(ORIGIN, LOG)


ROOT_4 = bytes.fromhex(VECTORS["entries"][3]["root_after"])


@req("REC-03", "SIG-03")
def test_a_note_carries_a_signature_under_its_own_name_and_key_alone() -> None:
    """Whatever other lines it has: of another name, of another key, too short, of another form."""
    signature = proofs.note_signature(NOTE, ORIGIN, LOG)
    assert signature is not None
    line = NOTE.splitlines()[-1]
    others = ["— somebody " + line.split(" ")[2], "- " + line[2:], line + " more", f"— {ORIGIN} AAAA",
              f"— {ORIGIN} " + base64.b64encode(b"\x01\x02\x03\x04" + bytes(64)).decode(),
              f"— {ORIGIN} " + base64.b64encode(proofs.note_key_id(ORIGIN, LOG) + bytes(63)).decode()]
    text = proofs.signed_text(NOTE)

    assert proofs.note_signature(text + "\n" + "\n".join([*others, line]) + "\n", ORIGIN, LOG) == signature
    assert proofs.note_signature(text + "\n" + "\n".join(others) + "\n", ORIGIN, LOG) is None
    assert proofs.note_signature(NOTE, "somebody", LOG) is None
    assert proofs.note_signature(NOTE, ORIGIN, OTHER) is None
    assert proofs.note_signature(f"{line}\n\nwithout a line", ORIGIN, LOG) is None
    with pytest.raises(ValueError, match="base64"):
        proofs.note_signature(f"{text}\n— {ORIGIN} A*AA\n", ORIGIN, LOG)


@req("REC-03")
@pytest.mark.parametrize("bad", [
    f"{ORIGIN}\n4\nAAAA", f"{ORIGIN}\n4\nAAAA\nmore\n", f"{ORIGIN}\nfour\nAAAA\n", f"{ORIGIN}\n-4\nAAAA\n\n",
])
def test_what_has_no_blank_line_or_no_size_is_no_note(bad: str) -> None:
    with pytest.raises(ValueError, match="not a checkpoint note"):
        proofs.Checkpoint.parse(bad)


@req("REC-03")
def test_a_root_in_damaged_base64_is_no_root() -> None:
    with pytest.raises(ValueError, match="base64"):
        proofs.Checkpoint.parse(f"{ORIGIN}\n4\nA*AA=\n\n")


@req("REC-03", "SIG-03")
@given(at_s=st.integers(0, 2**40), seed=st.binary(min_size=32, max_size=32))
def test_what_a_witness_adds_is_read_by_the_verifier(at_s: int, seed: bytes) -> None:
    """C2SP tlog-cosignature: the time it saw the note at is part of what it signs."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    message = proofs.cosigned_message(NOTE, at_s)
    line = proofs.cosignature_line("witness.example", public, at_s, key.sign(message))
    read = verifier.parse_note((NOTE + line + "\n").encode())

    assert message == f"cosignature/v1\ntime {at_s}\n{proofs.signed_text(NOTE)}".encode()
    assert verifier.note_cosigned_by(read, "witness.example", public) == at_s
    assert verifier.note_signed_by(read, ORIGIN, LOG)
    assert verifier.note_cosigned_by(read, "other.example", public) is None


@req("REC-03", "SIG-03")
def test_the_second_signature_of_the_log_is_spelt_as_the_verifier_reads_it() -> None:
    """C2SP tlog-cosignature, ML-DSA-44: over origin, size and root, with no time of its own."""
    public, signature = b"\x09" * 1312, b"\x05" * 2420
    blob = proofs.ml_dsa_line(ORIGIN, public, signature)
    note = proofs.with_line(NOTE, ORIGIN, blob)
    read = verifier.parse_note(note.encode())

    assert proofs.ml_dsa_message(ORIGIN, 4, ROOT_4) == verifier.ml_dsa_message(ORIGIN, 4, ROOT_4, 0)
    assert blob == hashlib.sha256(ORIGIN.encode() + b"\n\x06" + public).digest()[:4] + bytes(8) + signature
    assert note == f"{NOTE}— {ORIGIN} {base64.b64encode(blob).decode()}\n"
    assert verifier.ml_dsa_line_of(read, public) is not None
    assert verifier.note_signed_by(read, ORIGIN, LOG)


@req("REC-03")
def test_a_proof_file_holds_what_it_takes_to_check_an_entry_alone() -> None:
    """C2SP tlog-proof: index, hashes from leaf to root, and the note they lead to."""
    path = [base64.b64decode(one) for one in VECTORS["inclusion"][0]["hashes"]]
    text = proofs.proof_file(2, path, NOTE)
    index, read, note = verifier.parse_proof(text.encode())

    assert (index, read, note.size, note.root) == (2, path, 4, ROOT_4)
    assert text == "\n".join([
        "c2sp.org/tlog-proof@v1", "index 2", *(base64.b64encode(one).decode() for one in path), "", NOTE])

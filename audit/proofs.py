"""The tree over the entries: roots, inclusion and consistency proofs, notes (RFC 6962, C2SP)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

EMPTY_ROOT = hashlib.sha256(b"").digest()
TILE = 256
_sha256 = hashlib.sha256


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962, 2.1: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The roots of the complete subtrees that make up a tree: one per set bit of its size, largest first."""

    size: int = 0
    roots: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        self.size = size = self.size + 1
        roots, node = self.roots, leaf
        while not size & 1:
            node = _sha256(b"\x01" + roots.pop() + node).digest()
            size >>= 1
        roots.append(node)

    def root(self) -> bytes:
        if not self.roots:
            return EMPTY_ROOT
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> Frontier:
        return Frontier(self.size, list(self.roots))


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Root of a run of sibling hashes; a power of two many gives one complete subtree."""
    frontier = Frontier()
    for item in hashes:
        frontier.add(item)
    return frontier.root()


class Nodes(Protocol):
    """Where complete subtrees come from: `level` 0 are leaves, `level` n covers 2^n of them."""

    def node(self, level: int, index: int) -> bytes: ...


def _range_root(nodes: Nodes, low: int, high: int) -> bytes:
    count = high - low
    if count & (count - 1) == 0 and low % count == 0:
        return nodes.node(count.bit_length() - 1, low // count)
    half = 1 << (count - 1).bit_length() - 1
    return node_hash(_range_root(nodes, low, low + half), _range_root(nodes, low + half, high))


def root_at(nodes: Nodes, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return _range_root(nodes, 0, size) if size else EMPTY_ROOT


def frontier_at(nodes: Nodes, size: int) -> Frontier:
    """The frontier of the first `size` leaves."""
    roots, low = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            roots.append(nodes.node(level, low >> level))
            low += 1 << level
    return Frontier(size, roots)


def inclusion_path(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """RFC 6962, 2.1.1, leaf to root. Raises ValueError outside the tree."""
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not among the first {size}.")

    def path(low: int, high: int) -> list[bytes]:
        if high - low == 1:
            return []
        half = low + (1 << (high - low - 1).bit_length() - 1)
        if index < half:
            return [*path(low, half), _range_root(nodes, half, high)]
        return [*path(half, high), _range_root(nodes, low, half)]

    return path(0, size)


def consistency_path(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """RFC 6962, 2.1.2: that the tree of `old` leaves is a prefix of that of `new`."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new}.")

    def path(low: int, high: int, complete: bool) -> list[bytes]:
        if high == old:
            return [] if complete else [_range_root(nodes, low, high)]
        half = low + (1 << (high - low - 1).bit_length() - 1)
        if old <= half:
            return [*path(low, half, complete), _range_root(nodes, half, high)]
        return [*path(half, high, False), _range_root(nodes, low, half)]

    return path(0, new, True)


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root an inclusion path leads to (RFC 9162, 2.1.3.2). Raises ValueError for a path of wrong length."""
    node, last, at = leaf, size - 1, index
    for sibling in path:
        if last == 0:
            raise ValueError("the path is too long.")
        if at % 2 or at == last:
            node = node_hash(sibling, node)
            while at and at % 2 == 0:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the path is too short.")
    return node


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """That the tree of `new` leaves extends that of `old` (RFC 9162, 2.1.4.2). Raises ValueError where it does not."""
    if old == new:
        if path or old_root != new_root:
            raise ValueError("two roots of one size.")
        return
    if not 0 < old < new:
        raise ValueError(f"no consistency proof leads from {old} to {new}.")
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise ValueError("the path is too short.")
    at, last = old - 1, new - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    from_old = from_new = hashes[0]
    for item in hashes[1:]:
        if last == 0:
            raise ValueError("the path is too long.")
        if at % 2 or at == last:
            from_old, from_new = node_hash(item, from_old), node_hash(item, from_new)
            while at and at % 2 == 0:
                at, last = at >> 1, last >> 1
        else:
            from_new = node_hash(from_new, item)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the path is too short.")
    if from_old != old_root or from_new != new_root:
        raise ValueError("the new tree is no extension of the old one.")


# Notes -------------------------------------------------------------------------------------------------------


def note_text(origin: str, size: int, root: bytes) -> str:
    """The signed text of a checkpoint (C2SP tlog-checkpoint)."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def note_key_id(name: str, public_key: bytes) -> bytes:
    """C2SP signed-note: SHA-256(name ‖ newline ‖ 0x01 ‖ key), first four bytes."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]


def signed_note(text: str, name: str, public_key: bytes, signature: bytes) -> str:
    """The note with its signature line."""
    line = base64.b64encode(note_key_id(name, public_key) + signature).decode()
    return f"{text}\n— {name} {line}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note says."""

    origin: str
    size: int
    root: bytes
    note: str

    @classmethod
    def parse(cls, note: str) -> Checkpoint:
        """Read a note's text; signatures are checked elsewhere. Raises ValueError."""
        origin, size, root, *rest = note.split("\n")
        if not rest or rest[0] != "" or not size.isdigit():
            raise ValueError("not a checkpoint note.")
        return cls(origin, int(size), base64.b64decode(root, validate=True), note)


def note_signature(note: str, name: str, public_key: bytes) -> bytes | None:
    """The Ed25519 signature a note carries under this name and key, not yet verified; None where it carries none."""
    wanted = note_key_id(name, public_key)
    for line in note.partition("\n\n")[2].splitlines():
        parts = line.split(" ")
        if len(parts) == 3 and parts[0] == "—" and parts[1] == name:
            blob = base64.b64decode(parts[2], validate=True)
            if blob[:4] == wanted and len(blob) == 68:
                return blob[4:]
    return None


def signed_text(note: str) -> str:
    """The text that a note's signatures cover."""
    return note.partition("\n\n")[0] + "\n"


def cosigned_message(note: str, at_s: int) -> bytes:
    """What a witness signs (C2SP tlog-cosignature, cosignature/v1)."""
    return f"cosignature/v1\ntime {at_s}\n{signed_text(note)}".encode()


def cosignature_line(name: str, public_key: bytes, at_s: int, signature: bytes) -> str:
    """The line a witness adds: key id, eight bytes of time, signature."""
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + public_key).digest()[:4]
    return f"— {name} {base64.b64encode(key_id + at_s.to_bytes(8, 'big') + signature).decode()}"


def ml_dsa_message(origin: str, size: int, root: bytes) -> bytes:
    """What the log's ML-DSA-44 key signs of a checkpoint: `cosigned_message` of C2SP tlog-cosignature.

    The log is its own cosigner and states no time: the time stamp over the line does.
    """
    name = bytes([len(origin.encode())]) + origin.encode()
    none = (0).to_bytes(8, "big")
    return b"subtree/v1\n\x00" + name + none + name + none + size.to_bytes(8, "big") + root


def ml_dsa_line(origin: str, public_key: bytes, signature: bytes) -> bytes:
    """Key id (type 0x06), eight bytes of time (none) and signature: the bytes that a note's line carries in base64."""
    key_id = hashlib.sha256(origin.encode() + b"\n\x06" + public_key).digest()[:4]
    return key_id + bytes(8) + signature


def with_line(note: str, name: str, blob: bytes) -> str:
    """The note with one more signature line."""
    return f"{note}— {name} {base64.b64encode(blob).decode()}\n"


def proof_file(index: int, path: Sequence[bytes], note: str) -> str:
    """A C2SP tlog-proof: index, hashes leaf to root, blank line, checkpoint."""
    hashes = "".join(base64.b64encode(item).decode() + "\n" for item in path)
    return f"c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{note}"

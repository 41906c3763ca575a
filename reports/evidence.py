"""Evidence codes: the short name of an entry as it stands beside a printed number.

A code is `EV-XXXX-XXXX`: the first 40 bits of the entry's leaf hash in Crockford's base 32 (no I, L, O, U). It is
derived, never assigned: whoever holds the entry can compute it. Where an *earlier* entry already has the code, the
later one takes 20 bits more (`EV-XXXX-XXXX-XXXX`) until it is alone, so a printed code never changes its meaning
while the ledger grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP = 4
SHORTEST_GROUPS = 2
# 256 bits give 12 whole groups; two leaf hashes equal that far would be a broken SHA-256.
MOST_GROUPS = 12
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SHAPE = re.compile(rf"[{ALPHABET}]{{8,48}}\Z")


def code_of_leaf(leaf: bytes, groups: int = SHORTEST_GROUPS) -> str:
    """The code of a leaf hash in `groups` groups of four signs (20 bits each)."""
    if len(leaf) != 32:
        raise ValueError(f"a leaf hash has 32 bytes, not {len(leaf)}.")
    if not SHORTEST_GROUPS <= groups <= MOST_GROUPS:
        raise ValueError(f"a code has {SHORTEST_GROUPS} to {MOST_GROUPS} groups, not {groups}.")
    number, bits = int.from_bytes(leaf), 5 * GROUP * groups
    number >>= 256 - bits
    signs = [ALPHABET[number >> shift & 31] for shift in range(bits - 5, -1, -5)]
    parts = ["".join(signs[at : at + GROUP]) for at in range(0, len(signs), GROUP)]
    return "EV-" + "-".join(parts)


def normal_form(typed: str) -> str:
    """A code as a person typed it, in its printed form: case, hyphens and O, I, L forgiven.

    Raises ValueError where the text cannot be a code.
    """
    signs = re.sub(r"[\s-]", "", typed.upper())
    signs = signs.removeprefix("EV").translate(_READ_AS)
    if not _SHAPE.match(signs) or len(signs) % GROUP:
        raise ValueError(f"{typed!r} is not an evidence code; one looks like EV-7K3M-9Q2X.")
    return "EV-" + "-".join(signs[at : at + GROUP] for at in range(0, len(signs), GROUP))


class EvidenceCodes:
    """Codes of the entries of one ledger, both ways; entries are told in their order."""

    def __init__(self, leaves: Iterable[tuple[int, bytes]] = ()) -> None:
        self._by_code: dict[str, int] = {}
        self._by_seq: dict[int, str] = {}
        self._last = -1
        for seq, leaf in leaves:
            self.add(seq, leaf)

    def add(self, seq: int, leaf: bytes) -> str:
        """Give the next entry its code. Raises ValueError where the order is broken: codes depend on it."""
        if seq <= self._last:
            raise ValueError(f"entry {seq} comes after entry {self._last}; codes are given in the order of the record.")
        for groups in range(SHORTEST_GROUPS, MOST_GROUPS + 1):
            code = code_of_leaf(leaf, groups)
            if code not in self._by_code:
                self._by_code[code], self._by_seq[seq], self._last = seq, code, seq
                return code
        raise ValueError(f"entry {seq} has the leaf hash of entry {self._by_code[code_of_leaf(leaf)]}.")

    def code(self, seq: int) -> str:
        """The code of an entry. Raises KeyError for an entry that was not told."""
        return self._by_seq[seq]

    def entry(self, typed: str) -> int | None:
        """The entry behind a code as typed, or None. Raises ValueError where the text cannot be a code."""
        return self._by_code.get(normal_form(typed))

    def __len__(self) -> int:
        return len(self._by_seq)

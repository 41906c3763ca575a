"""Evidence codes: derived from the leaf alone, forgiving when typed, never changing their meaning."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.evidence import EvidenceCodes, code_of_leaf, normal_form
from tests.req import req

leaves = st.binary(min_size=32, max_size=32)


@req("RPT-02")
def test_a_code_is_the_first_forty_bits_of_the_leaf() -> None:
    """Worked by hand: 0x00 44 32 14 C7 are the groups 0,1,2,3,4,5,6,7 of five bits."""
    assert code_of_leaf(bytes.fromhex("00443214c7") + bytes(27)) == "EV-0123-4567"
    assert code_of_leaf(b"\xff" * 32) == "EV-ZZZZ-ZZZZ"


@given(leaves)
def test_a_typed_code_finds_its_entry_whatever_the_typing(leaf: bytes) -> None:
    codes = EvidenceCodes([(7, leaf)])
    printed = codes.code(7)
    for typed in (printed, printed.lower(), printed.removeprefix("EV-"), printed.replace("-", ""),
                  printed.replace("0", "O").replace("1", "l")):
        assert codes.entry(typed) == 7


@req("RPT-02")
def test_a_later_entry_with_the_same_code_takes_a_longer_one_and_the_earlier_keeps_its_own() -> None:
    first, second, third = (b"\xaa" * 5 + bytes(26) + bytes([n]) for n in (1, 2, 3))
    codes = EvidenceCodes([(0, first), (1, second), (2, third), (3, hashlib.sha256(b"other").digest())])

    assert codes.code(0) == code_of_leaf(first)
    assert codes.code(1) == code_of_leaf(second, 3)
    assert codes.code(2) == code_of_leaf(third, 4)
    assert [codes.entry(codes.code(seq)) for seq in range(4)] == [0, 1, 2, 3]


@given(st.lists(leaves, min_size=1, max_size=30, unique=True), st.integers(0, 29))
def test_codes_of_a_shorter_record_are_those_of_the_longer_one(all_leaves: list[bytes], cut: int) -> None:
    """A printed code never changes its meaning while the ledger grows."""
    whole = EvidenceCodes(enumerate(all_leaves))
    part = EvidenceCodes(enumerate(all_leaves[: cut + 1]))
    assert all(part.code(seq) == whole.code(seq) for seq in range(len(part)))


def test_disorder_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        EvidenceCodes([(3, bytes(32)), (2, b"\x01" * 32)])


@pytest.mark.parametrize("typed", ["", "EV-7K3M", "EV-7K3M-9Q2", "EV-7K3M-9Q2U", "entry 12", "EV-7K3M-9Q2X-1"])
def test_what_cannot_be_a_code_is_said_to_be_none(typed: str) -> None:
    with pytest.raises(ValueError, match="not an evidence code"):
        normal_form(typed)

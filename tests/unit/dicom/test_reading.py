"""Hostile, broken and foreign bytes: every one ends in a typed refusal, never in a parser's own exception."""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from core.dicom.digest import digests, file_digest
from core.dicom.reading import REASONS, Limits, UnreadableDicom, read_object
from core.dicom.result import as_bytes
from tests.req import req
from tests.unit.dicom.samples import ct_slice

SOUND = as_bytes(ct_slice(1))


@req("RDG-11")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_meta.dcm", "not-dicom"),
        ("ExplVR_BigEndNoMeta.dcm", "not-dicom"),
        ("zipMR.gz", "not-dicom"),
        ("MR_truncated.dcm", "truncated"),
        ("rtplan_truncated.dcm", "truncated"),
        ("emri_small_jpeg_2k_lossless_too_short.dcm", "truncated"),
        ("meta_missing_tsyntax.dcm", "unreadable"),
        ("UN_sequence.dcm", "no-identity"),
        ("dicomdirtests/DICOMDIR", "directory"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(name, reason):
    """pydicom's own collection of bad files, each by its kind."""
    path = get_testdata_file(name)
    if path is None:
        pytest.fail(f"{name} is not in the installed test files")

    with pytest.raises(UnreadableDicom) as refusal:
        read_object(Path(path))

    assert refusal.value.reason == reason
    assert refusal.value.next_step


@req("RDG-11")
@given(st.integers(0, len(SOUND) - 1))
def test_an_object_cut_anywhere_is_never_taken_for_whole(cut):
    """A transfer that broke off at any byte is refused with a reason from the list."""
    with pytest.raises(UnreadableDicom) as refusal:
        read_object(SOUND[:cut])

    assert refusal.value.reason in REASONS


@req("RDG-11")
@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_escapes_as_a_parser_error(where, flip):
    """Whatever one changed byte does to the encoding: an object with digests, or a typed refusal."""
    content = bytearray(SOUND)
    content[where] ^= flip

    with contextlib.suppress(UnreadableDicom):
        digests(read_object(bytes(content)), file_digest(bytes(content)))


@req("RDG-11")
@given(st.binary(max_size=400))
def test_noise_after_the_mark_is_refused_in_words(noise):
    with pytest.raises(UnreadableDicom):
        read_object(b"\x00" * 128 + b"DICM" + noise)


@req("RDG-11")
def test_an_object_beyond_the_limits_is_not_even_parsed():
    """Size of the file, of what it inflates to, and of its pixels."""
    with pytest.raises(UnreadableDicom) as large:
        read_object(SOUND, Limits(file_bytes=100))
    with pytest.raises(UnreadableDicom) as pixels:
        read_object(SOUND, Limits(pixel_bytes=100))

    assert (large.value.reason, pixels.value.reason) == ("too-large", "too-large")


@req("RDG-11")
def test_a_deflated_bomb_is_stopped_while_it_inflates():
    path = get_testdata_file("image_dfl.dcm")
    content = Path(str(path)).read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = content[:start] + packer.compress(b"\x00" * 50_000_000) + packer.flush()

    assert len(bomb) < 100_000
    assert read_object(content).Rows == 512
    with pytest.raises(UnreadableDicom) as refusal:
        read_object(bomb, Limits(inflated_bytes=10_000_000))

    assert refusal.value.reason == "too-large"


@req("RDG-11")
def test_bottomless_nesting_is_refused():
    """A thousand sequences, each inside the last."""
    inner = b""
    for _ in range(1000):
        inner = b"\x40\x00\x30\xa7SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner
        inner += b"\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00"

    with pytest.raises(UnreadableDicom):
        read_object(SOUND + inner)

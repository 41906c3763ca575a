"""One content has one digest in every transfer syntax; any other value or pixel has another."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from core.dicom.digest import ObjectDigests, digests, file_digest
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from tests.req import req
from tests.unit.dicom.samples import ct_slice


def of(path: object) -> ObjectDigests:
    content = Path(str(path)).read_bytes()
    return digests(read_object(content), file_digest(content))


FAMILIES = (
    ("MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm",
     "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"),
    ("emri_small.dcm", "emri_small_RLE.dcm", "emri_small_big_endian.dcm", "emri_small_jpeg_2k_lossless.dcm",
     "emri_small_jpeg_ls_lossless.dcm"),
    ("SC_rgb.dcm", "SC_rgb_expb.dcm", "SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm"),
    ("SC_rgb_16bit_2frame.dcm", "SC_rgb_expb_16bit_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm"),
    ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", "OBXXXX1A_rle.dcm"),
    ("rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"),
    ("color-pl.dcm", "color-px.dcm"),
    ("liver_1frame.dcm", "liver_expb_1frame.dcm"),
)  # fmt: skip


@req("REC-11")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0])
def test_re_encoding_without_loss_keeps_the_content_digest(family):
    """Byte order, VR encoding, RLE, JPEG-LS, JPEG 2000, lossless JPEG, colour planes: 30 files in 8 families."""
    found = [of(get_testdata_file(name)) for name in family]

    assert len({one.content for one in found}) == 1
    assert len({one.file for one in found}) == len(found)


@req("REC-11")
@pytest.mark.realdata
def test_the_same_four_slices_agree_in_five_codecs(data):
    """geometry-and-syntax-d2n/generic: JPEG, JPEG-LS, JPEG 2000 (twice) and RLE of the same slices."""
    folders = sorted((data / "geometry-and-syntax-d2n" / "generic").glob("compressed*"))
    found = [sorted(of(path).content for path in folder.rglob("*") if path.is_file()) for folder in folders]

    assert len(found) == 5
    assert len(found[0]) == 4
    assert all(one == found[0] for one in found)


@req("REC-11")
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_a_private_sequence_survives_re_encoding(syntax, tmp_path):
    """Private elements, nested too, count as content whichever way the VR was lost."""
    plain = ct_slice(1)
    item = Dataset()
    item.add_new(0x00091010, "LO", "inner")
    plain.add_new(0x00090010, "LO", "ACME")
    plain.add_new(0x00091001, "SQ", [item])
    before = digests(read_object(as_bytes(plain)), "00")
    again = read_object(as_bytes(plain))
    if syntax.is_encapsulated:
        again.compress(syntax, generate_instance_uid=False)
        changed = as_bytes(again)
    else:
        target = tmp_path / "other.dcm"
        again.file_meta.TransferSyntaxUID = syntax
        again.save_as(target, implicit_vr=True, little_endian=True, enforce_file_format=True)
        changed = target.read_bytes()

    assert digests(read_object(changed), "00").content == before.content


@req("REC-11", "REC-07")
@given(st.integers(0, 191), st.integers(1, 500))
def test_one_changed_pixel_changes_the_content(where, by):
    original = ct_slice(1)
    changed = ct_slice(1)
    values = bytearray(changed.PixelData)
    old = int.from_bytes(values[2 * where : 2 * where + 2], "little", signed=True)
    values[2 * where : 2 * where + 2] = (old + by).to_bytes(2, "little", signed=True)
    changed.PixelData = bytes(values)

    first, second = (digests(read_object(as_bytes(one)), "00") for one in (original, changed))

    assert first.content != second.content
    assert first.data_set == second.data_set


@req("REC-11", "REC-07")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("KVP", "121"), ("RescaleSlope", "2"), ("PatientSex", "M"), ("SliceThickness", None), ("Rows", 15),
     ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])],
)  # fmt: skip
def test_one_changed_value_changes_the_content(keyword, value):
    both = (ct_slice(1), ct_slice(1, **{keyword: value}))
    first, second = (digests(read_object(as_bytes(one)), "00") for one in both)

    assert first.data_set != second.data_set
    assert first.content != second.content


@req("REC-11")
def test_a_lossy_image_counts_by_its_stream():
    """What a decoder makes of a lossy stream may differ between machines; the stream does not."""
    assert of(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm")).pixels_of == "encoded"
    assert of(get_testdata_file("test-SR.dcm")).pixels_of == "none"

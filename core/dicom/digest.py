"""Digests of a DICOM object: of its file, and of its content whatever transfer syntax carried it.

A PACS may re-encode on the way (implicit to explicit VR, big to little endian, native to lossless JPEG), and C-STORE
rewrites group 2. The content digest stays the same through all of that and changes with any value or pixel.
Limits, on purpose on the side of alarm: an unknown private element may be read differently under implicit VR when
its value is binary and was byte-swapped, and a lossy image counts by its encoded stream, not by what a decoder makes
of it.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)
from pydicom.values import convert_SQ

from core.dicom.reading import PIXEL_TAGS, UnreadableDicom, expected_pixel_bytes

_CONTENT: Final = b"countersign-content/1\x00"
_DATA_SET: Final = b"countersign-data-set/1\x00"
_PIXELS: Final = b"countersign-pixels/1\x00"
_HTJ2K_LOSSY: Final = "1.2.840.10008.1.2.4.203"
_LOSSY: Final = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, _HTJ2K_LOSSY})
_BINARY: Final = {"US": "H", "SS": "H", "UL": "I", "SL": "I", "UV": "Q", "SV": "Q", "FL": "f", "FD": "d"}
_WORDS: Final = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
# Belong to an encoding, not to the content: offset tables, padding, the order of colour planes.
_OF_ENCODING: Final = frozenset({*PIXEL_TAGS, 0x7FE00001, 0x7FE00002, 0xFFFCFFFC, 0x00280006})
_COLOUR_OF_CODEC: Final = {"YBR_RCT": "RGB", "YBR_ICT": "RGB"}


@dataclass(frozen=True, slots=True)
class ObjectDigests:
    """SHA-256 in lower-case hex; `pixels_of` is decoded, encoded or none, and `pixels` then empty."""

    file: str
    content: str
    data_set: str
    pixels: str
    pixels_of: str


def file_digest(source: Path | bytes) -> str:
    """SHA-256 of the bytes as they came."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digests(dataset: FileDataset, file_sha256: str) -> ObjectDigests:
    """All digests of one object that `reading.read_object` returned.

    Raises:
        UnreadableDicom: the pixels cannot be decoded, or a value is none of its kind.
    """
    try:
        data_set = data_set_digest(dataset)
        pixels_of, pixels = pixel_digest(dataset)
    except UnreadableDicom:
        raise
    except Exception as error:  # noqa: BLE001 - a value may be of any kind that a hostile file can make
        raise UnreadableDicom("unreadable", f"A value cannot be encoded again ({type(error).__name__}).") from None
    return ObjectDigests(file_sha256, content_digest(data_set, pixels_of, pixels), data_set, pixels, pixels_of)


def content_digest(data_set: str, pixels_of: str, pixels: str) -> str:
    """One digest of data set and pixels, from theirs."""
    return hashlib.sha256(_CONTENT + bytes.fromhex(data_set) + pixels_of.encode() + bytes.fromhex(pixels)).hexdigest()


def data_set_digest(dataset: Dataset) -> str:
    """SHA-256 over every element outside group 2 and the pixels, in one canonical encoding without VRs."""
    little = dataset.original_encoding[1] is not False
    body = hashlib.sha256(_DATA_SET)
    _feed(body, dataset, little)
    return body.hexdigest()


def _feed(body: Any, dataset: Dataset, little: bool) -> None:
    for element in dataset:
        tag = int(element.tag)
        if tag >> 16 == 2 or tag & 0xFFFF == 0 or tag in _OF_ENCODING:
            continue
        items = _items(element)
        if items is not None:
            body.update(struct.pack("<II", tag, 0xFFFFFFFF) + struct.pack("<I", len(items)))
            for item in items:
                _feed(body, item, little)
                body.update(struct.pack("<I", 0xFFFEE00D))
            continue
        value = _value_bytes(element, little)
        body.update(struct.pack("<II", tag, len(value)) + value)


def _items(element: DataElement) -> list[Dataset] | None:
    if element.VR == "SQ":
        return list(element.value)
    # Under implicit VR an unknown private sequence of stated length arrives as plain bytes (PS3.5 6.2.2, note 5).
    if element.VR == "UN" and isinstance(element.value, bytes) and element.value[:4] == b"\xfe\xff\x00\xe0":
        try:
            return list(convert_SQ(element.value, True, True))
        except Exception:  # noqa: BLE001 - looked like a sequence and is none: bytes then
            return None
    return None


def _value_bytes(element: DataElement, little: bool) -> bytes:
    value, vr = element.value, element.VR
    if value is None or (isinstance(value, str | bytes) and not value):
        return b""
    if isinstance(value, bytes):
        width = _WORDS.get(vr, 1)
        if width > 1 and not little:
            value = np.frombuffer(value[: len(value) // width * width], f">u{width}").astype(f"<u{width}").tobytes()
        return value.rstrip(b" \x00") if vr == "UN" else value
    many = value if isinstance(value, MultiValue | list) else [value]
    if vr in _BINARY:
        code = _BINARY[vr]
        mask = (1 << (8 * struct.calcsize(code))) - 1
        return b"".join(struct.pack(f"<{code}", item if code in "fd" else int(item) & mask) for item in many)
    if vr == "AT":
        return b"".join(struct.pack("<HH", int(item) >> 16, int(item) & 0xFFFF) for item in many)
    text = "\\".join(str(item) for item in many).rstrip(" \x00")
    if int(element.tag) == 0x00280004:  # the codec names its colour transform; decoded, it is RGB
        text = _COLOUR_OF_CODEC.get(text, text)
    return text.encode("utf-8", "surrogateescape")


def pixel_digest(dataset: FileDataset) -> tuple[str, str]:
    """What was hashed (decoded, encoded or none) and the SHA-256; empty text where there are no pixels."""
    tag = next((tag for tag in PIXEL_TAGS if tag in dataset), None)
    if tag is None:
        return "none", ""
    if dataset.file_meta.TransferSyntaxUID in _LOSSY:
        body = hashlib.sha256(_PIXELS + b"encoded")
        try:
            for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
                body.update(struct.pack("<Q", len(frame)) + frame)
        except Exception as error:  # noqa: BLE001 - see reading.py
            raise UnreadableDicom("undecodable", f"The frames cannot be told apart ({type(error).__name__}).") from None
        return "encoded", body.hexdigest()
    array = decoded_pixels(dataset)
    head = struct.pack("<4I", *(int(dataset.get(name) or 1) for name in _SHAPE))
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    body = hashlib.sha256(_PIXELS + b"decoded" + head + array.dtype.kind.encode() + struct.pack("<I", array.itemsize))
    body.update(np.ascontiguousarray(little).data)
    return "decoded", body.hexdigest()


_SHAPE: Final = ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel")


def decoded_pixels(dataset: FileDataset) -> NDArray[Any]:
    """Stored values, unused high bits cleared: shape (frames, rows, columns[, samples]), one frame without its axis.

    Raises:
        UnreadableDicom: no decoder can read the pixels.
    """
    native = _native(dataset)
    if native is not None:
        return native
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array: NDArray[Any] = pixel_array(dataset, raw=True)
    except Exception as error:  # noqa: BLE001 - see reading.py: decoders of hostile bytes may raise anything
        raise UnreadableDicom("undecodable", f"The pixels cannot be decoded ({type(error).__name__}).") from None
    return _stored_bits(array, dataset)


def _native(dataset: FileDataset) -> NDArray[Any] | None:
    """The quick way for uncompressed grey images of 8 or 16 bits."""
    bits = int(dataset.get("BitsAllocated") or 0)
    plain = bits in (8, 16) and int(dataset.get("SamplesPerPixel") or 1) == 1 and "PixelData" in dataset
    if not plain or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return None
    if bits == 8 and dataset.original_encoding[1] is False:
        return None  # 8-bit pixels in 16-bit words: leave the swap to pydicom
    order = ">" if dataset.original_encoding[1] is False else "<"
    kind = "i" if int(dataset.get("PixelRepresentation") or 0) else "u"
    frames, rows, columns = (int(dataset.get(name) or 1) for name in _SHAPE[:3])
    flat = np.frombuffer(dataset.PixelData[: expected_pixel_bytes(dataset)], f"{order}{kind}{bits // 8}")
    shape = (frames, rows, columns) if frames > 1 else (rows, columns)
    return _stored_bits(flat.astype(flat.dtype.newbyteorder("="), copy=False).reshape(shape), dataset)


def _stored_bits(array: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Codecs carry only Bits Stored; what lay above (old overlays) is cleared so that both sides agree."""
    allocated, stored = 8 * array.itemsize, int(dataset.get("BitsStored") or 0)
    if array.dtype.kind not in "iu" or not 0 < stored < allocated or int(dataset.get("BitsAllocated") or 0) < 8:
        return array
    if array.dtype.kind == "u":
        masked: NDArray[Any] = array & array.dtype.type((1 << stored) - 1)
        return masked
    shift = allocated - stored
    extended: NDArray[Any] = np.right_shift(np.left_shift(array, shift), shift)
    return extended

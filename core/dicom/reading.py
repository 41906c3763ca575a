"""The one door for DICOM bytes from outside: whatever a parser does with them, the caller gets a typed refusal.

pydicom reads lazily, so a broken element shows only when touched. Everything is therefore touched here, inside the
wrapper; what leaves this module can be walked without surprises.
"""

from __future__ import annotations

import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from core.errors import UnusableInput

PIXEL_TAGS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one object may ask of the machine. Beyond these an object is refused, not tried."""

    file_bytes: int = 2 * 1024**3
    inflated_bytes: int = 2 * 1024**3
    pixel_bytes: int = 4 * 1024**3
    depth: int = 32


_WITH_PIXELS: Final = frozenset({"Segmentation Storage", "RT Dose Storage", "Parametric Map Storage"})

DEFAULT_LIMITS: Final = Limits()


class UnreadableDicom(UnusableInput):
    """Bytes that are no usable DICOM object; `reason` is a code from `REASONS`."""

    code = "unreadable-dicom"
    next_step = "Export the object again from its source and send it once more; nothing of it was kept."

    def __init__(self, reason: str, fact: str) -> None:
        super().__init__(fact)
        self.reason = reason


REASONS: Final = {
    "empty": "The file is empty.",
    "too-large": "The object is larger than this house accepts.",
    "not-dicom": "The file is not a DICOM object.",
    "no-data-set": "The file ends before any data set.",
    "truncated": "The object ends before its declared length.",
    "unreadable": "The object breaks the DICOM encoding rules.",
    "no-identity": "The object lacks SOP Class, SOP Instance, Study or Series UID.",
    "directory": "The file is a DICOMDIR, a listing and no object of a study.",
    "undecodable": "The pixels cannot be decoded.",
}


def read_object(source: Path | bytes, limits: Limits = DEFAULT_LIMITS, *, known: bool = False) -> FileDataset:
    """A DICOM Part 10 object with every element parsed.

    Args:
        source: a path, or the bytes of a whole file.
        limits: sizes beyond which the object is refused.
        known: these very bytes (by digest) were read whole before; elements are then parsed when asked for.

    Raises:
        UnreadableDicom: for anything else than a sound object; `reason` says which kind.

    Source: PS3.10 section 7; PS3.5 section 7.
    """
    content = _bounded_bytes(source, limits)
    if not content:
        raise UnreadableDicom("empty", "The file is empty.")
    if content[128:132] != b"DICM":
        raise UnreadableDicom("not-dicom", "The file is not a DICOM object: the mark DICM is missing at byte 128.")
    _refuse_bomb(content, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sloppy but readable values are the quality check's business
            dataset = dcmread(io.BytesIO(content))
            _touch(dataset.file_meta, 0)
            if not known:
                _touch(dataset, limits.depth)
            _require_identity(dataset, len(content))
            _require_whole_pixels(dataset, limits)
    except UnreadableDicom:
        raise
    except EOFError as error:
        raise UnreadableDicom("truncated", "The object ends before its declared length.") from error
    except Exception as error:  # noqa: BLE001 - a parser of hostile bytes may raise anything; all of it means the same
        raise UnreadableDicom(
            "unreadable", f"The object breaks the DICOM encoding rules ({type(error).__name__})."
        ) from None
    return dataset


def _bounded_bytes(source: Path | bytes, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            size = source.stat().st_size
        except OSError as error:
            raise UnreadableDicom("unreadable", f"The file cannot be read ({type(error).__name__}).") from None
    if size > limits.file_bytes:
        raise UnreadableDicom("too-large", f"The file has {size} bytes; this house accepts {limits.file_bytes}.")
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise UnreadableDicom("unreadable", f"The file cannot be read ({type(error).__name__}).") from None


def _refuse_bomb(content: bytes, limits: Limits) -> None:
    """A deflated data set is inflated against a limit before pydicom inflates it without one."""
    if DeflatedExplicitVRLittleEndian.encode() not in content[132:2048]:
        return
    # (0002,0000) comes first, explicit VR UL, and tells where group 2 ends (PS3.10 7.1).
    if content[132:138] != b"\x02\x00\x00\x00UL":
        raise UnreadableDicom("unreadable", "A deflated object must state the length of its file meta information.")
    start = 144 + int.from_bytes(content[140:144], "little")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    produced, pending = 0, content[start:]
    try:
        while pending and not inflater.eof:
            produced += len(inflater.decompress(pending, 1 << 20))
            pending = inflater.unconsumed_tail
            if produced > limits.inflated_bytes:
                raise UnreadableDicom("too-large", f"The object inflates to more than {limits.inflated_bytes} bytes.")
    except zlib.error:
        raise UnreadableDicom("unreadable", "The deflated data set is damaged.") from None
    if not inflater.eof:
        raise UnreadableDicom("truncated", "The deflated data set ends before its end mark.")


def _touch(dataset: Dataset, depth: int) -> None:
    """Parse every element, nested ones too; refuse nesting deeper than `depth`."""
    if depth < 0:
        raise UnreadableDicom("unreadable", "Sequences are nested deeper than this house reads.")
    for tag in list(dataset._dict):
        raw: Any = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length != 0xFFFFFFFF and len(raw.value or b"") != raw.length:
            raise UnreadableDicom("truncated", f"The object ends inside element {raw.tag}.")
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _touch(item, depth - 1)
        else:
            str(element.value) if element.VR == "PN" else element.value  # a PN decodes only when asked for its text


def _require_identity(dataset: FileDataset, size: int) -> None:
    if len(dataset) == 0:
        rest = size - 144 - int(dataset.file_meta.get("FileMetaInformationGroupLength", 0))
        if rest > 0:  # pydicom gives up the whole data set when an undefined length finds no end
            raise UnreadableDicom("truncated", "The object ends before its declared length.")
        raise UnreadableDicom("no-data-set", "The file ends before any data set.")
    media = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if media == "1.2.840.10008.1.3.10" or "DirectoryRecordSequence" in dataset:
        raise UnreadableDicom("directory", "The file is a DICOMDIR: a listing, and no object of a study.")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not isinstance(syntax, UID) or not syntax.is_transfer_syntax or syntax.is_private:
        raise UnreadableDicom("unreadable", "The object states no transfer syntax of the standard (0002,0010).")
    missing = [
        name
        for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        if not isinstance(dataset.get(name), str) or not dataset.get(name)
    ]
    if missing:
        raise UnreadableDicom("no-identity", f"The object lacks {', '.join(missing)}.")


def expected_pixel_bytes(dataset: Dataset) -> int:
    """Bytes that the decoded pixels of this image take, padding left out (PS3.5 section 8).

    Raises:
        UnreadableDicom: the image pixel attributes are missing or not numbers.
    """
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        samples, bits = int(dataset.get("SamplesPerPixel", 1)), int(dataset.BitsAllocated)
        frames = int(dataset.get("NumberOfFrames") or 1)
    except (AttributeError, TypeError, ValueError):
        raise UnreadableDicom("unreadable", "The image lacks Rows, Columns or Bits Allocated.") from None
    if min(rows, columns, samples, bits, frames) < 1:
        raise UnreadableDicom("unreadable", "Rows, Columns, frames or Bits Allocated are not above zero.")
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422" and not _is_encapsulated(dataset):
        samples = 2  # chroma is stored once for two pixels
    return (rows * columns * samples * frames * bits + 7) // 8


def _is_encapsulated(dataset: Dataset) -> bool:
    meta = getattr(dataset, "file_meta", None)
    return bool(meta is not None and meta.TransferSyntaxUID.is_encapsulated)


def _require_whole_pixels(dataset: FileDataset, limits: Limits) -> None:
    tag = next((tag for tag in PIXEL_TAGS if tag in dataset), None)
    if tag is None:
        name = UID(dataset.SOPClassUID).name
        if "Image Storage" in name or name in _WITH_PIXELS:
            raise UnreadableDicom("truncated", "The image has no pixels.")
        return
    expected = expected_pixel_bytes(dataset)
    if expected > limits.pixel_bytes:
        told = f"The pixels take {expected} bytes; this house decodes {limits.pixel_bytes}."
        raise UnreadableDicom("too-large", told)
    value = dataset[tag].value
    if not isinstance(value, bytes) or not value:
        raise UnreadableDicom("truncated", "The pixel data element is empty.")
    if not _is_encapsulated(dataset) and len(value) < expected:
        raise UnreadableDicom("truncated", f"The pixels have {len(value)} bytes where {expected} are declared.")

"""A delivered folder read once: every file with its digests and its header, or the reason why it is none of ours.

Nothing of a file but digests, sizes and codes leaves this module towards the record; paths stay with the sender.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import FileDataset

from core.arrival.quality import extent_mm
from core.arrival.rules import Claim
from core.dicom.digest import ObjectDigests, digests, file_digest
from core.dicom.reading import PIXEL_TAGS, UnreadableDicom, read_object
from core.errors import UnusableInput

EMPTY_SHA256 = file_digest(b"")
MOST_FILES = 200_000
# Up to this much of a delivery stays in memory; beyond it pixels are let go and read again.
HELD_BYTES = 768 * 1024**2


@dataclass(frozen=True, slots=True)
class Arrived:
    """One readable object: where it lies, its digests, and its header; `whole` says that its pixels are still there."""

    path: Path
    size: int
    digests: ObjectDigests
    header: FileDataset
    whole: bool

    @property
    def uid(self) -> str:
        return str(self.header.SOPInstanceUID)

    @property
    def syntax(self) -> str:
        return str(self.header.file_meta.TransferSyntaxUID)

    def text(self, keyword: str) -> str:
        """An attribute as trimmed text; empty where it is missing."""
        return str(self.header.get(keyword) or "").strip()

    @property
    def claim(self) -> Claim:
        return Claim(
            self.text("ClinicalTrialProtocolID"), self.text("ClinicalTrialSubjectID"), self.text("PatientID"),
            self.text("ClinicalTrialSiteID"), self.text("ClinicalTrialTimePointID"),
        )

    @property
    def acquired(self) -> str:
        """The day of acquisition as YYYYMMDD, as the most specific attribute states it."""
        for keyword in ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate"):
            if len(self.text(keyword)) >= 8:
                return self.text(keyword)[:8]
        return ""

    @property
    def scanner(self) -> str:
        """The device id that images carry: serial number, else station, else maker and model."""
        made = f"{self.text('Manufacturer')} {self.text('ManufacturerModelName')}".strip()
        return (self.text("DeviceSerialNumber") or self.text("StationName") or made)[:64]

    def read_again(self) -> FileDataset:
        """The whole object. Raises UnreadableDicom where the file is no longer the one that was digested."""
        return self.header if self.whole else read_object(self.content(), known=True)

    def content(self) -> bytes:
        """The bytes of the file. Raises UnreadableDicom where they changed since they were digested."""
        try:
            content = self.path.read_bytes()
        except OSError:
            content = b""
        if file_digest(content) != self.digests.file:
            raise UnreadableDicom("unreadable", "The file changed while it was read.")
        return content


@dataclass(frozen=True, slots=True)
class Unfit:
    """One file that is no readable object, and why, as a code."""

    path: Path
    sha256: str
    size: int
    code: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything below a folder: each file is either in a series or unfit."""

    folder: Path
    series: dict[str, list[Arrived]]
    unfit: list[Unfit]

    @property
    def files(self) -> int:
        return len(self.unfit) + sum(len(group) for group in self.series.values())

    def extents(self) -> dict[str, tuple[str, float, float, float]]:
        """Where the slices of each series lie, for series that lie in planes."""
        found = {uid: extent_mm([one.header for one in group]) for uid, group in self.series.items()}
        return {uid: extent for uid, extent in found.items() if extent is not None}


def read_delivery(folder: Path) -> Delivery:
    """Read every file below a folder, in the order of paths; links are not followed.

    Raises:
        UnusableInput: no such folder, no file in it, or more files than one delivery may have.
    """
    if not folder.is_dir():
        raise UnusableInput("There is no folder of that name.", next_step="Name the folder that holds the images.")
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    if not paths:
        raise UnusableInput("The folder holds no file.", next_step="Name the folder that holds the images.")
    if len(paths) > MOST_FILES:
        raise UnusableInput(f"The folder holds more than {MOST_FILES} files.", next_step="Send it in parts.")
    series: dict[str, list[Arrived]] = defaultdict(list)
    unfit: list[Unfit] = []
    held = 0
    for path in paths:
        found = _read(path, keep=held < HELD_BYTES)
        if isinstance(found, Unfit):
            unfit.append(found)
        else:
            held += found.size
            series[str(found.header.SeriesInstanceUID)].append(found)
    return Delivery(folder, dict(series), unfit)


def _read(path: Path, *, keep: bool) -> Arrived | Unfit:
    if path.is_symlink() or not path.is_file():
        return Unfit(path, EMPTY_SHA256, 0, "not-a-file")
    try:
        content = path.read_bytes()
    except OSError:
        return Unfit(path, EMPTY_SHA256, 0, "unreadable")
    sha256 = file_digest(content)
    try:
        dataset = read_object(content)
        found = digests(dataset, sha256)
    except UnreadableDicom as refusal:
        return Unfit(path, sha256, len(content), refusal.reason)
    if not keep:
        for tag in PIXEL_TAGS:
            if tag in dataset:
                del dataset[tag]
    return Arrived(path, len(content), found, dataset, keep)

"""What arrives wrongly: real hostile and foreign files, one UID with two contents, one content in two encodings."""

from __future__ import annotations

import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.uid import ImplicitVRLittleEndian

from countersign.demonstration.arrivals import send
from countersign.demonstration.stage import DemonstrationFailed, Stage

# Package, file in it, and what it is.
FOREIGN = (
    ("data_store", "bad_sequence.dcm", "a sequence that breaks the encoding rules"),
    ("data_store", "emri_small_jpeg_2k_lossless_too_short.dcm", "an object that ends too early"),
    ("data_store", "liver.dcm", "a segmentation without its images"),
    ("data_store", "MR2_UNCR.dcm", "an MR image of nobody in this trial"),
    ("deid_data", "image1.dcm", "a picture with names in its header"),
)


def arrive(stage: Stage) -> None:
    """Each file ends in one recorded outcome; nothing of them is kept but what belongs to the trial."""
    with stage.scene("Arrival: what comes wrongly"):
        folder = stage.folder / "deliveries" / "strays"
        folder.mkdir(parents=True)
        for package, name, _ in FOREIGN:
            shutil.copyfile(_file_of(package, name), folder / f"{package}-{name}")
        known = stage.folder / "deliveries" / "101-001-BL" / "CT"
        whole = (known / "0003.dcm").read_bytes()
        (folder / "cut-in-the-middle.dcm").write_bytes(whole[: len(whole) // 2])
        _tell(stage, folder)
        second = stage.folder / "deliveries" / "101-001-BL-once-more"
        second.mkdir()
        changed = dcmread(known / "0001.dcm")
        pixels = bytearray(changed.PixelData)
        pixels[len(pixels) // 2] ^= 0x40
        changed.PixelData = bytes(pixels)
        changed.save_as(second / "same-uid-other-content.dcm")
        again = dcmread(known / "0002.dcm")
        again.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dcmwrite(second / "same-content-other-encoding.dcm", again, implicit_vr=True, little_endian=True)
        found = _tell(stage, second)
        stage.must(found["conflict"] == 1, "the same UID with another content is refused as a conflict")
        stage.must(found["duplicate"] == 1, "the same content in another transfer syntax is known again")
        stage.note("wrong arrivals", f"{len(FOREIGN) + 1} strays refused, one conflict, one duplicate recognised")


def _file_of(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DemonstrationFailed(f"the package that brings {name} is not installed (extra `demo`)")
    return next(Path(spec.submodule_search_locations[0]).rglob(name))


def _tell(stage: Stage, folder: Path) -> Counter[str]:
    account = send(stage, folder)
    for one in account.outcomes:
        stage.say(f"     {one.path.name}: {one.outcome} ({one.code})")
    return Counter(one.outcome for one in account.outcomes)

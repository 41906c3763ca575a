"""Hostile DICOM for a locked model: a generated study on disk, one thing wrong with it, through the reading of a trial.

Each row says what is wrong and what must stop it: the reader of objects, the geometry, the scale, the values, the check
for text in the pixels, or the model's contract. Whatever stops it, there is no value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import config, dcmread, dcmwrite
from pydicom.dataset import FileDataset

from core.dicom.leaks import check_pixels
from core.dicom.reading import UnreadableDicom, read_object
from core.dicom.volume import load_volume
from core.errors import CountersignError, UnusableInput
from core.phantoms import SCANNERS, StudyHeader, lesion_at, make_volume, write_study
from models_registry.contract import Study
from models_registry.tasks import task_named

Files = dict[str, list[bytes]]
LESION, SEED, FIELD_MM = ("liver", "TL01", (38, 30, 32)), 40_002, 120.0


class TextInPixels(UnusableInput):
    """The header states text in the pixels: arrival keeps the series out until a person has looked."""

    code = "burned-in-text"
    next_step = "Ask the site for the original images."


@dataclass(frozen=True, slots=True)
class Hostile:
    """What is wrong, how it is made, and the codes or causes that may stop it."""

    what: str
    stopped_by: frozenset[str]
    planted: tuple[str, ...] = ()
    change: Callable[[Files], None] = lambda files: None


def _each_ct(change: Callable[[FileDataset], None]) -> Callable[[Files], None]:
    def changed(files: Files) -> None:
        for number, content in enumerate(files["CT"]):
            dataset = dcmread(BytesIO(content))
            change(dataset)
            held = BytesIO()
            dcmwrite(held, dataset)
            files["CT"][number] = held.getvalue()

    return changed


def _without_rescale(dataset: FileDataset) -> None:
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType


def _rescale_no_number(dataset: FileDataset) -> None:
    with config.disable_value_validation():  # what a sender wrote is not asked for its form
        dataset.RescaleSlope = "NaN"


def _burned_in(dataset: FileDataset) -> None:
    dataset.BurnedInAnnotation = "YES"


def _cut_short(files: Files) -> None:
    content = files["CT"][-1]
    files["CT"][-1] = content[: len(content) * 2 // 3]


def _other_syntax(files: Files) -> None:
    """Stated: explicit big endian; encoded: little endian as before."""
    files["CT"] = [one.replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.2\x00", 1) for one in files["CT"]]


def _huge(files: Files) -> None:
    """Rows and columns of 65535 stated over the pixels of one ordinary slice."""
    content = files["CT"][0]
    for element in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        place = content.index(element) + len(element)
        content = content[:place] + struct.pack("<H", 65535) + content[place + 2 :]
    files["CT"][0] = content


GEOMETRY = frozenset({"geometry-unusable"})
HOSTILE: Mapping[str, Hostile] = {
    "dicom_truncated_object": Hostile("an object cut short", frozenset({"truncated"}), change=_cut_short),
    "dicom_wrong_syntax": Hostile("another transfer syntax stated than encoded",
                                  frozenset({"unreadable", "truncated", "undecodable"}), change=_other_syntax),
    "dicom_huge_dimensions": Hostile("rows and columns of 65535 stated",
                                     frozenset({"truncated", "too-large", "bomb"}), change=_huge),
    "dicom_missing_slice": Hostile("a slice missing", GEOMETRY, planted=("missing_slice",)),
    "dicom_duplicate_slice": Hostile("a position twice", GEOMETRY, planted=("duplicate_slice",)),
    "dicom_irregular_slices": Hostile("a step in the slice positions", GEOMETRY, planted=("irregular_spacing",)),
    "dicom_gantry_tilt": Hostile("a tilted gantry", GEOMETRY | {"orientation"}, planted=("gantry_tilt",)),
    "dicom_no_rescale": Hostile("a CT without rescale", frozenset({"scale-unknown"}),
                                change=_each_ct(_without_rescale)),
    "dicom_rescale_no_number": Hostile("a CT whose rescale is no number", frozenset({"values-not-finite"}),
                                       change=_each_ct(_rescale_no_number)),
    "dicom_burned_in_text": Hostile("text burned into the pixels", frozenset({"burned-in-text"}),
                                    change=_each_ct(_burned_in)),
    "dicom_wrong_modality": Hostile("MR in place of the CT", frozenset({"ct-unit"}), planted=("wrong_modality",)),
}


def studies() -> dict[str, Study | CountersignError]:
    """Every row of the table as the model would be given it, or the error that kept it from the model."""
    volume = make_volume(SCANNERS["A"], [lesion_at(*LESION)], SEED, field_z_mm=FIELD_MM)
    seed = volume.truth_of("TL01").seed_mm
    header = StudyHeader(protocol="OQ", site="S00", subject="S00-000", time_point="BASELINE",
                         acquired_on=date(2026, 1, 5))
    made: dict[str, Study | CountersignError] = {}
    written: dict[tuple[str, ...], Files] = {}
    with TemporaryDirectory() as folder:
        for name, row in HOSTILE.items():
            if row.planted not in written:
                held = written[row.planted] = {"CT": [], "PT": []}
                for path in write_study(Path(folder) / name, volume, header, row.planted):
                    held[path.parent.name].append(path.read_bytes())
            files = {part: list(contents) for part, contents in written[row.planted].items()}
            row.change(files)
            try:
                made[name] = _read(files, seed)
            except CountersignError as error:
                made[name] = error
    return made


def stopped_by(error: CountersignError) -> str:
    """The code of a refusal; of an unreadable object, which kind."""
    return error.reason if isinstance(error, UnreadableDicom) else error.code


def _read(files: Mapping[str, Sequence[bytes]], seed: tuple[float, float, float]) -> Study:
    """As arrival and `models_registry.inputs` read a series."""
    read = {name: [read_object(content) for content in parts] for name, parts in files.items()}
    for dataset in (one for parts in read.values() for one in parts):
        found = check_pixels(dataset)
        if found.bars:
            raise TextInPixels(f"The pixels are not taken: {found.measured}.")
    given = task_named(None).given([load_volume(read["CT"]), load_volume(read["PT"])], seed)
    assert isinstance(given, Study)
    return given

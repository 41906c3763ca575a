"""A bundle that segments, a head that it segments, and MR series of it: all made here, from nobody."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from safetensors.numpy import save

from core.ids import derived_uid
from models_registry import jobs
from models_registry.ports import GivenSeries
from models_registry.segmentation.state import Scan
from models_registry.tasks.segmentation import sentinel_bytes
from tests.builders.models import MadeImages

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
SAGITTAL = ((-1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
LAYERS = [{"name": "one", "in": 1, "out": 4, "kernel": 3, "dilation": 1, "relu": True},
          {"name": "output", "in": 4, "out": 3, "kernel": 1, "dilation": 1, "relu": False}]


def head(sides: tuple[int, int, int] = (28, 36, 32), spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0),
         directions: tuple[Any, Any, Any] = AXIAL, centre_mm: tuple[float, float, float] = (5.0, -3.0, 2.0)) -> Scan:
    """A bright ball of 40 mm radius with a dimmer shell of 8 mm, off the middle; arbitrary units, whole numbers."""
    cosines = np.array(directions)
    middle = [(side - 1) / 2 * step for side, step in zip(sides, spacing_mm, strict=True)]
    origin = -sum(place * axis for place, axis in zip(middle, cosines, strict=True))
    grid = np.stack(np.meshgrid(*[np.arange(side) * step for side, step in zip(sides, spacing_mm, strict=True)],
                                indexing="ij"))
    points = np.tensordot(grid, cosines, axes=(0, 0)) + origin
    distance = np.linalg.norm(points - np.array(centre_mm), axis=-1)
    values = np.where(distance < 32, 900.0, np.where(distance < 40, 600.0, 40.0)) + 10 * np.sin(points.sum(-1) / 7)
    place = (float(origin[0]), float(origin[1]), float(origin[2]))
    return Scan(np.rint(values).astype(np.float32), spacing_mm, place, directions, "MR", "1")


def tensors() -> dict[str, NDArray[np.float32]]:
    """Weights by hand: the scores of background, shell and core are peaks of brightness at 0, 0.65 and 1."""
    one = np.zeros((4, 1, 3, 3, 3), np.float32)
    one[:, 0, 1, 1, 1] = 1
    return {
        "layers.one.weight": one, "layers.one.bias": np.array([0, -0.3, -0.5, -0.85], np.float32),
        # Straight pieces: background falls from the start, shell rises after 0.3, core overtakes at 0.85.
        "layers.output.weight": np.array([[-20, 0, 0, 0], [0, 30, 0, -100], [0, 0, 0, 200]],
                                         np.float32).reshape(3, 4, 1, 1, 1),
        "layers.output.bias": np.array([6, 0, 0], np.float32),
    }


def configuration(**thresholds: str) -> dict[str, Any]:
    """A MeshNet of two layers that labels shell and core."""
    return {
        "task": "segmentation",
        "network": {"kind": "MeshNet", "layers": LAYERS},
        "preparation": {"kind": "conformed", "axes": "RAS", "voxel_mm": "4", "low_quantile": "0.02",
                        "high_quantile": "0.98"},
        "contract": {"modality": "MR", "unit": "1", "largest_in_plane_mm": "4.5", "largest_between_slices_mm": "5",
                     "fewest_slices": 10, "most_voxels": 30_000_000, "fewest_sides": 8},
        "thresholds": {"least_confidence": "0.5"} | thresholds,
        "structures": [
            {"name": "core", "labels": [2], "code": ["389080008", "SCT", "White Matter"],
             "least_ml": "50", "most_ml": "400"},
            {"name": "whole", "labels": [1, 2], "code": ["12738006", "SCT", "Brain"],
             "least_ml": "100", "most_ml": "800"},
        ],
        "domain": {"stated": "none"},
        "runtime": {"threads": 2, "dtype": "float32", "deterministic": True},
    }


def bundle(name: str = "ball-segmenter", stated: dict[str, Any] | None = None) -> dict[str, bytes]:
    """The files of a whole bundle."""
    return {
        jobs.CONFIGURATION: json.dumps(stated or configuration(), indent=1).encode(),
        jobs.METADATA: json.dumps({
            "name": name, "version": "1.0.0", "license": "Apache-2.0", "task": "Ball and shell",
            "limits": "Tests only.", "resolution_mm": "4"}).encode(),
        jobs.WEIGHTS: save(tensors()), jobs.SENTINEL: sentinel_bytes(head((20, 24, 22), (5.0, 4.0, 4.5))),
        jobs.DATA_STATEMENT: b"Weights by hand; no data.\n",
        jobs.INTENDED_USE: b"# Use\n\n**Context of use.** To test segmentation.\n",
        jobs.LICENCE: b"Apache-2.0\n",
    }


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    """Files as a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


class ByHand:
    """answer.Network by NumPy: the network of `tensors`, without torch."""

    parts: tuple[str, ...] = ("",)

    def probability(self, channels: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError("a segmentation asks for scores")

    def scores(self, channels: NDArray[np.float32], part: str = "") -> NDArray[np.float32]:
        made = tensors()
        first = np.maximum(channels[0][None] + made["layers.one.bias"][:, None, None, None], 0)
        last = np.tensordot(made["layers.output.weight"][:, :, 0, 0, 0], first, axes=(1, 0))
        return np.asarray(last + made["layers.output.bias"][:, None, None, None], dtype=np.float32)


def mr_series(scan: Scan, subject: str, number: int = 1) -> list[bytes]:
    """A scan as classic MR images, last slice first as instances are numbered."""
    made = []
    normal, column, row = (np.array(axis) for axis in scan.directions)
    for index in range(scan.values.shape[0]):
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.file_meta.MediaStorageSOPClassUID = MRImageStorage
        uid = UID(derived_uid("mr", subject, str(number), str(index)))
        d.file_meta.MediaStorageSOPInstanceUID = uid
        d.SOPClassUID, d.SOPInstanceUID, d.Modality = MRImageStorage, uid, "MR"
        d.StudyInstanceUID, d.SeriesInstanceUID = derived_uid("mr", subject), derived_uid("mr", subject, str(number))
        d.FrameOfReferenceUID = derived_uid("mr frame", subject)
        d.PatientID, d.PatientName, d.PatientBirthDate, d.PatientSex = subject, "", "", ""
        d.StudyDate, d.StudyTime, d.StudyID, d.AccessionNumber, d.ReferringPhysicianName = "20260105", "", "1", "", ""
        d.SeriesNumber, d.InstanceNumber, d.Manufacturer = number, scan.values.shape[0] - index, "PHANTOM WORKS"
        d.ImageType = ["ORIGINAL", "PRIMARY"]
        position = np.array(scan.origin_mm) + normal * index * scan.spacing_mm[0]
        d.ImagePositionPatient = [f"{value:.4f}" for value in position]
        d.ImageOrientationPatient = [f"{value:.6f}" for value in (*row, *column)]
        d.PixelSpacing = [f"{scan.spacing_mm[1]:.6f}", f"{scan.spacing_mm[2]:.6f}"]
        d.SliceThickness = f"{scan.spacing_mm[0]:.4f}"
        d.Rows, d.Columns = scan.values.shape[1:]
        d.SamplesPerPixel, d.PhotometricInterpretation, d.PixelRepresentation = 1, "MONOCHROME2", 0
        d.BitsAllocated, d.BitsStored, d.HighBit = 16, 16, 15
        d.PixelData = scan.values[index].astype("<u2").tobytes()
        target = io.BytesIO()
        d.save_as(target, enforce_file_format=True)
        made.append(target.getvalue())
    return made


def add_scan(images: MadeImages, scan: Scan, trial: str, subject: str, *, number: int = 1,
             accepted: bool = True) -> GivenSeries:
    """Put a scan among the images of a baseline."""
    files = mr_series(scan, subject, number)
    first = pydicom.dcmread(io.BytesIO(files[0]), stop_before_pixels=True)
    given = GivenSeries("MR", str(first.SeriesInstanceUID), str(first.StudyInstanceUID), f"{len(files):064x}",
                        len(files), accepted)
    images.series.setdefault((trial, subject, "BL"), []).append(given)
    images.files[given.series] = files
    return given


def moved(scan: Scan, spacing_mm: tuple[float, float, float]) -> Scan:
    """The same values with other spacing."""
    return replace(scan, spacing_mm=spacing_mm)

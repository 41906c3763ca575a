"""Small made-up DICOM objects with known truth, for the tests of this folder and of arrival."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.ids import derived_uid


def ct_slice(
    number: int, *, study: str = "study", series: str = "series", step_mm: float = 2.5, **changes: Any
) -> FileDataset:
    """Slice `number` of an axial CT of 16 x 12 pixels; its position rises by `step_mm`; keywords overwrite."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(derived_uid("sample", study, series, str(number)))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    body = Dataset()
    body.SpecificCharacterSet = "ISO_IR 192"
    body.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    body.SOPClassUID = CTImageStorage
    body.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    body.StudyDate = body.SeriesDate = body.AcquisitionDate = body.ContentDate = "20260310"
    body.StudyTime = body.SeriesTime = body.AcquisitionTime = body.ContentTime = "101500"
    body.AccessionNumber = ""
    body.Modality = "CT"
    body.Manufacturer = "Acme Scanners"
    body.ManufacturerModelName = "Slicer 64"
    body.StudyDescription = "CT CHEST"
    body.SeriesDescription = "AX CHEST 2.5mm"
    body.ReferringPhysicianName = ""
    body.PatientName = "LUM-001-001"
    body.PatientID = "LUM-001-001"
    body.PatientBirthDate = ""
    body.PatientSex = "F"
    body.PatientAge = "061Y"
    body.SliceThickness = "2.5"
    body.KVP = "120"
    body.ConvolutionKernel = "B30f"
    body.StudyInstanceUID = derived_uid("sample", study)
    body.SeriesInstanceUID = derived_uid("sample", study, series)
    body.StudyID = "1"
    body.SeriesNumber = 3
    body.InstanceNumber = number
    body.FrameOfReferenceUID = derived_uid("sample", study, "frame")
    body.PositionReferenceIndicator = ""
    body.ImagePositionPatient = [-10.0, -20.0, f"{number * step_mm:g}"]
    body.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    body.SamplesPerPixel = 1
    body.PhotometricInterpretation = "MONOCHROME2"
    body.Rows, body.Columns = 16, 12
    body.PixelSpacing = ["0.8", "0.8"]
    body.BitsAllocated, body.BitsStored, body.HighBit, body.PixelRepresentation = 16, 16, 15, 1
    body.RescaleIntercept, body.RescaleSlope = "-1024", "1"
    noise = np.random.default_rng(7 + number).integers(900, 1100, (16, 12), dtype=np.int16)
    body.PixelData = noise.astype("<i2").tobytes()
    for keyword, value in changes.items():
        if value is None:
            body.pop(keyword, None)
        else:
            setattr(body, keyword, value)
    return FileDataset("", body, preamble=b"\x00" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True)


def ct_series(count: int = 8, **changes: Any) -> list[FileDataset]:
    """A regular CT series, read back as arrival would read it."""
    return [read_object(as_bytes(ct_slice(number, **changes))) for number in range(1, count + 1)]

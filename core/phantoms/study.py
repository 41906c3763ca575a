"""Writes a generated volume as a CT and a PET series with the headers a trial site would send."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage

from core.errors import UnusableInput
from core.ids import derived_uid
from core.phantoms.defects import DEFECTS as DEFECTS
from core.phantoms.defects import apply_defects
from core.phantoms.volume import Grid, PhantomVolume

IMPLEMENTATION_UID = derived_uid("countersign", "phantoms")
F18_HALF_LIFE_S = 6586.2
# No patient was there: the dose is one that a torso of this weight would be given.
DOSE_BQ_PER_KG = 4.0e6


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """Who, where and when, as coded subjects travel: Clinical Trial modules (PS3.3 C.7.1.3, C.7.2.3).

    acquired_on with start_at (site time) is the acquisition; uid_seed tells repeats of one time point apart.
    """

    protocol: str
    site: str
    subject: str
    time_point: str
    acquired_on: date
    start_at: time = time(9, 30)
    time_point_description: str = ""
    sponsor: str = "DEMONSTRATION SPONSOR"
    sex: str = "O"
    age_years: int = 58
    weight_kg: float = 74.0
    height_m: float = 1.71
    uid_seed: str = ""

    def uid(self, *parts: str) -> str:
        """A UID of this study, derived: the same header and parts give the same UID."""
        return derived_uid("phantom", self.protocol, self.site, self.subject, self.time_point,
                           self.acquired_on.isoformat(), self.uid_seed, *parts)


def write_study(folder: Path, volume: PhantomVolume, header: StudyHeader, defects: Sequence[str] = ()) -> list[Path]:
    """Write one file per slice below `folder` (made if absent): CT in `CT/`, PET in `PT/`. Returns the paths.

    `defects` names rows of DEFECTS to plant. Raises UnusableInput for an unknown defect or a folder with files in it.
    """
    unknown = sorted(set(defects) - set(DEFECTS))
    if unknown:
        raise UnusableInput(f"Unknown defects {', '.join(unknown)}; known: {', '.join(sorted(DEFECTS))}.")
    if folder.exists() and any(folder.iterdir()):
        raise UnusableInput(f"The folder {folder.name} is not empty; a study is written into a fresh one.")
    series = {"CT": _ct_series(volume, header), "PT": _pet_series(volume, header)}
    apply_defects(series, defects, header)
    paths = []
    for name, slices in series.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, item in enumerate(slices, start=1):
            path = folder / name / f"{number:04d}.dcm"
            path.write_bytes(_encoded(item))
            paths.append(path)
    return paths


def _encoded(item: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = item.SOPClassUID
    meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    item.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, item, enforce_file_format=True)
    return buffer.getvalue()


def _common(volume: PhantomVolume, header: StudyHeader, modality: str, started: datetime) -> Dataset:
    """Patient, study, series, frame of reference and equipment, equal in all slices of a series."""
    scanner = volume.scanner
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 192"
    d.PatientName = f"{header.subject}^"
    d.PatientID = header.subject
    d.PatientBirthDate = ""
    d.PatientSex = header.sex
    d.PatientAge = f"{header.age_years:03d}Y"
    d.PatientWeight = str(header.weight_kg)
    d.PatientSize = str(header.height_m)
    d.PatientIdentityRemoved = "YES"
    d.DeidentificationMethod = "Generated reference object, no person"
    d.ClinicalTrialSponsorName = header.sponsor
    d.ClinicalTrialProtocolID = header.protocol
    d.ClinicalTrialProtocolName = ""
    d.ClinicalTrialSiteID = header.site
    d.ClinicalTrialSiteName = ""
    d.ClinicalTrialSubjectID = header.subject
    d.ClinicalTrialTimePointID = header.time_point
    d.ClinicalTrialTimePointDescription = header.time_point_description or header.time_point
    d.StudyInstanceUID = header.uid("study")
    d.StudyID = header.time_point[:16]
    d.StudyDate = header.acquired_on.strftime("%Y%m%d")
    d.StudyTime = header.start_at.strftime("%H%M%S")
    d.AccessionNumber = ""
    d.ReferringPhysicianName = ""
    d.StudyDescription = "PET/CT torso"
    d.Modality = modality
    d.SeriesInstanceUID = header.uid("series", modality)
    d.SeriesNumber = 2 if modality == "CT" else 3
    d.SeriesDate = started.strftime("%Y%m%d")
    d.SeriesTime = started.strftime("%H%M%S")
    d.AcquisitionDate, d.AcquisitionTime = d.SeriesDate, d.SeriesTime
    d.ContentDate, d.ContentTime = d.SeriesDate, d.SeriesTime
    d.FrameOfReferenceUID = header.uid("frame")
    d.PositionReferenceIndicator = ""
    d.Manufacturer = scanner.manufacturer
    d.ManufacturerModelName = scanner.model
    d.DeviceSerialNumber = scanner.serial
    d.SoftwareVersions = "phantom 1"
    d.InstitutionName = ""
    d.ImageComments = "Generated reference object; not from a person."
    return d


def _pixels(d: Dataset, grid: Grid, *, signed: bool) -> None:
    d.SamplesPerPixel = 1
    d.PhotometricInterpretation = "MONOCHROME2"
    d.Rows, d.Columns = grid.shape[1], grid.shape[2]
    d.BitsAllocated, d.BitsStored, d.HighBit = 16, 16, 15
    d.PixelRepresentation = int(signed)
    d.PixelSpacing = [_ds(grid.spacing_mm[1]), _ds(grid.spacing_mm[2])]
    d.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]


def _slices(template: Dataset, grid: Grid, header: StudyHeader, stored: np.ndarray[tuple[int, ...], np.dtype[np.int16]],
            more: Callable[[Dataset, int], None]) -> list[Dataset]:
    """One data set per slice, head first in instance number as scanners send them."""
    out = []
    count = grid.shape[0]
    for number in range(count):
        index = count - 1 - number
        d = Dataset()
        for element in template:
            # Copies: assigning to a slice must not write into its neighbours.
            d.add(copy.copy(element))
        d.SOPInstanceUID = header.uid("instance", template.Modality, str(number))
        d.InstanceNumber = number + 1
        z = grid.origin_mm[2] + index * grid.spacing_mm[0]
        d.ImagePositionPatient = [_ds(grid.origin_mm[0]), _ds(grid.origin_mm[1]), _ds(z)]
        d.SliceLocation = _ds(z)
        d.PixelData = stored[index].tobytes()
        more(d, number)
        out.append(d)
    return out


def _ds(value: float) -> str:
    """Decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _ct_series(volume: PhantomVolume, header: StudyHeader) -> list[Dataset]:
    scanner, grid = volume.scanner, volume.ct_grid
    d = _common(volume, header, "CT", datetime.combine(header.acquired_on, header.start_at))
    d.SOPClassUID = CTImageStorage
    d.PatientPosition = "HFS"
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.SeriesDescription = "CT torso portal venous"
    d.ProtocolName = "TORSO PV"
    d.BodyPartExamined = "CHEST"
    d.AcquisitionNumber = 1
    d.KVP = str(scanner.kvp)
    d.XRayTubeCurrent, d.ExposureTime, d.Exposure = scanner.tube_ma, 500, scanner.tube_ma // 2
    d.ConvolutionKernel = scanner.kernel
    d.SliceThickness = _ds(scanner.thickness_mm)
    d.GantryDetectorTilt = "0"
    d.TableHeight = "140"
    d.ReconstructionDiameter = _ds(scanner.pixel_mm * scanner.matrix)
    d.ContrastBolusAgent = "Iodinated contrast"
    d.ContrastBolusRoute = "IV"
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = "0", "1", "HU"
    d.WindowCenter, d.WindowWidth = "40", "400"
    _pixels(d, grid, signed=True)
    return _slices(d, grid, header, np.rint(volume.ct_hu).astype("<i2"), lambda _d, _n: None)


def _pet_series(volume: PhantomVolume, header: StudyHeader) -> list[Dataset]:
    scanner, grid = volume.scanner, volume.pet_grid
    started = datetime.combine(header.acquired_on, header.start_at) + timedelta(minutes=4)
    injected = started - timedelta(minutes=62)
    dose_bq = DOSE_BQ_PER_KG * header.weight_kg
    d = _common(volume, header, "PT", started)
    d.SOPClassUID = PositronEmissionTomographyImageStorage
    d.ImageType = ["ORIGINAL", "PRIMARY"]
    d.SeriesDescription = "PET torso AC"
    d.SeriesType = ["WHOLE BODY", "IMAGE"]
    d.BodyPartExamined = "CHEST"
    d.Units = scanner.units
    if scanner.units == "GML":
        d.SUVType = "BW"
    d.CountsSource, d.DecayCorrection = "EMISSION", "START"
    d.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    d.RandomsCorrectionMethod, d.CollimatorType = "DLYD", "NONE"
    d.AttenuationCorrectionMethod = "CT-derived"
    d.ScatterCorrectionMethod = "Model based"
    d.ReconstructionMethod = scanner.reconstruction
    d.NumberOfSlices = grid.shape[0]
    d.SliceThickness = _ds(grid.spacing_mm[0])
    d.FrameReferenceTime, d.ActualFrameDuration = "60000", "120000"
    d.DecayFactor = f"{2 ** (60 / F18_HALF_LIFE_S):.6f}"
    d.RadiopharmaceuticalInformationSequence = [_tracer(injected, dose_bq)]
    window = Dataset()
    window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit = "425", "650"
    d.EnergyWindowRangeSequence = DicomSequence([window])
    # With this sequence Patient Position must be absent (PS3.3 C.8.9.5).
    d.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
    d.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [_code("40199007", "SCT", "supine")]
    d.PatientGantryRelationshipCodeSequence = [_code("102540008", "SCT", "headfirst")]
    d.RescaleIntercept = "0"
    _pixels(d, grid, signed=True)

    # DecayCorrection START: Bq/ml refer to the series time, so SUV = Bq/ml x weight / dose left at that time.
    left_bq = dose_bq * 0.5 ** ((started - injected).total_seconds() / F18_HALF_LIFE_S)
    factor = 1.0 if scanner.units == "GML" else left_bq / (header.weight_kg * 1000)
    values = volume.pet_suv.astype(np.float64) * factor
    # One slope per slice, as PET cameras store; rounded to what fits a decimal string before it is used.
    slopes = [f"{max(float(plane.max()), 1e-3) / 32000:.9g}" for plane in values]
    stored = np.stack([np.rint(plane / float(slope)) for plane, slope in zip(values, slopes, strict=True)])

    def more(item: Dataset, number: int) -> None:
        item.RescaleSlope = slopes[grid.shape[0] - 1 - number]
        item.ImageIndex = number + 1

    return _slices(d, grid, header, stored.astype("<i2"), more)


def _tracer(injected: datetime, dose_bq: float) -> Dataset:
    tracer = Dataset()
    tracer.Radiopharmaceutical = "Fluorodeoxyglucose"
    tracer.RadiopharmaceuticalStartTime = injected.strftime("%H%M%S.000000")
    tracer.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S.000000")
    tracer.RadionuclideTotalDose = f"{dose_bq:.0f}"
    tracer.RadionuclideHalfLife = str(F18_HALF_LIFE_S)
    tracer.RadionuclidePositronFraction = "0.9673"
    tracer.RadionuclideCodeSequence = [_code("77004003", "SCT", "^18^Fluorine")]
    tracer.RadiopharmaceuticalCodeSequence = [_code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    return tracer


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code

"""Generated reference objects: torsos in CT and PET whose lesions have known volume and axes, written as DICOM.

    scanner = SCANNERS["A"]
    lesion = lesion_at("liver", "TL01", (38, 30, 32))
    volume = make_volume(scanner, [lesion], seed=7)
    paths = write_study(folder, volume, StudyHeader(protocol="DEMO-1", site="S01", subject="S01-001",
                                                    time_point="BASELINE", acquired_on=date(2026, 1, 5)))
"""

from core.phantoms.body import SITES, lesion_at, random_lesion
from core.phantoms.lesions import Lesion
from core.phantoms.scanners import SCANNERS, Scanner
from core.phantoms.study import DEFECTS, StudyHeader, write_study
from core.phantoms.volume import Grid, LesionTruth, PhantomVolume, make_volume, reference_object

__all__ = [
    "DEFECTS", "SCANNERS", "SITES", "Grid", "Lesion", "LesionTruth", "PhantomVolume", "Scanner", "StudyHeader",
    "lesion_at", "make_volume", "random_lesion", "reference_object", "write_study",
]

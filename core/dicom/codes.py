"""The coded words of our reports (PS3.16), each once; and the closed lists that `tid1500` accepts."""

from __future__ import annotations

from typing import Final

from pydicom.sr.coding import Code

IMAGING_MEASUREMENT_REPORT: Final = Code("126000", "DCM", "Imaging Measurement Report")
COMMENT: Final = Code("121106", "DCM", "Comment")
IMAGING_MEASUREMENTS: Final = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP: Final = Code("125007", "DCM", "Measurement Group")
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
ENGLISH: Final = Code("en-US", "RFC5646", "English (United States)")
LESION: Final = Code("52988006", "SCT", "Lesion")
MORPHOLOGICALLY_ABNORMAL: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMICAL_STRUCTURE: Final = Code("91723000", "SCT", "Anatomical Structure")
USER_CHOSEN_VALUE: Final = Code("121410", "DCM", "User chosen value")
SUM_OF_VOXELS: Final = Code("126030", "DCM", "Sum of segmented voxel volumes")
NOT_ATTEMPTED: Final = Code("114007", "DCM", "Measurement not attempted")
MEASUREMENT_FAILURE: Final = Code("114006", "DCM", "Measurement failure")

MEASURES: Final = {
    "volume": Code("118565006", "SCT", "Volume"),
    "long_axis": Code("103339001", "SCT", "Long Axis"),
    "short_axis": Code("103340004", "SCT", "Short Axis"),
}
UNITS: Final = {
    "mm": Code("mm", "UCUM", "millimeter"),
    "cm": Code("cm", "UCUM", "centimeter"),
    "mm3": Code("mm3", "UCUM", "cubic millimeter"),
    "ml": Code("ml", "UCUM", "milliliter"),
}
# CID 6146; the baseline is the UMLS code, which no general checker insists on.
TIME_POINT_TYPES: Final = {
    "baseline": Code("C1442488", "UMLS", "Baseline"),
    "nadir": Code("C1708760", "UMLS", "Nadir"),
    "unscheduled": Code("C1699701", "UMLS", "Unscheduled"),
    "eligibility": Code("126075", "DCM", "Eligibility"),
    "posttreatment": Code("126074", "DCM", "Posttreatment"),
}
# CID 7453: exactly the roles of a blinded independent central review.
READER_ROLES: Final = {
    "reader": Code("C28747", "NCIt", "Reader"),
    "adjudicator": Code("C96561", "NCIt", "Adjudicator"),
    "eligibility_reader": Code("129001", "DCM", "Eligibility Reader"),
    "verifying": Code("121098", "DCM", "Verifying"),
}
CURRENT_RESPONSE: Final = Code("112048", "DCM", "Current Response")
PROCEDURES: Final = {
    "CT": Code("77477000", "SCT", "Computed tomography"),
    "MR": Code("113091000", "SCT", "Magnetic resonance imaging"),
    "PT": Code("82918005", "SCT", "Positron emission tomography"),
}
IMAGING_PROCEDURE: Final = Code("363679005", "SCT", "Imaging procedure")

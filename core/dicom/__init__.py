"""DICOM objects and their geometry: the only place that knows pydicom and highdicom."""

import logging
import warnings

# pydicom quotes offending values in its warnings, and a value may be a name. Nothing of them reaches a log or a screen;
# what is wrong with an object is said by our own findings.
for _library in ("pydicom", "highdicom"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=rf"{_library}(\..*)?")

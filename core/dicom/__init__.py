"""DICOM objects and their geometry: the only place that knows pydicom and highdicom."""

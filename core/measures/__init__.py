"""Measurement operators and their results: pure, with stated rules and phantom truth."""

from core.measures.operators import (
    Axes,
    lesion_axes,
    long_axis_mm,
    short_axis_mm,
    volume_mm3,
)
from core.measures.result import GeometryUnusable, Measure, Measured, NotMeasured

__all__ = [
    "Axes",
    "GeometryUnusable",
    "Measure",
    "Measured",
    "NotMeasured",
    "lesion_axes",
    "long_axis_mm",
    "short_axis_mm",
    "volume_mm3",
]

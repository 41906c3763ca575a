"""First-order features of an image inside a mask, and statistics of parametric maps (ADC, perfusion, SUV).

Definitions and names: Image Biomarker Standardisation Initiative, reference manual, chapter 3 (intensity-based
statistics, intensity histogram); its digital phantom is the truth of the tests. Values keep six significant digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.measures.geometry import Mask, exact_mask
from core.measures.result import GeometryUnusable, Measure, Measured, NotMeasured
from core.quantities import significant

Floats = NDArray[np.float64]
Feature = Callable[[Floats], float]
# Below this many voxels a spread is no statistic.
FEWEST_VOXELS = 10


def values_inside(image: NDArray[np.floating], mask: Mask) -> Floats | NotMeasured:
    """The values of an image inside a mask, float64, in scan order.

    Raises GeometryUnusable where image and mask differ in shape. NotMeasured: an empty mask, or a value that is no
    number.
    """
    mask = exact_mask(mask)
    if image.shape != mask.shape:
        raise GeometryUnusable(f"The image has shape {image.shape}, the mask {mask.shape}.")
    if not mask.any():
        return NotMeasured("empty-mask")
    values = np.asarray(image[mask], dtype=np.float64)
    return values if bool(np.isfinite(values).all()) else NotMeasured("values-not-finite")


def first_order(
    image: NDArray[np.floating], mask: Mask, unit: str, *, bin_width: Decimal
) -> Mapping[str, Measure]:
    """First-order features by name.

    Args:
        image: shape (slices, rows, columns), in `unit`.
        mask: True inside the region, same shape.
        unit: UCUM unit of the image values; skewness, kurtosis and entropy have unit 1 (entropy in bits).
        bin_width: width of the histogram's bins, in `unit`; the first begins at the smallest value (entropy alone).

    Returns:
        Each feature as a value with its standard uncertainty: for order statistics half the distance between the
        values one binomial standard deviation below and above in rank; for the others the jackknife over slices
        (Efron and Stein 1981), absent where the region has fewer than three slices. Skewness and kurtosis of equal
        values are not measured.

    Source: IBSI reference manual 3.3 and 3.4 (population moments; kurtosis is the excess over 3).
    """
    if not bin_width.is_finite() or bin_width <= 0:
        raise GeometryUnusable(f"Histogram bins are {bin_width} wide; a width above zero is needed.")
    values = values_inside(image, mask)
    names = (*_MOMENTS, *_ORDERS, "entropy")
    if isinstance(values, NotMeasured):
        return dict.fromkeys(names, values)
    if len(values) < FEWEST_VOXELS:
        return dict.fromkeys(names, NotMeasured("too-few-voxels"))
    slices = np.nonzero(mask)[0]
    found: dict[str, Measure] = {}
    for name, feature in _MOMENTS.items():
        found[name] = _jackknifed(feature, values, slices, "1" if name in _PURE else _power(unit, name))
    for name, share in _ORDERS.items():
        found[name] = order_statistic(values, share, unit)
    found["entropy"] = _jackknifed(lambda part: _entropy(part, float(bin_width), float(values.min())), values, slices,
                                   "1")
    return found


def map_statistics(
    image: NDArray[np.floating], mask: Mask, unit: str, *, lowest: Decimal, highest: Decimal,
    least_share: Decimal = Decimal("0.9"),
) -> Mapping[str, Measure]:
    """Statistics of a parametric map (ADC, blood flow, blood volume, SUV) over the voxels where it was estimable.

    Args:
        image: the map, shape (slices, rows, columns), in `unit`; voxels where the fit failed may hold any value.
        mask: the region, same shape.
        unit: UCUM unit, such as mm2/s or mL/(100.mL.min).
        lowest, highest: values outside, and values that are no numbers, count as not estimable (both limits count
            as inside).
        least_share: at least this share of the region must be estimable, else nothing is measured (the share itself
            is: a map that fails in part says so).

    Returns:
        mean, standard_deviation, median, percentile_10, percentile_90 in `unit`, and estimable_share (unit 1).
        Uncertainties as `first_order`.

    Source: QIBA profile Diffusion-Weighted MRI, 2022 (ADC by region of interest); IBSI reference manual 3.3.
    """
    mask = exact_mask(mask)
    if image.shape != mask.shape:
        raise GeometryUnusable(f"The image has shape {image.shape}, the mask {mask.shape}.")
    names = ("mean", "standard_deviation", "median", "percentile_10", "percentile_90")
    if not mask.any():
        return dict.fromkeys((*names, "estimable_share"), NotMeasured("empty-mask"))
    inside = np.asarray(image[mask], dtype=np.float64)
    usable = np.isfinite(inside)
    usable[usable] = (inside[usable] >= float(lowest)) & (inside[usable] <= float(highest))
    count = int(usable.sum())
    share = Decimal(count) / Decimal(len(inside))
    found: dict[str, Measure] = {"estimable_share": Measured(significant(share), "1")}
    if share < least_share or count < FEWEST_VOXELS:
        return found | dict.fromkeys(names, NotMeasured("too-few-voxels"))
    values, slices = inside[usable], np.nonzero(mask)[0][usable]
    for name in ("mean", "standard_deviation"):
        found[name] = _jackknifed(_MOMENTS[name], values, slices, unit)
    for name in ("median", "percentile_10", "percentile_90"):
        found[name] = order_statistic(values, _ORDERS[name], unit)
    return found


def order_statistic(values: Floats, share: Decimal, unit: str) -> Measured:
    """The value below or at which `share` of the voxels lie (nearest rank; the median takes the middle of two).

    Minimum and maximum (share 0 and 1) carry no uncertainty: of them the sample says nothing.
    """
    ordered = np.sort(values)
    count = len(ordered)
    rank = min(max(math.ceil(share * count), 1), count)
    value = float(ordered[rank - 1])
    if share == Decimal("0.5") and count % 2 == 0:
        value = (value + float(ordered[rank])) / 2
    if share in (0, 1):
        return Measured(significant(value), unit)
    off = math.sqrt(count * float(share) * (1 - float(share)))
    low, high = max(rank - 1 - math.ceil(off), 0), min(rank - 1 + math.ceil(off), count - 1)
    return Measured(significant(value), unit, significant((float(ordered[high]) - float(ordered[low])) / 2, 2))


def jackknife(estimates: Floats) -> float:
    """Standard error from the estimates with one part left out each (Efron and Stein 1981)."""
    count = len(estimates)
    return math.sqrt((count - 1) / count * float(((estimates - estimates.mean()) ** 2).sum()))


def _jackknifed(feature: Feature, values: Floats, slices: NDArray[np.intp], unit: str) -> Measure:
    value = feature(values)
    if not math.isfinite(value):
        return NotMeasured("constant-values")
    parts = np.unique(slices)
    if len(parts) < 3:
        return Measured(significant(value), unit)
    without = np.asarray([feature(values[slices != part]) for part in parts])
    if not bool(np.isfinite(without).all()):
        return Measured(significant(value), unit)
    return Measured(significant(value), unit, significant(jackknife(without), 2))


def _moment(values: Floats, order: int) -> float:
    return float(((values - values.mean()) ** order).mean())


def _skewness(values: Floats) -> float:
    spread = _moment(values, 2)
    return _moment(values, 3) / spread**1.5 if spread > 0 else math.nan


def _kurtosis(values: Floats) -> float:
    spread = _moment(values, 2)
    return _moment(values, 4) / spread**2 - 3 if spread > 0 else math.nan


def _entropy(values: Floats, width: float, lowest: float) -> float:
    counts = np.bincount(np.floor((values - lowest) / width).astype(np.int64))
    share = counts[counts > 0] / len(values)
    return float(-(share * np.log2(share)).sum()) + 0.0


_MOMENTS: Mapping[str, Feature] = {
    "mean": lambda values: float(values.mean()),
    "variance": lambda values: _moment(values, 2),
    "standard_deviation": lambda values: math.sqrt(_moment(values, 2)),
    "skewness": _skewness,
    "kurtosis": _kurtosis,
    "root_mean_square": lambda values: math.sqrt(float((values**2).mean())),
    "mean_absolute_deviation": lambda values: float(np.abs(values - values.mean()).mean()),
}
_ORDERS: Mapping[str, Decimal] = {
    "minimum": Decimal(0), "percentile_10": Decimal("0.1"), "median": Decimal("0.5"),
    "percentile_90": Decimal("0.9"), "maximum": Decimal(1),
}
_PURE = frozenset({"skewness", "kurtosis"})


def _power(unit: str, name: str) -> str:
    return unit if name != "variance" or unit == "1" else f"({unit})2"

"""Which measurement operators there are, what each needs, and under which name it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from core.errors import UnusableInput
from core.measures.atrophy import atrophy_rate_percent_per_year
from core.measures.geometry import Connectivity
from core.measures.intensity import first_order, map_statistics
from core.measures.lesions import lesion_count, lesion_load
from core.measures.operators import long_axis_mm, short_axis_mm, volume_mm3
from core.measures.organs import ejection_fraction_percent, minimal_joint_space_mm, organ_volume_ml
from core.measures.registration import Scan
from core.measures.result import Measure
from core.measures.texture import texture

Needs = Literal["mask", "two masks", "image and mask", "two scans"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a charter or protocol states beside the images; each operator reads those that its row names.

    unit: UCUM unit of the image. bin_width, lowest, highest: in that unit. days: from the first scan to the second.
    """

    unit: str = "1"
    bin_width: Decimal = Decimal(25)
    lowest: Decimal = Decimal("-1e9")
    highest: Decimal = Decimal("1e9")
    least_share: Decimal = Decimal("0.9")
    smallest_mm3: Decimal = Decimal(0)
    connectivity: Connectivity = 18
    days: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """One region, or two: the second mask (same series) or the second scan, where the operator needs one."""

    first: Scan
    second: Scan | None = None
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Operator:
    """A row: what it measures, what it needs, which options it reads, and its source."""

    title: str
    needs: Needs
    options: tuple[str, ...]
    source: str
    measure: Callable[[Given], Mapping[str, Measure]]


def measured(name: str, given: Given) -> Mapping[str, Measure]:
    """What an operator answers, by measure: a value with unit and uncertainty, or the reason why there is none.

    Raises:
        UnusableInput: no such operator, or the second region that it needs is missing.
        GeometryUnusable: spacing, mask or options that nothing can be measured on.
    """
    row = OPERATORS.get(name)
    if row is None:
        raise UnusableInput(f"There is no operator {name!r}.", next_step="`countersign measure list` names them.")
    if row.needs in ("two masks", "two scans") and given.second is None:
        raise UnusableInput(f"{name} needs {row.needs}; one was given.")
    return row.measure(given)


def _second(given: Given) -> Scan:
    assert given.second is not None  # asked in `measured`
    return given.second


def _of_lesions(given: Given) -> Mapping[str, Measure]:
    return {
        name: operator(given.first.mask, given.first.spacing_mm, connectivity=given.options.connectivity,
                       smallest_mm3=given.options.smallest_mm3)
        for name, operator in (("lesion_count", lesion_count), ("lesion_load", lesion_load))
    }


OPERATORS: Mapping[str, Operator] = {
    "volume": Operator(
        "Volume of a lesion", "mask", (), "DICOM CID 7474, sum of segmented voxel volumes",
        lambda given: {"volume": volume_mm3(given.first.mask, given.first.spacing_mm)}),
    "axes": Operator(
        "Long and short axis in the slice of the longest diameter", "mask", (), "RECIST 1.1, 3.1.1",
        lambda given: {"long_axis": long_axis_mm(given.first.mask, given.first.spacing_mm),
                       "short_axis": short_axis_mm(given.first.mask, given.first.spacing_mm)}),
    "lesions": Operator(
        "Lesion count and load", "mask", ("connectivity", "smallest_mm3"), "connected regions by the charter's rule",
        _of_lesions),
    "organ-volume": Operator(
        "Volume of an organ or of the brain", "mask", (), "DICOM CID 7474, sum of segmented voxel volumes",
        lambda given: {"organ_volume": organ_volume_ml(given.first.mask, given.first.spacing_mm)}),
    "ejection-fraction": Operator(
        "Ejection fraction from end-diastole (first) and end-systole (second)", "two masks", (),
        "Lang and others 2015, disc summation",
        lambda given: {"ejection_fraction": ejection_fraction_percent(
            given.first.mask, _second(given).mask, given.first.spacing_mm)}),
    "joint-space": Operator(
        "Minimal joint space width between two bones", "two masks", (), "minimum distance between bone margins",
        lambda given: {"minimal_joint_space": minimal_joint_space_mm(
            given.first.mask, _second(given).mask, given.first.spacing_mm)}),
    "atrophy-rate": Operator(
        "Brain volume lost a year, by paired registration", "two scans", ("days",),
        "boundary shift integral, Freeborough and Fox 1997",
        lambda given: {"atrophy_rate": atrophy_rate_percent_per_year(
            given.first, _second(given), given.options.days)}),
    "first-order": Operator(
        "First-order features of the intensities", "image and mask", ("unit", "bin_width"), "IBSI 3.3 and 3.4",
        lambda given: first_order(given.first.image, given.first.mask, given.options.unit,
                                  bin_width=given.options.bin_width)),
    "texture": Operator(
        "Texture by the grey level co-occurrence matrix", "image and mask", ("bin_width",), "IBSI 3.6, 3D merged",
        lambda given: texture(given.first.image, given.first.mask, bin_width=given.options.bin_width)),
    "map": Operator(
        "Statistics of a parametric map (ADC, perfusion, SUV)", "image and mask",
        ("unit", "lowest", "highest", "least_share"), "QIBA diffusion profile 2022; IBSI 3.3",
        lambda given: map_statistics(
            given.first.image, given.first.mask, given.options.unit, lowest=given.options.lowest,
            highest=given.options.highest, least_share=given.options.least_share)),
}

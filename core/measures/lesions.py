"""How many lesions a mask holds, and how much of them there is.

An image that was read and shows no lesion has count 0 and load 0: here, unlike for one lesion, nothing is a value.
"""

from __future__ import annotations

from decimal import Decimal

from core.measures.geometry import Connectivity, Mask, Spacing, exact_mask, exact_spacing, regions, touches_edge
from core.measures.operators import volume_mm3
from core.measures.result import Measure, Measured, NotMeasured
from core.quantities import rounded

ML = Decimal(1000)


def lesion_count(
    mask: Mask, spacing_mm: Spacing, *, connectivity: Connectivity = 18, smallest_mm3: Decimal = Decimal(0)
) -> Measure:
    """Number of connected lesions of at least `smallest_mm3` (a lesion of exactly this size counts).

    Args:
        mask: shape (slices, rows, columns), True inside any lesion.
        spacing_mm: distance between voxel centres in the same axis order, in millimetres.
        connectivity: 6 joins voxels that share a face, 18 also an edge, 26 also a corner; the charter names it.
        smallest_mm3: what is smaller counts neither here nor in the load.

    Returns:
        A count, unit 1; it has no uncertainty. NotMeasured where the mask reaches the edge of the image.

    Raises:
        GeometryUnusable: a spacing is zero, negative or not finite, or the mask is not boolean 3D.
    """
    counted = _lesions(mask, spacing_mm, connectivity, smallest_mm3)
    return counted if isinstance(counted, NotMeasured) else Measured(Decimal(len(counted)), "1")


def lesion_load(
    mask: Mask, spacing_mm: Spacing, *, connectivity: Connectivity = 18, smallest_mm3: Decimal = Decimal(0)
) -> Measure:
    """Volume of all lesions that count, in millilitres, rounded half-even to 0.001 mL.

    Arguments, limits and errors as `lesion_count`. The uncertainty is that of `volume_mm3` over all counted voxels.
    """
    counted = _lesions(mask, spacing_mm, connectivity, smallest_mm3)
    if isinstance(counted, NotMeasured):
        return counted
    if not counted:
        return Measured(Decimal("0.000"), "mL", Decimal("0.000"))
    kept = mask.copy()
    kept[:] = False
    for lesion in counted:
        for slice_, row, first, stop in lesion:
            kept[slice_, row, first:stop] = True
    whole = volume_mm3(kept, spacing_mm)
    if isinstance(whole, NotMeasured) or whole.uncertainty is None:
        return whole
    return Measured(rounded(whole.value / ML, 3), "mL", rounded(whole.uncertainty / ML, 3))


def _lesions(
    mask: Mask, spacing_mm: Spacing, connectivity: Connectivity, smallest_mm3: Decimal
) -> list[list[tuple[int, int, int, int]]] | NotMeasured:
    mask, spacing = exact_mask(mask), exact_spacing(spacing_mm)
    if not mask.any():
        return []
    if touches_edge(mask, in_plane_only=False):
        return NotMeasured("cut-by-image-edge")
    voxel_mm3 = spacing[0] * spacing[1] * spacing[2]
    return [
        lesion for lesion in regions(mask, connectivity)
        if voxel_mm3 * sum(stop - first for _, _, first, stop in lesion) >= smallest_mm3
    ]

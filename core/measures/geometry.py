"""The plane geometry under the operators: connected regions, contour points, hull, chords."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.measures.result import GeometryUnusable

Mask = NDArray[np.bool_]
Spacing = tuple[Decimal | float, Decimal | float, Decimal | float]
Connectivity = Literal[6, 18, 26]
Point = tuple[float, float]


def exact_spacing(spacing_mm: Spacing) -> tuple[Decimal, Decimal, Decimal]:
    """Slices, rows, columns in millimetres as decimals; floats by their shortest text.

    Raises:
        GeometryUnusable: not three numbers, or one is zero, negative or not finite.
    """
    if len(spacing_mm) != 3:
        raise GeometryUnusable(f"Three spacings (slices, rows, columns) are needed, {len(spacing_mm)} were given.")
    exact = tuple(each if isinstance(each, Decimal) else Decimal(repr(float(each))) for each in spacing_mm)
    for name, each in zip(("slices", "rows", "columns"), exact, strict=True):
        if not each.is_finite() or each <= 0:
            raise GeometryUnusable(f"The spacing between {name} is {each} mm; a length above zero is needed.")
    return exact[0], exact[1], exact[2]


def exact_mask(mask: Mask) -> Mask:
    """The mask itself, once it is known to be boolean with shape (slices, rows, columns).

    Raises:
        GeometryUnusable: another type or another number of axes.
    """
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise GeometryUnusable(
            f"A boolean mask with axes (slices, rows, columns) is needed, not {mask.dtype} with {mask.ndim} axes."
        )
    return mask


def touches_edge(mask: Mask, *, in_plane_only: bool) -> bool:
    """Whether the mask reaches the border of its array, so that part of the lesion may lie outside."""
    plane = bool(mask[:, 0].any() or mask[:, -1].any() or mask[:, :, 0].any() or mask[:, :, -1].any())
    return plane if in_plane_only else plane or bool(mask[0].any() or mask[-1].any())


def _runs(mask: Mask) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Runs of True per (slice, row): first column, column after the last, number of the run."""
    edges = np.diff(np.pad(mask, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    runs: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for number, ((z, y, first), stop) in enumerate(zip(starts.tolist(), stops[:, 2].tolist(), strict=True)):
        runs.setdefault((z, y), []).append((first, stop, number))
    return runs


def _neighbours(connectivity: Connectivity) -> tuple[tuple[int, int, int], ...]:
    """Earlier (slice, row) offsets and how far runs may lie apart in columns: 0 overlap, 1 touch at a corner."""
    edge = 0 if connectivity == 6 else 1
    corner = {6: (), 18: ((-1, -1, 0), (-1, 1, 0)), 26: ((-1, -1, 1), (-1, 1, 1))}[connectivity]
    return ((0, -1, edge), (-1, 0, edge), *corner)


def regions(mask: Mask, connectivity: Connectivity) -> list[list[tuple[int, int, int, int]]]:
    """Connected regions as runs (slice, row, first column, column after the last), in scan order.

    Connectivity 6 joins voxels that share a face, 18 also an edge, 26 also a corner; in one slice
    26 and 18 are the 8-neighbourhood.
    """
    runs = _runs(mask)
    parent = list(range(sum(len(each) for each in runs.values())))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for (z, y), here in runs.items():
        for dz, dy, reach in _neighbours(connectivity):
            for first, stop, number in here:
                for other_first, other_stop, other in runs.get((z + dz, y + dy), ()):
                    if other_first < stop + reach and first < other_stop + reach:
                        a, b = root(number), root(other)
                        parent[max(a, b)] = min(a, b)
    grouped: dict[int, list[tuple[int, int, int, int]]] = {}
    for (z, y), here in runs.items():
        for first, stop, number in here:
            grouped.setdefault(root(number), []).append((z, y, first, stop))
    return [grouped[key] for key in sorted(grouped)]


def contour_points(region: list[tuple[int, int, int, int]]) -> set[tuple[int, int]]:
    """Midpoints of voxel edges of a plane region, in half voxels (row, column).

    Only the ends of runs and the rows above and below matter to a hull, so inner voxels add nothing:
    the midpoints of a run's upper and lower edges lie between those of its first and last voxel.
    """
    points: set[tuple[int, int]] = set()
    for _, row, first, stop in region:
        points.update({(2 * row, 2 * first - 1), (2 * row, 2 * stop - 1)})
        for column in (first, stop - 1):
            points.update({(2 * row - 1, 2 * column), (2 * row + 1, 2 * column)})
    return points


def hull(points: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Corners of the convex hull, counter-clockwise, in exact integers (monotone chain)."""
    ordered = sorted(points)

    def half(sequence: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
        chain: list[tuple[int, int]] = []
        for point in sequence:
            while (
                len(chain) > 1
                and (
                    (chain[-1][0] - chain[-2][0]) * (point[1] - chain[-2][1])
                    - (chain[-1][1] - chain[-2][1]) * (point[0] - chain[-2][0])
                )
                <= 0
            ):
                chain.pop()
            chain.append(point)
        return chain[:-1]

    return half(iter(ordered)) + half(reversed(ordered))


def longest_chord_across(corners: list[Point], direction: Point) -> float:
    """Length of the longest segment inside a convex polygon perpendicular to `direction`.

    Along `direction` the chord length is piecewise linear between corners, so the longest one
    passes through a corner.
    """
    along = [x * direction[0] + y * direction[1] for x, y in corners]
    across = [y * direction[0] - x * direction[1] for x, y in corners]
    scale = math.hypot(*direction)
    longest = 0.0
    for level in along:
        low, high = math.inf, -math.inf
        for (a, p), (b, q) in zip(
            zip(along, across, strict=True),
            zip(along[1:] + along[:1], across[1:] + across[:1], strict=True),
            strict=True,
        ):
            if min(a, b) <= level <= max(a, b):
                for value in (p, q) if a == b else (p + (q - p) * (level - a) / (b - a),):
                    low, high = min(low, value), max(high, value)
        longest = max(longest, high - low)
    return longest / scale

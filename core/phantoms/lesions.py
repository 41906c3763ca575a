"""Lesions of known shape: what they measure is known from a formula, before any voxel exists."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.errors import UnusableInput

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lesion:
    """An ellipsoid, or with `lobes` a lobulated body, in patient coordinates (LPS, millimetres).

    centre_mm: x to the left, y to the back, z to the head, from the centre of the body.
    diameters_mm: full axes along x, y, z before the turn; all 0 is a lesion that has disappeared.
    suv, hu: uptake and density inside; angle_deg: turn about the z axis; lobes: bumps round the equator (0 = none);
    bump: height of the bumps as a share of the radius, at most 1 / (lobes + 1), so that the equator stays the
    widest slice and the axes below stay exact.
    """

    label: str
    centre_mm: tuple[float, float, float]
    diameters_mm: tuple[float, float, float]
    suv: float = 6.0
    hu: float = 45.0
    site: str = "liver"
    angle_deg: float = 0.0
    lobes: int = 0
    bump: float = 0.0

    def __post_init__(self) -> None:
        numbers = (*self.centre_mm, *self.diameters_mm, self.suv, self.hu, self.angle_deg, self.bump)
        if not all(math.isfinite(number) for number in numbers):
            raise UnusableInput(f"Lesion {self.label}: every number must be finite.")
        if any(d < 0 for d in self.diameters_mm) or (0 in self.diameters_mm and any(self.diameters_mm)):
            raise UnusableInput(f"Lesion {self.label}: diameters are all positive, or all 0 for a lesion that is gone.")
        if self.lobes and not 0 <= self.bump <= 1 / (self.lobes + 1):
            raise UnusableInput(f"Lesion {self.label}: bumps of {self.lobes} lobes may be at most 1/{self.lobes + 1}.")

    @property
    def present(self) -> bool:
        """False for a lesion that has disappeared."""
        return all(self.diameters_mm)

    def scaled(self, factor: float) -> Lesion:
        """The same lesion later: every diameter times `factor` (0 = gone)."""
        dx, dy, dz = self.diameters_mm
        return replace(self, diameters_mm=(dx * factor, dy * factor, dz * factor))

    def gone(self) -> Lesion:
        """The same lesion, no longer there."""
        return self.scaled(0.0)

    def volume_mm3(self) -> float:
        """Exact volume in cubic millimetres.

        The surface is r = 1 + b sin^k(theta) cos(k phi) in the unit ball, stretched by the half axes; the integral
        of r^3 / 3 over the sphere leaves 4 pi / 3 + b^2 pi I with I = integral of sin^(2k+1) = 2 (2k)!! / (2k+1)!!.
        """
        dx, dy, dz = self.diameters_mm
        ball = math.pi / 6 * dx * dy * dz
        if not self.lobes:
            return ball
        wave = 2.0
        for j in range(1, self.lobes + 1):
            wave *= 2 * j / (2 * j + 1)
        return ball * (1 + 3 / 4 * self.bump**2 * wave)

    def axes_mm(self) -> tuple[float, float]:
        """Long axis of the widest axial slice, and the longest line across its convex hull perpendicular to that."""
        dx, dy, _ = self.diameters_mm
        if not self.lobes:
            return max(dx, dy), min(dx, dy)
        phi = np.linspace(0, 2 * math.pi, 1440, endpoint=False)
        radius = 1 + self.bump * np.cos(self.lobes * phi)
        rim = np.stack([dx / 2 * radius * np.cos(phi), dy / 2 * radius * np.sin(phi)], axis=1)
        apart = rim[:, None] - rim[None, :]
        first, second = np.unravel_index(int(np.argmax((apart**2).sum(-1))), apart.shape[:2])
        along = apart[first, second]
        long_mm = float(np.hypot(*along))
        return long_mm, _widest_across(_hull(rim), along / long_mm)

    def distance_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Approximate signed distance to the surface on broadcastable coordinates: negative inside, exact in sign."""
        half = [d / 2 for d in self.diameters_mm]
        turn = math.radians(self.angle_deg)
        px, py, pz = x - self.centre_mm[0], y - self.centre_mm[1], (z - self.centre_mm[2]) / half[2]
        u = (px * math.cos(turn) + py * math.sin(turn)) / half[0]
        v = (py * math.cos(turn) - px * math.sin(turn)) / half[1]
        flat = u * u + v * v
        r = np.sqrt(flat + pz * pz)
        surface = np.ones_like(r)
        if self.lobes:
            # sin^k(theta) cos(k phi) = Re((u + i v)^k) / r^k
            surface = 1 + self.bump * ((u + 1j * v) ** self.lobes).real / np.maximum(r, 1e-6) ** self.lobes
        # The gradient of r is the length that turns the unit-ball distance into millimetres along the ray.
        slope = np.sqrt((u / half[0]) ** 2 + (v / half[1]) ** 2 + (pz / half[2]) ** 2) / np.maximum(r, 1e-6)
        return np.asarray((r - surface) / np.maximum(slope, 1e-6), dtype=np.float32)


def _widest_across(rim: NDArray[np.float64], along: NDArray[np.float64]) -> float:
    """The longest line across a closed convex rim, perpendicular to `along` (unit vector)."""
    s, t = rim @ along, rim @ np.array([-along[1], along[0]])
    closed_s, closed_t = np.append(s, s[0]), np.append(t, t[0])
    best = 0.0
    for cut in np.linspace(s.min() + 1e-6, s.max() - 1e-6, 720):
        crossing = (closed_s[:-1] - cut) * (closed_s[1:] - cut) <= 0
        a, b = closed_s[:-1][crossing], closed_s[1:][crossing]
        share = np.where(a == b, 0.0, (cut - a) / np.where(a == b, 1.0, b - a))
        heights = closed_t[:-1][crossing] * (1 - share) + closed_t[1:][crossing] * share
        best = max(best, float(heights.max() - heights.min()))
    return best


def _hull(rim: NDArray[np.float64]) -> NDArray[np.float64]:
    """The convex hull of points in the plane, in order (monotone chain)."""
    ordered = rim[np.lexsort((rim[:, 1], rim[:, 0]))]
    chains: list[list[NDArray[np.float64]]] = []
    for points in (ordered, ordered[::-1]):
        chain: list[NDArray[np.float64]] = []
        for point in points:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return np.array(chains[0] + chains[1])


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

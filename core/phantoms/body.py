"""The torso of the reference objects: organs as ellipsoids with a density and an uptake each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.phantoms.lesions import Floats, Lesion

AIR_HU, AIR_SUV = -1000.0, 0.0


@dataclass(frozen=True, slots=True)
class Organ:
    """centre_mm and half_mm as x, y, z in LPS; `flat` organs are cylinders along z (no end inside the field)."""

    name: str
    centre_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]
    hu: float
    suv: float
    flat: bool = False


# Later rows lie over earlier ones. Field: x -180..180, y -120..120, z -125 (abdomen) .. 125 (upper chest).
ORGANS: tuple[Organ, ...] = (
    Organ("skin and fat", (0, 0, 0), (168, 112, 1), -95, 0.25, flat=True),
    Organ("muscle", (0, 0, 0), (152, 97, 1), 52, 0.65, flat=True),
    Organ("abdomen fat", (0, -18, -150), (122, 66, 92), -90, 0.35),
    Organ("bowel", (28, -42, -120), (60, 30, 44), 32, 1.1),
    Organ("lung right", (-74, -4, 60), (58, 76, 104), -835, 0.45),
    Organ("lung left", (76, -2, 62), (54, 74, 100), -840, 0.45),
    Organ("mediastinum", (2, -14, 60), (30, 62, 104), 42, 1.1),
    Organ("heart", (30, -30, 16), (48, 42, 46), 138, 2.6),
    Organ("liver", (-66, -12, -66), (78, 76, 62), 104, 2.2),
    Organ("spleen", (104, 34, -62), (30, 38, 42), 112, 1.8),
    Organ("kidney right", (-58, 50, -118), (24, 22, 44), 148, 3.6),
    Organ("kidney left", (62, 50, -112), (24, 22, 44), 148, 3.6),
    Organ("aorta", (16, 40, 0), (12, 12, 1), 162, 1.5, flat=True),
    Organ("spine", (0, 68, 0), (23, 21, 1), 205, 1.4, flat=True),
    Organ("canal", (0, 92, 0), (10, 9, 1), 28, 0.9, flat=True),
)

# Where lesions may sit: centre, spread of the centre, density and uptake range, largest diameter that stays inside.
SITES: dict[str, tuple[tuple[float, float, float], float, tuple[float, float], tuple[float, float], float]] = {
    "liver": ((-76, -14, -60), 18, (35, 60), (5.0, 14.0), 64),
    "lung right": ((-80, -4, 70), 20, (15, 45), (3.0, 12.0), 52),
    "lung left": ((84, 6, 76), 16, (15, 45), (3.0, 12.0), 48),
    "mediastinum": ((2, -6, 88), 8, (35, 70), (4.0, 12.0), 34),
    "retroperitoneum": ((-8, 6, -84), 10, (30, 55), (4.0, 11.0), 46),
    "chest wall": ((-128, 44, 40), 8, (25, 50), (3.0, 10.0), 40),
    "gluteal muscle": ((70, 80, -86), 8, (20, 45), (3.0, 12.0), 44),
}


@dataclass(frozen=True, slots=True)
class Body:
    """One person's torso: `size` scales all, `shift_mm` moves organs; equal seeds give equal bodies."""

    size: float
    shift_mm: tuple[tuple[float, float, float], ...]
    uptake: tuple[float, ...]

    @classmethod
    def of(cls, seed: int) -> Body:
        """The body of one subject; the same at every time point."""
        rng = np.random.default_rng((seed, 0xB0D1))
        # The outer layers keep their place: a body that slides inside its own skin is no anatomy.
        moves = [(0.0, 0.0, 0.0) if organ.flat else tuple(float(m) for m in rng.uniform(-5, 5, 3)) for organ in ORGANS]
        return cls(
            size=float(rng.uniform(0.93, 1.05)),
            shift_mm=tuple((m[0], m[1], m[2]) for m in moves),
            uptake=tuple(float(u) for u in rng.uniform(0.85, 1.2, len(ORGANS))),
        )

    def paint(self, x: Floats, y: Floats, z: Floats, edge_mm: float) -> tuple[Floats, Floats]:
        """Density (HU) and uptake (SUV) of the empty torso, shape (slices, rows, columns); edges `edge_mm` wide."""
        shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        hu = np.full(shape, AIR_HU, np.float32)
        suv = np.full(shape, AIR_SUV, np.float32)
        for organ, shift, uptake in zip(ORGANS, self.shift_mm, self.uptake, strict=True):
            cx, cy, cz = (self.size * (c + s) for c, s in zip(organ.centre_mm, shift, strict=True))
            hx, hy, hz = (self.size * h for h in organ.half_mm)
            box = tuple(
                slice(0, axis.size) if organ.flat and which == 2 else _span(axis, centre - half, centre + half, edge_mm)
                for which, axis, centre, half in ((2, z, cz, hz), (1, y, cy, hy), (0, x, cx, hx))
            )
            bx, by, bz = x[:, :, box[2]], y[:, box[1], :], z[box[0], :, :]
            q = ((bx - cx) / hx) ** 2 + ((by - cy) / hy) ** 2
            if not organ.flat:
                q = q + ((bz - cz) / hz) ** 2
            r = np.sqrt(q)
            inside = np.clip(0.5 - (r - 1) * np.float32(min(hx, hy) / edge_mm), 0, 1)
            hu[box] += inside * (np.float32(organ.hu) - hu[box])
            suv[box] += inside * (np.float32(organ.suv * uptake) - suv[box])
        return hu, suv


def _span(axis: NDArray[np.float32], low: float, high: float, edge: float) -> slice:
    values = axis.ravel()
    return slice(int(np.searchsorted(values, low - edge)), int(np.searchsorted(values, high + edge)))


def lesion_at(site: str, label: str, diameters_mm: tuple[float, float, float], *, offset_mm: tuple[float, float, float]
              = (0.0, 0.0, 0.0), suv: float | None = None, angle_deg: float = 0.0, lobes: int = 0,
              bump: float = 0.0) -> Lesion:
    """A lesion at a named site with that site's usual density and uptake. Raises KeyError for a site not in SITES."""
    centre, _, hu, uptake, _ = SITES[site]
    return Lesion(
        label=label, centre_mm=(centre[0] + offset_mm[0], centre[1] + offset_mm[1], centre[2] + offset_mm[2]),
        diameters_mm=diameters_mm, suv=sum(uptake) / 2 if suv is None else suv, hu=sum(hu) / 2, site=site,
        angle_deg=angle_deg, lobes=lobes, bump=bump,
    )


def random_lesion(seed: int, label: str = "TL01", *, smallest_mm: float = 15.0) -> Lesion:
    """A lesion drawn from the declared ranges of one site; equal seeds give equal lesions."""
    rng = np.random.default_rng((seed, 0x1E51))
    site = sorted(SITES)[int(rng.integers(len(SITES)))]
    centre, spread, hu, uptake, largest = SITES[site]
    long_mm = float(rng.uniform(smallest_mm, largest))
    ratio = rng.uniform(0.65, 1.0, 2)
    lobes = int(rng.choice([0, 0, 2, 3, 4]))
    free = min(spread, max(2.0, (largest - long_mm) / 2))
    move = rng.uniform(-free, free, 3)
    return Lesion(
        label=label, centre_mm=(float(centre[0] + move[0]), float(centre[1] + move[1]), float(centre[2] + move[2])),
        diameters_mm=(long_mm, float(long_mm * ratio[0]), float(long_mm * ratio[1])), suv=float(rng.uniform(*uptake)),
        hu=float(rng.uniform(*hu)), site=site, angle_deg=float(rng.uniform(0, 180)), lobes=lobes,
        bump=float(rng.uniform(0.05, 0.7 / (lobes + 1))) if lobes else 0.0,
    )

"""CT and PET of a torso with lesions on a scanner's grids, and the exact truth about each lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import UnusableInput
from core.phantoms.body import Body, random_lesion
from core.phantoms.lesions import Floats, Lesion
from core.phantoms.scanners import SCANNERS, Scanner

FIELD_Z_MM = 240.0
# Seeds of objects and of their second lesions lie below.
_SCANS_APART = 1 << 40


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxel centres: origin_mm is the first centre (x, y, z, LPS); spacing_mm and shape are slices, rows, columns."""

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    def axes(self) -> tuple[Floats, Floats, Floats]:
        """x, y, z coordinates, shaped to broadcast to `shape`."""
        z, y, x = (
            (np.float64(self.origin_mm[2 - i]) + np.arange(self.shape[i]) * self.spacing_mm[i]).astype(np.float32)
            for i in range(3)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]


@dataclass(frozen=True, slots=True)
class LesionTruth:
    """What a lesion measures: by formula, and on the CT grid (voxel centres inside). All zero once it is gone."""

    label: str
    site: str
    present: bool
    seed_mm: tuple[float, float, float]
    volume_mm3: float
    long_axis_mm: float
    short_axis_mm: float
    mask_volume_mm3: float


@dataclass(frozen=True, slots=True)
class PhantomVolume:
    """One study's pixels and truth.

    ct_hu and pet_suv: float32, shape (slices, rows, columns), slices towards the head. masks: one boolean array on the
    CT grid per lesion label. spacing_mm: of the CT grid, same axis order as the arrays.
    """

    scanner: Scanner
    ct_hu: Floats
    pet_suv: Floats
    masks: dict[str, NDArray[np.bool_]]
    ct_grid: Grid
    pet_grid: Grid
    truth: tuple[LesionTruth, ...]
    seed: int

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing of the CT grid: between slices, rows, columns."""
        return self.ct_grid.spacing_mm

    def truth_of(self, label: str) -> LesionTruth:
        """The truth of one lesion. Raises KeyError where no lesion has this label."""
        return {truth.label: truth for truth in self.truth}[label]


def make_volume(scanner: Scanner, lesions: Sequence[Lesion], seed: int, *, body_seed: int | None = None,
                field_z_mm: float = FIELD_Z_MM, noise: float = 1.0) -> PhantomVolume:
    """Generate CT and PET of one time point.

    Args:
        scanner: a row of SCANNERS.
        lesions: with distinct labels; later ones lie over earlier ones.
        seed: of the noise; equal arguments give equal bytes on one machine.
        body_seed: of the anatomy, the same at every time point of a subject; `seed` where not given.
        field_z_mm: length of the field along the body.
        noise: factor on the scanner's noise (1.0 usual, 4 and more is not fit to be read).

    Raises:
        UnusableInput: two lesions share a label, or a lesion lies outside the field.
    """
    labels = [lesion.label for lesion in lesions]
    if len(set(labels)) != len(labels):
        raise UnusableInput(f"Lesion labels must differ: {', '.join(labels)}.")
    body = Body.of(seed if body_seed is None else body_seed)
    rng = np.random.default_rng((seed, 0xC7))
    ct_grid = _grid(scanner.pixel_mm, scanner.matrix, scanner.increment_mm, field_z_mm)
    pet_grid = _grid(scanner.pet_voxel_mm[0], scanner.pet_matrix, scanner.pet_voxel_mm[1], field_z_mm)

    hu, _ = _paint(ct_grid, body, lesions)
    masks = {lesion.label: _mask(ct_grid, lesion) for lesion in lesions}
    hu += _grain(rng, ct_grid, scanner.grain_mm, scanner.noise_hu * noise)
    np.clip(hu, -1024, 3071, out=hu)

    _, suv = _paint(pet_grid, body, lesions)
    suv = _blurred(suv, pet_grid.spacing_mm, scanner.pet_blur_mm / 2.3548)
    # Counting noise grows with the root of the uptake.
    suv += np.sqrt(np.maximum(suv, 0.01)) * _grain(rng, pet_grid, 5.0, scanner.pet_noise * noise)
    np.maximum(suv, 0, out=suv)

    cell = float(np.prod(ct_grid.spacing_mm))
    truth = []
    for lesion in lesions:
        long_mm, short_mm = lesion.axes_mm() if lesion.present else (0.0, 0.0)
        voxels = int(masks[lesion.label].sum())
        if lesion.present and voxels == 0:
            raise UnusableInput(f"Lesion {lesion.label} lies outside the field or between the slices.")
        truth.append(LesionTruth(lesion.label, lesion.site, lesion.present, lesion.centre_mm,
                                 lesion.volume_mm3() if lesion.present else 0.0, long_mm, short_mm, voxels * cell))
    return PhantomVolume(scanner, hu, suv, masks, ct_grid, pet_grid, tuple(truth), seed)


def _grid(pixel_mm: float, matrix: int, increment_mm: float, field_z_mm: float) -> Grid:
    slices = round(field_z_mm / increment_mm)
    first = -pixel_mm * (matrix - 1) / 2
    return Grid((first, first, -increment_mm * (slices - 1) / 2), (increment_mm, pixel_mm, pixel_mm),
                (slices, matrix, matrix))


def _paint(grid: Grid, body: Body, lesions: Sequence[Lesion]) -> tuple[Floats, Floats]:
    x, y, z = grid.axes()
    edge = grid.spacing_mm[1]
    hu, suv = body.paint(x, y, z, edge)
    for lesion in lesions:
        if not lesion.present:
            continue
        box, distance = _around(grid, lesion, edge)
        inside = np.clip(0.5 - distance / np.float32(edge), 0, 1)
        hu[box] += inside * (np.float32(lesion.hu) - hu[box])
        suv[box] += inside * (np.float32(lesion.suv) - suv[box])
    return hu, suv


def _around(grid: Grid, lesion: Lesion, edge: float) -> tuple[tuple[slice, slice, slice], Floats]:
    """The part of the grid near a lesion, and the distance to its surface there."""
    x, y, z = grid.axes()
    reach = max(lesion.diameters_mm) / 2 * (1 + lesion.bump) + 2 * edge
    spans = [
        slice(int(np.searchsorted(axis.ravel(), c - reach)), int(np.searchsorted(axis.ravel(), c + reach)))
        for axis, c in zip((z, y, x), reversed(lesion.centre_mm), strict=True)
    ]
    box = (spans[0], spans[1], spans[2])
    return box, lesion.distance_mm(x[:, :, box[2]], y[:, box[1], :], z[box[0], :, :])


def _mask(grid: Grid, lesion: Lesion) -> NDArray[np.bool_]:
    mask = np.zeros(grid.shape, bool)
    if lesion.present:
        box, distance = _around(grid, lesion, grid.spacing_mm[1])
        mask[box] = distance <= 0
    return mask


def _grain(rng: np.random.Generator, grid: Grid, grain_mm: float, sigma: float) -> Floats:
    """Noise with a texture: white noise smoothed in the slice plane to `grain_mm` (full width), then rescaled."""
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    smooth = _blurred(white, (0.0, *grid.spacing_mm[1:]), grain_mm / 2.3548)
    return np.asarray(smooth * np.float32(sigma / max(float(smooth[:4].std()), 1e-6)), dtype=np.float32)


def _blurred(volume: Floats, spacing_mm: tuple[float, float, float], sigma_mm: float) -> Floats:
    """Gaussian blur, separable; axes with spacing 0 are left alone. Edges repeat."""
    out = volume
    for axis, step in enumerate(spacing_mm):
        if step <= 0 or sigma_mm < 0.2 * step:
            continue
        reach = max(1, int(np.ceil(2.5 * sigma_mm / step)))
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / sigma_mm) ** 2)
        taps = (taps / taps.sum()).astype(np.float32)
        padded = np.pad(out, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        size = out.shape[axis]
        total = np.zeros_like(out)
        for offset, tap in enumerate(taps):
            window = tuple(slice(offset, offset + size) if a == axis else slice(None) for a in range(3))
            total += tap * padded[window]
        out = total
    return out


def reference_object(seed: int, scan: int = 0) -> PhantomVolume:
    """One generated object whose scanner, body, lesion TL01 and, in half of them, a second lesion follow from its seed.

    `scan` above 0 is the same object on the same scanner once more: body and lesions equal, noise new.

    The unit of the generated strata: training, tuning and qualification sets are disjoint ranges of these seeds.
    """
    rng = np.random.default_rng((seed, 0x0B1E))
    scanner = list(SCANNERS.values())[int(rng.integers(len(SCANNERS)))]
    lesions = [random_lesion(seed)]
    if rng.random() < 0.5:
        other = random_lesion(seed + (1 << 32), "TL02")
        if other.site != lesions[0].site:
            lesions.append(other)
    return make_volume(scanner, lesions, seed + scan * _SCANS_APART, body_seed=seed)

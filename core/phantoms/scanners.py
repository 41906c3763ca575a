"""The scanners of the generated reference objects: one table, as a charter's acquisition rules would list them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scanner:
    """How one PET/CT makes its images.

    pixel_mm and increment_mm: CT distance between pixel centres and between slice positions; thickness_mm is nominal.
    pet_voxel_mm: in-plane and between slices; noise in HU, PET noise as a share of the local uptake.
    units: how the PET is stored, "BQML" (needs dose, weight and times) or "GML" (already SUV by body weight).
    """

    key: str
    manufacturer: str
    model: str
    serial: str
    kernel: str
    pixel_mm: float
    matrix: int
    increment_mm: float
    thickness_mm: float
    kvp: int
    tube_ma: int
    noise_hu: float
    grain_mm: float
    pet_voxel_mm: tuple[float, float]
    pet_matrix: int
    pet_blur_mm: float
    pet_noise: float
    units: str
    reconstruction: str


SCANNERS: dict[str, Scanner] = {
    scanner.key: scanner
    for scanner in (
        Scanner("A", "PHANTOM WORKS", "Reference PET/CT 16", "PW-0016", "STANDARD", 1.953125, 192, 2.5, 2.5, 120, 180,
                12.0, 2.6, (4.0, 2.5), 96, 6.0, 0.08, "BQML", "OSEM 2i24s"),
        Scanner("B", "PHANTOM WORKS", "Reference PET/CT 40", "PW-0040", "B30f", 1.875, 200, 3.0, 3.0, 120, 210,
                10.0, 3.2, (4.0728, 3.0), 92, 5.5, 0.06, "BQML", "PSF+TOF 3i21s"),
        Scanner("C", "REFERENCE IMAGING", "Torso Phantom TF", "RI-0064", "B", 1.75, 208, 4.0, 5.0, 140, 150,
                14.0, 2.2, (4.0, 4.0), 90, 7.0, 0.10, "BQML", "BLOB-OS-TF"),
        Scanner("D", "REFERENCE IMAGING", "Torso Phantom Digital", "RI-0128", "FC08", 1.5625, 224, 3.27, 3.27, 100, 240,
                9.0, 2.8, (2.734, 3.27), 128, 4.5, 0.05, "GML", "BSREM beta 400"),
    )
}

"""Two scans of one head brought into one position, half-way between them, so that neither is favoured.

SimpleITK does the search; it comes with the extra `inference` and is imported on use.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UnusableInput
from core.measures.geometry import Mask, Spacing, exact_mask, exact_spacing
from core.measures.result import GeometryUnusable

Floats = NDArray[np.float64]
_LEVELS = ((4, 3.0), (2, 1.5), (1, 0.0))


@dataclass(frozen=True, slots=True)
class Scan:
    """One time point: image and mask of shape (slices, rows, columns), and its spacing in millimetres.

    Two scans that are compared have their axes in the same anatomical order.
    """

    image: NDArray[np.floating]
    mask: Mask
    spacing_mm: Spacing

    def checked(self) -> Scan:
        """The scan itself. Raises GeometryUnusable where shapes differ or a spacing is no length."""
        exact_mask(self.mask)
        exact_spacing(self.spacing_mm)
        if self.image.shape != self.mask.shape:
            raise GeometryUnusable(f"The image has shape {self.image.shape}, its mask {self.mask.shape}.")
        return self


@dataclass(frozen=True, slots=True)
class HalfWay:
    """Both scans on one grid in the middle of their positions; masks as shares of a voxel between 0 and 1."""

    first: Floats
    second: Floats
    first_mask: Floats
    second_mask: Floats
    voxel_mm3: float


def half_way(first: Scan, second: Scan) -> HalfWay:
    """Rigid registration (six degrees of freedom) of `second` to `first`, both resampled half-way.

    The search follows the correlation of intensities inside the mask of `first` and a margin round it, from coarse to
    fine, on one thread and on all voxels, so that equal input gives equal output.

    Raises GeometryUnusable as `Scan.checked`.
    """
    sitk = _library()

    fixed, moving = _image(first.checked().image, first), _image(second.checked().image, second)
    fixed_mask, moving_mask = _image(first.mask, first), _image(second.mask, second)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        rigid = _search(fixed, moving, fixed_mask, moving_mask)
        half, back = _halved(rigid)
        grid = fixed
        parts = [
            sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, how, 0.0, sitk.sitkFloat64))
            for image, transform, how in (
                (fixed, back, sitk.sitkLinear), (moving, half, sitk.sitkLinear),
                (fixed_mask, back, sitk.sitkLinear), (moving_mask, half, sitk.sitkLinear),
            )
        ]
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    spacing = exact_spacing(first.spacing_mm)
    return HalfWay(parts[0], parts[1], parts[2], parts[3], float(spacing[0] * spacing[1] * spacing[2]))


def _library() -> Any:
    """SimpleITK, whose own types are partial. Raises UnusableInput where it is not installed."""
    try:
        return importlib.import_module("SimpleITK")
    except ImportError:
        raise UnusableInput("Registration needs SimpleITK, which is not installed.",
                            next_step="Install the extra `inference`.") from None


def _image(values: NDArray[Any], scan: Scan) -> Any:
    """The array as an image whose origin is the middle of its field; ITK counts columns, rows, slices."""
    sitk = _library()

    image = sitk.GetImageFromArray(np.ascontiguousarray(values, dtype=np.float32))
    spacing = [float(each) for each in exact_spacing(scan.spacing_mm)][::-1]
    image.SetSpacing(spacing)
    image.SetOrigin([-step * (size - 1) / 2 for step, size in zip(spacing, image.GetSize(), strict=True)])
    return image


def _search(fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any) -> Any:
    sitk = _library()

    start = sitk.Euler3DTransform(sitk.CenteredTransformInitializer(
        fixed_mask, moving_mask, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS))
    margin = sitk.BinaryDilate(sitk.Cast(fixed_mask > 0.5, sitk.sitkUInt8), [4, 4, 4])
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricFixedMask(margin)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-4, numberOfIterations=200, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in _LEVELS])
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma in _LEVELS])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def _halved(rigid: Any) -> tuple[Any, Any]:
    """The square root of a rigid transform and its inverse: same axis, half the angle, applied twice gives `rigid`."""
    sitk = _library()

    turn = np.asarray(rigid.GetMatrix()).reshape(3, 3)
    centre, shift = np.asarray(rigid.GetCenter()), np.asarray(rigid.GetTranslation())
    moved = shift + centre - turn @ centre
    cosine = min(1.0, max(-1.0, (float(np.trace(turn)) - 1) / 2))
    angle = float(np.arccos(cosine))
    axis = np.asarray([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    half_turn = sitk.VersorTransform()
    if angle > 1e-12:
        half_turn.SetRotation((axis / np.linalg.norm(axis)).tolist(), angle / 2)
    root = np.asarray(half_turn.GetMatrix()).reshape(3, 3)
    half = sitk.AffineTransform(3)
    half.SetMatrix(root.ravel().tolist())
    half.SetTranslation(np.linalg.solve(np.eye(3) + root, moved).tolist())
    return half, half.GetInverse()
